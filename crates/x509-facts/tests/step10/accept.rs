//! Bundles that a careful hospital makes pass step 10.

use crate::common::{CA, CLIENT, DEVICE, Device, HOST, SERVER, accepts, host, objects_at, pki, refuses, refuses_at};
use zmon_domain::certificate::Reason;
use zmon_domain::time::Timestamp;
use zmon_testkit::pki::{AlternativeName, DAY, Extension, Identity, Key, KeyType, NOW, Pki, Template};

#[test]
fn it_tells_what_is_tracked_about_each_certificate() {
    let pki = pki();
    let bundle = accepts(&pki.texts());
    let leaf = bundle.leaf();
    assert_eq!(leaf.serial, "13370001");
    assert_eq!(leaf.subject, format!("CN={DEVICE},O=General Hospital"));
    assert_eq!(leaf.issuer, "CN=Z-Monitor-CA,O=General Hospital");
    assert_eq!(leaf.not_before, Timestamp::from_millis(NOW.as_millis() - 86_400_000));
    assert_eq!(
        leaf.not_after,
        Timestamp::from_millis(NOW.as_millis() + 3650 * 86_400_000)
    );
    let digest = ring::digest::digest(&ring::digest::SHA256, &pki.client.der());
    assert_eq!(leaf.sha256.as_bytes(), digest.as_ref());
    assert_eq!(
        (bundle.client().len(), bundle.ca().len(), bundle.server().len()),
        (1, 1, 1)
    );
    assert_eq!(bundle.ca()[0].subject, "CN=Z-Monitor-CA,O=General Hospital");
    assert_eq!(bundle.server()[0].subject, "CN=Telemetry server,O=General Hospital");
}

#[test]
fn it_accepts_every_listed_kind_of_client_key() {
    for kind in [
        KeyType::P256,
        KeyType::P384,
        KeyType::Ed25519,
        KeyType::Rsa(2048),
        KeyType::Rsa(3072),
    ] {
        let mut pki = pki();
        pki.client = Template::client(DEVICE).issued_for(Key::new(kind), &pki.ca);
        accepts(&pki.texts());
    }
}

#[test]
fn it_accepts_every_listed_kind_of_issuer() {
    for kind in [KeyType::P384, KeyType::Ed25519, KeyType::Rsa(2048), KeyType::Rsa(4096)] {
        let ca = Template::ca("Other-CA").self_signed(Key::new(kind));
        let pki = Pki {
            client: Template::client(DEVICE).issued_by(&ca),
            server: Template::server(HOST).issued_by(&ca),
            ca,
        };
        accepts(&pki.texts());
    }
}

#[test]
fn it_accepts_the_key_in_every_form() {
    let mut pki = pki();
    let mut texts = pki.texts();
    texts.client_private_key = pki.client.key.sec1_pem();
    accepts(&texts);
    texts.client_private_key = pki.client.key.sec1_pem_without_public();
    accepts(&texts);

    pki.client = Template::client(DEVICE).issued_for(Key::new(KeyType::P384), &pki.ca);
    let mut texts = pki.texts();
    texts.client_private_key = pki.client.key.sec1_pem();
    accepts(&texts);

    pki.client = Template::client(DEVICE).issued_for(Key::new(KeyType::Rsa(2048)), &pki.ca);
    let mut texts = pki.texts();
    texts.client_private_key = pki.client.key.pkcs1_pem();
    accepts(&texts);
}

#[test]
fn it_accepts_intermediates_behind_either_leaf() {
    let pki = pki();
    let upper = Template::ca("Upper").issued_by(&pki.ca);
    let lower = Template::ca("Lower").issued_by(&upper);
    let client = Template::client(DEVICE).issued_by(&lower);
    let server = Template::server(HOST).issued_by(&lower);
    let mut texts = pki.texts();
    texts.client_private_key = client.key.pkcs8_pem();
    // Whatever their order, and with the root among them.
    texts.client_certificate = [client.pem(), lower.pem(), upper.pem(), pki.ca.pem()].concat();
    texts.server_certificate = Some([server.pem(), upper.pem(), lower.pem()].concat());
    let bundle = accepts(&texts);
    assert_eq!((bundle.client().len(), bundle.server().len()), (4, 3));
}

