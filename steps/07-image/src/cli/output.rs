//! Output of the subcommands: lists as a table or as JSON.

use anyhow::Result;
use bytesize::ByteSize;
use comfy_table::{Table, presets};
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
    kit::print_json(&serde_json::to_value(document)?)
}

/// Returns a size for people: `7.5 MB`.
pub(super) fn format_size(bytes: u64) -> String {
    ByteSize(bytes).display().si().to_string()
}

/// Returns how long ago a time was, in the largest unit: `2 days ago`.
pub(super) fn ago(time: &str) -> String {
    let Ok(time) = time.parse::<jiff::Timestamp>() else {
        return kit::escape_control_characters(time);
    };
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
