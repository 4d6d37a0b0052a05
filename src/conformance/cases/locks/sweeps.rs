//! L11: a sweep and a change of the session that is to go, in either order. By stopping the one that is not to have the
//! lock yet, so that who gets it first is no matter of luck.

use std::fs::{self, File};
use std::time::Duration;

use serde_json::{Value, json};

use super::super::super::bench::{Bench, Party};
use super::super::super::case::{Case, Class, Failure, Outcome, ensure};
use super::super::parties::{PAIRS, Side, Store, first, is_referee, one_lock_file, own, slot, write_slot};
use crate::{Session, SessionId, UnixMillis};

/// When the session ends, unless somebody extends it; when that happens; and when the sweep takes place. Each party is
/// told its own time.
const EXPIRES: u64 = 1_750_000_000_000;
const CREATED: u64 = EXPIRES - 100_000;
const EXTENDED: u64 = EXPIRES - 50_000;
const SWEPT: u64 = EXPIRES + 20_000;

type Schedule = fn(&Bench<'_>, &Store, How, Party, Party) -> Outcome;

/// How a session is kept alive.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// Its `expires` is moved.
    Extended,
    /// It is accessed; otherwise it would have been idle for too long.
    Touched,
}

impl How {
    fn request(self) -> Value {
        let (id, _) = one_lock_file();
        let now = EXTENDED.to_string();
        match self {
            How::Extended => {
                let changes = json!({ "expires": (EXPIRES + 3_600_000).to_string() });
                json!({ "op": "update", "id": id.expose(), "changes": changes, "now": now })
            }
            How::Touched => json!({ "op": "touch", "id": id.expose(), "now": now }),
        }
    }
}

fn sweep() -> Value {
    json!({ "op": "sweep", "now": SWEPT.to_string() })
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (how, done) in [(How::Extended, "extended"), (How::Touched, "touched")] {
        for (a, b) in PAIRS {
            // The referees cannot tell what has expired; and what the kit writes for one is an extension.
            let has_part = !is_referee(b) && (how == How::Extended || !is_referee(a));
            if has_part {
                let id = format!("locks/L11/{done}/{}-{}", a.name(), b.name());
                let what = format!(
                    "a session that is {done} by A between B's look and B's lock lives (A: {}, B sweeps: {})",
                    a.name(),
                    b.name()
                );
                cases.push(case(id, what, "COLL-1", how, (a, b), lives));
            }
            if !is_referee(a) {
                let id = format!("locks/L11/swept-before-{done}/{}-{}", a.name(), b.name());
                let what = format!(
                    "a session that B removes while A waits to have it {done} is gone (A: {}, B sweeps: {})",
                    a.name(),
                    b.name()
                );
                let rules = if how == How::Extended { "WRITE-1 WRITE-10" } else { "WRITE-16" };
                cases.push(case(id, what, rules, how, (a, b), goes));
            }
        }
    }
    cases
}

fn case(id: String, what: String, rules: &str, how: How, (a, b): (Party, Party), schedule: Schedule) -> Case {
    let run = move |bench: &mut Bench<'_>| {
        let store = Store::new(bench, "plain", "process")?;
        let (id, _) = one_lock_file();
        store.put(&id, session(how)?)?;
        schedule(bench, &store, how, a, b)?;
        store.is_sound()
    };
    let class = if b == Party::Implementation { Class::Collector } else { Class::Writer };
    let case = Case::new(id, "10.9 Expiring", what, rules, &[class], run);
    if a == b { case.and_of(Class::Writer) } else { case }
}

/// One that ends at `EXPIRES`.
fn session(how: How) -> Result<Session, Failure> {
    let mut session = Session::at(time(CREATED)?, time(CREATED)?);
    match how {
        How::Extended => session.set_expires(Some(time(EXPIRES)?)),
        How::Touched => session
            .set_idle(Some(Duration::from_millis(EXPIRES - CREATED)))
            .map_err(|error| own("make a session")(&error))?,
    }
    Ok(session)
}

fn time(millis: u64) -> Result<UnixMillis, Failure> {
    UnixMillis::from_millis(millis).ok_or_else(|| own("make a time")(&millis))
}

/// A third process holds the lock until B, which has looked, waits for it; and B does not get it before A is through.
fn lives(bench: &Bench<'_>, store: &Store, how: How, a: Party, b: Party) -> Outcome {
    let (id, _) = one_lock_file();
    let third = if a == Party::RefereeProcess { Party::RefereeOfd } else { Party::RefereeProcess };
    let mut third = Side::new(bench, third, store)?;
    let [mut a, mut b] = [Side::new(bench, a, store)?, Side::new(bench, b, store)?];
    third.lock(&id, "one")?;
    let asked = b.process.send(sweep());
    // One that does not wait leaves the session, which is as good.
    b.process.waits(asked, Duration::from_millis(400))?;
    b.process.stop();
    third.unlock(&id, "one")?;
    if is_referee(a.party) {
        a.lock(&id, "one")?;
        extend(store, &id)?;
        a.unlock(&id, "one")?;
    } else {
        let answer = a.ok(how.request())?;
        ensure(how == How::Extended || answer["written"] == true, || {
            "`touch`, 50 s after the last access: expected that it wrote, found that it did not".to_owned()
        })?;
    }
    b.process.go_on();
    let swept = b.gets(asked, "the lock is free")?;
    ensure(swept["deleted"] == "0", || {
        format!("`sweep`: expected 0 deleted, as the session lives, found {}", swept["deleted"])
    })?;
    ensure(store.path(&id).exists(), || {
        "a session that was kept alive before the sweep had its lock: expected that it is there, found that it is not"
            .to_owned()
    })
}

/// What an update of the session would write.
fn extend(store: &Store, id: &SessionId) -> Outcome {
    let held = first(&session(How::Extended)?, id);
    let mut longer = held.clone();
    longer.set_expires(Some(time(EXPIRES + 3_600_000)?));
    let file = File::options().write(true).open(store.path(id));
    let file = file.map_err(|error| {
        Failure::Failed(format!("another holds the lock: expected that the session stays, found {error}"))
    })?;
    write_slot(&file, &slot(&longer.next(&held, time(EXTENDED)?), 3, 4096)?, 3)
}

/// A waits for the lock, at a time at which the session is there; B gets it first.
fn goes(bench: &Bench<'_>, store: &Store, how: How, a: Party, b: Party) -> Outcome {
    let (id, _) = one_lock_file();
    let holder = if is_referee(b) { b } else { Party::RefereeProcess };
    let mut holder = Side::new(bench, holder, store)?;
    let mut a = Side::new(bench, a, store)?;
    holder.lock(&id, "one")?;
    let asked = a.process.send(how.request());
    a.still_waits(asked, "another holds the lock")?;
    if is_referee(b) {
        fs::remove_file(store.path(&id)).map_err(|error| own("remove a session")(&error))?;
        holder.unlock(&id, "one")?;
    } else {
        let mut b = Side::new(bench, b, store)?;
        a.process.stop();
        holder.unlock(&id, "one")?;
        let swept = b.ok(sweep())?;
        ensure(swept["deleted"] == "1" && !store.path(&id).exists(), || {
            format!("`sweep` of one expired session: expected 1 deleted, found {}", swept["deleted"])
        })?;
        a.process.go_on();
    }
    a.gets_refusal(asked, "gone", "the session has been swept")?;
    ensure(!store.path(&id).exists(), || {
        "a session that was swept before a change of it had its lock: expected none, found it again"
            .to_owned()
    })
}
