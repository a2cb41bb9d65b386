//! The options of one mount, read word by word.

use nix::mount::MsFlags;

use crate::attributes::{AttributeChange, Attributes, Recursion};
use crate::mount_propagation::MountPropagation;
use crate::option_words::Effect;

/// The options of a mount: mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS", and those
/// of the OCI runtime specification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// Whether it is a bind mount, and whether that includes the mounts below its
    /// source.
    pub bind: Option<Recursion>,
    /// Whether a mount that is there already is changed.
    pub is_remount: bool,
    /// The attributes of the mount.
    pub attributes: AttributeChange,
    /// The attributes of the mount and of all mounts below it.
    pub recursive_attributes: AttributeChange,
    /// The properties of the file system itself, as fsconfig(2) names them: `sync`.
    pub superblock: Vec<&'static str>,
    /// Flags which only mount(2) has.
    pub old_flags: Vec<MsFlags>,
    /// The propagation of the mount, in the order in which it is set: a mount can
    /// become a slave, and then shared among its own copies.
    pub propagation: Vec<(MountPropagation, Recursion)>,
    /// Whether the owners of its files are mapped, and those of the mounts below.
    pub id_map: Option<Recursion>,
    /// Whether a new tmpfs begins with the files of the directory that it covers.
    pub copy_up: bool,
    /// The options of the file system itself: `size=64k`.
    pub data: Vec<String>,
}

impl MountOptions {
    /// Reads options. A later one takes precedence over an earlier one. A word that is
    /// none of mount(8)'s is an option of the file system.
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut options = MountOptions::default();
        for word in words.into_iter().filter(|word| !word.is_empty()) {
            match Effect::of(word) {
                Some((effect, recursion)) => options.apply(effect, recursion),
                None => options.data.push(word.into()),
            }
        }
        options
    }

    fn apply(&mut self, effect: Effect, recursion: Recursion) {
        let attributes = match recursion {
            Recursion::Alone => &mut self.attributes,
            Recursion::Recursive => &mut self.recursive_attributes,
        };
        match effect {
            Effect::None => {}
            Effect::Bind => self.bind = Some(recursion),
            Effect::Remount => self.is_remount = true,
            Effect::Set(attribute) => attributes.set(attribute),
            Effect::Clear(attribute) => attributes.clear(attribute),
            Effect::AccessTimes(mode) => attributes.update_access_times(mode),
            Effect::Superblock(name) => self.superblock.push(name),
            Effect::NotSuperblock(name) => self.superblock.retain(|it| *it != name),
            Effect::OldFlag(flag) => self.old_flags.push(flag),
            Effect::Propagation(kind) => self.propagation.push((kind, recursion)),
            Effect::IdMap => self.id_map = Some(recursion),
            Effect::CopyUp => self.copy_up = true,
        }
    }

    /// Returns all attributes that a new mount has, which has no mounts below it.
    pub(crate) fn attributes_of_new(&self) -> Attributes {
        let mut change = self.attributes;
        change.clear(self.recursive_attributes.clear);
        change.set(self.recursive_attributes.set);
        change.set
    }

    /// Whether nothing can be written on the mount.
    pub fn is_read_only(&self) -> bool {
        self.attributes_of_new().contains(Attributes::MOUNT_ATTR_RDONLY)
    }

    /// Whether it has an option of the file system with this name.
    pub(crate) fn has_data(&self, name: &str) -> bool {
        let key = |word: &String| word.split('=').next() == Some(name);
        self.data.iter().any(key)
    }
}

impl AttributeChange {
    fn set(&mut self, attributes: Attributes) {
        self.set |= attributes;
        self.clear -= attributes;
    }

    fn clear(&mut self, attributes: Attributes) {
        self.set -= attributes;
        self.clear |= attributes;
    }

    /// mount_setattr(2): one of three modes is set, and the old one must be cleared.
    fn update_access_times(&mut self, mode: Attributes) {
        self.set -= Attributes::MOUNT_ATTR__ATIME;
        self.set |= mode;
        self.clear |= Attributes::MOUNT_ATTR__ATIME;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> MountOptions {
        MountOptions::new(words.split(','))
    }

    #[test]
    fn a_later_option_takes_precedence() {
        let options = read("ro,nosuid,rw,noexec,exec,sync,async,strictatime,noatime");
        let attributes = AttributeChange {
            set: Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NOATIME,
            clear: Attributes::MOUNT_ATTR_RDONLY
                | Attributes::MOUNT_ATTR_NOEXEC
                | Attributes::MOUNT_ATTR__ATIME,
        };
        assert_eq!(options, MountOptions { attributes, ..MountOptions::default() });
    }

    #[test]
    fn recursive_options_are_apart_and_unknown_ones_belong_to_the_file_system() {
        let options = read("rbind,ro,rnosuid,rslave,shared,size=64k,newinstance");
        assert_eq!(options.bind, Some(Recursion::Recursive));
        assert_eq!(options.attributes, Attributes::MOUNT_ATTR_RDONLY.into());
        assert_eq!(options.recursive_attributes, Attributes::MOUNT_ATTR_NOSUID.into());
        assert_eq!(options.data, ["size=64k", "newinstance"]);
        let slave = (MountPropagation::Slave, Recursion::Recursive);
        let shared = (MountPropagation::Shared, Recursion::Alone);
        assert_eq!(options.propagation, [slave, shared]);
    }
}
