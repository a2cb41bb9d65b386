//! Checks the minutes: each section of a chapter says its own, a chapter's head has their
//! sums, and the map of the preface and the teachers' plans have those of the chapters.

use std::path::Path;

use super::markdown::{self, Line};
use super::pages::{Book, Page};
use super::sections::{Section, sections};

/// The most minutes of a fast lane.
const LONGEST_FAST_LANE: u32 = 30;

/// The page with the teachers' plans.
pub const PLAN: &str = "book/src/plan.md";

/// The page with the map of the chapters.
pub const MAP: &str = "book/src/preface.md";

/// Checks the minutes of every chapter, the map and the plans.
pub fn check(book: &Book) -> Vec<String> {
    let problems = book.chapters().flat_map(check_chapter);
    problems.chain(check_map(book)).chain(check_plan(book)).collect()
}

fn check_chapter(page: &Page) -> Vec<String> {
    let sections = sections(&page.text);
    let problems = sections.iter().filter_map(|it| Some((it.line, problem_with(it)?)));
    let problems: Vec<_> = problems.map(|(line, what)| page.at(line, what)).collect();
    if problems.is_empty() {
        problem_with_head(page, &sections)
            .map(|what| page.at(1, what))
            .into_iter()
            .collect()
    } else {
        problems
    }
}

/// Checks that a section says its minutes, and not too few.
fn problem_with(section: &Section<'_>) -> Option<String> {
    let (name, least) = (section.name, section.work.minutes());
    match section.minutes {
        None => Some(format!("`{name}` lacks its minutes: <!-- {least:.0} min -->")),
        Some(minutes) if f64::from(minutes) < least - 1.0 => Some(format!(
            "`{name}` takes more than {minutes} minutes: {least:.1}, with {} commands, \
             {} listings and {} words",
            section.work.commands, section.work.listings, section.work.words
        )),
        Some(_) => None,
    }
}

/// Checks the line of the head that has both sums.
fn problem_with_head(page: &Page, sections: &[Section<'_>]) -> Option<String> {
    let (fast, all) = (fast_lane(sections), sum(sections.iter()));
    let due = format!(
        "*Fast lane: {fast} minutes (sections marked ▸). All of it: {all} minutes.*"
    );
    let mut head = page.text.lines().take_while(|line| !line.starts_with("## "));
    if !head.any(|line| line == due) {
        return Some(format!("the head lacks the sums of its sections: {due}"));
    }
    (fast > LONGEST_FAST_LANE)
        .then(|| format!("a fast lane of {fast} minutes: at most {LONGEST_FAST_LANE}"))
}

fn fast_lane(sections: &[Section<'_>]) -> u32 {
    sum(sections.iter().filter(|section| section.is_fast))
}

fn sum<'a>(sections: impl Iterator<Item = &'a Section<'a>>) -> u32 {
    sections.filter_map(|section| section.minutes).sum()
}

/// Checks that the map has a row for every chapter, which ends with its two sums.
fn check_map(book: &Book) -> Vec<String> {
    let Some(map) = book.page(Path::new(MAP)) else { return Vec::new() };
    let problem = |page: &Page| {
        let sections = sections(&page.text);
        let file = page.path.file_name()?.to_string_lossy();
        let (link, end) = (
            format!("]({file}) |"),
            format!("| {} | {} |", fast_lane(&sections), sum(sections.iter())),
        );
        let is_row = |line: &str| line.contains(&link) && line.ends_with(&end);
        let is_there = map.text.lines().any(is_row);
        (!is_there).then(|| map.at(1, format!("the map lacks the row: {link} … {end}")))
    };
    book.chapters().filter_map(problem).collect()
}

/// Checks the tables of the plan. A table or a row that cannot be read is a problem, too.
fn check_plan(book: &Book) -> Vec<String> {
    let Some(page) = book.page(Path::new(PLAN)) else { return Vec::new() };
    let (_, prose) = markdown::split(&page.text);
    let is_row = |(_, text): &Line<'_>| text.starts_with('|');
    let mut problems = Vec::new();
    for table in prose.split(|line| !is_row(line)) {
        // Below the head is a line of dashes.
        let [(line, head), _, rows @ ..] = table else { continue };
        match cells(head)[..] {
            ["At", "Minutes", "What"] => problems.extend(check_times(book, page, rows)),
            ["", ..] => problems.extend(check_sections(book, page, rows)),
            _ => problems
                .push(page.at(*line, "neither a plan nor the table of sections")),
        }
    }
    problems
}

/// Checks a plan: the time of each row is that of the row before, and its minutes; a row
/// about a chapter has the minutes of the chapter.
fn check_times(book: &Book, page: &Page, rows: &[Line<'_>]) -> Vec<String> {
    let mut problems = Vec::new();
    // The time at which the next row begins.
    let mut next = None;
    for &(line, text) in rows {
        let cells = cells(text);
        let Some((at, minutes, what)) = row(&cells) else {
            problems.push(page.at(line, "write | 1:30 | 15 | What |"));
            next = None;
            continue;
        };
        if let Some(next) = next.filter(|next| *next != at) {
            problems.push(page.at(line, format!("it begins at {}", time(next))));
        }
        next = Some(at + minutes);
        match what.strip_prefix("Chapter ").map(|rest| minutes_of(book, rest)) {
            Some(None) => problems.push(page.at(line, format!("what is `{what}`?"))),
            Some(Some(due)) if due != minutes => {
                problems.push(page.at(line, format!("`{what}` takes {due} minutes")));
            }
            _ => {}
        }
    }
    problems
}

fn cells(line: &str) -> Vec<&str> {
    let inner = line.strip_prefix('|').and_then(|rest| rest.strip_suffix('|'));
    inner.map_or(Vec::new(), |inner| inner.split('|').map(str::trim).collect())
}

/// Parses a row of a plan: when it begins in minutes, how long it takes, and what it is.
fn row<'a>(cells: &[&'a str]) -> Option<(u32, u32, &'a str)> {
    let [at, minutes, what] = cells else { return None };
    let (hours, rest) = at.split_once(':')?;
    let at = hours.parse::<u32>().ok()? * 60 + rest.parse::<u32>().ok()?;
    Some((at, minutes.parse().ok()?, what))
}

