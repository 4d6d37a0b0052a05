//! Sessions, values and errors as the protocol writes them: typed JSON, as fixtures/README.md says.

use std::time::Duration;

use ciborium::Value as Cbor;
use serde_json::{Value, json};

use super::super::vectors::{hex, unhex};
use crate::check::Finding;
use crate::error::Error;
use crate::names::{Key, Naming, SessionId, SessionRef};
use crate::record::Session;
use crate::time::UnixMillis;

/// What cannot be understood of a request, in words.
pub(super) type Wrong = String;

/// A value of the format as typed JSON.
pub(super) fn typed(value: &Cbor) -> Value {
    match value {
        Cbor::Bool(value) => json!({ "bool": value }),
        Cbor::Integer(int) => json!({ "int": i128::from(*int).to_string() }),
        Cbor::Float(float) if float.is_nan() => json!({ "float": "nan" }),
        Cbor::Float(float) => json!({ "float": format!("{float:?}") }),
        Cbor::Text(text) => json!({ "text": text }),
        Cbor::Bytes(bytes) => json!({ "bytes": hex(bytes) }),
        Cbor::Array(items) => json!({ "array": items.iter().map(typed).collect::<Vec<_>>() }),
        Cbor::Map(entries) => {
            let pair = |(key, value): &(Cbor, Cbor)| json!([key.as_text().unwrap_or_default(), typed(value)]);
            json!({ "map": entries.iter().map(pair).collect::<Vec<_>>() })
        }
        // The format has no other values than these and null.
        _ => json!({ "null": null }),
    }
}

/// Typed JSON as a value.
pub(super) fn value(typed: &Value) -> Result<Cbor, Wrong> {
    let wrong = || format!("no typed JSON: {typed}");
    let members = typed.as_object().filter(|members| members.len() == 1).ok_or_else(wrong)?;
    let (kind, inner) = members.iter().next().ok_or_else(wrong)?;
    let string = || inner.as_str().ok_or_else(wrong);
    Ok(match kind.as_str() {
        "null" => Cbor::Null,
        "bool" => Cbor::Bool(inner.as_bool().ok_or_else(wrong)?),
        "int" => {
            let int: i128 = string()?.parse().map_err(|_| wrong())?;
            Cbor::Integer(int.try_into().map_err(|_| wrong())?)
        }
        "float" => Cbor::Float(string()?.parse().map_err(|_| wrong())?),
        "text" => Cbor::Text(string()?.to_owned()),
        "bytes" => match inner {
            Value::Object(_) => {
                let times = inner["times"]
                    .as_u64()
                    .and_then(|times| usize::try_from(times).ok())
                    .ok_or_else(wrong)?;
                Cbor::Bytes(unhex(inner["hex"].as_str().ok_or_else(wrong)?).repeat(times))
            }
            _ => Cbor::Bytes(unhex(string()?)),
        },
        "array" => {
            Cbor::Array(inner.as_array().ok_or_else(wrong)?.iter().map(value).collect::<Result<_, _>>()?)
        }
        "map" => Cbor::Map(
            pairs(inner)?
                .map(|pair| pair.and_then(|(key, v)| Ok((Cbor::Text(key.to_owned()), value(v)?))))
                .collect::<Result<_, _>>()?,
        ),
        _ => return Err(wrong()),
    })
}

/// The entries of a list of `[key, value]`.
pub(super) fn pairs(list: &Value) -> Result<impl Iterator<Item = Result<(&str, &Value), Wrong>>, Wrong> {
    let list = list.as_array().ok_or_else(|| format!("no list: {list}"))?;
    Ok(list.iter().map(|pair| {
        let key = pair[0].as_str().ok_or_else(|| format!("no key and value: {pair}"))?;
        Ok((key, &pair[1]))
    }))
}

fn parsed(encoded: &[u8]) -> Value {
    // What a record holds has passed the strict codec, which is stricter than this one.
    ciborium::from_reader(encoded).map_or_else(|_| json!({ "null": null }), |value: Cbor| typed(&value))
}

/// A session as the protocol shows it; named by its key where the store is `hashed`.
pub(super) fn session(session: &Session, naming: Naming) -> Value {
    let mut out = match session.reference() {
        Some(SessionRef::Id(id)) if naming == Naming::Plain => json!({ "id": id.expose() }),
        Some(reference) => json!({ "key": reference.key().to_hex() }),
        None => json!({}),
    };
    let mut put = |key: &str, value: Value| out[key] = value;
    put("rev", session.rev().to_string().into());
    put("created", session.created().as_millis().to_string().into());
    put("accessed", session.accessed().as_millis().to_string().into());
    if let Some(expires) = session.expires() {
        put("expires", expires.as_millis().to_string().into());
    }
    if let Some(idle) = session.idle() {
        put("idle", idle.as_millis().to_string().into());
    }
    if let Some(user) = session.user_encoded() {
        put("user", parsed(user));
    }
    if let Some(addr) = session.addr() {
        put("addr", addr.into());
    }
    if session.tokens().len() > 0 {
        put("tokens", session.tokens().collect());
    }
    if let Some(csrf) = session.csrf() {
        put("csrf", csrf.into());
    }
    let list = |entries: &mut dyn Iterator<Item = (&str, &[u8])>| -> Value {
        entries.map(|(key, value)| json!([key, parsed(value)])).collect()
    };
    if session.attributes().len() > 0 {
        put("data", list(&mut session.attributes()));
    }
    if session.unknown().len() > 0 {
        put("other", list(&mut session.unknown()));
    }
    out
}

