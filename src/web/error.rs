//! What can go wrong for a request.

use std::fmt;
use std::sync::Arc;

use http::StatusCode;

use crate::error::{Error as StoreError, ErrorClass, ValueError};

/// Why a request cannot have its session, or cannot change it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The store's error.
    Store(Arc<StoreError>),
    /// A value that the format cannot hold, or an attribute that is not of the type that was asked for.
    Value(ValueError),
    /// A change to a session that was committed: the response's headers are on their way. Save explicitly, and before
    /// that, or [`reopen`](super::RequestSession::reopen) the session.
    Committed,
    /// [`Config::strict`](super::Config::strict): somebody else has saved the session meanwhile. Nothing was saved.
    Conflict,
    /// There is no session layer around this handler.
    NoLayer,
}

impl Error {
    /// The status of a response that says no more than that: 503 where the store does not answer now, 409 for a
    /// conflict, and 500 for what is a fault of the application.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Error::Conflict => StatusCode::CONFLICT,
            Error::Value(_) | Error::Committed | Error::NoLayer => StatusCode::INTERNAL_SERVER_ERROR,
            Error::Store(error) => match error.class() {
                ErrorClass::TooLarge
                | ErrorClass::InvalidValue
                | ErrorClass::InvalidId
                | ErrorClass::Reentrant => StatusCode::INTERNAL_SERVER_ERROR,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Store(error) => error.fmt(f),
            Error::Value(error) => error.fmt(f),
            Error::Committed => f.write_str(
                "the session was committed with the response's headers, and this change would be lost; save it before, or reopen the session",
            ),
            Error::Conflict => {
                f.write_str("somebody else has saved the session meanwhile; nothing was saved, try again")
            }
            Error::NoLayer => f.write_str("there is no SessionLayer around this handler; add one to the router"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Store(error) => Some(error),
            Error::Value(error) => Some(error),
            Error::Committed | Error::Conflict | Error::NoLayer => None,
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::InvalidValue(error) => Error::Value(error),
            error => Error::Store(Arc::new(error)),
        }
    }
}

impl From<ValueError> for Error {
    fn from(error: ValueError) -> Self {
        // One that says that the session would be too large is `too-large`.
        StoreError::from(error).into()
    }
}
