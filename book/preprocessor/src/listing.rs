//! Turns the Rust code that a page includes into the listing that it shows.

/// As many columns as fit into a page.
pub const COLUMNS: usize = 88;

/// Returns the lines that are shown: without the *Errors* section of doc comments, and
/// without the indent that all lines share.
pub fn shown<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    dedented(&without_errors(lines))
}

/// Removes the indent that all lines share, such as that of a method in its `impl`.
fn dedented<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let indent = |line: &&&str| line.len() - line.trim_start().len();
    let shared = lines.iter().filter(|line| !line.trim().is_empty());
    let shared = shared.map(|line| indent(&line)).min().unwrap_or(0);
    lines.iter().map(|line| line.get(shared..).unwrap_or_default()).collect()
}

/// Leaves out the section `# Errors` of doc comments.
fn without_errors<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let mut shown = Vec::new();
    // The empty line before the left-out section, needed again if another section
    // follows.
    let mut empty_line = None;
    let mut skipping = false;
    for &line in lines {
        let doc = line.trim_start().strip_prefix("///").map(str::trim);
        let was_skipping = skipping;
        skipping = match doc {
            Some("# Errors") => true,
            Some(text) => skipping && !text.starts_with("# "),
            None => false,
        };
        match (was_skipping, skipping) {
            (false, true) => {
                empty_line = shown.pop_if(|line: &mut &str| line.trim() == "///")
            }
            (true, false) if doc.is_some() => shown.extend(empty_line.take()),
            _ => {}
        }
        if !skipping {
            shown.push(line);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::shown;

    fn lines(text: &str) -> Vec<&str> {
        shown(&text.lines().collect::<Vec<_>>())
    }

    #[test]
    fn a_method_loses_the_indent_of_its_impl_and_keeps_its_own() {
        let method = "    fn f() {\n        g();\n\n    }\n";
        assert_eq!(lines(method), ["fn f() {", "    g();", "", "}"]);
    }

    #[test]
    fn code_at_the_margin_stays_where_it_is() {
        let code = "    let a = 1;\nfn f() {\n}\n";
        assert_eq!(lines(code), code.lines().collect::<Vec<_>>());
    }

    #[test]
    fn errors_are_left_out_of_doc_comments() {
        let code =
            "/// Sets it.\n///\n/// # Errors\n///\n/// When it fails.\nfn f() {}\n";
        assert_eq!(lines(code), ["/// Sets it.", "fn f() {}"]);
    }

    #[test]
    fn a_section_after_the_errors_stays_with_one_empty_line_before_it() {
        let code =
            "/// A\n///\n/// # Errors\n/// B\n///\n/// # Safety\n/// C\nfn f() {}\n";
        let left = ["/// A", "///", "/// # Safety", "/// C", "fn f() {}"];
        assert_eq!(lines(code), left);
    }

    #[test]
    fn the_next_function_keeps_its_own_comment() {
        let code = "/// # Errors\n/// A\nfn f() {}\n\n/// B\nfn g() {}\n";
        assert_eq!(lines(code), ["fn f() {}", "", "/// B", "fn g() {}"]);
    }
}
