//! Form tokens and CSRF tokens.

use http::{HeaderMap, Method};
use sessiondir::SessionStore;
use sessiondir::web::{Config, Error, Outcome};

use super::browser::{Browser, manager, only};

#[test]
fn form_tokens_are_taken_once() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    let (token, _) = browser.visit(&manager, |session| {
        let token = session.create_form_token()?;
        assert!(session.has_form_token(&token)? && !session.has_form_token("another")?);
        Ok(token)
    });
    assert_eq!(token.len(), 22);
    let (taken, _) = browser.visit(&manager, |session| {
        assert!(!manager.take_form_token(session, "another")?);
        let first = manager.take_form_token(session, &token)?;
        assert!(!session.has_form_token(&token)?);
        Ok((first, manager.take_form_token(session, &token)?))
    });
    assert_eq!(taken, (true, false));
    // The last thing that was in it.
    assert!(!browser.visit(&manager, |session| session.has_info()).0);
}

/// At once and for good, whatever becomes of the request: else a form could be handled twice.
#[test]
fn a_failed_request_has_taken_its_token() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    let (token, _) = browser.visit(&manager, |session| {
        session.set_user("ada")?;
        session.create_form_token()
    });
    let session = manager.start_request(&browser.request());
    session.insert("a", &1).expect("open");
    assert!(manager.take_form_token(&session, &token).expect("takes"));
    manager.finish_failed_request(&session, &mut HeaderMap::new());
    assert!(!browser.visit(&manager, |session| manager.take_form_token(session, &token)).0);
    assert!(!only(manager.store()).contains("a"));
}

/// Its own token is no conflict to a strict request; somebody else's save is.
#[test]
fn a_strict_request_may_take_a_token() {
    for other_saves in [false, true] {
        let manager = manager(Config::new().strict(true));
        let mut browser = Browser::new();
        let (token, _) = browser.visit(&manager, |session| {
            session.set_user("ada")?;
            session.create_form_token()
        });
        let session = manager.start_request(&browser.request());
        session.insert("a", &1).expect("open");
        if other_saves {
            browser.clone().visit(&manager, |session| session.insert("b", &1));
        }
        assert!(manager.take_form_token(&session, &token).expect("takes"));
        let outcome = manager.finish_successful_request(&session, &mut HeaderMap::new());
        assert_eq!(matches!(outcome, Err(Error::Conflict)), other_saves, "{outcome:?}");
        assert_eq!(only(manager.store()).contains("a"), !other_saves);
        assert_eq!(only(manager.store()).tokens().len(), 0);
    }
}

#[test]
fn tokens_of_sessions_that_are_not_there_are_none() {
    let manager = manager(Config::new());
    let session = manager.start_request(&Browser::new().request());
    assert!(!manager.take_form_token(&session, "token").expect("takes"));
    // One that was made in this request is not stored yet.
    let token = session.create_form_token().expect("open");
    assert!(manager.take_form_token(&session, &token).expect("takes"));
    assert_eq!(manager.store().calls(), (0, 0));
    assert!(!session.has_info().expect("looks"));

    let mut browser = Browser::new();
    let (token, _) = browser.visit(&manager, |session| session.create_form_token());
    let session = manager.start_request(&browser.request());
    assert!(session.has_form_token(&token).expect("loads"));
    browser.visit(&manager, |session| session.expire());
    assert!(!manager.take_form_token(&session, &token).expect("takes"));
}

#[test]
fn the_oldest_form_token_goes() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    let (tokens, _) = browser.visit(&manager, |session| {
        (0..40).map(|_| session.create_form_token()).collect::<Result<Vec<_>, _>>()
    });
    let stored = only(manager.store());
    assert_eq!(stored.tokens().collect::<Vec<_>>(), tokens[8..]);
    // Those of two requests, in the order of their commits.
    let slow = manager.start_request(&browser.request());
    let late = slow.create_form_token().expect("open");
    let (early, _) = browser.visit(&manager, |session| session.create_form_token());
    manager.finish_successful_request(&slow, &mut HeaderMap::new()).expect("commits");
    let stored = only(manager.store());
    let stored: Vec<_> = stored.tokens().collect();
    assert_eq!((stored.len(), &stored[30..]), (32, &[early.as_str(), &late][..]));
    let count = browser.visit(&manager, |session| session.form_tokens()).0;
    assert_eq!(count, 32);
}

