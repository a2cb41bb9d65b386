//! The responder's process: what it opens while it may, and how it becomes nobody.

use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result};
use kit::{Failure, Hint};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid, setsid};
use rustix::fs::{Mode, OFlags};

use super::Args;
use super::life::{ALIVE, LOCK, READY, USERS, command, open, words};
use super::names::Names;
use super::server::Server;
use super::sys;
use super::watched::Watched;
use crate::etc::Resolv;

/// Is the responder: the hidden subcommand. What goes wrong at the start is told to who
/// started it.
///
/// # Errors
/// When what it waits for cannot be waited for; nobody hears of it then.
pub fn respond(args: &Args) -> Result<ExitCode> {
    if args.detach {
        let words = words(&args.leases, &args.bridge, &args.gateways, args.outside);
        kit::call(
            "nobody waits for it",
            "execve",
            "/proc/self/exe, dns-responder",
            || command(&words).stdout(Stdio::inherit()).spawn().map(drop),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    match Alive::begin(args) {
        Ok(alive) => alive.live(),
        Err(error) => {
            let _ = writeln!(
                std::io::stdout(),
                "{}",
                serde_json::to_string(&Failure::of(&error))?
            );
            Ok(ExitCode::FAILURE)
        }
    }
}

/// A responder that listens, and what it holds.
struct Alive {
    server: Server,
    users: File,
    alive: File,
    lock_path: PathBuf,
    /// Opened while we may.
    lock: File,
}

impl Alive {
    fn begin(args: &Args) -> Result<Self> {
        sys::close_inherited().context("close_range(3, ~0)")?;
        let _ = setsid(); // EPERM: it leads a session already
        prctl::set_name(c"kiste-dns").context("prctl(PR_SET_NAME)")?;
        let leases = &args.leases;
        let alive = claim(args)?;
        let lock_path = leases.with_file_name(LOCK);
        // To be read only, as all that we keep: a responder that was taken over must
        // not write there.
        open(&lock_path).with_context(|| format!("open {}", lock_path.display()))?;
        let lock = File::open(&lock_path)
            .with_context(|| format!("open {}", lock_path.display()))?;
        let path = leases.with_file_name(USERS);
        let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits() as i32;
        let users = File::options().read(true).custom_flags(flags).open(&path);
        let users = users.with_context(|| format!("open {}", path.display()))?;

        let directory = open_directory(leases.parent().unwrap_or(leases))?;
        let name = leases.file_name().unwrap_or_default();
        let names: Watched<Arc<Names>> = Watched::new(directory, name);
        let host: Watched<Resolv> =
            Watched::new(open_directory(Path::new("/"))?, "etc/resolv.conf");
        let mut server =
            Server::listen(&args.bridge, &args.gateways, args.outside, names, host)
                .hint_on(Errno::EADDRINUSE, TAKEN)?;
        give_up_rights()?;
        server.check_names().hint_on(
            Errno::EACCES,
            "the responder reads it as nobody: 0711 and 0644",
        )?;
        Ok(Alive { server, users, alive, lock_path, lock })
    }

    fn live(mut self) -> Result<ExitCode> {
        say_ready()?;
        loop {
            self.server.serve(self.users.as_fd())?;
            // Nobody needs us. But one may be just beginning, and have found us alive.
            self.lock
                .lock()
                .with_context(|| format!("lock {}", self.lock_path.display()))?;
            if self.is_alone()? {
                // in this order: who begins after us finds port 53 free, and
                drop(self.server);
                drop(self.alive); // nobody alive, when it gets the lock
                return Ok(ExitCode::SUCCESS);
            }
            self.lock.unlock().context("unlock")?;
        }
    }

    fn is_alone(&self) -> Result<bool> {
        let mut users = [PollFd::new(self.users.as_fd(), PollFlags::empty())];
        poll(&mut users, PollTimeout::ZERO).context("ask whether anybody is there")?;
        Ok(users[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP)))
    }
}

const TAKEN: &str = "another DNS server listens at every address of this host: `ss -lnp sport = :53` names it; \
                     let it listen at its own only (dnsmasq: bind-dynamic)";

fn claim(args: &Args) -> Result<File> {
    let path = args.leases.with_file_name(ALIVE);
    kit::call("who holds it is the responder", "flock", path.display(), || {
        let mut file = open(&path)?;
        file.try_lock()?;
        file.set_len(0)?;
        file.rewind()?;
        let words =
            words(&args.leases, &args.bridge, &args.gateways, args.outside).join(" ");
        write!(file, "{}\n{words}\n", std::process::id())?;
        // Who starts us waits with `dns.lock`: nobody else takes it in between.
        drop(file);
        let file = File::open(&path)?;
        file.try_lock()?;
        Ok::<_, std::io::Error>(file)
    })
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .with_context(|| format!("open {}", path.display()))
}

/// Nobody on the host, in none of its groups: what comes from a container is hostile.
fn give_up_rights() -> Result<()> {
    const NOBODY: u32 = 65534;
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    kit::call(
        "and no program that it starts has more",
        "prctl",
        "PR_SET_NO_NEW_PRIVS",
        prctl::set_no_new_privs,
    )?;
    kit::call("in no group", "setgroups", "[]", || setgroups(&[]))?;
    kit::call("nobody's group", "setresgid", gid, || setresgid(gid, gid, gid))?;
    kit::call("nobody", "setresuid", uid, || setresuid(uid, uid, uid))
}

/// Says that we listen, and closes what we were heard through: who waits sees its end.
fn say_ready() -> Result<()> {
    // Not by std's stdout: what could not be written would be in its buffer, and come
    // after the error.
    let ready = format!("{READY}\n");
    rustix::io::write(rustix::stdio::stdout(), ready.as_bytes())
        .context("write(stdout), that we listen")?;
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .context("open /dev/null")?;
    rustix::stdio::dup2_stdout(&null).context("dup2(/dev/null, stdout)")?;
    rustix::stdio::dup2_stderr(&null).context("dup2(/dev/null, stderr)")
}
