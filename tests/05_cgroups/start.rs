//! How a container enters its cgroup, and which cgroups it sees from inside.

use std::fs;

use kiste_tests::host;

use crate::kernel::{self, HostCgroup};
use crate::{fixture, fixture_with};

#[test]
fn a_shell_sees_only_the_containers_name_processes_files_and_cgroup() {
    let Some(fixture) = fixture() else { return };
    let script = "hostname; echo --; echo $$; echo --; for at in /proc/[0-9]*; do echo ${at#/proc/}; done; echo --; ls /; echo --; cat /proc/self/cgroup";
    let ran = fixture.sh(&[], script);
    ran.exits(0);
    let [name, pid, processes, files, cgroups] =
        ran.out.split("--\n").collect::<Vec<_>>()[..]
    else {
        panic!("{}", ran.out)
    };
    let is_hex_digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    assert!(
        name.trim().len() == 12 && name.trim().chars().all(is_hex_digit),
        "an id: {name}"
    );
    assert_eq!(pid, "1\n");
    let processes: Vec<u32> =
        processes.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    assert!(processes == [1], "only the shell: {processes:?}");
    let mut own: Vec<_> = fs::read_dir(fixture.rootfs())
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    own.sort();
    assert_eq!(files.split_whitespace().collect::<Vec<_>>(), own);
    // Version 2 has the one line `0::/`, version 1 a line for each hierarchy.
    assert!(cgroups.lines().count() >= 1);
    for line in cgroups.lines() {
        assert!(
            line.ends_with(":/"),
            "the shell sees its own cgroup as the top: {line}"
        );
    }
}

#[test]
fn from_outside_the_container_is_in_its_own_cgroup_and_the_runtime_is_not() {
    let Some(fixture) = fixture() else { return };
    let running = fixture.start(&[], &["sleep", "100"]);
    let own = format!("/{}/{}", fixture.cgroup_parent(), kernel::id(&running));
    let cgroups = fs::read_to_string(format!("/proc/{}/cgroup", running.pid)).unwrap();
    let line_of = |controller: &str| {
        let line = cgroups.lines().find(|line| {
            let names = line.split(':').nth(1).unwrap();
            names.split(',').any(|name| name == controller)
                || (names.is_empty() && kernel::is_v2())
        });
        line.unwrap_or_else(|| panic!("no line for {controller}:\n{cgroups}"))
            .to_string()
    };
    for controller in ["memory", "cpu", "pids", "cpuset", "freezer"] {
        assert!(line_of(controller).ends_with(&own), "{controller}:\n{cgroups}");
    }
    // The runtime could not remove a cgroup that it is in.
    let runtime_cgroups =
        fs::read_to_string(format!("/proc/{}/cgroup", running.runtime())).unwrap();
    assert!(!runtime_cgroups.contains(fixture.cgroup_parent()), "{runtime_cgroups}");
    for cgroup in kernel::directories(&fixture, &kernel::id(&running)) {
        let processes = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap();
        assert_eq!(
            processes.trim(),
            running.pid.to_string(),
            "in {}",
            cgroup.display()
        );
    }
}

#[test]
fn the_container_has_its_own_cgroup_namespace() {
    let Some(fixture) = fixture() else { return };
    let running = fixture.start(&[], &["sleep", "100"]);
    let host_namespace = host::namespace("self", "cgroup");
    assert_ne!(
        host::namespace(running.pid, "cgroup"),
        host_namespace,
        "the container is in the host's cgroup namespace"
    );
}

#[test]
fn the_command_below_an_init_is_also_in_the_cgroup() {
    let Some(fixture) = fixture() else { return };
    let ran = fixture.sh(&["--init", "-m", "64m"], "echo $$; cat /proc/self/cgroup");
    ran.exits(0);
    let (pid, cgroups) = ran.out.split_once('\n').unwrap();
    assert_ne!(pid, "1");
    assert!(cgroups.lines().all(|line| line.ends_with(":/")), "{cgroups}");
}

