//! Schedules of one implementation: what its own threads do, what it holds, and what it does meanwhile.

use std::fs;

use serde_json::{Value, json};

use super::super::super::bench::{Bench, Party};
use super::super::super::case::{Case, Class, Failure, Outcome, done, ensure, failed, refused};
use super::super::super::protocol::{Answer, answer};
use super::super::parties::{
    LONG_MS, Side, Store, WATCHED, identity, one_lock_file, own, referees, referees_denied, two_lock_files,
};
use crate::SessionId;

type Schedule = fn(&Bench<'_>, &Store) -> Outcome;

pub(super) fn cases() -> Vec<Case> {
    let case = |name: &str, what: &str, rules: &str, schedule: Schedule| {
        let run = move |bench: &mut Bench<'_>| {
            let ((x, y), (_, z)) = (one_lock_file(), two_lock_files());
            let store = Store::with(bench, &[&x, &y, &z])?;
            schedule(bench, &store)?;
            store.is_sound()
        };
        Case::new(format!("locks/{name}"), "9.1 The lock of a session", what, rules, &[Class::Writer], run)
    };
    vec![
        case(
            "L2/implementation",
            "the kernel lists a write lock of fcntl on the session's byte",
            "LOCK-1 LOCK-2 LOCK-3",
            l2,
        ),
        case(
            "L4/implementation",
            "a lock is still held after its process has loaded, listed, checked, and opened and closed the store again",
            "LOCK-8",
            l4,
        ),
        case(
            "L4/threads",
            "a lock is still held after another thread was refused it",
            "LOCK-7 LOCK-8",
            l4_threads,
        )
        .needs(&["threads"]),
        case("L6/implementation", "threads of one process lose no update of one session", "LOCK-7", l6)
            .needs(&["threads"]),
        case(
            "L7/implementation",
            "two sessions of one lock file: no thread waits for ever, and releasing one keeps the other",
            "LOCK-7 LOCK-8",
            l7,
        )
        .needs(&["threads"]),
        case(
            "L12/lock",
            "a child of fork(2) does not hold what its parent holds, and does not release it",
            "LOCK-12",
            l12,
        )
        .needs(&["fork"]),
        case("L12/free", "a child of fork(2) can change sessions", "LOCK-12", l12_free).needs(&["fork"]),
    ]
}

fn side(bench: &Bench<'_>, store: &Store) -> Result<Side, Failure> {
    Side::new(bench, Party::Implementation, store)
}

fn l2(bench: &Bench<'_>, store: &Store) -> Outcome {
    let (x, z) = two_lock_files();
    let mut a = side(bench, store)?;
    let mut control = Side::new(bench, Party::RefereeOfd, store)?;
    control.lock(&z, "one")?;
    a.lock(&x, "one")?;
    let Ok(text) = fs::read_to_string("/proc/locks") else { return Ok(()) };
    // Where the kernel does not list the kit's own locks, it says nothing of others'.
    if listed(&text, identity(&store.lock_path(&z))?.1).is_empty() {
        return Ok(());
    }
    let locks = listed(&text, identity(&store.lock_path(&x))?.1);
    let byte = u64::from(x.key().lock_byte());
    let is_it = |lock: &Lock| {
        ["POSIX", "OFDLCK"].contains(&&*lock.kind)
            && lock.access == "WRITE"
            && lock.from <= byte
            && byte <= lock.to
    };
    ensure(locks.iter().any(is_it), || {
        let found: Vec<String> = locks
            .iter()
            .map(|lock| format!("{} {} of bytes {} to {}", lock.kind, lock.access, lock.from, lock.to))
            .collect();
        let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
        format!("/proc/locks: expected a lock POSIX or OFDLCK, WRITE, that covers byte {byte}, found {found}")
    })?;
    a.unlock(&x, "one")
}

/// A line of /proc/locks.
struct Lock {
    kind: String,
    access: String,
    from: u64,
    to: u64,
}

/// The locks on a file. By its inode alone: some file systems (btrfs, overlay) give another device to stat(2) than to
/// this list. The kit's store is new, so that no other lock is likely on an inode of that number.
fn listed(text: &str, inode: u64) -> Vec<Lock> {
    let lock = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        // The second line of a lock that is waited for has an arrow.
        let [_, kind, _, access, _, file, from, to] = words[..] else { return None };
        let is_it = file.rsplit(':').next().and_then(|digits| digits.parse().ok()) == Some(inode);
        let end = if to == "EOF" { u64::MAX } else { to.parse().ok()? };
        let (kind, access) = (kind.to_owned(), access.to_owned());
        is_it.then_some(Lock { kind, access, from: from.parse().ok()?, to: end })
    };
    text.lines().filter_map(lock).collect()
}

