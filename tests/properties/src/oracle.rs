//! A second opinion on records: what a sound one is and what it means, written again over ciborium's `Value` and without
//! a look at the codec. Parse leniently, encode again, compare, and check what that cannot show.

use ciborium::Value;
use sha2::{Digest, Sha256};

const COUNTER_MAX: u64 = (1 << 53) - 1;
const TIME_MAX: u64 = 253_402_300_799_999;
const RECORD_MAX: usize = (16 << 20) - 64;

/// What a reader of version 1 is to make of a record that stands alone.
#[derive(Clone, Debug, PartialEq)]
pub enum Opinion {
    /// It means this.
    Session(Box<Meaning>),
    /// It needs a newer implementation (REC-9, REC-12).
    Unsupported,
    /// It breaks a rule.
    Corrupt,
}

/// What a record means.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "section 7.3 of SPEC.md")]
pub struct Meaning {
    pub seq: u64,
    pub id: Option<String>,
    pub key: Option<Vec<u8>>,
    pub rev: u64,
    pub created: u64,
    pub accessed: u64,
    pub expires: Option<u64>,
    pub idle: Option<u64>,
    /// Encoded.
    pub user: Option<Vec<u8>>,
    pub addr: Option<String>,
    pub tokens: Vec<String>,
    pub csrf: Option<String>,
    /// Keys with encoded values.
    pub data: Vec<(String, Vec<u8>)>,
    /// The entries that section 7.3 does not name.
    pub other: Vec<(String, Vec<u8>)>,
}

/// The outline of a whole record at the start of some bytes. REC-1 to REC-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// The record's version.
    pub version: u64,
    /// Its seq.
    pub seq: u64,
    /// Where the body's head begins.
    pub head: usize,
    /// Where the body begins, and ends.
    pub body: (usize, usize),
    /// Where the record ends.
    pub end: usize,
}

/// The number at `at`, if it is of that major type and has the shortest head; and what comes after it.
fn number(bytes: &[u8], at: usize, major: u64) -> Option<(u64, usize)> {
    let first = u64::from(*bytes.get(at)?);
    let (argument, width) = match first % 32 {
        small @ 0..=23 => (small, 0),
        info @ 24..=27 => {
            let width = 1 << (info - 24);
            let digits = bytes.get(at + 1..at + 1 + width)?;
            (digits.iter().fold(0, |sum, digit| sum * 256 + u64::from(*digit)), width)
        }
        _ => return None,
    };
    let shortest = match argument {
        0..=23 => 0,
        24..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    };
    (first / 32 == major && width == shortest).then_some((argument, at + 1 + width))
}

/// What stands before the digest of the record at the start of `bytes`: REC-1 to REC-6, and whether all of it is there.
/// `end` is where the record would end.
#[must_use]
pub fn outline(bytes: &[u8]) -> Option<Whole> {
    if !bytes.starts_with(b"\xd9\xd9\xf7\xdaSESD\x85") {
        return None;
    }
    let (version, at) = number(bytes, 9, 0).filter(|(version, _)| (1..=65_535).contains(version))?;
    let (names, mut at) = number(bytes, at, 4).filter(|(names, _)| *names <= 8)?;
    for _ in 0..names {
        let (length, from) = number(bytes, at, 3).filter(|(length, _)| (1..=32).contains(length))?;
        at = from + usize::try_from(length).ok()?;
        bytes.get(..at)?;
    }
    let (seq, head) = number(bytes, at, 0).filter(|(seq, _)| (1..=COUNTER_MAX).contains(seq))?;
    let (length, from) = number(bytes, head, 2)?;
    let to = from.checked_add(usize::try_from(length).ok()?)?;
    bytes.get(..to)?;
    Some(Whole { version, seq, head, body: (from, to), end: to + 34 })
}

/// The whole record at the start of `bytes`, which may go on after it.
#[must_use]
pub fn whole(bytes: &[u8]) -> Option<Whole> {
    let whole = outline(bytes)?;
    let digest = bytes.get(whole.body.1..whole.end)?;
    let holds = digest[..2] == [0x58, 0x20] && digest[2..] == Sha256::digest(&bytes[..whole.body.1])[..];
    (holds && whole.end <= RECORD_MAX).then_some(whole)
}

/// The only data item in `bytes`, if it is encoded as ciborium would.
fn canonical(bytes: &[u8]) -> Option<Value> {
    let mut rest = bytes;
    let value: Value = ciborium::from_reader(&mut rest).ok()?;
    if !rest.is_empty() {
        return None;
    }
    (encoded(&value) == bytes).then_some(value)
}

