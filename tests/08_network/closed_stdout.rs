//! Every subcommand works although the reader of its stdout has exited, as in
//! `network ls | true`.

use std::fs;
use std::process::{Command, Output, Stdio};

use kiste_tests::World;
use kiste_tests::archive::{Archive, Entry};
use kiste_tests::image::docker_archive;
use serde_json::json;

use crate::world;

/// Every subcommand, in an order in which each succeeds; `NAME` is the network or the
/// image.
const SUBCOMMANDS: [&str; 24] = [
    "doctor",
    "doctor --format json",
    "network create NAME",
    "network ls",
    "network ls --format json",
    "network inspect NAME",
    "show",
    "network rm NAME",
    "import rootfs.tar NAME:1",
    "load image.tar",
    "images",
    "images --format json",
    "tag NAME:1 NAME:2",
    "history NAME:1",
    "inspect NAME:1",
    "diff NAME:1",
    "save NAME:1 -o saved-NAME.tar",
    "export NAME:1 -o exported-NAME.tar",
    "rmi NAME:2",
    "gc",
    "run true",
    "help",
    "network help",
    "--version",
];

#[test]
fn a_closed_stdout_changes_no_exit_code() {
    let Some(world) = world() else { return };
    let layer = Archive::new().with(Entry::file("x", "x")).end();
    fs::write(world.fixture.dir().join("rootfs.tar"), &layer).unwrap();
    let image = docker_archive(&["loaded:1"], &[layer], &json!({}));
    fs::write(world.fixture.dir().join("image.tar"), image).unwrap();
    for line in SUBCOMMANDS {
        let read = run(&world, &line.replace("NAME", "open"), Stdio::piped());
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let unread = run(&world, &line.replace("NAME", "closed"), writer.into());
        let stderr = String::from_utf8_lossy(&unread.stderr);
        assert_eq!(read.status.code(), Some(0), "{line}: {read:?}");
        assert_eq!(unread.status, read.status, "{line}: {stderr}");
        assert!(!stderr.contains("a bug in Kiste"), "{line}: {stderr}");
    }
}

fn run(world: &World, line: &str, stdout: Stdio) -> Output {
    let mut words = line.split(' ');
    let subcommand = words.next().unwrap();
    let (dir, store) = (world.network_dir(), world.fixture.store());
    let (networks, store) = (dir.to_str().unwrap(), store.to_str().unwrap());
    let run_dirs = world.fixture.run_dirs();
    let run_dir = ["--run-dir", run_dirs.to_str().unwrap()];
    let rootfs = ["--rootfs", world.fixture.rootfs().to_str().unwrap()];
    let parent = ["--cgroup-parent", world.fixture.cgroup_parent()];
    let (networks, store) = (["--network-dir", networks], ["--store", store]);
    let mut arguments = vec![subcommand];
    match subcommand {
        "network" if !line.ends_with("help") => {
            arguments.extend(words.next());
            arguments.extend(networks);
        }
        "show" => arguments.extend(networks),
        "gc" => arguments.extend([networks, store, run_dir].concat()),
        "run" => {
            arguments.extend([networks, store, run_dir, rootfs, parent].concat());
        }
        "doctor" | "network" | "help" | "--version" => {}
        _ => arguments.extend(store),
    }
    let enter = world.enter();
    Command::new(&enter[0])
        .args(&enter[1..])
        .arg(world.fixture.exe())
        .args(arguments)
        .args(words)
        .current_dir(world.fixture.dir())
        .stdin(Stdio::null())
        .stdout(stdout)
        .output()
        .unwrap()
}
