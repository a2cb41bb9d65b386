//! `tmpcopyup`: a new tmpfs begins with the files of the directory that it covers. All
//! work is done on descriptors, and no symbolic link is followed: the image has chosen
//! what is there.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Result;
use kit::Hint;
use nix::errno::Errno;
use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid,
    chownat, fchmod, futimens, mkdirat, mknodat, openat, readlinkat, statat, symlinkat,
    utimensat,
};

/// The deepest directory that is copied. Every level has two descriptors open.
const MAX_DEPTH: usize = 200;

/// Copies the files of the directory `from`, with their modes, owners and times, to the
/// new file system at `to`.
///
/// # Errors
/// When a file cannot be read, the file system is too small, or directories are nested
/// more than 200 deep.
pub(crate) fn copy(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &Path,
) -> Result<()> {
    let why = "tmpcopyup: the files that the tmpfs covers";
    kit::call(why, "copy", name.display(), || copy_directory(from, to, MAX_DEPTH))
        .hint_on(Errno::ENOSPC, "the size of this tmpfs is less than that of its files")
}

fn copy_directory(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    depth: usize,
) -> io::Result<()> {
    // The descriptor of a target has O_PATH, by which no directory can be read.
    let readable = openat(from, ".", DIRECTORY, Mode::empty())?;
    for entry in Dir::read_from(&readable)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(from, to, name, depth)?;
        }
    }
    Ok(())
}

const DIRECTORY: OFlags =
    OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn copy_entry(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &CStr,
    depth: usize,
) -> io::Result<()> {
    let found = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => {
            let deeper = depth.checked_sub(1).ok_or(rustix::io::Errno::NAMETOOLONG)?;
            mkdirat(to, name, Mode::RWXU)?;
            let new = openat(to, name, DIRECTORY, Mode::empty())?;
            let old = openat(from, name, DIRECTORY, Mode::empty())?;
            copy_directory(old.as_fd(), new.as_fd(), deeper)?;
            copy_metadata(&new, to, name, &found)
        }
        FileType::RegularFile => {
            let new = copy_regular_file(from, to, name)?;
            copy_metadata(&new, to, name, &found)
        }
        FileType::Symlink => {
            symlinkat(readlinkat(from, name, Vec::new())?.as_c_str(), to, name)?;
            copy_owner_and_times(to, name, &found)
        }
        kind => {
            mknodat(to, name, kind, Mode::from(found.st_mode), found.st_rdev)?;
            copy_owner_and_times(to, name, &found)
        }
    }
}

fn copy_regular_file(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &CStr,
) -> io::Result<OwnedFd> {
    // NONBLOCK: were it a FIFO by now, nothing would wait.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut old = File::from(openat(from, name, flags, Mode::empty())?);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut new = File::from(openat(to, name, flags, Mode::RUSR | Mode::WUSR)?);
    if old.metadata()?.is_file() {
        io::copy(&mut old, &mut new)?;
    }
    Ok(new.into())
}

fn copy_metadata(
    new: &OwnedFd,
    to: BorrowedFd<'_>,
    name: &CStr,
    found: &Stat,
) -> io::Result<()> {
    chownat(
        to,
        name,
        Some(Uid::from_raw(found.st_uid)),
        Some(Gid::from_raw(found.st_gid)),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    // After the owner: chown(2) clears the set-user-ID bit.
    fchmod(new, Mode::from(found.st_mode & 0o7777))?;
    Ok(futimens(new, &times(found))?)
}

fn copy_owner_and_times(
    to: BorrowedFd<'_>,
    name: &CStr,
    found: &Stat,
) -> io::Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let (uid, gid) = (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid));
    chownat(to, name, Some(uid), Some(gid), flags)?;
    Ok(utimensat(to, name, &times(found), flags)?)
}

fn times(found: &Stat) -> Timestamps {
    let time =
        |seconds: i64, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    Timestamps {
        last_access: time(found.st_atime, found.st_atime_nsec as _),
        last_modification: time(found.st_mtime, found.st_mtime_nsec as _),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;
    use crate::test_root::TestRoot;

    #[test]
    fn files_are_copied_with_their_modes_and_times_and_no_link_is_followed() {
        let root = TestRoot::new("copy-up");
        let (old, new) = (root.path().join("old"), root.path().join("new"));
        fs::create_dir_all(old.join("dir/below")).unwrap();
        fs::create_dir(&new).unwrap();
        fs::write(old.join("dir/file"), "text").unwrap();
        fs::set_permissions(old.join("dir/file"), PermissionsExt::from_mode(0o4751))
            .unwrap();
        fs::set_permissions(old.join("dir"), PermissionsExt::from_mode(0o1777))
            .unwrap();
        symlink(root.outside(), old.join("link")).unwrap();
        nix::unistd::mkfifo(&old.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let open = |path: &Path| File::open(path).unwrap();
        copy(open(&old).as_fd(), open(&new).as_fd(), Path::new("/new")).unwrap();

        assert_eq!(fs::read_to_string(new.join("dir/file")).unwrap(), "text");
        for path in ["dir", "dir/below", "dir/file", "fifo", "link"] {
            let [before, after] =
                [&old, &new].map(|it| fs::symlink_metadata(it.join(path)).unwrap());
            assert_eq!(before.mode(), after.mode(), "{path}");
            assert_eq!(before.modified().unwrap(), after.modified().unwrap(), "{path}");
        }
        assert_eq!(fs::read_link(new.join("link")).unwrap(), root.outside());
    }
}
