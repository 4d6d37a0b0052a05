//! What the store asks of the operating system, in which order, and what it does when that fails: seen and
//! forced through the seam.

#[path = "support/stores.rs"]
mod support;

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::rc::Rc;

use nix::errno::Errno;
use sessiondir::seam::{self, Op};
use sessiondir::session3::{ImportOptions, import};
use sessiondir::store::set_durability;
use sessiondir::sweep::SweepOptions;
use sessiondir::{
    DirectoryStore, Durability, Error, ErrorClass, Naming, Session, SessionId, SessionRef, SessionStore,
};
use support::{Fixture, class};

/// The calls that `run` makes, with the paths that they are made on.
fn calls<T>(run: impl FnOnce() -> T) -> (T, Vec<(Op, String)>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    let hook = seam::install(move |call| {
        log.borrow_mut().push((call.op, call.path.to_owned()));
        None
    });
    let result = run();
    drop(hook);
    let calls = seen.borrow().clone();
    (result, calls)
}

fn ops<T>(run: impl FnOnce() -> T) -> Vec<Op> {
    calls(run).1.into_iter().map(|(op, _)| op).collect()
}

/// Those of the calls that are of these kinds.
fn only(kinds: &[Op], ops: &[Op]) -> Vec<Op> {
    ops.iter().copied().filter(|op| kinds.contains(op)).collect()
}

