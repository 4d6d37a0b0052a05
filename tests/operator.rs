//! The operator's half: sweeping with limits, counting, converting. Repairs have a file of their own.

#[path = "support/stores.rs"]
mod stores;

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use sessiondir::convert::{self, convert};
use sessiondir::seam::{self, Op};
use sessiondir::sweep::{SweepEvent, SweepOptions, SweepSummary};
use sessiondir::{
    DirectoryStore, Durability, ErrorClass, Naming, Options, Session, SessionId, SessionRef, SessionStore,
};
use stores::{Fixture, START, class, time};

fn sweep(f: &Fixture, options: &SweepOptions) -> (SweepSummary, Vec<SessionRef>) {
    let mut removed = Vec::new();
    let summary = f
        .store
        .sweep_with(options, &mut |event| {
            if let SweepEvent::Removed(session) = event {
                removed.push(session.clone());
            }
        })
        .expect("swept");
    (summary, removed)
}

/// A file that is damaged where its record's digest does not hold any more.
fn damage(f: &Fixture, session: &SessionRef) {
    let mut bytes = fs::read(f.file(session)).expect("its file");
    bytes[30] ^= 1;
    fs::write(f.file(session), &bytes).expect("written");
}

/// Makes the current record, the only one, one of version 2.
fn from_the_future(f: &Fixture, session: &SessionRef) {
    use sha2::{Digest, Sha256};
    let mut bytes = fs::read(f.file(session)).expect("its file");
    // d9d9f7 da53455344 85 01: the version is the byte at 9.
    assert_eq!(bytes[8..10], [0x85, 0x01]);
    // The digest's last bytes can be zeros, as those after it are.
    let last = bytes.iter().rposition(|byte| *byte != 0).expect("a record");
    let is_end = |end: &usize| Sha256::digest(&bytes[..end - 34])[..] == bytes[end - 32..*end];
    let end = (last + 1..last + 33).find(is_end).expect("a digest");
    bytes[9] = 2;
    let digest = Sha256::digest(&bytes[..end - 34]);
    bytes[end - 32..end].copy_from_slice(&digest);
    fs::write(f.file(session), &bytes).expect("written");
}

/// Exercises COLL-2, COLL-3, NAME-10.
#[test]
fn a_sweep_of_everything_leaves_an_empty_and_valid_store() {
    for threads in [1, 3] {
        Fixture::each(|f| {
            let store = f.options().threads(threads).open(&f.path).expect("opens");
            for _ in 0..200 {
                f.created();
            }
            let untouched = |f: &Fixture| {
                let corrupt = f.created().0;
                damage(f, &corrupt);
                let unsupported = f.created().0;
                from_the_future(f, &unsupported);
                fs::write(f.path.join("README"), "x").expect("written");
                fs::create_dir(f.path.join("lost+found")).expect("made");
                [f.file(&corrupt), f.file(&unsupported), f.path.join("README"), f.path.join("lost+found")]
            };
            let untouched = untouched(&f);
            let unreadable = f.created().0;
            let all = SweepOptions { idle: Some(Duration::ZERO), ..SweepOptions::default() };
            // One that may not be opened, also where root runs this; the hook is this thread's.
            let name = f.file(&unreadable).file_name().expect("named").to_string_lossy().into_owned();
            let hook = seam::install(move |call| (call.op == Op::Open && call.path == name).then_some(13));
            let swept = if threads == 1 { store.sweep(&all) } else { f.store.sweep(&all) };
            drop(hook);
            let swept = swept.expect("swept");
            assert_eq!((swept.removed, swept.remaining, swept.failed), (200, 0, 3));
            assert!(swept.complete);
            for path in &untouched {
                assert!(path.exists(), "{}", path.display());
            }
            assert!(f.file(&unreadable).exists(), "what cannot be read stays");
            // Now it can be read, and goes; by several threads.
            let swept = store.sweep(&all).expect("swept");
            assert_eq!((swept.removed, swept.remaining, swept.failed), (1, 0, 2));
            for path in untouched {
                let gone = if path.is_dir() { fs::remove_dir(&path) } else { fs::remove_file(&path) };
                gone.expect("it was there");
            }
            f.assert_clean();
            assert_eq!(f.names(), [".lock", ".sessiondir"]);
            let (id, _) = f.created();
            assert_eq!(f.n(&id), 0);
        });
    }
}

