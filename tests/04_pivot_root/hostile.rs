//! Hostile root file systems: they try to make the runtime mount, create or write a
//! file on the host. security.md lists the CVEs.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

/// Makes a directory on the host that must not be changed.
fn canary(fixture: &Fixture) -> PathBuf {
    let path = fixture.dir().join("canary");
    fs::create_dir_all(path.join("self/fd")).unwrap();
    fs::create_dir_all(path.join("pts")).unwrap();
    fs::write(path.join("file"), "of the host").unwrap();
    path
}

/// CVE-2019-16884, 2019-19921, 2023-27561, 2023-28642; runc 2026-41579 and crun
/// 2026-47766 for /dev.
#[test]
fn a_mount_point_behind_a_symbolic_link_or_no_directory_is_refused() {
    let Some(fixture) = fixture() else { return };
    let canary = canary(&fixture);
    let before = listing(&canary);
    fs::create_dir_all(fixture.rootfs().join("other/self/fd")).unwrap();
    // The canary's path also exists inside, so a link to it does not dangle there.
    let twin = fixture.rootfs().join(canary.strip_prefix("/").unwrap());
    fs::create_dir_all(&twin).unwrap();

    for place in ["proc", "sys", "dev"] {
        let path = fixture.rootfs().join(place);
        let aside = fixture.rootfs().join("aside");
        fs::rename(&path, &aside).unwrap();
        let assert_refused = |what: &str| {
            let ran = fixture.run(&[], &["echo", "it runs"]);
            ran.exits(125)
                .assert_stderr_contains(&format!("/{place}"))
                .assert_stderr_contains("hint:");
            assert_eq!(
                (ran.out.as_str(), listing(&canary) == before),
                ("", true),
                "/{place} is {what}"
            );
            fs::remove_file(&path).unwrap();
        };
        for link in [
            canary.to_str().unwrap(),
            "../canary",
            "/nowhere",
            "nowhere",
            "/other",
            "other",
            "/",
            "..",
        ] {
            symlink(link, &path).unwrap();
            assert_refused(&format!("a link to {link}"));
        }
        fs::write(&path, "").unwrap();
        assert_refused("a file");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        assert_refused("a FIFO");
        fs::rename(&aside, &path).unwrap();
    }
    assert_eq!(
        fs::read_dir(&twin).unwrap().count(),
        0,
        "no file is created where the link leads inside"
    );
    fixture.run(&[], &["echo", "it runs"]).assert_stdout("it runs");
}

#[test]
fn a_missing_mount_point_is_made() {
    let Some(fixture) = fixture() else { return };
    for place in ["proc", "sys", "dev"] {
        fs::remove_dir_all(fixture.rootfs().join(place)).unwrap();
    }
    fixture
        .sh(&[], "echo /proc/[0-9]*; cat /dev/null; ls -d /sys/kernel")
        .assert_stdout("/proc/1\n/sys/kernel");
}

/// CVE-2025-31133 (/dev/null), 2025-52565 (/dev/pts, /dev/console), and the other files
/// in /dev.
#[test]
fn links_in_dev_of_the_image_are_covered_by_the_new_dev() {
    let Some(fixture) = fixture() else { return };
    let canary = canary(&fixture);
    let before = listing(&canary);
    let dev = fixture.rootfs().join("dev");
    fs::remove_dir_all(&dev).unwrap();
    fs::create_dir(&dev).unwrap();
    for name in ["null", "console", "tty", "ptmx", "fd"] {
        symlink(canary.join("file"), dev.join(name)).unwrap();
    }
    for name in ["pts", "shm", "mqueue"] {
        symlink(canary.join("pts"), dev.join(name)).unwrap();
    }
    let script = "echo lost > /dev/null; echo made > /dev/shm/x; echo /dev/pts/*; tty";
    fixture.sh(&["-t"], script).assert_stdout("/dev/pts/0 /dev/pts/ptmx\r\n/dev/pts/0");
    fixture.sh(&[], "echo lost > /dev/null; echo made > /dev/shm/x").assert_stdout("");
    assert_eq!(listing(&canary), before);
    assert_eq!(fs::read_to_string(canary.join("file")).unwrap(), "of the host");
}

