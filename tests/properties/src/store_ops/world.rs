//! A store, the model of it, and the comparison of both after each step.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sessiondir::check::{Event, FindingKind, check};
use sessiondir::sweep::SweepOptions;
use sessiondir::{
    DirectoryStore, Durability, ErrorClass, Key, Naming, Options, Session, SessionId, SessionRef,
    SessionStore,
};

use super::durable::{Unsynced, assert_durable, assert_locked};
use super::faults::Attempt;
use super::model::Stored;
use super::program::{Fault, Program, Which};
use super::{IDS, Result, Tally, place, time};

/// When the clock starts: in January 2027.
const START: u64 = 1_800_000_000_000;

/// A session that was loaded or made, and what it has to be.
#[derive(Clone, Debug)]
pub(super) struct Copied {
    pub(super) session: Session,
    pub(super) model: Stored,
}

/// What an operation does where nothing fails.
#[derive(Clone, Debug, Default)]
pub(super) struct Effect {
    pub(super) fails: Option<ErrorClass>,
    /// The session that it changes, and what that becomes.
    pub(super) changes: Option<(Key, Option<Stored>)>,
    /// What it makes under an ID that it generates.
    pub(super) makes: Option<Stored>,
}

impl Effect {
    pub(super) fn fails(class: ErrorClass) -> Self {
        Effect { fails: Some(class), ..Effect::default() }
    }

    pub(super) fn of(key: Key, becomes: Option<Stored>) -> Self {
        Effect { changes: Some((key, becomes)), ..Effect::default() }
    }

    /// What the session that it changes becomes.
    pub(super) fn becomes(&self) -> Option<Stored> {
        self.changes.as_ref().and_then(|(_, becomes)| becomes.clone())
    }
}

/// What of two states an operation may have left.
#[derive(Clone, Copy, PartialEq)]
enum Left {
    Old,
    New,
    Either,
}

pub(super) struct World {
    path: PathBuf,
    pub(super) naming: Naming,
    durability: Durability,
    clock: Arc<AtomicU64>,
    store: Option<DirectoryStore>,
    /// Looks at all that there is, expired or not: by a clock at which nothing is.
    observer: DirectoryStore,
    references: Vec<SessionRef>,
    pub(super) copies: [Option<Copied>; 4],
    /// The sessions that have files.
    pub(super) files: BTreeMap<Key, Stored>,
    /// What a fault has left, until it heals.
    explained: BTreeSet<(FindingKind, Key)>,
    unsynced: Unsynced,
    tally: Tally,
}

impl World {
    pub(super) fn new(program: &Program) -> Self {
        let naming = if program.hashed { Naming::Hashed } else { Naming::Plain };
        let durability = if program.process { Durability::Process } else { Durability::Power };
        let path = place::store(naming, durability);
        let id = |text: &&str| SessionRef::from(SessionId::new(text).expect("an ID"));
        let observer = Options::new().clock(|| time(0)).patience(Duration::ZERO).read_only(true);
        let mut world = World {
            naming,
            durability,
            clock: Arc::new(AtomicU64::new(START)),
            store: None,
            observer: observer.open(&path).expect("a store"),
            references: IDS.iter().map(id).collect(),
            copies: [const { None }; 4],
            files: BTreeMap::new(),
            explained: BTreeSet::new(),
            unsynced: Unsynced::default(),
            tally: Tally::default(),
            path,
        };
        world.store = Some(world.options().open(&world.path).expect("a store"));
        world.checked(&world.attempt(None, None, |_| Ok(())));
        world
    }

