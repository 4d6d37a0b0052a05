//! Deleting many sessions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::time::{ago, ahead};
use super::{
    Case, Outcome, Stores, absent, add_one, count, create, equal, good, must, n, put, refused, same, stored,
    there,
};
use crate::error::ErrorClass;
use crate::names::SessionRef;
use crate::record::Session;
use crate::store::{Deleted, SessionStore};

pub(super) const CASES: &[Case] = &[
    ("delete-old-sessions", old),
    ("delete-old-sessions-is-strict", old_is_strict),
    ("delete-old-sessions-takes-the-expired", old_takes_the_expired),
    ("delete-where", matching),
    ("delete-where-panic", matching_panic),
    ("delete-where-reentrant", matching_reentrant),
    ("delete-if", one),
    ("delete-if-reentrant", one_reentrant),
];

const MINUTE: u64 = 60_000;
const FAILED_NONE: &str = "a deletion of many deals with every session that can be read";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn counted(clause: &'static str, seen: Deleted, deleted: u64, remaining: u64) -> Outcome {
    equal(FAILED_NONE, &seen.failed, &0)?;
    equal(clause, &(seen.deleted, seen.remaining), &(deleted, remaining))
}

fn old(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    counted("there is nothing to delete", good("it deletes", store.delete_old_sessions(0))?, 0, 0)?;
    let aged = |store: &dyn SessionStore, millis| {
        let mut session = Session::at(ago(90 * MINUTE), ago(millis));
        create(store, &mut session).map(|id| (id, session))
    };
    let (older, _) = aged(&*store, 31 * MINUTE)?;
    let (just, _) = aged(&*store, 30 * MINUTE + 1)?;
    let (young, session) = aged(&*store, 29 * MINUTE)?;
    let (touched, _) = aged(&*store, 80 * MINUTE)?;
    good("`update` updates", store.update(&touched, &mut add_one))?;
    let clause = "it deletes what was not accessed for more than so many minutes, and nothing else";
    // So many that as milliseconds they are no number of 64 bits, nor look like a small one.
    for ages in [u64::MAX, 307_445_734_561_826] {
        counted(clause, good(clause, store.delete_old_sessions(ages))?, 0, 4)?;
    }
    counted(clause, good(clause, store.delete_old_sessions(90))?, 0, 4)?;
    counted(clause, good(clause, store.delete_old_sessions(30))?, 2, 2)?;
    absent(clause, &*store, &older)?;
    absent(clause, &*stores.open()?, &just)?;
    same(clause, &there(clause, &*store, &young)?, &session)?;
    equal(clause, &n(&there(clause, &*store, &touched)?)?, &1)?;
    counted("again there is nothing to delete", good(clause, store.delete_old_sessions(30))?, 0, 2)
}

/// More than: what was accessed this very moment is no older than nothing. A time yet to come counts as this one
/// (TIME-1), and so it stays for ever.
fn old_is_strict(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let mut session = Session::at(ago(MINUTE), ahead(30 * MINUTE));
    let id = create(&*store, &mut session)?;
    create(&*store, &mut Session::at(ago(MINUTE), ago(1)))?;
    let clause = "it deletes what was not accessed for *more than* so many minutes";
    counted(clause, good(clause, store.delete_old_sessions(0))?, 1, 1)?;
    same(clause, &there(clause, &*store, &id)?, &session)
}

fn old_takes_the_expired(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let (live, session) = stored(&*store)?;
    let mut expired = Session::new();
    expired.set_expires(Some(ago(1)));
    let id = create(&*store, &mut expired)?;
    let clause = "it takes the expired too";
    let done = good(clause, store.delete_old_sessions(u64::MAX))?;
    // A store may have done away with it before.
    must(clause, done.deleted <= 1, || format!("{done:?}"))?;
    counted(clause, done, done.deleted, 1)?;
    let was_there = good("`delete` deletes", store.delete(&id))?;
    must(clause, !was_there, || "it is still there".to_owned())?;
    same(clause, &there(clause, &*store, &live)?, &session)
}

