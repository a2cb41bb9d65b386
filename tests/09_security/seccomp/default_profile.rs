//! The default profile decides as that of containers-common.

use std::collections::BTreeMap;

use security::CapabilitySet;
use security::seccomp::{
    Action, Arch, Host, Instruction, KernelVersion, compile, default_profile, parse,
};
use serde_json::Value;

use super::calls::{Difference, boundaries, compare};
use super::libseccomp::{self, Input};

const REFERENCE: &str = "/usr/share/containers/seccomp.json";

/// Docker's default, as /proc/PID/status shows it.
const FOURTEEN: CapabilitySet = CapabilitySet::from_bits(0xa804_25fb);

fn hosts() -> Vec<Host> {
    let sets = [FOURTEEN, CapabilitySet::EMPTY, CapabilitySet::ALL];
    let host =
        |arch, capabilities| Host { arch, kernel: KernelVersion(6, 1), capabilities };
    [Arch::X86_64, Arch::Aarch64]
        .into_iter()
        .flat_map(|arch| sets.map(|set| host(arch, set)))
        .collect()
}

fn reference() -> Option<Vec<u8>> {
    if !libseccomp::is_here() {
        return None;
    }
    let json = std::fs::read(REFERENCE);
    if json.is_err() {
        kiste_tests::report_missing(
            "containers-common",
            "no /usr/share/containers/seccomp.json (the package golang-github-containers-common)",
        );
    }
    json.ok()
}

#[test]
fn the_default_profile_decides_every_call_as_the_one_of_containers_common() {
    let Some(json) = reference() else { return };
    for host in hosts() {
        let theirs = resolved(&json, &host).filter().unwrap();
        let ours = compile(&default_profile(&host)).unwrap();
        let compared = same(ours.instructions(), &theirs);
        assert!(compared > 5_000, "{compared} calls were compared");
    }
}

#[test]
fn the_profile_of_containers_common_compiles_to_the_same_as_with_libseccomp() {
    let Some(json) = reference() else { return };
    for host in hosts() {
        let theirs = resolved(&json, &host).filter().unwrap();
        let ours = compile(&parse(&json, &host).unwrap()).unwrap();
        same(ours.instructions(), &theirs);
    }
}

#[track_caller]
fn same(ours: &[Instruction], theirs: &[Instruction]) -> usize {
    match compare(ours, theirs, &values()) {
        Ok(count) => count,
        Err(Difference { call, ours, theirs }) => {
            panic!("ours: {ours}, theirs: {theirs}, for {call:#x?}")
        }
    }
}

/// The arguments that the profile compares, with values around each limit.
fn values() -> BTreeMap<usize, Vec<u64>> {
    let personalities = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];
    BTreeMap::from([
        (0, boundaries(personalities.into_iter().chain([16]))),
        (2, boundaries([9])),
    ])
}

/// Resolves a profile in Docker's format with code of its own: the rules for one host.
fn resolved(json: &[u8], host: &Host) -> Input {
    let profile: Value = serde_json::from_slice(json).unwrap();
    let name = host.arch.oci_name();
    let map = profile["archMap"].as_array().unwrap();
    let map = map.iter().find(|it| it["architecture"] == name).unwrap();
    let subs = map["subArchitectures"].as_array().unwrap().iter();
    let subs = subs.map(|it| Arch::from_oci(it.as_str().unwrap()).unwrap());
    let archs: Vec<_> = std::iter::once(host.arch).chain(subs).collect();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    let default = profile["defaultErrnoRet"].as_u64().unwrap();
    let mut input = Input::new(Action::Errno(default as u16), &archs);
    for entry in profile["syscalls"].as_array().unwrap() {
        if applies(entry, host) {
            add(&mut input, entry);
        }
    }
    input
}

fn applies(entry: &Value, host: &Host) -> bool {
    let list = |from: &str, key: &str| -> Vec<String> {
        let list = entry[from][key].as_array().into_iter().flatten();
        list.map(|it| it.as_str().unwrap().into()).collect()
    };
    for key in ["includes", "excludes"] {
        for filter in entry[key].as_object().into_iter().flatten() {
            assert!(["caps", "arches"].contains(&filter.0.as_str()), "{filter:?}");
        }
    }
    let arches = list("includes", "arches");
    assert!(list("excludes", "arches").is_empty());
    list("includes", "caps").iter().all(|it| host.has(it))
        && !list("excludes", "caps").iter().any(|it| host.has(it))
        && (arches.is_empty() || arches.iter().any(|it| it == host.arch.go_name()))
}

fn add(input: &mut Input, entry: &Value) {
    let action = match entry["action"].as_str().unwrap() {
        "SCMP_ACT_ALLOW" => Action::Allow,
        "SCMP_ACT_ERRNO" => Action::Errno(entry["errnoRet"].as_u64().unwrap() as u16),
        other => panic!("{other}"),
    };
    let args: Vec<_> = entry["args"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| {
            let operator = match it["op"].as_str().unwrap() {
                "SCMP_CMP_NE" => 1,
                "SCMP_CMP_EQ" => 4,
                other => panic!("{other}"),
            };
            let number = |key: &str| it[key].as_u64().unwrap();
            (number("index"), operator, number("value"), number("valueTwo"))
        })
        .collect();
    for name in entry["names"].as_array().unwrap() {
        input.rule(name.as_str().unwrap(), action, &args);
    }
}
