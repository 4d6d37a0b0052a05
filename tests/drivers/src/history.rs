//! Operations of several processes on one session, what came of each, and whether they could have been done one after the
//! other: in an order in which none comes before another that had ended when it began (linearizability).

use std::fmt;
use std::time::Duration;

use sessiondir::check::{self, check};
use sessiondir::sweep::SweepOptions;
use sessiondir::{DirectoryStore, Error, Options, Result, Session, SessionRef, SessionStore};

use crate::case::MAIN;
use crate::schedule::Span;
use crate::site::{CREATED, NOW, Site, id, options, time};

/// An operation, on the session [MAIN] where it is on one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// And hold what was loaded.
    Load,
    /// Every session.
    List,
    /// The checker.
    Check,
    /// Of the session that is held, with a change.
    Save,
    /// The same, of a record that its slot has no room for.
    Grow,
    /// The same, of one that is small again.
    Shrink,
    /// Adds one to `n`.
    Update,
    /// Moves `accessed`.
    Touch,
    /// A logout.
    Delete,
    /// Under its ID; holds it.
    Insert,
    /// A new ID for the session that is held.
    Rotate,
    /// Of sessions that nobody has used for half an hour.
    Sweep,
    /// Another session.
    Create,
}

/// What can be seen of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Made at.
    pub created: u64,
    /// Its revision.
    pub rev: u64,
    /// How often it was updated.
    pub n: u64,
    /// Whose saves are in it: a bit each.
    pub saves: u64,
    /// Whether it is large.
    pub is_big: bool,
    /// Whether it was accessed since the operations began.
    pub is_fresh: bool,
}

/// What came of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The session, or that there is none.
    Session(Option<Seen>),
    /// Of a touch: that it has written; of a deletion and of a sweep: that it has removed the session.
    Done(bool),
    /// There was nothing to do: nothing was held.
    Nothing,
    /// The error of that class.
    Failed(u8),
}

/// What an operation that fails as it may fails with.
const CONFLICT: u8 = sessiondir::ErrorClass::Conflict as u8;
const GONE: u8 = sessiondir::ErrorClass::Gone as u8;

impl Seen {
    fn of(session: &Session) -> Self {
        let number = |key: &str| session.get(key).expect("a number").unwrap_or(0);
        Seen {
            created: session.created().as_millis(),
            rev: session.rev(),
            n: number("n"),
            saves: number("saves"),
            is_big: session.contains("big"),
            is_fresh: session.accessed().as_millis() == NOW,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Session(None) => write!(f, "absent"),
            Outcome::Session(Some(seen)) => {
                let Seen { created, rev, n, saves, is_big, is_fresh } = seen;
                write!(f, "session {created} {rev} {n} {saves} {} {}", u8::from(*is_big), u8::from(*is_fresh))
            }
            Outcome::Done(done) => write!(f, "done {}", u8::from(*done)),
            Outcome::Nothing => write!(f, "nothing"),
            Outcome::Failed(class) => write!(f, "failed {class}"),
        }
    }
}

impl Outcome {
    /// What [`fmt::Display`] wrote.
    ///
    /// # Panics
    /// It did not.
    #[must_use]
    pub fn parse(line: &str) -> Self {
        let mut words = line.split(' ');
        let word = words.next().expect("a word");
        let numbers: Vec<u64> = words.map(|word| word.parse().expect("a number")).collect();
        match (word, &numbers[..]) {
            ("absent", []) => Outcome::Session(None),
            ("session", &[created, rev, n, saves, big, fresh]) => {
                let (is_big, is_fresh) = (big == 1, fresh == 1);
                Outcome::Session(Some(Seen { created, rev, n, saves, is_big, is_fresh }))
            }
            ("done", &[done]) => Outcome::Done(done == 1),
            ("nothing", []) => Outcome::Nothing,
            ("failed", &[class]) => Outcome::Failed(u8::try_from(class).expect("a class")),
            _ => panic!("no outcome: {line}"),
        }
    }
}

/// The bit of an actor's operation in [`Seen::saves`].
fn bit(actor: usize, index: usize) -> u64 {
    1 << (8 * actor + index)
}

/// When the session of an actor's [`Op::Insert`] was made: by that it is told from all others of its ID.
fn made_at(actor: usize) -> u64 {
    NOW - 10 - actor as u64
}

