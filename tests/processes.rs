//! Many processes and threads on one store: SPEC.md section 9, and the promises about lost updates and readers.

#[path = "support/stores.rs"]
mod support;

use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use sessiondir::seam::{self, Op};
use sessiondir::{
    DirectoryStore, Durability, ErrorClass, Naming, Options, Session, SessionId, SessionRef, SessionStore,
};
use support::{Fixture, Helper, class, heed, role, say};

/// What the other processes do. In the test program's own run it does nothing.
#[test]
fn child() {
    let Some((role, arguments)) = role() else { return };
    let arg = |n: usize| arguments[n].as_str();
    match role.as_str() {
        "update" => increments(arg(0), arg(1), arg(2), arg(3), update_once),
        "save" => increments(arg(0), arg(1), arg(2), arg(3), save_once),
        "replace" => increments(arg(0), arg(1), arg(2), arg(3), replace_once),
        "cross" => cross(arg(0), [arg(1), arg(2)], arg(3)),
        "read" => read_until_told(arg(0), arg(1)),
        "hold" => hold(arg(0), arg(1)),
        "hog" => hog(arg(0), arg(1)),
        "referee" => referee(arg(0)),
        "cut-short" => cut_short(arg(0), &arguments[1..]),
        other => panic!("no such role: {other}"),
    }
}

fn open(path: &str) -> DirectoryStore {
    Options::new().patience(Duration::from_secs(60)).open(path).expect("the store opens")
}

fn id(text: &str) -> SessionRef {
    SessionRef::from(SessionId::new(text).expect("an ID"))
}

type Increment = fn(&DirectoryStore, &SessionRef);

fn update_once(store: &DirectoryStore, id: &SessionRef) {
    store
        .update(id, &mut |session| {
            let n: u64 = session.get("n")?.unwrap_or(0);
            Ok(session.insert("n", &(n + 1))?)
        })
        .expect("updated");
}

fn save_once(store: &DirectoryStore, id: &SessionRef) {
    loop {
        let mut session = store.load(id).expect("loads").expect("is there");
        let n: u64 = session.get("n").expect("a number").unwrap_or(0);
        session.insert("n", &(n + 1)).expect("fits");
        match store.save(&mut session) {
            Ok(()) => return,
            Err(error) => assert_eq!(error.class(), ErrorClass::Conflict, "{error}"),
        }
    }
}

/// Each time the record is far too large for its slot, or far too small: the file is replaced by another one.
fn replace_once(store: &DirectoryStore, id: &SessionRef) {
    store
        .update(id, &mut |session| {
            let n: u64 = session.get("n")?.unwrap_or(0);
            session.insert("pad", &"x".repeat(if n.is_multiple_of(2) { 40_000 } else { 0 }))?;
            Ok(session.insert("n", &(n + 1))?)
        })
        .expect("updated");
}

fn increments(path: &str, session: &str, threads: &str, count: &str, once: Increment) {
    let (store, id) = (open(path), id(session));
    let count: u64 = count.parse().expect("a number");
    std::thread::scope(|scope| {
        for _ in 0..threads.parse().expect("a number") {
            scope.spawn(|| (0..count).for_each(|_| once(&store, &id)));
        }
    });
}

/// Two threads that wait for two locks, each of which the other holds now and then.
fn cross(path: &str, sessions: [&str; 2], count: &str) {
    let store = open(path);
    let count: u64 = count.parse().expect("a number");
    std::thread::scope(|scope| {
        for session in sessions {
            let store = &store;
            scope.spawn(move || (0..count).for_each(|_| update_once(store, &id(session))));
        }
    });
}

/// Reads all the time: every record is whole, of the one session, and none is older than the one before.
fn read_until_told(path: &str, session: &str) {
    let (store, id) = (open(path), id(session));
    let told = AtomicBool::new(false);
    let reads = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let (mut last, mut reads) = ((0, 0), 0u64);
                    while !told.load(Ordering::Relaxed) {
                        let session = store.load(&id).expect("never torn").expect("always there");
                        let seen = (session.rev(), session.get::<u64>("n").expect("a number").unwrap_or(0));
                        assert!(seen >= last && seen.1 >= last.1, "back from {last:?} to {seen:?}");
                        (last, reads) = (seen, reads + 1);
                    }
                    reads
                })
            })
            .collect();
        say("reading");
        heed();
        told.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().expect("no reader failed")).sum::<u64>()
    });
    say(&reads.to_string());
}