fn matching(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let mut ids = Vec::new();
    for number in 0..30 {
        let mut session = Session::new();
        good("a text is a user", session.set_user(["ada", "bob", "eve"][number % 3]))?;
        put(&mut session, number as u64)?;
        ids.push((create(&*store, &mut session)?, session));
    }
    let is_ada = |session: &Session| session.user::<String>().ok().flatten().as_deref() == Some("ada");
    let clause = "it deletes the sessions for which its function is true, and nothing else";
    counted(clause, good(clause, store.delete_where(&|_| false))?, 0, 30)?;
    let asked = Mutex::new(Vec::new());
    let done = store.delete_where(&|session| {
        lock(&asked).push(session.clone());
        is_ada(session)
    });
    counted(clause, good(clause, done)?, 10, 20)?;
    let asked = lock(&asked);
    for (id, session) in &ids {
        let clause = "its function is asked about each session, as it is stored";
        let seen = asked.iter().find(|seen| seen.reference().map(SessionRef::key) == Some(id.key()));
        match seen {
            Some(seen) => same(clause, seen, session)?,
            None => must(clause, false, || "not about all".to_owned())?,
        }
        if is_ada(session) {
            absent("what it has deleted is absent", &*store, id)?;
        } else {
            same("what it has not deleted is as it was", &there(clause, &*store, id)?, session)?;
        }
    }
    counted(clause, good(clause, store.delete_where(&|_| true))?, 20, 0)?;
    equal("a store can be emptied", &count(clause, &*store)?, &0)
}

fn matching_panic(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let (id, _) = stored(&*store)?;
    // At its first question, and at its second, which may be under a lock.
    for panics_at in 1..=2 {
        let asked = Mutex::new(0);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            store.delete_where(&|_| {
                *lock(&asked) += 1;
                if *lock(&asked) == panics_at {
                    // No message of the panic hook: nothing is wrong.
                    std::panic::resume_unwind(Box::new("as a test"))
                }
                true
            })
        }));
        let clause = "it passes its function's panic on";
        // A store that asks once has no second question.
        must(clause, panicked.is_err() || panics_at > 1, || format!("{panicked:?}"))?;
        if panicked.is_err() {
            let clause = "a session is not deleted while its function has not said so";
            good(clause, store.update(&id, &mut add_one))?;
            good("after a panic every handle can change it", stores.open()?.update(&id, &mut add_one))?;
            equal(clause, &n(&there(clause, &*store, &id)?)?, &(2 * panics_at))?;
        }
    }
    Ok(())
}

fn matching_reentrant(stores: &Stores<'_>) -> Outcome {
    reentrant(stores, &|store, _, which| {
        let clause = "it deletes the sessions for which its function is true, and nothing else";
        counted(clause, good(clause, store.delete_where(which))?, 0, 1)
    })
}

fn one(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let (id, session) = stored(&*store)?;
    let (other, other_session) = stored(&*store)?;
    let clause = "`delete_if` deletes the session if its function is true of it";
    let kept = good(clause, store.delete_if(&id, &|found| found != &session))?;
    must(clause, !kept, || "it deleted what was to stay".to_owned())?;
    same(clause, &there(clause, &*store, &id)?, &session)?;
    let deleted = good(clause, store.delete_if(&id, &|found| n(found).is_ok()))?;
    must(clause, deleted, || "it did not delete".to_owned())?;
    absent(clause, &*stores.open()?, &id)?;
    let clause = "it says no of a session that is absent, and does not ask about it";
    let asked = Mutex::new(false);
    let deleted = store.delete_if(&id, &|_| {
        *lock(&asked) = true;
        true
    });
    equal(clause, &(good(clause, deleted)?, *lock(&asked)), &(false, false))?;
    same("it deletes no other", &there(clause, &*store, &other)?, &other_session)
}

fn one_reentrant(stores: &Stores<'_>) -> Outcome {
    reentrant(stores, &|store, id, which| {
        let clause = "`delete_if` deletes the session if its function is true of it";
        equal(clause, &good(clause, store.delete_if(id, which))?, &false)
    })
}

type Delete = dyn Fn(&dyn SessionStore, &SessionRef, &(dyn Fn(&Session) -> bool + Sync)) -> Outcome;

fn reentrant(stores: &Stores<'_>, delete: &Delete) -> Outcome {
    let (store, other) = (stores.open()?, stores.open()?);
    let (id, session) = stored(&*store)?;
    let outcome = Mutex::new(Ok(()));
    delete(&*store, &id, &|_| {
        let seen = [&*store, &*other].into_iter().try_for_each(|store| {
            let clause = "a call into a store from what decides for a deletion is `reentrant`";
            refused(clause, store.load(&id), ErrorClass::Reentrant)?;
            refused(clause, store.save(&mut session.clone()), ErrorClass::Reentrant)?;
            refused(clause, store.update(&id, &mut |_| Ok(())), ErrorClass::Reentrant)?;
            refused(clause, store.delete(&id), ErrorClass::Reentrant)?;
            refused(clause, store.delete_if(&id, &|_| true), ErrorClass::Reentrant)?;
            refused(clause, store.delete_where(&|_| true), ErrorClass::Reentrant)
        });
        if seen.is_err() {
            *lock(&outcome) = seen;
        }
        false
    })?;
    std::mem::replace(&mut *lock(&outcome), Ok(()))?;
    let clause = "what is not to go stays";
    same(clause, &there(clause, &*store, &id)?, &session)
}
