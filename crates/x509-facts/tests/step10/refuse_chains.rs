//! Wrong validity, issuers, uses and names are refused.

use zmon_domain::certificate::Reason;
use zmon_testkit::pki::{AlternativeName, DAY, Extension, Key, KeyType, NOW, Template, Texts, oid, pem, usage};

use crate::common::{
    CA, CLIENT, DEVICE, Device, HOST, KEY, SERVER, accepts, ca, client, objects, pki, refuses, refuses_at, server,
    through,
};

#[test]
fn it_refuses_what_has_expired_whatever_the_clock() {
    let expired = |template: Template| {
        template.but(|template| {
            template.not_before -= 10 * DAY;
            template.not_after = template.not_before + 5 * DAY;
        })
    };
    for synchronised in [true, false] {
        let device = Device {
            synchronised,
            ..Device::at(NOW)
        };
        let refuses = |texts: &Texts, field, block| refuses_at(&device, texts, field, block, Reason::Expired);
        refuses(&client(&expired(Template::client(DEVICE))), CLIENT, 1);
        refuses(&ca(&expired(Template::ca("Old")), KeyType::P256), CA, 1);
        refuses(&server(&expired(Template::server(HOST))), SERVER, 1);
        refuses(&through(&expired(Template::ca("Old"))).1, CLIENT, 2);
        // Not even where no path needs it.
        let pki = pki();
        let mut texts = pki.texts();
        texts.client_certificate += &expired(Template::ca("Unneeded")).issued_by(&pki.ca).pem();
        refuses(&texts, CLIENT, 2);
        let mut texts = pki.texts();
        texts.ca_certificate += &expired(Template::ca("Unneeded"))
            .self_signed(Key::new(KeyType::P256))
            .pem();
        refuses(&texts, CA, 2);
    }
}

#[test]
fn it_refuses_what_is_not_valid_yet_while_the_clock_is_synchronised() {
    let early = |template: Template| template.but(|template| template.not_before += 2 * DAY);
    refuses(
        &client(&early(Template::client(DEVICE))),
        CLIENT,
        1,
        Reason::NotYetValid,
    );
    refuses(
        &ca(&early(Template::ca("New")), KeyType::P256),
        CA,
        1,
        Reason::NotYetValid,
    );
    refuses(&server(&early(Template::server(HOST))), SERVER, 1, Reason::NotYetValid);
    refuses(&through(&early(Template::ca("New"))).1, CLIENT, 2, Reason::NotYetValid);
}

#[test]
fn it_refuses_validity_that_cannot_be() {
    let reversed = Template::client(DEVICE).but(|template| template.not_before = template.not_after + 1);
    let device = Device {
        synchronised: false,
        ..Device::at(NOW)
    };
    refuses_at(&device, &client(&reversed), CLIENT, 1, Reason::NeverValid);

    // The intermediate begins after the leaf has ended.
    let mut pki = pki();
    let intermediate = Template::ca("Late")
        .but(|template| template.not_before += 50 * DAY)
        .issued_by(&pki.ca);
    pki.client = Template::client(DEVICE)
        .but(|template| template.not_after = template.not_before + 10 * DAY)
        .issued_by(&intermediate);
    let mut texts = pki.texts();
    texts.client_certificate += &intermediate.pem();
    refuses_at(&device, &texts, CLIENT, 1, Reason::NeverValidTogether);
}

#[test]
fn it_refuses_trust_roots_that_are_not_valid_cas() {
    let template = || Template::ca("Root");
    let cases = [
        (template().without(oid::BASIC_CONSTRAINTS), Reason::NoBasicConstraints),
        (
            template().with(Extension::basic_constraints(true, false, None)),
            Reason::NotACa,
        ),
        (
            template().with(Extension::basic_constraints(false, true, None)),
            Reason::BasicConstraintsNotCritical,
        ),
        (template().without(oid::KEY_USAGE), Reason::NoCertificateSigning),
        (
            template().with(Extension::key_usage(usage::CRL_SIGNING | usage::DIGITAL_SIGNATURE)),
            Reason::NoCertificateSigning,
        ),
    ];
    for (template, reason) in cases {
        refuses(&ca(&template, KeyType::P256), CA, 1, reason);
        // Each of them, not only the one that is needed.
        let mut texts = pki().texts();
        texts.ca_certificate += &template.self_signed(Key::new(KeyType::P256)).pem();
        refuses(&texts, CA, 2, reason);
    }
}

