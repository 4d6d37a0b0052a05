//! A second opinion on records. What a sound record is, written again over ciborium's `Value` and without a look at the
//! codec: parse leniently, encode again, compare, and check what that cannot show. It has to agree with the crate on
//! every vector and on records that chance has spoiled.

mod support;

use ciborium::Value;
use sessiondir::record::{RECORD_MAX, decode_record};
use sha2::{Digest, Sha256};
use support::vectors;

const COUNTER_MAX: i128 = (1 << 53) - 1;
const TIME_MAX: i128 = 253_402_300_799_999;

/// The only data item in `bytes`, if it is encoded as ciborium would.
fn canonical(bytes: &[u8]) -> Option<Value> {
    let mut rest = bytes;
    let value: Value = ciborium::from_reader(&mut rest).ok()?;
    if !rest.is_empty() {
        return None;
    }
    (encoded(&value) == bytes).then_some(value)
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).expect("a vector takes all");
    out
}

fn is_sound(value: &Value, enclosed_by: usize) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Text(_) | Value::Bytes(_) => true,
        Value::Integer(int) => i64::try_from(i128::from(*int)).is_ok(),
        // ciborium keeps a NaN's payload.
        Value::Float(float) => !float.is_nan() || float.to_bits() == 0x7ff8_0000_0000_0000,
        Value::Array(items) => enclosed_by <= 31 && items.iter().all(|item| is_sound(item, enclosed_by + 1)),
        Value::Map(entries) => {
            let keys: Vec<_> = entries.iter().map(|(key, _)| encoded(key)).collect();
            enclosed_by <= 31
                && entries.iter().all(|(key, value)| key.is_text() && is_sound(value, enclosed_by + 1))
                && keys.windows(2).all(|pair| pair[0] < pair[1])
        }
        _ => false,
    }
}

/// Whether a reader of version 1 takes `record`, standing alone, as a session.
fn accepts(record: &[u8]) -> bool {
    record.len() <= RECORD_MAX && session_map(record).is_some_and(|entries| is_session(&entries))
}

/// The body's map, if the envelope is sound and needs no extension.
fn session_map(record: &[u8]) -> Option<Vec<(Value, Value)>> {
    let Value::Tag(55_799, inner) = canonical(record)? else { return None };
    let Value::Tag(0x5345_5344, inner) = *inner else { return None };
    let parts = inner.into_array().ok()?;
    let [version, crit, seq, body, digest] = <[Value; 5]>::try_from(parts).ok()?;
    let number = |value: &Value| value.as_integer().map(i128::from);
    // No extension is known, so crit has to be empty.
    if number(&version)? != 1 || !crit.into_array().ok()?.is_empty() {
        return None;
    }
    if !(1..=COUNTER_MAX).contains(&number(&seq)?) {
        return None;
    }
    let covered = record.len().checked_sub(34)?;
    if digest.as_bytes()?.as_slice() != Sha256::digest(&record[..covered]).as_slice() {
        return None;
    }
    let body = canonical(body.as_bytes()?)?;
    if is_sound(&body, 0) { body.into_map().ok() } else { None }
}

fn is_session(entries: &[(Value, Value)]) -> bool {
    let get =
        |name: &str| entries.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value);
    let within = |value: &Value, least: i128, most: i128| {
        value.as_integer().is_some_and(|int| (least..=most).contains(&i128::from(int)))
    };
    let time = |value: &Value| within(value, 0, TIME_MAX);
    let short = |value: &Value, most: usize| {
        value.as_text().is_some_and(|text| !text.is_empty() && text.len() <= most)
    };
    let named = match (get("id"), get("key")) {
        (Some(id), None) => id.as_text().is_some_and(|id| {
            let alphabet = |c: char| c == '-' || c == '_' || c.is_ascii_alphanumeric();
            id.len() >= 11 && id.len() <= 128 && id.chars().all(alphabet)
        }),
        (None, Some(key)) => key.as_bytes().is_some_and(|key| key.len() == 32),
        _ => false,
    };
    named
        && get("rev").is_some_and(|rev| within(rev, 1, COUNTER_MAX))
        && get("created").is_some_and(time)
        && get("accessed").is_some_and(time)
        && get("expires").is_none_or(time)
        && get("idle").is_none_or(|idle| within(idle, 1, TIME_MAX))
        && get("user").is_none_or(|user| !user.is_null())
        && get("addr").is_none_or(|addr| short(addr, 64))
        && get("csrf").is_none_or(|csrf| short(csrf, 128))
        && get("tokens").is_none_or(|tokens| {
            tokens.as_array().is_some_and(|tokens| {
                (1..=32).contains(&tokens.len()) && tokens.iter().all(|token| short(token, 128))
            })
        })
        && get("data").is_none_or(|data| data.as_map().is_some_and(|data| !data.is_empty()))
}

/// xorshift64*: the same on every machine.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next()).expect("48 bits") % bound.max(1)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[7]
    }

    fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// A head, mostly the shortest.
