//! Checks the book: its includes, links and pictures exist, and its terminal
//! transcripts show the real output. The rules for authors are in `book/README.md`.

mod book {
    pub mod accessibility;
    pub mod browser;
    pub mod compare;
    pub mod elders;
    pub mod host;
    pub mod idle;
    pub mod includes;
    pub mod labels;
    pub mod links;
    pub mod markdown;
    pub mod minutes;
    pub mod names;
    pub mod navigation;
    pub mod normalize;
    pub mod page_locks;
    pub mod pages;
    pub mod pictures;
    pub mod player;
    pub mod pointers;
    pub mod presenter;
    pub mod programs;
    pub mod recording;
    pub mod run_page;
    pub mod scratch;
    pub mod sections;
    pub mod site;
    pub mod slides;
    pub mod staircase;
    pub mod stand_in;
    pub mod summary;
    pub mod tasks;
    pub mod teaching;
    pub mod template;
    pub mod terminal;
    pub mod traces;
    pub mod transcript;
    pub mod user_home;
    pub mod width;
}

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use book::host::Host;
use book::pages::{Book, Page};
use book::run_page::{Lane, Skipped};
use book::{
    accessibility, elders, includes, labels, links, minutes, names, navigation,
    page_locks, pictures, player, pointers, presenter, programs, run_page, slides,
    staircase, summary, tasks, teaching, template, traces, transcript, width,
};

/// A check of a page that has another name would find nothing.
#[test]
fn every_page_that_has_a_check_of_its_own_is_there() {
    let book = Book::open(workspace()).expect("the book can be read");
    for page in [elders::PAGE, minutes::MAP, minutes::PLAN] {
        assert!(book.page(Path::new(page)).is_some(), "there is no {page}");
    }
    assert!(workspace().join(pictures::PICTURES).is_dir());
}

#[test]
fn the_summary_lists_every_page_and_every_page_exists() {
    assert_no_problems(summary::check);
}

#[test]
fn every_include_names_an_anchor_that_exists() {
    assert_no_problems(includes::check_includes);
}

#[test]
fn every_anchor_in_the_steps_is_shown_in_the_book() {
    assert_no_problems(includes::check_anchors);
}

#[test]
fn every_link_leads_somewhere() {
    assert_no_problems(links::check);
}

#[test]
fn every_picture_is_readable_in_both_themes_and_by_a_screen_reader() {
    assert_no_problems(pictures::check);
}

#[test]
fn the_staircase_of_each_chapter_has_one_step_more_and_marks_its_own() {
    assert_no_problems(staircase::check);
}

#[test]
fn every_code_fence_has_a_known_label() {
    assert_no_problems(labels::check);
}

#[test]
fn every_task_is_marked_in_the_source_and_every_mark_has_a_task() {
    assert_no_problems(tasks::check);
}

#[test]
fn every_chapter_follows_the_template() {
    assert_no_problems(template::check);
}

#[test]
fn the_minutes_of_chapters_and_plans_are_the_sums_of_their_sections() {
    assert_no_problems(minutes::check);
}

#[test]
fn every_listing_fits_into_the_page() {
    assert_no_problems(width::check);
}

#[test]
fn every_name_in_the_section_build_it_is_in_one_of_its_listings() {
    assert_no_problems(pointers::check);
}

#[test]
fn every_program_that_part_1_uses_is_in_the_packages_of_a_learner() {
    assert_no_problems(programs::check_packages);
}

#[test]
fn every_transcript_can_be_parsed() {
    assert_no_problems(transcript::check);
}

#[test]
fn no_transcript_uses_a_fixed_name_in_tmp() {
    assert_no_problems(names::check);
}

#[test]
fn every_row_of_better_than_its_elders_has_a_test_and_can_be_tried_again() {
    assert_no_problems(elders::check);
}

#[test]
fn every_chapter_has_notes_for_its_speaker_and_a_quiz() {
    assert_no_problems(teaching::check);
}

#[test]
fn every_recording_is_shown_by_its_chapter_and_its_code_is_in_the_sources() {
    assert_no_problems(traces::check);
}

