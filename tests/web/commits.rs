//! When a request's session can be changed, and when not any more.

use http::HeaderMap;
use sessiondir::web::{Config, Error, Outcome};

use sessiondir::SessionStore;

use super::browser::{Browser, all, manager, only};

#[test]
fn a_change_after_the_commit_is_an_error() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |session| session.set_user("ada"));
    let session = manager.start_request(&browser.request());
    session.insert("a", &1).expect("open");
    manager.finish_successful_request(&session, &mut HeaderMap::new()).expect("commits");
    let changes = [
        session.insert("a", &2),
        session.remove("a").map(drop),
        session.clear(),
        session.set_user("bob"),
        session.clear_user(),
        session.modify("a", |a: Option<i64>| a),
        session.set_idle(None),
        session.set_expires(None),
        session.create_form_token().map(drop),
        session.csrf_token().map(drop),
        session.expire(),
        session.rotate(),
        manager.revoke_session_cookie(&session),
        manager.take_form_token(&session, "token").map(drop),
        manager.save(&session).map(drop),
        manager.maintain_session(&session).map(drop),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert!(matches!(change, Err(Error::Committed)), "{number}: {change:?}");
    }
    // It can be read, and finished once more.
    assert_eq!(session.get("a").expect("can be read"), Some(1));
    let mut headers = HeaderMap::new();
    let outcome = manager.finish_successful_request(&session, &mut headers).expect("nothing to do");
    assert_eq!((outcome, headers.contains_key("set-cookie")), (Outcome::Unused, false));
    assert_eq!(only(manager.store()).get("a").expect("a number"), Some(1));
}

#[test]
fn a_reopened_session_is_saved_explicitly() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |session| session.set_user("ada"));
    let session = manager.start_request(&browser.request());
    assert!(session.has_user().expect("loads"));
    manager.finish_successful_request(&session, &mut HeaderMap::new()).expect("commits");
    // Others have changed it meanwhile.
    browser.clone().visit(&manager, |session| session.insert("b", &1));
    let late = session.reopen();
    assert_eq!(late.get("b").expect("loads"), Some(1));
    for n in 0..3 {
        late.insert("a", &n).expect("open");
        assert_eq!(manager.save(&late).expect("saves"), Outcome::Saved);
    }
    assert_eq!(only(manager.store()).get("a").expect("a number"), Some(2));
    // Nobody can be told of a new ID, so there is no login, and no rotation.
    assert!(matches!(late.set_user("bob"), Err(Error::Committed)));
    assert!(matches!(late.rotate(), Err(Error::Committed)));
    let ended = session.reopen();
    ended.expire().expect("open");
    assert_eq!(manager.save(&ended).expect("deletes"), Outcome::Ended);
    late.insert("a", &9).expect("open");
    assert_eq!(manager.save(&late).expect("is told"), Outcome::Vanished);
    assert!(all(manager.store()).is_empty());
}

#[test]
fn a_reopened_session_without_an_id_cannot_be_stored() {
    let manager = manager(Config::new());
    let session = manager.start_request(&Browser::new().request());
    manager.finish_successful_request(&session, &mut HeaderMap::new()).expect("commits");
    let late = session.reopen();
    late.insert("a", &1).expect("open");
    assert!(matches!(manager.save(&late), Err(Error::Committed)));
    assert!(all(manager.store()).is_empty());
}

/// What is lost is not half kept: after it was found gone, the request's further changes are nothing too, and no cookie
/// tells of an ID that was given before.
#[test]
fn a_lost_session_stays_lost() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |session| session.set_user("ada"));
    let session = manager.start_request(&browser.request());
    session.insert("a", &1).expect("open");
    browser.visit(&manager, |session| session.expire());
    assert_eq!(manager.save(&session).expect("is told"), Outcome::Vanished);
    session.insert("b", &1).expect("open");
    let mut headers = HeaderMap::new();
    let outcome = manager.finish_successful_request(&session, &mut headers).expect("is told");
    assert_eq!((outcome, headers.contains_key("set-cookie")), (Outcome::Vanished, false));
    assert!(all(manager.store()).is_empty());
}

#[test]
fn a_session_that_was_made_and_ended_within_a_request_sets_no_cookie() {
    let manager = manager(Config::new());
    let session = manager.start_request(&Browser::new().request());
    session.insert("a", &1).expect("open");
    assert_eq!(manager.save(&session).expect("saves"), Outcome::Created);
    manager.store().delete_where(&|_| true).expect("deletes");
    session.insert("b", &1).expect("open");
    let mut headers = HeaderMap::new();
    let outcome = manager.finish_successful_request(&session, &mut headers).expect("is told");
    assert_eq!((outcome, headers.contains_key("set-cookie")), (Outcome::Vanished, false));
}

/// Clones are one session; what none of them commits has not been.
#[test]
fn clones_are_handles_to_one() {
    let manager = manager(Config::new());
    let session = manager.start_request(&Browser::new().request());
    let clone = session.clone();
    clone.insert("a", &1).expect("open");
    assert_eq!(session.get("a").expect("there"), Some(1));
    assert_eq!(session.keys().expect("there"), ["a"]);
    assert!(session.contains("a").expect("there"));
    drop((session, clone));
    assert_eq!(manager.store().calls(), (0, 0));
}