/// What is there before: a session that was not used for an hour, and another one that is in use.
///
/// # Panics
/// It cannot be made.
pub fn prepare(site: &Site) {
    let store = site.open(CREATED);
    let mut session = Session::at(time(CREATED), time(CREATED));
    store.insert(&id(MAIN), &mut session).expect("stored");
    for n in [1, 2] {
        session.insert("n", &n).expect("fits");
        store.save(&mut session).expect("saved");
    }
    let mut other = Session::at(time(NOW), time(NOW));
    other.set_user("ada").expect("fits");
    store.insert(&id(crate::case::BYSTANDER), &mut other).expect("stored");
}

/// With which a store is opened by who waits for a lock as long as it takes.
fn patient() -> Options {
    options(NOW).patience(Duration::from_secs(600))
}

/// An actor at work.
#[derive(Debug)]
pub struct Hand<'a> {
    site: &'a Site,
    store: DirectoryStore,
    number: usize,
    held: Option<Session>,
}

impl<'a> Hand<'a> {
    /// Opens the store, with its lock file, and holds the session. It has patience.
    ///
    /// # Panics
    /// It cannot.
    #[must_use]
    pub fn new(site: &'a Site, number: usize) -> Self {
        let store = patient().open(&site.dir).expect("a store");
        store.update(&id(MAIN).into(), &mut |_| Ok(())).expect("nothing changed");
        let held = store.load(&id(MAIN).into()).expect("loads");
        Hand { site, store, number, held }
    }

    /// Does the operation, the actor's one of that index.
    pub fn perform(&mut self, op: Op, index: usize) -> Outcome {
        match self.try_to(op, index) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failed(error.class() as u8),
        }
    }

    fn try_to(&mut self, op: Op, index: usize) -> Result<Outcome> {
        let main = SessionRef::from(id(MAIN));
        let seen = |session: &Session| Outcome::Session(Some(Seen::of(session)));
        Ok(match op {
            Op::Load => {
                self.held = self.store.load(&main)?;
                Outcome::Session(self.held.as_ref().map(Seen::of))
            }
            Op::List => {
                let mut found = None;
                for session in self.store.iter_sessions()? {
                    let session = session?;
                    if session.reference().is_some_and(|reference| reference.key() == main.key()) {
                        assert!(found.replace(Seen::of(&session)).is_none(), "listed twice");
                    }
                }
                Outcome::Session(found)
            }
            Op::Check => {
                let mut findings = 0_u32;
                check(&self.site.dir, &patient(), &mut |event| {
                    findings += u32::from(matches!(event, check::Event::Finding(_)))
                })?;
                Outcome::Done(findings > 0)
            }
            Op::Save | Op::Grow | Op::Shrink | Op::Rotate if self.held.is_none() => Outcome::Nothing,
            Op::Save | Op::Grow | Op::Shrink => {
                let mut session = self.held.clone().expect("held");
                let saves: u64 = session.get("saves")?.unwrap_or(0);
                session.insert("saves", &(saves | bit(self.number, index)))?;
                match op {
                    Op::Grow => session.insert("big", &"x".repeat(9000))?,
                    Op::Shrink => drop(session.remove("big")),
                    _ => {}
                }
                self.store.save(&mut session)?;
                let outcome = seen(&session);
                self.held = Some(session);
                outcome
            }
            Op::Update => seen(&self.store.update(&main, &mut |session| {
                let n: u64 = session.get("n")?.unwrap_or(0);
                Ok(session.insert("n", &(n + 1))?)
            })?),
            Op::Touch => Outcome::Done(self.store.touch(&main)?),
            Op::Delete => Outcome::Done(self.store.delete(&main)?),
            Op::Insert => {
                let mut session = Session::at(time(made_at(self.number)), time(NOW));
                self.store.insert(&id(MAIN), &mut session)?;
                let outcome = seen(&session);
                self.held = Some(session);
                outcome
            }
            Op::Rotate => {
                let mut session = self.held.clone().expect("held");
                self.store.rotate(&mut session)?;
                self.held = None;
                Outcome::Done(true)
            }
            Op::Sweep => {
                let idle = Some(Duration::from_secs(1800));
                let swept = self.store.sweep(&SweepOptions { idle, ..SweepOptions::default() })?;
                if swept.failed > 0 {
                    let source = std::io::Error::other("something was left");
                    return Err(Error::Io { operation: "sweep", session: None, source });
                }
                Outcome::Done(swept.removed > 0)
            }
            Op::Create => {
                self.store.create(&mut Session::at(time(NOW), time(NOW)))?;
                Outcome::Done(true)
            }
        })
    }
}

