//! The minutes of a chapter's sections. Authors write them below the heading, as
//! `<!-- 5 min -->`; the page shows them.

/// Returns the minutes in the line `<!-- 5 min -->`.
pub fn mark(line: &str) -> Option<u32> {
    line.strip_prefix("<!-- ")?.strip_suffix(" min -->")?.parse().ok()
}

/// Returns the line as the page shows it.
pub fn shown(line: String) -> String {
    match mark(&line) {
        Some(1) => html(1, "1 minute"),
        Some(minutes) => html(minutes, &format!("{minutes} minutes")),
        None => line,
    }
}

fn html(minutes: u32, text: &str) -> String {
    format!("<p class=\"minutes\" data-minutes=\"{minutes}\">{text}</p>")
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn minutes_are_shown() {
        let html = "<p class=\"minutes\" data-minutes=\"1\">1 minute</p>";
        assert_eq!(shown("<!-- 1 min -->".into()), html);
        assert_eq!(shown("<!-- a comment -->".into()), "<!-- a comment -->");
        assert!(crate::page("## A\n<!-- 12 min -->\n").contains(">12 minutes</p>"));
    }
}
