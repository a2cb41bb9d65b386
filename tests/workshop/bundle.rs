//! Makes the offline stick: everything that a room without a network needs.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use kiste_course::checkout;
use sha2::{Digest, Sha256, Sha512};

use crate::breakage::refuse_broken;
use crate::files::write;
use crate::workspace::Workspace;

const SETUP: &str = include_str!("stick/setup.sh");
const PACKAGES: &str = include_str!("stick/packages.txt");
const README: &str = include_str!("stick/README.md");

/// Cargo's setting for every workspace below this directory: the crates are in `vendor`.
const CARGO_CONFIG: &str = "\
[source.crates-io]
replace-with = \"stick\"

[source.stick]
directory = \"vendor\"
";

/// Makes the stick in a directory that does not exist, or is empty.
///
/// # Errors
/// When the crates cannot be had, when the book cannot be built, or a file cannot be
/// written. Nothing is left then. A root file system that cannot be had is named.
pub fn bundle(workspace: &Workspace, dir: &Path) -> Result<()> {
    refuse_broken(workspace)?;
    let mut missing = Vec::new();
    let dir = workspace.make_directory(dir, |stick| {
        anstream::eprintln!("the workspace");
        for file in checkout::all_files(workspace.root())? {
            let source = workspace.root().join(&file);
            checkout::copy_changed(&source, &stick.join("kiste").join(&file))
                .with_context(|| file.display().to_string())?;
        }
        anstream::eprintln!("the crates");
        vendor(&stick.join("kiste"), &stick.join("vendor"))?;
        write(&stick.join(".cargo/config.toml"), CARGO_CONFIG)?;
        anstream::eprintln!("the book");
        build_book(workspace.root(), &stick.join("book"))?;
        anstream::eprintln!("the root file systems");
        missing = root_file_systems(workspace.root(), stick)?;
        write(&stick.join("README.md"), README)?;
        write(&stick.join("packages.txt"), PACKAGES)?;
        write(&stick.join("setup.sh"), SETUP)?;
        make_readable(stick)?;
        anstream::eprintln!("the checksums");
        write(&stick.join("SHA256SUMS"), &checksums(stick)?)?;
        Ok(())
    })?;
    for missing in missing {
        anstream::println!("not on the stick: {missing}");
    }
    anstream::println!("{} is ready; on a laptop: sh setup.sh", dir.display());
    Ok(())
}

/// Copies the source of all crates of Cargo.lock.
fn vendor(workspace: &Path, to: &Path) -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.current_dir(workspace).args(["vendor", "--locked", "--quiet"]).arg(to);
    let status = cargo.stdout(Stdio::null()).status().context("start cargo")?;
    ensure!(status.success(), "cargo vendor fails: {status}");
    Ok(())
}

fn build_book(workspace: &Path, to: &Path) -> Result<()> {
    let mut mdbook = Command::new("mdbook");
    mdbook.arg("build").arg(workspace.join("book")).arg("-d").arg(to);
    let status = mdbook
        .status()
        .context("start mdbook\nhint: cargo install mdbook --version 0.5.4 --locked")?;
    ensure!(status.success(), "mdbook fails: {status}");
    Ok(())
}

/// Fetches the pinned root file systems of all machines. Returns what cannot be had.
fn root_file_systems(workspace: &Path, stick: &Path) -> Result<Vec<String>> {
    let script = fs::read_to_string(workspace.join("rootfs-fetch.sh"))?;
    let pins = pins(&script);
    ensure!(!pins.is_empty(), "rootfs-fetch.sh has no pinned versions");
    let mut missing = Vec::new();
    for machine in ["x86_64", "aarch64"] {
        let mut reason = String::new();
        let found = pins.iter().filter(|pin| pin.machine == machine).any(|pin| {
            let fetched = pin.fetch(&stick.join(pin.file()));
            fetched.inspect_err(|error| reason = format!("{error:#}")).is_ok()
        });
        if !found {
            missing.push(format!("a root file system for {machine}: {reason}"));
        }
    }
    Ok(missing)
}

/// A version of Alpine's minirootfs for a machine, and its SHA-512.
struct Pin {
    version: String,
    machine: String,
    digest: String,
}

/// Reads the pins: lines of a version, a machine and 128 hexadecimal digits.
fn pins(script: &str) -> Vec<Pin> {
    let pin = |line: &str| match line.split(' ').collect::<Vec<_>>()[..] {
        [version, machine, digest] if digest.len() == 128 => Some(Pin {
            version: version.into(),
            machine: machine.into(),
            digest: digest.into(),
        }),
        _ => None,
    };
    script.lines().filter_map(pin).collect()
}

impl Pin {
    fn file(&self) -> String {
        format!("alpine-minirootfs-{}-{}.tar.gz", self.version, self.machine)
    }

    /// Copies $KISTE_ALPINE if it is this one, or else downloads it.
    fn fetch(&self, to: &Path) -> Result<()> {
        let own = std::env::var_os("KISTE_ALPINE").map(PathBuf::from);
        if let Some(bytes) = own.and_then(|path| fs::read(path).ok())
            && self.verify(&bytes)
        {
            return fs::write(to, bytes).with_context(|| to.display().to_string());
        }
        let mirror = std::env::var("KISTE_MIRROR")
            .unwrap_or("https://dl-cdn.alpinelinux.org/alpine".into());
        let series = self.version.rsplit_once('.').map_or("", |(series, _)| series);
        let url =
            format!("{mirror}/v{series}/releases/{}/{}", self.machine, self.file());
        let mut curl = Command::new("curl");
        curl.args(["-fsSL", "--connect-timeout", "10", "--retry", "2", "-o"]).arg(to);
        let status = curl.arg(&url).status().context("start curl")?;
        if !status.success() {
            bail!("{url} cannot be had");
        }
        let is_whole = self.verify(&fs::read(to)?);
        if !is_whole {
            fs::remove_file(to)?;
            bail!("{url} is not the file that rootfs-fetch.sh has pinned");
        }
        Ok(())
    }

