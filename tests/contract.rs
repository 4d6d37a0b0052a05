//! What the store on disk does of the contract beside its operations: setting up, deleting many, counting.

#[path = "support/stores.rs"]
mod support;

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use sessiondir::record::{decode_record, encode_record};
use sessiondir::seam::{self, Op};
use sessiondir::store::Deleted;
use sessiondir::{Counters, Durability, Error, ErrorClass, Naming, SessionId, SessionRef, SessionStore};
use support::{Fixture, START, class, time};

/// Exercises LOCK-5.
#[test]
fn setup_makes_the_lock_files_that_are_missing() {
    let f = Fixture::plain();
    let (id, mut session) = f.created();
    let lock = |index: u8| f.path.join(format!(".lock/{index:02x}"));
    let held = id.key().lock_file();
    f.assert_clean();
    let before = fs::metadata(lock(0)).expect("there").ino();
    for index in std::collections::BTreeSet::from([held, 7, 0x3f]) {
        fs::remove_file(lock(index)).expect("removed");
    }
    f.store.setup().expect("set up");
    f.assert_clean();
    for index in 0..64 {
        let made = fs::metadata(lock(index)).expect("there");
        assert_eq!((made.len(), made.mode() & 0o7777), (0, 0o600));
    }
    assert!(held == 0 || fs::metadata(lock(0)).expect("there").ino() == before, "what is there is left");
    // The handle that had the old file open locks the new one: another store is denied what it holds.
    let other = f.options().patience(Duration::ZERO).open(&f.path).expect("opens");
    session.insert("n", &1).expect("fits");
    f.store.save(&mut session).expect("saved");
    f.store
        .update(&id, &mut |_| {
            std::thread::scope(|scope| {
                let busy = scope.spawn(|| class(other.delete(&id)));
                assert_eq!(busy.join().expect("no panic"), ErrorClass::Busy);
                // Setting up beside a holder takes nothing from him.
                scope.spawn(|| f.store.setup().expect("set up")).join().expect("no panic");
            });
            assert_eq!(class(f.store.setup()), ErrorClass::Reentrant);
            Ok(())
        })
        .expect("nothing changed");
    // Where nothing is missing it only looks.
    let others = std::rc::Rc::new(Cell::new(0));
    let counted = std::rc::Rc::clone(&others);
    let hook = seam::install(move |call| {
        counted.set(counted.get() + u32::from(call.op != Op::Stat));
        None
    });
    f.store.setup().expect("set up");
    drop(hook);
    assert_eq!(others.get(), 0);
}

#[test]
fn what_setup_cannot_mend() {
    let f = Fixture::plain();
    let taken = f.path.join(".lock/05");
    fs::remove_file(&taken).expect("removed");
    symlink("nowhere", &taken).expect("a link");
    let error = f.store.setup().expect_err("it is no lock file");
    assert_eq!(error.class(), ErrorClass::Io);
    assert!(error.to_string().contains(".lock/05 is not a regular file; move it away"), "{error}");
    assert!(fs::symlink_metadata(&taken).expect("there").is_symlink(), "it is left alone");
    fs::remove_file(&taken).expect("removed");
    let read_only = f.options().read_only(true).open(&f.path).expect("opens");
    assert_eq!(class(read_only.setup()), ErrorClass::Io);
    assert!(!taken.exists());
    let hook = seam::install(|call| (call.op == Op::Open).then_some(Errno::ENOSPC as i32));
    assert_eq!(class(f.store.setup()), ErrorClass::NoSpace);
    drop(hook);
    f.store.setup().expect("set up");
    assert!(taken.exists());
    fs::remove_dir_all(f.path.join(".lock")).expect("removed");
    assert_eq!(class(f.store.setup()), ErrorClass::NotAStore);
    // With group sharing the group can use what is made, whatever the umask.
    let f = Fixture::plain();
    fs::set_permissions(&f.path, fs::Permissions::from_mode(0o770)).expect("changed");
    let shared = f.options().group(true).open(&f.path).expect("opens");
    fs::remove_file(f.path.join(".lock/05")).expect("removed");
    shared.setup().expect("set up");
    assert_eq!(fs::metadata(f.path.join(".lock/05")).expect("there").mode() & 0o7777, 0o660);
}

fn deleted(done: sessiondir::Result<Deleted>) -> (u64, u64, u64) {
    let done = done.expect("it deletes what it can");
    (done.deleted, done.remaining, done.failed)
}

