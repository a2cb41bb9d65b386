//! `show`: a profile as a table, its filter, and the verdict on a system call.

use std::fs;
use std::process::Command;

use kiste_tests::Ran;

use crate::this_step;

fn show(args: &[&str]) -> Ran {
    let mut command = Command::new(this_step().exe());
    let output = command.arg("show").args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// Returns what `show` prints.
fn shown(args: &[&str]) -> String {
    let ran = show(args);
    ran.exits(0);
    ran.out
}

/// Returns the verdict on a call of x86_64, whatever this machine is.
fn would(args: &[&str]) -> String {
    shown(&[&["--arch", "x86_64", "--would"], args].concat())
}

#[test]
fn the_default_profile_is_a_table_of_actions_with_reasons() {
    let table = shown(&["--arch", "x86_64"]);
    for words in [
        "SYSTEM CALLS, on x86_64, i386, x32\n",
        "# files and directories: the kernel checks their",
        "refused with EPERM",
        "if argument 0 == 0x20000\n",
        "refused with ENOSYS   all others\n",
    ] {
        assert!(table.contains(words), "{words}: {table}");
    }
    assert!(table.lines().all(|line| line.len() <= 80), "{table}");
    assert!(!table.contains("jeq"), "{table}");
}

#[test]
fn the_filter_is_shown_with_the_names_of_the_system_calls() {
    let bpf = shown(&["--arch", "aarch64", "--bpf"]);
    for words in [
        "    0  ld [4]                            the architecture\n",
        "jeq #0xc00000b7",
        "aarch64?",
        "the number of the system call",
        "upper half of argument 0",
        "ret #0x7fff0000                   allowed\n",
    ] {
        assert!(bpf.contains(words), "{words}: {bpf}");
    }
}

#[test]
fn the_verdict_on_a_call_names_the_rule() {
    for (call, verdict) in [
        (&["getppid"][..], "allowed: rule "),
        (&["110"], "allowed: rule "),
        (&["swapon"], "refused with EPERM: rule "),
        (&["personality", "8"], "allowed: rule "),
        (
            &["personality", "0x40000"],
            "refused with ENOSYS: no rule for personality holds",
        ),
        (&["personality", "0x100000008"], "refused with ENOSYS: no rule for"),
        (&["io_uring_setup"], "refused with ENOSYS: no rule names io_uring_setup"),
        (&["9999"], "refused with ENOSYS: a call without a name is newer than"),
    ] {
        let said = would(call);
        assert!(said.starts_with(verdict), "{call:?}: {said}");
    }
}

#[test]
fn a_capability_changes_the_verdict() {
    assert!(would(&["bpf"]).starts_with("refused with EPERM"));
    assert!(would(&["bpf", "--cap-add", "CAP_SYS_ADMIN"]).starts_with("allowed"));
}

#[test]
fn a_profile_in_a_file_is_shown_and_judged() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("profile.json");
    let file = file.to_str().unwrap();
    let json = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "args": [
          {"index": 1, "value": 4294967295, "valueTwo": 21522,
           "op": "SCMP_CMP_MASKED_EQ"}]},
        {"names": ["ptrace"], "action": "SCMP_ACT_KILL_PROCESS"}]}"#;
    fs::write(file, json).unwrap();
    let table = shown(&[file]);
    assert!(table.contains("if argument 1 & 0xffffffff == 0x5412"), "{table}");
    for (call, verdict) in [
        (&["ioctl", "0", "0x5412"][..], "refused with EPERM: rule 1: ioctl if"),
        (&["ioctl", "0", "0x100005412"], "refused with EPERM"),
        (&["ioctl", "0", "0x5413"], "allowed: no rule for ioctl holds"),
        (&["ptrace"], "the process is killed: rule 2: ptrace"),
        (&["kill", "-1", "9"], "allowed: no rule names kill"),
    ] {
        let said = shown(&[&[file, "--would"], call].concat());
        assert!(said.starts_with(verdict), "{call:?}: {said}");
    }
}

#[test]
fn a_mistake_is_named_with_a_fix() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = dir.path().join("wrong.json");
    fs::write(&wrong, r#"{"defaultAction": "ALLOW"}"#).unwrap();
    for (args, words, hint) in [
        (&["--would", "nosuch"][..], "no system call \"nosuch\"", "man 2 syscalls"),
        (
            &["--arch", "aarch64", "--would", "fork"],
            "no system call \"fork\"",
            "--arch",
        ),
        (&["--would", "read", "x"], "\"x\" is no number", "0x5412"),
        (&["/no/such/file"], "/no/such/file", "default profile"),
        (&[wrong.to_str().unwrap()], "unknown action \"ALLOW\"", "SCMP_ACT_ALLOW"),
    ] {
        let ran = show(args);
        ran.exits(125).assert_stderr_contains(words).assert_stderr_contains(hint);
    }
    show(&["--arch", "vax"]).exits(2).assert_stderr_contains("x86_64, i386, x32");
}
