//! Each method of the trait, on stores of both namings.

use std::fs;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use serde_json::json;
use sessiondir::seam::{self, Op};
use sessiondir::{Session, SessionStore as _};
use tower_sessions_core::session::Id;
use tower_sessions_core::{ExpiredDeletion, SessionStore};

use super::support::{START, time};
use super::{Both, NAMINGS, after, record, reference, session_id, told, vector};

#[tokio::test]
async fn what_is_created_and_saved_is_loaded() {
    for naming in NAMINGS {
        let both = Both::new(naming);
        let mut first = record([("n", json!(1)), ("cart", json!(["A-1", {"count": 2}]))]);
        let id = first.id;
        assert_eq!(both.tower.load(&id).await.expect("loads"), None);
        both.tower.create(&mut first).await.expect("created");
        assert_eq!(first.id, id, "a free ID is kept");
        assert_eq!(both.tower.load(&id).await.expect("loads").as_ref(), Some(&first));
        assert_eq!(both.session(id).created(), time(START), "by the store's clock");

        first.data.insert("n".to_owned(), json!(2));
        first.data.remove("cart");
        first.expiry_date = after(7_200_000);
        both.tower.save(&first).await.expect("saved");
        assert_eq!(both.tower.load(&id).await.expect("loads"), Some(first));

        both.tower.delete(&id).await.expect("deleted");
        assert_eq!(both.tower.load(&id).await.expect("loads"), None);
        both.tower.delete(&id).await.expect("no error: it is gone, as is wanted");
        both.fixture.assert_clean();
    }
}

/// One in 64 begins with a hyphen.
#[tokio::test]
async fn every_id_is_a_name() {
    let hyphen = "-_-_-_-_-_-_-_-_-_-_-Q".parse().expect("an ID");
    for naming in NAMINGS {
        let both = Both::new(naming);
        for id in [Id(0), Id(1), Id(-1), Id(i128::MIN), Id(i128::MAX), hyphen] {
            let mut made = record([("n", json!(id.0.to_string()))]);
            made.id = id;
            both.tower.create(&mut made).await.expect("created");
            assert_eq!(made.id, id);
            made.data.insert("saved".to_owned(), json!(true));
            both.tower.save(&made).await.expect("saved");
            assert_eq!(both.tower.load(&id).await.expect("loads"), Some(made));
            assert!(both.file(id).is_file());
            both.tower.delete(&id).await.expect("deleted");
            assert!(!both.file(id).exists());
        }
    }
}

#[tokio::test]
async fn an_id_that_is_taken_is_replaced_whatever_has_taken_it() {
    for naming in NAMINGS {
        let both = Both::new(naming);
        let mut theirs = record([("whose", json!("theirs"))]);
        both.tower.create(&mut theirs).await.expect("created");
        let mut expired = record([]);
        expired.expiry_date = after(0);
        both.tower.create(&mut expired).await.expect("created");
        let by_another = Id::default();
        both.fixture.store.insert(&session_id(by_another), &mut Session::new()).expect("stored");
        let (torn, odd, directory) = (Id::default(), Id::default(), Id::default());
        fs::write(both.file(torn), [1; 8192]).expect("written");
        fs::write(both.file(odd), "{}").expect("written");
        fs::create_dir(both.file(directory)).expect("made");

        for taken in [theirs.id, expired.id, by_another, torn, odd, directory] {
            let mut mine = record([("whose", json!("mine"))]);
            mine.id = taken;
            both.tower.create(&mut mine).await.expect("created");
            assert_ne!(mine.id, taken);
            assert_eq!(both.tower.load(&mine.id).await.expect("loads"), Some(mine));
        }
        assert_eq!(both.tower.load(&theirs.id).await.expect("loads"), Some(theirs));
        assert_eq!(fs::read(both.file(odd)).expect("still there"), b"{}");
    }
}

#[tokio::test]
async fn a_save_makes_no_session() {
    for naming in NAMINGS {
        let both = Both::new(naming);
        let mut deleted = record([("n", json!(1))]);
        both.tower.create(&mut deleted).await.expect("created");
        both.tower.delete(&deleted.id).await.expect("deleted");
        let made_up_by_a_client = record([("n", json!(1))]);
        for absent in [deleted, made_up_by_a_client] {
            both.tower.save(&absent).await.expect("no error");
            assert_eq!(both.tower.load(&absent.id).await.expect("loads"), None);
            assert!(!both.file(absent.id).exists());
        }
    }
}

