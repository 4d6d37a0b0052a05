//! The store's operations, one by one: SPEC.md section 10.

#[path = "support/stores.rs"]
mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::Duration;

use sessiondir::record::{decode_record, encode_record};
use sessiondir::store::set_durability;
use sessiondir::sweep::SweepOptions;
use sessiondir::{
    DirectoryStore, Durability, Error, ErrorClass, Naming, Options, Session, SessionId, SessionRef,
    SessionStore,
};
use support::{Fixture, START, class, time};

/// Exercises NAME-5, NAME-6, WRITE-2, ROT-3, DEL-2.
#[test]
fn a_session_lives_and_dies() {
    Fixture::each(|f| {
        let (id, created) = f.created();
        assert_eq!(created.rev(), 1);
        assert!(f.file(&id).is_file());
        let mut session = f.store.load(&id).expect("loads").expect("is there");
        assert_eq!(session, created);
        f.advance(1000);
        session.insert("n", &1).expect("fits");
        f.store.save(&mut session).expect("saved");
        assert_eq!((session.rev(), session.accessed()), (2, time(START + 1000)));
        assert_eq!(f.store.load(&id).expect("loads"), Some(session.clone()));

        let mut updated = f.store.update(&id, &mut |s| Ok(s.insert("n", &2)?)).expect("updated");
        assert_eq!((updated.rev(), f.n(&id)), (3, 2));
        session.clear();
        assert_eq!(class(f.store.save(&mut session)), ErrorClass::Conflict);
        assert_eq!(f.n(&id), 2, "a conflict changes nothing");
        f.assert_clean();

        updated.push_token("form").expect("short");
        updated.set_csrf("csrf").expect("short");
        let new = SessionRef::from(f.store.rotate(&mut updated).expect("rotated"));
        assert_ne!(new, id);
        assert_eq!(f.store.load(&id).expect("loads"), None);
        let rotated = f.store.load(&new).expect("loads").expect("is there");
        assert_eq!(rotated, updated);
        assert_eq!((rotated.created(), rotated.tokens().len(), rotated.csrf()), (time(START), 0, None));
        assert_eq!(f.n(&new), 2);
        f.assert_clean();

        assert!(f.store.delete(&new).expect("deleted"));
        assert!(!f.store.delete(&new).expect("idempotent"));
        assert_eq!(f.store.iter_sessions().expect("lists").count(), 0);
        f.assert_clean();
    });
}

/// Exercises WRITE-1.
#[test]
fn nothing_comes_back_after_a_deletion() {
    Fixture::each(|f| {
        let (id, mut session) = f.created();
        assert!(f.store.delete(&id).expect("deleted"));
        session.insert("n", &9).expect("fits");
        assert_eq!(class(f.store.save(&mut session)), ErrorClass::Gone);
        assert_eq!(class(f.store.rotate(&mut session)), ErrorClass::Gone);
        assert_eq!(class(f.store.touch(&id)), ErrorClass::Gone);
        assert_eq!(class(f.store.update(&id, &mut |_| panic!("not called"))), ErrorClass::Gone);
        assert_eq!(f.store.load(&id).expect("loads"), None);

        // Made anew under the same ID, with the same revision: still not the session that was loaded.
        let mut again = Session::at(time(START + 1), time(START + 1));
        f.store.insert(id.id().expect("an ID"), &mut again).expect("inserted");
        assert_eq!(class(f.store.save(&mut session)), ErrorClass::Conflict);
        f.assert_clean();
    });
}

/// Exercises WRITE-9.
#[test]
fn saving_without_a_change_writes_nothing() {
    Fixture::each(|f| {
        let (id, mut session) = f.created();
        let before = fs::read(f.file(&id)).expect("its file");
        f.advance(100_000);
        f.store.save(&mut session).expect("saved");
        f.store.update(&id, &mut |s| Ok(s.insert("n", &0)?)).expect("updated");
        assert_eq!(fs::read(f.file(&id)).expect("its file"), before);
    });
}

/// An update's function can put anything in the place of the session but another name.
#[test]
fn an_update_keeps_the_sessions_name() {
    Fixture::each(|f| {
        let ((a, _), (b, other)) = (f.created(), f.created());
        let mut copy = other.clone();
        copy.insert("n", &7).expect("fits");
        let updated = f.store.update(&a, &mut |session| {
            *session = copy.clone();
            Ok(())
        });
        assert_eq!(updated.expect("updated").reference(), Some(&a));
        assert_eq!((f.n(&a), f.n(&b)), (7, 0));
        f.store
            .update(&a, &mut |session| {
                *session = Session::new();
                Ok(())
            })
            .expect("emptied");
        let emptied = f.store.load(&a).expect("loads").expect("is there");
        assert_eq!((emptied.rev(), emptied.has_info(), emptied.created()), (3, false, time(START)));
        f.assert_clean();
    });
}

#[test]
fn patience_without_end() {
    let f = Fixture::plain();
    let (id, _) = f.created();
    let store = f.options().patience(Duration::MAX).open(&f.path).expect("opens");
    store.update(&id, &mut |s| Ok(s.insert("n", &1)?)).expect("updated");
    let mut session = store.load(&id).expect("loads").expect("is there");
    let id = store.rotate(&mut session).expect("rotated").into();
    // It waits, too.
    let (held, is_held) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let hold = |_: &mut Session| {
                held.send(()).expect("heard");
                std::thread::sleep(Duration::from_millis(50));
                Ok(())
            };
            f.store.update(&id, &mut { hold }).expect("updated");
        });
        is_held.recv().expect("held");
        store.update(&id, &mut |s| Ok(s.insert("n", &2)?)).expect("updated");
    });
    f.assert_clean();
}

