//! Asks the user's systemd over D-Bus for a scope: a cgroup that is delegated to us
//! (org.freedesktop.systemd1(5); systemd's CGROUP_DELEGATION).

use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kit::{Failure, Hint, Id, interrupt};
use rustbus::connection::Timeout;
use rustbus::message_builder::MarshalledMessage;
use rustbus::wire::ObjectPath;
use rustbus::wire::unmarshal::traits::Variant;
use rustbus::{DuplexConn, Marshal, MessageBuilder, MessageType, Signature};
use rustbus_nix::sys::socket::UnixAddr;

use crate::directory::Directory;
use crate::hierarchy::Hierarchy;
use crate::parent;
use crate::placement::SessionBus;

/// The longest time that the bus and systemd may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The value of a property of a unit.
#[derive(Marshal, Signature)]
pub(crate) enum Property {
    Text(String),
    Flag(bool),
    Numbers(Vec<u32>),
    Number(u64),
    Small(i32),
    Bytes(Vec<u8>),
    Texts(Vec<String>),
    Pairs(Vec<(String, String)>),
}

/// Asks systemd to put this process, the runtime, into a scope of its own. The cgroup
/// of the container is then made below the scope, and the runtime moves into another
/// cgroup below the scope: only leaves may have processes.
///
/// systemd removes the scope with everything below when the last process in it has
/// ended.
pub(crate) fn enter(bus: &SessionBus, id: &Id) -> Result<()> {
    let name = format!("kiste-{id}.scope");
    kit::call("ask the user's systemd for a cgroup to write in", "StartTransientUnit", &name, || {
        start_scope(bus, &name).map_err(|error| io::Error::other(Failure::of(&error)))
    })
    .hint("is this a login session with `systemd --user`? Otherwise have root delegate a cgroup to you")
    .or_else(|error| interrupt::check().map_err(Into::into).and(Err(error)))
}

/// Moves this process into a new cgroup below the one that it is in.
pub(crate) fn become_leaf(hierarchy: &Hierarchy) -> Result<()> {
    let Some(scope) = &hierarchy.own else { return Ok(()) };
    let leaf = Directory::existing(hierarchy, scope.join("runtime"));
    parent::mkdir("a leaf for the runtime itself", leaf.path(), 0o755)?;
    // 0 stands for the process that writes.
    leaf.write("move in: only leaves may have processes", "cgroup.procs", 0)
}

fn start_scope(bus: &SessionBus, name: &str) -> Result<()> {
    start_unit(bus, name, scope_of(std::process::id()))
}

/// Starts a scope with these properties.
pub(crate) fn start(
    bus: &SessionBus,
    name: &str,
    properties: Vec<(String, Property)>,
) -> Result<()> {
    kit::call(
        "ask systemd for the container's cgroup",
        "StartTransientUnit",
        name,
        || {
            start_unit(bus, name, properties)
                .map_err(|error| io::Error::other(Failure::of(&error)))
        },
    )
    .or_else(|error| interrupt::check().map_err(Into::into).and(Err(error)))
}

/// Changes properties of a unit until the next boot (org.freedesktop.systemd1(5)).
pub(crate) fn set_properties(
    bus: &SessionBus,
    name: &str,
    properties: Vec<(String, Property)>,
) -> Result<()> {
    let set = || {
        let mut message = manager_call("SetUnitProperties");
        message.body.push_param3(name, true, properties)?;
        call_method(&mut connect(bus)?, &mut message)
    };
    kit::call("tell systemd the new limits", "SetUnitProperties", name, || {
        set().map_err(|error| io::Error::other(Failure::of(&error)))
    })
}

/// Returns the cgroup of systemd itself, below which its slices are: `/` for the system,
/// and for a user that of their service manager.
pub(crate) fn manager_cgroup(bus: &SessionBus) -> Result<String> {
    let mut bus = connect(bus)?;
    let mut message = MessageBuilder::new()
        .call("Get")
        .with_interface("org.freedesktop.DBus.Properties")
        .on("/org/freedesktop/systemd1")
        .at("org.freedesktop.systemd1")
        .build();
    message.body.push_param2("org.freedesktop.systemd1.Manager", "ControlGroup")?;
    let answer = answer_of(&mut bus, &mut message)?;
    let value = answer
        .body
        .parser()
        .get::<Variant<'_, '_>>()
        .context("read systemd's answer")?;
    let cgroup = value.get::<&str>().context("read systemd's answer")?.to_string();
    // systemd's own process is in init.scope.
    Ok(cgroup.strip_suffix("/init.scope").map(String::from).unwrap_or(cgroup))
}

