//! Two requests that change one session at once.

use http::HeaderMap;
use sessiondir::web::{Config, Error, Outcome, RequestSession, SessionManager};
use sessiondir::{Session, SessionStore};

use super::browser::{Browser, Watched, logged, manager, only};

type Work<'a> = &'a dyn Fn(&RequestSession) -> Result<(), Error>;

/// A session of ada's with a = 1 and list = [1]; a request that does `slow`, and one that does `fast` and commits
/// between the slow one's work and its commit.
fn both(
    manager: &SessionManager<Watched>,
    slow: Work<'_>,
    fast: Work<'_>,
) -> (Result<Outcome, Error>, Option<Session>, HeaderMap) {
    let mut browser = Browser::new();
    browser.visit(manager, |session| {
        session.set_user("ada")?;
        session.insert("a", &1)?;
        session.insert("list", &[1])
    });
    let slow_request = manager.start_request(&browser.request());
    slow(&slow_request).expect("works");
    let mut other = browser.clone();
    other.visit(manager, |session| fast(session));
    let mut headers = HeaderMap::new();
    let outcome = manager.finish_successful_request(&slow_request, &mut headers);
    let sessions = super::browser::all(manager.store());
    assert!(sessions.len() <= 1);
    (outcome, sessions.into_iter().next(), headers)
}

fn merged(slow: Work<'_>, fast: Work<'_>) -> Session {
    let (outcome, session, headers) = both(&manager(Config::new()), slow, fast);
    assert_eq!(outcome.expect("commits"), Outcome::Saved);
    assert!(!headers.contains_key("set-cookie"));
    session.expect("it is there")
}

fn number(session: &Session, key: &str) -> Option<i64> {
    session.get(key).expect("a number")
}

#[test]
fn different_keys_both_survive() {
    let session = merged(&|s| s.insert("x", &1), &|s| s.insert("y", &2));
    assert_eq!(
        (number(&session, "x"), number(&session, "y"), number(&session, "a")),
        (Some(1), Some(2), Some(1))
    );
    let session = merged(&|s| s.insert("x", &1), &|s| s.remove("a").map(drop));
    assert_eq!((number(&session, "x"), number(&session, "a")), (Some(1), None));
}

#[test]
fn of_one_key_the_later_counts() {
    assert_eq!(number(&merged(&|s| s.insert("a", &5), &|s| s.insert("a", &7)), "a"), Some(5));
    assert_eq!(number(&merged(&|s| s.insert("a", &5), &|s| s.remove("a").map(drop)), "a"), Some(5));
    assert_eq!(number(&merged(&|s| s.remove("a").map(drop), &|s| s.insert("a", &7)), "a"), None);
    // A nested value is one key.
    let session = merged(&|s| s.insert("list", &[1, 2]), &|s| s.insert("list", &[1, 3]));
    assert_eq!(session.get::<Vec<i64>>("list").expect("a list"), Some(vec![1, 2]));
}

#[test]
fn what_was_only_read_stays_as_the_other_left_it() {
    let session = merged(&|s| s.insert("x", &s.get::<i64>("a")?), &|s| s.insert("a", &7));
    assert_eq!((number(&session, "x"), number(&session, "a")), (Some(1), Some(7)));
}

#[test]
fn clear_removes_all_that_is_there_at_the_commit() {
    let session = merged(
        &|s| {
            s.insert("before", &1)?;
            s.clear()?;
            s.insert("after", &1)
        },
        &|s| s.insert("y", &2),
    );
    assert_eq!(session.attributes().map(|(key, _)| key).collect::<Vec<_>>(), ["after"]);
}

