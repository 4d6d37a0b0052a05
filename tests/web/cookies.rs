//! The cookie, its attributes, and what browsers and attackers send.

use std::time::Duration;

use http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE, VARY};
use http::{HeaderMap, HeaderValue, Request};
use sessiondir::web::{Config, SameSite};
use sessiondir::{Session, SessionId, SessionStore};

use super::browser::manager;

const ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// What a first visit that stores something answers.
fn first(config: Config, headers: &mut HeaderMap) -> String {
    let manager = manager(config);
    let session = manager.start_request(&Request::new(()));
    session.set_user("ada").expect("open");
    manager.finish_successful_request(&session, headers).expect("commits");
    let id = session.id().expect("loaded").expect("stored");
    let cookie = &headers[SET_COOKIE];
    assert!(cookie.is_sensitive());
    cookie.to_str().expect("text").replace(id.expose(), "ID")
}

#[test]
fn the_defaults_are_safe() {
    let mut headers = HeaderMap::new();
    assert_eq!(first(Config::new(), &mut headers), "session=ID; HttpOnly; SameSite=Lax; Secure; Path=/");
    assert_eq!(headers[VARY], "Cookie");
    assert_eq!(headers[CACHE_CONTROL], "private");
}

#[test]
fn every_attribute_can_be_set() {
    let config = Config::new()
        .cookie_name("__Secure-s")
        .cookie_path("/app")
        .cookie_domain("example.org")
        .http_only(false)
        .same_site(SameSite::None)
        .cookie_max_age(Some(Duration::from_secs(3600)));
    let cookie = first(config, &mut HeaderMap::new());
    assert_eq!(cookie, "__Secure-s=ID; SameSite=None; Secure; Path=/app; Domain=example.org; Max-Age=3600");
    let config = Config::new().secure(false).same_site(SameSite::Strict);
    assert_eq!(first(config, &mut HeaderMap::new()), "session=ID; HttpOnly; SameSite=Strict; Path=/");
}

#[test]
fn what_cannot_be_is_refused() {
    let second = |n| Some(Duration::from_secs(n));
    let bad = [
        Config::new().cookie_name(""),
        Config::new().cookie_name("a b"),
        Config::new().cookie_name("a;b"),
        Config::new().cookie_name("ä"),
        Config::new().cookie_path(""),
        Config::new().cookie_path("app"),
        Config::new().cookie_path("/a;b"),
        Config::new().cookie_path("/a\nb"),
        Config::new().cookie_domain(""),
        Config::new().cookie_domain("a;b"),
        Config::new().secure(false).same_site(SameSite::None),
        Config::new().cookie_name("__Host-s").secure(false),
        Config::new().cookie_name("__HOST-s").secure(false),
        Config::new().cookie_name("__Secure-s").secure(false),
        Config::new().cookie_name("__Host-s").cookie_path("/app"),
        Config::new().cookie_name("__Host-s").cookie_domain("example.org"),
        Config::new().idle(Some(Duration::ZERO)),
        Config::new().idle_without_user_and_data(Some(Duration::from_micros(999))),
        Config::new().lifetime(Some(Duration::MAX)),
        Config::new().cookie_max_age(Some(Duration::from_millis(999))),
    ];
    for config in bad {
        let error = config.check().expect_err("contradicts itself");
        assert!(!error.to_string().is_empty());
        assert!(sessiondir::web::SessionManager::new(sessiondir::MemoryStore::new(), config).is_err());
    }
    let good = [
        Config::new().cookie_name("__Host-s"),
        Config::new().cookie_name("!#$%&'*+-.^_`|~"),
        Config::new().idle(None).lifetime(None).idle_without_user_and_data(None),
        Config::new().idle(second(1)).cookie_max_age(second(1)),
    ];
    for config in good {
        assert_eq!(config.check(), Ok(()));
    }
}

/// The user that a request with these headers is, of a store in which ada's session has the ID [`ID`].
fn user(cookies: &[&[u8]]) -> Option<String> {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let store = sessiondir::Options::new().create(true).open(tmp.path().join("s")).expect("opens");
    let mut session = Session::new();
    session.set_user("ada").expect("a user");
    store.insert(&SessionId::new(ID).expect("an ID"), &mut session).expect("stores");
    let manager = sessiondir::web::SessionManager::new(store, Config::new()).expect("a manager");
    let mut request = Request::new(());
    for cookie in cookies {
        request.headers_mut().append(COOKIE, HeaderValue::from_bytes(cookie).expect("a header"));
    }
    let session = manager.start_request(&request);
    let user = session.user().expect("looks");
    let mut headers = HeaderMap::new();
    manager.finish_successful_request(&session, &mut headers).expect("commits");
    assert!(!headers.contains_key(SET_COOKIE));
    user
}

