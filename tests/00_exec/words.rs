//! Help, narration and doctor.

use kiste_tests::{explain, help, step};

use crate::fixture;

#[test]
fn help_is_as_recorded() {
    help::assert_help_is_as_recorded(&step!("00-exec"));
}

#[test]
fn the_examples_of_the_help_work_as_they_are_typed() {
    help::assert_examples_work(&fixture(), &[], &[]);
}

#[test]
fn the_version_is_printed_with_the_name() {
    let ran = fixture().call(["--version"]);
    assert_eq!(ran.exits(0).out, format!("00-exec {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn explain_narrates_the_calls_that_strace_sees() {
    let list = "parent clone3
                child  prctl setpgid close_range chdir execve";
    explain::assert_narration_matches_strace(
        &fixture(),
        list,
        &["-w", "/", "--pid-file", "pid"],
        &["true"],
    );
}

#[test]
fn explain_json_prints_one_object_per_line() {
    let ran = fixture().run(&["--explain=json"], &["sh", "-c", "echo out; exit 4"]);
    assert_eq!(ran.exits(4).out, "out\n");
    for line in ran.err.lines() {
        let object: serde_json::Value = serde_json::from_str(line).expect(line);
        for field in ["who", "call", "args", "result", "why", "at"] {
            assert!(object[field].is_string(), "{field}: {line}");
        }
        assert_eq!(object["step"], 0, "{line}");
    }
    assert!(ran.err.lines().last().unwrap().contains("exited 4"), "{}", ran.err);
}

#[test]
fn with_explain_json_an_error_is_json_too() {
    let ran = fixture().run(&["--explain=json", "-w", "/no/such"], &["true"]);
    fn read(line: &str) -> serde_json::Value {
        serde_json::from_str(line).expect(line)
    }
    let lines: Vec<_> = ran.exits(125).err.lines().map(read).collect();
    let (last, calls) = lines.split_last().unwrap();
    assert!(calls.iter().all(|line| line["call"].is_string()), "{}", ran.err);
    assert_eq!(last["level"], "error");
    assert_eq!(last["message"], "chdir(/no/such): No such file or directory (ENOENT)");
    assert!(last["hint"].as_str().unwrap().contains("working directory"), "{last}");
    for wrong in [&["--umask", "8"][..], &["--explain=json,09"], &["--nosuch"]] {
        let ran = fixture().run(&[&["--explain=json"], wrong].concat(), &["true"]);
        let error = read(ran.exits(2).err.trim_end());
        assert_eq!(error["level"], "error");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("try '--help'") && !message.starts_with("error"));
    }
}

#[test]
fn explain_says_who_calls_what_and_why() {
    let ran = fixture().run(&["--explain"], &["true"]);
    let lines: Vec<_> = ran.exits(0).err.lines().collect();
    assert!(
        lines[0].starts_with("parent     clone3(") && lines[0].contains("# "),
        "{}",
        ran.err
    );
    assert!(
        lines.iter().any(|line| line.starts_with("child      execve(")),
        "{}",
        ran.err
    );
    fixture().run(&["--explain=xml"], &["true"]).exits(2).assert_stderr_contains("xml");
}

#[test]
fn the_calls_of_one_step_can_be_explained_alone() {
    let step = step!("00-exec");
    explain::narrates_each_step_alone(&step, |how| fixture().run(&[how], &["true"]));
}

#[test]
fn a_call_that_failed_is_explained_with_the_reason() {
    let ran = fixture().run(&["--explain", "-w", "/no/such"], &["true"]);
    ran.exits(125).assert_stderr_contains(
        "child      chdir(/no/such) = No such file or directory (ENOENT)",
    );
}

#[test]
fn doctor_answers_people_and_machines() {
    let ran = fixture().call(["doctor"]);
    assert!(
        ran.exits(0).out.lines().any(|line| line.starts_with("ok      kernel")),
        "{}",
        ran.out
    );
    let ran = fixture().call(["doctor", "--format", "json"]);
    let checks: serde_json::Value = serde_json::from_str(&ran.exits(0).out).unwrap();
    assert_eq!(checks[0]["name"], "kernel");
    assert!(!ran.out.contains("\"root\""), "step 0 needs no root: {}", ran.out);
}

#[test]
fn doctor_succeeds_although_its_reader_goes_away() {
    let script = r#"(sleep 0.2; exec "$0" doctor --format json) | true; echo "${PIPESTATUS[0]}""#;
    let ran = fixture().run_through_shell(script);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("0\n", ""));
}

#[test]
fn doctor_fails_when_its_output_cannot_be_written() {
    let ran = fixture().run_through_shell(r#"exec "$0" doctor > /dev/full"#);
    ran.exits(1)
        .assert_stderr_contains("print to stdout")
        .assert_stderr_contains("No space left on device");
}