/// Exercises WRITE-10, ERR-2.
#[test]
fn an_update_that_fails_changes_nothing() {
    Fixture::each(|f| {
        let (id, _) = f.created();
        let before = fs::read(f.file(&id)).expect("its file");
        let failed = f.store.update(&id, &mut |s| {
            s.clear();
            Err(Error::Reentrant)
        });
        assert_eq!(class(failed), ErrorClass::Reentrant);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            f.store.update(&id, &mut |s| {
                s.clear();
                panic!("as expected")
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(fs::read(f.file(&id)).expect("its file"), before);
        // The lock is free, and the thread is out of the update.
        f.store.update(&id, &mut |s| Ok(s.insert("n", &5)?)).expect("updated");
        assert_eq!(f.n(&id), 5);
    });
}

#[test]
fn calls_from_within_an_update_are_refused() {
    let f = Fixture::plain();
    let (id, session) = f.created();
    let other = Options::new().open(&f.path).expect("the same store");
    f.store
        .update(&id, &mut |_| {
            let mut copy = session.clone();
            assert_eq!(class(f.store.load(&id)), ErrorClass::Reentrant);
            assert_eq!(class(f.store.create(&mut copy)), ErrorClass::Reentrant);
            assert_eq!(class(f.store.save(&mut copy)), ErrorClass::Reentrant);
            assert_eq!(class(f.store.update(&id, &mut |_| Ok(()))), ErrorClass::Reentrant);
            assert_eq!(class(f.store.touch(&id)), ErrorClass::Reentrant);
            assert_eq!(class(f.store.rotate(&mut copy)), ErrorClass::Reentrant);
            assert_eq!(class(f.store.delete(&id)), ErrorClass::Reentrant);
            assert_eq!(class(f.store.has(&id)), ErrorClass::Reentrant);
            assert_eq!(class(f.store.iter_sessions().map(Iterator::count)), ErrorClass::Reentrant);
            assert_eq!(class(other.load(&id)), ErrorClass::Reentrant);
            assert_eq!(class(other.references().map(Iterator::count)), ErrorClass::Reentrant);
            assert_eq!(class(f.store.sweep(&SweepOptions::default())), ErrorClass::Reentrant);
            let set = set_durability(&f.path, &f.options(), Durability::Process);
            assert_eq!(class(set), ErrorClass::Reentrant);
            let checked = sessiondir::check::check(&f.path, &f.options(), &mut |_| {});
            assert_eq!(class(checked), ErrorClass::Reentrant);
            assert_eq!(
                class(sessiondir::init(f.outside().join("t"), &Options::new())),
                ErrorClass::Reentrant
            );
            Ok(())
        })
        .expect("nothing changed");
}

/// Exercises WRITE-16, WRITE-17.
#[test]
fn a_touch_moves_accessed_and_nothing_else() {
    Fixture::each(|f| {
        let (id, mut session) = f.created();
        session.set_expires(Some(time(START + 10_000_000)));
        f.store.save(&mut session).expect("saved");
        f.advance(59_999);
        assert!(!f.store.touch(&id).expect("touched"), "within the resolution");
        f.advance(1);
        assert!(f.store.touch(&id).expect("touched"));
        let touched = f.store.load(&id).expect("loads").expect("is there");
        assert_eq!((touched.rev(), touched.accessed()), (session.rev(), time(START + 60_000)));
        assert_eq!(touched.expires(), Some(time(START + 10_000_000)));
        assert_eq!(touched.get::<u64>("n").expect("a number"), Some(0));
        // A save that is based on the revision before the touch is no conflict.
        session.insert("n", &1).expect("fits");
        f.store.save(&mut session).expect("saved");
        assert_eq!(session.accessed(), time(START + 60_000));
        // At most a tenth of `idle`.
        session.set_idle(Some(Duration::from_secs(100))).expect("in range");
        f.store.save(&mut session).expect("saved");
        f.advance(9_999);
        assert!(!f.store.touch(&id).expect("touched"));
        f.advance(1);
        assert!(f.store.touch(&id).expect("touched"));
        f.assert_clean();
    });
}

/// Exercises TIME-4.
#[test]
fn file_times_decide_nothing() {
    Fixture::each(|f| {
        let (id, mut session) = f.created();
        session.set_idle(Some(Duration::from_secs(60))).expect("in range");
        f.store.save(&mut session).expect("saved");
        for days in [-10_000i64, 10_000] {
            let file = fs::File::options().write(true).open(f.file(&id)).expect("its file");
            let age = Duration::from_secs(86_400 * days.unsigned_abs());
            let now = std::time::SystemTime::now();
            file.set_modified(if days < 0 { now - age } else { now + age }).expect("set");
            assert!(f.store.has(&id).expect("looked"));
            assert_eq!(f.store.sweep(&SweepOptions::default()).expect("swept").remaining, 1);
            f.assert_clean();
        }
        f.advance(60_000);
        assert!(!f.store.has(&id).expect("looked"));
        assert_eq!(f.store.sweep(&SweepOptions::default()).expect("swept").removed, 1);
    });
}

/// Exercises TIME-3, READ-7.
#[test]
fn the_expired_are_absent_to_all_but_deletion() {
    Fixture::each(|f| {
        let (id, mut session) = f.created();
        session.set_idle(Some(Duration::from_secs(60))).expect("in range");
        f.store.save(&mut session).expect("saved");
        f.advance(59_999);
        assert!(f.store.has(&id).expect("looked"));
        f.advance(1);
        assert!(!f.store.has(&id).expect("looked"));
        assert_eq!(f.store.load(&id).expect("loads"), None);
        assert_eq!(f.store.iter_sessions().expect("lists").count(), 0);
        session.insert("n", &1).expect("fits");
        assert_eq!(class(f.store.save(&mut session)), ErrorClass::Gone);
        assert_eq!(class(f.store.touch(&id)), ErrorClass::Gone);
        assert_eq!(class(f.store.update(&id, &mut |_| Ok(()))), ErrorClass::Gone);
        assert_eq!(class(f.store.rotate(&mut session)), ErrorClass::Gone);
        f.assert_clean();
        assert!(f.store.delete(&id).expect("deleted"));
    });
}

/// Exercises NAME-7.
#[test]
fn a_hashed_store_never_looks_for_a_plain_name() {
    let f = Fixture::new(Naming::Hashed, Durability::Power);
    let plain = Fixture::plain();
    let (id, _) = plain.created();
    fs::copy(plain.file(&id), f.path.join(id.id().expect("an ID").expose())).expect("copied");
    assert_eq!(f.store.load(&id).expect("loads"), None);
    assert_eq!(f.finding_names(), ["foreign"]);
    // By its key it is found, as long as it is there.
    let (id, session) = f.created();
    let key = SessionRef::from(id.key());
    let loaded = f.store.load(&key).expect("loads").expect("is there");
    assert_eq!((loaded.id(), loaded.rev()), (None, session.rev()));
    assert!(f.store.delete(&key).expect("deleted"));
    assert_eq!(f.store.load(&id).expect("loads"), None);
    // A plain store knows nothing by its key.
    let (id, _) = plain.created();
    assert_eq!(class(plain.store.load(&id.key().into())), ErrorClass::InvalidId);
}

/// Exercises NAME-10, NAME-11, DIR-8, READ-2.
#[test]
fn what_is_no_file_is_left_alone() {
    let f = Fixture::plain();
    let secret = f.outside().join("secret");
    fs::write(&secret, "untouched").expect("written");
    let taken = |name: &str| SessionRef::from(SessionId::new(name).expect("an ID"));
    symlink(&secret, f.path.join("aLinkToAFile")).expect("a link");
    symlink("nowhere", f.path.join("aLinkToNowhere")).expect("a link");
    fs::create_dir(f.path.join("aDirectoryHere")).expect("a directory");
    nix::unistd::mkfifo(&f.path.join("aFifoIsHere"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    let socket = std::os::unix::net::UnixListener::bind(f.path.join("aSocketIsHere")).expect("a socket");
    fs::write(f.path.join("README.txt"), "foreign").expect("written");
    let names = f.names();
    for name in ["aLinkToAFile", "aLinkToNowhere", "aDirectoryHere", "aFifoIsHere", "aSocketIsHere"] {
        let id = taken(name);
        assert_eq!(class(f.store.load(&id)), ErrorClass::Corrupt, "{name}");
        assert_eq!(class(f.store.touch(&id)), ErrorClass::Corrupt, "{name}");
        assert_eq!(class(f.store.update(&id, &mut |_| Ok(()))), ErrorClass::Corrupt, "{name}");
        assert_eq!(class(f.store.delete(&id)), ErrorClass::Corrupt, "{name}");
        let mut session = Session::new();
        assert_eq!(
            class(f.store.insert(id.id().expect("an ID"), &mut session)),
            ErrorClass::Corrupt,
            "{name}"
        );
    }
    f.store.sweep(&SweepOptions::default()).expect("swept");
    assert_eq!(f.names(), names);
    assert_eq!(fs::read_to_string(&secret).expect("still there"), "untouched");
    let mut found = f.finding_names();
    found.sort_unstable();
    assert_eq!(found, ["foreign", "not-regular", "not-regular", "not-regular", "not-regular", "not-regular"]);
    drop(socket);
}

/// Exercises DIR-1, DIR-2, DIR-3, DIR-9.
#[test]
fn making_a_store() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let path = tmp.path().join("s");
    assert_eq!(class(DirectoryStore::open(&path)), ErrorClass::NotAStore);
    fs::create_dir(&path).expect("made");
    assert_eq!(class(DirectoryStore::open(&path)), ErrorClass::NotAStore, "no marker");
    assert_eq!(fs::read_dir(&path).expect("listed").count(), 0, "opening makes nothing");
    // Something foreign in it.
    fs::write(path.join("a"), "").expect("written");
    assert_eq!(class(Options::new().create(true).open(&path)), ErrorClass::NotAStore);
    fs::remove_file(path.join("a")).expect("removed");
    // What an interrupted making leaves.
    fs::create_dir(path.join(".lock")).expect("made");
    fs::write(path.join(".lock/00"), "").expect("written");
    fs::write(path.join(".sessiondir.tmp"), "sess").expect("written");
    Options::new().create(true).open(&path).expect("made whole");
    assert_eq!(fs::read_dir(path.join(".lock")).expect("listed").count(), 64);
    assert!(!path.join(".sessiondir.tmp").exists());
    assert_eq!(class(sessiondir::init(&path, &Options::new())), ErrorClass::NotAStore, "there is one");
    // A lock directory with something else in it is not ours.
    let other = tmp.path().join("t");
    fs::create_dir(&other).expect("made");
    fs::create_dir(other.join(".lock")).expect("made");
    fs::write(other.join(".lock/README"), "").expect("written");
    assert_eq!(class(Options::new().create(true).open(&other)), ErrorClass::NotAStore);
    // Without its lock directory it is no store any more.
    fs::remove_dir_all(path.join(".lock")).expect("removed");
    assert_eq!(class(DirectoryStore::open(&path)), ErrorClass::NotAStore);
}

/// The workers of a server at its first start: all of them make the store, one does, and all have it.
#[test]
fn many_make_one_store() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    for round in 0..20 {
        let path = tmp.path().join(format!("s{round}"));
        let start = std::sync::Barrier::new(6);
        let ids: Vec<SessionRef> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..6)
                .map(|worker| {
                    let naming = if worker % 2 == 0 { Naming::Plain } else { Naming::Hashed };
                    let options = Options::new().create(true).naming(naming).durability(Durability::Process);
                    let (path, start) = (&path, &start);
                    scope.spawn(move || {
                        start.wait();
                        let store = options.open(path).unwrap_or_else(|error| panic!("{error}"));
                        let mut session = Session::new();
                        SessionRef::from(store.create(&mut session).expect("created"))
                    })
                })
                .collect();
            workers.into_iter().map(|worker| worker.join().expect("no panic")).collect()
        });
        let store = Options::new().open(&path).expect("opens");
        assert!(ids.iter().all(|id| store.has(id).expect("looked")), "no session was lost");
        assert!(!path.join(".sessiondir.tmp").exists());
        let mut findings = 0;
        sessiondir::check::check(&path, &Options::new(), &mut |event| {
            findings += u32::from(matches!(event, sessiondir::check::Event::Finding(_)));
        })
        .expect("checks");
        assert_eq!(findings, 0);
    }
}

