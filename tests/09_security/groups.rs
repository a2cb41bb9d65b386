//! Groups that are added to those of the command's user.

use kiste_tests::host;

use crate::{root, sh, start};

#[test]
fn a_group_is_added_by_its_name_in_the_image_or_by_its_number() {
    let Some(fixture) = root() else { return };
    let group = fixture.rootfs().join("etc/group");
    std::fs::write(&group, "root:x:0:\nwww:x:33:\naudio:x:1800:\n").unwrap();
    let added = ["--group-add", "audio", "--group-add", "4242", "--group-add", "audio"];
    let running = start(&fixture, &[&added[..], &["-u", "1000:1000"]].concat());
    assert_eq!(host::status_field(running.pid, "Groups"), "1000 1800 4242");
    assert_eq!(host::status_field(running.pid, "Uid"), "1000\t1000\t1000\t1000");
    let running = start(&fixture, &added);
    assert_eq!(host::status_field(running.pid, "Groups"), "0 1800 4242");
    sh(&fixture, &["--group-add", "nosuch"], "true")
        .exits(125)
        .assert_stderr_contains("group \"nosuch\": not in /etc/group");
    for wrong in ["", "4294967295", "a:b"] {
        sh(&fixture, &["--group-add", wrong], "true").exits(2);
    }
}

#[test]
fn a_group_that_is_not_mapped_into_the_user_namespace_is_refused() {
    let Some(fixture) = root() else { return };
    let options = ["--uid-map", "0:600000:10", "--group-add", "11"];
    sh(&fixture, &options, "true")
        .exits(125)
        .assert_stderr_contains("group 11 is not mapped");
}
