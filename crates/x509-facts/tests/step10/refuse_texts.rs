//! What is not a well-formed certificate or key is refused.

use openssl::asn1::Asn1Type;
use zmon_domain::certificate::{Field, Reason};
use zmon_domain::error::ErrorCode;
use zmon_testkit::pki::{AlternativeName, Extension, KeyType, NOW, Template, Texts, oid, pem};

use crate::common::{
    CA, CLIENT, DEVICE, Device, HOST, KEY, SERVER, accepts, ca, client, objects, pki, refuses, server, tells, through,
};

#[test]
fn it_says_which_field_which_block_and_why() {
    let mut texts = pki().texts();
    texts.ca_certificate += &texts.client_private_key.clone();
    let error = Device::at(NOW).judge(&texts).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidCertificate);
    assert_eq!(
        error.message(),
        "caCertificate, PEM block 2: this is not a CERTIFICATE block; only certificates belong there."
    );
}

type TextOf = fn(&mut Texts) -> &mut String;

#[test]
fn it_refuses_texts_that_are_not_what_their_field_says() {
    let good = pki().texts();
    let fields: [(Field, TextOf); 4] = [
        (CLIENT, |texts| &mut texts.client_certificate),
        (KEY, |texts| &mut texts.client_private_key),
        (CA, |texts| &mut texts.ca_certificate),
        (SERVER, |texts| texts.server_certificate.as_mut().unwrap()),
    ];
    for (field, text) in fields {
        let with = |change: &dyn Fn(&mut String)| {
            let mut texts = good.clone();
            change(text(&mut texts));
            texts
        };
        refuses(&with(&|text| text.clear()), field, None, Reason::Empty);
        refuses(&with(&|text| *text = " \n".into()), field, None, Reason::Empty);
        refuses(&with(&|text| *text += "x"), field, None, Reason::StrayText);
        refuses(
            &with(&|text| text.insert_str(0, "subject=x\n")),
            field,
            None,
            Reason::StrayText,
        );
        refuses(&with(&|text| text.truncate(100)), field, None, Reason::StrayText);
        refuses(
            &with(&|text| *text += &" ".repeat(65_536)),
            field,
            None,
            Reason::TextTooLong,
        );
        refuses(
            &with(&|text| *text = text.replacen("\nMI", "\n*I", 1)),
            field,
            1,
            Reason::Unreadable,
        );
        refuses(
            &with(&|text| *text = text.replacen("\nMI", "\nNI", 1)),
            field,
            1,
            Reason::Unreadable,
        );
        let label = if field == KEY { "PRIVATE KEY" } else { "CERTIFICATE" };
        refuses(
            &with(&|text| *text = pem(label, b"rubbish")),
            field,
            1,
            Reason::Unreadable,
        );
        refuses(&with(&|text| *text = pem(label, b"")), field, 1, Reason::Unreadable);
        accepts(&with(&|text| *text = text.replace('\n', "\r\n") + "\r\n"));
    }
}

#[test]
fn it_refuses_other_labels_in_every_field() {
    let good = pki().texts();
    let request = good.client_certificate.replace("CERTIFICATE", "CERTIFICATE REQUEST");
    for (field, text) in [
        (CLIENT, good.client_private_key.clone()),
        (CA, good.client_private_key.clone()),
        (SERVER, request.clone()),
    ] {
        let mut texts = good.clone();
        match field {
            CLIENT => texts.client_certificate = text,
            CA => texts.ca_certificate = text,
            _ => texts.server_certificate = Some(text),
        }
        refuses(&texts, field, 1, Reason::NotACertificate);
    }
    let encrypted = good.client_private_key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    for text in [good.ca_certificate.clone(), request, encrypted] {
        let mut texts = good.clone();
        texts.client_private_key = text;
        refuses(&texts, KEY, 1, Reason::NotAPrivateKey);
    }
}

#[test]
fn it_refuses_more_than_eight_certificates_and_more_than_one_key() {
    let good = pki().texts();
    let mut texts = good.clone();
    texts.ca_certificate = good.ca_certificate.repeat(8);
    accepts(&texts);
    texts.ca_certificate = good.ca_certificate.repeat(9);
    refuses(&texts, CA, None, Reason::TooManyCertificates);
    let mut texts = good.clone();
    texts.client_certificate += &good.ca_certificate.repeat(8);
    refuses(&texts, CLIENT, None, Reason::TooManyCertificates);
    let mut texts = good.clone();
    texts.server_certificate = Some(good.ca_certificate.repeat(9));
    refuses(&texts, SERVER, None, Reason::TooManyCertificates);
    let mut texts = good.clone();
    texts.client_private_key = good.client_private_key.repeat(2);
    refuses(&texts, KEY, None, Reason::NotOneKey);
}

#[test]
fn it_refuses_bytes_behind_a_certificate() {
    let pki = pki();
    let mut texts = pki.texts();
    texts.client_certificate = pem("CERTIFICATE", &[pki.client.der(), vec![0]].concat());
    refuses(&texts, CLIENT, 1, Reason::Unreadable);
}