/// Exercises DIR-4, DIR-6.
#[test]
fn modes_of_what_is_made_and_of_what_is_refused() {
    let mode = |path: &std::path::Path| fs::metadata(path).expect("there").mode() & 0o7777;
    let f = Fixture::plain();
    let (id, _) = f.created();
    assert_eq!(mode(&f.path), 0o700);
    assert_eq!(mode(&f.path.join(".lock")), 0o700);
    for file in [f.path.join(".sessiondir"), f.path.join(".lock/3f"), f.file(&id)] {
        assert_eq!(mode(&file), 0o600);
    }
    for (bits, refused) in [(0o720, true), (0o702, true), (0o755, false), (0o770, true)] {
        fs::set_permissions(&f.path, fs::Permissions::from_mode(bits)).expect("changed");
        match DirectoryStore::open(&f.path) {
            Err(error) => assert!(refused && error.class() == ErrorClass::UnsafeDirectory, "{error}"),
            Ok(_) => assert!(!refused, "{bits:o}"),
        }
    }
    fs::set_permissions(&f.path, fs::Permissions::from_mode(0o770)).expect("changed");
    let shared = f.options().group(true).open(&f.path).expect("group sharing");
    let mut session = Session::new();
    let id = SessionRef::from(shared.create(&mut session).expect("created"));
    assert_eq!(mode(&f.file(&id)), 0o660);
    let made = f.outside().join("shared");
    f.options().create(true).group(true).open(&made).expect("made");
    assert_eq!((mode(&made), mode(&made.join(".lock"))), (0o2770, 0o2770), "whatever the umask");
    assert_eq!((mode(&made.join(".lock/00")), mode(&made.join(".sessiondir"))), (0o660, 0o660));
    fs::set_permissions(&f.path, fs::Permissions::from_mode(0o777)).expect("changed");
    assert_eq!(class(f.options().group(true).open(&f.path)), ErrorClass::UnsafeDirectory);
}

