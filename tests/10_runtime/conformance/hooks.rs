//! config.md, "POSIX-platform Hooks", and what runtime.md's "Lifecycle" says of them.

use std::fs;
use std::time::{Duration, Instant};

use kiste_tests::{eventually, host};
use serde_json::{Value, json};

use super::bundle::{Bundle, ID};
use super::state::assert_is_state;

/// The hooks in the order in which they are called.
const KINDS: [&str; 6] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];

/// A hook that appends a line to a file: `LABEL`, its mount, network and PID namespaces,
/// and the state that it reads from stdin.
///
/// The file is /hooks.log of the root file system, which hooks before pivot_root and
/// hooks on the host reach by the path on the host.
fn noting(bundle: &Bundle, kind: &str, label: &str) -> Value {
    let log = match kind {
        "startContainer" => "/hooks.log".into(),
        _ => bundle.rootfs().join("hooks.log"),
    };
    let script = format!(
        "state=$(cat); cd /proc/self/ns; \
         echo {label} $(readlink mnt) $(readlink net) $(readlink pid) $state >> {}",
        log.display()
    );
    json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] })
}

/// Adds a hook of this kind.
fn add(bundle: &mut Bundle, kind: &str, hook: Value) {
    if bundle.config.get("hooks").is_none() {
        bundle.config["hooks"] = json!({});
    }
    bundle.add(&format!("/hooks/{kind}"), hook);
}

/// Adds a noting hook of this kind with this label.
fn add_noting(bundle: &mut Bundle, kind: &str, label: &str) {
    let hook = noting(bundle, kind, label);
    add(bundle, kind, hook);
}

/// A line of the log.
struct Noted {
    label: String,
    mount: String,
    network: String,
    pid: String,
    state: Value,
}

fn noted(bundle: &Bundle) -> Vec<Noted> {
    let log = fs::read_to_string(bundle.rootfs().join("hooks.log")).unwrap_or_default();
    let noted = |line: &str| {
        let mut words = line.splitn(5, ' ').map(String::from);
        let mut next = || words.next().unwrap();
        Noted {
            label: next(),
            mount: next(),
            network: next(),
            pid: next(),
            state: serde_json::from_str(&next()).expect("the state is JSON"),
        }
    };
    log.lines().map(noted).collect()
}

fn labels(bundle: &Bundle) -> Vec<String> {
    noted(bundle).into_iter().map(|line| line.label).collect()
}

#[test]
fn hooks_are_called_in_order_each_at_its_time_with_its_state() {
    let Some(mut bundle) = Bundle::of_script("exec sleep 1000") else { return };
    for kind in KINDS {
        for number in [1, 2] {
            add_noting(&mut bundle, kind, &format!("{kind}{number}"));
        }
    }
    let expected = |kinds: &[&str]| -> Vec<String> {
        kinds
            .iter()
            .flat_map(|kind| [1, 2].map(|number| format!("{kind}{number}")))
            .collect()
    };
    bundle.created();
    if bundle.is_ours() {
        // runc 1.1 runs the poststart hooks in create, too.
        assert_eq!(labels(&bundle), expected(&KINDS[..3]), "by create");
    }
    bundle.call(&["start", ID]).exits(0);
    assert_eq!(labels(&bundle), expected(&KINDS[..5]), "by start");
    let pid = bundle.pid();
    bundle.call(&["kill", ID, "KILL"]).exits(0);
    bundle.wait_for("stopped");
    assert_eq!(labels(&bundle).len(), 10, "none by kill");
    bundle.call(&["delete", ID]).exits(0);
    assert_eq!(labels(&bundle), expected(&KINDS), "by delete");
    for line in noted(&bundle) {
        assert_is_state(&line.state, &bundle);
        let status = line.state["status"].as_str().unwrap();
        let possible: &[&str] = match &line.label[..line.label.len() - 1] {
            "prestart" | "createRuntime" | "createContainer" => {
                &["creating", "created"]
            }
            "startContainer" => &["created"],
            "poststart" => &["running"],
            _ => &["stopped"],
        };
        assert!(possible.contains(&status), "{}: {}", line.label, line.state);
        if ["prestart1", "createRuntime1", "poststart1"].contains(&line.label.as_str())
        {
            assert_eq!(line.state["pid"], pid, "{}", line.label);
        }
    }
}

