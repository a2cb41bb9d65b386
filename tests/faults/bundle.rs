//! The bundle with which step 10 is tested, and the commands that make a container of
//! it.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use kiste_tests::Fixture;
use serde_json::{Value, json};

/// The id of the container.
pub const ID: &str = "one";

/// Makes a container in three commands, each of which is a runtime of its own. When one
/// of them fails, removes the container, whose first process might wait for its start,
/// and exits with 125; with 137 when the command was killed.
const LIFECYCLE: &str = r#"
    runtime=$0 root=$1 bundle=$2 id=$3
    verb() {
        "$runtime" --root "$root" "$@"
        case $? in 0) return ;; 137) code=137 ;; *) code=125 ;; esac
        "$runtime" --root "$root" delete --force "$id"
        exit "$code"
    }
    verb create --bundle "$bundle" --pid-file "$bundle/pid" "$id"
    verb start "$id"
    read -r pid <"$bundle/pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
    verb delete "$id"
"#;

/// Writes a config.json whose container runs this script.
pub fn write(fixture: &Fixture, script: &str) {
    fixture.call(["spec"]).exits(0);
    let path = fixture.dir().join("config.json");
    let text = fs::read_to_string(&path).expect("read config.json");
    let mut config: Value = serde_json::from_str(&text).expect("config.json is JSON");
    config["hostname"] = "web".into();
    config["domainname"] = "example.org".into();
    config["root"] = json!({ "path": fixture.rootfs() });
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = json!(["sh", "-c", script]);
    config["process"]["oomScoreAdj"] = 100.into();
    let linux = &mut config["linux"];
    linux["cgroupsPath"] = format!("/{}/{ID}", fixture.cgroup_parent()).into();
    linux["sysctl"] = json!({ "kernel.msgmax": "4096" });
    linux["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["getcpu"], "action": "SCMP_ACT_ERRNO" }],
    });
    linux["resources"]["memory"] = json!({ "limit": 64 << 20 });
    linux["resources"]["pids"] = json!({ "limit": 50 });
    linux["resources"]["cpu"] = json!({ "quota": 50000, "period": 100000 });
    let shared = fixture.dir().join("shared");
    let bind = json!({
        "destination": "/srv", "source": shared, "options": ["rbind", "ro"],
    });
    let tmpfs = json!({ "destination": "/opt", "type": "tmpfs", "source": "tmpfs" });
    config["mounts"].as_array_mut().expect("mounts").extend([bind, tmpfs]);
    fs::write(path, config.to_string()).expect("write config.json");
}

/// Returns the words of `run`.
pub fn words_of_run(fixture: &Fixture) -> Vec<OsString> {
    let bundle = fixture.dir().into();
    let (exe, root) = (fixture.exe().into(), fixture.run_dirs().into());
    vec![exe, "--root".into(), root, "run".into(), "--bundle".into(), bundle, ID.into()]
}

/// Returns the words of `create`, `start` and `delete`.
pub fn words_of_lifecycle(fixture: &Fixture) -> Vec<OsString> {
    let root = fixture.run_dirs();
    let operands = [fixture.exe(), &root, fixture.dir(), Path::new(ID)];
    let shell = ["sh", "-c", LIFECYCLE].map(OsString::from);
    shell.into_iter().chain(operands.map(OsString::from)).collect()
}
