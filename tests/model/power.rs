//! A model of what power cuts can do to a session of durability `power`, for SPEC.md section 12.1.
//!
//! What is modelled: a name that leads to a file, in memory and on disk; files of two slots of two *blocks*, each in
//! memory and on disk; processes that save under the lock, in place or by a new file, as WRITE-3 to WRITE-7, WRITE-9, WRITE-13
//! and WRITE-14 say, and remember what they synced. At any time the system may write back any block or the name, a process
//! be killed, a sync fail (its blocks are clean from then on, as Linux has it, and may be read again from the disk), and
//! the power be cut: then what is in memory is lost, and all processes are new.
//!
//! Records have pieces in common, as two saves of a session have most of their bytes: a head with the seq and one bit of
//! the content, and a tail with another bit and the digest. A record is short (its digest is in the head, and zeros are
//! after it) or long.
//!
//! What is not: blocks that are torn within (their bytes are then no digest's), readers (see [`crate::readers`]), and
//! creation and deletion.
//!
//! The claims: what was reported as saved is there after every cut; a save that was taken back, or that another has
//! followed, never comes back; and there is always a whole record. They do not hold, as section 12.1 says, if a process is
//! killed after a sync has failed and before it has replaced the file.

use stateright::{Model, Property};

/// The seq of the record that is there at first, whole and on disk, alone in its file.
const FIRST_SEQ: u8 = 2;
const PROCESSES: usize = 2;

/// How much is to happen, and what is taken out of the protocol to see that it is needed.
#[derive(Clone, Debug)]
pub struct Protocol {
    pub saves: u8,
    pub kills: u8,
    pub cuts: u8,
    pub failed_syncs: u8,
    /// WRITE-4: the sync of the current record before the one before it is overwritten.
    pub sync_before: bool,
    /// WRITE-4: the sync of the directory too, if the other slot is empty.
    pub entry_before: bool,
    /// WRITE-5: the sync of what was written.
    pub sync_after: bool,
    /// WRITE-6: a slot that a cut has torn is not written in place.
    pub torn_slot: bool,
    /// WRITE-6: nor is one that holds anything after a whole record.
    pub stray_bytes: bool,
    /// WRITE-9: a save that changes nothing syncs what is there.
    pub sync_of_nothing: bool,
    /// WRITE-6: who has synced a record and not written it knows nothing of a slot that is torn.
    pub sound_to_know: bool,
    /// F5: a slot is written from its first byte on.
    pub in_order: bool,
    /// WRITE-7: the file is replaced at once after a sync that has failed.
    pub replace_after_failure: bool,
    /// WRITE-13: the sync of a new file before its rename.
    pub sync_new_file: bool,
    /// WRITE-14: the sync of the directory after it.
    pub sync_entry: bool,
    /// Whether a process may be killed after a sync has failed and before it has replaced the file.
    pub kills_after_failure: bool,
}

impl Protocol {
    /// As specified.
    #[must_use]
    pub fn whole(saves: u8, kills: u8, cuts: u8, failed_syncs: u8) -> Self {
        Protocol {
            saves,
            kills,
            cuts,
            failed_syncs,
            sync_before: true,
            entry_before: true,
            sync_after: true,
            torn_slot: true,
            stray_bytes: true,
            sync_of_nothing: true,
            sound_to_know: true,
            in_order: true,
            replace_after_failure: true,
            sync_new_file: true,
            sync_entry: true,
            kills_after_failure: false,
        }
    }
}

/// What a save writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    seq: u8,
    /// The bit that is in the head.
    first: bool,
    /// The bit that is in the tail; a short record has none.
    second: Option<bool>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Block {
    #[default]
    Zeros,
    /// Short: with the digest.
    Head { seq: u8, first: bool, short: bool },
    /// With the digest, which is of all of the record.
    Tail(Record),
}

type Slot = [Block; 2];

impl Record {
    fn blocks(self) -> Slot {
        let Record { seq, first, second } = self;
        let head = Block::Head { seq, first, short: second.is_none() };
        [head, if second.is_some() { Block::Tail(self) } else { Block::Zeros }]
    }

    fn slot(self) -> usize {
        usize::from(self.seq % 2)
    }

    /// The record after it, of the same content.
    fn again(self) -> Self {
        Record { seq: self.seq + 1, ..self }
    }
}

