//! A root file system of the test's own: a copy of `./rootfs`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// The root file system that `rootfs-fetch.sh` has made: where the runner says, or in the workspace.
pub fn original() -> PathBuf {
    let fetched =
        std::env::var_os("KISTE_ROOTFS").map(PathBuf::from).unwrap_or_else(|| workspace().join("rootfs"));
    assert!(fetched.is_dir(), "{}: no root file system; ./rootfs-fetch.sh makes one", fetched.display());
    fetched
}

/// The top of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace").into()
}

/// Copies a tree: directories, files with their modes, and links.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("make a directory of the copy");
    for entry in fs::read_dir(from).expect("read the root file system").map(Result::unwrap) {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&source, &target);
        } else if kind.is_symlink() {
            symlink(fs::read_link(&source).unwrap(), &target).unwrap();
        } else if kind.is_file() {
            fs::copy(&source, &target).unwrap_or_else(|error| panic!("copy {}: {error}", source.display()));
        }
    }
    let mode = fs::metadata(from).unwrap().permissions().mode();
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).unwrap();
}