/// Exercises COLL-5.
#[test]
fn a_sweep_with_a_limit_comes_to_every_session_in_the_end() {
    let f = Fixture::new(Naming::Plain, Durability::Process);
    for _ in 0..20 {
        f.created();
    }
    let one = SweepOptions {
        idle: Some(Duration::ZERO),
        dry_run: true,
        max_files: Some(1),
        ..SweepOptions::default()
    };
    let mut firsts = BTreeSet::new();
    for _ in 0..100 {
        let (summary, removed) = sweep(&f, &one);
        // The marker is a file too.
        assert!(removed.len() <= 1 && !summary.complete);
        firsts.extend(removed);
    }
    // Of 20 equally likely ones, fewer than 10 in 100 trials are as good as impossible; a fixed start gives 1.
    assert!(firsts.len() >= 10, "{} of 20", firsts.len());
    let some = SweepOptions { dry_run: false, max_files: Some(7), ..one };
    let mut runs = 0;
    while f.store.iter_sessions().expect("lists").next().is_some() {
        let (summary, removed) = sweep(&f, &some);
        assert!(summary.removed <= 7 && summary.removed == removed.len() as u64);
        runs += 1;
        assert!(runs < 100, "it never comes to the last ones");
    }
    assert!(runs >= 3);
    // Enough for all of them is no limit.
    assert!(sweep(&f, &SweepOptions { max_files: Some(1_000), ..some }).0.complete);
    f.assert_clean();
}

/// What was written to lately is not even opened; all else is judged by its record, and so is a file from the future.
#[test]
fn a_sweep_can_leave_unread_what_was_written_to_lately() {
    Fixture::each(|f| {
        let (idle, hour) = (Some(Duration::from_mins(30)), 3_600_000);
        let lately = SweepOptions { idle, skip_written: idle, ..SweepOptions::default() };
        // Of all of them the record says that they are idle; when the file was written to, before now.
        let written = [0, 29 * 60_000, 30 * 60_000, hour];
        let sessions: Vec<_> = written.iter().map(|_| f.created().0).collect();
        let (fresh, _) = f.created();
        f.advance(hour);
        assert!(f.store.touch(&fresh).expect("touched"));
        let set = |session: &SessionRef, millis: u64| {
            let time = std::time::UNIX_EPOCH + Duration::from_millis(millis);
            let file = fs::File::options().write(true).open(f.file(session)).expect("its file");
            file.set_times(fs::FileTimes::new().set_modified(time)).expect("set");
        };
        for (session, age) in sessions.iter().zip(written) {
            set(session, START + hour - age);
        }
        // Old by its times, in use by its record.
        set(&fresh, START);
        let (summary, removed) = sweep(&f, &lately);
        assert_eq!((summary.removed, summary.remaining, summary.failed), (2, 3, 0));
        assert_eq!(removed.len(), 2);
        let there = |session: &SessionRef| f.file(session).exists();
        assert_eq!(sessions.iter().map(there).collect::<Vec<_>>(), [true, true, false, false]);
        // A time in the future says nothing.
        set(&sessions[0], START + hour + 1);
        assert_eq!(sweep(&f, &lately).0.removed, 1);
        assert_eq!(sessions.iter().map(there).collect::<Vec<_>>(), [false, true, false, false]);
        assert!(there(&fresh));
        // It need not be readable even.
        fs::write(f.file(&sessions[1]), b"nonsense").expect("written");
        set(&sessions[1], START + hour);
        assert_eq!(sweep(&f, &lately).0.failed, 0);
        assert_eq!(sweep(&f, &SweepOptions { idle, ..SweepOptions::default() }).0.failed, 1);
    });
}

#[test]
fn a_sweep_without_time_looks_at_nothing() {
    let f = Fixture::new(Naming::Plain, Durability::Process);
    for _ in 0..20 {
        f.created();
    }
    let idle = Some(Duration::ZERO);
    let none = SweepOptions { idle, max_time: Some(Duration::ZERO), ..SweepOptions::default() };
    let (summary, removed) = sweep(&f, &none);
    assert!(!summary.complete && removed.is_empty() && summary.removed + summary.remaining == 0);
    let enough = SweepOptions { max_time: Some(Duration::from_secs(3600)), ..none };
    let (summary, removed) = sweep(&f, &enough);
    assert!(summary.complete && removed.len() == 20);
}

