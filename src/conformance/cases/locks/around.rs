//! What goes on around a lock: how long it is waited for, who need not wait, and what does not count as a lock.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::super::bench::{Bench, Party};
use super::super::super::case::{Case, Class, Failure, Outcome, ensure, failed, refused, same};
use super::super::parties::{
    AT_ONCE, Side, Store, n_of, one_lock_file, own, referees, referees_denied, two_lock_files, write_slot,
};
use crate::{Session, UnixMillis};

pub(super) fn cases() -> Vec<Case> {
    const WRITER: &[Class] = &[Class::Writer];
    let mut cases = vec![
        Case::new(
            "locks/flock",
            "9.1 The lock of a session",
            "a lock of flock(2) on the lock file stops nobody",
            "LOCK-3",
            WRITER,
            flock,
        ),
        Case::new(
            "locks/missing",
            "9.1 The lock of a session",
            "a writer makes the lock file that it needs, empty",
            "LOCK-5",
            WRITER,
            missing,
        ),
        Case::new(
            "locks/untouched",
            "9.1 The lock of a session",
            "lock files are never written to, truncated, renamed or unlinked",
            "LOCK-4",
            WRITER,
            untouched,
        ),
        Case::new(
            "locks/swept",
            "10.9 Expiring",
            "a sweep counts what it leaves because of a lock: sessions and temps",
            "COLL-3 COLL-4",
            &[Class::Collector],
            swept,
        ),
        Case::new(
            "locks/last-round",
            "10.2 Reading a session",
            "a reader that finds no whole record looks again under the lock before it says so",
            "READ-5 READ-6",
            &[Class::Reader, Class::Writer],
            last_round,
        ),
    ];
    for party in [Party::Implementation, Party::Reference, Party::RefereeProcess, Party::RefereeOfd] {
        let id = format!("locks/L10/implementation-{}", party.name());
        let description = format!("a load and a list wait for no lock (held by: {})", party.name());
        let classes = if party == Party::Implementation { WRITER } else { &[Class::Reader, Class::Writer] };
        cases.push(Case::new(
            id,
            "9.3 What a lock is not for",
            description,
            "LOCK-14",
            classes,
            move |bench| l10(bench, party),
        ));
    }
    for wait in [0, 400] {
        let id = format!("locks/busy/after-{wait}-ms");
        let description = format!("a lock that is not to be had in {wait} ms is reported then, as busy");
        cases.push(Case::new(
            id,
            "9.1 The lock of a session",
            description,
            "LOCK-10",
            WRITER,
            move |bench| busy(bench, wait),
        ));
    }
    for op in ["update", "touch"] {
        let id = format!("locks/now/{op}");
        let description =
            format!("`{op}` of a session that expires while its lock is waited for finds it gone");
        cases.push(Case::new(id, "8 Time", description, "TIME-3", WRITER, move |bench| expires(bench, op)));
    }
    for (kind, make) in others() {
        let id = format!("locks/no-file/{kind}");
        let description =
            format!("a {kind} has the lock file's name: nothing is changed, and what is whole is read");
        cases.push(Case::new(id, "9.2 Error numbers", description, "LOCK-13 READ-6", WRITER, move |bench| {
            no_file(bench, make)
        }));
    }
    for op in ["update", "save", "touch", "delete", "rotate"] {
        let id = format!("locks/held/{op}");
        let description = format!("`{op}` does nothing while another holds the session's lock");
        cases.push(Case::new(
            id,
            "9.1 The lock of a session",
            description,
            "LOCK-1 LOCK-10",
            WRITER,
            move |bench| under_lock(bench, op),
        ));
    }
    cases
}

fn l10(bench: &Bench<'_>, holder: Party) -> Outcome {
    let (x, y) = one_lock_file();
    let store = Store::with(bench, &[&x, &y])?;
    let mut a = Side::new(bench, Party::Implementation, &store)?;
    let mut b = Side::new(bench, holder, &store)?;
    b.lock(&x, "one")?;
    let load = json!({ "op": "load", "id": x.expose() });
    let asked = a.process.send(load.clone());
    let loaded = a.gets(asked, "a load needs no lock")?;
    n_of(&loaded["session"])?;
    if bench.hello.has("list") {
        let asked = a.process.send(json!({ "op": "list" }));
        let listed = a.gets(asked, "a list needs no lock")?;
        let count = listed["sessions"].as_array().map_or(0, Vec::len);
        ensure(count == 2, || format!("`list` while a lock is held: expected 2 sessions, found {count}"))?;
    }
    b.unlock(&x, "one")
}

