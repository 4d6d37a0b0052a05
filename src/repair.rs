//! Mending a store: SPEC.md section 10.10. What to do about a finding is decided by its kind alone; whether it is
//! still to be done, by looking again under the lock.

use std::io;
use std::path::Path;

use crate::check::{self, Finding, FindingKind, Judge, Place};
use crate::dir::Stat;
use crate::error::{Error, Result};
use crate::locks;
use crate::marker::Durability;
use crate::names::{self, EntryType, FileName, LOCK_FILES, SessionRef};
use crate::open::Options;
use crate::read::Round;
use crate::store::DirectoryStore;

/// What a repair does about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Moves the file into `.quarantine`.
    Quarantine,
    /// Replaces the session's file by a sound one that holds the same session.
    Rewrite,
    /// Unlinks debris.
    Remove,
    /// Takes permissions away.
    Mode,
    /// Makes a lock file.
    MakeLockFile,
    /// Nothing: it is not for a repair to decide.
    Leave,
}

impl Action {
    /// Every action, in the order of SPEC.md.
    pub const ALL: &'static [Action] = &[
        Action::Quarantine,
        Action::Rewrite,
        Action::Remove,
        Action::Mode,
        Action::MakeLockFile,
        Action::Leave,
    ];

    /// Its name: `make-lock-file`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Action::Quarantine => "quarantine",
            Action::Rewrite => "rewrite",
            Action::Remove => "remove",
            Action::Mode => "mode",
            Action::MakeLockFile => "make-lock-file",
            Action::Leave => "leave",
        }
    }

    /// What is done about a finding: the table of section 10.10.
    #[must_use]
    pub fn of(finding: &Finding) -> Self {
        match finding.kind {
            FindingKind::Corrupt => Action::Quarantine,
            FindingKind::DamagedSlot
            | FindingKind::StaleRecord
            | FindingKind::StrayBytes
            | FindingKind::HardLink
            | FindingKind::FutureAccess => Action::Rewrite,
            FindingKind::Owner if matches!(finding.place, Place::Session(_)) => Action::Rewrite,
            FindingKind::Stillborn | FindingKind::Temp => Action::Remove,
            FindingKind::Mode => Action::Mode,
            FindingKind::LockFileMissing => Action::MakeLockFile,
            FindingKind::Owner
            | FindingKind::Unsupported
            | FindingKind::NotRegular
            | FindingKind::Unreadable
            | FindingKind::LockFile
            | FindingKind::LegacyId
            | FindingKind::UnknownKey
            | FindingKind::Foreign
            | FindingKind::LockFileNotEmpty
            | FindingKind::Busy => Action::Leave,
        }
    }
}

/// What a repair tells while it runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// It has come to a finding.
    Repair(Repair<'a>),
    /// It is through with another session's file.
    Looked,
}

/// A finding, and what has become of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Repair<'a> {
    /// The finding.
    pub finding: &'a Finding,
    /// What is to be done about it.
    pub action: Action,
    /// Whether it has been done; `None` where the repair only says what it would do, and for [`Action::Leave`].
    pub done: Option<&'a Result<()>>,
}

/// What a repair has done, in numbers of findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Session files.
    pub sessions: u64,
    /// Findings that were dealt with, or would be.
    pub repaired: u64,
    /// Findings that are left as they are: [`Action::Leave`].
    pub left: u64,
    /// Findings that could not be dealt with.
    pub failed: u64,
}

/// Checks the store in the directory `path`, and does about each finding what section 10.10 of SPEC.md says; without
/// `apply`, says what it would do. The store can be in use meanwhile. Calls `tell` for each event, on this thread.
///
/// A repair that is killed has done some of its steps whole; the next one does the others.
///
/// # Errors
/// The directory is no store, is to be read only (and `apply`), or cannot be opened or listed. What cannot be done
/// about a finding comes with it.
pub fn repair(
    path: impl AsRef<Path>,
    options: &Options,
    apply: bool,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Summary> {
    locks::enter()?;
    let path = path.as_ref();
    let repairer = if apply { Some(Repairer::open(path, options)?) } else { None };
    let mut summary = Summary::default();
    check::check(path, options, &mut |event| match event {
        check::Event::Finding(finding) => {
            let action = Action::of(finding);
            let done = match &repairer {
                Some(repairer) if action != Action::Leave => Some(repairer.repair(finding, action)),
                _ => None,
            };
            match (action, &done) {
                (Action::Leave, _) => summary.left += 1,
                (_, Some(Err(_))) => summary.failed += 1,
                _ => summary.repaired += 1,
            }
            tell(Event::Repair(Repair { finding, action, done: done.as_ref() }));
        }
        check::Event::Checked => {
            summary.sessions += 1;
            tell(Event::Looked);
        }
    })?;
    Ok(summary)
}

/// Who repairs.
struct Repairer<'a> {
    store: DirectoryStore,
    options: &'a Options,
}

