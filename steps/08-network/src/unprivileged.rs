//! Lets users other than root listen at low ports and ping, in a container's network
//! namespace. On a host, both settings would concern all users; in the container's own
//! namespace they concern only the container. See the kernel's
//! networking/ip-sysctl.rst.

use std::fs;

use crate::sysctl;

/// The highest group in `ping_group_range`: GID_T_MAX in net/ipv4/sysctl_net_ipv4.c.
const LAST_GROUP: u32 = i32::MAX as u32;

/// Lets all users of the container's network namespace listen at ports below 1024, and
/// ping. The child calls it.
///
/// An error is not reported: the container runs without it, and a program that needs it
/// reports EACCES.
pub(crate) fn allow_ports_and_ping() {
    let port_start = "ipv4/ip_unprivileged_port_start";
    let why = "every user may listen at port 80, as in Docker";
    let _ = sysctl::write(port_start, "0", why);
    let gid_map = fs::read_to_string("/proc/self/gid_map").unwrap_or_default();
    let range = format!("0 {}", last_group(&gid_map));
    let why = "and every group may ping";
    let _ = sysctl::write("ipv4/ping_group_range", &range, why);
}

/// The highest group that the user namespace has: user_namespaces(7). The kernel
/// refuses higher ones.
fn last_group(gid_map: &str) -> u32 {
    let last = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        let (first, length) = (numbers.next()?.ok()?, numbers.nth(1)?.ok()?);
        first.checked_add(length.checked_sub(1)?)
    };
    let last = gid_map.lines().filter_map(last).max();
    last.unwrap_or_default().min(LAST_GROUP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_group_is_the_highest_in_the_map() {
        for (map, expected) in [
            ("         0          0 4294967295\n", LAST_GROUP),
            ("0 1000 1\n", 0),
            ("0 1000 1\n1 100000 65536\n", 65536),
            ("", 0),
            ("0 0 0\n", 0),
        ] {
            assert_eq!(last_group(map), expected, "{map}");
        }
    }
}
