//! `-v`, `--mount` and `--tmpfs`. If a mount cannot be made as requested, the command
//! does not run.

use super::*;

/// Returns the value of -v for a source, a target and options.
fn volume(source: &str, target: &str, options: &str) -> String {
    format!("{source}:{target}:{options}")
}

/// Returns whether a mount has all these options, from its line in mountinfo.
fn has_options(line: &str, options: &[&str]) -> bool {
    let own: Vec<&str> = line.split(' ').nth(5).unwrap().split(',').collect();
    options.iter().all(|option| own.contains(option))
}

/// Starts a host with a file `source/file`, and with a tmpfs on `source/below` that has
/// a file with the text `below`. Returns the host and the path of `source`.
fn host_with_a_submount(fixture: &Fixture) -> (Distribution, String) {
    let host = Distribution::start();
    let (_, source) = directory_with_a_file(fixture, "source");
    host.sh(&format!(
        "mkdir {source}/below; mount -t tmpfs below {source}/below; printf below > {source}/below/file"
    ));
    (host, source)
}

#[test]
fn a_directory_of_the_host_appears_at_its_target_only_inside() {
    let Some(fixture) = fixture() else { return };
    let (source, from) = directory_with_a_file(&fixture, "source");
    let (target, to) = directory(&fixture, "target");
    let script = format!("cat {to}/file; printf new > {to}/new; echo; ls {to}");
    fixture
        .sh(&["-v", &format!("{from}:{to}")], &script)
        .assert_stdout("source\nfile\nnew");
    assert_eq!(
        fs::read_to_string(source.join("new")).unwrap(),
        "new",
        "the container writes into the host's directory"
    );
    assert_eq!(
        fs::read_dir(target).unwrap().count(),
        0,
        "the target on the host is still empty"
    );
}

#[test]
fn an_option_of_docker_that_changes_nothing_here_is_accepted() {
    let Some(fixture) = fixture() else { return };
    let (_, from) = directory_with_a_file(&fixture, "source");
    let (_, to) = directory(&fixture, "target");
    for options in ["z", "Z", "ro,z", "Z,rprivate", "cached", "delegated,ro"] {
        fixture
            .sh(&["-v", &volume(&from, &to, options)], &format!("cat {to}/file"))
            .assert_stdout("source");
    }
}

#[test]
fn a_source_with_a_comma_is_given_in_quotation_marks() {
    let Some(fixture) = fixture() else { return };
    let (_, from) = directory_with_a_file(&fixture, "one,two");
    let (_, to) = directory(&fixture, "target");
    let mount = format!("type=bind,\"src={from}\",dst={to},ro");
    fixture
        .sh(&["--mount", &mount], &format!("cat {to}/file"))
        .assert_stdout("one,two");
    fixture
        .run(&["--mount", &format!("type=bind,\"src={from},dst={to}")], &["true"])
        .exits(2)
        .assert_stderr_contains("the closing quotation mark is missing");
}

/// If a read-only mount were attached first, it could be written for a moment.
#[test]
fn a_mount_has_its_attributes_before_it_is_attached() {
    let Some(fixture) = fixture().filter(|fixture| fixture.step().is_ours()) else {
        return;
    };
    let (_, source) = directory(&fixture, "source");
    let targets = ["one", "other"].map(|name| directory(&fixture, name).1);
    let [one, other] = targets.map(|target| volume(&source, &target, "ro"));
    let ran = fixture.run(&["--explain=json", "-v", &one, "-v", &other], &["true"]);
    let calls_per_mount = ["open_tree", "mount_setattr", "move_mount"];
    let mut calls = explain::calls_of("child", ran.exits(0));
    calls.retain(|call| calls_per_mount.contains(&&**call));
    let first = calls.iter().position(|call| call == "open_tree").unwrap_or_default();
    assert_eq!(
        calls[first..],
        [calls_per_mount, calls_per_mount].concat(),
        "the calls that --explain prints"
    );
}

#[test]
fn a_file_of_the_host_appears_inside() {
    let Some(fixture) = fixture() else { return };
    let (source, _) = directory_with_a_file(&fixture, "source");
    let (target, to) = directory_with_a_file(&fixture, "target");
    let option = format!("{}/file:{to}/file", source.display());
    fixture.sh(&["-v", &option], &format!("cat {to}/file")).assert_stdout("source");
    assert_eq!(fs::read_to_string(target.join("file")).unwrap(), "target");
}

#[test]
fn a_relative_source_begins_in_the_callers_working_directory() {
    let Some(fixture) = fixture() else { return };
    directory_with_a_file(&fixture, "source");
    let (_, to) = directory(&fixture, "target");
    let show = format!("cat {to}/file");
    fixture.sh(&["-v", &format!("./source:{to}")], &show).assert_stdout("source");
    fixture
        .sh(&["-v", &format!("source/../source:{to}")], &show)
        .assert_stdout("source");
}

