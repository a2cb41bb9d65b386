//! /etc/hosts, /etc/hostname and /etc/resolv.conf of a container, mounted over those of
//! the image.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::dns::Host;

const FILES: [&str; 3] = ["etc/hosts", "etc/hostname", "etc/resolv.conf"];

fn host() -> Option<Host> {
    Host::with_dns_servers(&["127.0.0.53"])
}

fn is_empty(file: &Path) -> bool {
    fs::symlink_metadata(file).is_ok_and(|found| found.is_file() && found.len() == 0)
}

#[test]
fn the_files_have_the_containers_names_and_the_images_files_are_not_written() {
    let Some(host) = host() else { return };
    let rootfs = host.fixture.rootfs().to_path_buf();
    FILES
        .iter()
        .for_each(|name| fs::write(rootfs.join(name), "the image's\n").unwrap());
    let script = "cat /etc/hosts /etc/hostname /etc/resolv.conf; for f in hosts hostname resolv.conf; do \
                  echo more >> /etc/$f; done; ip -4 addr show eth0";
    let options =
        ["--hostname", "web", "--net-alias", "www", "--add-host", "db=192.0.2.7"];
    let ran = host
        .run(&[&options[..], &["--dns-search", "lan"]].concat(), &["sh", "-c", script]);
    ran.exits(0);
    let address = ran
        .out
        .split("inet ")
        .nth(1)
        .and_then(|rest| rest.split('/').next())
        .expect("an address");
    let gateway = format!("{}.1", address.rsplit_once('.').unwrap().0);
    let expected = format!(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n192.0.2.7\tdb\n{address}\tweb www\n\
         web\nnameserver {gateway}\nsearch kiste.internal lan\n"
    );
    assert!(ran.out.starts_with(&expected), "{} should begin with {expected}", ran.out);
    for name in FILES {
        assert_eq!(
            fs::read_to_string(rootfs.join(name)).unwrap(),
            "the image's\n",
            "{name}"
        );
    }
}

#[test]
fn the_resolver_has_the_requested_options() {
    let Some(host) = host() else { return };
    for option in ["--dns-option", "--dns-opt"] {
        for network in ["bridge", "none", "host"] {
            let options = ["--network", network, option, "ndots:3", option, "rotate"];
            host.run(&options, &["grep", "options", "/etc/resolv.conf"])
                .assert_stdout("options ndots:3 rotate");
        }
    }
    let ran = host.run(&["--dns-option", "rotate\nnameserver 192.0.2.1"], &["true"]);
    ran.exits(2).assert_stderr_contains("is no option of a resolver");
}

#[test]
fn host_gateway_stands_for_the_hosts_address() {
    let Some(host) = host() else { return };
    let script = "ping -c 1 -W 5 outside && grep outside /etc/hosts";
    host.run(&["--add-host", "outside:host-gateway"], &["sh", "-c", script]).exits(0);
}

#[test]
fn missing_mount_points_are_also_created_in_a_read_only_root_file_system() {
    let Some(host) = host() else { return };
    let rootfs = host.fixture.rootfs().to_path_buf();
    for options in [
        &[][..],
        &["--read-only"],
        &["--userns", "auto"],
        &["--userns", "auto", "--read-only"],
    ] {
        let _ = FILES.map(|name| fs::remove_file(rootfs.join(name)));
        let script = "grep -c nameserver /etc/resolv.conf; cat /etc/hostname; stat -c '%u %a' /etc/hosts";
        let ran = host
            .run(&[options, &["--hostname", "web"]].concat(), &["sh", "-c", script]);
        if ran.lacks_idmapped_mounts() {
            continue;
        }
        ran.assert_stdout("1\nweb\n0 644");
        assert!(FILES.iter().all(|name| is_empty(&rootfs.join(name))), "{options:?}");
    }
    let ran = host.run(&["--read-only"], &["sh", "-c", "echo more >> /etc/hosts"]);
    assert!(ran.code != 0 && ran.err.contains("Read-only file system"), "{ran:?}");
}

#[test]
fn a_symbolic_link_in_the_image_does_not_lead_to_the_host() {
    let Some(host) = host() else { return };
    let rootfs = host.fixture.rootfs().to_path_buf();
    let canary = host.fixture.dir().join("canary");
    fs::write(&canary, "untouched").unwrap();
    let relative = format!("../../../../../../../..{}", canary.display());
    for to in [
        "../run/systemd/resolve/stub-resolv.conf",
        "/nowhere/at/all",
        canary.to_str().unwrap(),
        &relative,
    ] {
        for options in [&[][..], &["--read-only"]] {
            let _ = fs::remove_file(rootfs.join("etc/resolv.conf"));
            symlink(to, rootfs.join("etc/resolv.conf")).unwrap();
            let ran =
                host.run(options, &["grep", "-c", "nameserver", "/etc/resolv.conf"]);
            ran.assert_stdout("1");
            assert_eq!(
                fs::read_link(rootfs.join("etc/resolv.conf")).unwrap(),
                Path::new(to)
            );
        }
    }
    assert_eq!(fs::read_to_string(&canary).unwrap(), "untouched");
    assert!(!Path::new("/nowhere").exists());
}