#[test]
fn it_accepts_several_trust_roots_and_no_pin() {
    let pki = pki();
    let other = Template::ca("Other-CA").self_signed(Key::new(KeyType::P384));
    let mut texts = pki.texts();
    texts.ca_certificate = [other.pem(), pki.ca.pem()].concat();
    texts.server_certificate = Some(Template::server(HOST).issued_by(&other).pem());
    assert_eq!(accepts(&texts).ca().len(), 2);
    texts.server_certificate = None;
    assert!(accepts(&texts).server().is_empty());
}

#[test]
fn it_accepts_an_intermediate_as_the_only_trust_root() {
    let pki = pki();
    let department = Template::ca("Department").issued_by(&pki.ca);
    let client = Template::client(DEVICE).issued_by(&department);
    let mut texts = pki.texts();
    texts.client_certificate = client.pem();
    texts.client_private_key = client.key.pkcs8_pem();
    texts.ca_certificate = department.pem();
    texts.server_certificate = None;
    accepts(&texts);
}

#[test]
fn it_finds_the_device_in_common_name_dns_name_or_uri_in_any_case() {
    let named = |name| Template::client("unit 4711").with(Extension::alternative_names(&[name]));
    let templates = [
        Template::client(&DEVICE.to_lowercase()),
        named(AlternativeName::Dns("zm-icu-mon-04")),
        named(AlternativeName::Uri("ZM-ICU-MON-04")),
        Template::client(DEVICE).with(Extension::alternative_names(&[AlternativeName::Dns("other")])),
    ];
    for template in templates {
        let mut pki = pki();
        pki.client = template.issued_by(&pki.ca);
        accepts(&pki.texts());
    }
}

