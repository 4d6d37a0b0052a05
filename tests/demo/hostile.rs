//! Requests that no browser sends.

use crate::client::{Browser, Demo, Page, listing};

/// A request with this after `Cookie: `.
fn with_cookie(demo: &Demo, path: &str, cookie: &[u8]) -> Page {
    let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nCookie: ", demo.address);
    demo.raw(&[head.as_bytes(), cookie, b"\r\n\r\n"].concat())
}

fn id(page: &Page) -> &str {
    page.between("Your session ID is ", ".\n")
}

struct Site {
    tmp: tempfile::TempDir,
    demo: Demo,
    /// The ID of a session of the site.
    id: String,
}

fn site() -> Site {
    let tmp = tempfile::tempdir().expect("a directory");
    let demo = Demo::start(&tmp.path().join("sessions"));
    let mut browser = Browser::default();
    browser.login(&demo, "ada");
    // What a path could lead to.
    std::fs::write(tmp.path().join("x"), "X").expect("a file");
    let id = browser.cookie.expect("a cookie");
    Site { tmp, demo, id }
}

#[test]
fn hostile_cookies_are_no_sessions_and_touch_no_file() {
    let Site { tmp, demo, id: known } = site();
    let before = listing(tmp.path());
    let long = "A".repeat(64 << 10);
    let hostile = [
        "../x".into(),
        "..%2Fx".into(),
        "../sessions/.sessiondir".into(),
        format!("../sessions/{known}"),
        format!("./{known}"),
        format!("{known}/"),
        "/etc/passwd".into(),
        "..\\x".into(),
        ".sessiondir".into(),
        ".lock".into(),
        ".lock/00".into(),
        ".".into(),
        "..".into(),
        String::new(),
        "*del*".into(),
        "\"".into(),
        "\"\"".into(),
        format!("\"{known}"),
        format!("'{known}'"),
        format!("{known}\0").replace('\0', "%00"),
        known[1..].to_owned(),
        known.to_ascii_lowercase() + "a",
        "A".repeat(22),
        "A".repeat(128),
        "A".repeat(129),
        long,
    ];
    for cookie in &hostile {
        let shown = cookie.get(..60).unwrap_or(cookie);
        // The failed logout deletes what a logout would; and the others change only what is there.
        for path in [
            "/",
            "/test/check",
            "/increment",
            "/logout",
            "/test/logout",
            "/test/counter",
            "/test/check_token",
        ] {
            let page = with_cookie(&demo, path, format!("QX_session={cookie}").as_bytes());
            assert!(matches!(page.status, 200 | 302 | 403), "{path} {shown}: {page:?}");
            if path == "/" {
                assert_eq!(id(&page), "None", "{shown}");
            }
        }
    }
    assert_eq!(listing(tmp.path()), before);
    assert_eq!(id(&with_cookie(&demo, "/", format!("QX_session={known}").as_bytes())), known);
}

#[test]
fn our_cookie_is_found_among_whatever_else_there_is() {
    let Site { tmp, demo, id: known } = site();
    let before = listing(tmp.path());
    let ours = format!("QX_session={known}");
    let many = "a=b; ".repeat(1000);
    for cookie in [
        format!("{many}{ours}"),
        format!("{ours}; {many}"),
        format!("{ours}; big={}", "x".repeat(64 << 10)),
        format!("QX_session=\"{known}\""),
        format!("a=\"b; {ours}"),
        format!(";;; =; ===; {ours} ;"),
        // The first of our name counts.
        format!("{ours}; QX_session=AAAAAAAAAAAAAAAAAAAAAA"),
        format!("{ours}; QX_session=../x"),
    ] {
        let page = with_cookie(&demo, "/", cookie.as_bytes());
        assert_eq!((page.status, id(&page)), (200, &*known), "{}", &cookie[..60.min(cookie.len())]);
    }
    for cookie in [
        format!("QX_session=AAAAAAAAAAAAAAAAAAAAAA; {ours}"),
        format!("QX_session=; {ours}"),
        format!("qx_session={known}"),
        format!("XQX_session={known}"),
    ] {
        let page = with_cookie(&demo, "/", cookie.as_bytes());
        assert_eq!((page.status, id(&page)), (200, "None"), "{cookie}");
    }
    assert_eq!(listing(tmp.path()), before);
}

