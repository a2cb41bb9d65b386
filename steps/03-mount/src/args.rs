//! The options of this step.

use std::collections::HashSet;

use anyhow::Result;
use clap::ValueEnum;
use clap::builder::PossibleValue;
use kit::{Failure, FailureKind};

use crate::propagation::Propagation;
use crate::request::Request;
use crate::sources::find_sources;

/// The mounts of the container, and their propagation.
#[derive(clap::Args, Clone, Debug)]
#[group(id = "mount_options")]
pub struct Args {
    /// Mount propagation between the host and the container
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    pub propagation: Propagation,

    /// Bind mount a file or directory of the host
    ///
    /// Options: ro, bind, rbind, nosuid, nodev, noexec; rslave for later mounts of the
    /// host, rshared for those of both. z and Z change nothing.
    #[arg(short, long, value_name = "SRC:DST[:OPTIONS]", value_parser = Request::volume)]
    volume: Vec<Request>,

    /// Mount like -v or --tmpfs: type=bind|tmpfs,src=…,dst=…[,ro,size=…,mode=…]
    ///
    /// An option with a comma is in quotation marks: type=bind,"src=./a,b",dst=/b.
    #[arg(long, value_name = "OPTIONS", value_parser = Request::mount_option)]
    mount: Vec<Request>,

    /// Mount a tmpfs, a file system in memory
    ///
    /// Options: size=, mode=, ro, exec.
    #[arg(long, value_name = "DST[:OPTIONS]", value_parser = Request::tmpfs)]
    tmpfs: Vec<Request>,
}

impl Args {
    /// Collects the mounts from all three options, and looks up their sources.
    ///
    /// # Errors
    /// A usage error (exit code 2) when two mounts have the same target; and when a
    /// source is missing, or the caller may not reach it.
    pub fn requests(&self) -> Result<Vec<Request>> {
        let mut requests = self.sorted_by_depth()?;
        find_sources(&mut requests)?;
        Ok(requests)
    }

    /// Sorts the requests by the depth of their targets: no mount may hide another.
    fn sorted_by_depth(&self) -> Result<Vec<Request>> {
        let mut requests = [&self.mount[..], &self.tmpfs, &self.volume].concat();
        let mut targets = HashSet::new();
        if let Some(duplicate) =
            requests.iter().find(|request| !targets.insert(&request.target))
        {
            let failure = Failure::new(format_args!(
                "{}: two mounts on one target",
                duplicate.target.display()
            ));
            return Err(failure
                .hint("one would hide the other: leave it out")
                .with_kind(FailureKind::Usage)
                .with_exit_code(2)
                .into());
        }
        requests.sort_by_key(|request| request.target.components().count());
        Ok(requests)
    }
}

impl ValueEnum for Propagation {
    fn value_variants<'a>() -> &'a [Self] {
        &[Propagation::Private, Propagation::Slave, Propagation::Shared]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Propagation::Private => PossibleValue::new("private")
                .help("No mount propagates, in either direction"),
            Propagation::Slave => PossibleValue::new("slave")
                .help("Later mounts of the host appear in the container"),
            Propagation::Shared => PossibleValue::new("shared")
                .help("Only mount namespaces made inside share the container's mounts"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_sorted_by_depth_and_keep_their_order_at_the_same_depth() {
        let args = Args {
            propagation: Propagation::default(),
            volume: ["/v:/a/b/c", "/v:/z"]
                .map(|text| Request::volume(text).unwrap())
                .into(),
            mount: vec![Request::mount_option("type=tmpfs,dst=/a/b").unwrap()],
            tmpfs: ["/m", "/a"].map(|text| Request::tmpfs(text).unwrap()).into(),
        };
        let targets: Vec<_> = args
            .sorted_by_depth()
            .unwrap()
            .into_iter()
            .map(|request| request.target)
            .collect();
        assert_eq!(
            targets,
            ["/m", "/a", "/z", "/a/b", "/a/b/c"].map(std::path::PathBuf::from)
        );
    }
}
