//! `rootfs-fetch.sh` and `.cargo/runner`, the two scripts that stand between a newcomer and the
//! first container: from outside, without a network, as root or as anybody.

use assert_cmd::assert::{Assert, OutputAssertExt};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use predicates::prelude::*;
use predicates::str::contains;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const OLDER_ALPINE: &str = "alpine-minirootfs-3.20.3-x86_64.tar.gz";
const OLDER_DIGEST: &str = "9d5405f61f8a6ebc02461ba75346fbf1a63a4eab8510a0158dd321cee0c4dafe28c2a3d2cb7c3d75e2a8130dae0c3c92382f5b6adeea309eafc97621c5bf6400";

/// Everything that either script may call, and what their fakes need.
const USED_BY_THE_SCRIPTS: &str = "apt-get basename busybox cat chmod chown cp curl cut dirname dpkg-deb env \
    flock grep gzip head id ldd ln ls mkdir mktemp mv openssl readlink rm sed setsid sh sha512sum sleep sort sudo \
    tail tar tr uname wget";

// --- what a tree looks like

#[test]
fn a_tarball_becomes_a_root_file_system() {
    let place = Place::new();
    let tarball = place.little_tarball("little.tar.gz");
    place
        .fetch()
        .arg("--from")
        .arg(tarball)
        .assert()
        .success()
        .stderr(contains("the digest of little.tar.gz is not known").and(contains("SHA-512")));
    place.assert_has(&["bin/sh", "bin/ls", "tmp"]);
    // The archive's modes, whatever the umask is.
    let tmp = fs::metadata(place.path("rootfs/tmp")).unwrap();
    assert_eq!(tmp.mode() & 0o7777, 0o1777);
    place.assert_nothing_else_left(&["little.tar.gz", "rootfs", "tree"]);
}

#[test]
fn kiste_alpine_is_tried_first() {
    let place = Place::new();
    let tarball = alpine().unwrap_or_else(|| place.little_tarball("little.tar.gz"));
    place
        .fetch()
        .env("KISTE_ALPINE", &tarball)
        .assert()
        .success()
        .stderr(contains(format!("from {}", tarball.display())).and(contains("fetching").not()));
    place.assert_has(&["bin/sh", "bin/ls"]);
}

#[test]
fn a_kiste_alpine_that_is_missing_is_an_error_and_not_passed_over() {
    let place = Place::new();
    place
        .fetch()
        .env("KISTE_ALPINE", "no-such.tar.gz")
        .assert()
        .code(1)
        .stderr(contains("KISTE_ALPINE: cannot read no-such.tar.gz: No such file"));
    place.assert_nothing_else_left(&[]);
}

#[test]
fn a_static_busybox_brings_a_shell_and_its_commands() {
    let place = Place::new();
    place.fake("busybox", "echo sh; echo ls; echo busybox");
    place.fetch().args(["--from", "busybox"]).assert().success();
    place.assert_has(&["bin/busybox", "bin/sh", "bin/ls", "etc/passwd", "proc", "tmp"]);
    assert_eq!(fs::read_link(place.path("rootfs/bin/sh")).unwrap(), Path::new("busybox"));
}

#[test]
fn the_distributions_busybox_is_only_unpacked() {
    let place = Place::new();
    let path = place.path_without(&["busybox"]);
    place.fake("apt-get", "case \"$*\" in *' download '*) : >busybox-static_1_all.deb ;; esac");
    place.fake(
        "dpkg-deb",
        "mkdir -p \"$3/bin\"; printf '#!/bin/sh\\necho sh; echo ls\\n' >\"$3/bin/busybox\"; \
         chmod +x \"$3/bin/busybox\"",
    );
    place
        .fetch()
        .env("PATH", format!("{}:{path}", place.path("fakes").display()))
        .args(["--from", "busybox"])
        .assert()
        .success()
        .stderr(contains("from Debian's package busybox-static"));
    place.assert_has(&["bin/busybox", "bin/sh", "bin/ls"]);
    place.assert_nothing_else_left(&["fakes", "path", "rootfs"]);
}

