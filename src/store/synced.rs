//! What this process knows to be on stable storage: WRITE-4, WRITE-6.
//!
//! A writer may overwrite a slot only if the current record, which is in the other one, is on stable storage.
//! It knows that of records that it synced itself, as long as the file still holds the same one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::names::Key;
use crate::read::Current;

/// How many sessions a generation remembers. Forgetting costs one sync.
const GENERATION: usize = 32_768;
/// How many failed syncs are remembered one by one.
const FAILED_MOST: usize = 65_536;

/// A record in a file: device and inode, seq, and the start of its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    identity: (u64, u64),
    seq: u64,
    digest: [u8; 8],
}

impl Stamp {
    /// Of record `seq`, which ends with its digest.
    pub(crate) fn new(identity: (u64, u64), seq: u64, record: &[u8]) -> Self {
        let mut digest = [0; 8];
        digest.copy_from_slice(&record[record.len() - 32..record.len() - 24]);
        Stamp { identity, seq, digest }
    }

    pub(crate) fn of(current: &Current) -> Self {
        Stamp::new(current.stat.identity, current.seq(), current.digest())
    }
}

/// The memory of a store's syncs.
#[derive(Debug, Default)]
pub(crate) struct Synced(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Two generations: when the young one is full it becomes the old one, and what the old one held is
    /// forgotten. A session in use moves to the young one with each save.
    young: HashMap<Key, Stamp>,
    old: HashMap<Key, Stamp>,
    /// Files whose last sync by this process failed.
    failed: HashMap<Key, (u64, u64)>,
    /// More have failed than are remembered: every file is suspect.
    all_failed: bool,
}

impl Synced {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Plain maps: a panic leaves none half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this process synced that very record (WRITE-4).
    pub(crate) fn knows(&self, key: &Key, stamp: &Stamp) -> bool {
        let state = self.state();
        state.young.get(key).or_else(|| state.old.get(key)) == Some(stamp)
    }

    /// Notes that the record is on stable storage.
    pub(crate) fn done(&self, key: Key, stamp: Stamp) {
        let mut state = self.state();
        state.failed.remove(&key);
        if state.young.len() >= GENERATION {
            state.old = std::mem::take(&mut state.young);
        }
        state.young.insert(key, stamp);
    }

    /// Notes that a sync of the file failed: it is not to be written in place again (WRITE-6, WRITE-7).
    pub(crate) fn failed(&self, key: Key, identity: (u64, u64)) {
        let mut state = self.state();
        state.young.remove(&key);
        state.old.remove(&key);
        if state.failed.len() < FAILED_MOST {
            state.failed.insert(key, identity);
        } else {
            state.all_failed = true;
        }
    }

    /// Whether the last sync of that file failed.
    pub(crate) fn is_suspect(&self, key: &Key, identity: (u64, u64)) -> bool {
        let state = self.state();
        state.all_failed || state.failed.get(key) == Some(&identity)
    }

    /// The session is gone.
    pub(crate) fn forget(&self, key: &Key) {
        let mut state = self.state();
        state.young.remove(key);
        state.old.remove(key);
        state.failed.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(seq: u64) -> Stamp {
        Stamp::new((1, 2), seq, &[u8::try_from(seq).expect("small"); 64])
    }

    #[test]
    fn knows_what_was_synced_and_nothing_else() {
        let (synced, key) = (Synced::default(), Key::from_bytes([1; 32]));
        assert!(!synced.knows(&key, &stamp(3)));
        synced.done(key, stamp(3));
        assert!(synced.knows(&key, &stamp(3)));
        assert!(!synced.knows(&key, &stamp(4)), "another process has written since");
        synced.failed(key, (1, 2));
        assert!(!synced.knows(&key, &stamp(3)));
        assert!(synced.is_suspect(&key, (1, 2)));
        assert!(!synced.is_suspect(&key, (1, 3)), "another file");
        synced.done(key, stamp(5));
        assert!(!synced.is_suspect(&key, (1, 2)));
        synced.forget(&key);
        assert!(!synced.knows(&key, &stamp(5)));
        let keys = [2, 3, 4].map(|n| Key::from_bytes([n; 32]));
        for key in &keys {
            synced.done(*key, stamp(7));
        }
        assert!(keys.iter().all(|key| synced.knows(key, &stamp(7))));
    }

    #[test]
    fn memory_is_bounded() {
        let synced = Synced::default();
        for n in 0..200_000u32 {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            synced.done(Key::from_bytes(bytes), stamp(3));
            synced.failed(Key::from_bytes([9; 32]), (n.into(), 0));
        }
        let state = synced.state();
        assert!(state.young.len() + state.old.len() <= 2 * GENERATION);
        assert_eq!(state.failed.len(), 1);
    }
}
