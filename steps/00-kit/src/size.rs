//! Amounts of memory: reads `32m`, and writes `32MiB`.

use std::fmt::{self, Display};
use std::str::FromStr;

/// An amount in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

const UNITS: [(&str, u32); 5] =
    [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

impl Display for Size {
    /// Writes the amount in the largest unit that fits, with at most one decimal:
    /// `32MiB`, `1.5GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, shift) = UNITS
            .into_iter()
            .find(|(_, shift)| self.0 >> shift > 0)
            .unwrap_or(("B", 0));
        let tenths = (u128::from(self.0) * 10 + (1 << shift) / 2) >> shift;
        match tenths % 10 {
            0 => write!(f, "{}{unit}", tenths / 10),
            decimal => write!(f, "{}.{decimal}{unit}", tenths / 10),
        }
    }
}

impl FromStr for Size {
    type Err = String;

    /// Reads an amount as Docker does: a whole or decimal number, then `b` (or
    /// nothing), `k`, `m`, `g`, `t` or `p`, which are powers of 1024: `64m`, `64MiB`.
    fn from_str(text: &str) -> Result<Self, String> {
        let rule = "a size is a number and b, k, m, g or t: 512m, 1.5g";
        let lower = text.to_ascii_lowercase();
        let number = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let shift = match &lower[number.len()..] {
            "" | "b" => 0,
            "k" | "kb" | "ki" | "kib" => 10,
            "m" | "mb" | "mi" | "mib" => 20,
            "g" | "gb" | "gi" | "gib" => 30,
            "t" | "tb" | "ti" | "tib" => 40,
            "p" | "pb" | "pi" | "pib" => 50,
            _ => return Err(rule.into()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        if whole.is_empty()
            || fraction.is_empty()
            || !(whole.to_owned() + fraction).chars().all(|c| c.is_ascii_digit())
        {
            return Err(rule.into());
        }
        let unit = 1u64 << shift;
        let fraction_bytes =
            format!("0.{fraction}").parse::<f64>().map_err(|_| rule)? * unit as f64;
        whole
            .parse::<u64>()
            .ok()
            .and_then(|whole| whole.checked_mul(unit))
            .and_then(|bytes| bytes.checked_add(fraction_bytes as u64))
            .filter(|bytes| i64::try_from(*bytes).is_ok())
            .map(Size)
            .ok_or_else(|| "more than the kernel can count (2^63 bytes)".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_docker_reads_them() {
        let bytes = |text: &str| text.parse::<Size>().map(|size| size.0);
        for (text, expected) in [
            ("0", 0),
            ("4096", 4096),
            ("12b", 12),
            ("32m", 32 << 20),
            ("32M", 32 << 20),
            ("1.5g", 3 << 29),
            ("0.5K", 512),
            ("100mb", 100 << 20),
            ("64Mi", 64 << 20),
            ("64MiB", 64 << 20),
            ("1t", 1 << 40),
            ("1.5TiB", 3 << 39),
            ("8191p", 8191 << 50),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "m",
            "-5m",
            "1x",
            "1mm",
            "8192p",
            "1.m",
            ".5m",
            "1e3",
            "1 m",
            "0x10",
            "1.5.5m",
            "+1m",
            "99999999999g",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
        assert!(
            bytes(".5m").unwrap_err().starts_with("a size is a number"),
            "the error is about the form, not about the amount"
        );
    }

    #[test]
    fn sizes_are_printed_in_the_largest_unit_that_fits() {
        let printed = |bytes| Size(bytes).to_string();
        assert_eq!(printed(0), "0B");
        assert_eq!(printed(1023), "1023B");
        assert_eq!(printed(32 << 20), "32MiB");
        assert_eq!(printed(3 << 29), "1.5GiB");
        assert_eq!(printed((32 << 20) - 4096), "32MiB");
    }
}
