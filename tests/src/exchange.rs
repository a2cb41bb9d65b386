//! Another user of the host, who exchanges two files all the time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};

/// The id of a user whom nobody knows on the host.
pub const OTHER_USER: u32 = 59_712;

/// Exchanges two files as [`OTHER_USER`], until it is dropped.
pub struct Exchange {
    is_finished: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Exchange {
    /// Starts to exchange these files, which the user must be able to rename.
    pub fn start(one: &Path, other: &Path) -> Self {
        let is_finished = Arc::new(AtomicBool::new(false));
        let (until, files) = (is_finished.clone(), [one, other].map(PathBuf::from));
        let thread = std::thread::spawn(move || {
            // These ids belong to the thread: setfsuid(2). The kernel then checks the
            // user's rights to files, not root's.
            setfsgid(Gid::from_raw(OTHER_USER));
            setfsuid(Uid::from_raw(OTHER_USER));
            while !until.load(Ordering::Relaxed) {
                let [one, other] = &files;
                let exchange = RenameFlags::RENAME_EXCHANGE;
                renameat2(AT_FDCWD, one, AT_FDCWD, other, exchange)
                    .expect("the user may exchange them");
            }
        });
        Exchange { is_finished, thread: Some(thread) }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.is_finished.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the files were exchanged");
        }
    }
}
