//! The words of a mount's options, as fstab(5), mount(8) and the OCI runtime
//! specification have them:
//! <https://github.com/opencontainers/runtime-spec/blob/main/config.md#linux-mount-options>

use nix::mount::MsFlags;

use crate::attributes::{Attributes, Recursion};
use crate::mount_propagation::MountPropagation;

/// The effect of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// None: it is the default, or it only concerns messages in the kernel's log.
    None,
    /// The mount is a bind mount.
    Bind,
    /// A mount that is there already is changed.
    Remount,
    /// An attribute is set, as by `noexec`.
    Set(Attributes),
    /// An attribute is cleared, as by `exec`.
    Clear(Attributes),
    /// This is the way in which access times are updated.
    AccessTimes(Attributes),
    /// The file system itself has this property, whoever mounts it.
    Superblock(&'static str),
    /// The file system itself does not have this property.
    NotSuperblock(&'static str),
    /// A flag which only mount(2) has.
    OldFlag(MsFlags),
    /// This is the propagation of the mount.
    Propagation(MountPropagation),
    /// The owners of its files are mapped.
    IdMap,
    /// A new tmpfs begins with the files of the directory that it covers.
    CopyUp,
}

use Effect::{
    AccessTimes, Bind, Clear, CopyUp, IdMap, NotSuperblock, OldFlag, Propagation,
    Remount, Set, Superblock,
};

#[rustfmt::skip]
const WORDS: [(&str, Effect); 40] = [
    ("defaults", Effect::None),
    ("bind", Bind),
    ("remount", Remount),
    ("ro", Set(Attributes::MOUNT_ATTR_RDONLY)),
    ("rw", Clear(Attributes::MOUNT_ATTR_RDONLY)),
    ("nosuid", Set(Attributes::MOUNT_ATTR_NOSUID)),
    ("suid", Clear(Attributes::MOUNT_ATTR_NOSUID)),
    ("nodev", Set(Attributes::MOUNT_ATTR_NODEV)),
    ("dev", Clear(Attributes::MOUNT_ATTR_NODEV)),
    ("noexec", Set(Attributes::MOUNT_ATTR_NOEXEC)),
    ("exec", Clear(Attributes::MOUNT_ATTR_NOEXEC)),
    ("nosymfollow", Set(Attributes::MOUNT_ATTR_NOSYMFOLLOW)),
    ("symfollow", Clear(Attributes::MOUNT_ATTR_NOSYMFOLLOW)),
    ("nodiratime", Set(Attributes::MOUNT_ATTR_NODIRATIME)),
    ("diratime", Clear(Attributes::MOUNT_ATTR_NODIRATIME)),
    ("noatime", AccessTimes(Attributes::MOUNT_ATTR_NOATIME)),
    ("strictatime", AccessTimes(Attributes::MOUNT_ATTR_STRICTATIME)),
    ("relatime", AccessTimes(Attributes::MOUNT_ATTR_RELATIME)),
    // The kernel's default has been relatime since Linux 2.6.30: mount(8).
    ("atime", AccessTimes(Attributes::MOUNT_ATTR_RELATIME)),
    ("nostrictatime", AccessTimes(Attributes::MOUNT_ATTR_RELATIME)),
    ("norelatime", Effect::None),
    ("sync", Superblock("sync")),
    ("async", NotSuperblock("sync")),
    ("dirsync", Superblock("dirsync")),
    ("mand", Superblock("mand")),
    ("nomand", NotSuperblock("mand")),
    ("lazytime", Superblock("lazytime")),
    ("nolazytime", NotSuperblock("lazytime")),
    ("iversion", OldFlag(MsFlags::MS_I_VERSION)),
    ("noiversion", Effect::None),
    ("acl", OldFlag(MsFlags::MS_POSIXACL)),
    ("noacl", Effect::None),
    ("silent", Effect::None),
    ("loud", Effect::None),
    ("private", Propagation(MountPropagation::Private)),
    ("slave", Propagation(MountPropagation::Slave)),
    ("shared", Propagation(MountPropagation::Shared)),
    ("unbindable", Propagation(MountPropagation::Unbindable)),
    ("idmap", IdMap),
    ("tmpcopyup", CopyUp),
];

impl Effect {
    /// Finds the effect of a word, and whether it includes the mounts below: `rro` is
    /// `ro` for them, too. None for an option of the file system itself.
    pub(crate) fn of(word: &str) -> Option<(Effect, Recursion)> {
        if let Some(effect) = find(word) {
            return Some((effect, Recursion::Alone));
        }
        let effect = find(word.strip_prefix('r')?)?;
        effect.may_be_recursive().then_some((effect, Recursion::Recursive))
    }

    fn may_be_recursive(self) -> bool {
        matches!(
            self,
            Bind | Set(_) | Clear(_) | AccessTimes(_) | Propagation(_) | IdMap
        )
    }
}

fn find(word: &str) -> Option<Effect> {
    WORDS.iter().find(|(name, _)| *name == word).map(|(_, effect)| *effect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_letter_r_makes_only_such_options_recursive_as_can_be() {
        for word in ["rro", "rrw", "rnosuid", "rnoatime", "rprivate", "rbind", "ridmap"]
        {
            let (effect, recursion) = Effect::of(word).unwrap();
            assert_eq!(recursion, Recursion::Recursive, "{word}");
            assert_eq!(Effect::of(&word[1..]), Some((effect, Recursion::Alone)));
        }
        for word in ["ro", "rw", "relatime", "remount"] {
            assert_eq!(Effect::of(word).unwrap().1, Recursion::Alone, "{word}");
        }
        for word in ["rsync", "rdefaults", "rremount", "rtmpcopyup", "size=1m", "r", ""]
        {
            assert_eq!(Effect::of(word), None, "{word}");
        }
    }

    #[test]
    fn no_word_is_in_the_table_twice() {
        let words: std::collections::HashSet<_> =
            WORDS.iter().map(|(word, _)| word).collect();
        assert_eq!(words.len(), WORDS.len());
    }
}
