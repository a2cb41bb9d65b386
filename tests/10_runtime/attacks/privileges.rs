//! Rights that a command must not have.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use kiste_tests::host;
use serde_json::json;

use crate::conformance::bundle::{Bundle, ID};

/// Makes a bundle whose container waits.
fn waiting() -> Option<Bundle> {
    let bundle = Bundle::of_script("echo up; exec sleep 1000")?;
    bundle.started();
    bundle.wait_for_output("up");
    Some(bundle)
}

const NONE: &str = "0000000000000000";

/// CVE-2022-29162: runc gave the commands of `exec --cap` inheritable capabilities.
#[test]
fn no_command_has_inheritable_capabilities() {
    let Some(bundle) = waiting() else { return };
    let show = ["grep", "CapInh", "/proc/self/status"];
    for options in [&[][..], &["--cap", "CAP_NET_RAW"], &["--user", "1000"]] {
        bundle.exec(options, &show).assert_stdout(&format!("CapInh:\t{NONE}"));
    }
    bundle.call(&["delete", "--force", ID]).exits(0);
    let mut bundle = bundle;
    let found = bundle.stdout_of("grep CapInh /proc/self/status");
    assert_eq!(found, format!("CapInh:\t{NONE}"));
}

/// CVE-2022-27650: crun gave an ordinary user's command capabilities.
#[test]
fn a_command_of_an_ordinary_user_has_no_capabilities() {
    let Some(bundle) = waiting() else { return };
    let sets =
        "for set in CapInh CapPrm CapEff CapAmb; do grep $set /proc/self/status; done";
    let expected =
        ["CapInh", "CapPrm", "CapEff", "CapAmb"].map(|set| format!("{set}:\t{NONE}"));
    for user in ["1000", "1000:2000", "1000:0", "0001000"] {
        let ran = bundle.exec(&["--user", user], &["sh", "-c", sets]);
        if user == "0001000" && ran.code != 0 {
            continue; // refused is safe, too
        }
        ran.assert_stdout(&expected.join("\n"));
    }
}

/// CVE-2026-30892: crun took a user that it could not parse for another one.
#[test]
fn the_user_of_exec_is_the_one_that_is_asked_for_or_refused() {
    let Some(bundle) = waiting() else { return };
    let show = ["sh", "-c", "echo $(id -u):$(id -g)"];
    for (user, expected) in
        [("0", "0:0"), ("1", "1:0"), ("1000:2000", "1000:2000"), ("0:5", "0:5")]
    {
        bundle.exec(&["--user", user], &show).assert_stdout(expected);
    }
    for user in [
        ":",
        "1000:",
        ":1000",
        "-1",
        "1000:-1",
        "4294967295",
        "4294967296",
        "0x3e8",
        "1e3",
        "1000:2000:3000",
        " 1000",
        "1000 ",
        "1,2",
        "99999999999999999999",
        "nosuchuser",
    ] {
        let ran = bundle.exec(&[&format!("--user={user}")], &show);
        assert_ne!(ran.code, 0, "{user:?}: {ran:?}");
        assert_eq!(ran.out, "", "{user:?}");
    }
}

/// CVE-2022-36109: a file that is closed to a group must stay closed to a process that
/// leaves that group by setgid.
#[test]
fn the_groups_are_those_of_the_configuration_and_none_of_the_runtime() {
    let Some(mut bundle) = Bundle::new() else { return };
    let closed = bundle.rootfs().join("closed");
    fs::write(&closed, "x").unwrap();
    chown(&closed, Some(0), Some(2000)).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o604)).unwrap();
    bundle.starter = ["setpriv", "--groups=7,8"].map(Into::into).into();
    let script =
        "grep Groups /proc/self/status; cat /closed 2> /dev/null || echo refused";
    for additional in [json!([2000]), json!([])] {
        bundle.config["process"]["user"] =
            json!({ "uid": 1000, "gid": 2000, "additionalGids": additional });
        let found = bundle.stdout_of(script);
        let (groups, read) = found.split_once('\n').unwrap();
        assert_eq!(read, "refused");
        // A runtime may add the primary group itself.
        let is_primary = groups.trim() == "Groups:\t2000";
        let is_none = groups.trim() == "Groups:" && additional == json!([]);
        assert!(is_primary || is_none, "{additional}: {groups:?}");
    }
}

