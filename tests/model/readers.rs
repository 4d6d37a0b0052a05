//! A model of how one session is read and written, small enough to read, for SPEC.md section 12.2.
//!
//! What is modelled: a name that leads to a file; files of two slots; writers that exclude each other by the lock, save
//! in place byte group by byte group in any order, replace the file, delete it, create it again, and can be killed
//! between any two steps; readers that copy the file byte group by byte group in any order, judge the copy as section
//! 10.2 says, look a second time where READ-4 says so, start over, and end under the lock.
//!
//! What is not: the bytes themselves. A slot is three *cells*: the high and the low digit of seq, and the rest of the
//! record. Each cell remembers which write it is of; a digest holds if all three are of one write. Digits are of base
//! 8 instead of 256, and the first seq is 6, so that a carry comes early: a head that is half written can then bear a
//! number that nobody wrote, as the bytes of 511 and 513 mixed read as 257.
//!
//! The claim: a load returns what was current at some moment between its beginning and its end. A record is current
//! from the moment in which its last cell is written (its rename, where it is in a new file), until the next one is.

use stateright::{Model, Property};

/// The base of the digits of seq.
const BASE: u8 = 8;
/// The first seq: the carry comes within the next writes.
const FIRST_SEQ: u8 = 6;
/// The cells of a slot: high digit, low digit, the rest of the record.
const CELLS: usize = 3;
/// All of both slots.
const ALL: u8 = 0b11_1111;
const WRITERS: usize = 2;

/// What the model consists of, and what is taken out of it to see that it is needed.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// How many changes there are in all.
    pub changes: u8,
    /// How many readers there are, of one load each.
    pub readers: usize,
    /// After how many rounds without an answer a reader takes the lock (READ-5, READ-6).
    pub rounds: u8,
    /// Whether writers may be killed.
    pub kills: bool,
    /// Whether there are replacements, deletions and creations beside saves in place.
    pub other_files: bool,
    /// READ-4: the second look at a candidate's seq.
    pub second_read: bool,
    /// READ-4: only a fellow slot that is empty or bears the seq before spares it.
    pub seq_before: bool,
    /// SLOT-2: a record's slot follows from its seq.
    pub parity: bool,
    /// LOCK-1: writers exclude each other.
    pub lock: bool,
    /// SLOT-6: a record whose digest does not hold is not taken.
    pub digest: bool,
}

impl Protocol {
    /// As specified.
    #[must_use]
    pub fn whole(changes: u8, readers: usize) -> Self {
        Protocol {
            changes,
            readers,
            rounds: 2,
            kills: true,
            other_files: true,
            second_read: true,
            seq_before: true,
            parity: true,
            lock: true,
            digest: true,
        }
    }
}

/// A part of a slot, and which write it is of; that of write 0 is zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cell {
    digit: u8,
    write: u8,
}

type File = [[Cell; CELLS]; 2];

/// Which state of the session it is: each change that completes makes the next one.
type Version = u8;

/// A record: what a write writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    seq: u8,
    write: u8,
    slot: usize,
}

impl Record {
    fn cells(self) -> [Cell; CELLS] {
        let cell = |digit| Cell { digit, write: self.write };
        [cell(self.seq / BASE), cell(self.seq % BASE), cell(0)]
    }
}

/// What a writer is doing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Writer {
    Idle,
    /// Holds the lock.
    Locked,
    /// Writes the record into the file, of which these cells are still to be written.
    Saving {
        file: usize,
        record: Record,
        left: u8,
    },
}

/// What a reader is doing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Reader {
    /// In which round of its load, which began when this version was current.
    Opening { round: u8, since: Option<Version> },
    /// With the lock, if it is the last round.
    Copying { file: usize, copy: File, left: u8, round: u8, since: Version },
    /// The second look at the candidate's head.
    Again { file: usize, candidate: Record, seen: [u8; 2], left: u8, round: u8, since: Version },
    /// With what it returned, and what had become current by then.
    Done { since: Version, got: Got, until: Version },
}

/// What a load returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Got {
    Version(Version),
    /// Bytes that no writer wrote.
    Rubbish,
    /// No answer, even under the lock.
    Nothing,
}