#[test]
fn modify_is_done_again_on_what_is_stored() {
    fn add(session: &RequestSession, n: i64) -> Result<(), Error> {
        session.modify("a", move |a: Option<i64>| Some(a.unwrap_or(0) + n))
    }
    let session = merged(&|s| add(s, 10), &|s| add(s, 100));
    assert_eq!(number(&session, "a"), Some(111));
    // In the order in which they were made.
    let times = |s: &RequestSession| s.modify("a", |a: Option<i64>| Some(a.unwrap_or(0) * 2));
    let session = merged(
        &|s| {
            add(s, 10)?;
            times(s)?;
            assert_eq!(s.get("a")?, Some(22));
            add(s, 1)
        },
        &|s| add(s, 100),
    );
    assert_eq!(number(&session, "a"), Some((1 + 100 + 10) * 2 + 1));
    // Absence is a value too.
    let session = merged(&|s| s.modify("a", |a: Option<i64>| a.filter(|a| *a < 100)), &|s| add(s, 100));
    assert_eq!(number(&session, "a"), None);
    let session = merged(
        &|s| {
            s.remove("a")?;
            add(s, 1)
        },
        &|s| add(s, 100),
    );
    assert_eq!(number(&session, "a"), Some(1));
}

/// What is overwritten is not done: here it would fail.
#[test]
fn what_comes_after_a_modification_undoes_it() {
    for last in [&(|s: &RequestSession| s.insert("a", &5)) as Work<'_>, &|s| s.remove("a").map(drop)] {
        let slow = |s: &RequestSession| {
            s.modify("a", |a: Option<i64>| a)?;
            last(s)
        };
        let session = merged(&slow, &|s| s.insert("a", "no number"));
        assert!(
            session.get::<String>("a").is_ok_and(|text| text.is_none()) || number(&session, "a") == Some(5)
        );
    }
}

#[test]
fn modify_may_not_call_a_session() {
    let manager = manager(Config::new());
    let mut browser = Browser::new();
    browser.visit(&manager, |session| session.insert("a", &1));
    let session = manager.start_request(&browser.request());
    let (inner, asked) = (session.clone(), manager.clone());
    let mut calls = 0;
    session
        .modify("a", move |a: Option<i64>| {
            calls += 1;
            if calls == 2 {
                // At the commit. Nothing of it waits for itself.
                assert!(matches!(asked.save(&inner), Err(Error::Store(_))));
                assert!(matches!(inner.insert("b", &1), Err(Error::Store(_))));
                assert_eq!(inner.get("a").expect("can be read"), Some(2));
            }
            a.map(|a| a + 1)
        })
        .expect("works");
    manager.finish_successful_request(&session, &mut HeaderMap::new()).expect("commits");
    assert_eq!(number(&only(manager.store()), "a"), Some(2));
}

#[test]
fn a_function_that_fails_at_the_commit_changes_nothing() {
    let manager = manager(Config::new());
    let (outcome, session, headers) = both(
        &manager,
        &|s| {
            s.insert("x", &1)?;
            s.modify("a", |a: Option<i64>| a.map(|a| a + 1))
        },
        &|s| s.insert("a", "no number"),
    );
    assert!(matches!(outcome, Err(Error::Value(_))), "{outcome:?}");
    assert!(headers.is_empty());
    assert!(!session.expect("it is there").contains("x"));
}

#[test]
fn another_user_s_session_is_not_changed() {
    logged("");
    let manager = manager(Config::new().rotate_at_login(false));
    for fast in [&(|s: &RequestSession| s.set_user("bob")) as Work<'_>, &|s| s.clear_user()] {
        let (outcome, session, headers) = both(&manager, &|s| s.insert("x", &1), fast);
        assert_eq!(outcome.expect("commits"), Outcome::UserChanged);
        assert!(!headers.contains_key("set-cookie"));
        let session = session.expect("it is there");
        assert!(!session.contains("x"));
        let shown = session.reference().expect("stored").shown().to_string();
        assert_eq!(logged(&format!("{shown}: a request's changes were dropped")).len(), 1);
        manager.store().delete_where(&|_| true).expect("deletes");
    }
    // A request that sets the user itself decides.
    let (outcome, session, _) = both(&manager, &|s| s.set_user("eve"), &|s| s.set_user("bob"));
    assert_eq!(outcome.expect("commits"), Outcome::Saved);
    assert_eq!(session.expect("there").user::<String>().expect("a text").as_deref(), Some("eve"));
}

