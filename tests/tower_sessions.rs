//! The store for tower-sessions 0.15: its trait to the letter, its middleware over it, and the way to it from
//! tower-sessions-file-store.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::Request;
use http::header::{COOKIE, SET_COOKIE};
use serde_json::{Value, json};
use sessiondir::tower_sessions_0_15::DirectorySessionStore;
use sessiondir::{Naming, Options, Session, SessionId, SessionRef, SessionStore as _};
use time::{Duration, OffsetDateTime};
use tower::ServiceExt;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::session_store::Error as TowerError;
use tower_sessions_core::{ExpiredDeletion, SessionStore};

struct Fixture {
    _tmp: tempfile::TempDir,
    path: PathBuf,
    store: DirectorySessionStore,
}

fn fixture(naming: Naming) -> Fixture {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let path = tmp.path().join("sessions");
    let store = Options::new().create(true).naming(naming).open(&path).expect("opens");
    Fixture { _tmp: tmp, path, store: DirectorySessionStore::new(store) }
}

fn record(data: Value, lives: Duration) -> Record {
    let Value::Object(data) = data else { panic!("an object") };
    Record {
        id: Id::default(),
        data: data.into_iter().collect(),
        expiry_date: whole(OffsetDateTime::now_utc() + lives),
    }
}

/// To the millisecond, as the format has it.
fn whole(time: OffsetDateTime) -> OffsetDateTime {
    time.replace_millisecond(time.millisecond()).expect("in range")
}

fn hour() -> Duration {
    Duration::hours(1)
}

fn reference(id: Id) -> SessionRef {
    SessionId::new(id.to_string()).expect("an ID").into()
}

#[tokio::test]
async fn what_is_stored_comes_back() {
    for naming in [Naming::Plain, Naming::Hashed] {
        let fixture = fixture(naming);
        let data = json!({"a": 1, "b": 2.0, "c": -0.5, "d": [null, true, "t", {"e": {}}], "": i64::MIN, "big": 1e300});
        for id in [0, 1, -1, i128::MIN, i128::MAX, 0x3e] {
            let mut made = Record { id: Id(id), ..record(data.clone(), hour()) };
            fixture.store.create(&mut made).await.expect("stores");
            assert_eq!(made.id, Id(id), "a free ID is kept");
            let loaded = fixture.store.load(&Id(id)).await.expect("loads").expect("there");
            assert_eq!(loaded, made);
            assert!(loaded.data["b"].is_f64() && loaded.data["a"].is_i64());
            fixture.store.delete(&Id(id)).await.expect("deletes");
            assert_eq!(fixture.store.load(&Id(id)).await.expect("loads"), None);
            fixture.store.delete(&Id(id)).await.expect("deletes what is not there");
        }
    }
}

