//! Compressed streams, told apart by how they begin: what an archive says of itself may
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
    /// By the first bytes: RFC 1952, RFC 8878.
    pub(crate) fn of(beginning: &[u8]) -> Self {
        match beginning {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            // A skippable frame may come first.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }
}

/// How much is read at once.
const BLOCK: usize = 256 * 1024;

/// The content of `input`, whatever it is compressed with.
pub(crate) fn decompress<'a>(
    mut input: impl Read + Send + 'a,
) -> io::Result<(Compression, Box<dyn Read + Send + 'a>)> {
    let mut beginning = Vec::new();
    input.by_ref().take(4).read_to_end(&mut beginning)?;
    let compression = Compression::of(&beginning);
    let input =
        io::BufReader::with_capacity(BLOCK, Cursor::new(beginning).chain(input));
    let output: Box<dyn Read + Send> = match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(MultiGzDecoder::new(input)),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(input)?;
            // 2^27 bytes, as zstd(1) has it: a frame may ask for more memory than there
            // is.
            decoder.window_log_max(27)?;
            Box::new(decoder)
        }
    };
    Ok((compression, output))
}
