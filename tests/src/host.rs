//! What the host looks like, in the kernel's own words.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

/// Whether this program is in PATH.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// The package of Debian's that has this program.
pub fn package_of(program: &str) -> &str {
    match program {
        "busybox" => "busybox-static",
        "ip" => "iproute2",
        "newuidmap" | "newgidmap" => "uidmap",
        "nft" => "nftables",
        "pasta" => "passt",
        "ping" => "iputils-ping",
        "ps" | "top" | "free" | "pgrep" | "sysctl" => "procps",
        "setcap" | "getcap" => "libcap2-bin",
        "setfattr" | "getfattr" => "attr",
        "umount" => "mount",
        "useradd" | "usermod" => "passwd",
        "findmnt" | "nsenter" | "setpriv" | "setsid" | "unshare" => "util-linux",
        _ => program,
    }
}

/// Gives a tree to somebody.
pub fn give_all(path: &Path, uid: u32, gid: u32) {
    if uid == geteuid().as_raw() {
        return;
    }
    let given = Command::new("chown")
        .args(["-R", "-h", &format!("{uid}:{gid}")])
        .arg(path)
        .status();
    assert!(given.expect("run chown").success(), "chown {}", path.display());
}

/// The lines of this process's mountinfo.
pub fn mounts() -> Vec<String> {
    mounts_of("self")
}

/// The lines of a process's mountinfo.
pub fn mounts_of(pid: impl std::fmt::Display) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    text.lines().map(String::from).collect()
}

/// The mount point that a line of mountinfo is about, as the process sees it.
pub fn mount_point(line: &str) -> &str {
    line.split(' ').nth(4).expect("mountinfo has a mount point in its fifth field")
}

/// The line of a process's mountinfo for this mount point; the topmost, where several
/// are.
pub fn mount_at(pid: impl std::fmt::Display, point: &str) -> Option<String> {
    mounts_of(pid).into_iter().rfind(|line| mount_point(line) == point)
}

/// Which namespace of this kind (`uts`, `pid_for_children`, …) a process is in:
/// `uts:[4026531838]`.
pub fn namespace(pid: impl std::fmt::Display, kind: &str) -> String {
    let link = fs::read_link(format!("/proc/{pid}/ns/{kind}"));
    link.unwrap_or_else(|error| panic!("/proc/{pid}/ns/{kind}: {error}"))
        .display()
        .to_string()
}

