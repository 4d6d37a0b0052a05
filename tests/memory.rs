//! The store in memory: that it does as the store on disk does, whatever is asked of it.

#[path = "support/stores.rs"]
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sessiondir::record::{RECORD_MAX, TOKEN_MAX, TOKENS_MAX};
use sessiondir::{
    Durability, Error, ErrorClass, MemoryStore, Naming, Options, Session, SessionId, SessionRef, SessionStore,
};
use support::{Fixture, START, class, time};

/// Everything of a session but its name, which differs from store to store.
fn described(session: &Session) -> String {
    let attributes: Vec<_> = session.attributes().collect();
    let tokens: Vec<_> = session.tokens().collect();
    format!(
        "{} {} {} {:?} {:?} {:?} {:?} {tokens:?} {:?} {attributes:?}",
        session.rev(),
        session.created(),
        session.accessed(),
        session.expires(),
        session.idle(),
        session.user_encoded(),
        session.addr(),
        session.csrf(),
    )
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("small")
    }
}

/// Changes anything about a session.
fn change(session: &mut Session, what: u64, now: u64) {
    let value = what / 16;
    match what % 16 {
        0 => session.set_user(&format!("user {value}")).expect("fits"),
        1 => session.clear_user(),
        2 => session.set_expires(Some(time(now + value * 60_000))),
        3 => session.set_expires(None),
        4 => session.set_idle(Some(Duration::from_millis(value * 60_000 + 1))).expect("fits"),
        5 => session.set_idle(None).expect("fits"),
        6 => session.push_token(&format!("token {value}")).expect("fits"),
        7 => session.set_csrf("csrf").expect("fits"),
        8 => session.clear_csrf(),
        9 => session.set_addr(&format!("address {value}")).expect("fits"),
        10 => session.insert("big", &"x".repeat(usize::try_from(value * 500).expect("small"))).expect("fits"),
        11 => session.clear(),
        _ => session.insert("n", &value).expect("fits"),
    }
}

/// A store and what a program holds of it: the names of its sessions, and sessions that were loaded at some time.
struct Side<'a> {
    store: &'a dyn SessionStore,
    names: Vec<SessionRef>,
    loaded: Vec<Session>,
}

impl Side<'_> {
    /// Does what `step` and its arguments say, and tells what came of it.
    fn step(&mut self, step: u64, (a, b, what, now): (usize, usize, u64, u64)) -> String {
        fn told<T>(result: sessiondir::Result<T>, tell: impl FnOnce(T) -> String) -> String {
            result.map_or_else(|error| error.class().name().to_owned(), tell)
        }
        let name = self.names[a % self.names.len()].clone();
        let held = b % self.loaded.len();
        let session = &mut self.loaded[held];
        match step {
            0 | 1 => {
                let mut session = Session::at(time(now - 5_000), time(now - what % 100_000));
                change(&mut session, what, now);
                let created = self.store.create(&mut session);
                if let Ok(id) = &created {
                    self.names.push(id.into());
                }
                let told = told(created, |_| described(&session));
                self.loaded.push(session);
                told
            }
            2..=4 => {
                let loaded = self.store.load(&name);
                if let Ok(Some(loaded)) = &loaded {
                    self.loaded.push(loaded.clone());
                }
                told(loaded, |loaded| format!("{:?}", loaded.as_ref().map(described)))
            }
            5..=7 => {
                change(session, what, now);
                let saved = self.store.save(session);
                format!("{} {}", told(saved, |()| "saved".to_owned()), described(session))
            }
            8..=10 => {
                let updated = self.store.update(&name, &mut |session| {
                    change(session, what, now);
                    Ok(())
                });
                told(updated, |updated| described(&updated))
            }
            11 => {
                let updated = self.store.update(&name, &mut |session| {
                    change(session, what, now);
                    Err(Error::InvalidId)
                });
                told(updated, |updated| described(&updated))
            }
            12 | 13 => told(self.store.touch(&name), |wrote| wrote.to_string()),
            14 => told(self.store.delete(&name), |was_there| was_there.to_string()),
            15 | 16 => {
                change(session, what, now);
                let rotated = self.store.rotate(session);
                if let Ok(id) = &rotated {
                    self.names.push(id.into());
                }
                format!("{} {}", told(rotated, |_| "rotated".to_owned()), described(session))
            }
            17 => told(self.store.has(&name), |has| has.to_string()),
            18 => told(self.store.iter_sessions(), |sessions| {
                let mut all: Vec<_> = sessions.map(|session| described(&session.expect("sound"))).collect();
                all.sort();
                all.join("\n")
            }),
            19 => told(self.store.delete_old_sessions(what % 40), |done| format!("{done:?}")),
            20 => {
                let is_due = |session: &Session| session.get::<u64>("n").ok().flatten() == Some(what % 16);
                told(self.store.delete_where(&is_due), |done| format!("{done:?}"))
            }
            21 => {
                let panicked = catch_unwind(AssertUnwindSafe(|| {
                    self.store.update(&name, &mut |session| {
                        change(session, what, now);
                        std::panic::resume_unwind(Box::new("as expected"))
                    })
                }));
                panicked.map_or_else(
                    |_| "panicked".to_owned(),
                    |updated| told(updated, |updated| described(&updated)),
                )
            }
            _ => told(self.store.setup(), |()| String::new()),
        }
    }
}

