//! A fault and the call at which it is injected: `child:openat2:3:EMFILE`,
//! `runtime:mkdir:1:KILL`, `child:mount:2:TERM`.

use std::fmt::{self, Display};
use std::str::FromStr;

use nix::errno::Errno;

use crate::calls::errno;
use crate::trace::Call;

/// A call of a process, and the fault that is injected there.
#[derive(Clone, Debug)]
pub struct Injection {
    process: String,
    name: String,
    nth: usize,
    /// The fault.
    pub fault: Fault,
}

/// The fault that is injected at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call is not made, and returns this error.
    Error(Errno),
    /// The process is killed before the call.
    Kill,
    /// The runtime is sent SIGTERM before the call, whichever process makes it.
    Signal,
}

impl Injection {
    /// Injects a fault at this call.
    pub fn new(call: &Call, fault: Fault) -> Self {
        Injection {
            process: call.process.clone(),
            name: call.name.clone(),
            nth: call.nth,
            fault,
        }
    }

    /// Returns whether the fault is injected at this call.
    pub fn matches(&self, call: &Call) -> bool {
        (&self.process, &self.name, self.nth) == (&call.process, &call.name, call.nth)
    }

    /// Returns the name of the call.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Injection { process, name, nth, fault } = self;
        match fault {
            Fault::Error(errno) => write!(f, "{process}:{name}:{nth}:{errno:?}"),
            Fault::Kill => write!(f, "{process}:{name}:{nth}:KILL"),
            Fault::Signal => write!(f, "{process}:{name}:{nth}:TERM"),
        }
    }
}

impl FromStr for Injection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text}: expected PROCESS:CALL:NTH: and an error, KILL or TERM");
        let [process, name, nth, fault] = text.split(':').collect::<Vec<_>>()[..]
        else {
            return Err(wrong());
        };
        let fault = match fault {
            "KILL" => Fault::Kill,
            "TERM" => Fault::Signal,
            name => Fault::Error(errno(name).ok_or_else(wrong)?),
        };
        Ok(Injection {
            process: process.into(),
            name: name.into(),
            nth: nth.parse().map_err(|_| wrong())?,
            fault,
        })
    }
}
