//! Compressed streams, recognised by their first bytes: a file name or a media type may
//! be wrong.

use std::io::{self, Cursor, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use oci_spec::image::MediaType;

use crate::limits::{MOST_XZ_MEMORY, MOST_ZSTD_WINDOW};

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

impl Compression {
    /// Recognises a compression by the first bytes: RFC 1952, RFC 8878, "The .xz File
    /// Format", bzip2's `BZh`.
    pub(crate) fn recognise(beginning: &[u8]) -> Self {
        match beginning {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            // A skippable frame may come first.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Compression::Bzip2,
            _ => Compression::None,
        }
    }
}

impl Compression {
    /// Returns the media type of a layer. The specification has none for xz and bzip2.
    pub(crate) fn media_type(self) -> MediaType {
        let other =
            |suffix| MediaType::Other(format!("{}{suffix}", MediaType::ImageLayer));
        match self {
            Compression::None => MediaType::ImageLayer,
            Compression::Gzip => MediaType::ImageLayerGzip,
            Compression::Zstd => MediaType::ImageLayerZstd,
            Compression::Xz => other("+xz"),
            Compression::Bzip2 => other("+bzip2"),
        }
    }
}

/// How many of the first bytes show the compression.
pub(crate) const MAGIC_LENGTH: usize = 6;

/// How many bytes are read at once.
const BLOCK: usize = 256 * 1024;

/// Decompresses `input`, whatever it is compressed with.
pub(crate) fn decompress<'a>(
    mut input: impl Read + Send + 'a,
) -> io::Result<(Compression, Box<dyn Read + Send + 'a>)> {
    let mut beginning = Vec::new();
    input.by_ref().take(MAGIC_LENGTH as u64).read_to_end(&mut beginning)?;
    let compression = Compression::recognise(&beginning);
    let input =
        io::BufReader::with_capacity(BLOCK, Cursor::new(beginning).chain(input));
    let output: Box<dyn Read + Send> = match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(MultiGzDecoder::new(input)),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(input)?;
            decoder.window_log_max(MOST_ZSTD_WINDOW)?;
            Box::new(decoder)
        }
        Compression::Xz => {
            Box::new(XzReader::new_mem_limit(input, true, MOST_XZ_MEMORY))
        }
        Compression::Bzip2 => Box::new(MultiBzDecoder::new(input)),
    };
    Ok((compression, output))
}

/// Decompresses xz and bzip2, for which layers have no media type, and leaves every
/// other stream as it is.
pub(crate) fn decompress_xz_and_bzip2<'a>(
    mut input: impl Read + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut beginning = Vec::new();
    input.by_ref().take(MAGIC_LENGTH as u64).read_to_end(&mut beginning)?;
    let compression = Compression::recognise(&beginning);
    let input = Cursor::new(beginning).chain(input);
    match compression {
        Compression::Xz | Compression::Bzip2 => Ok(decompress(input)?.1),
        _ => Ok(Box::new(input)),
    }
}
