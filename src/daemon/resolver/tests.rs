use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::CNAME;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

/// What the name server says to one question.
#[derive(Clone)]
pub(in crate::daemon) enum Say {
    Addresses { ttl: u32, addresses: Vec<IpAddr> },
    AnotherName { ttl: u32, other: &'static str, address_ttl: u32, address: IpAddr },
    NoSuchName,
    NoAddress,
    Failure,
    Nothing,
    Nonsense,
    TooLargeForUdp(Vec<IpAddr>),
}

/// A name server on loopback that says what the test wrote down; all other names do not exist.
#[derive(Clone)]
pub(in crate::daemon) struct Server {
    pub(in crate::daemon) address: SocketAddr,
    script: Arc<Mutex<HashMap<(String, RecordType), Say>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(in crate::daemon) async fn start() -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            // Somebody else may have the port for TCP.
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let server = Server { address, script: Arc::default(), asked: Arc::default() };
        let (over_udp, over_tcp) = (server.clone(), server.clone());
        tokio::spawn(async move {
            let mut packet = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut packet).await {
                if let Some(answer) = over_udp.answer(&packet[..length], true) {
                    udp.send_to(&answer, from).await.unwrap();
                }
            }
        });
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = tcp.accept().await {
                let server = over_tcp.clone();
                tokio::spawn(async move {
                    while let Ok(length) = connection.read_u16().await {
                        let mut packet = vec![0; length.into()];
                        connection.read_exact(&mut packet).await.unwrap();
                        let answer = server.answer(&packet, false).unwrap();
                        connection.write_u16(answer.len().try_into().unwrap()).await.unwrap();
                        connection.write_all(&answer).await.unwrap();
                    }
                });
            }
        });
        server
    }

    pub(in crate::daemon) fn says(&self, name: &str, family: RecordType, say: Say) {
        self.script.lock().unwrap().insert((name.into(), family), say);
    }

    pub(in crate::daemon) fn has(&self, name: &str, ttl: u32, addresses: &[&str]) {
        let (four, six): (Vec<IpAddr>, Vec<IpAddr>) =
            addresses.iter().map(|text| text.parse::<IpAddr>().unwrap()).partition(IpAddr::is_ipv4);
        for (family, addresses) in [(RecordType::A, four), (RecordType::AAAA, six)] {
            let say = if addresses.is_empty() { Say::NoAddress } else { Say::Addresses { ttl, addresses } };
            self.says(name, family, say);
        }
    }

    /// The names that were asked for, each once, in order.
    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.dedup();
        asked
    }

    fn answer(&self, packet: &[u8], udp: bool) -> Option<Vec<u8>> {
        let question = Message::from_vec(packet).unwrap();
        let query = question.queries[0].clone();
        let name = query.name().clone();
        let text = name.to_string().to_lowercase();
        let text = text.strip_suffix('.').unwrap_or(&text).to_string();
        self.asked.lock().unwrap().push(text.clone());
        let say = self.script.lock().unwrap().get(&(text, query.query_type())).cloned();
        let mut message = Message::response(question.metadata.id, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.metadata.recursion_available = true;
        message.add_query(query);
        let record = |name: &Name, ttl, address| Record::from_rdata(name.clone(), ttl, RData::from(address));
        match say.unwrap_or(Say::NoSuchName) {
            Say::Addresses { ttl, addresses } => {
                message.add_answers(addresses.into_iter().map(|address| record(&name, ttl, address)));
            }
            Say::AnotherName { ttl, other, address_ttl, address } => {
                let other = Name::from_ascii(other).unwrap();
                message.add_answer(Record::from_rdata(name, ttl, RData::CNAME(CNAME(other.clone()))));
                message.add_answer(record(&other, address_ttl, address));
            }
            Say::NoSuchName => message.metadata.response_code = ResponseCode::NXDomain,
            Say::NoAddress => {}
            Say::Failure => message.metadata.response_code = ResponseCode::ServFail,
            Say::Nothing => return None,
            Say::Nonsense => return Some(vec![packet[0], packet[1], 0x84, 0, 0xff]),
            Say::TooLargeForUdp(_) if udp => message.metadata.truncation = true,
            Say::TooLargeForUdp(addresses) => {
                message.add_answers(addresses.into_iter().map(|address| record(&name, 60, address)));
            }
        }
        Some(message.to_vec().unwrap())
    }

    fn resolver(&self) -> Resolver {
        Resolver::new(&[self.address]).unwrap()
    }

    fn impatient(&self) -> Resolver {
        let config = ResolverConfig::from_name_servers(vec![name_server(self.address)]);
        let limit = LIMIT;
        Resolver::make(config, ResolverOpts::default(), Hosts::default(), limit).unwrap()
    }
}