/// Exercises MARK-3.
#[test]
fn a_store_of_a_higher_write_version_is_read_only() {
    let f = Fixture::plain();
    let (id, mut session) = f.created();
    let marker = f.path.join(".sessiondir");
    let text = fs::read_to_string(&marker).expect("read").replace("write 1", "write 2") + "more 7\n";
    fs::write(&marker, text).expect("written");
    let store = f.options().open(&f.path).expect("can be read");
    assert!(store.load(&id).expect("loads").is_some());
    session.insert("n", &1).expect("fits");
    assert_eq!(class(store.save(&mut session)), ErrorClass::Unsupported);
    assert_eq!(class(store.create(&mut session)), ErrorClass::Unsupported);
    assert_eq!(class(store.rotate(&mut session)), ErrorClass::Unsupported);
    assert_eq!(class(store.update(&id, &mut |_| Ok(()))), ErrorClass::Unsupported);
    assert_eq!(class(store.touch(&id)), ErrorClass::Unsupported);
    assert_eq!(class(store.delete(&id)), ErrorClass::Unsupported);
    assert_eq!(class(store.sweep(&SweepOptions::default())), ErrorClass::Unsupported);
    assert_eq!(class(set_durability(&f.path, &f.options(), Durability::Process)), ErrorClass::Unsupported);
    assert_eq!(f.n(&id), 0);
}

#[test]
fn a_store_opened_for_reading_only_changes_nothing() {
    let f = Fixture::plain();
    let (id, mut session) = f.created();
    let store = f.options().read_only(true).open(&f.path).expect("opens");
    assert!(store.load(&id).expect("loads").is_some());
    session.insert("n", &1).expect("fits");
    assert_eq!(class(store.save(&mut session)), ErrorClass::Io);
    assert_eq!(class(store.delete(&id)), ErrorClass::Io);
    assert_eq!(f.n(&id), 0);
    // Nor is a store made.
    let nowhere = f.outside().join("nowhere");
    let opened = f.options().read_only(true).create(true).open(&nowhere);
    assert_eq!(class(opened), ErrorClass::NotAStore);
    assert!(!nowhere.exists());
}

/// Exercises MARK-5.
#[test]
fn naming_is_kept_and_durability_can_be_set() {
    let f = Fixture::new(Naming::Hashed, Durability::Power);
    let (id, _) = f.created();
    let again = f.options().create(true).naming(Naming::Plain).open(&f.path).expect("opens");
    assert_eq!(again.marker().naming, Naming::Hashed);
    set_durability(&f.path, &f.options(), Durability::Process).expect("set");
    let marker = *f.options().open(&f.path).expect("opens").marker();
    assert_eq!((marker.naming, marker.durability), (Naming::Hashed, Durability::Process));
    assert_eq!(f.n(&id), 0);
    f.assert_clean();
}

