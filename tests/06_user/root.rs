//! Containers that root starts. They have the host's ids, or, with `--userns auto`, ids
//! that no user of the host has.

use std::fs;
use std::path::Path;

use kiste_tests::{Fixture, host, require_tool};

use crate::kernel::{self, ids, map, owner};
use crate::{root, root_with_idmapped_mounts, this_step};

const SLEEP: [&str; 2] = ["sleep", "100"];

/// Returns the first host id of a container that root started with `--userns auto`.
#[track_caller]
fn first_host_id(pid: i32) -> u32 {
    let uids = map(pid, "uid");
    let numbers: Vec<u32> =
        uids.split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert_eq!((numbers.len(), numbers[0], numbers[2]), (3, 0, 65536), "{uids}");
    assert_eq!(map(pid, "gid"), uids);
    numbers[1]
}

#[test]
fn without_an_option_the_container_has_the_hosts_ids() {
    let Some(fixture) = root() else { return };
    for options in [&[][..], &["--userns", "host"]] {
        let running = fixture.start(options, &SLEEP);
        assert_eq!(
            host::namespace(running.pid, "user"),
            host::namespace("self", "user")
        );
        assert_eq!(ids(running.pid, "Uid"), [0; 4]);
        assert_eq!(
            host::status_field(running.pid, "CapEff"),
            host::status_field("self", "CapEff")
        );
    }
    fixture.sh(&[], "touch /made").exits(0);
    assert_eq!(owner(&fixture.rootfs().join("made")), (0, 0));
}

#[test]
fn with_userns_auto_root_inside_is_no_user_of_the_host() {
    let Some(fixture) = root_with_idmapped_mounts() else { return };
    let (one, other) = (
        fixture.start(&["--userns", "auto"], &SLEEP),
        fixture.start(&["--userns", "auto"], &SLEEP),
    );
    let firsts = [&one, &other].map(|running| {
        let first = first_host_id(running.pid);
        assert!(
            (524_288..1_879_048_192 - 65535).contains(&first)
                && first.is_multiple_of(65536),
            "{first}"
        );
        assert_eq!(ids(running.pid, "Uid"), [first; 4]);
        assert_eq!(ids(running.pid, "Gid"), [first; 4]);
        assert_eq!(kernel::setgroups(running.pid), "allow");
        assert_eq!(
            host::status_field(running.pid, "Groups"),
            first.to_string(),
            "the container has no group of the caller"
        );
        assert_ne!(
            host::namespace(running.pid, "user"),
            host::namespace("self", "user")
        );
        first
    });
    assert_ne!(firsts[0], firsts[1]);
}

/// Here another container has noted all ids but the last 65536.
#[test]
fn ids_that_another_container_has_are_not_taken() {
    let Some(fixture) = root_with_idmapped_mounts() else { return };
    let other = fixture.run_dirs().join("0123456789ab");
    fs::create_dir_all(&other).unwrap();
    let lock = fs::File::open(&other).unwrap();
    lock.lock().unwrap();
    let last = 1_879_048_192 - 65_536;
    fs::write(other.join("ids"), format!("524288 {}\n", last - 524_288)).unwrap();
    let auto = ["--userns", "auto"];
    let running = fixture.start(&auto, &SLEEP);
    assert_eq!(first_host_id(running.pid), last);
    fixture
        .run(&auto, &["true"])
        .exits(125)
        .assert_stderr_contains("leave no 65536 ids");
    fixture.run(&["--uid-map", "0:600000:10"], &["true"]).exits(0);
    drop(running);
    assert_eq!(
        first_host_id(fixture.start(&auto, &SLEEP).pid),
        last,
        "the ids are free again"
    );
    fs::remove_dir_all(other).unwrap();
}

#[test]
fn files_keep_their_owners_inside_and_on_the_disk() {
    let Some(fixture) = root_with_idmapped_mounts() else { return };
    let of_user = fixture.rootfs().join("of-user");
    fs::write(&of_user, "").unwrap();
    std::os::unix::fs::chown(&of_user, Some(1000), Some(1001)).unwrap();
    let script = "stat -c %u:%g / /etc/passwd /of-user; touch /made /given; chown 33:34 /given; stat -c %u:%g /made /given";
    fixture
        .sh(&["--userns", "auto"], script)
        .assert_stdout("0:0\n0:0\n1000:1001\n0:0\n33:34");
    assert_eq!(owner(&fixture.rootfs().join("made")), (0, 0));
    assert_eq!(owner(&fixture.rootfs().join("given")), (33, 34));
    assert_eq!(owner(&of_user), (1000, 1001));
    fixture
        .sh(&["--userns", "auto", "-u", "1000:1001"], "echo mine > /of-user")
        .exits(0);
    assert_eq!(
        (fs::read_to_string(&of_user).unwrap().as_str(), owner(&of_user)),
        ("mine\n", (1000, 1001))
    );
}

