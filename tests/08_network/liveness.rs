//! A lease lasts as long as its container is alive, even after its creator has exited.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use kiste_tests::{Running, World, eventually, host};
use kit::ProcessIdentity;
use serde_json::{Value, json};

use crate::bridge::lease;
use crate::world;

/// Kills the runtime of a container, and waits until the kernel has ended the
/// container's command.
fn kill_runtime(running: Running) {
    let pids = [running.pid, running.runtime()];
    running.kill_runtime();
    pids.into_iter().for_each(host::assert_exits);
}

/// A process. Dropping it kills the process.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a process in the container's network namespace. The process takes the place
/// of a container that outlives its creator, as with `create` in step 10.
fn start_stand_in(running: &Running) -> (Process, ProcessIdentity) {
    let mut command = Command::new("nsenter");
    command.args(["-t", &running.pid.to_string(), "-n", "sleep", "1000"]);
    let process = Process(command.spawn().expect("run nsenter"));
    let namespace = host::namespace(running.pid, "net");
    let entered =
        || (host::namespace(process.0.id(), "net") == namespace).then_some(());
    eventually(entered).expect("the process is in the container's namespace");
    let state = ProcessIdentity::of_process(process.0.id() as i32).unwrap();
    (process, state)
}

fn write_state(run_dir: &Path, state: ProcessIdentity) {
    fs::write(run_dir.join("state.json"), serde_json::to_vec(&state).unwrap()).unwrap();
}

fn run_dir(world: &World) -> PathBuf {
    lease(world, "kiste")["run_dir"].as_str().unwrap().into()
}

/// Changes a JSON file, and returns its previous text.
fn edit_json(path: &Path, change: impl FnOnce(&mut Value)) -> String {
    let before = fs::read_to_string(path).unwrap();
    let mut value = serde_json::from_str(&before).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
    before
}

#[test]
fn a_container_without_a_creator_keeps_its_network_while_its_process_runs() {
    let Some(world) = world() else { return };
    let running = world.start(&["-p", "8080:80"], &["sleep", "1000"]);
    let (run_dir, lease_before) = (run_dir(&world), lease(&world, "kiste"));
    let (_process, state) = start_stand_in(&running);
    write_state(&run_dir, state.clone());
    kill_runtime(running);
    let before = world.state();
    assert!(before.contains("dport 8080") && before.contains(" kiste0"), "{before}");

    world.gc().exits(0);
    assert_eq!((lease(&world, "kiste"), world.state()), (lease_before.clone(), before));
    let ran = world.run(&[], &["true"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(lease(&world, "kiste"), lease_before);
    let link = lease_before["link"].as_str().unwrap();
    assert!(world.state().contains(link) && world.state().contains("dport 8080"));

    // The state now says that another process has the same PID.
    write_state(
        &run_dir,
        ProcessIdentity { start_time: state.start_time + 1, ..state.clone() },
    );
    world.gc().exits(0);
    world.assert_unchanged();
}

/// Another mount namespace may hide the run directory.
#[test]
fn a_container_keeps_its_network_when_its_run_directory_is_lost_while_it_runs() {
    let Some(world) = world() else { return };
    let running = world.start(&["-p", "8080:80"], &["cat"]);
    let (run_dir, before) = (run_dir(&world), world.state());
    let moved = run_dir.with_extension("moved");
    fs::rename(&run_dir, &moved).unwrap();
    world.gc().exits(0);
    assert_eq!(world.state(), before);
    fs::rename(&moved, &run_dir).unwrap();
    running.end();
    world.assert_unchanged();
}

#[test]
fn a_container_that_cannot_be_examined_keeps_its_lease() {
    let Some(world) = world() else { return };
    let running = world.start(&["-p", "8080:80"], &["sleep", "1000"]);
    let run_dir = run_dir(&world);
    let id = lease(&world, "kiste")["id"].as_str().unwrap().to_owned();
    fs::write(run_dir.join("state.json"), "{").unwrap();
    kill_runtime(running);
    world.gc().exits(1).assert_stderr_contains(&format!("container {id} may be alive"));
    assert_eq!(lease(&world, "kiste")["id"], id);
    world
        .run(&[], &["true"])
        .exits(0)
        .assert_stderr_contains("the lease of another container stays");
    assert_eq!(lease(&world, "kiste")["id"], id);
    fs::remove_file(run_dir.join("state.json")).unwrap();
    world.gc().exits(0);
    world.assert_unchanged();
}

/// The kernel reuses the inode number of a namespace that is gone. The test first
/// records our inode number, as an older version did, and then the cookie of another
/// namespace.
#[test]
fn changes_made_in_another_network_namespace_are_not_undone_in_this_one() {
    let Some(world) = world() else { return };
    kill_runtime(world.start(&["-p", "8080:80"], &["sleep", "1000"]));
    // The cable is removed with the container's namespace, some time later.
    let state = "nft list ruleset; cd /proc/sys/net/ipv4/conf && cat out0/forwarding kiste0/forwarding";
    let before = world.sh_on_host(state).out;
    assert!(before.contains("dport 8080") && before.ends_with("1\n1\n"), "{before}");
    let changes_file = world.network_dir().join("host.json");
    let inode = world.sh_on_host("readlink /proc/self/ns/net").out.trim().to_owned();
    for other in [inode.as_str(), "cookie:1"] {
        let text = edit_json(&changes_file, |changes| {
            changes["namespace"]["namespace"] = json!(other);
        });
        world.gc().exits(1).assert_stderr_contains("in another network namespace");
        world
            .run(&[], &["true"])
            .exits(125)
            .assert_stderr_contains("in another network namespace");
        assert_eq!(world.sh_on_host(state).out, before, "{other}");
        fs::write(&changes_file, text).unwrap();
    }
    world.gc().exits(0);
    world.assert_unchanged();
}

#[test]
fn a_lease_of_an_older_version_lasts_as_long_as_its_link() {
    let Some(world) = world() else { return };
    let running = world.start(&[], &["sleep", "1000"]);
    let before = lease(&world, "kiste");
    edit_json(&world.network_dir().join("kiste/leases.json"), |file| {
        file["leases"][0].as_object_mut().unwrap().remove("run_dir").unwrap();
    });
    world.run(&[], &["true"]).exits(0);
    assert_eq!(lease(&world, "kiste")["id"], before["id"]);
    kill_runtime(running);
    let link = format!("ip link show {}", before["link"].as_str().unwrap());
    eventually(|| (world.sh_on_host(&link).code != 0).then_some(()))
        .expect("the link is gone");
    world.gc().exits(0);
    world.assert_unchanged();
}

#[test]
fn a_network_works_although_a_power_cut_has_emptied_its_files() {
    let Some(world) = world() else { return };
    world.run_kiste(&["network", "create", "web"]).exits(0);
    world.run(&["--network", "web"], &["true"]).exits(0);
    let dir = world.network_dir();
    for name in ["web/leases.json", "host.json"] {
        fs::write(dir.join(name), "").unwrap();
    }
    world.run(&["--network", "web"], &["true"]).exits(0);
    world.run_kiste(&["network", "rm", "web"]).assert_stdout("web");
    world.assert_unchanged();
}
