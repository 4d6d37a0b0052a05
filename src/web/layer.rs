//! The tower layer: a session for every request, committed before the response's headers go.

use std::future::Future;
use std::panic;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use super::commit::Outcome;
use super::error::Error;
use super::manager::SessionManager;
use super::request::RequestSession;
use crate::store::SessionStore;

/// Gives every request a [`RequestSession`], as an extension of the request, and commits it when the service has
/// answered: before the response's headers go, so that no browser learns of what was not stored.
///
/// A request has failed, and changes nothing, if the service returns an `Err`, panics, or answers with a status of 500
/// or more, with 408 (Request Timeout) or with an [`Error`] of a session as its response; a [`Verdict`] in the
/// response's extensions says otherwise. If the session cannot be committed, the
/// response is replaced by an empty one of [`Error::status`], with the [`Error`] in its extensions for a layer around
/// this one that makes nicer pages; else the response's extensions have the [`Outcome`].
///
/// One layer a request: of two, the inner one's session is the request's.
///
/// The store's calls run on tokio's threads for blocking work. A service that does not use [`axum`](super::axum)'s
/// extractor calls [`RequestSession::load`] first.
#[derive(Debug)]
pub struct SessionLayer<S>(SessionManager<S>);

impl<S> Clone for SessionLayer<S> {
    fn clone(&self) -> Self {
        SessionLayer(self.0.clone())
    }
}

impl<S: SessionStore + 'static> SessionLayer<S> {
    /// A layer of that manager.
    #[must_use]
    pub fn new(manager: SessionManager<S>) -> Self {
        SessionLayer(manager)
    }
}

impl<S, Inner> Layer<Inner> for SessionLayer<S> {
    type Service = SessionService<S, Inner>;

    fn layer(&self, inner: Inner) -> Self::Service {
        SessionService { manager: self.0.clone(), inner }
    }
}

/// Whether a response is of a request that has succeeded, whatever its status: to be put into its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The session is committed.
    Succeeded,
    /// Nothing is stored, and no cookie set.
    Failed,
}

/// The service that [`SessionLayer`] makes.
#[derive(Debug)]
pub struct SessionService<S, Inner> {
    manager: SessionManager<S>,
    inner: Inner,
}

impl<S, Inner: Clone> Clone for SessionService<S, Inner> {
    fn clone(&self) -> Self {
        SessionService { manager: self.manager.clone(), inner: self.inner.clone() }
    }
}

impl<S, Inner, ReqBody, ResBody> Service<Request<ReqBody>> for SessionService<S, Inner>
where
    S: SessionStore + 'static,
    Inner: Service<Request<ReqBody>, Response = Response<ResBody>>,
    Inner::Future: Send + 'static,
    Inner::Error: Send,
    ResBody: Default + Send,
{
    type Response = Response<ResBody>;
    type Error = Inner::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let session = self.manager.start_request(&request);
        request.extensions_mut().insert(session.clone());
        let manager = self.manager.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            // If this panics or is dropped, the session is dropped too, and nothing was changed.
            let mut response = answer.await?;
            let verdict = response.extensions().get().copied().unwrap_or_else(|| verdict(&response));
            if verdict == Verdict::Failed {
                manager.finish_failed_request(&session, response.headers_mut());
                return Ok(response);
            }
            match finish(&manager, session, &mut response).await {
                Ok(outcome) => _ = response.extensions_mut().insert(outcome),
                Err(error) => {
                    log::error!("a session was not committed: {error}");
                    response = Response::new(ResBody::default());
                    *response.status_mut() = error.status();
                    response.extensions_mut().insert(error);
                }
            }
            Ok(response)
        })
    }
}

/// A request timeout has left its handler somewhere in the middle. One that a session's error has ended, such as a
/// conflict, is not to be tried once more.
fn verdict<B>(response: &Response<B>) -> Verdict {
    let is_failure = response.status().is_server_error()
        || response.status() == StatusCode::REQUEST_TIMEOUT
        || response.extensions().get::<Error>().is_some();
    if is_failure { Verdict::Failed } else { Verdict::Succeeded }
}

async fn finish<S: SessionStore + 'static, B>(
    manager: &SessionManager<S>,
    session: RequestSession,
    response: &mut Response<B>,
) -> Result<Outcome, Error> {
    if !session.is_to_be_committed() {
        return manager.finish_successful_request(&session, response.headers_mut());
    }
    let manager = manager.clone();
    let mut headers = std::mem::take(response.headers_mut());
    let (outcome, headers) = blocking(move || {
        let outcome = manager.finish_successful_request(&session, &mut headers);
        (outcome, headers)
    })
    .await;
    *response.headers_mut() = headers;
    outcome
}

/// Runs what may block off the threads that serve requests. A panic in it is one here.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => panic::resume_unwind(panic),
            // Only where the runtime shuts down, which then polls nobody any more.
            Err(_) => std::future::pending().await,
        },
    }
}

/// For asynchronous code: each runs on tokio's threads for blocking work.
impl RequestSession {
    /// Loads the session, so that looking at it will not block.
    ///
    /// # Errors
    /// [`Error::Store`]
    pub async fn load(&self) -> Result<(), Error> {
        if !self.is_to_be_loaded() {
            return self.load_now();
        }
        let session = self.clone();
        blocking(move || session.load_now()).await
    }

    /// Stores what was changed so far, without an end to the request. As [`SessionManager::save`].
    ///
    /// # Errors
    /// As [`SessionManager::finish_successful_request`]; [`Error::Committed`] after it.
    pub async fn save(&self) -> Result<Outcome, Error> {
        let session = self.clone();
        blocking(move || session.commit(false)).await
    }

    /// Takes a form token out of the session, at once. As [`SessionManager::take_form_token`].
    ///
    /// # Errors
    /// [`Error::Committed`], [`Error::Store`]
    pub async fn take_form_token(&self, token: &str) -> Result<bool, Error> {
        let (session, token) = (self.clone(), token.to_owned());
        blocking(move || session.take_token(&token)).await
    }
}
