//! The kit's own backends, met without a gateway: a fault that is not what it says would prove nothing.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::parts::{Alone, Mode, good, h2_good};
use crate::kit::DEADLINE;
use crate::kit::client::request;
use crate::kit::config::{Gateway, backend};
use crate::kit::dns::{Dns, Record};
use crate::kit::h2::{H2Client, StreamEnd};
use crate::kit::h2_upstream::{H2Step, H2Upstream};
use crate::kit::tls::{Cert, ClientCert, Greeting, NAME, TlsFront, trusting};
use crate::kit::upstream::Upstream;

/// One request over TLS by a client that trusts the CA: the answer, or why there is none.
fn over_tls(front: &TlsFront, identity: ClientCert) -> Result<String, String> {
    let builder = trusting(&front.ca());
    let mut config = match identity {
        ClientCert::None => builder.with_no_client_auth(),
        ClientCert::Shown => {
            let (cert, key) = front.identity();
            let chain = vec![CertificateDer::from_pem_file(cert).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let close = [("Connection", "close")];
    let ask = request("POST", "/v1/chat/completions", &close, Mode::Whole.ask("x").as_bytes());
    runtime.block_on(async {
        let stream = TcpStream::connect(front.addr()).await.unwrap();
        let name = ServerName::try_from(NAME).unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, stream).await.map_err(|e| e.to_string())?;
        stream.write_all(&ask).await.map_err(|e| e.to_string())?;
        let mut answer = vec![0; 15];
        stream.read_exact(&mut answer).await.map_err(|e| e.to_string())?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    })
}

#[test]
fn the_certificates_of_the_kit_are_as_good_and_as_bad_as_they_say() {
    let upstream = good("safe");
    let front = |cert| TlsFront::start(upstream.addr(), cert, &["http/1.1"]);
    let at = front(Cert::Good);
    assert_eq!(over_tls(&at, ClientCert::None).as_deref(), Ok("HTTP/1.1 200 Wh"));
    let greeting = Greeting {
        server_name: Some(NAME.to_owned()),
        alpn: Some("http/1.1".to_owned()),
        client: ClientCert::None,
    };
    assert_eq!(at.greetings(), [greeting]);
    for (cert, why) in [
        (Cert::Expired, "Expired"),
        (Cert::OtherName, "not valid for name"),
        (Cert::OtherCa, "UnknownIssuer"),
    ] {
        let error = over_tls(&front(cert), ClientCert::None).unwrap_err();
        assert!(error.to_lowercase().contains(&why.to_lowercase()), "{cert:?}: {error}");
    }
    let at = front(Cert::WantsClient);
    assert!(over_tls(&at, ClientCert::None).is_err());
    assert_eq!(over_tls(&at, ClientCert::Shown).as_deref(), Ok("HTTP/1.1 200 Wh"));
    assert_eq!(at.greetings()[0].client, ClientCert::Shown);
}

#[test]
fn the_name_server_of_the_kit_says_what_it_is_told() {
    let dns = Dns::start();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let ask = |kind: u8| {
        let question = [b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x04test\0\0", &[kind, 0, 1][..]].concat();
        socket.send_to(&question, dns.addr()).unwrap();
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).unwrap();
        (buffer[3] & 0x0f, buffer[7], buffer[length - 4..length].to_vec())
    };
    assert_eq!(ask(1).0, 3, "a name of which nothing was said");
    let addresses = vec![IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)), "::1".parse().unwrap()];
    dns.set("A.test", Record::Addresses(addresses, 60));
    assert_eq!(ask(1), (0, 1, vec![127, 0, 0, 9]));
    assert_eq!(ask(28), (0, 1, vec![0, 0, 0, 1]));
    dns.set("a.test", Record::Failure);
    assert_eq!(ask(1).0, 2);
    assert_eq!(dns.questions().len(), 4);
}

#[test]
fn the_http2_backend_of_the_kit_does_what_its_script_says() {
    let body = Mode::Whole.ask("x");
    let post = |upstream: &H2Upstream| {
        H2Client::connect(upstream.addr()).request("POST", "/v1/chat/completions", &[], &[body.as_bytes()])
    };
    let upstream = h2_good("two");
    let answer = post(&upstream);
    assert_eq!((answer.status, &answer.end), (200, &StreamEnd::Clean));
    assert_eq!(upstream.requests()[0].body, body.as_bytes());
    let broken = H2Upstream::always(vec![
        H2Step::Head(200, Vec::new()),
        H2Step::Data(b"x".to_vec()),
        H2Step::Reset(h2::Reason::INTERNAL_ERROR),
    ]);
    assert_eq!(post(&broken).end, StreamEnd::Reset(2));
    let leaving = H2Upstream::leaving(1, |_| vec![H2Step::Head(204, Vec::new()), H2Step::End]);
    assert!(matches!(post(&leaving).end, StreamEnd::Broken(_)));
    assert_eq!((post(&leaving).status, leaving.connections()), (204, 2));
    let refusing = H2Upstream::always(vec![H2Step::Reset(h2::Reason::REFUSED_STREAM)]);
    assert_eq!(post(&refusing).end, StreamEnd::Reset(7));
}

#[test]
fn a_backend_of_the_kit_can_listen_on_another_loopback_address() {
    let first = good("one");
    let address = (Ipv4Addr::new(127, 0, 0, 5), first.addr().port()).into();
    let second = Upstream::at(address, |_| Mode::Whole.answer("five")).expect("the address is free");
    assert_eq!(Alone::start(Gateway::new(), &[backend(&second.url())]).ask(Mode::Whole), "200 five");
}
