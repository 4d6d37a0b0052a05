//! The endpoints of its successor.

use std::time::Duration;

use sessiondir::{Options, Session, SessionStore, UnixMillis};

use crate::client::{Browser, Demo, stored};

fn fresh() -> (tempfile::TempDir, Demo, Browser) {
    let tmp = tempfile::tempdir().expect("a directory");
    let demo = Demo::start(tmp.path());
    (tmp, demo, Browser::default())
}

#[test]
fn check_tells_of_no_session() {
    let (tmp, demo, mut browser) = fresh();
    let page = browser.see(&demo, "/test/check");
    assert_eq!(page.header("content-type"), Some("text/plain; charset=utf-8"));
    let fields = "session_id: None\nuser: None\ncounter: 0\nhas_info: False\nform_tokens_count: 0\nhas_form_tokens: False\n";
    assert_eq!(page.text, fields);
    for path in ["/test/", "/test/login"] {
        browser.see(&demo, path);
    }
    assert_eq!(browser.cookie, None, "who only looks gets no session");
    assert!(stored(tmp.path()).is_empty());
}

#[test]
fn login_is_a_form_and_logs_in() {
    let (tmp, demo, mut browser) = fresh();
    let form = browser.see(&demo, "/test/login");
    assert!(
        form.text.contains("<form method=\"post\" action=\"login\">") && form.text.contains("name=\"name\"")
    );
    browser.login(&demo, "ada");
    let page = browser.see(&demo, "/test/check");
    let id = browser.cookie.clone().expect("a cookie");
    assert_eq!(
        page.text,
        format!(
            "session_id: {id}\nuser: ada\ncounter: 0\nhas_info: True\nform_tokens_count: 0\nhas_form_tokens: False\n"
        )
    );
    let [session] = &stored(tmp.path())[..] else { panic!("not one session") };
    assert_eq!(session.user::<String>(), Ok(Some("ada".into())));
}

#[test]
fn login_without_a_name_is_none() {
    let (tmp, demo, mut browser) = fresh();
    for form in ["name=", "name=+++", "", &format!("name={}", "x".repeat(201))] {
        assert_eq!(browser.post(&demo, "/test/login", form).status, 400, "{form}");
    }
    assert_eq!(browser.checked(&demo, "user"), "None");
    assert!(stored(tmp.path()).is_empty());
}

#[test]
fn login_gives_a_new_id_and_keeps_the_rest() {
    let (tmp, demo, mut browser) = fresh();
    browser.click(&demo, "/keep");
    browser.click(&demo, "/increment");
    let before = browser.cookie.clone();
    browser.login(&demo, "ada");
    assert_ne!(browser.cookie, before);
    assert_eq!(browser.checked(&demo, "counter"), "1");
    assert_eq!(stored(tmp.path()).len(), 1);
    browser.cookie = before;
    assert_eq!(browser.checked(&demo, "user"), "None", "whoever knew the old ID is not logged in");
}

#[test]
fn counter_needs_a_login() {
    let (tmp, demo, mut browser) = fresh();
    assert_eq!(browser.see(&demo, "/test/counter").text, "Not logged in\n");
    assert!(stored(tmp.path()).is_empty());
    browser.login(&demo, "ada");
    for count in 1..=3 {
        assert_eq!(browser.see(&demo, "/test/counter").text, format!("Counter: {count}\n"));
    }
    assert_eq!(browser.checked(&demo, "counter"), "3");
    assert_eq!(browser.shown(&demo).1, 3, "it is the counter of the other page");
}

#[test]
fn a_token_is_taken_once() {
    let (_tmp, demo, mut browser) = fresh();
    browser.login(&demo, "ada");
    let token = browser.see(&demo, "/test/create_token").field("token").to_owned();
    assert_eq!(browser.checked(&demo, "form_tokens_count"), "1");
    assert_eq!(browser.checked(&demo, "has_form_tokens"), "True");
    assert_eq!(browser.get(&demo, "/test/check_token?token=another").status, 403);
    assert_eq!(browser.get(&demo, "/test/check_token").status, 403);
    assert_eq!(browser.see(&demo, &format!("/test/check_token?token={token}")).text, "Token valid\n");
    assert_eq!(browser.checked(&demo, "form_tokens_count"), "0");
    let again = browser.get(&demo, &format!("/test/check_token?token={token}"));
    assert_eq!((again.status, &*again.text), (403, "Token invalid\n"));
}

#[test]
fn a_token_is_of_its_session_and_of_a_form_too() {
    let (_tmp, demo, mut browser) = fresh();
    let token = browser.see(&demo, "/test/create_token").field("token").to_owned();
    let form = format!("token={token}");
    let mut other = Browser::default();
    other.login(&demo, "bob");
    assert_eq!(other.post(&demo, "/test/check_token", &form).status, 403);
    assert_eq!(browser.post(&demo, "/test/check_token", &form).status, 200);
    assert_eq!(browser.post(&demo, "/test/check_token", &form).status, 403);
}

