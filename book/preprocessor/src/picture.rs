//! Puts a picture into a frame that scrolls if the screen is too narrow for it.

use std::iter;

/// The minimum size of a picture's smallest letters, in pixels.
const MIN_LETTER_SIZE: f64 = 11.0;

/// Puts a frame around each `<svg>` that begins a line.
pub fn framed(prose: &[&str]) -> Vec<String> {
    let mut framed = Vec::new();
    let mut rest = prose.iter();
    while let Some(line) = rest.next() {
        if !line.starts_with("<svg") {
            framed.push(line.to_string());
            continue;
        }
        let mut svg = vec![*line];
        while !svg[svg.len() - 1].contains("</svg>") {
            let Some(next) = rest.next() else { break };
            svg.push(next);
        }
        framed.push("<div class=\"picture\">".to_string());
        framed.push(with_min_width(&svg));
        framed.extend(svg[1..].iter().map(ToString::to_string));
        framed.push("</div>".to_string());
    }
    framed
}

/// Returns the first line of the picture, with a minimum width at which it can be read.
fn with_min_width(svg: &[&str]) -> String {
    let number = |text: &str| text.parse::<f64>().ok();
    let width = attribute(svg[0], "viewBox")
        .and_then(|view| view.split_whitespace().nth(2))
        .and_then(number);
    let sizes = svg.iter().flat_map(|line| attributes(line, "font-size"));
    let smallest = sizes.filter_map(number).reduce(f64::min);
    let (Some(width), Some(smallest)) = (width, smallest) else {
        return svg[0].to_string();
    };
    let min_width = (width * MIN_LETTER_SIZE / smallest).ceil();
    svg[0].replacen("<svg", &format!("<svg style=\"min-width: {min_width}px\""), 1)
}

/// Returns the value of the first attribute of this name in a line.
pub fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    attributes(line, name).next()
}

fn attributes<'a>(line: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let opening = format!(" {name}=\"");
    let mut rest = line;
    iter::from_fn(move || {
        let (_, after) = rest.split_once(&opening)?;
        let (value, after) = after.split_once('"')?;
        rest = after;
        Some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::framed;

    #[test]
    fn a_picture_is_framed_and_as_wide_as_its_smallest_letters_need() {
        let prose = [
            "a",
            "<svg viewBox=\"0 0 760 300\" font-size=\"14\">",
            "<g font-size=\"13\"><text font-size=\"10\">b</text></g>",
            "</svg>",
            "c",
        ];
        let framed = framed(&prose);
        assert_eq!(framed[1], "<div class=\"picture\">");
        assert!(framed[2].starts_with("<svg style=\"min-width: 836px\" viewBox="));
        assert_eq!(
            framed[3..],
            [
                "<g font-size=\"13\"><text font-size=\"10\">b</text></g>",
                "</svg>",
                "</div>",
                "c"
            ]
        );
    }

    #[test]
    fn lines_without_a_picture_stay() {
        let prose = ["a", "the element `<svg>`", ""];
        assert_eq!(framed(&prose), prose);
    }
}
