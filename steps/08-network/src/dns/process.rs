//! The responder's process: it opens everything that it needs, and then drops its
//! privileges.

use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result};
use exec::Signals;
use kit::{Failure, Hint};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid, setsid};
use rustix::fs::{CWD, OFlags};

use super::ResponderOptions;
use super::lifecycle::{LOCK, READY, USERS, command};
use super::running_responder::ALIVE;
use super::server::Server;
use super::watched_file::WatchedFile;
use super::zone::Zone;
use crate::etc::ResolvConf;
use crate::lock_file::open_or_create;
use crate::sys;

/// Starts a responder with these options, and returns without waiting for it. Its
/// parent is then init(1), or the nearest subreaper.
///
/// # Errors
/// When the program cannot be executed.
pub fn respond_detached(options: &ResponderOptions) -> Result<ExitCode> {
    let options = options.to_json()?;
    let operands = "/proc/self/exe, dns-responder";
    kit::call("nobody waits for this process", "execve", operands, || {
        command(&options).stdout(Stdio::inherit()).spawn().map(drop)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Responds until the last runtime has exited. An error at the start goes to stdout as
/// JSON, for the runtime that reads it.
///
/// # Errors
/// When poll(2) or flock(2) fails later; stderr is closed by then.
pub fn respond(options: &ResponderOptions) -> Result<ExitCode> {
    match ResponderProcess::start(options) {
        Ok(process) => process.run(),
        Err(error) => {
            let failure = serde_json::to_string(&Failure::of(&error))?;
            let _ = writeln!(std::io::stdout(), "{failure}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// A responder that listens, and the files that it needs to exit.
struct ResponderProcess {
    server: Server,
    users: File,
    /// Locked as long as the process lives.
    alive: File,
    lock_path: PathBuf,
    lock: File,
}

impl ResponderProcess {
    fn start(options: &ResponderOptions) -> Result<Self> {
        sys::close_inherited().context("close_range(3, ~0)")?;
        Signals::unblock()?; // the runtime that starts it has blocked them
        let _ = setsid(); // EPERM: it leads a session already
        prctl::set_name(c"kiste-dns").context("prctl(PR_SET_NAME)")?;
        let leases = &options.leases;
        let alive = lock_alive(options)?;
        let lock_path = leases.with_file_name(LOCK);
        let opening = || format!("open {}", lock_path.display());
        open_or_create(CWD, &lock_path).with_context(opening)?;
        // All files that stay open are open for reading only, so that a compromised
        // responder cannot write to them.
        let lock = kit::open_regular(&lock_path).with_context(opening)?;
        let path = leases.with_file_name(USERS);
        let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits() as i32;
        let users = File::options().read(true).custom_flags(flags).open(&path);
        let users = users.with_context(|| format!("open {}", path.display()))?;

        let directory = leases.parent().unwrap_or(leases);
        let directory = kit::open_directory(directory)
            .with_context(|| format!("open {}", directory.display()))?;
        let name = leases.file_name().unwrap_or_default();
        let zone: WatchedFile<Arc<Zone>> = WatchedFile::new(directory, name);
        let root = kit::open_directory(Path::new("/")).context("open /")?;
        let host: WatchedFile<ResolvConf> = WatchedFile::new(root, "etc/resolv.conf");
        let mut server = Server::listen(options, zone, host)
            .hint_on(Errno::EADDRINUSE, PORT_IN_USE)?;
        raise_open_files_limit();
        drop_privileges()?;
        server.read_zone().hint_on(
            Errno::EACCES,
            "the responder reads it as nobody: the directory needs mode 0711, the file 0644",
        )?;
        Ok(ResponderProcess { server, users, alive, lock_path, lock })
    }

    fn run(mut self) -> Result<ExitCode> {
        report_ready()?;
        loop {
            self.server.serve(self.users.as_fd())?;
            // The last runtime has exited. Another runtime may just be starting, and
            // have found this responder running.
            self.lock
                .lock()
                .with_context(|| format!("lock {}", self.lock_path.display()))?;
            if self.has_no_users()? {
                // In this order: the next responder starts when it gets the lock, and
                // then finds port 53 free and `dns.alive` unlocked.
                drop(self.server);
                drop(self.alive);
                return Ok(ExitCode::SUCCESS);
            }
            self.lock.unlock().context("unlock")?;
        }
    }

    fn has_no_users(&self) -> Result<bool> {
        let mut users = [PollFd::new(self.users.as_fd(), PollFlags::empty())];
        poll(&mut users, PollTimeout::ZERO).context("poll(dns.users)")?;
        Ok(users[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP)))
    }
}

const PORT_IN_USE: &str = "another DNS server listens on every address of this host: `ss -lnp sport = :53` shows it; \
                           let it listen on its own addresses only (dnsmasq: bind-dynamic)";

fn lock_alive(options: &ResponderOptions) -> Result<File> {
    let path = options.leases.with_file_name(ALIVE);
    let json = options.to_json()?;
    let why = "the process that holds this lock is the responder";
    kit::call(why, "flock", path.display(), || {
        let mut file = open_or_create(CWD, &path)?;
        file.try_lock()?;
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}\n{json}\n", std::process::id())?;
        // The runtime that starts this process holds `dns.lock`, so no other process
        // takes this lock in between.
        drop(file);
        let file = kit::open_regular(&path)?;
        file.try_lock()?;
        Ok::<_, std::io::Error>(file)
    })
}

/// Raises the limit of open files, because each forwarded question has a socket for
/// each server that is asked. With a lower limit, more questions wait.
fn raise_open_files_limit() {
    const WANTED: u64 = 4096;
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, WANTED.min(hard).max(soft), hard);
    }
}

/// Becomes the user nobody, without groups and capabilities: containers may send
/// hostile messages.
fn drop_privileges() -> Result<()> {
    const NOBODY: u32 = 65534;
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    kit::call(
        "no program that it executes gains privileges",
        "prctl",
        "PR_SET_NO_NEW_PRIVS",
        prctl::set_no_new_privs,
    )?;
    kit::call("in no other group", "setgroups", "[]", || setgroups(&[]))?;
    kit::call("the group nobody", "setresgid", gid, || setresgid(gid, gid, gid))?;
    kit::call("the user nobody", "setresuid", uid, || setresuid(uid, uid, uid))
}

/// Reports to the runtime that the responder listens, and closes stdout and stderr: the
/// runtime reads until they are closed.
fn report_ready() -> Result<()> {
    // Not with std's buffered stdout: a line that could not be written would be written
    // again, after the error.
    let ready = format!("{READY}\n");
    rustix::io::write(rustix::stdio::stdout(), ready.as_bytes())
        .context("write(stdout), that the responder listens")?;
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .context("open /dev/null")?;
    rustix::stdio::dup2_stdout(&null).context("dup2(/dev/null, stdout)")?;
    rustix::stdio::dup2_stderr(&null).context("dup2(/dev/null, stderr)")
}