fn hold(path: &str, session: &str) {
    let (store, id) = (open(path), id(session));
    store
        .update(&id, &mut |session| {
            say("held");
            heed();
            session.insert("n", &1000)?;
            Ok(())
        })
        .expect("updated");
    say("released");
    heed();
}

/// Holds the lock for 50 ms and takes it again at once, until told.
fn hog(path: &str, session: &str) {
    let (store, id) = (open(path), id(session));
    let told = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !told.load(Ordering::Relaxed) {
                store
                    .update(&id, &mut |session| {
                        std::thread::sleep(Duration::from_millis(50));
                        Ok(session.insert("hog", &session.rev())?)
                    })
                    .expect("updated");
            }
        });
        say("hogging");
        heed();
        told.store(true, Ordering::Relaxed);
    });
}

/// Saves each session with an attribute that is a byte longer than the one before, and says what came of it.
fn cut_short(path: &str, sessions: &[String]) {
    let store = open(path);
    for (length, session) in sessions.iter().enumerate() {
        let mut session = store.load(&id(session)).expect("loads").expect("is there");
        session.insert("pad", &"x".repeat(256 + length)).expect("fits");
        let saved = store.save(&mut session);
        say(saved.expect_err("cut short").class().name());
    }
}

/// Tries locks with the bare system calls, and says what came of it. It shares no code with the crate.
fn referee(path: &str) {
    let file: File = OpenOptions::new().read(true).write(true).open(path).expect("the lock file");
    say("ready");
    loop {
        let line = heed();
        let words: Vec<&str> = line.split_whitespace().collect();
        let range = |n: usize| libc::flock {
            l_type: i16::try_from(if words[0] == "unlock" { libc::F_UNLCK } else { libc::F_WRLCK })
                .expect("small"),
            l_whence: i16::try_from(libc::SEEK_SET).expect("small"),
            l_start: words.get(n).map_or(0, |byte| byte.parse().expect("a byte")),
            l_len: i64::from(words.len() > n),
            l_pid: 0,
        };
        let done = match words[0] {
            "process" => fcntl(&file, FcntlArg::F_SETLK(&range(1))).map(drop),
            "description" => fcntl(&file, FcntlArg::F_OFD_SETLK(&range(1))).map(drop),
            "unlock" => {
                let one = fcntl(&file, FcntlArg::F_SETLK(&range(1)));
                one.and(fcntl(&file, FcntlArg::F_OFD_SETLK(&range(1)))).map(drop)
            }
            "flock" => file.try_lock().map_err(|_| nix::errno::Errno::EAGAIN),
            _ => return,
        };
        say(if done.is_ok() { "granted" } else { "denied" });
    }
}

fn lock_file(f: &Fixture, id: &SessionRef) -> PathBuf {
    f.path.join(format!(".lock/{:02x}", id.key().lock_file()))
}

const ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// Runs helpers that increment, with readers beside them, and counts: what `is_multiprocess_safe` says.
fn count_up(durability: Durability, role: &str, processes: usize, threads: u64, count: u64) {
    let f = Fixture::new(Naming::Plain, durability).patient();
    assert!(f.store.is_multiprocess_safe());
    let (id, _) = f.inserted(ID);
    let path = f.path.to_str().expect("UTF-8");
    let mut reader = Helper::start("read", &[path, ID]);
    assert_eq!(reader.hear(), "reading");
    let writers: Vec<_> = (0..processes)
        .map(|_| Helper::start(role, &[path, ID, &threads.to_string(), &count.to_string()]))
        .collect();
    writers.into_iter().for_each(Helper::join);
    reader.tell("enough");
    let reads: u64 = reader.hear().parse().expect("a number");
    reader.join();
    let expected = processes as u64 * threads * count;
    assert_eq!(f.n(&id), expected);
    assert!(reads > 100, "{reads} reads");
    println!(
        "{role}: {processes} processes × {threads} threads × {count}: {expected}, {reads} reads beside them"
    );
    f.assert_clean();
}

/// Exercises LOCK-1.
#[test]
fn eight_processes_update_one_session() {
    count_up(Durability::Process, "update", 8, 1, 1000);
}

