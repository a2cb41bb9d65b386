//! An ordinary user, who starts the program in a test.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{getegid, geteuid};

use crate::holder::Holder;
use crate::{Fixture, Ran, Running, Step, Terminal, host, require_tool};

/// Ids that nobody has on the host. The two differ, so that a test cannot confuse them.
const UID: u32 = 59_711;
const GID: u32 = 59_811;
/// The name of a user with subordinate ids.
pub const NAME: &str = "kiste-tester";
/// The first of its 65536 subordinate user ids.
pub const UIDS: u32 = 200_000;
/// The first of its 65536 subordinate group ids.
pub const GIDS: u32 = 300_000;

/// A user who is not root, and a fixture that belongs to it.
pub struct User {
    /// Keeps the user's mount namespace alive, in which /etc/subuid is the user's own.
    /// None if the user has no such namespace. It is dropped first, since the fixture
    /// then checks that nothing is left.
    namespace: Option<Holder>,
    fixture: Fixture,
    exe: PathBuf,
    /// Its user id.
    pub uid: u32,
    /// The id of its only group.
    pub gid: u32,
    /// A command prefix that runs as root and starts the rest: `strace`.
    pub root_prefix: Vec<String>,
    setpriv: Vec<String>,
    /// A command prefix that runs as the user and starts the step's: `env A=B`.
    pub user_prefix: Vec<String>,
}

impl User {
    /// Returns the user who runs the tests. If that is root: a user without a name or
    /// subordinate ids.
    pub fn any(step: Step, needs: &[&str]) -> Option<Self> {
        let fixture = Fixture::of(step, needs)?;
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        if uid != 0 {
            let exe = fixture.exe().into();
            let none = || Vec::new();
            return Some(User {
                fixture,
                exe,
                uid,
                gid,
                namespace: None,
                root_prefix: none(),
                setpriv: none(),
                user_prefix: none(),
            });
        }
        Some(User::new(fixture, None))
    }

    /// Creates a user without a name or subordinate ids.
    pub fn without_ranges(step: Step, needs: &[&str]) -> Option<Self> {
        User::any(step, &[&["root"], needs].concat())
    }

    /// Creates a user with 65536 subordinate user ids and as many group ids. Only this
    /// user sees them: the host's files are not changed.
    pub fn with_ranges(step: Step, needs: &[&str]) -> Option<Self> {
        User::with_files(
            step,
            needs,
            &format!("{NAME}:{UIDS}:65536\n"),
            &format!("{NAME}:{GIDS}:65536\n"),
        )
    }

    /// Creates a user who sees this /etc/subuid and this /etc/subgid.
    pub fn with_files(
        step: Step,
        needs: &[&str],
        subuid: &str,
        subgid: &str,
    ) -> Option<Self> {
        let fixture =
            Fixture::of(step, &[&["root", "user-namespace"], needs].concat())?;
        if !["newuidmap", "newgidmap", "mount"].into_iter().all(require_tool) {
            return None;
        }
        let passwd =
            format!("root:x:0:0::/root:/bin/sh\n{NAME}:x:{UID}:{GID}::/:/bin/sh\n");
        let group = format!("root:x:0:\n{NAME}:x:{GID}:\n");
        // The mounts stay when these files are removed.
        let files = tempfile::Builder::new()
            .prefix("kiste-test-")
            .tempdir()
            .expect("make a directory");
        let mut script = String::new();
        for (name, text) in [
            ("passwd", &*passwd),
            ("group", &*group),
            ("subuid", subuid),
            ("subgid", subgid),
        ] {
            let file = files.path().join(name);
            fs::write(&file, text).unwrap();
            script += &format!("mount --bind {} /etc/{name}\n", file.display());
        }
        let namespace = Holder::of(&["--mount", "--propagation", "private"], &script);
        Some(User::new(fixture, Some(namespace)))
    }

