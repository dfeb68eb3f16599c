//! Protected headers: exactly the members of the protocol, each once, each a string where a string belongs.

use core::fmt;
use core::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::compact;
use crate::refusal::Refusal;

/// Longest header in base64url characters. An honest one has about 200; the rest is for white space in its JSON.
const MAX_HEADER: usize = 1024;

/// Reads the JWE header and returns the ephemeral public key, still in base64url but known to be 32 bytes of it.
pub(crate) fn ephemeral_key(encoded: &str) -> Result<String, Refusal> {
    let JweHeader { alg, enc, epk, cty } = read(encoded)?;
    if alg != "ECDH-ES+A256KW" || enc != "A256GCM" {
        return Err(Refusal(
            "The envelope uses other algorithms than ECDH-ES+A256KW and A256GCM.",
        ));
    }
    if cty.is_some_and(|cty| cty != "JOSE") {
        return Err(Refusal("The envelope's content type is not JOSE."));
    }
    let ObjectOnly(Epk { kty, crv, x }) = epk;
    if kty != "OKP" || crv != "X25519" || compact::decode_array::<32>(&x).is_none() {
        return Err(Refusal(
            "The envelope's ephemeral key is not an X25519 key of 32 bytes.",
        ));
    }
    Ok(x)
}

/// Reads a JWS header; it must be exactly `alg`, and `typ` where one is given.
pub(crate) fn check_signed(encoded: &str, alg: &str, typ: Option<&str>) -> Result<(), Refusal> {
    let header: JwsHeader = read(encoded)?;
    if header.alg != alg {
        return Err(Refusal("The signature's algorithm is not the one that the key fixes."));
    }
    if header.typ.as_deref() != typ {
        return Err(Refusal("The signed message's type is not the expected one."));
    }
    Ok(())
}

/// JSON that must be an object with exactly the members of `T`. The error says nothing about the content.
pub(crate) fn exact_object<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    let ObjectOnly(object) = serde_json::from_slice(json).ok()?;
    Some(object)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JweHeader {
    alg: String,
    enc: String,
    epk: ObjectOnly<Epk>,
    #[serde(default, deserialize_with = "not_null")]
    cty: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Epk {
    kty: String,
    crv: String,
    x: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JwsHeader {
    alg: String,
    #[serde(default, deserialize_with = "not_null")]
    typ: Option<String>,
}

fn read<T: DeserializeOwned>(encoded: &str) -> Result<T, Refusal> {
    if encoded.len() > MAX_HEADER {
        return Err(Refusal("The protected header is too long."));
    }
    let json = compact::decode(encoded).ok_or(Refusal("The protected header is not base64url."))?;
    exact_object(&json).ok_or(Refusal(
        "The protected header does not have exactly the members of the protocol, each once.",
    ))
}

/// A derived `Deserialize` would also take an array with the values in order; this takes an object alone. Unknown and
/// duplicate members are refused by the derived code.
struct ObjectOnly<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ObjectOnly<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// Where `Option` would take null for absent.
fn not_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}
