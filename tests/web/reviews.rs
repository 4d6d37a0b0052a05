//! What reviews have found. Each has failed once.

use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;
use std::{io, thread};

use axum::Router;
use axum::routing::get;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use sessiondir::web::{Config, Error, Outcome, RequestSession, SessionLayer, SessionManager};
use sessiondir::{DirectoryStore, Error as StoreError, Options, Session, SessionId, SessionStore};
use tower::ServiceExt;

use super::browser::{Browser, Clock, Watched, all, manager, only};

const HOUR: Duration = Duration::from_secs(3600);

fn busy() -> StoreError {
    StoreError::Busy { session: None, waited: Duration::ZERO }
}

fn no_space() -> StoreError {
    StoreError::NoSpace { operation: "write", session: None, source: io::ErrorKind::StorageFull.into() }
}

/// A store with a session of ada's, under a short ID of an importer.
fn imported() -> (tempfile::TempDir, SessionId) {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let store = Options::new().create(true).open(tmp.path()).expect("opens");
    let id = SessionId::new("Abcdefghij_").expect("an ID");
    let mut session = Session::new();
    session.set_user("ada").expect("a user");
    store.insert(&id, &mut session).expect("stores");
    (tmp, id)
}

#[test]
fn a_name_with_other_white_space_before_it_is_another_one() {
    let manager = manager(Config::new().cookie_name("__Host-sid"));
    let mut s = Session::new();
    s.set_user("mallory").expect("works");
    let id = manager.store().create(&mut s).expect("works");
    // A sibling host has set the cookie "\u{2000}__Host-sid" with a Domain, which browsers allow.
    for space in ["\u{2000}", "\u{a0}", "\u{3000}", "\u{85}"] {
        let mut request = Request::new(());
        let value = format!("{space}__Host-sid={}", id.expose());
        request.headers_mut().insert(COOKIE, HeaderValue::from_bytes(value.as_bytes()).expect("works"));
        let session = manager.start_request(&request);
        assert_eq!(session.user::<String>().expect("works"), None, "{space:?}");
    }
}

#[test]
fn a_cookie_with_an_age_is_given_anew_by_saves() {
    let clock = Clock::new();
    let manager =
        SessionManager::new(Watched::with(&clock.options()), Config::new().cookie_max_age(Some(HOUR)))
            .expect("works");
    let mut browser = Browser::new();
    browser.visit(&manager, |s| s.set_user("ada"));
    let mut given = 0;
    for n in 0..10 {
        clock.forward(30 * 60_000);
        let session = manager.start_request(&browser.request());
        session.insert("visits", &n).expect("works");
        let mut headers = HeaderMap::new();
        manager.finish_successful_request(&session, &mut headers).expect("works");
        given += usize::from(headers.contains_key(SET_COOKIE));
    }
    assert!(given > 0, "five hours of use, and the cookie of one hour was never given anew");
}

#[test]
fn an_idle_life_of_the_application_s_stays() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |s| {
        s.set_user("ada")?;
        s.set_idle(Some(HOUR))
    });
    browser.visit(&manager, |s| s.insert("a", &1));
    assert_eq!(only(manager.store()).idle(), Some(HOUR));
}

#[test]
fn an_idle_life_without_end_stays() {
    let manager = manager(Config::new().idle_without_user_and_data(None));
    let mut browser = Browser::new();
    browser.visit(&manager, |s| {
        s.set_user("ada")?;
        s.set_idle(None)
    });
    browser.visit(&manager, |s| s.insert("a", &1));
    assert_eq!(only(manager.store()).idle(), None);
}

#[test]
fn a_rotation_waits_for_the_end_of_the_request() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |s| s.set_user("ada"));
    let session = manager.start_request(&browser.request());
    session.rotate().expect("works");
    session.insert("a", &1).expect("works");
    assert_eq!(manager.save(&session).expect("works"), Outcome::Saved);
    let mut headers = HeaderMap::new();
    manager.finish_failed_request(&session, &mut headers);
    browser.receive(&headers);
    assert!(browser.visit(&manager, |s| s.has_user()).0, "an error has logged ada out");
}

