//! What the cases about several processes work with: stores with sessions that are chosen by their locks, and the
//! processes at work in them.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, fs};

use serde_json::{Value, json};

use super::super::bench::{Bench, Party, describe, ok};
use super::super::case::{Failure, Outcome, done, ensure, failed, refused};
use super::super::process::{Process, Trouble};
use super::super::protocol::Answer;
use super::super::vectors::{empty_store, materialise};
use crate::check::{Event, check};
use crate::record::encode_record;
use crate::rule::Severity;
use crate::{DirectoryStore, Options, Session, SessionId, SessionRef, SessionStore};

/// How long something is watched that must not happen.
pub(super) const WATCHED: Duration = Duration::from_millis(150);

/// How long what follows at once may take, on a machine with other work too.
pub(super) const AT_ONCE: Duration = Duration::from_secs(2);

/// How long a lock is waited for, where it will be had.
pub(super) const LONG_MS: u64 = 9000;

/// A failure of the kit itself.
pub(super) fn own(what: &str) -> impl Fn(&dyn fmt::Display) -> Failure {
    let what = what.to_owned();
    move |error| Failure::Errored(format!("the kit cannot {what}: {error}"))
}

/// The session IDs that the kit uses, one after the other.
pub(super) fn ids() -> impl Iterator<Item = SessionId> {
    (0..).filter_map(|number: u64| SessionId::new(format!("kit-session-{number:020}")).ok())
}

/// Two sessions with one lock file and different bytes of it.
pub(super) fn one_lock_file() -> (SessionId, SessionId) {
    two(|x, y| x.key().lock_file() == y.key().lock_file())
}

/// Two sessions with different lock files.
pub(super) fn two_lock_files() -> (SessionId, SessionId) {
    two(|x, y| x.key().lock_file() != y.key().lock_file())
}

fn two(fit: impl Fn(&SessionId, &SessionId) -> bool) -> (SessionId, SessionId) {
    let x = ids().next().expect("one of endless many");
    let y = ids().skip(1).find(|y| fit(&x, y) && x.key().lock_byte() != y.key().lock_byte());
    (x, y.expect("one of endless many"))
}

/// A store in the case's directory. The kit's own process opens it by the library only where no schedule is under
/// way, and holds no lock of it.
pub(super) struct Store {
    pub(super) dir: PathBuf,
}

impl Store {
    /// An empty one.
    pub(super) fn new(bench: &Bench<'_>, naming: &str, durability: &str) -> Result<Self, Failure> {
        Store::at(bench.path("store"), naming, durability)
    }

    pub(super) fn at(dir: PathBuf, naming: &str, durability: &str) -> Result<Self, Failure> {
        materialise(&empty_store(naming, durability), &dir).map_err(|error| own("make a store")(&error))?;
        Ok(Store { dir })
    }

    /// One of durability `process` with these sessions, in each of which `n` is 0.
    pub(super) fn with(bench: &Bench<'_>, ids: &[&SessionId]) -> Result<Self, Failure> {
        let store = Store::new(bench, "plain", "process")?;
        store.insert(ids)?;
        Ok(store)
    }

    pub(super) fn insert(&self, ids: &[&SessionId]) -> Outcome {
        for id in ids {
            let mut session = Session::new();
            session.insert("n", &0).map_err(|error| own("set an attribute")(&error))?;
            self.put(id, session)?;
        }
        Ok(())
    }

    pub(super) fn put(&self, id: &SessionId, mut session: Session) -> Outcome {
        self.library()?.insert(id, &mut session).map_err(|error| own("make a session")(&error))
    }

    pub(super) fn library(&self) -> Result<DirectoryStore, Failure> {
        let options = Options::new().patience(Duration::ZERO);
        options.open(&self.dir).map_err(|error| own("open the store")(&error))
    }

    /// The session as the reference implementation reads it.
    pub(super) fn load(&self, id: &SessionId) -> Result<Option<Session>, Failure> {
        match self.library()?.load(&id.clone().into()) {
            Ok(session) => Ok(session),
            Err(error) => failed(format!("expected that session {id} can be loaded, found {error}")),
        }
    }

    /// The attribute `n` of a session that is to be there.
    pub(super) fn n(&self, id: &SessionId) -> Result<i64, Failure> {
        let Some(session) = self.load(id)? else {
            return failed(format!("expected session {id}, found that it is absent"));
        };
        match session.get("n") {
            Ok(n) => Ok(n.unwrap_or(0)),
            Err(error) => failed(format!("expected an integer in n of session {id}, found {error}")),
        }
    }

