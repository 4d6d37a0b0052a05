//! The contract of [`SessionStore`] as a suite that any store has to pass.
//!
//! [`run`] uses nothing but the trait. It is here, and not in a feature or a crate of its own, because it costs nobody
//! anything: it depends on nothing more, and what is not called is not linked.
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::{Arc, Mutex};
//! use sessiondir::{MemoryStore, acceptance};
//!
//! let stores = Mutex::new(HashMap::new());
//! let cases = acceptance::run(&|n| {
//!     let mut stores = stores.lock().unwrap();
//!     Arc::clone(stores.entry(n).or_insert_with(|| Arc::new(MemoryStore::new())))
//! });
//! assert!(cases > 40);
//! ```
//!
//! # What it takes for granted
//! - The store goes by the system's clock.
//! - It can hold a session of 1 MiB.
//! - A store that does not answer makes the suite wait for ever: there is no time limit.
//!
//! It does not test what happens between processes, nor crashes.

mod basics;
mod changes;
mod fields;
mod many;
mod races;
mod time;

use std::any::Any;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, ErrorClass};
use crate::names::SessionRef;
use crate::record::Session;
use crate::store::SessionStore;

/// Runs the suite, and returns how many cases it has run.
///
/// `open(n)` gives a handle on store number `n`: each call with the same `n` on the same store, and each store empty
/// when it is opened first. The stores can be done away with afterwards. Where [`SessionStore::is_thread_safe`] says
/// no, each thread has a handle of its own.
///
/// # Panics
/// If the store breaks the contract: the message has a line for each case that failed, with the case's name, the clause
/// that was broken, and what was seen.
pub fn run<S: SessionStore>(open: &(dyn Fn(usize) -> S + Sync)) -> usize {
    run_only(open, &|_| true)
}

/// Runs the cases whose names `which` accepts, as [`run`] does: to find out what is wrong with one.
///
/// # Panics
/// As [`run`].
pub fn run_only<S: SessionStore>(open: &(dyn Fn(usize) -> S + Sync), which: &dyn Fn(&str) -> bool) -> usize {
    let open = |n: usize| -> Box<dyn SessionStore + '_> { Box::new(open(n)) };
    let cases: Vec<Case> =
        [basics::CASES, changes::CASES, fields::CASES, time::CASES, many::CASES, races::CASES].concat();
    let mut broken = Vec::new();
    let mut count = 0;
    for (number, (name, case)) in cases.iter().enumerate().filter(|(_, (name, _))| which(name)) {
        count += 1;
        let stores = Stores { open: &open, number };
        let outcome =
            catch_unwind(AssertUnwindSafe(|| case(&stores))).unwrap_or_else(|panic| Err(panicked(&*panic)));
        if let Err(Broken { clause, seen }) = outcome {
            broken.push(format!("\n  {name}: {clause}: {seen}"));
        }
    }
    assert!(
        broken.is_empty(),
        "the store breaks its contract in {} of {count} cases:{}",
        broken.len(),
        broken.concat()
    );
    count
}

/// A case: its name, and what it does.
type Case = (&'static str, fn(&Stores<'_>) -> Outcome);

type Outcome<T = ()> = Result<T, Broken>;

/// A clause of the contract that a store has broken, and how that was seen.
struct Broken {
    clause: &'static str,
    seen: String,
}

/// The store of a case.
struct Stores<'a> {
    open: &'a dyn Fn(usize) -> Box<dyn SessionStore + 'a>,
    number: usize,
}

impl<'a> Stores<'a> {
    /// A handle on it, set up.
    fn open(&self) -> Outcome<Box<dyn SessionStore + 'a>> {
        let store = (self.open)(self.number);
        good("a store can be set up, again and again", store.setup())?;
        Ok(store)
    }

    /// Handles for so many threads: each its own, or two for all if the store says that it can bear it.
    fn handles(&self, threads: usize) -> Outcome<Handles<'a>> {
        let first = self.open()?;
        let most = if first.is_thread_safe() { 2 } else { threads };
        let mut handles = vec![first];
        while handles.len() < most.min(threads) {
            handles.push(self.open()?);
        }
        Ok(Handles(handles))
    }
}

struct Handles<'a>(Vec<Box<dyn SessionStore + 'a>>);

impl Handles<'_> {
    /// The handle of that thread.
    fn of(&self, thread: usize) -> &dyn SessionStore {
        &*self.0[thread % self.0.len()]
    }
}

fn must(clause: &'static str, holds: bool, seen: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(Broken { clause, seen: seen() }) }
}

fn equal<T: PartialEq + Debug + ?Sized>(clause: &'static str, seen: &T, expected: &T) -> Outcome {
    must(clause, seen == expected, || format!("{seen:?} instead of {expected:?}"))
}

