//! /etc/resolv.conf: whom a container asks for names. See resolv.conf(5).

use std::fs;
use std::net::IpAddr;

/// What /etc/resolv.conf says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolv {
    /// Whom it asks.
    pub servers: Vec<IpAddr>,
    /// What is appended to short names.
    pub search: Vec<String>,
    /// `ndots:0` and the like.
    pub options: Vec<String>,
    /// Why there is nobody to ask, where that is so; told in the file.
    pub note: Option<&'static str>,
}

const OF_HOST: &str = "/etc/resolv.conf";
/// systemd-resolved(8): the servers that its own 127.0.0.53 asks.
const OF_RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

const NOBODY: &str = "the host asks only itself (127.0.0.x), where a container does not reach it: --dns IP";

impl Resolv {
    /// The host's own, as it is: for who shares its network and can ask a server on its
    /// loopback.
    pub fn of_host() -> Self {
        fs::read_to_string(OF_HOST).map(|text| Resolv::parse(&text)).unwrap_or_default()
    }

    /// The host's, for a container with a network of its own, which has a loopback of
    /// its own: a server on the host's (127.0.0.53) is left out. Where no other is
    /// left, those of systemd-resolved.
    pub fn for_container() -> Self {
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        Resolv::reachable(&text(OF_HOST), || text(OF_RESOLVED))
    }

    fn reachable(of_host: &str, of_resolved: impl FnOnce() -> String) -> Self {
        let mut host = Resolv::parse(of_host).without_loopback();
        if host.servers.is_empty() {
            let resolved = Resolv::parse(&of_resolved()).without_loopback();
            host.servers = resolved.servers;
        }
        host.note = host.servers.is_empty().then_some(NOBODY);
        host
    }

    /// With somebody to ask where nobody is.
    pub(crate) fn or_ask(mut self, server: IpAddr) -> Self {
        if self.servers.is_empty() {
            (self.servers, self.note) = (vec![server], None);
        }
        self
    }

    /// With what `--dns` and `--dns-search` say instead; each only where it was given.
    pub fn with(mut self, servers: &[IpAddr], search: &[String]) -> Self {
        if !servers.is_empty() {
            (self.servers, self.note) = (servers.into(), None);
        }
        if !search.is_empty() {
            self.search =
                // ".": none
                search.iter().filter(|domain| *domain != ".").cloned().collect();
        }
        self
    }

    /// For a network whose responder listens at `gateways`: it is asked, and knows whom
    /// to ask in turn. A name without a dot is asked for as it is first, since
    /// containers have such names.
    pub fn at_responder(self, gateways: &[IpAddr]) -> Self {
        Resolv {
            servers: gateways.into(),
            options: vec!["ndots:0".into()],
            note: None,
            ..self
        }
    }

    /// Reads what resolv.conf(5) describes. What is not understood is left out, as the
    /// C library does.
    pub(crate) fn parse(text: &str) -> Self {
        let mut resolv = Resolv::default();
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => resolv
                    .servers
                    .extend(words.next().and_then(|it| it.parse::<IpAddr>().ok())),
                Some("search" | "domain") => {
                    resolv.search = words.map(String::from).collect()
                }
                Some("options") => resolv.options.extend(words.map(String::from)),
                _ => {}
            }
        }
        resolv
    }

    fn without_loopback(mut self) -> Self {
        let is_loopback = |address: &IpAddr| address.to_canonical().is_loopback();
        self.servers.retain(|server| !is_loopback(server) && !server.is_unspecified());
        // resolved's `edns0 trust-ad` are about its own stub.
        self.options.retain(|option| option != "trust-ad");
        self
    }

    /// The file.
    pub(crate) fn text(&self) -> String {
        let lines = |name: &str, words: &[String]| match words {
            [] => String::new(),
            words => format!("{name} {}\n", words.join(" ")),
        };
        let servers =
            self.servers.iter().map(|server| format!("nameserver {server}\n"));
        let note = self.note.map(|note| format!("# {note}\n"));
        let search = lines("search", &self.search) + &lines("options", &self.options);
        note.into_iter().chain(servers).chain([search]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUB: &str =
        "# managed\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n";

    fn for_container(of_host: &str, of_resolved: &str) -> String {
        Resolv::reachable(of_host, || of_resolved.into()).text()
    }

    #[test]
    fn a_server_on_the_hosts_loopback_is_never_passed_on() {
        let text = for_container(
            STUB,
            "nameserver 192.0.2.53\nnameserver 127.0.0.1\nsearch other\n",
        );
        assert_eq!(text, "nameserver 192.0.2.53\nsearch lan\noptions edns0\n");
        for loopback in
            ["127.0.0.53", "127.1.2.3", "::1", "::ffff:127.0.0.1", "0.0.0.0"]
        {
            let text = for_container(
                &format!("nameserver {loopback}\nnameserver 192.0.2.1\n"),
                "",
            );
            assert_eq!(text, "nameserver 192.0.2.1\n", "{loopback}");
        }
    }

    #[test]
    fn where_nobody_is_left_to_ask_the_file_says_so() {
        assert_eq!(
            for_container(STUB, ""),
            format!("# {NOBODY}\nsearch lan\noptions edns0\n")
        );
    }

    #[test]
    fn what_was_asked_for_replaces_the_hosts() {
        let host =
            || Resolv::reachable("nameserver 192.0.2.1\nsearch lan\n", String::new);
        let dns = ["192.0.2.7".parse().unwrap()];
        assert_eq!(host().with(&dns, &[]).text(), "nameserver 192.0.2.7\nsearch lan\n");
        assert_eq!(
            host().with(&[], &["a".into(), "b".into()]).text(),
            "nameserver 192.0.2.1\nsearch a b\n"
        );
        assert_eq!(host().with(&[], &[".".into()]).text(), "nameserver 192.0.2.1\n");
        let gateway = ["10.0.0.1".parse().unwrap()];
        assert_eq!(
            host().at_responder(&gateway).text(),
            "nameserver 10.0.0.1\nsearch lan\noptions ndots:0\n"
        );
    }
}
