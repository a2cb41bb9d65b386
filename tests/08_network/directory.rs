//! The directory of the networks. Root believes nothing in it that another user could
//! have written, and no file in it makes a command wait or fills the memory.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use kiste_tests::exchange::{Exchange, OTHER_USER};
use kiste_tests::{Ran, Tree, World, host};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};

use crate::world;

const SETTING: &str = "/proc/sys/net/ipv4/conf/out0/log_martians";

/// Runs each kind of command on this directory of networks.
fn call_all(world: &World, dir: &Path) -> Vec<Ran> {
    let enter = world.enter();
    let starter: Vec<_> = enter.iter().map(String::as_str).collect();
    let option = ["--network-dir", dir.to_str().unwrap()];
    let (run_dirs, store) = (world.fixture.run_dirs(), world.fixture.store());
    let gc = [
        &["gc", "--run-dir", run_dirs.to_str().unwrap()],
        &["--store", store.to_str().unwrap()][..],
    ];
    let calls = [&["network", "ls"][..], &["network", "rm", "web"], &["show"]];
    let calls = calls.into_iter().map(Vec::from).chain([gc.concat()]);
    let call = |arguments: Vec<&str>| {
        world.fixture.call_under(&starter, [&arguments, &option[..]].concat())
    };
    let run = world.fixture.run_under(&starter, &option, &["true"]);
    calls.map(call).chain([run]).collect()
}

/// Returns the text of a host.json that says to restore this setting.
fn note_of_setting(world: &World, name: &str) -> String {
    let running = world.start(&[], &["sleep", "1000"]);
    let note = fs::read(world.network_dir().join("host.json")).unwrap();
    drop(running);
    let mut note: Value = serde_json::from_slice(&note).unwrap();
    note["sysctls"] = json!([{ "name": name, "before": "1" }]);
    note.to_string()
}

/// Makes a directory that looks like one of networks, and has a file of the host's in
/// place of a network's.
fn forge_directory(world: &World, path: &Path) {
    let precious = path.with_file_name("precious");
    fs::create_dir_all(&precious).unwrap();
    fs::write(precious.join("leases.json"), "precious").unwrap();
    fs::create_dir_all(path.join("web")).unwrap();
    fs::write(path.join("web/precious"), "precious").unwrap();
    symlink(&precious, path.join(".web.new")).unwrap();
    let note = note_of_setting(world, "ipv4/conf/out0/log_martians");
    fs::write(path.join("host.json"), note).unwrap();
}

/// A user who owns a directory above could exchange the checked directory for another.
#[test]
fn a_directory_that_another_user_exchanges_is_refused() {
    let Some(world) = world() else { return };
    let dir = world.fixture.dir();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    let above = dir.join("of-a-user");
    let (networks, forged) = (above.join("networks"), above.join("forged"));
    fs::create_dir(&above).unwrap();
    forge_directory(&world, &forged);
    host::chown_recursive(&above, OTHER_USER, OTHER_USER);
    DirBuilder::new().mode(0o700).create(&networks).unwrap();
    let content = || Tree::of(&above).only(|path| path != Path::new("."));
    let before = content();
    let exchange = Exchange::start(&networks, &forged);
    for _ in 0..10 {
        for ran in call_all(&world, &networks) {
            assert!(ran.code == 1 || ran.code == 125, "{ran:?}");
            let owner = format!("belongs to uid {OTHER_USER}");
            ran.assert_stderr_contains(&owner).assert_stderr_contains("--network-dir");
        }
        assert_eq!(world.sh_on_host(&format!("cat {SETTING}")).out, "0\n");
    }
    drop(exchange);
    if fs::metadata(&networks).unwrap().permissions().mode() & 0o777 != 0o700 {
        fs::rename(&networks, dir.join("aside")).unwrap();
        fs::rename(&forged, &networks).unwrap();
        fs::rename(dir.join("aside"), &forged).unwrap();
    }
    content().assert_equal(&before);
    world.assert_unchanged();
}

#[test]
fn a_link_of_another_user_to_a_directory_is_refused() {
    let Some(world) = world() else { return };
    let shared = world.fixture.dir().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).unwrap();
    let (own, link) = (world.fixture.dir().join("own"), shared.join("link"));
    symlink(&own, &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(OTHER_USER), None).unwrap();
    for dir in [link.clone(), link.join("networks")] {
        for ran in call_all(&world, &dir) {
            // Without a directory, `gc` has nothing to do.
            assert!(matches!(ran.code, 0 | 1 | 125), "{ran:?}");
            if ran.code != 0 {
                ran.assert_stderr_contains(&format!("belongs to uid {OTHER_USER}"));
            }
        }
        assert!(!own.exists(), "root makes nothing where the link leads");
    }
    world.assert_unchanged();
}