/// What has to succeed.
fn good<T, E: Into<Error>>(clause: &'static str, result: Result<T, E>) -> Outcome<T> {
    result.map_err(|error| Broken { clause, seen: format!("failed: {}", error.into()) })
}

/// What has to fail so.
fn refused<T: Debug>(clause: &'static str, result: crate::Result<T>, class: ErrorClass) -> Outcome {
    match result {
        Ok(done) => Err(Broken { clause, seen: format!("{done:?} instead of {}", class.name()) }),
        Err(error) => must(clause, error.class() == class, || format!("{error} instead of {}", class.name())),
    }
}

/// The session, which has to be there.
fn there(clause: &'static str, store: &dyn SessionStore, id: &SessionRef) -> Outcome<Session> {
    good(clause, store.load(id))?.ok_or_else(|| Broken { clause, seen: "it is absent".to_owned() })
}

/// The session is absent, whoever asks.
fn absent(clause: &'static str, store: &dyn SessionStore, id: &SessionRef) -> Outcome {
    must(clause, good(clause, store.load(id))?.is_none(), || "`load` finds it".to_owned())?;
    must(clause, !good(clause, store.has(id))?, || "`has` finds it".to_owned())?;
    for session in good(clause, store.iter_sessions())? {
        let key = good(clause, session)?.reference().map(SessionRef::key);
        must(clause, key != Some(id.key()), || "`iter_sessions` finds it".to_owned())?;
    }
    Ok(())
}

/// How many sessions there are.
fn count(clause: &'static str, store: &dyn SessionStore) -> Outcome<usize> {
    let sessions: crate::Result<Vec<_>> = good(clause, store.iter_sessions())?.collect();
    Ok(good(clause, sessions)?.len())
}

/// Both are the same session in every respect.
fn same(clause: &'static str, seen: &Session, expected: &Session) -> Outcome {
    equal(clause, &seen.reference().map(SessionRef::key), &expected.reference().map(SessionRef::key))?;
    let differs = |what: &str| Err(Broken { clause, seen: format!("{what} is another") });
    let pairs = [
        ("rev", seen.rev() == expected.rev()),
        ("created", seen.created() == expected.created()),
        ("accessed", seen.accessed() == expected.accessed()),
    ];
    match pairs.iter().find(|(_, same)| !same) {
        Some((what, _)) => differs(what),
        None => same_content(clause, seen, expected),
    }
}

/// Both hold the same.
fn same_content(clause: &'static str, seen: &Session, expected: &Session) -> Outcome {
    let differs = |what: &str| Err(Broken { clause, seen: format!("{what} is another") });
    for ((key, value), (expected_key, expected_value)) in seen.attributes().zip(expected.attributes()) {
        if (key, value) != (expected_key, expected_value) {
            return differs(&format!("the attribute {expected_key:?}"));
        }
    }
    let pairs = [
        ("expires", seen.expires() == expected.expires()),
        ("idle", seen.idle() == expected.idle()),
        ("user", seen.user_encoded() == expected.user_encoded()),
        ("addr", seen.addr() == expected.addr()),
        ("tokens", seen.tokens().eq(expected.tokens())),
        ("csrf", seen.csrf() == expected.csrf()),
        ("the number of attributes", seen.attributes().len() == expected.attributes().len()),
        ("what this version does not know", seen.has_same_content(expected)),
    ];
    match pairs.iter().find(|(_, same)| !same) {
        Some((what, _)) => differs(what),
        None => Ok(()),
    }
}

/// A new session, stored: of the user `ada`, with the attribute `n` = 0.
fn stored(store: &dyn SessionStore) -> Outcome<(SessionRef, Session)> {
    let mut session = Session::new();
    good("a text is a user", session.set_user("ada"))?;
    put(&mut session, 0)?;
    let id = create(store, &mut session)?;
    Ok((id, session))
}

fn create(store: &dyn SessionStore, session: &mut Session) -> Outcome<SessionRef> {
    good("`create` stores a session", store.create(session)).map(SessionRef::from)
}

/// The number that most cases change.
fn n(session: &Session) -> Outcome<u64> {
    const CLAUSE: &str = "the attribute `n` is there";
    good(CLAUSE, session.get("n"))?.ok_or_else(|| Broken { clause: CLAUSE, seen: "it is absent".to_owned() })
}

fn put(session: &mut Session, n: u64) -> Outcome {
    good("a number is an attribute", session.insert("n", &n))
}

fn add_one(session: &mut Session) -> crate::Result<()> {
    let n: u64 = session.get("n")?.unwrap_or(0);
    Ok(session.insert("n", &(n + 1))?)
}

fn panicked(panic: &(dyn Any + Send)) -> Broken {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    Broken { clause: "no operation panics", seen: format!("panicked: {text}") }
}
