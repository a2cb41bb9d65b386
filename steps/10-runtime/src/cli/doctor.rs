//! `doctor`: checks what this runtime needs from the kernel and the host.

use std::process::ExitCode;

use kit::{DoctorArgs, Result, doctor};

use crate::cli::{Global, bus};
use crate::doctor::checks;

#[derive(clap::Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    args: DoctorArgs,
}

impl Doctor {
    pub fn run(&self, global: &Global) -> Result<ExitCode> {
        // Images and networks are the engine's work: nothing is asked of 07 and 08.
        let checks = [
            user::basics(),
            cgroups::doctor(),
            user::checks(&user::helpers()),
            security::checks(),
            checks(&global.root(), &bus::systemd_bus()),
        ];
        doctor::run(self.args.format(), &checks.concat())
    }
}
