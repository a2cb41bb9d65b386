//! Compressed archives.

use std::io::Write;

/// Compresses bytes with gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder =
        flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("compress")
}

/// Compresses bytes with zstd.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("compress")
}

/// Returns so many mebibytes of zeros, compressed with gzip: one compressed member,
/// repeated.
pub fn gzip_of_zeros(mebibytes: usize) -> Vec<u8> {
    let mut encoder =
        flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let member = encoder
        .write_all(&vec![0; 1 << 20])
        .and_then(|()| encoder.finish())
        .expect("compress");
    member.repeat(mebibytes)
}

/// Returns so many mebibytes of zeros, compressed with zstd: one compressed frame,
/// repeated.
pub fn zstd_of_zeros(mebibytes: usize) -> Vec<u8> {
    zstd(&vec![0; 1 << 20]).repeat(mebibytes)
}
