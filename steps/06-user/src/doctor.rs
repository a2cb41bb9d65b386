//! The checks of this step: user namespaces, and subordinate ids.

use std::fs;

use exec::{CloneFlags, Command, Spawn};
use kit::doctor::{self, Check};
use nix::unistd::{getegid, geteuid};

use crate::account::Account;
use crate::helpers::Helpers;
use crate::id_map::IdMap;
use crate::more_ids::how_to_get_ids;
use crate::namespace::{Ids, Writer};
use crate::plan::why_own_id_only;
use crate::subid::{self, FULL_RANGE};

/// The kit's checks. The check `root` no longer fails: from this step on, only a few
/// options need root.
pub fn basics() -> Vec<Check> {
    let mut checks = doctor::basics();
    if let Some(root) =
        checks.iter_mut().find(|check| check.name == "root" && !geteuid().is_root())
    {
        let found = format_args!("uid {}: enough in a user namespace", geteuid());
        *root = Check::missing(
            "root",
            found,
            "not needed; without a user namespace, use sudo",
        );
    }
    checks
}

/// The checks of this step.
pub fn checks(helpers: &Helpers) -> Vec<Check> {
    let mut checks = vec![user_namespace()];
    if !geteuid().is_root() {
        checks.extend([uidmap(helpers), subordinate_ids(helpers)]);
    }
    checks
}

/// Tries to make a user namespace. Reading the sysctls is not enough: a security module
/// can forbid user namespaces without one.
fn user_namespace() -> Check {
    match try_user_namespace() {
        Ok(()) => Check::ok(
            "user-namespace",
            "a user namespace, and a mount in it, can be made",
        ),
        Err(error) => {
            let (found, hint) = forbidding_sysctl().unwrap_or_else(|| {
                (
                    kit::Failure::of(&error).to_string(),
                    "run on the host, or in a virtual machine (book: Set-up)".into(),
                )
            });
            Check::fails("user-namespace", found, hint)
        }
    }
}

fn try_user_namespace() -> anyhow::Result<()> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let writer = if geteuid().is_root() { Writer::Root } else { Writer::OwnId };
    let ids = Ids::new(
        Account::of_id(0, 0),
        IdMap::single(0, uid),
        IdMap::single(0, gid),
        writer,
    );
    let command = Command {
        argv: vec!["true".into()],
        env: vec!["PATH=/usr/bin:/bin".into()],
        ..Command::default()
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

/// Finds the sysctl that forbids user namespaces, and how to change it.
fn forbidding_sysctl() -> Option<(String, String)> {
    let has_value = |path: &str, value: &str| {
        fs::read_to_string(path).is_ok_and(|text| text.trim() == value)
    };
    let sysctls = [
        ("user.max_user_namespaces", "0", "15000"),
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ];
    let (name, value, permissive) = sysctls.into_iter().find(|(name, value, _)| {
        has_value(&format!("/proc/sys/{}", name.replace('.', "/")), value)
    })?;
    let mut hint = format!(
        "as root: sysctl -w {name}={permissive} (to keep it: a file in /etc/sysctl.d)"
    );
    if name.contains("apparmor") {
        hint += "; or give this one program a profile with `userns,` (book: Set-up)";
    }
    Some((format!("{name} is {value}"), hint))
}

fn uidmap(helpers: &Helpers) -> Check {
    match helpers.missing() {
        None => Check::ok("uidmap", "newuidmap and newgidmap are there"),
        Some(name) => Check::missing(
            "uidmap",
            format_args!("no {name} in PATH"),
            "install the package uidmap",
        ),
    }
}

fn subordinate_ids(helpers: &Helpers) -> Check {
    let hint = how_to_get_ids(helpers);
    let (uids, gids) = match subid::of_caller() {
        Ok(ranges) => ranges,
        Err(error) => return Check::missing("subids", kit::Failure::of(&error), hint),
    };
    match subid::count(&uids).min(subid::count(&gids)) {
        0 => {
            let found = why_own_id_only(helpers, &uids, &gids).unwrap_or_default();
            Check::missing(
                "subids",
                format_args!("only your own id can be mapped: {found}"),
                hint,
            )
        }
        few if few < u64::from(FULL_RANGE) - 1 => Check::missing(
            "subids",
            format_args!("{few} subordinate ids: an image may use 65536"),
            hint,
        ),
        enough => Check::ok("subids", format_args!("{enough} subordinate ids")),
    }
}