/// Any operations in any order, with a clock that also goes back: the same answers, to the byte.
#[test]
fn it_does_as_the_store_on_disk_does() {
    let mut answers = std::collections::BTreeMap::<String, u32>::new();
    for seed in 0..12 {
        let naming = if seed % 2 == 0 { Naming::Hashed } else { Naming::Plain };
        let f = Fixture::new(naming, Durability::Process);
        let now = Arc::new(AtomicU64::new(START));
        let clock = Arc::clone(&now);
        let memory = MemoryStore::with(&Options::new().clock(move || time(clock.load(Ordering::SeqCst))));
        let mut random = Random(seed);
        let new = || Session::at(time(START), time(START));
        let absent = SessionRef::from(SessionId::generate().expect("an ID"));
        let side = |store| Side { store, names: vec![absent.clone()], loaded: vec![new()] };
        let (mut disk, mut memory) = (side(&f.store), side(&memory));
        for number in 0..600 {
            let step = random.below(23);
            let moment = now.load(Ordering::SeqCst);
            let arguments = (random.index(1000), random.index(1000), random.below(16 * 40), moment);
            let told = disk.step(step, arguments);
            assert_eq!(
                memory.step(step, arguments),
                told,
                "seed {seed}, step {number}: {step} {arguments:?}"
            );
            let class = ErrorClass::ALL.iter().find(|class| told.starts_with(class.name()));
            *answers.entry(format!("{step} {}", class.map_or("ok", |class| class.name()))).or_default() += 1;
            // Mostly a little later; sometimes much, also back.
            let later = match random.below(40) {
                0 => moment + 3_600_000,
                1 => moment - 1_800_000,
                2 => moment + 3 * 86_400_000,
                3 => moment - 3 * 86_400_000,
                _ => moment + random.below(30_000),
            };
            now.store(later, Ordering::SeqCst);
            f.set_time(later);
            // The counters that both have.
            let [disk, memory] = [f.store.counters(), memory.store.counters()];
            assert_eq!((disk.conflicts, disk.gone), (memory.conflicts, memory.gone));
        }
        f.store.sweep(&sessiondir::sweep::SweepOptions::default()).expect("swept");
    }
    println!("{answers:?}");
    // It came to all that is to be compared.
    for expected in ["5 ok", "5 gone", "5 conflict", "8 ok", "8 gone", "11 invalid-id", "12 ok", "12 gone"] {
        assert!(answers.contains_key(expected), "{expected}: {answers:?}");
    }
    for expected in ["15 ok", "15 gone", "15 conflict", "14 ok", "17 ok", "18 ok", "19 ok", "20 ok", "21 ok"]
    {
        assert!(answers.contains_key(expected), "{expected}: {answers:?}");
    }
}

