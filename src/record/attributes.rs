//! A map of text keys to encoded values, in the order of VAL-8.

use super::cbor::key_order;

/// The encoded entries of a map, sorted, and how many bytes they take.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Attributes {
    entries: Vec<(Box<str>, Box<[u8]>)>,
    total: usize,
}

impl Attributes {
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
        self.entries.iter().map(|(key, encoded)| (&**key, &**encoded))
    }

    pub(crate) fn encoded(&self, key: &str) -> Option<&[u8]> {
        self.find(key).ok().map(|index| &*self.entries[index].1)
    }

    pub(crate) fn set(&mut self, key: &str, encoded: Box<[u8]>) {
        self.total = self.total - self.size_of(key) + Self::size(key, &encoded);
        match self.find(key) {
            Ok(index) => self.entries[index].1 = encoded,
            Err(index) => self.entries.insert(index, (key.into(), encoded)),
        }
    }

    /// Adds an entry whose key comes after all others.
    pub(crate) fn push_sorted(&mut self, key: &str, encoded: &[u8]) {
        debug_assert!(self.entries.last().is_none_or(|(last, _)| key_order(last, key).is_lt()));
        self.total += Self::size(key, encoded);
        self.entries.push((key.into(), encoded.into()));
    }

    pub(crate) fn remove(&mut self, key: &str) -> bool {
        self.total -= self.size_of(key);
        self.find(key).map(|index| self.entries.remove(index)).is_ok()
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|(at, _)| key_order(at, key))
    }
}