#[test]
fn a_short_id_waits_for_the_end_of_the_request() {
    let (tmp, id) = imported();
    let store = DirectoryStore::open(tmp.path()).expect("opens");
    let manager = SessionManager::new(store, Config::new()).expect("a manager");
    let session = manager.start_request(&Browser::with(&id).request());
    session.insert("progress", &1).expect("works");
    manager.save(&session).expect("works");
    manager.finish_failed_request(&session, &mut HeaderMap::new());
    assert!(Browser::with(&id).visit(&manager, |s| s.has_user()).0);
}

#[tokio::test]
async fn a_login_that_was_saved_and_failed_loses_nothing() {
    let manager = manager(Config::new());
    let app = Router::new()
        .route(
            "/login",
            get(async |s: RequestSession| -> Result<StatusCode, Error> {
                s.set_user("ada")?;
                s.save().await?;
                Ok(StatusCode::INTERNAL_SERVER_ERROR)
            }),
        )
        .layer(SessionLayer::new(manager.clone()));
    let mut browser = Browser::new();
    browser.visit(&manager, |s| s.insert("cart", &1));
    let (mut p, ()) = browser.request().into_parts();
    p.uri = "/login".parse().expect("works");
    let r = app.oneshot(Request::from_parts(p, axum::body::Body::empty())).await.expect("works");
    assert_eq!(r.status(), 500);
    browser.receive(r.headers());
    assert!(browser.visit(&manager, |s| s.contains("cart")).0, "the cart is lost");
}

#[test]
fn a_failed_logout_can_be_finished_again() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |s| s.set_user("ada"));
    let session = manager.start_request(&browser.request());
    session.expire().expect("works");
    manager.store().break_writes(busy);
    let mut headers = HeaderMap::new();
    manager.finish_successful_request(&session, &mut headers).expect_err("fails");
    manager.store().mend();
    let again = manager.finish_successful_request(&session, &mut headers);
    // Either an error, or the logout is done.
    assert!(
        again.is_err() || all(manager.store()).is_empty(),
        "{again:?} {headers:?}, and ada's session is there"
    );
}

#[test]
fn a_failed_change_can_be_finished_again() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |s| s.set_user("ada"));
    let session = manager.start_request(&browser.request());
    session.insert("a", &1).expect("works");
    manager.store().break_writes(busy);
    manager.finish_successful_request(&session, &mut HeaderMap::new()).expect_err("fails");
    manager.store().mend();
    let again = manager.finish_successful_request(&session, &mut HeaderMap::new());
    assert!(again.is_err() || only(manager.store()).contains("a"), "{again:?}");
}

fn hangs(work: impl FnOnce() + Send + 'static) -> bool {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        work();
        let _ = tell.send(());
    });
    matches!(told.recv_timeout(Duration::from_secs(10)), Err(mpsc::RecvTimeoutError::Timeout))
}

#[test]
fn modify_in_a_rotation_does_not_wait_for_itself() {
    assert!(
        !hangs(|| {
            let manager = manager(Config::new());
            let mut browser = Browser::new();
            browser.visit(&manager, |s| s.insert("a", &1));
            let session = manager.start_request(&browser.request());
            session.set_user("ada").expect("works");
            let (inner, asked) = (session.clone(), manager.clone());
            let mut calls = 0;
            session
                .modify("a", move |a: Option<i64>| {
                    calls += 1;
                    if calls > 1 {
                        let _ = asked.save(&inner);
                    }
                    a
                })
                .expect("works");
            let _ = manager.finish_successful_request(&session, &mut HeaderMap::new());
        }),
        "for ever"
    );
}

#[test]
fn modify_in_a_strict_commit_does_not_wait_for_itself() {
    assert!(
        !hangs(|| {
            let manager = manager(Config::new().strict(true));
            let mut browser = Browser::new();
            browser.visit(&manager, |s| s.insert("a", &1));
            let session = manager.start_request(&browser.request());
            let (inner, asked) = (session.clone(), manager.clone());
            let mut calls = 0;
            session
                .modify("a", move |a: Option<i64>| {
                    calls += 1;
                    if calls > 1 {
                        let _ = asked.take_form_token(&inner, "x");
                    }
                    a
                })
                .expect("works");
            let _ = manager.finish_successful_request(&session, &mut HeaderMap::new());
        }),
        "for ever"
    );
}