#[test]
fn a_volume_includes_the_mounts_below_it_unless_bind_is_given() {
    if !require_tool("mount") {
        return;
    }
    let Some(fixture) = fixture() else { return };
    let (host, source) = host_with_a_submount(&fixture);
    let (_, to) = directory(&fixture, "target");
    for (options, below) in
        [("", "file"), ("rbind", "file"), ("bind", ""), ("bind-nonrecursive", "")]
    {
        let option = volume(&source, &to, options);
        host.run(&fixture, &["-v", &option], &["ls", &format!("{to}/below")])
            .assert_stdout(below);
    }
}

#[test]
fn read_only_includes_the_mounts_below() {
    if !require_tool("mount") {
        return;
    }
    let Some(fixture) = fixture() else { return };
    let (host, source) = host_with_a_submount(&fixture);
    let (_, to) = directory(&fixture, "target");
    let script = format!(
        "for dir in {to} {to}/below; do (: > $dir/new) 2>&1 || echo refused; done; cat {to}/below/file"
    );
    let inside = ["sh", "-c", &script];

    for option in [
        ["-v", &volume(&source, &to, "ro")],
        ["--mount", &format!("type=bind,src={source},dst={to},ro")],
    ] {
        let ran = host.run(&fixture, &option, &inside);
        let refused = ran.exits(0).out.matches("Read-only file system").count();
        assert_eq!(
            (refused, ran.out.matches("refused").count()),
            (2, 2),
            "{}",
            ran.out
        );
        assert!(ran.out.ends_with("below"), "{}", ran.out);
    }
    assert_eq!(
        host.sh(&format!("ls {source} {source}/below | grep -c new || true")),
        "0"
    );
    host.run(&fixture, &["-v", &volume(&source, &to, "rw")], &inside)
        .assert_stdout("below");
}

#[test]
fn the_host_can_write_to_a_volume_that_is_read_only_inside() {
    let Some(fixture) = fixture() else { return };
    let (source, from) = directory(&fixture, "source");
    let (_, to) = directory(&fixture, "target");
    let running = fixture.start(&["-v", &volume(&from, &to, "ro")], &["sleep", "100"]);
    assert!(has_options(&host::mount_at(running.pid, &to).unwrap(), &["ro"]));
    fs::write(source.join("new"), "").unwrap();
}

#[test]
fn a_mount_has_the_attributes_that_its_options_name() {
    if !require_tool("mount") {
        return;
    }
    let Some(fixture) = fixture() else { return };
    let host = Distribution::start();
    let (_, from) = directory(&fixture, "source");
    let (_, to) = directory(&fixture, "target");
    // A bind mount inherits the attributes of its source, and /tmp often has some.
    host.sh(&format!("mount -t tmpfs clean {from}"));
    let mount_line = |options: &str| {
        let running = host.start_in(
            &fixture,
            &["-v", &volume(&from, &to, options)],
            &["sleep", "100"],
        );
        host::mount_at(running.pid, &to).unwrap()
    };
    let line = mount_line("nosuid,nodev,noexec,ro");
    assert!(has_options(&line, &["ro", "nosuid", "nodev", "noexec"]), "{line}");
    let line = mount_line("nodev");
    assert!(
        has_options(&line, &["rw", "nodev"])
            && !has_options(&line, &["nosuid"])
            && !has_options(&line, &["noexec"]),
        "{line}"
    );
}

#[test]
fn no_program_runs_on_a_noexec_volume() {
    let Some(fixture) = fixture() else { return };
    let (source, from) = directory(&fixture, "source");
    fs::write(source.join("text"), "#!/bin/sh\necho ran").unwrap();
    host::copy_program(&source.join("text"), &source.join("program"));
    let (_, to) = directory(&fixture, "target");
    let program = format!("{to}/program");
    fixture.run(&["-v", &volume(&from, &to, "exec")], &[&program]).assert_stdout("ran");
    let ran = fixture.run(&["-v", &volume(&from, &to, "noexec")], &[&program]);
    ran.exits(126).assert_stderr_contains("its file system is mounted with noexec");
    assert!(!ran.err.contains("chmod"), "{}", ran.err);
}

