//! The command's environment, directory, descriptors, and pid file.

use std::fs;

use kiste_tests::host;

use crate::fixture;

#[test]
fn the_environment_is_clean() {
    let fixture = fixture();
    let caller = [
        "env",
        "-i",
        "TERM=vt100",
        "HOME=/somewhere",
        "SECRET=1",
        "LD_LIBRARY_PATH=/x",
    ];
    let ran = fixture.run_under(&caller, &[], &["/usr/bin/env"]);
    let mut names: Vec<_> =
        ran.exits(0).out.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort();
    assert_eq!(names, ["HOME", "HOSTNAME", "PATH", "TERM"], "{}", ran.out);
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert!(
        ran.out.contains(&format!("HOSTNAME={hostname}"))
            && ran.out.contains("TERM=vt100\n")
    );
}

#[test]
fn home_is_slash_root_for_uid_0_and_that_of_the_caller_for_other_users() {
    let fixture = fixture();
    let (caller, command) = (["env", "HOME=/somewhere"], ["sh", "-c", "echo $HOME"]);
    if !nix::unistd::geteuid().is_root() {
        fixture.run_under(&caller, &[], &command).assert_stdout("/somewhere");
        return;
    }
    fixture.run_under(&caller, &[], &command).assert_stdout("/root");
    // The next calls use the copy of the program that this call makes.
    fixture.call_as_nobody(["run", "true"]).exits(0);
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "./program-of-nobody",
        "run",
    ];
    fixture
        .call_under(&[&caller[..], &nobody, &command].concat(), [""; 0])
        .assert_stdout("/somewhere");
}

#[test]
fn a_variable_can_be_given_or_passed_on_or_replaced() {
    let fixture = fixture();
    let options =
        ["-e", "A=1", "--env", "B=x=y z", "-e", "PASSED", "-e", "A=2", "-e", "TERM="];
    let ran = fixture.run_under(&["env", "PASSED=on"], &options, &["env"]);
    for line in ["A=2", "B=x=y z", "PASSED=on", "TERM="] {
        assert!(ran.exits(0).out.lines().any(|it| it == line), "{line}:\n{}", ran.out);
    }
    assert_eq!(ran.out.matches("A=").count(), 1, "{}", ran.out);
}

#[test]
fn a_variable_without_a_name_is_a_usage_error() {
    let fixture = fixture();
    for bad in ["", "=x"] {
        fixture
            .run(&["-e", bad], &["true"])
            .exits(2)
            .assert_stderr_contains("a variable needs a name");
    }
}

#[test]
fn a_variable_that_the_caller_does_not_have_is_not_passed_on() {
    let fixture = fixture();
    let ran = fixture.run_under(
        &["env", "-u", "NOT_SET", "-u", "HOME"],
        &["-e", "NOT_SET", "-e", "HOME", "-e", "A=1"],
        &["env"],
    );
    assert_eq!(ran.exits(0).err, "");
    let mut names: Vec<_> =
        ran.out.lines().filter_map(|line| line.split('=').next()).collect();
    names.retain(|name| *name != "TERM");
    names.sort();
    assert_eq!(names, ["A", "HOSTNAME", "PATH"], "{}", ran.out);
}

#[test]
fn variables_are_read_from_files_and_those_of_the_command_line_take_precedence() {
    let fixture = fixture();
    let first = "# a comment\n\nA=1\n  B=\"2 3\"\nPASSED\nNOT_SET\nC=first\n";
    fs::write(fixture.dir().join("first"), first).unwrap();
    fs::write(fixture.dir().join("second"), "C=second\nD=").unwrap();
    let options = ["-e", "A=4", "--env-file", "first", "--env-file", "second"];
    let caller = ["env", "-u", "NOT_SET", "PASSED=on"];
    let ran = fixture.run_under(&caller, &options, &["env"]);
    for line in ["A=4", "B=\"2 3\"", "PASSED=on", "C=second", "D="] {
        assert!(ran.exits(0).out.lines().any(|it| it == line), "{line}:\n{}", ran.out);
    }
    assert!(!ran.out.contains("NOT_SET") && !ran.out.contains('#'), "{}", ran.out);
    fs::write(fixture.dir().join("wrong"), "A=1\nexport B=1\n").unwrap();
    for (file, why) in [("nosuch", "ENOENT"), ("wrong", "export B=1")] {
        let ran = fixture.run(&["--env-file", file], &["true"]);
        ran.exits(2).assert_stderr_contains("--env-file").assert_stderr_contains(why);
    }
}

