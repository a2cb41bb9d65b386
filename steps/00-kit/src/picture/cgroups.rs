//! The cgroups that the runtime makes, and the container's view of them.

use super::call::Call;
use super::{Field, Place};

/// The directory of all cgroups.
const MOUNT: &str = "/sys/fs/cgroup";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroups {
    cgroups: Vec<Cgroup>,
    /// The cgroup that was opened for clone3.
    opened: Option<String>,
    view: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Cgroup {
    path: String,
    /// The files that were written, and their values.
    files: Vec<(String, String)>,
    has_child: bool,
}

impl Cgroups {
    pub fn apply(&mut self, call: &Call<'_>) {
        match call.name {
            "unshare" if call.arg(0).contains("NEWCGROUP") => {
                self.view = Some("its own cgroup is the topmost that it sees");
            }
            "clone3" if call.is_on_host() && call.arg(0).contains("INTO_CGROUP") => {
                let opened = self.opened.take();
                self.enter(&opened.unwrap_or_default());
            }
            _ => {
                if let Some(path) = call.arg(0).strip_prefix(MOUNT) {
                    self.apply_to(path, call);
                }
            }
        }
    }

    fn apply_to(&mut self, path: &str, call: &Call<'_>) {
        match call.name {
            "mkdir" => {
                let (path, files) = (path.to_string(), Vec::new());
                self.cgroups.push(Cgroup { path, files, has_child: false });
            }
            "rmdir" => self.cgroups.retain(|cgroup| cgroup.path != path),
            "open" => self.opened = Some(path.to_string()),
            "write" => {
                let Some((path, file)) = path.rsplit_once('/') else { return };
                match file {
                    "cgroup.procs" | "tasks" => self.enter(path),
                    // The file is an order, and keeps nothing.
                    "cgroup.kill" => {}
                    _ => self.write(path, file, call.rest(1)),
                }
            }
            _ => {}
        }
    }

    fn enter(&mut self, path: &str) {
        if let Some(cgroup) = self.cgroups.iter_mut().find(|it| it.path == path) {
            cgroup.has_child = true;
        }
    }

    fn write(&mut self, path: &str, file: &str, value: String) {
        let cgroup = self.cgroups.iter_mut().find(|it| it.path == path);
        let Some(cgroup) = cgroup else { return };
        match cgroup.files.iter_mut().find(|(known, _)| known == file) {
            // A write adds a controller to those that were enabled before.
            Some((_, old)) if value.starts_with('+') => *old += &format!(" {value}"),
            Some((_, old)) => *old = value,
            None => cgroup.files.push((file.into(), value)),
        }
    }

    pub fn fields(&self) -> Vec<Field> {
        vec![
            Field::new(Place::Host, "cgroups", self.cgroups.iter().map(Cgroup::shown)),
            Field::new(Place::Container, "cgroup", self.view),
        ]
    }
}

impl Cgroup {
    fn shown(&self) -> String {
        let files = self.files.iter().map(|(file, value)| format!("{file} {value}"));
        let child = self.has_child.then(|| "the child is in it".to_string());
        let facts: Vec<_> = files.chain(child).collect();
        match facts.is_empty() {
            true => self.path.clone(),
            false => format!("{}: {}", self.path, facts.join("; ")),
        }
    }
}
