//! The acceptance suite on the crate's stores and on one that knows only its public interface; and what it says of
//! stores that break the contract.

#[path = "support/faults.rs"]
mod faults;
#[path = "support/outside.rs"]
mod outside;

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use faults::{FAULTS, Fault};
use outside::Outside;
use sessiondir::store::Deleted;
use sessiondir::{
    DirectoryStore, Durability, Error, MemoryStore, Naming, Options, Result, Session, SessionId, SessionRef,
    SessionStore, acceptance,
};

/// How many cases there are at least, so that a suite that runs nothing is seen.
const CASES: usize = 63;

fn directories(naming: Naming, durability: Durability) {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let options = Options::new().create(true).naming(naming).durability(durability);
    let cases = acceptance::run(&|n| options.open(tmp.path().join(n.to_string())).expect("opens"));
    assert!(cases >= CASES, "{cases} cases");
    // What a case leaves is a sound store.
    let mut stores = 0;
    for store in std::fs::read_dir(tmp.path()).expect("lists") {
        sessiondir::check::check(store.expect("an entry").path(), &Options::new(), &mut |event| {
            if let sessiondir::check::Event::Finding(finding) = event {
                // One case is about an `accessed` that is far ahead.
                assert_eq!(finding.kind.name(), "future-access", "{finding:?}");
            }
        })
        .expect("a store");
        stores += 1;
    }
    assert_eq!(stores, cases);
    println!("{cases} cases on a directory of naming {naming:?} and durability {durability:?}");
}

#[test]
fn directory_plain_power() {
    directories(Naming::Plain, Durability::Power);
}

#[test]
fn directory_plain_process() {
    directories(Naming::Plain, Durability::Process);
}

#[test]
fn directory_hashed_power() {
    directories(Naming::Hashed, Durability::Power);
}

#[test]
fn directory_hashed_process() {
    directories(Naming::Hashed, Durability::Process);
}

/// Store number `n` of a kind of which all handles share one.
fn shared<S>(stores: &Mutex<HashMap<usize, Arc<S>>>, n: usize, make: impl FnOnce() -> S) -> Arc<S> {
    let mut stores = stores.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(stores.entry(n).or_insert_with(|| Arc::new(make())))
}

#[test]
fn memory() {
    let stores = Mutex::default();
    assert!(acceptance::run(&|n| shared(&stores, n, MemoryStore::new)) >= CASES);
}

/// As a trait object, behind a reference, in a box.
#[test]
fn pointers_to_stores() {
    let stores: Mutex<HashMap<usize, &'static MemoryStore>> = Mutex::default();
    let open = |n| {
        let mut stores = stores.lock().unwrap_or_else(PoisonError::into_inner);
        // A few dozen empty stores that stay until the process ends.
        *stores.entry(n).or_insert_with(|| Box::leak(Box::new(MemoryStore::new())))
    };
    assert!(acceptance::run(&open) >= CASES);
    assert!(acceptance::run(&|n| -> Box<dyn SessionStore> { Box::new(open(n + 1000)) }) >= CASES);
    // What a store says of itself is said through a pointer too, and not the trait's default instead of it.
    let store = Arc::new(Says);
    let pointers: [&dyn SessionStore; 3] = [&store, &&Says, &(Box::new(Says) as Box<dyn SessionStore>)];
    for store in pointers {
        assert!(!store.is_thread_safe() && store.is_multiprocess_safe());
        assert_eq!(store.counters().gone, 7);
        assert!(store.setup().is_err());
        let id = SessionId::generate().expect("an ID").into();
        assert!(store.has(&id).expect("looked"));
        assert!(store.delete_if(&id, &|_| false).expect("deleted"));
        assert!(!store.touch_is_due(&Session::new()));
    }
}

/// A store that has all that the trait has a default for in another way.
struct Says;

