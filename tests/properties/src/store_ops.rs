//! A store under any sequence of operations, with calls that fail and kills in between, against a model.
//!
//! After each step every session is what the model says: what it was, or what the operation makes of it, as the result
//! has promised; where the result says that it does not know, or the process was killed, either. The checker finds what
//! the model expects and what a fault explains. An error that came once leaves nothing behind. In the end whatever was
//! left heals, and no descriptor is open.

mod durable;
mod faults;
mod model;
mod place;
mod program;
#[cfg(test)]
mod tests;
mod world;

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use sessiondir::sweep::SweepOptions;
use sessiondir::{Error, ErrorClass, Key, Naming, Session, SessionId, SessionRef, SessionStore, UnixMillis};

use faults::Attempt;
use model::Stored;
use program::{Change, Copy, Fault, Op, Span, Step, Which};
use world::{Copied, Effect, World};

pub use program::Program;

/// How many steps of a program are run.
pub const STEPS_MOST: usize = 24;
/// With so many sessions none is created: what can happen to many can happen to few, and faster.
const FILES_MOST: usize = 6;

/// The IDs that sessions are inserted under; the first is a legacy one.
const IDS: [&str; 4] = [
    "0SJaaIqvMIA",
    "AAAAAAAAAAAAAAAAAAAAAA",
    "-bcdefghijklmnopqrstuvwxyz_0123456789",
    "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",
];

fn time(millis: u64) -> UnixMillis {
    UnixMillis::from_millis(millis).expect("in range")
}

/// The property, of the program that the bytes are.
pub fn check(input: &[u8]) {
    if let Ok(program) = Program::arbitrary_take_rest(Unstructured::new(input)) {
        let _ = run(&program);
    }
}

/// Runs a program, and says what it has come to.
#[must_use]
pub fn run(program: &Program) -> Tally {
    let mut world = World::new(program);
    for step in &program.steps {
        world.step(*step);
    }
    world.finish()
}

/// What programs have come to, in numbers: so that a test sees that they come to everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Operations.
    pub operations: usize,
    /// Those that succeeded and changed something.
    pub changes: usize,
    /// Those that met an error number and succeeded nevertheless.
    pub survived: usize,
    /// Those that an error number made fail.
    pub failed: usize,
    /// Those of them that could not say what they have done.
    pub unknown: usize,
    /// Those that were killed.
    pub killed: usize,
    /// Those of them that had made their change.
    pub killed_late: usize,
    /// Those after which there was debris that was not there before.
    pub debris: usize,
    /// Saves that somebody else's were before.
    pub conflicts: usize,
}

type Result<T> = std::result::Result<T, Error>;

impl World {
    fn step(&mut self, Step { op, fault }: Step) {
        match op {
            Op::Create { copy, change } => self.create(copy, change, fault),
            Op::Insert { id, copy, change } => self.insert(id, copy, change, fault),
            Op::Load { session, copy } => self.load(session, copy, fault),
            Op::Save { copy, change } => self.save(copy, change, fault),
            Op::Update { session, change } => self.update(session, change, fault),
            Op::FailingUpdate { session, change } => self.failing_update(session, change, fault),
            Op::Touch { session } => self.touch(session, fault),
            Op::Delete { session } => self.delete(session, fault),
            Op::Rotate { copy, change } => self.rotate(copy, change, fault),
            Op::Sweep { idle, dry_run } => self.sweep(idle, dry_run, fault),
            Op::Clock { span, back } => self.move_clock(span, back),
            Op::Reopen => self.reopen(fault),
        }
    }

    /// The copy that an operation is to work on, with the change made to it.
    fn changed(&mut self, copy: Copy, change: Change) -> Copied {
        let now = self.now();
        let there = self.copies[usize::from(copy.number) % self.copies.len()].clone();
        let mut copied = there.filter(|_| !copy.fresh).unwrap_or_else(|| {
            let session = Session::at(time(now), time(now));
            Copied { model: Stored::of(&session), session }
        });
        change.apply(&mut copied.session, &mut copied.model.content, now);
        assert_eq!(copied.model, Stored::of(&copied.session), "the change is what was asked for");
        copied
    }

    /// Keeps what an operation has made of a copy: of a killed one nothing is left.
    fn keep<T>(&mut self, copy: Copy, attempt: &Attempt<T>, session: Session) {
        let place = usize::from(copy.number) % self.copies.len();
        self.copies[place] =
            if attempt.is_killed() { None } else { Some(Copied { model: Stored::of(&session), session }) };
    }

    fn create(&mut self, copy: Copy, change: Change, fault: Option<Fault>) {
        if self.files.len() >= FILES_MOST {
            return;
        }
        let copied = self.changed(copy, change);
        let effect = Effect { makes: Some(copied.model.first()), ..Effect::default() };
        let mut session = copied.session.clone();
        let attempt = self.attempt(fault, None, |store| store.create(&mut session));
        let made = self.settle(&attempt, &effect);
        self.made(&attempt, made, &copied, &session);
        self.keep(copy, &attempt, session);
    }

