//! The names and numbers of system calls.

mod table;

use super::arch::{Arch, X32_BIT};
use table::{NO, TABLE};

/// Returns the number of a system call, or None if this architecture has none of this
/// name. An x32 number has the bit that marks it.
pub fn number(arch: Arch, name: &str) -> Option<u32> {
    let row = TABLE.binary_search_by_key(&name, |(name, _)| name).ok()?;
    in_row(arch, &TABLE[row].1)
}

/// Returns the name of the system call with this number.
pub fn name(arch: Arch, number: u32) -> Option<&'static str> {
    all(arch).find(|(_, it)| *it == number).map(|(name, _)| name)
}

/// Returns whether any architecture has a system call of this name.
pub fn is_known(name: &str) -> bool {
    TABLE.binary_search_by_key(&name, |(name, _)| name).is_ok()
}

/// Returns every system call of an architecture, sorted by name.
pub fn all(arch: Arch) -> impl Iterator<Item = (&'static str, u32)> {
    TABLE.iter().filter_map(move |(name, row)| Some((*name, in_row(arch, row)?)))
}

fn in_row(arch: Arch, row: &[u32; 5]) -> Option<u32> {
    let mark = if arch == Arch::X32 { X32_BIT } else { 0 };
    let number = row[arch as usize];
    (number != NO).then_some(number | mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_the_names_are_in_order() {
        assert!(TABLE.is_sorted_by(|(a, _), (b, _)| a < b));
        assert_eq!(number(Arch::X86_64, "getppid"), Some(110));
        assert_eq!(number(Arch::X32, "ioctl"), Some(514 | X32_BIT));
        assert_eq!(number(Arch::Aarch64, "fork"), None);
        assert_eq!(number(Arch::Arm, "set_tls"), Some(0xf0005));
        assert!(is_known("socketcall") && !is_known("no_such_call"));
    }

    /// The numbers that this very program uses are those of the table.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_numbers_are_those_of_libc() {
        for (name, libc) in [
            ("read", libc::SYS_read),
            ("clone3", libc::SYS_clone3),
            ("openat2", libc::SYS_openat2),
            ("fchmodat2", libc::SYS_fchmodat2),
        ] {
            let number = number(Arch::X86_64, name).map(i64::from);
            assert_eq!(number, Some(libc), "{name}");
        }
    }

    #[test]
    fn a_number_has_one_name() {
        for arch in Arch::ALL {
            for (known, number) in all(arch) {
                let found = name(arch, number).unwrap();
                assert_eq!(super::number(arch, found), Some(number), "{known}");
            }
        }
    }
}
