//! The ways through the built book, in a real browser: minutes left, the pages before
//! and behind, the map, the sidebar.

use std::path::Path;

use serde_json::{Value, json};

use super::browser::Browser;
use super::site::Site;

/// The bar has the minutes of the sections that are left, and of those of the fast lane.
pub fn minutes_left(workspace: &Path) {
    let Some((site, mut browser)) = Site::in_browser(workspace) else { return };
    for chapter in site.chapters() {
        browser.open(site.path(&chapter));
        let [fast, all] = numbers(&browser.text("main h1 + p"))[..] else {
            panic!("{chapter}: its head has not the two sums");
        };
        let label = browser.text(".minutes-left");
        assert_eq!(label, format!("▸ {fast} min left of {all}"), "{chapter}");
        browser.assert_quiet();
    }
    // At the third section, those of the first two are over.
    let minutes = browser.evaluate(
        "Array.from(document.querySelectorAll('.minutes'), it => it.textContent)",
    );
    let minutes = minutes.as_array().unwrap().iter().map(|it| it.as_str().unwrap());
    let left: u32 = minutes.skip(2).flat_map(numbers).sum();
    browser.evaluate("document.querySelectorAll('main h2')[2].scrollIntoView()");
    let said = "Number(document.querySelector('.minutes-left').textContent.match(/of (\\d+)/)[1])";
    browser.assert_becomes(said, left);
    // A page without minutes does not speak of them.
    browser.open(site.path("glossary.html"));
    assert_eq!(
        browser.evaluate("document.querySelector('.minutes-left')"),
        Value::Null
    );
}

fn numbers(text: &str) -> Vec<u32> {
    let numbers = text.split(|it: char| !it.is_ascii_digit());
    numbers.filter_map(|number| number.parse().ok()).collect()
}

/// The links *Next* lead through every page of the book. Each is named as the page to
/// which it leads, and so is the one that leads back.
pub fn neighbours(workspace: &Path) {
    let Some((site, mut browser)) = Site::in_browser(workspace) else { return };
    browser.open(site.path("index.html"));
    let mut titles = vec![title(&mut browser)];
    while let Some(name) = link(&mut browser, "next") {
        browser.evaluate("document.querySelector('.neighbours .next').focus()");
        browser.press("Enter");
        browser.assert_shows(&name[6..]);
        assert_eq!(name, format!("Next: {}", title(&mut browser)));
        let back = link(&mut browser, "prev");
        assert_eq!(back, titles.last().map(|it| format!("Before: {it}")), "{name}");
        titles.push(title(&mut browser));
        browser.assert_quiet();
    }
    // The first page is also the file index.html.
    assert_eq!(titles.len(), site.pages().len() - 1, "{titles:#?}");
}

fn title(browser: &mut Browser) -> String {
    browser.text("main h1")
}

fn link(browser: &mut Browser, class: &str) -> Option<String> {
    let text = format!("document.querySelector('.neighbours .{class}')?.textContent");
    browser.evaluate(&text).as_str().map(str::to_string)
}

/// The map on the first page leads to every chapter, also by key.
pub fn map(workspace: &Path) {
    let Some((site, mut browser)) = Site::in_browser(workspace) else { return };
    browser.open(site.path("index.html"));
    let links = "Array.from(document.querySelectorAll('svg.overview a'), \
        it => it.getAttribute('href'))";
    assert_eq!(browser.evaluate(links), json!(site.chapters()));
    browser.assert_quiet();
    browser.evaluate("document.querySelectorAll('svg.overview a')[3].focus()");
    browser.press("Enter");
    browser.assert_shows("3. Mounts of its own");
}

/// The Enter key opens and closes the sidebar, and a screen reader is told.
pub fn sidebar(workspace: &Path) {
    let Some((site, mut browser)) = Site::in_browser(workspace) else { return };
    let button = "document.querySelector('button[aria-controls=mdbook-sidebar]')";
    for (width, states) in [(1280, [true, false, true]), (390, [false, true, false])] {
        browser.set_width(width);
        browser.open(site.path("01-uts.html"));
        for is_open in states {
            browser
                .assert_becomes(&format!("{button}.ariaExpanded"), is_open.to_string());
            // A key during the animation would stop it halfway.
            let shown = "[document.getAnimations().length, \
                document.querySelector('#mdbook-sidebar').checkVisibility()]";
            browser.assert_becomes(shown, json!([0, is_open]));
            browser.evaluate(&format!("{button}.focus()"));
            browser.press("Enter");
        }
        browser.assert_quiet();
    }
}
