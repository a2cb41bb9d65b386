//! Tries the kernel's features without the step's code. `doctor` tries them with the
//! step's own functions, so when it reports that the machine lacks something, the cause
//! may be one of these functions.

use std::process::{Command, Stdio};

const OVERLAY: &str = "
    place=$(mktemp -d) && cd $place && mkdir a b upper work merged
    mount -t overlay overlay -o userxattr,lowerdir=b:a,upperdir=upper,workdir=work merged
    outcome=$?; umount merged; cd /; rm -r $place; exit $outcome";

const NFTABLES: &str = "
    nft 'add table inet byhand
         add chain inet byhand before { type nat hook prerouting priority -100; }
         add chain inet byhand between { type filter hook forward priority 0; }
         add chain inet byhand after { type nat hook postrouting priority 100; }
         add rule inet byhand before fib daddr type local tcp dport 8080 dnat ip to 10.77.0.2:80
         add rule inet byhand between ct state established accept
         add rule inet byhand after ip saddr 10.77.0.0/24 masquerade'";

/// Returns whether this machine has the feature that `doctor` calls `need`, tried
/// without the step's code. None for features that this module does not try.
pub fn has(need: &str) -> Option<bool> {
    let script = match need {
        "overlay" => OVERLAY,
        "bridge" => "ip link add byhand0 type bridge",
        "veth" => "ip link add byhand0 type veth peer name byhand1",
        "nftables" => NFTABLES,
        _ => return None,
    };
    // For an ordinary user, the scripts fail for many other reasons.
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--net", "sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let status = command.stderr(Stdio::null()).status();
    Some(
        rustix::process::geteuid().is_root()
            && status.is_ok_and(|status| status.success()),
    )
}
