//! Sessions for web applications (feature `web`): Session3's session manager, without a framework; a tower layer over
//! it (feature `tower`), and an extractor for axum (feature `axum`).
//!
//! - [`SessionManager`] gives a request its [`RequestSession`], and stores what has become of it.
//! - Nothing is stored, and no cookie set, until there is something in a session.
//! - Requests' changes are merged, attribute by attribute, under the session's lock: none is lost
//!   ([`Config::strict`] refuses instead).
//! - A logout is final: no request that began before it brings the session back.
//! - Where the store does not answer, a request fails (503), and nobody is logged out.
//!
//! # Sweeping
//!
//! Nothing here deletes expired sessions. Let `sessiondir sweep` do it from a timer, or call
//! [`SessionStore::delete_old_sessions`](crate::SessionStore::delete_old_sessions) from a thread of your own.
//!
//! # The log
//!
//! Written with the crate `log`: a session that is corrupt, with the broken rule; changes that were dropped because the
//! user changed; an access that could not be noted. IDs are never in it.

#[cfg(feature = "axum")]
pub mod axum;
mod changes;
mod commit;
mod config;
mod cookie;
mod error;
mod inner;
#[cfg(feature = "tower")]
mod layer;
mod manager;
mod request;
mod state;
mod tokens;

pub use commit::Outcome;
pub use config::{Config, ConfigError, SameSite};
pub use error::Error;
#[cfg(feature = "tower")]
pub use layer::{SessionLayer, SessionService, Verdict};
pub use manager::SessionManager;
pub use request::RequestSession;
