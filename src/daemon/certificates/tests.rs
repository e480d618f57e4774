//! What listeners show: good files make a configuration, bad ones a complaint that names field and file.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};

use super::*;
use crate::daemon::scratch::Scratch;

/// A folder with the files of an authority and of certificates from it.
struct Files(Scratch);

impl Files {
    fn new() -> Self {
        let files = Self(Scratch::new());
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        files.write("ca.pem", &authority.pem());
        for (name, from, to) in [("good", 2020, 2100), ("old", 2020, 2021), ("early", 2099, 2100)] {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec!["gateway.test".to_owned()]).unwrap();
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(to, 1, 1);
            files.write(&format!("{name}.pem"), &params.signed_by(&key, &authority).unwrap().pem());
            files.write(&format!("{name}.key"), &key.serialize_pem());
        }
        files.write("none.pem", "no certificate at all");
        files
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn plan(&self, cert: &str, key: &str, clients: ClientCerts) -> TlsListen {
        TlsListen { identity: Identity { cert: self.path(cert), key: self.path(key) }, clients }
    }
}

#[test]
fn good_files_offer_both_protocols_and_nothing_early() {
    let files = Files::new();
    for clients in [
        ClientCerts::NotAsked,
        ClientCerts::Optional(files.path("ca.pem")),
        ClientCerts::Required(files.path("ca.pem")),
    ] {
        let config = server_config(&files.plan("good.pem", "good.key", clients)).unwrap();
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert_eq!(config.max_early_data_size, 0);
    }
}

#[test]
fn a_bad_file_is_told_with_its_field_and_its_path() {
    let files = Files::new();
    let ca = |name: &str| ClientCerts::Required(files.path(name));
    for (cert, key, clients, field, file, words) in [
        ("missing.pem", "good.key", ClientCerts::NotAsked, ".cert: ", "missing.pem", "No such file"),
        ("none.pem", "good.key", ClientCerts::NotAsked, ".cert: ", "none.pem", "holds no certificate"),
        ("good.pem", "missing.key", ClientCerts::NotAsked, ".key: ", "missing.key", "No such file"),
        ("good.pem", "old.key", ClientCerts::NotAsked, ".key: ", "old.key", "does not belong to `cert`"),
        ("good.pem", "good.pem", ClientCerts::NotAsked, ".key: ", "good.pem", "holds no private key"),
        ("old.pem", "old.key", ClientCerts::NotAsked, ".cert: ", "old.pem", "expired at"),
        ("early.pem", "early.key", ClientCerts::NotAsked, ".cert: ", "early.pem", "is not valid before"),
        ("good.pem", "good.key", ca("missing.pem"), ".client_ca: ", "missing.pem", "No such file"),
        ("good.pem", "good.key", ca("none.pem"), ".client_ca: ", "none.pem", "holds no certificate"),
    ] {
        let told = server_config(&files.plan(cert, key, clients)).unwrap_err();
        let expected = format!("{field}{}: ", files.path(file).display());
        assert!(told.starts_with(&expected) && told.contains(words), "{cert} {key}: {told}");
    }
}

#[test]
fn every_listener_is_told_by_its_place() {
    let files = Files::new();
    let plan = |cert: &str| files.plan(cert, "good.key", ClientCerts::NotAsked);
    let good = BTreeMap::from([(0, plan("good.pem")), (3, plan("good.pem"))]);
    assert_eq!(of_listeners(&good).unwrap().into_keys().collect::<Vec<_>>(), [0, 3]);
    let bad = BTreeMap::from([(0, plan("none.pem")), (1, plan("good.pem")), (2, plan("missing.pem"))]);
    let told = of_listeners(&bad).unwrap_err();
    let places: Vec<_> = told.iter().map(|fault| fault.way.to_string()).collect();
    assert_eq!(places, ["server.listen[0].tls.cert", "server.listen[2].tls.cert"]);
}

#[test]
fn the_end_of_a_certificate_is_known() {
    let files = Files::new();
    // 2021-01-01T00:00:00Z
    let expected = UNIX_EPOCH + std::time::Duration::from_secs(1_609_459_200);
    assert_eq!(ends::end(&files.path("old.pem")), Some(expected));
    assert_eq!(ends::end(&files.path("none.pem")), None);
}