#[test]
fn the_command_has_the_requested_umask() {
    let fixture = fixture();
    for (mask, shown) in [("077", "0077"), ("0", "0000"), ("0027", "0027")] {
        fixture.run(&["--umask", mask], &["sh", "-c", "umask"]).assert_stdout(shown);
    }
    for bad in ["8", "1000", "u=rwx"] {
        let ran = fixture.run(&["--umask", bad], &["true"]);
        ran.exits(2).assert_stderr_contains("an octal number");
    }
}

#[test]
fn the_command_does_not_inherit_the_callers_umask() {
    let fixture = fixture();
    for mask in ["000", "027", "077"] {
        let caller = format!("umask {mask}; exec \"$0\" \"$@\"");
        fixture
            .run_under(&["sh", "-c", &caller], &[], &["sh", "-c", "umask"])
            .assert_stdout("0022");
    }
}

#[test]
fn the_command_starts_in_the_given_directory_or_in_the_callers() {
    let fixture = fixture();
    fixture.run(&["-w", "/usr/bin"], &["pwd"]).assert_stdout("/usr/bin");
    fixture
        .run(&["--workdir", ".."], &["pwd"])
        .assert_stdout(fixture.dir().parent().unwrap().to_str().unwrap());
    fixture.run(&[], &["pwd"]).assert_stdout(fixture.dir().to_str().unwrap());
}

#[test]
fn a_descriptor_of_the_runtime_cannot_be_the_working_directory() {
    // CVE-2024-21626: an open descriptor of the runtime leads out of the container.
    let fixture = fixture();
    for number in 3..=20 {
        fixture
            .run(&["-w", &format!("/proc/self/fd/{number}")], &["true"])
            .exits(125)
            .assert_stderr_contains("chdir");
    }
}

#[test]
fn no_descriptor_but_the_standard_ones_reaches_the_command() {
    let open = r#"exec "$0" "$@" 3</etc 4</dev/null 5>/dev/null 6<&0 7</ 8</dev/null 9</dev/null"#;
    let fixture = fixture();
    let mut running = fixture.start_under(
        &["sh", "-c", open],
        &[],
        &["sh", "-c", "echo ready; read line"],
    );
    running.wait_for("ready"); // the loader of the command has closed its files
    let fds = fs::read_dir(format!("/proc/{}/fd", running.pid)).unwrap();
    let mut names: Vec<_> =
        fds.map(|fd| fd.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["0", "1", "2"]);
}

#[test]
fn no_signal_is_ignored_or_blocked_for_the_command() {
    let fixture = fixture();
    let ignoring = ["bash", "-c", r#"trap '' PIPE HUP USR1 RTMIN+2; exec "$0" "$@""#];
    for caller in [&["env"][..], &ignoring] {
        let ran = fixture.run_under(caller, &[], &["cat", "/proc/self/status"]);
        for field in ["SigIgn", "SigBlk", "SigCgt", "SigPnd"] {
            let line =
                ran.exits(0).out.lines().find(|line| line.starts_with(field)).unwrap();
            assert!(line.ends_with("\t0000000000000000"), "{caller:?}: {line}");
        }
    }
}

#[test]
fn the_parent_of_the_command_is_the_runtime() {
    let fixture = fixture();
    let running = fixture.start(&[], &["sleep", "300"]);
    assert_eq!(host::status_field(running.pid, "PPid"), running.runtime().to_string());
    assert_eq!(host::children(running.runtime()), [running.pid]);
}

#[test]
fn the_pid_file_names_the_command_as_long_as_it_runs() {
    let fixture = fixture();
    let mut running = fixture.start(&[], &["sh", "-c", "echo $$; read line"]);
    running.wait_for(&format!("{}\n", running.pid));
    let pid_files = || {
        let names = fs::read_dir(fixture.dir())
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("pid-")).count()
    };
    assert_eq!(pid_files(), 1);
    running.type_in("\n");
    running.end().exits(0);
    assert_eq!(pid_files(), 0, "the temporary file is also gone");
}

#[test]
fn a_pid_file_that_cannot_be_written_is_reported_before_the_command_starts() {
    let fixture = fixture();
    let ran = fixture.run(&["--pid-file", "/no/such/dir/pid"], &["echo", "it runs"]);
    ran.exits(125).assert_stderr_contains(
        "access(/no/such/dir, W_OK): No such file or directory (ENOENT)",
    );
    ran.assert_stderr_contains("hint: --pid-file");
    assert_eq!(ran.out, "");
    // Here only the write fails, when the command already runs. The runtime then ends
    // the command.
    fs::create_dir(fixture.dir().join("directory")).unwrap();
    fixture
        .run(&["--pid-file", "directory"], &["sleep", "300"])
        .exits(125)
        .assert_stderr_contains("write(directory)");
}