/// Exercises COLL-2, COLL-3.
#[test]
fn old_sessions_are_those_of_more_than_so_many_minutes() {
    Fixture::each(|f| {
        let (id, _) = f.created();
        f.advance(30 * 60_000);
        assert_eq!(deleted(f.store.delete_old_sessions(30)), (0, 1, 0), "not more than 30");
        f.advance(1);
        // The last is one that would be 8 seconds, were it multiplied without care.
        for minutes in [31, u64::MAX, 307_445_734_561_826] {
            assert_eq!(deleted(f.store.delete_old_sessions(minutes)), (0, 1, 0));
        }
        assert_eq!(deleted(f.store.delete_old_sessions(30)), (1, 0, 0));
        assert!(!f.file(&id).exists());
        // The expired too, whatever their age.
        let (expired, mut session) = f.created();
        session.set_expires(Some(time(START)));
        f.store.save(&mut session).expect("saved");
        let (live, _) = f.created();
        assert_eq!(deleted(f.store.delete_old_sessions(u64::MAX)), (1, 1, 0));
        assert!(!f.file(&expired).exists() && f.file(&live).exists());
        // A clock that was set back makes nobody old.
        f.set_time(START - 1_000_000_000);
        assert_eq!(deleted(f.store.delete_old_sessions(0)), (0, 1, 0));
        assert_eq!(f.finding_names(), ["future-access"]);
    });
}

/// Exercises COLL-2, COLL-3.
#[test]
fn what_cannot_be_read_is_left_counted_and_ends_nothing() {
    Fixture::each(|f| {
        let ids: Vec<_> = (0..8).map(|_| f.created().0).collect();
        // Corrupt, of a newer version, not to be opened, and no file at all.
        let [corrupt, newer, closed] = [&ids[0], &ids[1], &ids[2]];
        fs::write(f.file(corrupt), "no session").expect("written");
        let mut bytes = fs::read(f.file(newer)).expect("its file");
        let end = record_length(&bytes[..4096]);
        bytes[9] = 2;
        let digest_at = end - 34;
        let digest: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&bytes[..digest_at]).into();
        bytes[digest_at + 2..end].copy_from_slice(&digest);
        fs::write(f.file(newer), &bytes).expect("written");
        let foreign = f.file(&SessionRef::from(SessionId::generate().expect("an ID")));
        fs::create_dir(&foreign).expect("a directory");
        fs::write(f.path.join("README~"), "foreign").expect("written");
        assert_eq!(class(f.store.load(newer)), ErrorClass::Unsupported);

        let name = f.file(closed).file_name().expect("named").to_string_lossy().into_owned();
        let hook = seam::install(move |call| {
            (call.op == Op::Open && call.path == name).then_some(Errno::EACCES as i32)
        });
        f.advance(1);
        assert_eq!(deleted(f.store.delete_where(&|_| true)), (5, 0, 3));
        assert_eq!(deleted(f.store.delete_old_sessions(0)), (0, 0, 3));
        drop(hook);
        for left in [corrupt, newer, closed] {
            assert!(f.file(left).exists());
        }
        assert!(foreign.is_dir() && f.path.join("README~").exists());
        assert_eq!(deleted(f.store.delete_old_sessions(0)), (1, 0, 2));
    });
}

#[test]
fn the_expired_and_the_stillborn_among_many() {
    let f = Fixture::new(Naming::Plain, Durability::Process);
    let (expired, mut session) = f.created();
    session.set_expires(Some(time(START)));
    f.store.save(&mut session).expect("saved");
    let stillborn = f.path.join("AAAAAAAAAAAAAAAAAAAAAA");
    fs::write(&stillborn, "").expect("written");
    fs::set_permissions(&stillborn, fs::Permissions::from_mode(0o600)).expect("changed");
    // To a deletion the expired are there; what is stillborn is no session that anybody could choose.
    assert_eq!(deleted(f.store.delete_where(&|session| session.rev() == 9)), (0, 1, 0));
    assert_eq!(deleted(f.store.delete_where(&|session| session.rev() == 2)), (1, 0, 0));
    assert!(!f.file(&expired).exists() && stillborn.exists());
    assert_eq!(deleted(f.store.delete_old_sessions(1000)), (1, 0, 0));
    assert!(!stillborn.exists());
    f.assert_clean();
}