#[test]
fn the_csrf_token_is_lazy_and_stable() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |session| session.set_user("ada"));
    assert_eq!(only(manager.store()).csrf(), None);
    let (token, outcome) = browser.visit(&manager, |session| {
        let token = session.csrf_token()?;
        assert_eq!(session.csrf_token()?, token);
        Ok(token)
    });
    assert_eq!((token.len(), outcome), (22, Outcome::Saved));
    let (again, outcome) = browser.visit(&manager, |session| session.csrf_token());
    assert_eq!((&again, outcome), (&token, Outcome::Unchanged));

    browser.visit(&manager, |session| {
        assert!(session.is_csrf_valid(&Method::POST, &token)?);
        for method in [Method::GET, Method::HEAD, Method::PUT] {
            assert!(!session.is_csrf_valid(&method, &token)?);
        }
        for wrong in ["", "x", &token[1..], &token[..21], &format!("{token}x")] {
            assert!(!session.is_csrf_valid(&Method::POST, wrong)?);
        }
        Ok(())
    });
    let none = manager.start_request(&Browser::new().request());
    assert!(!none.is_csrf_valid(&Method::POST, "").expect("looks"), "no token is no match for none");
}

#[test]
fn of_two_first_csrf_tokens_the_first_wins() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |session| session.set_user("ada"));
    let slow = manager.start_request(&browser.request());
    slow.csrf_token().expect("open");
    slow.insert("a", &1).expect("open");
    let (first, _) = browser.visit(&manager, |session| session.csrf_token());
    manager.finish_successful_request(&slow, &mut HeaderMap::new()).expect("commits");
    let session = only(manager.store());
    assert_eq!((session.csrf(), session.contains("a")), (Some(first.as_str()), true));
    assert_eq!(slow.csrf_token().expect("can be read"), first);
}

/// A login drops what an attacker may know, and keeps what its own page shows.
#[test]
fn a_login_drops_the_tokens_of_before() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    let ((old_csrf, old_token), _) =
        browser.visit(&manager, |session| Ok((session.csrf_token()?, session.create_form_token()?)));
    let ((shown, new_token), outcome) = browser.visit(&manager, |session| {
        session.set_user("ada")?;
        Ok((session.csrf_token()?, session.create_form_token()?))
    });
    assert_eq!(outcome, Outcome::Rotated);
    assert_ne!(shown, old_csrf);
    let session = only(manager.store());
    assert_eq!(session.csrf(), Some(shown.as_str()));
    assert_eq!(session.tokens().collect::<Vec<_>>(), [new_token.as_str()]);
    assert!(!browser.visit(&manager, |session| manager.take_form_token(session, &old_token)).0);
    assert_eq!(manager.store().delete_where(&|_| true).expect("deletes").deleted, 1);
}

/// A form of ada's is not handled for bob.
#[test]
fn another_user_s_token_is_not_taken() {
    let manager = manager(Config::new().rotate_at_login(false));
    let mut browser = Browser::new();
    let (token, _) = browser.visit(&manager, |session| {
        session.set_user("ada")?;
        session.create_form_token()
    });
    let session = manager.start_request(&browser.request());
    assert!(session.has_form_token(&token).expect("loads"));
    browser.visit(&manager, |session| session.set_user("bob"));
    assert!(!manager.take_form_token(&session, &token).expect("takes"));
    assert_eq!(only(manager.store()).tokens().len(), 1, "it stays, for whoever it is for");
}
