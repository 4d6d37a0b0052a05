//! What is in a session, as encoded entries: how the kit makes records and reads them, byte for byte.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::typed;
use crate::conformance::vectors::hex;
use crate::names::{Naming, SessionId};
use crate::record::cbor::{self, MapReader};
use crate::record::envelope::{self, Envelope};

/// 2025-01-01T00:00:00Z: when the sessions of the scenarios were made.
pub(crate) const START: u64 = 1_735_689_600_000;
/// What a stored access may be ahead of now (TIME-2).
const A_DAY: u64 = 86_400_000;

/// The entries of a session's map, encoded; those of `data` by themselves.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Content {
    entries: BTreeMap<String, Vec<u8>>,
    data: BTreeMap<String, Vec<u8>>,
}

impl Content {
    /// A session of revision 1 that holds nothing.
    pub(crate) fn new(naming: Naming, id: &str) -> Self {
        let content = Content { entries: BTreeMap::new(), data: BTreeMap::new() };
        let content = content.named(naming, id);
        content.number("rev", 1).number("created", START).number("accessed", START)
    }

    /// The same under another ID.
    pub(crate) fn named(self, naming: Naming, id: &str) -> Self {
        match naming {
            Naming::Plain => self.entry("id", &json!({ "text": id })),
            Naming::Hashed => {
                let key = SessionId::new(id).expect("a session ID").key();
                self.entry("key", &json!({ "bytes": key.to_hex() }))
            }
        }
    }

    /// With an entry of the map, in typed JSON.
    pub(crate) fn entry(self, key: &str, value: &Value) -> Self {
        self.raw_entry(key, typed::encode(value))
    }

    pub(crate) fn raw_entry(mut self, key: &str, encoded: Vec<u8>) -> Self {
        self.entries.insert(key.to_owned(), encoded);
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        self.entries.remove(key);
        self
    }

    pub(crate) fn number(self, key: &str, number: u64) -> Self {
        self.entry(key, &json!({ "int": number.to_string() }))
    }

    pub(crate) fn text(self, key: &str, text: &str) -> Self {
        self.entry(key, &json!({ "text": text }))
    }

    /// With an attribute, encoded.
    pub(crate) fn raw(mut self, key: &str, encoded: Vec<u8>) -> Self {
        self.data.insert(key.to_owned(), encoded);
        self
    }

    /// With an attribute, in typed JSON.
    pub(crate) fn with(self, key: &str, value: &Value) -> Self {
        self.raw(key, typed::encode(value))
    }

    /// With every optional entry.
    pub(crate) fn full(self) -> Self {
        self.number("expires", START + 30 * A_DAY)
            .number("idle", 20 * A_DAY)
            .text("user", "ada")
            .text("addr", "2001:db8::1")
            .entry("tokens", &json!({ "array": [{ "text": "older" }, { "text": "newer" }] }))
            .text("csrf", "c0ffee")
            .with("n", &json!({ "int": "1" }))
            .with("cart", &json!({ "array": [{ "text": "A-1" }, { "int": "2" }] }))
    }

    /// With an attribute `fill` of such a length that its record `seq` is `length` bytes long.
    pub(crate) fn filled(self, seq: u64, length: usize) -> Self {
        let with = |count: usize| self.clone().with("fill", &json!({ "text": "x".repeat(count) }));
        let mut count = length.saturating_sub(self.record(seq).len());
        // Heads grow with what they are the heads of, so the first guess is too long by a few bytes.
        while count > 0 && with(count).record(seq).len() > length {
            count -= 1;
        }
        let filled = with(count);
        assert_eq!(filled.record(seq).len(), length, "no record has this length");
        filled
    }

    /// As `changes` of the protocol say.
    pub(crate) fn changed(mut self, changes: &Value) -> Self {
        let list = |key: &str| changes[key].as_array().cloned().unwrap_or_default();
        let key = |value: &Value| value.as_str().expect("a key").to_owned();
        for pair in list("set") {
            self = self.with(&key(&pair[0]), &pair[1]);
        }
        for name in list("remove") {
            self.data.remove(&key(&name));
        }
        for pair in list("add") {
            let (name, by) = (key(&pair[0]), key(&pair[1]));
            let is = self.data.get(&name).and_then(|is| typed::decode(is));
            let is =
                is.map_or(0, |is| is["int"].as_str().and_then(|is| is.parse().ok()).expect("an integer"));
            let sum: i64 = is + by.parse::<i64>().expect("an integer");
            self = self.with(&name, &json!({ "int": sum.to_string() }));
        }
        for name in ["user", "expires", "idle", "csrf", "addr", "tokens"] {
            self = match (name, changes.get(name)) {
                (_, None) => self,
                (_, Some(Value::Null)) => self.without(name),
                ("user", Some(user)) => self.entry(name, user),
                (_, Some(Value::Array(texts))) => {
                    let texts: Vec<Value> = texts.iter().map(|text| json!({ "text": text })).collect();
                    self.entry(name, &json!({ "array": texts }))
                }
                ("expires" | "idle", Some(number)) => self.entry(name, &json!({ "int": number })),
                (_, Some(text)) => self.entry(name, &json!({ "text": text })),
            };
        }
        self
    }

