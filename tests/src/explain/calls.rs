//! The calls that `--explain` may narrate, by their man pages' names.

/// The calls that make a container. A narration must not leave out any of them.
pub const MAKE_A_CONTAINER: &[&str] = &[
    "capset",
    "chdir",
    "chroot",
    "clone",
    "clone3",
    "close_range",
    "execve",
    "execveat",
    "fchdir",
    "fork",
    "fsmount",
    "mknod",
    "mknodat",
    "mount",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "pivot_root",
    "prctl",
    "seccomp",
    "setdomainname",
    "setgroups",
    "sethostname",
    "setns",
    "setpgid",
    "setresgid",
    "setresuid",
    "setsid",
    "umount2",
    "unshare",
    "vfork",
];

/// Other calls that may be narrated: the name of the man page, and the names of the
/// system calls that are narrated under it.
pub const NARRATED_AS: &[(&str, &[&str])] = &[
    ("dup2", &["dup2", "dup3"]),
    ("fchown", &["fchown"]),
    ("flock", &["flock"]),
    // fsopen and fsconfig are narrated together with fsmount, as one call. Each of the
    // three may fail.
    ("fsmount", &["fsmount", "fsopen", "fsconfig"]),
    ("ioctl", &["ioctl"]),
    ("keyctl", &["keyctl"]),
    ("mkdir", &["mkdir", "mkdirat"]),
    ("mkdirat", &["mkdirat"]),
    ("newgidmap", &[HELPER]),
    ("newuidmap", &[HELPER]),
    ("open", &["open", "openat"]),
    ("openat", &["openat"]),
    ("openat2", &["openat2"]),
    ("pidfd_send_signal", &["pidfd_send_signal"]),
    ("poll", &["poll", "ppoll"]),
    ("rename", &["rename", "renameat", "renameat2"]),
    ("rmdir", &["rmdir", "unlinkat"]),
    ("setxattr", &["setxattr", "fsetxattr"]),
    ("stat", &["stat", "statx", "newfstatat"]),
    ("symlinkat", &["symlinkat"]),
    ("capget", &["capget"]),
    ("prlimit", &["prlimit64"]),
    ("setrlimit", &["prlimit64", "setrlimit"]),
    ("access", &["access", "faccessat", "faccessat2"]),
    ("tcsetpgrp", &["ioctl"]),
    ("waitid", &["waitid"]),
    ("write", &["write"]),
];

/// Stands for the start of a host program. The narration has the name of the program.
pub const HELPER: &str = "vfork, for a helper";

/// Returns whether this system call is narrated under this name.
pub fn is_narrated_as(call: &str, name: &str) -> bool {
    match NARRATED_AS.iter().find(|(narrated, _)| *narrated == name) {
        Some((_, calls)) => calls.contains(&call),
        None => call == name,
    }
}

/// Returns the calls for strace to trace. With a question mark it accepts a name that
/// this machine does not have.
pub fn traced() -> Vec<String> {
    let others = NARRATED_AS
        .iter()
        .flat_map(|(_, calls)| calls.iter())
        .filter(|name| **name != HELPER);
    MAKE_A_CONTAINER.iter().chain(others).map(|name| format!("?{name}")).collect()
}

/// Keeps only the calls that make a container.
pub fn container_calls(calls: &[String]) -> Vec<String> {
    let mut calls: Vec<String> = calls
        .iter()
        .filter(|name| MAKE_A_CONTAINER.contains(&name.as_str()))
        .cloned()
        .collect();
    // An init closes the descriptors below its channel and those above it: two calls,
    // narrated as one.
    calls.dedup_by(|later, earlier| later == earlier && later == "close_range");
    calls
}
