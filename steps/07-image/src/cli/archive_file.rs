//! The archives that `save` and `export` write.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use kit::Failure;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat};
use rustix::io::Errno;
use tempfile::NamedTempFile;

/// Writes an archive to the standard output, or to a file that appears only once it is
/// complete.
pub(super) fn write_archive(
    path: Option<&Path>,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let Some(path) = path.filter(|path| path.as_os_str() != "-") else {
        ensure!(
            !io::stdout().is_terminal(),
            Failure::new("the archive would go to the terminal")
                .hint("name a file with -o FILE, or use > or |")
        );
        return write(&mut BufWriter::new(io::stdout().lock()));
    };
    // A device or a pipe, /dev/null for one, is written to directly.
    if path.exists() && !path.is_file() {
        let file = File::options()
            .write(true)
            .open(path)
            .with_context(|| format!("open({})", path.display()))?;
        return write(&mut BufWriter::new(file));
    }
    let directory = path
        .parent()
        .filter(|above| !above.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    ensure!(
        directory.is_dir(),
        Failure::new(format_args!(
            "{}: {} is no directory",
            path.display(),
            directory.display()
        ))
        .hint("make it first, or name another file with -o")
    );
    let file = UnfinishedFile::create(directory)
        .with_context(|| format!("make a file in {}", directory.display()))?;
    let mut output = BufWriter::new(file);
    write(&mut output)?;
    let file = output
        .into_inner()
        .map_err(|error| error.into_error())
        .context("write the archive")?;
    file.finish(path).with_context(|| format!("rename({})", path.display()))
}

/// A file that gets its name once it is complete.
enum UnfinishedFile {
    /// It has no name, so that nothing is left if a signal ends us: open(2), O_TMPFILE.
    WithoutName(File),
    /// A named file, if the file system does not support O_TMPFILE.
    Temporary(NamedTempFile),
}

impl UnfinishedFile {
    fn create(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        match rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR) {
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => {
                NamedTempFile::new_in(directory).map(UnfinishedFile::Temporary)
            }
            file => Ok(UnfinishedFile::WithoutName(file?.into())),
        }
    }

    /// Gives the file its name. A file that has this name already is replaced.
    fn finish(self, path: &Path) -> io::Result<()> {
        let file = match self {
            UnfinishedFile::WithoutName(file) => file,
            UnfinishedFile::Temporary(file) => {
                return file.persist(path).map(drop).map_err(|error| error.error);
            }
        };
        let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
        let link =
            |path: &Path| linkat(CWD, &descriptor, CWD, path, AtFlags::SYMLINK_FOLLOW);
        match link(path) {
            // linkat(2) does not replace a file, but rename(2) does.
            Err(Errno::EXIST) => {
                let name = path.file_name().unwrap_or_default();
                let temporary = path.with_file_name(kit::temporary_name(name));
                kit::if_exists(std::fs::remove_file(&temporary))?;
                link(&temporary)?;
                std::fs::rename(temporary, path)
            }
            linked => Ok(linked?),
        }
    }
}

impl Write for UnfinishedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            UnfinishedFile::WithoutName(file) => file.write(bytes),
            UnfinishedFile::Temporary(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
