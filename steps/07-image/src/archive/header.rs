//! Checks a header's block, and corrects what programs write in several ways: tar(5),
//! "POSIX ustar Archives".

use std::ops::Range;

use anyhow::{Context, Result, ensure};
use kit::Failure;
use tar::Header;

use super::shown;

/// The size of a block, in bytes.
pub(super) const BLOCK: usize = 512;
/// The field of the checksum.
const CHECKSUM: Range<usize> = 148..156;
/// The fields of mode, uid, gid, size, mtime, major and minor number.
const NUMBERS: [Range<usize>; 7] =
    [100..108, 108..116, 116..124, 124..136, 136..148, 329..337, 337..345];

/// Parses the header in a block.
///
/// # Errors
/// The checksum is wrong, or two programs would read two different numbers.
pub(super) fn parse(mut block: [u8; BLOCK]) -> Result<Header> {
    ensure!(
        has_right_checksum(&block),
        Failure::new(
            "this is not a tar archive, or it is damaged: a header's checksum is wrong"
        )
    );
    if &block[257..263] == b"ustar\0" {
        // Go 1.1 and others wrote another version, or none: the prefix counts anyhow.
        block[263..265].copy_from_slice(b"00");
        if &block[508..] == b"tar\0" {
            // star(1) has times at the end of the prefix: star(5).
            block[476..500].fill(0);
        }
    }
    for field in NUMBERS {
        // GNU tar reads a number that is left empty as 0.
        if block[field.clone()].iter().all(|byte| matches!(byte, 0 | b' ')) {
            block[field.start] = b'0';
        }
        check_number(&block[field])
            .with_context(|| name_of(Header::from_byte_slice(&block)))?;
    }
    Ok(Header::from_byte_slice(&block).clone())
}

/// Returns the name of a header's entry for errors.
pub(super) fn name_of(header: &Header) -> String {
    format!("entry {}", shown(&header.path_bytes()))
}

/// Compares the checksum with the sum of the bytes. Some programs add the bytes up as
/// signed numbers.
fn has_right_checksum(block: &[u8; BLOCK]) -> bool {
    let Ok(listed) = Header::from_byte_slice(block).cksum() else { return false };
    let byte = |(at, byte): (usize, &u8)| match CHECKSUM.contains(&at) {
        true => b' ',
        false => *byte,
    };
    let bytes = block.iter().enumerate().map(byte);
    let unsigned: i64 = bytes.clone().map(i64::from).sum();
    let signed: i64 = bytes.map(|byte| i64::from(byte.cast_signed())).sum();
    [unsigned, signed].contains(&i64::from(listed))
}

/// Refuses a number in base 256 that has more than 64 bits, and an octal one with a
/// sign.
fn check_number(field: &[u8]) -> Result<()> {
    let wrong = |why| Failure::new(format_args!("a header's number {why}"));
    if field[0] & 0x80 != 0 {
        let (high, low) = field.split_at(field.len() - 8);
        let fits = match high {
            [] => true,
            [0x80, zeros @ ..] => zeros.iter().all(|byte| *byte == 0),
            ones => ones.iter().all(|byte| *byte == 0xff) && low[0] & 0x80 != 0,
        };
        ensure!(fits, wrong("in base 256 has more than 64 bits"));
        return Ok(());
    }
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    let is_octal = |byte: &u8| matches!(byte, b'0'..=b'7' | b' ');
    let text = &field[..end];
    ensure!(
        text.iter().all(is_octal),
        wrong("is not octal").hint(format_args!("it is {}", shown(text)))
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_two_programs_read_in_two_ways_is_refused() {
        for bad in [
            b"\x80\0\0\x01\0\0\0\0\0\0\0\x05",
            b"\xff\xff\xff\xff\0\0\0\0\0\0\0\x05",
            b"+0000000005\0",
            b"-0000000005\0",
            b"0x000000005\0",
        ] {
            assert!(check_number(bad).is_err(), "{}", shown(bad));
        }
        for good in [
            b"\x80\0\0\0\0\0\0\0\0\0\0\x05",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe",
            b"00000000005\0",
            b"          5 ",
            b"5\0garbage...",
        ] {
            assert!(check_number(good).is_ok(), "{}", shown(good));
        }
    }
}