/// The state of everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// Every file that there ever was.
    files: Vec<File>,
    /// The one that the name leads to.
    name: Option<usize>,
    lock: Option<Holder>,
    writers: [Writer; WRITERS],
    readers: Vec<Reader>,
    changes: u8,
    writes: u8,
    /// The version that is current.
    current: Version,
    /// Of each write, the version that its completion made.
    completed: Vec<Option<Version>>,
    /// The newest version that any load has returned.
    returned: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Holder {
    Writer(usize),
    Reader(usize),
}

/// A step of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A writer takes the lock.
    Take(usize),
    /// It begins to save in place.
    Save(usize),
    /// It writes a cell; with the last one its record is current.
    Write(usize, u8),
    /// It renames a new file to the name.
    Replace(usize),
    /// It unlinks the name, or creates the session anew where there is none.
    Delete(usize),
    /// See [`Step::Delete`].
    Create(usize),
    /// It is killed; the system releases its lock.
    Kill(usize),
    /// A reader opens the name; in its last round, under the lock.
    Open(usize),
    /// It copies a cell.
    Copy(usize, u8),
    /// It looks again at a digit of the candidate's seq.
    Look(usize, u8),
}

/// What a reader makes of a copy: section 10.2, steps 5 and 6.
enum Verdict {
    Current(Record),
    Candidate(Record),
    None,
}

/// The head of a slot.
enum Head {
    Empty,
    Bears(u8),
    Unreadable,
}

impl Protocol {
    fn head(&self, slot: &[Cell; CELLS], index: usize) -> Head {
        if slot[0].write == 0 {
            return Head::Empty;
        }
        let seq = slot[0].digit * BASE + slot[1].digit;
        if self.parity && usize::from(seq % 2) != index { Head::Unreadable } else { Head::Bears(seq) }
    }

    /// The record in the slot, if it is whole.
    fn record(&self, slot: &[Cell; CELLS], index: usize) -> Option<Record> {
        let Head::Bears(seq) = self.head(slot, index) else { return None };
        let write = slot[0].write;
        let whole = slot.iter().all(|cell| cell.write == write);
        // Without a digest a mixture is taken for a record; of write 0, which nobody made.
        let write = if whole { write } else { 0 };
        (whole || !self.digest).then_some(Record { seq, write, slot: index })
    }

    fn judge(&self, copy: &File) -> Verdict {
        let heads = [self.head(&copy[0], 0), self.head(&copy[1], 1)];
        let newer = match heads {
            [Head::Bears(zero), Head::Bears(one)] => usize::from(one > zero),
            [Head::Bears(_), _] => 0,
            [_, Head::Bears(_)] => 1,
            _ => return Verdict::None,
        };
        let older = 1 - newer;
        if let Some(record) = self.record(&copy[newer], newer) {
            return match heads[older] {
                Head::Empty => Verdict::Current(record),
                Head::Bears(seq) if seq + 1 == record.seq => Verdict::Current(record),
                _ if !self.seq_before => Verdict::Current(record),
                _ => Verdict::Candidate(record),
            };
        }
        match self.record(&copy[older], older) {
            Some(record) => Verdict::Candidate(record),
            None => Verdict::None,
        }
    }

    /// Under the lock nobody else writes, so this is no copy.
    fn current(&self, file: &File) -> Option<Record> {
        match self.judge(file) {
            Verdict::Current(record) | Verdict::Candidate(record) => Some(record),
            Verdict::None => None,
        }
    }

    /// The record after the current one.
    fn next(&self, state: &mut State, file: usize) -> Option<Record> {
        let current = self.current(&state.files[file])?;
        let seq = current.seq + 1;
        state.writes += 1;
        state.completed.push(None);
        // Without parity a writer takes the first slot always, as a store without the rule might.
        let slot = if self.parity { usize::from(seq % 2) } else { 0 };
        Some(Record { seq, write: state.writes, slot })
    }

    fn end(&self, state: &mut State, reader: usize, since: Version, got: Got) {
        if state.lock == Some(Holder::Reader(reader)) {
            state.lock = None;
        }
        if let Got::Version(version) = got {
            state.returned = state.returned.max(version);
        }
        state.readers[reader] = Reader::Done { since, got, until: state.current };
    }

    /// What the record is that a load returns.
    fn got(state: &State, record: Record) -> Got {
        let version = state.completed.get(usize::from(record.write)).copied().flatten();
        version.filter(|_| record.write > 0).map_or(Got::Rubbish, Got::Version)
    }

