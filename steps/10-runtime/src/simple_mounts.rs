//! The ordinary mounts of config.json, and /proc, /sys and /dev as every container of
//! Kiste has them.

use std::path::Path;

use kit::Result;
use mount::{AttributeChange, Attributes, Recursion, Request, Source};
use oci_spec::runtime::{Mount, Spec};

/// Returns the bind mounts and the file systems in memory outside /proc, /sys and /dev.
pub(crate) fn requests(spec: &Spec, bundle: &Path) -> Result<Vec<Request>> {
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let is_default = |it: &&Mount| {
        pivot_root::MOUNT_POINTS.iter().any(|point| it.destination().starts_with(point))
    };
    Ok(mounts
        .iter()
        .filter(|it| !is_default(it))
        .filter_map(|it| request(it, bundle))
        .collect())
}

fn request(mount: &Mount, bundle: &Path) -> Option<Request> {
    let options = mount.options().as_deref().unwrap_or_default();
    let has = |name: &str| options.iter().any(|it| it == name);
    let mut set = Attributes::empty();
    for (name, attribute) in [
        ("ro", Attributes::MOUNT_ATTR_RDONLY),
        ("nosuid", Attributes::MOUNT_ATTR_NOSUID),
        ("nodev", Attributes::MOUNT_ATTR_NODEV),
        ("noexec", Attributes::MOUNT_ATTR_NOEXEC),
    ] {
        set.set(attribute, has(name));
    }
    let source = if has("bind") || has("rbind") {
        let recursion =
            if has("rbind") { Recursion::Recursive } else { Recursion::Alone };
        Source::Bind(bundle.join(mount.source().as_ref()?).into(), recursion)
    } else {
        let data = options.iter().filter_map(|it| it.split_once('='));
        Source::New {
            kind: mount.typ().clone()?,
            options: data.map(|(key, value)| (key.into(), value.into())).collect(),
        }
    };
    let attributes = AttributeChange::from(set);
    Some(Request {
        source,
        target: Path::new("/").join(mount.destination()),
        attributes,
    })
}