#[test]
fn a_short_id_is_read_where_nothing_can_be_written() {
    let (tmp, id) = imported();
    let store = Options::new().read_only(true).open(tmp.path()).expect("opens");
    let manager = SessionManager::new(store, Config::new()).expect("a manager");
    let session = manager.start_request(&Browser::with(&id).request());
    assert!(session.has_user().expect("works"));
    let done = manager.finish_successful_request(&session, &mut HeaderMap::new());
    assert!(done.is_ok(), "a page that only reads: {}", done.expect_err("fails").status());
}

#[test]
fn clones_modify_a_new_session() {
    for stored in [true, false] {
        let manager = manager(Config::new());
        let mut browser = Browser::new();
        if stored {
            browser.visit(&manager, |s| s.set_user("ada"));
        }
        let session = manager.start_request(&browser.request());
        session.has_info().expect("works");
        let both = Arc::new(Barrier::new(2));
        thread::scope(|scope| {
            for _ in 0..2 {
                let (session, both) = (session.clone(), Arc::clone(&both));
                scope.spawn(move || {
                    let mut first = true;
                    session
                        .modify("n", move |n: Option<i64>| {
                            if std::mem::take(&mut first) {
                                both.wait();
                            }
                            Some(n.unwrap_or(0) + 1)
                        })
                        .expect("works");
                });
            }
        });
        manager.finish_successful_request(&session, &mut HeaderMap::new()).expect("works");
        assert_eq!(only(manager.store()).get::<i64>("n").expect("works"), Some(2), "stored: {stored}");
    }
}

#[test]
fn a_strict_rotation_that_empties_is_a_conflict_too() {
    let manager = manager(Config::new().strict(true));
    let mut browser = Browser::new();
    browser.visit(&manager, |s| s.set_user("ada"));
    let slow = manager.start_request(&browser.request());
    slow.clear_user().expect("works");
    slow.rotate().expect("works");
    browser.clone().visit(&manager, |s| s.insert("y", &2));
    let outcome = manager.finish_successful_request(&slow, &mut HeaderMap::new());
    assert!(matches!(outcome, Err(Error::Conflict)), "{outcome:?}");
}

#[test]
fn a_strict_commit_of_the_same_value_is_an_access() {
    let clock = Clock::new();
    let manager =
        SessionManager::new(Watched::with(&clock.options()), Config::new().strict(true)).expect("works");
    let mut browser = Browser::new();
    browser.visit(&manager, |s| {
        s.set_user("ada")?;
        s.insert("lang", "en")
    });
    let before = only(manager.store()).accessed();
    for _ in 0..13 {
        clock.forward(24 * 3_600_000);
        browser.visit(&manager, |s| s.insert("lang", "en"));
    }
    assert!(only(manager.store()).accessed() > before, "never noted");
    for _ in 0..2 {
        clock.forward(24 * 3_600_000);
        assert!(
            browser
                .visit(&manager, |s| {
                    s.insert("lang", "en")?;
                    s.has_user()
                })
                .0,
            "logged out though used each day"
        );
    }
}

#[test]
fn one_that_was_not_looked_at_can_be_reopened() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |s| s.set_user("ada"));
    let session = manager.start_request(&browser.request());
    manager.finish_successful_request(&session, &mut HeaderMap::new()).expect("works");
    assert!(session.reopen().has_user().expect("works"));
}

#[test]
fn the_same_user_again_undoes_no_logout() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |s| s.set_user("ada"));
    let slow = manager.start_request(&browser.request());
    // As a middleware does that refreshes it.
    slow.set_user("ada").expect("open");
    slow.insert("x", &1).expect("open");
    browser.visit(&manager, |s| {
        s.clear_user()?;
        s.insert("notice", "bye")
    });
    let outcome = manager.finish_successful_request(&slow, &mut HeaderMap::new()).expect("commits");
    let stored = only(manager.store());
    assert_eq!((outcome, stored.has_user(), stored.contains("x")), (Outcome::UserChanged, false, false));
}

