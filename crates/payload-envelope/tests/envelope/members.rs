use zmon_domain::error::{ErrorCode, ProvisioningError};
use zmon_domain::payload::{MemberValue, Members, SignedText};
use zmon_domain::secret::SecretText;
use zmon_ports::PayloadEnvelope;

use crate::craft::{envelope, hmac_key};

fn members(text: &str) -> Result<Members, ProvisioningError> {
    envelope(&hmac_key()).members(&SignedText::after_verification(SecretText::new(text.into())))
}

/// The one value of `{"a":<value>}`: a string, an integer, or what is neither.
fn value(json: &str) -> String {
    let mut members = members(&format!(r#"{{"a":{json}}}"#)).unwrap().0;
    assert_eq!(members.len(), 1);
    match members.remove(0).1 {
        MemberValue::Text(text) => format!("text {}", text.expose()),
        MemberValue::Integer(number) => format!("integer {number}"),
        MemberValue::Other => "other".into(),
    }
}

#[test]
fn it_keeps_order_and_duplicates() {
    let names: Vec<String> = members(r#"{"b":1,"a":2,"b":1,"\u0061":3}"#)
        .unwrap()
        .0
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["b", "a", "b", "a"]);
    assert!(members(" {} \n").unwrap().0.is_empty());
}

#[test]
fn it_reads_strings_with_their_escapes_resolved() {
    assert_eq!(value(r#""""#), "text ");
    assert_eq!(value(r#""a\n\u00e9\ud83d\ude00""#), "text a\né😀");
    assert_eq!(value(r#""1""#), "text 1");
}

#[test]
fn it_reads_integer_literals_of_64_bits() {
    for literal in [
        "0",
        "1",
        "-1",
        "18446744073709551615",
        "9223372036854775808",
        "-9223372036854775808",
    ] {
        assert_eq!(value(literal), format!("integer {literal}"));
    }
}

#[test]
fn it_tells_every_other_value_apart_from_strings_and_integers() {
    for literal in [
        "-0",
        "1.0",
        "0.5",
        "1e3",
        "1E0",
        "-1.5e-3",
        "18446744073709551616",
        "-9223372036854775809",
        "123456789012345678901234567890",
        "null",
        "true",
        "false",
        "[]",
        r#"[1,"x",{}]"#,
        "{}",
        r#"{"$serde_json::private::Number":"1"}"#,
        r#"{"a":{"b":[1]}}"#,
    ] {
        assert_eq!(value(literal), "other", "{literal}");
    }
}

#[test]
fn it_survives_nesting_of_any_depth() {
    let depth = 30_000;
    assert_eq!(value(&format!("{}{}", "[".repeat(depth), "]".repeat(depth))), "other");
    assert_eq!(
        value(&format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth))),
        "other"
    );
    assert!(members(&format!(r#"{{"a":{}"#, "[".repeat(depth))).is_err());
}

#[test]
fn it_refuses_what_is_not_one_object() {
    for text in [
        "",
        " ",
        "null",
        "1",
        "\"x\"",
        "[]",
        r#"["a",1]"#,
        "{",
        "{}{}",
        "{} x",
        "{},",
        r#"{"a":1,}"#,
        r#"{"a" 1}"#,
        r#"{'a':1}"#,
        r#"{a:1}"#,
        r#"{1:1}"#,
        r#"{"a":01}"#,
        r#"{"a":+1}"#,
        r#"{"a":.5}"#,
        r#"{"a":NaN}"#,
        r#"{"a":0x10}"#,
        "{\"a\":\"\n\"}",
        r#"{"a":"\ud800"}"#,
        r#"{"a":"\x41"}"#,
        r#"{"a":1}//"#,
        "\u{feff}{}",
    ] {
        let error = members(text).unwrap_err();
        assert_eq!(error.code(), ErrorCode::PayloadInvalid, "{text}");
    }
}

#[test]
fn it_says_where_and_why_but_never_what_it_found() {
    let canary = "CANARY7Q";
    for text in [
        format!("\"{canary}\""),
        format!(r#"{{"{canary}":"{canary}" "{canary}"}}"#),
        format!(r#"{{"clientPrivateKey":"{canary}","#),
        format!(r#"{{"a":{canary}}}"#),
        format!(r#"{{}} {canary}"#),
    ] {
        let error = members(&text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(canary), "{error:?}");
    }
    assert_eq!(
        members("{\"a\":\n x}").unwrap_err().message(),
        "The payload is not one JSON object: the text is not JSON (line 2, column 2)."
    );
    assert_eq!(
        members("[]").unwrap_err().message(),
        "The payload is not one JSON object: it is another kind of value (line 1, column 0)."
    );
}
