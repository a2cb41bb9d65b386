//! What plays the host for a page whose blocks change it, where the tests are root: a
//! `./rootfs` that is written to, and from chapter 8 on a network, so that the links,
//! rules and settings of this machine are never touched. One link leads to the world,
//! which is another network namespace.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::host::{Host, Root};
use super::pages::Page;
use super::room;

/// From this chapter on, root writes into `./rootfs`.
const WRITES: u32 = 6;

/// From this chapter on, a container of root's is on a bridge of the host's.
const NETWORK: u32 = 8;

/// Ends with the world: its processes, and with the last of them the namespaces.
pub struct World {
    host: Holder,
    _outside: Option<Holder>,
    _rootfs: TempDir,
}

/// A process that keeps a mount namespace, and perhaps a network namespace with it. It
/// ends with its standard input, and so with us, whatever way we go.
struct Holder(Child);

/// Its networks are noted below /var/lib, and so in memory. An ordinary user's pasta
/// wants /dev/net/tun.
const HOST: &str = "set -e
    mount -t tmpfs -o mode=755 none /var/lib
    if [ -e /dev/net/tun ]; then
        mknod -m 666 /var/lib/tun c 10 200; mount --bind /var/lib/tun /dev/net/tun
    fi
    ip link set lo up
    ip link add eth0 type veth peer name eth0 netns \"$1\"
    ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up
    ip route add default via 192.0.2.1";

const OUTSIDE: &str = "set -e
    ip link set lo up
    ip addr add 192.0.2.1/24 dev eth0; ip link set eth0 up";

const ROOTFS: &str = r#"mount --bind "$1" "$2""#;

impl World {
    /// Whether a page is played in a world of its own.
    pub fn is_for(page: &Page, host: &Host) -> bool {
        page.number() >= Some(WRITES) && host.root == Root::Already
    }

    /// Why there can be none of what this page needs on this machine.
    pub fn missing(page: &Page, host: &Host) -> Option<String> {
        if page.number() < Some(NETWORK) {
            return None;
        }
        if host.root != Root::Already {
            return Some("only root can make a network that plays the host's".into());
        }
        let ip = Command::new("ip")
            .arg("-V")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        ip.is_err().then(|| "there is no ip here (the package iproute2)".into())
    }

    /// Makes what plays the host of this page, for this workspace.
    pub fn make(page: &Page, workspace: &Path) -> Result<Self> {
        let has_network = page.number() >= Some(NETWORK);
        let net: &[&str] = if has_network { &["--net"] } else { &[] };
        let host = Holder::start(net)?;
        let outside = has_network.then(|| Holder::start(net)).transpose()?;
        if let Some(outside) = &outside {
            host.sh(HOST, &[&outside.0.id().to_string()])?;
            outside.sh(OUTSIDE, &[])?;
        }
        let rootfs = tempfile::tempdir().context("make a place for a ./rootfs")?;
        let theirs = workspace.join("rootfs");
        if theirs.is_dir() {
            let ours = rootfs.path().join("rootfs");
            room::copy(&theirs, &ours)?;
            host.sh(ROOTFS, &[&ours.to_string_lossy(), &theirs.to_string_lossy()])?;
        }
        Ok(World { host, _outside: outside, _rootfs: rootfs })
    }

    /// Put before a command: it is on the host, in this directory.
    pub fn entrance(&self, dir: &Path) -> Vec<String> {
        // By its name: the directory that we stand in is one of another mount
        // namespace.
        let go_there = ["sh", "-c", r#"cd "$0" && exec "$@""#, &dir.to_string_lossy()];
        self.host.enter().into_iter().chain(go_there.map(String::from)).collect()
    }
}

impl Holder {
    fn start(net: &[&str]) -> Result<Self> {
        let mut unshare = Command::new("unshare");
        unshare.args(net).args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            "echo here; exec cat",
        ]);
        let child = unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut holder = Holder(child.context("start unshare")?);
        let mut said = String::new();
        let output = holder.0.stdout.take().context("its output is ours")?;
        BufReader::new(output).read_line(&mut said).context("hear from a namespace")?;
        if said != "here\n" {
            bail!("unshare makes no namespace");
        }
        Ok(holder)
    }

    fn enter(&self) -> Vec<String> {
        // Both: the network namespace is ours where the world has none of its own.
        ["nsenter", "-t", &self.0.id().to_string(), "-n", "-m"].map(String::from).into()
    }

    fn sh(&self, script: &str, arguments: &[&str]) -> Result<()> {
        let words = self.enter();
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .args(["sh", "-c", script, "sh"])
            .args(arguments)
            .stdin(Stdio::null());
        let output = command.output().context("start nsenter")?;
        if !output.status.success() {
            bail!(
                "what plays the host cannot be made: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::World;
    use crate::book::host::Host;
    use crate::book::pages::Page;
    use std::process::Command;

    fn says(world: &World, dir: &str, script: &str) -> String {
        let words = world.entrance(dir.as_ref());
        let mut command = Command::new(&words[0]);
        let output = command.args(&words[1..]).args(["sh", "-c", script]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }

    fn page(path: &str) -> Page {
        Page { path: path.into(), text: String::new() }
    }

    #[test]
    fn the_host_that_is_played_has_a_network_of_its_own_and_a_way_out() {
        let (host, page) = (Host::ask(), page("book/src/08-network.md"));
        if let Some(reason) = World::missing(&page, &host) {
            return host.log_skip("world", &reason);
        }
        let world = World::make(&page, "/nowhere".as_ref()).unwrap();
        let script =
            "readlink /proc/self/ns/net; ip -o route show default; ls -A /var/lib; pwd";
        let said = says(&world, "/tmp", script);
        let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
        assert!(
            !said.contains(ours.to_str().unwrap()) && said.contains("via 192.0.2.1"),
            "{said}"
        );
        assert!(!said.contains("dpkg") && said.ends_with("/tmp\n"), "{said}");
    }

    #[test]
    fn what_a_page_writes_into_rootfs_is_not_in_anybody_elses() {
        let (host, page) = (Host::ask(), page("book/src/06-user.md"));
        if !World::is_for(&page, &host) {
            return host.log_skip("world", "it needs root");
        }
        if !kiste_tests::host::has("mount") {
            return host.log_skip("world", "mount is not installed");
        }
        let workspace = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(workspace.path().join("rootfs/bin")).unwrap();
        let world = World::make(&page, workspace.path()).unwrap();
        let dir = workspace.path().to_str().unwrap();
        assert_eq!(says(&world, dir, "touch rootfs/made; ls rootfs"), "bin\nmade\n");
        assert!(!workspace.path().join("rootfs/made").exists());
    }
}
