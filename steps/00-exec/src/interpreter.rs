//! The interpreter that a program names: in its `#!` line, or as the loader in its ELF
//! header.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// An interpreter that a program names and that does not exist.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    interpreter: PathBuf,
    named_in: NamedIn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NamedIn {
    Script,
    Elf,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.named_in {
            NamedIn::Script => "#! line",
            NamedIn::Elf => "ELF header",
        };
        write!(f, "its {place} asks for {:?}, which is not there", self.interpreter)
    }
}

/// execve(2) follows this many `#!` lines.
const DEEPEST: usize = 5;

/// Finds the missing interpreter that `program`, or an interpreter of it, names.
pub(crate) fn missing(program: &Path) -> Option<Missing> {
    let mut program = program.to_path_buf();
    for _ in 0..DEEPEST {
        let (interpreter, named_in) = interpreter_of(&program)?;
        if !interpreter.exists() {
            return Some(Missing { interpreter, named_in });
        }
        program = interpreter;
    }
    None
}

fn interpreter_of(program: &Path) -> Option<(PathBuf, NamedIn)> {
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
    // execve(2): a #! line has at most 255 bytes
    file.by_ref().take(256).read_to_end(&mut head).ok()?;
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next()?;
        let word = line
            .split(|byte| matches!(byte, b' ' | b'\t'))
            .find(|word| !word.is_empty())?;
        return Some((path(word), NamedIn::Script));
    }
    head.starts_with(b"\x7fELF")
        .then(|| loader(&file, &head))?
        .map(|path| (path, NamedIn::Elf))
}

/// Reads PT_INTERP of elf(5), for both word sizes. All machines of Kiste are little
/// endian.
fn loader(file: &File, head: &[u8]) -> Option<PathBuf> {
    const PT_INTERP: u64 = 3;
    let is_64_bit = *head.get(4)? == 2;
    // Offsets of e_phoff, e_phentsize and e_phnum; and in an entry, of p_offset and
    // p_filesz.
    let (phoff, phentsize, phnum) = if is_64_bit { (32, 54, 56) } else { (28, 42, 44) };
    let (p_offset, p_filesz) = if is_64_bit { (8, 32) } else { (4, 16) };
    let word = if is_64_bit { 8 } else { 4 };

    let (start, size, count) = (
        number(head, phoff, word)?,
        number(head, phentsize, 2)?,
        number(head, phnum, 2)?,
    );
    for index in 0..count.min(64) {
        let mut entry = [0; 56];
        let size = (size as usize).min(entry.len());
        file.read_exact_at(&mut entry[..size], start.checked_add(index * size as u64)?)
            .ok()?;
        if number(&entry, 0, 4)? == PT_INTERP {
            let mut name = vec![0; number(&entry, p_filesz, word)?.min(4096) as usize];
            file.read_exact_at(&mut name, number(&entry, p_offset, word)?).ok()?;
            return Some(path(name.split(|byte| *byte == 0).next()?));
        }
    }
    None
}

fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + width)?;
    Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    use tempfile::NamedTempFile;

    fn script(text: &str) -> NamedTempFile {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_script_of_a_script_names_the_interpreter_that_is_missing() {
        let inner = script("#! /no/such/sh -e\n");
        let outer = script(&format!("#!{}\n", inner.path().display()));
        let found = missing(outer.path()).unwrap();
        assert_eq!(
            found.to_string(),
            "its #! line asks for \"/no/such/sh\", which is not there"
        );
    }

    #[test]
    fn this_program_has_a_loader_that_exists() {
        let this = std::env::current_exe().unwrap();
        assert!(
            interpreter_of(&this)
                .is_some_and(|(loader, by)| loader.exists() && by == NamedIn::Elf)
        );
        assert_eq!(missing(&this), None);
    }

    #[test]
    fn a_file_that_is_no_program_has_no_interpreter() {
        assert_eq!(missing(script("hello\n").path()), None);
        assert_eq!(missing(script("\x7fELF\x02").path()), None);
        assert_eq!(missing(Path::new("/no/such/file")), None);
    }
}
