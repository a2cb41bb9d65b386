//! The differences between the narrations of step 9 and step 10.

/// A difference.
pub struct Difference {
    /// Its reason.
    pub because: &'static str,
    /// The calls of step 9.
    pub step_9: &'static str,
    /// The calls of step 10 in their place.
    pub step_10: &'static str,
}

/// All differences, in the order of the start.
pub const DIFFERENCES: &[Difference] = &[
    Difference {
        because: "step 10 warns of lost capabilities in the log, before anything is made",
        step_9: "",
        step_10: "parent capget(this process)",
    },
    Difference {
        because: "`delete` finds the cgroup by the state file, as `gc` does by this note",
        step_9: "parent write(DIR/run/ID/cgroups)",
        step_10: "
            parent write(DIR/run/ID/config.json)
            parent write(DIR/run/ID/state.json)
        ",
    },
    Difference {
        because: "the first process is noted in the same files",
        step_9: "parent write(DIR/run/ID/first-process)",
        step_10: "parent write(DIR/run/ID/state.json)",
    },
    Difference {
        because: "rootfsPropagation applies to the sources of bind mounts as well; and the \
                  root is always opened with the caller's rights, as step 9 does if there \
                  is a user namespace",
        step_9: "",
        step_10: "
            child mount_setattr(DIR/data, MS_PRIVATE)
            child open(DIR/rootfs)
            child open_tree(DIR/rootfs)
        ",
    },
    Difference {
        because: "an engine names such settings in linux.sysctl",
        step_9: "
            child write(/proc/sys/net/ipv4/ip_unprivileged_port_start, 0)
            child write(/proc/sys/net/ipv4/ping_group_range, 0 2147483647)
        ",
        step_10: "",
    },
    Difference {
        because: "without a user namespace, step 9 opens the root where it mounts it",
        step_9: "
            child open(DIR/rootfs)
            child open_tree(DIR/rootfs)
        ",
        step_10: "",
    },
    Difference {
        because: "a mount of config.json may take the mode of the directory that it covers",
        step_9: "
            child fsmount(proc)
            child openat2(/proc)
        ",
        step_10: "
            child openat2(/proc)
            child fsmount(proc)
        ",
    },
    Difference {
        because: "step 9 fills /dev before it is attached; for config.json it is a mount \
                  like any other",
        step_9: "
            child fsmount(tmpfs, mode=755, size=64k)
            child mknodat(DEVICE, NUMBER)
            child symlinkat(/proc/self/fd, fd)
            child symlinkat(/proc/self/fd/0, stdin)
            child symlinkat(/proc/self/fd/1, stdout)
            child symlinkat(/proc/self/fd/2, stderr)
            child symlinkat(pts/ptmx, ptmx)
            child mkdirat(pts)
            child mkdirat(shm)
            child mkdirat(mqueue)
            child openat2(/dev)
            child move_mount(tmpfs, /dev)
            child fsmount(devpts, ptmxmode=0666, mode=0620, gid=5)
            child openat2(/dev/pts)
            child move_mount(devpts, /dev/pts)
            child fsmount(tmpfs, mode=1777, size=67108864)
            child openat2(/dev/shm)
            child move_mount(tmpfs, /dev/shm)
            child fsmount(mqueue)
            child openat2(/dev/mqueue)
        ",
        step_10: "
            child openat2(/dev)
            child fsmount(tmpfs, mode=755, size=65536k)
            child move_mount(tmpfs, /dev)
            child mkdirat(/dev/pts)
            child openat2(/dev/pts)
            child fsmount(devpts, newinstance, ptmxmode=0666, mode=0620, gid=5)
            child move_mount(devpts, /dev/pts)
            child mkdirat(/dev/shm)
            child openat2(/dev/shm)
            child fsmount(tmpfs, mode=1777, size=65536k)
            child move_mount(tmpfs, /dev/shm)
            child mkdirat(/dev/mqueue)
            child openat2(/dev/mqueue)
            child fsmount(mqueue)
        ",
    },
    Difference {
        because: "an engine makes these files, and names them in `mounts`",
        step_9: "
            child fsmount(tmpfs, mode=755, size=4m)
            child write(hosts)
            child write(hostname)
            child write(resolv.conf)
            child openat2(/dev)
            child move_mount(tmpfs, /dev)
            child open_tree(/etc/hosts)
            child open_tree(/etc/hostname)
            child open_tree(/etc/resolv.conf)
            child fchdir(/dev)
            child umount2(/dev, MNT_DETACH)
            child fchdir(.)
            child openat2(/etc/hosts)
            child move_mount(/etc/hosts, /etc/hosts)
            child openat2(/etc/hostname)
            child move_mount(/etc/hostname, /etc/hostname)
            child openat2(/etc/resolv.conf)
            child move_mount(/etc/resolv.conf, /etc/resolv.conf)
        ",
        step_10: "",
    },
    Difference {
        because: "any mount of config.json may cover /dev, so the devices are made after all \
                  mounts, among files that may be the image's",
        step_9: "",
        step_10: "
            child openat2(/dev)
            child mknodat(/dev/DEVICE, NUMBER)
            child openat(/dev/DEVICE)
            child fchownat(/dev/DEVICE, 0:0)
            child chmod(/dev/DEVICE, 666)
            child openat2(/dev)
            child symlinkat(/proc/self/fd, fd)
            child symlinkat(/proc/self/fd/0, stdin)
            child symlinkat(/proc/self/fd/1, stdout)
            child symlinkat(/proc/self/fd/2, stderr)
            child unlinkat(ptmx)
            child symlinkat(pts/ptmx, ptmx)
        ",
    },
    Difference {
        because: "config.json may name `private` for a root that was shared; and in a \
                  container that joins namespaces, other processes could trace this one",
        step_9: "",
        step_10: "
            child mount(/, MS_PRIVATE)
            child prctl(PR_SET_DUMPABLE, 0)
        ",
    },
    Difference {
        because: "the state is now `created`",
        step_9: "",
        step_10: "parent write(DIR/run/ID/state.json)",
    },
];
