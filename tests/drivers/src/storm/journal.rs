//! What each thread of a storm notes: a line with one write(2) before each operation, and one after it. A kill takes
//! nothing back that write(2) has taken. The times are of a clock that all processes of a system share, and so is the
//! clock of the store, which runs with it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use nix::time::{ClockId, clock_gettime};
use sessiondir::{Session, UnixMillis};

use super::{JUDGE, THREADS};
use crate::site::{CREATED, time};

/// Nanoseconds of the clock that nobody sets.
///
/// # Panics
/// There is no such clock.
#[must_use]
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a clock");
    u64::try_from(now.tv_sec()).expect("positive") * 1_000_000_000
        + u64::try_from(now.tv_nsec()).expect("positive")
}

/// What the clock of the store says at such a time.
#[must_use]
pub fn millis(now: u64) -> u64 {
    CREATED + now / 1_000_000
}

/// The clock of the store.
#[must_use]
pub fn clock() -> UnixMillis {
    time(millis(now()))
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the store's operations")]
pub enum Kind {
    Load,
    Save,
    Update,
    Grow,
    Shrink,
    Touch,
    Insert,
    Create,
    Rotate,
    Delete,
    Sweep,
    List,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 12] = [
        Kind::Load,
        Kind::Save,
        Kind::Update,
        Kind::Grow,
        Kind::Shrink,
        Kind::Touch,
        Kind::Insert,
        Kind::Create,
        Kind::Rotate,
        Kind::Delete,
        Kind::Sweep,
        Kind::List,
    ];

    /// As it stands in a journal.
    #[must_use]
    pub fn word(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// Whether it makes the session's next revision.
    #[must_use]
    pub fn is_change(self) -> bool {
        matches!(self, Kind::Save | Kind::Update | Kind::Grow | Kind::Shrink)
    }
}

/// What was seen of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The number that it was made with, which no other session has.
    pub generation: u64,
    /// Its revision.
    pub rev: u64,
    /// How many changes it has seen, as whoever changed it counted.
    pub n: u64,
    /// The same as the sum of each thread's own count.
    pub sum: u64,
    /// When it was accessed.
    pub accessed: u64,
}

impl Mark {
    /// Of a loaded session; `None` for one that no storm has made.
    #[must_use]
    pub fn of(session: &Session) -> Option<Mark> {
        let number = |key: &str| session.get::<u64>(key).ok().flatten();
        Some(Mark {
            generation: number("g")?,
            rev: session.rev(),
            n: number("n")?,
            sum: counts(session).iter().sum(),
            accessed: session.accessed().as_millis(),
        })
    }
}

/// Each thread's count of its own changes.
#[must_use]
pub fn counts(session: &Session) -> [u64; JUDGE + 1] {
    std::array::from_fn(|number| session.get(&counter(number)).ok().flatten().unwrap_or(0))
}

/// The attribute that a thread counts in.
#[must_use]
pub fn counter(number: usize) -> String {
    format!("w{number}")
}

/// A thread's notes.
#[derive(Debug)]
pub struct Journal(File);

impl Journal {
    /// Opens them to append.
    ///
    /// # Errors
    /// They cannot be.
    pub fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new().append(true).create(true).open(path).map(Journal)
    }

    fn line(&self, letter: char, text: &str) -> u64 {
        let now = now();
        let line = format!("{letter} {now} {text}\n");
        assert_eq!((&self.0).write(line.as_bytes()).expect("noted"), line.len());
        now
    }

    /// An operation is to begin; returns when.
    ///
    /// # Panics
    /// It cannot be noted.
    pub fn intent(&self, text: &str) -> u64 {
        self.line('I', text)
    }

    /// It has returned.
    ///
    /// # Panics
    /// It cannot be noted.
    pub fn answer(&self, text: &str) {
        self.line('A', text);
    }

    /// It has returned what was seen of sessions.
    pub fn seen<'a>(&self, sessions: impl IntoIterator<Item = &'a Session>) {
        let mut text = "seen".to_owned();
        for session in sessions {
            let (Some(id), Some(mark)) = (session.id(), Mark::of(session)) else {
                return self.answer("error not-of-this-storm");
            };
            let Mark { generation, rev, n, sum, accessed } = mark;
            text += &format!(" {}:{generation}:{rev}:{n}:{sum}:{accessed}", id.expose());
        }
        self.answer(&text);
    }
}

