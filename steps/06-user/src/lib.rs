//! Step 6: the user namespace. Who is root inside is nobody special outside, so that no
//! root is needed to start a container. See user_namespaces(7).
//!
//! - [`Args::ids`] says which ids inside stand for which outside: [`Ids`].
//! - The parent writes them ([`Ids::write`]) while the child waits; the child then
//!   becomes the first user of its namespace ([`Ids::enter`]).
//! - Last, before the exec, it becomes who the command is to run as
//!   ([`Ids::become_user`]).

mod account;
mod args;
mod as_root;
mod doctor;
mod helper;
mod ids;
mod namespace;
mod plan;
mod subid;
mod sys;

pub use account::{Account, User};
pub use args::{Args, Mode};
pub use as_root::{as_root, how_to_get_ids, in_mount_namespace};
pub use doctor::{basics, checks};
pub use ids::{Map, Range};
pub use namespace::{Ids, open_root};
