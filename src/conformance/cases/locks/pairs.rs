//! Schedules of two processes that want locks from each other.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::super::super::bench::{Bench, Party};
use super::super::super::case::{Case, Class, Failure, Outcome, ensure};
use super::super::parties::{
    LONG_MS, PAIRS, Side, Store, identity, n_of, one_lock_file, own, referees, referees_denied,
    two_lock_files,
};
use crate::SessionId;

type Schedule = fn(&Bench<'_>, &Store, Party, Party) -> Outcome;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: &str, what: &str, rules: &str, features: &[&'static str], schedule: Schedule| {
        for (a, b) in PAIRS {
            let id = format!("locks/{name}/{}-{}", a.name(), b.name());
            let description = format!("{what} (A: {}, B: {})", a.name(), b.name());
            let run = move |bench: &mut Bench<'_>| {
                let (x, y) = one_lock_file();
                let (_, z) = two_lock_files();
                let store = Store::with(bench, &[&x, &y, &z])?;
                schedule(bench, &store, a, b)?;
                store.is_sound()
            };
            cases.push(
                Case::new(id, "9.1 The lock of a session", description, rules, &[Class::Writer], run)
                    .needs(features),
            );
        }
    };
    add("L1", "a lock that A holds is refused to B and to every kind of raw lock", "LOCK-1 LOCK-2", &[], l1);
    add("L3", "A is killed while it holds the lock for which B waits: B gets it", "LOCK-1 LOCK-3", &[], l3);
    add(
        "L8",
        "each has a thread that waits for what the other holds: no deadlock is reported",
        "LOCK-7 LOCK-9",
        &["threads"],
        l8,
    );
    add(
        "L9",
        "the lock file is replaced while A holds it and B waits: B does not hold the old one",
        "LOCK-6",
        &[],
        l9,
    );
    add(
        "L9-removed",
        "the lock file is removed while A holds it and B waits: B makes it anew",
        "LOCK-5 LOCK-6",
        &[],
        l9_removed,
    );
    for (a, b) in PAIRS {
        let id = format!("locks/L13/{}-{}", a.name(), b.name());
        let held = |party| match party {
            Party::RefereeProcess => "a lock on the whole file",
            Party::RefereeOfd => "a lock on the session's byte alone",
            Party::Reference => "a lock of the reference",
            Party::Implementation => "a lock of another process of the implementation",
        };
        let description = match a {
            Party::Implementation => format!("{} waits for an update", held(b)),
            _ => format!("an update waits for {}", held(a)),
        };
        let run = move |bench: &mut Bench<'_>| {
            let (x, _) = one_lock_file();
            let store = Store::with(bench, &[&x])?;
            l13(bench, &store, a, b)?;
            store.is_sound()
        };
        cases.push(Case::new(
            id,
            "9.1 The lock of a session",
            description,
            "LOCK-1 LOCK-2",
            &[Class::Writer],
            run,
        ));
    }
    cases
}

fn sides(bench: &Bench<'_>, store: &Store, a: Party, b: Party) -> Result<[Side; 2], Failure> {
    Ok([Side::new(bench, a, store)?, Side::new(bench, b, store)?])
}

fn l1(bench: &Bench<'_>, store: &Store, a: Party, b: Party) -> Outcome {
    let (x, _) = one_lock_file();
    let [mut a, mut b] = sides(bench, store, a, b)?;
    let mut referees = referees(bench, store)?;
    a.lock(&x, "one")?;
    b.denied(&x, "one", "A holds it")?;
    referees_denied(&mut referees, &x, "A holds it")?;
    a.unlock(&x, "one")?;
    for referee in &mut referees {
        referee.takes(&x, "one")?;
    }
    b.lock(&x, "one")?;
    a.denied(&x, "one", "B holds it")?;
    referees_denied(&mut referees, &x, "B holds it")?;
    b.unlock(&x, "one")?;
    a.takes(&x, "one")
}

fn l3(bench: &Bench<'_>, store: &Store, a: Party, b: Party) -> Outcome {
    let (x, _) = one_lock_file();
    let [mut a, mut b] = sides(bench, store, a, b)?;
    a.lock(&x, "one")?;
    let wanted = b.begin(&x, "one");
    b.still_waits(wanted, "A holds it")?;
    a.process.kill();
    b.gets(wanted, "A has been killed")?;
    referees_denied(&mut referees(bench, store)?, &x, "B holds it")?;
    b.unlock(&x, "one")
}

fn l8(bench: &Bench<'_>, store: &Store, p: Party, q: Party) -> Outcome {
    let (a, b) = two_lock_files();
    let [mut p, mut q] = sides(bench, store, p, q)?;
    p.lock(&a, "one")?;
    q.lock(&b, "one")?;
    let q_wants = q.begin(&a, "two");
    q.still_waits(q_wants, "A's first thread holds it")?;
    let p_wants = p.begin(&b, "two");
    p.still_waits(p_wants, "B's first thread holds it; no process waits for itself here")?;
    q.still_waits(q_wants, "A's first thread holds it; no process waits for itself here")?;
    p.unlock(&a, "one")?;
    q.gets(q_wants, "A has released it")?;
    p.still_waits(p_wants, "B's first thread holds it")?;
    q.unlock(&b, "one")?;
    p.gets(p_wants, "B has released it")?;
    p.unlock(&b, "two")?;
    q.unlock(&a, "two")
}

