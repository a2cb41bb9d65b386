//! The picture of a container while it is made: the host and the container in it, as
//! each narrated call changes them.
//!
//! The picture is computed from the narration alone. `--explain=step` draws it as text,
//! and the book as boxes. It leaves out what no call has said, such as the links that
//! the host had before.

mod call;
mod cgroups;
mod files;
mod links;
mod mounts;
mod processes;

use std::fmt::{self, Display};

use crate::line::Line;
use call::Call;
use cgroups::Cgroups;
use files::Files;
use links::Links;
use mounts::Mounts;
use processes::Processes;

/// A box of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The host: what the runtime and every other process sees.
    Host,
    /// The container: what only its own processes see.
    Container,
}

/// A fact in the picture: `host name: crate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The box in which it stands.
    pub place: Place,
    /// The name of the fact, unique in its box.
    pub label: &'static str,
    /// The lines of its value. None if the fact is no longer true.
    pub values: Vec<String>,
}

/// The host and the container between two calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    processes: Processes,
    mounts: Mounts,
    cgroups: Cgroups,
    files: Files,
    links: Links,
}

impl Picture {
    /// Changes the picture by one call, and returns the fields that have changed. A call
    /// that has failed changes nothing.
    pub fn apply(&mut self, line: &Line) -> Vec<Field> {
        let before = self.fields();
        let call = Call::of(line);
        if !call.has_failed() {
            self.processes.apply(&call);
            self.mounts.apply(&call);
            self.cgroups.apply(&call);
            self.files.apply(&call);
            self.links.apply(&call);
        }
        changes(&before, &self.fields())
    }

    /// Returns what is in the picture, the host first. A box without fields is not there.
    pub fn fields(&self) -> Vec<Field> {
        let mut fields = [
            self.processes.fields(),
            self.mounts.fields(),
            self.cgroups.fields(),
            self.files.fields(),
            self.links.fields(),
        ]
        .concat();
        fields.retain(|field| !field.values.is_empty());
        if self.processes.has_ended() {
            // The kernel has freed the namespaces, and all that was in them.
            fields
                .retain(|field| field.place == Place::Host || field.label == "process");
        }
        // The sort is stable: in each box the order stays.
        fields.sort_by_key(|field| field.place == Place::Container);
        fields
    }

    /// Draws the picture as text. Lines that an earlier picture has not are marked.
    pub fn text(&self, earlier: &Picture) -> String {
        let earlier = earlier.fields();
        let mut text = String::new();
        let mut place = None;
        for field in self.fields() {
            if place.replace(field.place) != Some(field.place) {
                text += match field.place {
                    Place::Host => "host\n",
                    Place::Container => "└─ container\n",
                };
            }
            let indent = if field.place == Place::Container { "   " } else { "" };
            let old = earlier.iter().find(|it| it.is_same_fact(&field));
            let old = old.map(|it| &it.values[..]).unwrap_or_default();
            for (number, value) in field.values.iter().enumerate() {
                let label = if number == 0 { field.label } else { "" };
                let mark = if old.contains(value) { " " } else { "*" };
                text += &format!("{indent} {mark} {label:<22} {value}\n");
            }
        }
        text
    }
}

/// Returns the fields that are new or differ, and those that are gone, without values.
fn changes(before: &[Field], now: &[Field]) -> Vec<Field> {
    let changed = now.iter().filter(|field| !before.contains(field)).cloned();
    let gone = before.iter().filter(|old| !now.iter().any(|new| new.is_same_fact(old)));
    let gone = gone.map(|old| Field { values: Vec::new(), ..old.clone() });
    changed.chain(gone).collect()
}

impl Field {
    fn new(
        place: Place,
        label: &'static str,
        values: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let values = values.into_iter().map(Into::into);
        Field { place, label, values: values.filter(|it| !it.is_empty()).collect() }
    }