#[test]
fn the_tokens_of_the_page_outlive_a_save_and_a_rotation() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |s| s.set_user("ada"));
    let ((csrf, token), _) = browser.visit(&manager, |s| {
        let shown = (s.csrf_token()?, s.create_form_token()?);
        manager.save(s)?;
        s.rotate()?;
        Ok(shown)
    });
    let stored = only(manager.store());
    assert_eq!(
        (stored.csrf(), stored.tokens().collect::<Vec<_>>()),
        (Some(csrf.as_str()), vec![token.as_str()])
    );
}

#[test]
fn the_same_user_after_another_is_no_login() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |s| {
        s.set_user("ada")?;
        s.csrf_token()
    });
    let (shown, _) = browser.visit(&manager, |s| {
        s.set_user("bob")?;
        s.set_user("ada")?;
        s.csrf_token()
    });
    assert!(browser.visit(&manager, |s| s.is_csrf_valid(&Method::POST, &shown)).0);
}

#[test]
fn an_old_id_on_its_way_sets_no_cookie() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |s| s.csrf_token());
    let on_its_way = browser.clone();
    browser.visit(&manager, |s| s.set_user("ada"));
    // Sent before the browser had the new ID, served after; its response comes last.
    let session = manager.start_request(&on_its_way.request());
    session.modify("visits", |n: Option<i64>| Some(n.unwrap_or(0) + 1)).expect("works");
    let mut headers = HeaderMap::new();
    let outcome = manager.finish_successful_request(&session, &mut headers).expect("works");
    browser.receive(&headers);
    assert!(browser.visit(&manager, |s| s.has_user()).0, "{outcome:?}: ada is logged out");
}

#[test]
fn to_ask_for_the_cookie_is_to_look() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |s| s.set_user("ada"));
    let session = manager.start_request(&browser.request());
    assert!(manager.has_session_cookie(&session, false).expect("works"));
    let mut headers = HeaderMap::new();
    manager.finish_successful_request(&session, &mut headers).expect("works");
    assert!(headers.contains_key("vary"));
}

#[test]
fn what_is_removed_makes_room() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    let large = "x".repeat(10 << 20);
    browser.visit(&manager, |s| s.insert("z", &large));
    let session = manager.start_request(&browser.request());
    session.remove("z").expect("works");
    session.insert("a", &large).expect("works");
    let done = manager.finish_successful_request(&session, &mut HeaderMap::new());
    assert!(done.is_ok(), "{done:?}");
}

#[test]
fn nothing_is_rotated_where_nothing_is_left() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |s| s.csrf_token());
    browser.visit(&manager, |s| s.rotate());
    assert!(all(manager.store()).iter().all(Session::has_info));
}

#[test]
fn a_panic_at_the_commit_leaves_the_session_open() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |s| s.insert("a", &1));
    let session = manager.start_request(&browser.request());
    let mut calls = 0;
    session
        .modify("a", move |a: Option<i64>| {
            calls += 1;
            assert!(calls != 2, "as a test");
            a.map(|a| a + 1)
        })
        .expect("works");
    let (m, s) = (manager.clone(), session.clone());
    thread::spawn(move || m.save(&s)).join().expect_err("fails");
    // Others go on.
    browser.visit(&manager, |s| s.insert("b", &1));
    let again = session.insert("c", &1);
    assert!(!matches!(again, Err(Error::Committed)), "it was never committed: {again:?}");
}

#[test]
fn a_change_waits_for_a_save_in_flight() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |s| s.insert("a", &1));
    let session = manager.start_request(&browser.request());
    let (enter, entered) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let mut calls = 0;
    session
        .modify("a", move |a: Option<i64>| {
            calls += 1;
            if calls == 2 {
                enter.send(()).expect("works");
                let _ = gone.recv_timeout(Duration::from_secs(1));
            }
            a.map(|a| a + 1)
        })
        .expect("works");
    let (m, s) = (manager.clone(), session.clone());
    let saving = thread::spawn(move || m.save(&s));
    entered.recv().expect("works");
    let other = session.insert("b", &1);
    let _ = go.send(());
    saving.join().expect("works").expect("works");
    assert!(other.is_ok(), "the request goes on: {other:?}");
}

#[test]
fn a_login_keeps_an_earlier_end() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    let soon = sessiondir::UnixMillis::now().plus(HOUR);
    browser.visit(&manager, |s| {
        s.insert("cart", &1)?;
        s.set_expires(Some(soon))
    });
    browser.visit(&manager, |s| s.set_user("ada"));
    assert_eq!(only(manager.store()).expires(), Some(soon));
}

