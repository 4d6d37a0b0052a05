//! The typed JSON of the vectors, made of what the crate and ciborium read.

use ciborium::Value as Cbor;
use serde_json::{Value, json};
use sessiondir::{Naming, Session};

use super::vectors::{repeat, unhex};

/// A value as typed JSON.
pub(crate) fn typed(value: &Cbor) -> Value {
    match value {
        Cbor::Null => json!({ "null": null }),
        Cbor::Bool(value) => json!({ "bool": value }),
        Cbor::Integer(int) => json!({ "int": i128::from(*int).to_string() }),
        Cbor::Float(float) => json!({ "float": decimal(*float) }),
        Cbor::Text(text) => json!({ "text": text }),
        Cbor::Bytes(bytes) => json!({ "bytes": hex(bytes) }),
        Cbor::Array(items) => json!({ "array": items.iter().map(typed).collect::<Vec<_>>() }),
        Cbor::Map(entries) => json!({ "map": entries.iter().map(pair).collect::<Vec<_>>() }),
        _ => panic!("no value of the format: {value:?}"),
    }
}

fn pair((key, value): &(Cbor, Cbor)) -> Value {
    json!([key.as_text().expect("a text key"), typed(value)])
}

fn decimal(float: f64) -> String {
    if float.is_nan() { "nan".to_owned() } else { format!("{float:?}") }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Typed JSON of the manifest in the form in which [`typed`] gives it: no repetitions, floats as they are
/// printed here.
pub(crate) fn expand(value: &Value) -> Value {
    match value {
        Value::Object(members) if members.len() == 1 => {
            let (kind, inner) = members.iter().next().expect("one");
            match (kind.as_str(), inner) {
                ("bytes", Value::Object(_)) => json!({ "bytes": hex(&repeat(inner)) }),
                ("bytes", Value::String(digits)) => json!({ "bytes": hex(&unhex(digits)) }),
                ("float", Value::String(text)) => {
                    json!({ "float": decimal(text.parse().expect("a float")) })
                }
                _ => json!({ kind: expand(inner) }),
            }
        }
        Value::Object(members) => {
            Value::Object(members.iter().map(|(key, value)| (key.clone(), expand(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(expand).collect()),
        other => other.clone(),
    }
}

fn parse(encoded: &[u8]) -> Cbor {
    ciborium::from_reader(encoded).expect("CBOR")
}

/// What the crate says of a session, as the manifest writes it. Entries that it does not know it does not show:
/// `other` is for [`session_of_body`] to compare.
pub(crate) fn session(session: &Session, naming: Naming) -> Value {
    let reference = session.reference().expect("a stored session");
    let mut out = match (naming, reference.id()) {
        (Naming::Plain, Some(id)) => json!({ "id": id.expose() }),
        _ => json!({ "key": reference.key().to_hex() }),
    };
    let mut put = |key: &str, value: Value| out[key] = value;
    put("rev", json!(session.rev().to_string()));
    put("created", json!(session.created().as_millis().to_string()));
    put("accessed", json!(session.accessed().as_millis().to_string()));
    if let Some(expires) = session.expires() {
        put("expires", json!(expires.as_millis().to_string()));
    }
    if let Some(idle) = session.idle() {
        put("idle", json!(idle.as_millis().to_string()));
    }
    if let Some(user) = session.user::<Cbor>().expect("a value") {
        put("user", typed(&user));
    }
    if let Some(addr) = session.addr() {
        put("addr", json!(addr));
    }
    if session.tokens().len() > 0 {
        put("tokens", json!(session.tokens().collect::<Vec<_>>()));
    }
    if let Some(csrf) = session.csrf() {
        put("csrf", json!(csrf));
    }
    if session.attributes().len() > 0 {
        let data: Vec<_> =
            session.attributes().map(|(key, value)| json!([key, typed(&parse(value))])).collect();
        put("data", json!(data));
    }
    out
}

/// The same of a record, read by ciborium alone.
pub(crate) fn session_of_record(record: &[u8]) -> Value {
    let Cbor::Tag(55_799, inner) = parse(record) else { panic!("tag 55799") };
    let Cbor::Tag(0x5345_5344, inner) = *inner else { panic!("tag SESD") };
    let Cbor::Array(parts) = *inner else { panic!("an array") };
    let Cbor::Map(entries) = parse(parts[3].as_bytes().expect("a byte string")) else { panic!("a map") };
    let mut out = json!({});
    let mut other = Vec::new();
    for (key, value) in &entries {
        let key = key.as_text().expect("a text key");
        out[key] = match (key, value) {
            ("user", value) => typed(value),
            ("data", Cbor::Map(entries)) => json!(entries.iter().map(pair).collect::<Vec<_>>()),
            ("tokens", Cbor::Array(tokens)) => json!(tokens.iter().map(|t| t.as_text()).collect::<Vec<_>>()),
            ("id" | "addr" | "csrf", Cbor::Text(text)) => json!(text),
            ("key", Cbor::Bytes(bytes)) => json!(hex(bytes)),
            ("rev" | "created" | "accessed" | "expires" | "idle", Cbor::Integer(int)) => {
                json!(i128::from(*int).to_string())
            }
            (key, value) => {
                other.push(json!([key, typed(value)]));
                continue;
            }
        };
    }
    if !other.is_empty() {
        out["other"] = json!(other);
    }
    out
}

/// Diagnostic notation, for people: long strings are cut.
pub(crate) fn diagnostic(value: &Cbor) -> String {
    const MOST: usize = 40;
    let list = |items: Vec<String>, open: char, close: char| format!("{open}{}{close}", items.join(", "));
    match value {
        Cbor::Null => "null".to_owned(),
        Cbor::Bool(value) => value.to_string(),
        Cbor::Integer(int) => i128::from(*int).to_string(),
        Cbor::Float(float) => decimal(*float),
        Cbor::Text(text) if text.len() > MOST => format!("\"{}…\" ({} bytes)", shorten(text), text.len()),
        Cbor::Text(text) => format!("{text:?}"),
        Cbor::Bytes(bytes) if bytes.len() > MOST => {
            format!("h'{}…' ({} bytes)", hex(&bytes[..8]), bytes.len())
        }
        Cbor::Bytes(bytes) => format!("h'{}'", hex(bytes)),
        Cbor::Array(items) if items.len() > MOST => format!("[…] ({} items)", items.len()),
        Cbor::Array(items) => list(items.iter().map(diagnostic).collect(), '[', ']'),
        Cbor::Map(entries) if entries.len() > MOST => format!("{{…}} ({} entries)", entries.len()),
        Cbor::Map(entries) => {
            let entry = |(key, value): &(Cbor, Cbor)| format!("{}: {}", diagnostic(key), diagnostic(value));
            list(entries.iter().map(entry).collect(), '{', '}')
        }
        _ => panic!("no value of the format: {value:?}"),
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(8).collect::<String>().escape_debug().to_string()
}

/// The body of a sound record in diagnostic notation.
pub(crate) fn body_of_record(record: &[u8]) -> String {
    let Cbor::Tag(_, inner) = parse(record) else { panic!("a tag") };
    let Cbor::Tag(_, inner) = *inner else { panic!("a tag") };
    let Cbor::Array(parts) = *inner else { panic!("an array") };
    diagnostic(&parse(parts[3].as_bytes().expect("a byte string")))
}
