//! Many requests at once: threads, and processes on one directory.

use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::{env, thread};

use http::HeaderMap;
use sessiondir::web::{Config, Outcome, RequestSession, SessionManager};
use sessiondir::{DirectoryStore, Durability, Options, SessionStore};

use super::browser::{Browser, all, only};

const PROCESSES: usize = 4;

type Manager = SessionManager<DirectoryStore>;

fn open(path: &std::path::Path) -> Manager {
    let options = Options::new().create(true).durability(Durability::Process);
    SessionManager::new(options.open(path).expect("opens"), Config::new()).expect("a manager")
}

/// A request that has looked at its session before the others do anything, and then works and commits.
fn together(
    manager: &Manager,
    browser: &Browser,
    count: usize,
    work: impl Fn(usize, &RequestSession) + Sync,
) {
    let start = Barrier::new(count);
    thread::scope(|scope| {
        for number in 0..count {
            let (start, work) = (&start, &work);
            scope.spawn(move || {
                let session = manager.start_request(&browser.request());
                assert!(session.has_info().expect("loads"));
                start.wait();
                work(number, &session);
                manager.finish_successful_request(&session, &mut HeaderMap::new()).expect("commits");
            });
        }
    });
}

/// What a process of these tests does, when it is told by the environment.
#[test]
fn as_a_process() {
    let Ok(job) = env::var("SESSIONDIR_WEB_JOB") else { return };
    let [what, number, count, path, cookie] = job.split('|').collect::<Vec<_>>()[..] else {
        panic!("the job is {job:?}")
    };
    let (number, count): (usize, usize) =
        (number.parse().expect("a number"), count.parse().expect("a number"));
    let manager = open(path.as_ref());
    let browser = Browser { cookie: Some(cookie.to_owned()) };
    let taken = AtomicUsize::new(0);
    together(&manager, &browser, count, |thread, session| match what {
        "keys" => session.insert(&format!("key-{number}-{thread}"), &thread).expect("open"),
        "modify" => session.modify("n", |n: Option<u64>| Some(n.unwrap_or(0) + 1)).expect("open"),
        token => {
            let was = manager.take_form_token(session, token).expect("takes");
            taken.fetch_add(usize::from(was), Ordering::SeqCst);
        }
    });
    println!("taken: {}", taken.into_inner());
}

/// So many requests of one browser over the processes; says how many of them took the token that is named by `what`.
fn over_processes(what: &str, requests: usize, path: &std::path::Path, browser: &Browser) -> usize {
    let cookie = browser.cookie.as_deref().expect("a session");
    let start = |number: usize| -> Child {
        let job = format!("{what}|{number}|{}|{}|{cookie}", requests / PROCESSES, path.display());
        Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "many::as_a_process", "--nocapture"])
            .env("SESSIONDIR_WEB_JOB", job)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("starts")
    };
    let running: Vec<Child> = (0..PROCESSES).map(start).collect();
    let taken = running.into_iter().map(|child| {
        let output = child.wait_with_output().expect("ends");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}");
        let taken = text.lines().find_map(|line| line.split("taken: ").nth(1));
        taken.expect("it ran").trim().parse::<usize>().expect("a number")
    });
    taken.sum()
}

#[test]
fn requests_over_processes_lose_nothing() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let path = tmp.path().join("s");
    let manager = open(&path);
    let mut browser = Browser::new();
    let (token, _) = browser.visit(&manager, |session| {
        session.set_user("ada")?;
        session.create_form_token()
    });
    over_processes("keys", 200, &path, &browser);
    assert_eq!(only(manager.store()).attributes().len(), 200);
    over_processes("modify", 200, &path, &browser);
    assert_eq!(only(manager.store()).get::<u64>("n").expect("a number"), Some(200));
    assert_eq!(over_processes(&token, 100, &path, &browser), 1);
    assert_eq!(only(manager.store()).tokens().len(), 0);
    assert_eq!(over_processes(&token, 100, &path, &browser), 0);
}