/// How long an impatient one waits for all of an answer.
const LIMIT: Duration = Duration::from_secs(1);

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn hosts(text: &str) -> Hosts {
    let mut hosts = Hosts::default();
    hosts.read_hosts_conf(text.as_bytes()).unwrap();
    hosts
}

#[tokio::test]
async fn both_families_come_sorted_without_doubles_and_with_the_smallest_ttl() {
    let server = Server::start().await;
    server.has("api.test", 300, &["192.0.2.9", "192.0.2.1", "192.0.2.9", "2001:db8::2", "2001:db8::1"]);
    let found = server.resolver().addresses("API.test", Local::Denied).await.unwrap();
    assert_eq!(found.addresses, addresses(&["192.0.2.1", "192.0.2.9", "2001:db8::1", "2001:db8::2"]));
    assert_eq!(found.good_for, Duration::from_secs(300));
    server.has("api.test", 300, &["2001:db8::1", "2001:db8::2", "192.0.2.9", "192.0.2.1"]);
    assert_eq!(server.resolver().addresses("api.test", Local::Denied).await.unwrap(), found);

    let six = addresses(&["2001:db8::2"]);
    server.says("api.test", RecordType::AAAA, Say::Addresses { ttl: 20, addresses: six });
    let found = server.resolver().addresses("api.test", Local::Denied).await.unwrap();
    assert_eq!(found.good_for, Duration::from_secs(20));
}

#[tokio::test]
async fn a_ttl_of_nothing_is_a_second_and_one_of_years_a_day() {
    let server = Server::start().await;
    for (ttl, seconds) in [(0, 1), (1, 1), (86_399, 86_399), (i32::MAX as u32, 86_400)] {
        server.has("api.test", ttl, &["192.0.2.1"]);
        let found = server.resolver().addresses("api.test", Local::Denied).await.unwrap();
        assert_eq!(found.good_for, Duration::from_secs(seconds));
    }
}

#[tokio::test]
async fn the_ttl_of_the_way_to_an_address_counts() {
    let server = Server::start().await;
    let say = Say::AnotherName {
        ttl: 30,
        other: "cdn.test.",
        address_ttl: 500,
        address: "192.0.2.1".parse().unwrap(),
    };
    server.says("api.test", RecordType::A, say);
    let found = server.resolver().addresses("api.test", Local::Denied).await.unwrap();
    assert_eq!(
        found,
        Found { addresses: addresses(&["192.0.2.1"]), good_for: Duration::from_secs(30), missing: None }
    );
}

#[tokio::test]
async fn an_answer_too_large_for_udp_comes_over_tcp() {
    let server = Server::start().await;
    let many: Vec<IpAddr> = (0..100).map(|n| Ipv4Addr::new(192, 0, 2, n).into()).collect();
    server.says("api.test", RecordType::A, Say::TooLargeForUdp(many.clone()));
    assert_eq!(server.resolver().addresses("api.test", Local::Denied).await.unwrap().addresses, many);
}

#[tokio::test]
async fn a_changed_answer_is_seen_at_once() {
    let server = Server::start().await;
    let resolver = server.resolver();
    for n in 0..20 {
        let address = format!("192.0.2.{n}");
        server.has("api.test", 3600, &[&address]);
        let found = resolver.addresses("api.test", Local::Denied).await.unwrap();
        assert_eq!(found.addresses, addresses(&[&address]));
    }
    server.says("api.test", RecordType::A, Say::NoSuchName);
    server.says("api.test", RecordType::AAAA, Say::NoSuchName);
    assert_eq!(resolver.addresses("api.test", Local::Denied).await, Err(NotFound::NoSuchName));
    server.has("api.test", 3600, &["192.0.2.77"]);
    assert!(resolver.addresses("api.test", Local::Denied).await.is_ok(), "a refusal is not kept either");
}

#[tokio::test]
async fn every_way_to_have_no_address_has_its_name() {
    let server = Server::start().await;
    let resolver = server.impatient();
    let cases = [
        (Say::NoSuchName, Say::NoSuchName, NotFound::NoSuchName),
        (Say::NoAddress, Say::NoAddress, NotFound::NoSuchName),
        (Say::Failure, Say::Failure, NotFound::Broken),
        (Say::NoAddress, Say::Failure, NotFound::Broken),
        (Say::Nothing, Say::Nothing, NotFound::Silent),
        (Say::Nothing, Say::NoAddress, NotFound::Silent),
        (Say::Failure, Say::Nothing, NotFound::Silent),
    ];
    for (number, (four, six, expected)) in cases.into_iter().enumerate() {
        server.says("api.test", RecordType::A, four);
        server.says("api.test", RecordType::AAAA, six);
        let found = resolver.addresses("api.test", Local::Denied).await;
        assert_eq!(found, Err(expected), "case {number}");
    }
    for bad in ["", ".", "a..b", "x y", &"a".repeat(64), &"a.".repeat(200)] {
        assert_eq!(resolver.addresses(bad, Local::Allowed).await, Err(NotFound::NoSuchName), "{bad}");
    }
}

