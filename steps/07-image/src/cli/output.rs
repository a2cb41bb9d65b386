//! Output of the subcommands: lists as a table or as JSON, and archives.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytesize::ByteSize;
use comfy_table::{Table, presets};
use kit::Failure;
use serde::Serialize;

/// The format of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum OutputFormat {
    Table,
    Json,
}

/// Prints a list: as a table without lines, with a row of these cells for each entry, or
/// as a JSON array of the entries.
pub(super) fn print_list<T: Serialize, const COLUMNS: usize>(
    format: OutputFormat,
    list: &[T],
    header: [&str; COLUMNS],
    row: impl Fn(&T) -> [String; COLUMNS],
) -> Result<()> {
    if format == OutputFormat::Json {
        return print_json(&list);
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(header)
        .add_rows(list.iter().map(row));
    kit::print(
        table.lines().map(|line| format!("{}\n", line.trim())).collect::<String>(),
    )
}

/// Prints a document as JSON. Its keys are sorted.
pub(super) fn print_json(document: &impl Serialize) -> Result<()> {
    let document = serde_json::to_value(document)?;
    kit::print(format_args!("{}\n", serde_json::to_string_pretty(&document)?))
}

/// Returns a size for people: `7.5 MB`.
pub(super) fn size(bytes: u64) -> String {
    ByteSize(bytes).display().si().to_string()
}

/// Returns how long ago a time was, in the largest unit: `2 days ago`.
pub(super) fn ago(time: &str) -> String {
    let Ok(time) = time.parse::<jiff::Timestamp>() else { return kit::readable(time) };
    let seconds = jiff::Timestamp::now().duration_since(time).as_secs().max(0);
    let units = [
        ("year", 31_536_000),
        ("month", 2_592_000),
        ("day", 86400),
        ("hour", 3600),
        ("minute", 60),
        ("second", 1),
    ];
    let fits = |(_, length): &(&str, i64)| seconds >= *length;
    let (unit, length) = units.into_iter().find(fits).unwrap_or(("second", 1));
    let count = seconds / length;
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

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
