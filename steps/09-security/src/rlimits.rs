//! Resource limits of the command: getrlimit(2).

use std::fmt::{self, Display};
use std::str::FromStr;

use anyhow::Result;
use kit::{Failure, FailureKind, Hint};
use nix::errno::Errno;
use nix::unistd::Pid;
use rustix::process::{Resource, getrlimit, prlimit, setrlimit};

/// The resources, by the names of limits.conf(5) and `ulimit`, which Docker uses, too.
const RESOURCES: [(&str, Resource); 16] = [
    ("as", Resource::As),
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

/// A resource limit, in the unit of getrlimit(2); None: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    resource: Resource,
    soft: Option<u64>,
    hard: Option<u64>,
}

impl Rlimit {
    /// Makes the limit of a resource with this name: `nofile`, `NOFILE` or
    /// `RLIMIT_NOFILE`. A limit of `u64::MAX` is none.
    ///
    /// # Errors
    /// When there is no such resource, or the soft limit is above the hard one.
    pub fn new(name: &str, soft: u64, hard: u64) -> Result<Self, String> {
        let lower = name.to_ascii_lowercase();
        let wanted = lower.strip_prefix("rlimit_").unwrap_or(&lower);
        let found = RESOURCES.iter().find(|(known, _)| *known == wanted);
        let Some((_, resource)) = found else {
            let known: Vec<_> = RESOURCES.iter().map(|(known, _)| *known).collect();
            return Err(format!(
                "{name:?} is no resource limit; there are {}: getrlimit(2)",
                known.join(", ")
            ));
        };
        let [soft, hard] = [soft, hard].map(|it| (it != u64::MAX).then_some(it));
        let limit = Rlimit { resource: *resource, soft, hard };
        match (soft, hard) {
            (None, Some(_)) => Err(limit.soft_above_hard()),
            (Some(low), Some(high)) if low > high => Err(limit.soft_above_hard()),
            _ => Ok(limit),
        }
    }

    fn soft_above_hard(self) -> String {
        format!("{self}: the soft limit (the first) is above the hard one")
    }

    fn name(self) -> &'static str {
        let known = RESOURCES.iter().find(|(_, resource)| *resource == self.resource);
        known.map_or("", |(name, _)| name)
    }

    /// In the parent: raises the hard limit of the waiting child, if it is lower than
    /// this one. Only root on the host may do so, and not from a user namespace.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_RESOURCE on the host.
    pub fn allow(self, child: Pid) -> Result<()> {
        let own = getrlimit(self.resource);
        let is_enough = match (self.hard, own.maximum) {
            (_, None) => true,
            (Some(asked), Some(own)) => asked <= own,
            (None, Some(_)) => false,
        };
        if is_enough {
            return Ok(());
        }
        let raised = rustix::process::Rlimit { maximum: self.hard, ..own };
        let operands = format_args!("{child}, {self}");
        kit::call("a higher limit than ours", "prlimit", operands, || {
            let child = rustix::process::Pid::from_raw(child.as_raw());
            prlimit(child, self.resource, raised).map(drop)
        })
        .hint_on(
            Errno::EPERM,
            format_args!(
                "raising a hard limit needs CAP_SYS_RESOURCE on the host; \
                 the highest one here is {}={}",
                self.name(),
                show(own.maximum)
            ),
        )
    }

    /// In the child: sets the limit of this process, and of the command.
    ///
    /// # Errors
    /// EPERM when the hard limit would be raised; EINVAL for a value that the kernel
    /// refuses.
    pub fn set(self) -> Result<()> {
        let limit = rustix::process::Rlimit { current: self.soft, maximum: self.hard };
        kit::call("a limit of the command", "setrlimit", self, || {
            setrlimit(self.resource, limit)
        })
    }
}

/// Reads Docker's form: `nofile=1024`, `nofile=1024:2048`; -1 is no limit.
impl FromStr for Rlimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("{text:?}: NAME=SOFT[:HARD], as in nofile=1024:2048");
        let (name, values) = text.split_once('=').ok_or_else(form)?;
        let (soft, hard) = values.split_once(':').unwrap_or((values, values));
        let number = |text: &str| match text {
            "-1" | "unlimited" => Ok(u64::MAX),
            _ if text.starts_with('+') => Err(form()),
            _ => text.parse::<u64>().map_err(|_| form()),
        };
        Rlimit::new(name, number(soft)?, number(hard)?)
    }
}

impl Display for Rlimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}:{}", self.name(), show(self.soft), show(self.hard))
    }
}

fn show(limit: Option<u64>) -> String {
    limit.map_or("unlimited".into(), |limit| limit.to_string())
}

/// Refuses two limits of one resource.
///
/// # Errors
/// A usage error that names the resource.
pub fn refuse_duplicates(limits: &[Rlimit]) -> Result<()> {
    for (at, limit) in limits.iter().enumerate() {
        if limits[..at].iter().any(|earlier| earlier.resource == limit.resource) {
            let name = limit.name();
            let failure = Failure::new(format_args!("two limits of {name}"));
            let failure = failure.hint(format_args!("give {name} once, as {limit}"));
            return Err(failure.with_kind(FailureKind::Usage).with_exit_code(2).into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        text.parse::<Rlimit>().map(|limit| limit.to_string())
    }

    #[test]
    fn a_limit_is_a_name_a_soft_and_a_hard_value() {
        assert_eq!(shown("nofile=10"), Ok("nofile=10:10".into()));
        assert_eq!(shown("NPROC=1:2"), Ok("nproc=1:2".into()));
        assert_eq!(shown("RLIMIT_CORE=0:-1"), Ok("core=0:unlimited".into()));
        assert_eq!(shown("rttime=unlimited"), Ok("rttime=unlimited:unlimited".into()));
        for (name, _) in RESOURCES {
            shown(&format!("{name}=1")).unwrap();
        }
    }

    #[test]
    fn a_limit_that_makes_no_sense_is_refused() {
        for text in ["nofile", "nofile=", "nofile=x", "nofile=1:", "nofile=+1", "=1"] {
            shown(text).unwrap_err();
        }
        assert!(shown("files=1").unwrap_err().contains("nofile, nproc"));
        for text in ["nofile=2:1", "nofile=-1:1"] {
            assert!(shown(text).unwrap_err().contains("above the hard one"));
        }
    }

    #[test]
    fn two_limits_of_one_resource_are_a_usage_error() {
        let limits = ["nofile=1", "core=1", "NOFILE=2"].map(|it| it.parse().unwrap());
        refuse_duplicates(&limits[..2]).unwrap();
        let error = refuse_duplicates(&limits).unwrap_err().to_string();
        assert_eq!(error, "two limits of nofile");
    }
}