/// Exercises LOCK-7.
#[test]
fn four_processes_of_four_threads_update_one_session() {
    count_up(Durability::Process, "update", 4, 4, 500);
}

/// Exercises LOCK-1, WRITE-12. A lock on the session's own file would be one on a file that is not there any more.
#[test]
fn six_processes_replace_one_sessions_file() {
    count_up(Durability::Process, "replace", 6, 1, 200);
}

#[test]
fn eight_processes_save_one_session_and_retry() {
    count_up(Durability::Process, "save", 8, 1, 1000);
}

#[test]
fn processes_update_one_session_that_is_to_survive_power_loss() {
    count_up(Durability::Power, "update", 4, 2, 100);
}

/// What a writer has returned for is what every load sees that begins later, by whichever store; and no load goes back.
#[test]
fn a_load_sees_what_was_saved_before_it_began() {
    let f = Fixture::new(Naming::Plain, Durability::Process).patient();
    let (id, _) = f.inserted(ID);
    let (saved, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let reads = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let (mut reads, mut last) = (0u64, 0);
                    while !done.load(Ordering::SeqCst) {
                        let before = saved.load(Ordering::SeqCst).max(last);
                        last = f.n(&id);
                        assert!(last >= before, "{last}, though {before} had been saved");
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        let writers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let store = open(f.path.to_str().expect("UTF-8"));
                    for _ in 0..2000 {
                        let session = store
                            .update(&id, &mut |session| {
                                let n: u64 = session.get("n")?.unwrap_or(0);
                                // Of two sizes, so that files are replaced too.
                                session.insert(
                                    "pad",
                                    &"x".repeat(if n.is_multiple_of(64) { 9000 } else { 700 }),
                                )?;
                                Ok(session.insert("n", &(n + 1))?)
                            })
                            .expect("updated");
                        saved
                            .fetch_max(session.get("n").expect("a number").expect("there"), Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().expect("no writer failed");
        }
        done.store(true, Ordering::SeqCst);
        readers.into_iter().map(|reader| reader.join().expect("no reader failed")).sum::<u64>()
    });
    assert_eq!(f.n(&id), 4000);
    assert!(reads > 100, "{reads} reads");
    println!("{reads} loads beside 4000 saves");
}

/// Exercises WRITE-3, WRITE-8. A write that ends within the slot: what it says is what is to be seen.
#[test]
fn a_write_that_is_cut_short() {
    let f = Fixture::new(Naming::Plain, Durability::Process);
    let ids: Vec<String> = (0..200).map(|n| format!("{n:-<22}")).collect();
    let mut arguments = vec![f.path.to_str().expect("UTF-8")];
    for id in &ids {
        f.inserted(id);
        arguments.push(id);
    }
    // The second record stands in slot 1, at 4096; there is room for 512 bytes of it.
    let mut helper = Helper::start_with_file_limit(9, "cut-short", &arguments);
    let (mut new, mut old) = (0, 0);
    for text in &ids {
        let said = helper.hear();
        let session = f.store.load(&id(text)).expect("whole").expect("is there");
        // All of the record was written, if not all of the slot; or not all of it.
        let expected = if session.rev() == 2 { "outcome-unknown" } else { "io" };
        assert_eq!(said, expected);
        *(if session.rev() == 2 { &mut new } else { &mut old }) += 1;
    }
    helper.join();
    assert!(new > 10 && old > 10, "{new} whole, {old} not");
    assert!(f.findings().iter().all(|finding| finding.kind.name() == "damaged-slot"));
    assert_eq!(f.findings().len(), old);
}

/// Exercises LOCK-2, LOCK-3.
#[test]
fn who_is_denied_while_a_session_is_being_changed() {
    let f = Fixture::plain();
    let (id, _) = f.inserted(ID);
    let path = f.path.to_str().expect("UTF-8");
    let lock = lock_file(&f, &id);
    let byte = id.key().lock_byte();
    let mut referee = Helper::start("referee", &[lock.to_str().expect("UTF-8")]);
    assert_eq!(referee.hear(), "ready");
    let mut ask = |what: &str| {
        referee.tell(what);
        referee.hear()
    };
    let mut holder = Helper::start("hold", &[path, ID]);
    assert_eq!(holder.hear(), "held");
    for kind in ["process", "description"] {
        assert_eq!(ask(kind), "denied");
        assert_eq!(ask(&format!("{kind} {byte}")), "denied");
    }
    assert_eq!(ask("flock"), "granted", "another kind of lock, which says nothing");
    // L10: a reader does not wait.
    let start = Instant::now();
    assert_eq!(f.n(&id), 0);
    assert!(start.elapsed() < Duration::from_millis(50));
    assert_eq!(class(f.store.update(&id, &mut |_| Ok(()))), ErrorClass::Busy);
    // Loading, listing, checking and failing to lock have dropped nobody's lock.
    assert_eq!(f.store.iter_sessions().expect("lists").count(), 1);
    f.assert_clean();
    assert_eq!(ask("process"), "denied");
    holder.tell("go on");
    assert_eq!(holder.hear(), "released");
    for kind in ["process", "description"] {
        assert_eq!(ask(&format!("{kind} {byte}")), "granted");
        // Now the store is denied: a byte is enough.
        assert_eq!(class(f.store.update(&id, &mut |_| Ok(()))), ErrorClass::Busy);
        assert_eq!(ask("unlock"), "granted");
        f.store.update(&id, &mut |_| Ok(())).expect("free again");
    }
    assert_eq!(ask("flock"), "granted");
    f.store.update(&id, &mut |_| Ok(())).expect("flock is no lock");
    ask_to_end(referee);
    holder.tell("end");
    holder.join();
}

fn ask_to_end(mut referee: Helper) {
    referee.tell("end");
    referee.join();
}

#[test]
fn a_killed_holder_holds_nothing() {
    let f = Fixture::plain();
    let (id, _) = f.inserted(ID);
    let mut holder = Helper::start("hold", &[f.path.to_str().expect("UTF-8"), ID]);
    assert_eq!(holder.hear(), "held");
    assert_eq!(class(f.store.update(&id, &mut |_| Ok(()))), ErrorClass::Busy);
    holder.kill();
    update_once(&f.store, &id);
    assert_eq!(f.n(&id), 1);
    f.assert_clean();
}

/// Exercises LOCK-8.
#[test]
fn closing_a_store_drops_no_lock_of_another_in_this_process() {
    let f = Fixture::plain();
    let (id, _) = f.inserted(ID);
    let mut referee = Helper::start("referee", &[lock_file(&f, &id).to_str().expect("UTF-8")]);
    assert_eq!(referee.hear(), "ready");
    f.store
        .update(&id, &mut |_| {
            // In threads, as calls from within an update are refused.
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let other = f.options().open(&f.path).expect("opens");
                        assert_eq!(class(other.update(&id, &mut |_| Ok(()))), ErrorClass::Busy);
                        assert!(other.load(&id).expect("loads").is_some());
                        drop(other);
                        f.assert_clean();
                    }
                });
            });
            for kind in ["process", "description"] {
                referee.tell(kind);
                assert_eq!(referee.hear(), "denied");
            }
            Ok(())
        })
        .expect("nothing changed");
    referee.tell("process");
    assert_eq!(referee.hear(), "granted");
    ask_to_end(referee);
}

