//! Digests, which are the names of content: OCI image specification, "Digests".

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use anyhow::{Result, ensure};
use kit::Failure;
use oci_spec::image::{Descriptor, MediaType};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest: `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Computes the digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Digest(Sha256::digest(bytes).into())
    }

    /// Returns the 64 digits without `sha256:`, as a file name.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Returns the path of the blob with this digest in an image layout.
    pub(crate) fn blob_path(&self) -> String {
        format!("blobs/sha256/{}", self.hex())
    }

    /// Makes the descriptor of the blob with this digest; its size is in bytes.
    pub(crate) fn descriptor(&self, media: MediaType, size: u64) -> Result<Descriptor> {
        let digest: oci_spec::image::Digest =
            self.to_string().parse().map_err(Failure::new)?;
        Ok(Descriptor::new(media, size, digest))
    }

    /// Verifies that content has the digest that is expected of it.
    pub(crate) fn verify(&self, what: &str, expected: &Digest) -> Result<()> {
        ensure!(
            self == expected,
            Failure::new(format_args!(
                "{what}: its digest is {self}, and not {expected}"
            ))
            .hint("it was damaged or forged on the way: get it again")
        );
        Ok(())
    }
}

impl FromStr for Digest {
    type Err = anyhow::Error;

    /// Parses a digest. Any other text, like `sha256:../../x`, is refused: digests become
    /// paths (CVE-2024-3727).
    fn from_str(text: &str) -> Result<Self> {
        let hex = text.strip_prefix("sha256:").map(str::as_bytes).unwrap_or_default();
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        ensure!(
            hex.len() == 64 && hex.iter().all(is_digit),
            Failure::new(format_args!("{text:?} is not a digest"))
                .hint("a digest is sha256: and 64 hexadecimal digits")
        );
        let value = |byte: u8| if byte < b'a' { byte - b'0' } else { byte - b'a' + 10 };
        Ok(Digest(std::array::from_fn(|index| {
            value(hex[2 * index]) << 4 | value(hex[2 * index + 1])
        })))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Passes bytes through, and computes their digest and number.
#[derive(Debug)]
pub(crate) struct Hashing<T> {
    inner: T,
    hash: Sha256,
    count: u64,
}

impl<T> Hashing<T> {
    pub(crate) fn new(inner: T) -> Self {
        Hashing { inner, hash: Sha256::new(), count: 0 }
    }

    /// Returns the digest and the number of bytes, and the inner reader or writer.
    pub(crate) fn finish(self) -> (Digest, u64, T) {
        (Digest(self.hash.finalize().into()), self.count, self.inner)
    }

    fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.count += bytes.len() as u64;
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.update(&buffer[..count]);
        Ok(count)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Returns the name of a layer together with all layers below it: OCI image specification,
/// "Layer ChainID".
pub(crate) fn chain_id(below: Option<&Digest>, diff_id: &Digest) -> Digest {
    match below {
        None => *diff_id,
        Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
    }
}

/// Returns the chain ids of all layers, the lowest first.
pub(crate) fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        chain.push(chain_id(chain.last(), diff_id));
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str =
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<Digest>().unwrap(), Digest::of(b""));
    }

    #[test]
    fn a_text_that_could_be_a_path_is_not_a_digest() {
        let upper = EMPTY.to_uppercase();
        let long = format!("{EMPTY}0");
        for bad in
            ["", "sha256:", "sha256:../../x", "sha512:00", &EMPTY[..70], &upper, &long]
        {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
