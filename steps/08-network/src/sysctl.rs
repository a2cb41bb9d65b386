//! Settings of the kernel's network, below /proc/sys/net: which links pass packets on.
//!
//! IPv4 is forwarded if the link that a packet comes in by says so; so it is turned on
//! for the bridges and for the links to the world. IPv6 has one switch for all, and a
//! host that forwards no longer takes its address from a router, unless `accept_ra` is
//! 2. See the kernel's networking/ip-sysctl.rst.

use std::fs;
use std::io::ErrorKind;

use anyhow::{Context, Result};
use kit::Hint;
use nix::errno::Errno;

use crate::host_changes::Changed;
use crate::network::Isolation;
use crate::store::{NetworkRecord, NetworkStore};

/// A setting as it has to be while there are containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// `ipv4/conf/eth0/forwarding`
    name: String,
    value: &'static str,
    /// Why it is to be so, for the narration.
    why: &'static str,
    /// Whether something else changes it meanwhile, and it is put back even if it is as
    /// wanted now.
    put_back: PutBack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PutBack {
    IfChanged,
    Always,
}

fn setting(why: &'static str, name: impl Into<String>, value: &'static str) -> Setting {
    Setting { name: name.into(), value, why, put_back: PutBack::IfChanged }
}

const PASS_ON: &str = "forward what comes in here";

/// What the networks that have containers need; `uplinks` lead to the world.
///
/// # Errors
/// When the settings that are there cannot be read.
pub(crate) fn wanted(
    networks: &[&NetworkRecord],
    uplinks: &[String],
    changed: &[Changed],
) -> Result<Vec<Setting>> {
    let mut wanted = Vec::new();
    let routed = || {
        networks.iter().filter(|noted| noted.network.isolation != Isolation::Internal)
    };
    for NetworkRecord { network, leases } in routed() {
        wanted.push(setting(
            PASS_ON,
            format!("ipv4/conf/{}/forwarding", network.bridge),
            "1",
        ));
        if leases
            .iter()
            .flat_map(|lease| &lease.ports)
            .any(|port| port.is_on_loopback())
        {
            // 127.0.0.1 goes to the bridge; from elsewhere it is dropped (rules.rs).
            wanted.push(setting(
                "packets from and to 127.0.0.1 may cross this link",
                format!("ipv4/conf/{}/route_localnet", network.bridge),
                "1",
            ));
        }
    }
    if routed().next().is_some() {
        wanted.extend(
            uplinks.iter().map(|link| {
                setting(PASS_ON, format!("ipv4/conf/{link}/forwarding"), "1")
            }),
        );
    }
    if routed().any(|noted| noted.network.subnet6.is_some()) {
        wanted.extend(for_ipv6(uplinks, changed)?);
    }
    Ok(wanted)
}

fn for_ipv6(uplinks: &[String], changed: &[Changed]) -> Result<Vec<Setting>> {
    let mut wanted = Vec::new();
    for link in uplinks {
        let accept_ra = format!("ipv6/conf/{link}/accept_ra");
        let is_ours = changed.iter().any(|changed| changed.name == accept_ra);
        if is_ours || read(&accept_ra)?.as_deref() == Some("1") {
            let why = "still take the host's address from a router";
            wanted.push(setting(why, accept_ra, "2"));
        }
        // The switch for all writes to each, and back to 0.
        let forwarding = format!("ipv6/conf/{link}/forwarding");
        wanted.push(Setting {
            name: forwarding,
            value: "1",
            why: PASS_ON,
            put_back: PutBack::Always,
        });
    }
    let why = "IPv6 has one switch for all links";
    wanted.push(setting(why, "ipv6/conf/all/forwarding", "1"));
    Ok(wanted)
}

/// Notes how those of `wanted` are that will be changed. Of a link without IPv6 there
/// is none.
///
/// # Errors
/// When one cannot be read or noted: then nothing is to be set, since it could not be
/// put back.
pub(crate) fn remember(store: &mut NetworkStore, wanted: &[Setting]) -> Result<()> {
    for setting in wanted {
        let Some(before) = read(&setting.name)? else { continue };
        let is_noted =
            store.host.sysctls.iter().any(|changed| changed.name == setting.name);
        if !is_noted && (before != setting.value || setting.put_back == PutBack::Always)
        {
            store.host.sysctls.push(Changed { name: setting.name.clone(), before });
        }
    }
    store.note_host()
}

/// Sets what is wanted.
///
/// # Errors
/// All that could not be set; what could is.
pub(crate) fn set(wanted: &[Setting]) -> Vec<anyhow::Error> {
    let differs = |setting: &&Setting| differs(&setting.name, setting.value);
    let set =
        |setting: &Setting| write(&setting.name, setting.value, setting.why).err();
    wanted.iter().filter(differs).filter_map(set).collect()
}

/// Puts back what is no longer wanted: the last first.
///
/// # Errors
/// All that could not be put back; what could is.
pub(crate) fn put_back(
    store: &mut NetworkStore,
    wanted: &[Setting],
) -> Vec<anyhow::Error> {
    let mut errors = Vec::new();
    let is_wanted =
        |changed: &Changed| wanted.iter().any(|setting| setting.name == changed.name);
    let (stay, go): (Vec<_>, Vec<_>) =
        std::mem::take(&mut store.host.sysctls).into_iter().partition(is_wanted);
    store.host.sysctls = stay;
    for changed in go.iter().rev() {
        if differs(&changed.name, &changed.before)
            && let Err(error) =
                write(&changed.name, &changed.before, "put back as it was before")
        {
            store.host.sysctls.push(changed.clone());
            errors.push(error);
        }
    }
    errors.extend(store.note_host().err());
    errors
}

/// Before a link of ours is turned on: whoever is at its other end has nothing to tell
/// it. Without this a container that sends router advertisements is the host's way out
/// (CVE-2020-13401); and a network without IPv6 has none at all.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn believe_nobody(link: &str, has_ipv6: bool) -> Result<()> {
    let own = |setting| format!("ipv6/conf/{link}/{setting}");
    write(&own("accept_ra"), "0", "believe nobody who claims to be a router")?;
    match has_ipv6 {
        true => Ok(()),
        false => write(
            &own("disable_ipv6"),
            "1",
            "no IPv6, so no address that it makes by itself",
        ),
    }
}

/// Whether it is to be written. What cannot be read is: that is harmless.
fn differs(name: &str, value: &str) -> bool {
    match read(name) {
        Ok(found) => found.is_some_and(|found| found != value),
        Err(_) => true,
    }
}

/// None: there is no such setting; a link that is gone has none.
fn read(name: &str) -> Result<Option<String>> {
    let text = kit::if_exists(fs::read_to_string(path(name)));
    Ok(text
        .with_context(|| format!("read({})", path(name)))?
        .map(|text| text.trim().into()))
}

fn write(name: &str, value: &str, why: &str) -> Result<()> {
    let path = path(name);
    kit::call(why, "write", format_args!("{path}, {value}"), || {
        match fs::write(&path, value) {
            // the link went meanwhile
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        }
    })
    .hint_on(
        Errno::EROFS,
        "/proc/sys is read-only here, as it is in a container: run on the host",
    )
    .hint_on(
        Errno::EACCES,
        "/proc/sys cannot be written here: use sudo, and run on the host",
    )
}

fn path(name: &str) -> String {
    format!("/proc/sys/net/{name}")
}
