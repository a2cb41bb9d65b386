//! Explains why the kernel does not execute a file that exists. The cause may be the
//! interpreter that the file names, in its `#!` line or as the loader in its ELF
//! header; or the machine that the file is made for. See execve(2).

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use rustix::fs::{StatVfsMountFlags, statvfs};

use crate::elf::Elf;

/// The reason why a file is not executed, and how to fix it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) what: String,
    pub(crate) hint: String,
}

/// The most `#!` lines that the kernel follows.
const MAX_DEPTH: usize = 5;
/// The kernel reads this many bytes of a file, and so of its `#!` line.
const HEAD_SIZE: u64 = 256;

const NOT_INSTALLED: &str = "the program is made for another root file system, or its interpreter is not installed";
/// The hint for a file in a format that the kernel does not know (ENOEXEC).
pub(crate) const NO_FORMAT: &str =
    "it is neither a program for this machine nor a script that begins with #!";

/// Finds the flaw for which the kernel has refused to execute `program`, or an
/// interpreter of it, with this error. None: the content of the files is not the
/// cause.
pub(crate) fn flaw(program: &Path, error: Errno) -> Option<Flaw> {
    let mut program = program.to_path_buf();
    for depth in 0..MAX_DEPTH {
        let (file, head) = read_head(&program)?;
        if let Some(line) = head.strip_prefix(b"#!") {
            program = match interpreter(line) {
                Ok(path) => path,
                Err(what) => return Some(flaw_of_line(what)),
            };
            if let Some(flaw) = flaw_of_interpreter("#! line", &program) {
                return Some(flaw);
            }
        } else if let Some(elf) = Elf::of(&file, &head) {
            let flaw = flaw_of_elf(&elf, error)?;
            return Some(match depth {
                0 => flaw,
                _ => Flaw {
                    what: format!("its interpreter {program:?}: {}", flaw.what),
                    ..flaw
                },
            });
        } else {
            return None;
        }
    }
    (error == Errno::ELOOP).then(|| Flaw {
        what: format!("its interpreter is a script, too, more than {MAX_DEPTH} times"),
        hint: "name a program in the #! line".into(),
    })
}

