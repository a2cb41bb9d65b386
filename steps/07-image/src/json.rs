//! JSON of which all programs read the same. Go's find the name of a field in any case,
//! and of two fields take the last; others take the one that is spelled exactly.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, de::DeserializeOwned};

/// The fields that have an effect and may be missing, as they are spelled.
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
/// The fields whose spelling depends on the document: Docker's own has capitals.
const FIELDS_OF_BOTH: [&str; 2] = ["config", "layers"];
/// The fields above with names that users choose, where the case counts.
const FREE: [&str; 3] = ["annotations", "Volumes", "ExposedPorts"];

/// How a document spells the names of [`FIELDS_OF_BOTH`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Manifests, indexes and configurations.
    Small,
    /// Docker's `manifest.json`.
    Capitals,
}

/// Parses JSON.
///
/// # Errors
/// It is malformed, or a field's name is there twice or in another spelling.
pub(crate) fn parse<T: DeserializeOwned>(
    bytes: &[u8],
    spelling: Spelling,
) -> serde_json::Result<T> {
    let mut document = serde_json::Deserializer::from_slice(bytes);
    Check { spelling, is_free: false }.deserialize(&mut document)?;
    serde_json::from_slice(bytes)
}

/// Visits a value and all below it.
#[derive(Clone, Copy)]
struct Check {
    spelling: Spelling,
    /// Whether users choose the names in it.
    is_free: bool,
}

impl Check {
    /// Returns the name that a field has for Go, and the check of its value.
    fn field<E: Error>(self, name: String) -> Result<(String, Check), E> {
        let free = Check { is_free: true, ..self };
        if self.is_free {
            return Ok((name, free));
        }
        let folded = fold(&name);
        let exact = FIELDS.iter().find(|field| fold(field) == folded);
        let exact = exact.map(ToString::to_string).or_else(|| {
            let field = FIELDS_OF_BOTH.iter().find(|field| **field == folded)?;
            Some(match self.spelling {
                Spelling::Small => field.to_string(),
                Spelling::Capitals => field[..1].to_uppercase() + &field[1..],
            })
        });
        match exact {
            Some(exact) if exact != name => {
                Err(E::custom(format_args!("the field {exact:?} is spelled {name:?}")))
            }
            Some(exact) if !FREE.contains(&exact.as_str()) => Ok((folded, self)),
            _ => Ok((folded, free)),
        }
    }
}

/// Folds the case as Go does: two letters outside of ASCII count as `k` and `s`.
fn fold(name: &str) -> String {
    let name = name.replace('\u{212a}', "k").replace('\u{17f}', "s");
    name.to_ascii_lowercase()
}

impl<'de> DeserializeSeed<'de> for Check {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let (folded, check) = self.field(name)?;
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