#[test]
fn of_more_than_32_tokens_the_oldest_go() {
    let (_tmp, demo, mut browser) = fresh();
    browser.login(&demo, "ada");
    let mut made = Vec::new();
    for _ in 0..34 {
        made.push(browser.see(&demo, "/test/create_token").field("token").to_owned());
    }
    assert_eq!(browser.checked(&demo, "form_tokens_count"), "32");
    let mut check =
        |index: usize| browser.get(&demo, &format!("/test/check_token?token={}", made[index])).status;
    assert_eq!([check(0), check(1), check(2), check(33)], [403, 403, 200, 200]);
}

#[test]
fn delete_old_deletes_what_is_old() {
    let (tmp, demo, mut browser) = fresh();
    browser.login(&demo, "ada");
    let now = UnixMillis::now().as_millis();
    let before = move || UnixMillis::from_millis(now - 2 * 60 * 60 * 1000).expect("a time");
    let store = Options::new().clock(before).open(tmp.path()).expect("the store");
    for _ in 0..3 {
        let mut session = Session::at(before(), before());
        session.insert("counter", &1).expect("a value");
        session.set_idle(Some(Duration::from_secs(100 * 60 * 60))).expect("a life");
        store.create(&mut session).expect("room");
    }
    for minutes in ["", "?minutes=", "?minutes=-1", "?minutes=soon"] {
        assert_eq!(browser.get(&demo, &format!("/test/delete_old{minutes}")).status, 400);
    }
    assert_eq!(browser.see(&demo, "/test/delete_old?minutes=180").text, "Deleted: 0, Remaining: 4\n");
    assert_eq!(browser.see(&demo, "/test/delete_old?minutes=60").text, "Deleted: 3, Remaining: 1\n");
    assert_eq!(browser.checked(&demo, "user"), "ada");
}

#[test]
fn logout_ends_it() {
    let (tmp, demo, mut browser) = fresh();
    browser.login(&demo, "ada");
    let before = browser.cookie.clone();
    assert_eq!(browser.get(&demo, "/test/logout").status, 302);
    assert_eq!(browser.cookie, None);
    browser.cookie = before;
    assert_eq!(browser.see(&demo, "/test/counter").text, "Not logged in\n");
    assert!(stored(tmp.path()).is_empty());
}

#[test]
fn two_browsers_have_two_sessions() {
    let (tmp, demo, mut ada) = fresh();
    let mut bob = Browser::default();
    ada.login(&demo, "ada");
    bob.login(&demo, "bob");
    for _ in 0..2 {
        ada.see(&demo, "/test/counter");
    }
    bob.see(&demo, "/test/counter");
    assert_eq!((ada.checked(&demo, "user"), ada.checked(&demo, "counter")), ("ada".into(), "2".into()));
    assert_eq!((bob.checked(&demo, "user"), bob.checked(&demo, "counter")), ("bob".into(), "1".into()));
    ada.get(&demo, "/test/logout");
    assert_eq!(bob.checked(&demo, "user"), "bob");
    assert_eq!(stored(tmp.path()).len(), 1);
}

#[test]
fn what_the_pages_change_takes_their_csrf_token() {
    let (_tmp, demo, mut browser) = fresh();
    browser.login(&demo, "ada");
    let csrf = browser.see(&demo, "/test/").field("csrf_token").to_owned();
    for form in ["", "csrf_token=", "csrf_token=AAAAAAAAAAAAAAAAAAAAAA"] {
        for page in ["/test/logout", "/test/delete_old"] {
            assert_eq!(browser.post(&demo, page, &format!("minutes=60&{form}")).status, 403, "{page} {form}");
        }
    }
    let page = browser.post(&demo, "/test/delete_old", &format!("minutes=60&csrf_token={csrf}"));
    assert_eq!(page.text, "Deleted: 0, Remaining: 1\n");
    assert_eq!(browser.post(&demo, "/test/logout", &format!("csrf_token={csrf}")).status, 302);
    assert_eq!(browser.cookie, None);
}

#[test]
fn a_name_is_text_whatever_is_in_it() {
    let (_tmp, demo, mut browser) = fresh();
    browser.login(&demo, "%3Cscript%3Ealert(1)%3C/script%3E%0Auser:%20root");
    let page = browser.see(&demo, "/test/");
    assert!(page.text.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page:?}");
    assert!(!page.text.contains("<script"), "{page:?}");
    // As text it needs no escape, but it stays one line.
    assert_eq!(browser.checked(&demo, "user"), "<script>alert(1)</script>\\u{a}user: root");
}