#[test]
fn busybox_comes_from_this_machine_or_the_error_says_why_not() {
    let place = Place::new();
    let output = place.fetch().args(["--from", "busybox"]).output().unwrap();
    if output.status.success() {
        place.assert_has(&["bin/busybox", "bin/sh", "bin/ls", "bin/cat", "bin/ps", "bin/mount"]);
        place.assert_nothing_else_left(&["rootfs"]);
    } else {
        output
            .assert()
            .code(1)
            .stderr(contains("busybox").and(contains("hint: install the package busybox-static")));
        place.assert_nothing_else_left(&[]);
    }
}

#[test]
fn the_hosts_own_tools_come_with_their_libraries() {
    let place = Place::new();
    place.fetch().args(["--from", "host"]).assert().success();
    place.assert_has(&["bin/sh", "bin/ls", "bin/cat", "bin/sleep", "bin/id", "etc/passwd", "root"]);
    // Every path that the host's loader needs for ls stands in the tree, too.
    let ls = Command::new("ldd").arg(place.path("rootfs/bin/ls")).output().unwrap();
    let listing = String::from_utf8(ls.stdout).unwrap();
    for library in listing.split_whitespace().filter(|word| word.starts_with('/')) {
        if !library.starts_with(place.dir.path().to_str().unwrap()) {
            place.assert_has(&[library.trim_start_matches('/').trim_end_matches(':')]);
        }
    }
    let tmp = fs::metadata(place.path("rootfs/tmp")).unwrap();
    assert_eq!(tmp.mode() & 0o7777, 0o1777);
    place.assert_nothing_else_left(&["rootfs"]);
}

#[test]
fn auto_says_why_each_earlier_source_was_not_used() {
    let place = Place::new();
    let path = place.path_without(&["busybox", "apt-get"]);
    place.fetch().env("PATH", path).env("KISTE_MIRROR", "http://127.0.0.1:1").assert().success().stderr(
        contains("KISTE_ALPINE is not set")
            .and(contains("not from alpine: "))
            .and(contains("not from busybox: no static busybox is installed"))
            .and(contains("this machine's own sh")),
    );
    place.assert_has(&["bin/sh", "bin/ls"]);
}

// --- mirrors and digests

#[test]
fn a_mirror_in_a_directory_needs_no_network() {
    let place = Place::new();
    match alpine().filter(|path| path.ends_with(OLDER_ALPINE)) {
        Some(tarball) => {
            place.mirror(&fs::read(tarball).unwrap());
            place
                .fetch_older_alpine()
                .assert()
                .success()
                .stderr(contains("Alpine 3.20.3 for x86_64, SHA-512 verified"));
            place.assert_has(&["bin/sh", "bin/busybox", "etc/alpine-release"]);
        }
        // Without the real tarball: what the mirror serves is what is judged.
        None => {
            place.mirror(b"not Alpine");
            place.fetch_older_alpine().assert().code(1).stderr(contains(OLDER_DIGEST));
        }
    }
}

#[test]
fn a_wrong_digest_unpacks_nothing() {
    let place = Place::new();
    let tarball = fs::read(place.little_tarball("little.tar.gz")).unwrap();
    place.mirror(&tarball);
    let found = sha512(&place.path("little.tar.gz"));
    // Neither when Alpine is asked for, nor as one source of several.
    for from in ["alpine", "auto"] {
        place.fetch_older_alpine().args(["--from", from]).assert().code(1).stderr(
            contains("wrong SHA-512")
                .and(contains(OLDER_DIGEST))
                .and(contains(found.as_str()))
                .and(contains("busybox").not()),
        );
        place.assert_nothing_else_left(&["fakes", "little.tar.gz", "mirror", "tree"]);
    }
}

#[test]
fn a_file_that_bears_a_pinned_name_must_have_the_pinned_digest() {
    let place = Place::new();
    place.little_tarball(OLDER_ALPINE);
    place
        .fetch()
        .args(["--from", OLDER_ALPINE])
        .assert()
        .code(1)
        .stderr(contains("wrong SHA-512").and(contains(OLDER_DIGEST)));
    place.assert_nothing_else_left(&[OLDER_ALPINE, "tree"]);
}

