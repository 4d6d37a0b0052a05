//! SIGKILL at random moments: what is left is the old state or the new, the lock is free at once, and the next process
//! goes on.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::bench::{Bench, Party, describe};
use super::super::case::{Case, Class, Failure, Outcome, done, ensure, failed};
use super::super::process::Trouble;
use super::parties::{AT_ONCE, Side, Store, ids, n_of, own};
use super::readers::Chance;
use crate::names::TEMP_PREFIX;
use crate::{Error, Options, Session, SessionId, SessionStore};

/// How many processes are killed in a case, at most, and how long it takes, about.
const KILLS: u64 = 15;
const LASTS: Duration = Duration::from_millis(1500);

/// Where each operation is synced, for which a disk may take its time.
const LASTS_SYNCED: Duration = Duration::from_millis(800);

/// How many requests a process is sent before it is killed.
const SENT: usize = 40;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (durability, place) in [("process", ""), ("power", "power/")] {
        let mut add = |id: &str, what: &str, rules: &str, run: fn(&mut Bench<'_>, &str) -> Outcome| {
            let what = format!("a process is killed while it {what}, in a store of durability {durability}");
            let id = format!("kills/{place}{id}");
            let run = move |bench: &mut Bench<'_>| run(bench, durability);
            cases.push(Case::new(id, "12.1 Crashes", what, rules, &[Class::Writer], run));
        };
        add("update", "updates a session in place", "WRITE-3 WRITE-8 LOCK-3", |bench, durability| {
            updates(bench, durability, false)
        });
        add(
            "replace",
            "replaces a session's file by a larger and a smaller one",
            "WRITE-6 WRITE-12",
            |bench, durability| updates(bench, durability, true),
        );
        add("create", "creates sessions", "WRITE-11 WRITE-12 WRITE-15", creates);
        add("delete", "deletes sessions", "DEL-1", deletes);
        add("rotate", "rotates a session", "ROT-1 ROT-2 ROT-3", rotates);
    }
    cases
}

/// One process after the other: each does one operation for certain, and many of which nobody knows how far they get.
struct Victims<'a> {
    bench: &'a Bench<'a>,
    store: &'a Store,
    chance: Chance,
    /// How long it takes to answer all that it is sent.
    usual: Duration,
    begun: Instant,
    lasts: Duration,
    kills: u64,
    temps: usize,
}

impl<'a> Victims<'a> {
    fn new(bench: &'a Bench<'a>, store: &'a Store, durability: &str, seed: u64) -> Self {
        let (chance, begun) = (Chance::new(seed), Instant::now());
        let lasts = if durability == "power" { LASTS_SYNCED } else { LASTS };
        Victims { bench, store, chance, usual: Duration::ZERO, begun, lasts, kills: 0, temps: 0 }
    }

    /// Four at least, however slow.
    fn is_enough(&self) -> bool {
        self.kills >= KILLS || self.kills >= 4 && self.begun.elapsed() > self.lasts
    }

    fn next(&self) -> Result<Side, Failure> {
        Side::new(self.bench, Party::Implementation, self.store)
    }

    /// Sends it all of these requests, kills it, and returns the answers that it gave before.
    fn kill(&mut self, side: &mut Side, requests: Vec<Value>) -> Result<Vec<Value>, Failure> {
        let begun = Instant::now();
        let asked: Vec<(String, u64)> =
            requests.into_iter().map(|request| (describe(&request), side.process.send(request))).collect();
        if self.kills > 0 {
            thread::sleep(self.usual.mul_f64(self.chance.part()));
            side.process.kill();
        }
        let mut answers = Vec::new();
        for (what, number) in asked {
            match side.process.receive(number, None) {
                Ok(answer) => answers.push(done(&what, answer)?),
                // It has been killed; a line may have been cut off.
                Err(Trouble::Errored(_)) if self.kills > 0 => break,
                Err(trouble) => return Err(trouble.into()),
            }
        }
        if self.kills == 0 {
            // The first one is killed when it is through, so that it is known how long that takes.
            self.usual = begun.elapsed();
            side.process.kill();
        }
        self.kills += 1;
        Ok(answers)
    }

    /// What holds after every kill, whatever was under way.
    fn aftermath(&mut self) -> Outcome {
        let temps = self.temps()?;
        ensure(temps <= self.temps + 1, || {
            format!(
                "after a kill: expected at most one temp more than the {} before, found {temps}",
                self.temps
            )
        })?;
        self.temps = temps;
        self.store.is_sound()
    }

    fn temps(&self) -> Result<usize, Failure> {
        let names = names(self.store)?;
        Ok(names.iter().filter(|name| name.starts_with(TEMP_PREFIX)).count())
    }
}

