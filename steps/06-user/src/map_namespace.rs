//! A user namespace that exists only for its maps: mount_setattr(2) takes the maps of
//! an idmapped mount from one.

use std::fs::File;

use anyhow::Result;
use exec::{CloneFlags, Spawn};
use kit::Failure;

use crate::id_map::IdMap;
use crate::process_maps::{open_namespace, write_both};

/// Makes a user namespace with these maps. Nobody is in it.
///
/// # Errors
/// When the kernel refuses the maps. It takes any from root.
pub fn namespace_of_maps(uids: &IdMap, gids: &IdMap) -> Result<File> {
    let mut namespace = None;
    // A namespace begins with a process, and goes on as long as it is open. This
    // process is never started: it is killed once the namespace is open.
    let ended = Spawn::new(CloneFlags::CLONE_NEWUSER)
        .before_start(|child| {
            write_both(child, uids, gids)?;
            namespace = Some(open_namespace(child)?);
            Err(Failure::new("only its namespace was needed").into())
        })
        .spawn(|_| Err(Failure::new("it is never started").into()));
    match (namespace, ended) {
        (Some(namespace), _) => Ok(namespace),
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(Failure::new("a process without a namespace").into()),
    }
}