/// Exercises LOCK-8. Each descriptor more is one that is kept for as long as the first.
#[test]
fn a_process_has_a_lock_file_open_once() {
    let f = Fixture::plain();
    let (id, _) = f.inserted(ID);
    let path = lock_file(&f, &id);
    let open = || {
        let all = fs::read_dir("/proc/self/fd").expect("this process").flatten();
        all.filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to == path)).count()
    };
    let stores: Vec<_> = (0..3).map(|_| f.options().open(&f.path).expect("opens")).collect();
    for store in &stores {
        store.update(&id, &mut |_| Ok(())).expect("updated");
        store.load(&id).expect("loads");
        assert_eq!(open(), 1);
    }
    drop((stores, f.store));
    assert_eq!(open(), 0);
}

/// Exercises LOCK-8. A store opens a lock file that is on its path only for a moment, and that another holds: the
/// second descriptor is not closed, as that would drop the lock.
#[test]
fn a_second_descriptor_of_a_lock_file_drops_no_lock() {
    let f = Fixture::plain();
    let (id, _) = f.inserted(ID);
    let path = lock_file(&f, &id);
    let aside = f.outside().join("aside");
    let mut referee = Helper::start("referee", &[path.to_str().expect("UTF-8")]);
    assert_eq!(referee.hear(), "ready");
    f.store
        .update(&id, &mut |session| {
            fs::rename(&path, &aside).expect("moved away");
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let other = f.options().open(&f.path).expect("opens");
                    let (from, to) = (aside.clone(), path.clone());
                    // It is not there when the store looks for it, and is when the store opens it.
                    let hook = seam::install(move |call| {
                        if call.op == Op::Open && to.ends_with(call.path) && from.exists() {
                            fs::rename(&from, &to).expect("moved back");
                        }
                        None
                    });
                    assert_eq!(class(other.update(&id, &mut |_| Ok(()))), ErrorClass::Busy);
                    drop(hook);
                });
            });
            assert!(!aside.exists());
            referee.tell("process");
            assert_eq!(referee.hear(), "denied");
            Ok(session.insert("n", &1)?)
        })
        .expect("updated");
    ask_to_end(referee);
}

