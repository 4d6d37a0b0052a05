//! Repairs: every damaged directory of the vectors is mended, also by one that is killed again and again.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::path::{Path, PathBuf};

use serde_json::Value;
use sessiondir::check::{Finding, FindingKind};
use sessiondir::repair::{Action, Event, Summary, repair};
use sessiondir::seam::{self, Op};
use sessiondir::{Naming, SessionRef, SessionStore, UnixMillis};
use support::vectors::{self, cases, text, time};
use support::{at, findings, options, typed};

/// Findings with what was done about them.
type Done = Vec<(Finding, Action, Option<Result<(), String>>)>;

fn mend(path: &Path, now: UnixMillis, apply: bool) -> (Summary, Done) {
    let mut done = Vec::new();
    let summary = repair(path, &options(now), apply, &mut |event| {
        if let Event::Repair(repair) = event {
            let how = repair.done.map(|done| done.as_ref().copied().map_err(ToString::to_string));
            done.push((repair.finding.clone(), repair.action, how));
        }
    })
    .expect("a store");
    (summary, done)
}

/// The sessions of a case that can be read, as typed JSON; one that was accessed too far ahead of now, without that.
fn readable(case: &Value, path: &Path, now: UnixMillis) -> BTreeMap<String, Value> {
    let store = options(now).open(path).expect("a store");
    let naming = store.marker().naming;
    let mut all = BTreeMap::new();
    for session in case["sessions"].as_array().expect("a list") {
        let id = text(session, "session_id");
        if let Ok(Some(loaded)) = store.load(&SessionRef::from(support::id(id))) {
            let mut value = typed::session(&loaded, naming);
            if loaded.accessed().millis_since(now) > 86_400_000 || loaded.accessed() == now {
                value["accessed"] = Value::Null;
            }
            all.insert(id.to_owned(), value);
        }
    }
    all
}

/// Every file below `dir` by its inode, with its paths and bytes: what was moved can be followed.
fn inodes(dir: &Path, found: &mut BTreeMap<u64, (BTreeSet<PathBuf>, Vec<u8>)>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        let stat = path.symlink_metadata().expect("there");
        if stat.is_dir() {
            inodes(&path, found);
        }
        let bytes = if stat.is_file() { fs::read(&path).expect("readable") } else { vec![] };
        found.entry(stat.ino()).or_insert((BTreeSet::new(), bytes)).0.insert(path);
    }
}

fn damaged() -> impl Iterator<Item = (&'static Value, Value)> {
    cases("directory").into_iter().filter(|case| text(case, "result") == "valid").map(|case| {
        let listing = serde_json::from_slice(&vectors::fixture(text(case, "file"))).expect("JSON");
        (case, listing)
    })
}

fn kinds(found: &[Finding]) -> BTreeSet<(String, FindingKind)> {
    found.iter().map(|finding| (finding.place.path(false), finding.kind)).collect()
}

/// Those that a repair is to leave.
fn left(found: &[Finding]) -> BTreeSet<(String, FindingKind)> {
    let left: Vec<_> = found.iter().filter(|f| Action::of(f) == Action::Leave).cloned().collect();
    kinds(&left)
}

/// Exercises REP-1, REP-2, REP-3, REP-4, REP-5.
#[test]
fn every_damaged_directory_is_mended() {
    let (mut mended, mut clean) = (0, 0);
    for (case, listing) in damaged() {
        let id = text(case, "id");
        let tmp = tempfile::tempdir().expect("a temporary directory");
        let path = tmp.path().join("store");
        vectors::materialise(&listing, &path);
        let now = time(case, "now");
        let found = findings(&path, now);
        let sessions = readable(case, &path, now);
        let mut before = BTreeMap::new();
        inodes(&path, &mut before);

        // Without being told to, it changes nothing, and says the same.
        let (said, would) = mend(&path, now, false);
        let mut unchanged = BTreeMap::new();
        inodes(&path, &mut unchanged);
        assert_eq!(unchanged, before, "{id}: a dry run");
        assert!(would.iter().all(|(_, _, done)| done.is_none()), "{id}");
        assert_eq!(said.failed, 0, "{id}");

        if !options(now).open(&path).expect("a store").marker().is_writable() {
            let error = repair(&path, &options(now), true, &mut |_| {}).expect_err("to be read only");
            assert_eq!(error.class().name(), "unsupported", "{id}");
            continue;
        }
        let (did, done) = mend(&path, now, true);
        for (finding, action, how) in &done {
            let expected = if *action == Action::Leave { None } else { Some(Ok(())) };
            assert_eq!(*how, expected, "{id}: {finding}");
        }
        assert_eq!(did, said, "{id}: it does what it says");
        mended += did.repaired;

        let after = findings(&path, now);
        assert_eq!(kinds(&after), left(&found), "{id}: what is left is what it leaves");
        clean += usize::from(after.is_empty() && !found.is_empty());
        assert_eq!(readable(case, &path, now), sessions, "{id}: what could be read is as it was");

        // What is gone was debris, or the file of a session that has a new one; what was moved is all there.
        let mut there = BTreeMap::new();
        inodes(&path, &mut there);
        for (inode, (paths, bytes)) in &before {
            if let Some((now_at, now_bytes)) = there.get(inode) {
                assert_eq!(now_bytes, bytes, "{id}: {paths:?}");
                for path in now_at.difference(paths) {
                    let parent = path.parent().and_then(Path::file_name).expect("a parent");
                    let corrupt = found.iter().any(|finding| finding.kind == FindingKind::Corrupt);
                    assert!(parent == ".quarantine" && corrupt, "{id}: {paths:?} is at {}", path.display());
                }
            } else {
                for path in paths {
                    let name = path.file_name().expect("named").to_string_lossy();
                    let debris = name.starts_with(".tmp.") || name == ".sessiondir.tmp" || bytes.is_empty();
                    let rewritten = path.exists() && did.repaired > 0;
                    assert!(debris || rewritten, "{id}: {name} is gone");
                }
            }
        }
        // There is nothing more to do.
        let (again, _) = mend(&path, now, true);
        assert_eq!((again.repaired, again.failed, again.left), (0, 0, did.left), "{id}");
    }
    println!("{mended} findings mended, {clean} directories clean afterwards");
    assert!(mended >= 20 && clean >= 15, "{mended} findings, {clean} directories");
}

