use super::super::document::parse;
use super::super::host::{Host, KernelVersion};
use super::super::interpreter::{SyscallData, run};
use super::super::syscalls;
use super::*;
use crate::capability_set::CapabilitySet;

fn host(arch: Arch) -> Host {
    let capabilities = CapabilitySet::EMPTY;
    Host { arch, kernel: KernelVersion(6, 1), capabilities }
}

/// Compiles a profile of these `syscalls`, for x86_64 with i386 and x32.
fn filter(default: &str, syscalls: &str) -> Filter {
    let json = format!(
        r#"{{"defaultAction": "SCMP_ACT_{default}",
            "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": [{syscalls}]}}"#
    );
    compile(&parse(json.as_bytes(), &host(Arch::X86_64)).unwrap()).unwrap()
}

fn rule(names: &str, action: &str, args: &str) -> String {
    let names = names.split(' ').map(|it| format!("{it:?}")).collect::<Vec<_>>();
    let names = names.join(",");
    format!(
        r#"{{"names": [{names}], "action": "SCMP_ACT_{action}", "args": [{args}]}}"#
    )
}

fn arg(index: u8, op: &str, value: u64, two: u64) -> String {
    format!(
        r#"{{"index": {index}, "op": "SCMP_CMP_{op}", "value": {value}, "valueTwo": {two}}}"#
    )
}

fn decide(filter: &Filter, arch: Arch, name: &str, arguments: &[u64]) -> Action {
    let number = syscalls::number(arch, name).unwrap();
    decide_number(filter, arch, number, arguments)
}

fn decide_number(
    filter: &Filter,
    arch: Arch,
    number: u32,
    arguments: &[u64],
) -> Action {
    let mut call = SyscallData { number, arch: arch.audit(), ..Default::default() };
    call.arguments[..arguments.len()].copy_from_slice(arguments);
    Action::from_return_value(run(filter.instructions(), &call).unwrap())
}

const EPERM: Action = Action::Errno(libc::EPERM as u16);
const ENOSYS: Action = Action::Errno(libc::ENOSYS as u16);

#[test]
fn every_operator_compares_all_64_bits() {
    let value = 0x1_0000_0005u64;
    let others = [0, 4, 5, 6, value - 1, value, value + 1, 0x2_0000_0000, u64::MAX];
    type Holds = fn(u64, u64) -> bool;
    let operators: [(&str, Holds); 6] = [
        ("NE", |a, b| a != b),
        ("LT", |a, b| a < b),
        ("LE", |a, b| a <= b),
        ("EQ", |a, b| a == b),
        ("GE", |a, b| a >= b),
        ("GT", |a, b| a > b),
    ];
    for (op, holds) in operators {
        let filter = filter("ERRNO", &rule("kill", "ALLOW", &arg(1, op, value, 0)));
        for other in others {
            let expected = if holds(other, value) { Action::Allow } else { EPERM };
            let found = decide(&filter, Arch::X86_64, "kill", &[0, other]);
            assert_eq!(found, expected, "{other:#x} {op} {value:#x}");
        }
    }
}

#[test]
fn a_masked_comparison_sees_only_the_bits_of_its_mask() {
    let mask = 0xff_0000_00f0;
    let filter = filter(
        "ERRNO",
        &rule("clone", "ALLOW", &arg(0, "MASKED_EQ", mask, 0x01_0000_0010)),
    );
    for (flags, expected) in [
        (0x01_0000_0010, Action::Allow),
        (0xf1_0f00_0f1f | (0x1 << 32), EPERM),
        (0x01_ffff_ff1f, Action::Allow),
        (0x10, EPERM),
        (0x01_0000_0000, EPERM),
    ] {
        assert_eq!(
            decide(&filter, Arch::X86_64, "clone", &[flags]),
            expected,
            "{flags:#x}"
        );
    }
}

/// An old mistake: TIOCSTI is refused, and the same number with a bit in the upper half,
/// of which the kernel's ioctl sees nothing, is not.
#[test]
fn a_64_bit_comparison_for_a_32_bit_argument_is_as_narrow_as_it_was_written() {
    let both = [
        rule("ioctl", "ERRNO", &arg(1, "MASKED_EQ", 0xffff_ffff, 0x5412)),
        rule("ioctl", "ALLOW", &arg(1, "EQ", 0x5413, 0)),
    ];
    let filter = filter("ALLOW", &both[0]);
    let ioctl = |request| decide(&filter, Arch::X86_64, "ioctl", &[0, request]);
    assert_eq!([ioctl(0x5412), ioctl(0x1_0000_5412)], [EPERM; 2]);
    assert_eq!(ioctl(0x5413), Action::Allow);
    let filter = super::tests::filter("ERRNO", &both[1]);
    let ioctl = |request| decide(&filter, Arch::X86_64, "ioctl", &[0, request]);
    assert_eq!([ioctl(0x5413), ioctl(0x1_0000_5413)], [Action::Allow, EPERM]);
}

#[test]
fn conditions_of_a_rule_are_all_needed_and_of_several_rules_one_is() {
    let rules = [
        rule("kill", "ALLOW", &[arg(0, "EQ", 1, 0), arg(1, "EQ", 2, 0)].join(",")),
        rule("kill", "LOG", &arg(0, "EQ", 7, 0)),
    ];
    let filter = filter("KILL_PROCESS", &rules.join(","));
    let kill = |a, b| decide(&filter, Arch::X86_64, "kill", &[a, b]);
    assert_eq!(kill(1, 2), Action::Allow);
    assert_eq!([kill(1, 3), kill(2, 2)], [Action::KillProcess; 2]);
    assert_eq!(kill(7, 99), Action::Log);
}

