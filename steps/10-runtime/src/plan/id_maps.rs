//! The id maps of idmapped mounts: `uidMappings` and `gidMappings` of a mount.
//! <https://github.com/opencontainers/runtime-spec/blob/main/config.md#posix-platform-mounts>

use std::os::fd::AsFd;

use exec::CloneFlags;
use kit::Result;
use mount::{Entry, EntrySource};
use nix::unistd::Pid;
use oci_spec::runtime::{LinuxIdMapping, Mount};
use user::{IdMap, IdRange, namespace_of_maps, open_namespace};

use crate::invalid::invalid;
use crate::plan::Namespaces;

/// The id maps of the idmapped mounts, by their places in the list of mounts. None for
/// the maps of the container's own user namespace.
#[derive(Debug, Default)]
pub(crate) struct IdMaps(Vec<(usize, Option<(IdMap, IdMap)>)>);

impl IdMaps {
    /// Plans the id maps, and marks the mounts that have them.
    ///
    /// # Errors
    /// When only one of the two maps is there, a map is invalid, the mount is no bind
    /// mount, or there is no user namespace whose maps could be taken.
    pub fn plan(
        mounts: &[Mount],
        entries: &mut [Entry],
        namespaces: &Namespaces,
    ) -> Result<Self> {
        let mut all = Vec::new();
        for (place, (mount, entry)) in mounts.iter().zip(entries).enumerate() {
            let maps = maps_of(mount)?;
            if maps.is_none() && entry.options.id_map.is_none() {
                continue;
            }
            let refused = |why: &str| {
                let target = mount.destination().display();
                invalid(format_args!("mount on {target}: idmap: {why}"))
            };
            if !matches!(entry.source, EntrySource::Bind(..)) {
                return Err(refused("only a bind mount has other owners"));
            }
            if maps.is_none() && !namespaces.new.contains(CloneFlags::CLONE_NEWUSER) {
                return Err(refused(
                    "without a new user namespace it needs uidMappings and gidMappings",
                ));
            }
            entry.set_mapped();
            all.push((place, maps));
        }
        Ok(IdMaps(all))
    }

    /// In the runtime, before the clone: makes the mounts, and maps the owners of those
    /// that have their own maps.
    ///
    /// # Errors
    /// When the kernel refuses a map, or the file system has no idmapped mounts.
    pub fn copy_sources(&self, entries: &[Entry]) -> Result<()> {
        for (place, maps) in &self.0 {
            let entry = &entries[*place];
            entry.copy_source()?;
            if let Some((uids, gids)) = maps {
                entry.map_owners(namespace_of_maps(uids, gids)?.as_fd())?;
            }
        }
        Ok(())
    }

    /// In the runtime, while the process waits and its id maps are written: maps the
    /// owners as in its user namespace.
    ///
    /// # Errors
    /// As [`Entry::map_owners`].
    pub fn map_as_inside(&self, entries: &[Entry], child: Pid) -> Result<()> {
        let mut without_maps =
            self.0.iter().filter(|(_, maps)| maps.is_none()).peekable();
        if without_maps.peek().is_none() {
            return Ok(());
        }
        let namespace = open_namespace(child)?;
        without_maps
            .try_for_each(|(place, _)| entries[*place].map_owners(namespace.as_fd()))
    }
}

fn maps_of(mount: &Mount) -> Result<Option<(IdMap, IdMap)>> {
    let given = |map: &Option<Vec<LinuxIdMapping>>| {
        map.clone().filter(|ranges| !ranges.is_empty())
    };
    match (given(mount.uid_mappings()), given(mount.gid_mappings())) {
        (None, None) => Ok(None),
        (Some(uids), Some(gids)) => Ok(Some((map(mount, &uids)?, map(mount, &gids)?))),
        _ => {
            let target = mount.destination().display();
            Err(invalid(format_args!(
                "mount on {target}: uidMappings and gidMappings are given together"
            )))
        }
    }
}

fn map(mount: &Mount, ranges: &[LinuxIdMapping]) -> Result<IdMap> {
    let range =
        |it: &LinuxIdMapping| IdRange::new(it.container_id(), it.host_id(), it.size());
    let ranges: Result<Vec<_>, String> = ranges.iter().map(range).collect();
    ranges.and_then(IdMap::new).map_err(|why| {
        let target = mount.destination().display();
        invalid(format_args!("mount on {target}: id map: {why}"))
    })
}
