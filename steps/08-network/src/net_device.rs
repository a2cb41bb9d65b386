//! A network device of the host that a container gets: `linux.netDevices` of the OCI
//! runtime specification
//! (<https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#network-devices>).

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result, anyhow, bail};
use kit::{Failure, FailureKind};
use nix::unistd::Pid;
use rustix::fs::fstat;

use crate::netlink::{Interface, ListedAddress, ListedRoute, Netlink};

/// A network device of the host that a container gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetDevice {
    /// Its name on the host.
    name: String,
    /// Its name in the container. `%d` in it stands for the lowest number that is free.
    inside: String,
}

/// A network device that is in the network namespace of a container.
///
/// Dropping it moves the device back, unless [`MovedDevice::keep`] was called, and gives
/// it its name, its number, its addresses, its routes, and whether it was on. The kernel
/// has removed the rest when the device left: neighbours, queueing disciplines, the
/// settings in /proc/sys/net, and routes of other links from its addresses. Dropping it
/// warns of each thing that could not be given back.
#[derive(Debug)]
pub struct MovedDevice {
    /// The device as it was on the host.
    link: Interface,
    addresses: Vec<ListedAddress>,
    routes: Vec<ListedRoute>,
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

    /// Checks that the device can leave this network namespace.
    ///
    /// # Errors
    /// When there is no such device, or it belongs to a bridge, a bond or a VRF, which
    /// would lose it: a move back does not give it to them again.
    pub fn check(&self) -> Result<()> {
        let found = Netlink::open().and_then(|mut netlink| self.find(&mut netlink));
        found.map(drop).with_context(|| self.context())
    }

    /// Moves the device into the network namespace of a process, with its permanent
    /// addresses, and turns it on. This process must have no other threads.
    ///
    /// # Errors
    /// When [`NetDevice::check`] fails, its name is in use in that namespace, or the kernel
    /// refuses to move it. If it has moved already, it is moved back as [`MovedDevice`]
    /// says.
    pub fn move_to(&self, process: Pid) -> Result<MovedDevice> {
        self.try_move_to(process).with_context(|| self.context())
    }

    fn try_move_to(&self, process: Pid) -> Result<MovedDevice> {
        let mut here = Namespace::own()?;
        let mut there = Namespace::of_process(process, &here)?;
        let link = self.find(&mut here.netlink)?;
        let addresses = here.netlink.addresses_of(&link)?;
        let routes = here.netlink.routes_of(&link)?;
        let links = there.netlink.links()?;
        let name = choose_name(&self.inside, &links)?;
        let index = free_index(link.index, &links);
        here.netlink.move_link(&link, there.file.as_fd(), &name, index)?;
        let mut moved =
            MovedDevice { link, addresses, routes, index, here, there, is_kept: false };
        moved.set_up()?;
        Ok(moved)
    }

    fn find(&self, netlink: &mut Netlink) -> Result<Interface> {
        let link = netlink.existing_link(&self.name)?;
        let Some(index) = link.bridge else { return Ok(link) };
        let master = netlink.links()?.into_iter().find(|link| link.index == index);
        let master = master.context("its bridge is gone: try again")?;
        let kind = master.kind.as_deref().unwrap_or("link");
        let what = format!("it belongs to the {kind} {}", master.name);
        let hint = format!("`ip link set {} nomaster` takes it out", self.name);
        Err(usage(what, &hint))
    }

    fn context(&self) -> String {
        format!("network device {}", self.name)
    }
}

impl MovedDevice {
    /// Leaves the device in the container. It ends with the container's namespace: the
    /// kernel moves a physical device to the first namespace of the host, and removes a
    /// virtual one (network_namespaces(7)).
    pub fn keep(mut self) {
        self.is_kept = true;
    }

    /// Gives the device its addresses in the container, and turns it on.
    fn set_up(&mut self) -> Result<()> {
        let link = self.find_inside()?;
        let netlink = &mut self.there.netlink;
        let is_kept = |address: &&ListedAddress| address.is_permanent_and_global();
        for address in self.addresses.iter().filter(is_kept) {
            netlink.restore_address(&link, address)?;
        }
        netlink.turn_on(&link)
    }

    /// Finds the device in the container. A process there that may change links, a hook
    /// for example, can give its number to another link, which the host must not get.
    fn find_inside(&mut self) -> Result<Interface> {
        let links = self.there.netlink.links()?;
        let Some(link) = links.into_iter().find(|link| link.index == self.index) else {
            bail!("it is gone from the container's network namespace");
        };
        if (link.mac, &link.kind) != (self.link.mac, &self.link.kind) {
            bail!(
                "link {} of the container has its number, and another kind or MAC address",
                link.name
            );
        }
        Ok(link)
    }

    /// Moves the device to the host and gives it what it had there. Goes on past errors,
    /// and returns all of them.
    fn move_back(&mut self) -> Vec<anyhow::Error> {
        let link = match self.return_link() {
            Ok(link) => link,
            Err(error) => return vec![error.context("it is not moved back")],
        };
        let mut errors = Vec::new();
        if link.name != self.link.name {
            let what = format!("its name is taken: it is {} now", link.name);
            errors.push(anyhow!(what));
        }
        let netlink = &mut self.here.netlink;
        for address in &self.addresses {
            errors.extend(netlink.restore_address(&link, address).err());
        }
        if self.link.is_up {
            errors.extend(netlink.turn_on(&link).err());
        }
        for route in &self.routes {
            errors.extend(netlink.restore_route(&link, route).err());
        }
        errors
    }

    /// Moves the device to the host, where its name or its number may be taken by now.
    fn return_link(&mut self) -> Result<Interface> {
        let moved = self.find_inside()?;
        let MovedDevice { link, here, there, .. } = self;
        let links = here.netlink.links()?;
        let name = choose_name(&link.name, &links)
            .or_else(|_| choose_name("dev%d", &links))?; // as the kernel calls it then
        let index = free_index(link.index, &links);
        there.netlink.move_link(&moved, here.file.as_fd(), &name, index)?;
        Ok(Interface { name, index, ..moved })
    }
}

impl Drop for MovedDevice {
    fn drop(&mut self) {
        let errors = if self.is_kept { Vec::new() } else { self.move_back() };
        for error in errors {
            kit::warn_error(format_args!("network device {}", self.link.name), &error);
        }
    }
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
            kind: None,
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