#[test]
fn hooks_run_in_the_namespaces_of_the_runtime_or_of_the_container() {
    let Some(mut bundle) = Bundle::of_script("exec sleep 1000") else { return };
    for kind in KINDS {
        add_noting(&mut bundle, kind, kind);
    }
    bundle.started();
    let own = |kind: &str| host::namespace("self", kind);
    let of_container = |kind: &str| host::namespace(bundle.pid(), kind);
    let (mount, network) = (of_container("mnt"), of_container("net"));
    bundle.call(&["delete", "--force", ID]).exits(0);
    for line in noted(&bundle) {
        let label = &line.label;
        if label == "createContainer" || label == "startContainer" {
            assert_eq!((&line.mount, &line.network), (&mount, &network), "{label}");
        } else {
            assert_eq!((line.mount, line.network), (own("mnt"), own("net")), "{label}");
            assert_eq!(line.pid, own("pid"), "{label}");
        }
    }
    assert_eq!(noted(&bundle).len(), KINDS.len());
}

#[test]
fn create_container_hooks_see_the_mounts_and_run_before_pivot_root() {
    let Some(mut bundle) = Bundle::of_script("exec sleep 1000") else { return };
    bundle.add_mount("/mnt", "tmpfs", "tmpfs", &[]);
    let found = bundle.dir().join("found");
    let script =
        format!("cat > /dev/null; cat /proc/self/mountinfo > {}", found.display());
    add(
        &mut bundle,
        "createContainer",
        json!({ "path": "/bin/sh", "args": ["sh", "-c", script] }),
    );
    bundle.created();
    let mounts = fs::read_to_string(found).expect("the host's files are still there");
    let inside = format!("{}/mnt ", bundle.rootfs().display());
    assert!(mounts.contains(&inside), "{mounts}");
}

#[test]
fn start_container_hooks_run_before_the_program_and_are_found_in_the_container() {
    let Some(mut bundle) = Bundle::of_script("cat /marker; echo program") else {
        return;
    };
    super::bundle::write_script(
        bundle.rootfs().join("only-inside"),
        "#!/bin/sh\ncat > /dev/null; echo hook > /marker\n",
    );
    add(&mut bundle, "startContainer", json!({ "path": "/only-inside" }));
    bundle.started();
    assert_eq!(bundle.finish(), "hook\nprogram");
}

/// Prints what a process may do, and whether it has the descriptor 3.
const RIGHTS: &str = "grep -E '^(Uid|Groups|CapBnd|CapEff|CapPrm|NoNewPrivs|Seccomp):' \
                      /proc/self/status; [ -e /proc/self/fd/3 ]; echo 3: $?";

#[test]
fn a_start_container_hook_has_the_rights_of_the_program_but_not_its_descriptors() {
    let why = "runc 1.1 gives the hook the descriptors, too";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    bundle.set_script(RIGHTS);
    let script = format!("{{ {RIGHTS}; }} > /hook");
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] });
    add(&mut bundle, "startContainer", hook);
    fs::write(bundle.rootfs().join("hook"), "").unwrap();
    host::chown_recursive(&bundle.rootfs().join("hook"), 1000, 1000);
    bundle.config["process"]["user"] =
        json!({ "uid": 1000, "gid": 1000, "additionalGids": [7] });
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["reboot"], "action": "SCMP_ACT_ERRNO" }],
    });
    let passing = "exec 3< /dev/null; exec \"$@\"";
    bundle.starter = ["sh", "-c", passing, "sh"].map(String::from).into();
    let create_and_start = |bundle: &Bundle| {
        bundle.create_with(&["--preserve-fds", "1"]).exits(0);
        bundle.call(&["start", ID]).exits(0);
        let output = bundle.finish();
        bundle.call(&["delete", ID]).exits(0);
        output
    };
    let run = |bundle: &Bundle| {
        bundle.run_with(&["--preserve-fds", "1"]).exits(0).out.clone()
    };
    for output in [create_and_start(&bundle), run(&bundle)] {
        let program = output.trim();
        assert!(program.contains("NoNewPrivs:\t1\nSeccomp:\t2"), "{program}");
        assert!(program.ends_with("3: 0"), "the program has it: {program}");
        let hook = fs::read_to_string(bundle.rootfs().join("hook")).unwrap();
        assert_eq!(hook.trim(), program.replace("3: 0", "3: 1"));
    }
}

