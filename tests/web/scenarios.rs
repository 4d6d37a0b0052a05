//! The manager as Session3's users know it.

use http::HeaderMap;
use http::header::{CACHE_CONTROL, SET_COOKIE, VARY};
use sessiondir::web::{Config, Error, Outcome, RequestSession};
use sessiondir::{Session, SessionId, SessionStore};

use super::browser::{Browser, all, manager, only};

#[test]
fn a_request_that_does_not_look_touches_no_store() {
    let manager = manager(Config::new());
    let id = manager.store().create(&mut Session::new()).expect("stores");
    manager.store().calls();
    let session = manager.start_request(&Browser::with(&id).request());
    let mut headers = HeaderMap::new();
    let outcome = manager.finish_successful_request(&session, &mut headers).expect("commits");
    assert_eq!((outcome, manager.store().calls()), (Outcome::Unused, (0, 0)));
    assert!(headers.is_empty(), "{headers:?}");
}

type Put = fn(&RequestSession) -> Result<(), Error>;

#[test]
fn nothing_is_stored_until_there_is_something_in_it() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    let (id, outcome) = browser.visit(&manager, |session| {
        assert!(!session.has_info()?);
        session.insert("a", &1)?;
        session.remove("a")?;
        session.id()
    });
    assert_eq!((id, outcome, manager.store().calls()), (None, Outcome::Unused, (0, 0)));
    assert_eq!(browser, Browser::new());

    // Each of these is something.
    let puts: [Put; 4] = [
        |session| session.set_user("ada"),
        |session| session.insert("a", &1),
        |session| session.create_form_token().map(drop),
        |session| session.csrf_token().map(drop),
    ];
    for (number, put) in puts.into_iter().enumerate() {
        let mut browser = Browser::new();
        let ((), outcome) = browser.visit(&manager, put);
        assert_eq!(outcome, Outcome::Created, "{number}");
        assert!(browser.cookie.is_some(), "{number}");
        assert_eq!(all(manager.store()).len(), number + 1);
    }
}

#[test]
fn the_cookie_is_set_once() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |session| session.insert("a", &1));
    let before = browser.clone();
    for value in 2..5 {
        let session = manager.start_request(&browser.request());
        session.insert("a", &value).expect("changes");
        let mut headers = HeaderMap::new();
        manager.finish_successful_request(&session, &mut headers).expect("commits");
        assert!(!headers.contains_key(SET_COOKIE) && !headers.contains_key(CACHE_CONTROL), "{headers:?}");
        assert_eq!(headers[VARY], "Cookie");
    }
    assert_eq!(browser, before);
    assert_eq!(only(manager.store()).get::<i32>("a").expect("a number"), Some(4));
}

/// No adoption: an ID that a client has chosen is not used, whatever it is.
#[test]
fn unknown_expired_and_invalid_ids_are_no_session() {
    let manager = manager(Config::new());
    let mut expired = Session::new();
    expired.set_user("eve").expect("a user");
    expired.set_expires(sessiondir::UnixMillis::from_millis(1));
    let expired = manager.store().create(&mut expired).expect("stores");
    for sent in ["", "*del*", "../../../etc/passwd", "AAAAAAAAAAAAAAAAAAAAAA", expired.expose()] {
        let mut browser = Browser { cookie: Some(format!("session={sent}")) };
        let ((), outcome) = browser.visit(&manager, |session| {
            assert_eq!((session.id()?, session.has_user()?), (None, false));
            Ok(())
        });
        assert_eq!(outcome, Outcome::Unused);
        assert_eq!(browser.cookie, Some(format!("session={sent}")), "nothing is said of the cookie");
        browser.visit(&manager, |session| session.insert("a", &1));
        let id = browser.cookie.expect("it has a session now").split_off("session=".len());
        assert_ne!(id, sent);
        assert!(manager.has_session(&SessionId::new(id).expect("an ID")).expect("looks"));
    }
}

#[test]
fn a_logout_counts_if_the_request_succeeds() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |session| session.set_user("ada"));

    let session = manager.start_request(&browser.request());
    manager.expire_session(&session).expect("open");
    let mut headers = HeaderMap::new();
    manager.finish_failed_request(&session, &mut headers);
    assert!(!headers.contains_key(SET_COOKIE));
    assert_eq!(headers[VARY], "Cookie");
    assert!(only(manager.store()).has_user());

    let before = browser.clone();
    let ((), outcome) = browser.visit(&manager, |session| {
        manager.expire_session(session)?;
        assert!(!session.has_user()?, "it is forgotten at once");
        Ok(())
    });
    assert_eq!((outcome, browser.cookie.take()), (Outcome::Ended, None));
    assert!(all(manager.store()).is_empty());

    // Once more, from another window; and without any session.
    for mut browser in [before, Browser::new()] {
        browser.visit(&manager, |session| manager.expire_session(session));
        assert_eq!(browser.cookie, None);
    }
}

