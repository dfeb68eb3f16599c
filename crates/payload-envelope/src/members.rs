//! From signed text to the members of one JSON object: order and duplicates kept, values not yet judged.

use core::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::payload::{MemberValue, Members};
use zmon_domain::secret::SecretText;

/// Reads one JSON object with nothing behind it.
///
/// # Errors
/// `PayloadInvalid`: where the text is not one JSON object.
///
/// The texts of `serde_json`'s errors are not passed on: they quote what they found.
pub fn read(text: &str) -> Result<Members, ProvisioningError> {
    serde_json::from_str::<Object>(text)
        .map(|object| Members(object.0))
        .map_err(|fault| {
            let why = match fault.classify() {
                Category::Eof => "the text ends too early",
                Category::Data => "it is another kind of value",
                Category::Syntax | Category::Io => "the text is not JSON",
            };
            let (line, column) = (fault.line(), fault.column());
            ProvisioningError::new(
                ErrorCode::PayloadInvalid,
                format!("The payload is not one JSON object: {why} (line {line}, column {column})."),
            )
        })
}

struct Object(Vec<(String, MemberValue)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut members = Vec::new();
        while let Some((name, Value(value))) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(Object(members))
    }
}

struct Value(MemberValue);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = MemberValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<MemberValue, E> {
        Ok(MemberValue::Text(SecretText::new(text.into())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<MemberValue, E> {
        Ok(MemberValue::Integer(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<MemberValue, E> {
        Ok(MemberValue::Integer(number.into()))
    }

    /// A fraction, an exponent, minus zero, or an integer beyond 64 bits.
    fn visit_f64<E>(self, _: f64) -> Result<MemberValue, E> {
        Ok(MemberValue::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<MemberValue, E> {
        Ok(MemberValue::Other)
    }

    fn visit_unit<E>(self) -> Result<MemberValue, E> {
        Ok(MemberValue::Other)
    }

    /// What is inside is skipped without recursion, however deep.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<MemberValue, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(MemberValue::Other)
    }

    /// As for an array.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MemberValue, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(MemberValue::Other)
    }
}
