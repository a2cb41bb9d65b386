//! `--systemd-cgroup`, with a systemd that runs: in the virtual machine, the test boots
//! one as PID 1 of namespaces of its own, and continues as its service.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use kiste_tests::{eventually, host, require_tool};
use serde_json::json;

use crate::conformance::bundle::{Bundle, ID};

/// The variable that tells the test that systemd has started it.
const UNDER_SYSTEMD: &str = "KISTE_TEST_UNDER_SYSTEMD";

/// The name of the unit of the container.
const SCOPE: &str = "kiste-web.scope";

#[test]
fn systemd_makes_the_scope_knows_its_limits_and_removes_it() {
    if std::env::var_os(UNDER_SYSTEMD).is_some() {
        return under_systemd();
    }
    if std::env::var_os("KISTE_VM").is_none() {
        let found = "systemd is booted only in the virtual machine (tests/vm)";
        return kiste_tests::report_missing("virtual machine", found);
    }
    if !["systemctl", "dbus-daemon", "unshare"].into_iter().all(require_tool) {
        return;
    }
    let name = std::thread::current().name().unwrap().to_owned();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let ran = Command::new("bash")
        .args(["-c", include_str!("boot_systemd.sh")])
        .env("CHECK_UNIT", unit(&name, &log))
        .output()
        .unwrap();
    let log = fs::read_to_string(log).unwrap_or_default();
    assert!(ran.status.success() && log.contains("1 passed"), "{ran:?}\n{log}");
}

/// Composes the service that runs this test.
fn unit(test: &str, log: &Path) -> String {
    let program = std::env::current_exe().unwrap();
    let is_passed = |name: &OsStr| {
        let name = name.to_string_lossy();
        name == "PATH" || name.starts_with("KISTE_")
    };
    let environment: String = std::env::vars_os()
        .filter(|(name, _)| is_passed(name))
        .map(|(name, value)| {
            format!("Environment=\"{}={}\"\n", name.display(), value.display())
        })
        .collect();
    let (program, log) = (program.display(), log.display());
    format!(
        "[Unit]
DefaultDependencies=no
Requires=dbus.service
After=dbus.service
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
ExecStart={program} --exact {test} --nocapture
StandardOutput=file:{log}
StandardError=inherit
Environment={UNDER_SYSTEMD}=1
{environment}"
    )
}

fn under_systemd() {
    let mut bundle = Bundle::of_script("sleep 1000").expect("a bundle");
    bundle.config["linux"]["cgroupsPath"] = "machine-kiste.slice:kiste:web".into();
    bundle.config["linux"]["resources"] = json!({
        "memory": { "limit": 67108864, "swap": 67108864 },
        "cpu": { "quota": 50000, "period": 100000 },
        "pids": { "limit": 50 },
        "devices": [{ "allow": false, "access": "rwm" }],
    });
    create(&bundle);
    let cgroup = "/machine.slice/machine-kiste.slice/kiste-web.scope";
    let is_in_scope = |pid: i64| {
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        // The tests of rare resources mount a hierarchy of version 1, too.
        let unified = cgroups.lines().find_map(|line| line.strip_prefix("0::"));
        assert_eq!(unified, Some(cgroup));
    };
    is_in_scope(bundle.pid());
    for (property, expected) in [
        ("Slice", "machine-kiste.slice"),
        ("Delegate", "yes"),
        ("MemoryMax", "67108864"),
        ("MemorySwapMax", "0"),
        ("CPUQuotaPerSecUSec", "500ms"),
        ("TasksMax", "50"),
    ] {
        assert_eq!(shown(property), expected, "{property}");
    }
    let file = |name: &str| {
        fs::read_to_string(format!("/sys/fs/cgroup{cgroup}/{name}")).unwrap()
    };
    let limits = || ["memory.max", "memory.swap.max", "cpu.max", "pids.max"].map(file);
    assert_eq!(limits(), ["67108864\n", "0\n", "50000 100000\n", "50\n"]);

    bundle.call(&["start", ID]).exits(0);
    let new =
        ["--memory", "33554432", "--memory-swap", "33554432", "--pids-limit", "20"];
    bundle.call(&[&["update"], &new[..], &[ID]].concat()).exits(0);
    // systemd writes the limits and the device rules that it knows once more.
    assert!(host_command("systemctl", &["daemon-reload"]).is_empty());
    let script =
        "mknod /dev/own c 1 11 && echo made; true > /dev/own && echo opened; :";
    bundle.exec(&[], &["sh", "-c", script]).assert_stdout("made");
    assert_eq!(limits(), ["33554432\n", "0\n", "50000 100000\n", "20\n"]);
    assert_eq!(
        (shown("MemoryMax"), shown("TasksMax")),
        ("33554432".into(), "20".into())
    );

    let pid_file = bundle.dir().join("exec-pid");
    let options = ["--detach", "--pid-file", pid_file.to_str().unwrap()];
    bundle.exec(&options, &["sleep", "1000"]).exits(0);
    is_in_scope(fs::read_to_string(pid_file).unwrap().parse().unwrap());

    bundle.call(&["kill", ID, "KILL"]).exits(0);
    bundle.wait_for("stopped");
    bundle.call(&["delete", ID]).exits(0);
    assert_scope_is_gone();

    // A scope whose processes were killed for memory has failed, for systemd. The next
    // container of this name starts all the same.
    bundle.set_script("tail /dev/zero");
    bundle.config["linux"]["resources"] =
        json!({ "memory": { "limit": 16777216, "swap": 16777216 } });
    for _ in 0..2 {
        create(&bundle);
        bundle.call(&["start", ID]).exits(0);
        bundle.wait_for("stopped");
        bundle.call(&["delete", ID]).exits(0);
        assert_scope_is_gone();
    }

    // The host's administrator moves the scope. Its limits would hold nothing.
    let drop_in = Path::new("/run/systemd/system/kiste-web.scope.d/99-slice.conf");
    fs::create_dir_all(drop_in.parent().unwrap()).unwrap();
    fs::write(drop_in, "[Scope]\nSlice=other.slice\n").unwrap();
    host_command("systemctl", &["daemon-reload"]);
    let dir = bundle.dir().to_str().unwrap();
    let ran = bundle.call(&["--systemd-cgroup", "run", "--bundle", dir, ID]);
    ran.exits(125).assert_stderr_contains("systemd did not put the container into");
    assert_scope_is_gone();
}

#[track_caller]
fn create(bundle: &Bundle) {
    bundle.write();
    let words =
        ["--systemd-cgroup", "create", "--bundle", bundle.dir().to_str().unwrap()];
    let mut child = bundle.spawn("container", &[&words[..], &[ID]].concat());
    let status = eventually(|| child.try_wait().unwrap()).expect("`create` ends");
    assert!(status.success(), "{:?}", bundle.printed("container", 0));
}

/// Returns a property of the scope.
fn shown(property: &str) -> String {
    host_command("systemctl", &["show", "--value", "--property", property, SCOPE])
}

fn host_command(program: &str, arguments: &[&str]) -> String {
    let ran = Command::new(program).args(arguments).output().unwrap();
    assert!(ran.status.success(), "{program}: {ran:?}");
    String::from_utf8(ran.stdout).unwrap().trim().into()
}

#[track_caller]
fn assert_scope_is_gone() {
    let is_gone = || (shown("LoadState") == "not-found").then_some(());
    assert!(eventually(is_gone).is_some(), "the scope is {}", shown("ActiveState"));
    assert_eq!(host::cgroups_named("kiste-web.scope"), [""; 0]);
}