#[test]
fn a_target_below_a_link_is_resolved_inside_the_root() {
    let Some(fixture) = fixture() else { return };
    let canary = canary(&fixture);
    let before = listing(&canary);
    let source = fixture.dir().join("source");
    fs::create_dir(&source).unwrap();
    let root = fixture.rootfs();
    symlink(&canary, root.join("absolute")).unwrap();
    symlink("../../../../../../../..", root.join("up")).unwrap();
    symlink("absolute", root.join("indirect")).unwrap();
    symlink("/proc/self/root", root.join("magic")).unwrap();
    symlink("/proc/1/cwd", root.join("magic-too")).unwrap();
    let below = canary.strip_prefix("/").unwrap().display();
    let targets = [
        "/absolute".into(),
        "/absolute/made".into(),
        "/indirect/made/deep".into(),
        format!("/up/{below}/made"),
        format!("/magic/{below}/made"),
        format!("/magic-too/{below}"),
        format!("/dev/fd/../../../{below}/made"),
        "/dev/stdin".into(),
    ];
    let try_all = || {
        for target in &targets {
            let option = format!("{}:{target}", source.display());
            let ran = fixture.run(&["-v", &option], &["cat", "/proc/self/mountinfo"]);
            let is_mounted = ran.out.lines().any(|line| line.contains("/source "));
            assert_eq!(
                ran.code == 0,
                is_mounted,
                "the target is mounted inside, or refused: {target}: {ran:?}"
            );
            assert!(ran.code == 0 || ran.code == 125, "{target}: {ran:?}");
            assert_eq!(listing(&canary), before, "{target}");
        }
    };
    try_all();
    // Tries the same again when the path of the canary also exists inside.
    fs::create_dir_all(root.join(canary.strip_prefix("/").unwrap())).unwrap();
    try_all();
    fixture
        .run(&["-v", &format!("{}:/absolute", source.display())], &["true"])
        .exits(0);
}

#[test]
fn a_dangling_link_as_a_target_is_followed_inside() {
    let Some(fixture) = fixture() else { return };
    let (root, outside) = (fixture.rootfs(), fixture.dir().join("outside"));
    fs::create_dir(&outside).unwrap();
    let source = fixture.dir().join("zone");
    fs::write(&source, "of the volume\n").unwrap();
    symlink("/usr/share/no/such/zone", root.join("etc/zone")).unwrap();
    symlink("../../../../../../outside/file", root.join("etc/up")).unwrap();
    symlink(outside.join("file"), root.join("etc/absolute")).unwrap();
    for link in ["/etc/zone", "/etc/up", "/etc/absolute"] {
        let volume = format!("{}:{link}:ro", source.display());
        fixture.run(&["-v", &volume], &["cat", link]).assert_stdout("of the volume");
    }
    assert!(root.join("usr/share/no/such/zone").is_file());
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    symlink("/no/such/directory", root.join("link")).unwrap();
    fixture
        .sh(&["--tmpfs", "/link"], "grep -c /no/such/directory /proc/mounts")
        .assert_stdout("1");
}

#[test]
fn a_loop_of_links_as_a_target_is_refused() {
    let Some(fixture) = fixture() else { return };
    symlink("link", fixture.rootfs().join("link")).unwrap();
    let ran = fixture.run(&["--tmpfs", "/link"], &["echo", "it runs"]);
    ran.exits(125).assert_stderr_contains("/link: a loop of symbolic links");
    assert_eq!(ran.out, "");
}

#[test]
fn a_target_that_is_the_root_itself_is_refused() {
    let Some(fixture) = fixture() else { return };
    symlink("/", fixture.rootfs().join("link")).unwrap();
    for target in ["//", "/..", "/etc/..", "/link"] {
        let ran = fixture.run(&["--tmpfs", target], &["echo", "it runs"]);
        ran.exits(125).assert_stderr_contains("the root itself cannot be mounted over");
        assert_eq!(ran.out, "");
    }
}

#[test]
fn a_link_to_proc_sys_or_dev_is_refused_as_a_target() {
    let Some(fixture) = fixture() else { return };
    let source = fixture.dir().join("source");
    fs::create_dir(&source).unwrap();
    for (name, to, what) in [
        ("proc-itself", "/proc", "what is in /proc"),
        ("relative", "etc/../proc", "what is in /proc"),
        ("sys-itself", "/sys", "/sys"),
        ("dev-itself", "dev", "/dev"),
    ] {
        symlink(to, fixture.rootfs().join(name)).unwrap();
        for option in [
            ["-v", &format!("{}:/{name}", source.display())],
            ["--tmpfs", &format!("/{name}")],
        ] {
            let ran = fixture.run(&option, &["echo", "it runs"]);
            ran.exits(125).assert_stderr_contains(&format!(
                "/{name}: {what} cannot be mounted over"
            ));
            assert_eq!(ran.out, "");
        }
    }
    let ran = fixture.run(&["--tmpfs", "/proc-itself/sys"], &["echo", "it runs"]);
    assert_eq!(
        (ran.exits(125).out.as_str(), ran.err.contains("/proc-itself/sys")),
        ("", true),
        "{ran:?}"
    );
    fixture
        .run(&["--tmpfs", "/dev"], &["echo", "it runs"])
        .exits(125)
        .assert_stderr_contains("/dev cannot be mounted over");
}