#[test]
fn curl_and_wget_both_fetch_over_http() {
    for absent in ["wget", "curl"] {
        let place = Place::new();
        let tarball = fs::read(place.little_tarball("little.tar.gz")).unwrap();
        let path = place.path_without(&[absent]);
        let address = serve_once(tarball);
        place
            .fetch()
            .env("PATH", path)
            .args(["--from", &format!("http://{address}/served.tar.gz?now")])
            .assert()
            .success()
            .stderr(contains("the digest of served.tar.gz is not known"));
        place.assert_has(&["bin/sh"]);
    }
}

#[test]
fn a_mirror_that_cannot_be_reached_is_named_with_the_reason() {
    for absent in ["wget", "curl"] {
        let place = Place::new();
        let path = place.path_without(&[absent]);
        place
            .fetch()
            .env("PATH", path)
            .env("KISTE_MIRROR", "http://127.0.0.1:1")
            .args(["--from", "alpine"])
            .assert()
            .code(1)
            .stderr(contains("http://127.0.0.1:1/v3.24/releases/").and(contains("hint: ")));
        place.assert_nothing_else_left(&["path"]);
    }
}

#[test]
fn only_pinned_versions_are_accepted() {
    let place = Place::new();
    place
        .fetch()
        .env("KISTE_ALPINE_VERSION", "3.19.0")
        .assert()
        .code(1)
        .stderr(contains("KISTE_ALPINE_VERSION=3.19.0").and(contains("3.24.2 or 3.20.3")));
}

// --- archives that nobody should unpack

#[test]
fn an_archive_that_names_its_parent_is_refused() {
    let place = Place::new();
    place.write("outside/canary", "alive");
    place.write("outside/evil", "dead");
    place.tar(&["-cPf", "evil.tar", "--transform=s,.*,../canary,", "outside/evil"]);
    place.refuses_unsafe("evil.tar", "../canary");
}

#[test]
fn an_archive_with_absolute_names_is_refused() {
    let place = Place::new();
    place.write("outside/canary", "alive");
    let canary = place.path("outside/canary");
    place.tar(&["-cPf", "evil.tar", canary.to_str().unwrap()]);
    place.refuses_unsafe("evil.tar", canary.to_str().unwrap());
}

#[test]
fn an_archive_cannot_write_through_its_own_symlink() {
    let place = Place::new();
    place.write("outside/canary", "alive");
    fs::create_dir_all(place.path("tree")).unwrap();
    symlink(place.path("outside"), place.path("tree/way")).unwrap();
    place.tar(&["-cf", "evil.tar", "-C", "tree", "way"]);
    place.write("second/way/canary", "dead");
    place.tar(&["-rf", "evil.tar", "-C", "second", "way/canary"]);
    place.fetch().args(["--from", "evil.tar"]).assert().code(1).stderr(contains("cannot unpack"));
    assert_eq!(fs::read_to_string(place.path("outside/canary")).unwrap(), "alive");
    place.assert_nothing_else_left(&["evil.tar", "outside", "second", "tree"]);
}

#[test]
fn an_archive_without_a_shell_is_no_root_file_system() {
    let place = Place::new();
    place.write("tree/layer.tar", "");
    place.tar(&["-cf", "image.tar", "-C", "tree", "."]);
    place
        .fetch()
        .args(["--from", "image.tar"])
        .assert()
        .code(1)
        .stderr(contains("image.tar is no root file system").and(contains("docker export")));
    place.assert_nothing_else_left(&["image.tar", "tree"]);
}

#[test]
fn a_file_that_is_no_tarball_is_refused() {
    let place = Place::new();
    place.write("story.tar.gz", "once upon a time");
    place
        .fetch()
        .args(["--from", "story.tar.gz"])
        .assert()
        .code(1)
        .stderr(contains("story.tar.gz as a tarball"));
    place.assert_nothing_else_left(&["story.tar.gz"]);
}

// --- the destination

#[test]
fn a_second_run_leaves_the_first_ones_work_alone() {
    let place = Place::with_rootfs();
    let before = fs::metadata(place.path("rootfs")).unwrap().ino();
    place.fetch().args(["--from", "nonsense"]).assert().success().stderr(contains("is there already"));
    assert_eq!(fs::metadata(place.path("rootfs")).unwrap().ino(), before);
}

