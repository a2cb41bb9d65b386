//! config-linux.md, "Devices"; runtime-linux.md, "Dev symbolic links"; and the terminal
//! of config.md, "Process".

use std::fs::{self, File};
use std::io::Read;

use kiste_tests::{eventually, host};
use serde_json::{Value, json};

use super::bundle::{Bundle, ID};
use super::console::{Socket, receive};

#[test]
fn the_default_devices_are_there() {
    let Some(mut bundle) = Bundle::new() else { return };
    let found = bundle.stdout_of(
        "cd /dev; stat -c '%n %F %t:%T' null zero full random urandom tty
        echo x > null; head -c 2 zero | od -An -tx1; echo x > full || echo no space",
    );
    let device =
        |name: &str, number: &str| format!("{name} character special file {number}");
    let expected = [
        device("null", "1:3"),
        device("zero", "1:5"),
        device("full", "1:7"),
        device("random", "1:8"),
        device("urandom", "1:9"),
        device("tty", "5:0"),
        " 00 00".into(),
        "no space".into(),
    ];
    assert_eq!(found, expected.join("\n"));
}

#[test]
fn ptmx_belongs_to_the_devpts_of_the_container() {
    let Some(mut bundle) = Bundle::new() else { return };
    let script = "ls -l /dev/ptmx | sed 's/.* -> //'; stat -L -c %t:%T /dev/ptmx
        stat -L -c %d /dev/ptmx /dev/pts/ptmx | uniq | wc -l";
    let found = bundle.stdout_of(script);
    assert!(found.ends_with("5:2\n1"), "{found}");
}

#[test]
fn the_standard_links_of_dev_are_made() {
    let Some(mut bundle) = Bundle::new() else { return };
    let script = "cd /dev; for name in fd stdin stdout stderr; do readlink $name; done";
    let expected = "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2";
    assert_eq!(bundle.stdout_of(script), expected);
}

/// Returns an entry of linux.devices.
fn device(path: &str, kind: &str, major: i64, minor: i64) -> Value {
    json!({
        "path": path, "type": kind, "major": major, "minor": minor,
        "fileMode": 0o640, "uid": 12, "gid": 34,
    })
}

#[test]
fn a_configured_device_has_its_numbers_mode_and_owner_anywhere_in_the_root() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.add("/linux/devices", device("/dev/sub/character", "c", 1, 3));
    bundle.add("/linux/devices", device("/opt/unbuffered", "u", 1, 5));
    bundle.add("/linux/devices", device("/dev/block", "b", 7, 5));
    bundle.add(
        "/linux/devices",
        json!({ "path": "/dev/fifo", "type": "p", "fileMode": 0o600, "uid": 0, "gid": 0 }),
    );
    let script =
        "stat -c '%F %t:%T %a %u:%g' /dev/sub/character /opt/unbuffered /dev/block
        stat -c '%F %a' /dev/fifo";
    let expected = "character special file 1:3 640 12:34\n\
        character special file 1:5 640 12:34\n\
        block special file 7:5 640 12:34\n\
        fifo 600";
    assert_eq!(bundle.stdout_of(script), expected);
}

#[test]
fn a_file_in_the_place_of_a_device_is_an_error() {
    let why = "runc 1.1 leaves the file";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    fs::write(bundle.rootfs().join("occupied"), "x").unwrap();
    bundle.add("/linux/devices", device("/occupied", "c", 1, 3));
    bundle.assert_config_refused();
    assert_eq!(fs::read_to_string(bundle.rootfs().join("occupied")).unwrap(), "x");
}

#[test]
fn a_device_of_an_unknown_type_or_without_numbers_is_refused() {
    let Some(mut bundle) = Bundle::new() else { return };
    let mut wrong = vec![device("/dev/x", "z", 1, 3), device("/dev/x", "", 1, 3)];
    if bundle.is_ours() {
        wrong.push(json!({ "path": "/dev/x", "type": "c" }));
        wrong.push(json!({ "type": "c", "major": 1, "minor": 3 }));
    }
    for entry in wrong {
        bundle.config["linux"]["devices"] = json!([entry]);
        bundle.assert_config_refused();
    }
}

#[test]
fn device_rules_are_applied_in_the_order_of_the_list() {
    let Some(mut bundle) = Bundle::new() else { return };
    // A device that no runtime allows by itself: /dev/kmsg.
    bundle.add("/linux/devices", json!({ "path": "/dev/log", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666 }));
    let all = json!({ "allow": false, "access": "rwm" });
    let kmsg = |allow: bool, access: &str| json!({ "allow": allow, "type": "c", "major": 1, "minor": 11, "access": access });
    let script = "true > /dev/log && echo written; :";
    for (rules, expected) in [
        (json!([all, kmsg(true, "rw")]), "written"),
        (json!([kmsg(true, "rw"), all]), ""),
        (json!([all, kmsg(true, "rw"), kmsg(false, "w")]), ""),
        (json!([all, kmsg(false, "w"), kmsg(true, "w")]), "written"),
        (json!([all, kmsg(true, "r")]), ""),
    ] {
        bundle.config["linux"]["resources"]["devices"] = rules.clone();
        assert_eq!(bundle.stdout_of(script), expected, "{rules}");
    }
}

#[test]
fn a_terminal_is_sent_to_the_console_socket_and_is_the_console() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.config["process"]["terminal"] = json!(true);
    bundle.config["process"]["consoleSize"] = json!({ "height": 33, "width": 99 });
    bundle.set_script(
        "tty; stty size; stat -c %t /dev/console; [ -t 0 -a -t 1 -a -t 2 ] && echo all three
        echo x > /dev/tty && echo the end",
    );
    let path = bundle.dir().join("console");
    let socket = Socket::at(&path);
    bundle.create_with(&["--console-socket", path.to_str().unwrap()]).exits(0);
    let (_, mut descriptors) = receive(&socket.accept());
    assert_eq!(descriptors.len(), 1);
    let mut terminal = File::from(descriptors.pop().unwrap());
    bundle.call(&["start", ID]).exits(0);
    let mut seen = String::new();
    let ended = eventually(|| {
        let mut bytes = [0; 4096];
        match terminal.read(&mut bytes) {
            Ok(count) => seen.push_str(&String::from_utf8_lossy(&bytes[..count])),
            Err(_) => return Some(()), // EIO: nobody has the other end open
        }
        seen.contains("the end").then_some(())
    });
    assert!(ended.is_some(), "{seen:?}");
    for expected in ["33 99", "all three", "the end"] {
        assert!(seen.contains(expected), "{expected}: {seen:?}");
    }
    // 136 to 143 are the numbers of pseudoterminals.
    assert!(seen.contains("\n88\r"), "/dev/console is the pseudoterminal: {seen:?}");
}

#[test]
fn a_console_size_without_a_terminal_is_ignored() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.config["process"]["consoleSize"] = json!({ "height": 33, "width": 99 });
    let script = "[ -t 0 ] || echo no terminal; ls /dev/console 2>/dev/null; :";
    assert_eq!(bundle.stdout_of(script), "no terminal");
}

#[test]
fn a_console_size_without_a_height_or_width_is_refused() {
    let why = "runc takes a missing value for 0";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    for size in [json!({ "height": 33 }), json!({ "width": 99 })] {
        bundle.config["process"]["consoleSize"] = size;
        bundle.assert_config_refused();
    }
}

#[test]
fn a_terminal_without_a_console_socket_is_refused_by_create() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.config["process"]["terminal"] = json!(true);
    bundle.assert_config_refused();
    host::assert_dev_null_is_a_device();
}
