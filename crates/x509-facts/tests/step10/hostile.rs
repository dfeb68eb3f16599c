//! Whatever arrives, there is a verdict; and nothing that was changed passes.

use std::sync::LazyLock;

use crate::common::{DEVICE, Device, HOST, accepts, host, pki};
use proptest::prelude::*;
use rustls_pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;
use zmon_domain::certificate::Reason;
use zmon_testkit::pki::{AlternativeName, Extension, Key, KeyType, NOW, Pki, Template, Texts, pem};

static PKI: LazyLock<Pki> = LazyLock::new(pki);
static TEXTS: LazyLock<Texts> = LazyLock::new(|| {
    let mut texts = PKI.texts();
    texts.client_private_key = PKI.client.key.sec1_pem();
    texts
});

/// A change of one octet, a cut, or octets put in.
#[derive(Clone, Debug)]
enum Change {
    Flip(usize, u8),
    Cut(usize),
    Insert(usize, Vec<u8>),
    Remove(usize),
}

impl Change {
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            4 => (any::<usize>(), 1..=255_u8).prop_map(|(at, mask)| Self::Flip(at, mask)),
            1 => any::<usize>().prop_map(Self::Cut),
            1 => (any::<usize>(), proptest::collection::vec(any::<u8>(), 1..8)).prop_map(|(at, octets)| Self::Insert(at, octets)),
            1 => any::<usize>().prop_map(Self::Remove),
        ]
    }

    fn apply(&self, octets: &mut Vec<u8>) {
        let length = octets.len();
        match self {
            Self::Flip(at, mask) => octets[at % length] ^= mask,
            Self::Cut(at) => octets.truncate(at % length),
            Self::Insert(at, new) => drop(octets.splice(at % length..at % length, new.iter().copied())),
            Self::Remove(at) => drop(octets.remove(at % length)),
        }
    }
}