#[tokio::test]
async fn nonsense_is_no_answer() {
    let server = Server::start().await;
    server.says("api.test", RecordType::A, Say::Nonsense);
    server.says("api.test", RecordType::AAAA, Say::Nonsense);
    let found = server.impatient().addresses("api.test", Local::Denied).await;
    assert!(matches!(found, Err(NotFound::Broken | NotFound::Silent)), "{found:?}");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_silent() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut server = Server::start().await;
    server.address = socket.local_addr().unwrap();
    drop(socket);
    let found = server.impatient().addresses("api.test", Local::Denied).await;
    assert_eq!(found, Err(NotFound::Silent));
}

#[tokio::test]
async fn one_familys_failure_is_told_and_does_not_lose_the_other() {
    let server = Server::start().await;
    let resolver = server.impatient();
    let cases =
        [(Say::Nothing, true), (Say::Failure, true), (Say::NoAddress, false), (Say::NoSuchName, false)];
    for (say, fails) in cases {
        server.has("api.test", 60, &["192.0.2.1"]);
        server.says("api.test", RecordType::AAAA, say.clone());
        let found = resolver.addresses("api.test", Local::Denied).await.unwrap();
        assert_eq!(found.addresses, addresses(&["192.0.2.1"]));
        assert_eq!(found.missing, fails.then_some(Family::Six));
        server.has("api.test", 60, &["2001:db8::1"]);
        server.says("api.test", RecordType::A, say);
        let found = resolver.addresses("api.test", Local::Denied).await.unwrap();
        assert_eq!(found.addresses, addresses(&["2001:db8::1"]));
        assert_eq!(found.missing, fails.then_some(Family::Four));
    }
}

#[tokio::test]
async fn silence_ends_at_the_limit_and_holds_up_nobody_else() {
    let server = Server::start().await;
    server.says("silent.test", RecordType::A, Say::Nothing);
    server.says("silent.test", RecordType::AAAA, Say::Nothing);
    server.has("api.test", 60, &["192.0.2.1"]);
    let resolver = server.impatient();
    let start = Instant::now();
    let (silent, other) = tokio::join!(resolver.addresses("silent.test", Local::Denied), async {
        let found = resolver.addresses("api.test", Local::Denied).await;
        (found, start.elapsed())
    });
    assert_eq!(silent, Err(NotFound::Silent));
    assert!(start.elapsed() < 8 * LIMIT, "{:?}", start.elapsed());
    assert!(other.0.is_ok());
    assert!(other.1 < LIMIT, "{:?}", other.1);
}

#[tokio::test]
async fn a_second_server_answers_where_the_first_is_silent() {
    let (silent, good) = (Server::start().await, Server::start().await);
    silent.says("api.test", RecordType::A, Say::Nothing);
    silent.says("api.test", RecordType::AAAA, Say::Nothing);
    good.has("api.test", 60, &["192.0.2.1"]);
    let resolver = Resolver::new(&[silent.address, good.address]).unwrap();
    let found = resolver.addresses("api.test", Local::Denied).await.unwrap();
    assert_eq!(found.addresses, addresses(&["192.0.2.1"]));
}

#[tokio::test]
async fn local_addresses_are_dropped_where_they_are_denied() {
    let server = Server::start().await;
    let local = [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "febf::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
    ];
    let resolver = server.resolver();
    for address in local {
        server.has("rebound.test", 60, &[address]);
        let found = resolver.addresses("rebound.test", Local::Denied).await;
        assert_eq!(found, Err(NotFound::Denied), "{address}");
        let found = resolver.addresses("rebound.test", Local::Allowed).await.unwrap();
        let plain = address.parse::<IpAddr>().unwrap().to_canonical();
        assert_eq!(found.addresses, [plain]);
    }
    let fine = ["10.0.0.1", "100.64.0.1", "172.16.0.1", "192.168.0.1", "2001:db8::1", "fd00::1"];
    server.has("mixed.test", 60, &[&local[..], &fine].concat());
    let found = resolver.addresses("mixed.test", Local::Denied).await.unwrap();
    assert_eq!(found.addresses, addresses(&fine));
}

