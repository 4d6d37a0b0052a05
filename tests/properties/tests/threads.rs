//! Many threads of one process on one directory, through stores of their own and through one that they share.
//!
//! Beside what they assert themselves they are there for a sanitizer (.ci/tsan), which takes the standard library and all
//! dependencies built anew: so they stand in the package that has the fewest.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sessiondir::check::{Event, check};
use sessiondir::{
    DirectoryStore, Durability, ErrorClass, MemoryStore, Options, Session, SessionRef, SessionStore,
};

const THREADS: u64 = 6;
const ROUNDS: u64 = 60;

fn options() -> Options {
    // Never `busy`, however slow the machine is.
    Options::new().durability(Durability::Process).patience(Duration::from_secs(300))
}

fn open(path: &Path) -> DirectoryStore {
    options().open(path).expect("opens")
}

fn add_one(store: &dyn SessionStore, id: &SessionRef) {
    let added = store.update(id, &mut |session| {
        let n: u64 = session.get("n")?.unwrap_or(0);
        Ok(session.insert("n", &(n + 1))?)
    });
    added.expect("updated");
}

fn n(store: &dyn SessionStore, id: &SessionRef) -> u64 {
    store.load(id).expect("loads").expect("is there").get("n").expect("a number").unwrap_or(0)
}

fn created(store: &dyn SessionStore) -> SessionRef {
    SessionRef::from(store.create(&mut Session::new()).expect("created"))
}

fn findings(path: &Path) -> u32 {
    let mut found = 0;
    check(path, &options(), &mut |event| found += u32::from(matches!(event, Event::Finding(_))))
        .expect("checks");
    found
}

/// Exercises LOCK-7, LOCK-8. Lock files are opened and closed all the time, by the first and the last of those who use them.
#[test]
fn stores_come_and_go() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let path = &tmp.path().join("store");
    let ids = {
        let store = options().create(true).open(path).expect("a store");
        [created(&store), created(&store)]
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let ids = &ids;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let store = open(path);
                    add_one(&store, &ids[usize::from((thread + round) % 3 == 0)]);
                }
            });
        }
    });
    let store = open(path);
    assert_eq!(ids.iter().map(|id| n(&store, id)).sum::<u64>(), THREADS * ROUNDS);
    assert_eq!(findings(path), 0);
}

/// Exercises LOCK-7, LOCK-11. All that a store does, in threads that share it, with a checker beside them.
#[test]
fn one_store_does_everything_at_once() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let path = &tmp.path().join("store");
    let store = &options().create(true).open(path).expect("a store");
    everything_at_once(store, &|| assert_eq!(findings(path), 0));
    everything_at_once(&MemoryStore::with(&options()), &|| ());
}

fn everything_at_once(store: &dyn SessionStore, look: &(dyn Fn() + Sync)) {
    let (id, done) = (&created(store), &AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut last = 0;
            while !done.load(Ordering::Relaxed) {
                let now = n(store, id);
                assert!(now >= last, "back from {last} to {now}");
                last = now;
                look();
            }
        });
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        match (thread + round) % 3 {
                            0 => add_one(store, id),
                            1 => save_one(store, id),
                            _ => come_and_go(store),
                        }
                    }
                })
            })
            .collect();
        let ended: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok), "a writer panicked");
    });
    assert_eq!(n(store, id), THREADS * ROUNDS / 3 * 2);
    assert_eq!(store.iter_sessions().expect("lists").count(), 1);
}

/// Loads, changes and saves until nobody else was first.
fn save_one(store: &dyn SessionStore, id: &SessionRef) {
    loop {
        let mut session = store.load(id).expect("loads").expect("is there");
        let n: u64 = session.get("n").expect("a number").unwrap_or(0);
        session.insert("n", &(n + 1)).expect("fits");
        match store.save(&mut session) {
            Ok(()) => return,
            Err(error) => assert_eq!(error.class(), ErrorClass::Conflict, "{error}"),
        }
    }
}

/// A session from its creation to its end; a rotation takes two locks at once.
fn come_and_go(store: &dyn SessionStore) {
    let mut session = Session::new();
    store.create(&mut session).expect("created");
    session.insert("big", &"x".repeat(9000)).expect("fits");
    store.save(&mut session).expect("saved");
    let id = SessionRef::from(store.rotate(&mut session).expect("rotated"));
    store.touch(&id).expect("touched");
    assert!(store.delete(&id).expect("deleted"), "it was there");
}