#[test]
fn it_refuses_certificates_of_version_1() {
    // Version 1 has no extensions.
    let version_1 = |template: Template| {
        template.but(|template| {
            template.version = 0;
            template.extensions.clear();
        })
    };
    let all = |field, reasons: &[Reason]| -> Vec<_> {
        let reasons = [Reason::NotVersion3].iter().chain(reasons);
        reasons.map(|reason| (field, 1, *reason)).collect()
    };
    objects(
        &client(&version_1(Template::client(DEVICE))),
        &all(CLIENT, &[Reason::NoExtendedKeyUsage]),
    );
    objects(
        &ca(&version_1(Template::ca("Old")), KeyType::P256),
        &all(CA, &[Reason::NoBasicConstraints]),
    );
    objects(
        &server(&version_1(Template::server(HOST))),
        &all(SERVER, &[Reason::NoExtendedKeyUsage, Reason::OtherHost]),
    );
}

#[test]
fn it_refuses_odd_serial_numbers_everywhere() {
    for (serial, negative) in [
        (vec![], false),
        (vec![5], true),
        (vec![1; 21], false),
        (vec![0x80; 21], false),
    ] {
        let odd = |template: Template| {
            template.but(|template| {
                template.serial = serial.clone();
                template.negative_serial = negative;
            })
        };
        refuses(&client(&odd(Template::client(DEVICE))), CLIENT, 1, Reason::OddSerial);
        refuses(&ca(&odd(Template::ca("Odd")), KeyType::P256), CA, 1, Reason::OddSerial);
        refuses(&server(&odd(Template::server(HOST))), SERVER, 1, Reason::OddSerial);
        refuses(&through(&odd(Template::ca("Odd"))).1, CLIENT, 2, Reason::OddSerial);
    }
}

#[test]
fn it_refuses_an_extension_that_stands_there_twice() {
    let twice = |template: Template, extension: Extension| template.but(|template| template.extensions.push(extension));
    let usage = Extension::extended_key_usage(&[oid::CLIENT_AUTH]);
    let template = twice(Template::client(DEVICE), usage);
    refuses(&client(&template), CLIENT, 1, Reason::DuplicateExtension);
    let unknown = Template::ca("Odd").with(Extension::unknown(false));
    let template = twice(unknown, Extension::unknown(false));
    refuses(&ca(&template, KeyType::P256), CA, 1, Reason::DuplicateExtension);
}

#[test]
fn it_refuses_unknown_critical_extensions_everywhere() {
    let unknown = |template: Template| template.with(Extension::unknown(true));
    let reason = Reason::UnknownCriticalExtension;
    refuses(&client(&unknown(Template::client(DEVICE))), CLIENT, 1, reason);
    refuses(&ca(&unknown(Template::ca("Odd")), KeyType::P256), CA, 1, reason);
    refuses(&server(&unknown(Template::server(HOST))), SERVER, 1, reason);
    refuses(&through(&unknown(Template::ca("Odd"))).1, CLIENT, 2, reason);
}

#[test]
fn it_refuses_extensions_that_cannot_be_decoded() {
    for kind in [
        oid::KEY_USAGE,
        oid::EXTENDED_KEY_USAGE,
        oid::BASIC_CONSTRAINTS,
        oid::ALTERNATIVE_NAME,
    ] {
        let broken = Extension {
            oid: kind,
            critical: false,
            value: vec![0x30, 5, 1],
        };
        refuses(
            &client(&Template::client(DEVICE).with(broken)),
            CLIENT,
            1,
            Reason::Unreadable,
        );
    }
    let address = Extension::alternative_names(&[AlternativeName::Address(&[10, 1, 50])]);
    refuses(
        &client(&Template::client(DEVICE).with(address)),
        CLIENT,
        1,
        Reason::Unreadable,
    );
    let name = Extension::alternative_names(&[AlternativeName::Dns("größe")]);
    refuses(
        &client(&Template::client(DEVICE).with(name)),
        CLIENT,
        1,
        Reason::Unreadable,
    );
}

#[test]
fn it_refuses_control_characters_in_names() {
    for name in ["ZM-ICU-MON-04\0.evil", "ZM\nICU", "ZM\u{7f}", "ZM\u{85}"] {
        for kind in [Asn1Type::UTF8STRING, Asn1Type::PRINTABLESTRING] {
            let template = Template::client(name).but(|template| template.common_name_type = kind);
            tells(&client(&template), CLIENT, 1, Reason::ControlCharacter);
        }
    }
    let teletex = Template::client("a\u{1}").but(|template| template.common_name_type = Asn1Type::T61STRING);
    tells(&client(&teletex), CLIENT, 1, Reason::ControlCharacter);
    let two_bytes = Template::client("\0a\0\0").but(|template| template.common_name_type = Asn1Type::BMPSTRING);
    tells(&client(&two_bytes), CLIENT, 1, Reason::ControlCharacter);
    for name in [AlternativeName::Dns("a\0b"), AlternativeName::Uri("a\rb")] {
        let names = Extension::alternative_names(&[name]);
        tells(
            &server(&Template::server(HOST).with(names)),
            SERVER,
            1,
            Reason::ControlCharacter,
        );
    }
    tells(
        &ca(&Template::ca("Z\0CA"), KeyType::P256),
        CLIENT,
        1,
        Reason::ControlCharacter,
    );
}

#[test]
fn it_refuses_a_trust_root_that_names_two_signature_algorithms() {
    let pki = pki();
    let mut der = pki.ca.der();
    // ecdsa-with-SHA256, the second time; then SHA384.
    let algorithm = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    let last = der.windows(8).rposition(|window| window == algorithm).unwrap();
    der[last + 7] = 3;
    let mut texts = pki.texts();
    texts.ca_certificate += &pem("CERTIFICATE", &der);
    refuses(&texts, CA, 2, Reason::Unreadable);
}