#[test]
fn the_mount_option_accepts_the_keys_of_docker() {
    let Some(fixture) = fixture() else { return };
    let (_, from) = directory_with_a_file(&fixture, "source");
    let (_, to) = directory(&fixture, "target");
    let ran = |option: &str| {
        fixture.sh(&["--mount", option], &format!("cat {to}/file; : > {to}/new"))
    };
    for (source, target) in
        [("src", "dst"), ("source", "destination"), ("source", "target")]
    {
        ran(&format!("type=bind,{source}={from},{target}={to}"))
            .assert_stdout("source");
        for read_only in ["ro", "readonly", "readonly=true"] {
            let ran =
                ran(&format!("{target}={to},{read_only},{source}={from},type=bind"));
            assert!(
                ran.code != 0 && ran.err.contains("Read-only"),
                "{read_only}: {ran:?}"
            );
        }
    }
    let tmpfs = format!("type=tmpfs,dst={to},tmpfs-size=64k,tmpfs-mode=700");
    let running = fixture.start(&["--mount", &tmpfs], &["sleep", "100"]);
    let line = host::mount_at(running.pid, &to).unwrap();
    assert!(
        line.contains(" - tmpfs ")
            && line.contains("size=64k")
            && line.contains("mode=700"),
        "{line}"
    );
}

#[test]
fn a_tmpfs_is_empty_and_ends_with_the_container() {
    let Some(fixture) = fixture() else { return };
    let (target, to) = directory_with_a_file(&fixture, "target");
    fixture
        .sh(&["--tmpfs", &to], &format!("ls {to}; echo x > {to}/new; ls {to}"))
        .assert_stdout("new");
    assert!(target.join("file").exists() && !target.join("new").exists());
}

#[test]
fn a_tmpfs_holds_no_more_than_its_size() {
    let Some(fixture) = fixture() else { return };
    let (_, to) = directory(&fixture, "target");
    let option = format!("{to}:size=1m");
    let write = |count: &str| {
        let script = format!("head -c {count} /dev/zero > {to}/x");
        fixture.sh(&["--tmpfs", &option], &script)
    };
    write("1000k").exits(0);
    let ran = write("1100k");
    assert!(ran.code != 0 && ran.err.contains("No space left on device"), "{ran:?}");
}

#[test]
fn a_tmpfs_has_the_requested_mode_and_owner_and_is_noexec_by_default() {
    let Some(fixture) = fixture() else { return };
    let (_, to) = directory(&fixture, "target");
    let inspect_tmpfs = |options: &str| {
        let running =
            fixture.start(&["--tmpfs", &format!("{to}{options}")], &["sleep", "100"]);
        let inside = fs::metadata(format!("/proc/{}/root{to}", running.pid)).unwrap();
        (
            host::mount_at(running.pid, &to).unwrap(),
            inside.mode() & 0o7777,
            inside.uid(),
            inside.gid(),
        )
    };
    let (line, mode, ..) = inspect_tmpfs("");
    assert!(has_options(&line, &["nosuid", "nodev", "noexec"]), "{line}");
    assert_eq!(mode, 0o1777, "the default mode is that of /tmp");

    let (line, mode, uid, gid) =
        inspect_tmpfs(":mode=750,uid=7,gid=8,exec,dev,suid,ro");
    assert!(
        has_options(&line, &["ro"])
            && !["nosuid", "nodev", "noexec"]
                .iter()
                .any(|it| has_options(&line, &[it])),
        "{line}"
    );
    assert_eq!((mode, uid, gid), (0o750, 7, 8));
}

#[test]
fn a_missing_target_is_refused_and_not_made() {
    let Some(fixture) = fixture() else { return };
    let (_, from) = directory(&fixture, "source");
    let missing = fixture.dir().join("missing/below");
    let to = missing.to_str().unwrap();
    let volume = format!("{from}:{to}");
    for options in [["-v", volume.as_str()], ["--tmpfs", to]] {
        let ran = fixture.sh(&options, "echo it runs");
        ran.exits(125)
            .assert_stderr_contains(to)
            .assert_stderr_contains("hint: a mount target must be there");
        assert_eq!(ran.out, "", "the command does not run");
    }
    assert!(!fixture.dir().join("missing").exists());
}

#[test]
fn a_missing_source_is_refused_and_not_made() {
    let Some(fixture) = fixture() else { return };
    let (_, to) = directory(&fixture, "target");
    let ran = fixture.sh(&["-v", &format!("./missing:{to}")], "echo it runs");
    ran.exits(125)
        .assert_stderr_contains("./missing")
        .assert_stderr_contains("hint: the source of a bind mount must be there");
    assert!(ran.out.is_empty() && !fixture.dir().join("missing").exists());
}