    fn options(&self) -> Options {
        let clock = Arc::clone(&self.clock);
        Options::new().clock(move || time(clock.load(Ordering::SeqCst))).patience(Duration::ZERO)
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    pub(super) fn set_clock(&mut self, now: u64) {
        self.clock.store(now.clamp(START / 2, START * 2), Ordering::SeqCst);
    }

    /// Another reference that operations may name.
    pub(super) fn learn(&mut self, reference: SessionRef) {
        self.references.push(reference);
    }

    pub(super) fn reference(&self, which: Which) -> SessionRef {
        let reference = &self.references[usize::from(which.number) % self.references.len()];
        if which.by_key { SessionRef::Key(reference.key()) } else { reference.clone() }
    }

    /// The name of the session's file.
    fn file(&self, key: Key) -> Option<String> {
        match self.naming {
            Naming::Hashed => Some(key.to_hex()),
            Naming::Plain => {
                let reference = self.references.iter().find(|reference| reference.key() == key)?;
                Some(reference.id()?.expose().to_owned())
            }
        }
    }

    /// A reference of a session that has a file.
    fn known(&self, key: Key) -> SessionRef {
        self.references.iter().find(|reference| reference.key() == key).expect("learnt").clone()
    }

    /// How many temps there are.
    pub(super) fn temps(&self) -> usize {
        place::files(&self.path).iter().filter(|name| name.starts_with(".tmp.")).count()
    }

    /// SLOT-5, WRITE-6: so many bytes are left in its slot for a record to grow by when only its numbers do.
    pub(super) fn assert_spare(&self, key: Key) {
        let spare = self.file(key).map(|file| place::spare(&self.path.join(file)));
        assert!(spare.is_none_or(|spare| spare >= 32), "{spare:?} bytes are left in the slot of {key}");
    }

    /// Whether the session has one.
    pub(super) fn has_temp(&self, key: Key) -> bool {
        self.file(key).is_some_and(|file| self.path.join(format!(".tmp.{file}")).exists())
    }

    /// Runs an operation on the session `key`, if it is on one.
    pub(super) fn attempt<T>(
        &self,
        fault: Option<Fault>,
        key: Option<Key>,
        run: impl FnOnce(&DirectoryStore) -> Result<T>,
    ) -> Attempt<T> {
        let file = key.and_then(|key| self.file(key)).map(|file| self.path.join(file));
        let tear = move |bytes| {
            if let Some(file) = &file {
                place::tear(file, bytes);
            }
        };
        Attempt::new(fault, tear, || run(self.store.as_ref().expect("open")))
    }

    pub(super) fn reopen(&mut self, fault: Option<Fault>) {
        let attempt = Attempt::new(fault, |_| (), || self.options().open(&self.path));
        // A store that cannot be opened is opened again: the old one has ended in any case.
        self.settle(&attempt, &Effect::default());
        self.restart();
    }

    fn restart(&mut self) {
        self.store = None;
        self.store = Some(self.options().open(&self.path).expect("a store"));
        self.unsynced.reopened(self.files.keys().copied());
    }

    /// Every session that there is.
    fn seen(&self) -> BTreeMap<Key, (SessionRef, Stored)> {
        let sessions = self.observer.iter_sessions().expect("lists");
        sessions
            .map(|session| {
                let session = session.expect("every session can be read");
                let reference = session.reference().expect("stored").clone();
                (reference.key(), (reference, Stored::of(&session)))
            })
            .collect()
    }

    /// Compares what an operation came to with what it was to do; returns the key of the session that it made.
    pub(super) fn settle<T: std::fmt::Debug>(
        &mut self,
        attempt: &Attempt<T>,
        effect: &Effect,
    ) -> Option<Key> {
        let left = self.result(attempt, effect.fails);
        let (seen, mut made) = (self.seen(), None);
        let is_change = seen.iter().any(|(key, (_, now))| self.files.get(key) != Some(now))
            || seen.len() != self.files.len();
        self.tally.changes += usize::from(is_change && left == Left::New);
        self.tally.killed_late += usize::from(is_change && attempt.is_killed());
        let mut is_moved = None;
        let changed = effect.changes.as_ref().map(|(key, _)| key);
        let keys: BTreeSet<Key> = seen.keys().chain(self.files.keys()).chain(changed).copied().collect();
        for key in keys {
            let now = seen.get(&key).map(|(_, stored)| stored);
            match (&effect.changes, self.files.get(&key)) {
                (Some((changed, new)), old) if *changed == key => {
                    let (is_old, is_new) = (now == old, now == new.as_ref());
                    let fits = match left {
                        Left::Old => is_old,
                        Left::New => is_new,
                        Left::Either => is_old || is_new,
                    };
                    assert!(fits, "{key} was {old:?}, to be {new:?}, and is {now:?} after {attempt:?}");
                    is_moved = Some(is_new);
                }
                (_, Some(old)) => {
                    assert_eq!(Some(old), now, "{key} is not what {attempt:?} was to change");
                }
                (_, None) => {
                    assert!(made.is_none(), "two sessions made by {attempt:?}");
                    assert_eq!(effect.makes.as_ref(), now, "{key}, made by {attempt:?}");
                    made = Some(key);
                }
            }
        }
        if effect.makes.is_some() {
            assert!(made.is_some() || left != Left::New, "no session made by {attempt:?}");
            // A rotation leaves the old session, or the new one, or both.
            assert!(is_moved != Some(true) || made.is_some(), "the session is lost by {attempt:?}");
            if left != Left::New && !attempt.may_leave_debris() {
                let moved = is_moved == Some(true);
                assert_eq!(made.is_some(), moved, "a session whose ID nobody knows, made by {attempt:?}");
            }
        }
        let file = effect.changes.as_ref().and_then(|(key, _)| Some((*key, self.file(*key)?)));
        self.durable(attempt, file.as_ref(), made);
        self.files = seen.iter().map(|(key, (_, stored))| (*key, stored.clone())).collect();
        if !matches!(attempt.result, Some(Ok(_)))
            && let Some(key) = made
        {
            // Nobody knows its ID; but the operator sees it.
            self.learn(seen[&key].0.clone());
        }
        if is_change || attempt.may_have_changed() {
            self.checked(attempt);
        }
        made
    }

    /// As [`World::settle`], of a sweep that is to remove the sessions `due`.
    pub(super) fn settle_sweep<T: std::fmt::Debug>(
        &mut self,
        attempt: &Attempt<T>,
        due: &BTreeSet<Key>,
        dry_run: bool,
    ) {
        self.result(attempt, None);
        let seen = self.seen();
        let is_sure = attempt.fault.is_none() && !dry_run;
        for (key, old) in &self.files {
            match seen.get(key).map(|(_, stored)| stored) {
                Some(now) => {
                    assert_eq!(now, old, "changed by {attempt:?}");
                    assert!(!is_sure || !due.contains(key), "{key} left by {attempt:?}");
                }
                None => assert!(!dry_run && due.contains(key), "{key} removed by {attempt:?}"),
            }
        }
        assert!(seen.len() <= self.files.len(), "a session made by {attempt:?}");
        self.files = seen.into_iter().map(|(key, (_, stored))| (key, stored)).collect();
        self.checked(attempt);
    }

    /// What the result says of the state.
    fn result<T: std::fmt::Debug>(&mut self, attempt: &Attempt<T>, fails: Option<ErrorClass>) -> Left {
        self.tally.operations += 1;
        assert_locked(&attempt.calls);
        let error = match &attempt.result {
            None => {
                self.tally.killed += 1;
                return Left::Either;
            }
            Some(Ok(_)) => {
                self.tally.survived += usize::from(attempt.fault.is_some());
                assert_eq!(fails, None, "it was to fail: {attempt:?}");
                return Left::New;
            }
            Some(Err(error)) => error.class(),
        };
        if Some(error) == fails {
            self.tally.conflicts += usize::from(error == ErrorClass::Conflict);
            return Left::Old;
        }
        assert!(attempt.explains(error), "it was to give {fails:?}: {attempt:?}");
        self.tally.failed += 1;
        if error != ErrorClass::OutcomeUnknown {
            return Left::Old;
        }
        self.tally.unknown += 1;
        Left::Either
    }

    /// Looks at what was synced.
    fn durable<T>(&mut self, attempt: &Attempt<T>, file: Option<&(Key, String)>, made: Option<Key>) {
        let failed = !matches!(attempt.result, Some(Ok(_))) || attempt.fault.is_some();
        if let Some(Ok(_)) = attempt.result {
            let session = file.map(|(key, file)| (*key, file.as_str()));
            let old = session.filter(|(key, _)| self.files.contains_key(key));
            assert_durable(&attempt.calls, self.durability, &self.unsynced, old);
        }
        if let Some((key, file)) = file {
            self.unsynced.note(&attempt.calls, *key, file, failed);
        }
        if let Some(key) = made {
            // Its name is not known before; it was made, and by this instance.
            self.unsynced.made(key);
        }
    }

    /// The checker finds what the model expects, and what a fault explains.
    pub(super) fn checked<T: std::fmt::Debug>(&mut self, attempt: &Attempt<T>) {
        let mut expected: BTreeSet<(FindingKind, Key)> = BTreeSet::new();
        for (key, stored) in &self.files {
            if stored.is_of_the_future(self.now()) {
                expected.insert((FindingKind::FutureAccess, *key));
            }
            let legacy = SessionId::new(IDS[0]).expect("an ID").key();
            if *key == legacy && self.naming == Naming::Plain {
                expected.insert((FindingKind::LegacyId, *key));
            }
        }
        let mut found = BTreeSet::new();
        let summary = check(&self.path, &self.options(), &mut |event| {
            if let Event::Finding(finding) = event {
                let session =
                    finding.place.session().unwrap_or_else(|| panic!("{finding} after {attempt:?}"));
                found.insert((finding.kind, session.key()));
            }
        })
        .expect("a store");
        assert_eq!(summary.sessions, self.files.len() as u64);
        let expired = self.files.values().filter(|stored| stored.is_expired(self.now())).count();
        assert_eq!(summary.expired, expired as u64);
        let missing: Vec<_> = expected.difference(&found).collect();
        assert!(missing.is_empty(), "not found: {missing:?} after {attempt:?}");
        let mut explained = BTreeSet::new();
        for extra in found.difference(&expected) {
            let debris = match extra.0 {
                FindingKind::Temp => attempt.may_leave_debris(),
                // A write in place that was cut off.
                FindingKind::DamagedSlot | FindingKind::StrayBytes => attempt.is_killed(),
                _ => false,
            };
            let is_new = !self.explained.contains(extra);
            assert!(debris || !is_new, "{extra:?} after {attempt:?}");
            self.tally.debris += usize::from(is_new);
            explained.insert(*extra);
        }
        // What is not found any more has healed, and is not explained if it comes again.
        self.explained = explained;
        if attempt.is_killed() {
            self.restart();
        }
    }

    /// Whatever was left heals, and nothing stays open.
    pub(super) fn finish(mut self) -> Tally {
        let run = |world: &Self, run: &dyn Fn(&DirectoryStore) -> Result<()>| world.attempt(None, None, run);
        let attempt = run(&self, &|store| store.sweep(&SweepOptions::default()).map(drop));
        let due = self.files.iter().filter(|(_, stored)| stored.is_expired(self.now())).map(|(key, _)| *key);
        let due: BTreeSet<Key> = due.collect();
        self.settle_sweep(&attempt, &due, false);
        for key in self.files.keys().copied().collect::<Vec<_>>() {
            let stored = self.files[&key].clone();
            let mut content = stored.content.clone();
            content.number = Some(content.number.map_or(7, |number| number + 1));
            let reference = self.known(key);
            let effect = Effect::of(key, Some(stored.saved(&content, self.now())));
            let attempt = self.attempt(None, Some(key), |store| {
                store.update(&reference, &mut |session| Ok(session.insert("n", &content.number)?))
            });
            self.settle(&attempt, &effect);
        }
        // By now all that was left has been written over.
        self.explained.clear();
        self.checked(&run(&self, &|_| Ok(())));
        for key in self.files.keys().copied().collect::<Vec<_>>() {
            let reference = self.known(key);
            let attempt = self.attempt(None, Some(key), |store| store.delete(&reference));
            self.settle(&attempt, &Effect::of(key, None));
        }
        let World { path, store, observer, tally, .. } = self;
        assert_eq!(place::files(&path), [""; 0], "all is deleted");
        drop((store, observer));
        assert!(
            place::descriptors(&path).is_none_or(|open| open == 0),
            "a descriptor of the store is still open"
        );
        tally
    }
}