    /// What is true of a session that was stored under a new ID.
    fn made(&mut self, attempt: &Attempt<SessionId>, made: Option<Key>, before: &Copied, session: &Session) {
        match &attempt.result {
            Some(Ok(id)) => {
                assert_eq!(Some(id.key()), made, "the session is there under the ID that was given");
                assert_eq!(session.id(), Some(id));
                assert!(id.expose().len() >= 22, "a generated ID is no legacy one");
                self.learn(id.into());
            }
            Some(Err(Error::OutcomeUnknown { .. })) if session.reference() != before.session.reference() => {
                // A rotation that has happened, but for the sync: the caller is told where the session is now.
                assert_eq!(session.reference().map(SessionRef::key), made);
                self.learn(session.reference().expect("just compared").clone());
            }
            Some(Err(_)) => assert_eq!(*session, before.session, "an error changes nothing"),
            None => {}
        }
    }

    fn insert(&mut self, id: u8, copy: Copy, change: Change, fault: Option<Fault>) {
        let id = SessionId::new(IDS[usize::from(id) % IDS.len()]).expect("an ID");
        let copied = self.changed(copy, change);
        let effect = match self.files.get(&id.key()) {
            Some(_) => Effect::fails(ErrorClass::Conflict),
            None => Effect::of(id.key(), Some(copied.model.first())),
        };
        let mut session = copied.session.clone();
        let attempt = self.attempt(fault, Some(id.key()), |store| store.insert(&id, &mut session));
        self.settle(&attempt, &effect);
        match &attempt.result {
            Some(Ok(())) => assert_eq!(session.id(), Some(&id)),
            _ => assert_eq!(session, copied.session, "an error changes nothing"),
        }
        self.keep(copy, &attempt, session);
    }

    fn load(&mut self, which: Which, copy: Copy, fault: Option<Fault>) {
        let reference = self.reference(which);
        let expected = self.readable(&reference);
        let effect = expected.as_ref().map_or_else(|class| Effect::fails(*class), |_| Effect::default());
        let attempt = self.attempt(fault, None, |store| store.load(&reference));
        self.settle(&attempt, &effect);
        if let Some(Ok(loaded)) = &attempt.result {
            assert_eq!(loaded.as_ref().map(Stored::of).as_ref(), expected.expect("settled").as_ref());
            assert!(loaded.as_ref().is_none_or(|loaded| loaded.reference() == Some(&reference)));
            if let Some(loaded) = loaded {
                self.keep(copy, &attempt, loaded.clone());
            }
        }
    }

    fn save(&mut self, copy: Copy, change: Change, fault: Option<Fault>) {
        let copied = self.changed(copy, change);
        let Some(reference) = copied.session.reference().cloned() else {
            return self.create(copy, change, fault);
        };
        let effect = match self.based_on(&reference, &copied) {
            Err(class) => Effect::fails(class),
            Ok(stored) => Effect::of(reference.key(), Some(stored.saved(&copied.model.content, self.now()))),
        };
        let expected = effect.becomes();
        let changes = expected.as_ref() != self.files.get(&reference.key());
        let mut session = copied.session.clone();
        let attempt = self.attempt(fault, Some(reference.key()), |store| store.save(&mut session));
        self.settle(&attempt, &effect);
        match &attempt.result {
            Some(Ok(())) => {
                if changes {
                    self.assert_spare(reference.key());
                }
                assert_eq!(Some(Stored::of(&session)), expected);
                assert_eq!(session.reference(), Some(&reference));
            }
            _ => assert_eq!(session, copied.session, "an error changes nothing"),
        }
        self.keep(copy, &attempt, session);
    }

    fn update(&mut self, which: Which, change: Change, fault: Option<Fault>) {
        let reference = self.reference(which);
        let now = self.now();
        let effect = match self.present(&reference) {
            Err(class) => Effect::fails(class),
            Ok(stored) => {
                let mut content = stored.content.clone();
                change.apply(&mut Session::new(), &mut content, now);
                Effect::of(reference.key(), Some(stored.saved(&content, now)))
            }
        };
        let expected = effect.becomes();
        let mut content = model::Content::default();
        let attempt = self.attempt(fault, Some(reference.key()), |store| {
            store.update(&reference, &mut |session| {
                change.apply(session, &mut content, now);
                Ok(())
            })
        });
        self.settle(&attempt, &effect);
        if let Some(Ok(session)) = &attempt.result {
            assert_eq!(Some(Stored::of(session)), expected);
            assert_eq!(session.reference(), Some(&reference));
        }
    }

    fn failing_update(&mut self, which: Which, change: Change, fault: Option<Fault>) {
        let reference = self.reference(which);
        let now = self.now();
        // What the function says is what comes of it.
        let effect = Effect::fails(self.present(&reference).err().unwrap_or(ErrorClass::Conflict));
        let attempt = self.attempt(fault, Some(reference.key()), |store| {
            store.update(&reference, &mut |session| {
                change.apply(session, &mut model::Content::default(), now);
                let nested = store.delete(&reference);
                assert!(matches!(nested, Err(Error::Reentrant)), "{nested:?}");
                Err(Error::Conflict { session: reference.shown() })
            })
        });
        self.settle(&attempt, &effect);
    }

