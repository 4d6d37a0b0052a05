//! The tower layer and axum's extractor.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http::header::SET_COOKIE;
use http::{Request, StatusCode};
use sessiondir::Error as StoreError;
use sessiondir::web::{Config, Error, Outcome, RequestSession, SessionLayer, SessionManager, Verdict};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::browser::{Browser, Watched, all, manager, only};

fn request(browser: &Browser, path: &str) -> Request<Body> {
    let (mut parts, ()) = browser.request().into_parts();
    parts.uri = path.parse().expect("a path");
    Request::from_parts(parts, Body::empty())
}

async fn send(app: &Router, browser: &mut Browser, path: &str) -> Response {
    let response = app.clone().oneshot(request(browser, path)).await.expect("axum answers");
    browser.receive(response.headers());
    response
}

async fn set(session: RequestSession) -> Result<&'static str, Error> {
    session.modify("n", |n: Option<i64>| Some(n.unwrap_or(0) + 1))?;
    Ok("what is not to be seen if it cannot be stored")
}

fn app() -> (SessionManager<Watched>, Router) {
    let manager = manager(Config::new());
    let app = Router::new()
        .route("/set", get(set))
        .route("/static", get(|| async { "a file" }))
        .route("/error", get(async |session| set(session).await.map(|_| StatusCode::INTERNAL_SERVER_ERROR)))
        .route("/missing", get(async |session| set(session).await.map(|_| StatusCode::NOT_FOUND)))
        .route("/panic", get(|session| async { set(session).await.map_or((), |_| panic!("as a test")) }))
        .route(
            "/meant",
            get(async |session| {
                let outcome = set(session).await;
                outcome.map(|_| (StatusCode::BAD_GATEWAY, Extension(Verdict::Succeeded)))
            }),
        )
        .route("/regretted", get(async |session| set(session).await.map(|_| Extension(Verdict::Failed))))
        .layer(SessionLayer::new(manager.clone()));
    (manager, app)
}

fn n(manager: &SessionManager<Watched>) -> Option<i64> {
    only(manager.store()).get("n").expect("a number")
}

#[tokio::test]
async fn a_request_is_committed_if_it_succeeds() {
    let (manager, app) = app();
    let mut browser = Browser::new();
    let response = send(&app, &mut browser, "/set").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.extensions().get(), Some(&Outcome::Created));
    assert_eq!(n(&manager), Some(1));
    for (path, status, expected) in [
        ("/set", 200, 2),
        ("/error", 500, 2),
        // An error page that was meant.
        ("/missing", 404, 3),
        ("/meant", 502, 4),
        ("/regretted", 200, 4),
    ] {
        let response = send(&app, &mut browser, path).await;
        assert_eq!((response.status().as_u16(), n(&manager)), (status, Some(expected)), "{path}");
        assert_eq!(response.headers()["vary"], "Cookie", "{path}");
    }
    let panicked = tokio::spawn(app.clone().oneshot(request(&browser, "/panic"))).await;
    assert!(panicked.is_err_and(|error| error.is_panic()));
    assert_eq!(n(&manager), Some(4));

    manager.store().calls();
    let response = send(&app, &mut browser, "/static").await;
    assert_eq!((manager.store().calls(), response.headers().contains_key("vary")), ((0, 0), false));
}

