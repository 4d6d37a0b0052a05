//! The operator's page.

use std::path::Path;

use sessiondir::{DirectoryStore, Session, SessionStore};

use crate::client::{Browser, Demo, Page, stored};

fn admin() -> (tempfile::TempDir, Demo, Browser) {
    let tmp = tempfile::tempdir().expect("a directory");
    let demo = Demo::with(tmp.path(), &["--admin"]);
    (tmp, demo, Browser::default())
}

/// The form fields that name the session of that user.
fn key(directory: &Path, user: &str) -> String {
    let found = stored(directory).into_iter().find(|session| session.user() == Ok(Some(user.to_owned())));
    found.and_then(|session| Some(session.reference()?.key().to_hex())).expect("the user's session")
}

fn users(directory: &Path) -> Vec<String> {
    let mut users: Vec<String> =
        stored(directory).iter().filter_map(|session| session.user::<String>().ok().flatten()).collect();
    users.sort();
    users
}

fn posted(browser: &mut Browser, demo: &Demo, path: &str, key: &str) -> Page {
    let csrf = browser.see(demo, "/admin").field("csrf_token").to_owned();
    browser.post(demo, path, &format!("csrf_token={csrf}&key={key}"))
}

#[test]
fn it_is_there_only_where_it_was_asked_for() {
    let tmp = tempfile::tempdir().expect("a directory");
    let demo = Demo::start(tmp.path());
    let mut browser = Browser::default();
    assert_eq!(browser.get(&demo, "/admin").status, 404);
    assert_eq!(browser.post(&demo, "/admin/delete", "").status, 404);
    assert!(!browser.see(&demo, "/").text.contains("/admin"));
    let demo = Demo::with(tmp.path(), &["--admin"]);
    assert!(browser.see(&demo, "/").text.contains("/admin"));
    assert_eq!(browser.get(&demo, "/admin").status, 200);
}

/// Another site's name that leads here (DNS rebinding) is not ours, and a header that tells of a proxy changes nothing.
#[test]
fn it_is_for_this_machine_under_its_own_name() {
    let (_tmp, demo, _) = admin();
    let ask = |headers: &str| {
        demo.raw(format!("GET /admin HTTP/1.1\r\n{headers}Connection: close\r\n\r\n").as_bytes()).status
    };
    for host in ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.2:9", "[::1]", "[::1]:8080"] {
        assert_eq!(ask(&format!("Host: {host}\r\n")), 200, "{host}");
    }
    for host in
        ["example.org", "example.org:80", "localhost.example.org", "192.0.2.7", "[2001:db8::1]:80", ""]
    {
        assert_eq!(ask(&format!("Host: {host}\r\n")), 403, "{host}");
        let forwarded =
            "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: localhost\r\nForwarded: host=localhost\r\n";
        assert_eq!(ask(&format!("Host: {host}\r\n{forwarded}")), 403, "{host}");
    }
    assert_eq!(ask("Host: localhost\r\nX-Forwarded-For: 192.0.2.7\r\n"), 200);
}

#[test]
fn it_lists_sessions_and_no_credentials() {
    let (tmp, demo, mut browser) = admin();
    for name in ["ada", "%3Cscript%3Ealert(1)%3C/script%3E", "%22%3E%3Cb%3E", "%E2%80%AEadmin"] {
        Browser::default().login(&demo, name);
    }
    let store = DirectoryStore::open(tmp.path()).expect("the store");
    for user in [ciborium::Value::from(42), ciborium::Value::Array(vec!["a<b".into(), true.into()])] {
        let mut session = Session::new();
        session.set_user(&user).expect("a user");
        store.create(&mut session).expect("room");
    }
    browser.see(&demo, "/admin");
    let page = browser.see(&demo, "/admin");
    assert!(page.text.contains("; 7 shown."), "{page:?}");
    assert!(page.text.contains("this browser"), "{page:?}");
    for session in stored(tmp.path()) {
        let reference = session.reference().expect("stored");
        assert!(page.text.contains(&format!("<code>{}</code>", reference.shown())), "{page:?}");
        assert!(!page.text.contains(reference.id().expect("an ID").expose()), "an ID in {page:?}");
    }
    assert!(page.text.contains("<td>ada<td>0 s<td>") || page.text.contains("<td>ada<td>1 s<td>"), "{page:?}");
    assert!(page.text.contains("<td>&lt;script&gt;alert(1)&lt;/script&gt;<td>"), "{page:?}");
    assert!(page.text.contains("<td>&quot;&gt;&lt;b&gt;<td>"), "{page:?}");
    assert!(page.text.contains("<td>\\u{202e}admin<td>"), "{page:?}");
    assert!(page.text.contains("<td><code>42</code> <small>integer</small><td>"), "{page:?}");
    assert!(
        page.text.contains("<td><code>[&quot;a&lt;b&quot;, true]</code> <small>array</small><td>"),
        "{page:?}"
    );
    assert!(!page.text.contains("<script"), "{page:?}");
}

