//! The session map in bytes: SPEC.md section 7.3, written and read.

use super::attributes::Attributes;
use super::cbor::{self, Head, MapReader};
use super::envelope::{self, Envelope};
use super::seen::Seen;
use super::session::{ADDR_MAX, Content, NULL, Session, TOKEN_MAX, TOKENS_MAX, limit};
use super::{COUNTER_MAX, RECORD_MAX, Refusal, slot_for};
use crate::error::{Error, Result, Unsupported};
use crate::names::{FileName, Key, Naming, SessionId, SessionRef};
use crate::rule::{Fault, Rule};
use crate::time::UnixMillis;

/// What a record is made of, borrowed: a save copies nothing of its session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft<'a> {
    reference: &'a SessionRef,
    rev: u64,
    created: UnixMillis,
    accessed: UnixMillis,
    content: &'a Content,
}

impl Draft<'_> {
    /// Record `seq`, in a store of `naming`.
    pub(crate) fn encode(&self, seq: u64, naming: Naming) -> Result<Vec<u8>> {
        let too_large = |limit| Error::TooLarge { session: Some(self.reference.shown()), limit };
        if seq > COUNTER_MAX || self.rev > COUNTER_MAX {
            return Err(too_large("seq and rev end at 2^53-1"));
        }
        let record = self.record(seq, naming);
        if record.len() > RECORD_MAX {
            return Err(too_large("a record is at most 16777152 bytes long (16 MiB - 64)"));
        }
        Ok(record)
    }

    /// The record, with the body's map (section 7.3), in a buffer that has room for its slot.
    fn record(&self, seq: u64, naming: Naming) -> Vec<u8> {
        let mut entries: Vec<(&str, Part<'_>)> = Vec::with_capacity(12 + self.content.unknown.len());
        match (naming, self.reference) {
            (Naming::Plain, SessionRef::Id(id)) => entries.push(("id", Part::Text(id.expose()))),
            (_, reference) => entries.push(("key", Part::Key(reference.key()))),
        }
        let Content { expires, idle, user, addr, tokens, csrf, data, unknown } = self.content;
        // In the order of VAL-8, into which those that are not known are then put.
        entries.push(("rev", Part::Number(self.rev)));
        entries.extend(addr.as_deref().map(|addr| ("addr", Part::Text(addr))));
        entries.extend(csrf.as_deref().map(|csrf| ("csrf", Part::Text(csrf))));
        entries.extend((!data.is_empty()).then_some(("data", Part::Map(data))));
        entries.extend(idle.map(|idle| ("idle", Part::Number(idle))));
        entries.extend(user.as_deref().map(|user| ("user", Part::Encoded(user))));
        entries.extend((!tokens.is_empty()).then_some(("tokens", Part::Texts(tokens))));
        entries.push(("created", Part::Number(self.created.as_millis())));
        entries.extend(expires.map(|at| ("expires", Part::Number(at.as_millis()))));
        entries.push(("accessed", Part::Number(self.accessed.as_millis())));
        if !unknown.is_empty() {
            entries.extend(unknown.iter().map(|(key, value)| (key, Part::Encoded(value))));
            entries.sort_unstable_by(|(a, _), (b, _)| cbor::key_order(a, b));
        }

        // Measured first, so that the bytes are put where they stay: a record may have megabytes.
        let map = entries.len() as u64;
        let length = cbor::head_size(map)
            + entries.iter().map(|(key, part)| cbor::text_size(key) + part.size()).sum::<usize>();
        envelope::build(seq, length, slot_for(length + envelope::AROUND), |out| {
            cbor::put_head(out, cbor::MAP, map);
            for (key, part) in entries {
                cbor::put_text(out, key);
                part.put(out);
            }
        })
    }
}

