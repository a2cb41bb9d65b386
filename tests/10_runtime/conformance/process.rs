//! config.md, "Process": what the process is given.

use std::fs;

use kiste_tests::{host, require_tool};
use serde_json::json;

use super::bundle::{Bundle, ID};

#[test]
fn the_working_directory_is_set_and_must_be_absolute() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.config["process"]["cwd"] = json!("/etc");
    assert_eq!(bundle.stdout_of("pwd"), "/etc");
    bundle.config["process"]["cwd"] = json!("etc");
    bundle.assert_config_refused();
}

#[test]
fn the_environment_and_the_arguments_are_exactly_those_of_the_configuration() {
    let Some(mut bundle) = Bundle::new() else { return };
    let variables = ["PATH=/bin", "A=b=c d", "EMPTY=", "_x=ä\n"];
    bundle.config["process"]["env"] = json!(variables);
    bundle.config["process"]["args"] =
        json!(["sh", "-c", "cat /proc/$$/environ /proc/$$/cmdline; :", "", "a b", "*"]);
    let ran = bundle.run();
    ran.exits(0);
    let arguments =
        ["sh", "-c", "cat /proc/$$/environ /proc/$$/cmdline; :", "", "a b", "*"];
    let expected: String =
        variables.iter().chain(&arguments).map(|it| format!("{it}\0")).collect();
    // Runtimes add HOME for the user's home directory, as a login does.
    let found: String = ran
        .out
        .split_inclusive('\0')
        .filter(|variable| !variable.starts_with("HOME="))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn the_first_argument_is_looked_up_in_the_path_of_the_container() {
    let Some(mut bundle) = Bundle::new() else { return };
    fs::create_dir(bundle.rootfs().join("tools")).unwrap();
    super::bundle::write_script(
        bundle.rootfs().join("tools/it"),
        "#!/bin/sh\necho found\n",
    );
    bundle.config["process"]["args"] = json!(["it"]);
    bundle.config["process"]["env"] = json!(["PATH=/bin:/tools"]);
    bundle.run().assert_stdout("found");
    bundle.config["process"]["env"] = json!(["PATH=/bin"]);
    bundle.assert_config_refused();
}

#[test]
fn a_process_without_arguments_is_refused() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.config["process"]["args"] = json!([]);
    bundle.assert_config_refused();
    bundle.config["process"].as_object_mut().unwrap().remove("args");
    bundle.assert_config_refused();
}

#[test]
fn user_group_additional_groups_and_umask_are_those_of_the_configuration() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.config["process"]["user"] = json!({ "uid": 1000, "gid": 2000, "additionalGids": [2000, 5, 60000], "umask": 63 });
    let found = bundle.stdout_of("id -u; id -g; grep Groups /proc/self/status; umask");
    assert_eq!(found, "1000\n2000\nGroups:\t5 2000 60000 \n0077");
}

#[test]
fn each_resource_limit_is_set_soft_and_hard() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.config["process"]["rlimits"] = json!([
        { "type": "RLIMIT_NOFILE", "soft": 100, "hard": 200 },
        { "type": "RLIMIT_CORE", "soft": 0, "hard": 4096 },
        { "type": "RLIMIT_STACK", "soft": 1048576, "hard": 2097152 },
        { "type": "RLIMIT_FSIZE", "soft": 1048576, "hard": 1048576 },
    ]);
    let limits = bundle.stdout_of("cat /proc/self/limits");
    let words = |name: &str| -> Vec<String> {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().take(2).map(String::from).collect()
    };
    assert_eq!(words("Max open files"), ["100", "200"]);
    assert_eq!(words("Max core file size"), ["0", "4096"]);
    assert_eq!(words("Max stack size"), ["1048576", "2097152"]);
    assert_eq!(words("Max file size"), ["1048576", "1048576"]);
}

