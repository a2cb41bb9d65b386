//! Executes this program from a sealed copy of itself.
//!
//! A process in a container can open the program that runs beside it: below `--init` it
//! is /proc/1/exe, and a command that begins with `#!/proc/self/exe` executes it. An
//! ordinary user's program belongs to the container's root, who could write to it once
//! no process executes it any more. The user's next container would then run the
//! attacker's program on the host (CVE-2019-5736). memfd_create(2) makes a file in
//! memory, and its seals forbid every change, to root as well: fcntl(2), "File Sealing".

use std::convert::Infallible;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use kit::Hint;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::unistd::{execv, geteuid};
use rustix::fs::{MemfdFlags, SealFlags, StatVfsMountFlags};
use rustix::fs::{fcntl_add_seals, fcntl_get_seals, memfd_create, statvfs};

/// A link to the program that this process executes.
const PROGRAM: &str = "/proc/self/exe";

/// Executes this program again, from a sealed copy.
///
/// # Errors
/// As [`run_protected`].
pub fn run_sealed() -> Result<()> {
    run_protected(sealed_copy)
}

/// Executes this program again, with the same arguments, from the file that `protect`
/// makes of it. Returns when no container can write to the program that runs: it is such
/// a file already, or out of reach.
///
/// Does nothing for a subcommand other than `run`. Call it first of all: nothing but open
/// descriptors outlasts an exec, and what was done before, such as parsing, is done again.
///
/// # Errors
/// The error of `protect`; and the kernel's reason when the program cannot be executed.
pub fn run_protected(protect: impl FnOnce(File) -> Result<OwnedFd>) -> Result<()> {
    match std::env::args_os().nth(1) {
        Some(subcommand) if subcommand == "run" => protect_program(protect),
        _ => Ok(()),
    }
}

/// Executes this program again as [`run_protected`] does, whatever its subcommand is.
///
/// # Errors
/// As [`run_protected`].
pub fn protect_program(protect: impl FnOnce(File) -> Result<OwnedFd>) -> Result<()> {
    if is_out_of_reach().with_context(|| format!("stat {PROGRAM}"))? {
        return restore_name();
    }
    let program = File::open(PROGRAM).with_context(|| format!("open {PROGRAM}"))?;
    // EINVAL: a file that can have no seals.
    if fcntl_get_seals(&program).is_ok_and(|seals| seals.contains(SealFlags::WRITE)) {
        return restore_name();
    }
    match execute(&protect(program)?)? {}
}

/// Tells whether no process in a container of ours can write to the program. The root of
/// a user's container is that user, and has the user's subordinate ids.
fn is_out_of_reach() -> io::Result<bool> {
    let program = std::fs::metadata(PROGRAM)?;
    let is_roots_alone = program.uid() == 0 && program.mode() & 0o022 == 0;
    let mount = statvfs(PROGRAM)?.f_flag;
    Ok(is_roots_alone && !geteuid().is_root()
        || mount.contains(StatVfsMountFlags::RDONLY))
}

/// Copies the program into memory, and seals the copy.
///
/// # Errors
/// When the host executes no files in memory, or has no memory.
pub fn sealed_copy(mut program: File) -> Result<OwnedFd> {
    let name = own_name()?;
    let why = "a file in memory for a copy of this program";
    let mut copy = kit::call(why, "memfd_create", name.to_string_lossy(), || {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Linux 6.3 wants to know whether the file will be executed. Before, there is
        // no such flag.
        let file = match memfd_create(&name, flags | MemfdFlags::EXEC) {
            Err(rustix::io::Errno::INVAL) => memfd_create(&name, flags),
            file => file,
        };
        file.map(File::from)
    })
    .hint_on(
        Errno::EACCES,
        "the host executes no file in memory: sysctl vm.memfd_noexec=1",
    )?;
    io::copy(&mut program, &mut copy).context("copy this program")?;
    let seals =
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    kit::call("nobody can change the copy", "fcntl", "F_ADD_SEALS", || {
        add_seals(&copy, seals)
    })?;
    Ok(copy.into())
}

/// Adds the seals. The kernel answers EBUSY while a page of the file is in use
/// elsewhere, as just after the copy on a busy machine; it has waited 150 ms by then
/// (memfd_wait_for_pins in mm/memfd.c).
fn add_seals(file: &File, seals: SealFlags) -> rustix::io::Result<()> {
    const TRIES: usize = 20;
    for _ in 1..TRIES {
        match fcntl_add_seals(file, seals) {
            Err(rustix::io::Errno::BUSY) => {}
            done => return done,
        }
    }
    fcntl_add_seals(file, seals)
}

fn execute(program: &OwnedFd) -> Result<Infallible> {
    let path = CString::new(format!("/proc/self/fd/{}", program.as_raw_fd()))?;
    let arguments = std::env::args_os().map(|it| CString::new(it.into_vec()));
    let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
    execv(&path, &arguments).context("execve(this program, protected)")
}

/// Gives this process the name that `ps` shows: an exec by a descriptor names it after
/// the descriptor.
fn restore_name() -> Result<()> {
    prctl::set_name(&own_name()?).context("prctl(PR_SET_NAME)")
}

fn own_name() -> Result<CString> {
    let program = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let name = program.file_name().unwrap_or(OsStr::new("kiste"));
    Ok(CString::new(name.as_bytes())?)
}
