use super::*;
use crate::capability_set::Capability;
use crate::seccomp::Comparison;
use kit::Failure;

fn host() -> Host {
    let capabilities = [Capability::SYS_ADMIN].into_iter().collect();
    Host { arch: Arch::X86_64, kernel: KernelVersion(5, 10), capabilities }
}

fn rules(syscalls: &str) -> Vec<Rule> {
    let json =
        format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{syscalls}]}}"#);
    parse(json.as_bytes(), &host()).unwrap().rules
}

#[test]
fn a_rule_is_for_those_that_its_includes_and_excludes_name() {
    for (filter, applies) in [
        (r#""includes": {"caps": ["CAP_SYS_ADMIN"]}"#, true),
        (r#""includes": {"caps": ["CAP_SYS_ADMIN", "CAP_CHOWN"]}"#, false),
        (r#""excludes": {"caps": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}"#, false),
        (r#""excludes": {"caps": ["CAP_CHOWN"]}"#, true),
        (r#""includes": {"arches": ["amd64", "arm"]}"#, true),
        (r#""includes": {"arches": ["arm64"]}"#, false),
        (r#""excludes": {"arches": ["amd64"]}"#, false),
        (r#""includes": {"minKernel": "4.8"}"#, true),
        (r#""includes": {"minKernel": "5.11"}"#, false),
        (r#""excludes": {"minKernel": "5.10"}"#, false),
        (r#""includes": null, "excludes": {}, "args": null"#, true),
    ] {
        let found = rules(&format!(
            r#"{{"names": ["bpf"], "action": "SCMP_ACT_ALLOW", {filter}}}"#
        ));
        assert_eq!(found.len(), usize::from(applies), "{filter}");
    }
}

#[test]
fn the_architectures_are_those_of_the_map_for_this_machine() {
    let json = br#"{"defaultAction": "SCMP_ACT_ALLOW", "archMap": [
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
        {"architecture": "SCMP_ARCH_X86_64",
         "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}]}"#;
    let profile = parse(json, &host()).unwrap();
    assert_eq!(profile.architectures, [Arch::X86_64, Arch::X86, Arch::X32]);
    let json = br#"{"defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_S390X", "SCMP_ARCH_X86_64"]}"#;
    let profile = parse(json, &host()).unwrap();
    assert_eq!(profile.architectures, [Arch::X86_64, Arch::X86]);
}

#[test]
fn a_number_may_be_given_by_its_name() {
    let found = rules(
        r#"{"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errno": "ENOENT"},
           {"name": "bpf", "action": "SCMP_ACT_TRACE", "errnoRet": 7, "errno": "EPERM"},
           {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "args":
            [{"index": 1, "value": 4, "op": "SCMP_CMP_GE"}]}"#,
    );
    let actions: Vec<_> = found.iter().map(|it| it.action).collect();
    let [enoent, eperm] = [libc::ENOENT as u16, libc::EPERM as u16];
    assert_eq!(
        actions,
        [Action::Errno(enoent), Action::Trace(7), Action::Errno(eperm)]
    );
    let comparison = Comparison::GreaterOrEqual(4);
    assert_eq!(found[2].conditions, [Condition { argument: 1, comparison }]);
}

#[test]
fn a_value_that_does_not_exist_is_refused_with_a_hint() {
    let rule = |text: &str| {
        format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{{{text}}}]}}"#)
    };
    let allow = r#""names": ["bpf"], "action": "SCMP_ACT_ALLOW""#;
    let args = |text: &str| rule(&format!(r#"{allow}, "args": [{{{text}}}]"#));
    for (json, words) in [
        ("[]".into(), "read the seccomp profile"),
        (
            r#"{"defaultAction": "SCMP_ACT_MAYBE"}"#.into(),
            "unknown action \"SCMP_ACT_MAYBE\"",
        ),
        (r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#.into(), "as the default action"),
        (
            r#"{"defaultAction": "SCMP_ACT_KILL", "defaultErrnoRet": 1}"#.into(),
            "errnoRet 1 of the action SCMP_ACT_KILL",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 70000}"#.into(),
            "errnoRet 70000 of SCMP_ACT_ERRNO",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["X86"]}"#.into(),
            "unknown architecture \"X86\"",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["LOG"]}"#.into(),
            "unknown flag \"LOG\"",
        ),
        (rule(r#""names": [], "action": "SCMP_ACT_ALLOW""#), "without the name"),
        (
            rule(r#""names": ["bpf"], "action": "SCMP_ACT_NOTIFY""#),
            "without a listener",
        ),
        (rule(&format!(r#"{allow}, "errno": "ENOERR""#)), "errno \"ENOERR\""),
        (args(r#""index": 6, "value": 1, "op": "SCMP_CMP_EQ""#), "argument 6"),
        (args(r#""index": 1, "value": 1, "op": "EQ""#), "unknown operator \"EQ\""),
        (
            rule(&format!(r#"{allow}, "includes": {{"minKernel": "new"}}"#)),
            "minKernel \"new\"",
        ),
    ] {
        let error = parse(json.as_bytes(), &host()).unwrap_err();
        let failure = Failure::of(&error);
        assert!(failure.to_string().contains(words), "{words}: {failure}");
        assert!(failure.hint_text().is_some(), "{failure}");
    }
}
