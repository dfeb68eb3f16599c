//! A device that judges, and bundles with one thing changed.

use zmon_domain::certificate::{BundleFacts, CertifiedBundle, Expectation, Field, Reason, Refusal, judge, objections};
use zmon_domain::error::ProvisioningError;
use zmon_domain::identity::DeviceId;
use zmon_domain::settings::{ServerHost, ServerUrl};
use zmon_domain::time::Timestamp;
use zmon_testkit::pki::{Identity, Key, KeyType, NOW, Pki, Template, Texts};
use zmon_x509_facts::{BundleTexts, examine_texts};

pub(crate) const DEVICE: &str = "ZM-ICU-MON-04";
pub(crate) const HOST: &str = "telemetry.hospital.example";

/// What the device knows while it examines a bundle.
pub(crate) struct Device {
    pub(crate) host: ServerHost,
    pub(crate) now: Timestamp,
    pub(crate) synchronised: bool,
}

impl Device {
    pub(crate) fn at(now: Timestamp) -> Self {
        Self {
            host: host(HOST),
            now,
            synchronised: true,
        }
    }

    fn examine(&self, texts: &Texts) -> BundleFacts {
        examine_texts(&BundleTexts {
            client_certificate: &texts.client_certificate,
            client_private_key: &texts.client_private_key,
            ca_certificate: &texts.ca_certificate,
            server_certificate: texts.server_certificate.as_deref(),
            at: self.now,
            synchronised: self.synchronised,
        })
    }

    fn with_expectation<T>(&self, judge: impl FnOnce(&Expectation<'_>) -> T) -> T {
        judge(&Expectation {
            device_id: &DeviceId::parse(DEVICE).expect("a device id"),
            server_host: &self.host,
            now: self.now,
            synchronised: self.synchronised,
        })
    }

    pub(crate) fn judge(&self, texts: &Texts) -> Result<CertifiedBundle, ProvisioningError> {
        self.with_expectation(|expected| judge(&self.examine(texts), expected))
    }

    pub(crate) fn objections(&self, texts: &Texts) -> Vec<Refusal> {
        self.with_expectation(|expected| objections(&self.examine(texts), &expected.into()))
    }
}

pub(crate) fn host(name: &str) -> ServerHost {
    ServerUrl::parse(&format!("https://{name}/"))
        .expect("a URL")
        .host()
        .clone()
}

pub(crate) fn pki() -> Pki {
    Pki::new(DEVICE, HOST)
}

#[track_caller]
pub(crate) fn accepts(texts: &Texts) -> CertifiedBundle {
    Device::at(NOW).judge(texts).expect("a good bundle")
}

#[track_caller]
pub(crate) fn refuses(texts: &Texts, field: Field, block: impl Into<Option<usize>>, reason: Reason) {
    refuses_at(&Device::at(NOW), texts, field, block, reason);
}

#[track_caller]
pub(crate) fn refuses_at(
    device: &Device,
    texts: &Texts,
    field: Field,
    block: impl Into<Option<usize>>,
    reason: Reason,
) {
    let refusal = tells_at(device, texts, field, block, reason);
    // A dry run tells it too, and nothing that only follows from it.
    assert_eq!(device.objections(texts), [refusal]);
}

/// It is told first; other faults may stand behind it.
#[track_caller]
pub(crate) fn tells(texts: &Texts, field: Field, block: impl Into<Option<usize>>, reason: Reason) {
    tells_at(&Device::at(NOW), texts, field, block, reason);
}

#[track_caller]
pub(crate) fn tells_at(
    device: &Device,
    texts: &Texts,
    field: Field,
    block: impl Into<Option<usize>>,
    reason: Reason,
) -> Refusal {
    let refusal = Refusal {
        field,
        block: block.into(),
        reason,
    };
    assert_eq!(device.judge(texts), Err(refusal.into()));
    refusal
}

/// The first is told; a dry run tells all.
#[track_caller]
pub(crate) fn objects(texts: &Texts, all: &[(Field, usize, Reason)]) {
    objects_at(&Device::at(NOW), texts, all);
}

#[track_caller]
pub(crate) fn objects_at(device: &Device, texts: &Texts, all: &[(Field, usize, Reason)]) {
    let refusals = all.iter().map(|(field, block, reason)| Refusal {
        field: *field,
        block: Some(*block),
        reason: *reason,
    });
    let refusals: Vec<_> = refusals.collect();
    assert_eq!(device.objections(texts), refusals);
    assert_eq!(device.judge(texts), Err(refusals[0].into()));
}

pub(crate) const CLIENT: Field = Field::ClientCertificate;
pub(crate) const KEY: Field = Field::ClientPrivateKey;
pub(crate) const CA: Field = Field::CaCertificate;
pub(crate) const SERVER: Field = Field::ServerCertificate;

/// A good bundle but for the client's certificate.
pub(crate) fn client(template: &Template) -> Texts {
    let mut pki = pki();
    pki.client = template.issued_by(&pki.ca);
    pki.texts()
}

/// A good bundle but for the client's key.
pub(crate) fn client_key(kind: KeyType) -> Texts {
    let mut pki = pki();
    pki.client = Template::client(DEVICE).issued_for(Key::new(kind), &pki.ca);
    pki.texts()
}

/// A good bundle but for the server's certificate.
pub(crate) fn server(template: &Template) -> Texts {
    let mut pki = pki();
    pki.server = template.issued_by(&pki.ca);
    pki.texts()
}

/// A good bundle but for the CA's certificate.
pub(crate) fn ca(template: &Template, kind: KeyType) -> Texts {
    let ca = template.self_signed(Key::new(kind));
    Pki {
        client: Template::client(DEVICE).issued_by(&ca),
        server: Template::server(HOST).issued_by(&ca),
        ca,
    }
    .texts()
}

/// A client below an intermediate.
pub(crate) fn through(intermediate: &Template) -> (Identity, Texts) {
    let mut pki = pki();
    let intermediate = intermediate.issued_by(&pki.ca);
    pki.client = Template::client(DEVICE).issued_by(&intermediate);
    let mut texts = pki.texts();
    texts.client_certificate += &intermediate.pem();
    (intermediate, texts)
}
