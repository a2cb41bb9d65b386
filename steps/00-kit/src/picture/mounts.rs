//! The mounts of the container.

use super::call::Call;
use super::{Field, Place};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    /// The mounts of a new mount namespace, which the clone has copied from the host's.
    copied: Option<&'static str>,
    detached: Vec<Mount>,
    attached: Vec<Mount>,
    devices: Vec<String>,
    root: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    source: String,
    /// The mount point, once it is attached. Before that, the box of its maker.
    target: Result<String, Place>,
    attributes: String,
}

impl Mounts {
    pub fn apply(&mut self, call: &Call<'_>) {
        match call.name {
            "clone3" if call.is_on_host() && call.arg(0).contains("NEWNS") => {
                self.copied = Some("a copy of the host's");
                self.root = Some("the host's".into());
            }
            "mount" if call.arg(1).contains("MS_PRIVATE") => {
                self.copied = Some("a copy of the host's, private to the container");
            }
            "mount" if call.arg(1).contains("MS_SLAVE") => {
                self.copied = Some("a copy of the host's, which follows later ones");
            }
            "fsmount" | "open_tree" => self.make(call),
            "mount_setattr" => self.set_attributes(call),
            "move_mount" => self.attach(call),
            "mknodat" => self.devices.push(call.arg(0).into()),
            "pivot_root" | "chroot" => self.change_root(),
            "umount2" => self.unmount(call.arg(0)),
            _ => {}
        }
    }

    fn make(&mut self, call: &Call<'_>) {
        let place = if call.is_on_host() { Place::Host } else { Place::Container };
        let source = match call.arg(0) {
            "overlay" if call.arg(1) == "1 layers" => "overlay of 1 layer".into(),
            "overlay" => format!("overlay of {}", call.rest(1)),
            source => source.to_string(),
        };
        self.detached.push(Mount {
            source,
            target: Err(place),
            attributes: String::new(),
        });
    }

    fn set_attributes(&mut self, call: &Call<'_>) {
        let found = self.detached.iter_mut().rev();
        let mut found = found.filter(|mount| mount.is_called(call.arg(0)));
        if let Some(mount) = found.next() {
            let separator = if mount.attributes.is_empty() { "" } else { "|" };
            mount.attributes += &format!("{separator}{}", call.rest(1));
        }
    }

    fn attach(&mut self, call: &Call<'_>) {
        let target = call.arg(1).to_string();
        let at = self.detached.iter().position(|mount| mount.is_called(call.arg(0)));
        let mut mount = match at {
            Some(at) => self.detached.remove(at),
            None => Mount {
                source: call.arg(0).into(),
                target: Ok(String::new()),
                attributes: String::new(),
            },
        };
        mount.target = Ok(target);
        self.attached.push(mount);
    }

    /// Makes the first mount, which is the new root, the root of the others.
    fn change_root(&mut self) {
        if let Some(root) = self.attached.first_mut() {
            self.root = Some(root.source.clone());
            root.target = Ok("/".into());
            self.copied = self.copied.map(|_| "the host's, covered by the new root");
        }
    }

    fn unmount(&mut self, target: &str) {
        if target == "." {
            self.copied = None;
            return;
        }
        let is_at = |mount: &Mount| mount.target.as_deref() == Ok(target);
        if let Some(at) = self.attached.iter().rposition(is_at) {
            self.attached.remove(at);
        }
    }

    pub fn fields(&self) -> Vec<Field> {
        let copied = self.copied.map(str::to_string);
        let attached = self.attached.iter().map(Mount::shown);
        let detached = |place| {
            let made = self.detached.iter().filter(move |it| it.target == Err(place));
            Field::new(place, "not attached yet", made.map(Mount::shown))
        };
        let inside = Place::Container;
        vec![
            detached(Place::Host),
            Field::new(inside, "root directory", self.root.clone()),
            Field::new(inside, "mounts", copied.into_iter().chain(attached)),
            detached(inside),
            Field::new(inside, "device nodes", [self.devices.join(", ")]),
        ]
    }
}

impl Mount {
    fn is_called(&self, name: &str) -> bool {
        self.source == name || self.source.starts_with("overlay") && name == "overlay"
    }

    fn shown(&self) -> String {
        let mut shown = self.source.clone();
        if let Ok(target) = &self.target {
            shown += &format!(" on {target}");
        }
        if !self.attributes.is_empty() {
            shown += &format!(" ({})", self.attributes);
        }
        shown
    }
}