/// The whole record that is in a slot.
fn record([head, tail]: Slot) -> Option<Record> {
    match (head, tail) {
        (Block::Head { seq, first, short: true }, _) => Some(Record { seq, first, second: None }),
        (Block::Head { .. }, Block::Tail(record)) => (record.blocks()[0] == head).then_some(record),
        _ => None,
    }
}

/// SLOT-7.
fn current(file: &[Slot; 2]) -> Option<Record> {
    file.iter().filter_map(|slot| record(*slot)).max_by_key(|record| record.seq)
}

/// A file: what is in memory, what is on disk, and whether the system knows of a block that it is yet to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct File {
    memory: [Slot; 2],
    disk: [Slot; 2],
    dirty: [[bool; 2]; 2],
}

impl File {
    fn write_back(&mut self, slot: usize, block: usize) {
        if std::mem::take(&mut self.dirty[slot][block]) {
            self.disk[slot][block] = self.memory[slot][block];
        }
    }

    fn sync(&mut self) {
        BLOCKS.into_iter().for_each(|(slot, block)| self.write_back(slot, block));
    }

    fn cut(&mut self) {
        *self = File { memory: self.disk, disk: self.disk, dirty: Default::default() };
    }
}

const BLOCKS: [(usize, usize); 4] = [(0, 0), (0, 1), (1, 0), (1, 1)];

/// What a process does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Next {
    Nothing,
    /// WRITE-4.
    SyncBefore(Record),
    /// The next block of the slot.
    Write(Record, usize),
    /// WRITE-5.
    SyncAfter(Record),
    /// WRITE-9.
    SyncOfNothing,
    /// The rename of a new file with that record, which is synced.
    Rename(Record, Why),
    /// WRITE-14.
    SyncEntry(Record),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Why {
    Torn,
    Failure,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Process {
    next: Next,
    /// The record of which it knows that it is on disk, and in which file.
    knows: Option<(usize, Record)>,
    /// The file of which its last sync failed.
    suspect: Option<usize>,
}

const NEW: Process = Process { next: Next::Nothing, knows: None, suspect: None };

/// The state of everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    files: Vec<File>,
    /// The file to which the name leads, in memory and on disk.
    name: usize,
    name_on_disk: usize,
    processes: [Process; PROCESSES],
    saves: u8,
    kills: u8,
    cuts: u8,
    failed_syncs: u8,
    /// The record that has to be there after a cut, or one of those below: the last that was reported as saved, or
    /// that a cut has left.
    kept: Record,
    /// Those that have become current since.
    newer: Vec<Record>,
    /// What has gone wrong.
    wrong: Option<Wrong>,
}

/// See the claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wrong {
    /// There is no whole record.
    Corrupt,
    /// The record that is there is not one that may be there.
    Other,
}

/// A step of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A process takes the lock and begins to save this content.
    Save(usize, bool, Option<bool>),
    /// A process takes the lock and begins to save what is there already.
    SaveNothing(usize),
    /// It goes on.
    Go(usize),
    /// The sync that it makes fails.
    Fail(usize),
    Kill(usize),
    /// The system writes back a block of the file, or the name.
    WriteBack(usize, usize, usize),
    WriteBackName,
    /// It takes a block that it believes to be on disk out of memory.
    Evict(usize, usize, usize),
    Cut,
}

impl State {
    fn file(&mut self) -> &mut File {
        &mut self.files[self.name]
    }

    fn free(&self) -> bool {
        self.processes.iter().all(|process| process.next == Next::Nothing)
    }

    /// The record that is current while nobody has cut the power.
    fn last(&self) -> Record {
        *self.newer.last().unwrap_or(&self.kept)
    }

    /// What readers see has to be the last record, or the one that is becoming current by this step.
    fn look(&mut self, becoming: Option<Record>) {
        match current(&self.files[self.name].memory) {
            None => self.wrong = Some(Wrong::Corrupt),
            Some(record) if record == self.last() => {}
            Some(record) if becoming == Some(record) => self.newer.push(record),
            Some(_) => self.wrong = Some(Wrong::Other),
        }
    }

    /// Success is reported.
    fn done(&mut self, n: usize, record: Record) {
        (self.kept, self.newer) = (record, Vec::new());
        let knows = Some((self.name, record));
        self.processes[n] = Process { next: Next::Nothing, knows, suspect: None };
    }