/// Exercises COLL-6.
#[test]
fn the_quarantine_is_swept_by_age_and_on_request() {
    Fixture::each(|f| {
        let (old, _) = f.created();
        let (young, _) = f.created();
        let quarantine = f.path.join(".quarantine");
        fs::create_dir(&quarantine).expect("made");
        fs::set_permissions(&quarantine, fs::Permissions::from_mode(0o700)).expect("chmod");
        let aside = |session: &SessionRef, millis: u64| {
            let name = f.file(session).file_name().expect("named").to_string_lossy().into_owned();
            let to = quarantine.join(format!("{name}.{millis}"));
            fs::rename(f.file(session), &to).expect("moved");
            to
        };
        let (old, young) = (aside(&old, START - 1000), aside(&young, START - 999));
        let foreign = quarantine.join("notes.txt");
        fs::write(&foreign, "x").expect("written");
        let directory = quarantine.join(format!("{}.1", "A".repeat(22)));
        fs::create_dir(&directory).expect("made");
        f.store
            .sweep(&SweepOptions { idle: Some(Duration::ZERO), ..SweepOptions::default() })
            .expect("swept");
        assert!(old.exists() && young.exists(), "not unless asked for");
        let age = Some(Duration::from_secs(1));
        let options = SweepOptions { quarantine_older: age, ..SweepOptions::default() };
        let dry = f.store.sweep(&SweepOptions { dry_run: true, ..options }).expect("swept");
        assert!(old.exists());
        let swept = f.store.sweep(&options).expect("swept");
        assert_eq!((dry.quarantined, swept.quarantined), (1, 1));
        assert!(!old.exists() && young.exists() && foreign.exists() && directory.exists());
        f.advance(1);
        assert_eq!(f.store.sweep(&options).expect("swept").quarantined, 1);
        assert!(!young.exists());
    });
}

#[test]
fn everything_is_counted_once() {
    for threads in [1, 4] {
        Fixture::each(|f| {
            let plain = f.store.marker().naming == Naming::Plain;
            let process = f.store.marker().durability == Durability::Process;
            for n in 0..150 {
                f.advance(1);
                let mut session = Session::at(time(START + n), time(START + n));
                let length = usize::try_from(n % 3).expect("small") * 5000;
                session.insert("text", &"x".repeat(length)).expect("fits");
                f.store.create(&mut session).expect("created");
            }
            let (legacy, _) = f.inserted("0SJaaIqvMIA");
            let (expired, mut session) = f.created();
            session.set_expires(Some(time(START + 2)));
            f.store.save(&mut session).expect("saved");
            assert!(!f.store.has(&expired).expect("looked"));
            damage(&f, &f.created().0);
            from_the_future(&f, &f.created().0);
            fs::write(f.file(&f.created().0), "").expect("written");
            fs::create_dir(f.path.join(".quarantine")).expect("made");
            let name = f.file(&legacy).file_name().expect("named").to_string_lossy().into_owned();
            fs::write(f.path.join(format!(".quarantine/{name}.5")), "x").expect("written");
            fs::write(f.path.join(format!(".tmp.{name}")), "x").expect("written");
            fs::write(f.path.join("README"), "x").expect("written");
            let store = f.options().threads(threads).open(&f.path).expect("opens");
            let mut looked = 0;
            let stats = store.stats(&mut || looked += 1).expect("counted");
            assert_eq!(looked, 155);
            assert_eq!((stats.live, stats.expired, stats.legacy), (151, 1, u64::from(plain)));
            assert_eq!((stats.unsupported, stats.unreadable), (1, 0));
            // An empty file is what a power failure leaves only where that can be.
            let (corrupt, stillborn) = if process { (1, 1) } else { (2, 0) };
            assert_eq!((stats.corrupt, stats.stillborn), (corrupt, stillborn));
            assert_eq!((stats.temps, stats.foreign, stats.quarantined), (1, 1, 1));
            let sizes: Vec<_> = stats.slot_sizes.iter().map(|(size, files)| (*size, *files)).collect();
            assert_eq!(sizes, [(4096, 54), (8192, 50), (16384, 50)]);
            assert_eq!(stats.bytes, 2 * (54 * 4096 + 50 * 8192 + 50 * 16384));
            assert_eq!(stats.oldest_access, Some(time(START)));
        });
    }
}