/// A process that is moved into a cgroup runs outside it for a moment. The pids limit
/// shows the difference: it refuses to create a process, and allows to move one in.
#[test]
fn on_version_2_the_child_is_created_in_its_cgroup_and_not_moved_into_it() {
    let Some(fixture) = fixture_with(&["cgroup-v2"]) else { return };
    let _full = HostCgroup::make(&fixture, &[("pids.max", "0")]);
    fixture
        .run(&[], &["true"])
        .exits(125)
        .assert_stderr_contains("clone3")
        .assert_stderr_contains("EAGAIN");
}

/// The command reads its limits as soon as it starts.
#[test]
fn the_limits_hold_before_the_command_starts_and_the_command_can_read_them() {
    let Some(fixture) = fixture() else { return };
    let memory = kernel::by_version(
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    );
    let pids =
        kernel::by_version("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max");
    fixture
        .run(&["-m", "64m", "--pids-limit", "7"], &["cat", memory, pids])
        .assert_stdout("67108864\n7");
}

#[test]
fn the_container_cannot_change_its_limits() {
    let Some(fixture) = fixture() else { return };
    let pids =
        kernel::by_version("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max");
    let new = kernel::by_version("/sys/fs/cgroup/new", "/sys/fs/cgroup/memory/new");
    let script =
        format!("echo max > {pids}; mkdir {new}; mkdir /sys/fs/cgroup/new; cat {pids}");
    let ran = fixture.sh(&["--pids-limit", "7"], &script);
    ran.assert_stdout("7");
    assert_eq!(ran.err.matches("Read-only file system").count(), 3, "{}", ran.err);
}

#[test]
fn the_container_sees_neither_the_cgroups_of_others_nor_those_of_the_host() {
    let Some(fixture) = fixture() else { return };
    let neighbour = fixture.start(&[], &["sleep", "100"]);
    let seen =
        fixture.run(&[], &["find", "/sys/fs/cgroup", "-mindepth", "1", "-type", "d"]);
    seen.exits(0);
    assert!(!seen.out.contains(&kernel::id(&neighbour)), "{}", seen.out);
    // On version 2 the container's own cgroup is the top, with nothing below it. On
    // version 1 there is one cgroup in each hierarchy.
    assert!(
        seen.out.lines().all(|path| path.matches('/').count() == 4),
        "{}",
        seen.out
    );
    assert_eq!(seen.out.is_empty(), kernel::is_v2(), "{}", seen.out);
}

/// A hierarchy in which the container has no cgroup would show the host's top cgroup.
#[test]
fn only_hierarchies_in_which_the_container_has_a_cgroup_are_mounted() {
    let Some(fixture) = fixture() else { return };
    let running = fixture.start(&[], &["sleep", "100"]);
    let own = format!("/{}/{}", fixture.cgroup_parent(), kernel::id(&running));
    let mounts = host::mounts_of(running.pid);
    let cgroups: Vec<_> =
        mounts.iter().filter(|line| line.contains(" - cgroup")).collect();
    assert!(!cgroups.is_empty(), "{mounts:#?}");
    for mount in cgroups {
        // proc_pid_mountinfo(5): the root, the mount point and the options of the
        // mount.
        let [root, mount_point, flags] = mount.split(' ').collect::<Vec<_>>()[3..6]
        else {
            panic!("{mount}")
        };
        assert!(root.ends_with(&own), "{mount}");
        assert!(mount_point.starts_with("/sys/fs/cgroup"), "{mount}");
        for flag in ["ro", "nosuid", "nodev", "noexec"] {
            assert!(flags.split(',').any(|it| it == flag), "{flag}: {mount}");
        }
    }
}

/// The cgroup of a container is named after its id, so two can run at once.
#[test]
fn two_containers_at_once_each_have_their_own_limits() {
    let Some(fixture) = fixture() else { return };
    let one = fixture.start(&["-m", "64m"], &["sleep", "100"]);
    let other = fixture.start(&["-m", "96m"], &["sleep", "100"]);
    assert_ne!(kernel::id(&one), kernel::id(&other));
    assert_eq!(kernel::memory(one.pid), (64 << 20).to_string());
    assert_eq!(kernel::memory(other.pid), (96 << 20).to_string());
}