/// The image would choose what the files cover in the container's /dev, /proc or /sys.
#[test]
fn a_symbolic_link_into_dev_proc_or_sys_is_refused() {
    let Some(host) = host() else { return };
    let rootfs = host.fixture.rootfs().to_path_buf();
    for name in FILES {
        let file = rootfs.join(name);
        for (to, what) in [
            ("/dev/null", "a symbolic link leads into /dev"),
            ("../dev/shm/hosts", "a symbolic link leads into /dev"),
            ("/proc/sys/kernel/core_pattern", "what is in /proc"),
            ("/proc/self/mounts", "what is in /proc"),
            ("/sys/kernel/profiling", "a symbolic link leads into /sys"),
        ] {
            let _ = fs::remove_file(&file);
            symlink(to, &file).unwrap();
            let ran = host.run(&["-v", "/dev/zero:/zero"], &["echo", "it runs"]);
            ran.exits(125).assert_stderr_contains(&format!("/{name}"));
            let is_missing = ran.err.contains("ENOENT"); // not in this /dev or /sys
            assert!(ran.err.contains(what) || is_missing, "{to}: {ran:?}");
            assert_eq!(ran.out, "");
        }
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn the_mount_points_are_neither_committed_nor_listed_as_changes() {
    let Some(host) = host() else { return };
    let files = |name: &str| host.fixture.rootfs().join(name);
    for name in FILES.iter().chain(&["etc/passwd"]) {
        let _ = fs::remove_file(files(name));
    }
    symlink("../run/resolve/stub.conf", files("etc/resolv.conf")).unwrap();
    let store = host.fixture.store();
    let store = store.to_str().unwrap();
    let archive = host.fixture.dir().join("image.tar");
    let packed = std::process::Command::new("tar")
        .arg("-C")
        .arg(host.fixture.rootfs())
        .args(["--exclude=./proc", "--exclude=./sys", "--exclude=./dev", "-cf"])
        .args([archive.as_os_str(), ".".as_ref()])
        .status();
    assert!(packed.unwrap().success());
    let archive = archive.to_str().unwrap();
    host.fixture.call(["import", "--store", store, archive, "one:1"]).exits(0);
    let image = ["--image", "one:1", "--commit", "two:1", "-v", "/dev/null:/volume"];
    let script = "echo new > /etc/new; rm -f /etc/hosts; mkdir -p /run/resolve/more";
    host.run(&image, &["sh", "-c", script]).exits(0);
    let changes = |of: &str| {
        let changes = host.fixture.call(["diff", "--store", store, of]);
        let mut lines: Vec<_> =
            changes.exits(0).out.lines().map(String::from).collect();
        lines.sort_by(|one, other| one[2..].cmp(&other[2..]));
        lines
    };
    // As in Docker, the target of a volume is a change.
    let expected =
        ["C /etc", "A /etc/new", "A /run/resolve", "A /run/resolve/more", "A /volume"];
    let without_run = |mut lines: Vec<String>| {
        lines.retain(|line| &line[2..] != "/run");
        lines
    };
    assert_eq!(without_run(changes("two:1")), expected);

    let script = ["sh", "-c", "echo ready; exec sleep 1000"];
    let mut running = host.start(&["--image", "one:1"], &script);
    running.wait_for("ready");
    let id = fs::read_dir(host.fixture.store().join("containers")).unwrap().next();
    let id = id.unwrap().unwrap().file_name().into_string().unwrap();
    assert_eq!(changes(&id), [""; 0]);
    drop(running);
}

#[test]
fn a_mount_point_that_is_not_a_regular_file_is_refused() {
    let Some(host) = host() else { return };
    let rootfs = host.fixture.rootfs().to_path_buf();
    let assert_refused = |prepare: &dyn Fn(&Path), why: &str| {
        let hosts = rootfs.join("etc/hosts");
        let _ = fs::remove_file(&hosts);
        prepare(&hosts);
        host.run(&[], &["true"]).exits(125).assert_stderr_contains(why);
        let _ = fs::remove_dir(&hosts);
    };
    assert_refused(&|hosts| fs::create_dir(hosts).unwrap(), "not a regular file");
    assert_refused(&|hosts| symlink("hosts", hosts).unwrap(), "loop of symbolic links");
    assert_refused(
        &|hosts| nix::unistd::mkfifo(hosts, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        "not a regular file",
    );
}

#[test]
fn a_volume_covers_the_file() {
    let Some(host) = host() else { return };
    let mine = host.fixture.dir().join("mine");
    fs::write(&mine, "mine\n").unwrap();
    let volume = format!("{}:/etc/hosts", mine.display());
    host.run(&["-v", &volume], &["cat", "/etc/hosts"]).assert_stdout("mine");
}

#[test]
fn with_the_hosts_network_the_container_has_the_hosts_dns_servers() {
    let Some(host) = host() else { return };
    let ran = host.run(
        &["--network", "host", "--hostname", "web"],
        &["cat", "/etc/resolv.conf", "/etc/hosts"],
    );
    assert!(
        ran.out.starts_with("nameserver 127.0.0.53\n")
            && ran.out.contains("127.0.1.1\tweb\n"),
        "{ran:?}"
    );
    let ran = host.run(
        &["--network", "host", "--dns", "192.0.2.9"],
        &["cat", "/etc/resolv.conf"],
    );
    ran.assert_stdout("nameserver 192.0.2.9");
}

#[test]
fn host_gateway_is_refused_on_a_network_that_does_not_reach_the_host() {
    let Some(host) = host() else { return };
    let added = ["--add-host", "outside:host-gateway"];
    for network in ["none", "pasta"] {
        let ran = host.run(&[&["--network", network], &added[..]].concat(), &["true"]);
        ran.exits(2)
            .assert_stderr_contains("host-gateway")
            .assert_stderr_contains(network);
    }
    let shared = [&["--network", "host"], &added[..]].concat();
    host.run(&shared, &["grep", "127.0.0.1.outside", "/etc/hosts"]).exits(0);
}

#[test]
fn an_invalid_added_host_is_a_usage_error() {
    let Some(host) = host() else { return };
    for bad in ["db", "db:", "db:300.1.1.1", "a b:1.2.3.4", "db:gateway"] {
        host.run(&["--add-host", bad], &["true"]).exits(2);
    }
}
