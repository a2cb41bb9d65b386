//! The value of `inspect --format`: a small part of the templates that Docker takes,
//! which are those of Go. A text may have `{{.PATH}}` and `{{json .PATH}}` in it.

use std::str::FromStr;

use anyhow::Result;
use kit::{Failure, FailureKind};
use serde_json::Value;

/// A text with values of a document in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// It is printed as it is.
    Text(String),
    /// `{{.Config.User}}`: the value, for people.
    Plain(Vec<String>),
    /// `{{json .Config}}`: the value, as JSON.
    Json(Vec<String>),
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        if text == "json" {
            return Ok(Template(vec![Part::Json(Vec::new())]));
        }
        while let Some((before, after)) = rest.split_once("{{") {
            let (action, after) = after
                .split_once("}}")
                .ok_or_else(|| format!("{text:?} has no }}}}"))?;
            parts.push(Part::Text(before.into()));
            parts.push(parse_action(action.trim())?);
            rest = after;
        }
        parts.push(Part::Text(rest.into()));
        Ok(Template(parts))
    }
}

fn parse_action(action: &str) -> Result<Part, String> {
    let unknown = || {
        format!(
            "{{{{{action}}}}} is not understood: {{{{.PATH}}}} and {{{{json .PATH}}}} are"
        )
    };
    let words: Vec<&str> = action.split_whitespace().collect();
    match words[..] {
        [path] => parse_path(path).map(Part::Plain).ok_or_else(unknown),
        ["json", path] => parse_path(path).map(Part::Json).ok_or_else(unknown),
        _ => Err(unknown()),
    }
}

/// Parses `.Config.User`; `.` is the whole document.
fn parse_path(path: &str) -> Option<Vec<String>> {
    let path = path.strip_prefix('.')?;
    if path.is_empty() {
        return Some(Vec::new());
    }
    let is_field = |field: &str| {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        !field.is_empty() && field.chars().all(is_word)
    };
    let fields: Vec<&str> = path.split('.').collect();
    let all = fields.iter().all(|field| is_field(field));
    all.then(|| fields.into_iter().map(String::from).collect())
}

impl Template {
    /// Returns the text, with the values of this document.
    ///
    /// # Errors
    /// When the document has no such field, or its value is an object and is not to be
    /// printed as JSON.
    pub(super) fn render(&self, document: &Value) -> Result<String> {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => Ok(text.clone()),
            Part::Json(path) => Ok(find(document, path)?.to_string()),
            Part::Plain(path) => plain(find(document, path)?, path),
        });
        parts.collect()
    }
}

fn find<'a>(document: &'a Value, path: &[String]) -> Result<&'a Value> {
    let mut value = document;
    for (depth, field) in path.iter().enumerate() {
        value = value.get(field).ok_or_else(|| {
            let above = shown(&path[..depth]);
            let fields: Vec<&String> =
                value.as_object().into_iter().flat_map(|it| it.keys()).collect();
            let what = format!("--format: {above} has no field {field:?}");
            let hint = match fields[..] {
                [] => "leave it out".into(),
                _ => format!("its fields: {fields:?}"),
            };
            Failure::new(what).with_kind(FailureKind::Usage).hint(hint)
        })?;
    }
    Ok(value)
}

/// Returns a value as Go prints it: a list as `[a b]`.
fn plain(value: &Value, path: &[String]) -> Result<String> {
    Ok(match value {
        Value::Null => "<no value>".into(),
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let values: Result<Vec<String>> =
                values.iter().map(|value| plain(value, path)).collect();
            format!("[{}]", values?.join(" "))
        }
        Value::Object(_) => {
            let path = shown(path);
            let what = format!("--format: {path} is an object");
            let hint = format!("{{{{json {path}}}}} prints it");
            return Err(Failure::new(what)
                .with_kind(FailureKind::Usage)
                .hint(hint)
                .into());
        }
        value => value.to_string(),
    })
}

/// Formats a path as it is written in a template.
fn shown(path: &[String]) -> String {
    format!(".{}", path.join("."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(template: &str) -> Result<String, String> {
        let document = json!({
            "Id": "sha256:0f", "Size": 7,
            "Config": { "Env": ["A=1", "B=2"], "User": "", "Labels": null },
        });
        let template: Template = template.parse()?;
        let rendered = template.render(&document);
        rendered
            .map_err(|error| format!("{error} {:?}", Failure::of(&error).hint_text()))
    }

    #[test]
    fn a_value_is_printed_for_people_or_as_json() {
        for (template, text) in [
            ("{{.Id}}", "sha256:0f"),
            ("{{ .Id }} has {{.Size}} bytes", "sha256:0f has 7 bytes"),
            ("{{.Config.Env}}{{.Config.User}}", "[A=1 B=2]"),
            ("{{json .Config.Env}}", r#"["A=1","B=2"]"#),
            ("{{json .Id}} {{json .Config.Labels}}", r#""sha256:0f" null"#),
            ("{{.Config.Labels}}", "<no value>"),
            ("text", "text"),
        ] {
            assert_eq!(render(template).as_deref(), Ok(text), "{template}");
        }
        assert_eq!(render("json"), render("{{json .}}"));
    }

    #[test]
    fn a_template_that_is_not_understood_is_an_error_with_the_reason() {
        for (template, why) in [
            ("{{.Id", "has no }}"),
            ("{{range .Config.Env}}", "is not understood"),
            ("{{index .Config.Env 0}}", "{{json .PATH}}"),
            ("{{Id}}", "is not understood"),
            ("{{.Config..User}}", "is not understood"),
            ("{{.Confg}}", "\\\"Config\\\""),
            ("{{.Config.user}}", "\\\"User\\\""),
            ("{{.Id.x}}", ".Id has no field"),
            ("{{.Config}}", "{{json .Config}}"),
        ] {
            let message = render(template).unwrap_err();
            assert!(message.contains(why), "{template}: {message}");
        }
    }
}