#[test]
fn force_replaces_a_root_file_system() {
    let place = Place::with_rootfs();
    place.write("rootfs/mine", "");
    place.fetch().args(["--force", "--from", "little.tar.gz"]).assert().success();
    place.assert_has(&["bin/sh"]);
    assert!(!place.path("rootfs/mine").exists());
    place.assert_nothing_else_left(&["little.tar.gz", "rootfs", "tree"]);
}

#[test]
fn a_force_that_fails_keeps_the_old_root_file_system() {
    let place = Place::with_rootfs();
    place.write("rootfs/mine", "");
    place.fetch().args(["--force", "--from", "no-such.tar"]).assert().code(1);
    place.assert_has(&["bin/sh", "mine"]);
}

#[test]
fn force_does_not_delete_what_is_no_root_file_system() {
    let place = Place::new();
    place.write("home/thesis", "");
    place
        .fetch()
        .args(["--force", "--from", "host", "--dest", "home"])
        .assert()
        .code(1)
        .stderr(contains("neither empty nor a root file system"));
    assert!(place.path("home/thesis").exists());
}

#[test]
fn the_default_destination_is_beside_the_script() {
    let place = Place::new();
    place.little_tarball("little.tar.gz");
    fs::create_dir(place.path("house")).unwrap();
    fs::copy(workspace().join("rootfs-fetch.sh"), place.path("house/rootfs-fetch.sh")).unwrap();
    Command::new("sh")
        .args(["house/rootfs-fetch.sh", "--from", "little.tar.gz"])
        .current_dir(place.dir.path())
        .assert()
        .success();
    assert!(place.path("house/rootfs/bin/sh").exists());
}

#[test]
fn a_destination_that_cannot_be_made_is_named() {
    let place = Place::new();
    place.write("file", "");
    place
        .fetch()
        .args(["--dest", "file/rootfs"])
        .assert()
        .code(1)
        .stderr(contains("cannot enter file").and(contains("hint: ")));
    // /proc takes nobody's directories, not even root's.
    place
        .fetch()
        .args(["--from", "host", "--dest", "/proc/rootfs"])
        .assert()
        .code(1)
        .stderr(contains("cannot make a directory in /proc").and(contains("hint: ")));
    place.fetch().args(["--dest", "/"]).assert().code(1).stderr(contains("own root"));
}

#[test]
fn a_missing_file_is_named() {
    let place = Place::new();
    place
        .fetch()
        .args(["--from", "no-such.tar"])
        .assert()
        .code(1)
        .stderr(contains("cannot read no-such.tar: No such file").and(contains("hint: ")));
    place.assert_nothing_else_left(&[]);
}

#[test]
fn an_unknown_option_is_a_usage_error() {
    let place = Place::new();
    place.fetch().arg("--frm=host").assert().code(2).stderr(contains("--frm=host").and(contains("usage: ")));
    place.fetch().arg("--from").assert().code(2).stderr(contains("--from needs a value"));
    place.assert_nothing_else_left(&[]);
}

#[test]
fn help_names_every_source() {
    let help = Place::new().fetch().arg("--help").assert().success();
    help.stdout(
        contains("alpine").and(contains("busybox")).and(contains("host")).and(contains("KISTE_MIRROR")),
    );
}

// --- two at once, and one that is killed

#[test]
fn two_at_once_make_one() {
    for without in [&[][..], &["flock"]] {
        let place = Place::with_gate(without);
        let mut first = place.start_and_stop_in_tar();
        let mut second = Running::start(place.gated_fetch().stderr(Stdio::piped()));
        let mut words = BufReader::new(second.child.stderr.take().unwrap());
        let mut line = String::new();
        words.read_line(&mut line).unwrap();
        assert!(line.contains("waiting for it"), "{line}");

        place.open_gate();
        assert!(first.wait().success());
        assert!(second.wait().success());
        words.read_to_string(&mut line).unwrap();
        assert!(line.contains("is there already"), "{line}");
        place.assert_has(&["bin/sh"]);
        place.assert_nothing_else_left(&[
            "fakes",
            "gate",
            "little.tar.gz",
            "path",
            "rootfs",
            "started",
            "tree",
        ]);
    }
}

