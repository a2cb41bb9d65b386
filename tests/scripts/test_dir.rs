//! A directory of one test's own, in which the scripts run, with fake programs in dir
//! of real ones.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Every program that the scripts and the fakes may call.
const USED_BY_THE_SCRIPTS: &str = "apt-get basename busybox cat chmod chown cp curl cut dirname dpkg-deb env \
    find flock grep gzip head id ldd ln ls mkdir mktemp mv openssl readlink rm sed setsid sh sha512sum sleep sort sudo \
    tail tar tr uname wget";

/// A directory of one test's own.
pub struct TestDir {
    pub temp: TempDir,
}

impl TestDir {
    pub fn new() -> Self {
        let temp = TempDir::new().unwrap();
        // The runner's tests run as another user if root starts them.
        fs::set_permissions(temp.path(), PermissionsExt::from_mode(0o755)).unwrap();
        TestDir { temp }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// Makes a program that takes the dir of the real one.
    pub fn fake(&self, name: &str, script: &str) {
        self.write(&format!("fakes/{name}"), &format!("#!/bin/sh\n{script}\n"));
    }

    /// Makes a PATH that has every program that the scripts use, except these.
    pub fn path_without(&self, absent: &[&str]) -> String {
        let directory = self.path("path");
        fs::create_dir_all(&directory).unwrap();
        for name in
            USED_BY_THE_SCRIPTS.split_whitespace().filter(|name| !absent.contains(name))
        {
            let found = std::env::var("PATH").unwrap();
            let found = found
                .split(':')
                .chain(["/usr/sbin", "/sbin"])
                .map(|on_path| Path::new(on_path).join(name));
            if let Some(program) = { found }.find(|program| program.is_file()) {
                symlink(program, directory.join(name)).unwrap();
            }
        }
        directory.into_os_string().into_string().unwrap()
    }

    pub fn fakes_first(&self) -> String {
        format!("{}:{}", self.path("fakes").display(), std::env::var("PATH").unwrap())
    }
}

/// Returns the root directory of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