    /// What was not reported as saved may be taken back: how much of it.
    fn take_back(&mut self) {
        match current(&self.files[self.name].memory) {
            None => self.wrong = Some(Wrong::Corrupt),
            Some(record) if record == self.kept => self.newer.clear(),
            Some(record) => match self.newer.iter().position(|newer| *newer == record) {
                Some(at) => self.newer.truncate(at + 1),
                None => self.wrong = Some(Wrong::Other),
            },
        }
    }

    fn cut(&mut self) {
        self.name = self.name_on_disk;
        self.files.iter_mut().for_each(File::cut);
        self.processes = [NEW; PROCESSES];
        self.take_back();
        (self.kept, self.newer) = (self.last(), Vec::new());
        // Nothing leads to the other files any more.
        self.files = vec![self.files[self.name]];
        (self.name, self.name_on_disk) = (0, 0);
    }
}

impl Protocol {
    /// Zeros from end to end, or a whole record with zeros after it.
    fn is_sound(&self, slot: Slot) -> bool {
        slot == Slot::default()
            || record(slot).is_some_and(|record| !self.stray_bytes || record.blocks() == slot)
    }

    /// What a process does that is to write this record: WRITE-6, WRITE-4.
    fn begin(&self, state: &State, n: usize, record: Record) -> Next {
        let process = &state.processes[n];
        let file = &state.files[state.name];
        let known = process.knows == current(&file.memory).map(|current| (state.name, current));
        let other = file.memory[record.slot()];
        if process.suspect == Some(state.name) {
            Next::Rename(record, Why::Failure)
        } else if known {
            Next::Write(record, 0)
        } else if self.torn_slot && !self.is_sound(other) {
            Next::Rename(record, Why::Torn)
        } else if self.sync_before {
            Next::SyncBefore(record)
        } else {
            Next::Write(record, 0)
        }
    }

    /// WRITE-4.
    fn sync_what_is_there(&self, state: &mut State, other: usize) {
        if self.entry_before && is_empty(state.file().memory[other]) {
            state.name_on_disk = state.name;
        }
        state.file().sync();
    }

    fn go(&self, state: &mut State, n: usize) -> Option<()> {
        match state.processes[n].next {
            Next::Nothing => return None,
            Next::SyncBefore(record) => {
                self.sync_what_is_there(state, record.slot());
                state.processes[n].next = Next::Write(record, 0);
            }
            Next::Write(record, block) => {
                let (slot, file) = (record.slot(), state.file());
                let place = if self.in_order { block } else { 1 - block };
                file.memory[slot][place] = record.blocks()[place];
                file.dirty[slot][place] = true;
                state.processes[n].next = match block {
                    0 => Next::Write(record, 1),
                    _ => Next::SyncAfter(record),
                };
                state.look(Some(record));
                if state.processes[n].next == Next::SyncAfter(record) && !self.sync_after {
                    state.done(n, record);
                }
            }
            Next::SyncAfter(record) => {
                state.file().sync();
                state.done(n, record);
            }
            Next::SyncOfNothing => {
                let record = state.last();
                let other = 1 - record.slot();
                let is_sound = self.is_sound(state.file().memory[other]);
                if self.sync_of_nothing {
                    self.sync_what_is_there(state, other);
                }
                state.done(n, record);
                if self.sound_to_know && !is_sound {
                    state.processes[n].knows = None;
                }
            }
            Next::Rename(record, _) => {
                let mut file = File::default();
                file.memory[record.slot()] = record.blocks();
                file.dirty = [[true; 2]; 2];
                if self.sync_new_file {
                    file.sync();
                }
                state.files.push(file);
                state.name = state.files.len() - 1;
                state.processes[n].next = Next::SyncEntry(record);
                state.look(Some(record));
                if !self.sync_entry {
                    state.done(n, record);
                }
            }
            Next::SyncEntry(record) => {
                state.name_on_disk = state.name;
                state.done(n, record);
            }
        }
        Some(())
    }

    /// What a sync that fails leaves is clean, and not on disk; what the system has written back before is.
    fn fail(&self, state: &mut State, n: usize) -> Option<()> {
        let last = state.processes[n].next;
        let next = match last {
            Next::SyncBefore(record) => Next::Rename(record, Why::Failure),
            Next::SyncAfter(record) if self.replace_after_failure => {
                Next::Rename(record.again(), Why::Failure)
            }
            Next::SyncOfNothing => Next::Rename(state.last().again(), Why::Failure),
            Next::SyncAfter(_) | Next::SyncEntry(_) => Next::Nothing,
            _ => return None,
        };
        if !matches!(last, Next::SyncEntry(_)) {
            state.file().dirty = Default::default();
        }
        state.processes[n] = Process { next, knows: None, suspect: Some(state.name) };
        Some(())
    }
}

