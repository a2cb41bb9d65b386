//! The slides of the chapters, in a real browser.

use std::path::Path;

use serde_json::{Value, json};

use super::browser::Browser;
use super::site::Site;

/// The headings of the chapter, and those of its slides.
const HEADINGS: &str = "['main h2', '.slide h1'].map(headings => \
    Array.from(document.querySelectorAll(headings), it => it.textContent.trim()))";

/// The slides that are shown, counted from 1.
const SHOWN: &str = "Array.from(document.querySelectorAll('.slide')) \
    .flatMap((slide, at) => slide.checkVisibility({ visibilityProperty: true }) ? [at + 1] : [])";

/// Slides that say nothing, or are not in the window as a whole.
const FAULTS: &str = "Array.from(document.querySelectorAll('.slide')).filter(slide => { \
    const { left, right, top, bottom } = slide.getBoundingClientRect(); \
    return slide.querySelector('.body').textContent.trim() === '' || left < -1 || top < -1 \
        || right > innerWidth + 1 || bottom > innerHeight + 1; \
    }).map(slide => slide.querySelector('h1').textContent)";

/// Every section of every chapter has a slide, which fits into the window.
pub fn of_every_section(workspace: &Path) {
    let Some((site, mut browser)) = Site::in_browser(workspace) else { return };
    for width in [1280, 390] {
        browser.set_width(width);
        for chapter in site.chapters() {
            browser.open(site.path(&format!("{chapter}#slides")));
            let headings = browser.evaluate(HEADINGS);
            assert!(headings[0].as_array().unwrap().len() > 8, "{chapter}: {headings}");
            assert_eq!(headings[0], headings[1], "{chapter}");
            assert_eq!(browser.evaluate(FAULTS), json!([]), "{chapter}, {width} wide");
            browser.assert_quiet();
        }
    }
}

/// Keys turn the slides, not the book's pages. The address names the slide.
pub fn keys(workspace: &Path) {
    let Some((site, mut browser)) = Site::in_browser(workspace) else { return };
    browser.open(site.path("03-mount.html#slides-4"));
    assert_shown(&mut browser, 4);
    for (key, slide) in [
        ("ArrowRight", 5),
        ("ArrowDown", 6),
        ("PageDown", 7),
        (" ", 8),
        ("ArrowLeft", 7),
        ("ArrowUp", 6),
        ("PageUp", 5),
    ] {
        browser.press(key);
        assert_shown(&mut browser, slide);
    }
    let foot = browser.text(".slide.shown .foot");
    assert!(foot.starts_with("3. Mounts of its own · "), "{foot}");
    assert!(foot.contains(" · 5 of "), "{foot}");

    let last = browser.evaluate("document.querySelectorAll('.slide').length");
    let last = last.as_u64().unwrap();
    (0..last).for_each(|_| browser.press("ArrowRight"));
    assert_shown(&mut browser, last);
    (0..last).for_each(|_| browser.press("ArrowLeft"));
    assert_shown(&mut browser, 1);

    browser.press("Escape");
    assert_eq!(browser.evaluate("document.querySelector('.deck')"), Value::Null);
    let is_read = "document.querySelector('main h1').checkVisibility({ visibilityProperty: true })";
    assert_eq!(browser.evaluate(is_read), true);
    browser.evaluate("location.hash = '#slides'");
    browser.assert_becomes("document.querySelectorAll('.slide.shown').length", 1);
    browser.assert_quiet();
}

fn assert_shown(browser: &mut Browser, slide: u64) {
    assert_eq!(browser.evaluate(SHOWN), json!([slide]));
    let place = browser.evaluate("location.pathname.split('/').pop() + location.hash");
    assert_eq!(place, format!("03-mount.html#slides-{slide}"));
}

/// On paper, all slides are there, and the chapter is not.
pub fn on_paper(workspace: &Path) {
    let Some((site, mut browser)) = Site::in_browser(workspace) else { return };
    browser.open(site.path("03-mount.html#slides"));
    browser.send("Emulation.setEmulatedMedia", json!({ "media": "print" }));
    let all = browser.evaluate("document.querySelectorAll('.slide').length");
    assert_eq!(
        browser.evaluate(SHOWN).as_array().unwrap().len() as u64,
        all.as_u64().unwrap()
    );
    let is_read = "document.querySelector('main h1').checkVisibility()";
    assert_eq!(browser.evaluate(is_read), false);
}
