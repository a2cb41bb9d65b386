//! Extended headers: POSIX.1-2024, pax, "pax Extended Header". Each record is `LENGTH
//! KEY=VALUE\n`, where LENGTH counts the whole record; a value may hold any bytes,
//! newlines too.

use std::collections::BTreeMap;

use anyhow::Result;
use kit::Failure;

use super::numbers;

/// Records in the order they came; the last of a key wins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records(Vec<(Vec<u8>, Vec<u8>)>);

/// The most bytes of records that hold at once, and the most records.
const LONGEST: usize = 2 << 20;
const MOST: usize = 1000;

impl Records {
    /// Adds what a header holds.
    pub(crate) fn add(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (key, value, rest) = record(bytes).ok_or_else(|| {
                Failure::new("an extended header (pax) is malformed")
                    .hint("a record is LENGTH KEY=VALUE\\n")
            })?;
            self.0.push((key.into(), value.into()));
            bytes = rest;
        }
        let sum: usize =
            self.0.iter().map(|(key, value)| key.len() + value.len()).sum();
        match sum > LONGEST || self.0.len() > MOST {
            true => Err(Failure::new(
                "extended headers (pax) of more than 2 MiB, or 1000 records",
            )
            .into()),
            false => Ok(()),
        }
    }

    /// The value of a key. An empty one takes back what an earlier record said.
    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        let last = self.0.iter().rev().find(|(its, _)| its == key.as_bytes());
        last.map(|(_, value)| value.as_slice()).filter(|value| !value.is_empty())
    }

    /// A number; a value that is none is an error.
    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>> {
        self.get(key)
            .map(|value| numbers::decimal(value).ok_or_else(|| malformed(key, value)))
            .transpose()
    }

    /// A time, in seconds and nanoseconds.
    pub(crate) fn time(&self, key: &str) -> Result<Option<(i64, u32)>> {
        self.get(key)
            .map(|value| numbers::time(value).ok_or_else(|| malformed(key, value)))
            .transpose()
    }

    /// What star(1) began and all others took over: extended attributes, xattr(7).
    pub(crate) fn attributes(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let all = self.with_prefix("SCHILY.xattr.");
        let last: BTreeMap<&[u8], &[u8]> = all.collect();
        last.into_iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
    }

    /// All records whose key has this beginning, in order.
    pub(crate) fn with_prefix<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let of = move |(key, value): &'a (Vec<u8>, Vec<u8>)| {
            Some((key.strip_prefix(prefix.as_bytes())?, &value[..]))
        };
        self.0.iter().filter_map(of)
    }
}

/// The first record, and what follows it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(numbers::decimal(&bytes[..blank])?).ok()?;
    let text = bytes.get(blank + 1..length)?.strip_suffix(b"\n")?;
    let equals = text.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
    Some((&text[..equals], &text[equals + 1..], &bytes[length..]))
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
    fn a_value_may_have_newlines_and_the_last_one_wins() {
        let records =
            records(b"9 path=a\n9 path=b\n24 SCHILY.xattr.u.x=1\n2\n").unwrap();
        assert_eq!(records.get("path"), Some(&b"b"[..]));
        assert_eq!(records.attributes(), [(b"u.x".to_vec(), b"1\n2".to_vec())]);
    }

    #[test]
    fn an_empty_value_takes_back_what_was_said() {
        assert_eq!(records(b"9 path=a\n8 path=\n").unwrap().get("path"), None);
    }

    #[test]
    fn what_is_malformed_is_refused() {
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
