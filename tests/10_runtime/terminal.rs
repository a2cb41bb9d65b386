//! Terminals: by a console socket, and in the foreground.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use kiste_tests::Terminal;
use serde_json::json;

use crate::conformance::bundle::{Bundle, ID};
use crate::conformance::console::{Socket, receive};

/// Returns a bundle whose process has a terminal, and runs this script.
fn with_terminal(script: &str) -> Option<Bundle> {
    let mut bundle = Bundle::of_script(script)?;
    bundle.config["process"]["terminal"] = json!(true);
    Some(bundle)
}

/// Reads from the master of a terminal until it has shown this text.
fn read_until(master: &OwnedFd, text: &str) -> String {
    let mut master = File::from(master.try_clone().unwrap());
    let mut seen = String::new();
    let mut bytes = [0; 4096];
    while !seen.contains(text) {
        // EIO: nobody has the other end open any more.
        let Ok(count @ 1..) = master.read(&mut bytes) else { break };
        seen += &String::from_utf8_lossy(&bytes[..count]);
    }
    assert!(seen.contains(text), "{seen:?}");
    seen
}

#[test]
fn the_master_of_the_terminal_is_sent_to_the_console_socket() {
    let script =
        "read line; echo got $line; tty; stty size; ls -l /dev/console; sleep 1000";
    let Some(mut bundle) = with_terminal(script) else { return };
    bundle.config["process"]["consoleSize"] = json!({"height": 33, "width": 77});
    let path = bundle.dir().join("console");
    let socket = Socket::at(&path);
    bundle.create_with(&["--console-socket", path.to_str().unwrap()]).exits(0);
    let (_, descriptors) = receive(&socket.accept());
    let [master] = &descriptors[..] else { panic!("{descriptors:?}") };
    bundle.call(&["start", ID]).exits(0);
    File::from(master.try_clone().unwrap()).write_all(b"typed\n").unwrap();
    let seen = read_until(master, "/dev/console");
    assert!(seen.contains("got typed") && seen.contains("/dev/pts/0"), "{seen}");
    assert!(seen.contains("33 77"), "{seen}");
}

#[test]
fn a_terminal_without_a_console_socket_is_refused_and_so_is_a_socket_without_a_terminal()
 {
    let Some(mut bundle) = with_terminal("true") else { return };
    let ran = bundle.create();
    bundle.assert_refused(&ran);
    ran.assert_stderr_contains("--console-socket");
    bundle.config["process"]["terminal"] = json!(false);
    let path = bundle.dir().join("console");
    let _socket = Socket::at(&path);
    let ran = bundle.create_with(&["--console-socket", path.to_str().unwrap()]);
    bundle.assert_refused(&ran);
    bundle.assert_nothing_left();
}

#[test]
fn a_console_socket_on_which_nobody_listens_leaves_no_container() {
    let Some(bundle) = with_terminal("true") else { return };
    let path = bundle.dir().join("nobody");
    let ran = bundle.create_with(&["--console-socket", path.to_str().unwrap()]);
    bundle.assert_refused(&ran);
    bundle.assert_nothing_left();
}

/// Calls `run` in the foreground at a terminal.
fn run_at_terminal(bundle: &Bundle) -> Terminal {
    bundle.write();
    let root = bundle.state_root();
    let words = ["--root", root.to_str().unwrap(), "run", "--bundle"];
    let words = [&words[..], &[bundle.dir().to_str().unwrap(), ID]].concat();
    let words: Vec<_> = words.iter().map(Into::into).collect();
    Terminal::start(bundle.exe(), bundle.dir(), &words)
}

#[test]
fn run_in_the_foreground_relays_the_callers_terminal() {
    let Some(bundle) = with_terminal("echo ready; read line; echo got $line; exit 5")
    else {
        return;
    };
    let mut terminal = run_at_terminal(&bundle);
    terminal.shows("ready");
    terminal.type_in("typed\n");
    terminal.shows("got typed");
    assert_eq!(terminal.wait_for_exit().0, 5);
    bundle.assert_nothing_left();
}

#[test]
fn an_exec_has_a_terminal_of_its_own() {
    let Some(bundle) = Bundle::of_script("exec sleep 1000") else { return };
    bundle.started();
    let path = bundle.dir().join("console");
    let socket = Socket::at(&path);
    let options = ["--tty", "--detach", "--console-socket", path.to_str().unwrap()];
    bundle.exec(&options, &["sh", "-c", "tty; sleep 1000"]).exits(0);
    let (_, descriptors) = receive(&socket.accept());
    let [master] = &descriptors[..] else { panic!("{descriptors:?}") };
    read_until(master, "/dev/pts/0");
}

#[test]
fn a_callers_terminal_that_the_user_namespace_does_not_know_is_no_error() {
    let Some(mut bundle) = Bundle::of_script("tty; id -u") else { return };
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    bundle.set_namespace("user", json!({ "type": "user" }));
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
    bundle.config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    let mut terminal = run_at_terminal(&bundle);
    let (code, shown) = terminal.wait_for_exit();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("1000"), "{shown}");
}
