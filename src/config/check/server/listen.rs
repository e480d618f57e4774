//! The `listen:` field: which addresses clients come to, and what is spoken there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::address;
use crate::config::at::{At, Fields, every, one_of, truth};
use crate::config::check::path;
use crate::config::complaint::{Complaints, Told};
use crate::config::form::{ADDRESS, Field, Form, may, must};
use crate::config::plan::{ClientCerts, Identity, ListenAddress, Listener, Speaks, TlsListen};
use crate::config::raw::Value;

pub(super) const TLS: &[Field] = &[
    must("cert", Form::Text, "the certificate and those between it and its authority"),
    must("key", Form::Text, "its private key"),
    may("client_ca", Form::Text, "the authority of certificates that clients must show"),
    may("client_auth", Form::Words(&["required", "optional"]), "whether they must"),
];
const ENTRY: &[Field] = &[
    must("address", PLACE, "an address and a port, or unix:/PATH"),
    may("h2c", Form::Truth, "whether HTTP/2 without TLS is taken"),
    may("mode", Form::Like("^[0-7]{3,4}$"), "the permissions of a Unix socket, in octal"),
    may("tls", Form::Section(TLS), "1.2 or newer; HTTP/2 and HTTP/1.1, as the client prefers"),
];
const PLACE: Form = Form::Either(&[ADDRESS, Form::Like("^unix:/")]);
const ONE: Form = Form::Either(&[PLACE, Form::Section(ENTRY)]);
/// One listener, or a list of them.
pub(super) const FORM: Form = Form::Either(&[ONE, Form::List(&ONE, 1)]);

/// What a path of a Unix socket begins with.
const UNIX: &str = "unix:";
/// The longest path that fits into a socket address of Linux, in bytes.
const LONGEST_PATH: usize = 107;
/// The permissions of a Unix socket: its owner and its group.
const MODE: u32 = 0o660;

/// The listeners, and what those that speak TLS show, by their place.
pub(super) type Listen = (Vec<Listener>, BTreeMap<usize, TlsListen>);

/// One listener, or a list of them.
pub(super) fn listeners(at: &At<'_>, taken: &mut Taken, out: &mut Complaints) -> Result<Listen, Told> {
    let all = match at.value() {
        Value::List(items) if items.is_empty() => {
            let mend = "write at least one address, such as 127.0.0.1:8080";
            return Err(at.complain(out, "is empty", mend));
        }
        Value::List(_) => every(at.items(out)?.map(|at| listener(&at, taken, out)))?,
        Value::Scalar(_) | Value::Map(_) | Value::Refused(_) => vec![listener(at, taken, out)?],
    };
    let mut certificates = BTreeMap::new();
    let listeners = all.into_iter().enumerate().map(|(place, (listener, tls))| {
        certificates.extend(tls.map(|tls| (place, tls)));
        listener
    });
    Ok((listeners.collect(), certificates))
}

fn listener(
    at: &At<'_>,
    taken: &mut Taken,
    out: &mut Complaints,
) -> Result<(Listener, Option<TlsListen>), Told> {
    match at.value() {
        Value::Map(_) => {
            let fields = at.fields(ENTRY, out)?;
            let mode = fields.get("mode").map(|at| Ok((at, mode(&at, out)?))).transpose();
            let address = fields
                .need("address", "write one, such as 127.0.0.1:8080", out)
                .and_then(|at| place(&at, taken, out));
            let h2c = fields.or("h2c", false, out, truth);
            let tls = fields.or("tls", None, out, |at, out| tls(at, out).map(Some));
            let address = permitted(address?, mode?, out)?;
            let speaks = match (h2c?, &tls) {
                (true, Ok(Some(_))) => return Err(both(&fields, at, out)),
                (true, _) => Speaks::H2c,
                (false, Ok(Some(_))) => Speaks::Tls,
                (false, _) => Speaks::Http1,
            };
            Ok((Listener { address, speaks }, tls?))
        }
        Value::Scalar(_) | Value::List(_) | Value::Refused(_) => {
            Ok((Listener { address: place(at, taken, out)?, speaks: Speaks::Http1 }, None))
        }
    }
}

fn both(fields: &Fields<'_>, at: &At<'_>, out: &mut Complaints) -> Told {
    let wrong = "is HTTP/2 without TLS, and there is `tls`";
    let mend = "remove it: with `tls`, clients choose between HTTP/2 and HTTP/1.1 anyway";
    fields.get("h2c").as_ref().unwrap_or(at).complain(out, wrong, mend)
}

/// An address, or the path of a Unix socket with its usual permissions.
fn place(at: &At<'_>, taken: &mut Taken, out: &mut Complaints) -> Result<ListenAddress, Told> {
    match at.value() {
        Value::Scalar(scalar) if scalar.text.starts_with(UNIX) => {
            let path = unix(at, &scalar.text, out)?;
            taken.claim_path(at, path.clone(), out)?;
            Ok(ListenAddress::Unix { path, mode: MODE })
        }
        Value::Scalar(_) | Value::List(_) | Value::Map(_) | Value::Refused(_) => {
            Ok(ListenAddress::Tcp(taken.claim(at, address(at, out)?, out)?))
        }
    }
}

