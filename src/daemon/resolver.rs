//! Names to addresses: asks DNS, says how long the answer is good for and why there is none.
//!
//! Nothing is remembered here: an answer is asked for again when its time is over, by whoever holds it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{Hosts, TokioResolver};
use tokio::time::Instant;

/// The longest that one lookup takes, all its questions together.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);
/// One try of one question may take the limit divided by this, so that there is time for another.
const TRY_SHARE: u32 = 2;
/// How often a question is asked again that no server answered.
const TRIES_MORE: usize = 1;
/// The shortest time that an answer is good for, whatever its TTL: nobody asks in a tight loop.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest time that an answer is good for, and what stands for "for ever".
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Where the system keeps its servers, search list and `ndots`.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// What a system means that names no server, as resolv.conf(5) has it.
const OWN_SERVER: &str = "nameserver 127.0.0.1\n";

/// Whether a name may stand for this machine or its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    Allowed,
    /// Such addresses are dropped from answers, so that a name cannot lead to what listens on loopback
    /// or to a cloud's metadata service.
    Denied,
}

impl Local {
    /// Whether `host` may lead there. An address is what it is, and `localhost` is this machine.
    pub fn permits(self, host: &str, address: IpAddr) -> bool {
        match self {
            Local::Allowed => true,
            Local::Denied => !is_local(address) || is_localhost(host) || host.parse::<IpAddr>().is_ok(),
        }
    }
}

/// A kind of address, which a name server is asked for on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    Four,
    /// IPv6.
    Six,
}

impl Family {
    /// Whether an address is one of these.
    pub fn has(self, address: IpAddr) -> bool {
        match self {
            Family::Four => address.is_ipv4(),
            Family::Six => address.is_ipv6(),
        }
    }

    fn record(self) -> RecordType {
        match self {
            Family::Four => RecordType::A,
            Family::Six => RecordType::AAAA,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Four => "IPv4",
            Family::Six => "IPv6",
        })
    }
}

/// The addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// At least one. Sorted and without doubles, so that the same answer in another order is equal.
    pub addresses: Vec<IpAddr>,
    /// When to ask again: the smallest TTL, at least a second, at most a day.
    pub good_for: Duration,
    /// Of which family nothing is known, because asking for it failed. To have no address of a family is
    /// no failure.
    pub missing: Option<Family>,
}

/// Why a name has no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// There is no such name, or it has no address.
    NoSuchName,
    /// Nobody answered in time.
    Silent,
    /// The servers cannot be reached, refuse, fail or talk nonsense.
    Broken,
    /// It has none but local addresses, which are denied.
    Denied,
}

impl NotFound {
    /// For metrics and logs; the set is closed.
    pub fn label(self) -> &'static str {
        match self {
            NotFound::NoSuchName => "no_such_name",
            NotFound::Silent => "silent",
            NotFound::Broken => "broken",
            NotFound::Denied => "denied",
        }
    }
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotFound::NoSuchName => "there is no such name, or it has no address",
            NotFound::Silent => "no name server answered in time",
            NotFound::Broken => "the name servers cannot be reached or fail",
            NotFound::Denied => "it has only local addresses, which are not allowed",
        })
    }
}

impl std::error::Error for NotFound {}

/// Asks for addresses. Its connections live on the runtime that asks first, so keep it to one runtime.
pub struct Resolver {
    dns: TokioResolver,
    /// Names that are not asked for, because the system's hosts file knows them.
    hosts: Hosts,
    /// What a short name may be completed by, in order.
    search: Vec<Name>,
    /// A name with fewer dots is short: it is completed before it is tried as it is.
    ndots: usize,
    limit: Duration,
}