#[test]
fn a_session_that_was_deleted_stays_so() {
    let works: [Work<'_>; 5] = [
        &|s| s.insert("x", &1),
        &|s| s.get::<i64>("a").map(drop),
        &|s| s.set_user("bob"),
        &|s| s.rotate(),
        &|s| s.modify("a", |a: Option<i64>| a),
    ];
    for strict in [false, true] {
        for (number, slow) in works.into_iter().enumerate() {
            let manager = manager(Config::new().strict(strict));
            let (outcome, session, headers) = both(&manager, slow, &|s| s.expire());
            let outcome = outcome.expect("commits");
            // Reading what was there when the request began is no crime, and needs no second look.
            let expected = if number == 1 { Outcome::Unchanged } else { Outcome::Vanished };
            assert_eq!((outcome, session), (expected, None), "{number}");
            assert!(!headers.contains_key("set-cookie"), "{number}");
        }
    }
}

#[test]
fn strict_refuses_any_conflict() {
    let manager = manager(Config::new().strict(true));
    let (outcome, session, headers) = both(&manager, &|s| s.insert("x", &1), &|s| s.insert("y", &2));
    assert!(matches!(outcome, Err(Error::Conflict)), "{outcome:?}");
    assert_eq!(outcome.expect_err("refused").status(), 409);
    assert!(headers.is_empty() && !session.expect("there").contains("x"));
    manager.store().delete_where(&|_| true).expect("deletes");
    let (outcome, session, _) = both(&manager, &|s| s.rotate(), &|s| s.insert("y", &2));
    assert!(matches!(outcome, Err(Error::Conflict)), "{outcome:?}");
    manager.store().delete_where(&|_| true).expect("deletes");
    assert!(session.expect("there").contains("y"));
    // Without one it saves, and a touch is none.
    let (outcome, session, _) = both(&manager, &|s| s.insert("x", &1), &|s| s.get::<i64>("a").map(drop));
    assert_eq!(outcome.expect("commits"), Outcome::Saved);
    assert!(session.expect("there").contains("x"));
}

/// Has it info? That is decided by what is stored then.
#[test]
fn what_another_has_put_in_keeps_it() {
    let manager = manager(Config::new());
    let (outcome, session, _) = both(
        &manager,
        &|s| {
            s.clear_user()?;
            s.remove("a")?;
            s.remove("list").map(drop)
        },
        &|s| s.insert("y", &2),
    );
    assert_eq!(outcome.expect("commits"), Outcome::Saved);
    assert!(session.expect("it is there").contains("y"));
}

/// Another session that has taken the ID is not the one that was loaded.
#[test]
fn a_session_of_the_same_id_is_another_one() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let store = sessiondir::Options::new().create(true).open(tmp.path().join("s")).expect("opens");
    let id = sessiondir::SessionId::generate().expect("an ID");
    let of_ada = |created: u64| {
        let time = sessiondir::UnixMillis::from_millis(created).expect("a time");
        let mut session = Session::at(time, sessiondir::UnixMillis::now());
        session.set_user("ada").expect("a user");
        session
    };
    let works: [Work<'_>; 2] = [&|s| s.insert("x", &1), &|s| s.rotate()];
    let manager = SessionManager::new(store, Config::new()).expect("a manager");
    for work in works {
        manager.store().insert(&id, &mut of_ada(1)).expect("stores");
        let slow = manager.start_request(&Browser::with(&id).request());
        work(&slow).expect("loads");
        manager.store().delete(&id.clone().into()).expect("deletes");
        manager.store().insert(&id, &mut of_ada(2)).expect("stores");
        let mut headers = HeaderMap::new();
        let outcome = manager.finish_successful_request(&slow, &mut headers).expect("commits");
        assert_eq!((outcome, headers.contains_key("set-cookie")), (Outcome::Vanished, false));
        assert!(!only(manager.store()).contains("x"));
        manager.store().delete(&id.clone().into()).expect("deletes");
    }
}