fn time(minutes: u32) -> String {
    format!("{}:{:02}", minutes / 60, minutes % 60)
}

/// Returns the minutes of `3 ▸: …`, `3, tasks`, or `3, By hand`, as it stands behind
/// `Chapter`. `None` for everything else, and for tasks without minutes.
fn minutes_of(book: &Book, what: &str) -> Option<u32> {
    let (number, rest) = what.split_at(what.find([' ', ','])?);
    let page = chapter(book, number.parse().ok()?)?;
    let sections = sections(&page.text);
    if rest.starts_with(" ▸") {
        return Some(fast_lane(&sections));
    }
    match rest.strip_prefix(", ")? {
        "tasks" => minutes_of_tasks(book, page),
        name => sections.iter().find(|section| section.name == name)?.minutes,
    }
}

fn chapter(book: &Book, number: u32) -> Option<&Page> {
    book.chapters().find(|page| page.number() == Some(number))
}

/// Returns the sum of the minutes in `tests/tasks/NN-name.toml`.
fn minutes_of_tasks(book: &Book, page: &Page) -> Option<u32> {
    let path =
        Path::new("tests/tasks").join(page.path.with_extension("toml").file_name()?);
    let chapter: toml::Table = book.read(&path).parse().ok()?;
    let tasks = chapter.get("task")?.as_array()?;
    let minutes = tasks.iter().map(|task| task.get("minutes")?.as_integer());
    u32::try_from(minutes.sum::<Option<i64>>()?).ok()
}

/// Checks the table that has all sections: `| 3 | 1 | 7 | … |`, with the sum of the fast
/// lane and that of all sections at the end.
fn check_sections(book: &Book, page: &Page, rows: &[Line<'_>]) -> Vec<String> {
    let problem = |&(line, text): &Line<'_>| {
        let cells = cells(text);
        let number = cells.first().and_then(|number| number.parse().ok());
        let Some(of) = number.and_then(|number| chapter(book, number)) else {
            return Some(page.at(line, "it begins with the number of no chapter"));
        };
        let sections = sections(&of.text);
        let named = |name| sections.iter().find(|section| section.name == name);
        let minutes = SECTIONS.map(|name| {
            let minutes = named(name).and_then(|it| it.minutes);
            minutes.map_or(String::new(), |it| it.to_string())
        });
        let sums = [fast_lane(&sections), sum(sections.iter())];
        let sums = sums.map(|it| it.to_string());
        let due: Vec<_> = minutes.iter().chain(&sums).map(String::as_str).collect();
        (cells[1..] != due).then(|| {
            let due = format!("it should be | {} | {} |", cells[0], due.join(" | "));
            page.at(line, due)
        })
    };
    rows.iter().filter_map(problem).collect()
}

/// The columns of that table.
const SECTIONS: [&str; 13] = [
    "What you will have",
    "Watch it leak",
    "By hand",
    "The mechanism",
    "Build it",
    "See it",
    "Prove it",
    "A terminal of its own",
    "More proofs",
    "What can go wrong",
    "Exercises",
    "What the real ones do",
    "Undo, and further reading",
];

#[cfg(test)]
mod tests {
    use super::super::scratch::{accepts, refuses};
    use super::{MAP, PLAN, check};

