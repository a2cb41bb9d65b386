//! The file that an archive is read from.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use kit::{Failure, Hint};
use nix::errno::Errno;

use crate::compression::{Compression, MAGIC_LENGTH, decompress};
use crate::store::{Store, Temporary};

/// Opens a file to read; `-` is the standard input.
pub(crate) fn open_input(path: &Path) -> Result<File> {
    if path.as_os_str() == "-" {
        let input = io::stdin().as_fd().try_clone_to_owned().context("dup(0)")?;
        ensure!(
            !input.is_terminal(),
            Failure::new("-: the standard input is a terminal")
                .hint("name a file, or use < or |")
        );
        return Ok(File::from(input));
    }
    kit::call("the archive to read", "open", path.display(), || File::open(path))
        .hint_on(Errno::ENOENT, "name an archive that is there")
}

/// A file that can be read at any place.
pub(super) struct SeekableFile {
    pub(super) file: File,
    /// The directory that the file is in, if it is a copy.
    pub(super) copy: Option<Temporary>,
}

/// Returns the file itself; for a pipe or a compressed archive, a decompressed copy in the
/// store.
pub(super) fn make_seekable(mut input: File, store: &Store) -> Result<SeekableFile> {
    if input.metadata().context("fstat")?.is_file() {
        let mut beginning = [0; MAGIC_LENGTH];
        let count = input.read_at(&mut beginning, 0).context("read the archive")?;
        if Compression::recognise(&beginning[..count]) == Compression::None {
            input.seek(SeekFrom::Start(0)).context("lseek")?;
            return Ok(SeekableFile { file: input, copy: None });
        }
    }
    let temporary = store.temporary()?;
    let mut file =
        tempfile::tempfile_in(temporary.path()).context("make a file in the store")?;
    let (_, mut content) = decompress(&mut input).context("read the archive")?;
    let free = store.free_space()?.bytes;
    let copied = io::copy(&mut content.by_ref().take(free), &mut file)
        .context("copy the archive into the store")?;
    ensure!(
        copied < free,
        Failure::new("the archive is larger than the free space of the store")
            .hint("make room, or choose another --store")
    );
    drop(content);
    file.flush().context("write")?;
    file.seek(SeekFrom::Start(0)).context("lseek")?;
    Ok(SeekableFile { file, copy: Some(temporary) })
}