fn names(store: &Store) -> Result<Vec<String>, Failure> {
    let entries = fs::read_dir(&store.dir).map_err(|error| own("list the store")(&error))?;
    Ok(entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// The sessions of the store as the reference reads them, by their IDs, with their `n`.
fn sessions(store: &Store) -> Result<BTreeMap<String, i64>, Failure> {
    let mut found = BTreeMap::new();
    let sessions = store.library()?;
    let sessions = sessions.iter_sessions().map_err(|error| own("list the store")(&error))?;
    for session in sessions {
        let n = session.and_then(|session| {
            let id = session.id().map(|id| id.expose().to_owned()).unwrap_or_default();
            Ok((id, session.get("n")?.unwrap_or(0)))
        });
        match n {
            Ok((id, n)) => drop(found.insert(id, n)),
            Err(error) => {
                return failed(format!(
                    "after a kill: expected that each session can be loaded, found {error}"
                ));
            }
        }
    }
    Ok(found)
}

/// The lock of a session whose writer has been killed is free: the reference increments `m` at once.
fn lock_is_free(store: &Store, id: &SessionId) -> Outcome {
    // The kernel frees it when the process is gone; a driver's own children may take a moment longer.
    let store = Options::new().patience(AT_ONCE / 10).open(&store.dir);
    let store = store.map_err(|error| own("open the store")(&error))?;
    let done = store.update(&id.clone().into(), &mut |session| {
        let m: i64 = session.get("m")?.unwrap_or(0);
        Ok(session.insert("m", &(m + 1))?)
    });
    match done {
        Ok(_) => Ok(()),
        Err(Error::Busy { .. }) => {
            failed("after a kill: expected that the session's lock is free, found it busy")
        }
        Err(error) => {
            failed(format!("after a kill: expected that the reference can update the session, found {error}"))
        }
    }
}

fn update(id: &SessionId, filling: Option<usize>) -> Value {
    let mut changes = json!({ "add": [["n", "1"]] });
    if let Some(length) = filling {
        changes["set"] = json!([["filling", { "text": "x".repeat(length) }]]);
    }
    json!({ "op": "update", "id": id.expose(), "changes": changes })
}

/// With `growing`, each record needs a larger or a smaller file than the one before.
fn updates(bench: &mut Bench<'_>, durability: &str, growing: bool) -> Outcome {
    let Some(id) = ids().next() else { return Ok(()) };
    let store = Store::new(bench, "plain", durability)?;
    store.insert(&[&id])?;
    let mut victims = Victims::new(bench, &store, durability, 11);
    // A replacement is synced, which takes its time.
    let sent = if growing { 8 } else { SENT };
    let filling = |number: usize| growing.then_some(if number.is_multiple_of(2) { 60_000 } else { 100 });
    while !victims.is_enough() {
        let mut side = victims.next()?;
        let before = store.n(&id)? + 1;
        let answer = side.ok(update(&id, filling(1)))?;
        let n = n_of(&answer["session"])?;
        ensure(n == before, || {
            format!("`update` by the first process after a kill: expected n to be {before}, found {n}")
        })?;
        let requests = (0..sent).map(|number| update(&id, filling(number))).collect();
        let answers = victims.kill(&mut side, requests)?;
        between("n after a kill", store.n(&id)?, before, answers.len(), sent)?;
        lock_is_free(&store, &id)?;
        victims.aftermath()?;
    }
    Ok(())
}

/// The old state, or that after any of what was sent and not answered.
fn between(what: &str, found: i64, before: i64, answered: usize, sent: usize) -> Outcome {
    let plus = |count: usize| before.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
    let (least, most) = (plus(answered), plus(sent));
    ensure(least <= found && found <= most, || {
        format!(
            "{what}: expected from {least} to {most}, as {answered} of {sent} increments of {before} were answered, \
             found {found}"
        )
    })
}

fn creates(bench: &mut Bench<'_>, durability: &str) -> Outcome {
    let store = Store::new(bench, "plain", durability)?;
    let create = |n: i64| json!({ "op": "create", "changes": { "add": [["n", n.to_string()]] } });
    let mut victims = Victims::new(bench, &store, durability, 12);
    let mut numbers = 1_i64..;
    // What there is for certain.
    let mut known: BTreeMap<String, i64> = BTreeMap::new();
    while !victims.is_enough() {
        let mut side = victims.next()?;
        let sent: Vec<i64> = numbers.by_ref().take(SENT + 1).collect();
        let answer = side.ok(create(sent[0]))?;
        let mut answers = vec![answer];
        answers.extend(victims.kill(&mut side, sent[1..].iter().map(|n| create(*n)).collect())?);
        let answered = answers.iter().filter_map(|answer| answer["id"].as_str().map(str::to_owned));
        known.extend(answered.zip(sent.iter().copied()));
        let found = sessions(&store)?;
        for (id, n) in &known {
            ensure(found.get(id) == Some(n), || {
                let found = found.get(id).map_or("none".to_owned(), |n| format!("one with n = {n}"));
                format!(
                    "a session whose creation was answered before the kill: expected one with n = {n}, found {found}"
                )
            })?;
        }
        for (id, n) in &found {
            ensure(known.contains_key(id) || sent.contains(n), || {
                format!(
                    "after a kill: expected no session but those that were asked for, found one with n = {n}"
                )
            })?;
        }
        if let Some(id) = found.keys().next().and_then(|id| SessionId::new(id).ok()) {
            lock_is_free(&store, &id)?;
        }
        known = found;
        victims.aftermath()?;
    }
    Ok(())
}

fn deletes(bench: &mut Bench<'_>, durability: &str) -> Outcome {
    let store = Store::new(bench, "plain", durability)?;
    let delete = |id: &SessionId| json!({ "op": "delete", "id": id.expose() });
    let mut victims = Victims::new(bench, &store, durability, 13);
    let ids: Vec<SessionId> = ids().take(SENT + 1).collect();
    while !victims.is_enough() {
        let missing = sessions(&store)?;
        let missing: Vec<&SessionId> = ids.iter().filter(|id| !missing.contains_key(id.expose())).collect();
        store.insert(&missing)?;
        let mut side = victims.next()?;
        let existed = side.ok(delete(&ids[0]))?;
        ensure(existed["existed"] == true, || {
            "`delete` by the first process after a kill, of a session that is there: expected that it existed, found \
             that it did not"
                .to_owned()
        })?;
        let answers = victims.kill(&mut side, ids[1..].iter().map(delete).collect())?;
        let found = sessions(&store)?;
        for id in ids.iter().take(answers.len() + 1) {
            ensure(!found.contains_key(id.expose()), || {
                format!("session {id}, whose deletion was answered before the kill: expected none, found it")
            })?;
        }
        if let Some(id) = ids.last().filter(|id| found.contains_key(id.expose())) {
            lock_is_free(&store, id)?;
        }
        victims.aftermath()?;
    }
    Ok(())
}

fn rotates(bench: &mut Bench<'_>, durability: &str) -> Outcome {
    let store = Store::new(bench, "plain", durability)?;
    let Some(first) = ids().next() else { return Ok(()) };
    let mut session = Session::new();
    let set = session.insert("n", &0).and_then(|()| session.set_csrf("kit"));
    set.map_err(|error| own("set an attribute")(&error))?;
    store.put(&first, session)?;
    let rotate = json!({ "op": "rotate", "as": "session", "changes": { "add": [["n", "1"]] } });
    let mut victims = Victims::new(bench, &store, durability, 14);
    while !victims.is_enough() {
        let found = sessions(&store)?;
        let Some((id, n)) = found.iter().max_by_key(|(_, n)| **n) else {
            return failed("after a kill: expected a session, found none");
        };
        // Where a kill has left the old one too.
        for old in found.keys().filter(|old| *old != id) {
            let old = SessionId::new(old).map_err(|error| own("name a session")(&error))?;
            store.library()?.delete(&old.into()).map_err(|error| own("delete a session")(&error))?;
        }
        let before = n + 1;
        let mut side = victims.next()?;
        side.ok(json!({ "op": "load", "id": id, "as": "session" }))?;
        let mut answers = vec![side.ok(rotate.clone())?];
        answers.extend(victims.kill(&mut side, vec![rotate.clone(); SENT])?);
        let found = sessions(&store)?;
        let mut ns: Vec<i64> = found.values().copied().collect();
        ns.sort_unstable();
        ensure(matches!(ns[..], [_]) || matches!(ns[..], [old, new] if new == old + 1), || {
            format!(
                "after a kill: expected one session, or the old and the new one, found {} with n = {ns:?}",
                ns.len()
            )
        })?;
        between("n of the oldest session after a kill", ns[0], before, answers.len() - 1, SENT)?;
        let last = answers.last().and_then(|answer| answer["id"].as_str()).unwrap_or_default();
        let reached = before + i64::try_from(answers.len() - 1).unwrap_or(i64::MAX);
        if ns[0] == reached {
            ensure(found.get(last) == Some(&reached), || {
                format!(
                    "after a kill: expected the session that the last rotation answered, with n = {reached}, found {ns:?}"
                )
            })?;
        }
        for id in found.keys() {
            let id = SessionId::new(id).map_err(|error| own("name a session")(&error))?;
            lock_is_free(&store, &id)?;
        }
        victims.aftermath()?;
    }
    Ok(())
}
