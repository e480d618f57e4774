//! Where clients come to: TLS and what is agreed in it, client certificates, IPv6, Unix sockets, several at once.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::version::TLS12;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::kit::answers::{json_answer, sse_answer};
use crate::kit::client::{Client, End, ask, ask_stream};
use crate::kit::config::Gateway;
use crate::kit::h2::{H2Client, StreamEnd};
use crate::kit::papers::{Papers, Shows};
use crate::kit::upstream::Upstream;
use crate::kit::{DEADLINE, KEY, ports, sse};

const BEARER: (&str, &str) = ("authorization", "Bearer bn-test-acme");
const JSON: (&str, &str) = ("content-type", "application/json");

fn good() -> Upstream {
    Upstream::start(|seen| if seen.wants_stream() { sse_answer(&["o", "k"]) } else { json_answer("ok") })
}

/// A gateway that also listens with TLS, and where.
fn with_tls(upstream: &Upstream, papers: &Papers, more: &str) -> (Gateway, SocketAddr) {
    let address = ports::free();
    let entry = format!("{{ address: \"{address}\", tls: {} }}", papers.listener(more));
    (Gateway::new().backend(upstream).listen_also(&entry), address)
}

fn exchange(client: &mut Client<impl std::io::Read + std::io::Write>) {
    for round in 0..2 {
        let answer = client.chat(&ask("general"));
        assert_eq!((answer.status, answer.end), (200, End::Clean), "{round}");
        let answer = client.chat(&ask_stream("general"));
        assert_eq!((answer.status, sse::text(&answer.body).as_str()), (200, "ok"), "{round}");
    }
}

#[test]
fn tls_carries_both_protocols_as_the_client_prefers() {
    let (upstream, papers) = (good(), Papers::new());
    let (gateway, address) = with_tls(&upstream, &papers, "");
    let daemon = gateway.start();
    for alpn in [&["http/1.1"][..], &[], &["http/1.1", "h2"][1..1]] {
        exchange(&mut papers.client(address, &Arc::new(papers.config(Shows::Nothing, alpn))));
    }
    let config = papers.config(Shows::Nothing, &["h2", "http/1.1"]);
    let client = H2Client::over(async {
        let stream = papers.connect(address, config).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        stream
    });
    for body in [ask("general"), ask_stream("general")] {
        let answer = client.request("POST", "/v1/chat/completions", &[BEARER, JSON], &[body.as_bytes()]);
        assert_eq!((answer.status, answer.end), (200, StreamEnd::Clean));
    }
    // The plain listener next to it goes on as before.
    exchange(&mut daemon.client());
    let cut = "byname_connections_cut_total{reason=\"tls\"}";
    // Whoever looked whether it is ready has come and gone without a word.
    let before = daemon.metric(cut).unwrap();
    let config = papers.config(Shows::Nothing, &["h3"]);
    let mut stranger = papers.client(address, &Arc::new(config));
    assert!(stranger.try_send(b"GET / HTTP/1.1\r\n\r\n").and_then(|()| stranger.try_read()).is_err());
    daemon.wait_metric(cut, before + 1.0);
}

#[test]
fn tls_1_2_is_spoken_and_resumed_sessions_work() {
    let (upstream, papers) = (good(), Papers::new());
    let (gateway, address) = with_tls(&upstream, &papers, "");
    let _daemon = gateway.start();
    let new = papers.config(Shows::Nothing, &[]);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(papers.ca()).unwrap()).unwrap();
    let old = ClientConfig::builder_with_provider(new.crypto_provider().clone())
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    for config in [Arc::new(old), Arc::new(new)] {
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut client = papers.client(address, &config);
            exchange(&mut client);
            kinds.push(format!("{:?}", client.stream().conn.handshake_kind().unwrap()));
        }
        assert_eq!(kinds, ["Full", "Resumed"]);
    }
}

#[test]
fn client_certificates_are_asked_for_as_configured() {
    let (upstream, papers) = (good(), Papers::new());
    let ca = papers.ca();
    for (auth, nothing) in
        [("", false), (", client_auth: required", false), (", client_auth: optional", true)]
    {
        let more = format!(", client_ca: \"{}\"{auth}", ca.display());
        let (gateway, address) = with_tls(&upstream, &papers, &more);
        let daemon = gateway.start();
        for (shows, welcome) in [(Shows::Good, true), (Shows::Nothing, nothing), (Shows::Strange, false)] {
            let mut client = papers.client(address, &Arc::new(papers.config(shows, &[])));
            // With TLS 1.3 a client learns only afterwards that it was refused.
            let head = format!("GET /v1/models HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {KEY}\r\n\r\n");
            let answer = client.try_send(head.as_bytes()).and_then(|()| client.try_read());
            assert_eq!(answer.map(|answer| answer.status).ok(), welcome.then_some(200), "{auth} {shows:?}");
        }
        exchange(&mut daemon.client());
    }
}

#[test]
fn a_listener_whose_certificates_cannot_be_used_is_told() {
    let (upstream, papers) = (good(), Papers::new());
    std::fs::write(papers.folder().join("gateway.key"), "no key").unwrap();
    let (gateway, _) = with_tls(&upstream, &papers, "");
    let config = papers.folder().join("byname.yaml");
    std::fs::write(&config, gateway.text(ports::free(), ports::free())).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_byname")).arg("-c").arg(&config).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{told}");
    let path = papers.folder().join("gateway.key");
    assert!(told.contains(&format!("server.listen[1].tls.key: {}: ", path.display())), "{told}");
}

