//! A network device of the host that a container gets: `linux.netDevices` of the OCI
//! runtime specification
//! (<https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#network-devices>).

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result};
use kit::{Failure, FailureKind};
use nix::unistd::Pid;
use rustix::fs::fstat;

use crate::netlink::{Interface, ListedAddress, Netlink};

/// A network device of the host that a container gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetDevice {
    /// Its name on the host.
    name: String,
    /// Its name in the container. `%d` in it stands for the lowest number that is free.
    inside: String,
}

/// A network device that is in the network namespace of a container. Dropping it moves
/// the device back, unless [`MovedDevice::keep`] was called.
#[derive(Debug)]
pub struct MovedDevice {
    /// The device as it was on the host.
    link: Interface,
    addresses: Vec<ListedAddress>,
    /// Its number in the container's namespace.
    index: u32,
    here: Namespace,
    there: Namespace,
    is_kept: bool,
}

/// A network namespace, with a socket to its links.
#[derive(Debug)]
struct Namespace {
    file: File,
    netlink: Netlink,
}

/// The longest name of a link, in bytes: IFNAMSIZ, without the null byte at its end.
const LONGEST_NAME: usize = libc::IFNAMSIZ - 1;

impl NetDevice {
    /// Makes the value for the device of this name on the host, and its name in the
    /// container: the same one, if there is none.
    ///
    /// # Errors
    /// When the kernel has no links of this name.
    pub fn new(name: &str, inside: Option<&str>) -> Result<Self, String> {
        let inside = inside.filter(|inside| !inside.is_empty()).unwrap_or(name);
        check_name(name)?;
        check_name(inside)?;
        if inside.replacen("%d", "", 1).contains('%') {
            return Err(format!("{inside:?}: a name has no % but in one %d"));
        }
        Ok(NetDevice { name: name.into(), inside: inside.into() })
    }

    /// Moves the device into the network namespace of a process, with its permanent
    /// addresses, and turns it on. This process must have no other threads.
    ///
    /// # Errors
    /// When there is no such device, its name is in use in that namespace, or the kernel
    /// refuses to move it. The device is then where it was.
    pub fn move_to(&self, process: Pid) -> Result<MovedDevice> {
        self.try_move_to(process)
            .with_context(|| format!("network device {}", self.name))
    }

    fn try_move_to(&self, process: Pid) -> Result<MovedDevice> {
        let mut here = Namespace::own()?;
        let mut there = Namespace::of_process(process, &here)?;
        let link = here.netlink.existing_link(&self.name)?;
        let addresses = here.netlink.permanent_addresses(&link)?;
        let links = there.netlink.links()?;
        let name = choose_name(&self.inside, &links)?;
        let index = free_index(link.index, &links);
        let mut moved =
            MovedDevice { link, addresses, index, here, there, is_kept: false };
        moved.move_there(&name)?;
        Ok(moved)
    }
}

impl MovedDevice {
    /// Leaves the device in the container. It ends with the container's namespace: the
    /// kernel moves a physical device to the first namespace of the host, and removes a
    /// virtual one (network_namespaces(7)).
    pub fn keep(mut self) {
        self.is_kept = true;
    }

    fn move_there(&mut self, name: &str) -> Result<()> {
        let MovedDevice { link, addresses, index, here, there, .. } = self;
        here.netlink.move_link(link, there.file.as_fd(), name, *index)?;
        let link = set_up(&mut there.netlink, *index, addresses)?;
        there.netlink.turn_on(&link)
    }

    fn move_back(&mut self) -> Result<()> {
        let MovedDevice { link, addresses, index, here, there, .. } = self;
        let links = there.netlink.links()?;
        let Some(moved) = links.iter().find(|it| it.index == *index) else {
            return Ok(()); // it has never left
        };
        there.netlink.move_link(moved, here.file.as_fd(), &link.name, link.index)?;
        set_up(&mut here.netlink, link.index, addresses)?;
        if link.is_up { here.netlink.turn_on(link) } else { Ok(()) }
    }
}

impl Drop for MovedDevice {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = self.move_back()
        {
            let name = &self.link.name;
            kit::warn_error(
                format_args!("network device {name} is not moved back"),
                &error,
            );
        }
    }
}

/// Gives the link of this number its addresses.
fn set_up(
    netlink: &mut Netlink,
    index: u32,
    addresses: &[ListedAddress],
) -> Result<Interface> {
    let links = netlink.links()?;
    let link = links.into_iter().find(|link| link.index == index);
    let link = link.context("the moved link is gone")?;
    addresses.iter().try_for_each(|address| netlink.restore_address(&link, address))?;
    Ok(link)
}

