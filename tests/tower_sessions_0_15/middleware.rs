//! Through tower-sessions' own layer, in an axum application.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode, header};
use axum::routing::get;
use serde_json::json;
use sessiondir::SessionStore as _;
use sessiondir::tower_sessions_0_15::DirectorySessionStore;
use sessiondir::{Durability, Naming, Options};
use tokio::sync::Notify;
use tower::ServiceExt;
use tower_sessions::session::Id;
use tower_sessions::{Expiry, Session, SessionManagerLayer};

use super::{NAMINGS, reference, session_id};

type Failure = (StatusCode, String);

fn failure(error: impl std::fmt::Display) -> Failure {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

async fn count(session: Session) -> Result<String, Failure> {
    let count = session.get::<u64>("count").await.map_err(failure)?.unwrap_or(0) + 1;
    session.insert("count", count).await.map_err(failure)?;
    Ok(count.to_string())
}

async fn peek(session: Session) -> Result<String, Failure> {
    Ok(format!("{:?}", session.get::<u64>("count").await.map_err(failure)?))
}

async fn login(session: Session) -> Result<(), Failure> {
    session.cycle_id().await.map_err(failure)?;
    session.insert("user", "ada").await.map_err(failure)
}

async fn logout(session: Session) -> Result<(), Failure> {
    session.flush().await.map_err(failure)
}

async fn fail(session: Session) -> Result<(), Failure> {
    session.insert("count", 1000).await.map_err(failure)?;
    Err(failure("as it should"))
}

async fn clear(session: Session) -> Result<(), Failure> {
    session.clear().await;
    session.insert("fresh", true).await.map_err(failure)
}

/// Looks at its session, lets others work, and changes it.
async fn slow(State(gates): State<Arc<Gates>>, session: Session) -> Result<String, Failure> {
    let count = session.get::<u64>("count").await.map_err(failure)?.unwrap_or(0);
    gates.has_looked.notify_one();
    gates.go_on.notified().await;
    session.insert("count", count + 100).await.map_err(failure)?;
    Ok("done".to_owned())
}

#[derive(Default)]
struct Gates {
    has_looked: Notify,
    go_on: Notify,
}

struct Site {
    tmp: tempfile::TempDir,
    store: DirectorySessionStore,
    gates: Arc<Gates>,
    app: Router,
}

/// What a request got: status, body, and the session's cookie, if it was set; `""` if it was removed.
struct Got {
    status: StatusCode,
    body: String,
    cookie: Option<String>,
}

impl Site {
    fn new(naming: Naming) -> Self {
        let tmp = tempfile::tempdir().expect("a temporary directory");
        let options = Options::new().create(true).naming(naming).durability(Durability::Process);
        let store = DirectorySessionStore::new(options.open(tmp.path().join("s")).expect("a new store"));
        let gates = Arc::<Gates>::default();
        let layer = SessionManagerLayer::new(store.clone())
            .with_expiry(Expiry::OnInactivity(time::Duration::hours(1)));
        let app = Router::new()
            .route("/count", get(count))
            .route("/peek", get(peek))
            .route("/login", get(login))
            .route("/logout", get(logout))
            .route("/fail", get(fail))
            .route("/clear", get(clear))
            .route("/slow", get(slow))
            .with_state(Arc::clone(&gates))
            .layer(layer);
        Site { tmp, store, gates, app }
    }

    async fn get(&self, path: &str, cookie: Option<&str>) -> Got {
        let mut request = Request::get(path);
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, format!("id={cookie}"));
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = self.app.clone().oneshot(request).await.expect("infallible");
        let cookie = response.headers().get(header::SET_COOKIE).map(|cookie| {
            let cookie = cookie.to_str().expect("a text").strip_prefix("id=").expect("the session's");
            cookie.split(';').next().expect("a value").to_owned()
        });
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.expect("a body");
        Got { status, body: String::from_utf8(body.to_vec()).expect("a text"), cookie }
    }

    /// A visitor who has counted once.
    async fn visitor(&self) -> String {
        self.get("/count", None).await.cookie.expect("a cookie")
    }

    fn has(&self, cookie: &str) -> bool {
        let id: Id = cookie.parse().expect("an ID");
        self.store.inner().has(&reference(id)).expect("loads")
    }

    fn sessions(&self) -> usize {
        self.store.inner().iter_sessions().expect("listed").count()
    }
}

#[tokio::test]
async fn a_visit_is_counted_and_survives_a_restart() {
    for naming in NAMINGS {
        let site = Site::new(naming);
        let unseen = site.get("/peek", None).await;
        assert_eq!((unseen.body.as_str(), unseen.cookie, site.sessions()), ("None", None, 0));
        let cookie = site.visitor().await;
        assert_eq!(site.get("/count", Some(&cookie)).await.body, "2");
        assert_eq!(site.get("/count", Some(&cookie)).await.body, "3");
        assert_eq!(site.get("/count", None).await.body, "1", "somebody else");

        let again = Options::new().open(site.tmp.path().join("s")).expect("opens");
        let again = DirectorySessionStore::new(again);
        let app = Router::new().route("/count", get(count)).layer(SessionManagerLayer::new(again));
        let site = Site { app, ..site };
        assert_eq!(site.get("/count", Some(&cookie)).await.body, "4");
    }
}

