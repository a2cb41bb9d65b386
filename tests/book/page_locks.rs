//! Locks between pages that must not run at the same time: two readers at one machine
//! would see each other's files and cgroups. The locks are files, since the pages may
//! run in several processes: cargo-nextest starts one for each test.

use std::fs::File;

use anyhow::{Context, Result};

use super::host::Host;
use super::pages::Page;
use super::stand_in::StandIn;

/// The locks that are held while a page runs.
pub struct PageLocks {
    _locks: Vec<File>,
}

#[derive(Clone, Copy)]
enum Lock {
    Shared,
    Exclusive,
}

/// Waits until no page runs that excludes this one, and excludes it in turn.
///
/// # Errors
/// When a lock file cannot be made beside the executable of the tests.
pub fn of(page: &Page, host: &Host) -> Result<PageLocks> {
    let number = page.number();
    // A page and its fast lane exclude each other: they use the same names.
    let name = number.map_or("other".into(), |number| number.to_string());
    // Always in this order, so that two pages cannot deadlock.
    let mut locks = vec![lock(&format!("page-{name}"), Lock::Exclusive)?];
    let is_demos = page.path.ends_with("demos.md");
    // A page that runs in namespaces of its own has its own `./rootfs` there.
    if is_demos || number >= Some(4) && !StandIn::is_for(page, host) {
        locks.push(lock("rootfs", Lock::Exclusive)?);
    }
    // Some pages list the parent cgroup of all containers, /sys/fs/cgroup/kiste.
    if number == Some(5) || page.path.ends_with("proof.md") {
        locks.push(lock("cgroups", Lock::Exclusive)?);
    } else if is_demos || number >= Some(5) {
        locks.push(lock("cgroups", Lock::Shared)?);
    }
    Ok(PageLocks { _locks: locks })
}

/// Takes a lock. The kernel releases it when the file is closed, even if this process
/// is killed: flock(2).
fn lock(name: &str, lock: Lock) -> Result<File> {
    let test = std::env::current_exe().context("the path of this test")?;
    let path = test.with_file_name(format!("book-{name}.lock"));
    let file =
        File::create(&path).with_context(|| format!("create {}", path.display()))?;
    match lock {
        Lock::Shared => file.lock_shared(),
        Lock::Exclusive => file.lock(),
    }
    .with_context(|| format!("lock {}", path.display()))?;
    Ok(file)
}