#[test]
fn two_tabs_of_an_imported_user_stay_logged_in() {
    let (tmp, id) = imported();
    let store = DirectoryStore::open(tmp.path()).expect("opens");
    let manager = SessionManager::new(store, Config::new()).expect("a manager");
    let mut browser = Browser::with(&id);
    let mut headers = Vec::new();
    // Both sent with the old ID; both pages show a CSRF token; the responses come in order.
    for _ in 0..2 {
        let session = manager.start_request(&browser.request());
        session.csrf_token().expect("works");
        let mut h = HeaderMap::new();
        manager.finish_successful_request(&session, &mut h).expect("works");
        headers.push(h);
    }
    for h in &headers {
        browser.receive(h);
    }
    assert!(browser.visit(&manager, |s| s.has_user()).0, "ada is logged out by the migration");
}

#[test]
fn an_empty_session_is_read_where_nothing_can_be_written() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    let (token, _) = browser.visit(&manager, |s| s.create_form_token());
    let session = manager.start_request(&browser.request());
    assert!(manager.take_form_token(&session, &token).expect("works"));
    manager.finish_failed_request(&session, &mut HeaderMap::new());
    manager.store().break_writes(no_space);
    let session = manager.start_request(&browser.request());
    assert!(!session.has_user().expect("works"));
    let done = manager.finish_successful_request(&session, &mut HeaderMap::new());
    assert!(done.is_ok(), "{done:?}");
}

#[tokio::test]
async fn who_only_looks_does_not_wait_for_a_token() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |s| s.set_user("ada"));
    let session = manager.start_request(&browser.request());
    session.load().await.expect("works");
    // Somebody holds the session's turn for a second.
    let (enter, entered) = mpsc::channel();
    let (m, r) = (manager.clone(), only(manager.store()).reference().expect("works").clone());
    let holder = thread::spawn(move || {
        m.store()
            .update(&r, &mut |_| {
                enter.send(()).expect("works");
                thread::sleep(Duration::from_secs(1));
                Ok(())
            })
            .expect("works");
    });
    entered.recv().expect("works");
    let clone = session.clone();
    let taking = tokio::spawn(async move { clone.take_form_token("x").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = std::time::Instant::now();
    assert!(session.has_user().expect("works"));
    let waited = start.elapsed();
    taking.await.expect("works").expect("works");
    holder.join().expect("works");
    assert!(waited < Duration::from_millis(300), "the thread stood for {waited:?}");
}

#[test]
fn a_look_does_not_end_the_session_of_a_login() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    let (token, _) = browser.visit(&manager, |s| s.create_form_token());
    let login = manager.start_request(&browser.request());
    assert!(manager.take_form_token(&login, &token).expect("works"));
    // argon2 takes its time. Meanwhile:
    let mut other = browser.clone();
    let (_, outcome) = other.visit(&manager, |s| s.has_user());
    println!("the other: {outcome:?}, cookie {:?}", other.cookie.is_some());
    login.set_user("ada").expect("works");
    let mut headers = HeaderMap::new();
    let outcome = manager.finish_successful_request(&login, &mut headers).expect("works");
    browser.receive(&headers);
    assert!(
        browser.visit(&manager, |s| s.has_user()).0,
        "the login: {outcome:?}, with success and without effect"
    );
}

#[tokio::test]
async fn a_timeout_commits_nothing() {
    let manager = manager(Config::new());
    let app = Router::new()
        .route(
            "/",
            get(async |s: RequestSession| -> Result<&'static str, Error> {
                s.insert("paid", &true)?;
                tokio::time::sleep(Duration::from_secs(5)).await;
                s.insert("order", &1)?;
                Ok("done")
            }),
        )
        .layer(axum::middleware::from_fn(async |r: axum::extract::Request, next: axum::middleware::Next| {
            // What tower_http::timeout::TimeoutLayer does.
            tokio::time::timeout(Duration::from_millis(50), next.run(r))
                .await
                .unwrap_or_else(|_| axum::response::IntoResponse::into_response(StatusCode::REQUEST_TIMEOUT))
        }))
        .layer(SessionLayer::new(manager.clone()));
    let r = app.oneshot(Request::new(axum::body::Body::empty())).await.expect("works");
    assert_eq!(r.status(), 408);
    assert!(all(manager.store()).is_empty(), "half of what a cancelled handler wanted");
}