    /// The next revision, changed at `now` (WRITE-2, TIME-2).
    pub(crate) fn next(self, changes: &Value, now: u64) -> Self {
        let rev = self.get("rev") + 1;
        self.touched(now).number("rev", rev).changed(changes)
    }

    /// The same with an access at `now` (TIME-2).
    pub(crate) fn touched(self, now: u64) -> Self {
        let stored = self.get("accessed");
        self.number("accessed", if stored > now + A_DAY { now } else { stored.max(now) })
    }

    /// Under a new ID, after a rotation with `changes` at `now` (ROT-3).
    pub(crate) fn rotated(self, naming: Naming, id: &str, changes: &Value, now: u64) -> Self {
        let next = self.touched(now).number("rev", 1).changed(changes);
        next.without("csrf").without("tokens").named(naming, id)
    }

    /// The number that is there.
    pub(crate) fn get(&self, key: &str) -> u64 {
        let encoded = self.entries.get(key).expect("an entry");
        cbor::head(encoded, 0).expect("a number").argument
    }

    /// Its record `seq`.
    pub(crate) fn record(&self, seq: u64) -> Vec<u8> {
        let mut entries = self.entries.clone();
        if !self.data.is_empty() {
            entries.insert("data".to_owned(), map(&self.data));
        }
        envelope::around(seq, &map(&entries))
    }

    /// What a whole record holds, whatever it means. `None` if its body is no map of the format.
    pub(crate) fn read(record: &[u8], envelope: &Envelope) -> Option<Self> {
        let body = &record[..envelope.body.1];
        let (mut entries, _) = read_map(body, envelope.body.0, 0)?;
        let data = match entries.remove("data") {
            Some(data) => read_map(&data, 0, 1)?.0,
            None => BTreeMap::new(),
        };
        Some(Content { entries, data })
    }

    /// The session in JSON, as drivers answer it, without `other`.
    pub(crate) fn json(&self) -> Value {
        let mut session = Map::new();
        for (key, encoded) in &self.entries {
            let value = typed::decode(encoded).expect("a value");
            let plain = match key.as_str() {
                "id" | "addr" | "csrf" => value["text"].clone(),
                "key" => value["bytes"].clone(),
                "rev" | "created" | "accessed" | "expires" | "idle" => value["int"].clone(),
                "user" => value,
                "tokens" => value["array"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|token| token["text"].clone())
                    .collect(),
                _ => continue,
            };
            session.insert(key.clone(), plain);
        }
        if !self.data.is_empty() {
            let pairs = sorted(&self.data).into_iter();
            let pairs = pairs.map(|(key, value)| json!([key, typed::decode(value).expect("a value")]));
            session.insert("data".to_owned(), pairs.collect());
        }
        session.into()
    }

    /// The first entry, or attribute, that differs from that of `found`: its name, and both encodings.
    pub(crate) fn difference(&self, found: &Content) -> Option<String> {
        let maps = [("", &self.entries, &found.entries), ("attribute ", &self.data, &found.data)];
        maps.into_iter().find_map(|(what, expected, found)| {
            let key =
                expected.keys().chain(found.keys()).find(|key| expected.get(*key) != found.get(*key))?;
            let shown = |map: &BTreeMap<String, Vec<u8>>| match map.get(key) {
                Some(value) if value.len() > 64 => format!("{}… ({} bytes)", hex(&value[..64]), value.len()),
                Some(value) => hex(value),
                None => "nothing".to_owned(),
            };
            Some(format!("{what}{key:?}: expected {}, found {}", shown(expected), shown(found)))
        })
    }
}

fn sorted(map: &BTreeMap<String, Vec<u8>>) -> Vec<(&str, &[u8])> {
    let mut pairs: Vec<_> = map.iter().map(|(key, value)| (key.as_str(), value.as_slice())).collect();
    pairs.sort_by(|(a, _), (b, _)| cbor::key_order(a, b));
    pairs
}

fn map(entries: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    cbor::put_head(&mut out, cbor::MAP, entries.len() as u64);
    for (key, value) in sorted(entries) {
        cbor::put_text(&mut out, key);
        out.extend(value);
    }
    out
}

/// The entries of the map at `at`, and where it ends.
fn read_map(bytes: &[u8], at: usize, depth: usize) -> Option<(BTreeMap<String, Vec<u8>>, usize)> {
    let mut map = MapReader::open(bytes, at).ok()??;
    let mut entries = BTreeMap::new();
    while let Some((key, value_at)) = map.key().ok()? {
        let end = cbor::value(bytes, value_at, depth + 1).ok()?;
        entries.insert(key.to_owned(), bytes[value_at..end].to_vec());
        map.resume(end);
    }
    Some((entries, map.end()))
}