/// Exercises COLL-1. What is touched, changed so that it is to stay, or deleted between the look and the lock.
#[test]
fn deletions_of_many_decide_again_under_the_lock() {
    Fixture::each(|f| {
        let (id, _) = f.created();
        f.advance(120_000);
        // It is asked what time it is when it has looked.
        let once = Mutex::new(Some((f.options().open(&f.path).expect("opens"), id.clone())));
        let options = f.options().clock(move || {
            if let Some((other, id)) = once.lock().expect("no panic").take() {
                assert!(other.touch(&id).expect("touched"));
            }
            time(START + 120_000)
        });
        let slow = options.open(&f.path).expect("opens");
        assert_eq!(deleted(slow.delete_old_sessions(1)), (0, 1, 0));
        assert!(f.store.has(&id).expect("looked"));

        let asked = AtomicU32::new(0);
        let in_a_thread = |change: &(dyn Fn() + Sync)| {
            if asked.fetch_add(1, Ordering::SeqCst) == 0 {
                std::thread::scope(|scope| scope.spawn(change).join()).expect("no panic");
            }
        };
        let done = f.store.delete_where(&|session| {
            in_a_thread(&|| {
                f.store
                    .update(&id, &mut |session| Ok(session.insert("keep", &true)?))
                    .map(drop)
                    .expect("updated");
            });
            !session.contains("keep")
        });
        assert_eq!((deleted(done), asked.swap(0, Ordering::SeqCst)), ((0, 1, 0), 2));
        assert!(f.store.has(&id).expect("looked"));
        // Somebody else has deleted it: it is neither deleted nor left by us.
        let done = f.store.delete_where(&|_| {
            in_a_thread(&|| assert!(f.store.delete(&id).expect("deleted")));
            true
        });
        assert_eq!((deleted(done), asked.into_inner()), ((0, 0, 0), 1));
        f.assert_clean();
    });
}

#[test]
fn a_session_that_is_being_changed_does_not_stop_a_deletion_of_many() {
    let f = Fixture::plain();
    let ids: Vec<_> = (0..5).map(|_| f.created().0).collect();
    let shares = ids.iter().filter(|id| id.key().lock_file() == ids[0].key().lock_file()).count() as u64;
    f.store
        .update(&ids[0], &mut |_| {
            std::thread::scope(|scope| {
                let done = scope.spawn(|| deleted(f.store.delete_where(&|_| true)));
                assert_eq!(done.join().expect("no panic"), (5 - shares, 0, shares));
            });
            Ok(())
        })
        .expect("nothing changed");
    assert!(f.store.has(&ids[0]).expect("looked"));
}

#[test]
fn who_may_not_change_a_store_deletes_nothing() {
    let f = Fixture::plain();
    f.created();
    let read_only = f.options().read_only(true).open(&f.path).expect("opens");
    let marker = f.path.join(".sessiondir");
    let text = fs::read_to_string(&marker).expect("read").replace("write 1", "write 2") + "more 7\n";
    fs::write(&marker, text).expect("written");
    let newer = f.options().open(&f.path).expect("can be read");
    for (store, expected) in [(read_only, ErrorClass::Io), (newer, ErrorClass::Unsupported)] {
        assert_eq!(class(store.delete_old_sessions(0)), expected);
        assert_eq!(class(store.delete_where(&|_| panic!("not asked"))), expected);
        assert_eq!(class(store.setup()), expected);
    }
    assert_eq!(f.store.iter_sessions().expect("lists").count(), 1);
}

