//! Makes the recorded runs again, and compares each with its recording.
//!
//! `KISTE_RECORD=1` writes the recordings anew: see `book/README.md`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kiste_book::trace::{DIR, Trace};
use kiste_tests::{Fixture, Ran, Step, User, World};

use super::normalize::{Replaced, calls};

/// A run that is recorded, and its needs.
pub struct Recording {
    pub name: &'static str,
    pub options: &'static [&'static str],
    pub command: &'static [&'static str],
    pub exit_code: i32,
    pub by: Caller,
    pub machine: Machine,
    /// The checks of `doctor` that must hold.
    pub needs: &'static [&'static str],
}

/// The process that starts the run.
#[derive(Clone, Copy, PartialEq)]
pub enum Caller {
    /// The user of the tests; the checks say whether it must be root.
    Anyone,
    /// An ordinary user, whose id 1000 is root in the container.
    User,
    /// Root, on a host with a network of its own.
    RootWithNetwork,
}

/// The machines on which the run makes the same calls.
#[derive(Clone, Copy)]
pub enum Machine {
    Any,
    /// A kernel on which each layer of an overlay is a descriptor: `lowerdir+`.
    Linux68,
    /// The virtual machine, where version 2 is the only hierarchy of cgroups.
    Virtual,
}

impl Machine {
    fn check(self) -> Result<(), String> {
        let uid_map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let is_whole = |map: &str| map.split_whitespace().nth(2) == Some("4294967295");
        match self {
            _ if !is_whole(&uid_map) => Err("a user namespace is around us".into()),
            Machine::Virtual if env::var_os("KISTE_VM").is_none() => {
                Err("it is recorded in the virtual machine with cgroup v2".into())
            }
            Machine::Linux68 if kernel() < (6, 8) => {
                Err("it is recorded on Linux 6.8 or later".into())
            }
            _ => Ok(()),
        }
    }
}

fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

const MAPS: [&str; 4] = ["--uid-map", "0:1000:1", "--gid-map", "0:1000:1"];

/// Runs the command, and compares the narration with the recording, or writes it.
///
/// # Errors
/// The reason why this machine cannot run it.
pub fn compare(recording: &Recording, workspace: &Path) -> Result<(), String> {
    recording.machine.check()?;
    let exe = program(recording.name, workspace);
    let step = Step::new(recording.name, exe.to_str().expect("a path in UTF-8"));
    if !step.is_ours() {
        return Ok(());
    }
    // The fixture has reported what this machine lacks.
    let Some((ran, replaced)) = recording.run(step) else { return Ok(()) };
    let trace = Trace {
        command: recording.shown(),
        calls: calls(&ran.exits(recording.exit_code).err, &replaced, workspace),
    };
    let path = workspace.join(DIR).join(recording.name).with_extension("json");
    if env::var_os("KISTE_RECORD").is_some() {
        fs::create_dir_all(path.parent().expect("a file is in a directory")).unwrap();
        fs::write(&path, trace.text().unwrap()).unwrap();
        return Ok(());
    }
    let recorded = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let recorded: Trace = serde_json::from_str(&recorded).unwrap();
    let lines = |trace: &Trace| -> Vec<String> {
        let lines = trace.calls.iter().map(|call| &call.line);
        lines.map(|line| serde_json::to_string(line).unwrap()).collect()
    };
    let (old, new) = (lines(&recorded), lines(&trace));
    let differs = (0..old.len().max(new.len())).find(|&at| old.get(at) != new.get(at));
    if let Some(at) = differs {
        panic!(
            "{}:{}: the run prints another call; record it again (book/README.md)\n\
             - {:?}\n+ {:?}",
            path.display(),
            at + 2,
            old.get(at),
            new.get(at)
        );
    }
    assert_eq!(recorded.command, trace.command);
    Ok(())
}

