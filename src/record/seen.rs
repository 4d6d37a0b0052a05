//! The bytes that a session was last read from or written as.

/// A record that is known to be whole, kept with the session that it holds: a save that finds the same bytes in the file
/// need not hash them again, which is most of what a save of a large session costs (SLOT-6).
///
/// It is no part of what a session is: it equals any other, and a copy of a session goes without.
#[derive(Default)]
pub(crate) struct Seen {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
}

/// The largest buffer that is kept, in bytes. A larger one would be felt in the memory of who holds many sessions.
const MOST: usize = 256 << 10;

impl Seen {
    /// Of a record alone.
    pub(crate) fn whole(record: Vec<u8>) -> Self {
        let end = record.len();
        Seen::new(record, 0, end)
    }

    /// Of the record that stands in `bytes` from `from` to `to`.
    pub(crate) fn new(bytes: Vec<u8>, from: usize, to: usize) -> Self {
        if bytes.capacity() <= MOST { Seen { bytes, from, to } } else { Seen::default() }
    }

    /// The record; empty where none is kept.
    pub(crate) fn record(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }
}

impl Clone for Seen {
    fn clone(&self) -> Self {
        Seen::default()
    }
}

impl PartialEq for Seen {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
