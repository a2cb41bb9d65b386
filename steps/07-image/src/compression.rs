//! Compressed streams, recognised by their first bytes: a file name or a media type may
//! be wrong.

use std::io::{self, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Recognises a compression by the first bytes: RFC 1952, RFC 8878.
    pub(crate) fn recognise(beginning: &[u8]) -> Self {
        match beginning {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            // A skippable frame may come first.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }
}

/// How many bytes are read at once.
const BLOCK: usize = 256 * 1024;

/// Decompresses `input`, whatever it is compressed with.
pub(crate) fn decompress<'a>(
    mut input: impl Read + Send + 'a,
) -> io::Result<(Compression, Box<dyn Read + Send + 'a>)> {
    let mut beginning = Vec::new();
    input.by_ref().take(4).read_to_end(&mut beginning)?;
    let compression = Compression::recognise(&beginning);
    let input =
        io::BufReader::with_capacity(BLOCK, Cursor::new(beginning).chain(input));
    let output: Box<dyn Read + Send> = match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(MultiGzDecoder::new(input)),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(input)?;
            // zstd(1) has the same limit, 2^27 bytes: a frame may ask for any amount of
            // memory.
            decoder.window_log_max(27)?;
            Box::new(decoder)
        }
    };
    Ok((compression, output))
}