fn flock(bench: &mut Bench<'_>) -> Outcome {
    let (x, _) = one_lock_file();
    let store = Store::with(bench, &[&x])?;
    let mut a = Side::new(bench, Party::Implementation, &store)?;
    // The kit's process has no fcntl lock that closing this could drop.
    let file = File::open(store.lock_path(&x)).map_err(|error| own("open a lock file")(&error))?;
    file.lock().map_err(|error| own("take a lock of flock(2)")(&error))?;
    let asked =
        a.process.send(json!({ "op": "update", "id": x.expose(), "changes": { "add": [["n", "1"]] } }));
    a.gets(asked, "flock(2) locks nothing here")?;
    drop(file);
    store.is_sound()
}

fn missing(bench: &mut Bench<'_>) -> Outcome {
    let (x, _) = one_lock_file();
    let store = Store::with(bench, &[&x])?;
    let mut a = Side::new(bench, Party::Implementation, &store)?;
    let path = store.lock_path(&x);
    fs::remove_file(&path).map_err(|error| own("remove a lock file")(&error))?;
    a.ok(json!({ "op": "load", "id": x.expose() }))?;
    ensure(!path.exists(), || {
        "a lock file that is missing, after a load: expected that a reader does not make it, found it"
            .to_owned()
    })?;
    a.ok(json!({ "op": "update", "id": x.expose(), "changes": { "add": [["n", "1"]] } }))?;
    let Ok(made) = path.symlink_metadata() else {
        return failed("a lock file that is missing, after an update: expected that it was made, found none");
    };
    let mode = made.permissions().mode() & 0o7777;
    ensure(made.is_file() && made.len() == 0 && mode == 0o600, || {
        format!(
            "the lock file that was made: expected a regular file of 0 bytes, mode 600, found {} bytes, mode {mode:o}",
            made.len()
        )
    })?;
    a.lock(&x, "one")?;
    referees_denied(&mut referees(bench, &store)?, &x, "it is held on the file that was made")?;
    a.unlock(&x, "one")?;
    store.is_sound()
}

fn untouched(bench: &mut Bench<'_>) -> Outcome {
    let (x, y) = one_lock_file();
    let (_, z) = two_lock_files();
    let store = Store::with(bench, &[&x, &y, &z])?;
    let mut a = Side::new(bench, Party::Implementation, &store)?;
    let before = lock_files(&store)?;
    for id in [&x, &y, &z] {
        a.takes(id, "one")?;
        a.ok(json!({ "op": "update", "id": id.expose(), "changes": { "add": [["n", "1"]] } }))?;
    }
    for _ in 0..20 {
        a.ok(json!({ "op": "create", "as": "new", "changes": {} }))?;
        a.ok(json!({ "op": "rotate", "as": "new", "changes": {} }))?;
    }
    a.ok(json!({ "op": "delete", "id": x.expose() }))?;
    if bench.hello.is(Class::Collector) {
        a.ok(json!({ "op": "sweep" }))?;
    }
    if bench.hello.is(Class::Checker) {
        a.ok(json!({ "op": "check" }))?;
    }
    a.process.kill();
    let after = lock_files(&store)?;
    ensure(before == after, || {
        let changed: Vec<&str> = before
            .keys()
            .chain(after.keys())
            .filter(|name| before.get(*name) != after.get(*name))
            .map(|name| &**name)
            .collect();
        format!(
            ".lock: expected that each file is as it was (inode, size, times of writing), found changed {}",
            changed.join(", ")
        )
    })?;
    store.is_sound()
}

/// Inode, size, and when it was written to.
type Look = (u64, u64, i64, i64);

fn lock_files(store: &Store) -> Result<BTreeMap<String, Look>, Failure> {
    let failed = |error| own("list .lock")(&error);
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(store.dir.join(".lock")).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let data = entry.metadata().map_err(failed)?;
        let look = (data.ino(), data.size(), data.mtime(), data.mtime_nsec());
        files.insert(entry.file_name().to_string_lossy().into_owned(), look);
    }
    Ok(files)
}