#[test]
fn bytes_that_are_no_text_are_no_session() {
    let Site { tmp, demo, id: known } = site();
    let before = listing(tmp.path());
    let ours = format!("QX_session={known}");
    let page = with_cookie(&demo, "/", &[b"a=\xff\xfe\xc3; ", ours.as_bytes()].concat());
    assert_eq!((page.status, id(&page)), (200, &*known), "in another cookie");
    for bytes in [&b"\xff"[..], b"\xc3\x28", b"\xed\xa0\x80", b"\xf0\x9f"] {
        let page = with_cookie(&demo, "/", &[ours.as_bytes(), bytes].concat());
        assert_eq!((page.status, id(&page)), (200, "None"), "{bytes:x?}");
    }
    // HTTP itself refuses these.
    for bytes in [&b"\0"[..], b"\x01", b"\x7f"] {
        assert_eq!(with_cookie(&demo, "/", bytes).status, 400, "{bytes:x?}");
    }
    assert_eq!(listing(tmp.path()), before);
}

#[test]
fn requests_that_are_too_much_are_refused() {
    let Site { tmp, demo, id: known } = site();
    let before = listing(tmp.path());
    // A thousand header lines are more than the server takes.
    let lines = format!("QX_session={known}\r\n{}Cookie: a=b", "Cookie: a=b\r\n".repeat(1000));
    assert_eq!(with_cookie(&demo, "/", lines.as_bytes()).status, 431);
    let mut browser = Browser::default();
    let page = browser.post(&demo, "/test/login", &format!("name={}", "x".repeat(100_000)));
    assert_eq!(page.status, 413, "{page:?}");
    assert!(browser.post(&demo, "/test/login", "name=a&name=b").status.to_string().starts_with('4'));
    assert_eq!(demo.raw(b"\x16\x03\x01\x02\x00\x01\r\n\r\n").status, 400);
    assert_eq!(listing(tmp.path()), before);
    assert_eq!(browser.shown(&demo), (None, 0));
}

#[test]
fn every_page_says_what_browsers_may_do_with_it() {
    let Site { tmp: _tmp, demo, id } = site();
    let mut browser = Browser { cookie: Some(id) };
    for (path, status) in [
        ("/", 200),
        ("/keep", 302),
        ("/incrementfail", 500),
        ("/test/", 200),
        ("/test", 302),
        ("/test/login", 200),
        ("/test/check", 200),
        ("/test/check_token", 403),
        ("/test/delete_old", 400),
        ("/style.css", 200),
        ("/admin", 404),
        ("/nothing", 404),
        ("/test/nothing", 404),
        ("/..%2f..%2fetc/passwd", 404),
        ("/%3Cscript%3E", 404),
    ] {
        let page = browser.get(&demo, path);
        assert_eq!(page.status, status, "{path}: {page:?}");
        let policy = page.header("content-security-policy").unwrap_or_default();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self'; form-action 'self'"),
            "{path}: {page:?}"
        );
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"), "{path}");
        let cache = page.header("cache-control");
        assert_eq!(cache, Some(if path == "/style.css" { "max-age=3600" } else { "no-store" }), "{path}");
        assert!(!page.text.contains("<script"), "{path}: {page:?}");
        if status == 404 {
            assert!(page.text.contains("There is no such page."), "{path}: {page:?}");
        }
    }
    assert_eq!(browser.post(&demo, "/keep", "").status, 405);
}

/// A store that cannot be written to is no logout: the page says so, and the cookie stays.
#[test]
fn a_store_that_fails_is_a_page_and_no_logout() {
    let Site { tmp, demo, id } = site();
    let (locks, aside) = (tmp.path().join("sessions/.lock"), tmp.path().join("aside"));
    std::fs::rename(&locks, &aside).expect("moved");
    let mut browser = Browser { cookie: Some(id.clone()) };
    for path in ["/increment", "/logout"] {
        let page = browser.get(&demo, path);
        assert_eq!((page.status, page.header("set-cookie")), (503, None), "{page:?}");
        assert!(page.text.contains("Please try again") && page.text.contains("<!DOCTYPE html>"), "{page:?}");
    }
    std::fs::rename(&aside, &locks).expect("moved back");
    assert_eq!(browser.checked(&demo, "user"), "ada");
    assert_eq!(browser.shown(&demo), (Some(id), 0));
}