    const PAGE: &str = "book/src/03-mount.md";
    const CHAPTER: &str = "# 3. Mounts\n\n\
        *Fast lane: 3 minutes (sections marked ▸). All of it: 7 minutes.*\n\n\
        ## Build it ▸\n<!-- 3 min -->\n\n```console\n$ a\n$ b\n$ c\n$ d\n```\n\n\
        ## By hand\n<!-- 4 min -->\n";
    const TASKS: (&str, &str) = (
        "tests/tasks/03-mount.toml",
        "[[task]]\nminutes = 5\n\n[[task]]\nminutes = 6\n",
    );
    const TABLE: &str = "| At | Minutes | What |\n|---|---|---|\n\
        | 0:58 | 3 | Chapter 3 ▸: mounts |\n\
        | 1:01 | 11 | Chapter 3, tasks |\n\
        | 1:12 | 4 | Chapter 3, By hand |\n\
        | 1:16 | 15 | Break |\n\n\
        | At | Minutes | What |\n|---|---|---|\n| 0:00 | 9 | Break |\n\n\
        | | Have |\n|---|---|\n| 3 | | | 4 | | 3 | | | | | | | | | 3 | 7 |\n";

    #[test]
    fn sums_that_are_right_are_accepted() {
        accepts(check, &[(PAGE, CHAPTER), (PLAN, TABLE), TASKS]);
    }

    #[test]
    fn a_section_without_its_minutes_is_found() {
        let page = CHAPTER.replace("<!-- 4 min -->\n", "");
        refuses(check, &[(PAGE, &page)], "03-mount.md:15: `By hand` lacks its minutes");
    }

    #[test]
    fn a_section_that_takes_longer_than_it_says_is_found() {
        let page = CHAPTER.replace("$ d\n", "$ d\n$ e\n$ f\n");
        refuses(
            check,
            &[(PAGE, &page)],
            "takes more than 3 minutes: 4.5, with 6 commands",
        );
    }

    #[test]
    fn a_head_with_other_sums_is_found() {
        let page = CHAPTER.replace("lane: 3", "lane: 4");
        refuses(
            check,
            &[(PAGE, &page)],
            "lacks the sums of its sections: *Fast lane: 3",
        );
        refuses(check, &[(PAGE, &CHAPTER.replace("*Fast", "*Slow"))], "lacks the sums");
    }

    #[test]
    fn a_fast_lane_that_is_not_fast_is_found() {
        let page = CHAPTER
            .replace("3 min -->", "31 min -->")
            .replace("lane: 3", "lane: 31")
            .replace("it: 7", "it: 35");
        refuses(check, &[(PAGE, &page)], "a fast lane of 31 minutes: at most 30");
    }

    #[test]
    fn a_map_with_other_minutes_is_found() {
        let map = "| [3. Mounts](03-mount.md) | mounts | 3 | 7 |\n";
        accepts(check, &[(PAGE, CHAPTER), (MAP, map)]);
        let map = map.replace('7', "8");
        refuses(check, &[(PAGE, CHAPTER), (MAP, &map)], "(03-mount.md) | … | 3 | 7 |");
    }

    #[test]
    fn a_plan_with_other_minutes_is_found() {
        refuses_plan("| 1:16 |", "| 1:15 |", "plan.md:6: it begins at 1:16");
        refuses_plan(
            "| 0:58 | 3",
            "| 0:57 | 4",
            "`Chapter 3 ▸: mounts` takes 3 minutes",
        );
        refuses_plan("| 3 | 7 |", "| 3 | 8 |", "it should be | 3 |");
    }

    #[test]
    fn a_row_or_a_table_of_the_plan_that_cannot_be_read_is_found() {
        refuses_plan("| 1:01 | 11 |", "| 1:01 | 11 |  |", "plan.md:4: write | 1:30");
        refuses_plan("| 1:01 | 11 |", "| 1:01 | eleven |", "plan.md:4: write | 1:30");
        refuses_plan("| 1:16 | 15 |", "| 1.16 | 15 |", "plan.md:6: write | 1:30");
        refuses_plan("3, By hand", "3, By foot", "what is `Chapter 3, By foot`?");
        refuses_plan("Chapter 3, tasks", "Chapter 33, tasks", "what is `Chapter 33,");
        refuses_plan(
            "| | Have |",
            "| Has | Have |",
            "neither a plan nor the table of sections",
        );
        refuses_plan("| 3 | | | 4 |", "| 4 | | | 4 |", "the number of no chapter");
    }

    fn refuses_plan(old: &str, new: &str, words: &str) {
        let plan = TABLE.replace(old, new);
        assert_ne!(plan, TABLE);
        refuses(check, &[(PAGE, CHAPTER), (PLAN, &plan), TASKS], words);
    }

    #[test]
    fn tasks_with_other_minutes_are_found() {
        let tasks = TASKS.1.replace('6', "7");
        let files = [(PAGE, CHAPTER), (PLAN, TABLE), (TASKS.0, tasks.as_str())];
        refuses(check, &files, "`Chapter 3, tasks` takes 12 minutes");
    }
}
