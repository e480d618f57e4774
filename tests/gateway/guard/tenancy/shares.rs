//! What one tenant can take from another: TN-11 to TN-18.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::{A, B, content, echo, models, pool, shared, two};
use crate::guard::{Case, row, told};
use crate::kit::answers::{error_answer, json_answer};
use crate::kit::client::{Client, ask, chat_request};
use crate::kit::script::{Step, whole};
use crate::kit::upstream::Upstream;

pub fn cases() -> Vec<Case> {
    vec![
        row("TN-11", "A takes all of its slots", "a: 200 429 rate_limited; b: 10 of 10", || {
            let upstream = Upstream::start(|seen| {
                let name = seen.json()["model"].as_str().unwrap_or_default().to_owned();
                if name == "model-a" { vec![Step::Wait("go")].into_iter().chain(json_answer("late")).collect() } else { json_answer(&name) }
            });
            let daemon = shared("", &pool("main", &upstream), ", limits: { concurrent: 2 }");
            let mut busy: Vec<_> = (0..2)
                .map(|_| {
                    let mut client = daemon.client();
                    client.send(&chat_request(A, &ask("general")));
                    client
                })
                .collect();
            upstream.wait_requests(2);
            let refused = told(&daemon.client().chat_as(A, &ask("general")));
            let good = (0..10).filter(|_| content(&daemon, B) == "model-b").count();
            upstream.open("go");
            format!("a: {} {refused}; b: {good} of 10", busy[0].read().status)
        }),
        row("TN-12", "A takes all connections of its address", "a: closed; b: 200", || {
            let upstream = echo();
            let daemon = shared(", max_connections_per_address: 4", &pool("main", &upstream), "");
            // Begun and not ended, so that none of them can make room.
            let _held: Vec<_> = (0..4)
                .map(|_| {
                    let mut client = daemon.client();
                    client.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n");
                    client
                })
                .collect();
            daemon.wait_metric("byname_connections{state=\"idle\"}", 4.0);
            // Accepted; what they have said is read a moment later, and shows nowhere.
            std::thread::sleep(Duration::from_millis(500));
            let mut fifth = daemon.client();
            let _ = fifth.try_send(&chat_request(A, &ask("general")));
            let a = fifth.try_read().map_or("closed".to_owned(), |answer| told(&answer));
            let mut elsewhere = from(Ipv4Addr::new(127, 0, 0, 2), daemon.addr());
            format!("a: {a}; b: {}", told(&elsewhere.chat_as(B, &ask("general"))))
        })
        .note("before the key is read nobody knows the tenant, so the share is the address's"),
        row("TN-13", "A takes all memory for bodies that it gets", "A: 503 service_unavailable beyond half; b: 200", || {
            let upstream = echo();
            let daemon = shared(", max_body: 64KiB, max_buffered: 256KiB", &pool("main", &upstream), "");
            let part = "x".repeat(65_500);
            let mut holding = [daemon.client(), daemon.client()];
            for (number, client) in holding.iter_mut().enumerate() {
                client.send(format!("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {A}\r\nContent-Type: application/json\r\nContent-Length: 65536\r\n\r\n{part}").as_bytes());
                daemon.wait_metric("byname_body_bytes", (number + 1) as f64 * 65_500.0);
            }
            let long = |size: usize| ask("general").replace("Hello", &"y".repeat(size));
            let beyond = told(&daemon.client().chat_as(A, &long(2000)));
            // As long as one may be.
            let during = daemon.client().chat_as(B, &long(65_536 - ask("general").len() + "Hello".len())).status;
            format!("A: {beyond} beyond half; b: {during}")
        }),
        row("TN-14", "A is told 400 by a shared backend", "a: 50 of 50 400 invalid_request; b: 20 of 20; breaker closed", || {
            let upstream = Upstream::start(|seen| {
                let name = seen.json()["model"].as_str().unwrap_or_default().to_owned();
                if name == "model-a" { error_answer(400) } else { json_answer(&name) }
            });
            let daemon = shared("", &pool("main", &upstream), "");
            let a = (0..50).filter(|_| content(&daemon, A) == "400 invalid_request").count();
            let b = (0..20).filter(|_| content(&daemon, B) == "model-b").count();
            let open = daemon.metric_sum("byname_upstream_breaker", &[("pool", "main")]);
            format!("a: {a} of 50 400 invalid_request; b: {b} of 20; breaker {}", if open == 0.0 { "closed" } else { "open" })
        }),
        row("TN-15", "A uses up its retries", "a: budget used up; b: 10 of 10", || {
            // Now and then one is good, or its breaker would open: that is all that it is asked never to do here.
            let failing = || {
                Upstream::start(|seen| if seen.index % 8 == 7 { json_answer("rare") } else { whole(500, &[], "{}") })
            };
            let (bad, worse, good) = (failing(), failing(), echo());
            let pool = |name: &str, more: &str, one: &Upstream, other: &Upstream| {
                format!(
                    "{name}: {{ balance: round_robin, breaker: {{ failures: 1000, error_rate: 100% }}{more}, \
                     backends: [ {{ url: \"{}\" }}, {{ url: \"{}\" }} ] }}",
                    one.url(),
                    other.url()
                )
            };
            let pools = [pool("main", "", &bad, &worse), pool("pair", ", retry: { budget: 100% }", &bad, &good)].join(", ");
            let a = models(&[("general", "main", "m")]);
            let daemon = two("", &pools, &a, &models(&[("general", "pair", "model-b")])).start();
            for _ in 0..80 {
                content(&daemon, A);
            }
            let used = daemon.metric("byname_retry_budget_exhausted_total") > Some(0.0);
            let answered = |_: &usize| ["model-b", "rare"].contains(&content(&daemon, B).as_str());
            let fine = (0..10).filter(answered).count();
            format!("a: budget {}; b: {fine} of 10", if used { "used up" } else { "left" })
        }),
        row("TN-16", "A's 429 of a backend with a shared key", "a: 429 rate_limited; b, the same account: 429 rate_limited; b, its own: 200", || {
            let (busy, own) = (
                Upstream::start(|_| whole(429, &[("Retry-After", "5"), ("Content-Type", "application/json")], "{\"error\":{}}")),
                echo(),
            );
            let pools = format!("{}, {}", pool("main", &busy), pool("own", &own));
            let b = models(&[("general", "main", "m"), ("own", "own", "m")]);
            let daemon = two("", &pools, &models(&[("general", "main", "m")]), &b).start();
            let a = content(&daemon, A);
            format!("a: {a}; b, the same account: {}; b, its own: {}", content(&daemon, B), daemon.client().chat_as(B, &ask("own")).status)
        })
        .note("b is told 429 because it is true: the account is one; a tenant's share of a pool is its `limits`"),
        row("TN-17", "the same question of both tenants", "asked 4 times", || {
            let upstream = echo();
            let daemon = shared("", &pool("main", &upstream), "");
            for key in [A, B, A, B] {
                content(&daemon, key);
            }
            format!("asked {} times", upstream.requests().len())
        })
        .note("there is no cache of prompts or answers; those of names and of TLS hold no client's words"),
        row("TN-18", "`user` and `prompt_cache_key`", "not as the client wrote them; a's as ever, b's others", || {
            let upstream = echo();
            let daemon = shared("", &pool("main", &upstream), "");
            let body = ask("general").replace("\"messages\"", "\"user\":\"wquxzelm\",\"prompt_cache_key\":\"wquxzelm\",\"messages\"");
            for key in [A, B, A] {
                assert_eq!(daemon.client().chat_as(key, &body).status, 200);
            }
            let up: Vec<_> = upstream.requests().iter().map(|seen| seen.text()).collect();
            let name = |text: &str, field: &str| {
                let (_, behind) = text.split_once(&format!("\"{field}\":\"bn-")).expect("it goes up under a name of ours");
                behind.split('"').next().unwrap_or_default().to_owned()
            };
            let names: Vec<_> = up.iter().map(|text| [name(text, "user"), name(text, "prompt_cache_key")]).collect();
            let written = if up.iter().any(|text| text.contains("wquxzelm")) { "" } else { "not " };
            let again = if names[0] == names[2] { "as ever" } else { "others again" };
            let apart = if names[0].iter().zip(&names[1]).all(|(a, b)| a != b) { "others" } else { "the same" };
            format!("{written}as the client wrote them; a's {again}, b's {apart}")
        }),
    ]
}

/// A client at another loopback address.
fn from(own: Ipv4Addr, to: SocketAddr) -> Client<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((own, 0)).into()).expect("a loopback address");
    socket.connect(&to.into()).expect("the gateway listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(crate::kit::DEADLINE)).expect("a socket option");
    Client::over(stream)
}