/// Both slots are torn while the lock is held, as by a writer that replaces a record that a killed one has left; then
/// there is a record, and the lock is free.
fn last_round(bench: &mut Bench<'_>) -> Outcome {
    let (x, _) = one_lock_file();
    let store = Store::with(bench, &[&x])?;
    let mut a = Side::new(bench, Party::Implementation, &store)?;
    let mut referee = Side::new(bench, Party::RefereeProcess, &store)?;
    referee.lock(&x, "one")?;
    let good = store.bytes(&x)?;
    let mut torn = good.clone();
    torn[60] ^= 1;
    let file =
        File::options().write(true).open(store.path(&x)).map_err(|error| own("open a session")(&error))?;
    write_slot(&file, &torn[..good.len() / 2], 2)?;
    let asked = a.process.send(json!({ "op": "load", "id": x.expose() }));
    a.still_waits(asked, "a session without a whole record whose lock another holds")?;
    write_slot(&file, &good[..good.len() / 2], 2)?;
    referee.unlock(&x, "one")?;
    let loaded = a.gets(asked, "the lock is free, and the record whole")?;
    n_of(&loaded["session"]).map(drop)
}

fn busy(bench: &Bench<'_>, wait: u64) -> Outcome {
    let (x, _) = one_lock_file();
    let store = Store::with(bench, &[&x])?;
    let mut a = Side::waiting(bench, Party::Implementation, &store, wait)?;
    let mut referee = Side::new(bench, Party::RefereeOfd, &store)?;
    referee.lock(&x, "one")?;
    let update = json!({ "op": "update", "id": x.expose(), "changes": { "add": [["n", "1"]] } });
    let lock = json!({ "op": "lock", "id": x.expose(), "thread": "one", "wait_ms": wait });
    for request in [update, lock] {
        let what =
            format!("`{}` of a session whose lock another holds", request["op"].as_str().unwrap_or_default());
        let begun = Instant::now();
        a.refused("busy", request)?;
        let took = begun.elapsed();
        // Clocks differ a little in how they round.
        let least = Duration::from_millis(wait.saturating_sub(5));
        ensure(took >= least && took < least + AT_ONCE, || {
            format!("{what}: expected busy after {wait} ms, found it after {} ms", took.as_millis())
        })?;
    }
    referee.unlock(&x, "one")?;
    a.takes(&x, "one")?;
    store.is_sound()
}

fn under_lock(bench: &Bench<'_>, op: &str) -> Outcome {
    let (x, _) = one_lock_file();
    let store = Store::with(bench, &[&x])?;
    let mut a = Side::waiting(bench, Party::Implementation, &store, 300)?;
    let mut referee = Side::new(bench, Party::RefereeProcess, &store)?;
    a.ok(json!({ "op": "load", "id": x.expose(), "as": "x" }))?;
    referee.lock(&x, "one")?;
    let before = sessions(&store)?;
    let request = match op {
        "update" => json!({ "op": op, "id": x.expose(), "changes": { "add": [["n", "1"]] } }),
        "save" | "rotate" => json!({ "op": op, "as": "x", "changes": { "add": [["n", "1"]] } }),
        // So late that it has to write.
        "touch" => json!({ "op": op, "id": x.expose(), "now": "4102444800000" }),
        _ => json!({ "op": op, "id": x.expose() }),
    };
    let answer = a.process.ask(request.clone())?;
    refused(&format!("`{op}` while another holds the session's lock"), "busy", answer)?;
    ensure(sessions(&store)? == before, || {
        format!("`{op}`, which was busy: expected that the directory is as it was, found that it changed")
    })?;
    referee.unlock(&x, "one")?;
    a.ok(request)?;
    drop(a);
    ensure(sessions(&store)? != before, || {
        format!(
            "`{op}` after the lock was free: expected that it changed something, found the directory as it was"
        )
    })?;
    store.is_sound()
}

