//! Many containers at once, and killed runtimes.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::thread;

use kiste_tests::host;

use crate::bridge::lease;
use crate::world;

/// To run this test twenty times: `for n in $(seq 20); do cargo test -p step-08-network
/// --test 08_network fifty || break; done`
#[test]
fn fifty_containers_at_once_have_fifty_addresses_and_leave_nothing() {
    let Some(world) = world() else { return };
    let addresses: Vec<String> = thread::scope(|scope| {
        let start = |_| scope.spawn(|| world.start(&[], &["sleep", "1000"]));
        let all: Vec<_> = { (0..50).map(start).collect::<Vec<_>>() }
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        let ran = world.run_kiste(&["network", "inspect", "kiste"]);
        let seen: serde_json::Value = serde_json::from_str(&ran.exits(0).out).unwrap();
        assert_eq!(seen["containers"].as_array().unwrap().len(), 50);
        let address = |running| {
            world
                .sh_in_container(running, "ip -o -4 addr show eth0 | awk '{print $4}'")
                .out
        };
        let addresses = all.iter().map(address).collect();
        let end = |running| scope.spawn(move || drop::<kiste_tests::Running>(running));
        { all.into_iter().map(end).collect::<Vec<_>>() }
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        addresses
    });
    assert_eq!(addresses.iter().collect::<HashSet<_>>().len(), 50, "{addresses:?}");
    world.assert_unchanged();
}

#[test]
fn gc_undoes_what_a_killed_runtime_has_left() {
    let Some(world) = world() else { return };
    let running = world.start(&["-p", "8080:80"], &["sleep", "1000"]);
    let (pid, lease) = (running.pid, lease(&world, "kiste"));
    let runtime = running.runtime();
    running.kill_runtime();
    [pid, runtime].into_iter().for_each(host::assert_exits);
    assert!(
        world.sh_on_host("nft list ruleset").out.contains("dport 8080"),
        "the killed runtime has left no rule, so the test would prove nothing"
    );
    let ran = world.gc();
    assert_eq!(ran.exits(0).out.trim(), lease["id"].as_str().unwrap());
    world.assert_unchanged();
}

/// The test adds a rule to our nft table which says that the table belongs to another
/// directory of networks. So the run does not remove the table at its end.
#[test]
fn gc_undoes_what_could_not_be_undone_at_the_end_of_a_run() {
    let Some(world) = world() else { return };
    let running = world.start(&[], &["cat"]);
    world
        .sh_on_host("nft insert rule inet kiste loopback counter comment somebody")
        .exits(0);
    running
        .end()
        .exits(0)
        .assert_stderr_contains("something of its network stays")
        .assert_stderr_contains("networks noted in somebody");
    world.gc().exits(1).assert_stderr_contains("networks noted in somebody");
    world
        .sh_on_host("nft delete rule inet kiste loopback handle \
              $(nft -a list chain inet kiste loopback | sed -n 's/.*somebody.* handle //p')")
        .exits(0);
    world.gc().exits(0);
    world.assert_unchanged();
}

#[test]
fn the_next_container_gets_the_address_and_ports_of_a_killed_one() {
    let Some(world) = world() else { return };
    let running =
        world.start(&["-p", "8080:80", "--ip", "10.77.0.50"], &["sleep", "1000"]);
    let other = world.start(&[], &["sleep", "1000"]);
    let pid = running.pid;
    running.kill_runtime();
    host::assert_exits(pid);
    world.run(&["-p", "8080:80", "--ip", "10.77.0.50"], &["true"]).exits(0);
    let rules = world.sh_on_host("nft list ruleset").out;
    assert!(!rules.contains("8080"), "{rules}");
    drop(other);
    world.assert_unchanged();
}

/// `gc` can undo changes to a network namespace only in that namespace.
#[test]
fn gc_in_another_network_namespace_keeps_the_record_of_changes() {
    let Some(world) = world() else { return };
    let running = world.start(&["-p", "8080:80"], &["sleep", "1000"]);
    let (pid, runtime) = (running.pid, running.runtime());
    running.kill_runtime();
    [pid, runtime].into_iter().for_each(host::assert_exits);
    let (dir, run_dir, store) = (
        world.network_dir(),
        world.fixture.run_dirs(),
        world.fixture.dir().join("no-store"),
    );
    let [dir, run_dir, store] =
        [&dir, &run_dir, &store].map(|path| path.to_str().unwrap());
    let arguments =
        ["gc", "--network-dir", dir, "--run-dir", run_dir, "--store", store];
    let ran = world.fixture.call_under(&["unshare", "-n"], arguments);
    ran.exits(1).assert_stderr_contains("in another network namespace");
    world.gc().exits(0);
    world.assert_unchanged();
}

