//! A worker in Rust: random operations, each noted before and after it, until it is killed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sessiondir::sweep::SweepOptions;
use sessiondir::{DirectoryStore, Error, Options, Session, SessionId, SessionRef, SessionStore};

use super::journal::{Journal, Mark, clock, counter, millis};
use super::{SESSIONS, THREADS, fixed};
use crate::chance::Chance;
use crate::site::{CREATED, time};

/// With which a store is opened in a storm: nobody who waits that long will get a lock any more.
pub fn options() -> Options {
    Options::new().clock(clock).patience(Duration::from_secs(60)).resolution(Duration::ZERO)
}

/// Where a thread's notes are.
#[must_use]
pub fn notes(notes: &Path, serial: u64, thread: usize) -> PathBuf {
    notes.join(format!("{serial}.{thread}"))
}

/// Works until this process is killed.
///
/// # Panics
/// The store cannot be opened, or the notes.
pub fn work(dir: &Path, journals: &Path, serial: u64, slot: usize, seed: u64) {
    // Nobody is to be left behind by whoever started it.
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::SIGKILL).expect("a signal");
    let store = options().open(dir).expect("a store");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                let body = move || {
                    // Two stores in one process share their locks.
                    let own =
                        (thread > 0 && seed.is_multiple_of(2)).then(|| options().open(dir).expect("a store"));
                    let journal = Journal::open(&notes(journals, serial, thread)).expect("notes");
                    let number = slot * THREADS + thread;
                    let first = (serial << 20) | ((thread as u64) << 16);
                    let chance = Chance::new(seed.wrapping_mul(2).wrapping_add(thread as u64));
                    let mut worker =
                        Worker::new(own.as_ref().unwrap_or(store), journal, number, first, chance);
                    loop {
                        worker.step();
                    }
                };
                let ended: Result<(), _> = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
                // Whoever waits for it is to see that it was not killed.
                std::process::exit(i32::from(ended.is_err()) + 1);
            });
        }
    });
}

/// One thread, or whoever judges.
#[derive(Debug)]
pub struct Worker<'a> {
    store: &'a DirectoryStore,
    journal: Journal,
    counter: String,
    /// The generation that it makes next.
    next: u64,
    chance: Chance,
    /// Sessions that it has made and nobody else knows.
    own: Vec<SessionId>,
    /// One that it has loaded, to save it later.
    held: Option<Session>,
}

impl<'a> Worker<'a> {
    /// That counts in its own counter, and makes generations of its own.
    #[must_use]
    pub fn new(
        store: &'a DirectoryStore,
        journal: Journal,
        number: usize,
        next: u64,
        chance: Chance,
    ) -> Self {
        Worker { store, journal, counter: counter(number), next, chance, own: Vec::new(), held: None }
    }

    /// Most are of those that everybody knows, and of those most are of a few; the last ones are left alone for long
    /// enough to be idle.
    fn any(&mut self) -> SessionId {
        if !self.own.is_empty() && self.chance.one_in(5) {
            return self.chance.pick(&self.own).clone();
        }
        let number = match self.chance.below(50) {
            0 => SESSIONS - 1 - self.chance.below(4),
            1..=25 => self.chance.below(4),
            _ => 4 + self.chance.below(SESSIONS - 8),
        };
        SessionId::new(fixed(number)).expect("an ID")
    }

    /// Does something.
    pub fn step(&mut self) {
        let id = self.any();
        match self.chance.below(100) {
            0..=27 => drop(self.load(&id)),
            28..=44 => drop(self.update("update", &id, None)),
            45..=54 => {
                if let Some(session) = self.load(&id) {
                    self.save(session);
                }
            }
            // What it has loaded long ago is a conflict by now, or gone.
            55..=59 => match self.held.take() {
                Some(session) => self.save(session),
                None => self.held = self.load(&id),
            },
            60..=71 => self.touch(&id),
            72..=77 => {
                // Some so large that a kill comes within the write of a slot.
                let large = self.chance.one_in(8);
                let size = if large { 150_000 } else { 3_000 + self.chance.below(20_000) };
                drop(self.update("grow", &id, Some(size)));
            }
            78..=81 => drop(self.update("shrink", &id, Some(0))),
            82..=86 => {
                self.delete(&id);
                self.insert(&id);
            }
            87..=89 => {
                if let Some(session) = self.load(&id) {
                    self.rotate(session);
                }
            }
            90..=92 => self.create(),
            93..=94 if !self.own.is_empty() => {
                let id = self.own.swap_remove(self.chance.below(self.own.len()));
                self.delete(&id);
            }
            93..=95 => {
                let idle = 10 + self.chance.below(400) as u64;
                self.sweep(Some(idle));
            }
            _ => self.list(),
        }
    }

    /// It is not there: one of those that everybody knows comes back, as a new one.
    fn missed(&mut self, id: &SessionId) {
        if let Some(at) = self.own.iter().position(|own| own == id) {
            self.own.swap_remove(at);
        } else if self.chance.one_in(2) {
            self.insert(id);
        }
    }

    fn failed(&mut self, id: &SessionId, error: &Error) {
        self.journal.answer(&format!("error {}", error.class().name()));
        if matches!(error, Error::Gone { .. }) {
            self.missed(id);
        }
    }

