//! The `server:` section: where we listen, and how much a request may cost.

mod listen;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::dns::resolvers;
use super::path;
use super::secret::{self, secret};
use crate::config::at::{At, Fields, truth};
use crate::config::complaint::{Complaints, Told};
use crate::config::form::{ADDRESS, Field, Form, may};
use crate::config::plan::{Boot, Caps, Clients, ListenAddress, Listener, SecretRef, Speaks, TlsListen};
use crate::config::units::{DAY, TICK, count, duration, shown_size, size, whole};
use crate::config::url::is_near;
use listen::{Taken, listeners};

pub(super) const FIELDS: &[Field] = &[
    may("listen", listen::FORM, "where clients come to"),
    may("admin", ADDRESS, "the operators' listener: /metrics /healthz /readyz /status"),
    may("demo_model", ADDRESS, "starts the built-in demo model; loopback only"),
    may("threads", Form::Whole(1, 256), "that serve clients"),
    may("max_body", Form::Size, "of a request"),
    may("max_head", Form::Size, "of a request"),
    may("max_event", Form::Size, "of a backend's stream"),
    may("max_response", Form::Size, "a backend's JSON answer"),
    may("body_timeout", Form::Duration, "for a request's body to arrive"),
    may("write_timeout", Form::Duration, "for a client to take up to 64 KiB of an answer"),
    may("header_timeout", Form::Duration, "for a request's head"),
    may("keep_alive", Form::Duration, "for a connection without a request"),
    may("max_requests", Form::Whole(1, 1_000_000_000), "on one HTTP/1.1 connection"),
    may("max_connections", Form::Whole(1, 1_000_000), "of all clients"),
    may(
        "max_connections_per_address",
        Form::Whole(1, 1_000_000),
        "of one IPv4 address, or one IPv6 network (/64)",
    ),
    may(
        "max_buffered",
        Form::Size,
        "request bodies in memory, all clients together; of several tenants, one has half of what the others leave",
    ),
    may("drain", Form::Duration, "for running streams, after SIGTERM"),
    may("dns", Form::List(&Form::Text, 0), "resolvers such as 127.0.0.53:53; none are the system's"),
    may("openai_models", Form::Truth, "whether /v1/models also has `created` and `owned_by`"),
    may("rate_limit_headers", Form::Truth, "whether answers say what is left of a limit"),
    may(
        "unknown_keys_per_minute",
        Form::Whole(1, 1_000_000_000),
        "requests without a good key that one client address may make",
    ),
    may("id_secret", secret::FORM, "what ids of tool calls and names of customers are made with"),
    may("state_dir", Form::Text, "the directory of what must outlive the process"),
    may("run_dir", Form::Text, "the directory of the control socket and the process id"),
    may("admin_public", Form::Truth, "whether `admin` may be an address that others reach"),
];

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;
const TIB: usize = 1 << 40;

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);
const THREADS: usize = 2;
/// More threads than this are a slip: no machine of ours has so many cores.
const THREADS_BOUNDS: RangeInclusive<usize> = 1..=256;
const MAX_BODY: usize = 8 * MIB;
const MAX_HEAD: usize = 32 * KIB;
/// The framework itself stops reading a head at 1 MiB.
const MAX_HEAD_BOUNDS: RangeInclusive<usize> = KIB..=MIB;
const MAX_EVENT: usize = MIB;
const MAX_RESPONSE: usize = 32 * MIB;
/// Bodies, events and answers are held in memory whole.
const HELD_BOUNDS: RangeInclusive<usize> = KIB..=GIB;
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const MAX_REQUESTS: usize = 10_000;
const MAX_REQUESTS_BOUNDS: RangeInclusive<usize> = 1..=1_000_000_000;
const MAX_CONNECTIONS: usize = 20_000;
const MAX_CONNECTIONS_PER_ADDRESS: usize = 5_000;
/// More than a process can have open.
const MAX_CONNECTIONS_BOUNDS: RangeInclusive<usize> = 1..=1_000_000;
const MAX_BUFFERED: usize = GIB;
const MAX_BUFFERED_BOUNDS: RangeInclusive<usize> = KIB..=TIB;
const DRAIN: Duration = Duration::from_secs(60);
const UNKNOWN_KEYS: u64 = 600;
const UNKNOWN_KEYS_BOUNDS: RangeInclusive<u64> = 1..=1_000_000_000;

/// What the section means.
pub(super) struct Server {
    pub(super) boot: Boot,
    pub(super) certificates: BTreeMap<usize, TlsListen>,
    pub(super) caps: Caps,
    pub(super) drain: Duration,
    pub(super) clients: Clients,
    pub(super) openai_models: bool,
    pub(super) rate_limit_headers: bool,
    pub(super) unknown_keys_per_minute: u64,
    pub(super) id_secret: Option<SecretRef>,
}