/// Tells whether this file has the permission to be executed, and its mount forbids it:
/// mount(8), noexec.
pub(crate) fn is_on_noexec(file: &Path) -> bool {
    file.metadata().is_ok_and(|it| it.mode() & 0o111 != 0)
        && statvfs(file).is_ok_and(|it| it.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

fn read_head(program: &Path) -> Option<(File, Vec<u8>)> {
    // O_NONBLOCK: the image may have a FIFO there, and the open would wait for a
    // writer.
    let mut file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(program)
        .ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut head = Vec::new();
    file.by_ref().take(HEAD_SIZE).read_to_end(&mut head).ok()?;
    Some((file, head))
}

/// Finds the interpreter in the text after `#!`, or explains why the kernel finds
/// none.
fn interpreter(line: &[u8]) -> Result<PathBuf, &'static str> {
    let is_end = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\0');
    let start = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let word = &line[start..];
    let length = word.iter().position(is_end);
    match length.unwrap_or(word.len()) {
        // A path that is cut off could be that of another program.
        _ if length.is_none() && line.len() as u64 == HEAD_SIZE - 2 => {
            Err("the interpreter in its #! line has a path that is too long: \
                 the kernel reads 255 bytes of the line")
        }
        0 => Err("its #! line names no interpreter"),
        length => Ok(OsStr::from_bytes(&word[..length]).into()),
    }
}

fn flaw_of_line(what: &str) -> Flaw {
    let hint = "shorten the path by a link, or run the script by its interpreter: INTERPRETER FILE";
    Flaw { what: what.into(), hint: hint.into() }
}

/// Explains what is wrong with an interpreter that a file names.
fn flaw_of_interpreter(named_in: &str, path: &Path) -> Option<Flaw> {
    let asks = |is: &str| format!("its {named_in} asks for {path:?}, which {is}");
    if !path.exists() {
        let hint = match path.as_os_str().as_bytes().ends_with(b"\r") {
            true => {
                "the file has the line ends of Windows (\\r\\n): save it with those of Unix"
            }
            false => NOT_INSTALLED,
        };
        return Some(Flaw { what: asks("is not there"), hint: hint.into() });
    }
    let wrong = match access(path, AccessFlags::X_OK) {
        _ if path.is_dir() => "is a directory",
        Err(Errno::EACCES) if is_on_noexec(path) => {
            "is in a file system that is mounted with noexec"
        }
        Err(Errno::EACCES) => "is not executable",
        _ => return None,
    };
    Some(Flaw { what: asks(wrong), hint: "name a program in it".into() })
}

fn flaw_of_elf(elf: &Elf<'_>, error: Errno) -> Option<Flaw> {
    let here = std::env::consts::ARCH;
    match (elf.foreign_machine(), error) {
        (Some(machine), Errno::ENOEXEC) => Some(Flaw {
            what: format!("it is a program for {machine}, and this machine is {here}"),
            hint: format!("take the one for {here}; or have the host emulate {machine}: binfmt_misc"),
        }),
        // With the flag F the kernel opens the emulator once, on the host, and keeps
        // it open.
        (Some(machine), Errno::ENOENT) => Some(Flaw {
            what: format!("it is a program for {machine}, whose emulator (binfmt_misc) is not there"),
            hint: "register the emulator on the host with the flag F, or install it in the root file system".into(),
        }),
        (None, Errno::ENOEXEC) => {
            Some(Flaw { what: elf.flaw().into(), hint: NO_FORMAT.into() })
        }
        (None, _) => flaw_of_interpreter("ELF header", &elf.loader()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::fs::PermissionsExt;

    use tempfile::NamedTempFile;

    fn file(bytes: &[u8]) -> NamedTempFile {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(file.path(), executable).unwrap();
        file
    }

    fn describe_flaw(bytes: &[u8], error: Errno) -> Option<String> {
        Some(flaw(file(bytes).path(), error)?.what)
    }

    /// This program's own header, with one of its two-byte fields changed.
    fn elf_with(at: usize, value: u16) -> Vec<u8> {
        let mut bytes = std::fs::read("/proc/self/exe").unwrap();
        bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
        bytes.truncate(4096);
        bytes
    }

    #[test]
    fn a_script_of_a_script_names_the_interpreter_that_is_missing() {
        let inner = file(b"#! /no/such/sh -e\n");
        let outer = format!("#!{}\n", inner.path().display());
        assert_eq!(
            describe_flaw(outer.as_bytes(), Errno::ENOENT).unwrap(),
            "its #! line asks for \"/no/such/sh\", which is not there"
        );
        let flaw = flaw(file(b"#!/bin/sh\r\n").path(), Errno::ENOENT).unwrap();
        assert!(flaw.hint.contains("Windows"), "{flaw:?}");
    }

    #[test]
    fn a_line_is_too_long_only_if_the_kernel_cannot_read_the_interpreter() {
        let line = |path: usize, arguments: usize| {
            format!("#!/{} {}\n", "d".repeat(path), "a".repeat(arguments))
        };
        for (path, arguments, words) in
            [(300, 0, "too long"), (254, 0, "too long"), (20, 300, "is not there")]
        {
            let found = describe_flaw(line(path, arguments).as_bytes(), Errno::ENOEXEC)
                .unwrap();
            assert!(found.contains(words), "{path}, {arguments}: {found}");
        }
        for empty in ["#!\n", "#!   \n", "#!"] {
            let found = describe_flaw(empty.as_bytes(), Errno::ENOEXEC).unwrap();
            assert_eq!(found, "its #! line names no interpreter", "{empty:?}");
        }
    }

    #[test]
    fn a_program_for_another_machine_is_not_blamed_on_its_loader() {
        let sparc = elf_with(18, 43);
        let found = describe_flaw(&sparc, Errno::ENOEXEC).unwrap();
        assert!(found.starts_with("it is a program for sparc64, and this"), "{found}");
        assert!(describe_flaw(&sparc, Errno::ENOENT).unwrap().contains("emulator"));
        let interpreter = file(&sparc);
        let script = format!("#!{}\n", interpreter.path().display());
        let found = describe_flaw(script.as_bytes(), Errno::ENOEXEC).unwrap();
        assert!(found.starts_with("its interpreter \"/"), "{found}");
        let unknown = describe_flaw(&elf_with(18, 999), Errno::ENOEXEC).unwrap();
        assert!(unknown.contains("the ELF number 999"), "{unknown}");
    }

    #[test]
    fn an_object_file_and_a_header_that_is_cut_off_are_no_programs() {
        let object = describe_flaw(&elf_with(16, 1), Errno::ENOEXEC).unwrap();
        assert!(object.contains("not a program"), "{object}");
        let cut_off = describe_flaw(b"\x7fELF\x02", Errno::ENOEXEC).unwrap();
        assert!(cut_off.contains("not complete"), "{cut_off}");
    }

    #[test]
    fn no_flaw_is_found_in_a_working_program_in_plain_text_or_in_a_missing_file() {
        let this = std::env::current_exe().unwrap();
        let (file_of_this, head) = read_head(&this).unwrap();
        let loader = Elf::of(&file_of_this, &head).unwrap().loader();
        assert!(loader.is_some_and(|loader| loader.exists()));
        assert_eq!(flaw(&this, Errno::ENOENT), None);
        assert_eq!(describe_flaw(b"hello\n", Errno::ENOEXEC), None);
        assert_eq!(flaw(Path::new("/no/such/file"), Errno::ENOENT), None);
    }
}
