//! Every option of a mount, by the kernel's own table of mounts.

use super::{Bundle, mounted};
use crate::files::fixture_with_source;
use crate::fixture;

const MOUNTINFO: &str = "cat /proc/self/mountinfo";

/// Options of a new file system, and the options that the kernel shows.
const OF_A_NEW_ONE: [(&[&str], &str); 21] = [
    (&[], "rw,relatime"),
    (&["defaults"], "rw,relatime"),
    (&["ro"], "ro,relatime"),
    (&["ro", "rw"], "rw,relatime"),
    (&["nosuid"], "rw,nosuid,relatime"),
    (&["nosuid", "suid"], "rw,relatime"),
    (&["nodev"], "rw,nodev,relatime"),
    (&["nodev", "dev"], "rw,relatime"),
    (&["noexec"], "rw,noexec,relatime"),
    (&["noexec", "exec"], "rw,relatime"),
    (&["nosymfollow"], "rw,relatime,nosymfollow"),
    (&["nosymfollow", "symfollow"], "rw,relatime"),
    (&["noatime"], "rw,noatime"),
    (&["noatime", "atime"], "rw,relatime"),
    (&["strictatime"], "rw"),
    (&["strictatime", "nostrictatime"], "rw,relatime"),
    (&["noatime", "relatime"], "rw,relatime"),
    (&["relatime", "norelatime"], "rw,relatime"),
    (&["nodiratime"], "rw,nodiratime,relatime"),
    (&["nodiratime", "diratime"], "rw,relatime"),
    (&["rro", "rnosuid", "rnoexec"], "ro,nosuid,noexec,relatime"),
];

#[test]
fn a_new_file_system_has_the_attributes_of_its_options() {
    let Some(fixture) = fixture() else { return };
    let mut bundle = Bundle::new(&fixture);
    for (number, (options, _)) in OF_A_NEW_ONE.iter().enumerate() {
        bundle = bundle.mount("tmpfs", "tmpfs", &format!("/t{number}"), options);
    }
    let ran = bundle.run(MOUNTINFO);
    ran.exits(0);
    for (number, (options, shown)) in OF_A_NEW_ONE.iter().enumerate() {
        let mount = mounted(&ran.out, &format!("/t{number}")).unwrap();
        assert_eq!(mount.options, *shown, "{options:?}");
    }
}

#[test]
fn options_of_the_file_system_itself_are_set_on_it() {
    let Some(fixture) = fixture() else { return };
    let cases: [(&[&str], &[&str], &[&str]); 6] = [
        (&["sync"], &["sync"], &[]),
        (&["sync", "async"], &[], &["sync"]),
        (&["dirsync"], &["dirsync"], &[]),
        (&["lazytime"], &["lazytime"], &[]),
        (&["lazytime", "nolazytime"], &[], &["lazytime"]),
        (&["silent", "loud", "nomand", "noiversion", "noacl"], &[], &["silent"]),
    ];
    let mut bundle = Bundle::new(&fixture);
    for (number, (options, ..)) in cases.iter().enumerate() {
        bundle = bundle.mount("tmpfs", "tmpfs", &format!("/t{number}"), options);
    }
    let ran = bundle.run(MOUNTINFO);
    ran.exits(0);
    for (number, (options, present, absent)) in cases.iter().enumerate() {
        let mount = mounted(&ran.out, &format!("/t{number}")).unwrap();
        let has = |option: &&str| mount.superblock.split(',').any(|it| it == *option);
        assert!(present.iter().all(has), "{options:?}: {mount:?}");
        assert!(!absent.iter().any(has), "{options:?}: {mount:?}");
    }
}

#[test]
fn flags_that_only_the_old_call_has_go_with_the_other_options() {
    let Some(fixture) = fixture() else { return };
    let options = ["iversion", "acl", "nosuid", "noatime", "ro", "sync", "size=64k"];
    let ran = Bundle::new(&fixture)
        .mount("tmpfs", "word", "/t", &options)
        .mount("tmpfs", "word", "/t/below", &["size=8k"])
        .run(MOUNTINFO);
    // Nothing can be made in it, as it is read-only from the start.
    assert_ne!(ran.code, 0);
    let ran =
        Bundle::new(&fixture).mount("tmpfs", "word", "/t", &options).run(MOUNTINFO);
    let mount = mounted(&ran.exits(0).out, "/t").unwrap();
    assert_eq!(mount.options, "ro,nosuid,noatime");
    assert_eq!(mount.source, "word");
    for option in ["sync", "size=64k"] {
        assert!(mount.superblock.split(',').any(|it| it == option), "{mount:?}");
    }
}

