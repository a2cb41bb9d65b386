//! The home of an ordinary user, for tests that run as root. It has a copy of
//! `./rootfs`, and programs that root has built, since the user can write neither into
//! `target/` nor into root's `./rootfs`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// The words that run a program as the user, by setpriv(1).
pub const NOBODY: [&str; 4] =
    ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// A script in place of cargo, which starts the program that root has built.
const CARGO: &str = r#"#!/bin/sh
[ "$1 $2 $4" = "run --bin --" ] || { echo "only this can be run: cargo run --bin NAME -- …" >&2; exit 101; }
program=${0%/*}/$3
shift 4
echo "     Running \`$program $*\`" >&2
exec "$program" "$@"
"#;

pub struct UserHome {
    dir: TempDir,
    workspace: PathBuf,
}

impl UserHome {
    pub fn make(workspace: &Path) -> Result<Self> {
        let dir = tempfile::tempdir().context("make the user's home")?;
        let user_home = UserHome { dir, workspace: workspace.to_path_buf() };
        open_to_all(user_home.dir.path())?;
        fs::create_dir(user_home.bin())?;
        for dir in [user_home.run(), user_home.home()] {
            fs::create_dir(&dir)?;
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
            run(Command::new("chown").arg("65534:65534").arg(&dir))?;
        }
        fs::write(user_home.bin().join("cargo"), CARGO)?;
        open_to_all(&user_home.bin().join("cargo"))?;
        if workspace.join("rootfs").is_dir() {
            copy(&workspace.join("rootfs"), &user_home.rootfs())?;
            run(Command::new("chown")
                .args(["-hR", "65534:65534"])
                .arg(user_home.rootfs()))?;
        }
        Ok(user_home)
    }

    /// Returns the directory of the programs that root has built.
    pub fn bin(&self) -> PathBuf {
        self.dir.path().join("bin")
    }

    /// Returns $XDG_RUNTIME_DIR, which a login would make.
    pub fn run(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// Returns $HOME. The user's images are stored below it, so that no other store is
    /// changed.
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    fn rootfs(&self) -> PathBuf {
        self.dir.path().join("rootfs")
    }

    /// Returns the words that run a command as the user, with the user's own copy
    /// mounted on `./rootfs`.
    pub fn enter_command(&self) -> Vec<String> {
        let mut enter_command = Vec::new();
        if self.rootfs().is_dir() {
            let bind = r#"mount --bind "$0" "$1" && shift && exec "$@""#;
            let paths = [self.rootfs(), self.workspace.join("rootfs")];
            let paths = paths.map(|path| path.to_string_lossy().into_owned());
            enter_command.extend(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c", bind]
                    .map(String::from),
            );
            enter_command.extend(paths);
        }
        enter_command.extend(NOBODY.map(String::from));
        enter_command
    }

    /// Builds, as root, the program that `command` is going to start.
    pub fn build_for(&self, command: &str) -> Result<()> {
        let words: Vec<_> = command.split_whitespace().collect();
        let ["cargo", "run", "--bin", name, ..] = words[..] else { return Ok(()) };
        let program = self.bin().join(name);
        if program.exists() {
            return Ok(());
        }
        let mut cargo = Command::new("cargo");
        cargo.args([
            "build",
            "--bin",
            name,
            "--message-format",
            "json-render-diagnostics",
        ]);
        let output = cargo
            .current_dir(&self.workspace)
            .stdin(Stdio::null())
            .output()
            .context("call cargo")?;
        if !output.status.success() {
            bail!("{name} is not built:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        let built = executable(&String::from_utf8_lossy(&output.stdout))
            .context("cargo built no program")?;
        kiste_tests::host::copy_program(Path::new(&built), &program);
        open_to_all(&program)
    }
}

/// Returns the last executable that cargo names in its messages.
fn executable(messages: &str) -> Option<String> {
    let named_in = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(message.get("executable")?.as_str()?.to_string())
    };
    messages.lines().filter_map(named_in).next_back()
}

/// Copies a root file system. Tries again once: the shell of another page may write its
/// history file during the copy.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let cp = || run(Command::new("cp").arg("-aT").arg(from).arg(to));
    cp().or_else(|_| cp())
}

fn open_to_all(path: &Path) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .context("open it to the user")
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::executable;

    #[test]
    fn the_executable_is_the_one_that_cargo_names() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/t/debug/06-user\"}\n\
                        {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(executable(messages).as_deref(), Some("/t/debug/06-user"));
        assert_eq!(executable("{\"reason\":\"build-finished\"}\n"), None);
    }
}