    fn is_same_fact(&self, other: &Field) -> bool {
        (self.place, self.label) == (other.place, other.label)
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Place::Host => "host",
            Place::Container => "container",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Caller;

    /// Parses lines as `--explain` prints them: `child sethostname(crate) = 0`.
    fn line(text: &str) -> Line {
        let (who, call) = text.split_once(' ').unwrap();
        let (call, result) = call.rsplit_once(" = ").unwrap();
        let (call, args) = call.trim_end_matches(')').split_once('(').unwrap();
        let who = match who {
            "parent" => Caller::Parent,
            "child" => Caller::Child,
            _ => Caller::Grandchild,
        };
        let [call, args, result] = [call, args, result].map(String::from);
        let (why, at) = (String::new(), String::new());
        Line { who, step: None, call, args, result, why, at }
    }

    /// Returns the values of a field once all these calls were made.
    fn after(calls: &[&str], place: Place, label: &str) -> Vec<String> {
        let mut picture = Picture::default();
        calls.iter().for_each(|call| drop(picture.apply(&line(call))));
        let mut fields = picture.fields();
        fields.retain(|field| field.place == place && field.label == label);
        fields.pop().map(|field| field.values).unwrap_or_default()
    }

    const CLONE: &str = "parent clone3(NEWNS|NEWUTS|NEWPID) = 901";

    #[test]
    fn a_clone_makes_the_container_and_its_name_is_its_own() {
        assert_eq!(Picture::default().fields().len(), 1, "only the runtime");
        let inside = |calls: &[&str], label| after(calls, Place::Container, label);
        assert_eq!(inside(&[CLONE], "own namespaces"), ["mnt, uts, pid"]);
        assert_eq!(
            inside(&[CLONE], "shared with the host"),
            ["user, ipc, cgroup, net, time"]
        );
        let named = [CLONE, "child sethostname(crate) = 0"];
        assert_eq!(inside(&named, "host name"), ["crate"]);
        let shared = ["parent clone3(no new namespace) = 901", named[1]];
        assert_eq!(after(&shared, Place::Host, "host name"), ["crate"]);
    }

    #[test]
    fn a_mount_is_attached_by_move_mount_and_gone_after_umount2() {
        let mounts = |calls: &[&str]| after(calls, Place::Container, "mounts");
        let private = "child mount(/, MS_REC|MS_PRIVATE) = 0";
        let mut calls = vec![
            CLONE,
            private,
            "child open_tree(./rootfs) = 6",
            "child mount_setattr(./rootfs, RDONLY) = 0",
        ];
        let detached = after(&calls, Place::Container, "not attached yet");
        assert_eq!(detached, ["./rootfs (RDONLY)"]);
        calls.push("child move_mount(./rootfs, ./rootfs) = 0");
        assert_eq!(mounts(&calls)[1], "./rootfs on ./rootfs (RDONLY)");
        calls.push("child pivot_root(., .) = 0");
        assert_eq!(mounts(&calls)[1], "./rootfs on / (RDONLY)");
        calls.push("child umount2(., MNT_DETACH) = 0");
        assert_eq!(mounts(&calls), ["./rootfs on / (RDONLY)"]);
    }

    #[test]
    fn a_cgroup_has_its_limits_and_its_process_until_it_is_removed() {
        let cgroups = |calls: &[&str]| after(calls, Place::Host, "cgroups");
        let mut calls = vec![
            "parent mkdir(/sys/fs/cgroup/kiste) = 0",
            "parent mkdir(/sys/fs/cgroup/kiste/1) = 0",
            "parent write(/sys/fs/cgroup/kiste/1/memory.max, 33554432) = 0",
            "parent open(/sys/fs/cgroup/kiste/1) = 4",
            "parent clone3(NEWPID|INTO_CGROUP) = 901",
        ];
        let limited = "/kiste/1: memory.max 33554432; the child is in it";
        assert_eq!(cgroups(&calls), ["/kiste", limited]);
        calls.push("parent rmdir(/sys/fs/cgroup/kiste/1) = 0");
        assert_eq!(cgroups(&calls), ["/kiste"]);
    }

    #[test]
    fn a_cable_has_an_end_on_the_host_and_one_in_the_container() {
        let calls = [
            "parent RTM_NEWLINK(kiste0, bridge) = 0",
            "parent RTM_NEWADDR(kiste0, 10.77.0.1/24) = 0",
            "parent clone3(NEWNET) = 901",
            "parent RTM_NEWLINK(veth1, veth; eth0 in the container's namespace) = 0",
            "parent RTM_SETLINK(veth1 into kiste0) = 0",
            "child RTM_SETLINK(eth0, IFF_UP) = 0",
        ];
        let host = ["kiste0: bridge, 10.77.0.1/24", "veth1: veth, in kiste0"];
        assert_eq!(after(&calls, Place::Host, "links"), host);
        assert_eq!(after(&calls, Place::Container, "links"), ["lo", "eth0: veth, up"]);
        let removed = [&calls[..], &["parent RTM_DELLINK(veth1) = 0"]].concat();
        assert_eq!(after(&removed, Place::Container, "links"), ["lo"]);
    }

    #[test]
    fn after_its_end_only_the_process_is_in_the_container() {
        let mut picture = Picture::default();
        picture.apply(&line(CLONE));
        picture.apply(&line("child execve(/bin/true) = …"));
        let changed = picture.apply(&line("parent waitid(901) = exited 0"));
        assert!(changed.iter().any(|it| it.label == "own namespaces"), "{changed:?}");
        let fields = picture.fields();
        let inside: Vec<_> =
            fields.iter().filter(|it| it.place == Place::Container).collect();
        assert_eq!(inside.len(), 1);
        assert!(inside[0].values[0].contains("exited 0"), "{inside:?}");
    }

    #[test]
    fn a_call_that_has_failed_changes_nothing() {
        let mut picture = Picture::default();
        picture.apply(&line(CLONE));
        let failed = line("child fsmount(sysfs) = Operation not permitted (EPERM)");
        assert_eq!(picture.apply(&failed), []);
    }

    #[test]
    fn a_new_line_is_marked_in_the_text() {
        let mut picture = Picture::default();
        picture.apply(&line(CLONE));
        let before = picture.clone();
        picture.apply(&line("child sethostname(crate) = 0"));
        let text = picture.text(&before);
        let marked: Vec<_> = text.lines().filter(|line| line.contains('*')).collect();
        assert_eq!(marked, ["    * host name              crate"]);
        assert!(text.contains("\n└─ container\n"), "{text}");
    }
}
