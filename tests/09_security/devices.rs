//! Devices of the host that a container gets.

use crate::{any_user, root, sh};

#[test]
fn a_device_of_the_host_is_made_at_its_path_or_at_another() {
    let Some(fixture) = root() else { return };
    let options =
        ["--device", "/dev/zero:/dev/deep/zero", "--device", "/dev/null:/dev/other"];
    let script = "stat -c '%F %t:%T %a %u:%g' /dev/deep/zero /dev/other; head -c 3 /dev/deep/zero | wc -c";
    let device =
        "character special file 1:5 666 0:0\ncharacter special file 1:3 666 0:0\n3";
    for userns in [&[][..], &["--userns", "auto"]] {
        if !userns.is_empty() && sh(&fixture, userns, "true").lacks_idmapped_mounts() {
            return;
        }
        let ran = sh(&fixture, &[&options[..], userns].concat(), script);
        match userns.is_empty() {
            true => drop(ran.assert_stdout(device)),
            // Its owner is nobody of the user namespace.
            false => drop(ran.assert_stdout(&device.replace("0:0", "65534:65534"))),
        }
    }
    assert!(!fixture.rootfs().join("dev/deep").exists(), "/dev is a tmpfs");
}

/// /dev/fuse is no device of every container, and needs no capability.
#[test]
fn only_the_uses_that_are_allowed_are_possible() {
    let Some(fixture) = root() else { return };
    let run = |uses: &str, script: &str| {
        sh(&fixture, &["--device", &format!("/dev/fuse:/dev/mine{uses}")], script)
    };
    if !std::path::Path::new("/dev/fuse").exists() {
        kiste_tests::report_missing("dev-fuse", "the host has no /dev/fuse");
        return;
    }
    run(":rw", ": < /dev/mine && : >> /dev/mine").exits(0);
    run(":r", ": < /dev/mine").exits(0);
    run(":r", ": >> /dev/mine").exits(1).assert_stderr_contains("not permitted");
    run(":w", ": < /dev/mine").exits(1).assert_stderr_contains("not permitted");
    let mknod = "mknod /tmp/fuse c 10 229 && : < /tmp/fuse";
    // By the rules of the cgroup; or by nodev, where /tmp is mounted so.
    sh(&fixture, &[], mknod).exits(1).assert_stderr_contains("ermi");
}

#[test]
fn an_ordinary_user_may_pass_on_a_device_that_it_can_open() {
    let Some(user) = any_user() else { return };
    let options = ["--network", "none", "--device", "/dev/full:/dev/mine"];
    // /dev/full is always full.
    let ran = user.sh(&options, "stat -c %t:%T /dev/mine; echo > /dev/mine");
    assert_eq!(ran.exits(1).out, "1:7\n");
}

#[test]
fn a_device_that_is_not_there_or_is_none_is_an_error() {
    let Some(fixture) = root() else { return };
    let run = |device| sh(&fixture, &["--device", device], "true");
    run("/dev/nosuch").exits(125).assert_stderr_contains("stat(/dev/nosuch)");
    run("/etc/passwd").exits(125).assert_stderr_contains("not a device");
    for wrong in ["", "null", "/dev/null:x", "/dev/null:/x:q", "/dev/null:/../x"] {
        run(wrong).exits(2).assert_stderr_contains("HOST[:CONTAINER[:rwm]]");
    }
}
