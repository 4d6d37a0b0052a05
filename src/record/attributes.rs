//! A map of text keys to encoded values, in the order of VAL-8.

use super::cbor::key_order;

/// The encoded entries of a map, sorted, and how many bytes they take.
///
/// Keys and values stand in one buffer, so that a record of millions of tiny entries takes little more memory than
/// its file.
#[derive(Clone, Default)]
pub(crate) struct Attributes {
    buffer: Vec<u8>,
    /// Where each entry's key and value stand, in the order of the keys.
    entries: Vec<Entry>,
    total: usize,
}

/// A key and, right after it, its encoded value. Offsets of 32 bits: a record has at most 16 MiB, and the buffer is
/// packed before what was replaced takes as much again.
#[derive(Clone, Copy)]
struct Entry {
    key: u32,
    value: u32,
    end: u32,
}

/// For how many entries room is made before any of them has been seen: their number is what the bytes say.
const ROOM_MOST: usize = 1024;

impl Attributes {
    /// With room for `entries` of `bytes` together.
    pub(crate) fn with_room_for(entries: usize, bytes: usize) -> Self {
        let entries = Vec::with_capacity(entries.min(ROOM_MOST));
        Attributes { buffer: Vec::with_capacity(bytes), entries, total: 0 }
    }

    /// The most bytes that an entry takes in a record.
    pub(crate) fn size(key: &str, encoded: &[u8]) -> usize {
        // The longest head of a text within 16 MiB.
        5 + key.len() + encoded.len()
    }

    /// What [`Attributes::size`] says of the entry `key`; 0 where there is none.
    pub(crate) fn size_of(&self, key: &str) -> usize {
        self.encoded(key).map_or(0, |encoded| Self::size(key, encoded))
    }

    /// The sum of [`Attributes::size`] over all entries.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        self.entries.iter().map(|&entry| (self.key(entry), self.value(entry)))
    }

    pub(crate) fn encoded(&self, key: &str) -> Option<&[u8]> {
        self.find(key).ok().map(|index| self.value(self.entries[index]))
    }

    pub(crate) fn set(&mut self, key: &str, encoded: &[u8]) {
        self.total = self.total - self.size_of(key) + Self::size(key, encoded);
        let place = self.find(key);
        let entry = self.append(key, encoded);
        match place {
            Ok(index) => self.entries[index] = entry,
            Err(index) => self.entries.insert(index, entry),
        }
        self.pack();
    }

    /// Adds an entry whose key comes after all others.
    pub(crate) fn push_sorted(&mut self, key: &str, encoded: &[u8]) {
        debug_assert!(self.entries.last().is_none_or(|&last| key_order(self.key(last), key).is_lt()));
        self.total += Self::size(key, encoded);
        let entry = self.append(key, encoded);
        self.entries.push(entry);
    }

    pub(crate) fn remove(&mut self, key: &str) -> bool {
        self.total -= self.size_of(key);
        let removed = self.find(key).map(|index| self.entries.remove(index)).is_ok();
        self.pack();
        removed
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|&entry| key_order(self.key(entry), key))
    }

    fn key(&self, entry: Entry) -> &str {
        // Only a `&str` is ever put there.
        std::str::from_utf8(&self.buffer[entry.key as usize..entry.value as usize]).unwrap_or_default()
    }

    fn value(&self, entry: Entry) -> &[u8] {
        &self.buffer[entry.value as usize..entry.end as usize]
    }

    fn append(&mut self, key: &str, encoded: &[u8]) -> Entry {
        // The caller has checked the session's size against REC-8.
        let at = |buffer: &Vec<u8>| u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let key_at = at(&self.buffer);
        self.buffer.extend_from_slice(key.as_bytes());
        let value = at(&self.buffer);
        self.buffer.extend_from_slice(encoded);
        Entry { key: key_at, value, end: at(&self.buffer) }
    }

    /// Drops what was replaced or removed, once it is as much as what is there.
    fn pack(&mut self) {
        if self.buffer.len() > 2 * self.total + 1024 {
            let mut packed = Attributes::default();
            for (key, encoded) in self.iter() {
                packed.push_sorted(key, encoded);
            }
            *self = packed;
        }
    }
}

impl PartialEq for Attributes {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl std::fmt::Debug for Attributes {
    /// Without the values, which may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} entries", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Against a model: what is set and removed is there, in order, and the buffer does not grow for ever.
    #[test]
    fn it_is_a_sorted_map() {
        let mut attributes = Attributes::default();
        let mut model: BTreeMap<(usize, String), Vec<u8>> = BTreeMap::new();
        let mut random = 1u64;
        // Miri takes a second for each hundred.
        for step in 0..if cfg!(miri) { 200 } else { 20_000u32 } {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let number = (random >> 33) % 50;
            let key = "k".repeat(usize::try_from(number % 7).expect("small")) + &number.to_string();
            if random >> 62 == 0 {
                assert_eq!(attributes.remove(&key), model.remove(&(key.len(), key)).is_some());
            } else {
                let value = step.to_be_bytes().to_vec();
                attributes.set(&key, &value);
                model.insert((key.len(), key), value);
            }
            let size: usize = model.iter().map(|((_, key), value)| Attributes::size(key, value)).sum();
            assert_eq!(attributes.total(), size);
            assert!(attributes.buffer.len() <= 2 * size + 1024 + 64);
        }
        let expected: Vec<_> =
            model.iter().map(|((_, key), value)| (key.as_str(), value.as_slice())).collect();
        assert_eq!(attributes.iter().collect::<Vec<_>>(), expected);
        assert!(model.len() > 30);
    }

    /// An entry's bytes, and the longest head that its key can have.
    #[test]
    fn the_size_of_an_entry() {
        assert_eq!(Attributes::size("key", &[0; 10]), 5 + 3 + 10);
    }

    /// What was replaced stays until it is as much as what is there, and 1 KiB more: each change would cost a copy of all.
    #[test]
    fn it_is_packed_when_it_has_to_be_and_not_before() {
        let mut attributes = Attributes::default();
        // Three of them are 3,102 bytes, which is twice 1,039 and 1,024.
        for kept in [1, 2, 3, 1, 2, 3, 1] {
            attributes.set("k", &[0; 1033]);
            assert_eq!(attributes.buffer.len(), kept * 1034);
        }
    }
}
