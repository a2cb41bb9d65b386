//! A tar archive as a stream of entries: tar(5), pax (POSIX.1-2024), GNU tar's manual,
//! "Tar internals".
//!
//! An archive is somebody else's. Whatever it claims of sizes is only followed as far
//! as bytes come, and what two readers could understand in two ways is refused
//! (CVE-2025-62518).

mod entry;
mod numbers;
mod pax;
mod sparse;

use std::io::{self, Read};

use anyhow::{Context, Result};
use kit::Failure;
use tar::{EntryType, Header};

pub(crate) use entry::{Entry, Kind, shown};
pub(crate) use sparse::Segment;

/// Headers and data come in blocks of this size.
const BLOCK: usize = 512;
/// The longest name or list of attributes, in bytes: Linux takes names of 4 KiB and
/// attributes of 64.
const LONGEST_EXTENSION: u64 = 1 << 20;
/// The longest global header, in bytes: git(1) writes a hundred.
const LONGEST_GLOBAL: usize = 64 * 1024;
/// The most zeros that fill an archive up behind its end, in bytes.
const LONGEST_PADDING: u64 = 64 << 20;

/// A tar archive that is being read.
pub(crate) struct Archive<R> {
    input: R,
    /// Of the entry at hand: bytes of data that have not been read, and of the padding
    /// behind them.
    data: u64,
    padding: u64,
    /// pax, "g": what holds for all entries that follow.
    global: pax::Records,
    /// Whether there was a block at all.
    has_begun: bool,
}

/// What stands before an entry, and is about it.
#[derive(Default)]
struct Extensions {
    records: pax::Records,
    long_path: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: Read> Archive<R> {
    pub(crate) fn new(input: R) -> Self {
        Archive {
            input,
            data: 0,
            padding: 0,
            global: pax::Records::default(),
            has_begun: false,
        }
    }

    /// The next entry. Its data is read from [`Archive::data`]; what is not read is
    /// skipped.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>> {
        let mut extensions =
            Extensions { records: self.global.clone(), ..Extensions::default() };
        while let Some(header) = self.next_header()? {
            let name = || format!("entry {}", shown(&header.path_bytes()));
            self.data = header.entry_size().with_context(name)?;
            match header.entry_type() {
                kind if kind.as_byte() == b'V' => {
                    self.finish_entry(header.entry_size()?)?
                } // a label
                kind if is_extension(kind) => {
                    self.extend(kind, &mut extensions).with_context(name)?
                }
                _ => return self.entry(&header, extensions).map(Some),
            }
        }
        Ok(None)
    }

    /// Reads what an entry that is none itself says of those that follow.
    fn extend(&mut self, kind: EntryType, extensions: &mut Extensions) -> Result<()> {
        let bytes = self.extension()?;
        match kind {
            EntryType::GNULongName => extensions.long_path = Some(until_nul(bytes)),
            EntryType::GNULongLink => extensions.long_link = Some(until_nul(bytes)),
            kind => {
                if kind == EntryType::XGlobalHeader && bytes.len() > LONGEST_GLOBAL {
                    let what = "a global header (pax) of more than 64 KiB, which each entry would have";
                    return Err(Failure::new(what).into());
                }
                if kind == EntryType::XGlobalHeader {
                    self.global.add(&bytes)?;
                }
                extensions.records.add(&bytes)?;
            }
        }
        Ok(())
    }

    pub(crate) fn input(&self) -> &R {
        &self.input
    }

    pub(crate) fn input_mut(&mut self) -> &mut R {
        &mut self.input
    }

    /// Has the caller skip the rest of the data: returns how many bytes that is.
    pub(crate) fn leave_data(&mut self) -> u64 {
        std::mem::take(&mut self.data)
    }

