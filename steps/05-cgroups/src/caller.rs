//! The part of the host's cgroups that the caller can use, for `doctor`.

use std::collections::BTreeSet;

use kit::doctor::{Check, Verdict};
use nix::unistd::{AccessFlags, access, geteuid};

use crate::controller::{Controller, Version};
use crate::delegation;
use crate::hierarchy::{Hierarchies, Hierarchy};
use crate::placement::SessionBus;

/// The rights of the caller to make cgroups.
pub(crate) enum Caller {
    /// Root makes them in every hierarchy that is writable.
    Root,
    /// A user makes them in the unified hierarchy only.
    User {
        /// The part that is delegated to this user already.
        delegated: Option<Hierarchy>,
        /// The controllers that the user's systemd has, and gives to a scope.
        from_systemd: BTreeSet<Controller>,
    },
}

impl Caller {
    /// Finds the rights of this process. At a container start, `bus` would lead to the
    /// user's systemd.
    pub(crate) fn of_process(
        hierarchies: &Hierarchies,
        bus: Option<&SessionBus>,
    ) -> Self {
        if geteuid().is_root() {
            return Caller::Root;
        }
        let uid = geteuid();
        let controllers_file = format!(
            "user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers"
        );
        let from_systemd = hierarchies
            .unified()
            .filter(|_| bus.is_some())
            .and_then(|unified| {
                Controller::listed(&unified.mount_point.join(controllers_file)).ok()
            })
            .unwrap_or_default();
        let delegated = hierarchies.delegated().unified().cloned();
        Caller::User { delegated, from_systemd }
    }

    /// Turns a check that is ok on this host into one that is ok only if this caller
    /// may make cgroups in `hierarchy`, and use `controller` there.
    pub(crate) fn restrict(
        &self,
        check: Check,
        hierarchy: Option<&Hierarchy>,
        controller: Option<Controller>,
    ) -> Check {
        let Some(hierarchy) = hierarchy.filter(|_| check.verdict == Verdict::Ok) else {
            return check;
        };
        let (name, found) = (&check.name, &check.found);
        match self {
            Caller::Root
                if access(&hierarchy.mount_point, AccessFlags::W_OK).is_ok() =>
            {
                check
            }
            Caller::Root => Check::missing(
                name,
                format_args!("{found}, but you cannot write there"),
                "cgroups are read-only here: run on the host, or in a privileged container",
            ),
            Caller::User { delegated, from_systemd } => {
                let usable = delegated.as_ref().filter(|it| {
                    controller.is_none_or(|controller| it.has_controller(controller))
                });
                let systemd_delegates_it = match controller {
                    Some(controller) => from_systemd.contains(&controller),
                    None => !from_systemd.is_empty(),
                };
                if let Some(delegated) = usable {
                    let base = delegated.base.display();
                    Check::ok(name, format_args!("{found}; delegated to you at {base}"))
                } else if systemd_delegates_it {
                    Check::ok(name, format_args!("{found}; your systemd delegates it"))
                } else {
                    let found = format_args!("{found}, but not delegated to you");
                    Check::missing(name, found, fix(hierarchy.version))
                }
            }
        }
    }
}

fn fix(version: Version) -> &'static str {
    match version {
        Version::V2 => delegation::FIX,
        Version::V1 => {
            "use sudo; or boot with version 2, which can be delegated: \
             `systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all`"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHierarchy;

    fn restricted(caller: &Caller, unified: &Hierarchy) -> (Verdict, String) {
        let check = Check::ok("cgroup-memory", "version 2");
        let check = caller.restrict(check, Some(unified), Some(Controller::Memory));
        (check.verdict, check.found)
    }

    #[test]
    fn a_user_has_the_controllers_that_are_delegated_or_that_systemd_gives() {
        let top = FakeHierarchy::new("caller");
        top.make_cgroup("", &[("cgroup.controllers", "memory pids")]);
        let unified = top.unified();
        let user = |delegated: &[Controller], from_systemd: &[Controller]| {
            let controllers = delegated.iter().copied().collect();
            let base = "/base".into();
            let delegated = Hierarchy { controllers, base, ..unified.clone() };
            let from_systemd = from_systemd.iter().copied().collect();
            restricted(
                &Caller::User { delegated: Some(delegated), from_systemd },
                &unified,
            )
        };
        use Controller::{Memory, Pids};
        let (verdict, found) = user(&[Memory], &[]);
        assert_eq!(
            (verdict, &*found),
            (Verdict::Ok, "version 2; delegated to you at /base")
        );
        let (verdict, found) = user(&[Pids], &[Memory]);
        assert_eq!(
            (verdict, &*found),
            (Verdict::Ok, "version 2; your systemd delegates it")
        );
        let (verdict, found) = user(&[Pids], &[Pids]);
        assert_eq!(
            (verdict, &*found),
            (Verdict::Missing, "version 2, but not delegated to you")
        );
        let none = Caller::User { delegated: None, from_systemd: BTreeSet::new() };
        assert_eq!(restricted(&none, &unified).0, Verdict::Missing);
    }
}