/// Builds a step's program and returns its path. In the virtual machine, cargo cannot
/// build.
fn program(name: &str, workspace: &Path) -> PathBuf {
    if env::var_os("KISTE_VM").is_none() {
        let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
        let built = Command::new(cargo)
            .args(["build", "-q", "--locked", "--bin", name])
            .current_dir(workspace)
            .status();
        assert!(built.expect("run cargo").success(), "build {name}");
    }
    let test = env::current_exe().expect("this program has a path");
    test.parent().and_then(Path::parent).expect("target/debug/deps").join(name)
}

impl Recording {
    /// Returns the command as a reader types it.
    fn shown(&self) -> String {
        let maps = if self.by == Caller::User { &MAPS[..] } else { &[] };
        let words = [&[self.name, "run"], maps, self.options, self.command].concat();
        let quoted = words.iter().map(|word| match word.contains(' ') {
            true => format!("'{word}'"),
            false => word.to_string(),
        });
        quoted.collect::<Vec<_>>().join(" ")
    }

    /// Runs the command without a terminal. None if this machine lacks something.
    fn run(&self, step: Step) -> Option<(Ran, Replaced)> {
        let options = [&["--explain=json"], self.options].concat();
        match self.by {
            Caller::Anyone => {
                let fixture = Fixture::of(step, self.needs)?;
                fs::create_dir(fixture.dir().join("book")).unwrap();
                let ran = fixture.run_under(&["setsid"], &options, self.command);
                Some((ran, replaced(&fixture, "/run/kiste", "/var/lib/kiste")))
            }
            Caller::User => {
                let user = User::without_ranges(step, self.needs)?;
                let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
                let maps = [format!("0:{uid}:1"), format!("0:{gid}:1")];
                let maps = ["--uid-map", &maps[0], "--gid-map", &maps[1]];
                if options.contains(&"--image") {
                    import(&user);
                }
                let ran = user
                    .run(&[&options[..1], &maps, &options[1..]].concat(), self.command);
                let (run, store) = ("/run/user/1000/kiste", "~/.local/share/kiste");
                let mut replaced = replaced(user.fixture(), run, store);
                replaced.extend([(uid, "1000".into()), (gid, "1000".into())]);
                Some((ran, replaced))
            }
            Caller::RootWithNetwork => {
                let world = World::of(step, self.needs)?;
                make_mount_points(world.fixture.rootfs());
                let ran = world.run(&options, self.command);
                let mut replaced =
                    replaced(&world.fixture, "/run/kiste", "/var/lib/kiste");
                let networks = world.network_dir().display().to_string();
                replaced.insert(0, (networks, "/var/lib/kiste-networks".into()));
                // The link of this network's host.
                replaced.push(("out0".into(), "eth0".into()));
                Some((ran, replaced))
            }
        }
    }
}

/// Makes the files that a container's network is mounted on, as its first run would: a
/// recording is of a later run, whatever ./rootfs was used for before.
fn make_mount_points(rootfs: &Path) {
    for name in ["hosts", "hostname", "resolv.conf"] {
        let file = rootfs.join("etc").join(name);
        if !file.exists() {
            fs::write(file, "").unwrap();
        }
    }
}

/// Imports an image that is the user's root file system.
fn import(user: &User) {
    let archive = user.dir().join("base.tar");
    let packed = Command::new("tar")
        .arg("-C")
        .arg(user.rootfs())
        .args(["--owner=0", "--group=0", "-cf"])
        .args([archive.as_os_str(), ".".as_ref()])
        .status();
    assert!(packed.expect("run tar").success());
    user.chown_to_user(&archive);
    let store = user.fixture().store();
    let (store, archive) = (store.to_str().unwrap(), archive.to_str().unwrap());
    user.call(["import", "--store", store, archive, "base:1"]).exits(0);
}

/// Returns the names of a fixture, and those that a reader has in their place.
fn replaced(fixture: &Fixture, run_dirs: &str, store: &str) -> Replaced {
    let dir = fixture.dir().display().to_string();
    vec![
        (format!("{dir}/run"), run_dirs.into()),
        (format!("{dir}/store"), store.into()),
        (format!("{dir}/rootfs"), "./rootfs".into()),
        (fixture.cgroup_parent().into(), "kiste".into()),
    ]
}
