//! Weak, unlisted and foreign keys and signatures are refused.

use openssl::hash::MessageDigest;
use zmon_domain::certificate::Reason;
use zmon_testkit::pki::{Key, KeyType, Template, pem};

use crate::common::{
    CA, CLIENT, DEVICE, HOST, KEY, SERVER, accepts, ca, client, client_key, objects, pki, refuses, through,
};

#[test]
fn it_refuses_a_key_whose_label_names_another_form() {
    let mut pki = pki();
    let mut texts = pki.texts();
    texts.client_private_key = pki.client.key.sec1_pem().replace("EC PRIVATE", "PRIVATE");
    refuses(&texts, KEY, 1, Reason::Unreadable);
    texts.client_private_key = pki.client.key.sec1_pem().replace("EC PRIVATE", "RSA PRIVATE");
    refuses(&texts, KEY, 1, Reason::Unreadable);
    texts.client_private_key = pki.client.key.pkcs8_pem().replace("PRIVATE", "EC PRIVATE");
    refuses(&texts, KEY, 1, Reason::Unreadable);
    pki.client = Template::client(DEVICE).issued_for(Key::new(KeyType::Rsa(2048)), &pki.ca);
    let mut texts = pki.texts();
    texts.client_private_key = pki.client.key.pkcs8_pem().replace("PRIVATE", "RSA PRIVATE");
    refuses(&texts, KEY, 1, Reason::Unreadable);
}

#[test]
fn it_refuses_weak_and_unlisted_keys_of_the_client() {
    for kind in [
        KeyType::Rsa(1024),
        KeyType::Rsa(2047),
        KeyType::Rsa(2050),
        KeyType::Rsa(4104),
        KeyType::RsaExponent3(2048),
        KeyType::P521,
        KeyType::Secp256k1,
        KeyType::Dsa,
    ] {
        objects(
            &client_key(kind),
            &[(CLIENT, 1, Reason::UnacceptableKey), (KEY, 1, Reason::UnacceptableKey)],
        );
        // The key alone tells it too.
        let mut texts = pki().texts();
        texts.client_private_key = Key::new(kind).pkcs8_pem();
        refuses(&texts, KEY, 1, Reason::UnacceptableKey);
    }
}

#[test]
fn it_refuses_weak_and_unlisted_keys_of_others() {
    refuses(
        &ca(&Template::ca("Weak"), KeyType::Rsa(1024)),
        CA,
        1,
        Reason::UnacceptableKey,
    );
    refuses(
        &ca(&Template::ca("Large"), KeyType::P521),
        CA,
        1,
        Reason::UnacceptableKey,
    );
    let mut pki = pki();
    pki.server = Template::server(HOST).issued_for(Key::new(KeyType::Rsa(1024)), &pki.ca);
    refuses(&pki.texts(), SERVER, 1, Reason::UnacceptableKey);
    let weak = Template::ca("Weak").issued_for(Key::new(KeyType::Rsa(1024)), &pki.ca);
    pki.server = Template::server(HOST).issued_by(&weak);
    let mut texts = pki.texts();
    texts.server_certificate = Some(pki.server.pem() + &weak.pem());
    refuses(&texts, SERVER, 2, Reason::UnacceptableKey);
}

#[test]
fn it_refuses_weak_signatures() {
    for digest in [MessageDigest::md5(), MessageDigest::sha1(), MessageDigest::sha224()] {
        let signed = |template: Template| template.but(|template| template.digest = digest);
        let reason = Reason::UnacceptableSignature;
        refuses(&ca(&signed(Template::ca("Weak")), KeyType::Rsa(2048)), CA, 1, reason);
        let mut pki = pki();
        pki.ca = Template::ca("RSA").self_signed(Key::new(KeyType::Rsa(2048)));
        pki.client = signed(Template::client(DEVICE)).issued_by(&pki.ca);
        pki.server = Template::server(HOST).issued_by(&pki.ca);
        refuses(&pki.texts(), CLIENT, 1, reason);
    }
}

#[test]
fn it_refuses_signatures_that_its_library_does_not_know() {
    let template = Template::client(DEVICE).but(|template| template.digest = MessageDigest::sha512());
    refuses(&client(&template), CLIENT, 1, Reason::UnsupportedSignature);
}

#[test]
fn it_refuses_a_key_that_is_not_the_leafs() {
    for kind in [KeyType::P256, KeyType::P384, KeyType::Ed25519, KeyType::Rsa(2048)] {
        let mut texts = client_key(kind);
        texts.client_private_key = Key::new(kind).pkcs8_pem();
        refuses(&texts, KEY, 1, Reason::KeyMismatch);
        texts.client_private_key = Key::new(KeyType::P256).sec1_pem();
        refuses(&texts, KEY, 1, Reason::KeyMismatch);
    }
    // The right key of a certificate that is not the first.
    let (intermediate, mut texts) = through(&Template::ca("Issuing"));
    texts.client_private_key = intermediate.key.pkcs8_pem();
    refuses(&texts, KEY, 1, Reason::KeyMismatch);
}

#[test]
fn it_refuses_a_key_that_only_claims_to_be_the_leafs() {
    let mut pki = pki();
    let mut texts = pki.texts();
    let other = Key::new(KeyType::P256);
    texts.client_private_key = other.sec1_pem_with_public_of(&pki.client.key);
    refuses(&texts, KEY, 1, Reason::KeyMismatch);
    texts.client_private_key = pki.client.key.sec1_pem_with_public_of(&other);
    refuses(&texts, KEY, 1, Reason::KeyMismatch);

    pki.client = Template::client(DEVICE).issued_for(Key::new(KeyType::Rsa(2048)), &pki.ca);
    let mut texts = pki.texts();
    texts.client_private_key = pki.client.key.pkcs1_pem_with_private_of(&pki.client.key);
    accepts(&texts);
    texts.client_private_key = pki.client.key.pkcs1_pem_with_private_of(&Key::new(KeyType::Rsa(2048)));
    refuses(&texts, KEY, 1, Reason::KeyBroken);
}

#[test]
fn it_refuses_an_rsa_key_of_a_length_that_tls_cannot_use() {
    refuses(&client_key(KeyType::Rsa(2560)), KEY, 1, Reason::KeyBroken);
}

#[test]
fn it_refuses_an_rsa_modulus_that_is_even() {
    let rsa = Template::ca("Even").self_signed(Key::new(KeyType::Rsa(2048)));
    let mut der = rsa.der();
    let exponent = [2, 3, 1, 0, 1];
    let end_of_modulus = der.windows(5).position(|window| window == exponent).unwrap() - 1;
    der[end_of_modulus] ^= 1;
    let mut texts = pki().texts();
    texts.ca_certificate += &pem("CERTIFICATE", &der);
    refuses(&texts, CA, 2, Reason::UnacceptableKey);
}