#[test]
fn what_a_kill_leaves_is_cleaned_up_by_the_next_run() {
    for without in [&[][..], &["flock"]] {
        let place = Place::with_gate(without);
        let mut killed = place.start_and_stop_in_tar();
        killed.signal(Signal::SIGKILL);
        killed.wait();
        assert!(!place.path("rootfs").exists(), "half a root file system");

        place.fetch().env("PATH", place.path("path")).args(["--from", "little.tar.gz"]).assert().success();
        place.assert_has(&["bin/sh"]);
        place.assert_nothing_else_left(&[
            "fakes",
            "gate",
            "little.tar.gz",
            "path",
            "rootfs",
            "started",
            "tree",
        ]);
    }
}

#[test]
fn a_polite_end_leaves_nothing() {
    let place = Place::with_gate(&[]);
    let mut ended = place.start_and_stop_in_tar();
    ended.signal(Signal::SIGTERM);
    assert_eq!(ended.wait().code(), Some(143));
    place.assert_nothing_else_left(&["fakes", "gate", "little.tar.gz", "path", "started", "tree"]);
}

// --- the runner

#[test]
fn a_step_that_needs_root_is_started_by_sudo() {
    let house = House::new();
    house
        .run("target/debug/05-cgroups", &["run", "sh", "-c", "two  words", ""])
        .code(7)
        .stdout(contains("05-cgroups <run> <sh> <-c> <two  words> <>"))
        .stderr(contains("05-cgroups needs root").and(contains("SUDO -n -E env ")));
}

#[test]
fn sudo_does_not_lose_the_callers_path() {
    let house = House::new();
    let fakes = house.place.path("fakes");
    house.run("target/debug/01-uts", &["run", "sh"]).stderr(contains(format!(" PATH={}:", fakes.display())));
}

#[test]
fn asking_never_needs_root() {
    let house = House::new();
    for arguments in [
        &[][..],
        &["--help"],
        &["-h"],
        &["--version"],
        &["help"],
        &["doctor"],
        &["doctor", "--json"],
        &["run", "--help"],
        &["run", "-t", "-h"],
    ] {
        house.run("target/debug/05-cgroups", arguments).code(7).stderr("");
    }
}

#[test]
fn the_help_of_the_command_inside_is_the_commands_own() {
    House::new().run("target/debug/03-mount", &["run", "ls", "--help"]).stderr(contains("SUDO"));
}

#[test]
fn nothing_but_steps_and_their_tests_is_elevated() {
    let house = House::new();
    for binary in [
        "target/debug/00-exec",
        "target/debug/kiste-tool",
        "target/debug/examples/05-cgroups",
        "target/debug/deps/00_exec-0123456789abcdef",
        "target/debug/deps/cgroups-0123456789abcdef",
        "target/debug/deps/rootfs_fetch-0123456789abcdef",
    ] {
        house.make_rootfs();
        house.run(binary, &["run", "sh"]).code(7).stdout(contains("<run> <sh>")).stderr("");
    }
}

#[test]
fn a_step_test_run_as_root_writes_no_snapshots() {
    let house = House::new();
    house
        .run("target/debug/deps/05_cgroups-0123456789abcdef", &["--nocapture"])
        .code(7)
        .stdout(
            contains("INSTA_UPDATE=no").and(contains(format!("KISTE_ROOTFS={}", house.rootfs().display()))),
        )
        .stderr(contains("SUDO").and(contains("INSTA_WORKSPACE_ROOT=")));
}

#[test]
fn every_step_test_is_told_where_the_root_file_system_is() {
    let house = House::new();
    house
        .run("target/debug/deps/00_exec-0123456789abcdef", &[])
        .stdout(contains(format!("KISTE_ROOTFS={}", house.rootfs().display())));
}