#[test]
fn a_session_after_the_logout_is_another_one() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |session| session.set_user("ada"));
    let before = browser.clone();
    let ((), outcome) = browser.visit(&manager, |session| {
        session.insert("cart", &1)?;
        session.expire()?;
        session.insert("notice", "good bye")
    });
    assert_eq!(outcome, Outcome::Created);
    assert_ne!(browser, before);
    let session = only(manager.store());
    assert!(!session.has_user() && !session.contains("cart") && session.contains("notice"));
}

#[test]
fn an_increment_counts_if_the_request_succeeds() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    let increment = |session: &RequestSession| {
        session.modify("counter", |counter: Option<u64>| Some(counter.unwrap_or(0) + 1))?;
        session.get::<u64>("counter")
    };
    assert_eq!(browser.visit(&manager, increment).0, Some(1));
    let session = manager.start_request(&browser.request());
    assert_eq!(increment(&session).expect("works"), Some(2));
    manager.finish_failed_request(&session, &mut HeaderMap::new());
    drop(session);
    assert_eq!(browser.visit(&manager, increment).0, Some(2));
    assert_eq!(only(manager.store()).rev(), 2);
}

#[test]
fn what_becomes_empty_is_deleted() {
    for strict in [false, true] {
        let manager = manager(Config::new().strict(strict));
        let mut browser = Browser::new();
        browser.visit(&manager, |session| session.insert("a", &1));
        let ((), outcome) = browser.visit(&manager, |session| session.remove("a").map(drop));
        assert_eq!((outcome, browser.cookie.clone()), (Outcome::Ended, None));
        assert!(all(manager.store()).is_empty());
    }
    // One that another request or program has left empty stays, until it expires: whoever only looks changes nothing.
    let manager = manager(Config::new());
    let id = manager.store().create(&mut Session::new()).expect("stores");
    let mut browser = Browser::with(&id);
    let (_, outcome) = browser.visit(&manager, |session| session.has_user());
    assert_eq!((outcome, browser), (Outcome::Unchanged, Browser::with(&id)));
    assert_eq!(all(manager.store()).len(), 1);
}

#[test]
fn questions_about_cookies() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |session| session.set_user("ada"));
    let has = |cookie: Option<&str>, must_exist| {
        let browser = Browser { cookie: cookie.map(str::to_owned) };
        let session = manager.start_request(&browser.request());
        manager.has_session_cookie(&session, must_exist).expect("looks")
    };
    let good = browser.cookie.clone();
    assert_eq!([has(good.as_deref(), false), has(good.as_deref(), true)], [true, true]);
    for cookie in ["session=AAAAAAAAAAAAAAAAAAAAAA", "session=x", "session="] {
        assert_eq!([has(Some(cookie), false), has(Some(cookie), true)], [true, false], "{cookie}");
    }
    for cookie in [None, Some("sessions=AAAAAAAAAAAAAAAAAAAAAA")] {
        assert_eq!([has(cookie, false), has(cookie, true)], [false, false]);
    }

    // Revoked: the browser forgets, the store does not; and the request goes on without.
    let ((), outcome) = browser.visit(&manager, |session| {
        manager.revoke_session_cookie(session)?;
        assert!(!manager.has_session_cookie(session, false)? && !session.has_user()?);
        Ok(())
    });
    assert_eq!((outcome, browser.cookie), (Outcome::Unused, None));
    assert!(only(manager.store()).has_user());
}

#[test]
fn maintaining_says_whether_it_is_stored() {
    let manager = manager(Config::new());
    let session = manager.start_request(&Browser::new().request());
    assert!(!manager.maintain_session(&session).expect("commits"));
    session.insert("a", &1).expect("open");
    assert!(manager.maintain_session(&session).expect("commits"));
    assert!(session.id().expect("loaded").is_some());
    session.insert("a", &2).expect("still open");
    let mut headers = HeaderMap::new();
    let outcome = manager.finish_successful_request(&session, &mut headers).expect("commits");
    assert_eq!(outcome, Outcome::Saved);
    assert!(headers.contains_key(SET_COOKIE), "the ID that was assigned before");
    assert_eq!(only(manager.store()).get::<i32>("a").expect("a number"), Some(2));
}

#[test]
fn it_shows_no_id() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |session| session.set_user("ada\n"));
    let session = manager.start_request(&browser.request());
    assert_eq!(session.to_string(), "session (no user)");
    let id = session.id().expect("loads").expect("stored");
    assert_eq!(session.to_string(), format!("session {id} (user ada\\n)"));
    for shown in [format!("{session:?}"), format!("{manager:?}")] {
        assert!(!shown.contains(id.expose()) && !shown.contains("ada"), "{shown}");
    }
}