/// Exercises MARK-6.
#[test]
fn the_marker_changes_only_while_nobody_writes() {
    let f = Fixture::plain();
    let (id, _) = f.created();
    f.store
        .update(&id, &mut |_| {
            std::thread::scope(|scope| {
                let set = scope.spawn(|| class(set_durability(&f.path, &f.options(), Durability::Process)));
                assert_eq!(set.join().expect("no panic"), ErrorClass::Busy);
            });
            Ok(())
        })
        .expect("nothing changed");
    assert_eq!(f.options().open(&f.path).expect("opens").marker().durability, Durability::Power);
    set_durability(&f.path, &f.options(), Durability::Process).expect("set");
    assert!(!f.path.join(".sessiondir.tmp").exists());
}

/// Exercises MARK-7.
#[test]
fn a_store_that_is_to_survive_power_loss_from_now_on() {
    let f = Fixture::new(Naming::Plain, Durability::Process);
    let (id, _) = f.created();
    let lost = f.path.join("AAAAAAAAAAAAAAAAAAAAAA");
    fs::write(&lost, "").expect("written");
    let other = sessiondir::seam::install({
        let syncs = std::rc::Rc::new(std::cell::Cell::new(0));
        let marker_temp = f.path.join(".sessiondir.tmp");
        move |call| {
            match call.op {
                // The session, then the directory, and only then the marker.
                sessiondir::seam::Op::Sync if syncs.get() == 0 => {
                    assert!(!marker_temp.exists());
                    syncs.set(1);
                }
                sessiondir::seam::Op::SyncDir if syncs.get() == 1 => {
                    assert!(!marker_temp.exists());
                    syncs.set(2);
                }
                sessiondir::seam::Op::Rename => assert_eq!(syncs.get(), 2),
                _ => {}
            }
            None
        }
    });
    set_durability(&f.path, &f.options(), Durability::Power).expect("set");
    drop(other);
    assert!(!lost.exists(), "it was absent, and is not to be corrupt now");
    assert_eq!(f.n(&id), 0);
    f.assert_clean();
}

/// A session's file: its two slots, and the seq of the record in each, if there is one.
fn slots(path: &std::path::Path) -> (usize, [Option<u64>; 2]) {
    let bytes = fs::read(path).expect("its file");
    let size = bytes.len() / 2;
    let seq = |slot: &[u8]| {
        // A record ends where the zeros begin; its digest may end in zeros, so try.
        let end = slot.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
        (end..(end + 8).min(slot.len() + 1))
            .find_map(|end| decode_record(&slot[..end]).ok())
            .map(|(seq, _)| seq)
    };
    (size, [seq(&bytes[..size]), seq(&bytes[size..])])
}

/// Exercises WRITE-6. Two power cuts, each within a save, and each leaving any of the blocks of 512 bytes that were being
/// written: what the second one leaves is the session before or after, and not what the first save would have made.
#[test]
fn what_one_power_cut_tore_another_does_not_make_whole() {
    for slot in [0, 1] {
        torn_twice(slot);
    }
}

/// Where the torn slot is this one.
fn torn_twice(slot: usize) {
    const BLOCK: usize = 512;
    let f = Fixture::plain();
    let mut session = Session::new();
    for key in ["a", "b", "c"] {
        session.insert(key, &key.repeat(500)).expect("fits");
    }
    let id = SessionRef::from(f.store.create(&mut session).expect("created"));
    let file = f.file(&id);
    // As a process does that was not there before the cut.
    let saved = |n: u64| {
        let store = f.options().open(&f.path).expect("opens");
        let change = &mut |session: &mut Session| {
            session.insert("b", &"B".repeat(500))?;
            Ok(session.insert("n", &n)?)
        };
        store.update(&id, change).expect("updated");
        fs::read(&file).expect("reads")
    };
    let n = |bytes: &[u8]| {
        fs::write(&file, bytes).expect("written");
        f.n(&id)
    };
    // The current record is in the one slot; what is written over, the one before in the other, ends within its fourth
    // block. Of the first three blocks two saves after that write the same.
    if slot == 1 {
        let change = &mut |session: &mut Session| Ok(session.insert("b", &"-".repeat(500))?);
        f.store.update(&id, change).expect("updated");
    }
    let before = saved(1);
    let from = slot * 4096;
    let cut = |old: &[u8], new: &[u8], written: usize| {
        let mut left = old.to_vec();
        for block in (0..4).filter(|block| written & 1 << block != 0) {
            let at = from + block * BLOCK..from + (block + 1) * BLOCK;
            left[at.clone()].copy_from_slice(&new[at]);
        }
        left
    };
    let first = saved(2);
    let differ =
        |block: usize| first[from + block * BLOCK..][..BLOCK] != before[from + block * BLOCK..][..BLOCK];
    assert_eq!([0, 1, 2, 3, 4].map(differ), [true, true, true, true, false]);
    let (mut in_place, mut replaced) = (0, 0);
    for once in 0..15 {
        let left = cut(&before, &first, once);
        assert_eq!(n(&left), 1, "{once:04b}");
        let inode = fs::metadata(&file).expect("there").ino();
        let second = saved(3);
        if fs::metadata(&file).expect("there").ino() != inode {
            replaced += 1;
            assert_eq!(f.n(&id), 3);
            continue;
        }
        in_place += 1;
        for twice in 0..16 {
            let left = cut(&left, &second, twice);
            assert_eq!(n(&left), if left == second { 3 } else { 1 }, "{once:04b}, and then {twice:04b}");
        }
    }
    assert_eq!((in_place, replaced), (1, 14), "in place where nothing had come of the first save");
    f.assert_clean();
}

