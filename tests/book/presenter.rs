//! The presenter's window, in a real browser.

use std::fs;
use std::path::Path;

use super::accessibility::Axe;
use super::browser::Browser;
use super::site::Site;

const CURRENT: &str =
    "document.querySelector('.sections .current')?.textContent ?? null";

/// `p` opens a window with the notes and the sections of the chapter in the first
/// window. It follows the first one through sections, slides and chapters.
pub fn follows(workspace: &Path) {
    let Some((site, mut browser)) = Site::in_browser(workspace) else { return };
    let notes = [3, 4].map(|chapter| first_note(workspace, chapter));
    browser.open(site.path("03-mount.html"));
    let sections = browser.evaluate("document.querySelectorAll('main h2').length");
    let label = browser.text(".minutes-left");
    let fast = label.split(' ').nth(1).expect("▸ 30 min left").to_string();
    browser.press("p");

    browser.switch_to("notes.html");
    browser.assert_shows("3. Mounts of its own");
    assert_eq!(shows(&mut browser, &notes), [true, false]);
    assert_eq!(
        browser.evaluate("document.querySelectorAll('.sections li').length"),
        sections
    );
    assert_eq!(browser.evaluate(CURRENT), serde_json::Value::Null);
    let clock = browser.text(".clock");
    assert!(clock.ends_with(&format!("minute 0 of {fast}")), "{clock}");

    browser.switch_to("03-mount.html");
    assert_eq!(shows(&mut browser, &notes), [false, false], "readers see no notes");
    browser.evaluate("document.querySelectorAll('main h2')[1].scrollIntoView()");
    browser.switch_to("notes.html");
    let is_current = |name: &str| format!("({CURRENT})?.startsWith('{name}')");
    browser.assert_becomes(&is_current("Watch it leak ▸"), true);

    browser.switch_to("03-mount.html");
    browser.evaluate("location.hash = '#slides-3'");
    browser.assert_becomes("document.querySelectorAll('.slide.shown').length", 1);
    browser.press("ArrowRight");
    browser.switch_to("notes.html");
    browser.assert_becomes(&is_current("The mechanism"), true);

    browser.switch_to("03-mount.html");
    browser.press("Escape");
    browser.press("ArrowRight");
    browser.switch_to("notes.html");
    browser.assert_shows("4. A root of its own");
    assert_eq!(shows(&mut browser, &notes), [false, true]);
    browser.assert_quiet();
}

/// The button on the page of the notes opens the window, too. A page without notes has
/// none.
pub fn opens_by_button(workspace: &Path) {
    let Some((site, mut browser)) = Site::in_browser(workspace) else { return };
    let axe = Axe::find();
    for theme in ["light", "navy"] {
        browser.set_theme(theme);
        browser.open(site.path("notes.html"));
        browser.evaluate("document.querySelector('#open-presenter').focus()");
        browser.press("Enter");
        browser.evaluate("location.href = 'glossary.html'");
        browser.assert_shows("Glossary");
        browser.switch_to("notes.html");
        browser.assert_shows("Glossary");
        assert!(browser.text("main").ends_with("No notes for this page."));
        if let Some(axe) = &axe {
            assert_eq!(axe.violations(&mut browser), [""; 0], "{theme}");
        }
        browser.assert_quiet();
        browser.switch_to("glossary.html");
    }
}

/// Returns the first paragraph of a chapter's notes, as a page shows it.
fn first_note(workspace: &Path, chapter: u32) -> String {
    let path = workspace.join(format!("book/notes/{chapter:02}.md"));
    let text = fs::read_to_string(path).expect("read the notes");
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    paragraph.replace(['*', '`'], "").replace('\n', " ")
}

/// Returns which of these texts the page has.
fn shows(browser: &mut Browser, texts: &[String; 2]) -> [bool; 2] {
    let page = browser.evaluate("document.body.textContent.replaceAll('\\n', ' ')");
    let page = page.as_str().unwrap_or_default().to_string();
    [0, 1].map(|at| page.contains(&texts[at]))
}