/// Whose notes they are, and when he was dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Author {
    /// The process, by its number in the storm.
    pub serial: u64,
    /// Its place among those that work at the same time.
    pub slot: usize,
    /// Whether it is in Python.
    pub is_python: bool,
    /// When it was dead.
    pub died: u64,
}

/// What an operation returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: it was killed.
    Killed,
    /// Sessions.
    Seen(Vec<(String, Mark)>),
    /// There is no such session.
    Absent,
    /// Of a touch, whether it wrote; of a deletion, whether it was there.
    Done(bool),
    /// Of a sweep: how many were removed, could not be dealt with, and temps.
    Swept([u64; 3]),
    /// The class of an error.
    Failed(String),
}

/// An operation, as it was noted.
#[derive(Clone, Debug)]
pub struct Op {
    /// By whom.
    pub author: Author,
    /// By which of his counters.
    pub counter: usize,
    /// What.
    pub kind: Kind,
    /// The session's ID; empty where there is none.
    pub name: String,
    /// What is based on a revision: generation and revision.
    pub base: Option<(u64, u64)>,
    /// Of what makes a session, its generation; of a sweep, the idle time.
    pub number: u64,
    /// Noted before it began.
    pub begin: u64,
    /// Noted after it had returned, or when its process was dead.
    pub end: u64,
    /// What it returned.
    pub answer: Answer,
}

/// Reads the notes of one thread. The last line may have been cut off by the kill: what it is about had not begun, or had
/// not returned to anybody.
///
/// # Errors
/// They are not what a worker writes: in words.
pub fn read(text: &str, author: Author, thread: usize) -> Result<Vec<Op>, String> {
    let mut ops: Vec<Op> = Vec::new();
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let wrong = || format!("a line that nobody writes: {line}");
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok()).ok_or_else(wrong);
        let word = *words.get(2).ok_or_else(wrong)?;
        let at = number(1)?;
        if words[0] == "I" {
            let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word).ok_or_else(wrong)?;
            let based = matches!(kind, Kind::Save | Kind::Rotate);
            ops.push(Op {
                author,
                counter: author.slot * THREADS + thread,
                kind,
                name: words.get(3).filter(|name| **name != "-").map_or(String::new(), ToString::to_string),
                base: if based { Some((number(4)?, number(5)?)) } else { None },
                number: match kind {
                    Kind::Rotate => number(6)?,
                    Kind::Insert | Kind::Create | Kind::Sweep => number(4)?,
                    _ => 0,
                },
                begin: at,
                end: author.died,
                answer: Answer::Killed,
            });
            continue;
        }
        let op = ops.last_mut().filter(|op| op.answer == Answer::Killed).ok_or_else(wrong)?;
        op.end = at;
        op.answer = match word {
            "seen" => Answer::Seen(
                words[3..].iter().map(|word| mark(word).ok_or_else(wrong)).collect::<Result<_, _>>()?,
            ),
            "absent" => Answer::Absent,
            "yes" | "no" => Answer::Done(word == "yes"),
            "swept" => Answer::Swept([number(3)?, number(4)?, number(5)?]),
            "error" => Answer::Failed((*words.get(3).ok_or_else(wrong)?).to_owned()),
            _ => return Err(wrong()),
        };
    }
    Ok(ops)
}

fn mark(word: &str) -> Option<(String, Mark)> {
    let (name, numbers) = word.split_once(':')?;
    let numbers: Vec<u64> = numbers.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [generation, rev, n, sum, accessed] = numbers[..] else { return None };
    Some((name.to_owned(), Mark { generation, rev, n, sum, accessed }))
}
