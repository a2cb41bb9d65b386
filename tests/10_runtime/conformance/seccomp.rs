//! config-linux.md: "Seccomp", "The Container Process State".

use serde_json::{Value, json};

use super::bundle::{Bundle, ID};
use super::console::{Socket, receive, rest};
use super::state::assert_is_state;

/// Returns a filter that allows all but these system calls.
fn filter(rule: Value) -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [rule],
    })
}

fn refuse(names: &[&str]) -> Value {
    json!({ "names": names, "action": "SCMP_ACT_ERRNO" })
}

const MKDIR: [&str; 2] = ["mkdir", "mkdirat"];

#[test]
fn a_refused_system_call_fails_with_the_error_of_its_rule() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.config["linux"]["seccomp"] = filter(refuse(&MKDIR));
    let script = "grep Seccomp: /proc/self/status; mkdir /x 2>&1; :";
    let found = bundle.stdout_of(script);
    let refused = "mkdir: can't create directory '/x':";
    assert_eq!(found, format!("Seccomp:\t2\n{refused} Operation not permitted"));
    let mut rule = refuse(&MKDIR);
    rule["errnoRet"] = json!(28);
    bundle.config["linux"]["seccomp"] = filter(rule);
    let found = bundle.stdout_of(script);
    assert_eq!(found, format!("Seccomp:\t2\n{refused} No space left on device"));
}

#[test]
fn a_rule_matches_the_values_of_arguments() {
    let Some(mut bundle) = Bundle::new() else { return };
    let mut rule = refuse(&["kill"]);
    rule["args"] = json!([{ "index": 1, "value": 10, "op": "SCMP_CMP_EQ" }]);
    bundle.config["linux"]["seccomp"] = filter(rule);
    let script = "trap 'echo 12' USR2; kill -USR2 $$; kill -USR1 $$ || echo refused";
    assert_eq!(bundle.stdout_of(script), "12\nrefused");
}

#[test]
fn a_filter_holds_without_no_new_privileges_too() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.config["process"]["noNewPrivileges"] = json!(false);
    bundle.config["linux"]["seccomp"] = filter(refuse(&MKDIR));
    let found =
        bundle.stdout_of("grep -E '^(NoNew|Seccomp:)' /proc/self/status; mkdir /x; :");
    assert_eq!(found, "NoNewPrivs:\t0\nSeccomp:\t2");
    assert!(!bundle.rootfs().join("x").exists());
}

