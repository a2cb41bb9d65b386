//! Network namespaces of a test's own, which stand for the host and for another host on
//! its network. The machine's own network is never touched: the tests start everything
//! inside, with nsenter(1).

use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, setns};

use crate::holder::Holder;
use crate::{Fixture, Ran, Running, Step, eventually, report_missing, require_tool};

/// A host with one link, and another host at the other end of it.
pub struct World {
    /// The containers' fixture.
    pub fixture: Fixture,
    host: Holder,
    outside: Holder,
    /// The state of the host before any container.
    before: String,
}

/// The address of the host.
pub const HOST: &str = "192.0.2.1";
/// The address of the other host.
pub const OUTSIDE: &str = "192.0.2.2";

fn enter(holder: &Holder) -> Vec<String> {
    ["nsenter", "-t", &holder.pid().to_string(), "-n"].map(String::from).into()
}

/// Runs a shell script in a network namespace.
fn sh(holder: &Holder, script: &str) -> Ran {
    let words = enter(holder);
    Ran::of(
        assert_cmd::Command::new(&words[0])
            .args(&words[1..])
            .args(["sh", "-c", script]),
    )
}

/// Calls a function in the network namespace of a process.
pub fn within<T: Send>(pid: impl Display, work: impl FnOnce() -> T + Send) -> T {
    let namespace = fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
    thread::scope(|scope| {
        let work = || {
            setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        scope.spawn(work).join().unwrap()
    })
}

/// Returns a shell script that prints what [`World::serve`] serves at `IP` or
/// `IP:PORT`, and fails after so many seconds without an answer. It does not use wget:
/// Debian's static one crashes when it looks up the service `http`.
pub fn get(seconds: u32, at: &str) -> String {
    let (ip, port) = at.split_once(':').unwrap_or((at, "80"));
    format!(
        "printf 'GET /i HTTP/1.0\\r\\n\\r\\n' | /busybox-full nc -w {seconds} {ip} {port} | tail -n 1 | grep ."
    )
}

impl World {
    /// Makes a world for this step's program. None if the host lacks something that the
    /// test needs.
    pub fn of(step: Step, needs: &[&str]) -> Option<Self> {
        let fixture = Fixture::of(
            step,
            &[&["root", "pivot-root", "bridge", "veth", "nftables"], needs].concat(),
        )?;
        if !["ip", "nft", "nsenter", "unshare", "mount", "curl", "busybox"]
            .into_iter()
            .all(require_tool)
        {
            return None;
        }
        let [host, outside] = [(); 2].map(|()| Holder::of(&["--net"], ""));
        let outside_pid = outside.pid();
        sh(
            &host,
            &format!(
                "set -e; ip link set lo up; ip link add out0 type veth peer name eth0 netns {outside_pid}
             ip addr add {HOST}/24 dev out0; ip link set out0 up"
            ),
        )
        .exits(0);
        let set_up = format!(
            "set -e; ip link set lo up; ip addr add {OUTSIDE}/24 dev eth0; ip link set eth0 up"
        );
        sh(&outside, &set_up).exits(0);
        let before = String::new();
        let mut world = World { fixture, host, outside, before };
        world.install_busybox()?;
        world.before = world.state();
        Some(world)
    }

    /// Installs a busybox with httpd, and with an nc that can listen.
    fn install_busybox(&self) -> Option<()> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let busybox = std::env::split_paths(&path)
            .map(|dir| dir.join("busybox"))
            .find(|it| it.is_file())?;
        let busybox = fs::canonicalize(busybox).unwrap();
        let listed =
            Command::new(&busybox).arg("--list").output().expect("run busybox");
        if !String::from_utf8_lossy(&listed.stdout)
            .lines()
            .any(|applet| applet == "httpd")
        {
            report_missing("busybox-httpd", "the host's busybox has no httpd");
            return None;
        }
        self.fixture.install(&busybox, "busybox-full");
        Some(())
    }

    /// Returns the directory in which the networks of this world are recorded.
    pub fn network_dir(&self) -> PathBuf {
        self.fixture.dir().join("networks")
    }

    /// Returns the words that start a program on the host: `&["nsenter", …]`.
    pub fn enter(&self) -> Vec<String> {
        enter(&self.host)
    }

    /// Calls a function on the host.
    pub fn on_host<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        within(self.host.pid(), work)
    }

    /// Calls a function on the other host.
    pub fn on_other<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        within(self.outside.pid(), work)
    }

    /// Runs a shell script on the host.
    pub fn sh_on_host(&self, script: &str) -> Ran {
        sh(&self.host, script)
    }

    /// Runs a shell script on the other host.
    pub fn sh_on_other_host(&self, script: &str) -> Ran {
        sh(&self.outside, script)
    }

    /// Runs a command in a container and waits for its end.
    pub fn run(&self, options: &[&str], command: &[&str]) -> Ran {
        let dir = self.network_dir();
        let options = [&["--network-dir", dir.to_str().unwrap()], options].concat();
        let enter = self.enter();
        self.fixture.run_under(
            &enter.iter().map(String::as_str).collect::<Vec<_>>(),
            &options,
            command,
        )
    }

    /// Runs a shell script in a container and waits for its end.
    pub fn run_sh(&self, options: &[&str], script: &str) -> Ran {
        self.run(options, &["sh", "-c", script])
    }

    /// Starts a container and returns once its command runs.
    pub fn start(&self, options: &[&str], command: &[&str]) -> Running {
        let dir = self.network_dir();
        let options = [&["--network-dir", dir.to_str().unwrap()], options].concat();
        let enter = self.enter();
        self.fixture.start_under(
            &enter.iter().map(String::as_str).collect::<Vec<_>>(),
            &options,
            command,
        )
    }

    /// Starts a container that serves `text` on port 80, and waits until it does.
    pub fn serve(&self, options: &[&str], text: &str) -> Running {
        let script = format!(
            "mkdir -p /srv/www && echo {text} > /srv/www/i && /busybox-full httpd -p 80 -h /srv/www && echo ready && exec sleep 1000"
        );
        let mut running = self
            .start(&[&["--tmpfs", "/srv"], options].concat(), &["sh", "-c", &script]);
        running.wait_for("ready");
        running
    }

    /// Serves `hello` as /i at this address of the host, until the result is dropped.
    pub fn serve_on_host(&self, address: &str) -> impl Drop + use<> {
        let www = self.fixture.dir().join("www");
        fs::create_dir_all(&www).unwrap();
        fs::write(www.join("i"), "hello").unwrap();
        let enter = self.enter();
        let mut command = Command::new(&enter[0]);
        command
            .args(&enter[1..])
            .args(["busybox", "httpd", "-f", "-p", address, "-h"])
            .arg(www);
        let server = Holder::from(
            command.stdin(Stdio::null()).spawn().expect("run busybox httpd"),
        );
        let fetch = format!("curl -sS -m5 http://{address}/i");
        eventually(|| (self.sh_on_host(&fetch).out == "hello").then_some(()))
            .expect("it serves");
        server
    }

    /// Runs `network …`, `show` or `gc` with these arguments.
    pub fn run_kiste(&self, arguments: &[&str]) -> Ran {
        let dir = self.network_dir();
        let enter = self.enter();
        let starter: Vec<_> = enter.iter().map(String::as_str).collect();
        self.fixture.call_under(
            &starter,
            [arguments, &["--network-dir", dir.to_str().unwrap()]].concat(),
        )
    }

    /// Runs `gc` on the host.
    pub fn gc(&self) -> Ran {
        let (run_dirs, store) =
            (self.fixture.run_dirs(), self.fixture.dir().join("no-store"));
        self.run_kiste(&[
            "gc",
            "--run-dir",
            run_dirs.to_str().unwrap(),
            "--store",
            store.to_str().unwrap(),
        ])
    }

    /// Runs a shell script in the network namespace of a container.
    pub fn sh_in_container(&self, running: &Running, script: &str) -> Ran {
        let pid = running.pid.to_string();
        Ran::of(
            assert_cmd::Command::new("nsenter")
                .args(["-t", &pid, "-n", "sh", "-c", script]),
        )
    }

    /// Returns the links, rules and settings of the host, as the kernel reports them.
    pub fn state(&self) -> String {
        let script = "ip -o link | cut -d: -f2 | cut -d@ -f1 | sort; nft list ruleset; ip rule; ip route | sed 's/ linkdown//'; \
                      cd /proc/sys/net && grep . ipv4/ip_forward ipv[46]/conf/*/forwarding \
                      ipv4/conf/*/route_localnet ipv6/conf/*/accept_ra";
        self.sh_on_host(script).out
    }

    /// Asserts that the host is as it was before any container, and that no network is
    /// recorded.
    #[track_caller]
    pub fn assert_unchanged(&self) {
        assert_eq!(self.state(), self.before);
        assert!(!self.network_dir().exists(), "{:?} is left", self.network_dir());
    }
}