#[test]
fn certificates_and_what_clients_may_take_change_with_a_reload() {
    let (upstream, papers) = (good(), Papers::new());
    let (gateway, address) = with_tls(&upstream, &papers, "");
    let daemon = gateway.start();
    let before = Arc::new(papers.config(Shows::Nothing, &[]));
    let mut old = papers.client(address, &before);
    exchange(&mut old);
    papers.renew();
    daemon.reload_to(&gateway.server("max_requests", "1"));
    // Whoever is in stays in, but for the new rule; whoever comes is shown the new certificate.
    let answer = old.chat(&ask("general"));
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    let after = Arc::new(papers.config(Shows::Nothing, &[]));
    assert_eq!(papers.client(address, &after).chat(&ask("general")).status, 200);
    let mut stranger = papers.client(address, &before);
    assert!(stranger.try_send(b"GET / HTTP/1.1\r\n\r\n").and_then(|()| stranger.try_read()).is_err());
    // A bad one is refused, and the good one goes on.
    std::fs::write(papers.folder().join("gateway.key"), "no key").unwrap();
    daemon.signal("HUP");
    daemon.wait_metric("byname_config_last_reload_successful", 0.0);
    assert_eq!(papers.client(address, &after).chat(&ask("general")).status, 200);
}

#[test]
fn ipv6_is_listened_on_next_to_ipv4() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("not here: this machine has no IPv6");
        return;
    }
    let (upstream, papers) = (good(), Papers::new());
    let (plain, secret) = (ports::free().port(), ports::free().port());
    let daemon = Gateway::new()
        .backend(&upstream)
        .listen_also(&format!("\"[::1]:{plain}\""))
        .listen_also(&format!("{{ address: \"[::1]:{secret}\", tls: {} }}", papers.listener("")))
        .start();
    exchange(&mut Client::connect((Ipv6Addr::LOCALHOST, plain).into()));
    let config = Arc::new(papers.config(Shows::Nothing, &[]));
    exchange(&mut papers.client((Ipv6Addr::LOCALHOST, secret).into(), &config));
    exchange(&mut daemon.client());
}

fn over(path: &PathBuf) -> Client<UnixStream> {
    let stream = UnixStream::connect(path).expect("the gateway listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket option");
    Client::over(stream)
}

#[test]
fn a_unix_socket_has_its_permissions_and_carries_all_that_tcp_does() {
    let (upstream, papers) = (good(), Papers::new());
    let [plain, secret, both] = ["plain", "tls", "h2c"].map(|name| papers.folder().join(name));
    let tls = papers.listener("");
    let gateway = Gateway::new()
        .backend(&upstream)
        .listen_also(&format!("\"unix:{}\"", plain.display()))
        .listen_also(&format!("{{ address: \"unix:{}\", tls: {tls} }}", secret.display()))
        .listen_also(&format!("{{ address: \"unix:{}\", mode: \"0600\", h2c: true }}", both.display()))
        // Those who come this way are not counted with others.
        .server("max_connections_per_address", "1");
    let mut daemon = gateway.start();
    // The proof that listeners accept comes by TCP, more than once at a time if need be.
    let refused = daemon.metric_sum("byname_connections_refused_total", &[]);
    let mode = |path: &PathBuf| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(&plain), mode(&secret), mode(&both)], [0o660, 0o660, 0o600]);
    let (mut one, mut other) = (over(&plain), over(&plain));
    exchange(&mut one);
    exchange(&mut other);
    exchange(&mut over(&both));
    let path = both.clone();
    let client = H2Client::over(async move { tokio::net::UnixStream::connect(path).await.unwrap() });
    assert_eq!(client.request("GET", "/v1/models", &[BEARER], &[]).status, 200);
    let config = Arc::new(papers.config(Shows::Nothing, &["http/1.1"]));
    let connection = ClientConnection::new(config, "gateway.test".try_into().unwrap());
    let stream = UnixStream::connect(&secret).unwrap();
    exchange(&mut Client::over(StreamOwned::new(connection.unwrap(), stream)));
    assert_eq!(daemon.metric_sum("byname_connections_refused_total", &[]), refused);
    daemon.signal("KILL");
    daemon.wait();
    // What it left behind is in nobody's way.
    assert!(plain.symlink_metadata().unwrap().file_type().is_socket());
    let again = gateway.start();
    exchange(&mut over(&plain));
    // But somebody who listens is.
    let config = papers.folder().join("byname.yaml");
    std::fs::write(&config, gateway.text(ports::free(), ports::free())).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_byname")).arg("-c").arg(&config).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be listened on: address in use"));
    exchange(&mut over(&plain));
    drop(again);
}

#[test]
fn http2_without_tls_and_the_shortest_of_heads_share_a_listener() {
    let upstream = good();
    let daemon = Gateway::new().backend(&upstream).h2c().start();
    // Shorter than the preface of HTTP/2, and like it at first.
    for (head, status) in
        [("GET / HTTP/1.0\r\n\r\n", 404), ("PRI * HTTP/1.1\r\nHost: g\r\n\r\n", 404), ("P\r\n\r\n", 400)]
    {
        let mut client = daemon.client();
        client.send(head.as_bytes());
        assert_eq!(client.read().status, status, "{head:?}");
    }
    let mut client = daemon.client();
    client.send_in_pieces(&crate::kit::client::chat_request(KEY, &ask("general")), 1);
    assert_eq!(client.read().status, 200);
    exchange(&mut client);
}
