//! A network that plays the host's, for the pages whose steps change it: the links,
//! rules and settings of this machine are never touched. One link leads to the world,
//! which is another network namespace.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::host::{Host, Root};
use super::pages::Page;

/// From this chapter on, a container of root's is on a bridge of the host's.
const FIRST: u32 = 8;

/// Ends with the world: its processes, and with the last of them the namespaces.
pub struct World {
    host: Holder,
    _outside: Holder,
}

/// A process that keeps a network namespace, and a mount namespace with it. It ends
/// with its standard input, and so with us, whatever way we go.
struct Holder(Child);

/// Its networks are noted below /var/lib, and so in memory. An ordinary user's pasta
/// wants /dev/net/tun.
const HOST: &str = "set -e
    mount -t tmpfs -o mode=755 none /var/lib
    if [ -e /dev/net/tun ]; then
        mknod -m 666 /var/lib/tun c 10 200; mount --bind /var/lib/tun /dev/net/tun
    fi
    ip link set lo up
    ip link add eth0 type veth peer name eth0 netns \"$0\"
    ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up
    ip route add default via 192.0.2.1";

const OUTSIDE: &str = "set -e
    ip link set lo up
    ip addr add 192.0.2.1/24 dev eth0; ip link set eth0 up";

impl World {
    /// Whether a page is played in a world of its own.
    pub fn is_for(page: &Page) -> bool {
        page.number() >= Some(FIRST)
    }

    /// Why there can be none on this machine.
    pub fn missing(host: &Host) -> Option<String> {
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

    /// Makes the host's network, and the world that it is connected to.
    pub fn make() -> Result<Self> {
        let (host, outside) = (Holder::start()?, Holder::start()?);
        host.sh(HOST, &outside.0.id().to_string())?;
        outside.sh(OUTSIDE, "")?;
        Ok(World { host, _outside: outside })
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
    fn start() -> Result<Self> {
        let mut unshare = Command::new("unshare");
        unshare.args([
            "--net",
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
        BufReader::new(output)
            .read_line(&mut said)
            .context("hear from a network namespace")?;
        if said != "here\n" {
            bail!("unshare makes no network namespace");
        }
        Ok(holder)
    }

    fn enter(&self) -> Vec<String> {
        ["nsenter", "-t", &self.0.id().to_string(), "-n", "-m"].map(String::from).into()
    }

    fn sh(&self, script: &str, argument: &str) -> Result<()> {
        let words = self.enter();
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .args(["sh", "-c", script, argument])
            .stdin(Stdio::null());
        let output = command.output().context("start nsenter")?;
        if !output.status.success() {
            bail!(
                "a network that plays the host's: {}",
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
    use std::process::Command;

    #[test]
    fn the_host_that_is_played_has_a_network_of_its_own_and_a_way_out() {
        let host = Host::ask();
        if let Some(reason) = World::missing(&host) {
            return host.log_skip("world", &reason);
        }
        let world = World::make().unwrap();
        let words = world.entrance("/tmp".as_ref());
        let script =
            "readlink /proc/self/ns/net; ip -o route show default; ls -A /var/lib; pwd";
        let output = Command::new(&words[0])
            .args(&words[1..])
            .args(["sh", "-c", script])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
        assert!(
            !said.contains(ours.to_str().unwrap()) && said.contains("via 192.0.2.1"),
            "{said}"
        );
        assert!(!said.contains("dpkg") && said.ends_with("/tmp\n"), "{said}");
    }
}
