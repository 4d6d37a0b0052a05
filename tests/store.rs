//! The store's operations, one by one: SPEC.md section 10.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sessiondir::check::{Event, Finding, check};
use sessiondir::{
    DirectoryStore, Durability, ErrorClass, Naming, Options, Session, SessionId, SessionRef, SessionStore,
    UnixMillis,
};

/// A store in a directory of its own, with a clock that the test sets.
struct Fixture {
    _tmp: tempfile::TempDir,
    path: std::path::PathBuf,
    now: Arc<AtomicU64>,
    store: DirectoryStore,
}

const START: u64 = 1_800_000_000_000;

fn fixture(naming: Naming, durability: Durability) -> Fixture {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let path = tmp.path().join("sessions");
    let now = Arc::new(AtomicU64::new(START));
    let options = options(&now).create(true).naming(naming).durability(durability);
    let store = options.open(&path).expect("a new store");
    Fixture { _tmp: tmp, path, now, store }
}

fn options(now: &Arc<AtomicU64>) -> Options {
    let now = Arc::clone(now);
    Options::new()
        .clock(move || UnixMillis::from_millis(now.load(Ordering::SeqCst)).expect("in range"))
        .patience(Duration::from_millis(200))
}

impl Fixture {
    fn advance(&self, millis: u64) {
        self.now.fetch_add(millis, Ordering::SeqCst);
    }

    fn findings(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        check(&self.path, &options(&self.now), &mut |event| {
            if let Event::Finding(finding) = event {
                found.push(finding.clone());
            }
        })
        .expect("a store");
        found
    }

    fn assert_clean(&self) {
        let found = self.findings();
        assert!(found.is_empty(), "{found:?}");
    }

    fn created(&self) -> (SessionId, Session) {
        let mut session = Session::at(time(START), time(START));
        session.set_user("ada").expect("a text");
        let id = self.store.create(&mut session).expect("created");
        (id, session)
    }
}

fn time(ms: u64) -> UnixMillis {
    UnixMillis::from_millis(ms).expect("in range")
}

fn class<T: std::fmt::Debug>(result: sessiondir::Result<T>) -> ErrorClass {
    result.expect_err("an error").class()
}

fn everywhere(test: impl Fn(Fixture)) {
    for naming in [Naming::Plain, Naming::Hashed] {
        for durability in [Durability::Power, Durability::Process] {
            test(fixture(naming, durability));
        }
    }
}

#[test]
fn a_session_lives_and_dies() {
    everywhere(|f| {
        let (id, created) = f.created();
        let reference = SessionRef::from(&id);
        assert_eq!(created.rev(), 1);
        let mut session = f.store.load(&reference).expect("loads").expect("is there");
        assert_eq!(session, created);
        f.advance(1000);
        session.insert("n", &1).expect("fits");
        f.store.save(&mut session).expect("saved");
        assert_eq!((session.rev(), session.accessed()), (2, time(START + 1000)));
        assert_eq!(f.store.load(&reference).expect("loads"), Some(session.clone()));
        let updated = f.store.update(&reference, &mut |s| Ok(s.insert("n", &2)?)).expect("updated");
        assert_eq!(updated.get::<u32>("n").expect("a number"), Some(2));
        assert_eq!(
            class(f.store.save(&mut {
                let mut s = session.clone();
                s.clear();
                s
            })),
            ErrorClass::Conflict
        );
        f.assert_clean();
        let mut rotated = updated.clone();
        let new = f.store.rotate(&mut rotated).expect("rotated");
        assert_ne!(new, id);
        assert_eq!(f.store.load(&reference).expect("loads"), None);
        assert_eq!(f.store.load(&SessionRef::from(&new)).expect("loads"), Some(rotated));
        f.assert_clean();
        assert!(f.store.delete(&SessionRef::from(&new)).expect("deleted"));
        assert!(!f.store.delete(&SessionRef::from(&new)).expect("idempotent"));
        assert_eq!(f.store.iter_sessions().expect("lists").count(), 0);
        f.assert_clean();
    });
}

#[test]
fn the_names_are_listed_without_reading() {
    everywhere(|f| {
        let (id, created) = f.created();
        std::fs::write(f.path.join("README"), "foreign").expect("written");
        let of_a_damaged = match f.store.marker().naming {
            Naming::Plain => "BBBBBBBBBBBBBBBBBBBBBB".to_owned(),
            Naming::Hashed => SessionId::new("BBBBBBBBBBBBBBBBBBBBBB").expect("an ID").key().to_hex(),
        };
        std::fs::write(f.path.join(of_a_damaged), "damage").expect("written");
        let listed = f.store.references().expect("lists").map(|r| r.expect("listed").key());
        let mut listed: Vec<_> = listed.collect();
        listed.sort_unstable();
        let mut expected = vec![id.key(), SessionId::new("BBBBBBBBBBBBBBBBBBBBBB").expect("an ID").key()];
        expected.sort_unstable();
        assert_eq!(listed, expected);
        assert_eq!(created.user_encoded(), Some(&b"\x63ada"[..]));
        assert_eq!(Session::new().user_encoded(), None);
    });
}