/// Makes one test for each page, and the list of the pages that have a test.
macro_rules! run_pages {
    ($($name:ident: $page:literal),* $(,)?) => {
        const PAGES_RUN: &[&str] = &[$($page),*];
        $(#[test] fn $name() { run_or_skip($page, Lane::All, stringify!($name)) })*
    };
}

run_pages! {
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
    chapter_9_prints_what_it_shows: "book/src/09-security.md",
    chapter_10_prints_what_it_shows: "book/src/10-runtime.md",
    better_than_its_elders_prints_what_it_shows: "book/src/elders.md",
    how_do_we_know_prints_what_it_shows: "book/src/proof.md",
    the_errno_table_prints_what_it_shows: "book/src/errno.md",
    the_teachers_page_prints_what_it_shows: "book/src/teach.md",
    the_demonstrations_print_what_they_show: "book/src/demos.md",
}

/// Runs only the sections marked ▸.
mod fast_lane {
    use super::{Lane, run_or_skip};

    macro_rules! run_pages {
        ($($name:ident: $page:literal),* $(,)?) => {
            $(#[test] fn $name() {
                run_or_skip($page, Lane::Fast, concat!("fast_lane::", stringify!($name)))
            })*
        };
    }

    run_pages! {
        chapter_0: "book/src/00-exec.md",
        chapter_1: "book/src/01-uts.md",
        chapter_2: "book/src/02-pid.md",
        chapter_3: "book/src/03-mount.md",
        chapter_4: "book/src/04-pivot-root.md",
        chapter_5: "book/src/05-cgroups.md",
        chapter_6: "book/src/06-user.md",
        chapter_7: "book/src/07-image.md",
        chapter_8: "book/src/08-network.md",
        chapter_9: "book/src/09-security.md",
        chapter_10: "book/src/10-runtime.md",
    }
}

/// Plays the recordings in a browser.
mod played {
    use super::{player, workspace};

    #[test]
    fn buttons_and_keys_change_the_call_its_code_and_the_picture() {
        player::buttons_and_keys(workspace());
    }

    #[test]
    fn on_paper_and_without_javascript_it_is_a_table() {
        player::table_on_paper_and_without_script(workspace());
    }

    #[test]
    fn a_screen_reader_is_told_each_call_and_motion_can_be_turned_off() {
        player::screen_reader_and_motion(workspace());
    }

    #[test]
    fn every_recording_shows_the_same_forth_and_back() {
        player::forth_and_back(&super::traces::names(workspace()), workspace());
    }
}

/// Reads the built book in a browser.
mod in_browser {
    use super::{accessibility, navigation, presenter, slides, workspace};

    #[test]
    fn every_page_is_accessible_in_the_light_theme_on_a_desktop() {
        accessibility::check("light", 1280, workspace());
    }

    #[test]
    fn every_page_is_accessible_in_the_light_theme_on_a_phone() {
        accessibility::check("light", 390, workspace());
    }

    #[test]
    fn every_page_is_accessible_in_the_dark_theme_on_a_desktop() {
        accessibility::check("navy", 1280, workspace());
    }

    #[test]
    fn every_page_is_accessible_in_the_dark_theme_on_a_phone() {
        accessibility::check("navy", 390, workspace());
    }

    #[test]
    fn a_page_that_is_not_accessible_is_detected() {
        accessibility::mistakes();
    }

    #[test]
    fn the_bar_has_the_minutes_that_are_left() {
        navigation::minutes_left(workspace());
    }

    #[test]
    fn the_pages_before_and_behind_are_named_and_lead_through_the_whole_book() {
        navigation::neighbours(workspace());
    }

    #[test]
    fn the_map_leads_to_every_chapter() {
        navigation::map(workspace());
    }

    #[test]
    fn the_sidebar_opens_and_closes_by_key() {
        navigation::sidebar(workspace());
    }

    #[test]
    fn every_section_has_a_slide_that_fits_into_the_window() {
        slides::of_every_section(workspace());
    }

    #[test]
    fn keys_turn_the_slides_and_end_them() {
        slides::keys(workspace());
    }

    #[test]
    fn every_slide_is_printed() {
        slides::on_paper(workspace());
    }

    #[test]
    fn the_presenters_window_has_the_notes_and_follows_the_first_one() {
        presenter::follows(workspace());
    }

    #[test]
    fn the_presenters_window_opens_by_a_button_and_is_accessible() {
        presenter::opens_by_button(workspace());
    }
}

/// Runs what the players of the chapters show, and compares.
mod recorded {
    use super::book::host::Host;
    use super::book::recording::{Caller, Machine, Recording, compare};
    use super::workspace;