impl Resolver {
    /// With `servers`, only those are asked, over UDP and, where that is too small, TCP; names are
    /// complete and the hosts file is not looked at. With none, what the system says holds: its
    /// servers, search list, `ndots` and hosts file, all read now (this reads two small files) and
    /// not again.
    ///
    /// # Errors
    /// The system's configuration cannot be read.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, String> {
        if !servers.is_empty() {
            let servers = servers.iter().copied().map(name_server).collect();
            let config = ResolverConfig::from_name_servers(servers);
            return Self::make(config, ResolverOpts::default(), Hosts::default(), LOOKUP_LIMIT);
        }
        let text = or_empty(std::fs::read(RESOLV_CONF)).map_err(|why| format!("{RESOLV_CONF}: {why}"))?;
        let (config, options) = system(text).map_err(|why| format!("{RESOLV_CONF}: {why}"))?;
        let hosts = or_empty(Hosts::from_system()).map_err(|why| format!("the hosts file: {why}"))?;
        Self::make(config, options, hosts, LOOKUP_LIMIT)
    }

    fn make(
        config: ResolverConfig,
        mut options: ResolverOpts,
        hosts: Hosts,
        limit: Duration,
    ) -> Result<Self, String> {
        let (domain, search, servers) = config.into_parts();
        let search = if search.is_empty() { domain.into_iter().collect() } else { search };
        let ndots = options.ndots;
        options.timeout = options.timeout.min(limit / TRY_SHARE);
        options.attempts = options.attempts.min(TRIES_MORE);
        // The library's cache would answer for the time of a TTL; ours is kept by who asks.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        let mut builder = TokioResolver::builder_with_config(
            ResolverConfig::from_name_servers(servers),
            TokioRuntimeProvider::default(),
        );
        *builder.options_mut() = options;
        let dns = builder.build().map_err(|why| format!("the resolver: {why}"))?;
        Ok(Self { dns, hosts, search, ndots, limit })
    }

    /// All addresses of `host`, IPv4 and IPv6, in at most five seconds. An address stands for itself;
    /// it and `localhost` (RFC 6761) are never asked for, and may be local whatever `local` says.
    ///
    /// # Errors
    /// Why there are none. If one family of addresses cannot be had, those of the other are given, and
    /// [`Found::missing`] tells.
    pub async fn addresses(&self, host: &str, local: Local) -> Result<Found, NotFound> {
        if let Ok(address) = host.parse() {
            return Ok(Found { addresses: vec![address], good_for: LONGEST, missing: None });
        }
        let Ok(name) = Name::from_str_relaxed(host) else { return Err(NotFound::NoSuchName) };
        let known = self.known(&name);
        if is_localhost(host) {
            return Ok(known.unwrap_or_else(loopback).found());
        }
        match known {
            Some(answer) => answer.permitted(local),
            None => self.ask(name).await?.permitted(local),
        }
    }

    /// What the hosts file says.
    fn known(&self, name: &Name) -> Option<Answer> {
        let mut answer = Answer::default();
        for family in [Family::Four, Family::Six] {
            let query = Query::query(name.clone(), family.record());
            if let Some(lookup) = self.hosts.lookup_static_host(&query) {
                answer.add(lookup.answers());
            }
        }
        (!answer.addresses.is_empty()).then_some(answer)
    }

    /// Asks for one complete name after the other until one exists. A failure ends the search: what
    /// comes later in the list is another machine.
    async fn ask(&self, name: Name) -> Result<Answer, NotFound> {
        let end = Instant::now() + self.limit;
        for name in self.complete(name) {
            let four = self.family(&name, Family::Four, end);
            let six = self.family(&name, Family::Six, end);
            let (four, six) = tokio::join!(four, six);
            match together(four, six) {
                Ok(answer) => return Ok(answer),
                Err(NotFound::NoSuchName) => {}
                Err(why) => return Err(why),
            }
        }
        Err(NotFound::NoSuchName)
    }

    /// The names that `name` may mean, likeliest first.
    fn complete(&self, mut name: Name) -> Vec<Name> {
        let short = usize::from(name.num_labels()) <= self.ndots;
        let fully = name.is_fqdn();
        let longer = self.search.iter().filter_map(|suffix| name.clone().append_domain(suffix).ok());
        let mut names: Vec<Name> = if fully { Vec::new() } else { longer.collect() };
        name.set_fqdn(true);
        names.insert(if short { names.len() } else { 0 }, name);
        names
    }

    async fn family(&self, name: &Name, family: Family, end: Instant) -> Result<Answer, NotFound> {
        let question = self.dns.lookup(name.clone(), family.record());
        let lookup = match tokio::time::timeout_at(end, question).await {
            Ok(Ok(lookup)) => lookup,
            Ok(Err(NetError::Timeout)) | Err(_) => return Err(NotFound::Silent),
            Ok(Err(why)) if why.is_no_records_found() => return Err(NotFound::NoSuchName),
            Ok(Err(_)) => return Err(NotFound::Broken),
        };
        let mut answer = Answer::default();
        answer.add(lookup.answers());
        if answer.addresses.is_empty() { Err(NotFound::NoSuchName) } else { Ok(answer) }
    }
}

