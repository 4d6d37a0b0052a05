//! What a store counts while it works.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a store has met since it was opened, in this process. For monitoring: the first two grow in a healthy store
/// only while readers meet writers, and a session that makes one grow whenever it is loaded has a damaged slot.
///
/// Each handle counts for itself. The numbers are read one after the other, so they need not fit together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Reads whose answer was the older record, or may have been, as the other slot is damaged or was being written
    /// (SLOT-7).
    pub fallback_reads: u64,
    /// Second reads, with which a reader makes sure that what it took was current (READ-4).
    pub second_reads: u64,
    /// Locks that were not free at the first attempt, whether they were got in the end or not (LOCK-10).
    pub busy_waits: u64,
    /// Changes refused as `conflict`.
    pub conflicts: u64,
    /// Changes refused as `gone`.
    pub gone: u64,
}

/// A number that only grows. Nothing is ordered by it.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
