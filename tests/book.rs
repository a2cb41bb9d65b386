//! Holds the book to its word: what it includes, links to and shows is there, and what
//! its terminals print is what they print. The rules, for authors, are in
//! `book/README.md`.

mod book {
    pub mod compare;
    pub mod host;
    pub mod includes;
    pub mod labels;
    pub mod links;
    pub mod markdown;
    pub mod names;
    pub mod pages;
    pub mod pictures;
    pub mod play;
    pub mod pointers;
    pub mod rest;
    pub mod room;
    pub mod scratch;
    pub mod summary;
    pub mod tasks;
    pub mod template;
    pub mod terminal;
    pub mod tools;
    pub mod transcript;
    pub mod turns;
    pub mod width;
    pub mod world;
}

use std::collections::BTreeMap;
use std::path::Path;

use book::host::Host;
use book::pages::{Book, Page};
use book::play::{Lane, Skipped};
use book::{
    includes, labels, links, names, pictures, play, pointers, summary, tasks, template,
    tools, transcript, turns, width,
};

#[test]
fn the_summary_lists_every_page_and_every_page_exists() {
    hold(summary::check);
}

#[test]
fn every_include_names_an_anchor_that_exists() {
    hold(includes::check_includes);
}

#[test]
fn every_anchor_in_the_steps_is_shown_in_the_book() {
    hold(includes::check_anchors);
}

#[test]
fn every_link_leads_somewhere() {
    hold(links::check);
}

#[test]
fn every_picture_is_readable_in_both_themes_and_by_ear() {
    hold(pictures::check);
}

#[test]
fn every_code_fence_says_what_it_holds() {
    hold(labels::check);
}

#[test]
fn every_task_of_a_chapter_is_marked_in_the_source_and_the_other_way_round() {
    hold(tasks::check);
}

#[test]
fn every_chapter_follows_the_template() {
    hold(template::check);
}

#[test]
fn every_listing_fits_into_the_page() {
    hold(width::check);
}

#[test]
fn what_build_it_names_is_in_what_it_shows() {
    hold(pointers::check);
}

#[test]
fn every_transcript_can_be_read() {
    hold(transcript::check);
}

#[test]
fn no_transcript_uses_a_fixed_name_in_tmp() {
    hold(names::check);
}

/// Makes one test a page, and the list of the pages that are played.
macro_rules! play {
    ($($name:ident: $page:literal),* $(,)?) => {
        const PLAYED: &[&str] = &[$($page),*];
        $(#[test] fn $name() { play_page($page, Lane::All, stringify!($name)) })*
    };
}

play! {
    the_readme_prints_what_it_shows: "README.md",
    the_preface_prints_what_it_shows: "book/src/preface.md",
    the_set_up_prints_what_it_shows: "book/src/setup.md",
    chapter_0_prints_what_it_shows: "book/src/00-exec.md",
    chapter_1_prints_what_it_shows: "book/src/01-uts.md",
    chapter_2_prints_what_it_shows: "book/src/02-pid.md",
    chapter_3_prints_what_it_shows: "book/src/03-mount.md",
    chapter_4_prints_what_it_shows: "book/src/04-pivot-root.md",
    chapter_5_prints_what_it_shows: "book/src/05-cgroups.md",
    chapter_6_prints_what_it_shows: "book/src/06-user.md",
    chapter_7_prints_what_it_shows: "book/src/07-image.md",
    chapter_8_prints_what_it_shows: "book/src/08-network.md",
    how_do_we_know_prints_what_it_shows: "book/src/proof.md",
    the_errno_table_prints_what_it_shows: "book/src/errno.md",
    the_teachers_page_prints_what_it_shows: "book/src/teach.md",
}

/// The sections marked ▸ alone, with nothing of what stands between them.
mod fast_lane {
    use super::{Lane, play_page};

    macro_rules! play {
        ($($name:ident: $page:literal),* $(,)?) => {
            $(#[test] fn $name() {
                play_page($page, Lane::Fast, concat!("fast_lane::", stringify!($name)))
            })*
        };
    }

    play! {
        chapter_0: "book/src/00-exec.md",
        chapter_1: "book/src/01-uts.md",
        chapter_2: "book/src/02-pid.md",
        chapter_3: "book/src/03-mount.md",
        chapter_4: "book/src/04-pivot-root.md",
        chapter_5: "book/src/05-cgroups.md",
        chapter_6: "book/src/06-user.md",
        chapter_7: "book/src/07-image.md",
        chapter_8: "book/src/08-network.md",
    }
}

#[test]
fn every_page_with_a_transcript_is_played() {
    hold(|book| transcript::check_played(book, PLAYED));
}

/// The workspace as it was when this test was built; the v2 machine sees it at the same
/// path.
fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the workspace")
}

fn hold(check: impl Fn(&Book) -> Vec<String>) {
    let book = Book::open(workspace()).expect("the book can be read");
    let problems = check(&book);
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

fn play_page(page: &str, lane: Lane, test: &str) {
    let book = Book::open(workspace()).expect("the book can be read");
    let Some(page) = book.page(Path::new(page)) else { return };
    let host = Host::ask();
    if let Some(reason) = tools::missing(page, lane, &host, workspace()) {
        return host.log_skip(test, &format!("{}: {reason}", page.path.display()));
    }
    let _turn = turns::wait_for(page, &host).expect("a turn for the page");
    match play::page(page, lane, &host, workspace()) {
        Ok(skipped) => tell(page, &skipped, |what| host.log_skip(test, what)),
        Err(problem) => panic!("\n{problem:#}\n"),
    }
}

/// A line for each reason: `page.md:5,10: why`.
fn tell(page: &Page, skipped: &[Skipped], mut log: impl FnMut(&str)) {
    let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (line, reason) in skipped {
        by_reason.entry(reason).or_default().push(line.to_string());
    }
    for (reason, lines) in by_reason {
        log(&format!("{}:{}: {reason}", page.path.display(), lines.join(",")));
    }
}