/// Exercises SLOT-2, SLOT-4, SLOT-5, WRITE-6, WRITE-12, WRITE-13.
#[test]
fn records_alternate_and_files_grow_and_shrink() {
    Fixture::each(|f| {
        let (id, mut session) = f.created();
        let inode = |f: &Fixture| fs::metadata(f.file(&id)).expect("there").ino();
        assert_eq!(slots(&f.file(&id)), (4096, [Some(2), None]));
        let first = inode(&f);
        for n in 1..=4u64 {
            session.insert("n", &n).expect("fits");
            f.store.save(&mut session).expect("saved");
            let (even, odd) = if n % 2 == 0 { (n + 2, n + 1) } else { (n + 1, n + 2) };
            assert_eq!(slots(&f.file(&id)), (4096, [Some(even), Some(odd)]));
            assert_eq!(inode(&f), first, "in place");
        }
        session.insert("big", &"x".repeat(5000)).expect("fits");
        f.store.save(&mut session).expect("saved");
        assert_ne!(inode(&f), first, "a new file");
        assert_eq!(slots(&f.file(&id)), (8192, [None, Some(7)]));
        assert_eq!(f.n(&id), 4);
        // Not yet small enough to be worth a new file.
        let grown = inode(&f);
        session.insert("big", &"x".repeat(2000)).expect("fits");
        f.store.save(&mut session).expect("saved");
        assert_eq!((slots(&f.file(&id)), inode(&f)), ((8192, [Some(8), Some(7)]), grown));
        session.insert("big", &"x".repeat(100_000)).expect("fits");
        f.store.save(&mut session).expect("saved");
        assert_eq!(slots(&f.file(&id)), (131_072, [None, Some(9)]));
        session.remove("big");
        f.store.save(&mut session).expect("saved");
        assert_eq!(slots(&f.file(&id)), (4096, [Some(10), None]));
        f.assert_clean();
        // A second link, of a backup by links say, is not written through.
        let backup = f.outside().join("backup");
        fs::hard_link(f.file(&id), &backup).expect("linked");
        assert_eq!(f.finding_names(), ["hard-link"]);
        let before = fs::read(&backup).expect("its file");
        session.insert("n", &99).expect("fits");
        f.store.save(&mut session).expect("saved");
        assert_eq!(fs::read(&backup).expect("its file"), before);
        assert_eq!(f.n(&id), 99);
        f.assert_clean();
    });
}

/// Exercises REP-4, WRITE-13. A reader that has seen a record takes none that has a lower seq for the newer.
#[test]
fn a_repair_writes_the_next_record() {
    let f = Fixture::plain();
    let (id, mut session) = f.created();
    session.insert("n", &1).expect("fits");
    f.store.save(&mut session).expect("saved");
    assert_eq!(slots(&f.file(&id)), (4096, [Some(2), Some(3)]));
    fs::hard_link(f.file(&id), f.outside().join("backup")).expect("linked");
    let mended = sessiondir::repair::repair(&f.path, &f.options(), true, &mut |_| {}).expect("repaired");
    assert_eq!((mended.repaired, mended.failed), (1, 0));
    assert_eq!(slots(&f.file(&id)), (4096, [Some(4), None]));
    assert_eq!(f.store.load(&id).expect("loads"), Some(session));
    f.assert_clean();
}

/// Exercises SLOT-5, WRITE-6. To the byte.
#[test]
fn the_lengths_at_which_a_file_is_replaced() {
    let f = Fixture::plain();
    let (id, mut session) = f.created();
    let record = |session: &Session| encode_record(1, session).expect("encoded").len();
    let mut save = |length: usize| {
        session.insert("pad", &"x".repeat(1000)).expect("fits");
        let pad = 1000 + length - record(&session);
        session.insert("pad", &"x".repeat(pad)).expect("fits");
        assert_eq!(record(&session), length);
        f.store.save(&mut session).expect("saved");
        let stat = fs::metadata(f.file(&id)).expect("its file");
        (stat.len(), stat.ino())
    };
    let (size, first) = save(2000);
    assert_eq!(size, 2 * 4096);
    assert_eq!(save(4096 - 32), (2 * 4096, first));
    let (size, second) = save(4096 - 31);
    assert_eq!(size, 2 * 8192);
    assert_ne!(second, first);
    // As much smaller as is worth a file: what it saves is seven eighths.
    let (size, large) = save(16_384 - 31);
    assert_eq!(size, 2 * 32_768);
    assert_eq!(save(4096 - 31), (2 * 32_768, large));
    let (size, small) = save(4096 - 32);
    assert_eq!(size, 2 * 4096);
    assert_ne!(small, large);
    f.assert_clean();
}

