//! The scenario in which a step's `run` is tested: its options, its command, its `gc`,
//! and the check that nothing is left.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use kiste_tests::{Fixture, Ran, Step, World, host};

use crate::bundle;

/// A fixture, from step 8 on in a network of its own, and options that use the features
/// of the steps so far.
pub struct Scenario {
    kind: Kind,
    options: Vec<String>,
    command: Vec<String>,
    /// The links, rules and settings of the host before the first container.
    host_before: String,
}

enum Kind {
    Fixture(Box<Fixture>),
    World(Box<World>),
}

/// The script that the container runs. Its output must be the same in every run.
const SCRIPT: &str =
    "hostname; echo as $(id -u):$(id -g); ls -A /; cat /proc/self/limits | cut -c1-60";

impl Scenario {
    /// Makes the scenario for this step. None if the host lacks something that it
    /// needs.
    pub fn of(name: &'static str, exe: &Path) -> Option<Self> {
        let step = Step::new(name, exe.to_str().expect("a path of text"));
        let number = step.number();
        let kind = match number {
            10.. => Kind::Fixture(Box::new(Fixture::of(step, &[])?)),
            8.. => Kind::World(Box::new(World::of(step, &[])?)),
            0 => Kind::Fixture(Box::new(Fixture::of(step, &[])?)),
            _ => Kind::Fixture(Box::new(Fixture::of(step, &["root"])?)),
        };
        let mut scenario = Scenario {
            kind,
            options: Vec::new(),
            command: Vec::new(),
            host_before: String::new(),
        };
        if let Kind::World(world) = &scenario.kind {
            scenario.host_before = world.state();
        }
        scenario.command = ["sh", "-c", SCRIPT].map(String::from).into();
        if number < 4 {
            // The host's root directory may change meanwhile.
            scenario.command[2] = "hostname".into();
        }
        if number >= 10 {
            fs::create_dir(scenario.fixture().dir().join("shared"))
                .expect("make a directory");
            bundle::write(scenario.fixture(), SCRIPT);
            return Some(scenario);
        }
        scenario.options = scenario.options_of(number);
        if number >= 7 {
            scenario.import();
        }
        Some(scenario)
    }

    fn options_of(&self, number: u32) -> Vec<String> {
        let shared = self.fixture().dir().join("shared");
        fs::create_dir_all(&shared).expect("make a directory");
        let mut options = Vec::new();
        let mut add = |words: &str| options.extend(words.split(' ').map(String::from));
        if number >= 1 {
            add("--hostname web --domainname example.org");
        }
        if number == 2 || number == 6 {
            add("--init");
        }
        if number == 3 {
            add("--tmpfs /mnt");
        }
        if number >= 4 {
            add(&format!("-v {}:/srv:ro --tmpfs /opt", shared.display()));
        }
        if number == 4 {
            add("--read-only");
        }
        if number == 5 || number >= 7 {
            add("-m 64m --pids-limit 50 --cpus 0.5");
        }
        if number >= 6 {
            add("--userns auto");
        }
        if number == 7 {
            add("--image faults");
        }
        if number >= 8 {
            let network_dir = self.network_dir();
            add(&format!(
                "--network-dir {} -p 8080:80 --ip 10.77.0.50",
                network_dir.display()
            ));
        }
        options
    }

    fn import(&self) {
        let fixture = self.fixture();
        let archive = fixture.dir().join("rootfs.tar");
        let status = Command::new("tar")
            .arg("-C")
            .arg(fixture.rootfs())
            .arg("-cf")
            .arg(&archive)
            .arg(".")
            .status();
        assert!(status.expect("run tar").success());
        let store = fixture.store();
        fixture
            .call(["import", "--store", text(&store), text(&archive), "faults"])
            .exits(0);
    }

    /// Returns the fixture of the scenario.
    pub fn fixture(&self) -> &Fixture {
        match &self.kind {
            Kind::Fixture(fixture) => fixture,
            Kind::World(world) => &world.fixture,
        }
    }

    /// Returns the step's number.
    pub fn number(&self) -> u32 {
        self.fixture().step().number()
    }

    /// Returns whether the container is made by `create`, `start` and `delete`.
    pub fn is_lifecycle(&self) -> bool {
        self.fixture().step().name() == "10-runtime-create"
    }

    fn network_dir(&self) -> PathBuf {
        self.fixture().dir().join("networks")
    }

    /// Returns the options of `run`.
    pub fn options(&self) -> Vec<&str> {
        self.options.iter().map(String::as_str).collect()
    }

    /// Returns the options of `run` without the named ones and their values.
    pub fn options_without(&self, names: &[&str]) -> Vec<&str> {
        let mut options = self.options();
        for name in names {
            if let Some(at) = options.iter().position(|option| option == name) {
                options.drain(at..at + 2);
            }
        }
        options
    }