/// A function that panics where it decides under the lock leaves the lock free, and the thread out of it.
#[test]
fn what_decides_may_panic_under_the_lock() {
    Fixture::each(|f| {
        let (id, _) = f.created();
        let asked = AtomicU32::new(0);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            f.store.delete_where(&|_| match asked.fetch_add(1, Ordering::SeqCst) {
                0 => true,
                _ => std::panic::resume_unwind(Box::new("as expected")),
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(asked.into_inner(), 2, "once without and once under the lock");
        let impatient = f.options().patience(Duration::ZERO).open(&f.path).expect("opens");
        impatient.update(&id, &mut |s| Ok(s.insert("n", &5)?)).expect("the lock is free");
        assert_eq!(f.n(&id), 5);
        f.assert_clean();
    });
}

/// By how much the counters have moved while `run` ran.
fn moved<T>(f: &Fixture, run: impl FnOnce() -> T) -> (T, [u64; 5]) {
    let numbers = |c: Counters| [c.fallback_reads, c.second_reads, c.busy_waits, c.conflicts, c.gone];
    let before = numbers(f.store.counters());
    let result = run();
    let after = numbers(f.store.counters());
    (result, std::array::from_fn(|n| after[n] - before[n]))
}

const NOTHING: [u64; 5] = [0; 5];

#[test]
fn nothing_is_counted_where_all_is_well() {
    Fixture::each(|f| {
        let ((), counted) = moved(&f, || {
            let (id, mut session) = f.created();
            for n in 1..5 {
                session.insert("n", &n).expect("fits");
                f.store.save(&mut session).expect("saved");
                assert_eq!(f.n(&id), n);
                f.advance(100_000);
                assert!(f.store.touch(&id).expect("touched"));
            }
            session.insert("big", &"x".repeat(9000)).expect("fits");
            f.store.save(&mut session).expect("replaced");
            f.store.update(&id, &mut |s| Ok(s.insert("n", &9)?)).expect("updated");
            let mut session = f.store.load(&id).expect("loads").expect("is there");
            let id = f.store.rotate(&mut session).expect("rotated").into();
            assert_eq!(f.store.iter_sessions().expect("lists").count(), 1);
            f.store.delete_where(&|_| false).expect("nothing deleted");
            assert!(f.store.delete(&id).expect("deleted"));
            assert!(f.store.load(&id).expect("loads").is_none() && !f.store.delete(&id).expect("idempotent"));
            // An update's own error is the caller's affair.
            let (id, _) = f.created();
            let failed = f.store.update(&id, &mut |_| Err(Error::Gone { session: id.shown() }));
            assert_eq!(class(failed), ErrorClass::Gone);
        });
        assert_eq!(counted, NOTHING);
    });
}

/// Exercises READ-4, SLOT-7.
#[test]
fn second_reads_and_fallbacks_are_counted() {
    Fixture::each(|f| {
        let (id, mut session) = f.created();
        session.insert("n", &1).expect("fits");
        f.store.save(&mut session).expect("saved");
        let good = fs::read(f.file(&id)).expect("its file");
        // Seq 2 stands in slot 0, seq 3 in slot 1: the newer one.
        let damaged = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            fs::write(f.file(&id), bytes).expect("written");
        };
        let load = || moved(&f, || f.n(&id));
        damaged(40);
        assert_eq!(load(), (1, NOTHING), "the older record is of no interest");
        damaged(4096 + 40);
        assert_eq!(load(), (0, [1, 1, 0, 0, 0]), "the older one is the answer");
        damaged(4096 + 3);
        assert_eq!(load(), (0, [1, 1, 0, 0, 0]), "and cannot even be told to be newer");
        damaged(3);
        assert_eq!(load(), (1, [1, 1, 0, 0, 0]), "it may have been the newer one");
        // Seqs that are not adjacent: a second look, and the newer one is the answer.
        let (_, newer) = decode_record(&good[4096..][..record_length(&good[4096..])]).expect("a record");
        let record = encode_record(5, &newer).expect("encodes");
        let mut bytes = good.clone();
        bytes[4096..].fill(0);
        bytes[4096..4096 + record.len()].copy_from_slice(&record);
        fs::write(f.file(&id), &bytes).expect("written");
        assert_eq!(load(), (1, [0, 1, 0, 0, 0]));
        // A writer reads too, and its record takes the place of the damaged one.
        damaged(4096 + 40);
        let (_, counted) =
            moved(&f, || f.store.update(&id, &mut |s| Ok(s.insert("n", &7)?)).expect("updated"));
        assert_eq!(counted, [1, 1, 0, 0, 0]);
        assert_eq!(load(), (7, NOTHING));
        // Each handle counts for itself.
        let other = f.options().open(&f.path).expect("opens");
        assert_eq!(other.counters(), Counters::default());
    });
}

/// The length of the record at the start of a slot.
fn record_length(slot: &[u8]) -> usize {
    (1..slot.len()).find(|&end| decode_record(&slot[..end]).is_ok()).expect("a record")
}

/// A second read that shows that what was taken is not current any more.
#[test]
fn a_second_read_that_fails_is_no_fallback() {
    // Where durability is `power` the first save would replace the file, and the reader has the old one.
    let f = Fixture::new(Naming::Plain, Durability::Process);
    let (id, mut session) = f.created();
    session.insert("n", &1).expect("fits");
    f.store.save(&mut session).expect("saved");
    let mut torn = fs::read(f.file(&id)).expect("its file");
    torn[4096 + 40] ^= 1;
    fs::write(f.file(&id), &torn).expect("written");
    let mut once = Some((f.options().open(&f.path).expect("opens"), id.clone()));
    let hook = seam::install(move |call| {
        if call.op == Op::Pread
            && let Some((other, id)) = once.take()
        {
            for n in [10, 11] {
                other.update(&id, &mut |s| Ok(s.insert("n", &n)?)).expect("updated");
            }
        }
        None
    });
    assert_eq!(moved(&f, || f.n(&id)), (11, [0, 1, 0, 0, 0]));
    drop(hook);
}

/// A touch that is not due does not wait for whoever holds the lock; one that is due does, and counts it once.
#[test]
fn a_touch_that_is_not_due_waits_for_nobody() {
    let f = Fixture::plain();
    let (id, _) = f.created();
    let touch_while_held = || {
        let mut touched = None;
        f.store
            .update(&id, &mut |_| {
                std::thread::scope(|scope| {
                    let touch = scope.spawn(|| moved(&f, || f.store.touch(&id)));
                    touched = Some(touch.join().expect("no panic"));
                });
                Ok(())
            })
            .expect("nothing changed");
        touched.expect("it came back")
    };
    let (touched, counted) = touch_while_held();
    assert!(!touched.expect("not due"));
    assert_eq!(counted, [0; 5]);
    f.advance(100_000);
    let (touched, counted) = touch_while_held();
    assert_eq!(class(touched), ErrorClass::Busy);
    assert_eq!(counted, [0, 0, 1, 0, 0]);
    assert!(f.store.touch(&id).expect("touched"));
}

/// Exercises LOCK-10.
#[test]
fn locks_that_were_not_free_are_counted_once_each() {
    let f = Fixture::plain();
    let (id, _) = f.created();
    // The kernel says no so many times: another process has it.
    for denials in [0, 1, 5] {
        let left = Cell::new(denials);
        let hook = seam::install(move |call| {
            let denied = call.op == Op::Lock && left.get() > 0;
            left.set(left.get() - i32::from(denied));
            denied.then_some(Errno::EAGAIN as i32)
        });
        let (updated, counted) = moved(&f, || f.store.update(&id, &mut |_| Ok(())));
        drop(hook);
        updated.expect("got it");
        assert_eq!(counted, [0, 0, u64::from(denials > 0), 0, 0]);
    }
    // Another thread has it, and keeps it for longer than anybody waits, or not.
    f.store
        .update(&id, &mut |_| {
            std::thread::scope(|scope| {
                let waits = scope.spawn(|| moved(&f, || class(f.store.delete(&id))));
                assert_eq!(waits.join().expect("no panic"), (ErrorClass::Busy, [0, 0, 1, 0, 0]));
            });
            Ok(())
        })
        .expect("nothing changed");
    let patient = f.options().patience(Duration::from_secs(60)).open(&f.path).expect("opens");
    std::thread::scope(|scope| {
        f.store
            .update(&id, &mut |_| {
                scope.spawn(|| assert!(patient.delete(&id).expect("deleted")));
                while patient.counters().busy_waits == 0 {
                    std::thread::yield_now();
                }
                Ok(())
            })
            .expect("nothing changed");
    });
    assert_eq!(patient.counters().busy_waits, 1);
}

#[test]
fn refusals_are_counted_once_each() {
    Fixture::each(|f| {
        let (id, session) = f.created();
        f.store.update(&id, &mut |s| Ok(s.insert("n", &1)?)).expect("updated");
        let changed = || {
            let mut stale = session.clone();
            stale.insert("n", &2).expect("fits");
            stale
        };
        let refused = |expected, run: &dyn Fn() -> sessiondir::Result<()>| {
            let (result, counted) = moved(&f, run);
            assert_eq!(class(result), expected);
            counted
        };
        let conflict = [0, 0, 0, 1, 0];
        assert_eq!(refused(ErrorClass::Conflict, &|| f.store.save(&mut changed())), conflict);
        assert_eq!(refused(ErrorClass::Conflict, &|| f.store.rotate(&mut changed()).map(drop)), conflict);
        let taken = id.id().expect("an ID").clone();
        assert_eq!(refused(ErrorClass::Conflict, &|| f.store.insert(&taken, &mut changed())), conflict);
        let gone = [0, 0, 0, 0, 1];
        let gone_each = |f: &Fixture| {
            let refused = |run: &dyn Fn() -> sessiondir::Result<()>| {
                let (result, counted) = moved(f, run);
                assert_eq!((class(result), counted), (ErrorClass::Gone, gone));
            };
            refused(&|| f.store.save(&mut changed()));
            refused(&|| f.store.rotate(&mut changed()).map(drop));
            refused(&|| f.store.touch(&id).map(drop));
            refused(&|| f.store.update(&id, &mut |_| Ok(())).map(drop));
        };
        // Expired, and then deleted.
        f.store
            .update(&id, &mut |s| {
                s.set_expires(Some(time(START)));
                Ok(())
            })
            .expect("updated");
        gone_each(&f);
        f.store.delete(&id).expect("deleted");
        gone_each(&f);
    });
}