fn start_unit(
    bus: &SessionBus,
    name: &str,
    properties: Vec<(String, Property)>,
) -> Result<()> {
    let mut bus = connect(bus)?;
    // systemd sends JobRemoved to its subscribers, with the result of the job.
    call_method(&mut bus, &mut rustbus::standard_messages::add_match(JOB_REMOVED))?;
    call_method(&mut bus, &mut manager_call("Subscribe"))?;
    call_method(&mut bus, &mut start_transient_unit(name, properties)?)?;
    loop {
        let message = next_message(&mut bus).context("wait for systemd")?;
        if message.typ != MessageType::Signal
            || message.dynheader.member.as_deref() != Some("JobRemoved")
        {
            continue;
        }
        let mut body = message.body.parser();
        let (_, _, unit, result) = body
            .get4::<u32, ObjectPath<&str>, &str, &str>()
            .context("read systemd's answer")?;
        if unit == name {
            let error = || Failure::new(format_args!("systemd says {result:?}"));
            return if result == "done" { Ok(()) } else { Err(error().into()) };
        }
    }
}

fn connect(bus: &SessionBus) -> Result<DuplexConn> {
    let address = parse_address(bus).context("the address of the bus")?;
    let mut bus =
        DuplexConn::connect_to_bus(address, false).context("connect to the bus")?;
    bus.send_hello(Timeout::Duration(TIMEOUT)).context("greet the bus")?;
    Ok(bus)
}

/// Parses `unix:path=/run/user/1000/bus` or `unix:abstract=NAME` (D-Bus specification,
/// "Server Addresses").
fn parse_address(SessionBus(address): &SessionBus) -> Result<UnixAddr> {
    let pairs = address.strip_prefix("unix:").unwrap_or_default().split(',');
    for pair in pairs {
        match pair.split_once('=') {
            Some(("path", path)) => return Ok(UnixAddr::new(path)?),
            Some(("abstract", name)) => {
                return Ok(UnixAddr::new_abstract(name.as_bytes())?);
            }
            _ => {}
        }
    }
    Err(Failure::new(format_args!("{address}: not the address of a Unix socket"))
        .into())
}

const JOB_REMOVED: &str =
    "type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

fn manager_call(method: &str) -> MarshalledMessage {
    MessageBuilder::new()
        .call(method)
        .with_interface("org.freedesktop.systemd1.Manager")
        .on("/org/freedesktop/systemd1")
        .at("org.freedesktop.systemd1")
        .build()
}

/// Returns the message that calls StartTransientUnit(name, mode, properties, auxiliary
/// units) (org.freedesktop.systemd1(5)).
fn start_transient_unit(
    name: &str,
    properties: Vec<(String, Property)>,
) -> Result<MarshalledMessage> {
    let mut message = manager_call("StartTransientUnit");
    message.body.push_param2(name, "fail")?;
    message
        .body
        .push_param2(properties, Vec::<(&str, Vec<(&str, Property)>)>::new())?;
    Ok(message)
}

/// Returns the properties of a scope for this process, in which a container makes its
/// own cgroups.
pub(crate) fn scope_of(process: u32) -> Vec<(String, Property)> {
    vec![
        ("Description".into(), Property::Text("a container of Kiste".into())),
        ("Delegate".into(), Property::Flag(true)),
        ("PIDs".into(), Property::Numbers(vec![process])),
        // systemd forgets a scope that failed, too: systemd.unit(5).
        ("CollectMode".into(), Property::Text("inactive-or-failed".into())),
    ]
}

/// Calls a method and waits for its answer.
fn call_method(bus: &mut DuplexConn, message: &mut MarshalledMessage) -> Result<()> {
    answer_of(bus, message).map(drop)
}

/// Calls a method and returns its answer.
fn answer_of(
    bus: &mut DuplexConn,
    message: &mut MarshalledMessage,
) -> Result<MarshalledMessage> {
    let serial = bus.send.send_message_write_all(message).context("send to the bus")?;
    loop {
        let answer = next_message(bus).context("wait for the bus")?;
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
            _ => Ok(answer),
        };
    }
}

/// Waits for a message, until a signal comes or the time is over.
fn next_message(bus: &mut DuplexConn) -> Result<MarshalledMessage> {
    let end = Instant::now() + TIMEOUT;
    loop {
        interrupt::check()?;
        let a_moment = Timeout::Duration(Duration::from_millis(50));
        match bus.recv.get_next_message(a_moment) {
            Err(rustbus::connection::Error::TimedOut) if Instant::now() < end => {}
            message => return Ok(message?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_address_is_a_path_or_an_abstract_name() {
        let address = |text: &str| parse_address(&SessionBus(text.into()));
        let bus = address("unix:path=/run/user/1/bus,guid=ab").unwrap();
        assert_eq!(bus.path().unwrap(), std::path::Path::new("/run/user/1/bus"));
        let bus = address("unix:guid=ab,abstract=/tmp/dbus").unwrap();
        assert_eq!(bus.as_abstract(), Some(&b"/tmp/dbus"[..]));
        for wrong in ["", "tcp:host=localhost,port=1", "unix:tmpdir=/tmp", "/run/bus"] {
            assert!(address(wrong).unwrap_err().to_string().contains("Unix socket"));
        }
    }
}