/// The kinds of namespaces that this kernel has, as `/proc/self/ns` lists them.
pub fn namespace_kinds() -> Vec<String> {
    let names =
        fs::read_dir("/proc/self/ns").unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

/// In which namespaces a process is that are not this one's: `["ipc", "pid"]`.
pub fn own_namespaces(pid: impl std::fmt::Display) -> Vec<String> {
    let mut own = namespace_kinds();
    own.retain(|kind| {
        !kind.ends_with("_for_children")
            && namespace(&pid, kind) != namespace("self", kind)
    });
    own.sort();
    own
}

/// The processes that are in this namespace and are no zombies.
pub fn processes_in(kind: &str, namespace: &str) -> Vec<i32> {
    let is_in = |pid: &i32| {
        let link = fs::read_link(format!("/proc/{pid}/ns/{kind}"));
        link.is_ok_and(|link| link.to_str() == Some(namespace)) && is_alive(pid)
    };
    pids().filter(is_in).collect()
}

/// The processes that work in this directory or below it, have their root or their
/// program there, or, in a mount namespace of their own, something of it mounted.
pub fn processes_at(dir: &Path) -> Vec<i32> {
    let name = dir.file_name().expect("a directory with a name").to_str().unwrap();
    let has_it_mounted = |pid: i32| {
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
        // By its name: a path in mountinfo begins where that file system or that root
        // does.
        namespace(&pid.to_string()) != namespace("self")
            && mounts_of(pid).iter().any(|line| line.contains(name))
    };
    let is_there = |pid: &i32| {
        has_link_into(*pid, &["cwd", "root", "exe"], dir) || has_it_mounted(*pid)
    };
    pids().filter(is_there).collect()
}

/// The processes of a test's own, whose directory this is: they are at home there, or
/// its root file system is theirs. A daemon of the host's that a mount of the test's has
/// reached is none of them.
pub fn processes_of(dir: &Path) -> Vec<i32> {
    let name = dir.file_name().expect("a directory with a name").to_str().unwrap();
    // proc(5), mountinfo: 36 35 98:0 /what/is/mounted /where …
    let is_its_root = |line: &String| {
        let mut fields = line.split(' ').skip(3);
        let (what, at) = (fields.next(), fields.next());
        at == Some("/") && what.is_some_and(|what| what.contains(name))
    };
    let is_own = |pid: &i32| {
        has_link_into(*pid, &["cwd", "exe"], dir)
            || mounts_of(*pid).iter().any(is_its_root)
    };
    pids().filter(is_own).collect()
}

/// Whether one of these links of /proc/PID leads into a directory.
fn has_link_into(pid: i32, links: &[&str], dir: &Path) -> bool {
    let link = |what: &&str| fs::read_link(format!("/proc/{pid}/{what}")).ok();
    links.iter().filter_map(link).any(|path| path.starts_with(dir))
}

/// Kills a process, all that it has started, and what these have started, also those
/// that are stopped.
pub fn kill_tree(top: i32) {
    let mut tree = vec![top];
    let mut next = 0;
    while let Some(pid) = tree.get(next) {
        tree.extend(children(pid));
        next += 1;
    }
    for pid in tree {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
}

/// The children of a process, zombies too.
pub fn children(pid: impl std::fmt::Display) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// A field of /proc/PID/status: `field(1, "NSpid")`.
pub fn status(pid: impl std::fmt::Display, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line =
        text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().trim().into()
}

/// Which file a descriptor of a process stands for: the device it is on, and its inode
/// there.
pub fn stream(pid: impl std::fmt::Display, number: u32) -> (u64, u64) {
    let path = format!("/proc/{pid}/fd/{number}");
    let file = fs::metadata(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    (file.dev(), file.ino())
}

/// A field of /proc/PID/stat, by its number in proc_pid_stat(5): from the third on, the
/// state.
pub fn stat(pid: impl std::fmt::Display, number: usize) -> String {
    let text =
        fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    text.rsplit(')').next().unwrap().split_whitespace().nth(number - 3).unwrap().into()
}

/// The session of a process, and the number of its controlling terminal (0: none).
pub fn session(pid: impl std::fmt::Display) -> (i32, i32) {
    (stat(&pid, 6).parse().unwrap(), stat(&pid, 7).parse().unwrap())
}

/// How long a process has had a processor, in user and in kernel mode, in 1/100 s.
pub fn ticks(pid: impl std::fmt::Display) -> u64 {
    stat(&pid, 14).parse::<u64>().unwrap() + stat(&pid, 15).parse::<u64>().unwrap()
}

/// Whether there is such a process, and it is no zombie.
pub fn is_alive(pid: impl std::fmt::Display) -> bool {
    let state = status(pid, "State");
    !state.is_empty() && !state.starts_with('Z')
}

/// Waits until it has died. A cgroup is empty before: a process leaves it first, and
/// then PID 1 waits for the others of its namespace (cgroup_exit, exit_notify in
/// do_exit, kernel/exit.c).
#[track_caller]
pub fn assert_dies(pid: impl std::fmt::Display) {
    let died = crate::eventually(|| (!is_alive(&pid)).then_some(()));
    assert!(died.is_some(), "process {pid} does not die");
}

/// Where cgroup hierarchies are mounted: `/sys/fs/cgroup`, `/sys/fs/cgroup/memory`, …
pub fn cgroup_mounts() -> Vec<PathBuf> {
    let is_cgroup = |line: &&String| {
        line.split(" - ").nth(1).is_some_and(|fs| fs.starts_with("cgroup"))
    };
    let place = |line: &String| line.split(' ').nth(4).map(PathBuf::from);
    mounts().iter().filter(is_cgroup).filter_map(place).collect()
}

/// Every cgroup of this name directly below a hierarchy's top.
pub fn cgroups_named(name: &str) -> Vec<String> {
    let paths = cgroup_mounts().into_iter().map(|mount| mount.join(name));
    paths.filter(|path| path.exists()).map(|path| path.display().to_string()).collect()
}

/// The file of a process's cgroup that has this name, in whichever hierarchy has it.
pub fn cgroup_file(pid: impl std::fmt::Display, file: &str) -> Option<PathBuf> {
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let paths: Vec<_> =
        cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2)).collect();
    let candidates = cgroup_mounts().into_iter().flat_map(|mount| {
        paths
            .iter()
            .map(move |path| mount.join(path.trim_start_matches('/')).join(file))
            .collect::<Vec<_>>()
    });
    candidates.filter(|path| path.exists()).max_by_key(|path| path.components().count())
}

/// What such a file says.
pub fn cgroup_value(pid: impl std::fmt::Display, file: &str) -> Option<String> {
    let text = fs::read_to_string(cgroup_file(pid, file)?).ok()?;
    Some(text.trim().into())
}

/// A runtime under test once turned it into a regular file.
pub fn assert_dev_null_is_a_device() {
    let null = fs::metadata(Path::new("/dev/null")).expect("/dev/null is there");
    assert!(
        null.file_type().is_char_device() && null.rdev() == 0x103,
        "/dev/null is no longer device 1:3"
    );
}

/// Copies a program, mode 0755. Another process does it: while this one has the file
/// open for writing, so has whatever another test forks at that moment, and then nobody
/// can execute it (ETXTBSY).
pub fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("install").args(["-m", "755"]).args([from, to]).status();
    assert!(
        copied.expect("run install, of coreutils").success(),
        "copy {}",
        from.display()
    );
}

/// A number that no other call in this process gives.
pub fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
