//! Attacks on low-level runtimes that worked once, each tried for real and looked at
//! from outside: the host must be as it was.

#[path = "attacks/canary.rs"]
mod canary;
#[path = "attacks/descriptors.rs"]
mod descriptors;
#[path = "attacks/killed.rs"]
mod killed;
#[path = "attacks/links.rs"]
mod links;
#[path = "attacks/overwrite.rs"]
mod overwrite;
#[path = "attacks/passwd.rs"]
mod passwd;
#[path = "attacks/privileges.rs"]
mod privileges;
#[path = "attacks/procfs.rs"]
mod procfs;
#[path = "attacks/races.rs"]
mod races;