#[test]
fn kiste_sudo_never_is_obeyed() {
    let house = House::new();
    let mut command = house.command("target/debug/05-cgroups", &["run", "sh"]);
    command.env("KISTE_SUDO", "never").assert().code(7).stderr(contains("SUDO").not());
}

#[test]
fn who_is_root_already_needs_no_sudo() {
    let house = House::new();
    house.place.fake("id", "echo 0");
    house.run("target/debug/05-cgroups", &["run", "sh"]).code(7).stderr(contains("SUDO").not());
}

#[test]
fn a_learners_half_right_code_changes_neither_mounts_nor_name_of_the_host() {
    let house = House::new();
    house.make_rootfs();
    let (mounts, name) = (contains("UNSHARE --mount --propagation slave"), contains("UNSHARE --uts"));
    let test = |step: &str| format!("target/debug/deps/{step}-0123456789abcdef");
    for root in [false, true] {
        if root {
            house.place.fake("id", "echo 0");
        }
        house.run("target/debug/02-pid", &["run", "sh"]).stderr(mounts.clone().not().and(name.clone().not()));
        house.run("target/debug/03-mount", &["run", "sh"]).code(7).stderr(mounts.clone());
        house.run(&test("01_uts"), &[]).code(7).stderr(name.clone().and(mounts.clone().not()));
        house.run(&test("05_cgroups"), &[]).code(7).stderr(name.clone().and(mounts.clone()));
    }
}

#[test]
fn without_a_terminal_a_password_is_not_waited_for() {
    let house = House::new();
    house.place.fake("sudo", "case $1 in -n) exit 1 ;; esac; echo asked; sleep 600");
    house
        .run("target/debug/05-cgroups", &["run", "sh"])
        .code(125)
        .stdout("")
        .stderr(contains("05-cgroups needs root").and(contains("hint: ")));
}

#[test]
fn without_sudo_the_step_itself_says_what_it_lacks() {
    let house = House::new();
    let path = house.place.path_without(&["sudo"]);
    let mut command = house.command("target/debug/05-cgroups", &["run", "sh"]);
    command.env("PATH", path).assert().code(7).stderr(contains("hint: 05-cgroups needs root"));
}

#[test]
fn the_root_file_system_is_fetched_before_sudo_and_only_where_needed() {
    let house = House::new();
    for (binary, arguments, fetches) in [
        ("target/debug/03-mount", &["run", "sh"][..], false),
        ("target/debug/05-cgroups", &["doctor"], false),
        ("target/debug/05-cgroups", &["gc"], false),
        ("target/debug/04-pivot-root", &["run", "sh"], true),
        ("target/debug/06-user", &["run", "sh"], true),
        ("target/debug/deps/01_uts-0123456789abcdef", &[], true),
    ] {
        fs::remove_dir_all(house.rootfs()).ok();
        let stderr = house.run(binary, arguments).code(7).get_output().stderr.clone();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(stderr.contains("FETCH"), fetches, "{binary} {arguments:?}: {stderr}");
        let order = (stderr.find("FETCH"), stderr.find("SUDO"));
        assert!(order.0.is_none() || order.1.is_none() || order.0 < order.1, "{stderr}");
    }
}

#[test]
fn no_root_file_system_no_start() {
    let house = House::new();
    house.place.write("house/rootfs-fetch.sh", "#!/bin/sh\nexit 1\n");
    house.run("target/debug/04-pivot-root", &["run", "sh"]).code(125).stdout("");
}

#[test]
fn every_step_has_its_alias() {
    let config = fs::read_to_string(workspace().join(".cargo/config.toml")).unwrap();
    for step in fs::read_dir(workspace().join("steps")).unwrap() {
        let step = step.unwrap();
        let name = step.file_name().into_string().unwrap();
        if step.path().join("src/main.rs").exists() {
            assert!(config.contains(&format!("{name} = \"run --bin {name} --\"")), "no alias {name}");
        }
    }
}

// --- the stage

