//! What has to hold of a storm: no update is lost or made twice, no deletion is undone, nothing goes back in time, and
//! nothing goes without a reason.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Deed, Event, Generation, History, Name, Sight, Stored, idle};
use super::journal::{Answer, Op, millis};

/// What was found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What does not hold: in words, and the session that it is about.
    pub faults: Vec<(String, String)>,
    /// Generations that were there and have gone.
    pub gone: u64,
    /// Those of them that only a sweep can have taken.
    pub swept: u64,
    /// Changes by threads that were killed before they could note that they had returned.
    pub unnoted: u64,
    /// Touches of which it is known what they touched.
    pub touches: u64,
}

/// Judges what was noted. `before` was there when all began, and `after` when all were stopped.
#[must_use]
pub fn judge(ops: &[Op], before: &[Stored], after: &[Stored], stopped: u64) -> Verdict {
    let history = History::of(ops, before, after, stopped);
    let mut verdict = Verdict::default();
    for (fault, op) in &history.faults {
        let name = op.map_or("", |op| ops[op].name.as_str());
        verdict.faults.push((format!("{fault}: {}", words(ops, *op)), name.to_owned()));
    }
    let mut last_seen: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for (number, generation) in &history.generations {
        for sight in &generation.sights {
            let last = last_seen.entry((*number, sight.rev)).or_default();
            *last = (*last).max(sight.begin);
        }
        let Some(name) = history.names.get(&generation.name) else { continue };
        if generation.sights.is_empty() {
            continue;
        }
        verdict.touches += generation.touches.len() as u64;
        let mut faults = unbroken(*number, generation, name, ops);
        faults.extend(forward(generation, ops));
        let alive = after.iter().find(|stored| stored.mark.generation == *number);
        let dead_by = history.dead_by(*number);
        let old = before.iter().find(|stored| stored.mark.generation == *number);
        match counted(*number, generation, name, dead_by, ops, old, alive) {
            Ok(unnoted) => verdict.unnoted += unnoted,
            Err(fault) => faults.push(fault),
        }
        if alive.is_none() {
            verdict.gone += 1;
            match ended(*number, generation, name, dead_by, &history) {
                Ok(by_sweep) => verdict.swept += u64::from(by_sweep),
                Err(fault) => faults.push(fault),
            }
        }
        let with_name = |fault| (format!("generation {number}: {fault}"), generation.name.clone());
        verdict.faults.extend(faults.into_iter().map(with_name));
    }
    for (op, number, rev) in &history.conflicts {
        if last_seen.get(&(*number, *rev)).is_some_and(|last| *last > ops[*op].end) {
            let fault = format!("a conflict, and nobody had saved: {}", words(ops, Some(*op)));
            verdict.faults.push((fault, ops[*op].name.clone()));
        }
    }
    verdict
}

/// Between two moments at which a generation was there, it was there: nobody has missed it, deleted it, or seen another.
fn unbroken(number: u64, generation: &Generation, name: &Name, ops: &[Op]) -> Vec<String> {
    let (from, until) = (generation.from(), generation.until());
    let first = name.events.partition_point(|event| event.begin <= from);
    let within = name.events[first..].iter().take_while(|event| event.begin < until);
    let breaks = |event: &&Event| event.end < until && event.generation != Some(number);
    let last = generation.sights.iter().max_by_key(|sight| sight.begin).and_then(|sight| sight.op);
    let told = |event: &Event| {
        let there =
            event.generation.map_or("it was not there".to_owned(), |other| format!("{other} was there"));
        format!("{there}: {}; and then it was seen: {}", words(ops, event.op), words(ops, last))
    };
    within.filter(breaks).take(1).map(told).collect()
}

/// Whatever began after something had returned sees no older revision and no older access; a change makes a newer one.
fn forward(generation: &Generation, ops: &[Op]) -> Vec<String> {
    let mut by_begin: Vec<&Sight> = generation.sights.iter().collect();
    by_begin.sort_by_key(|sight| sight.begin);
    let mut done: Vec<(u64, u64, u64, Option<usize>)> =
        by_begin.iter().map(|sight| (sight.end, sight.rev, sight.accessed, sight.op)).collect();
    done.extend(generation.touches.iter().map(|(begin, end)| (*end, 0, millis(*begin), None)));
    done.sort_unstable();
    let (mut next, mut rev, mut accessed, mut op) = (0, 0, 0, None);
    let mut faults = Vec::new();
    for sight in by_begin {
        while next < done.len() && done[next].0 < sight.begin {
            if done[next].1 > rev {
                (rev, op) = (done[next].1, done[next].3);
            }
            accessed = accessed.max(done[next].2);
            next += 1;
        }
        let is_older = sight.rev < rev || (sight.is_change && sight.rev == rev);
        if is_older {
            faults.push(format!("back in time: {}, after {}", words(ops, sight.op), words(ops, op)));
        }
        if sight.accessed < accessed || (sight.is_change && sight.accessed < millis(sight.begin)) {
            faults.push(format!("an access is lost, of {accessed}: {}", words(ops, sight.op)));
        }
        if sight.accessed > millis(sight.end) {
            faults.push(format!("accessed in the future: {}", words(ops, sight.op)));
        }
    }
    faults.truncate(2);
    faults
}