#[test]
fn a_hook_has_exactly_its_arguments_and_environment() {
    let Some(mut bundle) = Bundle::of_script("true") else { return };
    let out = bundle.dir().join("words");
    let script = format!(
        "cat > /dev/null; cat /proc/$$/cmdline /proc/$$/environ > {}",
        out.display()
    );
    add(
        &mut bundle,
        "createRuntime",
        json!({
            "path": "/bin/sh",
            "args": ["its-name", "-c", script, "", "a b"],
            "env": ["A=1", "PATH=/bin:/usr/bin"],
        }),
    );
    bundle.created();
    let found = fs::read_to_string(out).unwrap();
    let expected = ["its-name", "-c", &script, "", "a b", "A=1", "PATH=/bin:/usr/bin"];
    assert_eq!(found, expected.map(|word| format!("{word}\0")).concat());
}

/// Asserts that the container is gone after a hook of this kind has failed, and that
/// its poststop hooks were called.
#[track_caller]
fn assert_failure_destroys(kind: &str) {
    let Some(mut bundle) = Bundle::of_script("echo program; exec sleep 1000") else {
        return;
    };
    let failing =
        if kind == "startContainer" { "/bin/false" } else { "/usr/bin/false" };
    add(&mut bundle, kind, json!({ "path": failing }));
    add_noting(&mut bundle, kind, "after-the-failure");
    add_noting(&mut bundle, "poststop", "poststop");
    let created = bundle.create();
    let failed = match created.code {
        0 => bundle.call(&["start", ID]),
        _ => created,
    };
    bundle.assert_refused(&failed);
    if kind != "poststart" {
        assert_eq!(bundle.output(), "", "the program has not run");
    }
    if bundle.is_ours() {
        bundle.assert_nothing_left();
        assert_eq!(labels(&bundle), ["poststop"]);
    }
}

#[test]
fn a_failing_prestart_hook_destroys_the_container() {
    assert_failure_destroys("prestart");
}

#[test]
fn a_failing_create_runtime_hook_destroys_the_container() {
    assert_failure_destroys("createRuntime");
}

#[test]
fn a_failing_create_container_hook_destroys_the_container() {
    assert_failure_destroys("createContainer");
}

#[test]
fn a_failing_start_container_hook_destroys_the_container() {
    let why = "start of runc does not wait for the hook";
    if Bundle::of_ours(why).is_none() {
        return;
    }
    assert_failure_destroys("startContainer");
}

#[test]
fn a_failing_poststart_hook_destroys_the_container() {
    assert_failure_destroys("poststart");
}

#[test]
fn a_failing_poststop_hook_is_a_warning_and_the_others_are_called() {
    let why = "runc 1.1 does not call the others";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    add(&mut bundle, "poststop", json!({ "path": "/usr/bin/false" }));
    add(&mut bundle, "poststop", json!({ "path": "/nonexistent/hook" }));
    add_noting(&mut bundle, "poststop", "after-the-failure");
    bundle.started();
    bundle.finish();
    let ran = bundle.call(&["delete", ID]);
    ran.exits(0);
    assert!(!ran.err.is_empty(), "a warning");
    assert_eq!(labels(&bundle), ["after-the-failure"]);
    bundle.assert_nothing_left();
}

#[test]
fn a_hook_that_takes_longer_than_its_timeout_is_aborted() {
    let Some(mut bundle) = Bundle::of_script("true") else { return };
    let hook =
        json!({ "path": "/usr/bin/sleep", "args": ["sleep", "600"], "timeout": 1 });
    add(&mut bundle, "createRuntime", hook);
    let begin = Instant::now();
    bundle.assert_refused(&bundle.create());
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    let sleeps = || host::processes_at(bundle.dir());
    assert!(
        eventually(|| sleeps().is_empty().then_some(())).is_some(),
        "{:?}",
        sleeps()
    );
}

#[test]
fn a_hook_with_a_relative_path_or_a_timeout_of_zero_is_refused() {
    let Some(mut bundle) = Bundle::of_script("true") else { return };
    let mut wrong = vec![json!({ "path": "bin/true" }), json!({ "path": "true" })];
    if bundle.is_ours() {
        // runc 1.1 takes it for no timeout.
        wrong.push(json!({ "path": "/usr/bin/true", "timeout": 0 }));
        wrong.push(json!({ "path": "/usr/bin/true", "timeout": -1 }));
        wrong.push(json!({ "args": ["true"] }));
    }
    for hook in wrong {
        bundle.config["hooks"] = json!({ "createRuntime": [hook] });
        bundle.assert_config_refused();
    }
}
