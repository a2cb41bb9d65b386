//! Filters that libseccomp makes, for comparison.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use kiste_tests::{report_missing, require_tool};
use security::seccomp::{Action, Arch, Comparison, Instruction, Profile};

/// The program that makes them, compiled once from libseccomp.c. None if this machine
/// lacks gcc or the library's header.
static MAKER: LazyLock<Option<(tempfile::TempDir, PathBuf)>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("maker");
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/09_security/seccomp/libseccomp.c"
    );
    let compiled = Command::new("gcc")
        .args(["-O1", "-o"])
        .arg(&program)
        .args([source, "-lseccomp"])
        .status();
    compiled.is_ok_and(|it| it.success()).then_some((dir, program))
});

/// Returns whether libseccomp can make filters here; if not, the test is skipped.
pub fn is_here() -> bool {
    if !require_tool("gcc") {
        return false;
    }
    if !std::path::Path::new("/usr/include/seccomp.h").exists() {
        report_missing(
            "libseccomp",
            "no /usr/include/seccomp.h (the package libseccomp-dev)",
        );
        return false;
    }
    true
}

/// The lines from which libseccomp.c makes a filter.
#[derive(Clone, Default)]
pub struct Input(String);

impl Input {
    pub fn new(default: Action, archs: &[Arch]) -> Input {
        let mut text = format!("default {}\n", default.to_return_value());
        for arch in archs {
            writeln!(text, "arch {}", token(*arch)).unwrap();
        }
        Input(text)
    }

    /// Adds a rule. An argument is its index, the number of the operator, and two values.
    pub fn rule(&mut self, name: &str, action: Action, args: &[(u64, u32, u64, u64)]) {
        writeln!(self.0, "rule {} {name}", action.to_return_value()).unwrap();
        for (index, operator, a, b) in args {
            writeln!(self.0, "arg {index} {operator} {a} {b}").unwrap();
        }
        self.0 += "end\n";
    }

    /// Returns the same profile as lines.
    pub fn of(profile: &Profile) -> Input {
        let mut input = Input::new(profile.default_action, &profile.architectures);
        for rule in &profile.rules {
            let args: Vec<_> = rule
                .conditions
                .iter()
                .map(|it| {
                    let (operator, a, b) = operator(it.comparison);
                    (u64::from(it.argument), operator, a, b)
                })
                .collect();
            for name in &rule.names {
                input.rule(name, rule.action, &args);
            }
        }
        input
    }

    /// Returns the filter, or None if libseccomp refuses one of the rules.
    pub fn filter(&self) -> Option<Vec<Instruction>> {
        let maker = &MAKER.as_ref().expect("gcc compiles libseccomp.c").1;
        let mut child = Command::new(maker)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(self.0.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        match output.status.code() {
            Some(0) => Some(instructions(&output.stdout)),
            Some(3) => None,
            _ => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        }
    }
}

fn instructions(bytes: &[u8]) -> Vec<Instruction> {
    let (chunks, []) = bytes.as_chunks::<8>() else { panic!("whole instructions") };
    let instruction = |&[a, b, jt, jf, k @ ..]: &[u8; 8]| Instruction {
        code: u16::from_ne_bytes([a, b]),
        jt,
        jf,
        k: u32::from_ne_bytes(k),
    };
    chunks.iter().map(instruction).collect()
}

/// `enum scmp_compare` of seccomp.h.
fn operator(comparison: Comparison) -> (u32, u64, u64) {
    match comparison {
        Comparison::NotEqual(value) => (1, value, 0),
        Comparison::Less(value) => (2, value, 0),
        Comparison::LessOrEqual(value) => (3, value, 0),
        Comparison::Equal(value) => (4, value, 0),
        Comparison::GreaterOrEqual(value) => (5, value, 0),
        Comparison::Greater(value) => (6, value, 0),
        Comparison::MaskedEqual { mask, value } => (7, mask, value),
    }
}

/// `SCMP_ARCH_*` of seccomp.h, which has a value of its own for x32.
fn token(arch: Arch) -> u32 {
    match arch {
        Arch::X32 => 0x4000_003e,
        arch => arch.audit(),
    }
}