#[test]
fn two_conditions_on_one_argument_are_alternatives_as_in_runc() {
    let two = [arg(0, "EQ", 1, 0), arg(0, "EQ", 5, 0)].join(",");
    let filter = filter("ERRNO", &rule("personality", "ALLOW", &two));
    let personality = |it| decide(&filter, Arch::X86_64, "personality", &[it]);
    assert_eq!([personality(1), personality(5)], [Action::Allow; 2]);
    assert_eq!(personality(3), EPERM);
}

#[test]
fn a_rule_without_conditions_wins_and_the_first_of_them() {
    let rules = [
        rule("kill", "TRAP", &arg(0, "EQ", 1, 0)),
        rule("kill", "ALLOW", ""),
        rule("kill", "LOG", ""),
    ];
    let filter = filter("ERRNO", &rules.join(","));
    assert_eq!(decide(&filter, Arch::X86_64, "kill", &[1]), Action::Allow);
}

#[test]
fn a_call_that_is_newer_than_the_profile_returns_enosys() {
    let rules = rule("read clone3 close", "ALLOW", "");
    for (default, newer, older) in [
        ("ERRNO", ENOSYS, EPERM),
        ("KILL", ENOSYS, Action::KillThread),
        ("LOG", Action::Log, Action::Log),
    ] {
        let filter = filter(default, &rules);
        let decide = |number| decide_number(&filter, Arch::X86_64, number, &[]);
        assert_eq!(decide(435), Action::Allow, "clone3 itself");
        assert_eq!([decide(436), decide(9999)], [newer; 2], "after clone3");
        assert_eq!(decide(434), older, "before it");
        let decide = |number| decide_number(&filter, Arch::X32, number | X32_BIT, &[]);
        assert_eq!(
            [decide(435u32), decide(436), decide(434)],
            [Action::Allow, newer, older]
        );
    }
}

#[test]
fn each_architecture_has_its_own_numbers_and_others_are_killed() {
    let filter = filter("ERRNO", &rule("getppid ioctl", "ALLOW", ""));
    for arch in [Arch::X86_64, Arch::X86, Arch::X32] {
        assert_eq!(decide(&filter, arch, "getppid", &[]), Action::Allow, "{arch:?}");
        assert_eq!(decide(&filter, arch, "getuid", &[]), EPERM, "{arch:?}");
    }
    // 64 is getppid on i386 and semget on x86_64; 514 is ioctl on x32 only.
    assert_eq!(decide_number(&filter, Arch::X86_64, 64, &[]), EPERM);
    assert_eq!(decide_number(&filter, Arch::X86_64, 514, &[]), ENOSYS);
    assert_eq!(decide(&filter, Arch::Aarch64, "getppid", &[]), Action::KillThread);
}

/// Without x32 in the profile, its calls are those of another architecture. Only -1, with
/// which a tracer skips a call, is not.
#[test]
fn x32_calls_are_killed_if_the_profile_does_not_name_x32() {
    let json = br#"{"defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": ["getppid"], "action": "SCMP_ACT_ALLOW"}]}"#;
    let filter = compile(&parse(json, &host(Arch::X86_64)).unwrap()).unwrap();
    let decide = |number| decide_number(&filter, Arch::X86_64, number, &[]);
    assert_eq!(decide(110), Action::Allow);
    assert_eq!(decide(110 | 1 << 30), Action::KillThread);
    assert_eq!(decide(u32::MAX), EPERM);
    assert_eq!(decide_number(&filter, Arch::X86, 64, &[]), Action::KillThread);
}

#[test]
fn a_rule_for_socket_covers_socketcall_on_i386() {
    let filter = filter("ALLOW", &rule("socket shmat", "ERRNO", ""));
    let decide = |name, first| decide(&filter, Arch::X86, name, &[first]);
    assert_eq!(decide("socketcall", 1), EPERM, "SYS_SOCKET");
    assert_eq!(decide("socketcall", 2), Action::Allow, "SYS_BIND");
    assert_eq!(decide("socket", 2), EPERM);
    assert_eq!(decide("ipc", 21), EPERM, "SHMAT");
    assert_eq!(decide("ipc", 22), Action::Allow, "SHMDT");
}

#[test]
fn a_filter_that_is_too_long_is_refused_with_its_length() {
    let rules: Vec<_> = (0..3000)
        .map(|it| rule("kill", "ALLOW", &arg(0, "EQ", it * 0x1_0000_0001, 0)))
        .collect();
    let json = format!(
        r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{}]}}"#,
        rules.join(",")
    );
    let profile = parse(json.as_bytes(), &host(Arch::X86_64)).unwrap();
    let error = compile(&profile).unwrap_err().to_string();
    assert!(error.contains("instructions; the kernel allows 4096"), "{error}");
}

#[test]
fn the_flags_are_those_of_the_profile_and_a_listener_adds_its_own() {
    let json = br#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent",
        "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"],
        "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}]}"#;
    let filter = compile(&parse(json, &host(Arch::X86_64)).unwrap()).unwrap();
    assert_eq!(filter.flags, 1 | 2 | 8 | 16, "TSYNC, LOG, NEW_LISTENER, TSYNC_ESRCH");
}
