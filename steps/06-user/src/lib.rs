//! Step 6: the user namespace. Root inside is an ordinary id outside, so that starting
//! a container needs no root. See user_namespaces(7).
//!
//! - [`Args::ids`] or [`Userns::ids`] chooses the ids of the container: [`Ids`].
//! - The parent writes the maps ([`Ids::write`]) while the child waits; the child then
//!   becomes the first user of its namespace ([`Ids::enter`]).
//! - Just before the exec, it becomes the user that the command runs as
//!   ([`Ids::become_user`]).

mod account;
mod args;
mod as_root;
mod credentials;
mod doctor;
mod exposure;
mod free_ids;
mod helpers;
mod id_map;
mod joined;
mod keyring;
mod map_namespace;
mod more_groups;
mod more_ids;
mod namespace;
mod pipes;
mod plan;
mod process_maps;
mod subid;
mod sys;

pub use account::{Account, User};
pub use args::{Args, helpers};
pub use as_root::{as_root, as_root_in_child, in_mount_namespace};
pub use doctor::{basics, checks};
pub use helpers::Helpers;
pub use id_map::{IdMap, IdRange};
pub use keyring::Keyring;
pub use map_namespace::namespace_of_maps;
pub use more_groups::Group;
pub use more_ids::how_to_get_ids;
pub use namespace::{Ids, open_root};
pub use plan::Userns;
pub use process_maps::open_namespace;