#[test]
fn a_scan_gives_every_session_once_and_can_be_ended() {
    for threads in [1, 2, 5] {
        let f = Fixture::new(Naming::Plain, Durability::Process);
        let made: BTreeSet<_> = (0..300).map(|_| f.created().0).collect();
        let broken = f.created().0;
        damage(&f, &broken);
        let store = f.options().threads(threads).open(&f.path).expect("opens");
        let (mut seen, mut errors) = (Vec::new(), Vec::new());
        store
            .scan(&mut |read| {
                match read {
                    Ok(session) => seen.push(session.reference().expect("stored").clone()),
                    Err(error) => errors.push(error.class()),
                }
                ControlFlow::Continue(())
            })
            .expect("scanned");
        assert_eq!((seen.len(), errors), (300, vec![ErrorClass::Corrupt]));
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), made);
        let mut count = 0;
        store
            .scan(&mut |_| {
                count += 1;
                if count == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .expect("scanned");
        assert_eq!(count, 3);
    }
}

#[test]
fn a_store_is_converted_with_everything_in_it() {
    let f = Fixture::plain();
    let mut originals = Vec::new();
    for n in 0..40u64 {
        let (id, mut session) = f.created();
        session.insert("n", &n).expect("fits");
        session.push_token("token").expect("fits");
        session.set_csrf("csrf").expect("fits");
        session.set_idle(Some(Duration::from_secs(3600))).expect("in range");
        for _ in 0..n % 3 {
            session.insert("more", &session.rev()).expect("fits");
            f.store.save(&mut session).expect("saved");
        }
        f.store.save(&mut session).expect("saved");
        originals.push((id, session));
    }
    let (expired, mut session) = f.created();
    session.set_expires(Some(time(START)));
    f.store.save(&mut session).expect("saved");
    fs::write(f.path.join(".imports"), "session3 5 /var/lib/old\n").expect("written");
    let before = f.names();
    let to_path = f.outside().join("converted");
    let to = f.options().create(true).naming(Naming::Hashed).open(&to_path).expect("made");
    let run = |to: &DirectoryStore| {
        let mut failures = Vec::new();
        let done = convert(&f.store, to, &mut |event| {
            if let convert::Event::Failed(error) = event {
                failures.push(error.to_string());
            }
        });
        assert!(failures.is_empty(), "{failures:?}");
        done.expect("converted")
    };
    let summary = run(&to);
    assert_eq!((summary.copied, summary.kept, summary.failed), (40, 0, 0));
    assert_eq!(f.names(), before);
    for (id, original) in &originals {
        let copy = to.load(id).expect("loads").expect("is there");
        assert_eq!(&copy, original, "with its revision, its times and its name");
    }
    assert!(to.load(&expired).expect("loads").is_none());
    assert_eq!(fs::read_to_string(to_path.join(".imports")).expect("copied"), "session3 5 /var/lib/old\n");
    // Again: nothing is copied twice, and what has changed in the new store stays.
    to.update(&originals[0].0, &mut |session| Ok(session.insert("n", &99)?)).expect("updated");
    let summary = run(&to);
    assert_eq!((summary.copied, summary.kept), (0, 40));
    assert_eq!(
        to.load(&originals[0].0).expect("loads").expect("is there").get::<u64>("n").expect("n"),
        Some(99)
    );
    assert_eq!(fs::read_to_string(to_path.join(".imports")).expect("copied").lines().count(), 1);

    let nothing = &mut |_: convert::Event<'_>| {};
    assert_eq!(class(convert(&to, &f.store, nothing)), ErrorClass::Io, "no IDs");
    let again = f.options().open(&f.path).expect("opens");
    assert_eq!(class(convert(&f.store, &again, nothing)), ErrorClass::Io, "the same directory");
    let read_only = Options::new().read_only(true).open(&to_path).expect("opens");
    assert_eq!(class(convert(&f.store, &read_only, nothing)), ErrorClass::Io);
    let third =
        f.options().create(true).naming(Naming::Hashed).open(f.outside().join("third")).expect("made");
    assert_eq!(convert(&to, &third, nothing).expect("converted").copied, 40, "keys are enough for that");
    let id = SessionId::new(originals[1].0.id().expect("an ID").expose()).expect("an ID");
    assert!(third.has(&id.into()).expect("looked"));
    // Nothing is there under the name of which a power cut, in a conversion before, has left nothing else.
    let path = f.outside().join("process");
    let to = f.options().create(true).durability(Durability::Process).open(&path).expect("made");
    fs::write(path.join(f.file(&originals[0].0).file_name().expect("a name")), "").expect("written");
    let summary = run(&to);
    assert_eq!((summary.copied, summary.kept, summary.failed), (40, 0, 0));
    assert_eq!(&to.load(&originals[0].0).expect("loads").expect("is there"), &originals[0].1);
}
