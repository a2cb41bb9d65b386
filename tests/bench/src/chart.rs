//! The picture of a table, as SVG: minimum, median and p99 of each row on a logarithmic
//! axis.

use crate::report::Table;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 170.0;
const RIGHT: f64 = 80.0;
const TOP: f64 = 56.0;
const ROW: f64 = 24.0;

/// A name with its minimum, median and p99.
type Row<'a> = (&'a str, [f64; 3]);

/// Draws the table of starts: a dot at the median, a line from the minimum to p99.
///
/// The picture takes the text colour of the page in which it is inlined. As `<img>` it
/// follows the system's theme.
pub fn svg<'t>(table: &'t Table, host: &str) -> String {
    let row = |(name, cells): &'t (String, Vec<Option<f64>>)| {
        let cells: Option<Vec<f64>> = cells.iter().take(3).copied().collect();
        Some((name.as_str(), cells?.try_into().ok()?))
    };
    let rows: Vec<Row> = table.rows.iter().filter_map(row).collect();
    let axis = Axis::over(rows.iter().flat_map(|(_, values)| *values));
    let bottom = TOP + ROW * rows.len() as f64;
    let (height, middle) = (bottom + 58.0, (LEFT + WIDTH - RIGHT) / 2.0);
    let small = "font-size=\"11\"";
    let centred = "text-anchor=\"middle\" font-size=\"11\"";
    let mut lines = vec![
        format!(
            "<svg role=\"img\" viewBox=\"0 0 {WIDTH} {height}\" width=\"100%\" xmlns=\"http://www.w3.org/2000/svg\" \
             font-family=\"sans-serif\" font-size=\"13\" fill=\"currentColor\" stroke=\"none\">"
        ),
        format!("<title>{}</title>", escaped(&description(table, &rows))),
        "<style>@media (prefers-color-scheme: dark) { svg:root { color: #dddddd } }</style>".into(),
        text(16.0, 24.0, "font-size=\"16\" font-weight=\"bold\"", &table.title),
        text(16.0, 42.0, small, host),
    ];
    for tick in axis.ticks() {
        let x = axis.x(tick);
        lines.push(format!(
            "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"currentColor\" stroke-opacity=\"0.2\"/>"
        ));
        lines.push(text(x, bottom + 16.0, centred, &tick.to_string()));
    }
    let legend = "milliseconds, logarithmic; line: minimum to p99, dot: median";
    lines.push(text(middle, bottom + 38.0, centred, legend));
    for (number, row) in rows.iter().enumerate() {
        lines.extend(draw_row(row, TOP + ROW * (number as f64 + 0.5), &axis));
    }
    lines.push("</svg>\n".into());
    lines.join("\n")
}

/// Returns a row of the picture, at this height. Rows of Kiste are bold and coloured.
fn draw_row((name, [min, median, p99]): &Row, y: f64, axis: &Axis) -> [String; 4] {
    let is_kiste = name.starts_with(|first: char| first.is_ascii_digit());
    let (weight, colour) =
        if is_kiste { ("bold", "#d9730d") } else { ("normal", "currentColor") };
    let weight = format!("font-weight=\"{weight}\"");
    let (min, dot, end) = (axis.x(*min), axis.x(*median), axis.x(*p99));
    [
        text(LEFT - 12.0, y + 4.5, &format!("text-anchor=\"end\" {weight}"), name),
        format!(
            "<path d=\"M{min:.1} {y}H{end:.1}\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        ),
        format!("<circle cx=\"{dot:.1}\" cy=\"{y}\" r=\"5\" fill=\"{colour}\"/>"),
        text(end + 8.0, y + 4.5, &weight, &format!("{median:.1}")),
    ]
}

fn text(x: f64, y: f64, style: &str, text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y}\" {style}>{}</text>", escaped(text))
}

/// Describes the picture for screen readers.
fn description(table: &Table, rows: &[Row]) -> String {
    let medians: Vec<_> =
        rows.iter().map(|(name, values)| format!("{name} {:.1}", values[1])).collect();
    format!("{}, median: {}.", table.title, medians.join(", "))
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

    /// Returns the ticks 1, 2, 5, 10, 20, … that are on the axis.
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
    fn the_picture_has_all_parts_that_the_book_requires() {
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
    fn a_table_without_rows_gives_an_empty_picture() {
        assert!(svg(&table(&[]), "").ends_with("</svg>\n"));
    }
}
