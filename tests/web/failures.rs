//! A store that does not answer: nobody is logged out, nothing is half done.

use std::io;
use std::time::Duration;

use http::HeaderMap;
use sessiondir::record::decode_record;
use sessiondir::web::{Config, Error, Outcome, RequestSession, SessionManager};
use sessiondir::{
    DirectoryStore, Error as StoreError, ErrorClass, Options, Session, SessionId, SessionStore,
};

use super::browser::{Browser, logged, manager, only};

/// The descriptor table is full.
const EMFILE: i32 = 24;

fn io_error(source: io::Error) -> StoreError {
    StoreError::Io { operation: "open a session", session: None, source }
}

fn busy() -> StoreError {
    StoreError::Busy { session: None, waited: Duration::ZERO }
}

fn no_space() -> StoreError {
    StoreError::NoSpace {
        operation: "write a session",
        session: None,
        source: io::ErrorKind::StorageFull.into(),
    }
}

fn unsure() -> StoreError {
    StoreError::OutcomeUnknown {
        operation: "write a session",
        session: None,
        source: io::ErrorKind::Other.into(),
    }
}

fn not_a_store() -> StoreError {
    DirectoryStore::open("/dev/null/nowhere").expect_err("no store")
}

fn unsupported() -> StoreError {
    // A record of version 2, otherwise empty: the envelope is the same in all versions.
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let path = tmp.path().join("s");
    drop(Options::new().create(true).open(&path).expect("opens"));
    std::fs::write(path.join(".sessiondir"), marker_of_version(9)).expect("writes");
    DirectoryStore::open(&path).expect_err("a later version")
}

fn marker_of_version(version: u32) -> String {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    drop(Options::new().create(true).open(tmp.path().join("s")).expect("opens"));
    let text = std::fs::read_to_string(tmp.path().join("s/.sessiondir")).expect("reads");
    let later =
        text.replace("read 1", &format!("read {version}")).replace("write 1", &format!("write {version}"));
    assert_ne!(text, later, "the marker names its versions");
    later
}

/// Every class of error that is the store's and not the application's.
fn troubles() -> Vec<(fn() -> StoreError, ErrorClass)> {
    vec![
        (|| io_error(io::ErrorKind::PermissionDenied.into()), ErrorClass::Io),
        (|| io_error(io::Error::from_raw_os_error(EMFILE)), ErrorClass::Io),
        (busy, ErrorClass::Busy),
        (no_space, ErrorClass::NoSpace),
        (unsure, ErrorClass::OutcomeUnknown),
        (not_a_store, ErrorClass::NotAStore),
        (unsupported, ErrorClass::Unsupported),
    ]
}

type Work = fn(&RequestSession) -> Result<(), Error>;

#[test]
fn a_session_that_cannot_be_loaded_is_503_and_no_logout() {
    for (trouble, class) in troubles() {
        let manager = manager(Config::new());
        let mut browser = Browser::new();
        browser.visit(&manager, |session| session.set_user("ada"));
        manager.store().break_reads(trouble);
        manager.store().calls();
        let session = manager.start_request(&browser.request());
        let error = session.user::<String>().expect_err("it cannot be loaded");
        assert!(matches!(&error, Error::Store(error) if error.class() == class), "{error}");
        assert_eq!(error.status(), 503);
        // Also where the application takes no notice.
        assert!(session.insert("a", &1).is_err());
        let mut headers = HeaderMap::new();
        let error =
            manager.finish_successful_request(&session, &mut headers).expect_err("nothing can be said");
        assert_eq!((error.status().as_u16(), headers.is_empty()), (503, true));
        assert_eq!(manager.store().calls().1, 0, "no writes");
        manager.store().mend();
        assert_eq!(browser.visit(&manager, |session| session.user::<String>()).0.as_deref(), Some("ada"));
    }
}

/// One that comes back within the request is as if nothing had been.
#[test]
fn a_load_may_be_tried_again() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |session| session.set_user("ada"));
    manager.store().break_reads(busy);
    let session = manager.start_request(&browser.request());
    assert!(session.has_user().is_err());
    manager.store().mend();
    assert!(session.has_user().expect("loads"));
    session.insert("a", &1).expect("open");
    let outcome = manager.finish_successful_request(&session, &mut HeaderMap::new()).expect("commits");
    assert_eq!(outcome, Outcome::Saved);
}

#[test]
fn what_cannot_be_saved_is_503_and_the_old_session_stays() {
    for (trouble, class) in troubles() {
        let manager = manager(Config::new());
        let mut browser = Browser::new();
        browser.visit(&manager, |session| session.set_user("ada"));
        let before = only(manager.store());
        manager.store().break_writes(trouble);
        // A change, a login, a logout, a rotation.
        let works: [Work; 4] = [|s| s.insert("a", &1), |s| s.set_user("bob"), |s| s.expire(), |s| s.rotate()];
        for work in works {
            let session = manager.start_request(&browser.request());
            work(&session).expect("open");
            let mut headers = HeaderMap::new();
            let error =
                manager.finish_successful_request(&session, &mut headers).expect_err("cannot be saved");
            assert!(matches!(&error, Error::Store(error) if error.class() == class), "{error}");
            assert_eq!((error.status().as_u16(), headers.is_empty()), (503, true));
            assert_eq!(only(manager.store()), before);
        }
        // A new session.
        let session = manager.start_request(&Browser::new().request());
        session.set_user("bob").expect("open");
        let mut headers = HeaderMap::new();
        let error = manager.finish_successful_request(&session, &mut headers).expect_err("cannot be saved");
        assert_eq!((error.status().as_u16(), headers.is_empty()), (503, true));
        // And reading works.
        assert!(browser.visit(&manager, |session| session.has_user()).0);
    }
}

