//! The session as an argument of an axum handler (feature `axum`, for axum 0.8).
//!
//! ```
//! use axum::{Router, routing::get};
//! use sessiondir::web::{Config, Error, RequestSession, SessionLayer, SessionManager};
//!
//! async fn count(session: RequestSession) -> Result<String, Error> {
//!     session.modify("visits", |visits: Option<u64>| Some(visits.unwrap_or(0) + 1))?;
//!     Ok(format!("visit {}", session.get::<u64>("visits")?.unwrap_or(0)))
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let store = sessiondir::MemoryStore::new();
//! let manager = SessionManager::new(store, Config::new())?;
//! let app: Router = Router::new().route("/", get(count)).layer(SessionLayer::new(manager));
//! # Ok(())
//! # }
//! ```

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use super::error::Error;
use super::request::RequestSession;

/// The request's session, loaded.
impl<S: Sync> FromRequestParts<S> for RequestSession {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let session = parts.extensions.get::<RequestSession>().cloned().ok_or(Error::NoLayer)?;
        session.load().await?;
        Ok(session)
    }
}

/// A short page of [`Error::status`], which does not tell strangers what is wrong; that is in the log, and the error in
/// the response's extensions.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        log::error!("a request has failed: {self}");
        let status = self.status();
        let text = match self {
            Error::Conflict => "Somebody else has changed this session meanwhile. Please try again.\n",
            _ if status.as_u16() == 503 => "Sessions are not available now. Please try again.\n",
            _ => "This page cannot be shown: something went wrong.\n",
        };
        let mut response = (status, text).into_response();
        response.extensions_mut().insert(self);
        response
    }
}
