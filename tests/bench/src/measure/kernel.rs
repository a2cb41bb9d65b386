//! e. The kernel's cost of each part of a container, without any runtime.

use std::ffi::CString;
use std::fs;
use std::io::{PipeWriter, Read, Write, pipe};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, chroot, execv, pivot_root};

use crate::host;
use crate::report::Table;
use crate::session::Session;
use crate::stats::{Samples, shuffle};
use crate::sys;

const HOST_NET: i32 =
    libc::CLONE_NEWUTS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWNS;

/// The flags with which a process is cloned. It ends at once, and is waited for.
const CLONES: [(&str, i32); 10] = [
    ("a process, no namespace", 0),
    ("+ uts", libc::CLONE_NEWUTS),
    ("+ ipc", libc::CLONE_NEWIPC),
    ("+ pid", libc::CLONE_NEWPID),
    ("+ mount", libc::CLONE_NEWNS),
    ("+ cgroup", libc::CLONE_NEWCGROUP),
    ("+ net", libc::CLONE_NEWNET),
    ("+ user", libc::CLONE_NEWUSER),
    ("+ uts, pid, ipc, mount", HOST_NET),
    ("+ uts, pid, ipc, mount, net", HOST_NET | libc::CLONE_NEWNET),
];

/// The calls in a process with all these namespaces, one after the other.
const CALLS: [&str; 10] = [
    "mount /, MS_REC|MS_PRIVATE",
    "mount rootfs, MS_BIND",
    "mount proc, the first",
    "mount sysfs, the first",
    "mount tmpfs",
    "mount devpts",
    "mount mqueue",
    "unshare NEWCGROUP",
    "pivot_root",
    "umount2 of the old root",
];

/// Measures clones, calls and cgroups.
///
/// # Errors
/// When the kernel refuses a call.
pub fn measure(session: &Session, rounds: usize) -> Result<Table> {
    let mut clones = vec![Samples::default(); CLONES.len()];
    let mut calls = vec![vec![Samples::default(); CALLS.len()]; 2];
    let mut cgroups =
        vec![[Samples::default(), Samples::default()]; session.hierarchies.len()];
    let mut exec_times = Samples::default();
    for round in 0..rounds {
        session.check_interrupt()?;
        let mut order: Vec<usize> = (0..CLONES.len()).collect();
        shuffle(&mut order, round as u64);
        for which in order {
            let (name, flags) = CLONES[which];
            clones[which].push(
                microseconds(|| run_cloned(flags, || 0))
                    .with_context(|| format!("clone {name}"))?,
            );
        }
        for (samples, flags) in
            calls.iter_mut().zip([HOST_NET, HOST_NET | libc::CLONE_NEWNET])
        {
            for (samples, time) in samples.iter_mut().zip(calls_inside(session, flags)?)
            {
                samples.push(time);
            }
        }
        for (samples, hierarchy) in cgroups.iter_mut().zip(&session.hierarchies) {
            let cgroup = hierarchy.mount.join(session.cgroup()).join("kernel");
            fs::create_dir_all(cgroup.parent().unwrap_or(&cgroup))
                .context("make a cgroup")?;
            samples[0].push(microseconds(|| fs::create_dir(&cgroup))?);
            samples[1].push(microseconds(|| fs::remove_dir(&cgroup))?);
        }
        exec_times.push(microseconds(|| run_cloned(0, || execute(&session.rootfs)))?);
    }

    let mut table = Table::new(
        'e',
        "the kernel's own cost, microseconds",
        &["min", "median", "p99", "own share"],
    );
    let base = clones[0].median().unwrap_or(0.0);
    let mut add = |name: String, samples: &Samples, base: f64| {
        let share = samples.median().map(|median| median - base);
        table.rows.push((
            name,
            vec![samples.min(), samples.median(), samples.percentile(0.99), share],
        ));
    };
    for ((name, flags), samples) in CLONES.iter().zip(&clones) {
        add((*name).into(), samples, if *flags == 0 { 0.0 } else { base });
    }
    add("+ chroot, exec of true".into(), &exec_times, base);
    for (suffix, samples) in ["", " +net"].iter().zip(&calls) {
        CALLS
            .iter()
            .zip(samples)
            .for_each(|(name, samples)| add(format!("{name}{suffix}"), samples, 0.0));
    }
    for (hierarchy, samples) in session
        .hierarchies
        .iter()
        .zip(&cgroups)
        .filter(|(it, _)| host::is_used_by_kiste(it))
    {
        add(format!("mkdir in {}", hierarchy.mount.display()), &samples[0], 0.0);
        add(format!("rmdir in {}", hierarchy.mount.display()), &samples[1], 0.0);
    }
    table
        .notes
        .push("clones: clone3, _exit, wait4; own share is the median minus that of a plain process".into());
    table
        .notes
        .push("without the end of a network namespace, which the kernel does later, in a thread".into());
    Ok(table)
}