#[test]
fn a_resource_limit_that_the_kernel_does_not_know_or_that_comes_twice_is_refused() {
    let Some(mut bundle) = Bundle::new() else { return };
    let limit = |kind: &str| json!({ "type": kind, "soft": 64, "hard": 64 });
    let mut wrong = vec![
        json!([limit("RLIMIT_NOSUCH")]),
        json!([limit("NOFILE")]),
        json!([limit("")]),
    ];
    if bundle.is_ours() {
        // runc 1.1 takes one of the two.
        wrong.push(json!([limit("RLIMIT_NOFILE"), limit("RLIMIT_NOFILE")]));
    }
    for limits in wrong {
        bundle.config["process"]["rlimits"] = limits;
        bundle.assert_config_refused();
    }
}

/// Bits of capabilities(7).
const CHOWN: u64 = 1;
const KILL: u64 = 1 << 5;
const NET_BIND_SERVICE: u64 = 1 << 10;

#[test]
fn each_of_the_five_capability_sets_is_that_of_the_configuration() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.config["process"]["capabilities"] = json!({
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
        "permitted": ["CAP_CHOWN", "CAP_NET_BIND_SERVICE"],
        "effective": ["CAP_NET_BIND_SERVICE"],
        "inheritable": ["CAP_NET_BIND_SERVICE"],
        "ambient": ["CAP_NET_BIND_SERVICE"],
    });
    // The kernel gives root's programs all permitted capabilities at exec; not another
    // user's.
    bundle.config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    let status = bundle.stdout_of("cat /proc/self/status");
    let set = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap()
    };
    assert_eq!(set("CapBnd"), CHOWN | KILL | NET_BIND_SERVICE);
    assert_eq!(set("CapInh"), NET_BIND_SERVICE);
    assert_eq!(set("CapAmb"), NET_BIND_SERVICE);
    assert_eq!(set("CapPrm"), NET_BIND_SERVICE);
    assert_eq!(set("CapEff"), NET_BIND_SERVICE);
}

#[test]
fn a_root_process_has_the_bounding_set_and_no_inheritable_capability() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.config["process"]["capabilities"] = json!({
        "bounding": ["CAP_CHOWN", "CAP_KILL"],
        "permitted": ["CAP_CHOWN", "CAP_KILL"],
        "effective": ["CAP_CHOWN", "CAP_KILL"],
    });
    let found = bundle.stdout_of("grep Cap /proc/self/status");
    let set = |value: u64| format!("{value:016x}");
    let all = set(CHOWN | KILL);
    let none = set(0);
    let expected = format!(
        "CapInh:\t{none}\nCapPrm:\t{all}\nCapEff:\t{all}\nCapBnd:\t{all}\nCapAmb:\t{none}"
    );
    assert_eq!(found, expected);
}

#[test]
fn an_unknown_capability_is_a_warning_and_the_container_runs() {
    let Some(mut bundle) = Bundle::new() else { return };
    let sets = json!(["CAP_CHOWN", "CAP_NOSUCH"]);
    bundle.config["process"]["capabilities"] =
        json!({ "bounding": sets, "permitted": sets, "effective": sets });
    bundle.set_script("grep CapEff /proc/self/status");
    let ran = bundle.run();
    ran.assert_stdout("CapEff:\t0000000000000001");
    assert!(ran.err.contains("CAP_NOSUCH"), "a warning: {ran:?}");
}

#[test]
fn a_capability_that_the_runtime_lacks_is_a_warning_and_the_container_runs() {
    let why = "runc 1.1 fails";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    if !require_tool("setpriv") {
        return;
    }
    bundle.starter = ["setpriv", "--bounding-set=-audit_write"].map(Into::into).into();
    let sets = json!(["CAP_CHOWN", "CAP_AUDIT_WRITE"]);
    bundle.config["process"]["capabilities"] =
        json!({ "bounding": sets, "permitted": sets, "effective": sets });
    bundle.set_script("grep CapEff /proc/self/status");
    let ran = bundle.run();
    ran.assert_stdout("CapEff:\t0000000000000001");
    assert!(ran.err.contains("AUDIT_WRITE"), "a warning: {ran:?}");
}

#[test]
fn no_new_privileges_is_set_only_if_it_is_asked_for() {
    let Some(mut bundle) = Bundle::new() else { return };
    for (asked, expected) in [(true, "1"), (false, "0")] {
        bundle.config["process"]["noNewPrivileges"] = json!(asked);
        let found = bundle.stdout_of("grep NoNewPrivs /proc/self/status");
        assert_eq!(found, format!("NoNewPrivs:\t{expected}"));
    }
}

