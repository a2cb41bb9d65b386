//! Extended headers: POSIX.1-2024, pax, "pax Extended Header". Each record is `LENGTH
//! KEY=VALUE\n`, where LENGTH counts the whole record; a value may have any bytes, also
//! newlines.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use kit::Failure;

use super::numbers;
use crate::limits::MOST_RECORDS;

/// The prefix of extended attributes, xattr(7), which all programs took over from star(1).
pub(super) const ATTRIBUTE_PREFIX: &[u8] = b"SCHILY.xattr.";

/// Records in the order of the archive; the last one of a key counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records(Vec<(Vec<u8>, Vec<u8>)>);

/// Keys that change an entry. If the value is empty, some programs ignore it, and others
/// take it for 0.
const CHANGES_ENTRY: [&str; 6] = ["path", "linkpath", "size", "uid", "gid", "mtime"];

impl Records {
    /// Adds the records of an extended header.
    pub(crate) fn add(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (key, value, rest) = split_record(bytes).ok_or_else(|| {
                Failure::new("an extended header (pax) is malformed")
                    .hint("a record is LENGTH KEY=VALUE\\n")
            })?;
            let is_unclear =
                value.is_empty() && CHANGES_ENTRY.iter().any(|it| it.as_bytes() == key);
            ensure!(
                !is_unclear,
                Failure::new(format_args!(
                    "an extended header (pax) has an empty {:?}",
                    String::from_utf8_lossy(key)
                ))
                .hint("programs do not agree what it means")
            );
            ensure!(
                self.0.len() < MOST_RECORDS,
                Failure::new(format_args!(
                    "an extended header (pax) of more than {MOST_RECORDS} records"
                ))
            );
            self.0.push((key.into(), value.into()));
            bytes = rest;
        }
        Ok(())
    }

    /// Checks the records of a global header, and drops them.
    ///
    /// # Errors
    /// A record changes all later entries. Programs in Go ignore global headers, and
    /// would see other files.
    pub(crate) fn check_global(bytes: &[u8]) -> Result<()> {
        let mut records = Records::default();
        records.add(bytes)?;
        for (key, _) in &records.0 {
            let is_refused = CHANGES_ENTRY.iter().any(|it| it.as_bytes() == key)
                || key.starts_with(b"GNU.sparse.")
                || key.starts_with(ATTRIBUTE_PREFIX);
            let key = String::from_utf8_lossy(key);
            ensure!(
                !is_refused,
                Failure::new(format_args!("a global header (pax) sets {key:?}"))
                    .hint("programs do not agree whether it applies")
            );
        }
        Ok(())
    }

    /// Returns the value of a key. An empty value removes those of earlier records.
    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        let last = self.0.iter().rev().find(|(other, _)| other == key.as_bytes());
        last.map(|(_, value)| value.as_slice()).filter(|value| !value.is_empty())
    }

    /// Returns the value of a key, as a number.
    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>> {
        self.parse(key, numbers::parse_decimal)
    }

    /// Returns the value of a key, as a number that may be negative.
    pub(crate) fn integer(&self, key: &str) -> Result<Option<i64>> {
        self.parse(key, |text| {
            let (sign, digits) =
                text.strip_prefix(b"-").map_or((1, text), |digits| (-1, digits));
            Some(sign * i64::try_from(numbers::parse_decimal(digits)?).ok()?)
        })
    }

    /// Tells whether there are no records.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the value of a key, as a time in seconds and nanoseconds.
    pub(crate) fn time(&self, key: &str) -> Result<Option<(i64, u32)>> {
        self.parse(key, numbers::parse_time)
    }

    fn parse<T>(&self, key: &str, parse: fn(&[u8]) -> Option<T>) -> Result<Option<T>> {
        let value = self.get(key);
        value.map(|value| parse(value).ok_or_else(|| malformed(key, value))).transpose()
    }

    /// Returns the extended attributes, in the order of their names.
    pub(crate) fn attributes(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let attributes = self.0.iter().filter_map(|(key, value)| {
            Some((key.strip_prefix(ATTRIBUTE_PREFIX)?.to_vec(), value.clone()))
        });
        attributes.collect::<BTreeMap<_, _>>().into_iter().collect()
    }

    /// Tells whether a key begins with this prefix.
    pub(crate) fn has_prefix(&self, prefix: &str) -> bool {
        self.0.iter().any(|(key, _)| key.starts_with(prefix.as_bytes()))
    }
}

/// Splits off the first record: returns its key, its value, and the bytes after it.
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(numbers::parse_decimal(&bytes[..blank])?).ok()?;
    let text = bytes.get(blank + 1..length)?.strip_suffix(b"\n")?;
    let equals = text.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
    Some((&text[..equals], &text[equals + 1..], &bytes[length..]))
}

/// Formats a record; its length counts its own digits.
pub(super) fn format_record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

fn malformed(key: &str, value: &[u8]) -> anyhow::Error {
    let value = String::from_utf8_lossy(&value[..value.len().min(40)]).into_owned();
    Failure::new(format_args!("an extended header (pax) is malformed: {key}={value}"))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &[u8]) -> Result<Records> {
        let mut records = Records::default();
        records.add(text).map(|()| records)
    }

    #[test]
    fn a_value_may_have_newlines_and_the_last_record_of_a_key_counts() {
        let records =
            records(b"9 path=a\n9 path=b\n24 SCHILY.xattr.u.x=1\n2\n").unwrap();
        assert_eq!(records.get("path"), Some(&b"b"[..]));
        assert_eq!(records.attributes(), [(b"u.x".to_vec(), b"1\n2".to_vec())]);
    }

    #[test]
    fn an_empty_value_is_refused_where_programs_read_it_in_two_ways() {
        assert_eq!(records(b"9 path=a\n12 comment=\n").unwrap().get("comment"), None);
        assert!(records(b"9 path=a\n8 path=\n").is_err());
    }

    #[test]
    fn the_length_of_a_record_counts_its_own_digits() {
        assert_eq!(format_record(b"path", b"a"), b"9 path=a\n");
        for length in [1, 80, 91, 92, 93, 94, 95, 985, 990, 995] {
            let made = format_record(b"k", &vec![b'x'; length]);
            assert!(
                made.starts_with(format!("{} k=", made.len()).as_bytes()),
                "{length}"
            );
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [
            &b"x"[..],
            b"5 a=b",
            b"99 a=b\n",
            b"6 a=b\n0",
            b"5 =b\n",
            b"5 ab\n",
            b"0 a=b\n",
            b"-1 a=b\n",
        ] {
            assert!(records(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(records(b"11 size=-1\n").unwrap().number("size").is_err());
    }
}