    /// The data of the entry that [`Archive::next`] returned last.
    pub(crate) fn data(&mut self) -> Data<'_, R> {
        Data(self)
    }

    fn entry(&mut self, header: &Header, extensions: Extensions) -> Result<Entry> {
        let Extensions { records, long_path, long_link } = extensions;
        let mut entry = Entry::of(header, &records, long_path, long_link)?;
        self.finish_size(entry.size);
        if let Kind::File = entry.kind {
            let claims = sparse::Claims { header, records: &records };
            entry.segments = claims.segments(self).context(entry.name())?;
        }
        Ok(entry)
    }

    /// The next header; None at the end.
    fn next_header(&mut self) -> Result<Option<Header>> {
        self.skip_rest()?;
        let Some(block) = self.block()? else {
            return self.end_without_mark().map(|()| None);
        };
        self.has_begun = true;
        if block == [0; BLOCK] {
            return self.see_the_end().map(|()| None);
        }
        let header = Header::from_byte_slice(&filled(block)).clone();
        // The sum of all bytes, with blanks for the sum itself.
        let sum = block.iter().enumerate().map(|(index, byte)| match index {
            148..156 => u32::from(b' '),
            _ => u32::from(*byte),
        });
        match header.cksum() {
            Ok(said) if said == sum.sum::<u32>() => Ok(Some(header)),
            _ => Err(Failure::new(
                "this is no tar archive, or it is damaged: a header's sum is wrong",
            )
            .into()),
        }
    }

    /// Some write no blocks of zeros at the end. Of nothing at all, there is nothing to
    /// be made.
    fn end_without_mark(&self) -> Result<()> {
        match self.has_begun {
            true => Ok(()),
            false => {
                Err(Failure::new("the archive is empty").hint("get it again").into())
            }
        }
    }

    /// Behind the end there is nothing but zeros. A second archive would be seen by one
    /// reader, and not by another.
    fn see_the_end(&mut self) -> Result<()> {
        let mut rest = vec![0; 64 * 1024];
        let mut zeros = 0;
        loop {
            match self.input.read(&mut rest).context("read the archive")? {
                0 => return Ok(()),
                count if rest[..count].iter().any(|byte| *byte != 0) => {
                    return Err(
                        Failure::new("the archive has data behind its end").into()
                    );
                }
                count => zeros += count as u64,
            }
            if zeros > LONGEST_PADDING {
                return Err(Failure::new(
                    "the archive has more than 64 MiB of zeros behind its end",
                )
                .into());
            }
        }
    }

    /// A block; None at the end of the input.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..]).context("read the archive")? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(truncated().into()),
                count => filled += count,
            }
        }
        Ok(Some(block))
    }

    /// The data of an extension, which is held in memory.
    fn extension(&mut self) -> Result<Vec<u8>> {
        let size = self.data;
        if size > LONGEST_EXTENSION {
            return Err(Failure::new(format_args!(
                "a name or attribute of {size} bytes: the most is 1 MiB"
            ))
            .into());
        }
        self.finish_size(size);
        let mut bytes = Vec::new();
        self.data().read_to_end(&mut bytes).context("read the archive")?;
        Ok(bytes)
    }

    fn finish_entry(&mut self, size: u64) -> Result<()> {
        self.finish_size(size);
        self.skip_rest()
    }

    fn finish_size(&mut self, size: u64) {
        self.data = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn skip_rest(&mut self) -> Result<()> {
        let mut rest = [0; 16 * 1024];
        while self.data().read(&mut rest).context("read the archive")? > 0 {}
        let mut padding = vec![0; std::mem::take(&mut self.padding) as usize];
        match self.input.read_exact(&mut padding) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(truncated().into())
            }
            read => read.context("read the archive"),
        }
    }
}

/// Numbers that were left empty mean 0, as GNU tar has it. The sum is left as it is.
fn filled(mut block: [u8; BLOCK]) -> [u8; BLOCK] {
    // Mode, uid, gid, size, mtime, major and minor number: tar(5), "POSIX ustar
    // Archives".
    for field in [100..108, 108..116, 116..124, 124..136, 136..148, 329..337, 337..345]
    {
        let first = field.start;
        if block[field].iter().all(|byte| matches!(byte, 0 | b' ')) {
            block[first] = b'0';
        }
    }
    block
}

/// The data of one entry.
pub(crate) struct Data<'a, R>(&'a mut Archive<R>);

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.0.data).unwrap_or(usize::MAX));
        let count = self.0.input.read(&mut buffer[..most])?;
        if count == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, truncated()));
        }
        self.0.data -= count as u64;
        Ok(count)
    }
}

fn truncated() -> Failure {
    Failure::new("the archive ends in the middle of an entry")
        .hint("it is truncated: get it again")
}

fn is_extension(kind: EntryType) -> bool {
    use EntryType::{GNULongLink, GNULongName, XGlobalHeader, XHeader};
    matches!(kind, XHeader | XGlobalHeader | GNULongName | GNULongLink)
}

/// GNU tar ends long names with a NUL.
fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

