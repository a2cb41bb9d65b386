//! If no cgroup is delegated, Kiste asks the user's systemd for a scope. In these
//! tests a service on a real bus takes the place of systemd: it answers as systemd
//! does, and makes the cgroup that systemd would make.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kiste_tests::{User, eventually, host, require_tool};
use rustbus::connection::Timeout;
use rustbus::message_builder::MarshalledMessage;
use rustbus::wire::ObjectPath;
use rustbus::{DuplexConn, Marshal, MessageBuilder, Signature, Unmarshal};

use crate::this_step;

/// The variable that makes a process act as systemd. Its value is the cgroup below
/// which the process makes scopes.
const FAKE_SYSTEMD: &str = "KISTE_TEST_FAKE_SYSTEMD";

#[test]
fn a_limit_gets_a_scope_from_systemd_and_holds_in_it() {
    if let Ok(base) = std::env::var(FAKE_SYSTEMD) {
        return serve_as_systemd(Path::new(&base));
    }
    // The bus looks up the user name of each client, so the user needs one.
    let Some(mut user) =
        User::with_ranges(this_step(), &["pivot-root", "user-namespace", "cgroup-v2"])
    else {
        return;
    };
    if !require_tool("dbus-daemon") {
        return;
    }
    let session = Session::open(&user);
    user.user_prefix =
        vec!["env".into(), format!("DBUS_SESSION_BUS_ADDRESS={}", session.address)];

    let running = user.start(
        &["-m", "64m", "--pids-limit", "20"],
        &["sh", "-c", "read line; exit 3"],
    );
    assert_eq!(
        host::cgroup_value(running.pid, "memory.max").as_deref(),
        Some("67108864")
    );
    assert_eq!(host::cgroup_value(running.pid, "pids.max").as_deref(), Some("20"));
    let cgroup = host::cgroup_file(running.pid, "memory.max").unwrap();
    assert!(
        cgroup.starts_with(&session.base)
            && cgroup.to_str().unwrap().contains(".scope/"),
        "{cgroup:?}"
    );
    running.end().exits(3);

    // Without systemd, the command does not run.
    drop(session);
    let ran = user.run(&["-m", "64m"], &["echo", "it runs"]);
    ran.exits(125).assert_stderr_contains("StartTransientUnit(kiste-");
    assert_eq!(ran.out, "");
}

/// A session bus with the fake systemd on it, and the cgroup below which it makes
/// scopes.
struct Session {
    base: PathBuf,
    address: String,
    bus: Child,
    systemd: Child,
}

impl Session {
    fn open(user: &User) -> Self {
        let dir = user.dir().join("bus");
        fs::create_dir(&dir).unwrap();
        let address = format!("unix:path={}/bus", dir.display());
        let config = dir.join("config");
        let any_user = r#"<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow eavesdrop="true"/></policy>"#;
        let text = format!(
            "<busconfig><listen>{address}</listen><auth>EXTERNAL</auth>{any_user}</busconfig>"
        );
        fs::write(&config, text).unwrap();
        let bus = user
            .beside("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .arg("--nofork")
            .spawn()
            .unwrap();
        eventually(|| dir.join("bus").exists().then_some(())).expect("a bus");

        let name = user.fixture().cgroup_parent();
        let base = host::cgroup_mounts()[0].join(format!("{name}-systemd"));
        fs::create_dir(&base).unwrap();
        fs::write(base.join("cgroup.subtree_control"), "+memory +pids").unwrap();
        let systemd = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "systemd::a_limit_gets_a_scope_from_systemd_and_holds_in_it",
                "--nocapture",
            ])
            .env(FAKE_SYSTEMD, format!("{}", base.display()))
            .env("KISTE_TEST_USER", format!("{}:{}", user.uid, user.gid))
            .env("DBUS_SESSION_BUS_ADDRESS", &address)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        eventually(|| base.join("ready").exists().then_some(()))
            .expect("the fake systemd is on the bus");
        Session { base, address, bus, systemd }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for process in [&mut self.systemd, &mut self.bus] {
            let _ = process.kill();
            let _ = process.wait();
        }
        // systemd removes a scope when its last process has ended. Here the test does.
        let removed = eventually(|| remove_cgroups(&self.base).then_some(()));
        assert!(
            removed.is_some() || std::thread::panicking(),
            "left: {}",
            self.base.display()
        );
    }
}

fn remove_cgroups(cgroup: &Path) -> bool {
    let below =
        fs::read_dir(cgroup).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in below.filter(|path| path.is_dir()) {
        remove_cgroups(&path);
    }
    fs::remove_dir(cgroup).is_ok()
}

/// The value of a property, of the types that a scope has.
#[derive(Marshal, Unmarshal, Signature)]
enum Property {
    Text(String),
    Flag(bool),
    Numbers(Vec<u32>),
}

/// Serves the part of org.freedesktop.systemd1(5) that a scope needs.
fn serve_as_systemd(base: &Path) {
    let mut bus =
        DuplexConn::connect_to_bus(rustbus::get_session_bus_path().unwrap(), false)
            .unwrap();
    bus.send_hello(Timeout::Infinite).unwrap();
    send(
        &mut bus,
        &rustbus::standard_messages::request_name("org.freedesktop.systemd1", 0),
    );
    fs::create_dir(base.join("ready")).unwrap();
    loop {
        let Ok(call) = bus.recv.get_next_message(Timeout::Infinite) else { return };
        match call.dynheader.member.as_deref() {
            Some("Subscribe") => send(&mut bus, &call.dynheader.make_response()),
            Some("StartTransientUnit") => {
                let mut body = call.body.parser();
                let (name, mode, properties) = body
                    .get3::<&str, &str, Vec<(&str, Property)>>()
                    .expect("its parameters");
                assert_eq!(mode, "fail");
                start_scope(&base.join(name), &properties);
                let job =
                    || ObjectPath::new("/org/freedesktop/systemd1/job/1").unwrap();
                let mut answer = call.dynheader.make_response();
                answer.body.push_param(job()).unwrap();
                send(&mut bus, &answer);
                let interface = "org.freedesktop.systemd1.Manager";
                let mut done = MessageBuilder::new()
                    .signal(interface, "JobRemoved", "/org/freedesktop/systemd1")
                    .build();
                done.body.push_param4(1u32, job(), name, "done").unwrap();
                send(&mut bus, &done);
            }
            _ => {}
        }
    }
}

/// Makes the cgroup of a scope, delegates it, and moves the processes into it.
fn start_scope(scope: &Path, properties: &[(&str, Property)]) {
    let user = std::env::var("KISTE_TEST_USER").unwrap();
    let (uid, gid) = user.split_once(':').unwrap();
    let (uid, gid) = (uid.parse().ok(), gid.parse().ok());
    fs::create_dir(scope).unwrap();
    let property = |wanted: &str| {
        properties.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value)
    };
    if let Some(Property::Flag(true)) = property("Delegate") {
        chown(scope, uid, gid).unwrap();
        for file in ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
            chown(scope.join(file), uid, gid).unwrap();
        }
    }
    let Some(Property::Numbers(pids)) = property("PIDs") else {
        panic!("a scope without processes")
    };
    pids.iter().for_each(|pid| {
        fs::write(scope.join("cgroup.procs"), pid.to_string()).unwrap()
    });
}

fn send(bus: &mut DuplexConn, message: &MarshalledMessage) {
    bus.send.send_message_write_all(message).unwrap();
}