impl Session {
    /// What its record is made of.
    pub(crate) fn draft(&self) -> Result<Draft<'_>> {
        let Some(reference) = &self.reference else {
            return Err(limit("session", "one that has an ID; store it first").into());
        };
        let Session { rev, created, accessed, ref content, .. } = *self;
        Ok(Draft { reference, rev, created, accessed, content })
    }

    /// What the record of the first revision under `reference` is made of.
    pub(crate) fn draft_first<'a>(&'a self, reference: &'a SessionRef) -> Draft<'a> {
        let Session { created, accessed, ref content, .. } = *self;
        Draft { reference, rev: 1, created, accessed, content }
    }

    /// What the record of the next revision of `current` is made of, its content replaced by that of `self`; the numbers
    /// are as [`Session::next`] has them.
    pub(crate) fn draft_after<'a>(&'a self, current: &'a Session, now: UnixMillis) -> Result<Draft<'a>> {
        let (rev, accessed) = current.numbers_after(now);
        Ok(Draft { rev, accessed, content: &self.content, ..current.draft()? })
    }

    /// Record `seq` of the session, in a store of `naming`.
    pub(crate) fn encode(&self, seq: u64, naming: Naming) -> Result<Vec<u8>> {
        self.draft()?.encode(seq, naming)
    }

    /// A record that stands alone: named as the session is known.
    pub(super) fn encode_alone(&self, seq: u64) -> Result<Vec<u8>> {
        if seq == 0 {
            return Err(limit("seq", "from 1 to 2^53-1").into());
        }
        // One that is known by its key is named by that all the same.
        self.encode(seq, Naming::Plain)
    }

    /// What the body of a whole record of version 1 means. VAL, BODY-1, REC-11, REC-12, BODY-2 to BODY-15; with
    /// `named_by`, BODY-5.
    pub(super) fn decode(
        record: &[u8],
        envelope: &Envelope,
        crit: &[(&str, usize)],
        named_by: Option<&FileName>,
    ) -> Result<Session, Refusal> {
        let (body_at, body_end) = envelope.body;
        // The input ends where the body does, so that nothing in it can reach the digest (VAL-13).
        let fields = Fields::read(&record[..body_end], body_at)?;
        for (name, at) in crit {
            if !fields.has(name) {
                return Err(Fault::new(Rule::Rec11, *at).into());
            }
        }
        if let Some((name, at)) = crit.first() {
            // Version 1 knows no extension.
            let what = Unsupported::Extension((*name).to_owned());
            return Err(Refusal::Unsupported(what, Fault::new(Rule::Rec12, *at)));
        }
        Ok(fields.session(named_by)?)
    }
}

