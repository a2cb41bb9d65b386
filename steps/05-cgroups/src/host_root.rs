//! The root of the host, who may do more than the root of a user namespace.

use std::fs;

use nix::unistd::geteuid;

/// Returns whether this process is root of the host's user namespace
/// (user_namespaces(7): only there all ids are mapped to themselves).
pub(crate) fn is_root_of_host() -> bool {
    let is_initial = |map: String| map.split_whitespace().eq(["0", "0", "4294967295"]);
    geteuid().is_root()
        && fs::read_to_string("/proc/self/uid_map").is_ok_and(is_initial)
}
