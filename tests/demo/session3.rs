//! What Session3's own application shows, step by step.

use crate::client::{Browser, Demo, stored};

fn kept() -> (tempfile::TempDir, Demo, Browser) {
    let tmp = tempfile::tempdir().expect("a directory");
    let demo = Demo::start(tmp.path());
    let mut browser = Browser::default();
    browser.click(&demo, "/keep");
    (tmp, demo, browser)
}

#[test]
fn it_starts_without_an_id() {
    let tmp = tempfile::tempdir().expect("a directory");
    let demo = Demo::start(tmp.path());
    let mut browser = Browser::default();
    assert_eq!(browser.shown(&demo), (None, 0));
    browser.click(&demo, "/increment");
    assert_eq!(browser.shown(&demo), (None, 0), "before keep nothing counts");
    browser.click(&demo, "/logout");
    assert_eq!(browser.cookie, None);
    assert!(stored(tmp.path()).is_empty());
}

#[test]
fn keep_gives_an_id() {
    let (tmp, demo, mut browser) = kept();
    let cookie = browser.cookie.clone().expect("a cookie");
    assert_eq!(cookie.len(), 22);
    assert_eq!(browser.shown(&demo), (Some(cookie.clone()), 0));
    browser.click(&demo, "/keep");
    assert_eq!(browser.shown(&demo), (Some(cookie.clone()), 0));
    let [session] = &stored(tmp.path())[..] else { panic!("not one session") };
    assert_eq!(session.id().map(sessiondir::SessionId::expose), Some(&*cookie));
    // What the demo in Python stores.
    assert_eq!(session.get::<bool>("keep"), Ok(Some(true)));
    assert_eq!(session.get::<i64>("counter"), Ok(Some(0)));
    assert_eq!(session.attributes().len(), 2);
}

#[test]
fn increment_counts_and_survives() {
    let (tmp, demo, mut browser) = kept();
    for count in 1..=3 {
        browser.click(&demo, "/increment");
        assert_eq!(browser.shown(&demo), (browser.cookie.clone(), count));
    }
    browser.click(&demo, "/keep");
    assert_eq!(browser.shown(&demo).1, 3, "keep does not start the counter again");
    drop(demo);
    let demo = Demo::start(tmp.path());
    assert_eq!(browser.shown(&demo), (browser.cookie.clone(), 3));
}

#[test]
fn a_failed_increment_does_not_count() {
    let (_tmp, demo, mut browser) = kept();
    browser.click(&demo, "/increment");
    browser.fail(&demo, "/incrementfail");
    assert_eq!(browser.shown(&demo), (browser.cookie.clone(), 1));
    Browser::default().fail(&demo, "/incrementfail");
}

#[test]
fn logout_ends_the_session() {
    let (tmp, demo, mut browser) = kept();
    browser.click(&demo, "/increment");
    let before = browser.cookie.clone();
    browser.click(&demo, "/logout");
    assert_eq!(browser.cookie, None);
    assert!(stored(tmp.path()).is_empty());
    browser.cookie = before.clone();
    assert_eq!(browser.shown(&demo), (None, 0));
    browser.click(&demo, "/keep");
    assert_ne!(browser.cookie, before, "an old ID is not taken up again");
}

#[test]
fn a_failed_logout_is_none() {
    let (tmp, demo, mut browser) = kept();
    browser.click(&demo, "/increment");
    browser.fail(&demo, "/logoutfail");
    assert_eq!(browser.shown(&demo), (browser.cookie.clone(), 1));
    assert_eq!(stored(tmp.path()).len(), 1);
}