#[test]
fn it_matches_the_servers_address_and_wildcards() {
    let cases: [(&str, AlternativeName<'_>, bool); 8] = [
        ("10.1.50.1", AlternativeName::Address(&[10, 1, 50, 1]), true),
        ("10.1.50.2", AlternativeName::Address(&[10, 1, 50, 1]), false),
        (
            "[2001:db8::1]",
            AlternativeName::Address(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            true,
        ),
        (HOST, AlternativeName::Dns("TELEMETRY.hospital.example"), true),
        (HOST, AlternativeName::Dns("*.hospital.example"), true),
        (
            "a.b.hospital.example",
            AlternativeName::Dns("*.hospital.example"),
            false,
        ),
        ("hospital.example", AlternativeName::Dns("*.hospital.example"), false),
        ("telemetry.hospital.example.", AlternativeName::Dns(HOST), true),
    ];
    for (name, alternative, matches) in cases {
        let mut pki = pki();
        pki.server = Template::server(HOST)
            .with(Extension::alternative_names(&[alternative]))
            .issued_by(&pki.ca);
        let device = Device {
            host: host(name),
            ..Device::at(NOW)
        };
        if matches {
            device.judge(&pki.texts()).unwrap();
        } else {
            refuses_at(&device, &pki.texts(), SERVER, 1, Reason::OtherHost);
        }
    }
}

#[test]
fn it_accepts_certificates_that_begin_later_only_while_the_clock_is_not_synchronised() {
    let mut pki = pki();
    let later = |template: Template, days: i64| template.but(|template| template.not_before += days * DAY);
    // Each begins at another time, so that no path is valid before the latest of them.
    let intermediate = later(Template::ca("Issuing"), 40).issued_by(&pki.ca);
    pki.client = later(Template::client(DEVICE), 20).issued_by(&intermediate);
    pki.server = later(Template::server(HOST), 90).issued_by(&pki.ca);
    let mut texts = pki.texts();
    texts.client_certificate += &intermediate.pem();
    let mut device = Device::at(NOW);
    let early = |field, block| (field, block, Reason::NotYetValid);
    objects_at(&device, &texts, &[early(CLIENT, 1), early(CLIENT, 2), early(SERVER, 1)]);
    device.synchronised = false;
    device.judge(&texts).unwrap();
}

#[test]
fn it_accepts_from_the_first_to_the_last_moment_of_validity() {
    let pki = pki();
    let (first, last) = (NOW.as_millis() - 86_400_000, NOW.as_millis() + 3650 * 86_400_000);
    // The last second is one of them.
    for moment in [first, last, last + 999] {
        Device::at(Timestamp::from_millis(moment)).judge(&pki.texts()).unwrap();
    }
    for (moment, reason) in [(first - 1, Reason::NotYetValid), (last + 1000, Reason::Expired)] {
        let device = Device::at(Timestamp::from_millis(moment));
        objects_at(
            &device,
            &pki.texts(),
            &[(CLIENT, 1, reason), (CA, 1, reason), (SERVER, 1, reason)],
        );
    }
}

#[test]
fn it_accepts_serial_numbers_of_up_to_twenty_octets() {
    for serial in [vec![1], vec![0x80], vec![0x7f; 20], vec![0xff; 20]] {
        let mut pki = pki();
        pki.client = Template::client(DEVICE)
            .but(|template| template.serial = serial)
            .issued_by(&pki.ca);
        accepts(&pki.texts());
    }
}

#[test]
fn it_accepts_unknown_extensions_that_are_not_critical() {
    let mut pki = pki();
    pki.client = Template::client(DEVICE)
        .with(Extension::unknown(false))
        .issued_by(&pki.ca);
    accepts(&pki.texts());
}

#[test]
fn it_accepts_names_inside_an_issuers_constraints() {
    let constrained = |subtree| {
        let ca = Template::ca("Constrained")
            .with(Extension::permitted_dns(subtree))
            .self_signed(Key::new(KeyType::P256));
        Pki {
            client: Template::client(DEVICE).issued_by(&ca),
            server: Template::server(HOST).issued_by(&ca),
            ca,
        }
    };
    accepts(&constrained("hospital.example").texts());
    let texts = constrained("elsewhere.example").texts();
    refuses(&texts, SERVER, 1, Reason::NameConstraints);
}

#[test]
fn it_accepts_as_many_intermediates_as_the_root_allows() {
    let with_limit = |limit| {
        let mut pki = pki();
        pki.ca = Template::ca("Limited")
            .with(Extension::basic_constraints(true, true, Some(limit)))
            .self_signed(Key::new(KeyType::P256));
        let intermediate = Template::ca("Issuing").issued_by(&pki.ca);
        pki.client = Template::client(DEVICE).issued_by(&intermediate);
        pki.server = Template::server(HOST).issued_by(&pki.ca);
        let mut texts = pki.texts();
        texts.client_certificate += &intermediate.pem();
        texts
    };
    accepts(&with_limit(1));
    refuses(&with_limit(0), CLIENT, 1, Reason::PathTooLong);
}

#[test]
fn it_does_not_count_an_intermediate_that_renews_its_own_issuers_key() {
    let mut pki = pki();
    let root = Template::ca("Root").with(Extension::basic_constraints(true, true, Some(0)));
    pki.ca = root.self_signed(Key::new(KeyType::P256));
    let renewed = Template::ca("Root").issued_by(&pki.ca);
    pki.client = Template::client(DEVICE).issued_by(&renewed);
    pki.server = Template::server(HOST).issued_by(&pki.ca);
    let mut texts = pki.texts();
    texts.client_certificate += &renewed.pem();
    accepts(&texts);
}

#[test]
fn it_accepts_what_one_of_a_cas_two_certificates_allows() {
    let mut pki = pki();
    let root = |limit| Template::ca("Renewed").with(Extension::basic_constraints(true, true, limit));
    let narrow = root(Some(0)).self_signed(Key::new(KeyType::P256));
    let wide = root(None).self_signed(narrow.key.clone());
    let intermediate = Template::ca("Issuing").issued_by(&wide);
    pki.client = Template::client(DEVICE).issued_by(&intermediate);
    pki.server = Template::server(HOST).issued_by(&wide);
    let mut texts = pki.texts();
    texts.client_certificate += &intermediate.pem();
    for authorities in [[&narrow, &wide], [&wide, &narrow]] {
        texts.ca_certificate = authorities.map(Identity::pem).concat();
        accepts(&texts);
    }
    texts.ca_certificate = narrow.pem();
    refuses(&texts, CLIENT, 1, Reason::PathTooLong);
}
