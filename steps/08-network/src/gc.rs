//! What a `kill -9` of the runtime leaves behind of networks, and of everything below.

use std::process::ExitCode;

use anyhow::Result;
use kit::Failure;
use nix::unistd::geteuid;

use crate::host;
use crate::netlink::Netlink;
use crate::store::{DirArgs, Store};

/// Options of `gc`.
#[derive(clap::Args, Clone, Debug)]
pub struct GcArgs {
    #[command(flatten)]
    below: image::cli::Gc,
    #[command(flatten)]
    networks: DirArgs,
}

/// `gc`: removes what dead runs have left, and prints their ids.
///
/// # Errors
/// What could not be removed; it is kept for the next time.
pub fn gc_command(args: &GcArgs) -> Result<ExitCode> {
    let errors = [args.below.run().err(), gc(&args.networks).err()];
    kit::combine(errors.into_iter().flatten().collect())
        .map(|()| ExitCode::SUCCESS)
        .map_err(|error| Failure::of(&error).exit(1).into())
}

/// Takes dead containers off their networks. What somebody without root has left is not
/// there.
fn gc(networks: &DirArgs) -> Result<()> {
    if !geteuid().is_root() || !networks.dir().exists() {
        return Ok(());
    }
    let mut store = Store::open(networks.dir())?;
    let mut netlink = Netlink::open()?;
    host::sweep(&mut store, &mut netlink)?;
    kit::combine(host::settle(&mut store, &mut netlink))
}
