//! Ways to leave a chroot. None of them must lead out of the container.

use super::*;

/// Returns a fixture with the program `breakout` in its root, and the path of a canary
/// outside of the root.
fn fixture_with_breakout() -> Option<(Fixture, String)> {
    let fixture = fixture()?;
    fixture.install(Path::new(env!("CARGO_BIN_EXE_breakout")), "breakout");
    let canary = fixture.dir().join("canary");
    fs::write(&canary, "of the host").unwrap();
    let canary = canary.to_str().unwrap().into();
    Some((fixture, canary))
}

#[test]
fn a_breakout_leaves_a_chroot_and_not_the_container() {
    let Some((fixture, canary)) = fixture_with_breakout() else { return };
    let chroot = std::process::Command::new("chroot")
        .arg(fixture.rootfs())
        .args(["/breakout", &canary])
        .output();
    let shown = String::from_utf8(chroot.unwrap().stdout).unwrap();
    assert_eq!(
        shown, "outside: of the host\n",
        "the attack works where there is only a chroot"
    );

    for options in [&[][..], &["--init"], &["--propagation", "shared"]] {
        let ran = fixture.run(options, &["/breakout", &canary]);
        assert_eq!(
            ran.exits(1).out,
            "still inside: No such file or directory (os error 2)\n"
        );
    }
}

#[test]
fn no_path_leads_out_of_the_container() {
    let Some((fixture, canary)) = fixture_with_breakout() else { return };
    for prefix in [
        "",
        "/proc/1/root",
        "/proc/self/root",
        "/proc/1/cwd",
        "/proc/self/cwd/../../../..",
        "/proc/1/root/../..",
        "/../../../..",
        "/dev/fd/../../../..",
    ] {
        let ran = fixture.run(&[], &["cat", &format!("{prefix}{canary}")]);
        assert!(ran.code == 1 && ran.err.contains("No such file"), "{prefix}: {ran:?}");
    }
}

#[test]
fn unmounting_uncovers_no_file_of_the_host() {
    if !rootfs::has_program("umount") {
        return;
    }
    let Some((fixture, canary)) = fixture_with_breakout() else { return };
    // `umount /` is not tried: the kernel would remount the host's file system read-only
    // instead. Uid 0 in the container may do that until step 9 drops CAP_SYS_ADMIN.
    let script = format!(
        "for point in /dev/mqueue /dev/shm /dev/pts /dev /sys; do umount $point; done; \
         ls /dev /sys; umount -l /proc; cat {canary} || echo still inside"
    );
    fixture.sh(&[], &script).assert_stdout("/dev:\n\n/sys:\nstill inside");
}

/// After pivot_root, the runtime unmounts the old root once. If the caller had mounted
/// something over `/`, only that mount would go, and the host's root below it would
/// remain reachable.
#[test]
fn with_a_mount_over_the_hosts_root_no_command_runs() {
    if !require_tool("mount") {
        return;
    }
    let Some(fixture) = fixture() else { return };
    let mount_over_root = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        "mount -t tmpfs cover / && exec \"$@\"",
        "sh",
    ];
    let ran = fixture.run_under(&mount_over_root, &[], &["echo", "it runs"]);
    ran.exits(125).assert_stderr_contains("could still be reached above the new root");
    assert_eq!(ran.out, "");
}

#[test]
fn open_files_of_the_caller_are_not_passed_to_the_container() {
    let Some(fixture) = fixture() else { return };
    let starter = ["sh", "-c", "exec 7</etc 8</ 9>&1; exec \"$@\"", "sh"];
    for options in [&[][..], &["--init"]] {
        let ran = fixture.run_under(
            &starter,
            options,
            &["sh", "-c", "ls -l /proc/1/fd; ls -l /proc/$$/fd"],
        );
        let links: Vec<_> = ran
            .exits(0)
            .out
            .lines()
            .filter_map(|line| line.split_once(" -> "))
            .collect();
        assert!(links.len() >= 6, "{}", ran.out);
        for (descriptor, to) in links {
            let number: u32 = descriptor.rsplit(' ').next().unwrap().parse().unwrap();
            // An init has more descriptors: the channel to the runtime, one for
            // signals, and one for its child.
            let belongs_to_init = options == ["--init"]
                && (to.starts_with("socket:") || to.starts_with("anon_inode:"));
            assert!(number < 3 || belongs_to_init, "{options:?}: {number} is {to}");
        }
    }
}

/// CVE-2024-21626: a descriptor of the caller was still open when -w was resolved.
#[test]
fn no_working_directory_leads_out_through_a_descriptor() {
    let Some(fixture) = fixture() else { return };
    let starter = ["sh", "-c", "exec 7</etc 8</ 9<.; exec \"$@\"", "sh"];
    let descriptors =
        (3..40).chain([100, 1000]).map(|number| format!("/proc/self/fd/{number}"));
    let others =
        ["/proc/self/fd/7/..", "/proc/self/fd/8/etc", "/dev/fd/9/..", "/proc/1/fd/7"]
            .map(String::from);
    for path in descriptors.chain(others) {
        let ran = fixture.run_under(&starter, &["-w", &path], &["sh", "-c", "pwd; ls"]);
        ran.exits(125).assert_stderr_contains("working directory");
        assert_eq!(ran.out, "", "{path}");
    }
}

#[test]
fn the_working_directory_is_inside() {
    let Some(fixture) = fixture() else { return };
    fixture.sh(&["-w", "/etc"], "pwd").assert_stdout("/etc");
    fixture.sh(&[], "pwd").assert_stdout("/");
    fixture.sh(&["-w", "../../.."], "pwd").assert_stdout("/");
    fixture
        .run(&["-w", "/etc/passwd"], &["pwd"])
        .exits(125)
        .assert_stderr_contains("hint: the working directory must be one");
}

#[test]
fn a_missing_working_directory_is_made_inside() {
    let Some(fixture) = fixture() else { return };
    let outside = fixture.dir().to_str().unwrap();
    let show = "pwd; ls -A; stat -c %a .";
    let empty = |path: &str| format!("{path}\n755");
    fixture.sh(&["-w", outside], show).assert_stdout(&empty(outside));
    for options in [&["--read-only"][..], &["--tmpfs", "/memory"]] {
        for path in ["/memory/a/b", "/new", "/link/x"] {
            let _ = symlink("/etc/target", fixture.rootfs().join("link"));
            let target = path.replace("/link", "/etc/target");
            let options = [options, &["-w", path]].concat();
            fixture.sh(&options, show).assert_stdout(&empty(&target));
            let _ = fs::remove_dir_all(fixture.rootfs().join(&path[1..]));
        }
    }
    for path in ["/proc/x", "/dev/x", "/nowhere/.."] {
        fixture
            .run(&["-w", path], &["true"])
            .exits(125)
            .assert_stderr_contains("chdir");
    }
}
