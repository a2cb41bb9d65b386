//! What this step needs: user namespaces, and ids to fill them with.

use std::fs;

use exec::{CloneFlags, Command, Spawn};
use kit::doctor::{self, Check};
use nix::unistd::{getegid, geteuid};

use crate::account::Account;
use crate::helper;
use crate::ids::Map;
use crate::namespace::{Ids, Writer};
use crate::plan::{self, ENOUGH};
use crate::subid::{self, Lent};

/// The kernel's age, and who we are: from this step on, root is needed for a few things
/// only.
pub fn basics() -> Vec<Check> {
    let mut checks = doctor::basics();
    if let Some(root) =
        checks.iter_mut().find(|check| check.name == "root" && !geteuid().is_root())
    {
        let found = format_args!("uid {}: enough for all but --userns host", geteuid());
        *root = Check::missing("root", found, "none is needed; for that, use sudo");
    }
    checks
}

/// The checks of this step.
pub fn checks() -> Vec<Check> {
    let mut checks = vec![namespaces()];
    if !geteuid().is_root() {
        checks.extend([helpers(), ranges()]);
    }
    checks
}

/// Tries it: a switch may be missing, and a security module has none.
fn namespaces() -> Check {
    match trial() {
        Ok(()) => Check::ok("user-namespace", "one was made, and a mount in it"),
        Err(error) => {
            let (found, mend) = cause().unwrap_or_else(|| {
                (
                    format!("{error:#}"),
                    "run on the host, or in a virtual machine (book: Set-up)".into(),
                )
            });
            Check::fails("user-namespace", found, mend)
        }
    }
}

fn trial() -> anyhow::Result<()> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let writer = if geteuid().is_root() { Writer::Root } else { Writer::OwnId };
    let ids = Ids::new(
        Account::of_id(0, 0),
        Map::single(0, uid),
        Map::single(0, gid),
        writer,
    );
    let command = Command {
        argv: vec!["true".into()],
        env: vec!["PATH=/usr/bin:/bin".into()],
        workdir: None,
    };
    let child = Spawn::new(CloneFlags::CLONE_NEWUSER | mount::NAMESPACE)
        .before_start(|child| ids.write(child, []))
        .spawn(|parent| {
            ids.enter(parent)?;
            mount::Propagation::default().isolate()?;
            exec::become_command(&command, parent)
        })?;
    child.wait().map(drop)
}

/// Switches that forbid user namespaces, where the kernel or the distribution has them.
fn cause() -> Option<(String, String)> {
    let is = |path: &str, value: &str| {
        fs::read_to_string(path).is_ok_and(|text| text.trim() == value)
    };
    let switches = [
        ("user.max_user_namespaces", "0", "15000"),
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ];
    let (name, value, better) = switches.into_iter().find(|(name, value, _)| {
        is(&format!("/proc/sys/{}", name.replace('.', "/")), value)
    })?;
    let mut mend = format!(
        "as root: sysctl -w {name}={better} (to keep it: a file in /etc/sysctl.d)"
    );
    if name.contains("apparmor") {
        mend +=
            "; or give this one program a profile with `userns,` in /etc/apparmor.d";
    }
    Some((format!("{name} is {value}"), mend))
}

fn helpers() -> Check {
    match helper::missing() {
        None => Check::ok("uidmap", "newuidmap and newgidmap are there"),
        Some(name) => Check::missing(
            "uidmap",
            format_args!("no {name} in PATH"),
            "install the package uidmap",
        ),
    }
}

fn ranges() -> Check {
    let mend = helper::mend(&subid::caller());
    let (uids, gids) = match subid::lent_to_us() {
        Ok(lent) => lent,
        Err(error) => return Check::missing("subids", format_args!("{error:#}"), mend),
    };
    let count = |ranges: &[Lent]| {
        ranges.iter().map(|(_, count)| u64::from(*count)).sum::<u64>()
    };
    match count(&uids).min(count(&gids)) {
        0 => {
            let found = plan::why_alone(&uids, &gids).unwrap_or_default();
            Check::missing(
                "subids",
                format_args!("only your own id can be mapped: {found}"),
                mend,
            )
        }
        few if few < u64::from(ENOUGH) - 1 => Check::missing(
            "subids",
            format_args!("{few} ids are lent to you: an image may use 65536"),
            mend,
        ),
        enough => Check::ok("subids", format_args!("{enough} ids are lent to you")),
    }
}