/// What a test kills a repair with.
struct Killed;

/// Exercises REP-6.
#[test]
fn a_repair_that_is_killed_anywhere_is_finished_by_the_next() {
    // The kill is a panic at the seam: nothing after that call is done but the release of locks, as by a kill.
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<Killed>() {
            quiet(info);
        }
    }));
    let mut points = 0;
    for (case, listing) in damaged() {
        let id = text(case, "id");
        let now = time(case, "now");
        let tmp = tempfile::tempdir().expect("a temporary directory");
        let fresh = |name: String| {
            let path = tmp.path().join(name);
            vectors::materialise(&listing, &path);
            path
        };
        let path = fresh("first".to_owned());
        let found = findings(&path, now);
        let actions = found.iter().any(|finding| Action::of(finding) != Action::Leave);
        if !actions || !options(now).open(&path).expect("a store").marker().is_writable() {
            continue;
        }
        let sessions = readable(case, &path, now);
        let left = left(&found);
        for kill_at in 0.. {
            let path = fresh(kill_at.to_string());
            let mut calls = 0;
            let hook = seam::install(move |call| {
                // Looking changes nothing, so a kill before it is one after the change before.
                let changes = matches!(
                    call.op,
                    Op::Create
                        | Op::Write
                        | Op::Pwrite
                        | Op::Sync
                        | Op::SyncDir
                        | Op::Rename
                        | Op::Unlink
                        | Op::Mkdir
                        | Op::Chmod
                ) || (call.op == Op::Open && call.path.starts_with(".lock/"));
                calls += usize::from(changes);
                if changes && calls == kill_at + 1 {
                    panic_any(Killed);
                }
                None
            });
            let ended = catch_unwind(AssertUnwindSafe(|| mend(&path, now, true)));
            drop(hook);
            match ended {
                Ok(_) => {
                    assert!(kill_at > 0, "{id}: it made no call");
                    break;
                }
                Err(payload) => {
                    assert!(payload.is::<Killed>(), "{id}, call {kill_at}: it panicked by itself");
                }
            }
            points += 1;
            assert_eq!(readable(case, &path, now), sessions, "{id}, killed at call {kill_at}");
            let (_, done) = mend(&path, now, true);
            for (finding, _, how) in done {
                assert!(how.is_none_or(|how| how.is_ok()), "{id}, killed at call {kill_at}: {finding}");
            }
            let after = findings(&path, now);
            assert_eq!(kinds(&after), left, "{id}, killed at call {kill_at}");
            assert_eq!(readable(case, &path, now), sessions, "{id}, killed at call {kill_at}, mended");
            fs::remove_dir_all(path).expect("removed");
        }
    }
    println!("{points} kills");
    assert!(points >= 200, "{points} kills");
}

/// The table of section 10.10 is the code's.
#[test]
fn what_is_done_about_each_finding_is_what_the_specification_says() {
    let spec = fs::read_to_string(at("SPEC.md")).expect("SPEC.md");
    let table = spec.split("| finding | what a repair does | word |").nth(1).expect("the table");
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let word = cells[3].trim_matches('`').to_owned();
        let names = cells[1].split('`').skip(1).step_by(2);
        said.extend(names.map(|name| (name.to_owned(), word.clone())));
    }
    assert!(said.len() >= 10, "{said:?}");
    for kind in FindingKind::ALL {
        let place = sessiondir::check::Place::Session(support::id(&"A".repeat(22)).into());
        let finding = example(*kind, place);
        let expected = said.get(kind.name()).map_or("leave", String::as_str);
        assert_eq!(Action::of(&finding).name(), expected, "{}", kind.name());
    }
}

