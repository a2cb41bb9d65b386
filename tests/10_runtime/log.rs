//! The log file, from which engines read the last error.

use std::fs;

use serde_json::{Value, json};

use crate::conformance::bundle::{Bundle, ID};

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect()
}

#[test]
fn an_error_is_a_line_of_json_in_the_log_and_a_message_on_stderr() {
    let Some(bundle) = Bundle::new() else { return };
    let log = bundle.dir().join("log.json");
    let options = ["--log", log.to_str().unwrap(), "--log-format", "json"];
    let ran = bundle.call(&[&options[..], &["state", "missing"]].concat());
    ran.exits(1).assert_stderr_contains("error: container missing does not exist");
    let lines = lines(&fs::read_to_string(log).unwrap());
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().unwrap().contains("does not exist"), "{line}");
    assert!(line["time"].as_str().unwrap().contains('T'), "{line}");
}

#[test]
fn a_success_writes_nothing_to_stderr_nor_to_the_log() {
    let Some(bundle) = Bundle::new() else { return };
    let log = bundle.dir().join("log");
    bundle.write();
    let words = ["run", "--bundle", bundle.dir().to_str().unwrap(), ID];
    let ran = bundle.call(&[&["--log", log.to_str().unwrap()], &words[..]].concat());
    ran.exits(0);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
    assert_eq!(fs::read_to_string(log).unwrap_or_default(), "");
}

#[test]
fn a_capability_that_nobody_knows_is_a_warning() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.add("/process/capabilities/bounding", json!("CAP_OF_TOMORROW"));
    bundle.write();
    let log = bundle.dir().join("log.json");
    let options = ["--log", log.to_str().unwrap(), "--log-format", "json"];
    let words = ["run", "--bundle", bundle.dir().to_str().unwrap(), ID];
    bundle.call(&[&options[..], &words].concat()).exits(0);
    let lines = lines(&fs::read_to_string(log).unwrap());
    assert_eq!(lines[0]["level"], "warning", "{lines:?}");
    assert!(lines[0]["msg"].as_str().unwrap().contains("CAP_OF_TOMORROW"), "{lines:?}");
}