    macro_rules! recordings {
        ($($name:ident: $step:literal, $options:expr, $command:expr => $exit_code:literal,
            $by:expr, $machine:expr, $needs:expr;)*) => {
            $(#[test] fn $name() {
                let recording = Recording {
                    name: $step, options: &$options, command: &$command,
                    exit_code: $exit_code, by: $by, machine: $machine, needs: &$needs,
                };
                if let Err(reason) = compare(&recording, workspace()) {
                    Host::ask().log_skip(concat!("recorded::", stringify!($name)), &reason);
                }
            })*
        };
    }

    use Caller::{Anyone, RootWithNetwork, User};
    use Machine::{Any, Linux68, Virtual};
    recordings! {
        chapter_0: "00-exec", [], ["sh", "-c", "exit 7"] => 7, Anyone, Any, [];
        chapter_1: "01-uts", ["--hostname", "crate"], ["true"] => 0, Anyone, Any, ["root"];
        chapter_2: "02-pid", ["--init", "--hostname", "crate"], ["true"] => 0, Anyone, Any,
            ["root"];
        chapter_3: "03-mount", ["-v", "./book:/mnt:ro"], ["true"] => 0, Anyone, Any,
            ["root"];
        chapter_4: "04-pivot-root", [], ["true"] => 0, Anyone, Any, ["root", "pivot-root"];
        chapter_5: "05-cgroups", ["--memory", "32m", "--pids-limit", "20", "--cpus", "0.5"],
            ["true"] => 0, Anyone, Virtual, ["root", "pivot-root"];
        chapter_6: "06-user", [], ["true"] => 0, User, Any, ["pivot-root", "user-namespace"];
        chapter_7: "07-image", ["--image", "base:1"], ["true"] => 0, User, Linux68,
            ["pivot-root", "user-namespace", "overlay"];
        chapter_8: "08-network", ["-p", "127.0.0.1:8080:80"], ["true"] => 0,
            RootWithNetwork, Virtual, [];
    }
}

/// Plays the section of the page *Break it* for the chapter whose step is broken:
/// `tests/mutants/run` says which. Else checks that each chapter of Part I has one.
#[test]
fn a_broken_step_does_what_the_page_shows() {
    const PAGE: &str = "book/src/break.md";
    let book = Book::open(workspace()).expect("the book can be read");
    let page = book.page(Path::new(PAGE)).expect(PAGE);
    let sections = |chapter| {
        let blocks = Lane::Broken(chapter).blocks(page).expect(PAGE);
        blocks.into_iter().map(|block| block.section).collect::<BTreeSet<_>>()
    };
    match std::env::var("KISTE_BROKEN").map(|chapter| chapter.parse()) {
        Ok(chapter) => {
            let chapter = chapter.expect("KISTE_BROKEN is the number of a chapter");
            assert_eq!(sections(chapter).len(), 2, "the victim, and chapter {chapter}");
            run_or_skip(PAGE, Lane::Broken(chapter), "a_broken_step");
        }
        Err(_) => {
            for chapter in book.chapters_with_tasks().filter_map(Page::number) {
                let found = sections(chapter).len();
                assert_eq!(found, 2, "the victim, and chapter {chapter}");
            }
        }
    }
}

#[test]
fn every_page_with_a_transcript_is_run() {
    assert_no_problems(|book| transcript::check_run(book, PAGES_RUN));
}

/// Returns the workspace in which this test was built. The virtual machine with cgroup
/// v2 has it at the same path.
fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the workspace")
}

fn assert_no_problems(check: impl Fn(&Book) -> Vec<String>) {
    let book = Book::open(workspace()).expect("the book can be read");
    let problems = check(&book);
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

fn run_or_skip(page: &str, lane: Lane, test: &str) {
    let book = Book::open(workspace()).expect("the book can be read");
    let Some(page) = book.page(Path::new(page)) else { return };
    let host = Host::ask();
    if let Some(reason) = programs::missing(page, lane, &host, workspace()) {
        return host.log_skip(test, &format!("{}: {reason}", page.path.display()));
    }
    let _locks =
        page_locks::of(page, &host).expect("lock what the page shares with others");
    match run_page::run(page, lane, &host, workspace()) {
        Ok(skipped) => report_skipped(page, &skipped, |what| host.log_skip(test, what)),
        Err(problem) => panic!("\n{problem:#}\n"),
    }
}

/// Logs a line for each reason: `page.md:5,10: why`.
fn report_skipped(page: &Page, skipped: &[Skipped], mut log: impl FnMut(&str)) {
    let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (line, reason) in skipped {
        by_reason.entry(reason).or_default().push(line.to_string());
    }
    for (reason, lines) in by_reason {
        log(&format!("{}:{}: {reason}", page.path.display(), lines.join(",")));
    }
}
