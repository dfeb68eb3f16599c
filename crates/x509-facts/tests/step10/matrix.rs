//! Every fault of a certificate at every place where it can be, every fault of a text in every field, and whatever else
//! there is a reason for.

use openssl::hash::MessageDigest;
use zmon_domain::certificate::{Field, Reason};
use zmon_testkit::pki::{
    AlternativeName, DAY, Extension, Identity, Key, KeyType, NOW, Template, Texts, oid, pem, usage,
};

use crate::common::{CA, CLIENT, DEVICE, Device, HOST, KEY, SERVER, accepts, tells_at};

/// A fault, and what the device says about it first.
#[derive(Clone)]
struct Case {
    texts: Texts,
    field: Field,
    block: Option<usize>,
    reason: Reason,
    synchronised: bool,
}

fn case(texts: Texts, field: Field, block: impl Into<Option<usize>>, reason: Reason) -> Case {
    Case {
        texts,
        field,
        block: block.into(),
        reason,
        synchronised: true,
    }
}

/// Where a certificate stands in a bundle with an intermediate in each chain.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    ClientLeaf,
    ClientIntermediate,
    Root,
    ServerLeaf,
    ServerIntermediate,
}

impl Place {
    const ALL: [Self; 5] = [
        Self::ClientLeaf,
        Self::ClientIntermediate,
        Self::Root,
        Self::ServerLeaf,
        Self::ServerIntermediate,
    ];
    const LEAVES: [Self; 2] = [Self::ClientLeaf, Self::ServerLeaf];
    const INTERMEDIATES: [Self; 2] = [Self::ClientIntermediate, Self::ServerIntermediate];

    const fn field(self) -> Field {
        match self {
            Self::ClientLeaf | Self::ClientIntermediate => CLIENT,
            Self::Root => CA,
            Self::ServerLeaf | Self::ServerIntermediate => SERVER,
        }
    }

    const fn block(self) -> usize {
        match self {
            Self::ClientLeaf | Self::Root | Self::ServerLeaf => 1,
            Self::ClientIntermediate | Self::ServerIntermediate => 2,
        }
    }

    fn is_leaf(self) -> bool {
        Self::LEAVES.contains(&self)
    }
}

type Change<'a> = &'a dyn Fn(Template) -> Template;

/// A good bundle but for the certificate at one place.
fn changed(place: Place, kind: KeyType, change: Change<'_>) -> Texts {
    let template = |here: Place, good: Template| if here == place { change(good) } else { good };
    let key = |here: Place| Key::new(if here == place { kind } else { KeyType::P256 });
    let root = template(Place::Root, Template::ca("Root")).self_signed(key(Place::Root));
    let issued = |here: Place, good: Template, issuer: &Identity| template(here, good).issued_for(key(here), issuer);
    let client_issuer = issued(Place::ClientIntermediate, Template::ca("Devices"), &root);
    let server_issuer = issued(Place::ServerIntermediate, Template::ca("Servers"), &root);
    let client = issued(Place::ClientLeaf, Template::client(DEVICE), &client_issuer);
    let server = issued(Place::ServerLeaf, Template::server(HOST), &server_issuer);
    Texts {
        client_certificate: client.pem() + &client_issuer.pem(),
        client_private_key: client.key.pkcs8_pem(),
        ca_certificate: root.pem(),
        server_certificate: Some(server.pem() + &server_issuer.pem()),
    }
}

fn good() -> Texts {
    changed(Place::Root, KeyType::P256, &|template| template)
}

fn text_of(texts: &mut Texts, field: Field) -> &mut String {
    match field {
        Field::ClientCertificate => &mut texts.client_certificate,
        Field::ClientPrivateKey => &mut texts.client_private_key,
        Field::CaCertificate => &mut texts.ca_certificate,
        Field::ServerCertificate => texts.server_certificate.as_mut().expect("a pin"),
    }
}

