//! Checks the pictures, which are SVG. A picture that is inlined in a page has the text
//! colour of that page. As an `<img>`, it follows the theme of the system.

use std::path::Path;

use kiste_course::checkout::files_below;

use super::pages::Book;

pub const PICTURES: &str = "book/src/img";

/// The parts that a picture must contain, and why.
const NEEDED: [(&str, &str); 4] = [
    ("<title>", "a <title>, for screen readers"),
    ("viewBox=", "a viewBox, so that it scales"),
    ("currentColor", "currentColor, so that it takes the theme's text colour"),
    ("svg:root", "a style for `svg:root` in dark mode, for its use as <img>"),
];

/// Checks that every picture is an SVG with all its parts, and shown on a page.
pub fn check(book: &Book) -> Vec<String> {
    let Ok(files) = files_below(&book.root.join(PICTURES)) else { return Vec::new() };
    let mut problems = Vec::new();
    for file in files {
        let path =
            file.strip_prefix(&book.root).expect("pictures lie in the workspace");
        let mut report = |line: usize, what: String| {
            problems.push(format!("{}:{line}: {what}", path.display()));
        };
        if path.extension().is_none_or(|ext| ext != "svg") {
            report(1, "pictures are SVG".into());
            continue;
        }
        let svg = book.read(path);
        if !svg.contains(role(&svg)) {
            report(1, format!("the picture lacks {}, for screen readers", role(&svg)));
        }
        for (_, what) in NEEDED.iter().filter(|(needed, _)| !svg.contains(needed)) {
            report(1, format!("the picture lacks {what}"));
        }
        for (line, _) in
            (1..).zip(svg.lines()).filter(|(_, text)| text.trim().is_empty())
        {
            report(
                line,
                "an empty line ends the HTML block that the picture is inlined as"
                    .into(),
            );
        }
        if !is_shown(book, path) {
            report(1, "no page shows the picture".into());
        }
    }
    problems
}

/// Returns the role of a picture. Screen readers do not find the links of an image.
fn role(svg: &str) -> &'static str {
    if svg.contains("<a ") { "role=\"group\"" } else { "role=\"img\"" }
}

fn is_shown(book: &Book, path: &Path) -> bool {
    let name = path.strip_prefix("book/src").unwrap_or(path).to_string_lossy();
    book.pages.iter().any(|page| page.text.contains(&*name))
}

#[cfg(test)]
mod tests {
    use super::super::scratch::{accepts, refuses};
    use super::check;

    const SVG: &str = "<svg role=\"img\" viewBox=\"0 0 1 1\">\n<title>x</title>\n\
        <style>@media (prefers-color-scheme: dark) { svg:root { color: #ddd } }</style>\n\
        <path stroke=\"currentColor\"/>\n</svg>\n";
    const PAGE: (&str, &str) = ("book/src/a.md", "{{#include img/x.svg}}\n");

    #[test]
    fn a_picture_with_all_required_parts_is_accepted() {
        accepts(check, &[PAGE, ("book/src/img/x.svg", SVG)]);
    }

    #[test]
    fn a_picture_without_a_title_is_found() {
        let svg = SVG.replace("<title>x</title>", "");
        let svg = svg.replace("\n\n", "\n");
        refuses(check, &[PAGE, ("book/src/img/x.svg", &svg)], "lacks a <title>");
    }

    #[test]
    fn an_image_with_links_is_found() {
        let svg = SVG.replace("<path", "<a href=\"a.html\"></a>\n<path");
        refuses(check, &[PAGE, ("book/src/img/x.svg", &svg)], "lacks role=\"group\"");
        let svg = svg.replace("\"img\"", "\"group\"");
        accepts(check, &[PAGE, ("book/src/img/x.svg", &svg)]);
        refuses(
            check,
            &[PAGE, ("book/src/img/x.svg", &SVG.replace("role", "x"))],
            "lacks role=\"img\"",
        );
    }

    #[test]
    fn an_empty_line_in_a_picture_is_found() {
        let svg = SVG.replace("</svg>", "\n</svg>");
        refuses(check, &[PAGE, ("book/src/img/x.svg", &svg)], "x.svg:5: an empty line");
    }

    #[test]
    fn a_picture_that_no_page_shows_is_found() {
        refuses(check, &[("book/src/img/x.svg", SVG)], "no page shows the picture");
    }

    #[test]
    fn a_bitmap_is_found() {
        refuses(check, &[("book/src/img/x.png", "")], "pictures are SVG");
    }
}