/// What no record can hold is refused, as a directory refuses it, and changes nothing.
#[test]
fn limits_are_those_of_a_record() {
    let f = Fixture::new(Naming::Plain, Durability::Process);
    let memory = MemoryStore::new();
    let stores: [&dyn SessionStore; 2] = [&f.store, &memory];
    // As large as `insert` lets it be, and then the tokens on top of it, of which it knows nothing.
    let mut full = Session::new();
    let most = (0..RECORD_MAX).rev().step_by(64).take(40);
    let mut sizes = most.skip_while(|&size| full.insert("x", &"x".repeat(size)).is_err());
    let size = sizes.next().expect("one fits");
    drop(sizes);
    assert!(size > RECORD_MAX - 1000, "{size}");
    for store in stores {
        let mut session = full.clone();
        let id = SessionRef::from(store.create(&mut session).expect("it fits"));
        for n in 0..TOKENS_MAX {
            session.push_token(&format!("{n:0>TOKEN_MAX$}")).expect("short");
        }
        let before = session.clone();
        let saved = store.save(&mut session);
        let error = saved.expect_err("too large");
        assert_eq!(error.class(), ErrorClass::TooLarge);
        assert!(error.to_string().contains(&id.shown().to_string()), "{error}");
        assert_eq!(session, before);
        let mut fresh = full.clone();
        (0..TOKENS_MAX).for_each(|_| fresh.push_token(&"t".repeat(TOKEN_MAX)).expect("short"));
        assert_eq!(class(store.create(&mut fresh)), ErrorClass::TooLarge);
        assert!(fresh.reference().is_none());
        let updated = store.update(&id, &mut |stored| {
            *stored = fresh.clone();
            Ok(())
        });
        assert_eq!(class(updated), ErrorClass::TooLarge);
        let stored = store.load(&id).expect("loads").expect("is there");
        assert_eq!((stored.rev(), stored.tokens().len()), (1, 0));
        assert_eq!(store.iter_sessions().expect("lists").count(), 1);
    }
}

#[test]
fn it_waits_no_longer_than_it_was_told() {
    let memory = MemoryStore::with(&Options::new().patience(Duration::from_millis(20)));
    let mut session = Session::new();
    let id = SessionRef::from(memory.create(&mut session).expect("created"));
    let mut other = Session::new();
    let free = SessionRef::from(memory.create(&mut other).expect("created"));
    let mut stale = session.clone();
    stale.insert("n", &1).expect("fits");
    memory
        .update(&id, &mut |session| {
            session.insert("n", &5)?;
            // In a thread, as calls from within an update are refused.
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    // A reader waits for nobody, and sees what is stored; a touch that comes too early neither.
                    let seen = memory.load(&id).expect("loads").expect("is there");
                    assert!(!seen.contains("n") && memory.has(&id).expect("looked"));
                    assert_eq!(memory.iter_sessions().expect("lists").count(), 2);
                    assert!(!memory.touch(&id).expect("too early"));
                    let before = memory.counters().busy_waits;
                    assert_eq!(class(memory.save(&mut stale.clone())), ErrorClass::Busy);
                    assert_eq!(class(memory.delete(&id)), ErrorClass::Busy);
                    assert_eq!(class(memory.update(&id, &mut |_| Ok(()))), ErrorClass::Busy);
                    assert_eq!(class(memory.rotate(&mut stale.clone())), ErrorClass::Busy);
                    let done = memory.delete_where(&|session| session.rev() == 1 && !session.has_user());
                    let done = done.expect("what is free is deleted");
                    assert_eq!((done.deleted, done.remaining, done.failed), (1, 0, 1));
                    assert!(!memory.has(&free).expect("looked"));
                    assert_eq!(memory.counters().busy_waits - before, 5, "once each");
                });
            });
            Ok(())
        })
        .expect("updated");
    let seen = memory.load(&id).expect("loads").expect("is there");
    assert_eq!(seen.get::<u64>("n").expect("a number"), Some(5));
    // Somebody who waits gets it, as soon as it is free.
    let memory = MemoryStore::with(&Options::new().patience(Duration::from_secs(60)));
    let start = std::time::Instant::now();
    let id = SessionRef::from(memory.create(&mut Session::new()).expect("created"));
    std::thread::scope(|scope| {
        memory
            .update(&id, &mut |session| {
                scope.spawn(|| assert!(memory.delete(&id).expect("deleted")));
                while memory.counters().busy_waits == 0 {
                    std::thread::yield_now();
                }
                Ok(session.insert("n", &1)?)
            })
            .expect("updated");
    });
    assert_eq!(memory.counters().busy_waits, 1);
    assert!(start.elapsed() < Duration::from_secs(30));
    assert!(!memory.has(&id).expect("looked"));
}

