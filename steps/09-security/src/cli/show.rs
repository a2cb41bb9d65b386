//! `show`: a seccomp profile for people.

use std::path::PathBuf;
use std::process::ExitCode;

use kit::{Context, Failure, Hint, Result};

use crate::capabilities::default_capabilities;
use crate::capability_set::{Capability, CapabilitySet};
use crate::seccomp::{
    Arch, Host, Profile, Question, compile, default_profile, disassemble, parse, table,
    verdict,
};

/// The options of `show`.
#[derive(clap::Args, Clone, Debug)]
pub struct Show {
    /// A profile in Docker's or OCI's format [default: the default profile]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// Print the filter that the kernel runs, too: the profile, compiled and disassembled
    #[arg(long)]
    bpf: bool,

    /// Say what happens on this system call, and by which rule
    ///
    /// CALL is a name or a number. An ARG is a number, such as 16, -1 or 0x5412; those
    /// that are not given are 0.
    #[arg(
        long, value_names = ["CALL", "ARG"], num_args = 1..=7, allow_negative_numbers = true,
        conflicts_with = "bpf",
    )]
    would: Vec<String>,

    /// The architecture of the machine, or of the call: x86_64, i386, x32, aarch64, arm
    /// [default: this one]
    #[arg(long, value_parser = parse_arch)]
    arch: Option<Arch>,

    /// A capability that the container has besides Docker's default: SYS_ADMIN
    #[arg(long, value_name = "CAP")]
    cap_add: Vec<Capability>,
}

/// The longest profile that is read, in bytes. Docker's default has 16 KiB.
const LONGEST_PROFILE: u64 = 4 << 20;

impl Show {
    /// Prints the profile, or the verdict on a system call.
    ///
    /// # Errors
    /// If the file is no profile, or if there is no such system call.
    pub fn run(&self) -> Result<ExitCode> {
        let added: CapabilitySet = self.cap_add.iter().copied().collect();
        let this = Host::this(default_capabilities() | added)?;
        let arch = self.arch.unwrap_or(this.arch);
        let profile = self.profile(&Host { arch: arch.machine(), ..this })?;
        let filter = compile(&profile)?;
        match self.would.split_first() {
            Some((call, arguments)) => {
                let arguments: Vec<u64> = arguments
                    .iter()
                    .map(|it| parse_number(it))
                    .collect::<Result<_>>()?;
                let call = Question::new(arch, call, &arguments)?;
                kit::print(verdict(&profile, &filter, &call)?)?;
            }
            None if self.bpf => {
                let bpf = disassemble(filter.instructions());
                kit::print(table(&profile) + "\n" + &bpf)?;
            }
            None => kit::print(table(&profile))?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn profile(&self, host: &Host) -> Result<Profile> {
        let Some(file) = &self.file else { return Ok(default_profile(host)) };
        let json = kit::read_document(file, LONGEST_PROFILE)
            .with_context(|| file.display().to_string())
            .hint("without a file, the default profile is shown")?;
        parse(&json, host).with_context(|| file.display().to_string())
    }
}

fn parse_arch(text: &str) -> std::result::Result<Arch, String> {
    let names = Arch::ALL.map(Arch::name);
    let arch = Arch::ALL.into_iter().find(|it| it.name() == text);
    arch.ok_or_else(|| format!("it is one of {}", names.join(", ")))
}

/// Reads a decimal number, which may be negative, or a hexadecimal one.
fn parse_number(text: &str) -> Result<u64> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse::<u64>().ok().or(text.parse().ok().map(i64::cast_unsigned)),
    };
    let wrong = || Failure::new(format_args!("{text:?} is no number"));
    Ok(number.ok_or_else(|| wrong().hint("an ARG is 16, -1 or 0x5412"))?)
}