#[test]
fn it_refuses_chains_that_do_not_reach_a_trust_root() {
    let pki = pki();
    let stranger = Template::ca("Stranger").self_signed(Key::new(KeyType::P256));
    let impostor = Template::ca("Z-Monitor-CA").self_signed(Key::new(KeyType::P256));

    let mut other = pki.clone();
    other.client = Template::client(DEVICE).issued_by(&stranger);
    refuses(&other.texts(), CLIENT, 1, Reason::UnknownIssuer);
    // Bringing the stranger along does not make it trusted.
    let mut texts = other.texts();
    texts.client_certificate += &stranger.pem();
    refuses(&texts, CLIENT, 1, Reason::UnknownIssuer);

    other.client = Template::client(DEVICE).issued_by(&impostor);
    refuses(&other.texts(), CLIENT, 1, Reason::BadSignature);

    let mut other = pki.clone();
    other.server = Template::server(HOST).issued_by(&stranger);
    refuses(&other.texts(), SERVER, 1, Reason::UnknownIssuer);
    other.server = Template::server(HOST).issued_by(&impostor);
    refuses(&other.texts(), SERVER, 1, Reason::BadSignature);
    other.server = Template::server(HOST).self_signed(Key::new(KeyType::P256));
    refuses(&other.texts(), SERVER, 1, Reason::UnknownIssuer);

    let (_, mut texts) = through(&Template::ca("Issuing"));
    let end = "-----END CERTIFICATE-----\n";
    texts
        .client_certificate
        .truncate(texts.client_certificate.find(end).unwrap() + end.len());
    refuses(&texts, CLIENT, 1, Reason::UnknownIssuer);
}

#[test]
fn it_refuses_a_changed_signature() {
    let pki = pki();
    let mut der = pki.client.der();
    *der.last_mut().unwrap() ^= 1;
    let mut texts = pki.texts();
    texts.client_certificate = pem("CERTIFICATE", &der);
    refuses(&texts, CLIENT, 1, Reason::BadSignature);
}

#[test]
fn it_refuses_issuers_that_may_not_issue() {
    for template in [
        Template::ca("Issuing").without(oid::BASIC_CONSTRAINTS),
        Template::ca("Issuing").with(Extension::basic_constraints(true, false, None)),
        Template::ca("Issuing").with(Extension::key_usage(usage::DIGITAL_SIGNATURE)),
    ] {
        refuses(&through(&template).1, CLIENT, 2, Reason::NotAnIntermediate);
    }
    let servers_only = Template::ca("Issuing").with(Extension::extended_key_usage(&[oid::SERVER_AUTH]));
    refuses(&through(&servers_only).1, CLIENT, 1, Reason::IssuerUsage);
    let clients = Template::ca("Issuing").with(Extension::extended_key_usage(&[oid::CLIENT_AUTH]));
    accepts(&through(&clients).1);

    let mut pki = pki();
    let upper = Template::ca("Upper")
        .with(Extension::basic_constraints(true, true, Some(0)))
        .issued_by(&pki.ca);
    let lower = Template::ca("Lower").issued_by(&upper);
    pki.client = Template::client(DEVICE).issued_by(&lower);
    let mut texts = pki.texts();
    texts.client_certificate = [pki.client.pem(), lower.pem(), upper.pem()].concat();
    refuses(&texts, CLIENT, 1, Reason::PathTooLong);
}

#[test]
fn it_refuses_a_second_leaf_behind_the_first() {
    let pki = pki();
    let mut texts = pki.texts();
    texts.client_certificate += &pki.server.pem();
    refuses(&texts, CLIENT, 2, Reason::NotAnIntermediate);
    // An intermediate that comes first is not a leaf.
    let (intermediate, mut texts) = through(&Template::ca("Issuing"));
    texts.client_certificate = intermediate.pem();
    texts.client_private_key = intermediate.key.pkcs8_pem();
    let reasons = [Reason::LeafMaySign, Reason::NoExtendedKeyUsage, Reason::OtherDevice];
    objects(&texts, &reasons.map(|reason| (CLIENT, 1, reason)));
}

#[test]
fn it_refuses_leaves_that_may_sign_certificates() {
    let may_sign = |template: Template| {
        [
            template.clone().with(Extension::basic_constraints(true, true, None)),
            template.clone().with(Extension::key_usage(usage::CERTIFICATE_SIGNING)),
            template.with(Extension::key_usage(
                usage::DIGITAL_SIGNATURE | usage::CERTIFICATE_SIGNING,
            )),
        ]
    };
    for template in may_sign(Template::client(DEVICE)) {
        refuses(&client(&template), CLIENT, 1, Reason::LeafMaySign);
    }
    for template in may_sign(Template::server(HOST)) {
        refuses(&server(&template), SERVER, 1, Reason::LeafMaySign);
    }
}

