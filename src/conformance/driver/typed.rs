//! Sessions and values as fixtures/README.md writes them: typed JSON.

use crate::{Naming, Session};
use ciborium::Value as Cbor;
use serde_json::{Value, json};

use super::super::vectors::hex;
use super::record;
use super::request::{Done, Fail, is_decimal};

/// A session of a store of that naming.
pub(super) fn session(session: &Session, naming: Naming) -> Done<Value> {
    let mut out = match (naming, session.reference()) {
        (Naming::Plain, Some(reference)) if reference.id().is_some() => {
            json!({ "id": reference.id().map(crate::SessionId::expose) })
        }
        (_, Some(reference)) => json!({ "key": reference.key().to_hex() }),
        (_, None) => return Err(Fail::Bad("a session without a name".to_owned())),
    };
    let mut put = |member: &str, value: Value| out[member] = value;
    put("rev", json!(session.rev().to_string()));
    put("created", json!(session.created().as_millis().to_string()));
    put("accessed", json!(session.accessed().as_millis().to_string()));
    if let Some(expires) = session.expires() {
        put("expires", json!(expires.as_millis().to_string()));
    }
    if let Some(idle) = session.idle() {
        put("idle", json!(idle.as_millis().to_string()));
    }
    if let Some(user) = session.user_encoded() {
        put("user", encoded(user)?);
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
        let data = session.attributes().map(|(key, value)| Ok(json!([key, encoded(value)?])));
        put("data", data.collect::<Done<_>>()?);
    }
    let other = record::other(session)?;
    if !other.is_empty() {
        put("other", other.iter().map(pair).collect::<Done<_>>()?);
    }
    Ok(out)
}

fn encoded(value: &[u8]) -> Done<Value> {
    let value = ciborium::from_reader(value);
    of_cbor(&value.map_err(|error| Fail::Bad(format!("an attribute that is no CBOR: {error}")))?)
}

fn of_cbor(value: &Cbor) -> Done<Value> {
    Ok(match value {
        Cbor::Null => json!({ "null": null }),
        Cbor::Bool(value) => json!({ "bool": value }),
        Cbor::Integer(int) => json!({ "int": i128::from(*int).to_string() }),
        Cbor::Float(float) if float.is_nan() => json!({ "float": "nan" }),
        // Debug prints the shortest decimal that reads back, with a point or an exponent.
        Cbor::Float(float) => json!({ "float": format!("{float:?}") }),
        Cbor::Text(text) => json!({ "text": text }),
        Cbor::Bytes(bytes) => json!({ "bytes": hex(bytes) }),
        Cbor::Array(items) => json!({ "array": items.iter().map(of_cbor).collect::<Done<Vec<_>>>()? }),
        Cbor::Map(entries) => json!({ "map": entries.iter().map(pair).collect::<Done<Vec<_>>>()? }),
        other => return Err(Fail::Bad(format!("no value of the format: {other:?}"))),
    })
}

fn pair((key, value): &(Cbor, Cbor)) -> Done<Value> {
    let key = key.as_text().ok_or_else(|| Fail::Bad("a key that is no text".to_owned()))?;
    Ok(json!([key, of_cbor(value)?]))
}

/// The value that typed JSON stands for. What the format cannot hold is for the crate to refuse.
pub(super) fn to_cbor(typed: &Value) -> Done<Cbor> {
    let bad = || Fail::Bad("no typed JSON".to_owned());
    let members = typed.as_object().filter(|members| members.len() == 1).ok_or_else(bad)?;
    let (kind, inner) = members.iter().next().ok_or_else(bad)?;
    let text = || inner.as_str().ok_or_else(bad);
    Ok(match kind.as_str() {
        "null" if inner.is_null() => Cbor::Null,
        "bool" => Cbor::Bool(inner.as_bool().ok_or_else(bad)?),
        "int" => integer(text()?)?,
        "float" => Cbor::Float(text()?.parse().map_err(|_| bad())?),
        "text" => Cbor::Text(text()?.to_owned()),
        "bytes" if inner.is_object() => {
            let times = inner["times"].as_u64().and_then(|times| usize::try_from(times).ok());
            Cbor::Bytes(repeat(inner["hex"].as_str().ok_or_else(bad)?, times.ok_or_else(bad)?)?)
        }
        "bytes" => Cbor::Bytes(unhex(text()?)?),
        "array" => Cbor::Array(inner.as_array().ok_or_else(bad)?.iter().map(to_cbor).collect::<Done<_>>()?),
        "map" => Cbor::Map(
            pairs(inner)?.into_iter().map(|(key, value)| (Cbor::Text(key), value)).collect::<Vec<_>>(),
        ),
        _ => return Err(bad()),
    })
}

/// An integer as CBOR knows it: one that takes more than 64 bits is a tagged byte string.
fn integer(decimal: &str) -> Done<Cbor> {
    if !is_decimal(decimal) {
        return Err(Fail::Bad("no integer in decimal".to_owned()));
    }
    let value = decimal.parse::<i128>().map(Cbor::from);
    value.map_err(|_| Fail::Value(format!("no integer of the format: {decimal}")))
}

/// A list of `[key, typed JSON]`.
pub(super) fn pairs(list: &Value) -> Done<Vec<(String, Cbor)>> {
    let bad = || Fail::Bad("no list of [key, typed JSON]".to_owned());
    let list = list.as_array().ok_or_else(bad)?;
    list.iter()
        .map(|pair| match pair.as_array().map(Vec::as_slice) {
            Some([Value::String(key), value]) => Ok((key.clone(), to_cbor(value)?)),
            _ => Err(bad()),
        })
        .collect()
}

fn repeat(digits: &str, times: usize) -> Done<Vec<u8>> {
    /// More than any record holds, and less than could hurt.
    const MOST: usize = 64 << 20;
    let piece = unhex(digits)?;
    match piece.len().checked_mul(times) {
        Some(length) if length <= MOST => Ok(piece.repeat(times)),
        _ => Err(Fail::Value("more bytes than any record can have".to_owned())),
    }
}

pub(super) fn unhex(digits: &str) -> Done<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(value(*high)? << 4 | value(*low)?),
        _ => None,
    };
    let bytes = digits.as_bytes().chunks(2).map(byte).collect::<Option<_>>();
    bytes.ok_or_else(|| Fail::Bad("no hexadecimal digits, two for each byte".to_owned()))
}
