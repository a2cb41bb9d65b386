//! Reads the file `list`: the system calls that are made to fail, and those that are
//! left out.

use nix::errno::Errno;

/// A system call in the list.
pub struct KnownCall {
    /// Its name, which is also the name of its man page.
    pub name: &'static str,
    number: i64,
    /// The argument that names its object.
    pub operand: Operand,
    /// The errors with which it is made to fail. Empty if it is left out, since an
    /// error would be meaningless.
    pub errnos: Vec<Errno>,
}

/// The object of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A path, in this argument.
    Path(usize),
    /// A descriptor, in the first argument.
    Descriptor,
    /// No argument that says more than the call's name.
    Nothing,
}

/// Reads the list.
pub fn known() -> Vec<KnownCall> {
    let lines = include_str!("list").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            KnownCall::parse(line)
                .unwrap_or_else(|| panic!("tests/faults/list: {line}"))
        })
        .collect()
}

impl KnownCall {
    fn parse(line: &'static str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (name, number, operand) =
            (words.next()?, words.next()?.parse().ok()?, words.next()?);
        let (operand, errnos) = match operand {
            "out" => (Operand::Nothing, Vec::new()),
            "fd" => (Operand::Descriptor, errnos(words)?),
            "-" => (Operand::Nothing, errnos(words)?),
            path => (
                Operand::Path(path.strip_prefix("path")?.parse().ok()?),
                errnos(words)?,
            ),
        };
        Some(KnownCall { name, number, operand, errnos })
    }
}

fn errnos<'a>(words: impl Iterator<Item = &'a str>) -> Option<Vec<Errno>> {
    words.map(errno).collect()
}

/// Returns the error with this name: `EIO`.
pub fn errno(name: &str) -> Option<Errno> {
    (1..134).map(Errno::from_raw).find(|errno| format!("{errno:?}") == name)
}

/// Returns the call with this number.
pub fn numbered(known: &[KnownCall], number: i64) -> Option<&KnownCall> {
    known.iter().find(|it| it.number == number)
}
