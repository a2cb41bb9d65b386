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

/// Copies a program of the host's to `/name` of a root file system, with the libraries it needs, each
/// to where it is on the host.
pub fn install(program: &Path, name: &str, rootfs: &Path) {
    fs::copy(program, rootfs.join(name)).expect("copy the program");
    let output = std::process::Command::new("ldd").arg(program).output().expect("run ldd, of the C library");
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    for library in listed.split_whitespace().filter(|word| word.starts_with('/')) {
        let target = rootfs.join(library.trim_start_matches('/'));
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        if !target.exists() {
            fs::copy(library, &target).unwrap_or_else(|error| panic!("copy {library}: {error}"));
        }
    }
}
