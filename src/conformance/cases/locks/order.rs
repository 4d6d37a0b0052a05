//! In which order several locks are taken: by a rotation, which needs two. The ID of the new session is drawn by chance,
//! so the old one stands in the first lock file, or in the last, and a referee says which of the others are held.

use serde_json::json;

use super::super::super::bench::{Bench, Party};
use super::super::super::case::{Case, Class, Outcome, done, ensure};
use super::super::super::protocol::Answer;
use super::super::parties::{Side, Store, WATCHED, ids};
use crate::SessionId;

const FIRST: u8 = 0;
const LAST: u8 = 0x3f;

/// So often that a rotation whose new session has another lock file than the old one is among them, but for one run
/// in 64³.
const ROTATIONS: usize = 3;

pub(super) fn cases() -> Vec<Case> {
    let case = |id: &str, what: &str, run: fn(&mut Bench<'_>) -> Outcome| {
        Case::new(id, "9.1 The lock of a session", what, "LOCK-11", &[Class::Writer], run)
    };
    vec![
        case(
            "locks/order/first-held",
            "a rotation that waits for the first lock file holds none of the others",
            first_held,
        ),
        case(
            "locks/order/last-free",
            "a rotation that waits for another lock file does not hold the last one",
            last_free,
        ),
    ]
}

/// A session of that lock file.
fn of(file: u8) -> SessionId {
    ids().find(|id| id.key().lock_file() == file).expect("one of endless many")
}

/// Whoever takes the new session's lock first holds it while he waits for the old one's.
fn first_held(bench: &mut Bench<'_>) -> Outcome {
    let old = of(FIRST);
    let store = Store::with(bench, &[&old])?;
    let [mut holder, mut referee] =
        [Side::new(bench, Party::RefereeProcess, &store)?, Side::new(bench, Party::RefereeProcess, &store)?];
    let mut a = Side::new(bench, Party::Implementation, &store)?;
    for round in 0..ROTATIONS {
        // The one before has taken the old session away.
        if round > 0 {
            store.insert(&[&old])?;
        }
        a.ok(json!({ "op": "load", "id": old.expose(), "as": "old" }))?;
        holder.lock(&old, "one")?;
        let asked = a.process.send(json!({ "op": "rotate", "as": "old", "changes": {} }));
        a.still_waits(asked, "another holds the lock of the old session")?;
        for file in FIRST + 1..=LAST {
            is_free(&mut referee, file, "the rotation waits for .lock/00, which comes before it")?;
        }
        holder.unlock(&old, "one")?;
        a.gets(asked, "both locks are free")?;
    }
    store.is_sound()
}

/// Whoever takes the old session's lock first holds it while he waits for the new one's.
fn last_free(bench: &mut Bench<'_>) -> Outcome {
    let old = of(LAST);
    let store = Store::with(bench, &[&old])?;
    let [mut holder, mut referee] =
        [Side::new(bench, Party::RefereeProcess, &store)?, Side::new(bench, Party::RefereeProcess, &store)?];
    let mut a = Side::new(bench, Party::Implementation, &store)?;
    let others: Vec<SessionId> = (FIRST..LAST).map(of).collect();
    for round in 0..ROTATIONS {
        if round > 0 {
            store.insert(&[&old])?;
        }
        a.ok(json!({ "op": "load", "id": old.expose(), "as": "old" }))?;
        for id in &others {
            holder.lock(id, "one")?;
        }
        let asked = a.process.send(json!({ "op": "rotate", "as": "old", "changes": {} }));
        // Where the new session has the old one's lock file there is nothing to wait for.
        if a.process.waits(asked, WATCHED)? {
            for _ in 0..20 {
                is_free(&mut referee, LAST, "the rotation waits for one that comes before it")?;
            }
        }
        for id in &others {
            holder.unlock(id, "one")?;
        }
        a.gets(asked, "both locks are free")?;
    }
    store.is_sound()
}

/// The whole of a lock file is free: the referee takes it, and lets go of it.
fn is_free(referee: &mut Side, file: u8, why: &str) -> Outcome {
    let id = of(file);
    let lock = json!({ "op": "lock", "id": id.expose(), "thread": "one", "wait_ms": 0 });
    let answer = referee.process.ask(lock)?;
    ensure(!matches!(&answer, Answer::Error(fault) if fault.class == "busy"), || {
        format!("a lock on .lock/{file:02x}: expected that nobody holds it, as {why}, found that it is held")
    })?;
    done("a lock of the referee", answer)?;
    referee.unlock(&id, "one")
}
