//! The strict codec: SPEC.md section 7.5 for reading, and the heads that a writer puts.
//!
//! Written out rather than built on `ciborium-ll`, for two reasons: it is the pseudo-code of the
//! specification, which so gets tested; and the oracle that it is fuzzed against is built on ciborium, and
//! shares no line with it.

use crate::rule::{Fault, Rule};

pub(crate) const UNSIGNED: u8 = 0;
pub(crate) const NEGATIVE: u8 = 1;
pub(crate) const BYTES: u8 = 2;
pub(crate) const TEXT: u8 = 3;
pub(crate) const ARRAY: u8 = 4;
pub(crate) const MAP: u8 = 5;
pub(crate) const TAG: u8 = 6;
pub(crate) const SIMPLE: u8 = 7;

/// How many arrays and maps may be open at once, the body's map included (VAL-12).
pub(crate) const DEPTH: usize = 32;

/// The head of a data item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) major: u8,
    /// The low five bits of the first byte: where the argument stands.
    pub(crate) info: u8,
    pub(crate) argument: u64,
    /// The offset of the first byte after the head.
    pub(crate) next: usize,
}

/// Reads the head at `at`; the input ends at the end of `bytes`. VAL-1, VAL-2, VAL-11, VAL-13.
pub(crate) fn head(bytes: &[u8], at: usize) -> Result<Head, Fault> {
    let Some(&first) = bytes.get(at) else { return Err(Fault::new(Rule::Val13, at)) };
    let (major, info) = (first >> 5, first & 31);
    if info < 24 {
        return Ok(Head { major, info, argument: u64::from(info), next: at + 1 });
    }
    if info > 27 {
        let rule = match (info, major) {
            (31, BYTES..=MAP) => Rule::Val2,
            (_, SIMPLE) => Rule::Val11,
            _ => Rule::Val1,
        };
        return Err(Fault::new(rule, at));
    }
    let width = 1usize << (info - 24);
    let Some(argument) = bytes.get(at + 1..at + 1 + width) else {
        return Err(Fault::new(Rule::Val13, at));
    };
    let argument = argument.iter().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
    let least = [24, 1 << 8, 1 << 16, 1 << 32][usize::from(info - 24)];
    if major != SIMPLE && argument < least {
        return Err(Fault::new(Rule::Val1, at));
    }
    Ok(Head { major, info, argument, next: at + 1 + width })
}

/// What an item opens: an array of so many items, or a map of so many entries.
#[derive(Clone, Copy)]
struct Opened {
    map: bool,
    entries: u64,
}

/// The `length` bytes at `at`, where there are as many.
fn string(bytes: &[u8], at: usize, length: u64) -> Option<&[u8]> {
    let rest = bytes.get(at..)?;
    usize::try_from(length).ok().and_then(|length| rest.get(..length))
}

/// The text whose head, which has been read, stands at `at`, and where it ends. VAL-6, VAL-13.
fn text(bytes: &[u8], head: Head, at: usize) -> Result<(&str, usize), Fault> {
    let string = string(bytes, head.next, head.argument).ok_or(Fault::new(Rule::Val13, at))?;
    let text = std::str::from_utf8(string).map_err(|_| Fault::new(Rule::Val6, at))?;
    Ok((text, head.next + text.len()))
}

