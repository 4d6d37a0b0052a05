//! What an operation that succeeded has to have synced, seen in the calls that it made: WRITE-4 to
//! WRITE-6, WRITE-9, WRITE-13, WRITE-14, DEL-3.

use std::collections::BTreeSet;

use sessiondir::seam::Op;
use sessiondir::{Durability, Key};

use super::faults::{Made, has_temp};

/// What the store's instance does not know to be on stable storage.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    /// Sessions whose current record another instance has written.
    records: BTreeSet<Key>,
    /// Sessions whose file nobody has written in place yet.
    as_made: BTreeSet<Key>,
    /// Sessions whose file's last sync by this instance failed (WRITE-6).
    suspect: BTreeSet<Key>,
}

/// LOCK-1: whatever an operation changes it changes under a lock.
pub(super) fn assert_locked(calls: &[Made]) {
    let mut held = 0usize;
    for call in calls.iter().filter(|call| !call.refused) {
        match call.op {
            Op::Lock => held += 1,
            Op::Unlock => held = held.saturating_sub(1),
            Op::Create | Op::Pwrite | Op::Rename | Op::Unlink => {
                assert!(held > 0, "no lock is held: {calls:?}");
            }
            _ => {}
        }
    }
}

/// Looks at the calls of an operation on the session `key`, whose file is `file`, that has succeeded.
pub(super) fn assert_durable(
    calls: &[Made],
    durability: Durability,
    unsynced: &Unsynced,
    session: Option<(Key, &str)>,
) {
    let done: Vec<&Made> = calls.iter().filter(|call| !call.refused).collect();
    let after = |at: usize, op: Op| done[at..].iter().any(|call| call.op == op);
    let last = |is: &dyn Fn(&Made) -> bool| done.iter().rposition(|call| is(call));
    let is_session = |call: &Made| !call.path.starts_with(".tmp.");
    let last_write = last(&|call| call.op == Op::Pwrite);
    if let Some(rename) = last(&|call| call.op == Op::Rename)
        && (durability == Durability::Power || session.is_some_and(|(_, file)| done[rename].path == file))
    {
        let write =
            done[..rename].iter().rposition(|call| call.op == Op::Pwrite).expect("a temp was written");
        assert!(
            done[write..rename].iter().any(|call| call.op == Op::Sync),
            "renamed before its sync: {calls:?}"
        );
    }
    if durability == Durability::Process {
        return;
    }
    if let Some(write) = last_write {
        assert!(after(write, Op::Sync), "not synced: {calls:?}");
    }
    if let Some(changed) = last(&|call| call.op == Op::Rename || (call.op == Op::Unlink && is_session(call)))
    {
        assert!(after(changed, Op::SyncDir), "the directory is not synced: {calls:?}");
    }
    let Some((key, _)) = session else { return };
    if let Some(write) = in_place(calls) {
        assert!(!unsynced.suspect.contains(&key), "in place, after a sync that failed: {calls:?}");
        let before = |op: Op| calls[..write].iter().any(|call| call.op == op && !call.refused);
        assert!(
            !unsynced.records.contains(&key) || before(Op::Sync),
            "built on an unsynced record: {calls:?}"
        );
        let as_made = unsynced.records.contains(&key) && unsynced.as_made.contains(&key);
        assert!(!as_made || before(Op::SyncDir), "built on an unsynced name: {calls:?}");
    }
}

/// The first write in place.
fn in_place(calls: &[Made]) -> Option<usize> {
    writes_in_place(calls).find(|at| !calls[*at].refused)
}

/// The writes in place, those among them that came to nothing or to a part.
fn writes_in_place(calls: &[Made]) -> impl Iterator<Item = usize> {
    on_the_file(calls, Op::Pwrite)
}

/// The calls of that kind on the session's file, and not on its temp.
fn on_the_file(calls: &[Made], op: Op) -> impl Iterator<Item = usize> {
    (0..calls.len()).filter(move |at| calls[*at].op == op && !has_temp(&calls[..*at]))
}

impl Unsynced {
    /// Another instance goes on, with these sessions.
    pub(super) fn reopened(&mut self, sessions: impl Iterator<Item = Key>) {
        self.records = sessions.collect();
        self.suspect.clear();
    }

    /// The instance has made a session.
    pub(super) fn made(&mut self, key: Key) {
        self.records.remove(&key);
        self.as_made.insert(key);
    }

    /// The instance has made these calls about a session.
    pub(super) fn note(&mut self, calls: &[Made], key: Key, file: &str, failed: bool) {
        let renamed =
            calls.iter().rposition(|call| call.op == Op::Rename && !call.refused && call.path == file);
        let written = in_place(calls);
        let syncs = || on_the_file(calls, Op::Sync);
        let failed_sync = syncs().filter(|at| calls[*at].refused && !calls[*at].interrupted).last();
        if renamed > failed_sync {
            self.suspect.remove(&key);
        } else if failed_sync.is_some() {
            self.suspect.insert(key);
        }
        // A save that changes nothing syncs what another has written (WRITE-9).
        let synced = syncs().any(|at| !calls[at].refused);
        if renamed.is_some() || written.is_some() || synced || failed {
            // Written or synced here, or nobody can say.
            self.records.remove(&key);
        }
        if renamed.is_some() {
            self.as_made.insert(key);
        } else if writes_in_place(calls).next().is_some() {
            self.as_made.remove(&key);
        }
    }
}
