//! The envelope: SPEC.md section 7.1, the part of a record that is the same in every version, and on which
//! alone it depends whether a record is whole (SLOT-6).

use sha2::{Digest, Sha256};

use super::cbor::{self, Head};
use super::{COUNTER_MAX, RECORD_MAX};
use crate::rule::{Fault, Rule};

/// CBOR tags 55799 and "SESD" (REC-1).
pub(crate) const MAGIC: [u8; 8] = [0xd9, 0xd9, 0xf7, 0xda, 0x53, 0x45, 0x53, 0x44];
/// The head of an array of five (REC-2).
const FIVE: u8 = 0x85;
/// The head of a byte string of 32 bytes.
const DIGEST_HEAD: [u8; 2] = [0x58, 0x20];
/// Head and bytes of the digest.
const DIGEST_LEN: usize = DIGEST_HEAD.len() + 32;

/// How many extensions crit may name, and the bytes of each (REC-4).
const CRIT_MAX: u64 = 8;
const CRIT_NAME_MAX: u64 = 32;

/// The part of a record up to its seq: enough to know which slot is newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) version: u16,
    pub(crate) version_at: usize,
    crit_at: usize,
    pub(crate) seq: u64,
    pub(crate) seq_at: usize,
    /// Where the body's head stands.
    body_at: usize,
}

/// The longest prefix: magic, array, version of 3 bytes, crit of 8 names of 2 + 32 bytes, seq of 9.
pub(crate) const PREFIX_MAX: usize = 8 + 1 + 3 + 1 + 8 * 34 + 9;

/// The outline of a whole record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) version: u16,
    pub(crate) version_at: usize,
    crit_at: usize,
    pub(crate) seq: u64,
    pub(crate) seq_at: usize,
    /// Where the body's map stands, and ends.
    pub(crate) body: (usize, usize),
    /// Where the record ends.
    pub(crate) end: usize,
}

/// Why bytes are not a whole record, and the seq that they bear, if that much can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) fault: Fault,
    pub(crate) seq: Option<u64>,
}

impl Prefix {
    /// Reads the prefix. REC-1 to REC-5.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Fault> {
        if !bytes.starts_with(&MAGIC) {
            return Err(Fault::new(Rule::Rec1, 0));
        }
        if bytes.get(8) != Some(&FIVE) {
            return Err(Fault::new(Rule::Rec2, 8));
        }
        let version_at = 9;
        let (version, crit_at) = unsigned(bytes, version_at, Rule::Rec3)?;
        let version = match u16::try_from(version) {
            Ok(version) if version > 0 => version,
            _ => return Err(Fault::new(Rule::Rec3, version_at)),
        };
        let seq_at = skip_crit(bytes, crit_at)?;
        let (seq, body_at) = unsigned(bytes, seq_at, Rule::Rec5)?;
        if !(1..=COUNTER_MAX).contains(&seq) {
            return Err(Fault::new(Rule::Rec5, seq_at));
        }
        Ok(Prefix { version, version_at, crit_at, seq, seq_at, body_at })
    }
}

impl Envelope {
    /// Reads the record at the start of `bytes`, which may go on after it. REC-1 to REC-8.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Damage> {
        let prefix = Prefix::read(bytes).map_err(|fault| Damage { fault, seq: None })?;
        Envelope::after(bytes, prefix, &[])
    }

    /// As [`Envelope::read`], from the prefix on; `known` is a record that is known to be whole, and need not be hashed,
    /// or empty. REC-6 to REC-8.
    pub(crate) fn after(bytes: &[u8], prefix: Prefix, known: &[u8]) -> Result<Self, Damage> {
        let Prefix { version, version_at, crit_at, seq, seq_at, body_at } = prefix;
        let fail = |rule, at| Err(Damage { fault: Fault::new(rule, at), seq: Some(seq) });
        let head = match cbor::head(bytes, body_at) {
            Ok(head) if head.major == cbor::BYTES => head,
            _ => return fail(Rule::Rec6, body_at),
        };
        let most = RECORD_MAX.min(bytes.len());
        let length = match usize::try_from(head.argument) {
            // Where the record is cut off within the digest, REC-7 says so below.
            Ok(length) if head.next <= most && length <= most - head.next => length,
            _ => return fail(Rule::Rec8, body_at),
        };
        let digest_at = head.next + length;
        let end = digest_at + DIGEST_LEN;
        if end > RECORD_MAX {
            return fail(Rule::Rec8, body_at);
        }
        // The same bytes have the same digest.
        if bytes.get(..end).is_none_or(|record| record != known) {
            let digest = bytes.get(digest_at..end).and_then(|digest| digest.strip_prefix(&DIGEST_HEAD));
            if digest != Some(&Sha256::digest(&bytes[..digest_at])[..]) {
                return fail(Rule::Rec7, digest_at);
            }
        }
        Ok(Envelope { version, version_at, crit_at, seq, seq_at, body: (head.next, digest_at), end })
    }

    /// The names in crit with their offsets. REC-10.
    pub(crate) fn crit<'a>(&self, record: &'a [u8]) -> Result<Vec<(&'a str, usize)>, Fault> {
        let mut names: Vec<(&str, usize)> = Vec::new();
        let Head { argument: count, next: mut at, .. } = cbor::head(record, self.crit_at)?;
        for _ in 0..count {
            let (from, to) = crit_name(record, at)?;
            let broken = Fault::new(Rule::Rec10, at);
            let name = std::str::from_utf8(&record[from..to]).map_err(|_| broken)?;
            if names.last().is_some_and(|(last, _)| cbor::key_order(last, name).is_ge()) {
                return Err(broken);
            }
            names.push((name, at));
            at = to;
        }
        Ok(names)
    }
}