/// A directory of one test's own, where the scripts run.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        // The runner's tests go on as another user when they are started by root.
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        Place { dir }
    }

    fn with_rootfs() -> Self {
        let place = Place::new();
        place.little_tarball("little.tar.gz");
        place.fetch().args(["--from", "little.tar.gz"]).assert().success();
        place
    }

    /// Here tar stops when it is to unpack, says so by the file `started`, and goes on when the
    /// FIFO `gate` is opened.
    fn with_gate(without: &[&str]) -> Self {
        let place = Place::new();
        place.little_tarball("little.tar.gz");
        let path = place.path_without(without);
        nix::unistd::mkfifo(&place.path("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        place.fake(
            "tar",
            &format!(
                "case $1 in -x*) for tree; do :; done; echo half >\"$tree/half\"; : >started; cat gate ;; esac\n\
                 PATH={path} exec tar \"$@\""
            ),
        );
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// A program that stands in for the real one.
    fn fake(&self, name: &str, script: &str) {
        self.write(&format!("fakes/{name}"), &format!("#!/bin/sh\n{script}\n"));
    }

    /// A PATH on which the scripts find everything that they use but these.
    fn path_without(&self, absent: &[&str]) -> String {
        let directory = self.path("path");
        fs::create_dir_all(&directory).unwrap();
        for name in USED_BY_THE_SCRIPTS.split_whitespace().filter(|name| !absent.contains(name)) {
            let found = std::env::var("PATH").unwrap();
            let found =
                found.split(':').chain(["/usr/sbin", "/sbin"]).map(|on_path| Path::new(on_path).join(name));
            if let Some(program) = { found }.find(|program| program.is_file()) {
                symlink(program, directory.join(name)).unwrap();
            }
        }
        directory.into_os_string().into_string().unwrap()
    }

    fn fetch(&self) -> Command {
        let mut command = Command::new("sh");
        command.arg(workspace().join("rootfs-fetch.sh")).args(["--dest", "rootfs"]);
        command.current_dir(self.dir.path()).env("PATH", self.fakes_first());
        for variable in ["KISTE_ALPINE", "KISTE_ALPINE_VERSION", "KISTE_MIRROR", "SUDO_UID"] {
            command.env_remove(variable);
        }
        command
    }

    fn fakes_first(&self) -> String {
        format!("{}:{}", self.path("fakes").display(), std::env::var("PATH").unwrap())
    }

    /// From the mirror of this place, the version whose only pin is for x86_64.
    fn fetch_older_alpine(&self) -> Command {
        self.fake("uname", "echo x86_64");
        let mut command = self.fetch();
        command.env("KISTE_MIRROR", format!("file://{}", self.path("mirror").display()));
        command.env("KISTE_ALPINE_VERSION", "3.20.3").args(["--from", "alpine"]);
        command
    }

    fn mirror(&self, tarball: &[u8]) {
        let releases = self.path("mirror/v3.20/releases/x86_64");
        fs::create_dir_all(&releases).unwrap();
        fs::write(releases.join(OLDER_ALPINE), tarball).unwrap();
    }

    fn little_tarball(&self, name: &str) -> PathBuf {
        self.write("tree/bin/sh", "");
        self.write("tree/bin/ls", "");
        fs::create_dir_all(self.path("tree/tmp")).unwrap();
        fs::set_permissions(self.path("tree/tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
        self.tar(&["-czf", name, "-C", "tree", "."]);
        self.path(name)
    }

    fn tar(&self, arguments: &[&str]) {
        Command::new("tar").args(arguments).current_dir(self.dir.path()).assert().success();
    }

    fn gated_fetch(&self) -> Command {
        let path = format!("{}:{}", self.path("fakes").display(), self.path("path").display());
        let mut command = self.fetch();
        command.env("PATH", path).args(["--from", "little.tar.gz"]);
        command
    }

    fn start_and_stop_in_tar(&self) -> Running {
        let running = Running::start(self.gated_fetch().stderr(Stdio::null()));
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.path("started").exists() {
            assert!(Instant::now() < deadline, "tar was never called");
            std::thread::yield_now();
        }
        running
    }

    fn open_gate(&self) {
        fs::OpenOptions::new().write(true).open(self.path("gate")).unwrap();
    }

    fn refuses_unsafe(&self, archive: &str, name: &str) {
        self.fetch()
            .args(["--from", archive])
            .assert()
            .code(1)
            .stderr(contains("is unsafe, nothing is unpacked").and(contains(name)));
        assert_eq!(fs::read_to_string(self.path("outside/canary")).unwrap(), "alive");
        self.assert_nothing_else_left(&[archive, "outside"]);
    }

    fn assert_has(&self, names: &[&str]) {
        for name in names {
            let path = self.path("rootfs").join(name);
            assert!(path.symlink_metadata().is_ok(), "no {}", path.display());
        }
    }

    fn assert_nothing_else_left(&self, expected: &[&str]) {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        for entry in entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
            assert!(expected.contains(&entry.as_str()), "left behind: {entry}");
        }
    }
}

/// A script at work, with all that it has started: none of it outlives the test.
struct Running {
    child: Child,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        Running { child: command.process_group(0).stdout(Stdio::null()).spawn().unwrap() }
    }

    fn signal(&self, signal: Signal) {
        let group = Pid::from_raw(self.child.id().try_into().unwrap());
        killpg(group, signal).ok(); // nobody may be left
    }

    fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().ok();
    }
}