/// What is there when all is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The session.
    pub session: Option<Seen>,
    /// How many others there are.
    pub others: usize,
}

impl End {
    /// As a new process sees it.
    ///
    /// # Panics
    /// It cannot read what is there.
    #[must_use]
    pub fn of(site: &Site) -> Self {
        let store = options(NOW).open(&site.dir).expect("a store");
        let session = store.load(&id(MAIN).into()).expect("loads").as_ref().map(Seen::of);
        let listed: Vec<Session> =
            store.iter_sessions().expect("lists").collect::<Result<_>>().expect("reads");
        End { session, others: listed.len() - usize::from(session.is_some()) }
    }
}

/// An operation that was done, when, and what came of it.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// Whose.
    pub actor: usize,
    /// Which of his.
    pub index: usize,
    /// What.
    pub op: Op,
    /// When.
    pub span: Span,
    /// What came of it.
    pub outcome: Outcome,
}

/// What is there, and what each actor holds, between two operations.
#[derive(Clone, Debug)]
struct World {
    end: End,
    held: Vec<Option<Seen>>,
}

impl World {
    /// Does the operation; returns what has to come of it.
    fn perform(&mut self, event: &Event) -> Outcome {
        let Event { actor, index, op, .. } = *event;
        let state = &mut self.end.session;
        let held = &mut self.held[actor];
        match op {
            Op::Load => {
                *held = *state;
                Outcome::Session(*state)
            }
            Op::List => Outcome::Session(*state),
            // The checker finds nothing: whatever is at work is no fault.
            Op::Check => Outcome::Done(false),
            Op::Save | Op::Grow | Op::Shrink | Op::Rotate => {
                let Some(base) = *held else { return Outcome::Nothing };
                let Some(current) = *state else { return Outcome::Failed(GONE) };
                if (base.created, base.rev) != (current.created, current.rev) {
                    return Outcome::Failed(CONFLICT);
                }
                if op == Op::Rotate {
                    (*state, *held) = (None, None);
                    self.end.others += 1;
                    return Outcome::Done(true);
                }
                let saves = base.saves | bit(actor, index);
                let is_big = op == Op::Grow || base.is_big && op == Op::Save;
                *state = Some(Seen { rev: current.rev + 1, saves, is_big, is_fresh: true, ..base });
                *held = *state;
                Outcome::Session(*state)
            }
            Op::Update => {
                let Some(current) = *state else { return Outcome::Failed(GONE) };
                *state = Some(Seen { rev: current.rev + 1, n: current.n + 1, is_fresh: true, ..current });
                Outcome::Session(*state)
            }
            Op::Touch => {
                let Some(current) = state else { return Outcome::Failed(GONE) };
                Outcome::Done(!std::mem::replace(&mut current.is_fresh, true))
            }
            Op::Delete => Outcome::Done(state.take().is_some()),
            Op::Insert => {
                if state.is_some() {
                    return Outcome::Failed(CONFLICT);
                }
                let created = made_at(actor);
                *state = Some(Seen { created, rev: 1, n: 0, saves: 0, is_big: false, is_fresh: true });
                *held = *state;
                Outcome::Session(*state)
            }
            Op::Sweep => {
                let is_idle = state.is_some_and(|session| !session.is_fresh);
                if is_idle {
                    *state = None;
                }
                Outcome::Done(is_idle)
            }
            Op::Create => {
                self.end.others += 1;
                Outcome::Done(true)
            }
        }
    }
}

/// Whether there is an order in which all that came of the events is right, and leads from `before` to `after`.
#[must_use]
pub fn is_linearizable(events: &[Event], before: End, after: End) -> bool {
    let actors = events.iter().map(|event| event.actor + 1).max().unwrap_or(0);
    let world = World { end: before, held: vec![before.session; actors] };
    search(&mut events.to_vec(), &world, after)
}

fn search(left: &mut Vec<Event>, world: &World, after: End) -> bool {
    if left.is_empty() {
        return world.end == after;
    }
    // Before any other had begun that has ended, it had to be done.
    let first_end = left.iter().map(|event| event.span.end).min().unwrap_or(u64::MAX);
    for at in 0..left.len() {
        if left[at].span.begin > first_end {
            continue;
        }
        let event = left.remove(at);
        let mut next = world.clone();
        let fits = next.perform(&event) == event.outcome && search(left, &next, after);
        left.insert(at, event);
        if fits {
            return true;
        }
    }
    false
}
