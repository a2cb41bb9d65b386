//! Checks the recorded narrations that the chapters play: each is what a run prints now,
//! its lines of code are in the sources, and its chapter shows it.
//!
//! `KISTE_RECORD=1` writes the recordings anew: see `book/README.md`.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kiste_book::trace::{self, Call, DIR, Trace};
use kiste_course::checkout::files_below;
use kiste_tests::{Fixture, Ran, Step, User, World};
use serde_json::Value;

use super::pages::Book;

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

/// Names that the recordings have in place of those that differ from run to run: of the
/// container, its process, a temporary directory and a layer.
const ID: &str = "3f0b9c58d2e7";
const PID: &str = "901";
const TEMPORARY: &str = "b61d07a4c95e";
const LAYER: &str = "4abcf2…";

/// The beginnings of the names of calls that only ask the kernel something. How many
/// there are depends on the host.
const ASKING: [&str; 2] = ["RTM_GET", "NFT_MSG_GET"];

/// The calls whose result is a descriptor.
const OPENING: [&str; 8] =
    ["bind", "flock", "fsmount", "open", "openat", "openat2", "open_tree", "write"];

/// Checks that each recording is shown by the chapter of its name, and that its lines of
/// code are in the sources.
pub fn check(book: &Book) -> Vec<String> {
    let Ok(files) = files_below(&book.root.join(DIR)) else { return Vec::new() };
    let mut problems = Vec::new();
    let mut recorded = BTreeSet::new();
    for file in files {
        let path = file.strip_prefix(&book.root).expect("below the workspace");
        let name = path.file_stem().unwrap_or_default().to_string_lossy().to_string();
        let trace: Trace = match serde_json::from_str(&book.read(path)) {
            Ok(trace) => trace,
            Err(error) => {
                problems.push(format!("{}: {error}", path.display()));
                continue;
            }
        };
        for (number, call) in trace.calls.iter().enumerate() {
            let text = book.read(Path::new(&call.line.at));
            if trace::lines_of(&text, &call.code).is_empty() {
                problems.push(format!(
                    "{}:{}: {} does not contain `{}`; record the run again \
                     (book/README.md)",
                    path.display(),
                    number + 2,
                    call.line.at,
                    call.code.join(" ")
                ));
            }
        }
        recorded.insert(name);
    }
    for page in &book.pages {
        for name in page.text.lines().filter_map(trace::directive) {
            let is_own = page.path.file_stem().is_some_and(|stem| stem == name);
            if !is_own || !recorded.remove(name) {
                problems.push(page.at(1, format!("no recording {name} for this page")));
            }
        }
    }
    problems.extend(recorded.iter().map(|it| format!("{DIR}/{it}.json: not shown")));
    problems
}

/// Returns the names of all recordings.
pub fn names(workspace: &Path) -> Vec<String> {
    let files = files_below(&workspace.join(DIR)).unwrap_or_default();
    let stems = files.iter().filter_map(|file| file.file_stem()?.to_str());
    stems.map(str::to_string).collect()
}

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

/// A text of the run, and the one in its place in the recording.
type Replaced = Vec<(String, String)>;

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

/// Reads the narrated calls, and replaces what differs from run to run.
fn calls(stderr: &str, replaced: &Replaced, workspace: &Path) -> Vec<Call> {
    let lines = stderr.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines = lines.filter(|line| {
        let call = line["call"].as_str().unwrap_or_default();
        line.get("level").is_none() && !ASKING.iter().any(|name| call.starts_with(name))
    });
    let mut lines: Vec<Value> = lines.collect();
    for line in &mut lines {
        let is_opening = OPENING.iter().any(|name| line["call"] == *name);
        let is_number =
            line["result"].as_str().unwrap().parse().is_ok_and(|it: u32| it > 2);
        if is_opening && is_number {
            line["result"] = "a descriptor".into();
        }
        // The host tracks as many connections as it has.
        if line["result"].as_str().unwrap().starts_with("0 of ") {
            line["result"] = "0 of 0".into();
        }
    }
    for line in lines.iter_mut().filter(|line| line["call"] == "execve") {
        // The directory of a program differs between distributions.
        if let Some((_, name)) = line["args"].as_str().unwrap().rsplit_once("bin/") {
            line["args"] = format!("/bin/{name}").into();
        }
    }
    let pid = lines.iter().find(|line| line["call"] == "clone3");
    let pid = pid.map(|line| line["result"].as_str().unwrap().to_string());
    let id = lines.iter().find_map(|line| random_id(line["args"].as_str().unwrap()));
    for line in &mut lines {
        for part in ["args", "result"] {
            let mut text = line[part].as_str().unwrap().to_string();
            for (old, new) in replaced {
                text = text.replace(old, new);
            }
            if let Some(id) = &id {
                // The name of a link has room for 11 digits only.
                text = text.replace(id, ID).replace(&id[..11], &ID[..11]);
            }
            text = with_words(&text, |word| match word.len() {
                _ if Some(word) == pid.as_deref() => Some(PID),
                12 if word != ID && is_hex(word) => Some(TEMPORARY),
                64 if is_hex(word) => Some(LAYER),
                _ => None,
            });
            line[part] = text.into();
        }
    }
    let call = |mut line: Value| {
        let at = line["at"].as_str().expect("a call has a place").to_string();
        let (file, number) = at.rsplit_once(':').expect("a place has a line");
        let text = fs::read_to_string(workspace.join(file)).unwrap();
        let code = kiste_book::statement(&text, number.parse().unwrap()).unwrap();
        line["at"] = file.into();
        Call { line: serde_json::from_value(line).unwrap(), code }
    };
    lines.into_iter().map(call).collect()
}

/// Finds a container's random id: a word of 12 hexadecimal digits.
fn random_id(text: &str) -> Option<String> {
    let mut words = text.split(|ch: char| !ch.is_ascii_alphanumeric());
    words.find(|word| word.len() == 12 && is_hex(word)).map(str::to_string)
}

fn is_hex(word: &str) -> bool {
    word.chars().all(|ch| ch.is_ascii_digit() || ('a'..='f').contains(&ch))
}

/// Replaces words, which consist of letters and digits.
fn with_words<'a>(text: &str, new: impl Fn(&str) -> Option<&'a str>) -> String {
    let is_end = |ch: char| !ch.is_ascii_alphanumeric();
    let words = text.split_inclusive(is_end).map(|part| {
        let word = part.trim_end_matches(is_end);
        let end = &part[word.len()..];
        format!("{}{end}", new(word).unwrap_or(word))
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::{random_id, with_words};

    #[test]
    fn what_differs_from_run_to_run_is_found_as_a_whole_word() {
        assert_eq!(random_id("/run/00ff00ff00ff/ids").unwrap(), "00ff00ff00ff");
        assert_eq!(random_id("/run/00ff00ff00ff0"), None);
        let changed = |text| with_words(text, |word| (word == "12").then_some("901"));
        assert_eq!(changed("/proc/12/uid_map, 120 12"), "/proc/901/uid_map, 120 901");
        assert_eq!(changed("a = …"), "a = …");
    }
}
