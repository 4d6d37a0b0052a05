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
//! Expired sessions are hidden, but stay in the directory until [`ExpiredDeletion::delete_expired`] or `sessiondir sweep`
//! removes them. `docs/tower-sessions-file-store.md` is for those who come from the crate of that name.
//!
//! # Limitations
//!
//! - tower-sessions gives a store the whole of a session's data at each save, and not what was loaded. So of two requests
//!   that change one session at once the later save counts, for all attributes. The feature `web` has a session manager
//!   that merges them.
//! - A [`CachingSessionStore`](tower_sessions_core::CachingSessionStore) in front of it undoes what
//!   [`save`](TowerSessionStore::save) is careful about: the cache brings back who has logged out.
//! - What JSON cannot say (byte strings, NaN, infinities), stored by another program, is not shown, and stays when the
//!   session is saved. Integers beyond 2^63-1 cannot be stored.
//! - What a session holds beside its attributes (user, tokens) is not shown either, and stays. None of it goes along when
//!   tower-sessions' `cycle_id` gives the session another ID: to the store that is a deletion and a creation.
//! - Loading a corrupt session is an error, until `sessiondir repair` has moved its file aside or it is deleted.
//!
//! [tower-sessions]: https://docs.rs/tower-sessions/0.15

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::ser::{Error as _, Serialize, Serializer};
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
    /// The sessions of `store`, for tower-sessions.
    #[must_use]
    pub fn new(store: impl Into<Arc<DirectoryStore>>) -> Self {
        DirectorySessionStore(store.into())
    }

    /// The store itself.
    #[must_use]
    pub fn inner(&self) -> &DirectoryStore {
        &self.0
    }

    /// Stores `record` under its own ID: for migrators, as [`DirectoryStore::insert`]. It blocks the thread.
    ///
    /// # Errors
    /// `conflict` if there is a session of that ID, `invalid-value`; as [`DirectoryStore::insert`].
    pub fn insert(&self, record: &Record) -> Result<()> {
        insert(&self.0, record)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&DirectoryStore) -> Result<T> + Send + 'static,
    ) -> TowerResult<T> {
        let store = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        // A panic goes on in the caller. The work is cancelled only where the runtime shuts down.
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
    /// Gives the record another ID where its own is taken, by whatever file: also by one that is expired, corrupt or no
    /// session's.
    async fn create(&self, record: &mut Record) -> TowerResult<()> {
        let mut made = record.clone();
        record.id = self
            .run(move |store| {
                for _ in 0..IDS_MOST {
                    match insert(store, &made) {
                        Err(Error::Conflict { .. } | Error::Corrupt { .. }) => made.id = Id::default(),
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

    /// Stores nothing, and is no error, where the session is absent:
    ///
    /// - It was deleted. A save that made it again would undo a logout. An error would be no help: tower-sessions answers
    ///   it with 500 in place of the handler's response, to each request that a logout overtakes.
    /// - It has expired since it was loaded. It stays expired.
    /// - It never was. tower-sessions saves under an ID that the client has made up if the handler calls `clear` before
    ///   anything else; a store that makes such a session is open to session fixation.
    ///
    /// The client's next request finds no session and begins a new one.
    ///
    /// Attributes that have not changed keep their bytes, and where nothing has changed nothing is written.
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
    /// What cannot be read is left, and does not end it; `sessiondir check` tells of it. An error is a store that cannot
    /// be listed. It ends `continuously_delete_expired`, so start that again, or log what it returns.
    async fn delete_expired(&self) -> TowerResult<()> {
        // However long ago the last access was, that alone is no reason.
        self.run(|store| store.delete_old_sessions(u64::MAX).map(drop)).await
    }
}

/// What tower-sessions shows an ID as, 22 characters of base64url, is a session ID.
fn id(id: Id) -> Result<SessionId> {
    SessionId::new(id.to_string())
}

fn reference(of: Id) -> Result<SessionRef> {
    id(of).map(SessionRef::Id)
}

fn insert(store: &DirectoryStore, record: &Record) -> Result<()> {
    let mut session = Session::at(store.now(), store.now());
    write(&mut session, record)?;
    store.insert(&id(record.id)?, &mut session)
}

/// A JSON value on its way into the format. Where any crate of the program enables `serde_json`'s feature
/// `arbitrary_precision`, its own `Serialize` makes a map of each number.
struct Plain<'a>(&'a Value);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self.0 {
            Value::Number(number) => {
                if let Some(number) = number.as_i64() {
                    serializer.serialize_i64(number)
                } else if let Some(number) = number.as_u64() {
                    serializer.serialize_u64(number)
                } else if let Some(number) = number.as_f64() {
                    serializer.serialize_f64(number)
                } else {
                    Err(S::Error::custom("a number beyond those of 64 bits; store it as text"))
                }
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(Plain)),
            Value::Object(entries) => {
                serializer.collect_map(entries.iter().map(|(key, value)| (key, Plain(value))))
            }
            other => other.serialize(serializer),
        }
    }
}

/// An attribute as JSON, if that says the same.
fn json(session: &Session, key: &str, encoded: &[u8]) -> Option<Value> {
    let value: Value = session.get(key).ok()??;
    // NaN, for one, becomes null, which must not be written back.
    let mut again = Session::new();
    again.insert(key, &Plain(&value)).ok()?;
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
        session.insert(key, &Plain(value))?;
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

/// The program of the migration's page is a test.
#[cfg(doctest)]
#[doc = include_str!("../docs/tower-sessions-file-store.md")]
struct Migration;