/// A session made of what the protocol shows of one.
pub(super) fn session_of(shown: &Value) -> Result<Session, Failure> {
    let reference = match (shown["id"].as_str(), shown["key"].as_str()) {
        (Some(id), _) => SessionId::new(id)?.into(),
        (None, Some(key)) => Key::from_hex(key.as_bytes()).ok_or_else(|| format!("no key: {key}"))?.into(),
        _ => return Err(Failure::Request("a session has an id or a key".to_owned())),
    };
    let mut session = Session::at(time(&shown["created"])?, time(&shown["accessed"])?);
    let mut changes = shown.clone();
    changes["set"] = shown["data"].clone();
    change(&mut session, &changes)?;
    Ok(session.stored_as(reference, number(&shown["rev"])?))
}

/// A number that is written as a string.
pub(super) fn number(value: &Value) -> Result<u64, Wrong> {
    value.as_str().and_then(|digits| digits.parse().ok()).ok_or_else(|| format!("no number: {value}"))
}

/// A time that is written as a string of milliseconds.
pub(super) fn time(value: &Value) -> Result<UnixMillis, Wrong> {
    UnixMillis::from_millis(number(value)?).ok_or_else(|| format!("no time: {value}"))
}

/// Applies the `changes` of a request.
pub(super) fn change(session: &mut Session, changes: &Value) -> Result<(), Failure> {
    let given = |key: &str| changes.get(key).filter(|value| !value.is_null());
    let is_null = |key: &str| changes.get(key).is_some_and(Value::is_null);
    if let Some(set) = given("set") {
        for pair in pairs(set)? {
            let (key, typed) = pair?;
            session.insert(key, &value(typed)?)?;
        }
    }
    for key in given("remove").and_then(Value::as_array).into_iter().flatten() {
        session.remove(key.as_str().unwrap_or_default());
    }
    if let Some(add) = given("add") {
        for pair in pairs(add)? {
            let (key, number) = pair?;
            let number: i64 = number
                .as_str()
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(|| format!("no number: {number}"))?;
            let sum = session.get::<i64>(key)?.unwrap_or(0).checked_add(number);
            session.insert(key, &sum.ok_or_else(|| "the sum is no integer of the format".to_owned())?)?;
        }
    }
    match given("user") {
        Some(user) => session.set_user(&value(user)?)?,
        None if is_null("user") => session.clear_user(),
        None => {}
    }
    match given("expires") {
        Some(expires) => session.set_expires(Some(time(expires)?)),
        None if is_null("expires") => session.set_expires(None),
        None => {}
    }
    match given("idle") {
        Some(idle) => session.set_idle(Some(Duration::from_millis(number(idle)?)))?,
        None if is_null("idle") => session.set_idle(None)?,
        None => {}
    }
    match given("csrf").map(|csrf| csrf.as_str().unwrap_or_default()) {
        Some(csrf) => session.set_csrf(csrf)?,
        None if is_null("csrf") => session.clear_csrf(),
        None => {}
    }
    match given("addr").map(|addr| addr.as_str().unwrap_or_default()) {
        Some(addr) => session.set_addr(addr)?,
        // The address of the creation is not taken back.
        None if is_null("addr") => return Err(Failure::Skipped("an address cannot be removed")),
        None => {}
    }
    if changes.get("tokens").is_some() {
        for token in session.tokens().map(str::to_owned).collect::<Vec<_>>() {
            session.remove_token(&token);
        }
        for token in given("tokens").and_then(Value::as_array).into_iter().flatten() {
            session.push_token(token.as_str().unwrap_or_default())?;
        }
    }
    Ok(())
}

/// A finding, with its path as a checker shows it.
pub(super) fn finding(finding: &Finding) -> Value {
    let mut out = json!({
        "finding": finding.kind.name(),
        "rule": finding.rule.id(),
        "severity": finding.severity().name(),
        "path": finding.place.path(false),
    });
    if let Some(offset) = finding.offset {
        out["offset"] = offset.into();
    }
    out
}

/// Why a request was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// The store's error.
    Store(Error),
    /// This implementation has no way to do that.
    Skipped(&'static str),
    /// The request is not understood.
    Request(Wrong),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Store(error)
    }
}

impl From<crate::error::ValueError> for Failure {
    fn from(error: crate::error::ValueError) -> Self {
        Failure::Store(error.into())
    }
}

impl From<Wrong> for Failure {
    fn from(wrong: Wrong) -> Self {
        Failure::Request(wrong)
    }
}

/// The answer to a request, without its number.
pub(super) fn answer(done: Result<Value, Failure>) -> Value {
    match done {
        Ok(value) => json!({ "ok": value }),
        Err(Failure::Skipped(reason)) => json!({ "skipped": { "reason": reason } }),
        Err(Failure::Request(wrong)) => json!({ "errored": { "context": wrong } }),
        Err(Failure::Store(error)) => {
            let mut out = json!({ "class": error.class().name(), "message": error.to_string() });
            if let Some(fault) = error.fault() {
                out["rule"] = fault.rule.id().into();
                out["offset"] = fault.offset.into();
            }
            json!({ "error": out })
        }
    }
}
