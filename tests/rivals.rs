//! Deletions and rotations against other processes, and against a crash.

#[path = "support/stores.rs"]
mod support;

use std::cell::Cell;
use std::fs;
use std::sync::Barrier;
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use sessiondir::seam::{self, Op};
use sessiondir::sweep::SweepOptions;
use sessiondir::{
    DirectoryStore, Durability, ErrorClass, Naming, Options, SessionId, SessionRef, SessionStore,
};
use support::{Fixture, Helper, class, heed, role, say};

/// What the other processes do. In the test program's own run it does nothing.
#[test]
fn child() {
    let Some((role, arguments)) = role() else { return };
    let store =
        Options::new().patience(Duration::from_secs(60)).open(&arguments[0]).expect("the store opens");
    match role.as_str() {
        "save" => save_what_is_told(&store),
        "delete" => delete_what_is_told(&store),
        "rotate" => rotate_and_die(&store, &arguments[1], arguments[2].parse().expect("a number")),
        other => panic!("no such role: {other}"),
    }
}

fn reference(id: &str) -> SessionRef {
    SessionRef::from(SessionId::new(id).expect("an ID"))
}

fn exposed(id: &SessionRef) -> &str {
    id.id().expect("an ID").expose()
}

/// Saves the session that it is told until it is refused, and says how often it could.
fn save_what_is_told(store: &DirectoryStore) {
    loop {
        let line = heed();
        let Some((id, wait)) = line.split_once(' ') else { return };
        let id = reference(id);
        let mut session = store.load(&id).expect("loads").expect("is there");
        let mut saved = 0u64;
        say("ready");
        // Now and then it begins later than the deletion.
        std::thread::sleep(Duration::from_micros(wait.parse().expect("a number")));
        loop {
            saved += 1;
            session.insert("n", &saved).expect("fits");
            match store.save(&mut session) {
                Ok(()) => {}
                Err(error) if error.class() == ErrorClass::Gone => break,
                Err(error) => panic!("{error}"),
            }
        }
        // Nor does anything else bring it back.
        assert_eq!(class(store.save(&mut session)), ErrorClass::Gone);
        assert_eq!(class(store.update(&id, &mut |s| Ok(s.insert("n", &0)?))), ErrorClass::Gone);
        say(&(saved - 1).to_string());
    }
}

fn delete_what_is_told(store: &DirectoryStore) {
    loop {
        let line = heed();
        if line.is_empty() {
            return;
        }
        say(&store.delete(&reference(&line)).expect("no error").to_string());
    }
}

/// How often a deletion is tried against saves.
const TRIALS: u64 = 1000;

/// A deletion and the saves of another process, at the same time.
#[test]
fn a_deleted_session_never_comes_back() {
    let f = Fixture::new(Naming::Plain, Durability::Process).patient();
    let mut saver = Helper::start("save", &[f.path.to_str().expect("UTF-8")]);
    let (mut saves, mut beaten) = (0, 0);
    for trial in 0..TRIALS {
        let (id, _) = f.created();
        saver.tell(&format!("{} {}", exposed(&id), if trial % 4 == 3 { 200 } else { 0 }));
        assert_eq!(saver.hear(), "ready");
        // In different trials at different moments of a save.
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_micros(trial % 64) {
            std::hint::spin_loop();
        }
        let deleting = f.options().open(&f.path).expect("opens");
        assert!(deleting.delete(&id).expect("deleted"), "it was there");
        // From now on it is not there, while the other is still at it and when it has ended.
        for _ in 0..3 {
            assert_eq!(f.store.load(&id).expect("loads"), None);
        }
        let saved: u64 = saver.hear().parse().expect("a number");
        assert_eq!(f.store.load(&id).expect("loads"), None);
        assert!(!f.file(&id).exists());
        saves += saved;
        beaten += u64::from(saved == 0);
    }
    saver.tell("");
    saver.join();
    println!("{TRIALS} deletions: {saves} saves before them, {beaten} before any save");
    // The race was one: it went now one way and now the other.
    assert!(saves > TRIALS / 100 && beaten > TRIALS / 100, "{saves} {beaten}");
    assert_eq!(f.names(), [".lock", ".sessiondir"]);
}

/// The same between threads of one process, on one handle.
#[test]
fn a_deleted_session_never_comes_back_among_threads() {
    let f = Fixture::new(Naming::Hashed, Durability::Process).patient();
    let (mut saved_first, mut deleted_first) = (0, 0);
    let start = Barrier::new(2);
    let (told, hear) = std::sync::mpsc::sync_channel(0);
    let (answer, answered) = std::sync::mpsc::sync_channel(0);
    std::thread::scope(|scope| {
        let saving = scope.spawn(|| {
            for mut session in hear {
                start.wait();
                answer.send(f.store.save(&mut session)).expect("somebody listens");
            }
        });
        for trial in 0..TRIALS {
            let (id, mut session) = f.created();
            session.insert("n", &1).expect("fits");
            told.send(session).expect("somebody listens");
            start.wait();
            (0..trial % 16).for_each(|_| drop(f.store.load(&id).expect("loads")));
            assert!(f.store.delete(&id).expect("deleted"));
            match answered.recv().expect("an answer") {
                Ok(()) => saved_first += 1,
                Err(error) => {
                    assert_eq!(error.class(), ErrorClass::Gone);
                    deleted_first += 1;
                }
            }
            assert_eq!(f.store.load(&id).expect("loads"), None);
        }
        drop(told);
        saving.join().expect("no panic");
    });
    println!("{TRIALS} deletions: {saved_first} after the save, {deleted_first} before it");
    assert!(saved_first > TRIALS / 100 && deleted_first > TRIALS / 100, "{saved_first} {deleted_first}");
    assert_eq!(f.store.iter_sessions().expect("lists").count(), 0);
}