#[tokio::test]
async fn the_expired_are_hidden_and_stay_expired() {
    for naming in NAMINGS {
        let both = Both::new(naming);
        let mut made = record([("n", json!(1))]);
        made.expiry_date = after(1000);
        both.tower.create(&mut made).await.expect("created");
        both.fixture.advance(999);
        assert!(both.tower.load(&made.id).await.expect("loads").is_some());
        both.fixture.advance(1);
        assert_eq!(both.tower.load(&made.id).await.expect("loads"), None);
        // A request that had loaded it before.
        let before = fs::read(both.file(made.id)).expect("not swept");
        made.expiry_date = after(3_600_000);
        both.tower.save(&made).await.expect("no error");
        assert_eq!(both.tower.load(&made.id).await.expect("loads"), None);
        assert_eq!(fs::read(both.file(made.id)).expect("not swept"), before);
        // To a deletion it is there.
        both.tower.delete(&made.id).await.expect("deleted");
        assert!(!both.file(made.id).exists());
    }
}

/// Also by what another program has set.
#[tokio::test]
async fn the_idle_are_hidden() {
    let both = Both::new(NAMINGS[0]);
    let mut made = record([]);
    both.tower.create(&mut made).await.expect("created");
    both.change(made.id, |session| session.set_idle(Some(Duration::from_secs(60))).expect("in range"));
    both.fixture.advance(60_000);
    assert_eq!(both.tower.load(&made.id).await.expect("loads"), None);
}

#[tokio::test]
async fn errors_name_the_rule_and_no_id() {
    for naming in NAMINGS {
        let both = Both::new(naming);
        let mut torn = record([]);
        both.tower.create(&mut torn).await.expect("created");
        let mut bytes = fs::read(both.file(torn.id)).expect("read");
        bytes[20] ^= 1;
        fs::write(both.file(torn.id), &bytes).expect("written");
        for result in [both.tower.load(&torn.id).await.map(drop), both.tower.save(&torn).await] {
            let (kind, text) = told(result, torn.id);
            assert!(kind == "decode" && text.contains("breaks rule REC-7"), "{kind}: {text}");
        }
        assert_eq!(fs::read(both.file(torn.id)).expect("read"), bytes, "nothing was made of it");
        both.tower.delete(&torn.id).await.expect("a logout works all the same");
        assert!(!both.file(torn.id).exists());
    }

    let both = Both::new(NAMINGS[0]);
    // The vectors' session has an ID of 22 times `A`.
    let mut known = record([]);
    known.id = Id(0);
    fs::write(both.file(known.id), vector("current-of-version-2.session")).expect("written");
    for result in [both.tower.load(&known.id).await.map(drop), both.tower.save(&known).await] {
        let (kind, text) = told(result, known.id);
        assert!(kind == "backend" && text.contains("unsupported: "), "{kind}: {text}");
    }
}

/// One thread for all of the store's calls, in which the hook sees them.
fn on_one_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .thread_keep_alive(Duration::from_secs(600))
        .enable_time()
        .build()
        .expect("a runtime")
}

/// Makes each call `op` fail, in the runtime's thread for blocking work.
async fn refuse(op: Op) {
    let install = move || {
        let hook = seam::install(move |call| (call.op == op).then_some(Errno::EIO as i32));
        // It is there for as long as the thread is.
        std::mem::forget(hook);
    };
    tokio::task::spawn_blocking(install).await.expect("installed");
}

#[test]
fn the_systems_errors_are_the_backends() {
    let both = Both::new(NAMINGS[0]);
    on_one_thread().block_on(async {
        let mut made = record([("n", json!(1))]);
        both.tower.create(&mut made).await.expect("created");
        refuse(Op::Open).await;
        let other = made.clone();
        made.data.insert("n".to_owned(), json!(2));
        let results = [both.tower.load(&made.id).await.map(drop), both.tower.save(&made).await];
        for result in results {
            let (kind, text) = told(result, other.id);
            assert!(kind == "backend" && text.starts_with("io: cannot open"), "{kind}: {text}");
        }
    });
}