    fn verify(&self, bytes: &[u8]) -> bool {
        hex(&Sha512::digest(bytes)) == self.digest
    }
}

/// Lets everybody read the stick: in some crates only the owner may, and cargo keeps that.
fn make_readable(stick: &Path) -> Result<()> {
    for path in files_below(stick)? {
        let mut permissions = fs::metadata(&path)?.permissions();
        permissions.set_mode(permissions.mode() | 0o444);
        fs::set_permissions(&path, permissions)
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Lists the digests of all files, as sha256sum(1) reads them. The set-up copies no
/// others.
fn checksums(stick: &Path) -> Result<String> {
    let mut list = String::new();
    for path in files_below(stick)? {
        let name = path.strip_prefix(stick)?.display();
        writeln!(list, "{}  {name}", hex(&Sha256::digest(fs::read(&path)?)))?;
    }
    Ok(list)
}

/// Lists all files. A crate may have a directory `target`, which
/// [`checkout::files_below`] leaves out.
fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => files.extend(files_below(&entry.path())?),
            false => files.push(entry.path()),
        }
    }
    files.sort();
    Ok(files)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_pinned_root_file_systems_are_those_of_the_script() {
    let script = fs::read_to_string(kiste_course::workspace().join("rootfs-fetch.sh"));
    let pins = pins(&script.unwrap());
    let machines: Vec<_> = pins.iter().map(|pin| &*pin.machine).collect();
    assert!(machines.contains(&"x86_64") && machines.contains(&"aarch64"));
    let empty = Pin {
        version: "3.24.2".into(),
        machine: "x86_64".into(),
        digest: hex(&Sha512::digest(b"")),
    };
    assert!(empty.verify(b"") && !empty.verify(b"changed"));
    assert_eq!(empty.file(), "alpine-minirootfs-3.24.2-x86_64.tar.gz");
}

#[test]
fn everybody_may_read_the_stick() {
    let stick = tempfile::tempdir().unwrap();
    let file = stick.path().join("vendor/fnv/lib.rs");
    write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    make_readable(stick.path()).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
}

#[cfg(test)]
mod set_up {
    use super::*;

    /// A small stick, and a laptop whose cargo and sudo do nothing.
    struct Room(tempfile::TempDir);

    impl Room {
        fn new() -> Self {
            let room = Room(tempfile::tempdir().unwrap());
            for (name, script) in
                [("cargo", "echo cargo 1.95.0"), ("cc", ""), ("sudo", "")]
            {
                room.program(&format!("programs/{name}"), script);
            }
            room.program("stick/kiste/rootfs-fetch.sh", "");
            for (file, text) in [
                ("setup.sh", SETUP),
                ("packages.txt", PACKAGES),
                (".cargo/config.toml", CARGO_CONFIG),
                ("vendor/cc/src/target/it.rs", "a module"),
            ] {
                write(&room.path("stick").join(file), text).unwrap();
            }
            let list = checksums(&room.path("stick")).unwrap();
            write(&room.path("stick/SHA256SUMS"), &list).unwrap();
            fs::create_dir(room.path("home")).unwrap();
            room
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn program(&self, name: &str, script: &str) {
            write(&self.path(name), &format!("#!/bin/sh\n{script}\n")).unwrap();
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(self.path(name), mode).unwrap();
        }

        /// Sets the laptop up, and returns what it says.
        fn set_up(&self) -> (bool, String) {
            let path = std::env::var("PATH").unwrap();
            let output = Command::new("sh")
                .arg(self.path("stick/setup.sh"))
                .arg(self.path("home/my course"))
                .env("PATH", format!("{}:{path}", self.path("programs").display()))
                .output()
                .unwrap();
            let said = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8(said).unwrap())
        }
    }

    #[test]
    fn the_files_of_the_list_are_copied_and_no_others() {
        let room = Room::new();
        write(&room.path("stick/System Volume Information/it"), "").unwrap();
        write(&room.path("stick/kiste/.cargo/config.toml"), "[build]").unwrap();
        let (is_ready, said) = room.set_up();
        assert!(is_ready, "{said}");
        let course = room.path("home/my course");
        assert!(course.join("vendor/cc/src/target/it.rs").exists());
        assert!(!course.join("System Volume Information").exists());
        assert!(!course.join("kiste/.cargo").exists());
    }

    #[test]
    fn a_damaged_stick_is_refused_and_nothing_is_left() {
        let list =
            |room: &Room| fs::read_to_string(room.path("stick/SHA256SUMS")).unwrap();
        let damages: [&dyn Fn(&Room); 4] = [
            &|room| write(&room.path("stick/.cargo/config.toml"), "[build]").unwrap(),
            &|room| write(&room.path("stick/vendor/cc/src/target/it.rs"), "").unwrap(),
            &|room| fs::remove_file(room.path("stick/packages.txt")).unwrap(),
            &|room| {
                let list = list(room).replacen(|it: char| it.is_ascii_digit(), "x", 1);
                write(&room.path("stick/SHA256SUMS"), &list).unwrap();
            },
        ];
        for (number, damage) in damages.iter().enumerate() {
            let room = Room::new();
            damage(&room);
            let (is_ready, said) = room.set_up();
            assert!(!is_ready && said.contains("hint: "), "{number}: {said}");
            assert_eq!(fs::read_dir(room.path("home")).unwrap().count(), 0, "{number}");
        }
    }
}