fn microseconds(work: impl FnOnce() -> std::io::Result<()>) -> Result<f64> {
    let begin = Instant::now();
    work()?;
    Ok(begin.elapsed().as_secs_f64() * 1e6)
}

/// Clones a process that does this work, and waits for it.
fn run_cloned(flags: i32, work: impl FnOnce() -> i32) -> std::io::Result<()> {
    let pid = sys::clone3(flags, work)?;
    match sys::wait4(pid)?.code {
        Some(0) => Ok(()),
        code => Err(std::io::Error::other(format!("the process ended with {code:?}"))),
    }
}

fn execute(rootfs: &Path) -> i32 {
    let program = CString::from(c"/bin/true");
    let _ = chroot(rootfs)
        .and_then(|()| execv(&program, &[&program]).map(|never| match never {}));
    1
}

/// Measures each of [`CALLS`] in a process with these namespaces, in microseconds.
fn calls_inside(session: &Session, flags: i32) -> Result<Vec<f64>> {
    let (mut results, mut to_parent) = pipe().context("make a pipe")?;
    let rootfs = CString::new(session.rootfs.as_os_str().as_bytes())
        .context("the path of the rootfs")?;
    run_cloned(flags, || match call_all(&rootfs, &mut to_parent) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("kiste-bench, in new namespaces: {error}");
            1
        }
    })
    .context("mounts in new namespaces")?;
    drop(to_parent);
    let mut text = String::new();
    results.read_to_string(&mut text).context("read the measured times")?;
    let times: Vec<f64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    ensure!(
        times.len() == CALLS.len(),
        "{} of {} calls were measured",
        times.len(),
        CALLS.len()
    );
    Ok(times)
}

fn call_all(rootfs: &CString, to_parent: &mut PipeWriter) -> std::io::Result<()> {
    let mount_at = |kind: &'static str, place: &'static str| {
        move || mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>)
    };
    let rec = MsFlags::MS_REC;
    let mut timed = |work: &dyn Fn() -> nix::Result<()>| -> std::io::Result<()> {
        let begin = Instant::now();
        work()?;
        writeln!(to_parent, "{}", begin.elapsed().as_secs_f64() * 1e6)
    };
    let rootfs = rootfs.as_c_str();
    timed(&|| {
        mount(None::<&str>, "/", None::<&str>, rec | MsFlags::MS_PRIVATE, None::<&str>)
    })?;
    timed(&|| {
        mount(Some(rootfs), rootfs, None::<&str>, rec | MsFlags::MS_BIND, None::<&str>)
    })?;
    chdir(rootfs)?;
    timed(&mount_at("proc", "proc"))?;
    timed(&mount_at("sysfs", "sys"))?;
    timed(&mount_at("tmpfs", "dev"))?;
    fs::create_dir("dev/pts")?;
    timed(&mount_at("devpts", "dev/pts"))?;
    fs::create_dir("dev/mqueue")?;
    timed(&mount_at("mqueue", "dev/mqueue"))?;
    timed(&|| unshare(CloneFlags::CLONE_NEWCGROUP))?;
    timed(&|| pivot_root(".", "."))?;
    timed(&|| umount2(".", MntFlags::MNT_DETACH))
}