/// Reads an archive whole, and makes nothing of it.
///
/// # Errors
/// What is wrong with it.
pub fn read(input: impl Read) -> Result<()> {
    let mut archive = Archive::new(input);
    while let Some(entry) = archive.next()? {
        let copied = io::copy(&mut archive.data(), &mut io::sink());
        copied.with_context(|| entry.name())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs::DirEntry;

    use super::*;

    /// The archives that the fuzzer begins with: one for each feature and attack, by
    /// name.
    fn corpus() -> BTreeMap<String, Vec<u8>> {
        let directory =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/corpus/archive");
        let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap());
        let named = |file: DirEntry| {
            (
                file.file_name().into_string().unwrap(),
                std::fs::read(file.path()).unwrap(),
            )
        };
        files.map(named).collect()
    }

    /// What is read of an archive: a line for each entry, and how it ends.
    fn told(archive: &[u8]) -> String {
        let mut archive = Archive::new(archive);
        let mut told = String::new();
        loop {
            let read = archive.next().and_then(|entry| {
                let mut data = Vec::new();
                archive.data().read_to_end(&mut data)?;
                Ok(entry.map(|entry| (entry, data)))
            });
            let line = match read {
                Ok(Some((entry, data))) => told_of(&entry, &data),
                Ok(None) => return told + "  end\n",
                Err(error) => return told + &format!("  {error:#}\n"),
            };
            told += &line;
        }
    }

    fn told_of(entry: &Entry, data: &[u8]) -> String {
        let Entry {
            kind,
            path,
            uid,
            gid,
            mode,
            mtime: (seconds, nanoseconds),
            size,
            segments,
            attributes,
        } = entry;
        let kind = match kind {
            Kind::HardLink(to) => format!("HardLink to {}", shown(to)),
            Kind::SymbolicLink(to) => format!("SymbolicLink to {}", shown(to)),
            other => format!("{other:?}"),
        };
        let mut line = format!(
            "  {} {kind} {uid}:{gid} {mode:o} {seconds}+{nanoseconds} {size}",
            shown(path)
        );
        if size > &0 {
            line += &format!(", data {} {}", data.len(), shown(data));
        }
        for (name, value) in attributes {
            line += &format!(", {} {}", shown(name), shown(value));
        }
        if let Some((segments, whole)) = segments {
            let at =
                |segment: &Segment| format!("{}+{}", segment.offset, segment.length);
            line += &format!(
                ", of {whole}: {}",
                segments.iter().map(at).collect::<Vec<_>>().join(" ")
            );
        }
        line + "\n"
    }

    /// After a change that was meant: `INSTA_UPDATE=always`, and look at the
    /// difference.
    #[test]
    fn the_archives_of_the_corpus_are_read_as_they_were_written() {
        let told: String = corpus()
            .iter()
            .map(|(name, archive)| format!("{name}\n{}", told(archive)))
            .collect();
        insta::with_settings!({
            snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/snapshots"),
            prepend_module_to_snapshot => false, omit_expression => true,
        }, { insta::assert_snapshot!("07-image-archives", told) });
    }

    /// What reads fast enough to be read often.
    const LARGEST: usize = 64 * 1024;

    #[test]
    fn a_damaged_archive_is_an_error_or_another_archive_and_never_a_panic() {
        let corpus = corpus();
        assert!(corpus.len() > 20, "{} archives", corpus.len());
        // xorshift: the same damage on every run.
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).unwrap()
        };
        let mut errors = 0;
        for archive in
            corpus.values().filter(|archive| (1..LARGEST).contains(&archive.len()))
        {
            for _ in 0..200 {
                let mut damaged = archive.clone();
                for _ in 0..=random(4) {
                    let at = random(damaged.len());
                    damaged[at] =
                        [0, b'0', b'7', b'9', b' ', b'\n', 0x80, 0xff][random(8)];
                }
                // A right sum lets the damage through to what is behind it.
                if let Some(header) = damaged.first_chunk_mut::<BLOCK>() {
                    let mut fixed = Header::from_byte_slice(header).clone();
                    fixed.set_cksum();
                    *header = *fixed.as_bytes();
                }
                damaged.truncate(damaged.len() - random(2) * random(damaged.len()));
                errors += u32::from(read(damaged.as_slice()).is_err());
            }
        }
        assert!(errors > 100, "only {errors} were seen");
    }
}