/// A logout beside requests that had loaded before it: whenever they commit, it is final.
#[test]
fn a_logout_is_final() {
    const TRIALS: usize = 1000;
    const REQUESTS: usize = 100;
    const THREADS: usize = 4;
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let manager = open(&tmp.path().join("s"));
    let (mut saved, mut vanished) = (0, 0);
    let pool = Arc::new(Barrier::new(THREADS + 1));
    for trial in 0..TRIALS {
        let mut browser = Browser::new();
        browser.visit(&manager, |session| session.set_user("ada"));
        let slow: Vec<RequestSession> = (0..REQUESTS)
            .map(|number| {
                let session = manager.start_request(&browser.request());
                match number % 4 {
                    0 => session.insert("n", &number),
                    1 => session.modify("n", |n: Option<u64>| Some(n.unwrap_or(0) + 1)),
                    2 => session.csrf_token().map(drop),
                    _ => session.set_idle(None),
                }
                .expect("loads");
                session
            })
            .collect();
        let outcomes: Vec<Outcome> = thread::scope(|scope| {
            let committing: Vec<_> = slow
                .chunks(REQUESTS / THREADS)
                .map(|sessions| {
                    let (pool, manager) = (Arc::clone(&pool), &manager);
                    scope.spawn(move || {
                        pool.wait();
                        let commit = |session| {
                            let mut headers = HeaderMap::new();
                            let outcome =
                                manager.finish_successful_request(session, &mut headers).expect("commits");
                            assert!(!headers.contains_key("set-cookie"));
                            outcome
                        };
                        sessions.iter().map(commit).collect::<Vec<_>>()
                    })
                })
                .collect();
            pool.wait();
            // In some trials before all of them, in some after most, in most in between.
            for _ in 0..trial % 50 {
                thread::yield_now();
            }
            browser.visit(&manager, |session| session.expire());
            committing.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(all(manager.store()).is_empty(), "trial {trial}: the session is back");
        saved += outcomes.iter().filter(|outcome| **outcome == Outcome::Saved).count();
        vanished += outcomes.iter().filter(|outcome| **outcome == Outcome::Vanished).count();
    }
    println!("{TRIALS} logouts: {saved} commits before them, {vanished} after");
    assert!(saved > TRIALS && vanished > TRIALS, "they did not race: {saved} before, {vanished} after");
}

/// Logins and rotations of one session at once: it has one ID in the end, and every request knows whether it was its own.
#[test]
fn rotations_at_once_leave_one_session() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let manager = open(&tmp.path().join("s"));
    for trial in 0..50 {
        let mut browser = Browser::new();
        browser.visit(&manager, |session| session.insert("n", &0));
        let told = std::sync::Mutex::new(Vec::new());
        let start = Barrier::new(8);
        thread::scope(|scope| {
            for number in 0..8 {
                let (manager, start, told, browser) = (&manager, &start, &told, &browser);
                scope.spawn(move || {
                    let session = manager.start_request(&browser.request());
                    assert!(session.has_info().expect("loads"));
                    start.wait();
                    session.insert(&format!("key{number}"), &1).expect("open");
                    if number < 4 {
                        session.rotate().expect("open");
                    }
                    let mut headers = HeaderMap::new();
                    let outcome = manager.finish_successful_request(&session, &mut headers).expect("commits");
                    let mut browser = Browser::new();
                    assert_eq!(browser.receive(&headers), outcome == Outcome::Rotated);
                    if outcome == Outcome::Rotated {
                        super::browser::lock(told).push(browser);
                    }
                });
            }
        });
        let told = told.into_inner().expect("no panic");
        assert_eq!(told.len(), 1, "trial {trial}");
        let session = only(manager.store());
        assert_eq!(Some(&Browser::with(session.id().expect("plain"))), told.first());
        manager.store().delete_where(&|_| true).expect("deletes");
    }
}
