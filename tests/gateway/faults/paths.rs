//! The good ways to a backend: TLS, a client certificate, HTTP/2, a name. What fails elsewhere must work here.

use std::net::{IpAddr, Ipv4Addr};

use super::parts::{Alone, Mode, good, h2_good};
use crate::kit::client::ask;
use crate::kit::config::{Gateway, backend, digest};
use crate::kit::dns::{Asked, Dns, Record};
use crate::kit::tls::{Cert, ClientCert, NAME, TlsFront};
use crate::kit::{KEY, KEY_GLOBEX};

fn both_modes(alone: &Alone, text: &str) {
    for mode in Mode::BOTH {
        assert_eq!(alone.ask(mode), format!("200 {text}"), "{}", mode.label());
    }
}

#[test]
fn a_backend_answers_over_tls_under_the_name_that_is_configured() {
    let upstream = good("safe");
    let front = TlsFront::start(upstream.addr(), Cert::Good, &["http/1.1"]);
    both_modes(&Alone::start(Gateway::new(), &[front.backend("")]), "safe");
    assert_eq!(front.greetings()[0].server_name.as_deref(), Some(NAME));
}

#[test]
fn a_backend_that_wants_a_client_certificate_gets_it() {
    let upstream = good("known");
    let front = TlsFront::start(upstream.addr(), Cert::WantsClient, &[]);
    both_modes(&Alone::start(Gateway::new(), &[front.backend_with_identity()]), "known");
    assert_eq!(front.greetings()[0].client, ClientCert::Shown);
}

#[test]
fn a_backend_answers_over_http2_with_and_without_tls() {
    let upstream = h2_good("two");
    both_modes(&Alone::start(Gateway::new(), &[upstream.backend()]), "two");
    assert!(upstream.requests().iter().all(|seen| seen.path == "/v1/chat/completions"));
    let front = TlsFront::start(upstream.addr(), Cert::Good, &["h2"]);
    both_modes(&Alone::start(Gateway::new(), &[front.backend(", h2: true")]), "two");
    assert_eq!(front.greetings()[0].alpn.as_deref(), Some("h2"));
}

#[test]
fn a_backend_that_decides_for_http1_where_http2_is_wished_for_has_a_connection_for_each_tenant() {
    let upstream = good("one");
    let front = TlsFront::start(upstream.addr(), Cert::Good, &["http/1.1"]);
    let tenant = |name: &str, key: &str| {
        let models = "{ general: { routes: [ { pool: main, model: m } ] } }";
        format!("  {name}: {{ keys: {{ web: {{ sha256: \"{}\" }} }}, models: {models} }}\n", digest(key))
    };
    let daemon = Gateway::new()
        .config_text(&format!(
            "server: {{ listen: \"{{listen}}\", admin: \"{{admin}}\" }}\npools:\n  main: {{ backends: [ {} ] }}\ntenants:\n{}{}",
            front.backend(", h2: true"),
            tenant("a", KEY),
            tenant("b", KEY_GLOBEX)
        ))
        .start();
    for key in [KEY, KEY_GLOBEX, KEY, KEY_GLOBEX] {
        assert_eq!(daemon.client().chat_as(key, &ask("general")).status, 200);
    }
    let spoken: Vec<_> = front.greetings().into_iter().map(|greeting| greeting.alpn).collect();
    assert_eq!(spoken, [(); 2].map(|()| Some("http/1.1".to_owned())));
}

#[test]
fn a_backend_is_found_by_its_name() {
    let (dns, upstream) = (Dns::start(), good("named"));
    dns.set("model.upstream.test", Record::Addresses(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)], 60));
    let gateway =
        Gateway::new().server("dns", &format!("[ \"{}\" ]", dns.addr())).pool_line("local_addresses: true");
    let url = format!("http://model.upstream.test:{}/v1", upstream.addr().port());
    both_modes(&Alone::start(gateway, &[backend(&url)]), "named");
    assert!(dns.questions().contains(&("model.upstream.test".to_owned(), Asked::A)));
}
