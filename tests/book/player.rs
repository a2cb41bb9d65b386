//! The player of a recorded run, in a real browser.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::browser::Browser;

/// A page that has only the player of one recording.
struct Player {
    browser: Browser,
    _dir: TempDir,
    page: PathBuf,
}

/// Notes the arrow keys that reach the page, where mdBook turns to another chapter.
const PAGE_KEYS: &str = "document.addEventListener('keydown', event => (window.keys ||= []).push(event.key))";

/// The facts in the picture: one `label: value` a line. Values that are struck out, since
/// the call has ended them, are none.
const PICTURE: &str = "Array.from(document.querySelectorAll('.trace-box dl > div')) \
    .filter(fact => fact.checkVisibility() && !fact.matches(':has(del):not(:has(dd > :not(del)))')) \
    .map(fact => fact.children[0].textContent + ': ' \
        + Array.from(fact.querySelectorAll('dd > :not(del)'), it => it.textContent).join(''))";

impl Player {
    /// Opens the player. None if there is no browser.
    fn of(name: &str, workspace: &Path) -> Option<Self> {
        let browser = Browser::start()?;
        let dir = tempfile::Builder::new().prefix("kiste-test-").tempdir().unwrap();
        let page = dir.path().join("page.html");
        let mut player = Player { browser, _dir: dir, page };
        player.open(name, workspace);
        Some(player)
    }

    /// Opens the player of another recording.
    fn open(&mut self, name: &str, workspace: &Path) {
        let markdown = format!("{{{{#trace {name}}}}}\n");
        let figure = kiste_book::page_of(workspace, &markdown).unwrap();
        let look = |file: &str| {
            fs::read_to_string(workspace.join("book/look").join(file)).unwrap()
        };
        let html = format!(
            "<!doctype html><html lang=\"en\" class=\"light\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <title>{name}</title><style>{}{}</style><body><main>{figure}</main>\
             <script>{PAGE_KEYS}</script><script>{}</script></body></html>",
            look("page.css"),
            look("trace.css"),
            look("trace.js"),
        );
        fs::write(&self.page, html).unwrap();
        self.browser.open(self.page.display());
    }

    fn count(&mut self) -> String {
        self.text(".trace-count")
    }

    fn text(&mut self, selector: &str) -> String {
        self.browser.text(selector)
    }

    fn picture(&mut self) -> Vec<String> {
        self.texts(PICTURE)
    }

    fn struck_out(&mut self) -> Vec<String> {
        self.texts("Array.from(document.querySelectorAll('.trace-box del'), it => it.textContent)")
    }

    fn texts(&mut self, expression: &str) -> Vec<String> {
        let texts = self.browser.evaluate(expression);
        let texts = texts.as_array().cloned().unwrap_or_default();
        texts.iter().map(|text| text.as_str().unwrap_or_default().to_string()).collect()
    }

    fn is_shown(&mut self, selector: &str) -> Value {
        let shown = format!("document.querySelector('{selector}')?.checkVisibility()");
        self.browser.evaluate(&shown)
    }

    fn focus_next_button(&mut self) {
        self.browser
            .evaluate("document.querySelectorAll('.trace-bar button')[2].focus()");
    }

    fn press(&mut self, key: &str, times: usize) {
        (0..times).for_each(|_| self.browser.press(key));
    }
}

/// Plays step 1: it begins at the step's first call, and buttons and keys change the
/// call, the reason, the code and the picture.
pub fn buttons_and_keys(workspace: &Path) {
    let Some(mut player) = Player::of("01-uts", workspace) else { return };
    assert_eq!(player.count(), "1 of 7");
    assert!(player.text(".trace-call").starts_with("parent: clone3(NEWUTS)"));
    assert!(player.picture().contains(&"host name: a copy of the host's".into()));

    player.focus_next_button();
    player.press("Enter", 1);
    assert_eq!(player.count(), "2 of 7");
    player.press("ArrowRight", 2);
    assert!(player.text(".trace-call").starts_with("child: sethostname(crate)"));
    assert!(player.picture().contains(&"host name: crate".into()));
    assert!(player.text(".trace-changes").contains("container, host name: crate"));
    // The name before is replaced, not struck out.
    assert_eq!(player.struck_out(), [""; 0]);
    let source = player.text(".trace-source");
    assert!(source.contains("steps/01-uts/src/lib.rs:"), "{source}");
    assert!(source.contains("nix::unistd::sethostname(hostname)"), "{source}");
    assert_eq!(player.text(".trace-box .changed dt"), "host name");

    player.press("End", 1);
    assert_eq!(player.count(), "7 of 7");
    assert!(!player.picture().contains(&"host name: crate".into()));
    assert!(player.struck_out().contains(&"crate".into()));
    player.press("ArrowRight", 1);
    assert_eq!(player.count(), "7 of 7");
    player.press("ArrowLeft", 3);
    assert!(player.picture().contains(&"host name: crate".into()));
    player.press("Home", 1);
    assert_eq!(player.count(), "1 of 7");
    // The slider has the focus after the four buttons.
    player.press("Tab", 2);
    player.press("ArrowRight", 3);
    assert_eq!(player.count(), "4 of 7");
    player.browser.evaluate("document.querySelectorAll('.trace-lane i')[0].click()");
    assert_eq!(player.count(), "1 of 7");

    let reached = player.browser.evaluate("window.keys.filter(key => key != 'Tab')");
    assert_eq!(reached, json!(["Enter"]), "arrow keys turn mdBook's pages");
    player.browser.assert_quiet();
}