/// By the system's clock: the driver is told no other time.
fn expires(bench: &Bench<'_>, op: &str) -> Outcome {
    const AHEAD: u64 = 1000;
    let (x, _) = one_lock_file();
    let store = Store::new(bench, "plain", "process")?;
    let mut a = Side::new(bench, Party::Implementation, &store)?;
    let mut referee = Side::new(bench, Party::RefereeOfd, &store)?;
    let begun = Instant::now();
    let now = UnixMillis::now().as_millis();
    let time = |millis| UnixMillis::from_millis(millis).ok_or_else(|| own("make a time")(&millis));
    // So long ago that a touch has to write.
    let mut session = Session::at(time(now - 600_000)?, time(now - 600_000)?);
    session.set_expires(Some(time(now + AHEAD)?));
    store.put(&x, session)?;
    referee.lock(&x, "one")?;
    let request = match op {
        "update" => json!({ "op": op, "id": x.expose(), "changes": { "add": [["n", "1"]] } }),
        _ => json!({ "op": op, "id": x.expose() }),
    };
    let asked = a.process.send(request);
    a.still_waits(asked, "another holds the lock, and the session is there")?;
    thread::sleep(Duration::from_millis(AHEAD + 100).saturating_sub(begun.elapsed()));
    referee.unlock(&x, "one")?;
    a.gets_refusal(asked, "gone", "the lock is free, and the session has expired")
}

type Make = fn(&Path) -> io::Result<()>;

/// What is no regular file.
fn others() -> [(&'static str, Make); 3] {
    [
        ("link", |path| symlink("../other", path)),
        ("directory", |path| fs::create_dir(path)),
        ("FIFO", |path| {
            Ok(nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR)?)
        }),
    ]
}

fn no_file(bench: &Bench<'_>, make: Make) -> Outcome {
    let (x, y) = one_lock_file();
    let store = Store::with(bench, &[&x, &y])?;
    let mut torn = store.bytes(&y)?;
    torn[60] ^= 1;
    let path = store.lock_path(&x);
    fs::write(store.path(&y), torn)?;
    fs::remove_file(&path)?;
    make(&path)?;
    let before = sessions(&store)?;
    let mut a = Side::new(bench, Party::Implementation, &store)?;
    let loaded = a.ok(json!({ "op": "load", "id": x.expose() }))?;
    n_of(&loaded["session"])?;
    a.refused("io", json!({ "op": "update", "id": x.expose(), "changes": { "add": [["n", "1"]] } }))?;
    a.refused("io", json!({ "op": "delete", "id": x.expose() }))?;
    // It would have to be read under the lock.
    a.refused("io", json!({ "op": "load", "id": y.expose() }))?;
    ensure(sessions(&store)? == before && !path.is_file(), || {
        "expected that the directory is as it was, found that it changed".to_owned()
    })
}

fn swept(bench: &mut Bench<'_>) -> Outcome {
    let ((x, _), (_, z)) = (one_lock_file(), two_lock_files());
    let store = Store::with(bench, &[&z])?;
    let time = UnixMillis::from_millis(1_750_000_000_000).ok_or_else(|| own("make a time")(&"none"))?;
    let mut session = Session::at(time, time);
    session.set_expires(Some(time));
    store.put(&x, session)?;
    let temp = store.dir.join(format!(".tmp.{}", x.expose()));
    fs::write(&temp, [])?;
    let mut a = Side::waiting(bench, Party::Implementation, &store, 100)?;
    let mut referee = Side::new(bench, Party::RefereeProcess, &store)?;
    referee.lock(&x, "one")?;
    for expected in [json!({ "deleted": "0", "failed": "2" }), json!({ "deleted": "1", "failed": "0" })] {
        let found = a.ok(json!({ "op": "sweep" }))?;
        same("`sweep` of an expired session and a temp of one lock", &expected, &found)?;
        let is_there = expected["deleted"] == "0";
        ensure(store.path(&x).exists() == is_there && temp.exists() == is_there, || {
            format!("`sweep` with {expected}: the session or the temp is not as this says")
        })?;
        if is_there {
            referee.unlock(&x, "one")?;
        }
    }
    store.is_sound()
}

/// The sessions' files, with what is in them.
fn sessions(store: &Store) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let failed = |error| own("read the store")(&error);
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(&store.dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.metadata().map_err(failed)?.is_file() {
            let bytes = fs::read(entry.path()).map_err(failed)?;
            files.insert(entry.file_name().to_string_lossy().into_owned(), bytes);
        }
    }
    Ok(files)
}
