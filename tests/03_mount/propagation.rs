//! No mount made inside appears on the host, whatever the propagation.

use super::*;

const PROPAGATIONS: [&str; 3] = ["private", "slave", "shared"];

/// Returns the peer groups in a mount's line of mountinfo: `["shared:5", "master:3"]`.
/// See proc(5), mountinfo, field 7.
fn peer_groups(line: &str) -> Vec<&str> {
    line.split(" - ").next().unwrap().split(' ').skip(6).collect()
}

#[test]
fn no_mount_made_inside_reaches_the_host() {
    if !require_tool("mount") {
        return;
    }
    let Some(fixture) = fixture() else { return };
    let host = Distribution::start();
    let before = host.mounts();
    assert!(
        before.iter().all(|line| line.contains(" shared:")),
        "all mounts of the host are shared, so a leak would show: {before:#?}"
    );
    let (_, requested) = directory(&fixture, "requested");
    let (_, own) = directory(&fixture, "own");

    for propagation in PROPAGATIONS {
        let options = ["--propagation", propagation, "--tmpfs", &requested];
        let script = format!("mount -t tmpfs own {own}; echo mounted; exec sleep 100");
        let mut running = host.start_in(&fixture, &options, &["sh", "-c", &script]);
        running.wait_for("mounted");
        for point in ["/proc", &requested, &own] {
            assert!(
                host::mount_at(running.pid, point).is_some(),
                "{point} is mounted inside"
            );
        }
        assert_eq!(
            host.mounts(),
            before,
            "while the container runs, --propagation {propagation}"
        );

        running.signal(Signal::SIGKILL);
        host::assert_exits(running.pid);
        assert_eq!(host.mounts(), before, "after kill -9, --propagation {propagation}");
    }
}

#[test]
fn no_mount_is_left_on_the_host_when_the_container_ends() {
    let Some(fixture) = fixture() else { return };
    let host = Distribution::start();
    let before = host.mounts();
    let (_, target) = directory(&fixture, "target");
    for propagation in PROPAGATIONS {
        let options = ["--propagation", propagation, "--tmpfs", &target];
        host.run(&fixture, &options, &["sh", "-c", "echo /proc/[0-9]*"])
            .assert_stdout("/proc/1");
        assert_eq!(host.mounts(), before, "--propagation {propagation}");
        assert!(
            host.sh("echo /proc/[0-9]*").contains(' '),
            "the host's /proc still shows the host"
        );
    }
}

#[test]
fn later_mounts_of_the_host_appear_inside_only_with_slave() {
    if !require_tool("mount") {
        return;
    }
    let Some(fixture) = fixture() else { return };
    let host = Distribution::start();
    for (propagation, appears) in
        [("private", false), ("slave", true), ("shared", false)]
    {
        let (_, later) = directory(&fixture, propagation);
        let running =
            host.start_in(&fixture, &["--propagation", propagation], &["sleep", "100"]);
        host.sh(&format!("mount -t tmpfs later {later}"));
        assert_eq!(
            host::mount_at(running.pid, &later).is_some(),
            appears,
            "--propagation {propagation}"
        );
        drop(running);
        host.sh(&format!("umount {later}"));
    }
}

#[test]
fn by_default_the_propagation_is_private() {
    let Some(fixture) = fixture() else { return };
    let host = Distribution::start();
    for options in [&[][..], &["--propagation", "private"]] {
        let running = host.start_in(&fixture, options, &["sleep", "100"]);
        let root = host::mount_at(running.pid, "/").unwrap();
        assert!(
            peer_groups(&root).is_empty(),
            "the mount at / is in a peer group: {root}"
        );
        for line in host::mounts_of(running.pid) {
            let what = "a mount below it is in a peer group";
            assert!(peer_groups(&line).is_empty(), "{what}: {line}");
        }
    }
}

#[test]
fn a_slave_receives_mounts_of_the_host_and_propagates_none() {
    let Some(fixture) = fixture() else { return };
    let host = Distribution::start();
    let running =
        host.start_in(&fixture, &["--propagation", "slave"], &["sleep", "100"]);
    let root = host::mount_at(running.pid, "/").unwrap();
    assert!(
        peer_groups(&root).iter().any(|peer| peer.starts_with("master:")),
        "{root}"
    );
    for line in host::mounts_of(running.pid) {
        assert!(
            !peer_groups(&line).iter().any(|peer| peer.starts_with("shared:")),
            "{line}"
        );
    }
}

#[test]
fn a_shared_container_has_its_own_peer_group() {
    let Some(fixture) = fixture() else { return };
    let host = Distribution::start();
    let lines = host.mounts();
    let groups_of_host: Vec<&str> =
        lines.iter().flat_map(|line| peer_groups(line)).collect();
    let (_, target) = directory(&fixture, "target");

    let options = ["--propagation", "shared", "--tmpfs", &target];
    let running = host.start_in(&fixture, &options, &["sleep", "100"]);
    for line in host::mounts_of(running.pid) {
        let [group] = peer_groups(&line)[..] else {
            panic!("one group, no master: {line}")
        };
        assert!(
            group.starts_with("shared:") && !groups_of_host.contains(&group),
            "{line}"
        );
    }
}

#[test]
fn later_mounts_appear_below_a_volume_by_its_own_propagation() {
    if !require_tool("mount") {
        return;
    }
    let Some(fixture) = fixture() else { return };
    let host = Distribution::start();
    let (source, from) = directory(&fixture, "source");
    let (_, to) = directory(&fixture, "target");
    for name in ["hosts", "own"] {
        fs::create_dir(source.join(name)).unwrap();
    }
    for (propagation, from_host, from_container) in [
        ("rprivate", false, false),
        ("private", false, false),
        ("rslave", true, false),
        ("slave", true, false),
        ("rshared", true, true),
        ("shared", true, true),
    ] {
        let script =
            format!("mount -t tmpfs own {to}/own; echo mounted; exec sleep 100");
        let in_volume = ["-v", &format!("{from}:{to}:{propagation}")];
        let mount = format!("src={from},dst={to},bind-propagation={propagation}");
        for option in [in_volume, ["--mount", &mount]] {
            let mut running = host.start_in(&fixture, &option, &["sh", "-c", &script]);
            running.wait_for("mounted");
            host.sh(&format!("mount -t tmpfs hosts {from}/hosts"));
            let appears = host::mount_at(running.pid, &format!("{to}/hosts")).is_some();
            assert_eq!(appears, from_host, "{option:?}");
            let own = format!(" {from}/own ");
            let leaves = host.mounts().iter().any(|line| line.contains(&own));
            assert_eq!(leaves, from_container, "{option:?}");
            drop(running);
            host.sh(&format!(
                "umount {from}/hosts; umount {from}/own 2>/dev/null || true"
            ));
        }
    }
}

#[test]
fn an_unknown_propagation_is_a_usage_error() {
    let Some(fixture) = fixture() else { return };
    fixture
        .run(&["--propagation", "rshared"], &["true"])
        .exits(2)
        .assert_stderr_contains("possible values: private, slave, shared");
}
