//! `--privileged` takes nothing away.

use kiste_tests::host;

use crate::{root, sh, start};

#[test]
fn a_privileged_container_has_all_capabilities_and_devices_and_no_filter() {
    let Some(fixture) = root() else { return };
    let running = start(&fixture, &["--privileged"]);
    let of = |pid: &str, field| host::status_field(pid, field);
    let pid = running.pid.to_string();
    assert_eq!(of(&pid, "CapEff"), of("self", "CapPrm"));
    assert_eq!((of(&pid, "Seccomp"), of(&pid, "NoNewPrivs")), ("0".into(), "0".into()));
    let sys = host::mount_at(running.pid, "/sys").unwrap();
    assert!(sys.split(' ').nth(5).unwrap().starts_with("rw,"), "{sys}");
    for masked in ["/proc/interrupts", "/proc/sys", "/sys/firmware"] {
        assert_eq!(host::mount_at(running.pid, masked), None);
    }
    let script = "[ -c /dev/kmsg ] && [ -c /dev/pts/ptmx ] && mount -t tmpfs none /mnt && wc -l < /proc/interrupts";
    let lines = sh(&fixture, &["--privileged"], script).exits(0).out.clone();
    assert_ne!(lines.trim(), "0");
}

#[test]
fn another_option_still_takes_away_what_it_says() {
    let Some(fixture) = root() else { return };
    let dropped = ["--privileged", "--cap-drop", "ALL", "--cap-add", "KILL"];
    let running = start(&fixture, &dropped);
    assert_eq!(host::status_field(running.pid, "CapEff"), "0000000000000020");
    let filtered = ["--privileged", "--security-opt", "seccomp=builtin"];
    assert_eq!(host::status_field(start(&fixture, &filtered).pid, "Seccomp"), "2");
}
