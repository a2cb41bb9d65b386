//! A cgroup from the user's systemd: a scope that is delegated to us, asked for over
//! D-Bus (org.freedesktop.systemd1(5); systemd's CGROUP_DELEGATION).

use std::io;
use std::time::Duration;

use anyhow::{Context, Result};
use kit::{Failure, Hint, Id};
use rustbus::connection::Timeout;
use rustbus::message_builder::MarshalledMessage;
use rustbus::wire::ObjectPath;
use rustbus::{DuplexConn, Marshal, MessageBuilder, MessageType, Signature};

use crate::directory::Directory;
use crate::hierarchy::Hierarchy;
use crate::parent;

/// How long the bus and systemd may take for an answer.
const PATIENCE: Timeout = Timeout::Duration(Duration::from_secs(10));

/// The value of a property of a unit.
#[derive(Marshal, Signature)]
enum Property {
    Text(String),
    Flag(bool),
    Numbers(Vec<u32>),
}

/// Whether this user has a session bus, at which systemd may be asked.
pub(crate) fn has_bus() -> bool {
    std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some()
}

/// Has systemd put us, the runtime, into a scope of our own. The container's cgroup is
/// then made below it, and we go into a leaf of it: only leaves have processes.
///
/// systemd removes the scope with all that is below when the last process in it has
/// ended.
pub(crate) fn enter(id: &Id) -> Result<()> {
    let name = format!("kiste-{id}.scope");
    kit::call("ask the user's systemd for a cgroup to write in", "StartTransientUnit", &name, || {
        start(&name).map_err(|error| io::Error::other(format!("{error:#}")))
    })
    .hint("is this a login session with `systemd --user`? Otherwise have root delegate a cgroup to you")
}

/// Moves us into a leaf of the cgroup that we are in.
pub(crate) fn become_leaf(hierarchy: &Hierarchy) -> Result<()> {
    let Some(scope) = hierarchy.own() else { return Ok(()) };
    let leaf = Directory::found(hierarchy, scope.join("runtime"));
    parent::mkdir("a leaf for the runtime itself", leaf.path())?;
    // 0 stands for who writes
    leaf.write("move in: only leaves may have processes", "cgroup.procs", 0)
}

fn start(name: &str) -> Result<()> {
    let mut bus = connect()?;
    // JobRemoved is sent to those who have subscribed, and says how the job came out.
    call(&mut bus, &mut rustbus::standard_messages::add_match(JOBS))?;
    call(&mut bus, &mut manager("Subscribe"))?;
    call(&mut bus, &mut unit(name)?)?;
    loop {
        let message =
            bus.recv.get_next_message(PATIENCE).context("wait for systemd")?;
        if message.typ != MessageType::Signal
            || message.dynheader.member.as_deref() != Some("JobRemoved")
        {
            continue;
        }
        let mut body = message.body.parser();
        let (_, _, unit, result) = body
            .get4::<u32, ObjectPath<&str>, &str, &str>()
            .context("read systemd's answer")?;
        match (unit == name, result) {
            (false, _) => {}
            (true, "done") => return Ok(()),
            (true, result) => {
                return Err(
                    Failure::new(format_args!("systemd says {result:?}")).into()
                );
            }
        }
    }
}

fn connect() -> Result<DuplexConn> {
    let address =
        rustbus::get_session_bus_path().context("DBUS_SESSION_BUS_ADDRESS")?;
    let mut bus = DuplexConn::connect_to_bus(address, false)
        .context("connect to the session bus")?;
    bus.send_hello(PATIENCE).context("greet the session bus")?;
    Ok(bus)
}

const JOBS: &str =
    "type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

fn manager(method: &str) -> MarshalledMessage {
    MessageBuilder::new()
        .call(method)
        .with_interface("org.freedesktop.systemd1.Manager")
        .on("/org/freedesktop/systemd1")
        .at("org.freedesktop.systemd1")
        .build()
}

/// org.freedesktop.systemd1(5), StartTransientUnit(name, mode, properties, auxiliary
/// units).
fn unit(name: &str) -> Result<MarshalledMessage> {
    let mut message = manager("StartTransientUnit");
    let properties = vec![
        ("Description", Property::Text("a container of Kiste".into())),
        ("Delegate", Property::Flag(true)),
        ("PIDs", Property::Numbers(vec![std::process::id()])),
        // Also a scope that failed is forgotten: systemd.unit(5).
        ("CollectMode", Property::Text("inactive-or-failed".into())),
    ];
    message.body.push_param2(name, "fail")?;
    message
        .body
        .push_param2(properties, Vec::<(&str, Vec<(&str, Property)>)>::new())?;
    Ok(message)
}

/// Calls a method and waits for its answer.
fn call(bus: &mut DuplexConn, message: &mut MarshalledMessage) -> Result<()> {
    let serial =
        bus.send.send_message_write_all(message).context("send to the session bus")?;
    loop {
        let answer =
            bus.recv.get_next_message(PATIENCE).context("wait for the session bus")?;
        if answer.dynheader.response_serial != Some(serial) {
            continue;
        }
        return match answer.typ {
            MessageType::Error => {
                let name = answer.dynheader.error_name.unwrap_or_default();
                let text =
                    answer.body.parser().get::<&str>().unwrap_or_default().to_string();
                Err(Failure::new(format_args!("{name}: {text}")).into())
            }
            _ => Ok(()),
        };
    }
}