    /// Returns the words that run a program in the network namespace of the scenario:
    /// `nsenter …`.
    pub fn starter(&self) -> Vec<String> {
        match &self.kind {
            Kind::Fixture(_) => Vec::new(),
            Kind::World(world) => world.enter(),
        }
    }

    /// Returns all words of the command line.
    pub fn words(&self) -> Vec<OsString> {
        if self.is_lifecycle() {
            return bundle::words_of_lifecycle(self.fixture());
        }
        if self.number() >= 10 {
            return bundle::words_of_run(self.fixture());
        }
        let command: Vec<_> = self.command.iter().map(String::as_str).collect();
        self.words_for(&self.options(), &command)
    }

    /// Returns all words of a command line with other options and another command.
    pub fn words_for(&self, options: &[&str], command: &[&str]) -> Vec<OsString> {
        let mut words: Vec<OsString> =
            self.starter().into_iter().map(OsString::from).collect();
        words.push(self.fixture().exe().into());
        words.extend(self.fixture().arguments(options, command));
        words
    }

    /// Runs `gc`, and for step 10 `delete --force`. None for steps before 5, which leave nothing.
    pub fn gc(&self) -> Option<Ran> {
        let (fixture, number) = (self.fixture(), self.number());
        if number < 5 {
            return None;
        }
        if number >= 10 {
            let runs = fixture.run_dirs();
            let delete = ["--root", text(&runs), "delete", "--force", bundle::ID];
            return Some(fixture.call(delete));
        }
        let [runs, store, networks] =
            [fixture.run_dirs(), fixture.store(), self.network_dir()];
        let mut arguments = vec!["gc", "--run-dir", text(&runs)];
        if number >= 7 {
            arguments.extend(["--store", text(&store)]);
        }
        if number >= 8 {
            arguments.extend(["--network-dir", text(&networks)]);
        }
        let starter = self.starter();
        Some(match starter.is_empty() {
            true => fixture.call(arguments),
            false => fixture.call_under(
                &starter.iter().map(String::as_str).collect::<Vec<_>>(),
                arguments,
            ),
        })
    }

    /// Lists everything that the containers have left on the host.
    pub fn leftovers(&self) -> Vec<String> {
        let mut left = self.fixture().leaks();
        if let Kind::World(world) = &self.kind {
            let state = world.state();
            left.extend(
                lines_only_in(&state, &self.host_before)
                    .map(|line| format!("on the host: {line}")),
            );
            left.extend(
                lines_only_in(&self.host_before, &state)
                    .map(|line| format!("gone from the host: {line}")),
            );
            left.extend(
                self.network_dir().exists().then(|| "the records of networks".into()),
            );
            // The processes in the network namespace, except the one that holds it.
            let holder = world.enter()[2].clone();
            let processes = host::processes_in("net", &host::namespace(&holder, "net"));
            left.extend(processes.iter().filter(|pid| pid.to_string() != holder).map(
                |pid| {
                    format!(
                        "process {pid} ({}) in the network namespace",
                        host::status_field(pid, "Name")
                    )
                },
            ));
        }
        left
    }

    /// Removes leftover cgroups and run directories, so that the next run is not blamed
    /// for them.
    pub fn remove_leftovers(&self) {
        for cgroup in host::cgroups_named(self.fixture().cgroup_parent()) {
            remove_cgroups(Path::new(&cgroup));
        }
        let _ = fs::remove_dir_all(self.fixture().run_dirs());
    }

    /// Waits until nothing is left, and returns the leftovers when the time is up. The
    /// kernel removes mounts and cgroups only a moment after a process ends.
    pub fn leftovers_after(&self, timeout: Duration) -> Vec<String> {
        let start = Instant::now();
        loop {
            let left = self.leftovers();
            if left.is_empty() || start.elapsed() > timeout {
                return left;
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// Returns the nftables rules and the number of links of the scenario's host. Empty
    /// before step 8.
    pub fn rules(&self) -> String {
        match &self.kind {
            Kind::Fixture(_) => String::new(),
            Kind::World(world) => {
                world.sh_on_host("nft list ruleset; ip -o link | wc -l").out
            }
        }
    }
}

/// Returns the lines of one text that the other does not have.
fn lines_only_in<'a>(one: &'a str, other: &'a str) -> impl Iterator<Item = &'a str> {
    one.lines().filter(|line| other.lines().all(|it| it != *line))
}

fn remove_cgroups(top: &Path) {
    for entry in fs::read_dir(top)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|it| it.path().is_dir())
    {
        remove_cgroups(&entry.path());
    }
    let _ = fs::remove_dir(top);
}

/// Returns a path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}
