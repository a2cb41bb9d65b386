//! A responder without containers, and questions to it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use kiste_tests::{Ran, eventually, timeout};
use serde_json::json;
use simple_dns::rdata::RData;
use simple_dns::{
    CLASS, Name, Packet, PacketFlag, Question, RCODE, ResourceRecord, TYPE,
};

use super::Host;
use super::server::bytes;

/// A responder at 10.88.0.1. The test asks from the host's own 10.88.0.2, as a
/// container with that address would.
pub struct LoneResponder {
    pub host: Host,
    directory: PathBuf,
    users: Option<File>,
    pub pid: i32,
}

impl LoneResponder {
    /// Starts a responder on a host with these DNS servers.
    pub fn start(servers: &[&str], forwarding: &str, leases: &str) -> Option<Self> {
        let host = Host::with_dns_servers(servers)?;
        host.sh("ip addr add 10.88.0.1/24 dev lo && ip addr add 10.88.0.2/32 dev lo && ip addr add 10.88.0.200/32 dev lo && ip addr add 10.99.0.1/24 dev lo");
        let directory = host.fixture.dir().join("lan");
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o711)).unwrap();
        let mut responder = LoneResponder { host, directory, users: None, pid: 0 };
        responder.write(leases);
        let fifo = responder.directory.join("dns.users");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        responder.users =
            Some(File::options().read(true).write(true).open(&fifo).unwrap());
        responder.start_responder(forwarding).assert_stdout("ready");
        let alive = fs::read_to_string(responder.directory.join("dns.alive")).unwrap();
        responder.pid = alive.lines().next().unwrap().parse().unwrap();
        Some(responder)
    }

    /// Starts a responder for the lease file, even if there is one already.
    pub fn start_responder(&self, forwarding: &str) -> Ran {
        start_responder(&self.host, &self.leases(), forwarding)
    }

    pub fn leases(&self) -> PathBuf {
        self.directory.join("leases.json")
    }

    /// Writes the lease file as the runtime does: to a new file, which is then renamed.
    pub fn write(&self, leases: &str) {
        let new = self.directory.join("new");
        fs::write(&new, format!("{{\"leases\": [{leases}]}}")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o644)).unwrap();
        fs::rename(new, self.leases()).unwrap();
    }

    pub fn socket(&self, from: &str) -> UdpSocket {
        let socket = self.host.within(|| UdpSocket::bind((from, 0)).unwrap());
        socket.set_read_timeout(Some(timeout())).unwrap();
        socket
    }

    /// Opens a TCP connection to the responder, from this address.
    pub fn connect(&self, from: [u8; 4]) -> TcpStream {
        self.host.within(|| {
            let (family, kind) =
                (rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM);
            let socket = rustix::net::socket(family, kind, None).unwrap();
            rustix::net::bind(&socket, &SocketAddr::from((from, 0))).unwrap();
            rustix::net::connect(&socket, &SocketAddr::from(([10, 88, 0, 1], 53)))
                .unwrap();
            TcpStream::from(socket)
        })
    }

    pub fn ask(&self, name: &str, kind: TYPE) -> Answer {
        self.ask_within(timeout(), name, kind)
    }

    /// Asks again when there is no answer within `limit`, as every client does: the
    /// kernel drops messages when the buffer of a socket is full.
    pub fn ask_within(&self, limit: Duration, name: &str, kind: TYPE) -> Answer {
        let socket = self.socket("10.88.0.2");
        socket.set_read_timeout(Some(limit)).unwrap();
        let mut buffer = [0; 4096];
        let answer = eventually(|| {
            socket.send_to(&question(name, kind), "10.88.0.1:53").unwrap();
            socket.recv(&mut buffer).ok()
        });
        let length = answer.expect("an answer");
        Answer::read(&buffer[..length])
    }

    pub fn is_alive(&self) -> bool {
        self.host.responders().contains(&self.pid)
    }
}

impl Drop for LoneResponder {
    fn drop(&mut self) {
        self.users = None;
        let gone = eventually(|| (!self.is_alive()).then_some(()));
        assert!(
            gone.is_some() || thread::panicking(),
            "the responder still runs, and has no users"
        );
    }
}

/// Starts a responder at 10.88.0.1.
pub fn start_responder(host: &Host, leases: &Path, forwarding: &str) -> Ran {
    let options = json!({
        "leases": leases,
        "bridge": "lo",
        "gateways": ["10.88.0.1/24"],
        "forwarding": forwarding,
    });
    host.call(&["dns-responder", &options.to_string(), "--detach"])
}

pub fn question(name: &str, kind: TYPE) -> Vec<u8> {
    let mut packet = Packet::new_query(0x4b53);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(
        Name::new(name).unwrap(),
        kind.into(),
        CLASS::IN.into(),
        false,
    ));
    bytes(&packet)
}

/// An answer of the responder, parsed.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub code: RCODE,
    pub records: Vec<String>,
    pub is_truncated: bool,
}

impl Answer {
    pub fn read(message: &[u8]) -> Self {
        let packet = Packet::parse(message).unwrap();
        assert_eq!(packet.id(), 0x4b53);
        let record = |record: &ResourceRecord| match &record.rdata {
            RData::A(a) => Ipv4Addr::from(a.address).to_string(),
            RData::AAAA(a) => std::net::Ipv6Addr::from(a.address).to_string(),
            RData::PTR(name) => name.0.to_string(),
            other => format!("{other:?}"),
        };
        let records = packet.answers.iter().map(record).collect();
        Answer {
            code: packet.rcode(),
            records,
            is_truncated: packet.has_flags(PacketFlag::TRUNCATION),
        }
    }

    pub fn is(&self, records: &[&str]) {
        let expected = Answer {
            code: RCODE::NoError,
            records: records.iter().map(|it| it.to_string()).collect(),
            is_truncated: false,
        };
        assert_eq!(*self, expected);
    }

    pub fn is_no_such_name(&self) {
        assert_eq!(
            *self,
            Answer { code: RCODE::NameError, records: Vec::new(), is_truncated: false }
        );
    }
}

/// Two containers that share an alias.
pub const TWO_CONTAINERS: &str = r#"
    {"id": "0123456789ab", "hostname": "Web", "aliases": ["all"], "addresses": ["10.88.0.2", "fd00::2"]},
    {"id": "ba9876543210", "hostname": "db", "aliases": ["all"], "addresses": ["10.88.0.3"]}"#;