/// Reads the item at `at` without what a container encloses; returns where it ends.
fn item(bytes: &[u8], at: usize) -> Result<(usize, Option<Opened>), Fault> {
    let fail = |rule| Err(Fault::new(rule, at));
    let Head { major, info, argument, next } = head(bytes, at)?;
    let left = (bytes.len() - next) as u64;
    match major {
        UNSIGNED | NEGATIVE if argument > i64::MAX as u64 => fail(Rule::Val3),
        BYTES => match string(bytes, next, argument) {
            Some(string) => Ok((next + string.len(), None)),
            None => fail(Rule::Val13),
        },
        TEXT => Ok((text(bytes, Head { major, info, argument, next }, at)?.1, None)),
        ARRAY | MAP => {
            let map = major == MAP;
            // An item takes a byte at least: a count that cannot be true is refused before it is followed.
            if argument.saturating_mul(if map { 2 } else { 1 }) > left {
                return fail(Rule::Val13);
            }
            Ok((next, Some(Opened { map, entries: argument })))
        }
        TAG => fail(Rule::Val10),
        SIMPLE => match info {
            25..=27 => match float(info, argument) {
                Float::Canonical => Ok((next, None)),
                Float::Nan => fail(Rule::Val5),
                Float::TooLong => fail(Rule::Val4),
            },
            20..=22 => Ok((next, None)),
            _ => fail(Rule::Val11),
        },
        _ => Ok((next, None)),
    }
}

enum Float {
    Canonical,
    /// A NaN other than f97e00.
    Nan,
    /// A form longer than the value needs.
    TooLong,
}

/// Judges the float that the argument of a head with that `info` (25, 26, 27) stands for. VAL-4, VAL-5.
fn float(info: u8, argument: u64) -> Float {
    // The casts keep the bits that the head's width carries; the others are zero.
    #[allow(clippy::cast_possible_truncation, reason = "the argument is as wide as the form")]
    let value = match info {
        25 => f64::from(half::f16::from_bits(argument as u16)),
        26 => f64::from(f32::from_bits(argument as u32)),
        _ => f64::from_bits(argument),
    };
    if value.is_nan() {
        return if info == 25 && argument == 0x7e00 { Float::Canonical } else { Float::Nan };
    }
    if info > shortest_form(value) { Float::TooLong } else { Float::Canonical }
}

/// The additional information (25, 26, 27) of the shortest form that keeps a value that is not NaN.
fn shortest_form(value: f64) -> u8 {
    #[allow(clippy::cast_possible_truncation, reason = "whether it loses anything is the question")]
    let single = value as f32;
    if f64::from(half::f16::from_f64(value)).to_bits() == value.to_bits() {
        25
    } else if f64::from(single).to_bits() == value.to_bits() {
        26
    } else {
        27
    }
}

/// Reads the map key at `at`, `previous` being where the one before stands; returns its text, and where it
/// ends. VAL-7 to VAL-9.
fn key(bytes: &[u8], at: usize, previous: Option<(usize, usize)>) -> Result<(&str, usize), Fault> {
    if bytes.get(at).is_some_and(|first| first >> 5 != TEXT) {
        return Err(Fault::new(Rule::Val7, at));
    }
    let (text, end) = text(bytes, head(bytes, at)?, at)?;
    match previous.map(|(from, to)| bytes[at..end].cmp(&bytes[from..to])) {
        Some(std::cmp::Ordering::Equal) => Err(Fault::new(Rule::Val9, at)),
        Some(std::cmp::Ordering::Less) => Err(Fault::new(Rule::Val8, at)),
        _ => Ok((text, end)),
    }
}

/// A container that is being read.
struct Open {
    map: bool,
    left: u64,
    /// Where the previous key's encoding stands.
    key: Option<(usize, usize)>,
}

/// Reads the item at `at` with all that it encloses, inside of `depth` containers (0 for the body's map), and
/// returns where it ends. VAL-1 to VAL-13. Takes no memory but for 32 containers.
pub(crate) fn value(bytes: &[u8], mut at: usize, depth: usize) -> Result<usize, Fault> {
    let mut stack: Vec<Open> = Vec::new();
    loop {
        if let Some(Open { map: true, key: previous, .. }) = stack.last_mut() {
            let start = at;
            (_, at) = key(bytes, start, *previous)?;
            *previous = Some((start, at));
        }
        let start = at;
        let opened;
        (at, opened) = item(bytes, at)?;
        match (opened, stack.last_mut()) {
            (Some(Opened { map, entries }), _) => {
                if depth + stack.len() >= DEPTH {
                    return Err(Fault::new(Rule::Val12, start));
                }
                stack.push(Open { map, left: entries, key: None });
            }
            (None, Some(open)) => open.left -= 1,
            (None, None) => {}
        }
        while stack.last().is_some_and(|open| open.left == 0) {
            stack.pop();
            if let Some(open) = stack.last_mut() {
                open.left -= 1;
            }
        }
        if stack.is_empty() {
            return Ok(at);
        }
    }
}

