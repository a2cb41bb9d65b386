//! Output of the subcommands: lists as a table or as JSON.

use std::str::FromStr;

use anyhow::Result;
use bytesize::ByteSize;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use serde::Serialize;

use super::template::Template;

/// The format of a list that may also be printed by a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ListFormat {
    /// As a table or as JSON.
    Whole(OutputFormat),
    /// A line for each entry.
    Lines(Template),
}

impl FromStr for ListFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "table" => ListFormat::Whole(OutputFormat::Table),
            "json" => ListFormat::Whole(OutputFormat::Json),
            text if text.contains("{{") => ListFormat::Lines(text.parse()?),
            _ => return Err("it is table, json, or a text with {{.FIELD}}".into()),
        })
    }
}

/// The format of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum OutputFormat {
    Table,
    Json,
}

/// Prints a list: as a table without lines, with a row of these cells for each entry, or
/// as a JSON array of the entries.
pub(super) fn print_list<T: Serialize>(
    format: OutputFormat,
    list: &[T],
    header: &[&str],
    row: impl Fn(&T) -> Vec<String>,
) -> Result<()> {
    match format {
        OutputFormat::Json => print_json(&list),
        OutputFormat::Table => print_table(new_table(list, header, row)),
    }
}

/// Prints a list as [`print_list`] does, but on a terminal shortens the cells of one
/// column, so that each row fits on a line.
pub(super) fn print_list_that_fits<T: Serialize>(
    format: OutputFormat,
    list: &[T],
    header: &[&str],
    row: impl Fn(&T) -> Vec<String>,
    shortened: usize,
) -> Result<()> {
    let (OutputFormat::Table, Some(width)) = (format, terminal_width()) else {
        return print_list(format, list, header, row);
    };
    let mut table = new_table(list, header, row);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    for (at, column) in table.column_iter_mut().enumerate() {
        if at != shortened {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.row_iter_mut().for_each(|row| {
        row.max_height(1);
    });
    print_table(table)
}

fn new_table<T>(list: &[T], header: &[&str], row: impl Fn(&T) -> Vec<String>) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(header)
        .add_rows(list.iter().map(row));
    table
}

fn print_table(table: Table) -> Result<()> {
    kit::print(
        table.lines().map(|line| format!("{}\n", line.trim())).collect::<String>(),
    )
}

/// Returns the columns of the terminal to which stdout leads, if it leads to one.
fn terminal_width() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(size.ws_col).filter(|width| *width > 0)
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