fn l4(bench: &Bench<'_>, store: &Store) -> Outcome {
    let (x, y) = one_lock_file();
    let (_, z) = two_lock_files();
    let mut a = side(bench, store)?;
    let mut referees = referees(bench, store)?;
    a.lock(&x, "one")?;
    let absent = "kit-session-that-is-not-there";
    let dir = store.dir.to_str().ok_or_else(|| own("name the store")(&"its path is no text"))?;
    let mut steps = vec![
        ("a load of the session", json!({ "op": "load", "id": x.expose() })),
        ("a load of another session of the lock file", json!({ "op": "load", "id": y.expose() })),
        ("a load of an absent session", json!({ "op": "load", "id": absent })),
        (
            "an update of a session of another lock file",
            json!({ "op": "update", "id": z.expose(), "changes": { "add": [["n", "1"]] } }),
        ),
    ];
    if bench.hello.has("list") {
        steps.push(("a list", json!({ "op": "list" })));
    }
    if bench.hello.is(Class::Checker) {
        steps.push(("a check", json!({ "op": "check" })));
    }
    if bench.hello.has("stores") {
        steps.push((
            "opening the store once more",
            json!({ "op": "open", "store": "again", "dir": dir, "wait_ms": LONG_MS }),
        ));
        steps.push((
            "an update in the store as opened once more",
            json!({ "op": "update", "store": "again", "id": z.expose(), "changes": { "add": [["n", "1"]] } }),
        ));
        steps.push((
            "a load in the store as opened once more",
            json!({ "op": "load", "store": "again", "id": x.expose() }),
        ));
        steps.push((
            "closing the store that was opened once more",
            json!({ "op": "close", "store": "again" }),
        ));
    }
    for (what, request) in steps {
        a.ok(request)?;
        referees_denied(&mut referees, &x, &format!("it is held, also after {what}"))?;
    }
    a.unlock(&x, "one")?;
    referees[0].takes(&x, "one")
}

fn l4_threads(bench: &Bench<'_>, store: &Store) -> Outcome {
    let (x, _) = one_lock_file();
    let mut a = side(bench, store)?;
    let mut referees = referees(bench, store)?;
    a.lock(&x, "one")?;
    a.denied(&x, "two", "the first thread holds it")?;
    referees_denied(&mut referees, &x, "the first thread holds it, also after the second was refused it")?;
    let asked = a.process.send(json!({
        "op": "update", "id": x.expose(), "thread": "two", "changes": { "add": [["n", "1"]] },
    }));
    a.still_waits(asked, "the first thread holds the lock")?;
    referees_denied(&mut referees, &x, "the first thread holds it, and the second waits")?;
    a.unlock(&x, "one")?;
    a.gets(asked, "the first thread has released the lock")?;
    referees[1].takes(&x, "one")
}

fn l6(bench: &Bench<'_>, store: &Store) -> Outcome {
    const THREADS: i64 = 4;
    const TIMES: i64 = 50;
    let (x, _) = one_lock_file();
    let mut a = side(bench, store)?;
    let answer = a.ok(json!({ "op": "worker", "ids": [x.expose()], "times": TIMES, "threads": THREADS }))?;
    let expected = (THREADS * TIMES).to_string();
    ensure(answer["done"] == *expected, || {
        format!("`worker`: expected {expected} increments, found {}", answer["done"])
    })?;
    let n = store.n(&x)?;
    ensure(n == THREADS * TIMES, || format!("n after {expected} increments: expected {expected}, found {n}"))
}

fn l7(bench: &Bench<'_>, store: &Store) -> Outcome {
    let (x, y) = one_lock_file();
    let mut a = side(bench, store)?;
    let mut referees = referees(bench, store)?;
    a.lock(&x, "one")?;
    let wanted = a.begin(&y, "two");
    // Either will do: a lock of the whole file, or of a byte each.
    let waits = a.process.waits(wanted, WATCHED)?;
    if !waits {
        a.gets(wanted, "it is another byte of the lock file")?;
        referees_denied(&mut referees, &x, "the first thread holds it")?;
        referees_denied(&mut referees, &y, "the second thread holds it")?;
    }
    a.unlock(&x, "one")?;
    if waits {
        a.gets(wanted, "the first thread has released the lock file")?;
    }
    referees_denied(&mut referees, &y, "the second thread holds it; the first one's was of another session")?;
    a.unlock(&y, "two")?;
    for referee in &mut referees {
        referee.takes(&x, "one")?;
        referee.takes(&y, "one")?;
    }
    Ok(())
}

/// Has a child of the driver do it.
fn in_child(a: &mut Side, then: &Value) -> Result<Answer, Failure> {
    let child = a.ok(json!({ "op": "fork", "then": then }))?["child"].clone();
    match answer(child) {
        Some(answer) => Ok(answer),
        None => failed("`fork`: expected the answer of the child, found none"),
    }
}

fn l12(bench: &Bench<'_>, store: &Store) -> Outcome {
    let (x, _) = one_lock_file();
    let mut a = Side::waiting(bench, Party::Implementation, store, 300)?;
    let mut referees = referees(bench, store)?;
    let update = json!({ "op": "update", "id": x.expose(), "changes": { "add": [["n", "1"]] } });
    let lock = json!({ "op": "lock", "id": x.expose(), "thread": "child", "wait_ms": 0 });
    a.lock(&x, "one")?;
    for then in [lock, update] {
        let what = format!(
            "`{}` by a child, while its parent holds the lock",
            then["op"].as_str().unwrap_or_default()
        );
        let child = in_child(&mut a, &then)?;
        refused(&what, "busy", child)?;
        referees_denied(&mut referees, &x, "the parent holds it, also after its child has ended")?;
    }
    a.unlock(&x, "one")?;
    let n = store.n(&x)?;
    ensure(n == 0, || format!("n, which nobody could change: expected 0, found {n}"))
}

fn l12_free(bench: &Bench<'_>, store: &Store) -> Outcome {
    let (x, y) = one_lock_file();
    let mut a = side(bench, store)?;
    // So that the parent has a lock file open, and has held a lock.
    a.takes(&x, "one")?;
    for (id, expected) in [(&x, 1), (&y, 1), (&x, 2)] {
        let id: &SessionId = id;
        let update = json!({ "op": "update", "id": id.expose(), "changes": { "add": [["n", "1"]] } });
        let child = in_child(&mut a, &update)?;
        done("`update` by a child, of a session whose lock is free", child)?;
        let n = store.n(id)?;
        ensure(n == expected, || format!("n: expected {expected}, found {n}"))?;
    }
    a.takes(&x, "one")
}
