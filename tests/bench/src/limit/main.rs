//! The limit: the kernel calls that start a container, and nothing else.
//!
//! `kiste-limit bare|full host|own ROOTFS [+DIR] [FILE=VALUE] [@FILE] [>DIR]
//! [%MOUNT:TYPE:OPTIONS]… -- ARGV…`
//!
//! It gets everything as arguments, so that it need not read the configuration of the
//! host: the cgroups to make (`+`), the values to write, the `tasks` files through
//! which the child enters a cgroup (`@`, version 1) or the cgroup in which the child is
//! cloned (`>`, version 2), and the hierarchies to mount in the container (`%`). It
//! looks for no leftovers, takes no lock, handles no signal, checks nothing twice and
//! reports little about errors. It is for measurements, and not a runtime.

mod sys;

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::process::exit;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, makedev, mknod, umask};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, chdir, execv, mkdir, pivot_root, sethostname, symlinkat};

fn main() {
    match start(std::env::args().skip(1).collect()) {
        Ok(code) => exit(code),
        Err(error) => {
            eprintln!("kiste-limit: {error}");
            exit(125)
        }
    }
}

/// Makes the cgroups, clones the child and waits for it, and removes the cgroups.
fn start(words: Vec<String>) -> io::Result<i32> {
    let mut words = words.iter().map(String::as_str);
    let mut next =
        || words.next().ok_or_else(|| io::Error::other("an argument is missing"));
    let (shape, network, rootfs) = (next()?, next()?, next()?);
    let instructions: Vec<&str> =
        words.by_ref().take_while(|word| *word != "--").collect();
    let argv: Vec<CString> = words.map(CString::new).collect::<Result<_, _>>()?;

    let mut cgroup = None;
    for instruction in &instructions {
        if let Some(directory) = instruction.strip_prefix('+') {
            std::fs::create_dir(directory)?;
        } else if let Some(directory) = instruction.strip_prefix('>') {
            cgroup = Some(File::open(directory)?);
        } else if let (b'/', Some((file, value))) =
            (instruction.as_bytes()[0], instruction.split_once('='))
        {
            write(file, value)?;
        }
    }

    let mut flags =
        CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC;
    flags |= CloneFlags::CLONE_NEWNS;
    if network == "own" {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    let pid = match sys::clone3(flags, cgroup)? {
        0 => {
            let error = become_command(shape, rootfs, &instructions, &argv);
            eprintln!("kiste-limit, inside: {error}");
            exit(125)
        }
        pid => pid,
    };

    let ended = waitpid(Pid::from_raw(pid), None)?;
    for directory in instructions
        .iter()
        .filter_map(|instruction| instruction.strip_prefix('+'))
        .rev()
    {
        std::fs::remove_dir(directory)?;
    }
    match ended {
        WaitStatus::Exited(_, code) => Ok(code),
        WaitStatus::Signaled(_, signal, _) => Ok(128 + signal as i32),
        _ => Err(io::Error::other("neither exited nor killed")),
    }
}

/// Sets up the container in the child, and executes the command. Returns only on
/// failure.
fn become_command(
    shape: &str,
    rootfs: &str,
    instructions: &[&str],
    argv: &[CString],
) -> io::Error {
    let prepare = || -> io::Result<()> {
        // 0 means the writer itself, and `tasks` moves one thread: so the kernel takes
        // no lock that waits for an RCU grace period, as it does for cgroup.procs
        // (cgroup_procs_write_start in kernel/cgroup/cgroup.c).
        for tasks in
            instructions.iter().filter_map(|instruction| instruction.strip_prefix('@'))
        {
            write(tasks, "0")?;
        }
        unshare(CloneFlags::CLONE_NEWCGROUP)?;
        sethostname("bench")?;
        change_mount("/", "", MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
        change_mount(rootfs, rootfs, MsFlags::MS_BIND | MsFlags::MS_REC)?;
        chdir(rootfs)?;
        mount_new("proc", "proc", "", NO_SUID_DEV_EXEC)?;
        if shape == "full" {
            mount_defaults(instructions)?;
        }
        pivot_root(".", ".")?;
        umount2(".", MntFlags::MNT_DETACH)?;
        chdir("/")?;
        Ok(())
    };
    if let Err(error) = prepare() {
        return error;
    }
    match argv.first() {
        Some(program) => {
            execv(program, argv).map_or_else(io::Error::from, |never| match never {})
        }
        None => io::Error::other("no command"),
    }
}

const NO_SUID_DEV_EXEC: MsFlags =
    MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

/// Makes the same /sys, /dev and /sys/fs/cgroup that Kiste's containers have, by
/// mount(2): one call each.
fn mount_defaults(instructions: &[&str]) -> io::Result<()> {
    mount_new("sysfs", "sys", "", NO_SUID_DEV_EXEC | MsFlags::MS_RDONLY)?;
    let hierarchies: Vec<_> = instructions
        .iter()
        .filter_map(|instruction| instruction.strip_prefix('%'))
        .collect();
    if hierarchies.len() > 1 {
        mount_new("tmpfs", "sys/fs/cgroup", "mode=755", NO_SUID_DEV_EXEC)?;
    }
    for hierarchy in &hierarchies {
        let mut parts = hierarchy.splitn(3, ':');
        let mut part = || parts.next().unwrap_or_default();
        let (place, kind, options) = (part(), part(), part());
        if hierarchies.len() > 1 {
            mkdir(Path::new(place), Mode::from_bits_truncate(0o755))?;
        }
        mount_new(kind, place, options, NO_SUID_DEV_EXEC | MsFlags::MS_RDONLY)?;
    }

    umask(Mode::empty());
    mount_new(
        "tmpfs",
        "dev",
        "mode=755,size=64k",
        MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
    )?;
    let devices = [
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    ];
    for (name, major, minor) in devices {
        let path = Path::new("dev").join(name);
        mknod(
            &path,
            SFlag::S_IFCHR,
            Mode::from_bits_truncate(0o666),
            makedev(major, minor),
        )?;
    }
    let links =
        [("fd", "fd"), ("fd/0", "stdin"), ("fd/1", "stdout"), ("fd/2", "stderr")];
    for (to, name) in links.map(|(to, name)| (format!("/proc/self/{to}"), name)) {
        symlinkat(to.as_str(), nix::fcntl::AT_FDCWD, &Path::new("dev").join(name))?;
    }
    symlinkat("pts/ptmx", nix::fcntl::AT_FDCWD, "dev/ptmx")?;
    for name in ["dev/pts", "dev/shm", "dev/mqueue"] {
        mkdir(name, Mode::from_bits_truncate(0o755))?;
    }
    umask(Mode::from_bits_truncate(0o022));
    mount_new(
        "devpts",
        "dev/pts",
        "ptmxmode=0666,mode=0620,gid=5",
        MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
    )?;
    mount_new("tmpfs", "dev/shm", "mode=1777,size=64m", NO_SUID_DEV_EXEC)?;
    mount_new("mqueue", "dev/mqueue", "", NO_SUID_DEV_EXEC)
}

fn mount_new(kind: &str, place: &str, options: &str, flags: MsFlags) -> io::Result<()> {
    let options = (!options.is_empty()).then_some(options);
    mount(Some(kind), place, Some(kind), flags, options)
        .map_err(|errno| at(place, errno))
}

fn change_mount(place: &str, source: &str, flags: MsFlags) -> io::Result<()> {
    mount(Some(source), place, None::<&str>, flags, None::<&str>)
        .map_err(|errno| at(place, errno))
}

fn write(file: &str, value: &str) -> io::Result<()> {
    let written = OpenOptions::new()
        .write(true)
        .open(file)
        .and_then(|mut file| file.write_all(value.as_bytes()));
    written.map_err(|error| at(file, error))
}

fn at(place: &str, error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{place}: {error}"))
}
