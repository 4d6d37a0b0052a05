//! The notes of a storm, put in order: what was seen of each session, when it was not there, and what may have ended it.

use std::collections::BTreeMap;

use super::journal::{Answer, Kind, Mark, Op, millis};

/// A session as it was stored while nobody was at work.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its ID.
    pub name: String,
    /// What there is of it.
    pub mark: Mark,
    /// Each thread's count.
    pub counts: Vec<u64>,
    /// When it was loaded.
    pub at: u64,
}

/// Seen of a generation of a session: it was there, so, at some moment between the two times.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    /// Before it was seen.
    pub begin: u64,
    /// After.
    pub end: u64,
    /// The revision.
    pub rev: u64,
    /// When it was last accessed.
    pub accessed: u64,
    /// Whether whoever saw it had made that revision.
    pub is_change: bool,
    /// The operation; `None` for one of [`Stored`].
    pub op: Option<usize>,
}

/// All of one generation: from its making to a rotation, a deletion or the end.
#[derive(Clone, Debug, Default)]
pub struct Generation {
    /// The session's ID.
    pub name: String,
    /// Before it was made.
    pub birth: u64,
    /// When whoever was to make it had returned or was dead.
    pub born: u64,
    /// All that was seen of it.
    pub sights: Vec<Sight>,
    /// Its first revision of this time.
    pub first_rev: u64,
    /// Times of touches that can only have been of it: before, and after.
    pub touches: Vec<(u64, u64)>,
    /// It was rotated when it had that revision.
    pub rotated: Option<(u64, usize)>,
}

impl Generation {
    /// From when on it was there, for sure.
    #[must_use]
    pub fn from(&self) -> u64 {
        self.sights.iter().map(|sight| sight.end).min().unwrap_or(u64::MAX)
    }

    /// Until when it was there, for sure.
    #[must_use]
    pub fn until(&self) -> u64 {
        let touches = self.touches.iter().map(|(begin, _)| *begin);
        self.sights.iter().map(|sight| sight.begin).chain(touches).max().unwrap_or(0)
    }
}

/// At some moment between two times there was that generation of a session, or none.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// Before.
    pub begin: u64,
    /// After.
    pub end: u64,
    /// Which; `None`: none.
    pub generation: Option<u64>,
    /// The operation; `None` where everybody was stopped.
    pub op: Option<usize>,
}

/// What may have ended a generation, or changed it.
#[derive(Clone, Copy, Debug)]
pub struct Deed {
    /// Before.
    pub begin: u64,
    /// After, or when it was killed.
    pub end: u64,
    /// What it was based on.
    pub base: Option<(u64, u64)>,
    /// By whose counter.
    pub counter: usize,
}

/// All of one session ID.
#[derive(Clone, Debug, Default)]
pub struct Name {
    /// What was there, by its beginning.
    pub events: Vec<Event>,
    /// Deletions and rotations: such as said so, or were killed.
    pub ends: Vec<Deed>,
    /// Changes that were killed.
    pub unsure: Vec<Deed>,
    /// Touches that have returned.
    pub touches: Vec<(u64, u64)>,
    /// Generations that may have been there.
    pub generations: Vec<u64>,
}

/// All of it.
#[derive(Debug, Default)]
pub struct History {
    /// By ID.
    pub names: BTreeMap<String, Name>,
    /// By number.
    pub generations: BTreeMap<u64, Generation>,
    /// Sweeps: before, after, and the idle time in milliseconds.
    pub sweeps: Vec<(u64, u64, u64)>,
    /// Refused saves and rotations: the operation, and what it was based on.
    pub conflicts: Vec<(usize, u64, u64)>,
    /// What is wrong at first sight: with the operation.
    pub faults: Vec<(String, Option<usize>)>,
}

impl History {
    /// Puts it in order. `before` was there when all began, and `after` when all were stopped.
    #[must_use]
    pub fn of(ops: &[Op], before: &[Stored], after: &[Stored], stopped: u64) -> Self {
        let mut history = History::default();
        for stored in before {
            let mark = &stored.mark;
            history.is_born(&stored.name, mark.generation, (0, 0), mark.rev);
        }
        for op in ops {
            let makes = matches!(op.kind, Kind::Insert | Kind::Create | Kind::Rotate);
            if makes && !matches!(op.answer, Answer::Failed(_)) {
                let name = if op.kind == Kind::Insert { op.name.as_str() } else { "" };
                history.is_born(name, op.number, (op.begin, op.end), 1);
            }
        }
        for stored in before.iter().chain(after) {
            history.see(&stored.name, &stored.mark, (stored.at, stored.at), false, None);
        }
        for (index, op) in ops.iter().enumerate() {
            history.take(index, op);
        }
        // Everybody was stopped when it was not there.
        let absent: Vec<String> =
            history.names.keys().filter(|name| after.iter().all(|s| s.name != **name)).cloned().collect();
        for name in absent {
            history.is_absent(&name, (stopped, stopped), None);
        }
        for (number, generation) in &history.generations {
            if let Some(name) = history.names.get_mut(&generation.name) {
                name.generations.push(*number);
            }
        }
        for name in history.names.values_mut() {
            name.events.sort_by_key(|event| event.begin);
        }
        history.assign_touches();
        history
    }

    fn is_born(&mut self, name: &str, number: u64, (birth, born): (u64, u64), first_rev: u64) {
        let name = name.to_owned();
        let new = Generation { name, birth, born, first_rev, ..Generation::default() };
        if self.generations.insert(number, new).is_some() {
            self.faults.push((format!("generation {number} was made twice"), None));
        }
    }

    fn name(&mut self, name: &str) -> &mut Name {
        if !self.names.contains_key(name) {
            self.names.insert(name.to_owned(), Name::default());
        }
        self.names.get_mut(name).expect("just put there")
    }