#[test]
fn with_userns_auto_a_user_inside_has_one_of_the_containers_ids() {
    let Some(fixture) = root_with_idmapped_mounts() else { return };
    let running = fixture.start(&["--userns", "auto", "-u", "1000:1001"], &SLEEP);
    let first = first_host_id(running.pid);
    assert_eq!(ids(running.pid, "Uid"), [first + 1000; 4]);
    assert_eq!(ids(running.pid, "Gid"), [first + 1001; 4]);
    assert_eq!(host::status_field(running.pid, "CapEff"), "0000000000000000");
}

/// A volume is not idmapped, so its owner, the host's root, has no id inside.
#[test]
fn the_owners_of_a_volume_are_not_mapped() {
    let Some(fixture) = root_with_idmapped_mounts() else { return };
    let source = fixture.dir().join("source");
    fs::create_dir(&source).unwrap();
    let volume = format!("{}:/mnt", source.display());
    let ran = fixture
        .sh(&["--userns", "auto", "-v", &volume], "stat -c %u /mnt; touch /mnt/made");
    assert_ne!(ran.code, 0);
    assert_eq!(ran.out, "65534\n");
    assert_eq!(fs::read_dir(&source).unwrap().count(), 0);
}

#[test]
fn calls_that_need_the_hosts_root_are_refused() {
    let Some(fixture) = root_with_idmapped_mounts() else { return };
    for script in [
        "mknod /tmp/disk b 8 0",
        "echo 1 > /proc/sys/vm/drop_caches",
        "mount -o remount,rw /sys",
    ] {
        let ran = fixture.sh(&["--userns", "auto"], script);
        assert_ne!(ran.code, 0, "{script}: {ran:?}");
    }
}

/// The root file system is also idmapped with these options.
#[test]
fn the_other_options_work_with_userns_auto() {
    let Some(fixture) = root_with_idmapped_mounts() else { return };
    let auto = ["--userns", "auto"];
    let script = "touch /made 2>/dev/null || echo read-only; touch /tmp/made && echo written; tty; echo > $(tty)";
    let options = [
        &auto[..],
        &["--read-only", "--tmpfs", "/tmp", "-t", "--init", "--hostname", "h"],
    ]
    .concat();
    fixture.sh(&options, script).assert_stdout("read-only\r\nwritten\r\n/dev/pts/0");
    let options =
        [&auto[..], &["--propagation", "shared", "-w", "/usr", "-e", "A=1"]].concat();
    fixture
        .sh(&options, "echo $PWD $A; grep -c shared: /proc/self/mountinfo > /dev/null && echo shared")
        .assert_stdout("/usr 1\nshared");
    fixture.run(&auto, &["nosuch"]).exits(127);
    fixture.run(&auto, &["/etc/passwd"]).exits(126);
    fixture
        .run(&[&auto[..], &["--rootfs", "/nonexistent"]].concat(), &["true"])
        .exits(125)
        .assert_stderr_contains("ENOENT");
}

#[test]
fn a_limit_holds_with_userns_auto() {
    if !this_step().has(&["cgroup-memory", "cgroup-pids"]) {
        return;
    }
    let Some(fixture) = root_with_idmapped_mounts() else { return };
    let running =
        fixture.start(&["--userns", "auto", "-m", "32m", "--pids-limit", "20"], &SLEEP);
    let memory = ["memory.max", "memory.limit_in_bytes"]
        .map(|file| host::cgroup_value(running.pid, file));
    assert!(memory.contains(&Some("33554432".into())), "{memory:?}");
    assert_eq!(host::cgroup_value(running.pid, "pids.max").unwrap(), "20");
    drop(running);
    let hog = ["dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1"];
    fixture
        .run(&["--userns", "auto", "-m", "32m"], &hog)
        .exits(137)
        .assert_stderr_contains("out of memory (limit 32MiB");
}

