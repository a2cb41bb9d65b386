//! Parses JSON, and refuses documents that two programs would read in two ways.
//! Programs in Go ignore the case of a field's name, and take the last of two such
//! fields; others take the field that is spelled exactly.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, de::DeserializeOwned};

use crate::limits::MOST_VALUES;

/// The fields that have an effect and may be missing, in their right spelling.
const FIELDS: [&str; 18] = [
    "mediaType",
    "artifactType",
    "manifests",
    "platform",
    "annotations",
    "architecture",
    "os",
    "variant",
    "rootfs",
    "User",
    "Env",
    "Entrypoint",
    "Cmd",
    "WorkingDir",
    "StopSignal",
    "Volumes",
    "ExposedPorts",
    "RepoTags",
];
/// The fields whose spelling depends on the document: in Docker's `manifest.json` they
/// begin with a capital.
const FIELDS_BY_DOCUMENT: [&str; 2] = ["config", "layers"];
/// The fields that contain names which users choose. In those names the case counts.
const FIELDS_WITH_FREE_NAMES: [&str; 3] = ["annotations", "Volumes", "ExposedPorts"];

/// How a document spells the names of [`FIELDS_BY_DOCUMENT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Manifests, indexes and configurations.
    Lowercase,
    /// Docker's `manifest.json`.
    Capitalized,
}

/// Parses JSON.
///
/// # Errors
/// It is malformed, has too many values, or a field's name is there twice or in another
/// spelling.
pub(crate) fn parse<T: DeserializeOwned>(
    bytes: &[u8],
    spelling: Spelling,
) -> serde_json::Result<T> {
    let mut document = serde_json::Deserializer::from_slice(bytes);
    let values = Cell::new(0);
    let check = FieldCheck { spelling, has_free_names: false, values: &values };
    check.deserialize(&mut document)?;
    serde_json::from_slice(bytes)
}

/// Checks the names of the fields in a value, at every depth.
#[derive(Clone, Copy)]
struct FieldCheck<'a> {
    spelling: Spelling,
    /// Whether users choose the names in it.
    has_free_names: bool,
    /// The number of values that have been found.
    values: &'a Cell<usize>,
}

impl FieldCheck<'_> {
    /// Checks the spelling of a field. Returns the name that it has for Go, and the
    /// check of its value.
    fn check_field<E: Error>(self, name: String) -> Result<(String, Self), E> {
        let free = Self { has_free_names: true, ..self };
        if self.has_free_names {
            return Ok((name, free));
        }
        let folded = fold(&name);
        let expected = FIELDS.iter().find(|field| fold(field) == folded);
        let expected = expected.map(ToString::to_string).or_else(|| {
            let field = FIELDS_BY_DOCUMENT.iter().find(|field| **field == folded)?;
            Some(match self.spelling {
                Spelling::Lowercase => field.to_string(),
                Spelling::Capitalized => field[..1].to_uppercase() + &field[1..],
            })
        });
        match expected {
            Some(expected) if expected != name => Err(E::custom(format_args!(
                "the field {expected:?} is spelled {name:?}"
            ))),
            Some(expected) if !FIELDS_WITH_FREE_NAMES.contains(&expected.as_str()) => {
                Ok((folded, self))
            }
            _ => Ok((folded, free)),
        }
    }
}

/// Folds the case as Go does: two letters outside of ASCII count as `k` and `s`.
fn fold(name: &str) -> String {
    let name = name.replace('\u{212a}', "k").replace('\u{17f}', "s");
    name.to_ascii_lowercase()
}

impl<'de> DeserializeSeed<'de> for FieldCheck<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        self.values.set(self.values.get() + 1);
        if self.values.get() > MOST_VALUES {
            let why = format_args!("it has more than {MOST_VALUES} values");
            return Err(D::Error::custom(why));
        }
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FieldCheck<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let (folded, check) = self.check_field(name)?;
            if let Some(twice) = names.replace(folded) {
                let why = format_args!("the field {twice:?} is there twice");
                return Err(A::Error::custom(why));
            }
            map.next_value_seed(check)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
