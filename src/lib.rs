//! sessiondir: a versioned on-disk format for web sessions.

pub mod check;
pub(crate) mod dir;
pub mod error;
pub(crate) mod locks;
pub mod marker;
pub mod names;
pub mod open;
pub(crate) mod read;
pub mod record;
pub mod rule;
#[cfg(feature = "seam")]
pub mod seam;
#[cfg(feature = "session3")]
pub mod session3;
pub(crate) mod slots;
pub mod store;
pub mod sweep;
pub mod time;

pub use crate::time::UnixMillis;
pub use error::{Error, ErrorClass, Result};
pub use marker::{Durability, Marker};
pub use names::{Key, Naming, SessionId, SessionRef};
pub use open::{Options, init};
pub use record::Session;
pub use store::{DirectoryStore, SessionStore};
