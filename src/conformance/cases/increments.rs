//! Several processes of the implementation and of the reference count in the same sessions, while others read:
//! nothing is lost, and nobody sees a number go back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::bench::{Bench, Party};
use super::super::case::{Case, Class, Failure, Outcome, done, ensure};
use super::super::process::Trouble;
use super::parties::{Side, Store, ids, n_of};
use crate::SessionId;

/// What is counted by whom.
#[derive(Clone, Copy)]
struct Plan {
    naming: &'static str,
    durability: &'static str,
    sessions: usize,
    /// How many processes of whom, in the order in which they begin.
    processes: &'static [(Party, usize)],
    threads: u32,
    /// One part in so many of what was asked for.
    part: u32,
}

const ONE: Plan = Plan {
    naming: "plain",
    durability: "process",
    sessions: 1,
    processes: &[(Party::Implementation, 4), (Party::Reference, 4)],
    threads: 1,
    part: 1,
};

/// Two of each.
const TWO: &[(Party, usize)] = &[(Party::Implementation, 2), (Party::Reference, 2)];

pub(crate) fn cases() -> Vec<Case> {
    let case = |id: &str, what: &str, rules: &str, plan: Plan| {
        Case::new(id, "12.3 No lost update", what, rules, &[Class::Writer], move |bench| count(bench, plan))
    };
    vec![
        case(
            "increments/one-session",
            "four processes of the implementation and four of the reference count in one session",
            "LOCK-1 WRITE-2 WRITE-10 READ-4",
            ONE,
        ),
        case(
            "increments/64-sessions",
            "four processes of the implementation and four of the reference count in 64 sessions",
            "LOCK-1 WRITE-2 WRITE-10 READ-4",
            Plan { sessions: 64, ..ONE },
        ),
        case(
            "increments/hashed",
            "two processes of each count in 8 sessions of a store of naming hashed",
            "LOCK-2 NAME-5 WRITE-10",
            Plan { naming: "hashed", sessions: 8, processes: TWO, ..ONE },
        ),
        case(
            "increments/power",
            "two processes of each count in 2 sessions of a store of durability power",
            "WRITE-4 WRITE-5 WRITE-10",
            Plan { durability: "power", sessions: 2, processes: TWO, part: 10, ..ONE },
        ),
        case(
            "increments/threads",
            "two processes of each count in 8 sessions, with four threads each",
            "LOCK-7 LOCK-8 LOCK-9",
            Plan { sessions: 8, processes: TWO, threads: 4, part: 2, ..ONE },
        )
        .needs(&["threads"]),
        case(
            "locks/L5/implementation-implementation",
            "two processes of the implementation count in one session",
            "LOCK-1 WRITE-10",
            Plan { processes: &[(Party::Implementation, 2)], ..ONE },
        ),
        // Who began is at work when the other one comes. The referees are in no pair: they write no records.
        case(
            "locks/L5/implementation-reference",
            "a process of the implementation counts in a session, and one of the reference joins in",
            "LOCK-1 WRITE-10",
            Plan { processes: &[(Party::Implementation, 1), (Party::Reference, 1)], ..ONE },
        ),
        case(
            "locks/L5/reference-implementation",
            "a process of the reference counts in a session, and one of the implementation joins in",
            "LOCK-1 WRITE-10",
            Plan { processes: &[(Party::Reference, 1), (Party::Implementation, 1)], ..ONE },
        ),
    ]
}

fn count(bench: &Bench<'_>, plan: Plan) -> Outcome {
    let store = Store::new(bench, plan.naming, plan.durability)?;
    let ids: Vec<SessionId> = ids().take(plan.sessions).collect();
    store.insert(&ids.iter().collect::<Vec<_>>())?;
    let times = bench.commands.increments.div_ceil(plan.part);
    let mut sides = Vec::new();
    for &(party, count) in plan.processes {
        for _ in 0..count {
            sides.push(Side::new(bench, party, &store)?);
        }
    }
    let mut readers =
        [Side::new(bench, Party::Implementation, &store)?, Side::new(bench, Party::Reference, &store)?];
    let exposed: Vec<&str> = ids.iter().map(SessionId::expose).collect();
    let each = u64::from(times) * u64::from(plan.threads);
    let all = each * sides.len() as u64;
    // Long enough for a slow language on a slow disk, and no longer than need be for one that does not end.
    let within = bench.timeout() + Duration::from_millis(100) * u32::try_from(all).unwrap_or(u32::MAX);
    let until = Instant::now() + within;
    let mut working = Vec::new();
    for (number, side) in sides.iter_mut().enumerate() {
        let request = json!({ "op": "worker", "ids": exposed, "times": times, "threads": plan.threads });
        working.push((number, side.process.send(request)));
    }
    let mut seen: BTreeMap<&SessionId, i64> = BTreeMap::new();
    let mut next = ids.iter().cycle();
    while !working.is_empty() && Instant::now() < until {
        let Some(id) = next.next() else { break };
        for reader in &mut readers {
            sample(reader, id, &mut seen, all)?;
        }
        let mut still = Vec::new();
        for (number, asked) in working {
            let side = &mut sides[number];
            if side.process.waits(asked, Duration::ZERO)? {
                still.push((number, asked));
            } else {
                finished(side, asked, each)?;
            }
        }
        working = still;
    }
    if let Some((number, asked)) = working.pop() {
        let who = sides[number].party.name();
        let trouble = sides[number].process.receive(asked, Some(Duration::ZERO)).err();
        return Err(trouble.map_or_else(
            || Failure::Hang(format!("`worker` of the {who} took longer than {} s", within.as_secs())),
            |trouble: Trouble| trouble.into(),
        ));
    }
    for id in &ids {
        for reader in &mut readers {
            sample(reader, id, &mut seen, all)?;
        }
    }
    drop((sides, readers));
    let mut total = 0;
    for id in &ids {
        let n = store.n(id)?;
        let rev = store.load(id)?.map_or(0, |session| session.rev());
        ensure(i64::try_from(rev).is_ok_and(|rev| rev == n + 1), || {
            format!("rev of session {id}, in which n is {n}: expected {}, found {rev}", n + 1)
        })?;
        total += n;
    }
    ensure(u64::try_from(total) == Ok(all), || {
        format!("the sum of n after {all} increments: expected {all}, found {total}")
    })?;
    store.is_sound()
}

fn finished(side: &mut Side, asked: u64, each: u64) -> Outcome {
    let what = format!("`worker` of the {}", side.party.name());
    let answer = done(&what, side.process.receive(asked, None)?)?;
    ensure(answer["done"].as_str() == Some(&*each.to_string()), || {
        format!("{what}: expected {each} increments done, found {}", answer["done"])
    })
}

/// Loads follow one another, whoever makes them: so neither reader may see less than the other has.
fn sample<'a>(
    reader: &mut Side,
    id: &'a SessionId,
    seen: &mut BTreeMap<&'a SessionId, i64>,
    all: u64,
) -> Outcome {
    let loaded = reader.ok(json!({ "op": "load", "id": id.expose() }))?;
    let n = n_of(&loaded["session"])?;
    let last = seen.insert(id, n).unwrap_or(0);
    let who = reader.party.name();
    ensure(n >= last, || {
        format!(
            "a load of session {id} by the {who}: expected n of {last} or more, as that was loaded before, found {n}"
        )
    })?;
    ensure(u64::try_from(n).is_ok_and(|n| n <= all), || {
        format!("a load of session {id} by the {who}: expected n of at most {all}, found {n}")
    })
}
