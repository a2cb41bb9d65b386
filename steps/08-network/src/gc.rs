//! Removes what containers that are gone have left of their networks.

use std::path::Path;

use anyhow::{Context, Result};
use kit::{Failure, Liveness};
use nix::unistd::geteuid;

use crate::host::Host;
use crate::host_changes::HostChanges;
use crate::lease::Lease;
use crate::netlink::Netlink;
use crate::network_namespace::NamespaceId;
use crate::store::NetworkStore;

/// Removes the leases, links, rules and settings of containers that are gone. Users
/// other than root have none.
///
/// # Errors
/// All that could not be removed or examined; `gc` tries it again the next time.
pub(crate) fn gc(dir: &Path) -> Result<()> {
    if !geteuid().is_root() || !dir.exists() {
        return Ok(());
    }
    let mut host = Host::open(dir)?;
    let mut errors = remove_stale(&mut host, None)?;
    errors.extend(host.reconcile());
    kit::combine_errors(errors)
}

/// Removes the leases and links of containers that are gone. Forgets the changes to the
/// host that a reboot has undone.
///
/// Returns an error for each container that cannot be examined: its lease stays.
///
/// `own_run_dir` is the run directory of the container that is about to start. This
/// process holds its lock, so a lease with this directory belongs to an earlier
/// container.
fn remove_stale(
    host: &mut Host,
    own_run_dir: Option<&Path>,
) -> Result<Vec<anyhow::Error>> {
    let Host { store, netlink } = host;
    ensure_same_namespace(store)?;
    let mut errors = Vec::new();
    for record in store.networks_in_use().cloned().collect::<Vec<_>>() {
        let (mut kept, mut stale) = (Vec::new(), Vec::new());
        for lease in record.leases {
            match liveness_of(&lease, netlink, own_run_dir) {
                Ok(Liveness::Gone) => stale.push(lease),
                Ok(Liveness::Alive) => kept.push(lease),
                Err(error) => {
                    errors.push(error);
                    kept.push(lease);
                }
            }
        }
        if stale.is_empty() {
            continue;
        }
        for lease in &stale {
            netlink.remove_link(&lease.link)?;
        }
        store.set_leases(&record.network.name, kept)?;
    }
    Ok(errors)
}

/// Opens the networks for a change. Removes the leases of containers that are gone, and
/// warns about containers that cannot be examined.
pub(crate) fn open_host(dir: &Path, own_run_dir: Option<&Path>) -> Result<Host> {
    let mut host = Host::open(dir)?;
    for error in remove_stale(&mut host, own_run_dir)? {
        kit::warn_error("the lease of another container stays", &error);
    }
    Ok(host)
}

/// Refuses to work if the host was changed in another network namespace, because the
/// changes can be undone only there. Forgets changes that a reboot has undone.
fn ensure_same_namespace(store: &mut NetworkStore) -> Result<()> {
    let current = NamespaceId::current()?;
    let noted = &store.changes().namespace;
    if *noted == current {
        return Ok(());
    }
    if noted.is_same_boot(&current) && store.has_to_undo() {
        let what =
            "the changes for these networks were made in another network namespace";
        let hint = format!(
            "run it there, or choose another --network-dir; if that namespace is \
             gone, or an older version made the changes and its containers have \
             ended, remove {}",
            store.dir().display()
        );
        return Err(Failure::new(what).hint(hint).into());
    }
    store.update_changes(|changes| *changes = HostChanges::in_namespace(current))
}

fn liveness_of(
    lease: &Lease,
    netlink: &mut Netlink,
    own_run_dir: Option<&Path>,
) -> Result<Liveness> {
    match &lease.run_dir {
        Some(run_dir) if Some(run_dir.as_path()) == own_run_dir => Ok(Liveness::Gone),
        Some(run_dir) => kit::liveness(run_dir, lease.runtime.as_ref())
            .with_context(|| format!("container {} may be alive", lease.id)),
        // An older version recorded no run directory. The kernel removes the link with
        // the container's network namespace.
        None if netlink.link(&lease.link)?.is_some() => Ok(Liveness::Alive),
        None => Ok(Liveness::Gone),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use kit::{Id, RunDir};

    use super::*;
    use crate::host_changes::SavedSysctl;

    #[test]
    fn a_lease_is_stale_when_its_run_directory_is_gone_or_the_next_container_has_it() {
        let scratch = tempfile::tempdir().unwrap();
        let run_dir = RunDir::create(scratch.path(), &Id::random().unwrap()).unwrap();
        let path = run_dir.path().to_owned();
        let lease = serde_json::from_value::<Lease>(serde_json::json!({
            "id": "0123456789ab", "run_dir": &path, "hostname": "web", "aliases": [],
            "addresses": [], "dns": [], "mac": "02:08:0a:00:00:02", "link": "veth0",
            "ports": [],
        }))
        .unwrap();
        let mut netlink = Netlink::open().unwrap();
        let mut liveness = |own_run_dir| liveness_of(&lease, &mut netlink, own_run_dir);
        assert_eq!(liveness(None).unwrap(), Liveness::Alive);
        assert_eq!(liveness(Some(&path)).unwrap(), Liveness::Gone);
        drop(run_dir);
        assert_eq!(liveness(None).unwrap(), Liveness::Gone);
        fs::write(&path, "").unwrap();
        assert!(liveness(None).is_err(), "a file is no run directory");
    }

    #[test]
    fn changes_of_an_earlier_boot_are_forgotten_and_those_of_another_namespace_are_not()
    {
        let scratch = tempfile::tempdir().unwrap();
        let mut store = NetworkStore::open(scratch.path()).unwrap();
        let current = NamespaceId::current().unwrap();
        let changed_id = |field: &str, value: &str| {
            let mut id = serde_json::to_value(&current).unwrap();
            id[field] = value.into();
            serde_json::from_value::<NamespaceId>(id).unwrap()
        };
        let (name, before) = ("ipv4/conf/eth0/forwarding".into(), "0".into());
        let sysctls = vec![SavedSysctl { name, before }];
        let mut check_after_changes_in = |namespace| {
            let sysctls = sysctls.clone();
            let changed =
                HostChanges { sysctls, ..HostChanges::in_namespace(namespace) };
            store.update_changes(|changes| *changes = changed).unwrap();
            let done = ensure_same_namespace(&mut store);
            (done.is_ok(), store.changes().sysctls.len())
        };
        assert_eq!(check_after_changes_in(current.clone()), (true, 1));
        assert_eq!(check_after_changes_in(changed_id("boot", "another")), (true, 0));
        assert_eq!(
            check_after_changes_in(changed_id("namespace", "cookie:1")),
            (false, 1)
        );
    }
}