#[test]
fn cookies_are_found() {
    let good: [&[&[u8]]; 8] = [
        &[b"session=AAAAAAAAAAAAAAAAAAAAAA"],
        &[b"session=\"AAAAAAAAAAAAAAAAAAAAAA\""],
        &[b"a=b; session=AAAAAAAAAAAAAAAAAAAAAA; c=d"],
        &[b"a=b;session=AAAAAAAAAAAAAAAAAAAAAA;"],
        &[b"a", b"=", b"; ;", b"session=AAAAAAAAAAAAAAAAAAAAAA"],
        &[b"other=\xff\xfe; session=AAAAAAAAAAAAAAAAAAAAAA"],
        // The first counts.
        &[b"session=AAAAAAAAAAAAAAAAAAAAAA; session=BBBBBBBBBBBBBBBBBBBBBB"],
        &[b"session=AAAAAAAAAAAAAAAAAAAAAA", b"session=BBBBBBBBBBBBBBBBBBBBBB"],
    ];
    for cookies in good {
        assert_eq!(user(cookies).as_deref(), Some("ada"), "{cookies:?}");
    }
    let bad: [&[&[u8]]; 10] = [
        &[],
        &[b"session"],
        &[b"session="],
        &[b"Session=AAAAAAAAAAAAAAAAAAAAAA"],
        &[b"xsession=AAAAAAAAAAAAAAAAAAAAAA"],
        &[b"session=AAAAAAAAAAAAAAAAAAAAAA\xff"],
        &[b"session=%41AAAAAAAAAAAAAAAAAAAAA"],
        &[b"session=../AAAAAAAAAAAAAAAAAAAAAA"],
        &[b"session=bad; session=AAAAAAAAAAAAAAAAAAAAAA"],
        &[b"session=BBBBBBBBBBBBBBBBBBBBBB", b"session=AAAAAAAAAAAAAAAAAAAAAA"],
    ];
    for cookies in bad {
        assert_eq!(user(cookies), None, "{cookies:?}");
    }
}

#[test]
fn many_and_large_cookies_are_looked_through() {
    let many = (0..1000).map(|n| format!("c{n}=v")).collect::<Vec<_>>().join("; ");
    let large = format!("big={}", "x".repeat(64 * 1024));
    let ours = format!("session={ID}");
    assert_eq!(user(&[many.as_bytes(), large.as_bytes(), ours.as_bytes()]).as_deref(), Some("ada"));
    let ours = format!("session={}", "A".repeat(64 * 1024));
    assert_eq!(user(&[ours.as_bytes()]), None);
}

#[test]
fn what_the_application_says_of_caching_stays() {
    let mut headers = HeaderMap::new();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    first(Config::new(), &mut headers);
    assert_eq!(headers.get_all(CACHE_CONTROL).iter().collect::<Vec<_>>(), ["no-store"]);
    assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), ["Accept-Encoding", "Cookie"]);
    for vary in ["*", "cookie", "Accept, Cookie"] {
        let mut headers = HeaderMap::new();
        headers.insert(VARY, HeaderValue::from_static(vary));
        first(Config::new(), &mut headers);
        assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), [vary]);
    }
}

#[test]
fn a_removal_is_for_the_cookie_that_was_set() {
    let config = Config::new().cookie_name("s").cookie_path("/app").cookie_domain("example.org");
    let manager = manager(config);
    let mut session = Session::new();
    session.set_user("ada").expect("a user");
    let id = manager.store().create(&mut session).expect("stores");
    let mut request = Request::new(());
    request.headers_mut().insert(COOKIE, format!("s={}", id.expose()).parse().expect("a header"));
    let session = manager.start_request(&request);
    session.expire().expect("open");
    let mut headers = HeaderMap::new();
    manager.finish_successful_request(&session, &mut headers).expect("commits");
    let cookie = headers[SET_COOKIE].to_str().expect("text");
    let parts: Vec<&str> = cookie.split("; ").filter(|part| !part.starts_with("Expires=")).collect();
    assert_eq!(
        parts,
        ["s=", "HttpOnly", "SameSite=Lax", "Secure", "Path=/app", "Domain=example.org", "Max-Age=0"]
    );
    assert_eq!(headers[CACHE_CONTROL], "private");
}