#[test]
fn it_refuses_leaves_without_their_purpose() {
    let for_clients =
        |purposes: &[&str]| client(&Template::client(DEVICE).with(Extension::extended_key_usage(purposes)));
    let for_servers = |purposes: &[&str]| server(&Template::server(HOST).with(Extension::extended_key_usage(purposes)));
    refuses(&for_clients(&[oid::SERVER_AUTH]), CLIENT, 1, Reason::NotForClients);
    refuses(&for_servers(&[oid::CLIENT_AUTH]), SERVER, 1, Reason::NotForServers);
    accepts(&for_clients(&[oid::SERVER_AUTH, oid::CLIENT_AUTH]));
    // Any use is no use, and beside others it takes their meaning away.
    let any = |field, reason| [(field, 1, reason), (field, 1, Reason::AnyUsage)];
    objects(&for_clients(&[oid::ANY_USAGE]), &any(CLIENT, Reason::NotForClients));
    objects(&for_servers(&[oid::ANY_USAGE]), &any(SERVER, Reason::NotForServers));
    refuses(
        &for_clients(&[oid::ANY_USAGE, oid::CLIENT_AUTH]),
        CLIENT,
        1,
        Reason::AnyUsage,
    );
    let without = Template::client(DEVICE).without(oid::EXTENDED_KEY_USAGE);
    refuses(&client(&without), CLIENT, 1, Reason::NoExtendedKeyUsage);
    let without = Template::server(HOST).without(oid::EXTENDED_KEY_USAGE);
    refuses(&server(&without), SERVER, 1, Reason::NoExtendedKeyUsage);
}

#[test]
fn it_refuses_a_certificate_of_another_device() {
    refuses(
        &client(&Template::client("ZM-ICU-MON-04 ")),
        CLIENT,
        1,
        Reason::OtherDevice,
    );
    for name in ["ZM-ICU-MON-05", "ZM-ICU-MON-04.ward", "xZM-ICU-MON-04"] {
        refuses(&client(&Template::client(name)), CLIENT, 1, Reason::OtherDevice);
        let names = [AlternativeName::Dns(name), AlternativeName::Uri("urn:ZM-ICU-MON-04")];
        let template = Template::client("unit 4711").with(Extension::alternative_names(&names));
        refuses(&client(&template), CLIENT, 1, Reason::OtherDevice);
    }
}

#[test]
fn it_refuses_a_pin_for_another_host() {
    refuses(
        &server(&Template::server("other.hospital.example")),
        SERVER,
        1,
        Reason::OtherHost,
    );
    let in_common_name = Template::server(HOST)
        .without(oid::ALTERNATIVE_NAME)
        .but(|template| template.common_name = HOST.into());
    let both = [Reason::OtherHost, Reason::CommonNameElsewhere].map(|reason| (SERVER, 1, reason));
    objects(&server(&in_common_name), &both);
    let as_uri = Template::server(HOST).with(Extension::alternative_names(&[AlternativeName::Uri(HOST)]));
    refuses(&server(&as_uri), SERVER, 1, Reason::OtherHost);
}

#[test]
fn it_tells_the_most_basic_fault_first_and_the_others_in_a_dry_run() {
    // Another device, for servers, of a stranger, expired, with another key: one fault after the other is mended.
    let mut pki = pki();
    let stranger = Template::ca("Stranger").self_signed(Key::new(KeyType::P256));
    let mut template = Template::client("other")
        .with(Extension::extended_key_usage(&[oid::SERVER_AUTH]))
        .but(|template| template.not_after = template.not_before + 1);
    pki.client = template.issued_by(&stranger);
    let mut texts = pki.texts();
    texts.client_private_key = Key::new(KeyType::P256).pkcs8_pem();
    let all = [
        (KEY, 1, Reason::KeyMismatch),
        (CLIENT, 1, Reason::Expired),
        (CLIENT, 1, Reason::UnknownIssuer),
        (CLIENT, 1, Reason::NotForClients),
        (CLIENT, 1, Reason::OtherDevice),
    ];
    objects(&texts, &all);
    objects(&pki.texts(), &all[1..]);
    template.not_after = template.not_before + 10 * DAY;
    pki.client = template.issued_by(&stranger);
    objects(&pki.texts(), &all[2..]);
    pki.client = template.issued_by(&pki.ca);
    objects(&pki.texts(), &all[3..]);
    pki.client = Template::client("other").issued_by(&pki.ca);
    objects(&pki.texts(), &all[4..]);
}