#[tokio::test]
async fn an_id_that_exists_is_not_used() {
    let fixture = fixture(Naming::Hashed);
    let mut first = record(json!({"n": 1}), hour());
    fixture.store.create(&mut first).await.expect("stores");
    let mut second = Record { id: first.id, ..record(json!({"n": 2}), hour()) };
    fixture.store.create(&mut second).await.expect("stores");
    assert_ne!(first.id, second.id);
    for record in [first, second] {
        assert_eq!(fixture.store.load(&record.id).await.expect("loads"), Some(record));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_creations_of_one_id_each_gets_its_own() {
    let fixture = fixture(Naming::Plain);
    let id = Id::default();
    let creations = (0..100).map(|n| {
        let store = fixture.store.clone();
        tokio::spawn(async move {
            let mut record = Record { id, ..record(json!({"n": n}), hour()) };
            store.create(&mut record).await.expect("stores");
            record
        })
    });
    let mut ids = HashSet::new();
    for creation in creations.collect::<Vec<_>>() {
        let made = creation.await.expect("no panic");
        assert_eq!(fixture.store.load(&made.id).await.expect("loads"), Some(made.clone()));
        assert!(ids.insert(made.id));
    }
    assert!(ids.contains(&id) && ids.len() == 100);
}

#[tokio::test]
async fn a_save_changes_what_is_there() {
    let fixture = fixture(Naming::Plain);
    let mut made = record(json!({"stays": 1, "changes": 1, "goes": 1}), hour());
    fixture.store.create(&mut made).await.expect("stores");
    let rev = || fixture.store.inner().load(&reference(made.id)).expect("loads").expect("there").rev();
    fixture.store.save(&made).await.expect("saves");
    assert_eq!(rev(), 1, "nothing has changed, so nothing is written");
    made.data = HashMap::from([
        ("stays".into(), json!(1)),
        ("changes".into(), json!("x")),
        ("new".into(), json!([])),
    ]);
    made.expiry_date = whole(made.expiry_date + hour());
    fixture.store.save(&made).await.expect("saves");
    assert_eq!(fixture.store.load(&made.id).await.expect("loads"), Some(made.clone()));
    assert_eq!(rev(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_after_a_deletion_brings_nothing_back() {
    let fixture = fixture(Naming::Plain);
    let mut made = record(json!({"n": 1}), hour());
    fixture.store.create(&mut made).await.expect("stores");
    fixture.store.delete(&made.id).await.expect("deletes");
    made.data.insert("n".into(), json!(2));
    fixture.store.save(&made).await.expect("is no error");
    assert_eq!(fixture.store.load(&made.id).await.expect("loads"), None);
    assert_eq!(fixture.store.inner().iter_sessions().expect("lists").count(), 0);

    // At once.
    for _ in 0..20 {
        let mut made = record(json!({"n": 0}), hour());
        fixture.store.create(&mut made).await.expect("stores");
        let saves: Vec<_> = (1..=20)
            .map(|n| {
                let store = fixture.store.clone();
                let record = Record { data: HashMap::from([("n".into(), json!(n))]), ..made.clone() };
                tokio::spawn(async move { store.save(&record).await.expect("saves, or not") })
            })
            .collect();
        fixture.store.delete(&made.id).await.expect("deletes");
        for save in saves {
            save.await.expect("no panic");
        }
        assert_eq!(fixture.store.load(&made.id).await.expect("loads"), None);
    }
}

#[tokio::test]
async fn the_expired_are_hidden_and_stay_so() {
    let fixture = fixture(Naming::Plain);
    let mut made = record(json!({"n": 1}), Duration::seconds(-1));
    fixture.store.create(&mut made).await.expect("stores");
    assert_eq!(fixture.store.load(&made.id).await.expect("loads"), None);
    made.expiry_date = whole(OffsetDateTime::now_utc() + hour());
    fixture.store.save(&made).await.expect("is no error");
    assert_eq!(fixture.store.load(&made.id).await.expect("loads"), None);
}

#[tokio::test]
async fn times_are_never_longer() {
    let fixture = fixture(Naming::Plain);
    let far = OffsetDateTime::from_unix_timestamp(253_402_300_799).expect("in range");
    let soon = OffsetDateTime::now_utc() + hour();
    let odd = soon.replace_nanosecond(123_999_999).expect("in range");
    for (given, stored) in [
        (odd, odd.replace_nanosecond(123_000_000).expect("in range")),
        (
            far.replace_nanosecond(999_999_999).expect("in range"),
            far.replace_nanosecond(999_000_000).expect("in range"),
        ),
    ] {
        let mut made = Record { expiry_date: given, ..record(json!({}), hour()) };
        fixture.store.create(&mut made).await.expect("stores");
        let loaded = fixture.store.load(&made.id).await.expect("loads").expect("there");
        assert_eq!(loaded.expiry_date, stored);
    }
    // Before 1970 is expired, and no error.
    let mut made = Record { expiry_date: OffsetDateTime::UNIX_EPOCH - hour(), ..record(json!({}), hour()) };
    fixture.store.create(&mut made).await.expect("stores");
    assert_eq!(fixture.store.load(&made.id).await.expect("loads"), None);
    // One without an end, of another program.
    let id = Id::default();
    let name = SessionId::new(id.to_string()).expect("an ID");
    fixture.store.inner().insert(&name, &mut Session::new()).expect("stores");
    let loaded = fixture.store.load(&id).await.expect("loads").expect("there");
    assert_eq!(loaded.expiry_date.unix_timestamp(), 253_402_300_799);
}

/// What JSON cannot say is another program's, and so is what is no attribute: neither is shown, and a save keeps both.
#[tokio::test]
async fn what_is_not_shown_stays() {
    let fixture = fixture(Naming::Plain);
    let id = Id::default();
    let name = SessionId::new(id.to_string()).expect("an ID");
    let mut session = Session::new();
    session.set_user("ada").expect("a user");
    session.push_token("token").expect("a token");
    session.insert("nan", &f64::NAN).expect("a value");
    session.insert("list", &[1.0, f64::INFINITY]).expect("a value");
    session.insert("bytes", &serde_bytes()).expect("a value");
    session.insert("n", &1).expect("a value");
    session.insert("null", &()).expect("a value");
    fixture.store.inner().insert(&name, &mut session).expect("stores");
    let mut loaded = fixture.store.load(&id).await.expect("loads").expect("there");
    assert_eq!(loaded.data, HashMap::from([("n".into(), json!(1)), ("null".into(), json!(null))]));
    loaded.data = HashMap::from([("m".into(), json!(2)), ("nan".into(), json!("now mine"))]);
    fixture.store.save(&loaded).await.expect("saves");
    let stored = fixture.store.inner().load(&name.into()).expect("loads").expect("there");
    let encoded = |session: &Session, key: &str| {
        session.attributes().find(|(k, _)| *k == key).map(|(_, encoded)| encoded.to_vec())
    };
    for key in ["list", "bytes"] {
        assert!(encoded(&stored, key).is_some());
        assert_eq!(encoded(&stored, key), encoded(&session, key), "{key}");
    }
    assert_eq!(stored.get::<String>("nan"), Ok(Some("now mine".into())));
    assert_eq!((stored.contains("n"), stored.contains("null"), stored.contains("m")), (false, false, true));
    assert_eq!((stored.user::<String>(), stored.tokens().len()), (Ok(Some("ada".into())), 1));
}

fn serde_bytes() -> ciborium::Value {
    ciborium::Value::Bytes(vec![1, 2, 3])
}

#[tokio::test]
async fn what_cannot_be_stored_is_an_error_that_names_it() {
    let fixture = fixture(Naming::Plain);
    let mut made = record(json!({"cart": [{"count": u64::MAX}]}), hour());
    let error = fixture.store.create(&mut made).await.expect_err("no such integer");
    assert!(matches!(&error, TowerError::Encode(text) if text.contains("cart[0].count")), "{error}");
    made.data = HashMap::from([("large".into(), json!("x".repeat(17 << 20)))]);
    assert!(matches!(fixture.store.create(&mut made).await, Err(TowerError::Encode(_))));
    assert_eq!(fixture.store.inner().iter_sessions().expect("lists").count(), 0);
    // A save that cannot be changes nothing.
    made.data = HashMap::from([("n".into(), json!(1))]);
    fixture.store.create(&mut made).await.expect("stores");
    let bad = Record { data: HashMap::from([("n".into(), json!(u64::MAX))]), ..made.clone() };
    assert!(matches!(fixture.store.save(&bad).await, Err(TowerError::Encode(_))));
    assert_eq!(fixture.store.load(&made.id).await.expect("loads"), Some(made));
}

/// The file store's own task ended at the first file that it could not read, and left the others for ever.
#[tokio::test]
async fn one_bad_file_does_not_stop_the_deletion() {
    let fixture = fixture(Naming::Plain);
    let mut bad = record(json!({"n": 1}), hour());
    fixture.store.create(&mut bad).await.expect("stores");
    std::fs::write(fixture.path.join(bad.id.to_string()), [b'x'; 8192]).expect("writes");
    let error = fixture.store.load(&bad.id).await.expect_err("corrupt");
    assert!(matches!(&error, TowerError::Decode(text) if text.contains("rule")), "{error}");
    assert!(
        !error.to_string().contains(&bad.id.to_string())
            && !format!("{error:?}").contains(&bad.id.to_string())
    );
    let mut live = record(json!({"n": 1}), hour());
    fixture.store.create(&mut live).await.expect("stores");
    for _ in 0..11 {
        fixture.store.create(&mut record(json!({}), Duration::seconds(-1))).await.expect("stores");
    }
    let files = || std::fs::read_dir(&fixture.path).expect("lists").count();
    let before = files();
    fixture.store.delete_expired().await.expect("goes on");
    assert_eq!(files(), before - 11);
    assert_eq!(fixture.store.load(&live.id).await.expect("loads"), Some(live));
}

async fn count(session: tower_sessions::Session) -> String {
    let n = session.get::<u64>("n").await.expect("loads").unwrap_or(0) + 1;
    session.insert("n", n).await.expect("sets");
    n.to_string()
}

#[tokio::test]
async fn its_middleware_works_over_it() {
    let fixture = fixture(Naming::Hashed);
    let app: Router = Router::new()
        .route("/", get(count))
        .route(
            "/cycle",
            get(async |session: tower_sessions::Session| session.cycle_id().await.expect("gets another ID")),
        )
        .route("/flush", get(async |session: tower_sessions::Session| session.flush().await.expect("ends")))
        .layer(tower_sessions::SessionManagerLayer::new(fixture.store.clone()));
    let mut cookie: Option<String> = None;
    let mut visit = async |path: &str| {
        let mut request = Request::get(path);
        if let Some(cookie) = &cookie {
            request = request.header(COOKIE, cookie);
        }
        let response =
            app.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("answers");
        assert_eq!(response.status(), 200, "{path}");
        if let Some(set) = response.headers().get(SET_COOKIE) {
            let set = set.to_str().expect("text");
            cookie = set.split(';').next().map(str::to_owned);
        }
        let body = axum::body::to_bytes(response.into_body(), 1000).await.expect("a body");
        (String::from_utf8(body.to_vec()).expect("text"), cookie.clone())
    };
    let (first, cookie_of_first) = visit("/").await;
    let (second, cookie_of_second) = visit("/").await;
    assert_eq!((first.as_str(), second.as_str(), cookie_of_first == cookie_of_second), ("1", "2", true));
    let (_, cycled) = visit("/cycle").await;
    assert_ne!(cycled, cookie_of_first);
    assert_eq!(visit("/").await.0, "3");
    assert_eq!(fixture.store.inner().iter_sessions().expect("lists").count(), 1, "the old ID is gone");
    visit("/flush").await;
    assert_eq!(fixture.store.inner().iter_sessions().expect("lists").count(), 0);
    assert_eq!(visit("/").await.0, "1");
}

fn importer() -> PathBuf {
    let tests = std::env::current_exe().expect("this program");
    let target = tests.parent().and_then(Path::parent).expect("the target directory");
    let program = target.join("examples/import_tower_sessions_file_store");
    assert!(
        program.exists(),
        "{} is not there; `cargo test` builds it, and `cargo build --examples`",
        program.display()
    );
    program
}

/// Files that the real file store has written.
#[tokio::test]
async fn the_file_store_s_sessions_are_taken_over() {
    let fixture = fixture(Naming::Hashed);
    let old = tempfile::tempdir().expect("a temporary directory");
    let files = tower_sessions_file_store::FileSessionStorage::new_in_folder(old.path().to_owned());
    let data = json!({"user": "ada", "cart": [{"n": 2, "price": 2.0}], "none": null});
    let mut live = record(data, hour());
    let mut other = record(json!({"n": 1}), hour());
    let mut expired = record(json!({"n": 2}), Duration::seconds(-1));
    for record in [&mut live, &mut other, &mut expired] {
        files.create(record).await.expect("the file store stores");
    }
    let path = |id: Id| old.path().join(id.to_string());
    let (copied, empty, link, huge) = (Id::default(), Id::default(), Id::default(), Id::default());
    std::fs::copy(path(live.id), path(copied)).expect("copies");
    std::fs::write(path(empty), "").expect("writes");
    std::os::unix::fs::symlink(path(live.id), path(link)).expect("links");
    let mut too_big = Record { id: huge, ..record(json!({"n": u64::MAX}), hour()) };
    files.create(&mut too_big).await.expect("the file store stores");
    std::fs::write(old.path().join("README"), "no session").expect("writes");
    let listing = || {
        let mut all: Vec<_> = std::fs::read_dir(old.path())
            .expect("lists")
            .map(|entry| entry.expect("an entry"))
            .map(|entry| (entry.file_name(), std::fs::read(entry.path()).expect("reads")))
            .collect();
        all.sort();
        all
    };
    let before = listing();

    let import = || {
        let run = Command::new(importer()).arg(old.path()).arg(&fixture.path).output().expect("runs");
        let [out, err] = [run.stdout, run.stderr].map(|text| String::from_utf8(text).expect("text"));
        for id in [live.id, copied, empty, huge] {
            assert!(!out.contains(&id.to_string()) && !err.contains(&id.to_string()), "{err}");
        }
        (run.status.code(), out, err)
    };
    let (status, out, err) = import();
    assert_eq!(out, "2 imported, 0 kept, 1 expired, 3 refused; 2 other entries\n", "{err}");
    assert_eq!((status, err.lines().count()), (Some(1), 3), "{err}");
    assert!(err.contains("a copied or renamed file") && err.contains("outside -2^63"), "{err}");
    for record in [&live, &other] {
        assert_eq!(fixture.store.load(&record.id).await.expect("loads"), Some(record.clone()));
    }
    // A further run changes nothing that was used since.
    live.data.insert("new".into(), json!(1));
    fixture.store.save(&live).await.expect("saves");
    assert_eq!(import().1, "0 imported, 2 kept, 1 expired, 3 refused; 2 other entries\n");
    assert_eq!(fixture.store.load(&live.id).await.expect("loads"), Some(live.clone()));
    assert_eq!(listing(), before, "the source is as it was");

    let nothing = Command::new(importer()).arg("/nowhere").arg(&fixture.path).output().expect("runs");
    assert_eq!(nothing.status.code(), Some(2));
    assert_eq!(Command::new(importer()).output().expect("runs").status.code(), Some(2));
}