/// The runtime follows the link only once, when it opens the directory.
#[test]
fn a_directory_of_networks_can_be_named_by_a_link() {
    let Some(world) = world() else { return };
    let (real, link) =
        (world.fixture.dir().join("real"), world.fixture.dir().join("link"));
    std::fs::DirBuilder::new().mode(0o700).create(&real).unwrap();
    symlink(&real, &link).unwrap();
    let enter = world.enter();
    let enter: Vec<_> = enter.iter().map(String::as_str).collect();
    let ran = world.fixture.run_under(
        &enter,
        &["--network-dir", link.to_str().unwrap()],
        &["echo", "it runs"],
    );
    assert_eq!(ran.exits(0).out, "it runs\n");
    world.assert_unchanged();
}

/// The containers of one directory would replace the rules of the other.
#[test]
fn two_directories_of_networks_do_not_share_a_host() {
    let Some(world) = world() else { return };
    world.run_kiste(&["network", "create", "intern", "--internal"]).exits(0);
    let running = world.start(&["--network", "intern"], &["sleep", "1000"]);
    let rules = world.sh_on_host("nft list ruleset").out;
    let other = world.fixture.dir().join("other-networks");
    let options = ["--network-dir", other.to_str().unwrap()];
    let enter = world.enter();
    let enter: Vec<_> = enter.iter().map(String::as_str).collect();
    let ran = world.fixture.run_under(&enter, &options, &["echo", "it runs"]);
    ran.exits(125)
        .assert_stderr_contains(world.network_dir().to_str().unwrap())
        .assert_stderr_contains("--network-dir");
    assert_eq!(
        (ran.out.as_str(), world.sh_on_host("nft list ruleset").out),
        ("", rules)
    );
    drop(running);
    world.run_kiste(&["network", "rm", "intern"]).exits(0);
    world.assert_unchanged();
}

/// The runtime could not restore the old value of such a setting. Nobody can read the
/// beginning of /proc/PID/mem, so the test mounts it over the setting.
#[test]
fn a_setting_that_cannot_be_read_is_not_changed() {
    let Some(world) = world() else { return };
    let hide = "mount --bind /proc/$$/mem /proc/sys/net/ipv4/conf/out0/forwarding && exec \"$@\"";
    let enter = world.enter();
    let hidden =
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", hide, "sh"];
    let starter: Vec<_> = enter.iter().map(String::as_str).chain(hidden).collect();
    let dir = world.network_dir();
    let options = ["--network-dir", dir.to_str().unwrap()];
    let ran = world.fixture.run_under(&starter, &options, &["echo", "it runs"]);
    ran.exits(125)
        .assert_stderr_contains("ipv4/conf/out0/forwarding")
        .assert_stderr_contains("EIO");
    assert_eq!(ran.out, "");
    world.assert_unchanged();
}

#[test]
fn a_run_that_fails_leaves_nothing() {
    let Some(world) = world() else { return };
    world.run(&["-p", "8080:80", "--rootfs", "/nonexistent"], &["true"]).exits(125);
    world.run(&["-p", "8080:80"], &["nosuch"]).exits(127);
    world
        .run(&["-p", "8080:80", "-p", "8080:81"], &["true"])
        .exits(125)
        .assert_stderr_contains("8080");
    world.run_sh(&[], "exit 7").exits(7);
    world.assert_unchanged();
}

/// The bridge of a killed runtime is gone, and another program has made a link of its
/// name: gc must not remove it, and no start may use it.
#[test]
fn a_link_of_another_program_with_the_name_of_a_bridge_stays() {
    let Some(world) = world() else { return };
    let running = world.start(&[], &["sleep", "1000"]);
    let (pid, runtime) = (running.pid, running.runtime());
    running.kill_runtime();
    [pid, runtime].into_iter().for_each(host::assert_exits);
    let exchange = |link: &str| {
        world
            .sh_on_host(&format!(
                "ip link del {link} && ip link add {link} type bridge"
            ))
            .exits(0);
    };
    exchange("kiste0");
    world
        .gc()
        .exits(0)
        .assert_stderr_contains("another program has made the link kiste0");
    world.sh_on_host("ip link show kiste0 && ip link del kiste0").exits(0);
    world.assert_unchanged();

    world.run_kiste(&["network", "create", "web"]).exits(0);
    exchange("kiste1");
    world
        .run(&["--network", "web"], &["true"])
        .exits(125)
        .assert_stderr_contains("another program has made the link kiste1");
    world.run_kiste(&["network", "rm", "web"]).exits(0);
    world.sh_on_host("ip link show kiste1 && ip link del kiste1").exits(0);
    world.assert_unchanged();
}

/// Any user can lock a directory that everybody can read.
#[test]
fn a_lock_of_another_user_on_the_directory_of_networks_keeps_nobody_waiting() {
    let Some(world) = world() else { return };
    let dir = world.network_dir();
    std::fs::DirBuilder::new().mode(0o755).create(&dir).unwrap();
    world.run_kiste(&["network", "create", "web"]).exits(0);
    let directory = File::open(&dir).unwrap();
    directory.lock().unwrap();
    world.run(&[], &["true"]).exits(0);
    for entry in std::fs::read_dir(&dir).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert!(entry.path().is_dir() || mode & 0o077 == 0, "{entry:?}: {mode:o}");
    }
    world.run_kiste(&["network", "rm", "web"]).exits(0);
    world.assert_unchanged();
}