/// The new file comes with a lock on it that a third process holds: so there is no moment at which B could take it
/// by chance, however it waits.
fn l9(bench: &Bench<'_>, store: &Store, a: Party, b: Party) -> Outcome {
    let (x, _) = one_lock_file();
    let [mut a, mut b] = sides(bench, store, a, b)?;
    let other = Store::at(bench.path("other"), "plain", "process")?;
    // Of the kind that neither is, where there is one.
    let is_there = a.party == Party::RefereeOfd || b.party == Party::RefereeOfd;
    let third = if is_there { Party::RefereeProcess } else { Party::RefereeOfd };
    let mut third = Side::new(bench, third, &other)?;
    third.lock(&x, "one")?;
    a.lock(&x, "one")?;
    let wanted = b.begin(&x, "one");
    b.still_waits(wanted, "A holds it")?;
    replace(&other, store, &x)?;
    third.open(&store.dir, LONG_MS)?;
    b.still_waits(wanted, "A holds the lock on the old file, a third process that on the new one")?;
    a.unlock(&x, "one")?;
    b.still_waits(wanted, "a third process holds the lock on the new file")?;
    third.unlock(&x, "one")?;
    b.gets(wanted, "the lock on the new file is free")?;
    third.denied(&x, "one", "B holds it")?;
    a.denied(&x, "one", "B holds it, on the new file")?;
    b.unlock(&x, "one")?;
    a.lock(&x, "one")?;
    third.denied(&x, "one", "A holds it, on the new file")?;
    a.unlock(&x, "one")
}

/// Puts the lock file of `from` in the place of that of `to`.
fn replace(from: &Store, to: &Store, id: &SessionId) -> Outcome {
    let (from, to) = (from.lock_path(id), to.lock_path(id));
    let failed = |error| own("replace a lock file")(&error);
    fs::rename(&from, &to).map_err(failed)
}

fn l9_removed(bench: &Bench<'_>, store: &Store, a: Party, b: Party) -> Outcome {
    let (x, _) = one_lock_file();
    let [mut a, mut b] = sides(bench, store, a, b)?;
    let mut referees = referees(bench, store)?;
    a.lock(&x, "one")?;
    let wanted = b.begin(&x, "one");
    b.still_waits(wanted, "A holds it")?;
    let path = store.lock_path(&x);
    fs::remove_file(&path).map_err(|error| own("remove a lock file")(&error))?;
    a.unlock(&x, "one")?;
    b.gets(wanted, "A has released it")?;
    ensure(path.exists(), || {
        "B holds a lock: expected that the lock file is there again, found that it is not".to_owned()
    })?;
    let made = identity(&path)?;
    referees_denied(&mut referees, &x, "B holds it, on the file that it made")?;
    a.denied(&x, "one", "B holds it, on the file that it made")?;
    ensure(identity(&path)? == made, || {
        "expected the lock file that B made, found another in its place".to_owned()
    })?;
    b.unlock(&x, "one")?;
    a.takes(&x, "one")
}

/// So many updates that another process, when it has the lock, stands in the middle of them.
const SENT: i64 = 25;

/// By updates, not by the `lock` of the protocol: what a program does.
fn l13(bench: &Bench<'_>, store: &Store, a: Party, b: Party) -> Outcome {
    let (x, _) = one_lock_file();
    let [mut a, mut b] = sides(bench, store, a, b)?;
    let update = json!({ "op": "update", "id": x.expose(), "changes": { "add": [["n", "1"]] } });
    if a.party != Party::Implementation {
        a.lock(&x, "one")?;
        let before = store.bytes(&x)?;
        let asked = b.process.send(update);
        b.still_waits(asked, "another holds the lock")?;
        ensure(store.bytes(&x)? == before, || {
            "another holds the lock: expected that the session's file stays as it is, found that it changed"
                .to_owned()
        })?;
        a.unlock(&x, "one")?;
        let answer = b.gets(asked, "the other one has released the lock")?;
        let n = n_of(&answer["session"])?;
        return ensure(n == 1, || format!("n after one increment: expected 1, found {n}"));
    }
    for round in 0..6 {
        let asked: Vec<u64> = (0..SENT).map(|_| a.process.send(update.clone())).collect();
        a.gets(asked[0], "it has the lock, or waits for it a moment")?;
        b.lock(&x, "one")?;
        let before = store.bytes(&x)?;
        thread::sleep(Duration::from_millis(5));
        ensure(store.bytes(&x)? == before, || {
            "another holds the lock: expected that the session's file stays as it is, found that it changed"
                .to_owned()
        })?;
        b.unlock(&x, "one")?;
        for (number, asked) in (1..).zip(asked) {
            if number == 1 {
                continue;
            }
            let answer = a.gets(asked, "the other one has released the lock")?;
            let (n, expected) = (n_of(&answer["session"])?, round * SENT + number);
            ensure(n == expected, || format!("n: expected {expected} after as many increments, found {n}"))?;
        }
    }
    Ok(())
}
