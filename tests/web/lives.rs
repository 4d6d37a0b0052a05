//! How long sessions live, and when they get another ID.

use std::time::Duration;

use http::HeaderMap;
use sessiondir::web::{Config, Outcome, SessionManager};
use sessiondir::{Options, Session, SessionId, UnixMillis};

use super::browser::{Browser, Clock, Watched, manager, only};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn a_session_without_user_and_data_lives_an_hour() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |session| session.csrf_token());
    assert_eq!(only(manager.store()).idle(), Some(HOUR));
    // With data it lives on, and without them not any more.
    browser.visit(&manager, |session| session.insert("a", &1));
    assert_eq!(only(manager.store()).idle(), Some(14 * DAY));
    browser.visit(&manager, |session| session.clear());
    assert_eq!(only(manager.store()).idle(), Some(HOUR));
    browser.visit(&manager, |session| session.set_user("ada"));
    assert_eq!(only(manager.store()).idle(), Some(14 * DAY));
}

#[test]
fn the_application_s_own_lives_stay() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    let expires = UnixMillis::now().plus(HOUR);
    browser.visit(&manager, |session| {
        session.set_user("ada")?;
        session.set_idle(Some(5 * DAY))?;
        session.set_expires(Some(expires))
    });
    let session = only(manager.store());
    assert_eq!((session.idle(), session.expires()), (Some(5 * DAY), Some(expires)));
    browser.visit(&manager, |session| session.insert("a", &1));
    browser.visit(&manager, |session| session.clear_user());
    let session = only(manager.store());
    assert_eq!((session.idle(), session.expires()), (Some(5 * DAY), Some(expires)));
    browser.visit(&manager, |session| session.set_idle(None));
    assert_eq!(only(manager.store()).idle(), None);
}

#[test]
fn lives_can_be_configured() {
    let config = Config::new()
        .idle(Some(2 * HOUR))
        .idle_without_user_and_data(Some(HOUR / 2))
        .lifetime(Some(8 * HOUR));
    let manager = manager(config);
    let mut browser = Browser::new();
    let before = UnixMillis::now();
    browser.visit(&manager, |session| session.create_form_token());
    let session = only(manager.store());
    let lifetime = session.expires().expect("it ends").millis_since(before);
    assert_eq!(session.idle(), Some(HOUR / 2));
    assert!((8 * 3_600_000..8 * 3_600_000 + 60_000).contains(&lifetime), "{lifetime}");
    browser.visit(&manager, |session| session.insert("a", &1));
    assert_eq!(only(manager.store()).idle(), Some(2 * HOUR));

    let config = Config::new().idle(None).idle_without_user_and_data(None).lifetime(None);
    let manager = super::browser::manager(config);
    Browser::new().visit(&manager, |session| session.insert("a", &1));
    let session = only(manager.store());
    assert_eq!((session.idle(), session.expires()), (None, None));
}

#[test]
fn accesses_are_noted_now_and_then() {
    let clock = Clock::new();
    let store = Watched::with(&clock.options());
    let manager = SessionManager::new(store, Config::new()).expect("a manager");
    let mut browser = Browser::new();
    browser.visit(&manager, |session| session.set_user("ada"));
    manager.store().calls();
    let mut outcomes = Vec::new();
    // Every 25 seconds: the resolution is a minute.
    for _ in 0..9 {
        clock.forward(25_000);
        outcomes.push(browser.visit(&manager, |session| session.has_user()).1);
    }
    let [no, yes] = [Outcome::Unchanged, Outcome::Touched];
    assert_eq!(outcomes, [no, no, yes, no, no, yes, no, no, yes]);
    assert_eq!(manager.store().calls(), (9, 3), "it is read once a request, and written when that is due");
}

/// A cookie with an age lives as long as its session, and so is given anew when that is.
#[test]
fn a_cookie_with_an_age_is_given_anew() {
    let clock = Clock::new();
    let store = Watched::with(&clock.options());
    let config = Config::new().cookie_max_age(Some(HOUR));
    let manager = SessionManager::new(store, config).expect("a manager");
    let mut browser = Browser::new();
    browser.visit(&manager, |session| session.set_user("ada"));
    for (millis, given) in [(1_000, false), (61_000, true), (1_000, false)] {
        clock.forward(millis);
        let session = manager.start_request(&browser.request());
        session.has_user().expect("loads");
        let mut headers = HeaderMap::new();
        manager.finish_successful_request(&session, &mut headers).expect("commits");
        let before = browser.clone();
        assert_eq!(browser.receive(&headers), given);
        assert_eq!(browser, before);
    }
}

