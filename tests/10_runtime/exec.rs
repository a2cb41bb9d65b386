//! `exec`: a further process in a container.

use std::fs;

use kiste_tests::eventually;
use serde_json::json;

use crate::conformance::bundle::{Bundle, ID};

/// Returns a container that runs until it is killed.
fn running() -> Option<Bundle> {
    let bundle = Bundle::of_script("exec sleep 1000")?;
    bundle.started();
    Some(bundle)
}

#[test]
fn an_exec_is_in_all_namespaces_of_the_container_and_in_its_cgroup() {
    let Some(bundle) = running() else { return };
    let pid = bundle.pid();
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
        let own = fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        let path = format!("/proc/self/ns/{kind}");
        let ran = bundle.exec(&[], &["readlink", &path]);
        ran.assert_stdout(own.to_str().unwrap());
    }
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let file = bundle.dir().join("pid");
    let options = ["--detach", "--pid-file", file.to_str().unwrap()];
    bundle.exec(&options, &["sleep", "1000"]).exits(0);
    let pid: i32 = fs::read_to_string(file).unwrap().parse().expect("no end of line");
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap(), cgroups);
}

#[test]
fn an_exec_ends_with_the_exit_code_of_its_command() {
    let Some(bundle) = running() else { return };
    bundle.exec(&[], &["sh", "-c", "echo out; echo err >&2; exit 7"]).exits(7);
    bundle.exec(&[], &["sh", "-c", "kill -9 $$"]).exits(137);
    let ran = bundle.exec(&[], &["no-such-command"]);
    ran.exits(127).assert_stderr_contains("executable file not found in $PATH");
    bundle.exec(&[], &["/etc/passwd"]).exits(126);
}

#[test]
fn an_exec_inherits_no_descriptor_of_the_runtime() {
    let Some(bundle) = running() else { return };
    let script = "for fd in /proc/self/fd/*; do echo ${fd##*/}; done";
    let ran = bundle.exec(&[], &["sh", "-c", script]);
    ran.exits(0);
    let numbers: Vec<i32> = ran.out.split_whitespace().flat_map(str::parse).collect();
    // The shell itself has the directory open.
    let own: Vec<_> = numbers.iter().filter(|number| **number > 3).collect();
    assert!(own.is_empty(), "{}", ran.out);
}

#[test]
fn a_user_is_what_was_asked_for_and_a_malformed_one_is_refused() {
    let Some(bundle) = running() else { return };
    let script = "id -u; id -g; grep CapEff /proc/self/status";
    let ran = bundle.exec(&["--user", "1000:7"], &["sh", "-c", script]);
    ran.assert_stdout("1000\n7\nCapEff:\t0000000000000000");
    for user in
        ["root", "0x0", "-1", "+0", "0:", ":0", "0:root", "4294967295", " 0", ""]
    {
        let option = format!("--user={user}");
        let ran = bundle.exec(&[&option], &["id"]);
        assert!(ran.code != 0 && ran.out.is_empty(), "{user:?}: {ran:?}");
    }
}

#[test]
fn cap_adds_a_capability_and_nothing_becomes_inheritable() {
    let Some(bundle) = running() else { return };
    let words = ["grep", "-E", "Cap(Inh|Eff|Bnd|Amb)", "/proc/self/status"];
    let sets = |options: &[&str]| {
        let ran = bundle.exec(options, &words);
        ran.exits(0);
        let value =
            |line: &str| u64::from_str_radix(line.rsplit('\t').next()?, 16).ok();
        ran.out.lines().flat_map(value).collect::<Vec<_>>()
    };
    let (without, with) = (sets(&[]), sets(&["--cap", "CAP_NET_ADMIN"]));
    let net_admin = 1 << 12;
    let [inheritable, effective, bounding, ambient] = without[..] else { panic!() };
    assert_eq!((inheritable, ambient, effective & net_admin), (0, 0, 0));
    assert_eq!(with, [0, effective | net_admin, bounding | net_admin, 0]);
    assert_ne!(bundle.exec(&["--cap", "NO_SUCH"], &["true"]).code, 0);
}

#[test]
fn a_process_file_says_everything() {
    let Some(bundle) = running() else { return };
    let file = bundle.dir().join("process.json");
    let process = json!({
        "args": ["sh", "-c", "id -u; pwd; echo $NAME; umask; grep NoNewPrivs /proc/self/status"],
        "cwd": "/etc", "env": ["PATH=/usr/bin:/bin", "NAME=value"],
        "user": {"uid": 5, "gid": 5, "umask": 63}, "noNewPrivileges": true,
    });
    fs::write(&file, process.to_string()).unwrap();
    let ran = bundle.call(&["exec", "--process", file.to_str().unwrap(), ID]);
    ran.assert_stdout("5\n/etc\nvalue\n0077\nNoNewPrivs:\t1");
}

#[test]
fn an_exec_in_a_stopped_container_is_refused() {
    let Some(bundle) = running() else { return };
    bundle.call(&["kill", ID, "KILL"]).exits(0);
    bundle.wait_for("stopped");
    let ran = bundle.exec(&[], &["true"]);
    bundle.assert_refused(&ran);
    ran.assert_stderr_contains("container not running");
}

#[test]
fn an_exec_in_a_paused_container_is_refused_unless_it_may_wait() {
    let Some(bundle) = running() else { return };
    bundle.call(&["pause", ID]).exits(0);
    let ran = bundle.exec(&[], &["true"]);
    ran.assert_stderr_contains("paused");
    assert_ne!(ran.code, 0);
    let words = ["exec", "--ignore-paused", ID, "echo", "ran"];
    let mut waiting = bundle.spawn("waiting", &words);
    bundle.call(&["resume", ID]).exits(0);
    let status = eventually(|| waiting.try_wait().unwrap()).expect("it ends");
    bundle.printed("waiting", status.code().unwrap()).assert_stdout("ran");
}

#[test]
fn an_exec_does_not_outlive_its_container() {
    let Some(bundle) = running() else { return };
    let mut exec = bundle.spawn("exec", &["exec", ID, "sleep", "1000"]);
    let sleeping = || {
        let ran = bundle.exec(&[], &["sh", "-c", "cat /proc/[0-9]*/comm"]);
        ran.out.lines().filter(|name| *name == "sleep").count()
    };
    assert!(eventually(|| (sleeping() >= 2).then_some(())).is_some());
    bundle.call(&["kill", ID, "KILL"]).exits(0);
    let status = eventually(|| exec.try_wait().unwrap()).expect("it ends");
    assert_eq!(status.code(), Some(137));
}
