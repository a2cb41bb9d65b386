//! The values of `--security-opt`.

use std::path::PathBuf;
use std::str::FromStr;

use crate::apparmor::AppArmorProfile;

/// A value of `--security-opt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SecurityOpt {
    /// `no-new-privileges`
    NoNewPrivileges(bool),
    /// `seccomp=…`
    Seccomp(SeccompChoice),
    /// `apparmor=…`; None: unconfined.
    AppArmor(Option<AppArmorProfile>),
    /// `label=disable`
    NoLabel,
    /// `systempaths=unconfined`
    SystemPathsUnconfined,
}

/// The filter of system calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SeccompChoice {
    /// The default profile.
    Builtin,
    /// No filter.
    Unconfined,
    /// A profile in Docker's format.
    File(PathBuf),
}

const KNOWN: &str = "no-new-privileges[=true|false], seccomp=FILE|unconfined|builtin, \
                     apparmor=PROFILE|unconfined, label=disable, systempaths=unconfined";

/// Reads a value with `=` or, as in older versions of Docker, with `:`.
impl FromStr for SecurityOpt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.find(['=', ':']) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        Ok(match (name, value) {
            ("no-new-privileges", None | Some("true")) => {
                SecurityOpt::NoNewPrivileges(true)
            }
            ("no-new-privileges", Some("false")) => SecurityOpt::NoNewPrivileges(false),
            ("seccomp", Some("unconfined")) => {
                SecurityOpt::Seccomp(SeccompChoice::Unconfined)
            }
            ("seccomp", Some("builtin")) => {
                SecurityOpt::Seccomp(SeccompChoice::Builtin)
            }
            ("seccomp", Some(file)) if !file.is_empty() => {
                SecurityOpt::Seccomp(SeccompChoice::File(file.into()))
            }
            ("apparmor", Some("unconfined")) => SecurityOpt::AppArmor(None),
            ("apparmor", Some(profile)) => {
                SecurityOpt::AppArmor(Some(profile.parse()?))
            }
            ("label", Some("disable")) => SecurityOpt::NoLabel,
            ("label", Some(_)) => {
                return Err(format!(
                    "{text}: SELinux labels are not supported; label=disable is"
                ));
            }
            ("systempaths", Some("unconfined")) => SecurityOpt::SystemPathsUnconfined,
            _ => return Err(format!("{text:?} is unknown; there are {KNOWN}")),
        })
    }
}

impl SecurityOpt {
    /// The part before the `=`.
    pub fn name(&self) -> &'static str {
        match self {
            SecurityOpt::NoNewPrivileges(_) => "no-new-privileges",
            SecurityOpt::Seccomp(_) => "seccomp",
            SecurityOpt::AppArmor(_) => "apparmor",
            SecurityOpt::NoLabel => "label",
            SecurityOpt::SystemPathsUnconfined => "systempaths",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_separates_name_and_value_by_either_sign() {
        for sign in ["=", ":"] {
            let read =
                |text: &str| text.replace('=', sign).parse::<SecurityOpt>().unwrap();
            assert_eq!(
                read("no-new-privileges=true"),
                SecurityOpt::NoNewPrivileges(true)
            );
            let file = SeccompChoice::File("a.json".into());
            assert_eq!(read("seccomp=a.json"), SecurityOpt::Seccomp(file));
            assert_eq!(read("apparmor=unconfined"), SecurityOpt::AppArmor(None));
            assert_eq!(read("label=disable"), SecurityOpt::NoLabel);
        }
        assert_eq!("no-new-privileges".parse(), Ok(SecurityOpt::NoNewPrivileges(true)));
    }

    #[test]
    fn an_unknown_value_is_refused() {
        for text in [
            "",
            "seccomp",
            "seccomp=",
            "apparmor=",
            "label=type:x",
            "no-new-privileges=1",
            "nnp",
            "systempaths=x",
        ] {
            text.parse::<SecurityOpt>().unwrap_err();
        }
    }
}