fn is_empty(slot: Slot) -> bool {
    slot[0] == Block::Zeros
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let kept = Record { seq: FIRST_SEQ, first: false, second: Some(false) };
        let mut file = File::default();
        file.disk[kept.slot()] = kept.blocks();
        file.cut();
        vec![State {
            files: vec![file],
            name: 0,
            name_on_disk: 0,
            processes: [NEW; PROCESSES],
            saves: 0,
            kills: 0,
            cuts: 0,
            failed_syncs: 0,
            kept,
            newer: Vec::new(),
            wrong: None,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.wrong.is_some() {
            return;
        }
        for (n, process) in state.processes.iter().enumerate() {
            match process.next {
                Next::Nothing => {
                    if state.free() && state.saves < self.saves {
                        let contents = [Some(false), Some(true), None].into_iter();
                        steps.extend(
                            contents
                                .flat_map(|second| [false, true].map(|first| Step::Save(n, first, second))),
                        );
                        if process.knows != Some((state.name, state.last())) {
                            steps.push(Step::SaveNothing(n));
                        }
                    }
                    continue;
                }
                Next::SyncBefore(_) | Next::SyncAfter(_) | Next::SyncOfNothing | Next::SyncEntry(_)
                    if state.failed_syncs < self.failed_syncs =>
                {
                    steps.push(Step::Fail(n));
                }
                _ => {}
            }
            steps.push(Step::Go(n));
            let failed = matches!(process.next, Next::Rename(_, Why::Failure));
            if state.kills < self.kills && (self.kills_after_failure || !failed) {
                steps.push(Step::Kill(n));
            }
        }
        for (number, file) in state.files.iter().enumerate() {
            for (slot, block) in BLOCKS {
                if file.dirty[slot][block] {
                    steps.push(Step::WriteBack(number, slot, block));
                } else if file.memory[slot][block] != file.disk[slot][block] {
                    steps.push(Step::Evict(number, slot, block));
                }
            }
        }
        if state.name != state.name_on_disk {
            steps.push(Step::WriteBackName);
        }
        if state.cuts < self.cuts {
            steps.push(Step::Cut);
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Save(n, first, second) => {
                state.saves += 1;
                let seq = state.last().seq + 1;
                state.processes[n].next = self.begin(&state, n, Record { seq, first, second });
            }
            Step::SaveNothing(n) => {
                state.saves += 1;
                state.processes[n].next = if state.processes[n].suspect == Some(state.name) {
                    Next::Rename(state.last().again(), Why::Failure)
                } else {
                    Next::SyncOfNothing
                };
            }
            Step::Go(n) => self.go(&mut state, n)?,
            Step::Fail(n) => {
                state.failed_syncs += 1;
                self.fail(&mut state, n)?;
            }
            Step::Kill(n) => {
                state.kills += 1;
                state.processes[n] = NEW;
            }
            Step::WriteBack(file, slot, block) => state.files[file].write_back(slot, block),
            Step::WriteBackName => state.name_on_disk = state.name,
            Step::Evict(file, slot, block) => {
                let file = &mut state.files[file];
                file.memory[slot][block] = file.disk[slot][block];
                state.take_back();
            }
            Step::Cut => {
                state.cuts += 1;
                state.cut();
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always("there is a whole record", |_, state: &State| {
                state.wrong != Some(Wrong::Corrupt)
            }),
            Property::<Self>::always(
                "what was saved stays, and what was taken back does not return",
                |_, state: &State| state.wrong != Some(Wrong::Other),
            ),
            Property::<Self>::sometimes("a file is replaced since a slot is torn", |_, state: &State| {
                state.processes.iter().any(|process| matches!(process.next, Next::Rename(_, Why::Torn)))
            }),
            Property::<Self>::sometimes(
                "somebody writes over what a killed writer left",
                |model, state: &State| {
                    state.processes.iter().any(|process| match process.next {
                        Next::Write(record, 0) => {
                            !model.is_sound(state.files[state.name].memory[record.slot()])
                        }
                        _ => false,
                    })
                },
            ),
            Property::<Self>::sometimes("a cut takes a save back", |_, state: &State| {
                state.cuts > 0 && state.saves > 0 && state.free() && state.last().seq == FIRST_SEQ
            }),
        ]
    }
}
