//! Certificates for a gateway's own listeners, and clients that speak TLS to them.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, KeyPair};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::DEADLINE;
use super::client::Client;
use super::folder::Folder;
use super::tls::{authority, trusting};

/// Whom the gateway's certificate is for.
pub const GATEWAY: &str = "gateway.test";

/// The files of an authority, of the gateway, and of clients. Dropping it removes them.
#[derive(Debug)]
pub struct Papers {
    folder: Folder,
}

/// What a client shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    Nothing,
    /// A certificate of the authority that the gateway trusts.
    Good,
    /// One of another authority.
    Strange,
}

/// A client's end of TLS over a blocking socket.
pub type TlsEnd = StreamOwned<ClientConnection, TcpStream>;

impl Papers {
    /// Makes all anew.
    pub fn new() -> Self {
        let papers = Self { folder: Folder::new("test-papers") };
        let (known, unknown) = (authority("Known CA"), authority("Nobody's CA"));
        papers.write("ca.pem", &known.pem());
        papers.make("gateway", &known);
        papers.make("client", &known);
        papers.make("stranger", &unknown);
        papers
    }

    /// Makes a new certificate and key for the gateway, from another authority, in place of the old ones.
    pub fn renew(&self) {
        let other = authority("Next CA");
        self.write("ca.pem", &other.pem());
        self.make("gateway", &other);
    }

    /// The `tls:` of a listener; `more` is added as it is.
    pub fn listener(&self, more: &str) -> String {
        let (cert, key) = (self.path("gateway.pem"), self.path("gateway.key"));
        format!("{{ cert: \"{}\", key: \"{}\"{more} }}", cert.display(), key.display())
    }

    /// The file of the authority.
    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Where the files are, for more of them.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How a client speaks: what it shows, and which protocols it offers.
    pub fn config(&self, shows: Shows, alpn: &[&str]) -> ClientConfig {
        let builder = trusting(&self.ca());
        let with = |name: &str| {
            let chain =
                CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).expect("our own file");
            let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).expect("our own file");
            (vec![chain], key)
        };
        let mut config = match shows {
            Shows::Nothing => builder.with_no_client_auth(),
            Shows::Good | Shows::Strange => {
                let (chain, key) = with(if shows == Shows::Good { "client" } else { "stranger" });
                builder.with_client_auth_cert(chain, key).expect("a key that fits")
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    /// A blocking client. The handshake is done with the first bytes; what goes wrong shows there.
    pub fn client(&self, address: SocketAddr, config: &Arc<ClientConfig>) -> Client<TlsEnd> {
        let stream = TcpStream::connect_timeout(&address, DEADLINE).expect("the gateway listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket option");
        stream.set_write_timeout(Some(DEADLINE)).expect("a socket option");
        stream.set_nodelay(true).expect("a socket option");
        let name = ServerName::try_from(GATEWAY).expect("a good name");
        let connection = ClientConnection::new(Arc::clone(config), name).expect("a good configuration");
        Client::over(StreamOwned::new(connection, stream))
    }

    /// A connection for clients that cannot block.
    ///
    /// # Errors
    /// What went wrong with the handshake.
    pub async fn connect(
        &self,
        address: SocketAddr,
        config: ClientConfig,
    ) -> io::Result<TlsStream<tokio::net::TcpStream>> {
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(GATEWAY).expect("a good name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file");
    }

    fn make(&self, name: &str, issuer: &CertifiedIssuer<'static, KeyPair>) {
        let mut params =
            CertificateParams::new(vec![GATEWAY.to_owned(), "127.0.0.1".to_owned()]).expect("good names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        self.write(&format!("{name}.pem"), &params.signed_by(&key, issuer).expect("a certificate").pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }
}
