use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;

use pingora_load_balancing::discovery::Static;
use pingora_load_balancing::{BackendView, Extensions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

use super::*;

/// What the callbacks were told.
#[derive(Clone, Default)]
struct Told {
    changes: Arc<Mutex<Vec<bool>>>,
    results: Arc<Mutex<Vec<&'static str>>>,
}

impl Told {
    fn checks(&self, failures: usize, successes: usize) -> Checks {
        let Told { changes, results } = self.clone();
        Checks {
            failures,
            successes,
            on_change: Box::new(move |_, healthy| changes.lock().unwrap().push(healthy)),
            on_result: Box::new(move |_, result| results.lock().unwrap().push(result.err().unwrap_or("ok"))),
        }
    }

    fn changes(&self) -> Vec<bool> {
        self.changes.lock().unwrap().clone()
    }

    fn results(&self) -> Vec<&'static str> {
        self.results.lock().unwrap().clone()
    }
}

fn request() -> RequestHeader {
    let mut request = RequestHeader::build("GET", b"/v1/models", None).unwrap();
    request.insert_header("Host", "backend.test").unwrap();
    request.insert_header("Authorization", "Bearer sk-probe").unwrap();
    request
}

fn probe(address: SocketAddr, request: Option<RequestHeader>) -> Probe {
    Probe { peer: HttpPeer::new(address, false, String::new()), request, timeout: Duration::from_millis(500) }
}

fn backend(address: SocketAddr, probe: Option<Probe>, key: u64) -> Backend {
    let mut ext = Extensions::new();
    ext.insert(HealthKey(key));
    if let Some(probe) = probe {
        ext.insert(Arc::new(probe));
    }
    Backend { addr: pingora_core::protocols::l4::socket::SocketAddr::Inet(address), weight: 1, ext }
}

async fn view(registry: &Arc<HealthRegistry>, backends: &[Backend]) -> BackendView {
    let set: BTreeSet<Backend> = backends.iter().cloned().collect();
    let view = BackendView::new_with_health_registry(Static::new(set), registry.clone());
    view.update(|_| {}).await.unwrap();
    view
}

/// The outcome of one check.
async fn outcome(probe: Probe) -> &'static str {
    let told = Told::default();
    let target = backend(([127, 0, 0, 1], 1).into(), Some(probe), 0);
    let checked = told.checks(1, 1).check(&target).await;
    let [label] = told.results()[..] else { panic!("told {:?}", told.results()) };
    assert_eq!(checked.is_ok(), label == "ok");
    label
}

/// A server that says `answer` to whoever connects and keeps the connection. Gives what it was told.
async fn server(answer: &'static [u8]) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = heard.clone();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let heard = heard.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                let Ok(length) = connection.read(&mut buffer).await else { return };
                heard.lock().unwrap().push(String::from_utf8_lossy(&buffer[..length]).into_owned());
                let _ = connection.write_all(answer).await;
                while connection.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
            });
        }
    });
    (address, told)
}

/// An address where nobody listens, and nobody will: it stays taken.
fn nowhere() -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    Box::leak(Box::new(socket)).local_addr().unwrap()
}

#[tokio::test]
async fn health_turns_after_as_many_checks_as_were_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let told = Told::default();
    let registry = registry(told.checks(3, 2));
    let backend = backend(address, Some(probe(address, None)), 1);
    let view = view(&registry, std::slice::from_ref(&backend)).await;
    assert!(view.ready(&backend), "a new backend starts healthy");
    registry.run_health_check(true).await;
    drop(listener);
    for healthy in [true, true, false, false] {
        registry.run_health_check(true).await;
        assert_eq!(view.ready(&backend), healthy);
    }
    let _listener = TcpListener::bind(address).await.unwrap();
    for healthy in [false, true] {
        registry.run_health_check(false).await;
        assert_eq!(view.ready(&backend), healthy);
    }
    assert_eq!(told.changes(), [false, true]);
    assert_eq!(told.results(), ["ok", "connect", "connect", "connect", "connect", "ok", "ok"]);
}

#[tokio::test]
async fn any_success_status_will_do_and_nothing_else() {
    let cases: [(&[u8], &str); 9] = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "ok"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "ok"),
        (b"HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "status"),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "status"),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "status"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "status"),
        (b"SSH-2.0-garbage\r\n\r\n", "broken"),
        (b"", "timeout"),
    ];
    for (answer, expected) in cases {
        let (address, _) = server(answer).await;
        let label = outcome(probe(address, Some(request()))).await;
        assert_eq!(label, expected, "{}", String::from_utf8_lossy(answer));
    }
}

#[tokio::test]
async fn the_request_arrives_with_its_key_on_a_connection_of_its_own() {
    let (address, heard) = server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    for _ in 0..2 {
        assert_eq!(outcome(probe(address, Some(request()))).await, "ok");
    }
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 2, "connections are not kept");
    assert!(heard[0].starts_with("GET /v1/models HTTP/1.1\r\n"), "{}", heard[0]);
    assert!(heard[0].contains("Host: backend.test\r\n"), "{}", heard[0]);
    assert!(heard[0].contains("Authorization: Bearer sk-probe\r\n"), "{}", heard[0]);
}