/// Reads the section; an empty one is all defaults.
pub(super) fn server(at: &At<'_>, out: &mut Complaints) -> Result<Server, Told> {
    let fields = at.fields(FIELDS, out)?;
    let mut taken = Taken::default();
    let listen = match fields.get("listen") {
        Some(at) => listeners(&at, &mut taken, out),
        None => {
            taken.insert("server.listen", LISTEN);
            let usual = Listener { address: ListenAddress::Tcp(LISTEN), speaks: Speaks::Http1 };
            Ok((vec![usual], BTreeMap::new()))
        }
    };
    let public = fields.or("admin_public", false, out, truth);
    let admin = fields
        .get("admin")
        .map(|at| {
            let admin = address(&at, out)?;
            // A flag that could not be read has been complained about.
            if public != Ok(false) {
                return taken.claim(&at, admin, out);
            }
            taken.claim(&at, private(&at, admin, out)?, out)
        })
        .transpose();
    let demo_model =
        fields.get("demo_model").map(|at| taken.claim(&at, loopback(&at, out)?, out)).transpose();

    let threads = fields.or("threads", THREADS, out, |at, out| count(at, THREADS_BOUNDS, out));
    let drain = fields.or("drain", DRAIN, out, |at, out| duration(at, Duration::ZERO..=DAY, out));
    let max_body = fields.or("max_body", MAX_BODY, out, |at, out| size(at, HELD_BOUNDS, out));
    let max_head = fields.or("max_head", MAX_HEAD, out, |at, out| size(at, MAX_HEAD_BOUNDS, out));
    let max_event = fields.or("max_event", MAX_EVENT, out, |at, out| size(at, HELD_BOUNDS, out));
    let max_response = fields.or("max_response", MAX_RESPONSE, out, |at, out| size(at, HELD_BOUNDS, out));
    let body_timeout = fields.or("body_timeout", BODY_TIMEOUT, out, |at, out| duration(at, TICK..=DAY, out));
    let write_timeout =
        fields.or("write_timeout", WRITE_TIMEOUT, out, |at, out| duration(at, TICK..=DAY, out));
    let clients = clients(&fields, max_body, out);
    let resolvers = fields.or("dns", Vec::new(), out, resolvers);
    let openai_models = fields.or("openai_models", false, out, truth);
    let rate_limit_headers = fields.or("rate_limit_headers", true, out, truth);
    let unknown_keys_per_minute = fields
        .or("unknown_keys_per_minute", UNKNOWN_KEYS, out, |at, out| whole(at, UNKNOWN_KEYS_BOUNDS, out));
    let id_secret = fields.or("id_secret", None, out, |at, out| secret(at, out).map(Some));
    let state_dir =
        fields.or("state_dir", None, out, |at, out| path::directory(at, "/var/lib/byname", out).map(Some));
    let run_dir =
        fields.or("run_dir", None, out, |at, out| path::directory(at, "/run/byname", out).map(Some));
    public?;
    let (listen, certificates) = listen?;
    Ok(Server {
        boot: Boot {
            listen,
            admin: admin?,
            demo_model: demo_model?,
            threads: threads?,
            resolvers: resolvers?,
            state_dir: state_dir?,
            run_dir: run_dir?,
        },
        certificates,
        clients: clients?,
        caps: Caps {
            max_body: max_body?,
            max_head: max_head?,
            max_event: max_event?,
            max_response: max_response?,
            body_timeout: body_timeout?,
            write_timeout: write_timeout?,
        },
        drain: drain?,
        openai_models: openai_models?,
        rate_limit_headers: rate_limit_headers?,
        unknown_keys_per_minute: unknown_keys_per_minute?,
        id_secret: id_secret?,
    })
}

/// The directory of the control socket, whatever else is wrong with the section.
pub(super) fn run_dir(at: &At<'_>, unsaid: &mut Complaints) -> Option<std::path::PathBuf> {
    let written = at.fields(FIELDS, unsaid).ok()?.get("run_dir")?;
    path::directory(&written, "/run/byname", unsaid).ok()
}

