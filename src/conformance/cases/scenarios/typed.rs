//! Typed JSON (fixtures/README.md) to the one encoding of a value, and back.

use serde_json::{Value, json};

use crate::conformance::vectors::{hex, unhex};
use crate::record::cbor::{self, Head};

/// The encoding of a value.
pub(crate) fn encode(typed: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, typed);
    out
}

fn put(out: &mut Vec<u8>, typed: &Value) {
    let (kind, inner) = typed.as_object().and_then(|typed| typed.iter().next()).expect("typed JSON");
    let text = inner.as_str().unwrap_or_default();
    let items = inner.as_array().map(Vec::as_slice).unwrap_or_default();
    match kind.as_str() {
        "null" => out.push(0xf6),
        "bool" => out.push(if *inner == json!(true) { 0xf5 } else { 0xf4 }),
        "int" => cbor::put_int(out, text.parse().expect("an integer")),
        "float" => cbor::put_float(out, text.parse().expect("a float")),
        "text" => cbor::put_text(out, text),
        "bytes" => cbor::put_bytes(out, &unhex(text)),
        "array" => {
            cbor::put_head(out, cbor::ARRAY, items.len() as u64);
            for item in items {
                put(out, item);
            }
        }
        "map" => {
            let key = |pair: &Value| pair[0].as_str().expect("a key").to_owned();
            let mut pairs: Vec<_> = items.iter().map(|pair| (key(pair), &pair[1])).collect();
            pairs.sort_by(|(a, _), (b, _)| cbor::key_order(a, b));
            cbor::put_head(out, cbor::MAP, pairs.len() as u64);
            for (key, value) in pairs {
                cbor::put_text(out, &key);
                put(out, value);
            }
        }
        _ => panic!("no type {kind}"),
    }
}

/// The value of an encoding that the strict codec has passed; `None` if it has not.
pub(crate) fn decode(bytes: &[u8]) -> Option<Value> {
    let (value, end) = item(bytes, 0)?;
    (end == bytes.len()).then_some(value)
}

/// The item at `at`, and where it ends. It calls itself as deep as the format lets values be.
fn item(bytes: &[u8], at: usize) -> Option<(Value, usize)> {
    let Head { major, info, argument, next } = cbor::head(bytes, at).ok()?;
    let count = usize::try_from(argument).ok();
    let content = || bytes.get(next..next.checked_add(count?)?);
    match major {
        cbor::UNSIGNED => Some((json!({ "int": argument.to_string() }), next)),
        cbor::NEGATIVE => Some((json!({ "int": (-1 - i128::from(argument)).to_string() }), next)),
        cbor::BYTES => Some((json!({ "bytes": hex(content()?) }), next + count?)),
        cbor::TEXT => Some((json!({ "text": std::str::from_utf8(content()?).ok()? }), next + count?)),
        cbor::ARRAY => {
            let (mut items, mut at) = (Vec::new(), next);
            for _ in 0..count? {
                let (value, end) = item(bytes, at)?;
                items.push(value);
                at = end;
            }
            Some((json!({ "array": items }), at))
        }
        cbor::MAP => {
            let (mut pairs, mut at) = (Vec::new(), next);
            for _ in 0..count? {
                let (key, value_at) = item(bytes, at)?;
                let (value, end) = item(bytes, value_at)?;
                pairs.push(json!([key["text"], value]));
                at = end;
            }
            Some((json!({ "map": pairs }), at))
        }
        _ => Some((simple(info, argument)?, next)),
    }
}

fn simple(info: u8, argument: u64) -> Option<Value> {
    let float = match info {
        20 => return Some(json!({ "bool": false })),
        21 => return Some(json!({ "bool": true })),
        22 => return Some(json!({ "null": null })),
        25 => half::f16::from_bits(u16::try_from(argument).ok()?).to_f64(),
        26 => f64::from(f32::from_bits(u32::try_from(argument).ok()?)),
        27 => f64::from_bits(argument),
        _ => return None,
    };
    // As `vectors::expand` writes them.
    Some(json!({ "float": if float.is_nan() { "nan".to_owned() } else { format!("{float:?}") } }))
}