fn head(chance: &mut Chance, major: u8, argument: u64) -> Vec<u8> {
    let least = match argument {
        0..=23 => 0,
        24..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    };
    let width = if chance.one_in(200) { *chance.pick(&[1, 2, 4, 8]) } else { least };
    let bytes = argument.to_be_bytes();
    if width == 0 {
        return vec![major << 5 | bytes[7]];
    }
    let info = [24, 25, 0, 26, 0, 0, 0, 27][width - 1];
    [&[major << 5 | info][..], &bytes[8 - width..]].concat()
}

fn string(chance: &mut Chance, major: u8, bytes: &[u8]) -> Vec<u8> {
    let lie = u64::from(chance.one_in(300));
    [head(chance, major, bytes.len() as u64 + lie), bytes.to_vec()].concat()
}

/// Items at and beyond the edges of what is allowed.
const EDGES: &[&[u8]] = &[
    &[0x00],
    &[0x17],
    &[0x18, 0x18],
    &[0x1b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x3b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0],
    &[0x3b, 0x80, 0, 0, 0, 0, 0, 0, 0],
    &[0xf4],
    &[0xf5],
    &[0xf6],
    &[0xf7],
    &[0xf8, 0x14],
    &[0xf8, 0xff],
    &[0xf9, 0x7e, 0x00],
    &[0xf9, 0x7e, 0x01],
    &[0xf9, 0xfe, 0x00],
    &[0xf9, 0x80, 0x00],
    &[0xf9, 0x00, 0x01],
    &[0xfa, 0x7f, 0xc0, 0, 0],
    &[0xfa, 0x3f, 0xc0, 0, 0],
    &[0xfa, 0x47, 0x80, 0, 0],
    &[0xfa, 0, 0, 0, 1],
    &[0xfb, 0x3f, 0xf1, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a],
    &[0xfb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0],
    &[0xfb, 0, 0, 0, 0, 0, 0, 0, 1],
    &[0x60],
    &[0x62, 0xc3, 0xa9],
    &[0x61, 0xff],
    &[0x40],
    &[0x80],
    &[0xa0],
    &[0x9f, 0xff],
    &[0xbf, 0xff],
    &[0x5f, 0xff],
    &[0x7f, 0xff],
    &[0xc1, 0x00],
    &[0xc2, 0x41, 0x01],
    &[0xd9, 0xd9, 0xf7, 0x00],
    &[0x1c],
    &[0xff],
    &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
];
/// So many of them from the start, and from these indices on, are sound: most picks are.
const SOUND: &[usize] = &[0, 1, 2, 3, 4, 7, 8, 9, 13, 16, 17, 20, 21, 22, 24, 25, 26, 28, 29, 30];

/// An item that is sound more often than not.
fn item(chance: &mut Chance, depth: usize) -> Vec<u8> {
    match chance.below(if depth > 6 { 5 } else { 8 }) {
        0 if chance.one_in(20) => chance.pick(EDGES).to_vec(),
        0 | 1 => EDGES[*chance.pick(SOUND)].to_vec(),
        2 => {
            let argument = chance.next() >> chance.below(48);
            let major = u8::from(chance.one_in(3));
            head(chance, major, argument)
        }
        3 => {
            let bytes = vec![b'a' + chance.byte() % 26; chance.below(30)];
            string(chance, 3, &bytes)
        }
        4 => {
            let bytes = vec![chance.byte(); chance.below(30)];
            string(chance, 2, &bytes)
        }
        5 => {
            let count = chance.below(4);
            let mut out = head(chance, 4, count as u64);
            for _ in 0..count {
                out.extend(item(chance, depth + 1));
            }
            out
        }
        6 => {
            let mut keys: Vec<Vec<u8>> = (0..chance.below(4))
                .map(|_| {
                    [&[0x61 + u8::from(chance.one_in(4))][..], &[b'a' + chance.byte() % 8, b'z']].concat()
                })
                .map(|key| key[..2 + usize::from(key[0] == 0x62)].to_vec())
                .collect();
            if !chance.one_in(40) {
                keys.sort();
                keys.dedup();
            }
            let mut out = head(chance, 5, keys.len() as u64);
            for key in keys {
                out.extend(key);
                out.extend(item(chance, depth + 1));
            }
            out
        }
        // A column of arrays, near the limit of depth.
        _ => {
            let column = vec![0x81; if chance.one_in(4) { 27 + chance.below(6) } else { chance.below(4) }];
            [column, item(chance, 7)].concat()
        }
    }
}

/// A record of that body, its length and digest right.
fn record_of(body: &[u8]) -> Vec<u8> {
    let prefix = [0xd9, 0xd9, 0xf7, 0xda, 0x53, 0x45, 0x53, 0x44, 0x85, 0x01, 0x80, 0x02];
    let length = body.len().to_be_bytes();
    let head = match body.len() {
        0..=23 => vec![0x40 | length[7]],
        24..=0xff => vec![0x58, length[7]],
        0x100..=0xffff => [&[0x59], &length[6..]].concat(),
        _ => [&[0x5a], &length[4..]].concat(),
    };
    sealed([&prefix[..], &head, body].concat())
}

