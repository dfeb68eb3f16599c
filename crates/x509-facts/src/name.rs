//! Distinguished names as text (RFC 4514).

use x509_parser::asn1_rs::{Tag, ToDer};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The name as RFC 4514 writes it: the most specific part first, special and control characters escaped.
pub(crate) fn rfc4514(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+"))
        .collect();
    parts.reverse();
    parts.join(",")
}

/// Whether a text in the name has a control character.
pub(crate) fn has_control_character(name: &X509Name<'_>) -> bool {
    name.iter_attributes()
        .filter_map(text)
        .any(|text| text.contains(char::is_control))
}

/// The value as text, where its type is a text's that we read.
pub(crate) fn text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let value = attribute.attr_value();
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::NumericString | Tag::Ia5String | Tag::VisibleString => {
            str::from_utf8(value.data).ok().map(Into::into)
        }
        // What CAs write into a TeletexString is Latin-1.
        Tag::TeletexString => Some(value.data.iter().copied().map(char::from).collect()),
        Tag::BmpString => {
            let (units, rest) = value.data.as_chunks();
            rest.is_empty()
                .then(|| String::from_utf16(&units.iter().copied().map(u16::from_be_bytes).collect::<Vec<_>>()).ok())
                .flatten()
        }
        _ => None,
    }
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type();
    let kind = oid2abbrev(oid, oid_registry()).map_or_else(|_| oid.to_id_string(), Into::into);
    let value = match text(attribute) {
        Some(text) => escaped(&text),
        None => format!("#{}", hex(&attribute.attr_value().to_der_vec().unwrap_or_default())),
    };
    format!("{kind}={value}")
}

/// RFC 4514, 2.4; control characters as the hexadecimal of their UTF-8, `\7F` for example.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    for (index, c) in text.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.extend(['\\', c]),
            '#' if index == 0 => out.push_str("\\#"),
            ' ' if index == 0 || index == last => out.push_str("\\ "),
            c if c.is_control() => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    out.push_str(&format!("\\{byte:02X}"));
                }
            }
            c => out.push(c),
        }
    }
    out
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_escapes_what_a_reader_of_the_name_would_misunderstand() {
        assert_eq!(escaped("ICU, CN=Root+x"), "ICU\\, CN=Root\\+x");
        assert_eq!(escaped("# a#"), "\\# a#");
        assert_eq!(escaped(" a b "), "\\ a b\\ ");
        assert_eq!(escaped("a\0\n\u{85}\"<>;\\"), "a\\00\\0A\\C2\\85\\\"\\<\\>\\;\\\\");
        assert_eq!(escaped("Größe"), "Größe");
        assert_eq!(escaped(""), "");
    }
}