fn unix(at: &At<'_>, text: &str, out: &mut Complaints) -> Result<PathBuf, Told> {
    const MEND: &str = "write an absolute path, such as unix:/run/byname/api.sock";
    let path = text.strip_prefix(UNIX).unwrap_or(text);
    if !path.starts_with('/') || path.ends_with('/') || path.contains(char::is_control) {
        return Err(at.complain(out, "is not the absolute path of a Unix socket", MEND));
    }
    if path.len() > LONGEST_PATH {
        let wrong =
            format!("is a path of {} bytes, and a Unix socket's has at most {LONGEST_PATH}", path.len());
        return Err(at.complain(out, wrong, "write a shorter one"));
    }
    Ok(PathBuf::from(path))
}

/// Permissions in octal, in quotes: without them YAML has two readings.
fn mode(at: &At<'_>, out: &mut Complaints) -> Result<u32, Told> {
    const MEND: &str = "write three or four octal digits in quotes, such as \"0660\"";
    let text = at.text(out)?;
    let octal = (3..=4).contains(&text.len()) && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if octal && mode & 0o222 == 0 => {
            Err(at.complain(out, "lets nobody connect, which takes the right to write", MEND))
        }
        Ok(mode) if octal && mode <= 0o777 => Ok(mode),
        Ok(_) | Err(_) => Err(at.complain(out, "is not the permissions of a file", MEND)),
    }
}

fn permitted(
    address: ListenAddress,
    written: Option<(At<'_>, u32)>,
    out: &mut Complaints,
) -> Result<ListenAddress, Told> {
    match (address, written) {
        (ListenAddress::Unix { path, .. }, Some((_, mode))) => Ok(ListenAddress::Unix { path, mode }),
        (ListenAddress::Tcp(_), Some((at, _))) => {
            Err(at.complain(out, "is for Unix sockets alone", "remove it, or listen on unix:/some/path"))
        }
        (address, None) => Ok(address),
    }
}

fn tls(at: &At<'_>, out: &mut Complaints) -> Result<TlsListen, Told> {
    let fields = at.fields(TLS, out)?;
    let mut file = |name: &'static str, mend: &str, example: &str| {
        fields.need(name, mend, out).and_then(|at| path::file(&at, example, out))
    };
    let cert =
        file("cert", "write the path of the certificate that clients are shown", "/etc/byname/tls.crt");
    let key = file("key", "write the path of the private key of `cert`", "/etc/byname/tls.key");
    let ca = fields.get("client_ca").map(|at| path::file(&at, "/etc/byname/clients.crt", out)).transpose();
    let auth = fields
        .get("client_auth")
        .map(|at| {
            let word = one_of(
                &at,
                "way to ask clients",
                &[("required", Auth::Required), ("optional", Auth::Optional)],
                out,
            )?;
            Ok((at, word))
        })
        .transpose();
    let clients = match (ca?, auth?) {
        (None, None) => ClientCerts::NotAsked,
        (Some(ca), None | Some((_, Auth::Required))) => ClientCerts::Required(ca),
        (Some(ca), Some((_, Auth::Optional))) => ClientCerts::Optional(ca),
        (None, Some((at, _))) => {
            let wrong = "asks for certificates that nobody could check";
            return Err(at.complain(out, wrong, "write `client_ca`, or remove it"));
        }
    };
    Ok(TlsListen { identity: Identity { cert: cert?, key: key? }, clients })
}

#[derive(Clone, Copy)]
enum Auth {
    Required,
    Optional,
}

/// The addresses that fields before this one listen on.
#[derive(Default)]
pub(super) struct Taken {
    addresses: Vec<(String, SocketAddr)>,
    paths: Vec<(String, PathBuf)>,
}

impl Taken {
    /// Takes an address without asking.
    pub(super) fn insert(&mut self, path: &str, mine: SocketAddr) {
        self.addresses.push((path.to_owned(), mine));
    }

    /// Takes an address for a field, unless another one has it.
    pub(super) fn claim(
        &mut self,
        at: &At<'_>,
        mine: SocketAddr,
        out: &mut Complaints,
    ) -> Result<SocketAddr, Told> {
        if let Some((path, other)) = self.addresses.iter().find(|(_, other)| overlap(mine, *other)) {
            let wrong = format!("overlaps with {path} ({other})");
            return Err(at.complain(out, wrong, "give each its own port"));
        }
        self.insert(&at.path.to_string(), mine);
        Ok(mine)
    }

    fn claim_path(&mut self, at: &At<'_>, mine: PathBuf, out: &mut Complaints) -> Result<(), Told> {
        if let Some((path, _)) = self.paths.iter().find(|(_, other)| mine == *other) {
            return Err(at.complain(out, format!("is the path of {path} too"), "give each its own path"));
        }
        self.paths.push((at.path.to_string(), mine));
        Ok(())
    }
}