/// Exercises LOCK-8. Stores come and go in many threads, beside another process: whenever the last of them is closed its
/// lock file is too, and never while somebody holds the lock or is about to.
#[test]
fn stores_come_and_go_in_many_threads() {
    let f = Fixture::new(Naming::Plain, Durability::Process);
    let path = f.path.to_str().expect("UTF-8");
    // The fixture's own store holds no share in the lock file, or it would never be closed.
    open(path).insert(&SessionId::new(ID).expect("an ID"), &mut Session::new()).expect("inserted");
    let id = id(ID);
    let helper = Helper::start("update", &[path, ID, "2", "300"]);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| (0..100).for_each(|_| update_once(&open(path), &id)));
        }
    });
    helper.join();
    assert_eq!(f.n(&id), 2 * 300 + 6 * 100);
    f.assert_clean();
}

/// A reader who looks again under the lock opens the lock file for reading alone; to write he opens it once more.
#[test]
fn who_has_read_under_a_lock_can_write() {
    let f = Fixture::plain();
    let path = f.path.to_str().expect("UTF-8");
    // Nobody in this process has the lock file open.
    open(path).insert(&SessionId::new(ID).expect("an ID"), &mut Session::new()).expect("inserted");
    let id = id(ID);
    fs::write(f.file(&id), [1; 8192]).expect("damaged");
    let store = open(path);
    assert_eq!(class(store.load(&id)), ErrorClass::Corrupt);
    assert!(store.delete(&id).expect("deleted"));
    f.inserted(ID);
    update_once(&store, &id);
    assert_eq!(f.n(&id), 1);
}

/// Exercises LOCK-6, LOCK-4.
#[test]
fn a_lock_file_that_was_removed_under_its_holder() {
    let f = Fixture::plain();
    let (id, _) = f.inserted(ID);
    let lock = lock_file(&f, &id);
    update_once(&f.store, &id);
    // Our descriptor is of a file that no path leads to any more: its lock is worth nothing.
    fs::remove_file(&lock).expect("removed");
    fs::write(&lock, "").expect("made anew");
    let mut holder = Helper::start("hold", &[f.path.to_str().expect("UTF-8"), ID]);
    assert_eq!(holder.hear(), "held");
    assert_eq!(class(f.store.update(&id, &mut |_| Ok(()))), ErrorClass::Busy);
    holder.tell("go on");
    assert_eq!(holder.hear(), "released");
    update_once(&f.store, &id);
    assert_eq!(f.n(&id), 1001);
    holder.tell("end");
    holder.join();
    // Whatever has been done, the lock files are as init made them.
    for entry in fs::read_dir(f.path.join(".lock")).expect("lists") {
        assert_eq!(entry.expect("an entry").metadata().expect("there").len(), 0);
    }
}