#[test]
fn an_access_that_cannot_be_noted_is_no_reason_to_refuse_a_page() {
    logged("");
    let clock = super::browser::Clock::new();
    let store = super::browser::Watched::with(&clock.options());
    let manager = SessionManager::new(store, Config::new()).expect("a manager");
    let mut browser = Browser::new();
    browser.visit(&manager, |session| session.set_user("ada"));
    clock.forward(120_000);
    manager.store().break_writes(no_space);
    let (has_user, outcome) = browser.visit(&manager, |session| session.has_user());
    assert_eq!((has_user, outcome), (true, Outcome::Unchanged));
    assert!(!logged("WARN an access was not noted: no-space").is_empty());
    manager.store().mend();
    assert_eq!(browser.visit(&manager, |session| session.has_user()), (true, Outcome::Touched));
    assert_eq!(browser.visit(&manager, |session| session.has_user()), (true, Outcome::Unchanged));
}

/// A commit that failed can be tried again, in the same request.
#[test]
fn a_save_may_be_tried_again() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |session| session.insert("a", &1));
    let session = manager.start_request(&browser.request());
    session.modify("a", |a: Option<i64>| a.map(|a| a + 1)).expect("open");
    manager.store().break_writes(busy);
    assert!(manager.save(&session).is_err());
    manager.store().mend();
    assert_eq!(manager.save(&session).expect("saves"), Outcome::Saved);
    assert_eq!(only(manager.store()).get::<i64>("a").expect("a number"), Some(2));
}

#[test]
fn a_corrupt_session_is_no_session_and_one_line_in_the_log() {
    logged("");
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let path = tmp.path().join("s");
    let store = Options::new().create(true).open(&path).expect("opens");
    let mut session = Session::new();
    session.set_user("ada").expect("a user");
    let id = store.create(&mut session).expect("stores");
    let mut bytes = std::fs::read(path.join(id.expose())).expect("reads");
    bytes[100] ^= 1;
    std::fs::write(path.join(id.expose()), &bytes).expect("writes");
    assert!(decode_record(&bytes).is_err());

    let manager = SessionManager::new(store, Config::new()).expect("a manager");
    let mut browser = Browser::with(&id);
    let (new, outcome) = browser.visit(&manager, |session| Ok((session.id()?, session.has_user()?)));
    assert_eq!((new, outcome), ((None, false), Outcome::Unused));
    let lines = logged(&id.to_string());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("ERROR corrupt: ") && lines[0].contains("REC-7"), "{lines:?}");
    assert!(!lines[0].contains(id.expose()));

    // What is put in makes another one; the damaged one is the operator's.
    browser.visit(&manager, |session| session.set_user("ada"));
    assert_ne!(browser, Browser::with(&id));
    assert_eq!(std::fs::read(path.join(id.expose())).expect("reads"), bytes);
    // A logout from it works.
    let mut browser = Browser::with(&id);
    let ((), outcome) = browser.visit(&manager, |session| session.expire());
    assert_eq!((outcome, browser.cookie), (Outcome::Ended, None));
    assert!(!path.join(id.expose()).exists());
}

/// Only grave things are said aloud.
#[test]
fn an_unknown_session_is_no_line_in_the_log() {
    logged("");
    let manager = manager(Config::new());
    let id = SessionId::generate().expect("an ID");
    for cookie in [format!("session={}", id.expose()), "session=../evil".into()] {
        Browser { cookie: Some(cookie) }.visit(&manager, |session| session.has_user());
    }
    assert!(logged(&id.to_string()).is_empty() && logged("evil").is_empty());
}

#[test]
fn what_the_format_cannot_hold_is_the_application_s_fault() {
    let manager = manager(Config::new());
    let session = manager.start_request(&Browser::new().request());
    for error in [
        session.insert("huge", &u64::MAX).expect_err("no such integer"),
        session.set_user(&()).expect_err("null"),
        session.insert("large", &"x".repeat(17 << 20)).expect_err("too large"),
        session.set_idle(Some(Duration::ZERO)).expect_err("too short"),
    ] {
        assert_eq!(error.status(), 500, "{error}");
    }
    assert!(!session.has_info().expect("looks"));
    session.insert("text", "no number").expect("open");
    assert!(matches!(session.get::<i64>("text"), Err(Error::Value(_))));
    assert!(matches!(session.modify("text", |n: Option<i64>| n), Err(Error::Value(_))));
}