/// Each revision was made once: by somebody who said so, or by a thread that was killed. Returns the number of the latter.
fn counted(
    number: u64,
    generation: &Generation,
    name: &Name,
    dead_by: u64,
    ops: &[Op],
    before: Option<&Stored>,
    after: Option<&Stored>,
) -> Result<u64, String> {
    let last = generation.sights.iter().map(|sight| sight.rev).max().unwrap_or(0);
    let mut noted = BTreeSet::new();
    let mut by_counter: BTreeMap<usize, [u64; 2]> = BTreeMap::new();
    for sight in &generation.sights {
        let Some(op) = sight.op.map(|op| &ops[op]).filter(|op| op.kind.is_change()) else { continue };
        if !noted.insert(sight.rev) {
            return Err(format!("revision {} was made twice: {}", sight.rev, words(ops, sight.op)));
        }
        by_counter.entry(op.counter).or_default()[0] += 1;
    }
    if let Some((rev, op)) = generation.rotated
        && last > rev
    {
        return Err(format!("revision {last} was left behind: {}", words(ops, Some(op))));
    }
    let missing: BTreeSet<u64> =
        (generation.first_rev + 1..=last).filter(|rev| !noted.contains(rev)).collect();
    let may_be = |deed: &&Deed| match deed.base {
        Some((base, rev)) => base == number && missing.contains(&(rev + 1)),
        None => generation.birth <= deed.end && dead_by >= deed.begin,
    };
    let mut unsure = 0;
    for deed in name.unsure.iter().filter(may_be) {
        by_counter.entry(deed.counter).or_default()[1] += 1;
        unsure += 1;
    }
    let unnoted = missing.len() as u64;
    if unnoted > unsure {
        return Err(format!("{unnoted} revisions that nobody has made, with {unsure} that were killed"));
    }
    if let Some(after) = after {
        for (counter, now) in after.counts.iter().enumerate() {
            let old = before.map_or(0, |before| before.counts[counter]);
            let [sure, unsure] = by_counter.get(&counter).copied().unwrap_or_default();
            if *now < old + sure || *now > old + sure + unsure {
                return Err(format!(
                    "counter {counter} stands at {now}, with {old} before, {sure} noted and {unsure} killed"
                ));
            }
        }
    }
    Ok(unnoted)
}

/// It has gone: somebody has deleted or rotated it, or it was idle for as long as a sweep wanted. Returns whether it can
/// only have been a sweep.
fn ended(
    number: u64,
    generation: &Generation,
    name: &Name,
    dead_by: u64,
    history: &History,
) -> Result<bool, String> {
    let until = generation.until();
    let is_of = |base: Option<(u64, u64)>| base.is_none_or(|(base, _)| base == number);
    let is_then = |begin: u64, end: u64| end >= until && begin <= dead_by;
    if name.ends.iter().any(|deed| is_of(deed.base) && is_then(deed.begin, deed.end)) {
        return Ok(false);
    }
    let touches = generation.touches.iter().map(|(begin, _)| millis(*begin));
    let accessed = generation.sights.iter().map(|sight| sight.accessed).chain(touches).max().unwrap_or(0);
    let sweeps: Vec<_> =
        history.sweeps.iter().filter(|(begin, end, _)| is_then(*begin, *end)).copied().collect();
    if sweeps.iter().any(|(_, end, wanted)| idle(accessed, *end) >= *wanted) {
        return Ok(true);
    }
    let known: Vec<_> =
        sweeps.iter().map(|(_, end, wanted)| format!("{} of {wanted} ms", idle(accessed, *end))).collect();
    Err(format!(
        "it has gone between {until} and {dead_by}, and nobody has taken it; it was idle in sweeps for {known:?}"
    ))
}

/// An operation in words.
#[must_use]
pub fn words(ops: &[Op], op: Option<usize>) -> String {
    let Some(op) = op.and_then(|op| ops.get(op)) else { return "when all were stopped".to_owned() };
    let language = if op.author.is_python { "Python" } else { "Rust" };
    let answer = match &op.answer {
        Answer::Seen(seen) => {
            let about = seen.iter().filter(|(name, _)| *name == op.name || seen.len() == 1);
            let revs: Vec<_> = about.map(|(_, mark)| format!("{}.{}", mark.generation, mark.rev)).collect();
            format!("{} seen {}", seen.len(), revs.join(" "))
        }
        other => format!("{other:?}"),
    };
    let base = op.base.map_or(String::new(), |(number, rev)| format!(" on {number}.{rev}"));
    format!(
        "[{}..{}] {language} {}/{} {} {}{base} ({}) -> {answer}",
        op.begin,
        op.end,
        op.author.serial,
        op.counter,
        op.kind.word(),
        op.name,
        op.number
    )
}
