//! The system calls that the walk makes fail, and those that it leaves out: the file
//! `list`.

use nix::errno::Errno;

/// A system call that the walk knows.
pub struct Known {
    /// As its man page spells it.
    pub name: &'static str,
    number: i64,
    /// What says what it acts on.
    pub operand: Operand,
    /// In which ways it is made to fail; none, where that is without meaning.
    pub errnos: Vec<Errno>,
}

/// What a call acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A path, in this argument.
    Path(usize),
    /// A descriptor, in the first argument.
    Descriptor,
    /// Nothing that tells more than the call's name.
    Untold,
}

/// Reads the list.
pub fn known() -> Vec<Known> {
    let lines = include_str!("list").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            Known::parse(line).unwrap_or_else(|| panic!("tests/faults/list: {line}"))
        })
        .collect()
}

impl Known {
    fn parse(line: &'static str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (name, number, operand) =
            (words.next()?, words.next()?.parse().ok()?, words.next()?);
        let (operand, errnos) = match operand {
            "out" => (Operand::Untold, Vec::new()),
            "fd" => (Operand::Descriptor, errnos(words)?),
            "-" => (Operand::Untold, errnos(words)?),
            path => (
                Operand::Path(path.strip_prefix("path")?.parse().ok()?),
                errnos(words)?,
            ),
        };
        Some(Known { name, number, operand, errnos })
    }
}

fn errnos<'a>(words: impl Iterator<Item = &'a str>) -> Option<Vec<Errno>> {
    words.map(errno).collect()
}

/// `EIO`.
pub fn errno(name: &str) -> Option<Errno> {
    (1..134).map(Errno::from_raw).find(|errno| format!("{errno:?}") == name)
}

/// The call of this number.
pub fn numbered(known: &[Known], number: i64) -> Option<&Known> {
    known.iter().find(|it| it.number == number)
}
