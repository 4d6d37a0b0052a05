//! The endpoints of the successor of Session3's test application, under `/test/`.
//!
//! Its protocol is one for scripts: most of it is `GET`, also where something changes, and a login is a `POST` of a name
//! alone. What this site's own pages change, they change by `POST` with a CSRF token.

use std::fmt::Display;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Form, Router};
use ciborium::Value;
use http::{Method, StatusCode};
use serde::Deserialize;
use sessiondir::SessionStore;
use sessiondir::web::{Error, RequestSession};

use crate::page::{self, Escaped};
use crate::{Site, home, user};

/// The most characters of a name.
const NAME_MOST: usize = 200;

pub(crate) fn pages() -> Router<Arc<Site>> {
    Router::new()
        .route("/login", get(login_form).post(login))
        .route("/logout", get(logout).post(logout_form))
        .route("/counter", get(counter))
        .route("/check", get(check))
        .route("/create_token", get(create_token))
        .route("/check_token", get(check_token_query).post(check_token_form))
        .route("/delete_old", get(delete_old).post(delete_old_form))
}

/// The fields of all the forms.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    name: String,
    token: String,
    minutes: String,
    csrf_token: String,
}

pub(crate) async fn index(State(site): State<Arc<Site>>, session: RequestSession) -> Result<Response, Error> {
    let who = match session.user::<Value>()? {
        None => "<p class=\"fact\">Not logged in.</p>\n<p><a href=\"login\">Log in</a></p>".to_owned(),
        Some(user) => {
            let csrf = session.csrf_token()?;
            format!(
                "<p class=\"fact\">Logged in as {}.</p>\n\
                 <form method=\"post\" action=\"logout\"><input type=\"hidden\" name=\"csrf_token\" value=\"{csrf}\">\
                 <button>Log out</button></form>\n\
                 <form method=\"post\" action=\"delete_old\"><input type=\"hidden\" name=\"csrf_token\" value=\"{csrf}\">\
                 <label>Delete what was idle for more than <input name=\"minutes\" value=\"60\" inputmode=\"numeric\" size=\"5\"> minutes</label> \
                 <button>Delete</button></form>",
                Escaped(user::shown(&user).text)
            )
        }
    };
    let body = format!(
        "{who}\n<ul class=\"actions\">\n<li><a href=\"check\">check</a>: what is in the session, as text\n\
         <li><a href=\"counter\">counter</a>: counts, for who is logged in\n\
         <li><a href=\"create_token\">create_token</a>: a form that can be sent once\n</ul>"
    );
    Ok(page::page_of(&site, "Test", body).into_response())
}

async fn login_form(State(site): State<Arc<Site>>) -> Response {
    // Without a CSRF token: it would take a session, and a visitor who only looks is to get none.
    let body = "<form method=\"post\" action=\"login\">\n\
                <label>Name <input name=\"name\" required maxlength=\"200\" autocomplete=\"username\" autofocus></label>\n\
                <button>Log in</button>\n</form>\n<p class=\"hint\">Any name will do; there are no passwords here.</p>";
    page::page_of(&site, "Log in", body).into_response()
}

async fn login(session: RequestSession, Form(fields): Form<Fields>) -> Result<Response, Error> {
    let name = fields.name.trim();
    if name.is_empty() || name.chars().count() > NAME_MOST {
        return Ok(page::notice(StatusCode::BAD_REQUEST, "A name has 1 to 200 characters."));
    }
    session.set_user(name)?;
    home::assign(&session)?;
    // Made now, so that the pages that show it need not write.
    session.csrf_token()?;
    Ok(page::found("/test/"))
}

async fn logout(Extension(session): Extension<RequestSession>) -> Result<Response, Error> {
    session.expire()?;
    Ok(page::found("/test/"))
}

async fn logout_form(session: RequestSession, Form(fields): Form<Fields>) -> Result<Response, Error> {
    if !session.is_csrf_valid(&Method::POST, &fields.csrf_token)? {
        return Ok(foreign());
    }
    session.expire()?;
    Ok(page::found("/test/"))
}

async fn counter(session: RequestSession) -> Result<Response, Error> {
    if !session.has_user()? {
        return Ok(text("Not logged in\n"));
    }
    home::count(&session)?;
    Ok(text(format_args!("Counter: {}\n", home::counter(&session)?)))
}

async fn check(session: RequestSession) -> Result<Response, Error> {
    // As Python shows them: scripts that were written for the original read this.
    let boolean = |yes| if yes { "True" } else { "False" };
    let id = home::id(&session)?;
    let user = session.user::<Value>()?.map_or("None".to_owned(), |user| user::shown(&user).text);
    let (counter, has_info) = (home::counter(&session)?, boolean(session.has_info()?));
    let tokens = session.form_tokens()?;
    Ok(text(format_args!(
        "session_id: {id}\nuser: {user}\ncounter: {counter}\nhas_info: {has_info}\n\
         form_tokens_count: {tokens}\nhas_form_tokens: {}\n",
        boolean(tokens > 0)
    )))
}

async fn create_token(
    State(site): State<Arc<Site>>,
    session: RequestSession,
) -> Result<impl IntoResponse, Error> {
    home::assign(&session)?;
    let token = session.create_form_token()?;
    let count = session.form_tokens()?;
    Ok(page::page_of(
        &site,
        "A form token",
        format_args!(
            "<p class=\"fact\">Token: {token}</p>\n<p>Of this session there are {count}.</p>\n\
             <form method=\"post\" action=\"check_token\"><input type=\"hidden\" name=\"token\" value=\"{token}\">\
             <button>Check it</button></form>\n<p class=\"hint\">A token is good for one check.</p>"
        ),
    ))
}

async fn check_token_query(session: RequestSession, Query(fields): Query<Fields>) -> Result<Response, Error> {
    check_token(&session, &fields.token).await
}

async fn check_token_form(session: RequestSession, Form(fields): Form<Fields>) -> Result<Response, Error> {
    check_token(&session, &fields.token).await
}

/// The token itself is what keeps others from sending this form.
async fn check_token(session: &RequestSession, token: &str) -> Result<Response, Error> {
    if session.take_form_token(token).await? {
        Ok(text("Token valid\n"))
    } else {
        Ok((StatusCode::FORBIDDEN, text("Token invalid\n")).into_response())
    }
}

async fn delete_old(state: State<Arc<Site>>, Query(fields): Query<Fields>) -> Result<Response, Error> {
    delete(state, &fields.minutes).await
}

async fn delete_old_form(
    state: State<Arc<Site>>,
    session: RequestSession,
    Form(fields): Form<Fields>,
) -> Result<Response, Error> {
    if !session.is_csrf_valid(&Method::POST, &fields.csrf_token)? {
        return Ok(foreign());
    }
    delete(state, &fields.minutes).await
}

async fn delete(State(site): State<Arc<Site>>, minutes: &str) -> Result<Response, Error> {
    let Ok(minutes) = minutes.parse() else {
        return Ok(page::notice(
            StatusCode::BAD_REQUEST,
            "minutes is to be a whole number, as in ?minutes=60.",
        ));
    };
    let done = site.with_store(move |_, store| store.delete_old_sessions(minutes)).await?;
    Ok(text(format_args!("Deleted: {}, Remaining: {}\n", done.deleted, done.remaining + done.failed)))
}

/// What comes from a page that is not this session's.
pub(crate) fn foreign() -> Response {
    page::notice(StatusCode::FORBIDDEN, "This form was not of your session. Please load its page again.")
}

fn text(text: impl Display) -> Response {
    text.to_string().into_response()
}