#[test]
fn it_deletes_one() {
    let (tmp, demo, mut browser) = admin();
    for name in ["ada", "bob"] {
        Browser::default().login(&demo, name);
    }
    let ada = key(tmp.path(), "ada");
    let page = posted(&mut browser, &demo, "/admin/delete", &ada);
    assert_eq!((page.status, page.header("location")), (302, Some("/admin")), "{page:?}");
    assert_eq!(users(tmp.path()), ["bob"]);
    for nobody in [&*ada, "", "../x", "A"] {
        assert_eq!(posted(&mut browser, &demo, "/admin/delete", nobody).status, 302);
    }
    assert_eq!(users(tmp.path()), ["bob"]);
}

#[test]
fn it_logs_a_user_out_everywhere() {
    let (tmp, demo, mut browser) = admin();
    let mut ada = [Browser::default(), Browser::default(), Browser::default()];
    for browser in &mut ada {
        browser.login(&demo, "ada");
    }
    Browser::default().login(&demo, "bob");
    let store = DirectoryStore::open(tmp.path()).expect("the store");
    let mut bytes = Session::new();
    bytes.set_user(&ciborium::Value::Bytes(b"ada".to_vec())).expect("a user");
    store.create(&mut bytes).expect("room");
    let page = posted(&mut browser, &demo, "/admin/logout", &key(tmp.path(), "ada"));
    assert_eq!(page.status, 302);
    assert_eq!(users(tmp.path()), ["bob"]);
    for browser in &mut ada {
        assert_eq!(browser.see(&demo, "/test/counter").text, "Not logged in\n");
    }
    let left = stored(tmp.path());
    assert_eq!(left.len(), 3, "bob, the bytes, and the operator's own");
    // Who is nobody is not logged out.
    let own = left.iter().find(|session| !session.has_user()).and_then(|session| session.reference());
    let own = own.expect("the operator's").key().to_hex();
    assert_eq!(posted(&mut browser, &demo, "/admin/logout", &own).status, 302);
    assert_eq!(stored(tmp.path()).len(), 3);
}

#[test]
fn it_takes_no_form_of_others() {
    let (tmp, demo, mut browser) = admin();
    let mut ada = Browser::default();
    ada.login(&demo, "ada");
    let key = key(tmp.path(), "ada");
    browser.see(&demo, "/admin");
    let foreign = ada.see(&demo, "/admin").field("csrf_token").to_owned();
    for path in ["/admin/delete", "/admin/logout"] {
        for csrf in ["", "AAAAAAAAAAAAAAAAAAAAAA", &foreign] {
            let page = browser.post(&demo, path, &format!("csrf_token={csrf}&key={key}"));
            assert_eq!(page.status, 403, "{path} {csrf}: {page:?}");
        }
        assert_eq!(Browser::default().post(&demo, path, &format!("key={key}")).status, 403);
        assert_eq!(browser.get(&demo, &format!("{path}?key={key}")).status, 405);
    }
    assert_eq!(users(tmp.path()), ["ada"]);
}

#[test]
fn it_lists_the_first_200_and_what_is_damaged() {
    let (tmp, demo, mut browser) = admin();
    let store = DirectoryStore::open(tmp.path()).expect("the store");
    let mut session = Session::new();
    session.set_user("ada").expect("a user");
    let id = store.create(&mut session).expect("room");
    std::fs::write(tmp.path().join(id.expose()), "damaged").expect("a file");
    let page = browser.see(&demo, "/admin");
    assert!(page.between("<tr class=\"bad\">", "</tr>").contains("corrupt"), "{page:?}");
    assert!(!page.text.contains(id.expose()), "{page:?}");
    for _ in 0..210 {
        let mut session = Session::new();
        session.insert("counter", &1).expect("a value");
        store.create(&mut session).expect("room");
    }
    let page = browser.see(&demo, "/admin");
    // With the operator's own, which the first look at the page has made.
    assert!(page.text.contains("212 sessions in ") && page.text.contains("; 200 shown."), "{page:?}");
    assert_eq!(page.text.matches("<tr").count(), 201);
}