/// The DER inside a text of one PEM block.
fn der(text: &str) -> Vec<u8> {
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    openssl::base64::decode_block(&body).expect("PEM holds base64")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn it_gives_a_verdict_on_any_text(texts in proptest::collection::vec("(\\PC|\n|-----(BEGIN|END) (CERTIFICATE|PRIVATE KEY)-----\n?|[A-Za-z0-9+/=]){0,60}", 4)) {
        let [client, key, ca, server] = texts.try_into().unwrap();
        let verdict = Device::at(NOW).judge(&Texts {
            client_certificate: client,
            client_private_key: key,
            ca_certificate: ca,
            server_certificate: Some(server),
        });
        prop_assert!(verdict.is_err());
    }

    #[test]
    fn it_gives_a_verdict_on_changed_texts(change in Change::any(), field in 0..4) {
        let mut texts = TEXTS.clone();
        let text = match field {
            0 => &mut texts.client_certificate,
            1 => &mut texts.client_private_key,
            2 => &mut texts.ca_certificate,
            _ => texts.server_certificate.as_mut().unwrap(),
        };
        let mut octets = std::mem::take(text).into_bytes();
        change.apply(&mut octets);
        *text = String::from_utf8_lossy(&octets).into_owned();
        // White space may have come or gone; what passes is the same certificates.
        if let Ok(bundle) = Device::at(NOW).judge(&texts) {
            let good = accepts(&TEXTS);
            prop_assert_eq!(bundle.client(), good.client());
            prop_assert_eq!(bundle.server(), good.server());
        }
    }

    #[test]
    fn it_lets_no_changed_certificate_or_key_pass(changes in proptest::collection::vec(Change::any(), 1..4), field in 0..3) {
        let mut texts = TEXTS.clone();
        let (text, label) = match field {
            0 => (&mut texts.client_certificate, "CERTIFICATE"),
            1 => (&mut texts.client_private_key, "EC PRIVATE KEY"),
            _ => (texts.server_certificate.as_mut().unwrap(), "CERTIFICATE"),
        };
        let original = der(text);
        let mut changed = original.clone();
        for change in &changes {
            if !changed.is_empty() {
                change.apply(&mut changed);
            }
        }
        prop_assume!(changed != original);
        *text = pem(label, &changed);
        prop_assert!(Device::at(NOW).judge(&texts).is_err());
    }

    #[test]
    fn it_gives_a_verdict_on_a_changed_trust_root(changes in proptest::collection::vec(Change::any(), 1..4)) {
        let mut texts = TEXTS.clone();
        let mut changed = der(&texts.ca_certificate);
        for change in &changes {
            if !changed.is_empty() {
                change.apply(&mut changed);
            }
        }
        texts.ca_certificate = pem("CERTIFICATE", &changed);
        let _ = Device::at(NOW).judge(&texts);
    }

    /// A second opinion: rustls-webpki's own rule for names.
    #[test]
    fn it_matches_hosts_as_tls_does(presented in "(\\*|\\*a|a\\*|)\\.?[abAB](\\.[ab*-]{1,2}){0,3}\\.?", name in "[ab]{1,2}(\\.[ab]{1,2}){0,3}") {
        let identity = Template::server(HOST)
            .with(Extension::alternative_names(&[AlternativeName::Dns(&presented)]))
            .issued_by(&PKI.ca);
        let mut texts = TEXTS.clone();
        texts.server_certificate = Some(identity.pem());
        let device = Device { host: host(&name), ..Device::at(NOW) };
        let verdict = device.judge(&texts);

        let encoding = CertificateDer::from(identity.der());
        let tls = EndEntityCert::try_from(&encoding).unwrap();
        let by_tls = tls.verify_is_valid_for_subject_name(&ServerName::try_from(name.as_str()).unwrap());
        prop_assert_eq!(verdict.is_ok(), by_tls.is_ok(), "{:?} {:?}", verdict, by_tls);
        if let Err(error) = verdict {
            let told = [Reason::OtherHost, Reason::MalformedName].map(|reason| reason.to_string());
            prop_assert!(told.iter().any(|text| error.message().contains(text)), "{error:?}");
        }
    }
}

#[test]
fn it_lets_no_certificate_or_key_pass_in_which_one_bit_is_wrong() {
    let leaf = der(&TEXTS.client_certificate);
    let sec1 = der(&TEXTS.client_private_key);
    let pkcs8 = der(&PKI.client.key.pkcs8_pem());
    for (label, original) in [("CERTIFICATE", leaf), ("EC PRIVATE KEY", sec1), ("PRIVATE KEY", pkcs8)] {
        for bit in 0..original.len() * 8 {
            let mut changed = original.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            // PKCS#8 has two versions, and this one bit makes the second of the first.
            if label == "PRIVATE KEY" && bit == 40 {
                continue;
            }
            let mut texts = TEXTS.clone();
            match label {
                "CERTIFICATE" => texts.client_certificate = pem(label, &changed),
                _ => texts.client_private_key = pem(label, &changed),
            }
            assert!(Device::at(NOW).judge(&texts).is_err(), "{label}, bit {bit}");
        }
    }
}

#[test]
fn it_bears_certificates_that_are_as_large_as_a_field_may_be() {
    let names: Vec<String> = (0..3000).map(|number| format!("n{number}.example")).collect();
    let names: Vec<_> = names.iter().map(|name| AlternativeName::Dns(name)).collect();
    let ca = Template::ca("Constrained")
        .with(Extension::permitted_dns("example"))
        .self_signed(Key::new(KeyType::P256));
    let large = Template::client(DEVICE)
        .with(Extension::alternative_names(&names[..2500]))
        .issued_by(&ca);
    let texts = Texts {
        client_certificate: large.pem(),
        client_private_key: large.key.pkcs8_pem(),
        ca_certificate: ca.pem(),
        server_certificate: None,
    };
    accepts(&texts);
}