/// Makes the `nth` call that `which` accepts fail with `errno`, from then on if `forever`, while `run` runs. Says
/// whether it came to that.
fn failing<T>(
    which: impl Fn(&seam::Call<'_>) -> bool + 'static,
    nth: usize,
    forever: bool,
    errno: Errno,
    run: impl FnOnce() -> T,
) -> (T, bool) {
    let count = Rc::new(RefCell::new(0));
    let counted = Rc::clone(&count);
    let hook = seam::install(move |call| {
        if !which(&call) {
            return None;
        }
        let mut count = counted.borrow_mut();
        *count += 1;
        (*count == nth || (forever && *count > nth)).then_some(errno as i32)
    });
    let result = run();
    drop(hook);
    let reached = *count.borrow() >= nth;
    (result, reached)
}

/// Exercises NAME-2, NAME-1.
#[test]
fn no_call_is_made_for_a_text_that_is_no_id() {
    let huge = "A".repeat(10_000_000);
    let hostile: [&[u8]; 12] = [
        b"../../etc/passwd",
        b"/etc/passwd",
        b"..",
        b"",
        b"AAAAAAAAAA\0A",
        b"AAAAAAAAAAA\n",
        b"..\\..\\windows\\system32",
        b"AAAAAAAAAAAAAAAAAAAAA/",
        b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6\xf5",
        "ａａａａａａａａａａａ".as_bytes(),
        b".sessiondir",
        huge.as_bytes(),
    ];
    let f = Fixture::plain();
    let (id, _) = f.created();
    for text in hostile {
        let (result, calls) = calls(|| SessionId::new(text));
        let error = result.expect_err("no ID");
        assert_eq!(error.class(), ErrorClass::InvalidId);
        assert!(calls.is_empty(), "{calls:?}");
        let shown = format!("{error} {error:?}");
        assert!(
            text.is_empty() || !shown.as_bytes().windows(text.len()).any(|w| w == text),
            "echoed: {shown}"
        );
    }
    // And what is made for one that is, is made on the paths that are made from it and on no other.
    let name = id.id().expect("an ID").expose().to_owned();
    let key = id.key();
    let lock = format!(".lock/{:02x}", key.lock_file());
    let (_, calls) = calls(|| f.store.update(&id, &mut |s| Ok(s.insert("n", &"x".repeat(9000))?)));
    let allowed = [String::new(), name.clone(), format!(".tmp.{name}"), lock];
    assert!(calls.iter().all(|(_, path)| allowed.contains(path)), "{calls:?}");
}

/// Exercises READ-1, LOCK-14.
#[test]
fn a_load_is_three_calls() {
    Fixture::each(|f| {
        let (id, _) = f.created();
        // The fourth, close, is not one that can be refused.
        assert_eq!(ops(|| f.store.load(&id)), [Op::Open, Op::Fstat, Op::Read]);
        let absent = SessionRef::from(SessionId::generate().expect("an ID"));
        assert_eq!(ops(|| f.store.load(&absent)), [Op::Open]);
    });
}

/// Exercises WRITE-3, WRITE-5, LOCK-6.
#[test]
fn a_save_in_place_is_these_calls() {
    for durability in [Durability::Power, Durability::Process] {
        let f = Fixture::new(Naming::Plain, durability);
        let (id, mut session) = f.created();
        f.store.save(&mut session).expect("opens the lock file");
        session.insert("n", &1).expect("fits");
        let ((), calls) = calls(|| f.store.save(&mut session).expect("saved"));
        let ops: Vec<_> = calls.iter().map(|(op, _)| *op).collect();
        let mut expected = vec![Op::Lock, Op::Stat, Op::Open, Op::Fstat, Op::Read, Op::Pwrite];
        if durability == Durability::Power {
            expected.push(Op::Sync);
        }
        expected.push(Op::Unlock);
        assert_eq!(ops, expected);
        assert_eq!(calls[1].1, format!(".lock/{:02x}", id.key().lock_file()));
    }
}

/// Exercises WRITE-4.
#[test]
fn a_record_of_another_process_is_synced_before_the_one_before_it_is_overwritten() {
    let f = Fixture::plain();
    let (id, _) = f.created();
    // Another store knows as little as another process: of a file as made, not even that its name is on disk.
    let save = |n: u64| {
        let other = f.options().open(&f.path).expect("opens");
        let mut session = other.load(&id).expect("loads").expect("is there");
        session.insert("n", &n).expect("fits");
        ops(|| other.save(&mut session).expect("saved"))
    };
    let syncs = |ops: &[Op]| only(&[Op::Sync, Op::SyncDir, Op::Pwrite], ops);
    assert_eq!(syncs(&save(1)), [Op::SyncDir, Op::Sync, Op::Pwrite, Op::Sync]);
    assert_eq!(syncs(&save(2)), [Op::Sync, Op::Pwrite, Op::Sync]);
    // This store synced its own record, but others have written since.
    let mut session = f.store.load(&id).expect("loads").expect("is there");
    session.insert("n", &3).expect("fits");
    assert_eq!(syncs(&ops(|| f.store.save(&mut session).expect("saved"))), [Op::Sync, Op::Pwrite, Op::Sync]);
    session.insert("n", &4).expect("fits");
    assert_eq!(syncs(&ops(|| f.store.save(&mut session).expect("saved"))), [Op::Pwrite, Op::Sync]);
    // The same record, but in another file: a copy that somebody has put there, and that nobody has synced.
    let copy = f.outside().join("copy");
    fs::copy(f.file(&id), &copy).expect("copied");
    fs::rename(&copy, f.file(&id)).expect("renamed");
    session.insert("n", &5).expect("fits");
    assert_eq!(syncs(&ops(|| f.store.save(&mut session).expect("saved"))), [Op::Sync, Op::Pwrite, Op::Sync]);
    assert_eq!(f.n(&id), 5);
}

/// Exercises WRITE-9. Success says that what is stored is durable, so that what another process wrote is synced once.
#[test]
fn a_save_that_changes_nothing_syncs_what_another_process_wrote() {
    let f = Fixture::plain();
    let (id, _) = f.created();
    let syncs = |ops: Vec<Op>| only(&[Op::Create, Op::Sync, Op::SyncDir, Op::Pwrite, Op::Rename], &ops);
    let nothing = |store: &DirectoryStore| {
        let mut session = store.load(&id).expect("loads").expect("is there");
        let saved = syncs(ops(|| store.save(&mut session).expect("saved")));
        let updated = syncs(ops(|| _ = store.update(&id, &mut |_| Ok(())).expect("updated")));
        (saved, updated)
    };
    assert_eq!(nothing(&f.store), (vec![], vec![]), "its own");
    let other = f.options().open(&f.path).expect("opens");
    assert_eq!(nothing(&other), (vec![Op::SyncDir, Op::Sync], vec![]), "a file as made: the name too");
    f.store.update(&id, &mut |session| Ok(session.insert("n", &1)?)).expect("saved");
    assert_eq!(nothing(&other), (vec![Op::Sync], vec![]), "written in place by another since");
    // What it has synced, and not written, lets it write in place.
    let mut session = other.load(&id).expect("loads").expect("is there");
    session.insert("n", &2).expect("fits");
    assert_eq!(syncs(ops(|| other.save(&mut session).expect("saved"))), [Op::Pwrite, Op::Sync]);

    // But not over a slot that is torn, as by a power cut: each time it syncs, and the next record is in a new file.
    let half = fs::metadata(f.file(&id)).expect("stat").len() / 2;
    let file = fs::OpenOptions::new().write(true).open(f.file(&id)).expect("opens");
    file.write_all_at(b"torn", half + 20).expect("written");
    let other = f.options().open(&f.path).expect("opens");
    assert_eq!(nothing(&other), (vec![Op::Sync], vec![Op::Sync]));
    session.insert("n", &3).expect("fits");
    let replaced = [Op::Create, Op::Pwrite, Op::Sync, Op::Rename, Op::SyncDir];
    assert_eq!(syncs(ops(|| other.save(&mut session).expect("saved"))), replaced);

    // Where the sync fails, a new file holds the same revision.
    let rev = session.rev();
    let other = f.options().open(&f.path).expect("opens");
    let mut session = other.load(&id).expect("loads").expect("is there");
    let inode = || fs::metadata(f.file(&id)).expect("stat").ino();
    let before = inode();
    let is_sync = |call: &seam::Call<'_>| call.op == Op::Sync;
    let (saved, reached) = failing(is_sync, 1, false, Errno::EIO, || other.save(&mut session));
    saved.expect("saved");
    assert!(reached && inode() != before);
    assert_eq!((session.rev(), f.n(&id)), (rev, 3));
    assert_eq!(nothing(&other), (vec![], vec![]), "which it has synced itself");
    // And where that fails too, the save has failed.
    let other = f.options().open(&f.path).expect("opens");
    let mut session = other.load(&id).expect("loads").expect("is there");
    let (failed, _) = failing(is_sync, 1, true, Errno::EIO, || other.save(&mut session));
    assert_eq!(class(failed), ErrorClass::Io);
    assert_eq!(f.n(&id), 3);
}

/// Exercises MARK-7. Those who had the store open as `process` may have written since it was set to `power`.
#[test]
fn setting_power_once_more_syncs_once_more() {
    let f = Fixture::new(Naming::Plain, Durability::Process);
    f.created();
    let set = || {
        let made = ops(|| set_durability(&f.path, &f.options(), Durability::Power).expect("set"));
        only(&[Op::Sync, Op::SyncDir, Op::Rename], &made)
    };
    // The session and the directory; then the marker's temp, its rename and the directory.
    let expected = [Op::Sync, Op::SyncDir, Op::Sync, Op::Rename, Op::SyncDir];
    assert_eq!(set(), expected);
    assert_eq!(set(), expected);
}

/// Exercises MIG-6.
#[test]
fn what_was_imported_is_on_disk_before_the_run_is_noted() {
    let source = tempfile::tempdir().expect("a temporary directory");
    let pickle = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/session3/sessions/plainUser01");
    fs::copy(pickle, source.path().join("plainUser01")).expect("copied");
    for (durability, before) in [
        (Durability::Process, &[Op::Rename, Op::Sync][..]),
        (Durability::Power, &[Op::Sync, Op::Rename, Op::SyncDir]),
    ] {
        let f = Fixture::new(Naming::Hashed, durability);
        let made = ops(|| import(source.path(), &f.store, &ImportOptions::default(), &mut |_| ()));
        let made = only(&[Op::Sync, Op::SyncDir, Op::Rename, Op::Write], &made);
        // The note, its sync, and that of its name.
        assert_eq!(made, [before, &[Op::Write, Op::Sync, Op::SyncDir]].concat(), "{durability:?}");
    }
}

/// Exercises WRITE-14, DEL-3, ROT-1, ROT-2.
#[test]
fn what_makes_and_removes_files_syncs_the_directory() {
    let changing =
        |ops: &[Op]| only(&[Op::Create, Op::Pwrite, Op::Sync, Op::Rename, Op::SyncDir, Op::Unlink], ops);
    let create = [Op::Create, Op::Pwrite, Op::Sync, Op::Rename, Op::SyncDir];
    let f = Fixture::plain();
    let mut session = Session::new();
    let made = ops(|| f.store.create(&mut session).expect("created"));
    assert_eq!(changing(&made), create);
    let id = session.reference().expect("stored").clone();
    session.insert("n", &"x".repeat(9000)).expect("fits");
    assert_eq!(changing(&ops(|| f.store.save(&mut session).expect("replaced"))), create);
    let old = f.file(&id);
    let (_, rotated) = calls(|| f.store.rotate(&mut session).expect("rotated"));
    let rotated_ops: Vec<_> = rotated.iter().map(|c| c.0).collect();
    assert_eq!(changing(&rotated_ops), [&create[..], &[Op::Unlink, Op::SyncDir]].concat());
    let unlinked = rotated.iter().find(|(op, _)| *op == Op::Unlink).expect("the old one");
    assert_eq!(unlinked.1, old.file_name().expect("named").to_string_lossy());
    let id = session.reference().expect("stored").clone();
    assert_eq!(changing(&ops(|| f.store.delete(&id).expect("deleted"))), [Op::Unlink, Op::SyncDir]);
    assert_eq!(changing(&ops(|| f.store.delete(&id).expect("absent"))), [Op::SyncDir]);

    let f = Fixture::new(Naming::Plain, Durability::Process);
    let mut session = Session::new();
    let made = ops(|| f.store.create(&mut session).expect("created"));
    assert_eq!(changing(&made), [Op::Create, Op::Pwrite, Op::Rename]);
    session.insert("n", &"x".repeat(9000)).expect("fits");
    let replaced = ops(|| f.store.save(&mut session).expect("replaced"));
    // Synced although the store's durability is `process`: the old record goes with the rename.
    assert_eq!(changing(&replaced), [Op::Create, Op::Pwrite, Op::Sync, Op::Rename]);
    let id = session.reference().expect("stored").clone();
    assert_eq!(changing(&ops(|| f.store.delete(&id).expect("deleted"))), [Op::Unlink]);
}

/// Exercises WRITE-7, WRITE-6.
#[test]
fn a_failed_sync_is_not_repeated() {
    let f = Fixture::plain();
    let (id, mut session) = f.created();
    session.insert("n", &1).expect("fits");
    let inode = |f: &Fixture| std::os::unix::fs::MetadataExt::ino(&fs::metadata(f.file(&id)).expect("there"));
    let before = inode(&f);
    let is_sync = |call: &seam::Call<'_>| call.op == Op::Sync;
    // It fails once: the file is replaced at once, and the save is safe.
    let (saved, reached) = failing(is_sync, 1, false, Errno::EIO, || f.store.save(&mut session));
    assert!(reached);
    saved.expect("saved in a new file");
    assert_ne!(inode(&f), before);
    assert_eq!((f.n(&id), session.rev()), (1, 2));
    f.assert_clean();
    // It fails for ever: nobody can tell.
    session.insert("n", &2).expect("fits");
    let (failed, _) = failing(is_sync, 1, true, Errno::EIO, || f.store.save(&mut session));
    assert_eq!(class(failed), ErrorClass::OutcomeUnknown);
    assert_eq!(session.rev(), 2, "the caller's session is as it was");
    let mut session = f.store.load(&id).expect("loads").expect("is there");
    session.insert("n", &3).expect("fits");
    let ops = ops(|| f.store.save(&mut session).expect("saved"));
    assert!(ops.contains(&Op::Rename), "replaced: {ops:?}");
    session.insert("n", &4).expect("fits");
    let ops = self::ops(|| f.store.save(&mut session).expect("saved"));
    assert!(!ops.contains(&Op::Rename), "in place again: {ops:?}");
    assert_eq!(f.n(&id), 4);
    f.assert_clean();
}

#[test]
fn a_failed_sync_of_the_directory() {
    let f = Fixture::plain();
    let is_sync = |call: &seam::Call<'_>| call.op == Op::SyncDir;
    // A creation leaves no session whose ID nobody knows.
    let mut session = Session::new();
    session.set_user("ada").expect("fits");
    let (failed, _) = failing(is_sync, 1, true, Errno::EIO, || f.store.create(&mut session));
    assert_eq!(class(failed), ErrorClass::OutcomeUnknown);
    assert_eq!(f.store.iter_sessions().expect("lists").count(), 0);
    assert!(session.reference().is_none());
    // A rotation whose last sync fails has happened, and says where the session is.
    let (old, mut session) = f.created();
    let (failed, reached) = failing(is_sync, 2, true, Errno::EIO, || f.store.rotate(&mut session));
    assert!(reached);
    assert_eq!(class(failed), ErrorClass::OutcomeUnknown);
    assert_eq!(f.store.load(&old).expect("loads"), None);
    let new = session.reference().expect("stored").clone();
    assert_ne!(new, old);
    assert_eq!(f.n(&new), 0);
}

/// A rotation that cannot unlink the old session has not happened: no session stays whose ID nobody knows.
#[test]
fn a_rotation_that_cannot_end_is_undone() {
    let f = Fixture::plain();
    let (old, mut session) = f.created();
    let its_name = f.file(&old).file_name().expect("named").to_string_lossy().into_owned();
    let is_it = move |call: &seam::Call<'_>| call.op == Op::Unlink && call.path == its_name;
    session.insert("n", &1).expect("fits");
    let (failed, reached) = failing(is_it, 1, true, Errno::EIO, || f.store.rotate(&mut session));
    assert!(reached);
    assert_eq!(class(failed), ErrorClass::Io);
    assert_eq!(session.reference(), Some(&old));
    let left: Vec<_> = f.store.references().expect("lists").collect::<Result<_, _>>().expect("lists");
    assert_eq!(left, std::slice::from_ref(&old));
    assert_eq!(f.n(&old), 0);
    f.assert_clean();
}

/// Exercises WRITE-17. Of two requests of one session at a time the second has nothing to note when it has the lock.
#[test]
fn a_touch_is_judged_again_under_the_lock() {
    let f = Fixture::plain();
    let (id, _) = f.created();
    f.advance(100_000);
    // What the other one is about to leave.
    let (file, before) = (f.file(&id), fs::read(f.file(&id)).expect("its file"));
    assert!(f.store.touch(&id).expect("touched"));
    let after = fs::read(&file).expect("its file");
    fs::write(&file, before).expect("written");
    f.advance(10);
    let hook = seam::install(move |call| {
        if call.op == Op::Lock {
            fs::write(&file, &after).expect("written");
        }
        None
    });
    assert!(!f.store.touch(&id).expect("looked"), "the other one has noted it");
    drop(hook);
    let touched = f.store.load(&id).expect("loads").expect("is there");
    assert_eq!(touched.accessed().as_millis(), support::START + 100_000);
}

/// Exercises WRITE-8, WRITE-15, ERR-1.
#[test]
fn a_full_disk_changes_nothing() {
    Fixture::each(|f| {
        let (id, mut session) = f.created();
        let before = (fs::read(f.file(&id)).expect("its file"), f.names());
        for (errno, expected) in [
            (Errno::ENOSPC, ErrorClass::NoSpace),
            (Errno::EDQUOT, ErrorClass::NoSpace),
            (Errno::EIO, ErrorClass::Io),
        ] {
            let mut changed = session.clone();
            changed.insert("n", &1).expect("fits");
            let (failed, reached) =
                failing(|call| call.op == Op::Pwrite, 1, true, errno, || f.store.save(&mut changed));
            assert!(reached);
            assert_eq!(class(failed), expected);
            changed.insert("n", &"x".repeat(9000)).expect("fits");
            for op in [Op::Create, Op::Pwrite, Op::Sync, Op::Rename] {
                let (failed, reached) =
                    failing(move |call| call.op == op, 1, true, errno, || f.store.save(&mut changed));
                assert!(reached || op == Op::Sync);
                assert_eq!(class(failed), expected, "{op:?}");
            }
            let mut fresh = Session::new();
            let (failed, reached) =
                failing(|call| call.op == Op::Pwrite, 1, true, errno, || f.store.create(&mut fresh));
            assert!(reached);
            assert_eq!(class(failed), expected);
            assert!(fresh.reference().is_none());
        }
        assert_eq!((fs::read(f.file(&id)).expect("its file"), f.names()), before);
        session.insert("n", &7).expect("fits");
        f.store.save(&mut session).expect("saved");
        f.assert_clean();
    });
}

/// Every call of every operation fails once, and then for ever: a typed error or success, the old value or the
/// new one, no temp, and the next operation succeeds.
#[test]
fn any_call_may_fail() {
    type Run = fn(&Fixture, &SessionRef, &mut Session) -> Result<(), Error>;
    let runs: [(&str, Run); 7] = [
        ("load", |f, id, _| f.store.load(id).map(drop)),
        ("save", |f, _, session| f.store.save(session)),
        ("replace", |f, _, session| {
            session.insert("big", &"x".repeat(9000))?;
            f.store.save(session)
        }),
        ("touch", |f, id, _| f.store.touch(id).map(drop)),
        ("delete", |f, id, _| f.store.delete(id).map(drop)),
        ("rotate", |f, _, session| f.store.rotate(session).map(drop)),
        ("create", |f, _, _| f.store.create(&mut Session::new()).map(drop)),
    ];
    let mut points = 0;
    for (what, run) in runs {
        for forever in [false, true] {
            for errno in [Errno::EIO, Errno::ENOSPC, Errno::EACCES, Errno::EMFILE, Errno::ENOLCK] {
                for nth in 1.. {
                    let f = Fixture::plain();
                    let (id, _) = f.created();
                    let other = f.options().open(&f.path).expect("opens");
                    let mut session = other.load(&id).expect("loads").expect("is there");
                    session.insert("n", &1).expect("fits");
                    f.advance(100_000);
                    let (result, reached) =
                        failing(|_| true, nth, forever, errno, || run(&f, &id, &mut session));
                    if !reached {
                        break;
                    }
                    points += 1;
                    if let Err(error) = &result {
                        let shown = format!("{error} {error:?}");
                        assert!(!shown.contains(id.id().expect("an ID").expose()), "{shown}");
                    }
                    let context = format!("{what}, call {nth}, {errno}, for ever: {forever}: {result:?}");
                    let left: Vec<_> = f
                        .store
                        .iter_sessions()
                        .expect("lists")
                        .map(|s| s.unwrap_or_else(|e| panic!("{context}: {e}")))
                        .collect();
                    let mut values: Vec<u64> =
                        left.iter().filter_map(|s| s.get("n").expect("a number")).collect();
                    values.sort_unstable();
                    let temps = f.names().iter().filter(|name| name.starts_with(".tmp.")).count();
                    // What fails for ever also fails to unlink the temp.
                    assert!(temps == 0 || (forever && temps == 1), "{context}: {:?}", f.names());
                    match (what, result.is_ok()) {
                        ("load" | "touch" | "create", _) => assert_eq!(values, [0], "{context}"),
                        ("save" | "replace" | "rotate", true) => assert_eq!(values, [1], "{context}"),
                        ("delete", true) => assert!(values.is_empty(), "{context}"),
                        ("save" | "replace", false) => assert!(values == [0] || values == [1], "{context}"),
                        ("delete", false) => assert!(values.len() <= 1, "{context}"),
                        // The new session may be there beside the old one, which is as it was.
                        _ => {
                            assert!(
                                [&[0][..], &[0, 1], &[1]].contains(&&values[..]),
                                "{context}: {values:?}"
                            );
                        }
                    }
                    let Some(left) = left.first() else { continue };
                    let id = left.reference().expect("stored").clone();
                    f.store
                        .update(&id, &mut |s| Ok(s.insert("n", &9)?))
                        .unwrap_or_else(|e| panic!("{context}: {e}"));
                    f.store.sweep(&SweepOptions::default()).expect("swept");
                    let found = f.finding_names();
                    assert!(found.is_empty(), "{context}: {found:?}");
                }
            }
        }
    }
    println!("{points} failing calls");
    assert!(points > 300);
}

/// Exercises COLL-1.
#[test]
fn a_session_touched_between_a_sweeps_look_and_its_lock_lives() {
    let f = Fixture::plain();
    let (id, mut session) = f.created();
    session.set_idle(Some(std::time::Duration::from_secs(60))).expect("in range");
    f.store.save(&mut session).expect("saved");
    let due = fs::read(f.file(&id)).expect("its file");
    f.advance(30_000);
    assert!(f.store.touch(&id).expect("touched"));
    let touched = fs::read(f.file(&id)).expect("its file");
    fs::write(f.file(&id), due).expect("written");
    // It is due when the sweep looks, and has been touched by another process when the sweep has its lock.
    f.advance(30_000);
    assert!(!f.store.has(&id).expect("looked"));
    let file = f.file(&id);
    let hook = seam::install(move |call| {
        if call.op == Op::Lock {
            fs::write(&file, &touched).expect("written");
        }
        None
    });
    let swept = f.store.sweep(&SweepOptions::default()).expect("swept");
    drop(hook);
    assert_eq!((swept.removed, swept.remaining), (0, 1));
    assert!(f.store.has(&id).expect("looked"));
    f.assert_clean();
}

/// Exercises READ-3, READ-4, READ-5.
#[test]
fn two_quick_saves_within_a_readers_copy() {
    // The reader finds the newer slot torn, and before its second read two more saves complete: what it fell back
    // to is not current any more. (Where durability is `power` the first of them replaces the file.)
    let f = Fixture::new(Naming::Plain, Durability::Process);
    let (id, mut session) = f.created();
    session.insert("n", &1).expect("fits");
    f.store.save(&mut session).expect("saved");
    let mut torn = fs::read(f.file(&id)).expect("its file");
    torn[4096 + 40] ^= 1;
    fs::write(f.file(&id), &torn).expect("written");
    let other = f.options().open(&f.path).expect("opens");
    let quick = id.clone();
    let mut once = Some(());
    let hook = seam::install(move |call| {
        if call.op == Op::Pread && once.take().is_some() {
            for n in [10, 11] {
                other.update(&quick, &mut |s| Ok(s.insert("n", &n)?)).expect("updated");
            }
        }
        None
    });
    let n = f.n(&id);
    drop(hook);
    assert_eq!(n, 11, "without the second read it would be 0");
}

/// Exercises READ-6, SLOT-9.
#[test]
fn a_reader_that_finds_nothing_whole_ends_under_the_lock() {
    let f = Fixture::plain();
    let (id, _) = f.created();
    let mut bytes = fs::read(f.file(&id)).expect("its file");
    bytes[40] ^= 1;
    fs::write(f.file(&id), &bytes).expect("written");
    let (loaded, calls) = calls(|| f.store.load(&id));
    let error = loaded.expect_err("corrupt");
    assert_eq!(error.class(), ErrorClass::Corrupt);
    let locks: Vec<_> = calls.iter().filter(|(op, _)| *op == Op::Lock || *op == Op::Unlock).collect();
    assert_eq!(locks.len(), 2, "once: {calls:?}");
    let last_open =
        calls.iter().rposition(|(op, path)| *op == Op::Open && !path.starts_with(".lock")).expect("opened");
    let lock = calls.iter().position(|(op, _)| *op == Op::Lock).expect("locked");
    let unlock = calls.iter().rposition(|(op, _)| *op == Op::Unlock).expect("released");
    assert!(lock < last_open && last_open < unlock, "the last round is under it");
    // Where the lock file cannot be opened the answer is the same.
    fs::remove_file(f.path.join(format!(".lock/{:02x}", id.key().lock_file()))).expect("removed");
    let fresh = f.options().open(&f.path).expect("opens");
    assert_eq!(class(fresh.load(&id)), ErrorClass::Corrupt);
    assert!(!f.path.join(format!(".lock/{:02x}", id.key().lock_file())).exists(), "a reader makes none");
}

/// A reader that gets no lock for want of locks says so, and does not call a session corrupt.
#[test]
fn a_reader_without_a_lock_fails_closed() {
    let f = Fixture::plain();
    let (id, _) = f.created();
    let mut bytes = fs::read(f.file(&id)).expect("its file");
    bytes[40] ^= 1;
    fs::write(f.file(&id), &bytes).expect("written");
    let (loaded, reached) = failing(|call| call.op == Op::Lock, 1, true, Errno::ENOLCK, || f.store.load(&id));
    assert!(reached);
    assert_eq!(class(loaded), ErrorClass::Io);
    let (loaded, _) = failing(|call| call.op == Op::Lock, 1, true, Errno::EAGAIN, || f.store.load(&id));
    assert_eq!(class(loaded), ErrorClass::Busy);
}

/// Exercises WRITE-11, WRITE-12. Somebody who takes no lock was faster.
#[test]
fn a_name_that_is_taken_in_the_last_moment() {
    Fixture::each(|f| {
        let taken = |errno, run: &mut dyn FnMut()| {
            let ((), reached) = failing(|call| call.op == Op::Rename, 1, false, errno, run);
            assert!(reached);
        };
        // Another ID, whoever asked for none.
        taken(Errno::EEXIST, &mut || {
            let mut session = Session::new();
            let id = f.store.create(&mut session).expect("created").into();
            assert_eq!(f.store.load(&id).expect("loads"), Some(session));
        });
        let id = SessionId::new("AAAAAAAAAAAAAAAAAAAAAA").expect("an ID");
        taken(Errno::EEXIST, &mut || {
            assert_eq!(class(f.store.insert(&id, &mut Session::new())), ErrorClass::Conflict);
        });
        taken(Errno::EIO, &mut || {
            assert_eq!(class(f.store.insert(&id, &mut Session::new())), ErrorClass::Io);
        });
        assert_eq!(f.store.load(&id.into()).expect("loads"), None);
        f.assert_clean();
    });
}

/// Exercises WRITE-12. Only debris is taken out of the way, and tried again for.
#[test]
fn a_temp_that_cannot_be_made_is_tried_for_once() {
    let f = Fixture::plain();
    for errno in [Errno::ENOSPC, Errno::EACCES, Errno::EIO] {
        let create = || class(f.store.create(&mut Session::new()));
        let (failed, reached) = failing(|call| call.op == Op::Create, 1, false, errno, create);
        let expected = if errno == Errno::ENOSPC { ErrorClass::NoSpace } else { ErrorClass::Io };
        assert!(reached);
        assert_eq!(failed, expected, "{errno}");
    }
    f.assert_clean();
}

/// Exercises LOCK-9, LOCK-10. The pauses become longer, up to a millisecond on average.
#[test]
fn who_waits_asks_no_more_than_twice_in_a_millisecond() {
    let f = Fixture::plain();
    let (id, _) = f.created();
    let patience = std::time::Duration::from_millis(200);
    let store = f.options().patience(patience).open(&f.path).expect("opens");
    let asked = Rc::new(RefCell::new(0));
    let count = Rc::clone(&asked);
    let hook = seam::install(move |call| {
        let denied = call.op == Op::Lock;
        *count.borrow_mut() += usize::from(denied);
        denied.then_some(Errno::EAGAIN as i32)
    });
    let begun = std::time::Instant::now();
    assert_eq!(class(store.update(&id, &mut |_| Ok(()))), ErrorClass::Busy);
    drop(hook);
    assert!(begun.elapsed() >= patience);
    // Half a millisecond between two of them, at least, but for the first six. As few as a busy machine likes.
    let asked = *asked.borrow();
    assert!((2..=6 + 400).contains(&asked), "{asked} times");
}

/// Exercises LOCK-13, LOCK-5, LOCK-10.
#[test]
fn error_numbers_of_the_lock_calls() {
    let f = Fixture::plain();
    let (id, _) = f.created();
    let touch = |f: &Fixture| f.store.update(&id, &mut |_| Ok(())).map(drop);
    for (errno, expected) in [
        (Errno::EAGAIN, Some(ErrorClass::Busy)),
        (Errno::EACCES, Some(ErrorClass::Busy)),
        (Errno::EDEADLK, Some(ErrorClass::Busy)),
        (Errno::ENOLCK, Some(ErrorClass::Io)),
        (Errno::EOPNOTSUPP, Some(ErrorClass::Io)),
        (Errno::ENOSYS, Some(ErrorClass::Io)),
        (Errno::EINVAL, Some(ErrorClass::Io)),
        (Errno::EIO, Some(ErrorClass::Io)),
    ] {
        let (result, reached) = failing(|call| call.op == Op::Lock, 1, true, errno, || touch(&f));
        assert!(reached);
        assert_eq!(result.err().map(|e| e.class()), expected, "{errno}");
        // What was busy once is waited for; what failed is not.
        let (result, _) = failing(|call| call.op == Op::Lock, 1, false, errno, || touch(&f));
        assert_eq!(result.is_ok(), expected == Some(ErrorClass::Busy), "{errno}");
    }
    let (result, reached) = failing(|call| call.op == Op::Lock, 1, false, Errno::EINTR, || touch(&f));
    assert!(reached && result.is_ok());
    let lock = f.path.join(format!(".lock/{:02x}", id.key().lock_file()));
    // Opening it: only a fresh registry entry opens, so each time in a new store, after its lock file's removal.
    let gone = Fixture::plain();
    let (other, _) = gone.created();
    fs::remove_dir_all(gone.path.join(".lock")).expect("removed");
    assert_eq!(class(gone.store.update(&other, &mut |_| Ok(()))), ErrorClass::NotAStore);
    for errno in [Errno::EACCES, Errno::EROFS, Errno::ELOOP, Errno::EISDIR, Errno::EMFILE] {
        let fresh = Fixture::plain();
        let id = SessionRef::from(SessionId::generate().expect("an ID"));
        let is_lock = |call: &seam::Call<'_>| call.op == Op::Open && call.path.starts_with(".lock/");
        let (result, reached) = failing(is_lock, 1, true, errno, || fresh.store.delete(&id));
        assert!(reached);
        assert_eq!(class(result), ErrorClass::Io, "{errno}");
    }
    // A FIFO opens and can be locked like a file, and is none.
    let taken = Fixture::plain();
    let (other, _) = taken.created();
    let fifo = taken.path.join(format!(".lock/{:02x}", other.key().lock_file()));
    fs::remove_file(&fifo).expect("removed");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("made");
    let fresh = sessiondir::Options::new().open(&taken.path).expect("opened");
    assert_eq!(class(fresh.update(&other, &mut |_| Ok(()))), ErrorClass::Io);
    fs::remove_file(&lock).expect("removed");
    touch(&f).expect("made again");
    assert!(lock.exists() && fs::metadata(&lock).expect("there").len() == 0);
}

/// Exercises DIR-2.
#[test]
fn the_lock_files_are_on_disk_before_the_marker_is() {
    let f = Fixture::plain();
    let made = f.outside().join("made");
    let (result, calls) = calls(|| sessiondir::init(&made, &f.options()));
    result.expect("made");
    let at = |which: &dyn Fn(&(Op, String)) -> bool| calls.iter().position(which).expect("called");
    let last_lock = calls.iter().rposition(|(op, _)| *op == Op::Lock).expect("locked");
    let locks_synced = at(&|(op, path)| *op == Op::SyncDir && path == ".lock");
    let marker_synced = at(&|(op, _)| *op == Op::Sync);
    let renamed = at(&|(op, path)| *op == Op::Rename && path == ".sessiondir");
    let synced = at(&|(op, path)| *op == Op::SyncDir && path.is_empty());
    let first_unlock = at(&|(op, _)| *op == Op::Unlock);
    let order = [last_lock, locks_synced, marker_synced, renamed, synced, first_unlock];
    assert!(order.is_sorted(), "{order:?}: {calls:?}");
}

/// Exercises DIR-7.
#[test]
fn a_folding_directory_is_refused() {
    let f = Fixture::plain();
    // The seam can refuse a call, but not make one succeed: what can be forced is that the look fails.
    let (opened, reached) =
        failing(|call| call.op == Op::Statfs, 1, true, Errno::EIO, || f.options().open(&f.path).map(drop));
    assert!(reached);
    assert_eq!(class(opened), ErrorClass::Io);
    // A directory that folds case would find lock file 0a as 0A.
    fs::write(f.path.join(".lock/0A"), "").expect("written");
    assert_eq!(class(f.options().open(&f.path)), ErrorClass::UnsafeDirectory);
    let hashed = Fixture::new(Naming::Hashed, Durability::Power);
    fs::write(hashed.path.join(".lock/0A"), "").expect("written");
    hashed.options().open(&hashed.path).expect("case does not matter to it");
}

/// Exercises CHK-3.
#[test]
fn a_checker_beside_a_deletion() {
    let f = Fixture::plain();
    let (id, _) = f.created();
    let (file, mut once) = (f.file(&id), Some(()));
    let hook = seam::install(move |call| {
        if call.op == Op::Open
            && call.path == file.file_name().expect("named").to_string_lossy()
            && once.take().is_some()
        {
            fs::remove_file(&file).expect("removed");
        }
        None
    });
    f.assert_clean();
    drop(hook);
    assert!(!f.file(&id).exists());
}

/// Exercises CHK-3.
#[test]
fn a_checker_beside_somebody_who_tidies_up() {
    let f = Fixture::plain();
    f.created();
    let (file, dir) = (f.path.join("a-note.txt"), f.path.join("AAAAAAAAAAAAAAAAAAAAAA"));
    let make = || {
        fs::write(&file, "").expect("written");
        fs::create_dir(&dir).expect("made");
    };
    make();
    let mut found = f.finding_names();
    found.sort_unstable();
    assert_eq!(found, ["foreign", "not-regular"]);
    // They go after the directory has been listed, at the latest when the checker looks at one of them.
    let (gone, mut listed) = ([file.clone(), dir.clone()], 0);
    let hook = seam::install(move |call| {
        let of_these = call.op == Op::Stat && gone.iter().any(|path| path.ends_with(call.path));
        listed += usize::from(call.op == Op::ReadDir);
        if listed == 2 && (of_these || call.op == Op::Open) {
            let _ = fs::remove_file(&gone[0]);
            let _ = fs::remove_dir(&gone[1]);
        }
        None
    });
    f.assert_clean();
    drop(hook);
    assert!(!file.exists() && !dir.exists());
}

/// A writer that ends between a checker's first look and its lock.
fn written_before_the_lock(file: std::path::PathBuf, bytes: Vec<u8>) -> seam::Installed {
    seam::install(move |call| {
        if call.op == Op::Lock {
            fs::write(&file, &bytes).expect("written");
        }
        None
    })
}

/// Exercises CHK-2.
#[test]
fn a_checker_beside_a_write() {
    let f = Fixture::plain();
    let (id, mut session) = f.created();
    session.insert("n", &1).expect("fits");
    f.store.save(&mut session).expect("saved");
    let good = fs::read(f.file(&id)).expect("its file");
    let mut torn = good.clone();
    torn[4096 + 40] ^= 1;
    fs::write(f.file(&id), &torn).expect("written");
    let hook = written_before_the_lock(f.file(&id), good);
    f.assert_clean();
    drop(hook);
    fs::write(f.file(&id), &torn).expect("written");
    assert_eq!(f.finding_names(), ["damaged-slot"]);
}

/// Exercises CHK-2. Of what is no byte: a session is created over a file that was left empty.
#[test]
fn a_checker_beside_a_creation_over_a_stillborn_file() {
    let f = Fixture::new(Naming::Plain, Durability::Process);
    let (id, _) = f.created();
    let (file, good) = (f.file(&id), fs::read(f.file(&id)).expect("its file"));
    fs::write(&file, "").expect("emptied");
    assert_eq!(f.finding_names(), ["stillborn"]);
    let hook = written_before_the_lock(file, good);
    f.assert_clean();
    drop(hook);
}

/// Exercises CHK-2. The lock file is not there, so there is no writer; but one comes, makes it, and ends.
#[test]
fn a_checker_beside_the_first_writer_after_a_clean_up() {
    let f = Fixture::plain();
    let (id, mut session) = f.created();
    session.insert("n", &1).expect("fits");
    f.store.save(&mut session).expect("saved");
    let (file, good) = (f.file(&id), fs::read(f.file(&id)).expect("its file"));
    let mut torn = good.clone();
    torn[4096 + 40] ^= 1;
    fs::write(&file, &torn).expect("written");
    let lock = f.path.join(format!(".lock/{:02x}", id.key().lock_file()));
    fs::remove_file(&lock).expect("removed");
    let mut looks = 0;
    let hook = seam::install(move |call| {
        looks +=
            usize::from(call.op == Op::Stat && lock.ends_with(call.path) && call.path.starts_with(".lock/"));
        if looks == 2 {
            fs::write(&lock, "").expect("made");
            fs::write(&file, &good).expect("written");
            looks += 1;
        }
        None
    });
    let names = f.finding_names();
    drop(hook);
    assert!(!names.contains(&"damaged-slot"), "{names:?}");
}

/// Exercises CHK-12. A temp whose lock is held may be at work: it is not called debris.
#[test]
fn a_checker_beside_a_creation() {
    let f = Fixture::plain();
    fs::write(f.path.join(".tmp.AAAAAAAAAAAAAAAAAAAAAA"), "half of it").expect("written");
    let (found, reached) = failing(|call| call.op == Op::Lock, 1, true, Errno::EAGAIN, || f.finding_names());
    assert!(reached);
    assert!(!found.contains(&"temp") && found.contains(&"busy"), "{found:?}");
    assert!(f.finding_names().contains(&"temp"));
}

/// Exercises CHK-6, CHK-5.
#[test]
fn a_checker_says_what_it_could_not_judge() {
    let f = Fixture::plain();
    let (id, _) = f.created();
    let (other, _) = f.created();
    let name = f.file(&id).file_name().expect("named").to_string_lossy().into_owned();
    let is_it = move |call: &seam::Call<'_>| call.op == Op::Open && call.path == name;
    let (found, _) = failing(is_it, 1, true, Errno::EACCES, || f.findings());
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].kind.name(), found[0].place.session()), ("unreadable", Some(&id)));
    // A lock that is never free.
    let mut bytes = fs::read(f.file(&other)).expect("its file");
    bytes[5000] = 1;
    fs::write(f.file(&other), &bytes).expect("written");
    let (found, _) = failing(|call| call.op == Op::Lock, 1, true, Errno::EAGAIN, || f.findings());
    assert_eq!(found.iter().map(|finding| finding.kind.name()).collect::<Vec<_>>(), ["busy"]);
    assert_eq!(f.finding_names(), ["stray-bytes"]);
}
