use openssl::pkey::PKey;
use openssl::sign::Signer;
use openssl::symm::{Cipher, decrypt_aead};
use ring::digest::{SHA256, digest};
use zmon_ports::WrappingKey;
use zmon_sqlcipher_certstore::{DatabaseKey, UnwrapFault, WRAPPED_KEY_LENGTH, unwrap, wrap};

fn wrapping() -> WrappingKey {
    WrappingKey::take(&mut [7; 32])
}

fn database_key() -> DatabaseKey {
    DatabaseKey::take(&mut core::array::from_fn(|at| at as u8))
}

/// Makes the checksum right again, so that what else is wrong shows.
fn summed(mut wrapped: [u8; WRAPPED_KEY_LENGTH]) -> [u8; WRAPPED_KEY_LENGTH] {
    let sum = digest(&SHA256, &wrapped[..96]);
    wrapped[96..].copy_from_slice(sum.as_ref());
    wrapped
}

#[test]
fn it_gives_the_key_back_and_looks_different_each_time() {
    let one = wrap(&database_key(), &wrapping()).unwrap();
    let two = wrap(&database_key(), &wrapping()).unwrap();
    assert!(unwrap(&one, &wrapping()).unwrap() == database_key());
    assert!(unwrap(&two, &wrapping()).unwrap() == database_key());
    assert_eq!(one[..20], two[..20]);
    assert_ne!(one[20..48], two[20..48], "nonce and key check");
    assert_ne!(one[48..], two[48..]);
}

#[test]
fn it_finds_every_changed_or_missing_byte() {
    let wrapped = wrap(&database_key(), &wrapping()).unwrap();
    for at in 0..wrapped.len() {
        let mut changed = wrapped;
        changed[at] ^= 1;
        assert_eq!(unwrap(&changed, &wrapping()), Err(UnwrapFault::Damaged), "byte {at}");
        assert_eq!(
            unwrap(&wrapped[..at], &wrapping()),
            Err(UnwrapFault::Damaged),
            "{at} bytes"
        );
    }
    assert_eq!(unwrap(&[0; WRAPPED_KEY_LENGTH], &wrapping()), Err(UnwrapFault::Damaged));
    let longer: Vec<u8> = wrapped.iter().copied().chain([0]).collect();
    assert_eq!(unwrap(&longer, &wrapping()), Err(UnwrapFault::Damaged));
}

#[test]
fn it_tells_a_wrong_key_from_damage_and_from_a_newer_format() {
    let wrapped = wrap(&database_key(), &wrapping()).unwrap();
    let other = WrappingKey::take(&mut [8; 32]);
    assert_eq!(unwrap(&wrapped, &other), Err(UnwrapFault::WrongKey));
    let mut newer = wrapped;
    newer[19] = 2;
    assert_eq!(unwrap(&summed(newer), &wrapping()), Err(UnwrapFault::Newer(2)));
    // Somebody who can compute checksums, but has no key: header, ciphertext and tag are authenticated.
    for at in 48..96 {
        let mut forged = wrapped;
        forged[at] ^= 1;
        assert_eq!(
            unwrap(&summed(forged), &wrapping()),
            Err(UnwrapFault::Damaged),
            "byte {at}"
        );
    }
}

/// RFC 5869 with HMAC-SHA256, for up to 32 bytes.
fn hkdf(key: &[u8], info: &[u8], length: usize) -> Vec<u8> {
    let hmac = |key: &[u8], text: &[u8]| {
        let key = PKey::hmac(key).unwrap();
        let mut signer = Signer::new(openssl::hash::MessageDigest::sha256(), &key).unwrap();
        signer.sign_oneshot_to_vec(text).unwrap()
    };
    let pseudorandom = hmac(b"z-monitor/wrapped-database-key/v1", key);
    let mut block = hmac(&pseudorandom, &[info, &[1]].concat());
    block.truncate(length);
    block
}

#[test]
fn it_is_read_by_another_implementation_from_its_documentation_alone() {
    let wrapped = wrap(&database_key(), &wrapping()).unwrap();
    assert_eq!(&wrapped[..20], b"z-monitor/dbkey\0\0\0\0\x01");
    let nonce = &wrapped[20..32];
    let check = hkdf(&[7; 32], &[b"key check", nonce].concat(), 16);
    assert_eq!(wrapped[32..48], check);
    let opened = decrypt_aead(
        Cipher::aes_256_gcm(),
        &hkdf(&[7; 32], b"encryption", 32),
        Some(nonce),
        &wrapped[..48],
        &wrapped[48..80],
        &wrapped[80..96],
    );
    assert_eq!(opened.unwrap(), database_key().expose());
    assert_eq!(wrapped[96..], *openssl::sha::sha256(&wrapped[..96]).as_slice());
}
