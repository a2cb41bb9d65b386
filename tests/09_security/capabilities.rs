//! The capability sets of the command, as /proc/PID/status shows them from outside.

use kiste_tests::{Fixture, host};

use crate::{root, sh, start, this_step};

/// Docker's fourteen.
const DEFAULT: &str = "00000000a80425fb";
const NONE: &str = "0000000000000000";
/// CHOWN and KILL.
const TWO: &str = "0000000000000021";

/// Returns the inheritable, permitted, effective, bounding and ambient set.
fn sets(pid: i32) -> [String; 5] {
    ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]
        .map(|field| host::status_field(pid, field))
}

#[track_caller]
fn assert_sets(fixture: &Fixture, options: &[&str], expected: [&str; 5]) {
    let running = start(fixture, options);
    assert_eq!(sets(running.pid), expected, "{options:?}");
}

#[test]
fn by_default_root_has_dockers_fourteen_and_no_program_gets_more() {
    let Some(fixture) = root() else { return };
    assert_sets(&fixture, &[], [NONE, DEFAULT, DEFAULT, DEFAULT, NONE]);
}

#[test]
fn capabilities_are_dropped_and_added() {
    let Some(fixture) = root() else { return };
    for options in [
        &["--cap-drop", "ALL", "--cap-add", "CHOWN", "--cap-add", "cap_kill"][..],
        &["--cap-add", "CAP_CHOWN", "--cap-add", "Kill", "--cap-drop", "all"],
    ] {
        assert_sets(&fixture, options, [NONE, TWO, TWO, TWO, NONE]);
    }
    let none = ["--cap-drop", "ALL"];
    assert_sets(&fixture, &none, [NONE; 5]);
    // CAP_MKNOD is number 27, CAP_NET_ADMIN number 12.
    let changed = "00000000a00435fb";
    let options = ["--cap-drop", "MKNOD", "--cap-add", "NET_ADMIN"];
    assert_sets(&fixture, &options, [NONE, changed, changed, changed, NONE]);
}

#[test]
fn with_all_root_has_what_the_caller_has() {
    let Some(fixture) = root() else { return };
    let own = host::status_field("self", "CapPrm");
    let running = start(&fixture, &["--cap-add", "ALL"]);
    let [inheritable, permitted, effective, _, ambient] = sets(running.pid);
    assert_eq!([&permitted, &effective], [&own; 2]);
    assert_eq!([&inheritable, &ambient], [NONE; 2]);
    let all_but_one = start(&fixture, &["--cap-add", "ALL", "--cap-drop", "SYS_ADMIN"]);
    let number = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let [_, permitted, ..] = sets(all_but_one.pid);
    assert_eq!(number(&permitted), number(&own) & !(1 << 21));
}

/// execve(2) would clear them. Nothing is inheritable (CVE-2022-24769), so a program
/// with file capabilities gives none either, unless these are permitted ones.
#[test]
fn a_user_other_than_root_has_none_and_keeps_the_bounding_set() {
    let Some(fixture) = root() else { return };
    for options in [&["-u", "1000:1000"][..], &["-u", "1000", "--init"]] {
        let running = start(&fixture, options);
        let pid = host::children(running.pid).first().copied().unwrap_or(running.pid);
        assert_eq!(sets(pid), [NONE, NONE, NONE, DEFAULT, NONE], "{options:?}");
    }
}

#[test]
fn a_user_who_becomes_root_again_has_no_more_than_the_bounding_set() {
    let Some(fixture) = root() else { return };
    fixture.install("/usr/bin/setpriv".as_ref(), "setpriv");
    let script = "/setpriv --reuid=1000 --clear-groups grep CapEff /proc/self/status; \
                  grep CapBnd /proc/self/status";
    let expected = format!("CapEff:\t{NONE}\nCapBnd:\t{DEFAULT}");
    sh(&fixture, &[], script).assert_stdout(&expected);
}

/// An init with more rights could be taken over by the command, with ptrace(2).
#[test]
fn the_init_has_no_more_rights_than_the_command() {
    let Some(fixture) = root() else { return };
    let nnp = ["--security-opt", "no-new-privileges"];
    for options in [
        &["--init"][..],
        &["--init", "--cap-drop", "ALL"],
        &["--init", "-u", "1000:1000"],
        &["--init", "--cap-add", "SYS_PTRACE", nnp[0], nnp[1]],
    ] {
        let running = start(&fixture, options);
        let [command] = host::children(running.pid)[..] else { panic!("one child") };
        assert_eq!(sets(running.pid), sets(command), "{options:?}");
        for field in ["Seccomp", "Seccomp_filters", "NoNewPrivs", "Uid", "Groups"] {
            let of = |pid| host::status_field(pid, field);
            assert_eq!(of(running.pid), of(command), "{field} {options:?}");
        }
        assert_eq!(host::status_field(command, "Seccomp"), "2");
    }
}

#[test]
fn an_unknown_capability_is_a_usage_error_that_proposes_the_right_one() {
    let Some(fixture) = root() else { return };
    for option in ["--cap-add", "--cap-drop"] {
        let run = |name| sh(&fixture, &[option, name], "true");
        run("NET_ADMN").exits(2).assert_stderr_contains("did you mean NET_ADMIN?");
        run("FLY").exits(2).assert_stderr_contains("CHOWN, DAC_OVERRIDE");
    }
}

#[test]
fn a_capability_that_the_caller_lacks_is_left_out_with_a_warning() {
    let Some(fixture) = root() else { return };
    // The caller has all but CAP_WAKE_ALARM, number 35.
    let caller = ["setpriv", "--bounding-set=-wake_alarm", "--inh-caps=-all"];
    if !kiste_tests::require_tool("setpriv") || !this_step().is_ours() {
        return;
    }
    let options = ["--network", "none", "--cap-add", "WAKE_ALARM", "--cap-add", "KILL"];
    let status = ["grep", "CapEff", "/proc/self/status"];
    let ran = fixture.run_under(&caller, &options, &status);
    ran.assert_stdout(&format!("CapEff:\t{DEFAULT}"));
    ran.assert_stderr_contains("warning: WAKE_ALARM: the caller does not have it");
    let ran = fixture.run_under(&caller, &["--network", "none"], &["true"]);
    assert_eq!(ran.exits(0).err, "", "nothing that was asked for is missing");
}