/// Reads a map entry by entry, as strictly as [`value`] does, for the maps whose entries the format knows.
pub(crate) struct MapReader<'a> {
    bytes: &'a [u8],
    at: usize,
    left: u64,
    key: Option<(usize, usize)>,
}

impl<'a> MapReader<'a> {
    /// The map at `at`; `None` where the item is no map. How deep it may stand is the caller's to know.
    pub(crate) fn open(bytes: &'a [u8], at: usize) -> Result<Option<Self>, Fault> {
        if bytes.get(at).is_none_or(|first| first >> 5 != MAP) {
            return Ok(None);
        }
        let (next, opened) = item(bytes, at)?;
        Ok(opened.map(|opened| MapReader { bytes, at: next, left: opened.entries, key: None }))
    }

    /// The next key, and where its value stands. The value is the caller's to read; where it ends he says with
    /// [`MapReader::resume`].
    pub(crate) fn key(&mut self) -> Result<Option<(&'a str, usize)>, Fault> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let start = self.at;
        let (text, end) = key(self.bytes, start, self.key)?;
        self.key = Some((start, end));
        self.at = end;
        Ok(Some((text, end)))
    }

    /// How many entries are still to come. As many bytes are, at least twice over.
    pub(crate) fn left(&self) -> usize {
        usize::try_from(self.left).unwrap_or(usize::MAX)
    }

    /// Goes on at `at`, the end of the value.
    pub(crate) fn resume(&mut self, at: usize) {
        self.at = at;
    }

    /// Where the next key stands or, once [`MapReader::key`] has given `None`, where the map ends.
    pub(crate) fn end(&self) -> usize {
        self.at
    }
}

/// How many bytes the shortest head takes.
pub(crate) fn head_size(argument: u64) -> usize {
    match argument {
        0..24 => 1,
        24..0x100 => 2,
        0x100..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    }
}

/// How many bytes a text takes.
pub(crate) fn text_size(text: &str) -> usize {
    head_size(text.len() as u64) + text.len()
}

/// Appends the shortest head.
pub(crate) fn put_head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let bytes = argument.to_be_bytes();
    let (info, width) = match argument {
        0..24 => return out.push(major << 5 | bytes[7]),
        24..0x100 => (24, 1),
        0x100..0x1_0000 => (25, 2),
        0x1_0000..0x1_0000_0000 => (26, 4),
        _ => (27, 8),
    };
    out.push(major << 5 | info);
    out.extend_from_slice(&bytes[8 - width..]);
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_head(out, TEXT, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_head(out, BYTES, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(crate) fn put_int(out: &mut Vec<u8>, int: i64) {
    // CBOR carries a negative n as -1 - n.
    if int < 0 {
        put_head(out, NEGATIVE, int.unsigned_abs() - 1);
    } else {
        put_head(out, UNSIGNED, int.unsigned_abs());
    }
}

pub(crate) fn put_float(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        return out.extend([0xf9, 0x7e, 0x00]);
    }
    match shortest_form(value) {
        25 => {
            out.push(0xf9);
            out.extend(half::f16::from_f64(value).to_bits().to_be_bytes());
        }
        26 => {
            out.push(0xfa);
            #[allow(clippy::cast_possible_truncation, reason = "shortest_form has found it exact")]
            out.extend((value as f32).to_bits().to_be_bytes());
        }
        _ => {
            out.push(0xfb);
            out.extend(value.to_bits().to_be_bytes());
        }
    }
}

/// The order of VAL-8 for text keys: shorter first, bytewise among those of one length.
pub(crate) fn key_order(a: &str, b: &str) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes()))
}
