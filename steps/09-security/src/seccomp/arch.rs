//! The architectures whose system calls a filter can judge.

/// The bit that marks the number of an x32 system call: `__X32_SYSCALL_BIT`.
pub const X32_BIT: u32 = 1 << 30;

/// An ABI of system calls. One processor runs several: a program on x86_64 may also
/// make the calls of i386 (`int 0x80`) and of x32, each with numbers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86, or i386.
    X86,
    /// 64-bit x86 with 32-bit pointers.
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM (EABI).
    Arm,
}

/// The width of a system call's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Only the lower half of an argument in `seccomp_data` counts.
    Bits32,
    /// Both halves count.
    Bits64,
}

impl Width {
    /// Returns the bits that count.
    pub fn bits(self) -> u64 {
        match self {
            Width::Bits32 => u64::from(u32::MAX),
            Width::Bits64 => u64::MAX,
        }
    }
}

impl Arch {
    /// Every architecture, in the order of the table of system calls.
    pub const ALL: [Arch; 5] =
        [Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64, Arch::Arm];

    /// Returns the architecture that this program was compiled for.
    pub fn native() -> Option<Arch> {
        match std::env::consts::ARCH {
            "x86_64" if cfg!(target_pointer_width = "32") => Some(Arch::X32),
            "x86_64" => Some(Arch::X86_64),
            "x86" => Some(Arch::X86),
            "aarch64" => Some(Arch::Aarch64),
            "arm" => Some(Arch::Arm),
            _ => None,
        }
    }

    /// Returns the architecture of this name in the OCI runtime specification:
    /// `SCMP_ARCH_X86_64`.
    pub fn from_oci(name: &str) -> Option<Arch> {
        Arch::ALL.into_iter().find(|arch| arch.oci_name() == name)
    }

    /// Returns the name in the OCI runtime specification.
    pub fn oci_name(self) -> &'static str {
        match self {
            Arch::X86_64 => "SCMP_ARCH_X86_64",
            Arch::X86 => "SCMP_ARCH_X86",
            Arch::X32 => "SCMP_ARCH_X32",
            Arch::Aarch64 => "SCMP_ARCH_AARCH64",
            Arch::Arm => "SCMP_ARCH_ARM",
        }
    }

    /// Returns the name in the language Go, which Docker's profiles use.
    pub fn go_name(self) -> &'static str {
        match self {
            Arch::X86_64 => "amd64",
            Arch::X86 => "386",
            Arch::X32 => "x32",
            Arch::Aarch64 => "arm64",
            Arch::Arm => "arm",
        }
    }

    /// Returns the name for people, as uname(1) prints it.
    pub fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::X86 => "i386",
            Arch::X32 => "x32",
            Arch::Aarch64 => "aarch64",
            Arch::Arm => "arm",
        }
    }

    /// Returns the value of `seccomp_data.arch`: `AUDIT_ARCH_*` of `linux/audit.h`. x32
    /// shares that of x86_64.
    pub fn audit(self) -> u32 {
        match self {
            Arch::X86_64 | Arch::X32 => 0xc000_003e,
            Arch::X86 => 0x4000_0003,
            Arch::Aarch64 => 0xc000_00b7,
            Arch::Arm => 0x4000_0028,
        }
    }

    /// Returns the other ABIs that a processor of this architecture runs.
    pub fn sub_architectures(self) -> &'static [Arch] {
        match self {
            Arch::X86_64 => &[Arch::X86, Arch::X32],
            Arch::Aarch64 => &[Arch::Arm],
            _ => &[],
        }
    }

    /// Returns the architecture of the machines that run this ABI and the others.
    pub fn machine(self) -> Arch {
        match self {
            Arch::X86_64 | Arch::X86 | Arch::X32 => Arch::X86_64,
            Arch::Aarch64 | Arch::Arm => Arch::Aarch64,
        }
    }

    /// Returns the width of arguments. An x32 program passes 64-bit registers, but
    /// libseccomp compares their lower halves, and so do all profiles.
    pub fn width(self) -> Width {
        match self {
            Arch::X86_64 | Arch::Aarch64 => Width::Bits64,
            Arch::X86 | Arch::X32 | Arch::Arm => Width::Bits32,
        }
    }
}

/// Returns whether the OCI runtime specification has an architecture of this name for
/// which there is no table here. No program on this machine can make its calls.
pub fn is_foreign(oci_name: &str) -> bool {
    const FOREIGN: [&str; 20] = [
        "MIPS",
        "MIPS64",
        "MIPS64N32",
        "MIPSEL",
        "MIPSEL64",
        "MIPSEL64N32",
        "PPC",
        "PPC64",
        "PPC64LE",
        "S390",
        "S390X",
        "PARISC",
        "PARISC64",
        "RISCV64",
        "LOONGARCH64",
        "M68K",
        "SH",
        "SHEB",
        "SPARC",
        "SPARC64",
    ];
    oci_name.strip_prefix("SCMP_ARCH_").is_some_and(|name| FOREIGN.contains(&name))
}
