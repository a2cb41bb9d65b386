//! A bundle whose config.json is made for one test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kiste_tests::{Fixture, Ran};
use serde_json::{Value, json};

/// A bundle with a root file system, and the config.json of a test.
pub(crate) struct Bundle<'a> {
    fixture: &'a Fixture,
    pub config: Value,
}

impl<'a> Bundle<'a> {
    /// Makes a bundle in the test's directory. It mounts /proc, /dev and what is below
    /// /dev, and /sys.
    pub fn new(fixture: &'a Fixture) -> Self {
        let mount = |destination: &str, kind: &str, options: &[&str]| json!({"destination": destination, "type": kind, "source": kind, "options": options});
        let namespaces = ["pid", "mount", "ipc", "uts", "network"];
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "cwd": "/",
                "user": {"uid": 0, "gid": 0},
                "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
                "noNewPrivileges": true,
            },
            "root": {"path": fixture.rootfs()},
            "mounts": [
                mount("/proc", "proc", &[]),
                mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
                mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
                mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
                mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
                mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            ],
            "linux": {
                "namespaces": namespaces.map(|kind| json!({"type": kind})),
            },
        });
        Bundle { fixture, config }
    }

    /// Adds a mount.
    pub fn mount(
        mut self,
        kind: &str,
        source: impl AsRef<Path>,
        destination: &str,
        options: &[&str],
    ) -> Self {
        let source = source.as_ref();
        let mounts = self.config["mounts"].as_array_mut().unwrap();
        mounts.push(json!({
            "destination": destination, "type": kind, "source": source, "options": options,
        }));
        self
    }

    /// Removes the mounts on a destination and below it.
    pub fn without_mount(mut self, destination: &str) -> Self {
        let mounts = self.config["mounts"].as_array_mut().unwrap();
        mounts.retain(|it| {
            let it = Path::new(it["destination"].as_str().unwrap());
            !it.starts_with(destination)
        });
        self
    }

    /// Sets a value by its path: `/linux/rootfsPropagation`.
    pub fn set(mut self, path: &str, value: Value) -> Self {
        let (parent, name) = path.rsplit_once('/').unwrap();
        self.config.pointer_mut(parent).unwrap()[name] = value;
        self
    }

    /// Gives the container a user namespace whose root is this user outside, who then
    /// owns the root file system.
    pub fn in_user_namespace(mut self, owner: u32) -> Self {
        let map = json!([{"containerID": 0, "hostID": owner, "size": 1000}]);
        self.config["linux"]["uidMappings"] = map.clone();
        self.config["linux"]["gidMappings"] = map;
        let namespaces = self.config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({"type": "user"}));
        kiste_tests::host::chown_recursive(self.fixture.rootfs(), owner, owner);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(self.fixture.dir(), mode).unwrap();
        self
    }

    /// The directory on the host with config.json.
    pub fn directory(&self) -> PathBuf {
        self.fixture.dir().join("bundle")
    }

    /// Writes config.json with this script as the command. Returns the arguments that
    /// run it.
    pub fn write(&self, script: &str) -> Vec<String> {
        let mut config = self.config.clone();
        config["process"]["args"] = json!(["sh", "-c", script]);
        let bundle = self.directory();
        fs::create_dir_all(&bundle).unwrap();
        fs::write(bundle.join("config.json"), config.to_string()).unwrap();
        let run_dirs = self.fixture.run_dirs().display().to_string();
        let bundle = bundle.display().to_string();
        let id = self.fixture.cgroup_parent().to_owned();
        ["--root", &run_dirs, "run", "--bundle", &bundle, &id].map(Into::into).into()
    }

    /// Runs a script in the container.
    pub fn run(&self, script: &str) -> Ran {
        self.fixture.call(self.write(script))
    }

    /// Runs a script in the container, with more options of `run`.
    pub fn run_with(&self, options: &[&str], script: &str) -> Ran {
        let mut arguments = self.write(script);
        let at = arguments.iter().position(|it| it == "run").unwrap() + 1;
        arguments.splice(at..at, options.iter().map(|it| it.to_string()));
        self.fixture.call(arguments)
    }

    /// Runs a script of the host in a mount namespace of its own. `$RUN` in it is the
    /// command that runs the container.
    pub fn run_in_mount_namespace(&self, host_script: &str, script: &str) -> Ran {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let program = quoted(&self.fixture.exe().display().to_string());
        let arguments: Vec<_> =
            self.write(script).iter().map(|it| quoted(it)).collect();
        let run = format!("{program} {}", arguments.join(" "));
        let output = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", host_script])
            .env("RUN", run)
            .output()
            .expect("start unshare");
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into(),
            err: String::from_utf8_lossy(&output.stderr).into(),
        }
    }

    /// Asserts that the container does not start, and that the error has these words.
    #[track_caller]
    pub fn assert_refused(&self, words: &[&str]) {
        let ran = self.run("echo it runs");
        assert_ne!(ran.code, 0, "it runs: {}", ran.out);
        assert_eq!(ran.out, "");
        words.iter().for_each(|words| {
            ran.assert_stderr_contains(words);
        });
    }
}

/// A line of /proc/PID/mountinfo: proc_pid_mountinfo(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mounted {
    /// The path in its file system that is the top of this mount.
    pub top: String,
    /// The options of the mount.
    pub options: String,
    /// Its propagation: `shared:7 master:3`.
    pub propagation: String,
    /// Its type.
    pub kind: String,
    /// Its source.
    pub source: String,
    /// The options of the file system.
    pub superblock: String,
}

impl Mounted {
    /// Tells whether the mount has this option.
    pub fn has(&self, option: &str) -> bool {
        self.options.split(',').any(|it| it == option)
    }
}

/// Finds the mount on this path in the text of mountinfo; the last one, which covers
/// the others.
pub(crate) fn mounted(mountinfo: &str, path: &str) -> Option<Mounted> {
    let line = mountinfo.lines().rfind(|line| line.split(' ').nth(4) == Some(path))?;
    let (mount, file_system) = line.split_once(" - ")?;
    let fields: Vec<_> = mount.split(' ').collect();
    let mut rest = file_system.split(' ').map(String::from);
    Some(Mounted {
        top: fields[3].into(),
        options: fields[5].into(),
        propagation: fields[6..].join(" "),
        kind: rest.next()?,
        source: rest.next()?,
        superblock: rest.next()?,
    })
}
