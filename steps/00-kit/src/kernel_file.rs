//! Files that the kernel writes while they are read: those of /proc, /sys and cgroups.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::read;

/// Reads one. They say that they have no length, so `fs::read_to_string` asks for it in
/// vain, and then begins with 32 bytes: three or four calls more for each of the files
/// that a start reads.
///
/// # Errors
/// What the kernel says of open(2) and read(2).
pub fn read_kernel_file(path: impl AsRef<Path>) -> io::Result<String> {
    let file = File::open(path)?;
    let mut text = Vec::new();
    loop {
        text.reserve(4096);
        if read(&file, spare_capacity(&mut text))? == 0 {
            return String::from_utf8(text).map_err(io::Error::other);
        }
    }
}

/// Opens a directory as a place to start from: it can be neither read nor changed
/// through the descriptor (O_PATH).
///
/// # Errors
/// The kernel's reason of open(2); ENOTDIR when it is no directory.
pub fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(open(path, flags, Mode::empty())?)
}