/// A workspace with the real runner, and with a sudo, a fetch and binaries that only tell of it.
struct House {
    place: Place,
}

impl House {
    fn new() -> Self {
        let place = Place::new();
        place.write("house/.cargo/runner", &fs::read_to_string(workspace().join(".cargo/runner")).unwrap());
        // What it makes must be the caller's: the caller may write here, as at home.
        place.write("house/rootfs-fetch.sh", "#!/bin/sh\necho FETCH \"$@\" >&2\nmkdir \"$2\"\n");
        fs::set_permissions(place.path("house"), PermissionsExt::from_mode(0o777)).unwrap();
        place.fake(
            "sudo",
            "echo \"SUDO $*\" >&2\nwhile :; do case $1 in -*) shift ;; *) exec \"$@\" ;; esac; done",
        );
        // For real an ordinary user may not do it.
        let strip =
            "while :; do case $1 in --propagation) shift 2 ;; -*) shift ;; *) exec \"$@\" ;; esac; done";
        place.fake("unshare", &format!("echo \"UNSHARE $*\" >&2\n{strip}"));
        House { place }
    }

    fn rootfs(&self) -> PathBuf {
        self.place.path("house").canonicalize().unwrap().join("rootfs")
    }

    fn make_rootfs(&self) {
        fs::create_dir_all(self.rootfs()).unwrap();
    }

    /// As an ordinary user and without a terminal, also when the test has both.
    fn command(&self, binary: &str, arguments: &[&str]) -> Command {
        self.place.write(
            binary,
            "#!/bin/sh\nprintf %s \"${0##*/}\"; printf ' <%s>' \"$@\"; echo\n\
             env | grep -E '^(INSTA|KISTE)_' || :\nexit 7\n",
        );
        let mut command = Command::new("setsid");
        command.arg("--wait").arg(self.place.path("house/.cargo/runner"));
        command.arg(self.place.path(binary)).args(arguments);
        command.current_dir(self.place.dir.path()).env("PATH", self.place.fakes_first());
        for variable in ["KISTE_SUDO", "KISTE_ROOTFS", "INSTA_UPDATE", "INSTA_WORKSPACE_ROOT"] {
            command.env_remove(variable);
        }
        if nix::unistd::geteuid().is_root() {
            command.uid(65534).gid(65534);
        }
        command
    }

    fn run(&self, binary: &str, arguments: &[&str]) -> Assert {
        self.command(binary, arguments).assert()
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The tarball that whoever runs the tests has at hand.
fn alpine() -> Option<PathBuf> {
    std::env::var_os("KISTE_ALPINE").filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn sha512(file: &Path) -> String {
    let output = Command::new("sha512sum").arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

/// Answers one HTTP request with these bytes.
fn serve_once(body: Vec<u8>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut request = BufReader::new(connection.try_clone().unwrap()).lines();
        while request.next().is_some_and(|line| !line.unwrap().is_empty()) {}
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        connection.write_all(head.as_bytes()).unwrap();
        connection.write_all(&body).unwrap();
    });
    address
}
