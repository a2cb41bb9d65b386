//! Which pages may be played at the same time: two readers at one machine would see each
//! other's files and cgroups.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::sync::{RwLockReadGuard, RwLockWriteGuard};

use super::host::{Host, Root};
use super::pages::Page;

/// All of a page, and its fast lane: they use the same names. The last is of all pages
/// that are no chapter.
static PAGES: [Mutex<()>; 12] = [const { Mutex::new(()) }; 12];

/// An ordinary user has one `./rootfs`. Where the tests are root, each page has its own.
static ROOTFS: Mutex<()> = Mutex::new(());

/// The cgroup of all containers, `/sys/fs/cgroup/kiste`.
static CGROUPS: RwLock<()> = RwLock::new(());

/// Kept while a page is played.
pub struct Turn {
    _page: MutexGuard<'static, ()>,
    _rootfs: Option<MutexGuard<'static, ()>>,
    _cgroups: Cgroups,
}

enum Cgroups {
    NotUsed,
    Used { _guard: RwLockReadGuard<'static, ()> },
    LookedAt { _guard: RwLockWriteGuard<'static, ()> },
}

/// Waits until nobody is in this page's way.
pub fn wait_for(page: &Page, host: &Host) -> Turn {
    let number = page.number().map(|number| number as usize);
    let last = PAGES.len() - 1;
    let page_lock = &PAGES[number.unwrap_or(last).min(last)];
    let shares_rootfs = number >= Some(4) && host.root != Root::Already;
    // Always in this order, so that no two wait for each other. A page that has failed
    // leaves the lock as good as before.
    Turn {
        _page: page_lock.lock().unwrap_or_else(PoisonError::into_inner),
        _rootfs: shares_rootfs
            .then(|| ROOTFS.lock().unwrap_or_else(PoisonError::into_inner)),
        _cgroups: Cgroups::of(page, number),
    }
}

impl Cgroups {
    fn of(page: &Page, number: Option<usize>) -> Self {
        if number == Some(5) || page.path.ends_with("proof.md") {
            let guard = CGROUPS.write().unwrap_or_else(PoisonError::into_inner);
            Cgroups::LookedAt { _guard: guard }
        } else if number >= Some(5) {
            let guard = CGROUPS.read().unwrap_or_else(PoisonError::into_inner);
            Cgroups::Used { _guard: guard }
        } else {
            Cgroups::NotUsed
        }
    }
}
