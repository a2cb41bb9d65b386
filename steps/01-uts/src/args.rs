//! The options of this step.

use kit::Id;

use crate::{HostName, Names};

/// The options of `run` that name the container.
#[derive(clap::Args, Clone, Debug)]
#[group(id = "uts_options")]
pub struct Args {
    /// The container's host name; by default its id
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    hostname: Option<HostName>,

    /// The container's NIS domain name
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    domainname: Option<HostName>,
}

impl Args {
    /// Returns the requested names; without `--hostname`, the id is the host name.
    pub fn names(&self, id: &Id) -> Names {
        let hostname = self.hostname.clone().unwrap_or_else(|| id.into());
        Names { hostname, domainname: self.domainname.clone() }
    }
}
