//! The attributes of a mount, which mount_setattr(2) sets and clears.

/// Attributes of a mount: mount_setattr(2), MOUNT_ATTR_*.
pub use rustix::mount::MountAttrFlags as Attributes;

/// The attributes of a mount that only holds data: its set-user-ID bits have no effect,
/// and no device on it can be opened and no program executed (mount(8)).
pub const NOSUID_NODEV_NOEXEC: Attributes = Attributes::MOUNT_ATTR_NOSUID
    .union(Attributes::MOUNT_ATTR_NODEV)
    .union(Attributes::MOUNT_ATTR_NOEXEC);

/// A change of a mount's attributes. An attribute in neither set stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeChange {
    /// The attributes to set, as `noexec` does.
    pub set: Attributes,
    /// The attributes to clear, as `exec` does.
    pub clear: Attributes,
}

impl AttributeChange {
    /// No change at all.
    pub const NONE: AttributeChange =
        AttributeChange { set: Attributes::empty(), clear: Attributes::empty() };
}

impl Default for AttributeChange {
    fn default() -> Self {
        AttributeChange::NONE
    }
}

/// Sets these attributes and clears none.
impl From<Attributes> for AttributeChange {
    fn from(set: Attributes) -> Self {
        AttributeChange { set, ..AttributeChange::NONE }
    }
}

/// Shows the attributes to set, then those to clear: `RDONLY|NOSUID, clear NOEXEC`.
impl std::fmt::Display for AttributeChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let set = (!self.set.is_empty()).then(|| attribute_names(self.set));
        let clear = (!self.clear.is_empty())
            .then(|| format!("clear {}", attribute_names(self.clear)));
        let parts: Vec<_> = set.into_iter().chain(clear).collect();
        f.write_str(&parts.join(", "))
    }
}

fn attribute_names(attributes: Attributes) -> String {
    attributes
        .iter_names()
        .map(|(name, _)| name.trim_start_matches("MOUNT_ATTR_"))
        .collect::<Vec<_>>()
        .join("|")
}

/// Whether a bind mount or a change of attributes includes the mounts below the mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recursion {
    /// This mount alone.
    Alone,
    /// This mount and all mounts below it.
    Recursive,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_shown_by_the_names_in_the_man_page_without_their_prefix() {
        let set = AttributeChange::from(Attributes::MOUNT_ATTR_RDONLY);
        assert_eq!(set.to_string(), "RDONLY");
        let clear = Attributes::MOUNT_ATTR_NOSUID;
        assert_eq!(
            AttributeChange { clear, ..set }.to_string(),
            "RDONLY, clear NOSUID"
        );
        let all = AttributeChange::from(NOSUID_NODEV_NOEXEC);
        assert_eq!(all.to_string(), "NOSUID|NODEV|NOEXEC");
    }
}