/// The capabilities of `exec` are at most those of the container.
#[test]
fn a_command_that_joins_has_the_limits_of_the_container() {
    let Some(mut bundle) = Bundle::of_script("echo up; exec sleep 1000") else {
        return;
    };
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO" }],
    });
    bundle.config["linux"]["resources"]["pids"] = json!({ "limit": 20 });
    bundle.started();
    bundle.wait_for_output("up");
    let script = "grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/self/status
        mkdir /x 2> /dev/null || echo refused; cat /proc/self/cgroup > /dev/null
        diff /proc/1/cgroup /proc/self/cgroup && echo one cgroup
        for kind in cgroup ipc mnt net pid uts; do
            [ $(readlink /proc/self/ns/$kind) = $(readlink /proc/1/ns/$kind) ] || echo $kind
        done
        grep open /proc/self/limits";
    let ran = bundle.exec(&[], &["sh", "-c", script]);
    ran.exits(0);
    let limits = bundle.exec(&[], &["cat", "/proc/1/limits", "/proc/1/status"]);
    let of = |text: &str, name: &str| -> String {
        text.lines().find(|line| line.starts_with(name)).unwrap_or_default().into()
    };
    for name in ["CapBnd", "NoNewPrivs", "Seccomp:", "Max open"] {
        assert_eq!(of(&ran.out, name), of(&limits.out, name), "{ran:?}");
    }
    let told: Vec<_> = ran.out.lines().skip(3).take(2).collect();
    assert_eq!(told, ["refused", "one cgroup"], "{ran:?}");
}

/// CVE-2023-25809: without a cgroup namespace the host's cgroups were writable.
#[test]
fn the_cgroups_of_the_host_are_read_only_without_a_cgroup_namespace() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.remove_namespace("cgroup");
    let script = "for dir in /sys/fs/cgroup /sys/fs/cgroup/*; do
        mkdir $dir/kiste-attack 2> /dev/null && echo $dir; done; :";
    assert_eq!(bundle.stdout_of(script), "");
}

/// The same as an ordinary user, whose engine asks for a writable mount, since root's
/// engine does so in a cgroup namespace.
#[test]
fn the_cgroups_of_the_host_are_read_only_for_a_rootless_container() {
    const USER: u32 = 59_713;
    let Some(mut bundle) = Bundle::new() else { return };
    host::copy_program(bundle.exe(), &bundle.dir().join("program"));
    host::chown_recursive(bundle.dir(), USER, USER);
    let start = r#"shift; exec ./program "$@""#;
    let id = USER.to_string();
    bundle.starter = [
        "setpriv",
        "--reuid",
        &id,
        "--regid",
        &id,
        "--clear-groups",
        "sh",
        "-c",
        start,
        "sh",
    ]
    .map(Into::into)
    .into();
    let map = json!([{ "containerID": 0, "hostID": USER, "size": 1 }]);
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
    bundle.add("/linux/namespaces", json!({ "type": "user" }));
    bundle.remove_namespace("cgroup");
    let linux = bundle.config["linux"].as_object_mut().unwrap();
    linux.remove("cgroupsPath");
    linux.remove("resources");
    // Only its own group is mapped.
    let mounts = bundle.at("/mounts").as_array_mut().unwrap();
    for mount in mounts.iter_mut() {
        let options = mount["options"].as_array_mut().unwrap();
        options.retain(|option| option != "gid=5" && option != "ro");
    }
    let script = "grep ' /sys/fs/cgroup' /proc/self/mountinfo | cut -d' ' -f5,6";
    let mounted = bundle.stdout_of(script);
    assert!(!mounted.is_empty(), "cgroups are mounted");
    for line in mounted.lines() {
        let options = line.split(' ').nth(1).unwrap();
        assert!(options.split(',').any(|option| option == "ro"), "{mounted}");
    }
}
