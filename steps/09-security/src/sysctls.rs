//! Kernel settings of a container: those that a namespace of its own has, and no other.
//! See namespaces(7) and <https://docs.kernel.org/admin-guide/sysctl/>.

use std::fmt::{self, Display};
use std::os::fd::{AsFd, BorrowedFd};
use std::str::FromStr;

use anyhow::Result;
use exec::CloneFlags;
use kit::{Failure, FailureKind, Hint};
use nix::errno::Errno;
use rustix::fs::ResolveFlags;

use crate::procfs::{open_to_write, require_procfs};

/// A setting and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    /// The name with a dot between its parts. A part may have a slash in place of a
    /// dot: `net.ipv4.conf.eth0/100.forwarding` for the link `eth0.100`.
    name: String,
    value: String,
}

/// The settings of the IPC namespace, besides `fs.mqueue.*`: ipc_namespaces(7).
const OF_IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

impl Sysctl {
    /// Makes a setting. The parts of the name are separated as in sysctl(8): by dots,
    /// or by slashes if a slash comes first.
    ///
    /// # Errors
    /// When the name cannot be that of a setting.
    pub fn new(name: &str, value: &str) -> Result<Self, String> {
        let is_slash_first =
            name.find(['.', '/']).is_some_and(|at| name[at..].starts_with('/'));
        let swap = |c| match c {
            '/' => '.',
            '.' => '/',
            other => other,
        };
        let name: String = match is_slash_first {
            true => name.chars().map(swap).collect(),
            false => name.into(),
        };
        let path = path_of(&name);
        let is_part = |part: &str| {
            !["", ".", ".."].contains(&part) && !part.contains(['/', '\0'])
        };
        if path.contains('/') && path.split('/').all(is_part) && !name.contains("//") {
            return Ok(Sysctl { name, value: value.into() });
        }
        Err(format!("{name:?} is no name of a kernel setting: net.core.somaxconn"))
    }

    /// Returns the kind of namespace that has this setting, or None if it belongs to
    /// the whole host.
    fn namespace(&self) -> Option<(CloneFlags, &'static str)> {
        match self.name.as_str() {
            name if name.starts_with("net.") => {
                Some((CloneFlags::CLONE_NEWNET, "network"))
            }
            name if name.starts_with("fs.mqueue.") || OF_IPC.contains(&name) => {
                Some((CloneFlags::CLONE_NEWIPC, "IPC"))
            }
            "kernel.domainname" => Some((CloneFlags::CLONE_NEWUTS, "UTS")),
            _ => None,
        }
    }

    /// Checks that the setting belongs to one of the container's own namespaces, which
    /// are `own`.
    ///
    /// # Errors
    /// When it belongs to the host, or would be that of a namespace which the container
    /// shares.
    pub fn check(&self, own: CloneFlags) -> Result<()> {
        let (why, hint) = match self.namespace() {
            _ if self.name == "kernel.hostname" => (
                "the host name is set in another way".into(),
                "use --hostname, or `hostname` in config.json",
            ),
            None => (
                "it belongs to the whole host, not to a namespace".into(),
                "only net.*, fs.mqueue.*, kernel.msg*, kernel.sem, kernel.shm* and kernel.domainname are a \
                 container's own; as root, set others on the host with sysctl(8)",
            ),
            Some((kind, name)) if !own.contains(kind) => (
                format!("it belongs to the {name} namespace, which is the host's"),
                "give the container such a namespace of its own",
            ),
            Some(_) => return Ok(()),
        };
        let failure = Failure::new(format_args!("sysctl {}: {why}", self.name));
        Err(failure.with_kind(FailureKind::Refused).hint(hint).into())
    }

    /// In the child, in its namespaces: writes the setting through the container's own
    /// /proc, which is mounted in `root`. No other mount or link on the way is followed.
    ///
    /// # Errors
    /// ENOENT when the kernel has no such setting, and the kernel's others.
    pub fn write(&self, root: BorrowedFd<'_>) -> Result<()> {
        let proc = mount::inside::open_directory_without_links(root, "/proc")?;
        require_procfs(proc.as_fd())?;
        let path = format!("sys/{}", path_of(&self.name));
        kit::call("a setting of its own namespace", "write", self, || {
            let file = open_to_write(proc.as_fd(), &path, ResolveFlags::NO_SYMLINKS)?;
            rustix::io::write(&file, self.value.as_bytes()).map(drop)
        })
        .hint_on(
            Errno::ENOENT,
            "this kernel has no such setting; `sysctl -a` lists all",
        )
        .hint_on(Errno::EINVAL, "the kernel does not accept this value")
        .hint_on(
            Errno::EACCES,
            "only root on the host may write it: leave it out, or use sudo",
        )
    }
}

/// The path below /proc/sys.
fn path_of(name: &str) -> String {
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    name.chars().map(swap).collect()
}

/// Reads Docker's form, `NAME=VALUE`.
impl FromStr for Sysctl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            format!("{text:?}: NAME=VALUE, as in net.core.somaxconn=1024")
        })?;
        Sysctl::new(name, value)
    }
}

impl Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: CloneFlags = CloneFlags::all();

    fn check(text: &str, own: CloneFlags) -> Result<(), String> {
        let checked = text.parse::<Sysctl>()?.check(own);
        checked.map_err(|error| error.to_string())
    }

    #[test]
    fn a_setting_of_an_own_namespace_is_allowed() {
        for name in [
            "net.ipv4.ip_forward=1",
            "net/ipv4/ip_forward=1",
            "kernel.shmmax=1",
            "kernel.domainname=example.org",
            "fs.mqueue.msg_max=1",
        ] {
            check(name, ALL).unwrap();
            check(name, CloneFlags::empty()).unwrap_err();
        }
    }

    #[test]
    fn a_setting_of_the_host_is_refused_with_the_reason() {
        for name in
            ["kernel.core_pattern", "vm.swappiness", "fs.file-max", "kernel.modprobe"]
        {
            let error = check(&format!("{name}=1"), ALL).unwrap_err();
            assert!(error.contains("belongs to the whole host"), "{error}");
        }
        let own = ALL.difference(CloneFlags::CLONE_NEWNET);
        let error = check("net.ipv4.ip_forward=1", own).unwrap_err();
        assert!(error.contains("network namespace, which is the host's"), "{error}");
        assert!(check("kernel.hostname=x", ALL).unwrap_err().contains("host name"));
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        for name in
            ["", "net", "net..x", ".net.x", "net.ipv4.", "net/../kernel/x", "net.//.x"]
        {
            assert!(Sysctl::new(name, "1").is_err(), "{name}");
        }
        assert!("net.ipv4.ip_forward".parse::<Sysctl>().is_err());
    }

    #[test]
    fn a_slash_in_a_name_with_dots_stands_for_a_dot() {
        let path = |name: &str| path_of(&Sysctl::new(name, "1").unwrap().name);
        let expected = "net/ipv4/conf/eth0.100/forwarding";
        assert_eq!(path("net.ipv4.conf.eth0/100.forwarding"), expected);
        assert_eq!(path("net/ipv4/conf/eth0.100/forwarding"), expected);
    }
}
