//! The store for tower-sessions: its trait to the letter, its values, races, the real middleware, and the program that
//! takes over tower-sessions-file-store's sessions.

mod contract;
mod import;
mod middleware;
mod races;
#[path = "../support/stores.rs"]
mod support;
mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use sessiondir::tower_sessions_0_15::DirectorySessionStore;
use sessiondir::{Durability, Naming, Session, SessionId, SessionRef, SessionStore as _};
use support::{Fixture, START};
use time::OffsetDateTime;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::session_store::Error;

const NAMINGS: [Naming; 2] = [Naming::Plain, Naming::Hashed];

/// A store with a clock that the test sets, and the same store for tower-sessions.
struct Both {
    fixture: Fixture,
    tower: DirectorySessionStore,
}

impl Both {
    fn new(naming: Naming) -> Self {
        let fixture = Fixture::new(naming, Durability::Process);
        let tower = DirectorySessionStore::new(fixture.options().open(&fixture.path).expect("opens"));
        Both { fixture, tower }
    }

    fn patient(naming: Naming) -> Self {
        let fixture = Fixture::new(naming, Durability::Process).patient();
        let tower = DirectorySessionStore::new(fixture.options().open(&fixture.path).expect("opens"));
        Both { fixture, tower }
    }

    /// What the store has under `id`.
    fn session(&self, id: Id) -> Session {
        self.fixture.store.load(&reference(id)).expect("loads").expect("is there")
    }

    fn file(&self, id: Id) -> PathBuf {
        self.fixture.file(&reference(id))
    }

    /// Changes what the store has under `id`, as another program would.
    fn change(&self, id: Id, change: impl Fn(&mut Session)) {
        let mut change = |session: &mut Session| {
            change(session);
            Ok(())
        };
        self.fixture.store.update(&reference(id), &mut change).expect("is there");
    }
}

fn session_id(id: Id) -> SessionId {
    SessionId::new(id.to_string()).expect("a session ID")
}

fn reference(id: Id) -> SessionRef {
    session_id(id).into()
}

/// A point in time, in milliseconds after the fixtures' clock starts.
fn after(millis: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(START + millis) * 1_000_000).expect("in range")
}

/// A record that expires an hour after the fixtures' clock starts.
fn record<const N: usize>(data: [(&str, Value); N]) -> Record {
    let data = data.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Record { id: Id::default(), data, expiry_date: after(3_600_000) }
}

/// The text of an error, which has to be without the ID in whatever form, and its kind.
#[track_caller]
fn told<T: std::fmt::Debug>(result: Result<T, Error>, id: Id) -> (&'static str, String) {
    let error = result.expect_err("an error");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(&id.to_string()) && !shown.contains(&id.0.to_string()), "{shown}");
    match error {
        Error::Encode(text) => ("encode", text),
        Error::Decode(text) => ("decode", text),
        Error::Backend(text) => ("backend", text),
    }
}

/// A file of the test vectors.
fn vector(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/files").join(name);
    std::fs::read(path).expect("a vector")
}

/// What tower-sessions asks of a store.
#[test]
fn it_is_a_store_for_the_layer() {
    fn is<T: tower_sessions_core::ExpiredDeletion + Clone + std::fmt::Debug + Send + Sync + 'static>(_: &T) {}
    let both = Both::new(Naming::Plain);
    is(&both.tower);
    // One that the application has already, and wants to use beside it.
    let shared = Arc::new(both.fixture.options().open(&both.fixture.path).expect("opens"));
    let tower = DirectorySessionStore::new(Arc::clone(&shared));
    assert!(std::ptr::eq(tower.inner(), &raw const *shared));
    assert!(format!("{tower:?}").starts_with("DirectoryStore { path: "));
}