/// A service that fails with its own error, without axum.
#[tokio::test]
async fn an_err_is_a_failure() {
    let manager = manager(Config::new());
    let work = |fails: bool| {
        service_fn(move |request: Request<()>| async move {
            let session = request.extensions().get::<RequestSession>().expect("the layer's").clone();
            session.load().await.expect("loads");
            session.insert("a", &1).expect("open");
            if fails { Err("refused") } else { Ok(http::Response::new(String::from("done"))) }
        })
    };
    let layer = SessionLayer::new(manager.clone());
    let mut service = layer.layer(work(true));
    let answer = service.ready().await.expect("ready").call(Request::new(())).await;
    assert_eq!(answer.expect_err("the service's error"), "refused");
    assert!(all(manager.store()).is_empty());
    let answer = layer.layer(work(false)).oneshot(Request::new(())).await.expect("done");
    assert!(answer.headers().contains_key(SET_COOKIE));
    assert_eq!((answer.body().as_str(), all(manager.store()).len()), ("done", 1));
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_503() {
    let (manager, app) = app();
    let mut browser = Browser::new();
    send(&app, &mut browser, "/set").await;
    let before = browser.clone();
    let busy = || StoreError::Busy { session: None, waited: Duration::ZERO };

    manager.store().break_reads(busy);
    let response = send(&app, &mut browser, "/set").await;
    assert_eq!((response.status().as_u16(), &browser), (503, &before));
    assert!(matches!(response.extensions().get(), Some(Error::Store(_))));
    assert_eq!(send(&app, &mut browser, "/static").await.status(), 200);
    manager.store().mend();

    manager.store().break_writes(busy);
    let response = send(&app, &mut browser, "/set").await;
    assert_eq!((response.status().as_u16(), &browser), (503, &before));
    assert!(matches!(response.extensions().get(), Some(Error::Store(_))));
    let body = axum::body::to_bytes(response.into_body(), 1000).await.expect("a body");
    assert!(body.is_empty(), "nothing of what the handler said");
    manager.store().mend();
    assert_eq!(n(&manager), Some(1));
}

#[tokio::test]
async fn a_handler_without_the_layer_is_told_so() {
    let app = Router::new().route("/", get(set));
    let response = send(&app, &mut Browser::new(), "/").await;
    assert_eq!(response.status(), 500);
    assert!(matches!(response.extensions().get(), Some(Error::NoLayer)));
}

/// In a stream the headers are gone: a change is an error, and an explicit save before them is not.
#[tokio::test]
async fn explicit_saves() {
    let manager = manager(Config::new());
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let handler = async move |session: RequestSession| -> Result<Response, Error> {
        session.insert("a", &1)?;
        assert_eq!(session.save().await?, Outcome::Created);
        let id = session.id()?;
        session.insert("a", &2)?;
        tokio::spawn({
            let tell = tell.clone();
            async move {
                // As a stream's body would, when the response has gone.
                while !matches!(session.insert("b", &1), Err(Error::Committed)) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                let late = session.reopen();
                late.load().await.expect("loads");
                late.insert("c", &3).expect("open");
                tell.send(late.save().await).expect("somebody listens");
            }
        });
        Ok(id.map_or("not stored", |_| "stored").into_response())
    };
    let app = Router::new().route("/", get(handler)).layer(SessionLayer::new(manager.clone()));
    let mut browser = Browser::new();
    let response = send(&app, &mut browser, "/").await;
    assert_eq!(response.extensions().get(), Some(&Outcome::Saved));
    assert!(browser.cookie.is_some(), "the ID of the first save");
    let saved = told.recv().await.expect("the stream's word");
    assert_eq!(saved.expect("saves"), Outcome::Saved);
    let session = only(manager.store());
    assert_eq!((session.get("a"), session.get("c")), (Ok(Some(2)), Ok(Some(3))));
}

#[tokio::test]
async fn tokens_are_taken_by_one() {
    let manager = manager(Config::new());
    let app = Router::new()
        .route("/form", get(async |session: RequestSession| session.create_form_token()))
        .route(
            "/take/{token}",
            get(async |axum::extract::Path(token): axum::extract::Path<String>, session: RequestSession| {
                session.take_form_token(&token).await.map(|taken| taken.to_string())
            }),
        )
        .layer(SessionLayer::new(manager));
    let mut browser = Browser::new();
    let text = async |response: Response| {
        let body = axum::body::to_bytes(response.into_body(), 1000).await.expect("a body");
        String::from_utf8(body.to_vec()).expect("text")
    };
    let token = text(send(&app, &mut browser, "/form").await).await;
    let path = format!("/take/{token}");
    let first = text(send(&app, &mut browser.clone(), &path).await).await;
    let second = text(send(&app, &mut browser, &path).await).await;
    assert_eq!((first.as_str(), second.as_str()), ("true", "false"));
}

/// The layer is for any service that can be cloned, or not.
#[test]
fn the_layer_asks_little() {
    fn is_service<T: Service<Request<Vec<u8>>>>(_: &T) {}
    struct NotClone;
    let held = NotClone;
    let inner = service_fn(move |_: Request<Vec<u8>>| {
        let _ = &held;
        async { Ok::<_, Infallible>(http::Response::new(Vec::<u8>::new())) }
    });
    is_service(&SessionLayer::new(manager(Config::new())).layer(inner));
}
