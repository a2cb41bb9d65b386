//! /etc/resolv.conf: the DNS servers that a container asks. See resolv.conf(5).

use std::fs;
use std::net::IpAddr;

use super::name_server::NameServer;

/// The contents of /etc/resolv.conf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// The DNS servers.
    pub servers: Vec<NameServer>,
    /// The search domains, which are appended to short names.
    pub search: Vec<String>,
    /// `ndots:0` and the like.
    pub options: Vec<String>,
    /// The options that were asked for. If there are any, they replace all others.
    pub own_options: Vec<String>,
    /// A comment that says why there are no servers.
    pub comment: Option<&'static str>,
}

/// The domain in which the responder knows the containers of its network: `internal` is
/// reserved for private use.
pub(crate) const NETWORK_DOMAIN: &str = "kiste.internal";

const HOST_FILE: &str = "/etc/resolv.conf";
/// The servers that systemd-resolved(8) forwards to; the host's own file has only its
/// 127.0.0.53.
const RESOLVED_FILE: &str = "/run/systemd/resolve/resolv.conf";

const NO_SERVERS: &str = "the host's DNS server listens on 127.0.0.x or a link-local address only, which a container cannot reach: use --dns IP";

impl ResolvConf {
    /// Reads the host's file as it is, for a container on the host's network: such
    /// a container reaches a server on the host's loopback.
    pub fn read_host_file() -> Self {
        fs::read_to_string(HOST_FILE)
            .map(|text| ResolvConf::parse(&text))
            .unwrap_or_default()
    }

    /// Reads the host's file for a container with its own loopback, without the servers
    /// on the host's loopback and at link-local addresses. If no other server is left,
    /// the servers of systemd-resolved take their place.
    pub fn read_for_container() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        ResolvConf::parse_without_loopback(&read(HOST_FILE), || read(RESOLVED_FILE))
    }

    fn parse_without_loopback(
        host_text: &str,
        resolved_text: impl FnOnce() -> String,
    ) -> Self {
        let mut host = ResolvConf::parse(host_text).without_loopback();
        if host.servers.is_empty() {
            let resolved = ResolvConf::parse(&resolved_text()).without_loopback();
            host.servers = resolved.servers;
        }
        host.comment = host.servers.is_empty().then_some(NO_SERVERS);
        host
    }

    /// Adds a server if there is none.
    pub(crate) fn with_fallback(self, server: IpAddr) -> Self {
        let servers =
            if self.servers.is_empty() { vec![server.into()] } else { vec![] };
        self.with_options(&servers, &[])
    }

    /// Replaces the servers by those of `--dns` and the domains by those of
    /// `--dns-search`, where there are any.
    pub fn with_options(mut self, servers: &[NameServer], search: &[String]) -> Self {
        if !servers.is_empty() {
            (self.servers, self.comment) = (servers.into(), None);
        }
        if !search.is_empty() {
            // "." means no domain at all.
            let is_domain = |domain: &&String| *domain != ".";
            self.search = search.iter().filter(is_domain).cloned().collect();
        }
        self
    }

    /// Replaces the servers by the network's responder, which listens at `gateways` and
    /// forwards to the replaced servers.
    ///
    /// A container's name is found before a name in one of the domains. So the
    /// network's domain is the first. `ndots:0` has the same effect without that
    /// domain, but makes musl ignore all domains, so it is used only if there are none.
    pub fn with_responder(mut self, gateways: &[IpAddr]) -> Self {
        if self.search.is_empty() {
            // With no-tld-query, names without a dot are not asked for.
            self.options.retain(|it| !it.starts_with("ndots:") && it != "no-tld-query");
            self.options.push("ndots:0".into());
        } else {
            self.search.insert(0, NETWORK_DOMAIN.into());
        }
        ResolvConf {
            servers: gateways.iter().copied().map(NameServer::from).collect(),
            comment: None,
            ..self
        }
    }

    /// Parses a file as resolv.conf(5) describes it. As the C library does, it ignores
    /// everything else.
    pub(crate) fn parse(text: &str) -> Self {
        let mut parsed = ResolvConf::default();
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server: Option<NameServer> =
                        words.next().and_then(|word| word.parse().ok());
                    parsed.servers.extend(server);
                }
                Some("search" | "domain") => {
                    parsed.search = words.map(String::from).collect();
                }
                Some("options") => parsed.options.extend(words.map(String::from)),
                _ => {}
            }
        }
        parsed
    }

    fn without_loopback(mut self) -> Self {
        let is_loopback = |address: &IpAddr| address.to_canonical().is_loopback();
        self.servers.retain(|server| {
            !is_loopback(&server.ip)
                && !server.ip.is_unspecified()
                && !server.is_link_local()
        });
        // resolved writes trust-ad for its own 127.0.0.53 only.
        self.options.retain(|option| option != "trust-ad");
        self
    }

    /// The text of the file.
    pub(crate) fn text(&self) -> String {
        let line = |name: &str, words: &[String]| match words {
            [] => String::new(),
            words => format!("{name} {}\n", words.join(" ")),
        };
        let mut text =
            self.comment.map_or(String::new(), |comment| format!("# {comment}\n"));
        for server in &self.servers {
            text += &format!("nameserver {server}\n");
        }
        let options = match &self.own_options[..] {
            [] => &self.options,
            own => own,
        };
        text + &line("search", &self.search) + &line("options", options)
    }
}