    fn touch(&mut self, which: Which, fault: Option<Fault>) {
        let reference = self.reference(which);
        let (effect, writes) = match self.present(&reference) {
            Err(class) => (Effect::fails(class), false),
            Ok(stored) => match stored.touched(self.now()) {
                Some(touched) => (Effect::of(reference.key(), Some(touched)), true),
                None => (Effect::default(), false),
            },
        };
        let attempt = self.attempt(fault, Some(reference.key()), |store| store.touch(&reference));
        self.settle(&attempt, &effect);
        if let Some(Ok(wrote)) = attempt.result {
            assert_eq!(wrote, writes);
        }
    }

    fn delete(&mut self, which: Which, fault: Option<Fault>) {
        let reference = self.reference(which);
        let key = reference.key();
        let was_there = self.files.contains_key(&key);
        let effect = match self.nameable(&reference) {
            Err(class) => Effect::fails(class),
            Ok(()) => Effect::of(key, None),
        };
        let attempt = self.attempt(fault, Some(key), |store| store.delete(&reference));
        self.settle(&attempt, &effect);
        if let Some(Ok(said)) = attempt.result {
            assert_eq!(said, was_there);
            assert!(!self.has_temp(key), "a copy of a deleted session is left");
        }
    }

    fn rotate(&mut self, copy: Copy, change: Change, fault: Option<Fault>) {
        let copied = self.changed(copy, change);
        let Some(reference) = copied.session.reference().cloned() else {
            return self.create(copy, change, fault);
        };
        let effect = match self.based_on(&reference, &copied) {
            Err(class) => Effect::fails(class),
            Ok(stored) => Effect {
                makes: Some(stored.rotated(&copied.model.content, self.now())),
                ..Effect::of(reference.key(), None)
            },
        };
        let mut session = copied.session.clone();
        let attempt = self.attempt(fault, Some(reference.key()), |store| store.rotate(&mut session));
        let made = self.settle(&attempt, &effect);
        self.made(&attempt, made, &copied, &session);
        self.keep(copy, &attempt, session);
    }

    fn sweep(&mut self, idle: Option<Span>, dry_run: bool, fault: Option<Fault>) {
        let (now, before) = (self.now(), self.files.clone());
        let due = |stored: &Stored| {
            stored.is_expired(now) || idle.is_some_and(|idle| stored.is_idle_for(idle.millis(), now))
        };
        let due = self.files.iter().filter(|(_, stored)| due(stored)).map(|(key, _)| *key).collect();
        let temps = self.temps();
        #[allow(clippy::field_reassign_with_default, reason = "it may have more fields")]
        let options = {
            let mut options = SweepOptions::default();
            options.idle = idle.map(|idle| Duration::from_millis(idle.millis()));
            options.dry_run = dry_run;
            options
        };
        let attempt = self.attempt(fault, None, |store| store.sweep(&options));
        self.settle_sweep(&attempt, &due, dry_run);
        let removed = before.len() - self.files.len();
        let Some(Ok(summary)) = attempt.result else { return };
        let counted = |number: u64| usize::try_from(number).expect("a few");
        if attempt.fault.is_none() {
            assert_eq!(counted(summary.removed), due.len());
            assert_eq!(counted(summary.remaining), before.len() - due.len());
            assert_eq!((summary.failed, counted(summary.temps)), (0, temps));
            assert!(dry_run || self.temps() == 0, "debris is removed");
        } else if !dry_run {
            assert!(counted(summary.removed) <= removed, "{summary:?}, and {removed} were removed");
        }
    }

    fn move_clock(&mut self, span: Span, back: bool) {
        let now = self.now();
        let moved = if back { now - span.millis().min(now / 2) } else { now + span.millis() };
        self.set_clock(moved);
        self.checked(&self.attempt(None, None, |_| Ok(())));
    }

    /// Whether the reference can be one of this store.
    fn nameable(&self, reference: &SessionRef) -> std::result::Result<(), ErrorClass> {
        match (self.naming, reference) {
            (Naming::Plain, SessionRef::Key(_)) => Err(ErrorClass::InvalidId),
            _ => Ok(()),
        }
    }

    /// What a load of it gives.
    fn readable(&self, reference: &SessionRef) -> std::result::Result<Option<Stored>, ErrorClass> {
        self.nameable(reference)?;
        let stored = self.files.get(&reference.key());
        Ok(stored.filter(|stored| !stored.is_expired(self.now())).cloned())
    }

    /// The session that a change is to be made to.
    fn present(&self, reference: &SessionRef) -> std::result::Result<Stored, ErrorClass> {
        self.readable(reference)?.ok_or(ErrorClass::Gone)
    }

    /// WRITE-1.
    fn based_on(&self, reference: &SessionRef, copied: &Copied) -> std::result::Result<Stored, ErrorClass> {
        let stored = self.present(reference)?;
        let same = stored.rev == copied.model.rev && stored.created == copied.model.created;
        if same { Ok(stored) } else { Err(ErrorClass::Conflict) }
    }
}
