//! The header of a program: the machine that it is made for, and the loader that it
//! names. See elf(5).

use std::env::consts::ARCH;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// The numbers of machines (`e_machine`), and their names.
const MACHINES: [(u64, &str); 10] = [
    (3, "i386"),
    (8, "mips"),
    (21, "powerpc64"),
    (22, "s390x"),
    (40, "arm"),
    (43, "sparc64"),
    (62, "x86_64"),
    (183, "aarch64"),
    (243, "riscv64"),
    (258, "loongarch64"),
];

/// The kinds of files that the kernel executes (`e_type`): ET_EXEC and ET_DYN.
const EXECUTABLE: [u64; 2] = [2, 3];

/// An ELF file, open, with its first bytes.
pub(crate) struct Elf<'a> {
    file: &'a File,
    head: &'a [u8],
    is_64_bit: bool,
    is_little_endian: bool,
}

impl<'a> Elf<'a> {
    /// Recognizes an ELF file by its first bytes.
    pub(crate) fn of(file: &'a File, head: &'a [u8]) -> Option<Self> {
        let is = |at: usize, value: u8| head.get(at) == Some(&value);
        head.starts_with(b"\x7fELF").then(|| Elf {
            file,
            head,
            is_64_bit: is(4, 2),
            is_little_endian: !is(5, 2),
        })
    }

    /// Returns the machine that it is made for, unless this kernel's machine executes
    /// its programs.
    pub(crate) fn foreign_machine(&self) -> Option<String> {
        let number = self.number(self.head, 18, 2)?;
        let name = MACHINES.iter().find(|(it, _)| *it == number).map(|(_, name)| *name);
        let Some(name) = name else {
            return Some(format!("the machine with the ELF number {number}"));
        };
        let is_executed = name == ARCH
            || [("x86_64", "i386"), ("aarch64", "arm")].contains(&(ARCH, name));
        (!is_executed).then(|| name.into())
    }

    /// Explains why the kernel does not execute it, though it is made for this machine.
    pub(crate) fn flaw(&self) -> &'static str {
        match self.number(self.head, 16, 2) {
            _ if self.head.len() < 64 => "its ELF header is not complete",
            Some(kind) if !EXECUTABLE.contains(&kind) => {
                "it is an object file or a core dump, not a program"
            }
            _ if !self.is_64_bit => {
                "it is a 32-bit program, which this kernel does not execute"
            }
            _ => "its ELF header is damaged",
        }
    }

    /// Returns the loader that it names (PT_INTERP). A static program has none.
    pub(crate) fn loader(&self) -> Option<PathBuf> {
        const PT_INTERP: u64 = 3;
        // Offsets of e_phoff, e_phentsize and e_phnum; and in an entry, of p_offset and
        // p_filesz.
        let (phoff, phentsize, phnum) =
            if self.is_64_bit { (32, 54, 56) } else { (28, 42, 44) };
        let (p_offset, p_filesz) = if self.is_64_bit { (8, 32) } else { (4, 16) };
        let word = if self.is_64_bit { 8 } else { 4 };

        let (start, size, count) = (
            self.number(self.head, phoff, word)?,
            self.number(self.head, phentsize, 2)?,
            self.number(self.head, phnum, 2)?,
        );
        for index in 0..count.min(64) {
            let mut entry = [0; 56];
            let size = (size as usize).min(entry.len());
            let at = start.checked_add(index * size as u64)?;
            self.file.read_exact_at(&mut entry[..size], at).ok()?;
            if self.number(&entry, 0, 4)? == PT_INTERP {
                let length = self.number(&entry, p_filesz, word)?.min(4096);
                let mut name = vec![0; length as usize];
                let at = self.number(&entry, p_offset, word)?;
                self.file.read_exact_at(&mut name, at).ok()?;
                let name = name.split(|byte| *byte == 0).next()?;
                return Some(OsStr::from_bytes(name).into());
            }
        }
        None
    }

    fn number(&self, bytes: &[u8], at: usize, width: usize) -> Option<u64> {
        let bytes = bytes.get(at..at + width)?;
        let add = |sum, byte: &u8| sum << 8 | u64::from(*byte);
        Some(match self.is_little_endian {
            true => bytes.iter().rev().fold(0, add),
            false => bytes.iter().fold(0, add),
        })
    }
}