impl<'a> Repairer<'a> {
    fn open(path: &Path, options: &'a Options) -> Result<Self> {
        let store = options.clone().create(false).open(path)?;
        store.writable()?;
        Ok(Repairer { store, options })
    }

    fn repair(&self, finding: &Finding, action: Action) -> Result<()> {
        match (action, &finding.place) {
            (Action::Quarantine | Action::Rewrite, Place::Session(session)) => {
                self.session(&self.name(session)?)
            }
            (Action::Remove, Place::Session(session)) => self.remove_stillborn(&self.name(session)?),
            (Action::Remove, Place::Temp(session)) => self.remove_temp(&self.name(session)?),
            (Action::Remove, Place::Entry(_)) => self.remove_marker_temp(),
            (Action::Mode, place) => self.restrict(place),
            (Action::MakeLockFile, Place::Entry(path)) => self.make_lock_file(path),
            // No finding of that kind has such a place.
            _ => Ok(()),
        }
    }

    fn name(&self, session: &SessionRef) -> Result<FileName> {
        session.file_name(self.store.marker.naming).ok_or(Error::InvalidId)
    }

    /// What there is to be done about a session, whose lock is held. REP-1.
    fn actions_now(&self, name: &FileName) -> Result<Vec<Action>> {
        let judge = Judge::new(&self.store.dir, self.store.marker, self.options)?;
        let findings = judge.findings_now(name).map_err(|error| failed("look at a session", name, error))?;
        Ok(findings.iter().map(Action::of).collect())
    }

    /// Moves a session's file aside or rewrites it, whichever is needed now.
    fn session(&self, name: &FileName) -> Result<()> {
        let _guard = self.store.lock(name)?;
        let actions = self.actions_now(name)?;
        if actions.contains(&Action::Quarantine) {
            return self.quarantine(name);
        }
        if actions.contains(&Action::Rewrite)
            && let Some(current) = self.store.round(name)?.settled(name)?
        {
            return self.store.rewrite(name, &current);
        }
        // Deleted since, or made sound: by a save, or for the finding before this one.
        Ok(())
    }

    /// REP-2, REP-6. The lock is held.
    fn quarantine(&self, name: &FileName) -> Result<()> {
        let operation = "move a session into .quarantine";
        let moved = self.store.dir.move_aside(name, self.store.now().as_millis());
        let quarantine = moved.map_err(|error| failed(operation, name, error))?;
        self.store.synced.forget(&name.key());
        if self.store.marker.durability == Durability::Power {
            let session = Some(name.shown());
            let synced = quarantine.sync().and_then(|()| self.store.dir.sync());
            synced.map_err(|source| Error::OutcomeUnknown { operation, session, source })?;
        }
        Ok(())
    }

    /// REP-5.
    fn remove_stillborn(&self, name: &FileName) -> Result<()> {
        let _guard = self.store.lock(name)?;
        match self.store.round(name)? {
            Round::Stillborn => self.store.remove(name).map(|_| ()),
            _ => Ok(()),
        }
    }

    fn remove_temp(&self, name: &FileName) -> Result<()> {
        let _guard = self.store.lock(name)?;
        self.store.remove_temp(name).map(|_| ()).map_err(|error| failed("remove debris", name, error))
    }

    fn remove_marker_temp(&self) -> Result<()> {
        let all: Vec<u8> = (0..LOCK_FILES).collect();
        let _guards = self.store.locks.lock_many(&self.store.dir, &all, self.store.patience)?;
        let removed = self.store.dir.unlink_marker_temp();
        removed.map(|_| ()).map_err(|error| Error::io("remove debris", None, error))
    }

    /// CHK-7.
    fn restrict(&self, place: &Place) -> Result<()> {
        let dir = &self.store.dir;
        let (path, session) = match place {
            Place::Directory => (b".".to_vec(), None),
            Place::Session(session) => {
                (self.name(session)?.as_str().as_bytes().to_vec(), Some(session.shown()))
            }
            Place::Temp(session) => (self.name(session)?.temp().into_bytes(), Some(session.shown())),
            Place::Entry(path) => (path.clone(), None),
        };
        let failed = |error| Error::io("change permissions", session, error);
        let stat = if *place == Place::Directory { dir.stat().map(Some) } else { dir.stat_entry(&path) };
        match stat.map_err(failed)? {
            Some(stat @ Stat { kind: EntryType::Regular | EntryType::Directory, .. }) => {
                let mode = stat.mode & !dir.sharing().forbidden();
                dir.set_mode(&path, mode).map_err(failed)
            }
            // Gone, or not what was judged.
            _ => Ok(()),
        }
    }

    fn make_lock_file(&self, path: &[u8]) -> Result<()> {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let Some(index) = names::lock_file_index(name) else { return Ok(()) };
        // Taking the lock makes its file (LOCK-5).
        self.store.lock_file(index).map(drop)
    }
}

fn failed(operation: &'static str, name: &FileName, error: io::Error) -> Error {
    Error::io(operation, Some(name.shown()), error)
}