/// A value as ciborium encodes it.
pub(crate) fn encoded(value: &Value) -> Vec<u8> {
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

/// What a record is that stands alone.
#[must_use]
pub fn opinion(record: &[u8]) -> Opinion {
    let Some(whole) = whole(record).filter(|whole| whole.end == record.len()) else {
        return Opinion::Corrupt;
    };
    if whole.version != 1 {
        return Opinion::Unsupported;
    }
    judged(record).unwrap_or(Opinion::Corrupt)
}

/// A whole record of version 1, read by ciborium alone; `None` where it is corrupt.
fn judged(record: &[u8]) -> Option<Opinion> {
    let Value::Tag(55_799, inner) = canonical(record)? else { return None };
    let Value::Tag(0x5345_5344, inner) = *inner else { return None };
    let [version, crit, seq, body, _] = <[Value; 5]>::try_from(inner.into_array().ok()?).ok()?;
    if unsigned(&version)? != 1 {
        return None;
    }
    let crit = crit.into_array().ok()?;
    let names: Vec<_> = crit.iter().map(encoded).collect();
    if !names.windows(2).all(|pair| pair[0] < pair[1]) {
        return None;
    }
    let body = canonical(body.as_bytes()?)?;
    if !is_sound(&body, 0) {
        return None;
    }
    let entries = body.into_map().ok()?;
    if !crit.iter().all(|name| entries.iter().any(|(key, _)| key == name)) {
        return None;
    }
    if !crit.is_empty() {
        // No extension is known.
        return Some(Opinion::Unsupported);
    }
    let meaning = meaning(&entries)?;
    Some(Opinion::Session(Box::new(Meaning { seq: unsigned(&seq)?, ..meaning })))
}

fn unsigned(value: &Value) -> Option<u64> {
    u64::try_from(i128::from(value.as_integer()?)).ok()
}

/// What the body's map says, if it is a session's.
fn meaning(entries: &[(Value, Value)]) -> Option<Meaning> {
    let within = |value: &Value, least: u64, most: u64| {
        unsigned(value).filter(|number| (least..=most).contains(number))
    };
    let time = |value: &Value| within(value, 0, TIME_MAX);
    let short = |value: &Value, most: usize| {
        value.as_text().filter(|text| (1..=most).contains(&text.len())).map(str::to_owned)
    };
    let (mut rev, mut created, mut accessed) = (None, None, None);
    let mut meaning = Meaning::default();
    for (key, value) in entries {
        match key.as_text()? {
            "id" => {
                let id_char = |c: char| c == '-' || c == '_' || c.is_ascii_alphanumeric();
                let id = value.as_text().filter(|id| (11..=128).contains(&id.len()))?;
                meaning.id = Some(id.chars().all(id_char).then(|| id.to_owned())?);
            }
            "key" => meaning.key = Some(value.as_bytes().filter(|key| key.len() == 32)?.clone()),
            "rev" => rev = Some(within(value, 1, COUNTER_MAX)?),
            "created" => created = Some(time(value)?),
            "accessed" => accessed = Some(time(value)?),
            "expires" => meaning.expires = Some(time(value)?),
            "idle" => meaning.idle = Some(within(value, 1, TIME_MAX)?),
            "user" if value.is_null() => return None,
            "user" => meaning.user = Some(encoded(value)),
            "addr" => meaning.addr = Some(short(value, 64)?),
            "tokens" => {
                let tokens = value.as_array().filter(|tokens| (1..=32).contains(&tokens.len()))?;
                meaning.tokens = tokens.iter().map(|token| short(token, 128)).collect::<Option<_>>()?;
            }
            "csrf" => meaning.csrf = Some(short(value, 128)?),
            "data" => meaning.data = named(value.as_map().filter(|data| !data.is_empty())?)?,
            other => meaning.other.push((other.to_owned(), encoded(value))),
        }
    }
    if meaning.id.is_some() == meaning.key.is_some() {
        return None;
    }
    Some(Meaning { rev: rev?, created: created?, accessed: accessed?, ..meaning })
}

fn named(entries: &[(Value, Value)]) -> Option<Vec<(String, Vec<u8>)>> {
    entries.iter().map(|(key, value)| Some((key.as_text()?.to_owned(), encoded(value)))).collect()
}

/// A record with this head, everything from the magic to the head of the body exclusive, and this body, its length and
/// digest right.
#[must_use]
pub fn record_of(prefix: &[u8], body: &[u8]) -> Vec<u8> {
    let length = body.len().to_be_bytes();
    let head = match body.len() {
        0..=23 => vec![0x40 | length[7]],
        24..=0xff => vec![0x58, length[7]],
        0x100..=0xffff => [&[0x59], &length[6..]].concat(),
        _ => [&[0x5a], &length[4..]].concat(),
    };
    sealed([prefix, &head, body].concat())
}

/// What precedes the body of a record of version 1 with seq 2.
pub const PREFIX: &[u8] = b"\xd9\xd9\xf7\xdaSESD\x85\x01\x80\x02";

/// `record` with its digest.
#[must_use]
pub fn sealed(mut record: Vec<u8>) -> Vec<u8> {
    let digest = Sha256::digest(&record);
    record.extend([0x58, 0x20]);
    record.extend(digest);
    record
}
