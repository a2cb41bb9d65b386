//! Turns a recorded narration into a table: one row for each kernel call, with the line
//! of code and the change in the picture. `book/look/trace.js` plays the table.

use std::error::Error;
use std::fs;
use std::path::Path;

use kit::narration::{Line, Step};
use kit::picture::{Field, Picture, Place};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::transcript::escaped;

/// The directory of the recordings, relative to the workspace.
pub const DIR: &str = "book/src/traces";

/// A recorded run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The command, as a reader types it.
    pub command: String,
    /// The calls, in the order of the narration.
    pub calls: Vec<Call>,
}

/// A call of a recorded run. Its `at` names only the file, since lines move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The narrated line.
    #[serde(flatten)]
    pub line: Line,
    /// The statement that makes the call.
    pub code: Vec<String>,
}

impl Trace {
    /// Returns the text of the recording's file, with one call on each line.
    ///
    /// # Errors
    /// None in practice: it contains only text.
    pub fn text(&self) -> serde_json::Result<String> {
        let calls = self.calls.iter().map(serde_json::to_string);
        let calls = calls.collect::<Result<Vec<_>, _>>()?.join(",\n");
        let command = serde_json::to_string(&self.command)?;
        Ok(format!("{{\"command\": {command}, \"calls\": [\n{calls}\n]}}\n"))
    }
}

/// Returns the name in a line such as `{{#trace 03-mount}}`.
pub fn directive(line: &str) -> Option<&str> {
    Some(line.strip_prefix("{{#trace ")?.strip_suffix("}}")?.trim())
}

/// Reads the recording of this name, and returns its table.
///
/// # Errors
/// When the recording or a source file cannot be read, or the name has no number.
pub fn table(workspace: &Path, name: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let path = workspace.join(DIR).join(name).with_extension("json");
    let text =
        fs::read_to_string(&path).map_err(|it| format!("{}: {it}", path.display()))?;
    let trace: Trace = serde_json::from_str(&text)?;
    let step: Step = name.get(..2).unwrap_or_default().parse()?;
    Ok(html(&trace, step, |call| place_of(workspace, call)))
}

/// Returns the place of a call: `steps/01-uts/src/lib.rs:47`. Without the number if the
/// statement is not found, or more than once.
fn place_of(workspace: &Path, call: &Call) -> String {
    let file = &call.line.at;
    let text = fs::read_to_string(workspace.join(file)).unwrap_or_default();
    match lines_of(&text, &call.code)[..] {
        [line] => format!("{file}:{line}"),
        _ => file.clone(),
    }
}

/// Returns the lines, counted from 1, in which these lines of code begin.
pub fn lines_of(text: &str, code: &[String]) -> Vec<usize> {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let code: Vec<_> = code.iter().map(|line| line.trim()).collect();
    let found = lines.windows(code.len().max(1)).enumerate();
    found.filter(|(_, lines)| *lines == code).map(|(line, _)| line + 1).collect()
}

/// Returns the table. No line of it is empty, since Markdown would end the HTML there.
fn html(trace: &Trace, step: Step, place: impl Fn(&Call) -> String) -> Vec<String> {
    let mut picture = Picture::default();
    let (mut rows, mut labels) = (Vec::new(), Labels::default());
    labels.add(&picture.fields());
    for call in &trace.calls {
        let before = picture.fields();
        let changed = picture.apply(&call.line);
        labels.add(&picture.fields());
        rows.extend(row(call, &place(call), &before, &changed, step));
    }
    let first = trace.calls.iter().position(|call| call.line.step == Some(step));
    let begin = changes_json(&Picture::default().fields());
    let mut html = vec![
        format!(
            "<figure class=\"trace\" data-first=\"{}\" data-labels=\"{}\" data-begin=\"{}\">",
            first.unwrap_or(0),
            attribute(&labels.json()),
            attribute(&begin),
        ),
        format!(
            "<figcaption>The kernel calls of <code>{}</code></figcaption>",
            escaped(&trace.command)
        ),
        "<div class=\"table-wrapper\"><table><thead><tr><th>Call</th><th>Reason and code</th><th>Change</th></tr></thead>"
            .to_string(),
        "<tbody>".to_string(),
    ];
    html.extend(rows);
    html.push("</tbody></table></div>".to_string());
    html.push("</figure>".to_string());
    html
}

fn row(
    call: &Call,
    place: &str,
    before: &[Field],
    changed: &[Field],
    step: Step,
) -> Vec<String> {
    let Call { line, code } = call;
    let own = if line.step == Some(step) { " class=\"own\"" } else { "" };
    let [name, args, result] =
        [&line.call, &line.args, &line.result].map(|it| escaped(it));
    let changes: String =
        changed.iter().flat_map(|it| differences(before, it)).collect();
    let row = format!(
        "<tr{own} data-who=\"{who}\" data-changes=\"{data}\">\
         <td>{who}: <code>{name}({args}) = {result}</code></td>\n\
         <td>{why}<br><span class=\"place\">{place}</span><br>\
         <code class=\"language-rust\">{code}</code></td>\n\
         <td><ul>{changes}</ul></td></tr>",
        who = line.who,
        data = attribute(&changes_json(changed)),
        why = escaped(&line.why),
        code = escaped(&code.join("\n")),
    );
    row.lines().map(str::to_string).collect()
}

