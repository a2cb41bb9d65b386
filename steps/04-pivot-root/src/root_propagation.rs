//! `rootfsPropagation` of config.json: the mount propagation of the container's root.
//! <https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#rootfs-mount-propagation>

use std::str::FromStr;

use anyhow::Result;
use mount::{BindPropagation, MountOptions, MountPropagation, Propagation, Recursion};
use nix::mount::{MsFlags, mount};

/// The mount propagation of the container's root. By default the host's later mounts
/// reach the sources of bind mounts, and nothing reaches the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RootPropagation(Option<(MountPropagation, Recursion)>);

/// Parses `shared`, `slave`, `private` or `unbindable`, and each with an `r` before it.
impl FromStr for RootPropagation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match MountOptions::new([text]).propagation[..] {
            [propagation] => Ok(RootPropagation(Some(propagation))),
            _ => Err(format!(
                "{text:?} is no propagation: shared, slave, private or unbindable"
            )),
        }
    }
}

impl RootPropagation {
    /// Returns the propagation of the sources of bind mounts, which are mounts of the
    /// host.
    pub fn of_sources(self) -> BindPropagation {
        match self.0.map(|(kind, _)| kind) {
            None | Some(MountPropagation::Slave) => BindPropagation::Slave,
            Some(MountPropagation::Shared) => BindPropagation::Shared,
            Some(MountPropagation::Private | MountPropagation::Unbindable) => {
                BindPropagation::Private
            }
        }
    }

    /// Makes sure that no later mount of this process appears on the host. Call it once
    /// [`mount::bind_propagating`] has made the mounts that are to stay connected with
    /// it.
    ///
    /// # Errors
    /// The kernel's, from mount(2).
    pub fn isolate(self) -> Result<()> {
        match self.of_sources() {
            BindPropagation::Slave => Propagation::Slave.isolate(),
            BindPropagation::Shared | BindPropagation::Private => {
                Propagation::Private.isolate()
            }
        }
    }

    /// Sets the propagation of `/`, once the root is entered.
    ///
    /// # Errors
    /// The kernel's, from mount(2).
    pub fn apply(self) -> Result<()> {
        let Some((kind, recursion)) = self.0 else { return Ok(()) };
        let (flag, name) = kind.flag();
        let (rec, rec_name) = match recursion {
            Recursion::Alone => (MsFlags::empty(), ""),
            Recursion::Recursive => (MsFlags::MS_REC, "MS_REC|"),
        };
        let nothing = None::<&str>;
        let operands = format_args!("/, {rec_name}{name}");
        kit::call("rootfsPropagation", "mount", operands, || {
            mount(nothing, "/", nothing, flag | rec, nothing)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_propagation_is_one_word_with_or_without_an_r() {
        for (word, sources) in [
            ("shared", BindPropagation::Shared),
            ("rslave", BindPropagation::Slave),
            ("rprivate", BindPropagation::Private),
            ("unbindable", BindPropagation::Private),
        ] {
            let propagation: RootPropagation = word.parse().unwrap();
            assert_eq!(propagation.of_sources(), sources, "{word}");
        }
        for word in ["", "ro", "share", "shared,slave"] {
            assert!(word.parse::<RootPropagation>().is_err(), "{word}");
        }
        assert_eq!(RootPropagation::default().of_sources(), BindPropagation::Slave);
    }
}