#[test]
fn a_login_changes_the_id() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |session| session.insert("cart", &1));
    let anonymous = browser.clone();
    let ((), outcome) = browser.visit(&manager, |session| session.set_user("ada"));
    assert_eq!(outcome, Outcome::Rotated);
    assert_ne!(browser, anonymous);
    let session = only(manager.store());
    assert!(session.contains("cart") && session.has_user());
    // The same user once more is no login; another one is.
    let ada = browser.clone();
    assert_eq!(browser.visit(&manager, |session| session.set_user("ada")).1, Outcome::Unchanged);
    assert_eq!(browser, ada);
    assert_eq!(browser.visit(&manager, |session| session.set_user("bob")).1, Outcome::Rotated);
    assert_ne!(browser, ada);
    // The ID of before is of no use.
    let mut thief = anonymous;
    assert!(!thief.visit(&manager, |session| session.has_user()).0);

    let manager = super::browser::manager(Config::new().rotate_at_login(false));
    let mut browser = Browser::new();
    browser.visit(&manager, |session| session.insert("cart", &1));
    assert_eq!(browser.visit(&manager, |session| session.set_user("ada")).1, Outcome::Saved);
}

#[test]
fn a_rotation_counts_if_the_request_succeeds() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |session| session.insert("a", &1));
    let before = browser.clone();
    let session = manager.start_request(&browser.request());
    manager.rotate(&session).expect("open");
    manager.finish_failed_request(&session, &mut HeaderMap::new());
    let ((), outcome) = browser.visit(&manager, |session| session.insert("a", &2));
    assert_eq!((outcome, &browser), (Outcome::Saved, &before));

    // Beside another request, whose change is not lost.
    let session = manager.start_request(&browser.request());
    session.insert("b", &1).expect("open");
    manager.rotate(&session).expect("open");
    let mut other = browser.clone();
    other.visit(&manager, |session| session.insert("c", &1));
    let mut headers = HeaderMap::new();
    let outcome = manager.finish_successful_request(&session, &mut headers).expect("commits");
    assert_eq!(outcome, Outcome::Rotated);
    assert!(browser.receive(&headers));
    assert_ne!(browser, before);
    let session = only(manager.store());
    assert!(session.contains("a") && session.contains("b") && session.contains("c"));
    // A new session has nothing to be protected.
    let ((), outcome) = Browser::new().visit(&manager, |session| session.rotate());
    assert_eq!(outcome, Outcome::Unused);
}

/// A session that the importer has taken over, under an ID of 64 bits.
#[test]
fn a_short_id_is_replaced_at_the_first_request() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let store = Options::new().create(true).open(tmp.path().join("s")).expect("opens");
    let id = SessionId::new("Abcdefghij_").expect("an ID");
    let mut session = Session::new();
    session.set_user("ada").expect("a user");
    session.push_token("an-old-token").expect("a token");
    session.set_csrf("an-old-csrf-token").expect("a token");
    session.set_expires(Some(UnixMillis::now().plus(30 * DAY)));
    store.insert(&id, &mut session).expect("stores");
    let manager = SessionManager::new(store, Config::new()).expect("a manager");

    // One that does not look, and one that fails, leave it.
    manager
        .finish_successful_request(
            &manager.start_request(&Browser::with(&id).request()),
            &mut HeaderMap::new(),
        )
        .expect("commits");
    let session = manager.start_request(&Browser::with(&id).request());
    assert!(session.has_user().expect("loads"));
    manager.finish_failed_request(&session, &mut HeaderMap::new());
    assert!(manager.has_session(&id).expect("looks"));

    let mut browser = Browser::with(&id);
    let ((csrf, token), outcome) =
        browser.visit(&manager, |session| Ok((session.csrf_token()?, session.create_form_token()?)));
    assert_eq!((csrf.as_str(), outcome), ("an-old-csrf-token", Outcome::Rotated));
    assert!(!manager.has_session(&id).expect("looks"));
    let session = only(manager.store());
    assert!(!session.reference().expect("stored").id().expect("plain").is_legacy());
    let left = session.expires().expect("it ends").millis_since(UnixMillis::now());
    assert!(left > 80 * 24 * 3_600_000, "the importer's month is over: {left}");
    // What is in the page that this request made still works.
    assert_eq!(session.tokens().collect::<Vec<_>>(), [token.as_str()]);
    let ((), outcome) = browser.visit(&manager, |session| {
        assert_eq!(session.user::<String>()?.as_deref(), Some("ada"));
        assert!(session.is_csrf_valid(&http::Method::POST, "an-old-csrf-token")?);
        Ok(())
    });
    assert_eq!(outcome, Outcome::Unchanged);
}

#[test]
fn the_address_is_noted_if_that_is_configured() {
    let at = |config: Config| {
        let manager = manager(config);
        let mut browser = Browser::new();
        browser.visit(&manager, |session| session.insert("a", &1));
        only(manager.store()).addr().map(str::to_owned)
    };
    assert_eq!(at(Config::new()), None);
    assert_eq!(at(Config::new().addr(|_, _| Some("192.0.2.7".into()))).as_deref(), Some("192.0.2.7"));
    assert_eq!(at(Config::new().addr(|_, _| None)), None);
    assert_eq!(at(Config::new().addr(|_, _| Some("x".repeat(65)))), None);
    assert_eq!(at(Config::new().addr(|_, _| Some(String::new()))), None);
}