/// Returns list items for the values of a field that have come, and for those that have
/// gone.
fn differences(before: &[Field], field: &Field) -> Vec<String> {
    let old =
        before.iter().find(|it| it.place == field.place && it.label == field.label);
    let old = old.map(|it| &it.values[..]).unwrap_or_default();
    let item = |element: &str, value: &String| {
        format!(
            "<li>{}, {}: <{element}>{}</{element}></li>",
            field.place,
            field.label,
            escaped(value)
        )
    };
    let come = field.values.iter().filter(|value| !old.contains(value));
    let come: Vec<_> = come.map(|value| item("ins", value)).collect();
    let gone = old.iter().filter(|value| !field.values.contains(value));
    // A value that has changed is one line: the new value.
    let gone = gone.skip(come.len()).map(|value| item("del", value));
    let gone: Vec<_> = gone.collect();
    [come, gone].concat()
}

/// The labels of all fields of a trace, in the order in which the picture has them.
#[derive(Default)]
struct Labels([Vec<&'static str>; 2]);

impl Labels {
    fn add(&mut self, fields: &[Field]) {
        for (place, labels) in
            [Place::Host, Place::Container].into_iter().zip(&mut self.0)
        {
            let mut next = 0;
            for field in fields.iter().filter(|field| field.place == place) {
                match labels.iter().position(|known| *known == field.label) {
                    Some(at) => next = at + 1,
                    None => {
                        labels.insert(next, field.label);
                        next += 1;
                    }
                }
            }
        }
    }

    fn json(&self) -> String {
        json!({ "host": self.0[0], "container": self.0[1] }).to_string()
    }
}

/// Returns `[["container", "host name", ["crate"]]]`.
fn changes_json(changed: &[Field]) -> String {
    let fields = changed
        .iter()
        .map(|field| json!([field.place.to_string(), field.label, field.values]));
    serde_json::Value::from_iter(fields).to_string()
}

/// Escapes the value of an attribute.
fn attribute(text: &str) -> String {
    escaped(text).replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use kit::narration::Caller;

    use super::*;

    fn call(who: Caller, step: &str, call: &str, args: &str) -> Call {
        let [call, args, at] = [call, args, "a.rs"].map(String::from);
        let (result, why) = ("0".into(), "a & b".into());
        let step = step.parse().ok();
        let line = Line { who, step, call, args, result, why, at };
        Call { line, code: vec!["f(\"a\", || {".into(), "    g()".into(), "})".into()] }
    }

    fn trace() -> Trace {
        let calls = vec![
            call(Caller::Parent, "0", "clone3", "NEWUTS"),
            call(Caller::Child, "1", "sethostname", "crate"),
        ];
        Trace { command: "01-uts run".into(), calls }
    }

    #[test]
    fn each_call_is_a_row_with_its_code_and_its_change() {
        let html = html(&trace(), "01".parse().unwrap(), |_| "a.rs:7".into());
        assert!(html.iter().all(|line| !line.trim().is_empty()));
        let html = html.join("\n");
        assert!(html.contains("data-first=\"1\""), "{html}");
        assert!(html.contains("<code>sethostname(crate) = 0</code>"), "{html}");
        assert!(html.contains("a &amp; b<br><span class=\"place\">a.rs:7"), "{html}");
        assert!(html.contains("container, host name: <ins>crate</ins>"), "{html}");
        let data =
            "[[&quot;container&quot;,&quot;host name&quot;,[&quot;crate&quot;]]]";
        assert!(html.contains(data), "{html}");
        assert_eq!(html.matches("<tr class=\"own\"").count(), 1);
    }

    #[test]
    fn a_recording_has_one_call_on_each_line_and_is_read_again() {
        let text = trace().text().unwrap();
        assert_eq!(text.lines().count(), 4);
        assert_eq!(serde_json::from_str::<Trace>(&text).unwrap(), trace());
    }

    #[test]
    fn code_is_found_where_its_lines_are_whatever_their_indent() {
        let code = trace().calls[0].code.clone();
        let text = "x\n    f(\"a\", || {\n        g()\n    })\n";
        assert_eq!(lines_of(text, &code), [2]);
        assert_eq!(lines_of("f(\"a\", || {\n", &code), [0; 0]);
    }

    #[test]
    fn a_directive_names_a_recording() {
        assert_eq!(directive("{{#trace 03-mount}}"), Some("03-mount"));
        assert_eq!(directive("{{#include a.svg}}"), None);
    }
}
