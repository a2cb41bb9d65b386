//! There is one order in which a container starts: `run` of step 9 and an equivalent
//! config.json narrate the same calls in the same order. Every difference is listed in
//! [`DIFFERENCES`], with its reason.

#[path = "one_telling/differences.rs"]
mod differences;
#[path = "one_telling/lines.rs"]
mod lines;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::conformance::bundle::Bundle;
use differences::{DIFFERENCES, Difference};
use lines::{Line, read};

/// The id of the container of step 10.
const ID: &str = "telling";

/// A seccomp profile that both steps read.
const PROFILE: &str = r#"{
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{ "names": ["getcpu"], "action": "SCMP_ACT_ERRNO" }]
}"#;

#[test]
fn a_config_file_and_the_options_of_step_9_make_the_same_calls_in_the_same_order() {
    let Some(bundle) = Bundle::of_ours("it narrates") else { return };
    let step_9 = bundle.exe().with_file_name("09-security");
    if !step_9.exists() {
        let found = "not built: `cargo build -p step-09-security`";
        kiste_tests::report_missing("09-security", found);
        return;
    }
    fs::create_dir(bundle.dir().join("data")).unwrap();
    fs::create_dir_all(bundle.rootfs().join("data")).unwrap();
    // Step 9 would make it in an image without one.
    fs::write(bundle.rootfs().join("etc/resolv.conf"), "").unwrap();
    let options = lines_of_options(&bundle, step_9);
    let file = lines_of_file(bundle);
    assert_same_calls(&options, &file);
}

fn lines_of_options(bundle: &Bundle, program: PathBuf) -> Vec<Line> {
    fs::write(bundle.dir().join("profile.json"), PROFILE).unwrap();
    let dir = |name: &str| bundle.dir().join(name).display().to_string();
    let (parent, run_dirs) = (bundle.cgroup(), bundle.state_root());
    let options = format!(
        "--rootfs {} --store {} --run-dir {} --cgroup-parent {parent}
         --network none --hostname telling --user 1000:1000 --umask 022 --workdir /srv
         --memory 64m --pids-limit 100 --ulimit nofile=512 --oom-score-adj 100
         --sysctl kernel.msgmax=4096 --security-opt seccomp={} --volume {}:/data",
        bundle.rootfs().display(),
        dir("store"),
        run_dirs.display(),
        dir("profile.json"),
        dir("data"),
    );
    let ran = Command::new(program)
        .args(["run", "--explain=json"])
        .args(options.split_whitespace())
        .arg("true")
        .current_dir(bundle.dir())
        .output()
        .unwrap();
    let narration = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{narration}");
    read(&narration, bundle)
}

fn lines_of_file(mut bundle: Bundle) -> Vec<Line> {
    bundle.call(&["spec"]).exits(0);
    let text = fs::read_to_string(bundle.dir().join("config.json")).unwrap();
    bundle.config = equivalent(serde_json::from_str(&text).unwrap(), &bundle);
    bundle.write();
    let ran = bundle.call(&["run", "--explain=json", ID]);
    ran.exits(0);
    read(&ran.err, &bundle)
}

/// Changes the example of `spec` to what the options of step 9 ask for.
fn equivalent(mut config: Value, bundle: &Bundle) -> Value {
    let capabilities = crate::conformance::config::CAPABILITIES;
    config["hostname"] = "telling".into();
    config["root"] = json!({ "path": "rootfs" });
    let process = &mut config["process"];
    process["args"] = json!(["true"]);
    process["terminal"] = false.into();
    process["user"] = json!({ "uid": 1000, "gid": 1000, "umask": 0o022 });
    process["cwd"] = "/srv".into();
    process["capabilities"] = json!({ "bounding": capabilities });
    process["noNewPrivileges"] = false.into();
    process["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 512, "hard": 512 }]);
    process["oomScoreAdj"] = 100.into();
    let linux = &mut config["linux"];
    linux["cgroupsPath"] = format!("/{}/{ID}", bundle.cgroup()).into();
    linux["rootfsPropagation"] = "private".into();
    linux["seccomp"] = serde_json::from_str(PROFILE).unwrap();
    linux["sysctl"] = json!({ "kernel.msgmax": "4096" });
    linux["resources"]["memory"] = json!({ "limit": 64 << 20, "swap": 128 << 20 });
    linux["resources"]["pids"] = json!({ "limit": 100 });
    linux["namespaces"].as_array_mut().unwrap().push(json!({ "type": "time" }));
    let source = bundle.dir().join("data");
    let data =
        json!({ "destination": "/data", "source": source, "options": ["rbind"] });
    let mounts = config["mounts"].as_array_mut().unwrap();
    let sysfs = mounts.remove(5);
    mounts.insert(1, sysfs);
    mounts.push(data);
    config
}

/// Goes through both narrations at once. Where they differ, the next one of
/// [`DIFFERENCES`] must begin.
#[track_caller]
fn assert_same_calls(mut options: &[Line], mut file: &[Line]) {
    let mut differences = DIFFERENCES.iter().peekable();
    while !options.is_empty() || !file.is_empty() {
        if let Some(Difference { step_9, step_10, .. }) = differences.peek()
            && let Some(after_options) = without_begin(options, step_9)
            && let Some(after_file) = without_begin(file, step_10)
        {
            (options, file) = (after_options, after_file);
            differences.next();
            continue;
        }
        assert_eq!(
            options.first(),
            file.first(),
            "step 9 (left) and step 10 (right) differ, and not since {:?}; they go on: {:#?} {:#?}",
            differences.peek().map(|next| next.because),
            &options[..options.len().min(8)],
            &file[..file.len().min(8)],
        );
        (options, file) = (&options[1..], &file[1..]);
    }
    let unused = differences.next().map(|unused| unused.because);
    assert_eq!(unused, None, "the narrations do not differ so");
}

/// Returns the lines after these calls. None if it does not begin with them.
fn without_begin<'a>(lines: &'a [Line], begin: &str) -> Option<&'a [Line]> {
    let begin: Vec<_> =
        begin.lines().map(str::trim).filter(|it| !it.is_empty()).collect();
    let is_begin = lines.len() >= begin.len()
        && lines.iter().zip(&begin).all(|(line, begin)| line.call == *begin);
    is_begin.then(|| &lines[begin.len()..])
}