/// Parses an option of the resolver: `ndots:2`. A space or a newline in it would add an
/// option or a line to the file.
///
/// # Errors
/// A message for the user, when it is no option.
pub fn resolver_option(text: &str) -> Result<String, String> {
    match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.into()),
        false => Err(format!("{text:?} is no option of a resolver: ndots:2")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUB: &str =
        "# managed\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n";

    fn for_container(host_text: &str, resolved_text: &str) -> String {
        ResolvConf::parse_without_loopback(host_text, || resolved_text.into()).text()
    }

    #[test]
    fn a_server_on_the_hosts_loopback_is_left_out() {
        let text = for_container(
            STUB,
            "nameserver 192.0.2.53\nnameserver 127.0.0.1\nsearch other\n",
        );
        assert_eq!(text, "nameserver 192.0.2.53\nsearch lan\noptions edns0\n");
        for loopback in [
            "127.0.0.53",
            "127.1.2.3",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "fe80::1%lo",
        ] {
            let text = for_container(
                &format!("nameserver {loopback}\nnameserver 192.0.2.1\n"),
                "",
            );
            assert_eq!(text, "nameserver 192.0.2.1\n", "{loopback}");
        }
    }

    #[test]
    fn a_file_without_servers_says_why() {
        assert_eq!(
            for_container(STUB, ""),
            format!("# {NO_SERVERS}\nsearch lan\noptions edns0\n")
        );
    }

    #[test]
    fn options_replace_the_hosts_servers_and_domains() {
        let host = || {
            ResolvConf::parse_without_loopback(
                "nameserver 192.0.2.1\nsearch lan\n",
                String::new,
            )
        };
        let dns = ["192.0.2.7".parse().unwrap()];
        assert_eq!(
            host().with_options(&dns, &[]).text(),
            "nameserver 192.0.2.7\nsearch lan\n"
        );
        assert_eq!(
            host().with_options(&[], &["a".into(), "b".into()]).text(),
            "nameserver 192.0.2.1\nsearch a b\n"
        );
        assert_eq!(
            host().with_options(&[], &[".".into()]).text(),
            "nameserver 192.0.2.1\n"
        );
    }

    #[test]
    fn options_that_were_asked_for_replace_all_others() {
        let host = "nameserver 192.0.2.1\noptions timeout:1\n";
        let own_options = vec!["ndots:3".into(), "rotate".into()];
        let conf = ResolvConf::parse_without_loopback(host, String::new);
        let conf = ResolvConf { own_options, ..conf };
        let conf = conf.with_responder(&["10.0.0.1".parse().unwrap()]);
        assert_eq!(conf.text(), "nameserver 10.0.0.1\noptions ndots:3 rotate\n");
    }

    #[test]
    fn a_container_finds_names_of_its_network_first_and_then_those_of_the_hosts_domains()
     {
        let at_gateway = |host_text: &str| {
            ResolvConf::parse_without_loopback(host_text, String::new)
                .with_responder(&["10.0.0.1".parse().unwrap()])
                .text()
        };
        let options = "options timeout:1 ndots:2 no-tld-query";
        assert_eq!(
            at_gateway(&format!("nameserver 192.0.2.1\nsearch lan\n{options}\n")),
            format!("nameserver 10.0.0.1\nsearch kiste.internal lan\n{options}\n")
        );
        assert_eq!(
            at_gateway(&format!("nameserver 192.0.2.1\n{options}\n")),
            "nameserver 10.0.0.1\noptions timeout:1 ndots:0\n"
        );
    }
}