#[test]
fn an_incomplete_or_unknown_filter_is_refused() {
    let Some(mut bundle) = Bundle::new() else { return };
    let mut unknown_default = filter(refuse(&MKDIR));
    unknown_default["defaultAction"] = json!("SCMP_ACT_NOSUCH");
    let mut unknown_architecture = filter(refuse(&MKDIR));
    unknown_architecture["architectures"] = json!(["SCMP_ARCH_NOSUCH"]);
    let mut unknown_operator = refuse(&MKDIR);
    unknown_operator["args"] =
        json!([{ "index": 0, "value": 1, "op": "SCMP_CMP_NOSUCH" }]);
    let mut wrong = vec![
        unknown_default,
        unknown_architecture,
        filter(json!({ "names": MKDIR, "action": "SCMP_ACT_NOSUCH" })),
        filter(unknown_operator),
    ];
    if bundle.is_ours() {
        let mut no_default = filter(refuse(&MKDIR));
        no_default.as_object_mut().unwrap().remove("defaultAction");
        wrong.push(no_default);
        wrong.push(filter(json!({ "names": [], "action": "SCMP_ACT_ERRNO" })));
        wrong.push(filter(json!({ "action": "SCMP_ACT_ERRNO" })));
        wrong.push(filter(json!({ "names": MKDIR })));
        for missing in ["index", "value", "op"] {
            let mut argument = json!({ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" });
            argument.as_object_mut().unwrap().remove(missing);
            let mut rule = refuse(&MKDIR);
            rule["args"] = json!([argument]);
            wrong.push(filter(rule));
        }
    }
    for filter in wrong {
        bundle.config["linux"]["seccomp"] = filter.clone();
        let ran = bundle.create();
        bundle.delete_all();
        assert_ne!(ran.code, 0, "{filter}");
        bundle.assert_refused(&ran);
    }
}

#[test]
fn an_error_number_for_an_action_that_returns_none_is_refused() {
    let why = "runc 1.1 ignores it";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    let mut default = filter(refuse(&MKDIR));
    default["defaultErrnoRet"] = json!(1);
    bundle.config["linux"]["seccomp"] = default;
    bundle.assert_config_refused();
    for action in ["SCMP_ACT_ALLOW", "SCMP_ACT_KILL", "SCMP_ACT_LOG", "SCMP_ACT_TRAP"] {
        bundle.config["linux"]["seccomp"] =
            filter(json!({ "names": MKDIR, "action": action, "errnoRet": 1 }));
        bundle.assert_config_refused();
    }
}

/// Makes a bundle whose filter asks an agent about mkdir.
fn with_agent(path: &str) -> Option<Bundle> {
    let mut bundle = Bundle::of_script("echo up; exec sleep 1000")?;
    let mut asks = filter(json!({ "names": MKDIR, "action": "SCMP_ACT_NOTIFY" }));
    asks["listenerPath"] = json!(bundle.dir().join(path));
    bundle.config["linux"]["seccomp"] = asks;
    Some(bundle)
}

#[test]
fn the_agent_receives_the_state_of_the_process_once_and_the_filters_descriptor() {
    let Some(mut bundle) = with_agent("agent") else { return };
    bundle.config["linux"]["seccomp"]["listenerMetadata"] = json!("opaque data");
    let socket = Socket::at(&bundle.dir().join("agent"));
    bundle.started();
    bundle.wait_for_output("up");
    let stream = socket.accept();
    let (mut text, descriptors) = receive(&stream);
    assert_eq!(descriptors.len(), 1, "all descriptors come with the first message");
    text.extend(rest(stream));
    let sent: Value = serde_json::from_slice(&text).expect("exactly one JSON document");
    assert_eq!(sent["fds"], json!(["seccompFd"]));
    assert_eq!(sent["pid"], bundle.pid());
    assert_eq!(sent["metadata"], "opaque data");
    assert!(sent["ociVersion"].is_string(), "{sent}");
    assert_is_state(&sent["state"], &bundle);
    assert!(!socket.has_connection(), "one connection");
    let link =
        format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&descriptors[0]));
    let target = std::fs::read_link(link).unwrap();
    assert_eq!(target.to_str(), Some("anon_inode:seccomp notify"));
    bundle.call(&["delete", "--force", ID]).exits(0);
}

#[test]
fn an_agent_that_cannot_be_reached_is_an_error() {
    let Some(bundle) = with_agent("nosuch") else { return };
    let ran = bundle.create();
    let ran = if ran.code == 0 { bundle.call(&["start", ID]) } else { ran };
    bundle.assert_refused(&ran);
    assert_eq!(bundle.output(), "", "the program has not run");
}

#[test]
fn metadata_or_questions_for_no_agent_are_refused() {
    let Some(mut bundle) = Bundle::new() else { return };
    let mut metadata = filter(refuse(&MKDIR));
    metadata["listenerMetadata"] = json!("x");
    let questions = filter(json!({ "names": MKDIR, "action": "SCMP_ACT_NOTIFY" }));
    let both = [questions, metadata];
    // runc 1.1 ignores the metadata.
    for wrong in &both[..if bundle.is_ours() { 2 } else { 1 }] {
        bundle.config["linux"]["seccomp"] = wrong.clone();
        bundle.assert_config_refused();
    }
}

#[test]
fn a_listener_path_that_no_rule_needs_is_ignored() {
    let Some(mut bundle) = Bundle::new() else { return };
    let mut unneeded = filter(refuse(&MKDIR));
    unneeded["listenerPath"] = json!(bundle.dir().join("nosuch"));
    bundle.config["linux"]["seccomp"] = unneeded;
    assert_eq!(bundle.stdout_of("echo it runs"), "it runs");
}