fn with_text(field: Field, change: impl FnOnce(&mut String)) -> Texts {
    let mut texts = good();
    change(text_of(&mut texts, field));
    texts
}

/// The text with the block of this number changed.
fn with_block(place: Place, change: impl FnOnce(&str) -> String) -> Texts {
    with_text(place.field(), |text| {
        let blocks: Vec<&str> = text.split_inclusive("-----END CERTIFICATE-----\n").collect();
        let (before, rest) = blocks.split_at(place.block() - 1);
        *text = [before.concat(), change(rest[0]), rest[1..].concat()].concat();
    })
}

fn broken(kind: &'static str) -> Extension {
    Extension {
        oid: kind,
        critical: false,
        value: b"malformed".to_vec(),
    }
}

/// Faults that any certificate can have.
fn anywhere() -> Vec<Case> {
    let faults: &[(Reason, Change<'_>)] = &[
        (Reason::NotVersion3, &|template| {
            template.but(|template| {
                template.version = 0;
                template.extensions.clear();
            })
        }),
        (Reason::OddSerial, &|template| {
            template.but(|template| template.serial = vec![])
        }),
        (Reason::OddSerial, &|template| {
            template.but(|template| template.negative_serial = true)
        }),
        (Reason::DuplicateExtension, &|template| {
            template.but(|template| {
                let twice = [Extension::unknown(false), Extension::unknown(false)];
                template.extensions.extend(twice);
            })
        }),
        (Reason::UnknownCriticalExtension, &|template| {
            template.with(Extension::unknown(true))
        }),
        (Reason::UnknownCriticalExtension, &|template| {
            template.with(Extension {
                oid: oid::POLICY_CONSTRAINTS,
                ..Extension::unknown(false)
            })
        }),
        (Reason::ControlCharacter, &|template| {
            template.with(Extension::alternative_names(&[AlternativeName::Uri("a\0b")]))
        }),
        (Reason::MalformedName, &|template| {
            template.with(Extension::alternative_names(&[AlternativeName::Dns("a_b.example")]))
        }),
        (Reason::AlternativeNameCritical, &|template| {
            template.with(Extension::alternative_names(&[AlternativeName::Dns(HOST)]).critical(true))
        }),
        (Reason::UnacceptableSignature, &|template| {
            template.but(|template| template.digest = MessageDigest::sha1())
        }),
        (Reason::NeverValid, &|template| {
            template.but(|template| template.not_before = template.not_after + 1)
        }),
        (Reason::Expired, &|template| {
            template.but(|template| template.not_after = template.not_before + 1)
        }),
        (Reason::NotYetValid, &|template| {
            template.but(|template| template.not_before += 2 * DAY)
        }),
        (Reason::Unreadable, &|template| template.with(broken(oid::KEY_USAGE))),
        (Reason::Unreadable, &|template| {
            template.with(broken(oid::AUTHORITY_INFORMATION))
        }),
    ];
    let mut cases = Vec::new();
    for place in Place::ALL {
        let (field, block) = (place.field(), place.block());
        for (reason, change) in faults {
            cases.push(case(changed(place, KeyType::P256, change), field, block, *reason));
        }
        let weak = changed(place, KeyType::Rsa(1024), &|template| template);
        cases.push(case(weak, field, block, Reason::UnacceptableKey));
        let relabelled = with_block(place, |block| block.replace("CERTIFICATE", "CERTIFICATE REQUEST"));
        cases.push(case(relabelled, field, block, Reason::NotACertificate));
        let rubbish = with_block(place, |_| pem("CERTIFICATE", b"rubbish"));
        cases.push(case(rubbish, field, block, Reason::Unreadable));
        if place != Place::Root {
            let alone = changed(place, KeyType::P256, &|template| {
                template.but(|template| template.key_identifiers = false)
            });
            // A CA without any identifier lacks its own first.
            let reason = if place.is_leaf() {
                Reason::NoAuthorityKeyIdentifier
            } else {
                Reason::NoSubjectKeyIdentifier
            };
            cases.push(case(alone, field, block, reason));
        }
    }
    cases
}

/// Faults of a text, whatever is in it.
fn of_texts() -> Vec<Case> {
    let mut cases = Vec::new();
    for field in [CLIENT, KEY, CA, SERVER] {
        let too_many = if field == KEY {
            Reason::NotOneKey
        } else {
            Reason::TooManyCertificates
        };
        cases.extend([
            case(with_text(field, String::clear), field, None, Reason::Empty),
            case(with_text(field, |text| *text += "x"), field, None, Reason::StrayText),
            case(
                with_text(field, |text| *text += &" ".repeat(65_536)),
                field,
                None,
                Reason::TextTooLong,
            ),
            case(with_text(field, |text| *text = text.repeat(9)), field, None, too_many),
        ]);
    }
    cases
}

/// Faults of the key, alone or beside the leaf.
fn of_the_key() -> Vec<Case> {
    let instead = |text: String| with_text(KEY, |own| *own = text);
    let same = |template| template;
    let unusable = changed(Place::ClientLeaf, KeyType::Rsa(2560), &same);
    let encrypted = with_text(KEY, |text| *text = text.replace("PRIVATE", "ENCRYPTED PRIVATE"));
    vec![
        case(encrypted, KEY, 1, Reason::NotAPrivateKey),
        case(instead(pem("PRIVATE KEY", b"rubbish")), KEY, 1, Reason::Unreadable),
        case(
            instead(Key::new(KeyType::P521).pkcs8_pem()),
            KEY,
            1,
            Reason::UnacceptableKey,
        ),
        case(
            instead(Key::new(KeyType::P256).pkcs8_pem()),
            KEY,
            1,
            Reason::KeyMismatch,
        ),
        case(unusable, KEY, 1, Reason::KeyBroken),
    ]
}

/// What only a trust root can lack.
fn of_the_root() -> Vec<Case> {
    let faults: &[(Reason, Change<'_>)] = &[
        (Reason::NoBasicConstraints, &|root| root.without(oid::BASIC_CONSTRAINTS)),
        (Reason::NotACa, &|root| {
            root.with(Extension::basic_constraints(true, false, None))
        }),
        (Reason::BasicConstraintsNotCritical, &|root| {
            root.with(Extension::basic_constraints(false, true, None))
        }),
        (Reason::NoCertificateSigning, &|root| root.without(oid::KEY_USAGE)),
        (Reason::NoCertificateSigning, &|root| {
            root.with(Extension::key_usage(usage::CRL_SIGNING))
        }),
        (Reason::NoCrlSigning, &|root| {
            root.with(Extension::key_usage(usage::CERTIFICATE_SIGNING))
        }),
        (Reason::RootExtendedKeyUsage, &|root| {
            root.with(Extension::extended_key_usage(&[oid::CLIENT_AUTH, oid::SERVER_AUTH]))
        }),
        (Reason::RootAuthorityKeyIdentifier, &|root| {
            root.with(Extension::authority_key_identifier(&[1; 20]))
        }),
        (Reason::NoSubjectKeyIdentifier, &|root| {
            root.but(|root| root.key_identifiers = false)
        }),
    ];
    let mut cases: Vec<_> = faults
        .iter()
        .map(|(reason, change)| case(changed(Place::Root, KeyType::P256, change), CA, 1, *reason))
        .collect();
    // Its own name is its children's issuer, and they are looked at first.
    let nameless = changed(Place::Root, KeyType::P256, &|root| {
        root.but(|root| {
            root.organisation.clear();
            root.common_name.clear();
        })
    });
    cases.push(case(nameless, CLIENT, 2, Reason::NoName));
    cases
}

/// What an intermediate may not do, and what it does to its leaf.
fn of_intermediates() -> Vec<Case> {
    let mut cases = Vec::new();
    for place in Place::INTERMEDIATES {
        let field = place.field();
        let with = |change: Change<'_>| changed(place, KeyType::P256, change);
        let wrong_use = if place == Place::ClientIntermediate {
            oid::SERVER_AUTH
        } else {
            oid::CLIENT_AUTH
        };
        let elsewhere = Extension::permitted_dns("elsewhere.example");
        let names = changed(place, KeyType::P256, &|issuer| {
            issuer.with(elsewhere.clone().critical(false))
        });
        cases.extend([
            case(
                with(&|issuer| issuer.without(oid::BASIC_CONSTRAINTS)),
                field,
                2,
                Reason::NotAnIntermediate,
            ),
            case(
                with(&|issuer| issuer.with(Extension::key_usage(usage::DIGITAL_SIGNATURE))),
                field,
                2,
                Reason::NotAnIntermediate,
            ),
            case(
                with(&|issuer| issuer.with(Extension::extended_key_usage(&[wrong_use]))),
                field,
                1,
                Reason::IssuerUsage,
            ),
            case(names, field, 2, Reason::NameConstraintsNotCritical),
        ]);
    }
    let elsewhere = changed(Place::ServerIntermediate, KeyType::P256, &|issuer| {
        issuer.with(Extension::permitted_dns("elsewhere.example"))
    });
    cases.push(case(elsewhere, SERVER, 1, Reason::NameConstraints));
    cases
}

/// Chains that do not reach a trust root.
fn of_paths() -> Vec<Case> {
    let root = || Template::ca("Root").self_signed(Key::new(KeyType::P256));
    let mut cases = Vec::new();
    for place in Place::LEAVES {
        let field = place.field();
        let leaf = || match place {
            Place::ClientLeaf => Template::client(DEVICE),
            _ => Template::server(HOST),
        };
        let bundle = |chain: &[&Identity], root: &Identity| {
            let mut texts = Texts {
                client_certificate: Template::client(DEVICE).issued_by(root).pem(),
                client_private_key: String::new(),
                ca_certificate: root.pem(),
                server_certificate: None,
            };
            let chain_pem = chain.iter().map(|identity| identity.pem()).collect();
            if place == Place::ClientLeaf {
                texts.client_certificate = chain_pem;
                texts.client_private_key = chain[0].key.pkcs8_pem();
            } else {
                let client = Template::client(DEVICE).issued_by(root);
                texts.client_certificate = client.pem();
                texts.client_private_key = client.key.pkcs8_pem();
                texts.server_certificate = Some(chain_pem);
            }
            texts
        };
        let trusted = root();
        let stranger = Template::ca("Stranger").self_signed(Key::new(KeyType::P256));
        let impostor = root();
        let unknown = bundle(&[&leaf().issued_by(&stranger), &stranger], &trusted);
        cases.push(case(unknown, field, 1, Reason::UnknownIssuer));
        let forged = bundle(&[&leaf().issued_by(&impostor)], &trusted);
        cases.push(case(forged, field, 1, Reason::BadSignature));
        let sha512 = leaf().but(|leaf| leaf.digest = MessageDigest::sha512());
        let unsupported = bundle(&[&sha512.issued_by(&trusted)], &trusted);
        cases.push(case(unsupported, field, 1, Reason::UnsupportedSignature));

        let no_further = Extension::basic_constraints(true, true, Some(0));
        let upper = Template::ca("Upper").with(no_further).issued_by(&trusted);
        let lower = Template::ca("Lower").issued_by(&upper);
        let long = bundle(&[&leaf().issued_by(&lower), &lower, &upper], &trusted);
        cases.push(case(long, field, 1, Reason::PathTooLong));

        let late = Template::ca("Late")
            .but(|late| late.not_before += 50 * DAY)
            .issued_by(&trusted);
        let early = leaf().but(|leaf| leaf.not_after = leaf.not_before + 10 * DAY);
        let never = bundle(&[&early.issued_by(&late), &late], &trusted);
        cases.push(Case {
            synchronised: false,
            ..case(never, field, 1, Reason::NeverValidTogether)
        });

        // So many issuers of one name that the search is given up.
        let namesakes: Vec<_> = (0..7).map(|_| Template::ca("Root").issued_by(&impostor)).collect();
        let lost = leaf().issued_by(&impostor);
        let chain: Vec<_> = [&lost].into_iter().chain(&namesakes).collect();
        cases.push(case(bundle(&chain, &trusted), field, 1, Reason::NoPath));
    }
    cases
}

/// What a leaf says that it is for, and whom it names.
fn of_leaves() -> Vec<Case> {
    let mut cases = Vec::new();
    for place in Place::LEAVES {
        let field = place.field();
        let (own, other, not_for) = match place {
            Place::ClientLeaf => (oid::CLIENT_AUTH, oid::SERVER_AUTH, Reason::NotForClients),
            _ => (oid::SERVER_AUTH, oid::CLIENT_AUTH, Reason::NotForServers),
        };
        let faults: &[(Reason, Change<'_>)] = &[
            (Reason::LeafMaySign, &|leaf| {
                leaf.with(Extension::key_usage(
                    usage::DIGITAL_SIGNATURE | usage::CERTIFICATE_SIGNING,
                ))
            }),
            (Reason::LeafMaySign, &|leaf| {
                leaf.with(Extension::basic_constraints(true, true, None))
            }),
            (Reason::NoExtendedKeyUsage, &|leaf| {
                leaf.without(oid::EXTENDED_KEY_USAGE)
            }),
            (not_for, &|leaf| leaf.with(Extension::extended_key_usage(&[other]))),
            (Reason::AnyUsage, &|leaf| {
                leaf.with(Extension::extended_key_usage(&[own, oid::ANY_USAGE]))
            }),
            (Reason::CriticalExtendedKeyUsage, &|leaf| {
                leaf.with(Extension::extended_key_usage(&[own]).critical(true))
            }),
            (Reason::MisplacedNameConstraints, &|leaf| {
                leaf.with(Extension::permitted_dns("hospital.example"))
            }),
        ];
        for (reason, change) in faults {
            cases.push(case(changed(place, KeyType::P256, change), field, 1, *reason));
        }
    }
    let client = |change: Change<'_>| changed(Place::ClientLeaf, KeyType::P256, change);
    let server = |change: Change<'_>| changed(Place::ServerLeaf, KeyType::P256, change);
    let other_device = client(&|leaf| leaf.but(|leaf| leaf.common_name = "ZM-ICU-MON-05".into()));
    let other_host = server(&|leaf| leaf.with(Extension::alternative_names(&[AlternativeName::Dns("other.example")])));
    let other_common_name = server(&|leaf| leaf.but(|leaf| leaf.common_name = "other.hospital.example".into()));
    cases.extend([
        case(other_device, CLIENT, 1, Reason::OtherDevice),
        case(other_host, SERVER, 1, Reason::OtherHost),
        case(other_common_name, SERVER, 1, Reason::CommonNameElsewhere),
    ]);
    cases
}

#[test]
fn it_tells_every_fault_in_the_matrix_by_field_block_and_reason() {
    accepts(&good());
    let cases = [
        anywhere(),
        of_texts(),
        of_the_key(),
        of_the_root(),
        of_intermediates(),
        of_paths(),
        of_leaves(),
    ]
    .concat();
    for case in &cases {
        let device = Device {
            synchronised: case.synchronised,
            ..Device::at(NOW)
        };
        tells_at(&device, &case.texts, case.field, case.block, case.reason);
    }
    for reason in Reason::ALL {
        assert!(
            cases.iter().any(|case| case.reason == *reason),
            "no case for {reason:?}"
        );
    }
    assert!(cases.len() >= 60, "{} cases", cases.len());
}