fn sealed(mut record: Vec<u8>) -> Vec<u8> {
    let digest = Sha256::digest(&record);
    record.extend([0x58, 0x20]);
    record.extend(digest);
    record
}

/// A few changes of bytes.
fn spoil(chance: &mut Chance, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=chance.below(3) {
        let at = chance.below(bytes.len());
        match chance.below(7) {
            _ if bytes.is_empty() => bytes.push(chance.byte()),
            0 => bytes[at] ^= 1 << chance.below(8),
            1 => bytes[at] = chance.byte(),
            2 => bytes.insert(at, chance.byte()),
            3 => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
            5 => drop(bytes.splice(at..at, chance.pick(EDGES).iter().copied())),
            _ => {
                let end = at + chance.below(bytes.len() - at);
                let from = chance.below(other.len());
                let to = from + chance.below(other.len() - from);
                drop(bytes.splice(at..end, other[from..to].iter().copied()));
            }
        }
    }
}

/// A session's body with values that chance has made.
fn made(chance: &mut Chance) -> Vec<u8> {
    let mut entries: Vec<(Vec<u8>, Vec<u8>)> = vec![
        (b"\x62id".to_vec(), [b"\x76".to_vec(), vec![b'A'; 22]].concat()),
        (b"\x63rev".to_vec(), vec![1]),
        (b"\x67created".to_vec(), vec![0]),
        (b"\x68accessed".to_vec(), vec![0]),
    ];
    let optional = ["expires", "idle", "user", "addr", "tokens", "csrf", "x.private", "unknown"];
    for key in optional {
        if chance.one_in(8) {
            let value = item(chance, 0);
            entries.push((string(chance, 3, key.as_bytes()), value));
        }
    }
    let value = [b"\xa1\x61v".to_vec(), item(chance, 0)].concat();
    entries.push((b"\x64data".to_vec(), value));
    entries.sort();
    if chance.one_in(50) {
        let (one, two) = (chance.below(entries.len()), chance.below(entries.len()));
        entries.swap(one, two);
    }
    let mut body = head(chance, 5, entries.len() as u64);
    body.extend(entries.into_iter().flat_map(|(key, value)| [key, value].concat()));
    body
}

/// The body of a fixture, sound or not, if the record is whole.
fn body_of(record: &[u8]) -> Option<Vec<u8>> {
    let Value::Tag(_, inner) = ciborium::from_reader(record).ok()? else { return None };
    let Value::Tag(_, inner) = *inner else { return None };
    inner.as_array()?.get(3)?.as_bytes().cloned()
}

fn agree(record: &[u8]) -> bool {
    let decoded = decode_record(record);
    assert_eq!(
        accepts(record),
        decoded.is_ok(),
        "the oracle, and then the crate, which says {decoded:?}: {}",
        support::typed::hex(record)
    );
    if let Some(fault) = decoded.as_ref().err().and_then(sessiondir::Error::fault) {
        assert!(fault.offset <= record.len(), "{fault}");
    }
    decoded.is_ok()
}

#[test]
fn on_the_vectors() {
    for case in vectors::cases("record") {
        let sound = agree(&vectors::bytes(case));
        assert_eq!(sound, case["result"] == "valid", "{}", case["id"]);
    }
}

#[test]
fn on_records_that_chance_has_spoiled() {
    const COUNT: usize = 200_000;
    let seeds: Vec<Vec<u8>> = vectors::cases("record")
        .iter()
        .filter(|case| case.get("file").is_some())
        .map(|case| vectors::bytes(case))
        .filter(|record| record.len() < 600)
        .collect();
    let bodies: Vec<Vec<u8>> = seeds.iter().filter_map(|record| body_of(record)).collect();
    assert!(bodies.len() > 200, "only {} bodies", bodies.len());
    let mut chance = Chance(0x5e55_10d1_2025_0101);
    let mut sound = 0;
    for round in 0..COUNT {
        let record = match round % 8 {
            // Anywhere before the digest, which is made anew.
            0 => {
                let mut record = chance.pick(&seeds).clone();
                record.truncate(record.len().saturating_sub(34));
                let other = chance.pick(&seeds).clone();
                spoil(&mut chance, &mut record, &other);
                sealed(record)
            }
            1..=3 => {
                let mut body = chance.pick(&bodies).clone();
                let other = chance.pick(&bodies).clone();
                spoil(&mut chance, &mut body, &other);
                record_of(&body)
            }
            _ => record_of(&made(&mut chance)),
        };
        sound += usize::from(agree(&record));
    }
    println!("{COUNT} records, of which {sound} are sound");
    // Chance that only ever made one kind would prove nothing.
    assert!(sound > COUNT / 20 && COUNT - sound > COUNT / 4, "{sound} of {COUNT} are sound");
}
