//! The picture of a table: minimum, median and p99 of each row on a logarithmic axis,
//! as SVG.

use std::fmt::Write;

use crate::report::Table;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 170.0;
const RIGHT: f64 = 80.0;
const TOP: f64 = 56.0;
const ROW: f64 = 24.0;

/// Draws the table of starts: a dot at the median, a line from the minimum to p99.
///
/// It takes the text colour of the page that it is inlined in; as `<img>` it follows
/// the system's theme.
pub fn svg(table: &Table, host: &str) -> String {
    let rows: Vec<(&str, [f64; 3])> = table
        .rows
        .iter()
        .filter_map(|(name, cells)| {
            Some((
                name.as_str(),
                [
                    cells.first().copied()??,
                    cells.get(1).copied()??,
                    cells.get(2).copied()??,
                ],
            ))
        })
        .collect();
    let axis = Axis::over(rows.iter().flat_map(|(_, values)| *values));
    let bottom = TOP + ROW * rows.len() as f64;
    let height = bottom + 58.0;
    let mut out = String::new();
    let mut line =
        |text: String| writeln!(out, "{text}").expect("a string takes every line");
    line(format!(
        "<svg role=\"img\" viewBox=\"0 0 {WIDTH} {height}\" width=\"100%\" xmlns=\"http://www.w3.org/2000/svg\" \
         font-family=\"sans-serif\" font-size=\"13\" fill=\"currentColor\" stroke=\"none\">"
    ));
    line(format!("<title>{}</title>", escaped(&heard(table, &rows))));
    line("<style>\n@media (prefers-color-scheme: dark) { svg:root { color: #dddddd } }\n</style>".into());
    line(format!(
        "<text x=\"16\" y=\"24\" font-size=\"16\" font-weight=\"bold\">{}</text>",
        escaped(&table.title)
    ));
    line(format!("<text x=\"16\" y=\"42\" font-size=\"11\">{}</text>", escaped(host)));
    for tick in axis.ticks() {
        let x = axis.x(tick);
        line(format!(
            "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"currentColor\" stroke-opacity=\"0.2\"/>"
        ));
        line(format!(
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" font-size=\"11\">{tick}</text>",
            bottom + 16.0
        ));
    }
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    line(format!(
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\" font-size=\"11\">milliseconds, logarithmic; line: minimum to p99, dot: median</text>",
        bottom + 38.0
    ));
    for (number, (name, [min, median, p99])) in rows.iter().enumerate() {
        let y = TOP + ROW * (number as f64 + 0.5);
        let weight = if is_kiste(name) { "bold" } else { "normal" };
        let base = y + 4.5;
        line(format!(
            "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\" font-weight=\"{weight}\">{}</text>",
            LEFT - 12.0,
            escaped(name)
        ));
        let colour = if is_kiste(name) { "#d9730d" } else { "currentColor" };
        line(format!(
            "<path d=\"M{:.1} {y}H{:.1}\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            axis.x(*min),
            axis.x(*p99)
        ));
        line(format!(
            "<circle cx=\"{:.1}\" cy=\"{y}\" r=\"5\" fill=\"{colour}\"/>",
            axis.x(*median)
        ));
        line(format!(
            "<text x=\"{:.1}\" y=\"{base}\" font-weight=\"{weight}\">{median:.1}</text>",
            axis.x(*p99) + 8.0
        ));
    }
    line("</svg>".into());
    out
}

/// The picture in words, for those who hear the page.
fn heard(table: &Table, rows: &[(&str, [f64; 3])]) -> String {
    let medians: Vec<_> =
        rows.iter().map(|(name, values)| format!("{name} {:.1}", values[1])).collect();
    format!("{}, median: {}.", table.title, medians.join(", "))
}

fn is_kiste(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_digit())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

struct Axis {
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values
            .fold((f64::MAX, f64::MIN), |(low, high), it| (low.min(it), high.max(it)));
        match low <= high {
            true => Axis { from: low.max(1e-3) * 0.9, to: high.max(1e-3) * 1.1 },
            false => Axis { from: 1.0, to: 10.0 },
        }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + (value / self.from).ln() / (self.to / self.from).ln()
            * (WIDTH - RIGHT - LEFT)
    }

    /// 1, 2, 5, 10, 20, … as far as they are on it.
    fn ticks(&self) -> Vec<f64> {
        let decades = (-3..7).flat_map(|power| {
            [1.0, 2.0, 5.0].map(|digit: f64| digit * 10f64.powi(power))
        });
        decades.filter(|tick| (self.from..=self.to).contains(tick)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(&str, f64)]) -> Table {
        let mut table =
            Table::new('a', "start to exit, <ms>", &["min", "median", "p99"]);
        let cells =
            |median: f64| vec![Some(median * 0.9), Some(median), Some(median * 1.5)];
        table.rows = rows
            .iter()
            .map(|(name, median)| (name.to_string(), cells(*median)))
            .collect();
        table
    }

    #[test]
    fn every_row_is_in_the_picture_and_none_lies_outside() {
        let svg = svg(&table(&[("05-cgroups", 6.0), ("podman", 200.0)]), "a host");
        assert!(
            svg.contains(">05-cgroups</text>") && svg.contains(">6.0</text>"),
            "{svg}"
        );
        let axis = Axis::over([5.4, 300.0].into_iter());
        assert_eq!(axis.ticks(), [5.0, 10.0, 20.0, 50.0, 100.0, 200.0]);
        assert!(axis.x(5.4) > LEFT && axis.x(300.0) < WIDTH - RIGHT);
    }

    #[test]
    fn it_is_what_the_book_asks_of_pictures() {
        let svg = svg(&table(&[("crun", 11.0)]), "a & b");
        for needed in [
            "<title>",
            "role=\"img\"",
            "viewBox=",
            "currentColor",
            "svg:root",
            "a &amp; b",
            "&lt;ms&gt;",
        ] {
            assert!(svg.contains(needed), "{needed}: {svg}");
        }
        assert!(svg.lines().all(|line| !line.trim().is_empty()));
    }

    #[test]
    fn of_nothing_there_is_an_empty_picture() {
        assert!(svg(&table(&[]), "").ends_with("</svg>\n"));
    }
}