/// A finding of that kind: of a real one, with its kind replaced.
fn example(kind: FindingKind, place: sessiondir::check::Place) -> Finding {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let path = tmp.path().join("store");
    sessiondir::init(&path, &sessiondir::Options::new().naming(Naming::Plain)).expect("a store");
    fs::set_permissions(path.join(".sessiondir"), fs::Permissions::from_mode(0o644)).expect("chmod");
    let mut finding = findings(&path, UnixMillis::now()).pop().expect("the mode");
    finding.kind = kind;
    finding.place = place;
    finding
}

/// A directory of the vectors, by its name, materialised.
fn store_of(id: &str, tmp: &Path) -> (PathBuf, UnixMillis) {
    let (case, listing) = damaged().find(|(case, _)| text(case, "id") == id).expect("that case");
    let path = tmp.join("store");
    vectors::materialise(&listing, &path);
    (path, time(case, "now"))
}

/// Exercises REP-6.
#[test]
fn a_file_is_moved_for_good_before_that_is_reported() {
    use std::cell::RefCell;
    use std::rc::Rc;
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let (path, now) = store_of("corrupt-session", tmp.path());
    let calls = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&calls);
    let hook = seam::install(move |call| {
        noted.borrow_mut().push(call.op);
        None
    });
    let (summary, _) = mend(&path, now, true);
    drop(hook);
    assert_eq!(summary.repaired, 1);
    let changes: Vec<_> = calls
        .borrow()
        .iter()
        .copied()
        .filter(|op| matches!(op, Op::Mkdir | Op::Rename | Op::SyncDir | Op::Unlink))
        .collect();
    assert_eq!(changes, [Op::Mkdir, Op::Rename, Op::SyncDir, Op::SyncDir]);

    // And if it cannot be made sure, that is what is reported.
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let (path, now) = store_of("corrupt-session", tmp.path());
    let hook = seam::install(|call| (call.op == Op::SyncDir).then_some(5));
    let (summary, done) = mend(&path, now, true);
    drop(hook);
    assert_eq!((summary.repaired, summary.failed), (0, 1));
    let how = done[0].2.clone().expect("tried").expect_err("a failure");
    assert!(how.starts_with("outcome-unknown: "), "{how}");
}

/// Exercises REP-1.
#[test]
fn what_has_changed_since_the_check_is_judged_again() {
    let sound = |path: &Path| {
        // The other session of these directories, which is sound, under the name of the damaged one would not be:
        // so the damaged one is made from a store of its own.
        let tmp = tempfile::tempdir().expect("a temporary directory");
        let store = options(UnixMillis::now()).create(true).open(tmp.path().join("s")).expect("a store");
        let id = support::id(&"B".repeat(22));
        store.insert(&id, &mut sessiondir::Session::new()).expect("stored");
        fs::read(tmp.path().join("s").join(id.expose())).map(|bytes| fs::write(path, bytes)).expect("read")
    };
    for deleted in [false, true] {
        let tmp = tempfile::tempdir().expect("a temporary directory");
        let (path, now) = store_of("corrupt-session", tmp.path());
        let file = path.join("B".repeat(22));
        let target = file.clone();
        let mut locks = 0;
        let hook = seam::install(move |call| {
            if call.op == Op::Lock {
                locks += 1;
                // The first lock is the checker's, who finds the damage; the second the repair's.
                match (locks, deleted) {
                    (2, true) => fs::remove_file(&target).expect("removed"),
                    (2, false) => sound(&target).expect("written"),
                    _ => {}
                }
            }
            None
        });
        let (summary, done) = mend(&path, now, true);
        drop(hook);
        assert_eq!((summary.repaired, summary.failed), (1, 0), "{done:?}");
        assert_eq!(file.exists(), !deleted, "it is not moved");
        assert!(!path.join(".quarantine").exists());
    }
}

/// Exercises REP-2.
#[test]
fn nothing_in_the_quarantine_is_replaced() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let (path, now) = store_of("corrupt-session", tmp.path());
    let name = "B".repeat(22);
    fs::create_dir(path.join(".quarantine")).expect("made");
    fs::set_permissions(path.join(".quarantine"), fs::Permissions::from_mode(0o700)).expect("chmod");
    let taken = |n: u64| path.join(format!(".quarantine/{name}.{}", now.as_millis() + n));
    fs::write(taken(0), "an older one").expect("written");
    fs::create_dir(taken(1)).expect("made");
    // Also where the system cannot rename without replacing.
    for errno in [None, Some(22)] {
        let corrupt = fs::read(path.join(&name)).expect("there");
        let mut renames = 0;
        let hook = seam::install(move |call| {
            // Each place is tried in two ways, of which the first is not to be had.
            renames += usize::from(call.op == Op::Rename);
            errno.filter(|_| call.op == Op::Rename && renames <= 4)
        });
        mend(&path, now, true);
        drop(hook);
        assert_eq!(fs::read_to_string(taken(0)).expect("there"), "an older one");
        assert!(taken(1).is_dir() && !path.join(&name).exists());
        let moved = if errno.is_none() { taken(2) } else { taken(3) };
        assert_eq!(fs::read(&moved).expect("moved"), corrupt);
        fs::write(path.join(&name), corrupt).expect("written");
    }
}
