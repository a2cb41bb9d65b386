//! Filters in the kernel: a static probe makes forbidden calls.
//!
//! A filter belongs to a thread. Each test loads one in a thread of its own, which then
//! starts the probe.

use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use kiste_tests::require_tool;
use kit::Failure;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use rustix::thread::{CapabilitySet, CapabilitySets};
use security::seccomp::{
    Arch, Filter, Host, compile, default_profile, parse, syscall_number,
};

/// The outcome of a call.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Ok,
    Failed(Errno),
    Killed(Signal),
}

use Outcome::{Failed, Killed};

static PROBE: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("probe");
    let source =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/09_security/seccomp/probe.c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O1", "-static", "-o"]).arg(&program).arg(source);
    assert!(gcc.status().unwrap().success(), "gcc compiles probe.c");
    (dir, program)
});

/// Runs a function in a thread that has no_new_privs and the filter.
fn filtered<T: Send>(filter: &Filter, run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            nix::sys::prctl::set_no_new_privs().unwrap();
            assert!(filter.load().unwrap().is_none());
            run()
        });
        thread.join().unwrap()
    })
}

/// Makes a call by this instruction.
fn probe(instruction: &str, number: u32, arguments: &[u64]) -> Outcome {
    let output = Command::new(&PROBE.1)
        .args([instruction, &number.to_string()])
        .args(arguments.iter().map(u64::to_string))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if let Some(signal) = output.status.signal() {
        return Killed(signal.try_into().unwrap());
    }
    match String::from_utf8(output.stdout).unwrap().trim() {
        "ok" => Outcome::Ok,
        errno => Failed(Errno::from_raw(errno.parse().unwrap())),
    }
}

fn call(name: &str, arguments: &[u64]) -> Outcome {
    probe("syscall", syscall_number(native(), name).unwrap(), arguments)
}

fn native() -> Arch {
    Arch::native().unwrap()
}

fn default_filter() -> Filter {
    let host = Host::this(security::CapabilitySet::EMPTY).unwrap();
    compile(&default_profile(&host)).unwrap()
}

fn filter(json: &str) -> Filter {
    let host = Host::this(security::CapabilitySet::EMPTY).unwrap();
    compile(&parse(json.as_bytes(), &host).unwrap()).unwrap()
}

/// A profile that allows everything but some calls.
fn allow_but(rules: &str) -> Filter {
    filter(&format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{rules}]}}"#))
}

#[test]
fn the_default_profile_lets_programs_run_and_refuses_what_it_says() {
    if !require_tool("gcc") {
        return;
    }
    const ADDR_NO_RANDOMIZE: u64 = 0x4_0000;
    const PER_LINUX32: u64 = 8;
    filtered(&default_filter(), || {
        assert_eq!(call("getppid", &[]), Outcome::Ok);
        assert_eq!(call("swapoff", &[0]), Failed(Errno::EPERM));
        assert_eq!(call("chroot", &[0]), Failed(Errno::EPERM), "not EFAULT");
        assert_eq!(call("bpf", &[0]), Failed(Errno::EPERM));
        assert_eq!(call("personality", &[0xffff_ffff]), Outcome::Ok);
        let refused = Failed(Errno::ENOSYS);
        assert_eq!(call("personality", &[ADDR_NO_RANDOMIZE]), refused);
        assert_eq!(call("personality", &[PER_LINUX32 | 1 << 32]), refused);
        assert_eq!(
            call("socket", &[16, 3, 9]),
            Failed(Errno::EINVAL),
            "an audit socket"
        );
        assert_eq!(call("socket", &[16, 3, 0]), Outcome::Ok, "another netlink socket");
        assert_eq!(call("io_uring_setup", &[0]), refused);
        assert_eq!(probe("syscall", 9999, &[]), refused);
    });
}

/// clone3 takes its flags in memory, where no filter sees them. Docker refuses it with
/// ENOSYS, so that libraries fall back to clone, whose flags are an argument.
#[test]
fn clone3_returns_enosys_and_clone_is_judged_by_its_flags() {
    if !require_tool("gcc") {
        return;
    }
    let filter = allow_but(
        r#"{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
           {"names": ["unshare"], "action": "SCMP_ACT_ERRNO", "args": [
             {"index": 0, "value": 268435456, "valueTwo": 268435456,
              "op": "SCMP_CMP_MASKED_EQ"}]}"#,
    );
    const CLONE_NEWUSER: u64 = 0x1000_0000;
    const CLONE_FILES: u64 = 0x400;
    filtered(&filter, || {
        assert_eq!(call("clone3", &[0, 0]), Failed(Errno::ENOSYS), "not EINVAL");
        assert_eq!(call("unshare", &[CLONE_NEWUSER]), Failed(Errno::EPERM));
        assert_eq!(
            call("unshare", &[CLONE_NEWUSER | CLONE_FILES]),
            Failed(Errno::EPERM)
        );
        assert_eq!(call("unshare", &[CLONE_FILES]), Outcome::Ok);
    });
}