/// An unsigned integer with the shortest head, and where it ends; whatever is wrong with it breaks `rule`.
fn unsigned(bytes: &[u8], at: usize, rule: Rule) -> Result<(u64, usize), Fault> {
    match cbor::head(bytes, at) {
        Ok(Head { major: cbor::UNSIGNED, argument, next, .. }) => Ok((argument, next)),
        _ => Err(Fault::new(rule, at)),
    }
}

/// Where crit ends. REC-4: only its shape; what its names are is for [`Envelope::crit`].
fn skip_crit(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let (count, mut end) = match cbor::head(bytes, at) {
        Ok(Head { major: cbor::ARRAY, argument, next, .. }) if argument <= CRIT_MAX => (argument, next),
        _ => return Err(Fault::new(Rule::Rec4, at)),
    };
    for _ in 0..count {
        (_, end) = crit_name(bytes, end)?;
    }
    Ok(end)
}

/// Where the bytes of the crit name at `at` begin and end.
fn crit_name(bytes: &[u8], at: usize) -> Result<(usize, usize), Fault> {
    match cbor::head(bytes, at) {
        Ok(Head { major: cbor::TEXT, argument: length @ 1..=CRIT_NAME_MAX, next, .. }) => {
            let end = next + usize::try_from(length).unwrap_or(usize::MAX - next);
            if end <= bytes.len() { Ok((next, end)) } else { Err(Fault::new(Rule::Rec4, at)) }
        }
        _ => Err(Fault::new(Rule::Rec4, at)),
    }
}

/// Makes record `seq` around `body`.
#[cfg(any(test, feature = "conformance"))]
pub(crate) fn around(seq: u64, body: &[u8]) -> Vec<u8> {
    build(seq, body.len(), body.len() + AROUND, |out| out.extend_from_slice(body))
}

/// What stands around a body, at most: magic, array, version, crit, seq, the body's head, the digest.
pub(crate) const AROUND: usize = MAGIC.len() + 3 + 9 + 9 + DIGEST_LEN;

/// Makes record `seq` with the body that `put_body` appends, of `length` bytes, in a buffer with room for `capacity`.
/// REC-1 to REC-7; REC-8 is the caller's to check.
pub(crate) fn build(
    seq: u64,
    length: usize,
    capacity: usize,
    put_body: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let mut record = Vec::with_capacity(capacity);
    record.extend(MAGIC);
    record.push(FIVE);
    cbor::put_head(&mut record, cbor::UNSIGNED, u64::from(super::VERSION));
    // Version 1 knows no extension, so it never writes a session that needs one.
    cbor::put_head(&mut record, cbor::ARRAY, 0);
    cbor::put_head(&mut record, cbor::UNSIGNED, seq);
    cbor::put_head(&mut record, cbor::BYTES, length as u64);
    let body_at = record.len();
    put_body(&mut record);
    debug_assert_eq!(record.len() - body_at, length);
    let digest = Sha256::digest(&record);
    record.extend(DIGEST_HEAD);
    record.extend(digest);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exercises READ-4. The second look reads no more of a slot than this.
    #[test]
    fn the_longest_prefix_is_no_longer_than_what_is_read_again() {
        let mut prefix = MAGIC.to_vec();
        prefix.push(FIVE);
        cbor::put_head(&mut prefix, cbor::UNSIGNED, u64::from(u16::MAX));
        cbor::put_head(&mut prefix, cbor::ARRAY, CRIT_MAX);
        for _ in 0..CRIT_MAX {
            cbor::put_head(&mut prefix, cbor::TEXT, CRIT_NAME_MAX);
            prefix.extend([b'x'; 32]);
        }
        cbor::put_head(&mut prefix, cbor::UNSIGNED, COUNTER_MAX);
        assert_eq!(prefix.len(), PREFIX_MAX);
        let read = Prefix::read(&prefix).expect("a prefix");
        assert_eq!((read.version, read.seq, read.body_at), (u16::MAX, COUNTER_MAX, PREFIX_MAX));
    }

    /// Exercises REC-1 to REC-7. With the longest heads that there are, and the shortest.
    #[test]
    fn what_stands_around_a_body_is_no_longer_than_its_room() {
        let longest = around(COUNTER_MAX, &vec![0; 1 << 16]);
        // The head of the body's length has 5 bytes: 16 MiB need no 9.
        assert_eq!(longest.len(), (1 << 16) + AROUND - 4);
        assert_eq!(longest.capacity(), (1 << 16) + AROUND, "it had to move");
        assert_eq!(around(1, &[]).len(), 8 + 1 + 1 + 1 + 1 + 1 + 34);
    }
}