/// Plays these recordings to their ends and back: they show the same pictures both ways,
/// and are never wider than a phone.
pub fn forth_and_back(names: &[String], workspace: &Path) {
    let Some(mut player) = Player::of(&names[0], workspace) else { return };
    player.browser.set_width(400);
    for name in names {
        player.open(name, workspace);
        play_forth_and_back(&mut player);
        player.browser.assert_quiet();
    }
}

fn play_forth_and_back(player: &mut Player) {
    player.focus_next_button();
    let first = player.text(".trace-call");
    player.press("Home", 1);
    let count = player.count();
    let last: usize = count.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(last > 4, "{count}");
    let (mut forth, mut back, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    for number in 1..=last {
        assert_eq!(player.count(), format!("{number} of {last}"));
        let picture = player.picture();
        assert!(!picture.iter().any(|fact| fact.ends_with(": ")), "{picture:?}");
        forth.push(picture);
        calls.push(player.text(".trace-call"));
        let wide = player.browser.evaluate("document.documentElement.scrollWidth");
        assert!(wide.as_u64() <= Some(400), "{wide} pixels at call {number}");
        player.press("ArrowRight", 1);
    }
    assert!(calls.contains(&first), "it begins at one of its calls: {first}");
    for _ in 1..=last {
        back.push(player.picture());
        player.press("ArrowLeft", 1);
    }
    back.reverse();
    assert_eq!(forth, back);
}

/// On paper, and without JavaScript, the table is there and the player is not.
pub fn table_on_paper_and_without_script(workspace: &Path) {
    let Some(mut player) = Player::of("03-mount", workspace) else { return };
    let shown = |player: &mut Player| {
        [player.is_shown(".trace table"), player.is_shown(".trace-player")]
    };
    assert_eq!(shown(&mut player), [json!(false), json!(true)]);
    player.browser.send("Emulation.setEmulatedMedia", json!({ "media": "print" }));
    assert_eq!(shown(&mut player), [json!(true), json!(false)]);
    player.browser.send("Emulation.setEmulatedMedia", json!({ "media": "" }));

    player
        .browser
        .send("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    player.browser.open(player.page.display());
    assert_eq!(shown(&mut player), [json!(true), Value::Null]);
    let table = player.text(".trace tbody");
    for text in
        ["move_mount(./book, /mnt) = 0", "steps/03-mount/src/", "./book on /mnt"]
    {
        assert!(table.contains(text), "{text} is not in {table}");
    }
    player.browser.assert_quiet();
}

/// A screen reader finds the slider, the buttons and the two boxes by their names, and
/// is told each call. Who has asked for less motion sees none.
pub fn screen_reader_and_motion(workspace: &Path) {
    let Some(mut player) = Player::of("01-uts", workspace) else { return };
    player.focus_next_button();
    player.press("ArrowRight", 3);
    let tree = player.browser.send("Accessibility.getFullAXTree", json!({}));
    let nodes = tree["nodes"].as_array().unwrap();
    let find = |role: &str, name: &str| {
        let mut nodes = nodes.iter();
        nodes.find(|it| it["role"]["value"] == role && it["name"]["value"] == name)
    };
    for name in ["First", "Back", "Next", "Last"] {
        assert!(find("button", name).is_some(), "{name}: {tree}");
    }
    for name in ["host", "container"] {
        assert!(find("group", name).is_some(), "{name}: {tree}");
    }
    let slider = find("slider", "Kernel call").expect("a slider");
    assert_eq!(slider["value"]["value"], 4);
    let spoken = "document.querySelector('[type=range]').ariaValueText";
    assert_eq!(player.browser.evaluate(spoken), "4 of 7");
    let live = "document.querySelector('[aria-live=polite]').textContent";
    let said = player.browser.evaluate(live).to_string();
    for text in ["sethostname(crate)", "what it is called", "host name: crate"] {
        assert!(said.contains(text), "{said}");
    }

    let duration =
        "getComputedStyle(document.querySelector('.trace-lane i')).transitionDuration";
    let reduced = json!({ "features": [
        { "name": "prefers-reduced-motion", "value": "reduce" }
    ] });
    assert_ne!(player.browser.evaluate(duration), "0s");
    player.browser.send("Emulation.setEmulatedMedia", reduced);
    assert_eq!(player.browser.evaluate(duration), "0s");
    player.browser.assert_quiet();
}