#[tokio::test]
async fn addresses_and_localhost_are_never_asked_for() {
    let server = Server::start().await;
    let resolver = server.resolver();
    for text in ["127.0.0.1", "169.254.1.1", "192.0.2.1", "::1", "2001:db8::1"] {
        let found = resolver.addresses(text, Local::Denied).await.unwrap();
        assert_eq!(found, Found { addresses: addresses(&[text]), good_for: LONGEST, missing: None });
    }
    for name in ["localhost", "LOCALHOST", "localhost.", "demo.localhost", "a.b.localhost."] {
        let found = resolver.addresses(name, Local::Denied).await.unwrap();
        assert_eq!(found.addresses, addresses(&["127.0.0.1", "::1"]), "{name}");
    }
    assert_eq!(server.asked(), [""; 0]);
    let found = resolver.addresses("notlocalhost", Local::Denied).await;
    assert_eq!(found, Err(NotFound::NoSuchName));
    assert_eq!(server.asked(), ["notlocalhost"]);
}

#[tokio::test]
async fn the_hosts_file_comes_first_and_alone() {
    let server = Server::start().await;
    server.has("api.test", 60, &["192.0.2.1", "2001:db8::1"]);
    let mut resolver = server.resolver();
    resolver.hosts =
        hosts("127.0.0.1 localhost # me\n10.0.0.5 Api.Test api\n10.0.0.6 api.test\n127.0.1.1 me\n");
    let found = resolver.addresses("api.test", Local::Denied).await.unwrap();
    assert_eq!(
        found,
        Found { addresses: addresses(&["10.0.0.5", "10.0.0.6"]), good_for: LONGEST, missing: None }
    );
    assert_eq!(resolver.addresses("api", Local::Denied).await.unwrap().addresses, addresses(&["10.0.0.5"]));
    let found = resolver.addresses("localhost", Local::Denied).await.unwrap();
    assert_eq!(found.addresses, addresses(&["127.0.0.1"]));
    assert_eq!(resolver.addresses("me", Local::Denied).await, Err(NotFound::Denied));
    assert_eq!(resolver.addresses("me", Local::Allowed).await.unwrap().addresses, addresses(&["127.0.1.1"]));
    assert_eq!(server.asked(), [""; 0]);
}

#[tokio::test]
async fn short_names_are_completed_and_a_failure_does_not_lead_elsewhere() {
    let server = Server::start().await;
    let mut resolver = server.impatient();
    resolver.search = ["one.test", "two.test"].map(|name| Name::from_ascii(name).unwrap()).into();
    resolver.ndots = 2;
    server.has("api.two.test", 60, &["192.0.2.2"]);
    let found = resolver.addresses("api", Local::Denied).await.unwrap();
    assert_eq!(found.addresses, addresses(&["192.0.2.2"]));
    assert_eq!(server.asked(), ["api.one.test", "api.two.test"]);

    server.says("api.one.test", RecordType::A, Say::Failure);
    assert_eq!(resolver.addresses("api", Local::Denied).await, Err(NotFound::Broken));
    server.asked.lock().unwrap().clear();
    assert_eq!(resolver.addresses("a.b.c", Local::Denied).await, Err(NotFound::NoSuchName));
    assert_eq!(server.asked(), ["a.b.c", "a.b.c.one.test", "a.b.c.two.test"]);
    server.asked.lock().unwrap().clear();
    assert_eq!(resolver.addresses("a.b.", Local::Denied).await, Err(NotFound::NoSuchName));
    assert_eq!(server.asked(), ["a.b"]);
}

#[test]
fn the_systems_configuration_is_read_as_it_is_written() {
    let text = "# comment\nnameserver 192.0.2.53\nsearch a.test b.test\noptions ndots:5 timeout:1\n";
    let (config, options) = system(text.into()).unwrap();
    let resolver = Resolver::make(config, options, Hosts::default(), LOOKUP_LIMIT).unwrap();
    let names = |host| -> Vec<String> {
        resolver.complete(Name::from_ascii(host).unwrap()).iter().map(Name::to_string).collect()
    };
    assert_eq!(names("api.x"), ["api.x.a.test.", "api.x.b.test.", "api.x."]);
    assert_eq!(names("1.2.3.4.5.x"), ["1.2.3.4.5.x.", "1.2.3.4.5.x.a.test.", "1.2.3.4.5.x.b.test."]);
    assert_eq!(names("api.x."), ["api.x."]);
}

#[test]
fn a_system_without_name_servers_asks_its_own() {
    for text in ["", "search a.test", "# nameserver 192.0.2.53\n"] {
        let (config, _) = system(text.into()).unwrap();
        let servers: Vec<IpAddr> = config.name_servers().iter().map(|server| server.ip).collect();
        assert_eq!(servers, addresses(&["127.0.0.1"]), "{text}");
    }
    assert!(Resolver::new(&[]).is_ok(), "this machine's own configuration");
}

#[test]
fn labels_are_for_machines_and_texts_for_people() {
    let all = [NotFound::NoSuchName, NotFound::Silent, NotFound::Broken, NotFound::Denied];
    assert_eq!(all.map(NotFound::label), ["no_such_name", "silent", "broken", "denied"]);
    for why in all {
        assert!(why.to_string().contains(' '));
    }
}
