//! sessiondir.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sessiondir::{DirectoryStore, Durability, Options, Session, SessionRef, SessionStore, UnixMillis};

use crate::Result;
use crate::contender::{Contender, Op, Watch, attributes, pool};

pub struct Ours {
    store: DirectoryStore,
    /// Knows as little of what the first one has synced as another process does.
    other: DirectoryStore,
    pool: Vec<SessionRef>,
    fresh: Session,
    turn: usize,
    made: Vec<SessionRef>,
}

/// A session of that size that was never stored.
pub fn session(size: usize) -> Result<Session> {
    let mut session = Session::new();
    session.set_user("ada")?;
    for (key, value) in attributes(size) {
        session.insert(&key, &value)?;
    }
    Ok(session)
}

impl Ours {
    pub fn new(path: &Path, durability: Durability, size: usize) -> Result<Self> {
        // A second passes with each look at the clock, so that every touch is due.
        let seconds = Arc::new(AtomicU64::new(0));
        let start = UnixMillis::now();
        let clock = move || start.plus(Duration::from_secs(seconds.fetch_add(1, Ordering::Relaxed)));
        let options =
            Options::new().create(true).durability(durability).resolution(Duration::ZERO).clock(clock);
        let store = options.open(path)?;
        let other = options.open(path)?;
        let fresh = session(size)?;
        let pool = (0..pool(size))
            .map(|_| Ok(SessionRef::from(store.create(&mut fresh.clone())?)))
            .collect::<Result<_>>()?;
        Ok(Ours { store, other, pool, fresh, turn: 0, made: Vec::new() })
    }
}

impl Contender for Ours {
    fn name(&self) -> String {
        "sessiondir".to_owned()
    }

    fn run(&mut self, op: Op, count: usize) -> Result<Option<f64>> {
        let mut watch = Watch::default();
        let load = |store: &DirectoryStore, id: &SessionRef| -> Result<Session> {
            Ok(store.load(id)?.ok_or("a session is gone")?)
        };
        for _ in 0..count {
            self.turn += 1;
            let id = &self.pool[self.turn % self.pool.len()];
            match op {
                Op::Load => drop(watch.time(|| load(&self.store, id))?),
                Op::Save => {
                    let mut session = load(&self.store, id)?;
                    session.insert("n", &self.turn)?;
                    self.store.save(&mut session)?;
                    session.insert("n", &(self.turn + 1))?;
                    watch.time(|| self.store.save(&mut session))?;
                }
                Op::SaveOther => {
                    let mut session = load(&self.store, id)?;
                    session.insert("n", &self.turn)?;
                    self.store.save(&mut session)?;
                    session.insert("n", &(self.turn + 1))?;
                    watch.time(|| self.other.save(&mut session))?;
                }
                Op::Update => {
                    let n = self.turn;
                    watch.time(|| self.store.update(id, &mut |session| Ok(session.insert("n", &n)?)))?;
                }
                Op::Touch => {
                    // So that what is synced before is not in it.
                    self.store.touch(id)?;
                    let touched = watch.time(|| self.store.touch(id))?;
                    assert!(touched, "a touch that was not due");
                }
                Op::Create => {
                    let mut session = self.fresh.clone();
                    self.made.push(watch.time(|| self.store.create(&mut session))?.into());
                }
                Op::Delete => {
                    let Some(made) = self.made.pop() else { break };
                    watch.time(|| self.store.delete(&made))?;
                }
            }
        }
        Ok(watch.each())
    }
}