#[test]
fn a_file_is_not_mounted_on_a_directory_nor_the_other_way_round() {
    let Some(fixture) = fixture() else { return };
    let (_, dir) = directory_with_a_file(&fixture, "source");
    let file = format!("{dir}/file");
    let (_, target) = directory_with_a_file(&fixture, "target");
    for (source, target) in [(&file, &target), (&dir, &format!("{target}/file"))] {
        let ran = fixture.sh(&["-v", &format!("{source}:{target}")], "echo it runs");
        ran.exits(125).assert_stderr_contains(target).assert_stderr_contains(
            "hint: mount a directory on a directory, and a file on a file",
        );
        assert_eq!(ran.out, "");
    }
}

#[test]
fn a_wrong_option_of_a_file_system_has_the_kernels_message_as_its_hint() {
    let Some(fixture) = fixture() else { return };
    let (_, to) = directory(&fixture, "target");
    fixture
        .sh(&["--tmpfs", &format!("{to}:size=much")], "echo it runs")
        .exits(125)
        .assert_stderr_contains("Bad value for 'size'");
}

#[test]
fn an_invalid_mount_option_is_a_usage_error_that_states_the_rule() {
    let Some(fixture) = fixture() else { return };
    for (option, value, rule) in [
        ("-v", "/a", "a volume is SRC:DST[:OPTIONS]"),
        ("-v", "/a:/b:ro:x", "a volume is SRC:DST[:OPTIONS]"),
        ("-v", "/a:b", "must be an absolute path"),
        ("-v", "data:/b", "a directory here is ./data"),
        ("-v", ":/b", "is not a path"),
        ("-v", "/a:/", "the root itself cannot be mounted over"),
        ("-v", "/a:/proc", "what is in /proc cannot be mounted over"),
        (
            "--mount",
            "type=tmpfs,dst=/proc/x",
            "what is in /proc cannot be mounted over",
        ),
        ("-v", "/a:/b:bogus", "is not an option of a bind mount"),
        ("-v", "/a:/b:size=1m", "is not an option of a bind mount"),
        ("--mount", "type=bind,src=/a", "--mount needs dst=PATH"),
        ("--mount", "type=bind,dst=/b", "a bind mount needs src=PATH"),
        ("--mount", "type=nfs,src=/a,dst=/b", "unknown mount type \"nfs\""),
        ("--mount", "type=tmpfs,src=/a,dst=/b", "a tmpfs has no src"),
        ("--tmpfs", "t", "must be an absolute path"),
        ("--tmpfs", "/t:rbind", "is not an option of a tmpfs"),
    ] {
        let ran: Ran = fixture.sh(&[option, value], "echo it runs");
        ran.exits(2).assert_stderr_contains(rule);
        assert_eq!(ran.out, "", "{option} {value}");
    }
}

#[test]
fn two_mounts_on_one_target_are_a_usage_error_that_names_the_target() {
    let Some(fixture) = fixture() else { return };
    let (_, from) = directory(&fixture, "source");
    let (_, to) = directory(&fixture, "target");
    let (volume, again) = (format!("{from}:{to}"), format!("{from}:{to}/./"));
    let (long, tmpfs) = (format!("type=tmpfs,dst={to}"), format!("{to}/:size=1m"));
    for options in [
        ["-v", &volume, "-v", &again],
        ["-v", &volume, "--tmpfs", &tmpfs],
        ["--mount", &long, "-v", &volume],
    ] {
        let ran = fixture.sh(&options, "echo it runs");
        ran.exits(2)
            .assert_stderr_contains(&to)
            .assert_stderr_contains("two mounts on one target");
        assert_eq!(ran.out, "");
    }
}

#[test]
fn a_target_that_is_a_link_is_followed() {
    let Some(fixture) = fixture() else { return };
    let (_, from) = directory_with_a_file(&fixture, "source");
    let (_, real) = directory(&fixture, "real");
    let link = fixture.dir().join("link");
    symlink("real", &link).unwrap();
    let running = fixture
        .start(&["-v", &format!("{from}:{}", link.display())], &["sleep", "100"]);
    assert!(
        host::mount_at(running.pid, &real).is_some(),
        "{:#?}",
        host::mounts_of(running.pid)
    );
}

#[test]
fn a_mount_is_made_before_the_mounts_below_its_target() {
    let Some(fixture) = fixture() else { return };
    let (source, from) = directory_with_a_file(&fixture, "source");
    fs::create_dir(source.join("inner")).unwrap();
    let (_, other) = directory_with_a_file(&fixture, "other");
    let (_, to) = directory(&fixture, "target");
    let (outer, inner) = (format!("{from}:{to}"), format!("{other}:{to}/inner"));
    for options in [["-v", &outer, "-v", &inner], ["-v", &inner, "-v", &outer]] {
        fixture
            .sh(&options, &format!("cat {to}/file {to}/inner/file"))
            .assert_stdout("sourceother");
    }
}
