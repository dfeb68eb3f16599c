//! The cases of x509-limbo (`limbo.json`, version 1), and what this device and rustls-webpki say about each.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use webpki::{
    BorrowedCertRevocationList, CertRevocationList, EndEntityCert, Error, KeyUsage, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};
use zmon_domain::certificate::{Criteria, Expectation, judge, objections};
use zmon_domain::identity::DeviceId;
use zmon_domain::settings::ServerUrl;
use zmon_domain::time::Timestamp;
use zmon_testkit::pki::{Identity, Key, KeyType, NOW, Template};
use zmon_x509_facts::{BundleTexts, examine_texts};

/// Where the cases lie, in a folder beside the checkout: they are no part of the project.
const FILE: &str = "shared/vectors/x509-limbo-194.json";

/// The nearest of the folders above this crate that has the file.
pub(crate) fn file() -> Option<PathBuf> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.map(|folder| folder.join(FILE)).find(|file| file.is_file())
}

/// Reads the cases of a file.
pub(crate) fn read(file: &Path) -> Vec<Case> {
    #[derive(Deserialize)]
    struct Limbo {
        version: u32,
        testcases: Vec<Case>,
    }
    let text = std::fs::read_to_string(file).expect("the file can be read");
    let limbo: Limbo = serde_json::from_str(&text).expect("the file is x509-limbo's");
    assert_eq!(limbo.version, 1, "the file is of a version that this reads");
    limbo.testcases
}

/// One case; members that no case of the file uses are left out.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) validation_kind: Kind,
    trusted_certs: Vec<String>,
    untrusted_intermediates: Vec<String>,
    peer_certificate: String,
    peer_certificate_key: Option<String>,
    validation_time: Option<String>,
    pub(crate) expected_result: Verdict,
    expected_peer_name: Option<PeerName>,
    /// Lists of revoked certificates. A payload has no place for them; rustls-webpki alone is given them.
    crls: Vec<String>,
    /// A limit of intermediates for this case. Nothing can be given it.
    max_chain_depth: Option<u32>,
}

/// What the certificate is to be used for.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Kind {
    Client,
    Server,
}

#[derive(Deserialize)]
struct PeerName {
    value: String,
}

/// What somebody says about a certificate.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(crate) enum Verdict {
    #[serde(rename = "SUCCESS")]
    Accept,
    #[serde(rename = "FAILURE")]
    Refuse,
}

impl Verdict {
    pub(crate) fn of<E>(result: &Result<(), E>) -> Self {
        if result.is_ok() { Self::Accept } else { Self::Refuse }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Accept => "accept",
            Self::Refuse => "refuse",
        })
    }
}

impl Case {
    pub(crate) const fn has_revocation_lists(&self) -> bool {
        !self.crls.is_empty()
    }

    pub(crate) const fn has_depth_limit(&self) -> bool {
        self.max_chain_depth.is_some()
    }

    fn now(&self) -> Timestamp {
        self.validation_time.as_deref().map_or(NOW, |text| {
            let time = OffsetDateTime::parse(text, &Rfc3339).expect("RFC 3339");
            Timestamp::from_millis(u64::try_from(time.unix_timestamp_nanos() / 1_000_000).expect("after 1970"))
        })
    }

    /// The certificate with its intermediates, as a payload has them.
    fn chain(&self) -> String {
        self.peer_certificate.clone() + &self.untrusted_intermediates.concat()
    }

    /// What this device says, with the refusal: the real examination of the texts and the real rules.
    pub(crate) fn ours(&self) -> Result<(), String> {
        match self.validation_kind {
            Kind::Server => self.as_pinned_server(),
            Kind::Client => self.as_client(),
        }
    }

