//! Records that stand alone: `decode` and `encode`.

use std::fs;

use crate::check::{Finding, findings_in};
use crate::record::envelope::{self, Envelope};
use crate::record::{KEYS, cbor, decode_record, encode_record};
use crate::{Durability, Marker, Naming, Session, SessionRef};
use ciborium::Value as Cbor;
use serde_json::{Value, json};

use super::super::vectors::hex;
use super::changes::Changes;
use super::request::{Done, Fail, Request, key, number, text};
use super::typed;

pub(super) fn decode(request: &Request) -> Done<Value> {
    let path = request.text("path")?;
    let record = fs::read(path).map_err(|error| Fail::Bad(format!("cannot read {path}: {error}")))?;
    let (seq, session) = decode_record(&record)?;
    let Some(reference) = session.reference() else {
        return Err(Fail::Bad("a record of no session was decoded".to_owned()));
    };
    let naming = naming_of(reference);
    Ok(json!({
        "seq": seq.to_string(),
        "session": typed::session(&session, naming)?,
        "findings": findings(&record, seq, &session, reference)?,
    }))
}

pub(super) fn encode(request: &Request) -> Done<Value> {
    let members = request.get("session").ok_or_else(|| Fail::Bad("no `session`".to_owned()))?;
    // Under a seq of no meaning: the one that counts is given below, and is the crate's to refuse.
    let (_, mut session) = decode_record(&bare(members)?).map_err(|error| {
        Fail::Bad(format!("no session can have such a name, rev, time or other: {error}"))
    })?;
    Changes::of_session(members)?.apply(&mut session)?;
    let seq = request.text("seq")?.parse().map_err(|_| Fail::Bad("no number in `seq`".to_owned()))?;
    Ok(json!({ "record": hex(&encode_record(seq, &session)?) }))
}

/// A record of nothing but what a store alone sets: name, rev and times, and the entries that the crate does not know
/// and keeps. The crate gives a program no way to choose them. All else is given to the session by the crate's calls,
/// and encoded by it.
fn bare(members: &Value) -> Done<Vec<u8>> {
    let int = |member: &str| Done::Ok(Cbor::from(number(members, member)?));
    let mut entries = vec![
        ("rev".to_owned(), int("rev")?),
        ("created".to_owned(), int("created")?),
        ("accessed".to_owned(), int("accessed")?),
    ];
    entries.push(match members.get("key") {
        Some(_) => ("key".to_owned(), Cbor::Bytes(key(text(members, "key")?)?.as_bytes().to_vec())),
        None => ("id".to_owned(), Cbor::Text(text(members, "id")?.to_owned())),
    });
    if let Some(other) = members.get("other") {
        entries.extend(typed::pairs(other)?);
    }
    let mut body = Cbor::Map(entries.into_iter().map(|(key, value)| (Cbor::Text(key), value)).collect());
    sort(&mut body);
    Ok(envelope::around(2, &bytes_of(&body)?))
}

fn bytes_of(value: &Cbor) -> Done<Vec<u8>> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes)
        .map_err(|error| Fail::Bad(format!("cannot be encoded: {error}")))?;
    Ok(bytes)
}

/// Puts maps into the order of VAL-8.
fn sort(value: &mut Cbor) {
    match value {
        Cbor::Array(items) => items.iter_mut().for_each(sort),
        Cbor::Map(entries) => {
            for (_, value) in entries.iter_mut() {
                sort(value);
            }
            entries.sort_by(|(a, _), (b, _)| {
                cbor::key_order(a.as_text().unwrap_or_default(), b.as_text().unwrap_or_default())
            });
        }
        _ => {}
    }
}

/// The entries of a session that the crate keeps but does not show: its record has them.
pub(super) fn other(session: &Session) -> Done<Vec<(Cbor, Cbor)>> {
    let bad = || Fail::Bad("the crate has encoded what is no record".to_owned());
    let record = encode_record(2, session)?;
    let (from, to) = Envelope::read(&record).map_err(|_| bad())?.body;
    let Ok(Cbor::Map(entries)) = ciborium::from_reader(&record[from..to]) else { return Err(bad()) };
    let is_other = |key: &Cbor| key.as_text().is_some_and(|key| !KEYS.contains(&key));
    Ok(entries.into_iter().filter(|(key, _)| is_other(key)).collect())
}

fn naming_of(reference: &SessionRef) -> Naming {
    if reference.id().is_some() { Naming::Plain } else { Naming::Hashed }
}

/// What a checker says of a record by itself. The crate's checker looks at directories; its insides, at the bytes of a
/// file that holds this record and nothing else.
fn findings(record: &[u8], seq: u64, session: &Session, reference: &SessionRef) -> Done<Value> {
    let slot = (record.len() + 32).next_power_of_two().max(4096);
    let base = if seq.is_multiple_of(2) { 0 } else { slot };
    let mut file = vec![0; 2 * slot];
    file[base..base + record.len()].copy_from_slice(record);
    let marker = Marker::new(naming_of(reference), Durability::Power);
    let name = reference.file_name(marker.naming);
    let name = name.ok_or_else(|| Fail::Bad("a session without a file name".to_owned()))?;
    let found = findings_in(&file, &marker, &name, session.accessed());
    let of_bytes = found.iter().filter_map(|finding| {
        let mut out = finding_json(finding);
        out["offset"] = json!(finding.offset? - base as u64);
        Some(out)
    });
    Ok(of_bytes.collect())
}

/// A finding, without its place.
pub(super) fn finding_json(finding: &Finding) -> Value {
    let mut out = json!({
        "finding": finding.kind.name(),
        "rule": finding.rule.id(),
        "severity": finding.severity().name(),
    });
    if let Some(offset) = finding.offset {
        out["offset"] = json!(offset);
    }
    out
}