/// Exercises WRITE-11, SLOT-10.
#[test]
fn creation_over_what_is_there() {
    let id = SessionId::new("AAAAAAAAAAAAAAAAAAAAAA").expect("an ID");
    for (durability, stillborn) in [(Durability::Power, false), (Durability::Process, true)] {
        let f = Fixture::new(Naming::Plain, durability);
        let mut session = Session::new();
        fs::write(f.path.join(id.expose()), "").expect("written");
        fs::set_permissions(f.path.join(id.expose()), fs::Permissions::from_mode(0o600)).expect("changed");
        if stillborn {
            assert_eq!(f.finding_names(), ["stillborn"]);
            assert_eq!(f.store.sweep(&SweepOptions::default()).expect("swept").removed, 1);
            f.assert_clean();
            fs::write(f.path.join(id.expose()), "").expect("written");
            fs::set_permissions(f.path.join(id.expose()), fs::Permissions::from_mode(0o600))
                .expect("changed");
            assert_eq!(f.store.load(&SessionRef::from(&id)).expect("loads"), None);
            f.store.insert(&id, &mut session).expect("inserted");
            assert!(f.store.load(&SessionRef::from(&id)).expect("loads").is_some());
            f.assert_clean();
        } else {
            assert_eq!(f.finding_names(), ["corrupt"]);
            assert_eq!(class(f.store.load(&SessionRef::from(&id))), ErrorClass::Corrupt);
            assert_eq!(class(f.store.insert(&id, &mut session)), ErrorClass::Corrupt);
        }
        let f = Fixture::new(Naming::Plain, durability);
        f.inserted(id.expose());
        assert_eq!(class(f.store.insert(&id, &mut session)), ErrorClass::Conflict);
    }
}

/// Exercises WRITE-12. What a killed writer left is not built on: neither its bytes, nor a file that has another name.
#[test]
fn debris_is_not_built_on() {
    Fixture::each(|f| {
        let (id, mut session) = f.created();
        let name = f.file(&id).file_name().expect("named").to_string_lossy().into_owned();
        let temp = f.path.join(format!(".tmp.{name}"));
        let elsewhere = f.outside().join("elsewhere");
        fs::write(&elsewhere, vec![0xa5; 100_000]).expect("written");
        fs::hard_link(&elsewhere, &temp).expect("linked");
        session.insert("big", &"x".repeat(9000)).expect("fits");
        f.store.save(&mut session).expect("replaced");
        assert_eq!(f.store.load(&id).expect("loads"), Some(session));
        assert_eq!(fs::metadata(f.file(&id)).expect("there").len(), 2 * 16_384);
        assert_eq!(fs::read(&elsewhere).expect("there"), vec![0xa5; 100_000]);
        assert!(!temp.exists());
        f.assert_clean();
    });
}

/// A temp that is no file is not the store's.
#[test]
fn a_foreign_temp_is_left_alone() {
    let f = Fixture::plain();
    let (id, mut session) = f.created();
    let temp = f.path.join(format!(".tmp.{}", id.id().expect("an ID").expose()));
    symlink("nowhere", &temp).expect("a link");
    session.insert("big", &"x".repeat(9000)).expect("fits");
    assert_eq!(class(f.store.save(&mut session)), ErrorClass::Io);
    assert!(f.store.delete(&id).expect("deleted"));
    f.store.sweep(&SweepOptions::default()).expect("swept");
    assert!(fs::symlink_metadata(&temp).is_ok());
    // One that is a file goes with the session: it is a copy of it.
    let (id, _) = f.created();
    let temp = f.path.join(format!(".tmp.{}", id.id().expect("an ID").expose()));
    fs::write(&temp, "a copy").expect("written");
    assert!(f.store.delete(&id).expect("deleted"));
    assert!(!temp.exists());
}

/// Exercises DEL-1.
#[test]
fn a_corrupt_session_can_be_deleted() {
    Fixture::each(|f| {
        let (id, _) = f.created();
        fs::write(f.file(&id), "no session").expect("written");
        assert_eq!(class(f.store.load(&id)), ErrorClass::Corrupt);
        assert!(f.store.delete(&id).expect("deleted"));
        assert_eq!(f.store.load(&id).expect("loads"), None);
        f.assert_clean();
    });
}

/// A save does not hash the bytes that its session was read from or written as, if they are still there. Any other it does:
/// damage since then is found, wherever it is.
///
/// Exercises SLOT-6.
#[test]
fn damage_after_a_load_or_a_save_is_found_by_the_next_save() {
    Fixture::each(|f| {
        let (id, created) = f.created();
        let loaded = || f.store.load(&id).expect("loads").expect("is there");
        let saved = || {
            let mut session = loaded();
            session.insert("n", &f.n(&id).wrapping_add(1)).expect("fits");
            f.store.save(&mut session).expect("saved");
            session
        };
        for (how, session) in [("loaded", &loaded as &dyn Fn() -> Session), ("saved", &saved)] {
            for at in 0..current_record(&f, &id).1.len() {
                let mut session = session();
                let sound = fs::read(f.file(&id)).expect("reads");
                let (index, record) = current_record(&f, &id);
                if at >= record.len() {
                    continue;
                }
                let mut damaged = sound.clone();
                damaged[index * sound.len() / 2 + at] ^= 0x10;
                fs::write(f.file(&id), &damaged).expect("damaged");
                session.insert("m", &at).expect("fits");
                let refused = class(f.store.save(&mut session));
                // Where there is an older record, that is now the current one.
                assert!([ErrorClass::Corrupt, ErrorClass::Conflict].contains(&refused), "{how}, byte {at}");
                assert_eq!(fs::read(f.file(&id)).expect("reads"), damaged, "{how}, byte {at}");
                fs::write(f.file(&id), &sound).expect("as it was");
            }
        }
        assert!(f.store.load(&id).expect("loads").expect("is there").rev() > created.rev());
    });
}