/// The kernel's ioctl reads 32 bits of its request. A filter that compares all 64 lets a
/// program push characters into a terminal, by a bit in the upper half.
#[test]
fn tiocsti_is_refused_with_any_upper_half_and_tiocgwinsz_is_not() {
    if !require_tool("gcc") {
        return;
    }
    const TIOCSTI: u64 = 0x5412;
    const TIOCGWINSZ: u64 = 0x5413;
    let filter = allow_but(
        r#"{"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "args": [
             {"index": 1, "value": 4294967295, "valueTwo": 21522,
              "op": "SCMP_CMP_MASKED_EQ"}]}"#,
    );
    filtered(&filter, || {
        assert_eq!(call("ioctl", &[0, TIOCSTI]), Failed(Errno::EPERM));
        assert_eq!(call("ioctl", &[0, TIOCSTI | 1 << 32]), Failed(Errno::EPERM));
        assert_eq!(call("ioctl", &[0, TIOCGWINSZ]), Failed(Errno::ENOTTY));
    });
}

#[test]
fn a_32_bit_system_call_is_judged_by_its_own_number_or_kills() {
    if native() != Arch::X86_64 || !require_tool("gcc") {
        return;
    }
    let number = |name| syscall_number(Arch::X86, name).unwrap();
    if probe("int80", number("getppid"), &[]) != Outcome::Ok {
        return kiste_tests::report_missing("ia32", "no 32-bit system calls");
    }
    filtered(&default_filter(), || {
        assert_eq!(probe("int80", number("getppid"), &[]), Outcome::Ok);
        assert_eq!(probe("int80", number("swapoff"), &[]), Failed(Errno::EPERM));
        assert_eq!(probe("int80", 9999, &[]), Failed(Errno::ENOSYS));
    });
    // Without i386 in its profile, there is no way around it.
    let filter = allow_but(r#"{"names": ["swapoff"], "action": "SCMP_ACT_ERRNO"}"#);
    filtered(&filter, || {
        assert_eq!(call("swapoff", &[0]), Failed(Errno::EPERM));
        let outcome = probe("int80", number("swapoff"), &[]);
        assert_eq!(outcome, Killed(Signal::SIGSYS));
        let x32 = syscall_number(Arch::X32, "getppid").unwrap();
        assert_eq!(probe("syscall", x32, &[]), Killed(Signal::SIGSYS));
    });
}

#[test]
fn every_action_does_in_the_kernel_what_its_name_says() {
    if !require_tool("gcc") {
        return;
    }
    let filter = allow_but(
        r#"{"names": ["getpgid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 61},
           {"names": ["getuid"], "action": "SCMP_ACT_TRAP"},
           {"names": ["getgid"], "action": "SCMP_ACT_KILL_PROCESS"},
           {"names": ["geteuid"], "action": "SCMP_ACT_KILL"},
           {"names": ["getegid"], "action": "SCMP_ACT_TRACE", "errnoRet": 5},
           {"names": ["getsid"], "action": "SCMP_ACT_LOG"}"#,
    );
    filtered(&filter, || {
        assert_eq!(call("getpgid", &[]), Failed(Errno::ENODATA));
        for name in ["getuid", "getgid", "geteuid"] {
            assert_eq!(call(name, &[]), Killed(Signal::SIGSYS), "{name}");
        }
        assert_eq!(call("getegid", &[]), Failed(Errno::ENOSYS), "nobody traces it");
        assert_eq!(call("getsid", &[]), Outcome::Ok);
    });
}

#[test]
fn a_filter_that_notifies_returns_the_descriptor_of_its_listener() {
    let filter = filter(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent",
            "flags": ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
            "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_NOTIFY"}]}"#,
    );
    std::thread::scope(|scope| {
        scope.spawn(|| {
            nix::sys::prctl::set_no_new_privs().unwrap();
            let listener = filter.load().unwrap().expect("a descriptor");
            let link = format!("/proc/self/fd/{}", listener.as_raw_fd());
            let link = std::fs::read_link(link).unwrap();
            assert_eq!(link.to_str(), Some("anon_inode:seccomp notify"));
        });
    });
}

#[test]
fn a_load_without_rights_is_refused_with_a_hint() {
    let filter = default_filter();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let none = CapabilitySets {
                effective: CapabilitySet::empty(),
                permitted: CapabilitySet::empty(),
                inheritable: CapabilitySet::empty(),
            };
            rustix::thread::set_capabilities(None, none).unwrap();
            let failure = Failure::of(&filter.load().unwrap_err());
            assert!(failure.to_string().contains("(EACCES)"), "{failure}");
            let hint = failure.hint_text().unwrap();
            assert!(hint.contains("no_new_privs"), "{hint}");
        });
    });
}

/// The fastest of several loads, since a busy machine only makes them slower.
#[test]
fn the_default_profile_is_loaded_in_less_than_a_millisecond() {
    let filter = default_filter();
    let load = || {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                nix::sys::prctl::set_no_new_privs().unwrap();
                let started = Instant::now();
                filter.load().unwrap();
                started.elapsed()
            });
            thread.join().unwrap()
        })
    };
    let fastest = (0..20).map(|_| load()).min().unwrap();
    assert!(fastest < Duration::from_millis(1), "{fastest:?}");
}
