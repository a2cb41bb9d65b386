//! Shows how far the reader has come: `{{#staircase 03-mount}}` on a line of its own becomes
//! the staircase of the home page, up to the step of this chapter, which it marks.

use super::picture;

/// The staircase of all steps, relative to the workspace. Each step is one line of it.
pub const PICTURE: &str = "book/src/img/overview.svg";

/// The beginning of a step's line.
const STEP: &str = "<a class=\"step\"";

/// The beginning of the line of the reader's step.
const HERE: &str = "<a class=\"step here\" aria-current=\"page\"";

/// The mark above the reader's step, relative to the step's upper left corner.
const MARK: &str = "<path class=\"mark\" d=\"M10 -16h10l-5 9z\"/>\
    <text class=\"mark\" x=\"26\" y=\"-7\">you are here</text>";

/// The height of the mark.
const MARK_HEIGHT: f64 = 24.0;

/// Returns the step up to which this line shows the staircase: `03-mount`.
pub fn step(line: &str) -> Option<&str> {
    line.strip_prefix("{{#staircase ")?.strip_suffix("}}")
}

/// Returns the lines that show the staircase up to this step. `svg` is the text of
/// [`PICTURE`].
///
/// # Errors
/// When the staircase has no such step.
pub fn shown(svg: &str, step: &str) -> Result<Vec<String>, String> {
    let lines: Vec<_> = svg.lines().collect();
    let own = format!("{STEP} href=\"{step}.html\"");
    let is_own = |line: &&str| line.starts_with(&own);
    let here = lines.iter().position(is_own).ok_or("no such step")?;
    let (up_to, above) = lines.split_at(here + 1);
    let mut shown: Vec<_> = up_to.iter().map(ToString::to_string).collect();
    shown[0] = cropped(lines[0], lines[here]).ok_or("no viewBox, or no place")?;
    shown[here] =
        lines[here].replacen(STEP, HERE, 1).replacen('>', &format!(">{MARK}"), 1);
    if let Some(title) = shown.iter_mut().find(|line| line.starts_with("<title>")) {
        *title = format!("<title>The steps up to {step}, where you are</title>");
    }
    let is_no_step = |line: &&&str| !line.starts_with(STEP);
    shown.extend(above.iter().filter(is_no_step).map(ToString::to_string));
    Ok(picture::framed(&shown.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// Returns the first line of the picture, with a `viewBox` that begins at the mark.
fn cropped(first: &str, here: &str) -> Option<String> {
    let view = picture::attribute(first, "viewBox")?;
    let numbers = view.split(' ').map(|number| number.parse::<f64>().ok());
    let [left, top, width, height] =
        numbers.collect::<Option<Vec<_>>>()?.try_into().ok()?;
    let place = picture::attribute(here, "transform")?.strip_suffix(')')?;
    let new_top = place.rsplit(' ').next()?.parse::<f64>().ok()? - MARK_HEIGHT;
    let new_height = height - (new_top - top);
    let new_view = format!("{left} {new_top} {width} {new_height}");
    Some(first.replacen(view, &new_view, 1))
}

#[cfg(test)]
mod tests {
    use super::{shown, step};

    const STAIRS: &str = "<svg viewBox=\"0 -80 100 90\" role=\"group\">\n<title>All</title>\n\
        <a class=\"step\" href=\"00-exec.html\" transform=\"translate(0 -20)\">0</a>\n\
        <a class=\"step\" href=\"01-uts.html\" transform=\"translate(5 -40)\">1</a>\n\
        <a class=\"step\" href=\"02-pid.html\" transform=\"translate(9 -60)\">2</a>\n\
        <path d=\"M0 0\"/>\n</svg>\n";

    #[test]
    fn the_staircase_ends_at_the_step_of_the_chapter_and_marks_it() {
        let shown = shown(STAIRS, "01-uts").unwrap();
        assert!(shown[1].contains("viewBox=\"0 -64 100 74\""), "{}", shown[1]);
        assert_eq!(shown[2], "<title>The steps up to 01-uts, where you are</title>");
        assert_eq!(shown[3], STAIRS.lines().nth(2).unwrap());
        assert!(shown[4].starts_with("<a class=\"step here\" aria-current=\"page\""));
        assert!(shown[4].ends_with("you are here</text>1</a>"), "{}", shown[4]);
        assert_eq!(shown[5..], ["<path d=\"M0 0\"/>", "</svg>", "</div>"]);
    }

    #[test]
    fn a_step_that_is_not_there_is_an_error() {
        assert_eq!(shown(STAIRS, "03-mount").unwrap_err(), "no such step");
        let nowhere = STAIRS.replace("transform", "x");
        assert_eq!(shown(&nowhere, "01-uts").unwrap_err(), "no viewBox, or no place");
    }

    #[test]
    fn the_line_on_a_page_names_the_step() {
        assert_eq!(step("{{#staircase 01-uts}}"), Some("01-uts"));
        assert_eq!(step("Write `{{#staircase 01-uts}}`"), None);
    }
}