#[test]
fn a_bind_mount_keeps_the_attributes_that_no_option_names() {
    let Some((fixture, source)) = fixture_with_source() else { return };
    let on_host = format!(
        "mount -t tmpfs -o nosuid,nodev,noatime source {} && eval \"$RUN\"",
        source.display()
    );
    let cases: [(&[&str], &str); 7] = [
        (&["bind"], "rw,nosuid,nodev,noatime"),
        (&["bind", "ro"], "ro,nosuid,nodev,noatime"),
        (&["bind", "suid"], "rw,nodev,noatime"),
        (&["bind", "dev", "noexec"], "rw,nosuid,noexec,noatime"),
        (&["bind", "atime"], "rw,nosuid,nodev,relatime"),
        (&["bind", "strictatime", "nosymfollow"], "rw,nosuid,nodev,nosymfollow"),
        // They are no options of a mount, and runc ignores them as well.
        (&["bind", "sync", "size=1m", "z"], "rw,nosuid,nodev,noatime"),
    ];
    let mut bundle = Bundle::new(&fixture);
    for (number, (options, _)) in cases.iter().enumerate() {
        bundle = bundle.mount("none", &source, &format!("/b{number}"), options);
    }
    let ran = bundle.run_in_mount_namespace(&on_host, MOUNTINFO);
    ran.exits(0);
    for (number, (options, shown)) in cases.iter().enumerate() {
        let mount = mounted(&ran.out, &format!("/b{number}")).unwrap();
        assert_eq!(mount.options, *shown, "{options:?}");
    }
}

#[test]
fn only_the_recursive_options_reach_the_mounts_below() {
    let Some((fixture, source)) = fixture_with_source() else { return };
    let on_host = format!(
        "mount -t tmpfs source {0} && mkdir {0}/below && \
         mount -t tmpfs -o nodev below {0}/below && eval \"$RUN\"",
        source.display()
    );
    let cases: [(&[&str], &str, &str); 7] = [
        (&["rbind", "ro"], "ro,relatime", "rw,nodev,relatime"),
        (&["rbind", "rro"], "ro,relatime", "ro,nodev,relatime"),
        (&["rbind", "ro", "rrw"], "rw,relatime", "rw,nodev,relatime"),
        (
            &["rbind", "rnosuid", "rnoexec", "rdev"],
            "rw,nosuid,noexec,relatime",
            "rw,nosuid,noexec,relatime",
        ),
        (&["rbind", "rnoatime"], "rw,noatime", "rw,nodev,noatime"),
        (&["rbind", "rstrictatime"], "rw", "rw,nodev"),
        (
            &["rbind", "rnodiratime", "rnosymfollow"],
            "rw,nodiratime,relatime,nosymfollow",
            "rw,nodev,nodiratime,relatime,nosymfollow",
        ),
    ];
    let mut bundle = Bundle::new(&fixture);
    for (number, (options, ..)) in cases.iter().enumerate() {
        bundle = bundle.mount("none", &source, &format!("/b{number}"), options);
    }
    let ran = bundle.run_in_mount_namespace(&on_host, MOUNTINFO);
    ran.exits(0);
    for (number, (options, top, below)) in cases.iter().enumerate() {
        let mount = mounted(&ran.out, &format!("/b{number}")).unwrap();
        assert_eq!(mount.options, *top, "{options:?}");
        let mount = mounted(&ran.out, &format!("/b{number}/below")).unwrap();
        assert_eq!(mount.options, *below, "{options:?}, below");
    }
}

#[test]
fn a_user_namespace_keeps_the_locked_attributes_of_a_source() {
    let Some((fixture, source)) = fixture_with_source() else { return };
    let on_host = format!(
        "mount -t tmpfs -o ro,nosuid,nodev,noexec source {} && eval \"$RUN\"",
        source.display()
    );
    let bundle = |options: &[&str]| {
        Bundle::new(&fixture)
            .in_user_namespace(100_000)
            .mount("none", &source, "/b", options)
    };
    for options in [&["bind"][..], &["bind", "rw"], &["bind", "ro", "nosuid"]] {
        let ran = bundle(options).run_in_mount_namespace(&on_host, MOUNTINFO);
        let mount = mounted(&ran.exits(0).out, "/b").unwrap();
        assert_eq!(mount.options, "ro,nosuid,nodev,noexec,relatime", "{options:?}");
    }
    let ran = bundle(&["bind", "exec"]).run_in_mount_namespace(&on_host, MOUNTINFO);
    assert_ne!(ran.code, 0, "a locked attribute is cleared: {}", ran.out);
    ran.assert_stderr_contains("EPERM").assert_stderr_contains("hint:");
}

#[test]
fn remount_changes_a_mount_that_is_there() {
    let Some(fixture) = fixture() else { return };
    let ran = Bundle::new(&fixture)
        .mount("tmpfs", "tmpfs", "/t", &["size=64k"])
        .mount("tmpfs", "tmpfs", "/t", &["remount", "size=128k", "noexec"])
        .mount("none", "none", "/t", &["bind", "remount", "ro"])
        .run(MOUNTINFO);
    let mount = mounted(&ran.exits(0).out, "/t").unwrap();
    assert_eq!(mount.options, "ro,noexec,relatime");
    assert!(mount.superblock.contains("size=128k"), "{mount:?}");
    assert_eq!(ran.out.matches(" /t ").count(), 1);
}