#[tokio::test]
async fn neither_an_endless_nor_a_stalled_body_changes_a_good_head() {
    let (stalled, _) = server(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{").await;
    let start = Instant::now();
    assert_eq!(outcome(probe(stalled, Some(request()))).await, "ok");
    assert!(start.elapsed() < Duration::from_secs(2));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endless = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while connection.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    let probe = Probe { timeout: Duration::from_secs(60), ..probe(endless, Some(request())) };
    let start = Instant::now();
    assert_eq!(outcome(probe).await, "ok");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_connection_closed_without_a_word_is_broken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let _ = connection.read(&mut [0; 4096]).await;
    });
    assert_eq!(outcome(probe(address, Some(request()))).await, "broken");
}

#[tokio::test]
async fn where_nobody_listens_the_connection_fails() {
    assert_eq!(outcome(probe(nowhere(), None)).await, "connect");
    assert_eq!(outcome(probe(nowhere(), Some(request()))).await, "connect");
}

#[tokio::test]
async fn a_connection_over_tls_is_made_to_the_end_of_its_handshake() {
    let secure = |address, request| {
        let mut probe = probe(address, request);
        probe.peer = HttpPeer::new(address, true, "backend.test".into());
        probe
    };
    let (plain, _) = server(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert_eq!(outcome(secure(plain, None)).await, "tls");
    assert_eq!(outcome(secure(plain, Some(request()))).await, "tls");
    let (silent, _) = server(b"").await;
    assert_eq!(outcome(secure(silent, None)).await, "timeout");
}

#[tokio::test]
async fn http2_is_spoken_where_the_peer_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (connection, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(connection).await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        respond.send_response(http::Response::new(()), true).unwrap();
        // The check hangs up: nothing holds its connection.
        while connection.accept().await.is_some() {}
        request
    });
    let mut probe = probe(address, Some(request()));
    probe.peer.options.set_http_version(2, 2);
    probe.peer.options.max_h2_streams = 100;
    assert_eq!(outcome(probe).await, "ok");
    let request = tokio::time::timeout(Duration::from_secs(5), server).await.unwrap().unwrap();
    assert_eq!(request.uri().path(), "/v1/models");
    assert_eq!(request.uri().authority().unwrap().as_str(), "backend.test");
    assert_eq!(request.headers()["authorization"], "Bearer sk-probe");
}

#[tokio::test]
async fn a_protocol_of_our_own_is_checked_as_http1() {
    let (address, _) = server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let mut probe = probe(address, Some(request()));
    let own = pingora_core::protocols::tls::CustomALPN::new(b"own".to_vec());
    probe.peer.options.alpn = ALPN::Custom(own);
    assert_eq!(outcome(probe).await, "ok");
}

#[tokio::test]
async fn a_backend_without_a_probe_is_broken_and_told_without_its_secrets() {
    let told = Told::default();
    let checks = told.checks(1, 1);
    let target = backend(([127, 0, 0, 1], 9).into(), None, 0);
    assert!(checks.check(&target).await.is_err());
    assert_eq!(told.results(), ["broken"]);

    let address = nowhere();
    let target = backend(address, Some(probe(address, Some(request()))), 0);
    let why = checks.check(&target).await.unwrap_err();
    let said = format!("{why} {why:?} {} {target:?}", checks.backend_summary(&target));
    assert!(said.contains(&address.to_string()), "{said}");
    assert!(!said.contains("sk-probe"), "{said}");
}

#[tokio::test]
async fn health_outlives_the_generation_and_a_new_key_starts_healthy() {
    let address = nowhere();
    let told = Told::default();
    let registry = registry(told.checks(1, 1));
    let old = backend(address, Some(probe(address, None)), 7);
    let first = view(&registry, std::slice::from_ref(&old)).await;
    registry.run_health_check(true).await;
    assert!(!first.ready(&old));

    // The same backend by its key, at another weight, and one that is new.
    let same = Backend { weight: 5, ..old.clone() };
    let other = nowhere();
    let new = backend(other, Some(probe(other, None)), 8);
    let second = view(&registry, &[same.clone(), new.clone()]).await;
    drop(first);
    assert_eq!(registry.target_count(), 2);
    assert!(!second.ready(&same), "it was ill before");
    assert!(second.ready(&new), "a new one starts healthy");
    registry.run_health_check(true).await;
    assert!(!second.ready(&same) && !second.ready(&new));
    assert_eq!(told.changes(), [false, false], "being ill is told once");

    drop(second);
    assert_eq!(registry.target_count(), 0);
    let third = view(&registry, std::slice::from_ref(&old)).await;
    assert!(third.ready(&old), "forgotten with its last view");
}

#[tokio::test]
async fn a_backend_without_a_key_is_known_by_its_address() {
    let registry = registry(Told::default().checks(1, 1));
    let (one, two) = (nowhere(), nowhere());
    let plain = |address: SocketAddr| Backend::new(&address.to_string()).unwrap();
    let _view = view(&registry, &[plain(one), plain(two), plain(one)]).await;
    assert_eq!(registry.target_count(), 2);
}

#[test]
fn an_interval_swings_by_a_fifth_and_no_further() {
    let second = Duration::from_secs(1);
    let many: Vec<Duration> = (0..1000).map(|random| jittered(second, random)).collect();
    assert_eq!(many.iter().min(), Some(&Duration::from_millis(800)));
    assert_eq!(many.iter().max(), Some(&Duration::from_millis(1200)));
    for random in [0, 1, u64::MAX, u64::MAX / 3] {
        assert_eq!(jittered(Duration::ZERO, random), Duration::ZERO);
        assert!(jittered(Duration::MAX, random) > Duration::ZERO, "no overflow");
    }
}