#[tokio::test]
async fn a_login_gives_a_new_id() {
    for naming in NAMINGS {
        let site = Site::new(naming);
        let before = site.visitor().await;
        let after = site.get("/login", Some(&before)).await.cookie.expect("a cookie");
        assert_ne!(before, after);
        assert!(!site.has(&before) && site.has(&after));
        assert_eq!(site.get("/count", Some(&after)).await.body, "2");
        assert_eq!(site.get("/count", Some(&before)).await.body, "1", "who has the old one has nothing");
    }
}

#[tokio::test]
async fn a_request_that_fails_changes_nothing() {
    let site = Site::new(NAMINGS[0]);
    let cookie = site.visitor().await;
    assert_eq!(site.get("/fail", Some(&cookie)).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(site.get("/peek", Some(&cookie)).await.body, "Some(1)");
}

#[tokio::test]
async fn a_logout_is_final_and_who_it_overtakes_gets_an_answer() {
    for naming in NAMINGS {
        let site = Site::new(naming);
        let cookie = site.visitor().await;
        let others = async {
            site.gates.has_looked.notified().await;
            let got = site.get("/logout", Some(&cookie)).await;
            assert_eq!((got.status, got.cookie.as_deref()), (StatusCode::OK, Some("")));
            site.gates.go_on.notify_one();
        };
        let (late, ()) = tokio::join!(site.get("/slow", Some(&cookie)), others);
        assert_eq!((late.status, late.body.as_str()), (StatusCode::OK, "done"));
        assert!(!site.has(&cookie));
        assert_eq!(site.get("/peek", Some(&cookie)).await.body, "None");
        assert_eq!(site.sessions(), 0);
    }
}

/// The same for the one whose ID a login has changed.
#[tokio::test]
async fn a_late_request_does_not_bring_back_the_old_id() {
    let site = Site::new(NAMINGS[0]);
    let cookie = site.visitor().await;
    let others = async {
        site.gates.has_looked.notified().await;
        let after = site.get("/login", Some(&cookie)).await.cookie.expect("a cookie");
        site.gates.go_on.notify_one();
        after
    };
    let (late, after) = tokio::join!(site.get("/slow", Some(&cookie)), others);
    assert_eq!(late.status, StatusCode::OK);
    assert!(!site.has(&cookie) && site.has(&after));
    assert_eq!(site.get("/peek", Some(&after)).await.body, "Some(1)");
}

/// tower-sessions saves under whatever ID the cookie names where the handler clears the session first.
#[tokio::test]
async fn an_id_that_the_client_made_up_is_not_adopted() {
    let site = Site::new(NAMINGS[0]);
    let made_up = Id::default().to_string();
    for path in ["/clear", "/count", "/login"] {
        assert_eq!(site.get(path, Some(&made_up)).await.status, StatusCode::OK);
        assert!(!site.has(&made_up), "{path}");
    }
    for malformed in
        ["../../etc/passwd", "AAAAAAAAAAA", "", "A", "AAAAAAAAAAAAAAAAAAAAA=", "AAAAAAAAAAAAAAAAAAAAAB"]
    {
        assert_eq!(site.get("/count", Some(malformed)).await.body, "1", "a new session");
    }
}

/// A cookie of another program's session on the same store.
#[tokio::test]
async fn a_session_that_another_program_made_is_shared() {
    let site = Site::new(NAMINGS[1]);
    let mut session = sessiondir::Session::new();
    session.set_user("ada").expect("a text");
    session.insert("count", &41).expect("a number");
    let id = Id::default();
    site.store.inner().insert(&session_id(id), &mut session).expect("stored");
    assert_eq!(site.get("/count", Some(&id.to_string())).await.body, "42");
    let session = site.store.inner().load(&reference(id)).expect("loads").expect("is there");
    assert_eq!(session.user::<String>(), Ok(Some("ada".to_owned())));
    assert_eq!(session.get("count"), Ok(Some(json!(42))));
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_a_500_without_the_id() {
    let site = Site::new(NAMINGS[0]);
    let cookie = site.visitor().await;
    std::fs::write(site.tmp.path().join("s").join(&cookie), [1; 8192]).expect("written");
    let got = site.get("/count", Some(&cookie)).await;
    assert_eq!(got.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(got.body.contains("corrupt: ") && !got.body.contains(&cookie), "{}", got.body);
    // The way out for its user.
    assert_eq!(site.get("/logout", Some(&cookie)).await.status, StatusCode::OK);
    assert_eq!(site.get("/count", Some(&cookie)).await.body, "1");
}
