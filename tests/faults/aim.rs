//! Where a fault is put: `child:openat2:3:EMFILE`, `runtime:mkdir:1:KILL`.

use std::fmt::{self, Display};
use std::str::FromStr;

use nix::errno::Errno;

use crate::calls::errno;
use crate::seen::Call;

/// A call, and what happens to it.
#[derive(Clone, Debug)]
pub struct Aim {
    process: String,
    name: String,
    nth: usize,
    /// What happens.
    pub fault: Fault,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not made, and this is what it returns.
    Error(Errno),
    /// Who makes it is killed before.
    Kill,
}

impl Aim {
    /// At this call.
    pub fn new(call: &Call, fault: Fault) -> Self {
        Aim {
            process: call.process.clone(),
            name: call.name.clone(),
            nth: call.nth,
            fault,
        }
    }

    /// Whether it is at this call.
    pub fn is_at(&self, call: &Call) -> bool {
        (&self.process, &self.name, self.nth) == (&call.process, &call.name, call.nth)
    }

    /// The name of the call.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Aim { process, name, nth, fault } = self;
        match fault {
            Fault::Error(errno) => write!(f, "{process}:{name}:{nth}:{errno:?}"),
            Fault::Kill => write!(f, "{process}:{name}:{nth}:KILL"),
        }
    }
}

impl FromStr for Aim {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text}: want PROCESS:CALL:NTH:ERRNO or PROCESS:CALL:NTH:KILL");
        let [process, name, nth, fault] = text.split(':').collect::<Vec<_>>()[..]
        else {
            return Err(wrong());
        };
        let fault = match fault {
            "KILL" => Fault::Kill,
            name => Fault::Error(errno(name).ok_or_else(wrong)?),
        };
        Ok(Aim {
            process: process.into(),
            name: name.into(),
            nth: nth.parse().map_err(|_| wrong())?,
            fault,
        })
    }
}
