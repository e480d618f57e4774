//! TLS in front of a scripted backend: takes it off and passes the bytes on, so that every script works
//! behind it, HTTP/1.1 and HTTP/2 alike. The certificates are made anew for each front.

use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use socket2::SockRef;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::WantsClientCert;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, ConfigBuilder, RootCertStore, ServerConfig};

use super::background::runtime;
use super::folder::Folder;

/// The name that a good certificate is for.
pub const NAME: &str = "upstream.test";

/// What is right or wrong with a front's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cert {
    /// For [`NAME`] and 127.0.0.1, from the CA whose file the configuration names.
    Good,
    /// The same, but its time is over.
    Expired,
    /// For another name.
    OtherName,
    /// From a CA that nobody knows.
    OtherCa,
    /// Good, and the client must show one from the same CA.
    WantsClient,
}

/// A handshake as the front saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The name that was asked for.
    pub server_name: Option<String>,
    /// The protocol that was agreed on.
    pub alpn: Option<String>,
    pub client: ClientCert,
}

/// Whether the client showed a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCert {
    Shown,
    None,
}

/// A running front. Dropping it stops the listener and removes the files.
#[derive(Debug)]
pub struct TlsFront {
    address: SocketAddr,
    folder: Folder,
    seen: Arc<Mutex<Vec<Greeting>>>,
    task: AbortHandle,
}

impl TlsFront {
    /// Stands in front of the backend at `inner` and offers these protocols by ALPN.
    pub fn start(inner: SocketAddr, cert: Cert, alpn: &[&str]) -> Self {
        Self::with(inner, cert, "somebody-else.test", alpn)
    }

    /// Shows a good certificate for this host alone, who is nobody that is asked for.
    pub fn of_another(inner: SocketAddr, host: &str) -> Self {
        Self::with(inner, Cert::OtherName, host, &["http/1.1"])
    }

    fn with(inner: SocketAddr, cert: Cert, other: &str, alpn: &[&str]) -> Self {
        let folder = Folder::new("test-tls");
        let acceptor = TlsAcceptor::from(Arc::new(server_config(&folder, cert, other, alpn)));
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        listener.set_nonblocking(true).expect("a socket option");
        let address = listener.local_addr().expect("a bound socket has an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let task = runtime().spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(relay(acceptor.clone(), stream, inner, Arc::clone(&record)));
            }
        });
        Self { address, folder, seen, task: task.abort_handle() }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL, by its address.
    pub fn url(&self) -> String {
        format!("https://{}/v1", self.address)
    }

    /// The file of the CA to trust.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The certificate and the key of a client that [`Cert::WantsClient`] lets in.
    pub fn identity(&self) -> (PathBuf, PathBuf) {
        (self.folder.join("client.pem"), self.folder.join("client.key"))
    }

    /// A backend for the configuration that trusts the CA and expects [`NAME`]; `more` is added as it is.
    pub fn backend(&self, more: &str) -> String {
        let ca = self.ca();
        format!(
            "{{ url: \"{}\", tls: {{ ca: \"{}\", server_name: {NAME} }}{more} }}",
            self.url(),
            ca.display()
        )
    }

    /// The same with the client's certificate.
    pub fn backend_with_identity(&self) -> String {
        let (ca, (cert, key)) = (self.ca(), self.identity());
        format!(
            "{{ url: \"{}\", tls: {{ ca: \"{}\", cert: \"{}\", key: \"{}\", server_name: {NAME} }} }}",
            self.url(),
            ca.display(),
            cert.display(),
            key.display()
        )
    }

    /// All handshakes that came to an end.
    pub fn greetings(&self) -> Vec<Greeting> {
        self.seen.lock().expect("no holder panics").clone()
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(acceptor: TlsAcceptor, outer: TcpStream, inner: SocketAddr, seen: Arc<Mutex<Vec<Greeting>>>) {
    let _ = outer.set_nodelay(true);
    let Ok(mut outer) = acceptor.accept(outer).await else { return };
    let (_, session) = outer.get_ref();
    let greeting = Greeting {
        server_name: session.server_name().map(str::to_owned),
        alpn: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        client: if session.peer_certificates().is_some() { ClientCert::Shown } else { ClientCert::None },
    };
    seen.lock().expect("no holder panics").push(greeting);
    let Ok(mut inner) = TcpStream::connect(inner).await else { return };
    let _ = inner.set_nodelay(true);
    if copy_bidirectional(&mut outer, &mut inner).await.is_err() {
        // A reset behind us is a reset in front of us.
        let _ = SockRef::from(outer.get_ref().0).set_linger(Some(Duration::ZERO));
    }
}

/// How a client speaks that trusts the authority in this file alone; what it shows is left to say.
pub fn trusting(ca: &Path) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("our own file")).expect("our own CA");
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring knows TLS")
        .with_root_certificates(roots)
}

/// Signs for itself.
pub fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

fn server_config(folder: &Path, cert: Cert, other: &str, alpn: &[&str]) -> ServerConfig {
    let (known, unknown) = (authority("Byname test CA"), authority("Nobody's CA"));
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).expect("a file");
    write("ca.pem", known.pem());

    let mut client = CertificateParams::new(vec!["gateway.test".to_owned()]).expect("a good name");
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let client_key = KeyPair::generate().expect("a key");
    write("client.pem", client.signed_by(&client_key, &known).expect("a certificate").pem());
    write("client.key", client_key.serialize_pem());

    let names: &[&str] = match cert {
        Cert::OtherName => &[other],
        Cert::Good | Cert::Expired | Cert::OtherCa | Cert::WantsClient => &[NAME, "127.0.0.1"],
    };
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut leaf = CertificateParams::new(names).expect("good names");
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    if cert == Cert::OtherName {
        leaf.distinguished_name.push(DnType::CommonName, other);
        leaf.distinguished_name.push(DnType::OrganizationName, other);
    }
    if cert == Cert::Expired {
        leaf.not_before = date_time_ymd(2020, 1, 1);
        leaf.not_after = date_time_ymd(2020, 2, 1);
    }
    let key = KeyPair::generate().expect("a key");
    let issuer = if cert == Cert::OtherCa { &unknown } else { &known };
    let chain = vec![leaf.signed_by(&key, issuer).expect("a certificate").der().clone()];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));

    let provider = Arc::new(ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.expect("ring knows TLS");
    let builder = if cert == Cert::WantsClient {
        let mut roots = RootCertStore::empty();
        roots.add(known.der().clone()).expect("our own CA");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_single_cert(chain, key).expect("a key that fits");
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}