    /// Another round, unless that was the last.
    fn start_over(&self, state: &mut State, reader: usize, round: u8, since: Version) {
        if round >= self.rounds {
            self.end(state, reader, since, Got::Nothing);
        } else {
            state.readers[reader] = Reader::Opening { round: round + 1, since: Some(since) };
        }
    }
}

/// A new file with one record.
fn file_with(record: Record) -> File {
    let mut file = File::default();
    file[record.slot] = record.cells();
    file
}

/// A change has completed: it is current now.
fn complete(state: &mut State, write: Option<u8>) {
    state.current += 1;
    if let Some(write) = write {
        state.completed[usize::from(write)] = Some(state.current);
    }
}

/// The cells that a mask has.
fn cells(mask: u8) -> impl Iterator<Item = u8> {
    (0..8).filter(move |cell| mask & (1 << cell) != 0)
}

fn place(cell: u8) -> (usize, usize) {
    (usize::from(cell) / CELLS, usize::from(cell) % CELLS)
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let first = Record { seq: FIRST_SEQ, write: 1, slot: 0 };
        let made = file_with(first);
        // As it was made; and with a save in place after it that was killed with any of its cells written.
        let mut torn = made;
        let killed = Record { seq: FIRST_SEQ + 1, write: 2, slot: 1 };
        torn[1][1] = killed.cells()[1];
        torn[1][0] = killed.cells()[0];
        let mut headless = made;
        headless[1][2] = killed.cells()[2];
        [made, torn, headless]
            .into_iter()
            .map(|file| State {
                files: vec![file],
                name: Some(0),
                lock: None,
                writers: std::array::from_fn(|_| Writer::Idle),
                readers: vec![Reader::Opening { round: 0, since: None }; self.readers],
                changes: 0,
                writes: 2,
                current: 1,
                completed: vec![None, Some(1), None],
                returned: 0,
            })
            .collect()
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let free = !self.lock || state.lock.is_none();
        for (n, writer) in state.writers.iter().enumerate() {
            match writer {
                Writer::Idle if free && state.changes < self.changes => steps.push(Step::Take(n)),
                Writer::Idle => {}
                Writer::Locked => match state.name {
                    Some(_) if self.other_files => {
                        steps.extend([Step::Save(n), Step::Replace(n), Step::Delete(n)]);
                    }
                    Some(_) => steps.push(Step::Save(n)),
                    None => steps.push(Step::Create(n)),
                },
                Writer::Saving { left, .. } => {
                    steps.extend(cells(*left).map(|cell| Step::Write(n, cell)));
                    if self.kills {
                        steps.push(Step::Kill(n));
                    }
                }
            }
        }
        for (n, reader) in state.readers.iter().enumerate() {
            match reader {
                Reader::Opening { round, .. } => {
                    if *round < self.rounds || free {
                        steps.push(Step::Open(n));
                    }
                }
                Reader::Copying { left, .. } => steps.extend(cells(*left).map(|cell| Step::Copy(n, cell))),
                Reader::Again { left, .. } => steps.extend(cells(*left).map(|cell| Step::Look(n, cell))),
                Reader::Done { .. } => {}
            }
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Take(n) => {
                state.lock = Some(Holder::Writer(n));
                state.writers[n] = Writer::Locked;
                state.changes += 1;
            }
            Step::Save(n) => {
                let file = state.name?;
                let record = self.next(&mut state, file)?;
                state.writers[n] = Writer::Saving { file, record, left: 0b111 };
            }
            Step::Write(n, cell) => {
                let Writer::Saving { file, record, left } = state.writers[n].clone() else { return None };
                state.files[file][record.slot][usize::from(cell)] = record.cells()[usize::from(cell)];
                let left = left & !(1 << cell);
                if left == 0 {
                    complete(&mut state, Some(record.write));
                    release(&mut state, n);
                } else {
                    state.writers[n] = Writer::Saving { file, record, left };
                }
            }
            Step::Replace(n) => {
                let file = state.name?;
                let record = self.next(&mut state, file)?;
                state.files.push(file_with(record));
                state.name = Some(state.files.len() - 1);
                complete(&mut state, Some(record.write));
                release(&mut state, n);
            }
            Step::Delete(n) => {
                state.name = None;
                complete(&mut state, None);
                release(&mut state, n);
            }
            Step::Create(n) => {
                state.writes += 1;
                state.completed.push(None);
                let record = Record { seq: FIRST_SEQ, write: state.writes, slot: 0 };
                state.files.push(file_with(record));
                state.name = Some(state.files.len() - 1);
                complete(&mut state, Some(record.write));
                release(&mut state, n);
            }
            Step::Kill(n) => release(&mut state, n),
            Step::Open(n) => {
                let Reader::Opening { round, since } = state.readers[n] else { return None };
                let since = since.unwrap_or(state.current.max(state.returned));
                match state.name {
                    // Absent now, and so it is what is current now.
                    None => {
                        let now = Got::Version(state.current);
                        self.end(&mut state, n, since, now);
                    }
                    Some(file) => {
                        if round >= self.rounds {
                            state.lock = Some(Holder::Reader(n));
                        }
                        state.readers[n] =
                            Reader::Copying { file, copy: File::default(), left: ALL, round, since };
                    }
                }
            }
            Step::Copy(n, cell) => {
                let Reader::Copying { file, mut copy, left, round, since } = state.readers[n].clone() else {
                    return None;
                };
                let (slot, at) = place(cell);
                copy[slot][at] = state.files[file][slot][at];
                let left = left & !(1 << cell);
                state.readers[n] = Reader::Copying { file, copy, left, round, since };
                if left == 0 {
                    match self.judge(&copy) {
                        Verdict::Current(record) => {
                            let got = Self::got(&state, record);
                            self.end(&mut state, n, since, got);
                        }
                        Verdict::Candidate(candidate) if self.second_read => {
                            state.readers[n] =
                                Reader::Again { file, candidate, seen: [0; 2], left: 0b11, round, since };
                        }
                        Verdict::Candidate(record) => {
                            let got = Self::got(&state, record);
                            self.end(&mut state, n, since, got);
                        }
                        Verdict::None => self.start_over(&mut state, n, round, since),
                    }
                }
            }
            Step::Look(n, cell) => {
                let Reader::Again { file, candidate, mut seen, left, round, since } =
                    state.readers[n].clone()
                else {
                    return None;
                };
                seen[usize::from(cell)] = state.files[file][candidate.slot][usize::from(cell)].digit;
                let left = left & !(1 << cell);
                state.readers[n] = Reader::Again { file, candidate, seen, left, round, since };
                if left == 0 {
                    if seen[0] * BASE + seen[1] == candidate.seq {
                        let got = Self::got(&state, candidate);
                        self.end(&mut state, n, since, got);
                    } else {
                        self.start_over(&mut state, n, round, since);
                    }
                }
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always("a load returns what a writer wrote", |_, state: &State| {
                each(state, |_, got, _| got != Got::Rubbish)
            }),
            Property::<Self>::always("a load that began later returns nothing older", |_, state: &State| {
                each(state, |since, got, _| !matches!(got, Got::Version(version) if version < since))
            }),
            Property::<Self>::always("a load returns nothing that is yet to come", |_, state: &State| {
                each(state, |_, got, until| !matches!(got, Got::Version(version) if version > until))
            }),
            Property::<Self>::always("a load ends with an answer", |_, state: &State| {
                each(state, |_, got, _| got != Got::Nothing)
            }),
            Property::<Self>::sometimes("a load meets a newer record", |_, state: &State| {
                state.readers.iter().any(|reader| match reader {
                    Reader::Done { since, got: Got::Version(version), .. } => version > since,
                    _ => false,
                })
            }),
            Property::<Self>::sometimes("a reader looks again", |_, state: &State| {
                state.readers.iter().any(|reader| matches!(reader, Reader::Again { .. }))
            }),
            Property::<Self>::sometimes("a reader takes the lock", |_, state: &State| {
                matches!(state.lock, Some(Holder::Reader(_)))
            }),
        ]
    }
}

/// Whether it holds of every load that has ended: of the version that was current when it began (or that a load had
/// returned by then), what it got, and the version that was current when it ended.
fn each(state: &State, holds: fn(Version, Got, Version) -> bool) -> bool {
    state.readers.iter().all(|reader| match reader {
        Reader::Done { since, got, until } => holds(*since, *got, *until),
        _ => true,
    })
}

/// A writer has ended, or is killed.
fn release(state: &mut State, n: usize) {
    if state.lock == Some(Holder::Writer(n)) {
        state.lock = None;
    }
    state.writers[n] = Writer::Idle;
}