/// Exercises LOCK-9, LOCK-11. The pattern that `F_SETLKW` takes for a deadlock: two processes of two threads, each
/// thread holding or wanting one of two locks, crosswise.
#[test]
fn crossed_waits_are_no_deadlock() {
    let f = Fixture::new(Naming::Plain, Durability::Process);
    let path = f.path.to_str().expect("UTF-8").to_owned();
    let ids = ["AAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBB"];
    let refs: Vec<_> = ids.iter().map(|id| f.inserted(id).0).collect();
    assert_ne!(refs[0].key().lock_file(), refs[1].key().lock_file());
    let helpers: Vec<_> = (0..4).map(|_| Helper::start("cross", &[&path, ids[0], ids[1], "300"])).collect();
    std::thread::scope(|scope| {
        for reference in &refs {
            let store = open(&path);
            scope.spawn(move || (0..300).for_each(|_| update_once(&store, reference)));
        }
        // Rotations take two locks at once, of sessions all over the lock files.
        for _ in 0..4 {
            let store = open(&path);
            scope.spawn(move || {
                let mut session = Session::new();
                store.create(&mut session).expect("created");
                (0..200).for_each(|_| drop(store.rotate(&mut session).expect("rotated")));
            });
        }
    });
    helpers.into_iter().for_each(Helper::join);
    for reference in &refs {
        assert_eq!(f.n(reference), 4 * 300 + 300);
    }
    assert_eq!(f.store.iter_sessions().expect("lists").count(), 2 + 4);
    f.assert_clean();
}

/// A process that holds a lock for long and takes it again at once leaves it free now and then (section 9.1, after
/// LOCK-10). Else it is free for microseconds of each 50 ms, and who asks once in a millisecond may go without for
/// longer than any patience.
#[test]
fn a_lock_that_is_taken_again_and_again_is_left_to_others() {
    let f = Fixture::new(Naming::Plain, Durability::Process);
    let path = f.path.to_str().expect("UTF-8");
    let id = f.inserted("AAAAAAAAAAAAAAAAAAAAAA").0;
    let mut hog = Helper::start("hog", &[path, "AAAAAAAAAAAAAAAAAAAAAA"]);
    assert_eq!(hog.hear(), "hogging");
    let store = Options::new().patience(Duration::from_secs(5)).open(path).expect("opens");
    for _ in 0..12 {
        update_once(&store, &id);
        // Time for the other process to take it again.
        std::thread::sleep(Duration::from_millis(5));
    }
    let waits = store.counters().busy_waits;
    assert!(waits >= 6, "it had to wait only {waits} times");
    hog.tell("stop");
    hog.join();
    assert_eq!(f.n(&id), 12);
}

/// Exercises CHK-1.
#[test]
fn a_checker_beside_writers_finds_nothing_and_changes_nothing() {
    let f = Fixture::new(Naming::Plain, Durability::Process).patient();
    let path = f.path.to_str().expect("UTF-8");
    f.inserted(ID);
    let writers: Vec<_> = (0..2).map(|_| Helper::start("update", &[path, ID, "2", "2000"])).collect();
    let done = AtomicBool::new(false);
    let mut checks = 0;
    std::thread::scope(|scope| {
        let (f, done) = (&f, &done);
        scope.spawn(move || {
            // Creations, replacements and deletions too.
            while !done.load(Ordering::Relaxed) {
                let (id, mut session) = f.created();
                session.insert("big", &"x".repeat(9000)).expect("fits");
                f.store.save(&mut session).expect("replaced");
                f.store.delete(&id).expect("deleted");
            }
        });
        let start = Instant::now();
        let mut found = Vec::new();
        while found.is_empty() && (checks < 50 || start.elapsed() < Duration::from_secs(1)) {
            found = f.findings();
            checks += 1;
        }
        done.store(true, Ordering::Relaxed);
        assert!(found.is_empty(), "{found:?}");
    });
    println!("{checks} checks beside writers");
    writers.into_iter().for_each(Helper::join);

    // Not even of a damaged store, or of one without its lock files.
    fs::remove_file(f.path.join(".lock/07")).expect("removed");
    fs::write(f.path.join(".tmp.AAAAAAAAAAAAAAAAAAAAAA"), "debris").expect("written");
    let mut bytes = fs::read(f.path.join(ID)).expect("its file");
    bytes[100] ^= 1;
    bytes[4200] ^= 1;
    fs::write(f.path.join(ID), &bytes).expect("written");
    let before = tree(&f);
    assert!(!f.findings().is_empty());
    assert_eq!(tree(&f), before);
}

fn tree(f: &Fixture) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
    let mut all = Vec::new();
    for dir in [f.path.clone(), f.path.join(".lock")] {
        for entry in fs::read_dir(dir).expect("lists") {
            let path = entry.expect("an entry").path();
            let contents = if path.is_file() { fs::read(&path).expect("reads") } else { Vec::new() };
            let changed = fs::metadata(&path).expect("there").modified().expect("a time");
            all.push((path, contents, changed));
        }
    }
    all.sort();
    all
}
