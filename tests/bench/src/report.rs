//! The report: tables of numbers, as text and as JSON.

use std::fmt::{self, Display};

use serde::Serialize;

/// The results of one session.
#[derive(Serialize)]
pub struct Report {
    /// Kernel and processors.
    pub host: String,
    /// The load average before and after.
    pub load: [Option<f64>; 2],
    /// The participants: name, version, differences.
    pub peers: Vec<[String; 3]>,
    /// The peers that did not take part, and why.
    pub missing: Vec<String>,
    /// The measurements.
    pub tables: Vec<Table>,
}

/// A measurement.
#[derive(Serialize)]
pub struct Table {
    /// Its letter for `--only`.
    pub letter: char,
    /// The measured quantity, and its unit.
    pub title: String,
    /// The heads of the columns.
    pub columns: Vec<String>,
    /// A name, and a number for each column; None if there is none.
    pub rows: Vec<(String, Vec<Option<f64>>)>,
    /// The column by which rows are compared. None if rows are not compared.
    pub compared: Option<usize>,
    /// Notes that help to read the table.
    pub notes: Vec<String>,
}

impl Table {
    /// Creates a table without rows.
    pub fn new(letter: char, title: &str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|it| it.to_string()).collect();
        Table {
            letter,
            title: title.into(),
            columns,
            rows: Vec::new(),
            compared: None,
            notes: Vec::new(),
        }
    }

    /// Returns the ratios of Kiste's steps to crun and to the limit with the same
    /// namespaces: `("05-cgroups : crun", 0.5)`.
    pub fn ratios(&self) -> Vec<(String, f64)> {
        let Some(column) = self.compared else { return Vec::new() };
        let value =
            |row: &(String, Vec<Option<f64>>)| row.1.get(column).copied().flatten();
        let rows_of_kiste = self
            .rows
            .iter()
            .filter(|row| row.0.starts_with(|first: char| first.is_ascii_digit()));
        let mut ratios = Vec::new();
        for kiste in rows_of_kiste {
            let suffix = kiste
                .0
                .split_once(' ')
                .map_or(String::new(), |(_, rest)| format!(" {rest}"));
            for other in ["crun", "limit"].map(|other| format!("{other}{suffix}")) {
                let found = self.rows.iter().find(|row| row.0 == other);
                if let (Some(ours), Some(theirs)) =
                    (value(kiste), found.and_then(value))
                {
                    ratios.push((format!("{} : {other}", kiste.0), ours / theirs));
                }
            }
        }
        ratios
    }
}

impl Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let load = |load: Option<f64>| load.map_or("?".into(), |load| load.to_string());
        writeln!(
            out,
            "{}; load {} before, {} after",
            self.host,
            load(self.load[0]),
            load(self.load[1])
        )?;
        for [name, version, differs] in &self.peers {
            let differs =
                if differs.is_empty() { String::new() } else { format!(": {differs}") };
            writeln!(out, "  {name} {version}{differs}")?;
        }
        self.missing.iter().try_for_each(|why| writeln!(out, "  without {why}"))?;
        self.tables.iter().try_for_each(|table| write!(out, "\n{table}"))
    }
}

impl Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        writeln!(out, "{}. {}", self.letter, self.title)?;
        let first =
            self.rows.iter().map(|row| row.0.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> =
            self.columns.iter().map(|column| column.chars().count().max(9)).collect();
        write!(out, "  {:first$}", "")?;
        self.columns
            .iter()
            .zip(&widths)
            .try_for_each(|(column, width)| write!(out, "  {column:>width$}"))?;
        writeln!(out)?;
        for (name, cells) in &self.rows {
            write!(out, "  {name:first$}")?;
            for (cell, width) in cells.iter().zip(&widths) {
                write!(out, "  {:>width$}", cell.map_or("-".into(), three_digits))?;
            }
            writeln!(out)?;
        }
        for (pair, ratio) in self.ratios() {
            writeln!(out, "  {pair} = {ratio:.2}")?;
        }
        self.notes.iter().try_for_each(|note| writeln!(out, "  ({note})"))
    }
}

/// Formats a number with three significant digits.
fn three_digits(value: f64) -> String {
    match value {
        value if value == value.round() || value >= 1000.0 => format!("{value:.0}"),
        value if value >= 100.0 => format!("{value:.1}"),
        value if value >= 10.0 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_compared_with_peers_that_have_the_same_namespaces() {
        let mut table = Table::new('a', "time", &["min", "median"]);
        table.compared = Some(1);
        for (name, median) in [
            ("05-cgroups", 6.0),
            ("crun", 12.0),
            ("limit", 5.0),
            ("08-network +net", 9.0),
            ("crun +net", 18.0),
        ] {
            table.rows.push((name.into(), vec![None, Some(median)]));
        }
        let expected = [
            ("05-cgroups : crun", 0.5),
            ("05-cgroups : limit", 1.2),
            ("08-network +net : crun +net", 0.5),
        ];
        assert_eq!(table.ratios(), expected.map(|(pair, ratio)| (pair.into(), ratio)));
    }

    #[test]
    fn a_missing_number_is_a_dash_and_columns_are_aligned() {
        let mut table = Table::new('b', "memory, KiB", &["peak", "smallest limit"]);
        table.rows.push(("bwrap".into(), vec![Some(2008.0), None]));
        assert_eq!(
            table.to_string(),
            "b. memory, KiB\n              peak  smallest limit\n  bwrap       2008               -\n"
        );
    }
}