    /// Loads a session.
    pub fn load(&mut self, id: &SessionId) -> Option<Session> {
        self.journal.intent(&format!("load {}", id.expose()));
        match self.store.load(&id.into()) {
            Ok(Some(session)) => {
                self.journal.seen([&session]);
                return Some(session);
            }
            Ok(None) => {
                self.journal.answer("absent");
                self.missed(id);
            }
            Err(error) => self.failed(id, &error),
        }
        None
    }

    /// What every change does: it counts.
    fn count(counter: &str, session: &mut Session, size: Option<usize>) -> Result<(), Error> {
        for key in ["n", counter] {
            let value = session.get::<u64>(key)?.unwrap_or(0);
            session.insert(key, &(value + 1))?;
        }
        match size {
            None => {}
            Some(0) => drop(session.remove("pad")),
            Some(size) => session.insert("pad", &"-".repeat(size))?,
        }
        Ok(())
    }

    /// Changes what is stored; with a size, to one that takes another file. Returns it as it is stored then.
    pub fn update(&mut self, word: &str, id: &SessionId, size: Option<usize>) -> Option<Session> {
        self.journal.intent(&format!("{word} {}", id.expose()));
        let counter = self.counter.clone();
        match self.store.update(&id.into(), &mut |session| Self::count(&counter, session, size)) {
            Ok(session) => {
                self.journal.seen([&session]);
                return Some(session);
            }
            Err(error) => self.failed(id, &error),
        }
        None
    }

    /// The revision that it is based on, for the notes.
    fn base(session: &Session) -> (SessionId, String) {
        let id = session.id().expect("stored").clone();
        let generation = Mark::of(session).map_or(0, |mark| mark.generation);
        let text = format!("{} {generation} {}", id.expose(), session.rev());
        (id, text)
    }

    fn save(&mut self, mut session: Session) {
        let (id, base) = Self::base(&session);
        Self::count(&self.counter, &mut session, None).expect("small numbers");
        self.journal.intent(&format!("save {base}"));
        match self.store.save(&mut session) {
            Ok(()) => self.journal.seen([&session]),
            Err(error) => self.failed(&id, &error),
        }
    }

    fn touch(&mut self, id: &SessionId) {
        self.journal.intent(&format!("touch {}", id.expose()));
        match self.store.touch(&id.into()) {
            Ok(wrote) => self.journal.answer(if wrote { "yes" } else { "no" }),
            Err(error) => self.failed(id, &error),
        }
    }

    fn generation(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A new session. No two are created at the same time, as the times of generated IDs are not asked to tell them apart.
    fn fresh(generation: u64, begin: u64) -> Session {
        let mut session = Session::at(time(CREATED - 157_766_400_000 + generation), time(millis(begin)));
        session.insert("g", &generation).and_then(|()| session.insert("n", &0)).expect("small");
        session
    }

    /// Makes a session of that ID.
    pub fn insert(&mut self, id: &SessionId) {
        let generation = self.generation();
        let begin = self.journal.intent(&format!("insert {} {generation}", id.expose()));
        let mut session = Self::fresh(generation, begin);
        match self.store.insert(id, &mut session) {
            Ok(()) => self.journal.seen([&session]),
            Err(error) => self.journal.answer(&format!("error {}", error.class().name())),
        }
    }

    fn create(&mut self) {
        let generation = self.generation();
        let begin = self.journal.intent(&format!("create - {generation}"));
        let mut session = Self::fresh(generation, begin);
        match self.store.create(&mut session) {
            Ok(id) => {
                self.journal.seen([&session]);
                self.own.push(id);
            }
            Err(error) => self.journal.answer(&format!("error {}", error.class().name())),
        }
    }

    fn rotate(&mut self, mut session: Session) {
        let (id, base) = Self::base(&session);
        let generation = self.generation();
        session.clear();
        session.insert("g", &generation).and_then(|()| session.insert("n", &0)).expect("small");
        self.journal.intent(&format!("rotate {base} {generation}"));
        match self.store.rotate(&mut session) {
            Ok(new) => {
                self.journal.seen([&session]);
                self.own.retain(|own| *own != id);
                self.own.push(new);
            }
            Err(error) => self.failed(&id, &error),
        }
    }

    /// Deletes a session.
    pub fn delete(&mut self, id: &SessionId) {
        self.journal.intent(&format!("delete {}", id.expose()));
        match self.store.delete(&SessionRef::from(id)) {
            Ok(was_there) => self.journal.answer(if was_there { "yes" } else { "no" }),
            Err(error) => self.journal.answer(&format!("error {}", error.class().name())),
        }
    }

    fn sweep(&mut self, idle: Option<u64>) {
        self.journal.intent(&format!("sweep - {}", idle.unwrap_or(u64::MAX)));
        let options = SweepOptions { idle: idle.map(Duration::from_millis), ..SweepOptions::default() };
        match self.store.sweep(&options) {
            Ok(done) => {
                self.journal.answer(&format!("swept {} {} {}", done.removed, done.failed, done.temps));
            }
            Err(error) => self.journal.answer(&format!("error {}", error.class().name())),
        }
    }

    fn list(&mut self) {
        self.journal.intent("list -");
        let listed = self.store.iter_sessions().and_then(Iterator::collect::<Result<Vec<_>, _>>);
        match listed {
            Ok(sessions) => self.journal.seen(&sessions),
            Err(error) => self.journal.answer(&format!("error {}", error.class().name())),
        }
    }
}
