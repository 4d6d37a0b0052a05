//! Attribute values: from a program's types to the one encoding of the format, and back.
//!
//! serde and ciborium do the typing; this file makes what they give canonical (VAL-1 to VAL-12), and refuses
//! what the format cannot hold at the moment it is inserted.

use ciborium::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cbor::{self, DEPTH};
use crate::error::{ValueError, ValueErrorKind};

/// The containers around the value of `user`: the body's map.
pub(crate) const IN_BODY: usize = 1;
/// The containers around an attribute: the body's map and `data`.
pub(crate) const IN_DATA: usize = 2;

/// Encodes `value`, to stand inside of `depth` containers.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T, depth: usize) -> Result<Vec<u8>, ValueError> {
    let value =
        Value::serialized(value).map_err(|e| ValueError::new("", ValueErrorKind::Serde(e.to_string())))?;
    let mut out = Vec::new();
    put(&mut out, &value, depth)?;
    Ok(out)
}

/// Decodes an attribute.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ValueError> {
    // The record's own limit of depth has held for these bytes, and is far below ciborium's.
    ciborium::from_reader(bytes).map_err(|e| ValueError::new("", ValueErrorKind::Serde(e.to_string())))
}

/// Appends the one encoding of `value`. It calls itself at most 32 deep.
fn put(out: &mut Vec<u8>, value: &Value, depth: usize) -> Result<(), ValueError> {
    let fail = |kind| Err(ValueError::new("", kind));
    match value {
        Value::Null => out.push(0xf6),
        Value::Bool(false) => out.push(0xf4),
        Value::Bool(true) => out.push(0xf5),
        Value::Integer(int) => match i64::try_from(i128::from(*int)) {
            Ok(int) => cbor::put_int(out, int),
            Err(_) => return fail(ValueErrorKind::IntegerRange),
        },
        Value::Float(float) => cbor::put_float(out, *float),
        Value::Text(text) => cbor::put_text(out, text),
        Value::Bytes(bytes) => cbor::put_bytes(out, bytes),
        Value::Array(items) => {
            if depth >= DEPTH {
                return fail(ValueErrorKind::Depth);
            }
            cbor::put_head(out, cbor::ARRAY, items.len() as u64);
            for (index, item) in items.iter().enumerate() {
                put(out, item, depth + 1).map_err(|e| e.inside(&format!("[{index}]")))?;
            }
        }
        Value::Map(entries) => {
            if depth >= DEPTH {
                return fail(ValueErrorKind::Depth);
            }
            let mut sorted = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                let Value::Text(key) = key else { return fail(ValueErrorKind::KeyNotText) };
                sorted.push((key.as_str(), value));
            }
            sorted.sort_by(|(a, _), (b, _)| cbor::key_order(a, b));
            if let Some(pair) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Err(ValueError::new(step(pair[0].0), ValueErrorKind::DuplicateKey));
            }
            cbor::put_head(out, cbor::MAP, sorted.len() as u64);
            for (key, value) in sorted {
                cbor::put_text(out, key);
                put(out, value, depth + 1).map_err(|e| e.inside(&step(key)))?;
            }
        }
        // 128-bit integers are tags 2 and 3 to ciborium; to its user they are integers.
        Value::Tag(2 | 3, _) => return fail(ValueErrorKind::IntegerRange),
        // `Value` may grow; what this version does not know, the format does not hold.
        _ => return fail(ValueErrorKind::Tag),
    }
    Ok(())
}

/// How a map key shows in the path of an error. Control characters are escaped.
pub(crate) fn step(key: &str) -> String {
    format!(".{}", key.escape_debug())
}
