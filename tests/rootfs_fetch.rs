//! Tests the script `rootfs-fetch.sh`, which makes a reader's first root file system.
//! The tests need no network, and run as root or as an ordinary user.

#[path = "rootfs_fetch/fetch.rs"]
mod fetch;
#[path = "scripts/test_dir.rs"]
mod test_dir;

#[path = "rootfs_fetch/archives.rs"]
mod archives;
#[path = "rootfs_fetch/destination.rs"]
mod destination;
#[path = "rootfs_fetch/interrupted.rs"]
mod interrupted;
#[path = "rootfs_fetch/mirrors.rs"]
mod mirrors;
#[path = "rootfs_fetch/sources.rs"]
mod sources;