    /// As `serverCertificate` of a payload whose `serverUrl` has the expected host. The monitor's own certificate comes
    /// from a root of its own, which stands behind the case's in `caCertificate`: another name and key, so it leads nowhere
    /// from the case's certificate.
    fn as_pinned_server(&self) -> Result<(), String> {
        let host = match &self.expected_peer_name {
            None => "unnamed.example".into(),
            Some(name) if name.value.parse::<Ipv6Addr>().is_ok() => format!("[{}]", name.value),
            Some(name) => name.value.clone(),
        };
        // A host that is no DNS name is refused in step 6.
        let url = ServerUrl::parse(&format!("https://{host}/")).map_err(|fault| format!("serverUrl: {fault}."))?;
        let monitor = Monitor::new();
        let server = self.chain();
        let facts = examine_texts(&BundleTexts {
            client_certificate: &monitor.client.pem(),
            client_private_key: &monitor.client.key.pkcs8_pem(),
            ca_certificate: &(self.trusted_certs.concat() + &monitor.root.pem()),
            server_certificate: Some(&server),
            at: self.now(),
            synchronised: true,
        });
        let expected = Expectation {
            device_id: &DeviceId::parse(Monitor::ID).expect("a device id"),
            server_host: url.host(),
            now: self.now(),
            synchronised: true,
        };
        let verdict = judge(&facts, &expected).map(drop);
        verdict.map_err(|error| error.message().to_owned())
    }

    /// As `clientCertificate` of a payload. These cases name no device, so the one rule about the device's name is left
    /// out: it would refuse them all.
    fn as_client(&self) -> Result<(), String> {
        let facts = examine_texts(&BundleTexts {
            client_certificate: &self.chain(),
            client_private_key: self.peer_certificate_key.as_deref().expect("these cases have keys"),
            ca_certificate: &self.trusted_certs.concat(),
            server_certificate: None,
            at: self.now(),
            synchronised: true,
        });
        let criteria = Criteria {
            device_id: None,
            server_host: None,
            now: self.now(),
            synchronised: true,
        };
        objections(&facts, &criteria)
            .first()
            .map_or(Ok(()), |refusal| Err(refusal.to_string()))
    }

    /// What rustls-webpki says, given everything that it can be given.
    pub(crate) fn webpki(&self) -> Result<(), Error> {
        let der = |pem: &String| CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
        let trusted: Vec<_> = self.trusted_certs.iter().map(der).collect();
        let anchors = trusted
            .iter()
            .filter_map(|der| webpki::anchor_from_trusted_cert(der).ok());
        let anchors: Vec<_> = anchors.collect();
        let intermediates: Vec<_> = self.untrusted_intermediates.iter().map(der).collect();
        let leaf = der(&self.peer_certificate);

        let lists = self
            .crls
            .iter()
            .map(|pem| CertificateRevocationListDer::from_pem_slice(pem.as_bytes()));
        let lists: Vec<_> = lists.map(|list| list.expect("PEM")).collect();
        let lists = lists
            .iter()
            .map(|list| BorrowedCertRevocationList::from_der(list).map(CertRevocationList::from));
        let lists = lists.collect::<Result<Vec<_>, _>>()?;
        let lists: Vec<_> = lists.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|builder| {
            builder
                .with_depth(RevocationCheckDepth::EndEntity)
                .with_status_policy(UnknownStatusPolicy::Allow)
                .build()
        });

        let usage = match self.validation_kind {
            Kind::Server => KeyUsage::server_auth(),
            Kind::Client => KeyUsage::client_auth(),
        };
        let at = UnixTime::since_unix_epoch(Duration::from_millis(self.now().as_millis()));
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        let leaf = EndEntityCert::try_from(&leaf)?;
        leaf.verify_for_usage(algorithms, &anchors, &intermediates, at, usage, revocation, None)?;
        match &self.expected_peer_name {
            None => Ok(()),
            Some(name) => {
                let name = ServerName::try_from(name.value.as_str()).expect("a name");
                leaf.verify_is_valid_for_subject_name(&name)
            }
        }
    }
}

/// The monitor whose payload a case becomes a part of; good at every moment.
struct Monitor {
    root: Identity,
    client: Identity,
}

impl Monitor {
    const ID: &'static str = "ZM-ICU-MON-04";

    fn new() -> Self {
        let always = |template: Template| {
            template.but(|template| {
                template.not_before = 0;
                template.not_after = 253_402_300_799;
            })
        };
        let root = always(Template::ca("The monitor's own CA")).self_signed(Key::new(KeyType::P256));
        let client = always(Template::client(Self::ID)).issued_by(&root);
        Self { root, client }
    }
}