/// Holds the lock of a session in a thread of its own, until what it returns is dropped or ten seconds are over, so that a
/// test fails rather than hangs.
fn hold(both: &Both, id: Id) -> (mpsc::Sender<()>, JoinHandle<()>) {
    let id = reference(id);
    let store = both.fixture.options().open(&both.fixture.path).expect("opens");
    let (held, is_held) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let holder = std::thread::spawn(move || {
        let hold = &mut |_: &mut Session| {
            held.send(()).expect("awaited");
            let waited = released.recv_timeout(Duration::from_secs(10));
            assert_eq!(waited, Err(mpsc::RecvTimeoutError::Disconnected));
            Ok(())
        };
        store.update(&id, hold).expect("is there");
    });
    is_held.recv().expect("the lock is held");
    (release, holder)
}

/// A save that waits for a lock holds up no other task, even where one thread runs them all.
#[tokio::test]
async fn waiting_blocks_no_other_task() {
    let both = Both::patient(NAMINGS[0]);
    let mut made = record([("n", json!(1))]);
    both.tower.create(&mut made).await.expect("created");
    let (release, holder) = hold(&both, made.id);
    made.data.insert("n".to_owned(), json!(2));
    let other = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(release);
    };
    let (saved, ()) = tokio::join!(both.tower.save(&made), other);
    holder.join().expect("another task has run");
    saved.expect("saved");
    assert_eq!(both.session(made.id).get("n"), Ok(Some(2)));
}

#[tokio::test]
async fn a_lock_that_is_held_for_long_is_the_backends_error() {
    let both = Both::new(NAMINGS[0]);
    let mut made = record([("n", json!(1))]);
    both.tower.create(&mut made).await.expect("created");
    let (release, holder) = hold(&both, made.id);
    made.data.insert("n".to_owned(), json!(2));
    let (kind, text) = told(both.tower.save(&made).await, made.id);
    assert!(kind == "backend" && text.starts_with("busy: "), "{kind}: {text}");
    drop(release);
    holder.join().expect("no panic");
}

#[tokio::test]
async fn the_expired_go_past_a_bad_file() {
    for naming in NAMINGS {
        let both = Both::new(naming);
        let mut live = record([]);
        both.tower.create(&mut live).await.expect("created");
        let mut expired = Vec::new();
        for n in 0..11 {
            let mut made = record([]);
            made.expiry_date = after(n);
            both.tower.create(&mut made).await.expect("created");
            expired.push(made.id);
        }
        let bad = Id::default();
        fs::write(both.file(bad), [1; 8192]).expect("written");
        both.fixture.advance(10);
        both.tower.delete_expired().await.expect("one bad file is no error");
        for id in expired {
            assert!(!both.file(id).exists());
        }
        assert!(both.file(bad).is_file(), "it may be of use to somebody");
        assert_eq!(both.tower.load(&live.id).await.expect("loads"), Some(live));
    }
}

/// However long ago its last access was.
#[tokio::test]
async fn a_session_of_a_year_goes_only_when_it_is_over() {
    const YEAR: u64 = 365 * 24 * 3_600_000;
    let both = Both::new(NAMINGS[0]);
    let mut made = record([]);
    made.expiry_date = after(YEAR);
    both.tower.create(&mut made).await.expect("created");
    both.fixture.advance(YEAR - 1);
    both.tower.delete_expired().await.expect("no error");
    assert!(both.tower.load(&made.id).await.expect("loads").is_some());
}

#[test]
fn a_store_that_cannot_be_listed_is_an_error() {
    let both = Both::new(NAMINGS[0]);
    on_one_thread().block_on(async {
        refuse(Op::ReadDir).await;
        let (kind, text) = told(both.tower.delete_expired().await, Id::default());
        assert!(kind == "backend" && text.starts_with("io: cannot list the store"), "{kind}: {text}");
    });
}

#[tokio::test]
async fn the_task_of_the_trait_deletes_the_expired() {
    let both = Both::new(NAMINGS[0]);
    let mut made = record([]);
    made.expiry_date = after(0);
    both.tower.create(&mut made).await.expect("created");
    let task = tokio::spawn(both.tower.clone().continuously_delete_expired(Duration::from_millis(5)));
    while both.file(made.id).exists() {
        assert!(!task.is_finished());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    task.abort();
}
