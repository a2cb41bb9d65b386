//! An ordinary user gets the same protection.

use kiste_tests::host;

use crate::{SLEEP, any_user};

#[test]
fn a_container_of_an_ordinary_user_is_locked_down_too() {
    let Some(user) = any_user() else { return };
    for init in [&[][..], &["--init"]] {
        let running = user.start(&[&["--network", "none"], init].concat(), &SLEEP);
        let command = host::children(running.pid).first().copied();
        for pid in [Some(running.pid), command].into_iter().flatten() {
            let of = |field| host::status_field(pid, field);
            assert_eq!(of("CapEff"), "00000000a80425fb");
            assert_eq!(of("CapBnd"), "00000000a80425fb");
            assert_eq!(
                (of("CapInh").as_str(), of("CapAmb").as_str()),
                ("0000000000000000", "0000000000000000")
            );
            assert_eq!((of("Seccomp").as_str(), of("NoNewPrivs").as_str()), ("2", "0"));
        }
        let mount = host::mount_at(running.pid, "/proc/interrupts").unwrap();
        assert!(mount.contains("/null"), "{mount}");
        let mount = host::mount_at(running.pid, "/proc/sys").unwrap();
        assert!(mount.contains(" ro,"), "{mount}");
    }
    let none = ["--network", "none"];
    if user.sh(&none, "command -v mount").code != 0 {
        return kiste_tests::report_missing("mount", "it is not in the container");
    }
    user.sh(&none, "mount -t tmpfs none /mnt").exits(1);
    let all = [&none[..], &["--privileged"]].concat();
    user.sh(&all, "mount -t tmpfs none /mnt && [ -c /dev/null ]").exits(0);
}

#[test]
fn a_lower_oom_score_than_the_callers_is_refused_to_an_ordinary_user() {
    let Some(user) = any_user() else { return };
    let run = |score| {
        let options = ["--network", "none", "--oom-score-adj", score];
        user.sh(&options, "cat /proc/self/oom_score_adj")
    };
    run("-900")
        .exits(125)
        .assert_stderr_contains("oom_score_adj, -900")
        .assert_stderr_contains("needs CAP_SYS_RESOURCE");
    run("900").assert_stdout("900");
}

#[test]
fn an_ordinary_user_without_other_group_ids_cannot_add_a_group() {
    let Some(user) = any_user() else { return };
    let options = ["--network", "none", "--group-add", "0"];
    user.sh(&options, "true")
        .exits(125)
        .assert_stderr_contains("no group can be added in this user namespace");
}

#[test]
fn settings_of_its_own_namespaces_work_without_root() {
    let Some(user) = any_user() else { return };
    let options = [
        "--network",
        "none",
        "--sysctl",
        "net.ipv4.ip_forward=1",
        "--ulimit",
        "nofile=64",
    ];
    user.sh(&options, "cat /proc/sys/net/ipv4/ip_forward; ulimit -n")
        .assert_stdout("1\n64");
}
