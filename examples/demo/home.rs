//! Session3's interactive test application, page by page.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{Html, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http::StatusCode;
use sessiondir::web::{Error, RequestSession};

use crate::Site;
use crate::page::{self, Escaped};

pub(crate) fn pages() -> Router<Arc<Site>> {
    Router::new()
        .route("/", get(index))
        .route("/keep", get(keep))
        .route("/increment", get(increment))
        .route("/incrementfail", get(incrementfail))
        .route("/logout", get(logout))
        .route("/logoutfail", get(logoutfail))
}

async fn index(State(site): State<Arc<Site>>, session: RequestSession) -> Result<Html<String>, Error> {
    let id = id(&session)?;
    let counter = counter(&session)?;
    let id = Escaped(id);
    Ok(page::page_of(
        &site,
        "Hello, world!",
        format_args!(
            "<p class=\"fact\">\nYour session ID is {id}.\n</p>\n<p class=\"fact\">\nCounter is at {counter}.\n</p>\n\
             <ul class=\"actions\">\n<li><a href=\"./\">revisit page</a>\n<li><a href=\"keep\">assign session</a>\n\
             <li><a href=\"increment\">increment</a> | <a href=\"incrementfail\">increment+error</a>\n\
             <li><a href=\"logout\">log out</a> | <a href=\"logoutfail\">logout+error</a>\n</ul>\n\
             <p class=\"hint\">Before “assign session” nothing is stored, and nothing counts. What ends in an error is not done.</p>"
        ),
    ))
}

/// The ID as it is to be shown. It is a credential, and pages do not show one; but it is what this demo is for. A short one
/// of Session3's is shown once more: the end of the request gives the session another.
pub(crate) fn id(session: &RequestSession) -> Result<String, Error> {
    Ok(session.id()?.map_or("None".to_owned(), |id| id.expose().to_owned()))
}

/// Before this, nothing is stored and there is no ID.
async fn keep(session: RequestSession) -> Result<Response, Error> {
    assign(&session)?;
    Ok(page::found("/"))
}

async fn increment(session: RequestSession) -> Result<Response, Error> {
    // Session3 throws the session of this request away, and the counter with it.
    if is_kept(&session)? {
        count(&session)?;
    }
    Ok(page::found("/"))
}

/// Increments, and fails: so it has not incremented.
async fn incrementfail(session: RequestSession) -> Result<Response, Error> {
    count(&session)?;
    Ok(page::notice(StatusCode::INTERNAL_SERVER_ERROR, "oops!"))
}

// A logout takes the session as it comes, not loaded: so it works on one that cannot be read.
async fn logout(Extension(session): Extension<RequestSession>) -> Result<Response, Error> {
    session.expire()?;
    Ok(page::found("/"))
}

/// Logs out, and fails: so nobody is logged out.
async fn logoutfail(Extension(session): Extension<RequestSession>) -> Result<Response, Error> {
    session.expire()?;
    Ok(page::notice(StatusCode::INTERNAL_SERVER_ERROR, "oops."))
}

// The two attributes are those of the demo in Python, which would throw a session away that is not kept.

fn is_kept(session: &RequestSession) -> Result<bool, Error> {
    Ok(session.get("keep")?.unwrap_or(false))
}

/// Marks the session to be stored.
pub(crate) fn assign(session: &RequestSession) -> Result<(), Error> {
    if !is_kept(session)? {
        session.insert("keep", &true)?;
        session.modify("counter", |counter: Option<i64>| Some(counter.unwrap_or(0)))?;
    }
    Ok(())
}

pub(crate) fn counter(session: &RequestSession) -> Result<i64, Error> {
    Ok(session.get("counter")?.unwrap_or(0))
}

/// Counts one, also where another request does so at the same time.
pub(crate) fn count(session: &RequestSession) -> Result<(), Error> {
    session.modify("counter", |counter: Option<i64>| Some(counter.unwrap_or(0).saturating_add(1)))
}