#[test]
fn the_oom_score_adjustment_is_set_if_it_is_asked_for_and_else_inherited() {
    let Some(mut bundle) = Bundle::new() else { return };
    let inherit = r#"echo 123 > /proc/self/oom_score_adj; exec "$@""#;
    bundle.starter = ["sh", "-c", inherit, "sh"].map(Into::into).into();
    assert_eq!(bundle.stdout_of("cat /proc/self/oom_score_adj"), "123");
    bundle.config["process"]["oomScoreAdj"] = json!(456);
    assert_eq!(bundle.stdout_of("cat /proc/self/oom_score_adj"), "456");
}

#[test]
fn the_scheduler_of_the_process_is_that_of_the_configuration() {
    let why = "runc 1.1 ignores the scheduler";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    bundle.set_script("echo up; exec sleep 1000");
    bundle.config["process"]["scheduler"] =
        json!({ "policy": "SCHED_BATCH", "nice": 5 });
    bundle.started();
    bundle.wait_for_output("up");
    let pid = bundle.pid();
    assert_eq!(host::stat_field(pid, 41), "3", "policy: sched(7), SCHED_BATCH");
    assert_eq!(host::stat_field(pid, 19), "5", "nice value");
    bundle.call(&["delete", "--force", ID]).exits(0);
    for wrong in [json!({ "nice": 5 }), json!({ "policy": "SCHED_NOSUCH" })] {
        bundle.config["process"]["scheduler"] = wrong;
        bundle.assert_config_refused();
    }
}

#[test]
fn the_io_priority_of_the_process_is_that_of_the_configuration() {
    let why = "runc 1.1 ignores ioPriority";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    bundle.config["process"]["ioPriority"] =
        json!({ "class": "IOPRIO_CLASS_BE", "priority": 7 });
    assert_eq!(bundle.stdout_of("ionice"), "best-effort: prio 7");
    for wrong in [
        json!({ "priority": 7 }),
        json!({ "class": "IOPRIO_CLASS_BE" }),
        json!({ "class": "IOPRIO_CLASS_NOSUCH", "priority": 7 }),
        json!({ "class": "IOPRIO_CLASS_BE", "priority": 8 }),
    ] {
        bundle.config["process"]["ioPriority"] = wrong;
        bundle.assert_config_refused();
    }
}

#[test]
fn a_personality_has_a_domain_and_it_is_set() {
    let why = "runc 1.1 ignores the personality";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    bundle.config["linux"]["personality"] = json!({ "domain": "LINUX32" });
    let machine = bundle.stdout_of("uname -m");
    assert!(["i686", "i386", "armv8l"].contains(&machine.as_str()), "{machine}");
    for wrong in [json!({}), json!({ "domain": "NOSUCH" })] {
        bundle.config["linux"]["personality"] = wrong;
        bundle.assert_config_refused();
    }
}

#[test]
fn a_memory_policy_has_a_known_mode() {
    let why = "runc 1.1 does not know memoryPolicy";
    let Some(mut bundle) = Bundle::of_ours(why) else { return };
    bundle.config["linux"]["memoryPolicy"] =
        json!({ "mode": "MPOL_BIND", "nodes": "0" });
    let map = bundle.stdout_of("head -1 /proc/self/numa_maps | cut -d' ' -f2");
    assert_eq!(map, "bind:0");
    for wrong in [json!({ "nodes": "0" }), json!({ "mode": "MPOL_NOSUCH" })] {
        bundle.config["linux"]["memoryPolicy"] = wrong;
        bundle.assert_config_refused();
    }
}

#[test]
fn only_the_three_standard_descriptors_are_open() {
    let Some(mut bundle) = Bundle::new() else { return };
    let inherit = r#"exec 7</dev/null; exec "$@""#;
    bundle.starter = ["sh", "-c", inherit, "sh"].map(Into::into).into();
    // 3 is the directory that ls reads.
    assert_eq!(bundle.stdout_of("ls /proc/self/fd"), "0\n1\n2\n3");
}
