//! sessiondir: web sessions in a directory, one file a session, in a format that any language can read and write.
//!
//! This is the reference implementation of [`SPEC.md`], which is the normative text; rule ids such as `REC-7` in
//! this documentation are its rules.
//!
//! ```standalone_crate
//! use sessiondir::{Naming, Options, Session, SessionId, SessionStore};
//!
//! fn main() -> Result<(), sessiondir::Error> {
//!     # let tmp = tempfile::tempdir().unwrap();
//!     # std::env::set_current_dir(&tmp).unwrap();
//!     let store = Options::new().create(true).naming(Naming::Hashed).open("sessions")?;
//!
//!     // A visitor fills a cart. The ID is the value of a cookie.
//!     let mut session = Session::new();
//!     session.insert("cart", &[("A-1", 2)])?;         // anything that serde can serialise
//!     let cookie = store.create(&mut session)?.expose().to_owned();
//!
//!     // The next request. `SessionId::new` refuses what is no session ID before any path is made of it.
//!     let id = SessionId::new(&cookie)?.into();
//!     let mut session = store.load(&id)?.expect("not expired");
//!     session.insert("cart", &[("A-1", 3)])?;
//!     store.save(&mut session)?;                      // `conflict` if somebody else was faster
//!
//!     // A login: always a new ID, and so a new cookie, as somebody else may know the old one.
//!     session.set_user("ada")?;
//!     let id = store.rotate(&mut session)?.into();
//!
//!     // Load, change and save under one lock: no conflict, no lost update.
//!     store.update(&id, &mut |session| {
//!         let views: u64 = session.get("views")?.unwrap_or(0);
//!         Ok(session.insert("views", &(views + 1))?)
//!     })?;
//!
//!     store.delete(&id)?;                             // the logout; no late save brings it back
//!     assert!(store.load(&id)?.is_none());
//!     Ok(())
//! }
//! ```
//!
//! # Where things are
//!
//! A file uses only what stands above it in this table.
//!
//! | room | what it is | SPEC.md |
//! |---|---|---|
//! | [`rule`] | the ids of the rules | all |
//! | [`error`] | the registry of errors | 14.1 |
//! | `counters` | what a store counts | |
//! | [`time`] | milliseconds, expiry | 8 |
//! | [`names`] | session IDs, file names, what an entry is | 4 |
//! | [`marker`] | the marker | 5.2 |
//! | [`record`] | one session as bytes: envelope, strict codec, session map | 7 |
//! | `slots` | which slot is current | 6 |
//! | `dir` | the only calls to the file system; the seam for tests | 5.1 |
//! | `locks` | who may write | 9 |
//! | [`open`] | making and opening a store | 5.1, 10.1 |
//! | `read` | reading a session without a lock | 10.2 |
//! | `scan` | every entry of a directory, on several threads | |
//! | [`store`] | the contract, the store on disk, the one in memory | 10.3 to 10.8 |
//! | [`acceptance`] | the contract as a suite for any store | |
//! | [`sweep`] | the collector | 10.9 |
//! | [`stats`] | counting what is in a store | |
//! | [`check`] | the checker; it does not use `store` | 11 |
//! | [`repair`] | mending what the checker finds | 10.10 |
//! | [`convert`] | copying a store into one of another naming | |
//! | `conformance` | the kit that tests other implementations, and this one's driver (feature `conformance`) | 19 |
//! | `session3` | the importer of Session3's directories (feature `session3`) | 20 |
//! | `web` | sessions for web applications: manager, cookies, tower layer (features `web`, `tower`, `axum`) | |
//! | `tower_sessions_0_15` | a store for tower-sessions 0.15 (feature `tower-sessions-0_15`) | |
//! | `probe` | the insides as pure functions, for the fuzzer (feature `seam`) | |
//!
//! # What is not here, on purpose
//!
//! No background thread (sweeping is the caller's to start); no cache of sessions; no locks
//! that outlive a call; no network file systems; no encryption.
//!
//! [`SPEC.md`]: ../../../SPEC.md

pub mod acceptance;
pub mod check;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod convert;
pub(crate) mod counters;
pub(crate) mod dir;
pub mod error;
pub(crate) mod locks;
pub mod marker;
pub mod names;
pub mod open;
#[cfg(feature = "seam")]
pub mod probe;
pub(crate) mod read;
pub mod record;
pub mod repair;
pub mod rule;
pub(crate) mod scan;
#[cfg(feature = "seam")]
pub mod seam;
#[cfg(feature = "session3")]
pub mod session3;
pub(crate) mod slots;
pub mod stats;
pub mod store;
pub mod sweep;
pub mod time;
#[cfg(feature = "tower-sessions-0_15")]
pub mod tower_sessions_0_15;
#[cfg(feature = "web")]
pub mod web;

pub use crate::time::UnixMillis;
pub use error::{Error, ErrorClass, Result};
pub use marker::{Durability, Marker};
pub use names::{Key, Naming, SessionId, SessionRef};
pub use open::{Options, init};
pub use record::Session;
pub use store::{Counters, Deleted, DirectoryStore, MemoryStore, SessionStore};

/// The README's programs compile; the first of them runs above.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
