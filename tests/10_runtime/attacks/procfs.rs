//! CVE-2019-16884 and CVE-2025-52881: a file system that looks like /proc, to which the
//! runtime writes labels, limits and kernel parameters.

use std::fs;

use serde_json::json;

use crate::conformance::bundle::Bundle;

/// Files that the runtime writes in /proc, made of ordinary files.
const FAKES: [&str; 4] = [
    "self/attr/exec",
    "self/oom_score_adj",
    "sys/net/ipv4/ip_forward",
    "sys/kernel/hostname",
];

/// Makes a directory that looks like /proc.
fn fake_proc(bundle: &Bundle) {
    for file in FAKES {
        let path = bundle.dir().join("fake").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "fake").unwrap();
    }
}

#[track_caller]
fn assert_untouched(bundle: &Bundle) {
    for file in FAKES {
        let text = fs::read_to_string(bundle.dir().join("fake").join(file)).unwrap();
        assert_eq!(text, "fake", "{file} was written to");
    }
}

#[test]
fn a_volume_on_proc_is_refused() {
    let Some(mut bundle) = Bundle::of_script("true") else {
        return;
    };
    bundle.assert_works();
    fake_proc(&bundle);
    let usual = bundle.config["mounts"].clone();
    for (to, source) in
        [("/proc", "fake"), ("/proc/self", "fake/self"), ("/proc/../proc", "fake")]
    {
        bundle.config["mounts"] = usual.clone();
        bundle.add_mount(to, "none", source, &["rbind"]);
        bundle.config["process"]["oomScoreAdj"] = json!(100);
        let ran = bundle.run();
        assert_ne!(ran.code, 0, "{to}: {ran:?}");
        bundle.assert_refused(&ran);
        assert_untouched(&bundle);
    }
}

#[test]
fn kernel_parameters_are_written_to_the_real_proc_or_not_at_all() {
    let script = "cat /proc/sys/net/ipv4/ip_forward";
    let Some(mut bundle) = Bundle::of_script(script) else { return };
    bundle.assert_works();
    fake_proc(&bundle);
    bundle.config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
    for (to, source) in [("/proc/sys", "fake/sys"), ("/proc/sys/net", "fake/sys/net")] {
        let usual = bundle.config["mounts"].clone();
        bundle.add_mount(to, "none", source, &["rbind"]);
        let _ = bundle.run();
        assert_untouched(&bundle);
        bundle.config["mounts"] = usual;
    }
}

#[test]
fn a_parameter_whose_name_is_a_path_writes_nothing_else() {
    let Some(mut bundle) = Bundle::new() else { return };
    bundle.assert_works();
    let before = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    for name in [
        "net/../kernel/core_pattern",
        "net...kernel.core_pattern",
        "net.ipv4/../../kernel/core_pattern",
        "../sysrq-trigger",
        "net./../../sysrq-trigger",
        "",
    ] {
        bundle.config["linux"]["sysctl"] = json!({ name: "|/attacker" });
        bundle.assert_config_refused();
    }
    assert_eq!(fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), before);
}
