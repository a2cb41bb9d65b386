//! Finds a program as execvp(3) does.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// Finds the first executable file called `name` in the directories of `path`, which is
/// the value of `$PATH`. A name with a slash is itself the path; an empty directory
/// stands for the current one.
pub fn find_program(path: &OsStr, name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let name = name.as_ref();
    if name.is_empty() {
        return None;
    }
    if name.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(name)).filter(|program| is_program(program));
    }
    std::env::split_paths(path)
        .map(|directory| match directory.as_os_str().is_empty() {
            true => Path::new(".").join(name),
            false => directory.join(name),
        })
        .find(|program| is_program(program))
}

fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_first_executable_file_of_that_name_is_found() {
        let scratch = tempfile::tempdir().unwrap();
        let make_tool = |directory: &str, mode: u32| {
            fs::create_dir(scratch.path().join(directory)).unwrap();
            let file = scratch.path().join(directory).join("tool");
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            file
        };
        let (plain, first) = (make_tool("plain", 0o644), make_tool("first", 0o755));
        let second = make_tool("second", 0o755);
        fs::create_dir_all(scratch.path().join("directory/tool")).unwrap();
        let directories = ["missing", "directory", "plain", "first", "second"];
        let path = std::env::join_paths(directories.map(|it| scratch.path().join(it)))
            .unwrap();

        assert_eq!(find_program(&path, "tool"), Some(first));
        assert_eq!(find_program(&path, "other"), None);
        assert_eq!(find_program(&path, ""), None);
        let found = |program: &Path| find_program(&path, program.to_str().unwrap());
        assert_eq!(found(&second), Some(second.clone()), "a path is not looked up");
        assert_eq!(found(&plain), None);
        assert_eq!(find_program("".as_ref(), "no-such-tool"), None);
    }
}
