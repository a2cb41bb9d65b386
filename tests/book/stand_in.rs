//! Namespaces that stand in for the host when a page changes it and the tests run as
//! root. They have a copy of `./rootfs`, and from chapter 8 on a network, so that the
//! links, rules and settings of this machine are never touched. A veth pair leads to
//! another network namespace, which stands in for the Internet.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use kiste_tests::Holder;
use tempfile::TempDir;

use super::host::{Host, RootAccess};
use super::pages::Page;
use super::user_home;

/// From this chapter on, root writes into `./rootfs`.
const FIRST_ROOTFS_COPY: u32 = 6;

/// From this chapter on, root's containers are on a bridge of the host.
const FIRST_NETWORK: u32 = 8;

/// The processes that keep the namespaces alive, and the copy of `./rootfs`. All are
/// removed when this is dropped.
pub struct StandIn {
    host: Holder,
    _outside: Option<Holder>,
    _rootfs: TempDir,
}

/// Sets up the namespaces of the host. Its `/var/lib`, where networks are recorded, is
/// an empty tmpfs. pasta(1), for an ordinary user, needs /dev/net/tun.
const SET_UP_HOST: &str = "set -e
    mount -t tmpfs -o mode=755 none /var/lib
    if [ -e /dev/net/tun ]; then
        mknod -m 666 /var/lib/tun c 10 200; mount --bind /var/lib/tun /dev/net/tun
    fi
    ip link set lo up
    ip link add eth0 type veth peer name eth0 netns \"$1\"
    ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up
    ip route add default via 192.0.2.1";

const SET_UP_OUTSIDE: &str = "set -e
    ip link set lo up
    ip addr add 192.0.2.1/24 dev eth0; ip link set eth0 up";

const MOUNT_ROOTFS: &str = r#"mount --bind "$1" "$2""#;

impl StandIn {
    /// Returns whether a page is run in namespaces of its own.
    pub fn is_for(page: &Page, host: &Host) -> bool {
        page.number() >= Some(FIRST_ROOTFS_COPY) && host.root == RootAccess::Already
    }

    /// Returns why this machine cannot make the namespaces that the page needs.
    pub fn missing(page: &Page, host: &Host) -> Option<String> {
        if page.number() < Some(FIRST_NETWORK) {
            return None;
        }
        if host.root != RootAccess::Already {
            return Some(
                "only root can make a network that stands in for the host's".into(),
            );
        }
        let ip = Command::new("ip")
            .arg("-V")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        ip.is_err().then(|| "there is no ip here (the package iproute2)".into())
    }

    /// Makes the namespaces for this page and this workspace.
    pub fn make(page: &Page, workspace: &Path) -> Result<Self> {
        let has_network = page.number() >= Some(FIRST_NETWORK);
        let net = if has_network { &["--net"][..] } else { &[] };
        let namespaces = [net, &["--mount", "--propagation", "private"]].concat();
        let host = Holder::of(&namespaces, "");
        let outside = has_network.then(|| Holder::of(&namespaces, ""));
        if let Some(outside) = &outside {
            sh(&host, SET_UP_HOST, &[&outside.pid().to_string()])?;
            sh(outside, SET_UP_OUTSIDE, &[])?;
        }
        let rootfs = tempfile::tempdir().context("make a place for a ./rootfs")?;
        let original = workspace.join("rootfs");
        if original.is_dir() {
            let copy = rootfs.path().join("rootfs");
            user_home::copy(&original, &copy)?;
            sh(
                &host,
                MOUNT_ROOTFS,
                &[&copy.to_string_lossy(), &original.to_string_lossy()],
            )?;
        }
        Ok(StandIn { host, _outside: outside, _rootfs: rootfs })
    }

    /// Returns the words that run a command in the namespaces, in this directory.
    pub fn enter_command(&self, dir: &Path) -> Vec<String> {
        // nsenter(1) keeps our working directory, which belongs to another mount
        // namespace.
        let change_dir =
            ["sh", "-c", r#"cd "$0" && exec "$@""#, &dir.to_string_lossy()];
        enter(&self.host).into_iter().chain(change_dir.map(String::from)).collect()
    }
}

/// Returns the words that enter the network and mount namespaces of a holder. Without a
/// network namespace of its own, the holder is in ours, and entering that is harmless.
fn enter(holder: &Holder) -> [String; 5] {
    ["nsenter", "-t", &holder.pid().to_string(), "-n", "-m"].map(String::from)
}

fn sh(holder: &Holder, script: &str, arguments: &[&str]) -> Result<()> {
    let words = enter(holder);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args(["sh", "-c", script, "sh"]).args(arguments);
    let output = command.stdin(Stdio::null()).output().context("start nsenter")?;
    if !output.status.success() {
        bail!(
            "the namespaces that stand in for the host cannot be made: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::StandIn;
    use crate::book::host::Host;
    use crate::book::pages::Page;
    use std::process::Command;

    fn output_of(stand_in: &StandIn, dir: &str, script: &str) -> String {
        let words = stand_in.enter_command(dir.as_ref());
        let mut command = Command::new(&words[0]);
        let output = command.args(&words[1..]).args(["sh", "-c", script]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }

    fn page(path: &str) -> Page {
        Page { path: path.into(), text: String::new() }
    }

    #[test]
    fn the_stand_in_has_a_network_of_its_own_with_a_default_route() {
        let (host, page) = (Host::ask(), page("book/src/08-network.md"));
        if let Some(reason) = StandIn::missing(&page, &host) {
            return host.log_skip("stand_in", &reason);
        }
        let stand_in = StandIn::make(&page, "/nowhere".as_ref()).unwrap();
        let script =
            "readlink /proc/self/ns/net; ip -o route show default; ls -A /var/lib; pwd";
        let output = output_of(&stand_in, "/tmp", script);
        let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
        assert!(
            !output.contains(ours.to_str().unwrap())
                && output.contains("via 192.0.2.1"),
            "{output}"
        );
        assert!(!output.contains("dpkg") && output.ends_with("/tmp\n"), "{output}");
    }

    #[test]
    fn a_page_writes_into_a_copy_of_the_rootfs() {
        let (host, page) = (Host::ask(), page("book/src/06-user.md"));
        if !StandIn::is_for(&page, &host) {
            return host.log_skip("stand_in", "it needs root");
        }
        if !kiste_tests::host::has("mount") {
            return host.log_skip("stand_in", "mount is not installed");
        }
        let workspace = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(workspace.path().join("rootfs/bin")).unwrap();
        let stand_in = StandIn::make(&page, workspace.path()).unwrap();
        let dir = workspace.path().to_str().unwrap();
        assert_eq!(
            output_of(&stand_in, dir, "touch rootfs/made; ls rootfs"),
            "bin\nmade\n"
        );
        assert!(!workspace.path().join("rootfs/made").exists());
    }
}