/// Returns a command line that runs a program in a new mount namespace with this
/// /etc/subuid.
fn with_subuid_file(fixture: &Fixture, subuid: &str) -> Vec<String> {
    let file = fixture.dir().join("subuid");
    fs::write(&file, subuid).unwrap();
    let script = format!("mount --bind {} /etc/subuid && exec \"$@\"", file.display());
    ["unshare", "--mount", "--propagation", "private", "sh", "-c", &script, "sh"]
        .map(String::from)
        .to_vec()
}

#[test]
fn userns_auto_does_not_take_the_subordinate_ids_of_users() {
    if !require_tool("mount") {
        return;
    }
    let Some(fixture) = root_with_idmapped_mounts() else { return };
    if !Path::new("/etc/subuid").exists() {
        kiste_tests::report_missing(
            "subuid",
            "there is no /etc/subuid to mount another on",
        );
        return;
    }
    let script = "cat /proc/self/uid_map";
    // Users have all ids but the last 65536. Some lines are malformed.
    let all_but_one = "alice:524288:1000000000\nbob:1000524288:878458368\n# x\n:::\nc:4294967295:4294967295\n";
    let starter = with_subuid_file(&fixture, all_but_one);
    let starter: Vec<_> = starter.iter().map(String::as_str).collect();
    let ran = fixture.run_under(&starter, &["--userns", "auto"], &["sh", "-c", script]);
    assert_eq!(kernel::tidy(&ran.exits(0).out), "0 1878982656 65536");

    let starter = with_subuid_file(
        &fixture,
        "alice:524288:1000000000\nbob:1000524288:878523904\n",
    );
    let starter: Vec<_> = starter.iter().map(String::as_str).collect();
    let ran = fixture.run_under(&starter, &["--userns", "auto"], &["sh", "-c", script]);
    ran.exits(125).assert_stderr_contains("leave no 65536 ids");
    assert_eq!(ran.out, "");
}

/// A device node of the image belongs to root on the disk, so the container's root
/// would own it.
#[test]
fn with_userns_auto_no_device_of_the_image_can_be_opened() {
    let Some(fixture) = root_with_idmapped_mounts() else { return };
    let zero = fixture.rootfs().join("zero");
    let (kind, mode) = (nix::sys::stat::SFlag::S_IFCHR, nix::sys::stat::Mode::S_IRUSR);
    nix::sys::stat::mknod(&zero, kind, mode, nix::sys::stat::makedev(1, 5)).unwrap();
    fixture.run(&[], &["head", "-c", "4", "/zero"]).exits(0);
    let ran = fixture.run(&["--userns", "auto"], &["head", "-c", "4", "/zero"]);
    ran.exits(1).assert_stderr_contains("Permission denied");
    fixture.run(&["--userns", "auto"], &["head", "-c", "4", "/dev/zero"]).exits(0);
}

#[test]
fn a_user_has_neither_capabilities_nor_groups_of_the_caller() {
    let Some(fixture) = root() else { return };
    let with_capabilities = [
        "setpriv",
        "--groups=4",
        "--inh-caps=+chown,+setuid",
        "--ambient-caps=+chown,+setuid",
    ];
    for caller in [&["setpriv", "--groups=4,24"][..], &with_capabilities] {
        let running = fixture.start_under(caller, &["-u", "bin"], &SLEEP);
        assert_eq!(ids(running.pid, "Uid"), [1; 4]);
        assert_eq!(ids(running.pid, "Gid"), [1; 4]);
        assert_eq!(host::status_field(running.pid, "Groups"), "1 2 3");
        for set in ["CapEff", "CapPrm", "CapAmb"] {
            assert_eq!(
                host::status_field(running.pid, set),
                "0000000000000000",
                "{set}"
            );
        }
        drop(running);
        let running = fixture.start_under(caller, &["-u", "1234"], &SLEEP);
        assert_eq!(
            (ids(running.pid, "Uid"), ids(running.pid, "Gid")),
            (vec![1234; 4], vec![0; 4])
        );
        assert_eq!(host::status_field(running.pid, "Groups"), "0");
        drop(running);
        let running = fixture.start_under(caller, &[], &SLEEP);
        assert_eq!(
            host::status_field(running.pid, "Groups"),
            "0",
            "root in the container does not have the caller's groups either"
        );
    }
}