    fn new(fixture: Fixture, namespace: Option<Holder>) -> Self {
        let exe = fixture.dir().join("program");
        host::copy_program(fixture.exe(), &exe);
        fs::set_permissions(fixture.dir(), fs::Permissions::from_mode(0o755)).unwrap();
        host::chown_recursive(fixture.dir(), UID, GID);
        let setpriv = vec![
            "setpriv".into(),
            format!("--reuid={UID}"),
            format!("--regid={GID}"),
            "--clear-groups".into(),
        ];
        User {
            fixture,
            exe,
            uid: UID,
            gid: GID,
            namespace,
            root_prefix: Vec::new(),
            setpriv,
            user_prefix: Vec::new(),
        }
    }

    /// Returns the fixture that belongs to the user.
    pub fn fixture(&self) -> &Fixture {
        &self.fixture
    }

    /// Returns the user's copy of the program.
    pub fn exe(&self) -> &Path {
        &self.exe
    }

    /// Returns the user's directory.
    pub fn dir(&self) -> &Path {
        self.fixture.dir()
    }

    /// Returns the user's root file system.
    pub fn rootfs(&self) -> &Path {
        self.fixture.rootfs()
    }

    /// Copies a host program, with its libraries, to `/name` in the root file system.
    pub fn install(&self, program: &Path, name: &str) {
        self.fixture.install(program, name);
        host::chown_recursive(self.rootfs(), self.uid, self.gid);
    }

    /// Changes the owner of a path below the user's directory to the user.
    pub fn chown_to_user(&self, path: &Path) {
        std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid)).unwrap();
    }

    /// Returns a command that runs as root, and sees the same files as the user, such
    /// as its /etc/passwd.
    pub fn beside(&self, program: &str) -> Command {
        let mut words = self.enter();
        words.push(program.into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// Runs a command in a container and waits for its end.
    pub fn run(&self, options: &[&str], command: &[&str]) -> Ran {
        self.call(self.fixture.arguments(options, command))
    }

    /// Runs a shell script in a container and waits for its end.
    pub fn sh(&self, options: &[&str], script: &str) -> Ran {
        self.run(options, &["sh", "-c", script])
    }

    /// Runs the program with exactly these arguments.
    pub fn call(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
        let words = self.words(arguments);
        Ran::of(
            assert_cmd::Command::new(&words[0])
                .current_dir(self.dir())
                .args(&words[1..]),
        )
    }

    /// Starts a container and returns once its command runs.
    pub fn start(&self, options: &[&str], command: &[&str]) -> Running {
        let pid_file = self.dir().join(format!("pid-{}", host::unique()));
        let pid_option = ["--pid-file", pid_file.to_str().unwrap()];
        let words = self
            .words(self.fixture.arguments(&[&pid_option, options].concat(), command));
        Running::start(Path::new(&words[0]), self.dir(), &words[1..], pid_file)
    }

    /// Runs a command in a container, on a terminal.
    pub fn at_terminal(&self, options: &[&str], command: &[&str]) -> Terminal {
        Terminal::start_command(
            self.dir(),
            &self.words(self.fixture.arguments(options, command)),
        )
    }

    /// Returns the words that enter the user's mount namespace as root. nsenter leaves
    /// the working directory: it belongs to another mount.
    fn enter(&self) -> Vec<String> {
        let Some(namespace) = &self.namespace else { return Vec::new() };
        let (pid, dir) =
            (namespace.pid().to_string(), self.dir().display().to_string());
        ["nsenter", "--target", &pid, "--mount", "env", "--chdir", &dir]
            .map(String::from)
            .into()
    }

    fn words(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Vec<OsString> {
        let parts =
            [&self.enter(), &self.root_prefix, &self.setpriv, &self.user_prefix];
        let mut words: Vec<OsString> =
            parts.into_iter().flatten().map(OsString::from).collect();
        words.push(self.exe.clone().into());
        words.extend(arguments.into_iter().map(|it| it.as_ref().to_owned()));
        words
    }
}