    fn is_absent(&mut self, name: &str, (begin, end): (u64, u64), op: Option<usize>) {
        self.name(name).events.push(Event { begin, end, generation: None, op });
    }

    fn see(&mut self, name: &str, mark: &Mark, (begin, end): (u64, u64), is_change: bool, op: Option<usize>) {
        let Mark { generation: number, rev, n, sum, accessed } = *mark;
        self.name(name).events.push(Event { begin, end, generation: Some(number), op });
        if n + 1 != rev || sum != n {
            self.faults
                .push((format!("revision {rev} after {n} changes, {sum} by their makers' counts"), op));
        }
        match self.generations.get_mut(&number) {
            None => self.faults.push((format!("nobody has made generation {number}"), op)),
            Some(generation) => {
                if generation.name.is_empty() {
                    name.clone_into(&mut generation.name);
                }
                if generation.name != name {
                    self.faults.push((format!("generation {number} is of {}", generation.name), op));
                }
                generation.sights.push(Sight { begin, end, rev, accessed, is_change, op });
            }
        }
    }

    fn take(&mut self, index: usize, op: &Op) {
        let (at, op_index) = ((op.begin, op.end), Some(index));
        let Op { kind, base, begin, end, counter, .. } = *op;
        let deed = Deed { begin, end, base, counter };
        match &op.answer {
            Answer::Seen(seen) => {
                let makes = kind.is_change() || matches!(kind, Kind::Insert | Kind::Create | Kind::Rotate);
                for (name, mark) in seen {
                    self.see(name, mark, at, makes, op_index);
                    let is_next = match kind {
                        Kind::Save => base == Some((mark.generation, mark.rev.saturating_sub(1))),
                        Kind::Insert | Kind::Create | Kind::Rotate => {
                            (mark.generation, mark.rev) == (op.number, 1)
                        }
                        _ => true,
                    };
                    let wanted = op.name.is_empty() || kind == Kind::Rotate || *name == op.name;
                    if !is_next || !wanted {
                        self.faults.push(("it returned another session than it was about".into(), op_index));
                    }
                }
                if kind == Kind::Rotate {
                    self.is_absent(&op.name, at, op_index);
                    self.name(&op.name).ends.push(deed);
                    if let Some((number, rev)) = base
                        && let Some(generation) = self.generations.get_mut(&number)
                    {
                        generation.rotated = Some((rev, index));
                    }
                }
            }
            Answer::Absent => self.is_absent(&op.name, at, op_index),
            Answer::Done(_) if kind == Kind::Touch => self.name(&op.name).touches.push(at),
            Answer::Done(was_there) => {
                self.is_absent(&op.name, at, op_index);
                if *was_there {
                    self.name(&op.name).ends.push(deed);
                }
            }
            Answer::Swept([_, failed, _]) => {
                self.sweeps.push((begin, end, op.number));
                if *failed > 0 {
                    self.faults.push((format!("{failed} files could not be dealt with"), op_index));
                }
            }
            Answer::Failed(class) => match (class.as_str(), kind) {
                ("gone", Kind::Touch | Kind::Rotate) => self.is_absent(&op.name, at, op_index),
                ("gone", _) if kind.is_change() => self.is_absent(&op.name, at, op_index),
                ("conflict", Kind::Save | Kind::Rotate) => {
                    let (number, rev) = base.unwrap_or_default();
                    self.conflicts.push((index, number, rev));
                }
                ("conflict", Kind::Insert) => {}
                _ => self.faults.push((format!("the error {class}"), op_index)),
            },
            Answer::Killed => match kind {
                Kind::Delete | Kind::Rotate => self.name(&op.name).ends.push(deed),
                Kind::Sweep => self.sweeps.push((begin, end, op.number)),
                _ if kind.is_change() => self.name(&op.name).unsure.push(deed),
                _ => {}
            },
        }
    }

    /// When it was there no more, at the latest.
    #[must_use]
    pub fn dead_by(&self, number: u64) -> u64 {
        let Some(generation) = self.generations.get(&number) else { return u64::MAX };
        let Some(name) = self.names.get(&generation.name) else { return u64::MAX };
        // One that nobody has seen was there after its maker had returned, or never.
        let is_unseen = generation.sights.is_empty();
        let (from, until) =
            if is_unseen { (generation.born, 0) } else { (generation.from(), generation.until()) };
        // What began before it was there for sure may have been before it.
        let first = name.events.partition_point(|event| event.begin <= from);
        let others = name.events[first..].iter();
        let others = others.filter(|event| event.generation != Some(number) && event.end >= until);
        // The events are short beside the time between them: the first few will do.
        others.take(64).map(|event| event.end).min().unwrap_or(u64::MAX)
    }

    /// A touch does not tell what it touched: where only one generation can have been there, it was that one.
    fn assign_touches(&mut self) {
        for name in self.names.values() {
            let lives: Vec<_> = name
                .generations
                .iter()
                .map(|number| (*number, self.generations[number].birth, self.dead_by(*number)))
                .collect();
            for (begin, end) in &name.touches {
                let mut there = lives.iter().filter(|(_, birth, dead)| birth <= end && dead >= begin);
                if let (Some((number, ..)), None) = (there.next(), there.next())
                    && let Some(generation) = self.generations.get_mut(number)
                    && !generation.sights.is_empty()
                {
                    generation.touches.push((*begin, *end));
                }
            }
        }
    }
}

/// The idle time that a session had at the end of a sweep, as the store counts it.
#[must_use]
pub fn idle(accessed: u64, swept: u64) -> u64 {
    millis(swept).saturating_sub(accessed)
}