    /// The reference checker has nothing to say that is an error.
    pub(super) fn is_sound(&self) -> Outcome {
        let mut errors = Vec::new();
        let summary = check(&self.dir, &Options::new(), &mut |event| {
            if let Event::Finding(finding) = event
                && finding.severity() == Severity::Error
            {
                errors.push(format!(
                    "{} ({}) at {}",
                    finding.kind.name(),
                    finding.rule.id(),
                    finding.place.path(false)
                ));
            }
        });
        summary.map_err(|error| own("check the store")(&error))?;
        ensure(errors.is_empty(), || format!("the checker: expected no errors, found {}", errors.join(", ")))
    }

    pub(super) fn lock_path(&self, id: &SessionId) -> PathBuf {
        self.dir.join(format!(".lock/{:02x}", id.key().lock_file()))
    }

    /// The session's file, in naming `plain`.
    pub(super) fn path(&self, id: &SessionId) -> PathBuf {
        self.dir.join(id.expose())
    }

    pub(super) fn bytes(&self, id: &SessionId) -> Result<Vec<u8>, Failure> {
        fs::read(self.path(id)).map_err(|error| own("read a session's file")(&error))
    }
}

/// Device and inode of what is there.
pub(super) fn identity(path: &Path) -> Result<(u64, u64), Failure> {
    let data =
        path.symlink_metadata().map_err(|error| own(&format!("look at {}", path.display()))(&error))?;
    Ok((data.dev(), data.ino()))
}

/// A whole slot with record `seq` in it.
pub(super) fn slot(session: &Session, seq: u64, size: usize) -> Result<Vec<u8>, Failure> {
    let mut slot = encode_record(seq, session).map_err(|error| own("encode a record")(&error))?;
    slot.resize(size, 0);
    Ok(slot)
}

/// Writes a whole slot in one `pwrite`, as WRITE-3 asks for.
pub(super) fn write_slot(file: &fs::File, slot: &[u8], seq: u64) -> Outcome {
    let offset = if seq.is_multiple_of(2) { 0 } else { slot.len() as u64 };
    file.write_all_at(slot, offset).map_err(|error| own("write a slot")(&error))
}

/// The first revision of a session, as its record has it.
pub(super) fn first(session: &Session, id: &SessionId) -> Session {
    session.first(SessionRef::from(id.clone()))
}

/// A process at work in a store.
pub(super) struct Side {
    pub(super) party: Party,
    pub(super) process: Process,
}

impl Side {
    pub(super) fn new(bench: &Bench<'_>, party: Party, store: &Store) -> Result<Self, Failure> {
        Side::waiting(bench, party, store, LONG_MS)
    }

    /// One that waits so long for locks.
    pub(super) fn waiting(
        bench: &Bench<'_>,
        party: Party,
        store: &Store,
        wait_ms: u64,
    ) -> Result<Self, Failure> {
        let mut side = Side { party, process: bench.start(party)? };
        side.open(&store.dir, wait_ms)?;
        Ok(side)
    }

    pub(super) fn open(&mut self, dir: &Path, wait_ms: u64) -> Outcome {
        let dir = dir.to_str().ok_or_else(|| Failure::Errored("a path that is no text".to_owned()))?;
        ok(&mut self.process, json!({ "op": "open", "dir": dir, "wait_ms": wait_ms })).map(drop)
    }

    fn of(&self, what: &str) -> String {
        format!("{} of the {}", what, self.party.name())
    }

    pub(super) fn ok(&mut self, request: Value) -> Result<Value, Failure> {
        let what = self.of(&describe(&request));
        done(&what, self.process.ask(request)?)
    }

    pub(super) fn refused(&mut self, class: &str, request: Value) -> Outcome {
        let what = self.of(&describe(&request));
        refused(&what, class, self.process.ask(request)?).map(drop)
    }

    /// Takes a lock that is free.
    pub(super) fn lock(&mut self, id: &SessionId, thread: &str) -> Outcome {
        self.ok(json!({ "op": "lock", "id": id.expose(), "thread": thread, "wait_ms": 3000 })).map(drop)
    }