impl SessionStore for Says {
    fn load(&self, _: &SessionRef) -> Result<Option<Session>> {
        Ok(None)
    }
    fn create(&self, _: &mut Session) -> Result<SessionId> {
        Err(Error::InvalidId)
    }
    fn save(&self, _: &mut Session) -> Result<()> {
        Err(Error::InvalidId)
    }
    fn update(&self, _: &SessionRef, _: &mut dyn FnMut(&mut Session) -> Result<()>) -> Result<Session> {
        Err(Error::InvalidId)
    }
    fn touch(&self, _: &SessionRef) -> Result<bool> {
        Err(Error::InvalidId)
    }
    fn delete(&self, _: &SessionRef) -> Result<bool> {
        Err(Error::InvalidId)
    }
    fn rotate(&self, _: &mut Session) -> Result<SessionId> {
        Err(Error::InvalidId)
    }
    fn has(&self, _: &SessionRef) -> Result<bool> {
        Ok(true)
    }
    fn iter_sessions(&self) -> Result<Box<dyn Iterator<Item = Result<Session>> + '_>> {
        Err(Error::InvalidId)
    }
    fn setup(&self) -> Result<()> {
        Err(Error::InvalidId)
    }
    fn delete_old_sessions(&self, _: u64) -> Result<Deleted> {
        Err(Error::InvalidId)
    }
    fn delete_where(&self, _: &(dyn Fn(&Session) -> bool + Sync)) -> Result<Deleted> {
        Err(Error::InvalidId)
    }
    fn delete_if(&self, _: &SessionRef, _: &(dyn Fn(&Session) -> bool + Sync)) -> Result<bool> {
        Ok(true)
    }
    fn touch_is_due(&self, _: &Session) -> bool {
        false
    }
    fn is_multiprocess_safe(&self) -> bool {
        true
    }
    fn is_thread_safe(&self) -> bool {
        false
    }
    fn counters(&self) -> sessiondir::Counters {
        let mut counters = sessiondir::Counters::default();
        counters.gone = 7;
        counters
    }
}

/// The suite on somebody else's store of that fault.
fn run(fault: Fault, which: &dyn Fn(&str) -> bool) -> usize {
    let stores = Mutex::default();
    acceptance::run_only(&|n| shared(&stores, n, || Outside::new(fault)), which)
}

/// What knows only the public interface can be a store.
#[test]
fn a_store_of_somebody_else() {
    assert!(run(Fault::None, &|_| true) >= CASES);
}

const BREAKS: &str = "the store breaks its contract in 1 of 1 cases:";

/// A suite that finds nothing proves nothing: each of these faults is found by the case that is there for it, and each
/// case finds one.
#[test]
fn what_is_broken_is_found() {
    // What the suite says of them is no news.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload().downcast_ref::<String>();
        if !message.is_some_and(|message| message.starts_with(BREAKS)) {
            hook(panic);
        }
    }));
    let mut finders = BTreeSet::new();
    for (fault, case) in FAULTS {
        // A race need not be lost each time.
        let times = if case.starts_with("race-") { 20 } else { 1 };
        let found = (0..times)
            .find_map(|_| catch_unwind(AssertUnwindSafe(|| run(*fault, &|name| name == *case))).err());
        let panic = found.unwrap_or_else(|| panic!("{fault:?} is not found by {case}"));
        let message = panic.downcast_ref::<String>().expect("a text");
        println!("{fault:?}: {message}");
        // The case, the clause, and what was seen.
        let line = message.strip_prefix(BREAKS).expect("one case").trim();
        let (name, rest) = line.split_once(": ").expect("a case");
        let (clause, seen) = rest.split_once(": ").expect("a clause and what was seen");
        assert_eq!(name, *case);
        assert!(clause.len() > 10 && !seen.is_empty(), "{message}");
        finders.insert(case);
    }
    assert_eq!(finders.len(), run(Fault::None, &|_| true), "every case is there for a fault: {finders:?}");
}

/// Exercises LOCK-7. Many threads on one handle; for processes see `tests/processes.rs`,
/// `eight_processes_update_one_session` and its like.
#[test]
fn the_stores_are_what_they_say() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let directory: DirectoryStore = Options::new().create(true).open(tmp.path().join("s")).expect("opens");
    let memory = MemoryStore::new();
    assert!(directory.is_thread_safe() && directory.is_multiprocess_safe());
    assert!(memory.is_thread_safe() && !memory.is_multiprocess_safe());
    let stores: [&dyn SessionStore; 2] = [&directory, &memory];
    for store in stores {
        let mut session = Session::new();
        let id = SessionRef::from(store.create(&mut session).expect("created"));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let updated = store.update(&id, &mut |session| {
                            let n: u64 = session.get("n")?.unwrap_or(0);
                            Ok(session.insert("n", &(n + 1))?)
                        });
                        updated.expect("updated");
                    }
                });
            }
        });
        let session = store.load(&id).expect("loads").expect("is there");
        assert_eq!(session.get::<u64>("n").expect("a number"), Some(400));
    }
}