/// Exercises REC-14, BODY-16.
#[test]
fn what_is_unknown_is_kept() {
    let f = Fixture::plain();
    let (id, _) = f.created();
    let (_, record) = current_record(&f, &id);
    // Add the private entry `x.y` = [1] to the body, in its place: after the keys of four letters and before "rev"
    // would be wrong, so it goes after `rev`, its only fellow of three letters, and before `data`.
    let rev = find(&record, b"\x63rev");
    let mut body_part = record[rev..].to_vec();
    body_part.splice(5..5, *b"\x63x.y\x81\x01");
    let rebuilt = rebuild(&record, rev, &body_part, 6);
    put_record(&f, &id, &rebuilt);
    f.assert_clean();
    let mut session = f.store.load(&id).expect("loads").expect("is there");
    session.insert("n", &1).expect("fits");
    f.store.save(&mut session).expect("saved");
    f.advance(100_000);
    assert!(f.store.touch(&id).expect("touched"));
    let (_, record) = current_record(&f, &id);
    assert!(record.windows(6).any(|w| w == b"\x63x.y\x81\x01"));
    f.assert_clean();
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).position(|w| w == what).expect("it is there")
}

fn current_record(f: &Fixture, id: &SessionRef) -> (usize, Vec<u8>) {
    let bytes = fs::read(f.file(id)).expect("its file");
    let (size, seqs) = slots(&f.file(id));
    let index = usize::from(seqs[1] > seqs[0]);
    let slot = &bytes[index * size..(index + 1) * size];
    let end = (1..=size).find(|&end| decode_record(&slot[..end]).is_ok()).expect("a record");
    (index, slot[..end].to_vec())
}

fn put_record(f: &Fixture, id: &SessionRef, record: &[u8]) {
    let (index, _) = current_record(f, id);
    let mut bytes = fs::read(f.file(id)).expect("its file");
    let size = bytes.len() / 2;
    bytes[index * size..(index + 1) * size].fill(0);
    bytes[index * size..][..record.len()].copy_from_slice(record);
    fs::write(f.file(id), bytes).expect("written");
}

/// The record with its bytes from `at` on replaced, its body `longer` bytes longer and one entry richer, and its
/// digest right.
fn rebuild(record: &[u8], at: usize, tail: &[u8], longer: u8) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut out = [&record[..at], &tail[..tail.len() - 34]].concat();
    // d9d9f7 da53455344 85 01 80 seq, then 58 length and the map's head.
    assert_eq!((out[12], out[14] >> 5), (0x58, 5));
    out[13] += longer;
    out[14] += 1;
    let digest = Sha256::digest(&out);
    out.extend([0x58, 0x20]);
    out.extend(digest);
    out
}

/// Exercises COLL-2, COLL-3, COLL-4.
#[test]
fn a_sweep_takes_what_is_due_and_nothing_else() {
    Fixture::each(|f| {
        let (live, _) = f.created();
        let (expired, mut session) = f.created();
        session.set_expires(Some(time(START + 1)));
        f.store.save(&mut session).expect("saved");
        let (corrupt, _) = f.created();
        let mut bytes = fs::read(f.file(&corrupt)).expect("its file");
        bytes[30] ^= 1;
        fs::write(f.file(&corrupt), &bytes).expect("written");
        let temp =
            f.path.join(format!(".tmp.{}", f.file(&live).file_name().expect("named").to_string_lossy()));
        fs::write(&temp, "debris").expect("written");
        fs::write(f.path.join("foreign~"), "").expect("written");
        f.advance(10);
        let dry = SweepOptions { dry_run: true, ..SweepOptions::default() };
        let names = f.names();
        let counted = f.store.sweep(&dry).expect("swept");
        assert_eq!(f.names(), names);
        let swept = f.store.sweep(&SweepOptions::default()).expect("swept");
        assert_eq!(counted, swept);
        assert_eq!((swept.removed, swept.remaining, swept.failed, swept.temps), (1, 1, 1, 1));
        assert!(!f.file(&expired).exists() && !temp.exists());
        assert!(f.file(&live).exists() && f.file(&corrupt).exists() && f.path.join("foreign~").exists());
        let idle = SweepOptions { idle: Some(Duration::ZERO), ..SweepOptions::default() };
        let swept = f.store.sweep(&idle).expect("swept");
        assert_eq!((swept.removed, swept.failed), (1, 1));
    });
}

/// Exercises SLOT-8.
#[test]
fn no_fall_back_from_a_newer_version() {
    let f = Fixture::plain();
    let (id, mut session) = f.created();
    session.insert("n", &1).expect("fits");
    f.store.save(&mut session).expect("saved");
    let (_, record) = current_record(&f, &id);
    let mut newer = record.clone();
    newer[9] = 2;
    let digest_at = newer.len() - 34;
    let rebuilt = {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(&newer[..digest_at]);
        newer[digest_at + 2..].copy_from_slice(&digest);
        newer
    };
    put_record(&f, &id, &rebuilt);
    assert_eq!(class(f.store.load(&id)), ErrorClass::Unsupported);
    assert_eq!(class(f.store.update(&id, &mut |_| Ok(()))), ErrorClass::Unsupported);
    assert_eq!(f.finding_names(), ["unsupported"]);
    assert_eq!(f.store.sweep(&SweepOptions::default()).expect("swept").failed, 1);
    assert!(f.file(&id).exists());
}

#[test]
fn the_names_are_listed_without_reading() {
    Fixture::each(|f| {
        let (id, created) = f.created();
        fs::write(f.path.join("README"), "foreign").expect("written");
        let damaged = SessionRef::from(SessionId::new("BBBBBBBBBBBBBBBBBBBBBB").expect("an ID"));
        fs::write(f.file(&damaged), "damage").expect("written");
        let mut listed: Vec<_> =
            f.store.references().expect("lists").map(|r| r.expect("listed").key()).collect();
        listed.sort_unstable();
        let mut expected = vec![id.key(), damaged.key()];
        expected.sort_unstable();
        assert_eq!(listed, expected);
        assert_eq!(created.user_encoded(), Some(&b"\x63ada"[..]));
        assert_eq!(Session::new().user_encoded(), None);
    });
}
