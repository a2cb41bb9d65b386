//! The links of the host and of the container, with their addresses, and what the
//! runtime changes beside them.

use super::call::Call;
use super::{Field, Place};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    links: Vec<Link>,
    routes: Vec<(Place, String)>,
    ports: Vec<String>,
    tables: Vec<String>,
    settings: Vec<(Place, String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Link {
    place: Place,
    name: String,
    facts: Vec<String>,
    /// The other end, if the link is a cable into the container.
    peer: Option<String>,
}

impl Links {
    pub fn apply(&mut self, call: &Call<'_>) {
        let place = if call.is_on_host() { Place::Host } else { Place::Container };
        match call.name {
            "clone3" if call.is_on_host() && call.arg(0).contains("NEWNET") => {
                self.add(Place::Container, "lo", &[], None);
            }
            "RTM_NEWLINK" => self.new_link(place, call),
            "RTM_NEWADDR" => self.note(place, call.arg(0), call.arg(1)),
            "RTM_SETLINK" => match call.arg(0).split_once(" into ") {
                Some((name, bridge)) => self.note(place, name, &format!("in {bridge}")),
                None if call.arg(1) == "IFF_UP" => self.note(place, call.arg(0), "up"),
                None => {}
            },
            "RTM_DELLINK" => self.remove(call.arg(0)),
            "RTM_NEWROUTE" => self.routes.push((place, call.args.join(", "))),
            "bind" => self.ports.push(call.arg(0).into()),
            "nf_tables" => self.change_table(call),
            "write" => {
                if let Some(name) = call.arg(0).strip_prefix("/proc/sys/") {
                    self.settings.retain(|(_, known, _)| known != name);
                    self.settings.push((place, name.into(), call.rest(1)));
                }
            }
            _ => {}
        }
    }

    /// Adds a link, or a fact to one that there is: `RTM_NEWLINK(veth1, hairpin)`.
    fn new_link(&mut self, place: Place, call: &Call<'_>) {
        let (name, kind) = (call.arg(0), call.arg(1));
        match kind.split_once("; ") {
            Some((kind, peer)) => {
                let peer = peer.split(' ').next().unwrap_or_default();
                self.add(place, name, &[kind], Some(peer));
                self.add(Place::Container, peer, &[kind], None);
            }
            None if self.links.iter().any(|it| it.name == name) => {
                self.note(place, name, kind);
            }
            None => self.add(place, name, &[kind], None),
        }
    }

    fn add(&mut self, place: Place, name: &str, facts: &[&str], peer: Option<&str>) {
        let facts = facts.iter().map(ToString::to_string).collect();
        let (name, peer) = (name.to_string(), peer.map(str::to_string));
        self.links.push(Link { place, name, facts, peer });
    }

    fn note(&mut self, place: Place, name: &str, fact: &str) {
        let links = self.links.iter_mut();
        let mut links = links.filter(|it| it.place == place && it.name == name);
        if let Some(link) =
            links.next().filter(|it| !it.facts.iter().any(|it| it == fact))
        {
            link.facts.push(fact.into());
        }
    }

    /// Removes a link, and the other end of a cable with it.
    fn remove(&mut self, name: &str) {
        let Some(at) = self.links.iter().position(|it| it.name == name) else { return };
        let peer = self.links.remove(at).peer;
        self.settings.retain(|(_, setting, _)| !setting.contains(&format!("/{name}/")));
        self.links
            .retain(|it| it.place == Place::Host || Some(&it.name) != peer.as_ref());
    }

    fn change_table(&mut self, call: &Call<'_>) {
        match call.arg(0).strip_prefix("delete ") {
            Some(table) => self.tables.retain(|it| {
                it.split(':').next() != Some(table.trim_start_matches("table "))
            }),
            None => {
                let table = call.arg(0).trim_start_matches("table ");
                let rules = call.rest(1);
                self.tables.retain(|it| it.split(':').next() != Some(table));
                self.tables.push(format!("{table}: {rules}"));
            }
        }
    }

    pub fn fields(&self) -> Vec<Field> {
        let in_place = |place| {
            let links = self.links.iter().filter(move |it| it.place == place);
            let routes = self.routes.iter().filter(move |it| it.0 == place);
            let settings = self.settings.iter().filter(move |it| it.0 == place);
            [
                Field::new(place, "links", links.map(Link::shown)),
                Field::new(place, "routes", routes.map(|(_, route)| route.clone())),
                Field::new(
                    place,
                    "settings",
                    settings.map(|(_, name, value)| format!("{name} = {value}")),
                ),
            ]
        };
        let ports = Field::new(Place::Host, "reserved ports", self.ports.clone());
        let tables = Field::new(Place::Host, "nf_tables", self.tables.clone());
        let beside = [ports, tables];
        in_place(Place::Host)
            .into_iter()
            .chain(beside)
            .chain(in_place(Place::Container))
            .collect()
    }
}

impl Link {
    fn shown(&self) -> String {
        match self.facts.is_empty() {
            true => self.name.clone(),
            false => format!("{}: {}", self.name, self.facts.join(", ")),
        }
    }
}
