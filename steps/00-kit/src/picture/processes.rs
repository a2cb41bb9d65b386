//! The processes, and the namespaces that the container's own have.

use super::call::Call;
use super::{Field, Place};
use crate::line::Caller;

/// The kinds of namespaces, as /proc/PID/ns calls them, and the flags of clone3(2).
const KINDS: [(&str, &str); 8] = [
    ("user", "NEWUSER"),
    ("mnt", "NEWNS"),
    ("uts", "NEWUTS"),
    ("ipc", "NEWIPC"),
    ("pid", "NEWPID"),
    ("cgroup", "NEWCGROUP"),
    ("net", "NEWNET"),
    ("time", "NEWTIME"),
];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processes {
    helpers: Vec<String>,
    child: Option<Process>,
    grandchild: Option<Process>,
    /// The kinds of the container's own namespaces.
    own: Vec<&'static str>,
    /// The name that was set, and the box in which every process sees it.
    names: Vec<(Place, &'static str, String)>,
    /// The user ids, group ids and rights.
    ids: Vec<(&'static str, String)>,
    /// The child's ties to the runtime and to a terminal.
    job: Vec<&'static str>,
    open_files: &'static str,
    has_ended: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Process {
    program: String,
    id: String,
}

impl Processes {
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    pub fn apply(&mut self, call: &Call<'_>) {
        match (call.name, call.who) {
            ("clone3", Caller::Parent) => self.clone_child(call),
            ("clone3", _) => {
                let id = format!("process {} of its PID namespace", call.result);
                let program = "a copy of the init".into();
                self.grandchild = Some(Process { program, id });
            }
            ("unshare", _) => {
                self.own.extend(kinds(&call.args.join("|").replace("CLONE_", "")));
                self.own.dedup();
            }
            ("execve", Caller::Parent) => self.helpers.push(call.rest(1)),
            // The DNS responder ends when no container uses its bridge.
            ("RTM_DELLINK", _) if !call.arg(0).starts_with("veth") => {
                self.helpers.clear();
            }
            ("execve", who) => {
                let process = match who {
                    Caller::Grandchild => &mut self.grandchild,
                    _ => &mut self.child,
                };
                if let Some(process) = process {
                    process.program = format!("the command {}", call.arg(0));
                }
            }
            ("waitid", Caller::Parent) => self.end(call.result),
            ("sethostname", _) => self.name("host name", call),
            ("setdomainname", _) => self.name("domain name", call),
            ("write", _) if call.arg(0).ends_with("/uid_map") => {
                self.set_id("user ids", id_map(call.arg(1)));
            }
            ("write", _) if call.arg(0).ends_with("/gid_map") => {
                self.set_id("group ids", id_map(call.arg(1)));
            }
            ("write", _) if call.arg(0).ends_with("/setgroups") => {
                self.set_id("setgroups", call.arg(1).into());
            }
            ("setresuid", _) => self.set_id("runs as user", call.arg(0).into()),
            ("setresgid", _) => self.set_id("runs as group", call.arg(0).into()),
            ("setgroups", _) => {
                let groups = call.args.join(", ");
                self.set_id("other groups", groups.trim_matches(['[', ']']).into());
            }
            ("keyctl", _) => self.set_id("session keyring", "a new one".into()),
            ("prctl", Caller::Child) if call.arg(0) == "PR_SET_PDEATHSIG" => {
                self.tie("is killed when the runtime ends");
            }
            ("setpgid", _) => self.tie("has a process group of its own"),
            ("tcsetpgrp", _) => self.tie("has the foreground of the caller's terminal"),
            ("setsid", _) => self.tie("has a session of its own, without a terminal"),
            ("ioctl", _) if call.arg(0) == "TIOCSCTTY" => {
                self.job.retain(|tie| !tie.ends_with("without a terminal"));
                self.tie("has a session and a terminal of its own");
            }
            ("close_range", _) => {
                self.open_files = "the standard streams and the channel"
            }
            _ => {}
        }
    }

    fn clone_child(&mut self, call: &Call<'_>) {
        self.own = kinds(call.arg(0)).collect();
        let inside = match self.own.contains(&"pid") {
            true => ", and 1 of its own PID namespace",
            false => "",
        };
        let id = format!("process {} of the host{inside}", call.result);
        self.child = Some(Process { program: "a copy of the runtime".into(), id });
        self.open_files = "copies of the runtime's";
        if self.own.contains(&"uts") {
            self.names.push((
                Place::Container,
                "host name",
                "a copy of the host's".into(),
            ));
        }
        if self.own.contains(&"user") {
            self.ids.push(("user ids", "none is mapped".into()));
        }
    }

    fn end(&mut self, how: &str) {
        if let Some(child) = &mut self.child {
            child.program = format!("{how}; its namespaces have ended with it");
            self.job.clear();
            self.has_ended = true;
        }
    }

    fn name(&mut self, label: &'static str, call: &Call<'_>) {
        let place = match self.own.contains(&"uts") {
            true => Place::Container,
            false => Place::Host,
        };
        self.names.retain(|(.., old, _)| *old != label);
        self.names.push((place, label, call.arg(0).into()));
    }

    fn set_id(&mut self, label: &'static str, value: String) {
        match self.ids.iter_mut().find(|(known, _)| *known == label) {
            Some((_, old)) => *old = value,
            None => self.ids.push((label, value)),
        }
    }

    fn tie(&mut self, how: &'static str) {
        if !self.job.contains(&how) {
            self.job.push(how);
        }
    }

    pub fn fields(&self) -> Vec<Field> {
        let runtime = std::iter::once("the runtime".to_string());
        let running = runtime.chain(self.helpers.clone());
        let names = self.names.iter();
        let names = names.map(|(place, label, name)| Field::new(*place, label, [name]));
        let mut fields = vec![Field::new(Place::Host, "processes", running)];
        let Some(child) = &self.child else { return fields };
        let inside =
            |label, values: Vec<String>| Field::new(Place::Container, label, values);
        let shared = KINDS.map(|(kind, _)| kind);
        let shared = shared.into_iter().filter(|kind| !self.own.contains(kind));
        let shared: Vec<_> = shared.collect();
        let lines =
            |process: &Process| vec![process.program.clone(), process.id.clone()];
        let grandchild = self.grandchild.as_ref().map(lines).unwrap_or_default();
        let job = self.job.iter().map(ToString::to_string);
        fields.push(inside("process", lines(child).into_iter().chain(job).collect()));
        fields.push(inside("its child", grandchild));
        fields.push(inside("open files", vec![self.open_files.to_string()]));
        fields.push(inside("own namespaces", vec![self.own.join(", ")]));
        fields.push(inside("shared with the host", vec![shared.join(", ")]));
        fields.extend(
            self.ids.iter().map(|(label, value)| inside(label, vec![value.clone()])),
        );
        fields.extend(names);
        fields
    }
}

/// Returns the kinds of namespaces among flags such as `NEWUTS|INTO_CGROUP`.
fn kinds(flags: &str) -> impl Iterator<Item = &'static str> {
    let flags: Vec<_> = flags.split('|').map(str::to_string).collect();
    KINDS
        .into_iter()
        .filter(move |(_, flag)| flags.iter().any(|it| it == flag))
        .map(|(kind, _)| kind)
}

/// Says what a line of uid_map means: user_namespaces(7).
fn id_map(map: &str) -> String {
    match map.split_whitespace().collect::<Vec<_>>()[..] {
        [inside, outside, "1"] => format!("{inside} inside is {outside} outside"),
        [inside, outside, count] => {
            format!(
                "from {inside} inside, {count} ids are those from {outside} outside"
            )
        }
        _ => map.to_string(),
    }
}
