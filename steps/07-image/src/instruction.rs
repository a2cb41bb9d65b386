//! Changes of an image's configuration, written as lines of a Dockerfile: the value of
//! `import --change`.

use std::str::FromStr;

use serde_json::{Value, json};

/// An instruction that changes the configuration of an image: `CMD ["sh"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Instruction {
    /// CMD or ENTRYPOINT: the field, and its words.
    Command(&'static str, Vec<String>),
    /// ENV.
    Env(Vec<(String, String)>),
    /// LABEL.
    Label(Vec<(String, String)>),
    /// EXPOSE or VOLUME: the field, and the names in it.
    Set(&'static str, Vec<String>),
    /// USER or STOPSIGNAL: the field, and its value.
    Text(&'static str, String),
    /// WORKDIR.
    WorkDir(String),
}

impl FromStr for Instruction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (name, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let rest = rest.trim();
        let instruction = match name.to_ascii_uppercase().as_str() {
            "CMD" => Instruction::Command("Cmd", command(rest)),
            "ENTRYPOINT" => Instruction::Command("Entrypoint", command(rest)),
            "ENV" => Instruction::Env(pairs(rest)?),
            "EXPOSE" => Instruction::Set("ExposedPorts", ports(rest)?),
            "LABEL" => Instruction::Label(pairs(rest)?),
            "STOPSIGNAL" => Instruction::Text("StopSignal", rest.into()),
            "USER" => Instruction::Text("User", rest.into()),
            "VOLUME" => {
                let names = json_words(rest).map_or_else(|| words(rest), Ok)?;
                Instruction::Set("Volumes", names)
            }
            "WORKDIR" => Instruction::WorkDir(rest.into()),
            _ => {
                return Err(format!(
                    "{name:?} is none of CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, \
                     VOLUME, WORKDIR"
                ));
            }
        };
        match rest.is_empty() {
            true => Err(format!("{text:?}: the value is missing")),
            false => Ok(instruction),
        }
    }
}

impl Instruction {
    /// Changes the object `config` of an image's configuration.
    pub(crate) fn apply(&self, config: &mut Value) {
        match self {
            Instruction::Command(field, words) => config[field] = json!(words),
            Instruction::Text(field, text) => config[field] = json!(text),
            Instruction::Set(field, names) => {
                names.iter().for_each(|name| config[field][name] = json!({}));
            }
            Instruction::Label(labels) => {
                labels.iter().for_each(|(key, value)| {
                    config["Labels"][key] = json!(value);
                });
            }
            Instruction::Env(variables) => {
                let list = config["Env"].as_array().cloned().unwrap_or_default();
                let is_new = |entry: &Value| {
                    let name = entry.as_str().and_then(|it| it.split('=').next());
                    variables.iter().all(|(own, _)| Some(own.as_str()) != name)
                };
                let list = list.into_iter().filter(is_new);
                let own = variables
                    .iter()
                    .map(|(name, value)| json!(format!("{name}={value}")));
                config["Env"] = list.chain(own).collect();
            }
            Instruction::WorkDir(path) => {
                // A relative path is below the last one.
                let above = config["WorkingDir"].as_str().unwrap_or("/");
                let path = std::path::Path::new(above).join(path);
                config["WorkingDir"] = json!(path.display().to_string());
            }
        }
    }
}

/// Parses the words of a command: a JSON list, or a line for the shell.
fn command(text: &str) -> Vec<String> {
    let shell = || ["/bin/sh", "-c", text].map(String::from).to_vec();
    json_words(text).unwrap_or_else(shell)
}

fn json_words(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

/// Parses `A=1 B="2 3"`, or the older form `A 2 3`.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let first = text.split([' ', '\t']).next().unwrap_or_default();
    if !first.contains('=') {
        let (name, value) = text
            .split_once([' ', '\t'])
            .ok_or_else(|| format!("{text:?} has no value: NAME=VALUE"))?;
        return Ok(vec![(name.into(), value.trim().into())]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err(format!("{word:?} is not NAME=VALUE")),
    };
    words(text)?.into_iter().map(pair).collect()
}

/// Parses `80 53/udp`, and returns the ports as the configuration has them.
fn ports(text: &str) -> Result<Vec<String>, String> {
    let port = |word: &str| {
        let (number, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
        let is_port = number.parse().is_ok_and(|number: u16| number != 0);
        match is_port && ["tcp", "udp", "sctp"].contains(&protocol) {
            true => Ok(format!("{number}/{protocol}")),
            false => Err(format!("{word:?} is not a port: 80, 53/udp")),
        }
    };
    text.split_whitespace().map(port).collect()
}

/// Splits a text at its spaces, but not at those between quotation marks or after a
/// backslash.
fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let add = |word: &mut Option<String>, letter| {
            word.get_or_insert_default().push(letter);
        };
        match (letter, quote) {
            ('\\', None | Some('"')) => add(&mut word, letters.next().unwrap_or('\\')),
            (_, Some(mark)) if letter == mark => quote = None,
            (_, Some(_)) => add(&mut word, letter),
            ('"' | '\'', None) => {
                word.get_or_insert_default();
                quote = Some(letter);
            }
            (' ' | '\t', None) => words.extend(word.take()),
            (_, None) => add(&mut word, letter),
        }
    }
    words.extend(word);
    match quote {
        Some(mark) => Err(format!("{text:?}: the closing {mark} is missing")),
        None => Ok(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_change_the_configuration_as_in_a_dockerfile() {
        let mut config = json!({});
        for line in [
            r#"CMD ["echo", "one"]"#,
            "entrypoint exec sh",
            r#"ENV A=1 B="2 3" C=x\ y"#,
            "ENV A 4 5",
            "EXPOSE 80 53/udp",
            "LABEL org.example='a b'",
            "USER alice",
            r#"VOLUME ["/data"]"#,
            "VOLUME /a /b",
            "WORKDIR /srv",
            "WORKDIR www",
            "STOPSIGNAL SIGINT",
        ] {
            line.parse::<Instruction>().unwrap().apply(&mut config);
        }
        let expected = json!({
            "Cmd": ["echo", "one"],
            "Entrypoint": ["/bin/sh", "-c", "exec sh"],
            "Env": ["B=2 3", "C=x y", "A=4 5"],
            "ExposedPorts": { "80/tcp": {}, "53/udp": {} },
            "Labels": { "org.example": "a b" },
            "User": "alice",
            "Volumes": { "/data": {}, "/a": {}, "/b": {} },
            "WorkingDir": "/srv/www",
            "StopSignal": "SIGINT",
        });
        assert_eq!(config, expected);
    }

    #[test]
    fn a_line_that_is_no_instruction_is_refused() {
        for (line, why) in [
            ("RUN true", "none of CMD"),
            ("", "none of CMD"),
            ("CMD", "is missing"),
            ("ENV A", "NAME=VALUE"),
            ("ENV A=1 B", "NAME=VALUE"),
            ("LABEL a=\"b", "closing \""),
            ("EXPOSE http", "is not a port"),
        ] {
            let message = line.parse::<Instruction>().unwrap_err();
            assert!(message.contains(why), "{line:?}: {message}");
        }
    }
}