/// An unspecified address takes its port on every address, IPv6's also on IPv4.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let anywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (anywhere || one.ip() == other.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::{complaint, reading};

    fn all(at: &At<'_>, out: &mut Complaints) -> Result<Listen, Told> {
        listeners(at, &mut Taken::default(), out)
    }

    #[test]
    fn listen_is_one_or_many_and_short_or_long() {
        use Speaks::{H2c, Http1, Tls};
        for (text, expected) in [
            ("127.0.0.1:1", vec![("127.0.0.1:1", Http1)]),
            ("{ address: 127.0.0.1:1, h2c: true }", vec![("127.0.0.1:1", H2c)]),
            ("unix:/run/a.sock", vec![("unix:/run/a.sock", Http1)]),
            ("{ address: unix:/run/a.sock, h2c: true }", vec![("unix:/run/a.sock", H2c)]),
            (
                "[127.0.0.1:1, { address: '[::1]:1' }, { address: 127.0.0.1:2, tls: { cert: /c, key: /k } }]",
                vec![("127.0.0.1:1", Http1), ("[::1]:1", Http1), ("127.0.0.1:2", Tls)],
            ),
        ] {
            let (read, _) = reading(text, all).unwrap();
            let read: Vec<_> = read.iter().map(|l| (l.address.to_string(), l.speaks)).collect();
            let expected: Vec<_> = expected.into_iter().map(|(a, speaks)| (a.to_owned(), speaks)).collect();
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn certificates_are_no_part_of_what_makes_a_socket() {
        let read = |tls: &str| {
            reading(&format!("[127.0.0.1:1, {{ address: 127.0.0.1:2, tls: {{ {tls} }} }}]"), all).unwrap()
        };
        let (one, other) = (read("cert: /a, key: /b"), read("cert: /c, key: /d, client_ca: /e"));
        assert_eq!(one.0, other.0);
        assert_ne!(one.1, other.1);
        assert_eq!(other.1.keys().collect::<Vec<_>>(), [&1]);
        assert_eq!(other.1[&1].clients, ClientCerts::Required("/e".into()));
        let optional = read("cert: /c, key: /d, client_ca: /e, client_auth: optional");
        assert_eq!(optional.1[&1].clients, ClientCerts::Optional("/e".into()));
        assert_eq!(one.1[&1].clients, ClientCerts::NotAsked);
    }

    #[test]
    fn a_unix_socket_has_an_absolute_path_that_fits_and_permissions() {
        let longest = format!("unix:/{}", "x".repeat(LONGEST_PATH - 1));
        for (text, mode) in [
            ("unix:/run/a.sock".to_owned(), 0o660),
            (longest.clone(), 0o660),
            ("{ address: unix:/a, mode: '0600' }".to_owned(), 0o600),
            ("{ address: unix:/a, mode: '666' }".to_owned(), 0o666),
        ] {
            let (read, _) = reading(&text, all).unwrap();
            assert!(matches!(read[0].address, ListenAddress::Unix { mode: m, .. } if m == mode), "{text}");
        }
        for bad in [
            "'unix:'",
            "unix:run/a.sock",
            "unix:/run/",
            "\"unix:/run/a\\0\"",
            &format!("{longest}x"),
            "{ address: unix:/a, mode: 0660 }",
            "{ address: unix:/a, mode: 'rw' }",
            "{ address: unix:/a, mode: '0800' }",
            "{ address: unix:/a, mode: '1777' }",
            "{ address: unix:/a, mode: '0444' }",
            "{ address: 127.0.0.1:1, mode: '0660' }",
            "[unix:/a, unix:/a]",
        ] {
            assert!(reading(bad, all).is_err(), "{bad}");
        }
    }

    #[test]
    fn tls_has_a_certificate_and_its_key_and_excludes_h2c() {
        for bad in [
            "tls: {}",
            "tls: { cert: /c }",
            "tls: { key: /k }",
            "tls: { cert: /c, key: /k, client_auth: required }",
            "tls: { cert: /c, key: /k, client_ca: /a, client_auth: maybe }",
            "h2c: true, tls: { cert: /c, key: /k }",
        ] {
            assert!(reading(&format!("{{ address: 127.0.0.1:1, {bad} }}"), all).is_err(), "{bad}");
        }
        let harmless = "{ address: 127.0.0.1:1, h2c: false, tls: { cert: /c, key: /k } }";
        assert!(reading(harmless, all).is_ok());
        assert_eq!(
            complaint("{ address: 127.0.0.1:1, h2c: true, tls: { cert: /c, key: /k } }", all),
            "t:1:30: h2c: is HTTP/2 without TLS, and there is `tls`; remove it: with `tls`, clients choose \
             between HTTP/2 and HTTP/1.1 anyway"
        );
    }

    #[test]
    fn an_unspecified_address_overlaps_with_all_others_of_its_port() {
        let overlaps = |one: &str, other: &str| overlap(one.parse().unwrap(), other.parse().unwrap());
        assert!(overlaps("0.0.0.0:80", "127.0.0.1:80"));
        assert!(overlaps("[::]:80", "127.0.0.1:80"));
        assert!(overlaps("[::1]:80", "[::1]:80"));
        assert!(!overlaps("[::1]:80", "127.0.0.1:80"));
        assert!(!overlaps("0.0.0.0:80", "127.0.0.1:81"));
    }
}