/// Exercises COLL-1. The answer under the lock counts, and what stays for it is counted too.
#[test]
fn a_session_that_is_spared_at_the_second_look_remains() {
    let f = Fixture::new(Naming::Plain, Durability::Process);
    let memory = MemoryStore::new();
    let stores: [&dyn SessionStore; 2] = [&f.store, &memory];
    for store in stores {
        for _ in 0..2 {
            store.create(&mut Session::new()).expect("created");
        }
        let asked = AtomicU64::new(0);
        // Of the first session: yes, and then no. Of the second twice yes.
        let done = store.delete_where(&|_| asked.fetch_add(1, Ordering::SeqCst) != 1).expect("deleted");
        assert_eq!((done.deleted, done.remaining, done.failed), (1, 1, 0));
        assert_eq!(asked.into_inner(), 4);
    }
}

/// By its key a session is found too, as in a directory of naming `hashed`, and stays what it is called.
#[test]
fn keys_are_names_too() {
    let memory = MemoryStore::new();
    let mut session = Session::new();
    let id = memory.create(&mut session).expect("created");
    let key = SessionRef::from(id.key());
    let mut loaded = memory.load(&key).expect("loads").expect("is there");
    assert_eq!((loaded.reference(), loaded.id()), (Some(&key), None));
    loaded.insert("n", &1).expect("fits");
    memory.save(&mut loaded).expect("saved");
    assert_eq!(loaded.reference(), Some(&key));
    let listed = memory.iter_sessions().expect("lists").next().expect("one").expect("sound");
    assert_eq!(listed.id(), Some(&id), "whoever made it knew its ID");
    let updated = memory.update(&key, &mut |session| Ok(session.insert("n", &2)?)).expect("updated");
    assert_eq!((updated.reference(), updated.rev()), (Some(&key), 3));
    assert_eq!(memory.load(&id.into()).expect("loads").map(|session| session.rev()), Some(3));
    assert!(memory.delete(&key).expect("deleted"));
}

#[test]
fn it_shows_nothing_and_keeps_everything() {
    let memory = MemoryStore::default();
    let mut ids = Vec::new();
    for _ in 0..20_000 {
        let mut session = Session::new();
        session.set_user("ada").expect("fits");
        session.set_expires(Some(time(1)));
        ids.push(SessionRef::from(memory.create(&mut session).expect("created")));
    }
    // All are expired, and all are there until somebody asks for their deletion.
    assert_eq!(format!("{memory:?}"), "MemoryStore { sessions: 20000, .. }");
    assert_eq!(memory.iter_sessions().expect("lists").count(), 0);
    let done = memory.delete_old_sessions(u64::MAX).expect("deleted");
    assert_eq!((done.deleted, done.remaining, done.failed), (20_000, 0, 0));
    assert_eq!(format!("{memory:?}"), "MemoryStore { sessions: 0, .. }");
}

/// Calls from within an update of another kind of store are refused as well: the lock is the thread's.
#[test]
fn one_store_within_another() {
    let f = Fixture::plain();
    let (id, _) = f.created();
    let memory = MemoryStore::new();
    let other = SessionRef::from(memory.create(&mut Session::new()).expect("created"));
    f.store
        .update(&id, &mut |_| {
            assert_eq!(class(memory.load(&other)), ErrorClass::Reentrant);
            assert_eq!(class(memory.setup()), ErrorClass::Reentrant);
            Ok(())
        })
        .expect("nothing changed");
    memory
        .update(&other, &mut |_| {
            assert_eq!(class(f.store.load(&id)), ErrorClass::Reentrant);
            Ok(())
        })
        .expect("nothing changed");
}