/// The note may be an old one of the root's own, or come from a backup of a user's.
#[test]
fn a_note_of_the_changes_restores_no_setting_that_networks_do_not_change() {
    let Some(world) = world() else { return };
    for name in ["ipv4/conf/out0/log_martians", "ipv4/conf/../conf/out0/log_martians"] {
        let note = note_of_setting(&world, name);
        DirBuilder::new().mode(0o700).create(world.network_dir()).unwrap();
        let path = world.network_dir().join("host.json");
        fs::write(&path, &note).unwrap();
        for ran in call_all(&world, &world.network_dir()) {
            assert!(ran.code == 1 || ran.code == 125, "{ran:?}");
            ran.assert_stderr_contains(name).assert_stderr_contains("host.json");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), note);
        fs::remove_file(&path).unwrap();
        world.gc().exits(0);
    }
    assert_eq!(world.sh_on_host(&format!("cat {SETTING}")).out, "0\n");
    world.assert_unchanged();
}

#[test]
fn a_link_or_a_name_that_is_a_path_is_no_network() {
    let Some(world) = world() else { return };
    let dir = world.network_dir();
    DirBuilder::new().mode(0o700).create(&dir).unwrap();
    let elsewhere = world.fixture.dir().join("elsewhere");
    let make_network = |path: &Path, name: &str, bridge: &str| {
        fs::create_dir_all(path).unwrap();
        let network = json!({
            "name": name, "bridge": bridge, "subnet": "10.99.0.1/24",
            "isolation": "open", "origin": "automatic",
        });
        fs::write(path.join("network.json"), network.to_string()).unwrap();
        fs::write(path.join("leases.json"), r#"{"leases": []}"#).unwrap();
    };
    make_network(&elsewhere, "web", "kiste9");
    symlink(&elsewhere, dir.join("web")).unwrap();
    let before = Tree::of(&elsewhere);
    let listed = world.run_kiste(&["network", "ls"]);
    assert!(!listed.exits(0).out.contains("web"), "{listed:?}");
    world.gc().exits(0);
    Tree::of(&elsewhere).assert_equal(&before);
    fs::remove_file(dir.join("web")).unwrap();

    for (name, bridge) in [("../elsewhere", "kiste9"), ("web", "../../../kernel")] {
        make_network(&dir.join("web"), name, bridge);
        for ran in call_all(&world, &dir) {
            assert!(ran.code == 1 || ran.code == 125, "{ran:?}");
            ran.assert_stderr_contains("web/network.json");
        }
        Tree::of(&elsewhere).assert_equal(&before);
        fs::remove_dir_all(dir.join("web")).unwrap();
    }
    world.gc().exits(0);
    world.assert_unchanged();
}

/// Puts something in place of a document that never ends, or is too large.
fn damage(path: &PathBuf, way: usize) {
    let _ = fs::remove_file(path);
    match way {
        0 => mkfifo(path, Mode::S_IRWXU).unwrap(),
        1 => File::create(path).unwrap().set_len(2 << 30).unwrap(),
        2 => symlink("/dev/zero", path).unwrap(),
        _ => fs::create_dir(path).unwrap(),
    }
}

#[test]
fn no_command_waits_for_a_document_or_reads_2_gib_of_it() {
    let Some(world) = world() else { return };
    let dir = world.network_dir();
    for document in ["host.json", "web/network.json", "web/leases.json"] {
        for way in 0..4 {
            world.run_kiste(&["network", "create", "web"]).exits(0);
            let path = dir.join(document);
            damage(&path, way);
            for ran in call_all(&world, &dir) {
                assert!(ran.code == 1 || ran.code == 125, "{document}, {way}: {ran:?}");
                ran.assert_stderr_contains(document)
                    .assert_stderr_contains("remove it");
            }
            fs::remove_dir_all(&dir).unwrap();
            world.sh_on_host("ip link delete kiste1").exits(0);
        }
    }
    world.assert_unchanged();
}

#[test]
fn no_command_waits_for_a_file_of_the_dns_responder() {
    let Some(world) = world() else { return };
    for name in ["dns.alive", "dns.lock"] {
        for way in 0..3 {
            world.run_kiste(&["network", "create", "web"]).exits(0);
            let path = world.network_dir().join("web").join(name);
            damage(&path, way);
            let ran = world.run(&["--network", "web"], &["echo", "it runs"]);
            // Only the beginning is read of a regular file, and replaced.
            if way != 1 {
                ran.exits(125).assert_stderr_contains(name);
            }
            fs::remove_file(&path).unwrap();
            world.gc().exits(0);
            world.run_kiste(&["network", "rm", "web"]).exits(0);
        }
    }
    world.assert_unchanged();
}

#[test]
fn a_directory_that_others_can_write_to_is_refused() {
    let Some(world) = world() else { return };
    let dir = world.fixture.dir().join("open");
    for (mode, owner) in [(0o777, 0), (0o1777, 0), (0o720, 0), (0o700, OTHER_USER)] {
        DirBuilder::new().create(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
        chown(&dir, Some(owner), None).unwrap();
        for ran in call_all(&world, &dir) {
            assert!(ran.code == 1 || ran.code == 125, "{mode:o}: {ran:?}");
            ran.assert_stderr_contains("--network-dir");
        }
        fs::remove_dir(&dir).unwrap();
    }
    world.assert_unchanged();
}
