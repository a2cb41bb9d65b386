//! The log file of `--log`, in runc's form: engines read the last error from it.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::str::FromStr;

use kit::{Failure, escape_control_characters};
use serde::Serialize;

/// The log: a file, or stderr.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// The form of its lines.
    pub format: Format,
}

/// The form of a line in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// `time="…" level=error msg="…"`
    #[default]
    Text,
    /// `{"level":"error","msg":"…","time":"…"}`
    Json,
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            _ => Err("the form of a log is text or json"),
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    level: &'a str,
    msg: &'a str,
    time: String,
}

impl Log {
    /// Returns a log that nobody reads, for what was logged before.
    pub fn silent() -> Self {
        Log { file: Some("/dev/null".into()), format: Format::Text }
    }

    /// Writes an error to the file. The frame of every step prints it to stderr.
    pub fn error(&self, failure: &Failure) {
        let hint = failure.hint_text().map(|hint| format!("; hint: {hint}"));
        self.append("error", &format!("{failure}{}", hint.unwrap_or_default()));
    }

    /// Writes a warning to the file, or prints it to stderr if there is no file.
    pub fn warn(&self, message: &str) {
        match self.file {
            Some(_) => self.append("warning", message),
            None => kit::warn(message),
        }
    }

    /// Appends a line. A log that cannot be written is no reason to fail.
    fn append(&self, level: &str, message: &str) {
        let Some(path) = &self.file else { return };
        let mut options = File::options();
        options.create(true).append(true).mode(0o644);
        let opened = options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
        let line = self.format(level, message) + "\n";
        let _ = opened.and_then(|mut file| file.write_all(line.as_bytes()));
    }

    fn format(&self, level: &str, message: &str) -> String {
        let time = jiff::Timestamp::now().to_string();
        match self.format {
            Format::Json => {
                let line = Line { level, msg: message, time };
                serde_json::to_string(&line).unwrap_or_default()
            }
            Format::Text => {
                let message = escape_control_characters(message);
                format!("time=\"{time}\" level={level} msg={message:?}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_form_that_engines_parse() {
        let line = |format| Log { file: None, format }.format("error", "a \"b\"");
        let json: serde_json::Value =
            serde_json::from_str(&line(Format::Json)).unwrap();
        assert_eq!(
            (&json["level"], &json["msg"]),
            (&"error".into(), &"a \"b\"".into())
        );
        assert!(json["time"].as_str().unwrap().ends_with('Z'));
        assert!(line(Format::Text).ends_with(r#" level=error msg="a \"b\"""#));
    }
}
