//! `save`, and where output goes.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kit::Failure;

use crate::reference::ImageName;
use crate::save::save;
use crate::store::StoreArgs;

/// Options of `save`.
#[derive(clap::Args)]
pub struct Save {
    #[command(flatten)]
    store: StoreArgs,
    /// Write to this file instead of the standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The images
    #[arg(value_name = "NAME[:TAG]", required = true)]
    images: Vec<ImageName>,
}

impl Save {
    pub(super) fn run(&self) -> Result<()> {
        let store = self.store.open()?;
        write_to(self.output.as_deref(), |output| save(&store, &self.images, output))
    }
}

/// Prints what was asked for. Who closes the pipe has read enough.
pub(super) fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("print to stdout")
        }
        _ => Ok(()),
    }
}

/// Writes an archive to a file, which is there whole or not at all, or to the standard
/// output.
pub(super) fn write_to(
    path: Option<&Path>,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let Some(path) = path.filter(|path| path.as_os_str() != "-") else {
        if io::stdout().is_terminal() {
            let failure = Failure::new("the archive would go to the terminal");
            return Err(failure.hint("name a file with -o FILE, or use > or |").into());
        }
        return write(&mut BufWriter::new(io::stdout().lock()));
    };
    // What is no file, /dev/null perhaps, is written to as it is.
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
    if !directory.is_dir() {
        let what =
            format!("{}: {} is no directory", path.display(), directory.display());
        return Err(Failure::new(what)
            .hint("make it first, or name another file with -o")
            .into());
    }
    let file = tempfile::NamedTempFile::new_in(directory)
        .with_context(|| format!("make a file in {}", directory.display()))?;
    let mut output = BufWriter::new(file);
    write(&mut output)?;
    let file = output
        .into_inner()
        .map_err(|error| error.into_error())
        .context("write the archive")?;
    file.persist(path)
        .map_err(|error| error.error)
        .with_context(|| format!("rename({})", path.display()))?;
    Ok(())
}