/// Addresses as they come in.
#[derive(Debug, Default)]
struct Answer {
    addresses: BTreeSet<IpAddr>,
    /// Seconds; of the records that led here too (CNAME).
    ttl: Option<u32>,
    missing: Option<Family>,
}

impl Answer {
    fn add(&mut self, records: &[Record]) {
        for record in records {
            self.addresses.extend(record.data.ip_addr().map(|address| address.to_canonical()));
            self.ttl = Some(self.ttl.map_or(record.ttl, |ttl| ttl.min(record.ttl)));
        }
    }

    fn permitted(mut self, local: Local) -> Result<Found, NotFound> {
        match local {
            Local::Allowed => {}
            Local::Denied => self.addresses.retain(|address| !is_local(*address)),
        }
        if self.addresses.is_empty() { Err(NotFound::Denied) } else { Ok(self.found()) }
    }

    fn found(self) -> Found {
        let ttl = self.ttl.map_or(LONGEST, |ttl| Duration::from_secs(ttl.into()));
        let good_for = ttl.clamp(SHORTEST, LONGEST);
        Found { addresses: self.addresses.into_iter().collect(), good_for, missing: self.missing }
    }
}

/// Both families' answers as one. If neither has an address, the failure that says least about the name.
fn together(four: Result<Answer, NotFound>, six: Result<Answer, NotFound>) -> Result<Answer, NotFound> {
    match (four, six) {
        (Ok(mut four), Ok(six)) => {
            four.addresses.extend(six.addresses);
            four.ttl = four.ttl.into_iter().chain(six.ttl).min();
            Ok(four)
        }
        (Ok(four), Err(why)) => Ok(Answer { missing: failed(Family::Six, why), ..four }),
        (Err(why), Ok(six)) => Ok(Answer { missing: failed(Family::Four, why), ..six }),
        (Err(NotFound::NoSuchName), Err(why)) | (Err(why), Err(NotFound::NoSuchName)) => Err(why),
        (Err(NotFound::Silent), Err(_)) | (Err(_), Err(NotFound::Silent)) => Err(NotFound::Silent),
        (Err(why), Err(_)) => Err(why),
    }
}

/// A family that could not be asked for; one without addresses has been.
fn failed(family: Family, why: NotFound) -> Option<Family> {
    match why {
        NotFound::NoSuchName | NotFound::Denied => None,
        NotFound::Silent | NotFound::Broken => Some(family),
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

fn system(mut text: Vec<u8>) -> Result<(ResolverConfig, ResolverOpts), NetError> {
    if !text.split(|byte| *byte == b'\n').any(|line| line.trim_ascii_start().starts_with(b"nameserver")) {
        text.extend_from_slice(b"\n");
        text.extend_from_slice(OWN_SERVER.as_bytes());
    }
    parse_resolv_conf(text)
}

/// A file that is not there says nothing.
fn or_empty<T: Default>(read: std::io::Result<T>) -> std::io::Result<T> {
    match read {
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(T::default()),
        other => other,
    }
}

/// `localhost` and everything under it.
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case("localhost"))
}

fn loopback() -> Answer {
    let addresses = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    Answer { addresses: addresses.into(), ..Answer::default() }
}

/// Whether an address means this machine, its link, everybody or nobody. An IPv6 address that carries an
/// IPv4 address is judged by what it carries.
fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => is_local_v4(four),
        IpAddr::V6(six) => match six.to_ipv4() {
            Some(four) => is_local_v4(four),
            None => six.is_unicast_link_local() || six.is_multicast(),
        },
    }
}

fn is_local_v4(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    // All of 0.0.0.0/8 is "this network"; `::` and `::1` are in it as well.
    first == 0
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
}

#[cfg(test)]
pub(super) mod tests;
