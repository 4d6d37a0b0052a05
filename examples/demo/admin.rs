//! `/admin`: everybody's sessions, for who sits at this machine.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use http::header::HOST;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use sessiondir::web::{Error, RequestSession};
use sessiondir::{
    DirectoryStore, Naming, Result as StoreResult, Session, SessionRef, SessionStore, UnixMillis,
};

use crate::page::{self, Escaped};
use crate::{Site, is_loopback, successor, user};

/// The most sessions that are shown.
const MOST: usize = 200;

pub(crate) fn pages(site: &Arc<Site>) -> Router<Arc<Site>> {
    Router::new()
        .route("/admin", get(list))
        .route("/admin/delete", post(delete))
        .route("/admin/logout", post(logout))
        .route_layer(middleware::from_fn_with_state(Arc::clone(site), guard))
}

async fn guard(
    State(site): State<Arc<Site>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    // By the socket: what a header says, anybody can say.
    if is_loopback(peer.ip()) && is_ours(&site, request.headers()) {
        return next.run(request).await;
    }
    page::notice(StatusCode::FORBIDDEN, "This page is for the machine on which it is served.")
}

/// Whether the browser took us for this machine. Another site's name may lead to a loopback address too, and its pages
/// would read ours (DNS rebinding).
fn is_ours(site: &Site, headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.eq_ignore_ascii_case(&site.host)
        || name.parse::<IpAddr>().is_ok_and(is_loopback)
}

/// What the page shows, made where the store may block.
struct Listing {
    rows: String,
    shown: usize,
    files: usize,
}

async fn list(State(site): State<Arc<Site>>, session: RequestSession) -> Result<Response, Error> {
    let csrf = session.csrf_token()?;
    let own = session.id()?.map(SessionRef::from);
    let listed = site.with_store(move |site, store| listing(site, store, own.as_ref(), &csrf)).await;
    let Listing { rows, shown, files } = listed?;
    let body = format_args!(
        "<p class=\"fact\">{files} sessions in {}; {shown} shown.</p>\n<div class=\"wide\"><table>\n\
         <thead><tr><th>session<th>user<th>age<th>idle<th class=\"number\">data<th class=\"number\">file<th>&nbsp;</thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n\
         <p class=\"hint\">An ID is a credential; sessions go by the digits that the command <code>sessiondir list</code> shows. \
         Sizes are bytes; a file has room for two records.</p>",
        Escaped(site.directory.display())
    );
    Ok(page::page_of(&site, "Sessions", body).into_response())
}

fn listing(
    site: &Site,
    store: &DirectoryStore,
    own: Option<&SessionRef>,
    csrf: &str,
) -> StoreResult<Listing> {
    // Two passes, the first without reading a file: a store may have millions.
    let files = store.references()?.flatten().count();
    let mut listing = Listing { rows: String::new(), shown: 0, files };
    let now = UnixMillis::now();
    for read in store.iter_sessions()?.take(MOST) {
        listing.shown += 1;
        match read {
            Ok(session) => row(&mut listing.rows, site, store.marker().naming, &session, own, csrf, now),
            Err(error) => {
                _ = writeln!(listing.rows, "<tr class=\"bad\"><td colspan=\"7\">{}</tr>", Escaped(error));
            }
        }
    }
    Ok(listing)
}

fn row(
    rows: &mut String,
    site: &Site,
    naming: Naming,
    session: &Session,
    own: Option<&SessionRef>,
    csrf: &str,
    now: UnixMillis,
) {
    let Some(reference) = session.reference() else { return };
    let key = reference.key().to_hex();
    let is_own = own.is_some_and(|own| own.key() == reference.key());
    let mark = if is_own { " <small>this browser</small>" } else { "" };
    let user = match user::of(session) {
        None => "<small>nobody</small>".to_owned(),
        Some(user::Shown { text, kind: None }) => Escaped(text).to_string(),
        Some(user::Shown { text, kind: Some(kind) }) => {
            format!("<code>{}</code> <small>{kind}</small>", Escaped(text))
        }
    };
    let age = span(now.millis_since(session.created()));
    let idle = span(now.millis_since(session.accessed()));
    let data: usize = session.attributes().map(|(key, value)| key.len() + value.len()).sum();
    let size = size(&site.directory, naming, reference).map_or("–".to_owned(), |bytes| bytes.to_string());
    let fields = format!(
        "<input type=\"hidden\" name=\"csrf_token\" value=\"{csrf}\"><input type=\"hidden\" name=\"key\" value=\"{key}\">"
    );
    let everywhere = if session.has_user() {
        format!(
            "<form method=\"post\" action=\"/admin/logout\">{fields}<button>log out everywhere</button></form>"
        )
    } else {
        String::new()
    };
    _ = writeln!(
        rows,
        "<tr><td><code>{}</code>{mark}<td>{user}<td>{age}<td>{idle}<td class=\"number\">{data}<td class=\"number\">{size}\
         <td class=\"buttons\"><form method=\"post\" action=\"/admin/delete\">{fields}<button>delete</button></form>{everywhere}</tr>",
        reference.shown()
    );
}

/// How long a session's file is.
fn size(directory: &Path, naming: Naming, reference: &SessionRef) -> Option<u64> {
    let name = match naming {
        Naming::Plain => reference.id()?.expose().to_owned(),
        Naming::Hashed => reference.key().to_hex(),
    };
    Some(directory.join(name).symlink_metadata().ok()?.len())
}

/// A time in its two largest units.
fn span(millis: u64) -> String {
    let seconds = millis / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    key: String,
    csrf_token: String,
}

async fn delete(
    State(site): State<Arc<Site>>,
    session: RequestSession,
    Form(fields): Form<Fields>,
) -> Result<Response, Error> {
    if !session.is_csrf_valid(&Method::POST, &fields.csrf_token)? {
        return Ok(successor::foreign());
    }
    let work = move |_: &Site, store: &DirectoryStore| match named(store, &fields.key)? {
        Some(reference) => store.delete(&reference),
        None => Ok(false),
    };
    site.with_store(work).await?;
    Ok(page::found("/admin"))
}

/// Ends all sessions of one session's user.
async fn logout(
    State(site): State<Arc<Site>>,
    session: RequestSession,
    Form(fields): Form<Fields>,
) -> Result<Response, Error> {
    if !session.is_csrf_valid(&Method::POST, &fields.csrf_token)? {
        return Ok(successor::foreign());
    }
    let work = move |_: &Site, store: &DirectoryStore| -> StoreResult<()> {
        let Some(reference) = named(store, &fields.key)? else { return Ok(()) };
        let Some(session) = store.load(&reference)? else { return Ok(()) };
        let Some(user) = session.user_encoded() else { return Ok(()) };
        // A value has one encoding, so this is whether it is the same user.
        store.delete_where(&|other| other.user_encoded() == Some(user)).map(drop)
    };
    site.with_store(work).await?;
    Ok(page::found("/admin"))
}

/// The session of a key. Where files are named by IDs there is no other way than to look at all names.
fn named(store: &DirectoryStore, key: &str) -> StoreResult<Option<SessionRef>> {
    let mut references = store.references()?.filter_map(Result::ok);
    Ok(references.find(|reference| reference.key().to_hex() == key))
}
