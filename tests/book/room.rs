//! What an ordinary user has, when the tests are root: a root file system of their own,
//! and the steps that root has built. They can write neither into `target/` nor into
//! root's `./rootfs`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// Who the user is, for setpriv(1).
pub const NOBODY: [&str; 4] =
    ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// Stands in for cargo: starts what was built.
const CARGO: &str = r#"#!/bin/sh
[ "$1 $2 $4" = "run --bin --" ] || { echo "play can only: cargo run --bin NAME -- …" >&2; exit 101; }
program=${0%/*}/$3
shift 4
echo "     Running \`$program $*\`" >&2
exec "$program" "$@"
"#;

pub struct Room {
    dir: TempDir,
    workspace: PathBuf,
}

impl Room {
    pub fn make(workspace: &Path) -> Result<Self> {
        let dir = tempfile::tempdir().context("make the user's room")?;
        let room = Room { dir, workspace: workspace.to_path_buf() };
        open_to_all(room.dir.path())?;
        fs::create_dir(room.bin())?;
        for own in [room.run(), room.home()] {
            fs::create_dir(&own)?;
            fs::set_permissions(&own, fs::Permissions::from_mode(0o700))?;
            run(Command::new("chown").arg("65534:65534").arg(&own))?;
        }
        fs::write(room.bin().join("cargo"), CARGO)?;
        open_to_all(&room.bin().join("cargo"))?;
        if workspace.join("rootfs").is_dir() {
            copy(&workspace.join("rootfs"), &room.rootfs())?;
            run(Command::new("chown").args(["-hR", "65534:65534"]).arg(room.rootfs()))?;
        }
        Ok(room)
    }

    /// Where the user's programs are.
    pub fn bin(&self) -> PathBuf {
        self.dir.path().join("bin")
    }

    /// $XDG_RUNTIME_DIR, as a login would make it.
    pub fn run(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// $HOME. Images go below it: nobody else's store is touched.
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    fn rootfs(&self) -> PathBuf {
        self.dir.path().join("rootfs")
    }

    /// Put before a command: in it, `./rootfs` is the user's own, and the caller is the
    /// user.
    pub fn entrance(&self) -> Vec<String> {
        let mut entrance = Vec::new();
        if self.rootfs().is_dir() {
            let bind = r#"mount --bind "$0" "$1" && shift && exec "$@""#;
            let paths = [self.rootfs(), self.workspace.join("rootfs")];
            let paths = paths.map(|path| path.to_string_lossy().into_owned());
            entrance.extend(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c", bind]
                    .map(String::from),
            );
            entrance.extend(paths);
        }
        entrance.extend(NOBODY.map(String::from));
        entrance
    }

    /// Builds, as root, what `command` is going to start.
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

/// The last program that cargo names in its messages.
fn executable(messages: &str) -> Option<String> {
    let of = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(message.get("executable")?.as_str()?.to_string())
    };
    messages.lines().filter_map(of).next_back()
}

/// Copies a root file system. A shell of another page may just leave its history in it:
/// then once more.
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
    fn the_program_is_the_one_that_cargo_names() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/t/debug/06-user\"}\n\
                        {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(executable(messages).as_deref(), Some("/t/debug/06-user"));
        assert_eq!(executable("{\"reason\":\"build-finished\"}\n"), None);
    }
}