/// Exercises DEL-2. Two processes delete one session at the same time: one says that it was there, and none fails; also
/// where the session is corrupt, or expired.
#[test]
fn of_two_deletions_one_says_that_it_was_there() {
    for durability in [Durability::Process, Durability::Power] {
        let f = Fixture::new(Naming::Plain, durability);
        let path = f.path.to_str().expect("UTF-8");
        let mut rivals = [Helper::start("delete", &[path]), Helper::start("delete", &[path])];
        let mut wins = [0, 0];
        for trial in 0..150 {
            let (id, mut session) = f.created();
            match trial % 3 {
                0 => fs::write(f.file(&id), "no session").expect("written"),
                1 => {
                    session.set_expires(Some(support::time(1)));
                    f.store.save(&mut session).expect("saved");
                }
                _ => {}
            }
            // Now the one hears first, and now the other.
            for rival in [trial % 2, 1 - trial % 2] {
                rivals[rival].tell(exposed(&id));
            }
            let said = rivals.each_mut().map(|rival| rival.hear() == "true");
            assert!(said[0] != said[1], "trial {trial}: {said:?}");
            wins[usize::from(said[1])] += 1;
            assert!(!f.file(&id).exists());
        }
        for mut rival in rivals {
            rival.tell("");
            rival.join();
        }
        println!("{durability:?}: {wins:?}");
        assert!(wins.iter().all(|&wins| wins > 0), "the race was one: {wins:?}");
        assert_eq!(f.names(), [".lock", ".sessiondir"]);
    }
}

/// Logs somebody in, and is killed when it is about to make its call number `nth`; with 0, when it is about to unlink
/// the old session.
fn rotate_and_die(store: &DirectoryStore, id: &str, nth: u32) {
    let mut session = store.load(&reference(id)).expect("loads").expect("is there");
    session.set_user("ada").expect("fits");
    session.insert("n", &1).expect("fits");
    let calls = Cell::new(0);
    let hook = seam::install(move |call| {
        calls.set(calls.get() + 1);
        if calls.get() == nth || (nth == 0 && call.op == Op::Unlink) {
            say(&format!("{:?}", call.op));
            raise(Signal::SIGKILL).expect("killed");
        }
        None
    });
    store.rotate(&mut session).expect("rotated");
    drop(hook);
    say("done");
}

/// Exercises ROT-1, ROT-2. Whenever a rotation is killed, the old ID, which an attacker may know, has no user: it is as
/// it was, byte for byte, or it is gone.
#[test]
fn a_killed_rotation_logs_nobody_in_under_the_old_id() {
    for (naming, durability) in [
        (Naming::Plain, Durability::Power),
        (Naming::Hashed, Durability::Power),
        (Naming::Plain, Durability::Process),
    ] {
        let (mut seen, mut done) = (Vec::new(), 0);
        for nth in 0.. {
            let f = Fixture::new(naming, durability);
            let id = SessionId::generate().expect("an ID");
            let (old, anonymous) = f.inserted(id.expose());
            let before = fs::read(f.file(&old)).expect("its file");
            let path = f.path.to_str().expect("UTF-8");
            let said = Helper::start("rotate", &[path, id.expose(), &nth.to_string()]).last_words();
            let said = said.expect("it says what it was about to do");

            let old_is_there = f.file(&old).exists();
            if old_is_there {
                assert_eq!(fs::read(f.file(&old)).expect("its file"), before, "before {said}");
                assert_eq!(f.store.load(&old).expect("loads"), Some(anonymous.clone()));
            } else {
                assert_eq!(f.store.load(&old).expect("loads"), None);
            }
            // The new one is not there, or all of it is.
            let sessions: Vec<_> =
                f.store.iter_sessions().expect("lists").map(|session| session.expect("sound")).collect();
            let new: Vec<_> = sessions
                .iter()
                .filter(|session| session.reference().map(SessionRef::key) != Some(old.key()))
                .collect();
            for new in &new {
                assert_eq!(new.user::<String>().expect("a text").as_deref(), Some("ada"));
                assert_eq!((new.rev(), new.get::<u64>("n").expect("a number")), (1, Some(1)));
                assert_eq!(new.created(), anonymous.created());
            }
            assert_eq!(sessions.len() - new.len(), usize::from(old_is_there));
            assert!(new.len() == 1 || (new.is_empty() && old_is_there), "before {said}: nobody is left");
            // The moment between the two steps.
            assert!(nth > 0 || (said == "Unlink" && old_is_there && new.len() == 1));
            if said == "done" {
                assert!(!old_is_there && new.len() == 1);
                // Where both have one lock there are fewer calls.
                done += 1;
                if done == 3 {
                    break;
                }
                continue;
            }
            // Nobody holds a lock, and debris is all that is left.
            if old_is_there {
                let mut again = anonymous.clone();
                again.set_user("ada").expect("fits");
                f.store.rotate(&mut again).expect("rotated");
            }
            let found = f.finding_names();
            assert!(found.iter().all(|&name| name == "temp"), "before {said}: {found:?}");
            f.store.sweep(&SweepOptions::default()).expect("swept");
            f.assert_clean();
            seen.push(said);
        }
        println!("{naming:?} {durability:?}: killed before {}", seen.join(", "));
        assert!(seen.len() > 15);
    }
}
