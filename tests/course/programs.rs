//! The programs that the course uses, and the Debian packages that contain them.

use std::path::PathBuf;

/// Returns whether this program is in PATH.
pub fn has(program: &str) -> bool {
    find(program).is_some()
}

/// Returns the path of a program that is in PATH.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|dir| dir.join(program));
    candidates.find(|path| path.is_file())
}

/// Returns the Debian package that contains this program.
pub fn package_of(program: &str) -> &str {
    match program {
        "bsdtar" => "libarchive-tools",
        "busybox" => "busybox-static",
        "ctr" | "containerd-shim-runc-v2" => "containerd",
        "docker" | "dockerd" | "docker-init" => "docker.io",
        "ip" => "iproute2",
        "iptables-nft" | "iptables-legacy" => "iptables",
        "newuidmap" | "newgidmap" => "uidmap",
        "nft" => "nftables",
        "pasta" => "passt",
        "ping" => "iputils-ping",
        "ps" | "top" | "free" | "pgrep" | "sysctl" => "procps",
        "capsh" | "setcap" | "getcap" => "libcap2-bin",
        "setfattr" | "getfattr" => "attr",
        "losetup" | "umount" => "mount",
        "mkfs.ext4" => "e2fsprogs",
        "useradd" | "usermod" => "passwd",
        "findmnt" | "nsenter" | "setpriv" | "setsid" | "unshare" => "util-linux",
        _ => program,
    }
}
