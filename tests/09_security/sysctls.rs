//! Settings of the container's own namespaces.

use crate::{root, sh};

#[test]
fn a_setting_of_an_own_namespace_is_written_and_then_read_only() {
    let Some(fixture) = root() else { return };
    let host = std::fs::read_to_string("/proc/sys/kernel/msgmax").unwrap();
    let options = [
        "--sysctl",
        "net.core.somaxconn=77",
        "--sysctl",
        "kernel.msgmax=12345",
        "--sysctl",
        "net/ipv4/ip_forward=1",
    ];
    let script = "cd /proc/sys; cat net/core/somaxconn kernel/msgmax net/ipv4/ip_forward; \
                  echo 1 > kernel/msgmax";
    let ran = sh(&fixture, &options, script);
    assert_eq!(ran.exits(1).out, "77\n12345\n1\n");
    ran.assert_stderr_contains("Read-only file system");
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/msgmax").unwrap(), host);
}

#[test]
fn a_setting_of_the_whole_host_is_refused_before_anything_is_made() {
    let Some(fixture) = root() else { return };
    for (setting, why) in [
        ("vm.swappiness=1", "belongs to the whole host"),
        ("kernel.core_pattern=|/x", "belongs to the whole host"),
        ("kernel/modprobe=/x", "belongs to the whole host"),
        ("kernel.hostname=x", "--hostname"),
    ] {
        let ran = sh(&fixture, &["--sysctl", setting], "true");
        ran.exits(125).assert_stderr_contains(why);
    }
    let options = ["--network", "host", "--sysctl", "net.ipv4.ip_forward=1"];
    fixture
        .run(&options, &["true"])
        .exits(125)
        .assert_stderr_contains("network namespace, which is the host's");
    for wrong in ["net.core", "net.core.somaxconn", "net/../kernel/x=1", "x=1"] {
        sh(&fixture, &["--sysctl", wrong], "true").exits(2);
    }
}

#[test]
fn a_setting_or_a_value_that_the_kernel_does_not_have_is_an_error() {
    let Some(fixture) = root() else { return };
    sh(&fixture, &["--sysctl", "net.core.nosuch=1"], "true")
        .exits(125)
        .assert_stderr_contains("write(net.core.nosuch=1)")
        .assert_stderr_contains("no such setting");
    sh(&fixture, &["--sysctl", "net.core.somaxconn=many"], "true")
        .exits(125)
        .assert_stderr_contains("does not accept this value");
}