    /// Is refused a lock, as `why` says.
    pub(super) fn denied(&mut self, id: &SessionId, thread: &str, why: &str) -> Outcome {
        let request = json!({ "op": "lock", "id": id.expose(), "thread": thread, "wait_ms": 0 });
        let what = self.of(&format!("`lock` ({why})"));
        refused(&what, "busy", self.process.ask(request)?).map(drop)
    }

    /// Begins to wait for a lock.
    pub(super) fn begin(&mut self, id: &SessionId, thread: &str) -> u64 {
        self.process.send(json!({ "op": "lock", "id": id.expose(), "thread": thread, "wait_ms": LONG_MS }))
    }

    pub(super) fn unlock(&mut self, id: &SessionId, thread: &str) -> Outcome {
        self.ok(json!({ "op": "unlock", "id": id.expose(), "thread": thread })).map(drop)
    }

    /// Takes a free lock, and lets go of it.
    pub(super) fn takes(&mut self, id: &SessionId, thread: &str) -> Outcome {
        self.lock(id, thread)?;
        self.unlock(id, thread)
    }

    /// What was asked has not been answered, and is not for a while: `why`.
    pub(super) fn still_waits(&mut self, number: u64, why: &str) -> Outcome {
        if self.process.waits(number, WATCHED)? {
            return Ok(());
        }
        let answer = self.process.receive(number, None)?;
        let found = match answer {
            Answer::Error(fault) => fault.to_string(),
            Answer::Ok(_) => "that it was done".to_owned(),
            other => return done(why, other).map(drop),
        };
        let who = self.party.name();
        failed(format!("expected that the {who} waits ({why}), found {found}"))
    }

    /// What was asked is done without delay, now that `why`.
    pub(super) fn gets(&mut self, number: u64, why: &str) -> Result<Value, Failure> {
        let what = self.of(&format!("what was waiting ({why})"));
        done(&what, self.answers(number, &what)?)
    }

    /// What was asked is refused without delay, now that `why`.
    pub(super) fn gets_refusal(&mut self, number: u64, class: &str, why: &str) -> Outcome {
        let what = self.of(&format!("what was waiting ({why})"));
        refused(&what, class, self.answers(number, &what)?).map(drop)
    }

    fn answers(&mut self, number: u64, what: &str) -> Result<Answer, Failure> {
        match self.process.receive(number, Some(AT_ONCE)) {
            Err(Trouble::Hang(_)) => {
                let limit = AT_ONCE.as_secs_f64();
                failed(format!("{what}: expected an answer within {limit} s, found none"))
            }
            answer => Ok(answer?),
        }
    }
}

/// Both kinds of raw locks are refused: `why`.
pub(super) fn referees_denied(referees: &mut [Side], id: &SessionId, why: &str) -> Outcome {
    referees.iter_mut().try_for_each(|referee| referee.denied(id, "referee", why))
}

/// Whether a party is a referee, which takes locks and does nothing else.
pub(super) fn is_referee(party: Party) -> bool {
    matches!(party, Party::RefereeProcess | Party::RefereeOfd)
}

/// The two referees.
pub(super) fn referees(bench: &Bench<'_>, store: &Store) -> Result<Vec<Side>, Failure> {
    [Party::RefereeProcess, Party::RefereeOfd]
        .map(|party| Side::new(bench, party, store))
        .into_iter()
        .collect()
}

/// The ordered pairs of which the implementation is one.
pub(super) const PAIRS: [(Party, Party); 7] = [
    (Party::Implementation, Party::Implementation),
    (Party::Implementation, Party::Reference),
    (Party::Reference, Party::Implementation),
    (Party::Implementation, Party::RefereeProcess),
    (Party::RefereeProcess, Party::Implementation),
    (Party::Implementation, Party::RefereeOfd),
    (Party::RefereeOfd, Party::Implementation),
];

/// The attribute `n` of a session as the protocol writes it; 0 if there is none.
pub(super) fn n_of(session: &Value) -> Result<i64, Failure> {
    let Some(pairs) = session["data"].as_array() else {
        return if session.is_object() { Ok(0) } else { failed("expected a session, found none") };
    };
    let Some(pair) = pairs.iter().find(|pair| pair[0] == "n") else { return Ok(0) };
    match pair[1]["int"].as_str().and_then(|digits| digits.parse().ok()) {
        Some(n) => Ok(n),
        None => failed(format!("expected an integer in n, found {}", pair[1])),
    }
}