/// What takes the place of the old session is stored before that goes.
#[test]
fn a_logout_with_a_notice_that_cannot_be_stored_is_none() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |s| s.set_user("ada"));
    let session = manager.start_request(&browser.request());
    session.expire().expect("open");
    session.insert("notice", "bye").expect("open");
    manager.store().break_write("create", no_space);
    let error =
        manager.finish_successful_request(&session, &mut HeaderMap::new()).expect_err("cannot be stored");
    assert_eq!(error.status(), 503);
    assert!(only(manager.store()).has_user(), "the old session is as it was");
    // The other way round: the new one is there, and tried again the old one goes.
    manager.store().break_write("delete", busy);
    let mut headers = HeaderMap::new();
    manager.finish_successful_request(&session, &mut headers).expect_err("cannot be deleted");
    assert!(headers.is_empty());
    manager.store().mend();
    manager.finish_successful_request(&session, &mut headers).expect("commits");
    assert!(browser.receive(&headers));
    let left = only(manager.store());
    assert!(!left.has_user() && left.contains("notice"));
    assert_eq!(browser, Browser::with(left.id().expect("plain")));
}

/// The changes are stored, and that nothing is left of the session is no reason to refuse them.
#[test]
fn an_emptied_session_that_cannot_be_deleted_is_saved() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |s| s.insert("a", &1));
    manager.store().break_write("delete_if", busy);
    let ((), outcome) = browser.visit(&manager, |s| s.clear());
    assert_eq!(outcome, Outcome::Saved);
    let left = only(manager.store());
    assert_eq!((left.has_info(), left.idle()), (false, Some(HOUR)));
}

/// A logout needs no look at the session, and one that failed is forgotten with it.
#[test]
fn a_logout_after_a_failed_look_is_one() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |s| s.set_user("ada"));
    manager.store().break_reads(busy);
    let ((), outcome) = browser.visit(&manager, |s| {
        assert!(s.has_user().is_err());
        s.expire()
    });
    assert_eq!((outcome, browser.cookie), (Outcome::Ended, None));
}

/// With the layer, the answer to a conflict is the extractor's page, and nothing is tried a second time.
#[tokio::test]
async fn an_error_of_the_session_ends_the_request() {
    let manager = manager(Config::new().strict(true));
    let mut browser = Browser::new();
    browser.visit(&manager, |s| s.insert("a", &1));
    let (other, theirs) = (manager.clone(), browser.clone());
    let handler = async move |s: RequestSession| -> Result<(), Error> {
        s.insert("b", &1)?;
        theirs.clone().visit(&other, |s| s.insert("c", &1));
        s.save().await.map(drop)
    };
    let app = Router::new().route("/", get(handler)).layer(SessionLayer::new(manager.clone()));
    let (parts, ()) = browser.request().into_parts();
    let response = app.oneshot(Request::from_parts(parts, axum::body::Body::empty())).await.expect("answers");
    assert_eq!(response.status(), 409);
    let body = axum::body::to_bytes(response.into_body(), 1000).await.expect("a body");
    assert!(body.starts_with(b"Somebody else has changed"));
    let stored = only(manager.store());
    assert!(stored.contains("c") && !stored.contains("b"));
}

/// A rotation of which the disk cannot say whether it outlives a power failure is one: without the cookie its user would
/// be logged out.
#[test]
fn a_rotation_of_unknown_outcome_gives_its_cookie() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |s| s.set_user("ada"));
    manager.store().break_write("after rotate", || StoreError::OutcomeUnknown {
        operation: "delete a session",
        session: None,
        source: io::ErrorKind::Other.into(),
    });
    let before = browser.clone();
    let ((), outcome) = browser.visit(&manager, |s| s.rotate());
    assert_eq!(outcome, Outcome::Rotated);
    assert_ne!(browser, before);
    assert!(browser.visit(&manager, |s| s.has_user()).0);
}
