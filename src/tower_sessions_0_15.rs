//! A store for [tower-sessions] 0.15 (feature `tower-sessions-0_15`): an application that uses that crate keeps its
//! code, and gets this store's promises.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use sessiondir::{Naming, Options, tower_sessions_0_15::DirectorySessionStore};
//! use tower_sessions::{Session, SessionManagerLayer};
//!
//! async fn count(session: Session) -> String {
//!     let count: u64 = session.get("count").await.unwrap().unwrap_or(0) + 1;
//!     session.insert("count", count).await.unwrap();
//!     format!("visit {count}")
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Options::new().create(true).naming(Naming::Hashed).open("sessions")?;
//! let app = Router::new()
//!     .route("/", get(count))
//!     .layer(SessionManagerLayer::new(DirectorySessionStore::new(store)));
//! # let listener = tokio::net::TcpListener::bind("localhost:8080").await?;
//! axum::serve(listener, app).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Limitations
//!
//! - tower-sessions gives a store the whole of a session's data at each save, so of two requests that change one session
//!   at once the later save counts, for all attributes. [`web`](crate::web) merges them.
//! - What JSON cannot say (byte strings, NaN, infinities), stored by another program, is not shown, and stays when the
//!   session is saved. Integers beyond 2^63-1 cannot be stored.
//! - What a session holds beside its attributes (user, tokens) is not shown either, and stays.
//! - `cycle_id` is a creation and a deletion to a store: what is not shown does not come along.
//!
//! [tower-sessions]: https://docs.rs/tower-sessions/0.15

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use time::OffsetDateTime;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::session_store::{Error as TowerError, Result as TowerResult};
use tower_sessions_core::{ExpiredDeletion, SessionStore as TowerSessionStore};

use crate::error::{Error, Result};
use crate::names::{SessionId, SessionRef};
use crate::record::Session;
use crate::store::{DirectoryStore, SessionStore};
use crate::time::UnixMillis;

/// How many generated IDs may be taken before that is an error. One is, with luck, in 2^128.
const IDS_MOST: u32 = 8;

/// A [`DirectoryStore`] for tower-sessions. Clones share it. The store's calls run on tokio's threads for blocking work.
#[derive(Clone)]
pub struct DirectorySessionStore(Arc<DirectoryStore>);

impl DirectorySessionStore {
    /// For tower-sessions, what `store` has.
    #[must_use]
    pub fn new(store: impl Into<Arc<DirectoryStore>>) -> Self {
        DirectorySessionStore(store.into())
    }

    /// The store itself.
    #[must_use]
    pub fn inner(&self) -> &DirectoryStore {
        &self.0
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&DirectoryStore) -> Result<T> + Send + 'static,
    ) -> TowerResult<T> {
        let store = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        // A panic of the store's is one of the caller's; cancelled it is only where the runtime ends.
        match done.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(done) => done.map_err(told),
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            Err(Err(error)) => Err(TowerError::Backend(error.to_string())),
        }
    }
}

impl fmt::Debug for DirectorySessionStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl TowerSessionStore for DirectorySessionStore {
    /// Gives the record another ID where its own is taken.
    async fn create(&self, record: &mut Record) -> TowerResult<()> {
        let mut made = record.clone();
        record.id = self
            .run(move |store| {
                let mut session = Session::new();
                write(&mut session, &made)?;
                for _ in 0..IDS_MOST {
                    match store.insert(&id(made.id)?, &mut session) {
                        Err(Error::Conflict { .. }) => made.id = Id::default(),
                        stored => return stored.map(|()| made.id),
                    }
                }
                let error =
                    std::io::Error::other("every generated ID is taken: the random generator repeats itself");
                Err(Error::io("create a session", None, error))
            })
            .await?;
        Ok(())
    }

    /// Does nothing where the session was deleted or has expired: that is what its user asked for, and tower-sessions
    /// would answer an error with 500, to each request that a logout overtakes.
    async fn save(&self, record: &Record) -> TowerResult<()> {
        let record = record.clone();
        self.run(move |store| {
            match store.update(&reference(record.id)?, &mut |session| write(session, &record)) {
                Err(Error::Gone { .. }) => Ok(()),
                saved => saved.map(drop),
            }
        })
        .await
    }

    async fn load(&self, session_id: &Id) -> TowerResult<Option<Record>> {
        let id = *session_id;
        self.run(move |store| Ok(store.load(&reference(id)?)?.map(|session| read(id, &session)))).await
    }

    async fn delete(&self, session_id: &Id) -> TowerResult<()> {
        let id = *session_id;
        self.run(move |store| store.delete(&reference(id)?).map(drop)).await
    }
}

#[async_trait]
impl ExpiredDeletion for DirectorySessionStore {
    /// What cannot be read is left, and does not end it; `sessiondir check` tells of it.
    async fn delete_expired(&self) -> TowerResult<()> {
        self.run(|store| store.delete_where(&|session| session.is_expired(store.now())).map(drop)).await
    }
}

/// What tower-sessions shows an ID as, 22 characters of base64url, is a session ID.
fn id(id: Id) -> Result<SessionId> {
    SessionId::new(id.to_string())
}

fn reference(of: Id) -> Result<SessionRef> {
    id(of).map(SessionRef::Id)
}

/// An attribute as JSON, if that says the same.
fn json(session: &Session, key: &str, encoded: &[u8]) -> Option<Value> {
    let value: Value = session.get(key).ok()??;
    // NaN, for one, becomes null, which must not be written back.
    let mut again = Session::new();
    again.insert(key, &value).ok()?;
    let same = again.attributes().next().is_some_and(|(_, again)| again == encoded);
    same.then_some(value)
}

fn data(session: &Session) -> HashMap<String, Value> {
    let shown = |(key, encoded): (&str, &[u8])| Some((key.to_owned(), json(session, key, encoded)?));
    session.attributes().filter_map(shown).collect()
}

fn read(id: Id, session: &Session) -> Record {
    let expires = session.expires().unwrap_or(UnixMillis::MAX).as_millis();
    let nanos = i128::from(expires) * 1_000_000;
    // The format's times end with the year 9999, as those of `time` do.
    let expiry_date = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    Record { id, data: data(session), expiry_date }
}

/// Sets what differs, and removes what is shown and not there any more. All else stays, byte for byte.
fn write(session: &mut Session, record: &Record) -> Result<()> {
    let shown: HashSet<String> = data(session).into_keys().collect();
    for key in shown.iter().filter(|key| !record.data.contains_key(*key)) {
        session.remove(key);
    }
    for (key, value) in &record.data {
        session.insert(key, value)?;
    }
    session.set_expires(Some(expires(record.expiry_date)));
    Ok(())
}

/// Rounded down, so that no session lives longer than it is to.
fn expires(date: OffsetDateTime) -> UnixMillis {
    let millis = date.unix_timestamp_nanos().div_euclid(1_000_000).max(0);
    u64::try_from(millis).ok().and_then(UnixMillis::from_millis).unwrap_or(UnixMillis::MAX)
}

/// The errors' texts show no IDs.
#[allow(clippy::needless_pass_by_value, reason = "it is passed to map_err")]
fn told(error: Error) -> TowerError {
    let text = error.to_string();
    match error {
        Error::InvalidValue(_) | Error::TooLarge { .. } => TowerError::Encode(text),
        Error::Corrupt { .. } => TowerError::Decode(text),
        _ => TowerError::Backend(text),
    }
}
