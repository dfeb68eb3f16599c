//! Step 4 against messages that are right in everything but one thing.

use josekit::jwe::{ECDH_ES_A256KW, JweHeader};
use zmon_payload_envelope::{MAX_BODY, keys, seal};
use zmon_ports::PayloadEnvelope;

use crate::craft::{Agreement, PAYLOAD, b64, envelope, hmac_jws, hmac_key, lax_spellings, opens, secret, session_key};

fn inner() -> String {
    hmac_jws(r#"{"alg":"HS256"}"#, secret(1).expose(), PAYLOAD)
}

/// Whether an envelope with this header opens; everything else about it is right. Where it does not, the header alone
/// must have been the reason, before any key was used.
fn opens_with(agreement: &Agreement, header: &str) -> bool {
    let body = agreement.seal(header, inner().as_bytes());
    match envelope(&hmac_key()).open(body.as_bytes(), &session_key()) {
        Ok(_) => true,
        Err(fault) => {
            let of_the_header = ["protected header", "algorithms", "content type", "ephemeral key"];
            assert!(
                of_the_header.iter().any(|reason| fault.cause.contains(reason)),
                "{header}: {fault}"
            );
            false
        }
    }
}

/// The good header with this text in front of its first member.
fn with_member(agreement: &Agreement, member: &str) -> String {
    agreement.header().replacen('{', &format!("{{{member},"), 1)
}

#[test]
fn it_opens_what_is_built_by_hand_to_the_letter() {
    let agreement = Agreement::fresh();
    assert!(opens_with(&agreement, &agreement.header()));
    assert!(opens_with(&agreement, &with_member(&agreement, r#""cty":"JOSE""#)));
    assert!(opens_with(&agreement, &agreement.header().replace(',', " ,\n\t")));
}

#[test]
fn it_refuses_zip_which_the_library_beneath_would_inflate() {
    let session = keys::session_public_key(&session_key());
    let mut der = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x6e\x03\x21\x00".to_vec();
    der.extend_from_slice(session.as_bytes());
    let encrypter = ECDH_ES_A256KW.encrypter_from_der(&der).unwrap();
    let mut header = JweHeader::new();
    header.set_content_encryption("A256GCM");
    let plain = josekit::jwe::serialize_compact(inner().as_bytes(), &header, &encrypter).unwrap();
    header.set_compression("DEF");
    let zipped = josekit::jwe::serialize_compact(inner().as_bytes(), &header, &encrypter).unwrap();

    let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x6e\x04\x22\x04\x20".to_vec();
    der.extend_from_slice(session_key().expose());
    let decrypter = ECDH_ES_A256KW.decrypter_from_der(&der).unwrap();
    let (inflated, _) = josekit::jwe::deserialize_compact(&zipped, &decrypter).unwrap();
    assert_eq!(inflated, inner().as_bytes());

    assert!(opens(&plain));
    assert!(!opens(&zipped));
}

#[test]
fn it_refuses_every_member_beyond_the_list() {
    let agreement = Agreement::fresh();
    for member in [
        r#""zip":"DEF""#,
        r#""p2c":1"#,
        r#""p2c":2147483647,"p2s":"c2FsdHNhbHQ""#,
        r#""crit":["exp"]"#,
        r#""crit":[]"#,
        r#""kid":"1""#,
        r#""typ":"JOSE""#,
        r#""apu":"QQ""#,
        r#""apv":"QQ""#,
        r#""jku":"https://example.org""#,
        r#""jwk":{}"#,
        r#""x5c":[]"#,
        r#""tag":"AA""#,
        r#""":null"#,
    ] {
        assert!(!opens_with(&agreement, &with_member(&agreement, member)), "{member}");
    }
}

#[test]
fn it_refuses_apu_and_apv_even_where_the_key_agrees_with_them() {
    let agreement = Agreement::fresh();
    let header = with_member(&agreement, r#""apu":"QQ","apv":"Qg""#);
    assert!(!opens(&agreement.seal_for(&header, b"A", b"B", inner().as_bytes())));
    assert!(!opens(&agreement.seal_for(
        &agreement.header(),
        b"A",
        b"B",
        inner().as_bytes()
    )));
}

#[test]
fn it_refuses_other_algorithms() {
    let agreement = Agreement::fresh();
    for (good, bad) in [
        ("ECDH-ES+A256KW", "ECDH-ES"),
        ("ECDH-ES+A256KW", "ECDH-ES+A128KW"),
        ("ECDH-ES+A256KW", "ecdh-es+a256kw"),
        ("ECDH-ES+A256KW", "PBES2-HS256+A128KW"),
        ("ECDH-ES+A256KW", "dir"),
        ("ECDH-ES+A256KW", "none"),
        ("A256GCM", "A128GCM"),
        ("A256GCM", "A256CBC-HS512"),
        ("A256GCM", "a256gcm"),
        ("\"OKP\"", "\"EC\""),
        ("X25519", "Ed25519"),
        ("X25519", "X448"),
        ("X25519", "P-256"),
    ] {
        assert!(!opens_with(&agreement, &agreement.header().replace(good, bad)), "{bad}");
    }
    for cty in [r#""JWT""#, r#""jose""#, r#""""#, "null", "1", r#"["JOSE"]"#] {
        assert!(
            !opens_with(&agreement, &with_member(&agreement, &format!(r#""cty":{cty}"#))),
            "{cty}"
        );
    }
}

#[test]
fn it_refuses_a_missing_member() {
    let agreement = Agreement::fresh();
    let (header, epk) = (agreement.header(), agreement.epk());
    for member in [
        r#""alg":"ECDH-ES+A256KW","#.to_string(),
        r#""enc":"A256GCM","#.into(),
        format!(r#","epk":{epk}"#),
        r#""kty":"OKP","#.into(),
        r#""crv":"X25519","#.into(),
        format!(r#","x":"{}""#, agreement.x),
    ] {
        assert!(header.contains(&member));
        assert!(!opens_with(&agreement, &header.replace(&member, "")), "{member}");
    }
}

#[test]
fn it_refuses_duplicate_members_in_header_and_epk_even_with_equal_values() {
    let agreement = Agreement::fresh();
    let (header, epk) = (agreement.header(), agreement.epk());
    for member in [
        r#""alg":"ECDH-ES+A256KW""#.to_string(),
        r#""\u0061lg":"ECDH-ES+A256KW""#.into(),
        r#""alg":"none""#.into(),
        r#""enc":"A256GCM""#.into(),
        format!(r#""epk":{epk}"#),
        r#""cty":"JOSE","cty":"JOSE""#.into(),
    ] {
        assert!(!opens_with(&agreement, &with_member(&agreement, &member)), "{member}");
    }
    for member in [
        r#""kty":"OKP""#.to_string(),
        r#""crv":"X25519""#.into(),
        format!(r#""x":"{}""#, agreement.x),
        format!(r#""\u0078":"{}""#, agreement.x),
        r#""d":"AA""#.into(),
        r#""y":"AA""#.into(),
    ] {
        let changed = epk.replacen('{', &format!("{{{member},"), 1);
        assert!(!opens_with(&agreement, &header.replace(&epk, &changed)), "{member}");
    }
}

#[test]
fn it_refuses_arrays_and_other_values_in_place_of_objects() {
    let agreement = Agreement::fresh();
    let (header, epk, x) = (agreement.header(), agreement.epk(), &agreement.x);
    let array = format!(r#"["OKP","X25519","{x}"]"#);
    assert!(!opens_with(&agreement, &header.replace(&epk, &array)));
    assert!(!opens_with(
        &agreement,
        &format!(r#"["ECDH-ES+A256KW","A256GCM",{epk}]"#)
    ));
    assert!(!opens_with(
        &agreement,
        &format!(r#"["ECDH-ES+A256KW","A256GCM",{epk},"JOSE"]"#)
    ));
    for json in ["", "null", "1", "\"x\"", "[]", "{}", "{", "\u{feff}{}"] {
        assert!(!opens_with(&agreement, json), "{json}");
    }
    assert!(!opens_with(&agreement, &format!("{header}{header}")));
    assert!(!opens_with(&agreement, &format!("\u{feff}{header}")));
    assert!(!opens_with(
        &agreement,
        &header.replace(r#""A256GCM""#, r#"{"A256GCM":null}"#)
    ));
}

/// From <https://cr.yp.to/ecdh.html#validate>, those that stay of low order when the top bit is masked (RFC 7748, 5).
const LOW_ORDER: [[u8; 32]; 7] = {
    let mut points = [[0; 32]; 7];
    points[1][0] = 1;
    points[2] = *b"\xe0\xeb\x7a\x7c\x3b\x41\xb8\xae\x16\x56\xe3\xfa\xf1\x9f\xc4\x6a\xda\x09\x8d\xeb\x9c\x32\xb1\xfd\x86\x62\x05\x16\x5f\x49\xb8\x00";
    points[3] = *b"\x5f\x9c\x95\xbc\xa3\x50\x8c\x24\xb1\xd0\xb1\x55\x9c\x83\xef\x5b\x04\x44\x5c\xc4\x58\x1c\x8e\x86\xd8\x22\x4e\xdd\xd0\x9f\x11\x57";
    points[4] = [0xff; 32];
    points[5] = [0xff; 32];
    points[6] = [0xff; 32];
    (points[4][0], points[4][31]) = (0xec, 0x7f);
    (points[5][0], points[5][31]) = (0xed, 0x7f);
    (points[6][0], points[6][31]) = (0xee, 0x7f);
    points
};

#[test]
fn it_refuses_every_low_order_ephemeral_key_with_an_envelope_that_anyone_could_have_made() {
    for point in LOW_ORDER {
        let mut masked = point;
        masked[31] |= 0x80;
        for point in [point, masked] {
            let agreement = Agreement::low_order(&point);
            let body = agreement.seal(&agreement.header(), inner().as_bytes());
            assert!(!opens(&body), "{point:02x?}");
        }
    }
}

#[test]
fn it_does_not_seal_to_a_low_order_key() {
    let signed = seal::sign(&zmon_domain::secret::SecretText::new(PAYLOAD.into()), &hmac_key()).unwrap();
    for point in LOW_ORDER {
        let to = zmon_domain::pairing::SessionPublicKey::new(point);
        assert!(seal::seal(&signed, &to).is_err(), "{point:02x?}");
    }
}

#[test]
fn it_refuses_an_ephemeral_key_of_another_length() {
    let agreement = Agreement::fresh();
    for length in [0, 1, 31, 33, 56, 64] {
        let header = agreement.header().replace(&agreement.x, &b64(vec![9; length]));
        assert!(!opens_with(&agreement, &header), "{length}");
    }
    for lax in lax_spellings(&agreement.x) {
        let lax = lax.escape_default().to_string();
        let header = agreement.header().replace(&agreement.x, &lax);
        assert!(!opens_with(&agreement, &header), "{lax}");
    }
}

#[test]
fn it_refuses_parts_of_another_length() {
    let agreement = Agreement::fresh();
    let body = agreement.seal(&agreement.header(), inner().as_bytes());
    let parts: Vec<&str> = body.split('.').collect();
    for (index, lengths) in [
        (1, [0, 24, 39, 41, 48]),
        (2, [0, 8, 11, 13, 16]),
        (4, [0, 4, 12, 15, 17]),
    ] {
        for length in lengths {
            let mut parts = parts.clone();
            let other = b64(vec![0; length]);
            parts[index] = &other;
            assert!(!opens(&parts.join(".")), "part {index}, {length} bytes");
        }
    }
    // A truncated tag is the one that some implementations take.
    let truncated = format!("{}.{}", parts[..4].join("."), &parts[4][..16]);
    assert!(!opens(&truncated));
}

#[test]
fn it_refuses_lax_base64url_in_every_part() {
    let agreement = Agreement::fresh();
    // White space behind the header's object makes its length one that has trailing bits.
    let header = format!(
        "{}{}",
        agreement.header(),
        " ".repeat((4 - agreement.header().len() % 3) % 3)
    );
    let mut text = inner();
    while text.len() % 3 != 1 {
        text.push('A');
    }
    let body = agreement.seal(&header, text.as_bytes());
    assert!(opens(&body));
    for index in 0..5 {
        let parts: Vec<&str> = body.split('.').collect();
        if parts[index].len().is_multiple_of(4) {
            assert_eq!(index, 2, "a nonce of 12 bytes has no trailing bits");
            continue;
        }
        for lax in lax_spellings(parts[index]) {
            let mut parts = parts.clone();
            parts[index] = &lax;
            assert!(!opens(&parts.join(".")), "part {index}: {lax}");
        }
    }
    for lax in [
        format!("{body}\n"),
        format!(" {body}"),
        format!("{body}="),
        format!("{body}\0"),
    ] {
        assert!(!opens(&lax));
    }
}

#[test]
fn it_refuses_another_number_of_parts() {
    let agreement = Agreement::fresh();
    let body = agreement.seal(&agreement.header(), inner().as_bytes());
    let parts: Vec<&str> = body.split('.').collect();
    for other in [
        format!("{body}."),
        format!(".{body}"),
        format!("{body}.AA"),
        body.replacen('.', "..", 1),
        parts[..4].join("."),
        parts[0].into(),
        "....".into(),
        String::new(),
    ] {
        assert!(!opens(&other), "{other}");
    }
}

#[test]
fn it_refuses_json_serialisations() {
    let agreement = Agreement::fresh();
    let body = agreement.seal(&agreement.header(), inner().as_bytes());
    let [protected, key, iv, ciphertext, tag] = body.split('.').collect::<Vec<_>>().try_into().unwrap();
    let rest = format!(r#""iv":"{iv}","ciphertext":"{ciphertext}","tag":"{tag}""#);
    assert!(!opens(&format!(
        r#"{{"protected":"{protected}","encrypted_key":"{key}",{rest}}}"#
    )));
    assert!(!opens(&format!(
        r#"{{"protected":"{protected}","recipients":[{{"encrypted_key":"{key}"}}],{rest}}}"#
    )));
}

#[test]
fn it_refuses_what_is_signed_but_not_sealed() {
    assert!(!opens(&inner()));
    assert!(!opens(PAYLOAD));
}

#[test]
fn it_refuses_what_is_sealed_to_another_session() {
    let other = keys::session_public_key(&secret(8));
    let signed = zmon_domain::secret::SecretText::new(inner());
    assert!(!opens(&seal::seal(&signed, &other).unwrap()));
    assert!(opens(
        &seal::seal(&signed, &keys::session_public_key(&session_key())).unwrap()
    ));
}

#[test]
fn it_opens_64_kib_and_refuses_one_byte_more() {
    let agreement = Agreement::fresh();
    let empty = agreement.seal(&agreement.header(), b"");
    let room = MAX_BODY - empty.len();
    let largest = agreement.seal(
        &agreement.header(),
        &vec![b'x'; room / 4 * 3 + (room % 4).saturating_sub(1)],
    );
    assert!(largest.len() >= MAX_BODY - 1 && largest.len() <= MAX_BODY);
    assert!(opens(&largest));
    let too_large = agreement.seal(&agreement.header(), &vec![b'x'; room / 4 * 3 + 3]);
    assert!(too_large.len() > MAX_BODY);
    assert!(!opens(&too_large));
    let text = zmon_domain::secret::SecretText::new("x".repeat(MAX_BODY));
    assert!(seal::seal(&text, &keys::session_public_key(&session_key())).is_err());
}

#[test]
fn it_takes_a_sealed_message_that_is_no_text_to_step_5_and_refuses_it_there() {
    let agreement = Agreement::fresh();
    let device = envelope(&hmac_key());
    let body = agreement.seal(&agreement.header(), b"\xff\xfe\x00");
    let opened = device.open(body.as_bytes(), &session_key()).unwrap();
    assert!(device.verify(opened).is_err());
}