/// The user may name a file in /dev. An image may not choose one by a link at the target
/// of a volume.
#[test]
fn no_link_of_the_image_chooses_what_a_volume_covers_in_dev_or_sys() {
    let Some(fixture) = fixture() else { return };
    let (source, root) = (fixture.dir().join("source"), fixture.rootfs());
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "of the volume\n").unwrap();
    fs::create_dir(root.join("real")).unwrap();
    for (name, to) in [
        ("terminals", "/dev/pts"),
        ("memory", "dev/shm"),
        ("queues", "real/../dev/mqueue"),
        ("devices", "/dev"),
        ("nothing", "/dev/null"),
        ("setting", "/sys/kernel"),
        ("made", "/dev/made"),
        ("twice", "memory"),
        ("run", "/real"),
    ] {
        let _ = fs::remove_file(root.join(name));
        let _ = fs::remove_dir(root.join(name));
        symlink(to, root.join(name)).unwrap();
    }
    let volume = |of: &str, target: &str| format!("{}{of}:{target}", source.display());
    for (of, target, default) in [
        ("", "/terminals", "/dev"),
        ("", "/memory", "/dev"),
        ("", "/queues", "/dev"),
        ("", "/twice", "/dev"),
        ("", "/devices/shm", "/dev"),
        ("/file", "/nothing", "/dev"),
        ("", "/setting", "/sys"),
        ("", "/made", "/dev"),
    ] {
        let ran = fixture.run(&["-v", &volume(of, target)], &["echo", "it runs"]);
        let why = format!("a symbolic link leads into {default}, which cannot be");
        ran.exits(125).assert_stderr_contains(&format!("{target}: {why}"));
        assert_eq!(ran.out, "");
    }
    host::assert_dev_null_is_a_device();
    let shm = volume("", "/dev/shm");
    fixture
        .run(&["-v", &shm], &["cat", "/dev/shm/file"])
        .assert_stdout("of the volume");
    // A link may lead to another mount of the user's.
    let (below, memory) = (volume("", "/run/below"), "/real");
    fixture
        .run(&["--tmpfs", memory, "-v", &below], &["cat", "/real/below/file"])
        .assert_stdout("of the volume");
}

/// CVE-2021-30465 and 2024-45310: a directory becomes a link to the host while the
/// runtime mounts on it.
#[test]
fn a_target_that_is_replaced_by_a_link_does_not_lead_out() {
    let Some(fixture) = fixture() else { return };
    let canary = canary(&fixture);
    let before = listing(&canary);
    let source = fixture.dir().join("source");
    fs::create_dir(&source).unwrap();
    let (target, link) =
        (fixture.rootfs().join("target"), fixture.rootfs().join("link"));
    fs::create_dir(&target).unwrap();
    symlink(&canary, &link).unwrap();
    fs::create_dir_all(fixture.rootfs().join(canary.strip_prefix("/").unwrap()))
        .unwrap();

    let is_finished = AtomicBool::new(false);
    let (mut succeeded, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_finished.load(Ordering::Relaxed) {
                renameat2(
                    AT_FDCWD,
                    &target,
                    AT_FDCWD,
                    &link,
                    RenameFlags::RENAME_EXCHANGE,
                )
                .unwrap();
            }
        });
        for round in 0..50 {
            let made = format!("/target/{round}/deep");
            let (volume, memory) = (
                format!("{}:{made}", source.display()),
                format!("/target/memory-{round}"),
            );
            let options = ["-v", &volume, "--tmpfs", &memory];
            let ran = fixture.run(&options, &["cat", "/proc/self/mountinfo"]);
            let mounted = ran
                .out
                .lines()
                .filter(|line| line.contains("/source ") || line.contains("/memory-"))
                .count();
            match ran.code {
                0 if mounted == 2 => succeeded += 1,
                125 => refused += 1,
                _ => {
                    is_finished.store(true, Ordering::Relaxed);
                    panic!("both are mounted inside, or refused: {ran:?}");
                }
            }
            if listing(&canary) != before {
                is_finished.store(true, Ordering::Relaxed);
                panic!("made on the host in round {round}: {:#?}", listing(&canary));
            }
        }
        is_finished.store(true, Ordering::Relaxed);
    });
    assert!(succeeded > 0, "{succeeded} started, {refused} were refused");
}
