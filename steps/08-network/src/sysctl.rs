//! Kernel settings below /proc/sys/net. See the kernel's networking/ip-sysctl.rst.

use std::fs;
use std::io::ErrorKind;

use anyhow::{Context, Result};
use kit::Hint;
use nix::errno::Errno;

/// Reads a setting. None: there is no such setting, or its link is gone.
pub(crate) fn read(name: &str) -> Result<Option<String>> {
    let path = path(name);
    let text = kit::if_exists(fs::read_to_string(&path))
        .with_context(|| format!("read({path})"))?;
    Ok(text.map(|text| text.trim().into()))
}

/// Writes a setting. It is no error if its link is gone.
pub(crate) fn write(name: &str, value: &str, why: &str) -> Result<()> {
    let path = path(name);
    kit::call(why, "write", format_args!("{path}, {value}"), || {
        match fs::write(&path, value) {
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

/// Tells whether a setting has another value, or cannot be read: to write it once more
/// is harmless.
pub(crate) fn differs(name: &str, value: &str) -> bool {
    match read(name) {
        Ok(found) => found.is_some_and(|found| found != value),
        Err(_) => true,
    }
}

/// Makes a link ignore router advertisements, before it is turned on. Otherwise a
/// container could send them and become the host's default gateway (CVE-2020-13401). On
/// a network without IPv6 the link has no IPv6 address either.
pub(crate) fn refuse_router_advertisements(link: &str, has_ipv6: bool) -> Result<()> {
    let own = |setting| format!("ipv6/conf/{link}/{setting}");
    write(&own("accept_ra"), "0", "ignore router advertisements")?;
    match has_ipv6 {
        true => Ok(()),
        false => {
            write(&own("disable_ipv6"), "1", "no IPv6, so no link-local address either")
        }
    }
}

/// The settings of a link that are changed for networks, and restored later.
const CHANGED: [(&str, &str); 4] = [
    ("ipv4", "forwarding"),
    ("ipv4", "route_localnet"),
    ("ipv6", "forwarding"),
    ("ipv6", "accept_ra"),
];

/// Tells whether this is a setting of a link that networks change:
/// `ipv4/conf/eth0/forwarding`.
pub(crate) fn is_changed_for_networks(name: &str) -> bool {
    match name.split('/').collect::<Vec<_>>()[..] {
        [family, "conf", link, setting] => {
            CHANGED.contains(&(family, setting)) && is_link_name(link)
        }
        _ => false,
    }
}

/// Tells whether the kernel takes this as the name of a link: `dev_valid_name` in
/// net/core/dev.c. No such name is a path.
pub(crate) fn is_link_name(name: &str) -> bool {
    let is_valid =
        |byte: u8| !matches!(byte, b'/' | b':') && !byte.is_ascii_whitespace();
    !matches!(name, "" | "." | "..") && name.len() < 16 && name.bytes().all(is_valid)
}

fn path(name: &str) -> String {
    format!("/proc/sys/net/{name}")
}
