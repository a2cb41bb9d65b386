//! Checks the staircase at the head of each chapter: it has one step more than that of the
//! chapter before, and marks its own.

use std::path::Path;

use kiste_book::staircase;

use super::pages::{Book, Page};

/// Checks the staircase of every chapter.
pub fn check(book: &Book) -> Vec<String> {
    let svg = book.read(Path::new(staircase::PICTURE));
    let chapters: Vec<_> =
        book.chapters().filter_map(|page| Some((page, step(page)?))).collect();
    let steps: Vec<_> = chapters.iter().map(|(_, step)| *step).collect();
    let problems = (1..).zip(&chapters).flat_map(|(count, (page, step))| {
        let problems = problem_with_head(page, step).into_iter();
        problems
            .chain(problem_with_picture(&svg, &steps[..count]))
            .map(|what| page.at(1, what))
    });
    problems.collect()
}

/// Returns the step of a chapter: `03-mount`.
fn step(page: &Page) -> Option<&str> {
    page.path.file_stem()?.to_str()
}

fn problem_with_head(page: &Page, step: &str) -> Option<String> {
    let due = format!("{{{{#staircase {step}}}}}");
    let mut head = page.text.lines().take_while(|line| !line.starts_with("## "));
    (!head.any(|line| line == due)).then(|| format!("the head lacks the line {due}"))
}

/// Checks that the staircase up to the last of these steps has exactly them, each with a
/// link to its chapter, and marks the last one alone.
fn problem_with_picture(svg: &str, steps: &[&str]) -> Option<String> {
    let here = steps.last()?;
    let shown = match staircase::shown(svg, here) {
        Ok(lines) => lines.join("\n"),
        Err(error) => {
            return Some(format!("the staircase does not show {here}: {error}"));
        }
    };
    let links = shown.split("<a ").skip(1);
    let found: Vec<_> = links
        .map(|link| {
            (text_between(link, "href=\"", ".html\""), link.contains("you are here"))
        })
        .collect();
    let due: Vec<_> = steps.iter().map(|step| (*step, step == here)).collect();
    (found != due)
        .then(|| format!("the staircase has the steps {found:?}: not {due:?}"))
}

fn text_between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let rest = text.split_once(begin).map_or("", |(_, rest)| rest);
    rest.split_once(end).map_or("", |(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::super::scratch::{accepts, refuses};
    use super::check;

    const STAIRS: &str = "<svg viewBox=\"0 -60 10 60\">\n\
        <a class=\"step\" href=\"00-exec.html\" transform=\"translate(0 -20)\"></a>\n\
        <a class=\"step\" href=\"01-uts.html\" transform=\"translate(0 -40)\"></a>\n</svg>\n";
    const FIRST: (&str, &str) =
        ("book/src/00-exec.md", "{{#staircase 00-exec}}\n## A\n");
    const SECOND: (&str, &str) =
        ("book/src/01-uts.md", "{{#staircase 01-uts}}\n## A\n");
    const PICTURE: &str = super::staircase::PICTURE;

    #[test]
    fn a_staircase_that_grows_is_accepted() {
        accepts(check, &[FIRST, SECOND, (PICTURE, STAIRS)]);
    }

    #[test]
    fn a_head_without_its_own_staircase_is_found() {
        let page = (SECOND.0, FIRST.1);
        refuses(
            check,
            &[FIRST, page, (PICTURE, STAIRS)],
            "lacks the line {{#staircase 01-uts}}",
        );
        let page = (SECOND.0, "## A\n{{#staircase 01-uts}}\n");
        refuses(
            check,
            &[FIRST, page, (PICTURE, STAIRS)],
            "lacks the line {{#staircase 01-uts}}",
        );
    }

    #[test]
    fn a_chapter_without_a_step_is_found() {
        let stairs = STAIRS.replace("01-uts", "01-name");
        refuses(check, &[FIRST, SECOND, (PICTURE, &stairs)], "does not show 01-uts");
    }

    #[test]
    fn a_step_in_the_wrong_place_is_found() {
        let stairs = STAIRS.replace("00-exec", "02-pid");
        let files = [SECOND, (PICTURE, stairs.as_str())];
        refuses(check, &files, "[(\"02-pid\", false), (\"01-uts\", true)]");
    }
}