/// The value of an entry that is being written.
enum Part<'a> {
    Number(u64),
    Text(&'a str),
    Texts(&'a [Box<str>]),
    Key(Key),
    Map(&'a Attributes),
    Encoded(&'a [u8]),
}

impl Part<'_> {
    /// How many bytes [`Part::put`] appends.
    fn size(&self) -> usize {
        match self {
            Part::Number(number) => cbor::head_size(*number),
            Part::Text(text) => cbor::text_size(text),
            Part::Texts(texts) => {
                cbor::head_size(texts.len() as u64)
                    + texts.iter().map(|text| cbor::text_size(text)).sum::<usize>()
            }
            Part::Key(key) => cbor::head_size(key.as_bytes().len() as u64) + key.as_bytes().len(),
            Part::Map(map) => {
                let entries = map.iter().map(|(key, value)| cbor::text_size(key) + value.len());
                cbor::head_size(map.len() as u64) + entries.sum::<usize>()
            }
            Part::Encoded(encoded) => encoded.len(),
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Part::Number(number) => cbor::put_head(out, cbor::UNSIGNED, *number),
            Part::Text(text) => cbor::put_text(out, text),
            Part::Texts(texts) => {
                cbor::put_head(out, cbor::ARRAY, texts.len() as u64);
                for text in *texts {
                    cbor::put_text(out, text);
                }
            }
            Part::Key(key) => cbor::put_bytes(out, key.as_bytes()),
            Part::Map(map) => {
                cbor::put_head(out, cbor::MAP, map.len() as u64);
                for (key, value) in map.iter() {
                    cbor::put_text(out, key);
                    out.extend_from_slice(value);
                }
            }
            Part::Encoded(encoded) => out.extend(*encoded),
        }
    }
}

/// The keys that this version knows (section 7.3); the index of each is its place in [`Fields`].
pub(crate) const KEYS: [&str; 12] =
    ["id", "key", "rev", "created", "accessed", "expires", "idle", "user", "addr", "tokens", "csrf", "data"];
const ID: usize = 0;
const KEY: usize = 1;
const REV: usize = 2;
const CREATED: usize = 3;
const ACCESSED: usize = 4;
const EXPIRES: usize = 5;
const IDLE: usize = 6;
const USER: usize = 7;
const ADDR: usize = 8;
const TOKENS: usize = 9;
const CSRF: usize = 10;
const DATA: usize = 11;

/// Calls `each` with the keys of the body's map and where their heads stand. For a record that has been decoded.
pub(crate) fn for_each_key(
    record: &[u8],
    envelope: &Envelope,
    each: &mut dyn FnMut(&str, usize),
) -> Result<(), Fault> {
    let (at, end) = envelope.body;
    let body = &record[..end];
    let Some(mut map) = MapReader::open(body, at)? else { return Ok(()) };
    let mut key_at = map.end();
    while let Some((key, value_at)) = map.key()? {
        each(key, key_at);
        key_at = cbor::value(body, value_at, 1)?;
        map.resume(key_at);
    }
    Ok(())
}

/// A body that has been read strictly, of which nothing is understood yet.
struct Fields<'a> {
    body: &'a [u8],
    /// Where the body's map stands.
    at: usize,
    /// Where the values of the known keys stand, and end.
    known: [Option<(usize, usize)>; KEYS.len()],
    /// The entries of `data`, where that is a map.
    data: Option<Attributes>,
    unknown: Attributes,
}

impl<'a> Fields<'a> {
    /// Reads the body, a map at `at`, strictly. VAL-1 to VAL-13, BODY-1.
    fn read(body: &'a [u8], at: usize) -> Result<Self, Fault> {
        let known = [None; KEYS.len()];
        let mut fields = Fields { body, at, known, data: None, unknown: Attributes::default() };
        let Some(mut map) = MapReader::open(body, at)? else {
            cbor::value(body, at, 0)?;
            return Err(Fault::new(Rule::Body1, at));
        };
        while let Some((key, value_at)) = map.key()? {
            let index = KEYS.iter().position(|known| *known == key);
            let end = match index {
                Some(DATA) => fields.read_data(value_at)?,
                _ => cbor::value(body, value_at, 1)?,
            };
            match index {
                Some(index) => fields.known[index] = Some((value_at, end)),
                None => fields.unknown.push_sorted(key, &body[value_at..end]),
            }
            map.resume(end);
        }
        if map.end() != body.len() {
            return Err(Fault::new(Rule::Body1, map.end()));
        }
        Ok(fields)
    }

    /// Reads `data`, and keeps its entries where it is a map; returns where it ends.
    fn read_data(&mut self, at: usize) -> Result<usize, Fault> {
        let Some(mut map) = MapReader::open(self.body, at)? else { return cbor::value(self.body, at, 1) };
        let mut data = Attributes::with_room_for(map.left(), self.body.len() - map.end());
        while let Some((key, value_at)) = map.key()? {
            let end = cbor::value(self.body, value_at, 2)?;
            data.push_sorted(key, &self.body[value_at..end]);
            map.resume(end);
        }
        self.data = Some(data);
        Ok(map.end())
    }

    fn has(&self, key: &str) -> bool {
        match KEYS.iter().position(|known| *known == key) {
            Some(index) => self.known[index].is_some(),
            None => self.unknown.encoded(key).is_some(),
        }
    }

    /// The session that the body means. BODY-2 to BODY-15.
    fn session(self, named_by: Option<&FileName>) -> Result<Session, Fault> {
        let reference = self.reference(named_by)?;
        let rev = self.number(REV, Rule::Body6, 1, COUNTER_MAX)?;
        let rev = rev.ok_or(Fault::new(Rule::Body6, self.at))?;
        let created = self.time(CREATED, Rule::Body7)?.ok_or(Fault::new(Rule::Body7, self.at))?;
        let accessed = self.time(ACCESSED, Rule::Body8)?.ok_or(Fault::new(Rule::Body8, self.at))?;
        let expires = self.time(EXPIRES, Rule::Body9)?;
        let idle = self.number(IDLE, Rule::Body10, 1, UnixMillis::MAX.as_millis())?;
        let user = match self.known[USER] {
            Some((at, end)) if self.body[at..end] == NULL => return Err(Fault::new(Rule::Body11, at)),
            user => user.map(|(at, end)| self.body[at..end].into()),
        };
        let addr = self.text(ADDR, Rule::Body12, ADDR_MAX)?;
        let tokens = self.tokens()?;
        let csrf = self.text(CSRF, Rule::Body14, TOKEN_MAX)?;
        let data = match (self.known[DATA], self.data) {
            (None, _) => Attributes::default(),
            (Some(_), Some(data)) if !data.is_empty() => data,
            (Some((at, _)), _) => return Err(Fault::new(Rule::Body15, at)),
        };
        let unknown = self.unknown;
        let content = Content { expires, idle, user, addr, tokens, csrf, data, unknown };
        Ok(Session { reference: Some(reference), rev, created, accessed, content, seen: Seen::default() })
    }

    /// BODY-2 to BODY-5.
    fn reference(&self, named_by: Option<&FileName>) -> Result<SessionRef, Fault> {
        let (at, reference) = match (self.known[ID], self.known[KEY]) {
            (Some((at, end)), None) => {
                let id = self.text_at(at, end).and_then(|text| SessionId::new(text).ok());
                (at, SessionRef::Id(id.ok_or(Fault::new(Rule::Body3, at))?))
            }
            (None, Some((at, end))) => {
                let key = match cbor::head(self.body, at)? {
                    Head { major: cbor::BYTES, next, .. } => self.body[next..end].try_into().ok(),
                    _ => None,
                };
                (at, SessionRef::Key(Key::from_bytes(key.ok_or(Fault::new(Rule::Body4, at))?)))
            }
            (Some(_), Some((at, _))) => return Err(Fault::new(Rule::Body2, at)),
            (None, None) => return Err(Fault::new(Rule::Body2, self.at)),
        };
        match named_by {
            Some(name) if *name.session() != reference => Err(Fault::new(Rule::Body5, at)),
            _ => Ok(reference),
        }
    }

    fn number(&self, key: usize, rule: Rule, least: u64, most: u64) -> Result<Option<u64>, Fault> {
        let Some((at, _)) = self.known[key] else { return Ok(None) };
        match cbor::head(self.body, at)? {
            Head { major: cbor::UNSIGNED, argument, .. } if (least..=most).contains(&argument) => {
                Ok(Some(argument))
            }
            _ => Err(Fault::new(rule, at)),
        }
    }

    fn time(&self, key: usize, rule: Rule) -> Result<Option<UnixMillis>, Fault> {
        let millis = self.number(key, rule, 0, UnixMillis::MAX.as_millis())?;
        Ok(millis.and_then(UnixMillis::from_millis))
    }

    fn text(&self, key: usize, rule: Rule, most: usize) -> Result<Option<Box<str>>, Fault> {
        let Some((at, end)) = self.known[key] else { return Ok(None) };
        match self.text_at(at, end) {
            Some(text) if (1..=most).contains(&text.len()) => Ok(Some(text.into())),
            _ => Err(Fault::new(rule, at)),
        }
    }

    /// BODY-13.
    fn tokens(&self) -> Result<Vec<Box<str>>, Fault> {
        let Some((at, _)) = self.known[TOKENS] else { return Ok(Vec::new()) };
        let broken = Fault::new(Rule::Body13, at);
        let Head { major, argument: count, mut next, .. } = cbor::head(self.body, at)?;
        if major != cbor::ARRAY || !(1..=TOKENS_MAX as u64).contains(&count) {
            return Err(broken);
        }
        let mut tokens = Vec::new();
        for _ in 0..count {
            let end = cbor::value(self.body, next, 2)?;
            match self.text_at(next, end) {
                Some(token) if (1..=TOKEN_MAX).contains(&token.len()) => tokens.push(token.into()),
                _ => return Err(broken),
            }
            next = end;
        }
        Ok(tokens)
    }

    /// The text that stands from `at` to `end`, if it is one.
    fn text_at(&self, at: usize, end: usize) -> Option<&'a str> {
        match cbor::head(self.body, at) {
            Ok(Head { major: cbor::TEXT, next, .. }) => std::str::from_utf8(&self.body[next..end]).ok(),
            _ => None,
        }
    }
}
