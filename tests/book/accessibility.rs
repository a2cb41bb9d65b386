//! The rules of accessibility that [axe] can check, on every page in a real browser.
//!
//! axe is a library of JavaScript: `KISTE_AXE` names its file `axe.min.js`. `.ci/run`
//! says where it comes from.
//!
//! [axe]: https://github.com/dequelabs/axe-core

use std::fs;
use std::path::Path;

use kiste_tests::report_missing;
use serde_json::{Value, json};

use super::browser::Browser;
use super::site::Site;

/// The tags of the rules: WCAG 2.0, 2.1 and 2.2, levels A and AA, and what axe itself
/// recommends.
const TAGS: [&str; 6] =
    ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/// The rules that do not hold, and why.
const WAIVED: [(&str, &str); 1] = [(
    "empty-table-header",
    "it is recommended only, and the corner of a table with heads on two sides has no name",
)];

/// Puts all slides below each other, as on paper, so that axe sees every one.
const SLIDES_AS_LIST: &str = "document.head.insertAdjacentHTML('beforeend', '<style> \
    #mdbook-body-container { display: none } .deck { display: block; position: static } \
    .slide { position: static; transform: none; visibility: visible }</style>')";

/// The library.
pub struct Axe {
    script: String,
}

impl Axe {
    /// Reads the library. None if there is none.
    pub fn find() -> Option<Self> {
        let Some(path) = std::env::var_os("KISTE_AXE") else {
            report_missing("axe", "KISTE_AXE does not name the file axe.min.js");
            return None;
        };
        let script = fs::read_to_string(&path);
        let script =
            script.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Some(Axe { script })
    }

    /// Returns the violations on the page that the browser shows: rule, element, and how
    /// to mend it.
    pub fn violations(&self, browser: &mut Browser) -> Vec<String> {
        browser.evaluate(&self.script);
        let rules: serde_json::Map<_, _> = WAIVED
            .iter()
            .map(|(rule, _)| (rule.to_string(), json!({ "enabled": false })))
            .collect();
        // A page that is a file may not load its style a second time.
        let options = json!({
            "runOnly": { "type": "tag", "values": TAGS }, "rules": rules,
            "resultTypes": ["violations"], "preload": false,
        });
        let found = browser.evaluate(&format!(
            "axe.run(document, {options}).then(found => found.violations.flatMap(rule => \
                rule.nodes.map(node => `${{rule.id}}: ${{node.target}}: ${{rule.help}} \
                    (${{[...node.any, ...node.all, ...node.none][0]?.message}})`)))"
        ));
        let found = found.as_array().expect("a list of violations").iter();
        found.map(|it| it.as_str().unwrap_or_default().to_string()).collect()
    }
}

/// Checks every page, and the slides of every chapter, in a theme and at a width.
pub fn check(theme: &str, width: u32, workspace: &Path) {
    let Some(axe) = Axe::find() else { return };
    let Some((site, mut browser)) = Site::in_browser(workspace) else { return };
    browser.set_theme(theme);
    browser.set_width(width);
    let mut violations = Vec::new();
    let mut look = |page: &str, browser: &mut Browser| {
        assert_eq!(theme_of(browser), theme, "{page}");
        let found = axe.violations(browser);
        violations.extend(found.iter().map(|what| format!("{page}: {what}")));
    };
    for page in site.pages() {
        browser.open(site.path(&page));
        look(&page, &mut browser);
    }
    for chapter in site.chapters() {
        let slides = format!("{chapter}#slides");
        browser.open(site.path(&slides));
        browser.evaluate(SLIDES_AS_LIST);
        look(&slides, &mut browser);
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

fn theme_of(browser: &mut Browser) -> Value {
    let theme =
        "['light', 'navy'].find(it => document.documentElement.matches(`.${it}`))";
    browser.evaluate(theme)
}

/// Checks a page with three mistakes: all of them are found.
pub fn mistakes() {
    let Some(axe) = Axe::find() else { return };
    let Some(mut browser) = Browser::start() else { return };
    let dir = tempfile::Builder::new().prefix("kiste-test-").tempdir().unwrap();
    let page = dir.path().join("page.html");
    let html = "<!doctype html><html lang=en><title>x</title><main><h1>x</h1>\
        <p style='color: #aaa; background: #fff'>pale</p><svg role=img></svg>\
        <button></button></main>";
    fs::write(&page, html).unwrap();
    browser.open(page.display());
    let violations = axe.violations(&mut browser);
    let rules = violations.iter().map(|it| it.split(':').next().unwrap_or_default());
    let rules: Vec<_> = rules.collect();
    assert_eq!(
        rules,
        ["button-name", "color-contrast", "svg-img-alt"],
        "{violations:?}"
    );
}