/// How much clients may take; `max_body` is what the largest request takes.
fn clients(
    fields: &Fields<'_>,
    max_body: Result<usize, Told>,
    out: &mut Complaints,
) -> Result<Clients, Told> {
    let mut time = |name, default| fields.or(name, default, out, |at, out| duration(at, TICK..=DAY, out));
    let header_timeout = time("header_timeout", HEADER_TIMEOUT);
    let keep_alive = time("keep_alive", KEEP_ALIVE);
    let max_requests =
        fields.or("max_requests", MAX_REQUESTS, out, |at, out| count(at, MAX_REQUESTS_BOUNDS, out));
    let mut connections =
        |name, default| fields.or(name, default, out, |at, out| count(at, MAX_CONNECTIONS_BOUNDS, out));
    let max_connections = connections("max_connections", MAX_CONNECTIONS);
    let max_connections_per_address = connections("max_connections_per_address", MAX_CONNECTIONS_PER_ADDRESS);
    let max_buffered = fields.or("max_buffered", MAX_BUFFERED, out, |at, out| {
        let all = size(at, MAX_BUFFERED_BOUNDS, out)?;
        match max_body {
            Ok(one) if one > all => {
                let wrong = format!("{} is less than `max_body` ({})", shown_size(all), shown_size(one));
                Err(at.complain(out, wrong, "raise it, or lower `max_body`: one request must fit"))
            }
            Ok(_) | Err(_) => Ok(all),
        }
    });
    Ok(Clients {
        header_timeout: header_timeout?,
        keep_alive: keep_alive?,
        max_requests: u32::try_from(max_requests?).unwrap_or(u32::MAX),
        max_connections: max_connections?,
        max_connections_per_address: max_connections_per_address?,
        max_buffered: max_buffered?,
    })
}

/// An address and a port. A name is refused: what it resolves to is not ours to guess.
fn address(at: &At<'_>, out: &mut Complaints) -> Result<SocketAddr, Told> {
    const MEND: &str = "write an address and a port, such as 127.0.0.1:8080 or \"[::1]:8080\"";
    let scalar = at.scalar("an address and a port", MEND, out)?;
    match scalar.text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => {
            Err(at.complain(out, "has port 0, which nobody could find", "write a port from 1 to 65535"))
        }
        Ok(address) => Ok(address),
        Err(_) => Err(at.complain(out, "is not an address and a port", MEND)),
    }
}

/// Whoever reads the operator's pages learns who the backends are.
fn private(at: &At<'_>, address: SocketAddr, out: &mut Complaints) -> Result<SocketAddr, Told> {
    if is_near(address.ip()) {
        return Ok(address);
    }
    let wrong = "may be reached from anywhere, and its pages name every backend";
    Err(at.complain(out, wrong, "write a loopback or private address, or `admin_public: true` next to it"))
}

fn loopback(at: &At<'_>, out: &mut Complaints) -> Result<SocketAddr, Told> {
    let address = address(at, out)?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    let wrong = "is not a loopback address, and the demo model must not be reached from elsewhere";
    Err(at.complain(out, wrong, "write 127.0.0.1 and a port"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::{complaint, reading};

    #[test]
    fn an_empty_section_is_all_defaults() {
        let server = reading("{}", server).unwrap_or_else(|told| panic!("{told:?}"));
        let usual = Listener { address: ListenAddress::Tcp(LISTEN), speaks: Speaks::Http1 };
        assert_eq!(server.boot.listen, [usual]);
        assert!(server.certificates.is_empty());
        assert_eq!((server.clients.header_timeout, server.clients.keep_alive), (HEADER_TIMEOUT, KEEP_ALIVE));
        assert_eq!((server.clients.max_requests, server.clients.max_buffered), (10_000, GIB));
        assert_eq!((server.boot.admin, server.boot.demo_model), (None, None));
        assert_eq!(server.caps.max_body, 8 << 20);
        assert_eq!((server.rate_limit_headers, server.unknown_keys_per_minute), (true, 600));
        assert_eq!(server.boot.state_dir, None);
    }

    #[test]
    fn an_address_is_numeric_and_has_a_port() {
        for bad in [
            "8080",
            "localhost:8080",
            ":8080",
            "127.0.0.1",
            "127.0.0.1:0",
            "127.0.0.1:70000",
            "'::1:80'",
            "1.2.3:80",
        ] {
            assert!(reading(bad, address).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_operators_pages_are_not_for_everybody() {
        for near in ["127.0.0.1:1", "10.1.2.3:1", "'[::1]:1'", "'[fd00::1]:1'"] {
            assert!(reading(&format!("{{ admin: {near} }}"), server).is_ok(), "{near}");
        }
        for far in ["0.0.0.0:1", "8.8.8.8:1", "'[::]:1'", "'[2001:db8::1]:1'"] {
            assert!(reading(&format!("{{ admin: {far} }}"), server).is_err(), "{far}");
            assert!(reading(&format!("{{ admin: {far}, admin_public: true }}"), server).is_ok(), "{far}");
        }
    }

    #[test]
    fn the_largest_request_fits_into_what_all_may_take() {
        assert!(reading("{ max_buffered: 8MiB }", server).is_ok());
        assert!(reading("{ max_body: 1MiB, max_buffered: 1MiB }", server).is_ok());
        for (text, told) in [
            ("{ max_buffered: 1MiB }", "t:1:17: max_buffered: 1MiB is less than `max_body` (8MiB); "),
            (
                "{ max_body: 2KiB, max_buffered: 1KiB }",
                "t:1:33: max_buffered: 1KiB is less than `max_body` (2KiB); ",
            ),
        ] {
            let said = complaint(text, server);
            assert!(said.starts_with(told), "{said}");
        }
    }
}