impl Namespace {
    /// Opens the network namespace of this process.
    fn own() -> Result<Self> {
        Ok(Namespace { file: open("self")?, netlink: Netlink::open()? })
    }

    /// Opens the network namespace of another process.
    fn of_process(process: Pid, own: &Namespace) -> Result<Self> {
        let file = open(&process.to_string())?;
        if is_same(file.as_fd(), own.file.as_fd())? {
            let what = "the container is in the network namespace of the runtime";
            return Err(usage(what, "give it a network namespace of its own"));
        }
        let netlink = Netlink::open_in(file.as_fd(), own.file.as_fd())?;
        Ok(Namespace { file, netlink })
    }
}

fn open(process: &str) -> Result<File> {
    let path = format!("/proc/{process}/ns/net");
    File::open(&path).with_context(|| format!("open {path}"))
}

/// Tells whether two descriptors are of one namespace: namespaces(7).
fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Result<bool> {
    let id = |fd| fstat(fd).map(|it| (it.st_dev, it.st_ino)).context("fstat");
    Ok(id(one)? == id(other)?)
}

/// Chooses the name of a link in its next namespace: `%d` becomes the first number whose
/// name is free there. The kernel could do so, too, and would count twice if the name that
/// the link has now is in use there.
fn choose_name(wanted: &str, links: &[Interface]) -> Result<String> {
    let is_free = |name: &String| links.iter().all(|link| link.name != *name);
    let numbers = if wanted.contains("%d") { 0..=links.len() } else { 0..=0 };
    let mut names = numbers.map(|number| wanted.replacen("%d", &number.to_string(), 1));
    names.find(is_free).ok_or_else(|| {
        let what =
            format!("the container's network namespace has a link {wanted} already");
        usage(what, "choose another `name`; net%d is the first free one")
    })
}

/// Chooses the number of a link in its next namespace: the one that it has, if it is free
/// there. The caller knows the link by it afterwards, whatever its name is.
fn free_index(wanted: u32, links: &[Interface]) -> u32 {
    let used = links.iter().map(|link| link.index);
    let is_free = !used.clone().any(|index| index == wanted);
    if is_free { wanted } else { used.max().unwrap_or_default() + 1 }
}

/// Checks a name as dev_valid_name() in net/core/dev.c does.
fn check_name(name: &str) -> Result<(), String> {
    let is_forbidden = |c: char| c == '/' || c == ':' || c.is_whitespace() || c == '\0';
    let is_valid = !["", ".", ".."].contains(&name)
        && name.len() <= LONGEST_NAME
        && !name.contains(is_forbidden);
    match is_valid {
        true => Ok(()),
        false => Err(format!(
            "{name:?} is no name of a network device: it has 1 to {LONGEST_NAME} bytes, and no \
             slash, colon or white space"
        )),
    }
}

fn usage(what: impl std::fmt::Display, hint: &str) -> anyhow::Error {
    Failure::new(what).with_kind(FailureKind::Usage).hint(hint).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_keeps_its_name_unless_it_gets_another() {
        let names = |name, inside| {
            NetDevice::new(name, inside).map(|it| (it.name, it.inside)).ok()
        };
        let is =
            |name: &str, inside: &str| Some((name.to_string(), inside.to_string()));
        assert_eq!(names("eth1", None), is("eth1", "eth1"));
        assert_eq!(names("eth1", Some("")), is("eth1", "eth1"));
        assert_eq!(names("eth1", Some("net%d")), is("eth1", "net%d"));
        let long = "abcdefghijklmno";
        assert_eq!(names(long, None), is(long, long));
        for bad in ["", ".", "..", "a/b", "a b", "a:1", "abcdefghijklmnop"] {
            assert_eq!(names(bad, None), None, "{bad:?}");
            if !bad.is_empty() {
                assert_eq!(names("eth1", Some(bad)), None, "{bad:?}");
            }
        }
        for bad in ["net%", "net%s", "net%d%d"] {
            assert_eq!(names("eth1", Some(bad)), None, "{bad:?}");
        }
    }

    #[test]
    fn a_link_keeps_its_number_if_that_is_free_and_a_template_becomes_a_free_name() {
        let link = |index| Interface {
            index,
            name: format!("eth{index}"),
            bridge: None,
            mtu: 1500,
            mac: None,
            is_up: false,
        };
        assert_eq!(free_index(7, &[link(1), link(9)]), 7);
        assert_eq!(free_index(9, &[link(1), link(9)]), 10);
        assert_eq!(free_index(7, &[]), 7);
        let name = |wanted| choose_name(wanted, &[link(0), link(1)]).ok();
        assert_eq!(name("eth%d").as_deref(), Some("eth2"));
        assert_eq!(name("eth2").as_deref(), Some("eth2"));
        assert_eq!(name("eth1"), None);
    }
}
