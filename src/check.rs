//! The checker: SPEC.md section 11. It changes nothing, and can look at a store that is being written to.
//!
//! It shares no code with the store but the pure rooms and the lock: a writer's bug must not hide itself.

mod finding;
mod session;

pub use finding::{Finding, FindingKind, Place};

use std::path::Path;

use crate::dir::{Dir, Sharing, Stat};
use crate::error::{Error, Result};
use crate::locks::{self, Locks, Mode};
use crate::marker::Marker;
use crate::names::{self, Entry, EntryClass, EntryType, FileName, LOCK_DIR, LOCK_FILES, MARKER, MARKER_TEMP};
use crate::open::Options;
use crate::rule::Rule;
use crate::time::UnixMillis;

/// What a check has seen, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Session files.
    pub sessions: u64,
    /// Those of them that can be read and are expired.
    pub expired: u64,
    /// Findings of severity error.
    pub errors: u64,
    /// Findings of severity warning.
    pub warnings: u64,
}

/// What a check tells while it runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// It has found something.
    Finding(&'a Finding),
    /// It is through with another session's file.
    Checked,
}

/// Checks the store in the directory `path`, and calls `tell` for each event. Memory is bounded by that of one
/// session's file, 32 MiB at most, and of what it means, less than twice as much again.
///
/// # Errors
/// The directory is no store, or cannot be opened or listed. What is wrong with what is in it comes as findings.
pub fn check(path: impl AsRef<Path>, options: &Options, tell: &mut dyn FnMut(Event<'_>)) -> Result<Summary> {
    locks::enter()?;
    let (dir, marker) = options.clone().read_only(true).open_dir(path.as_ref())?;
    let failed = |error| Error::io("look at the store's directory", None, error);
    let owner = dir.stat().map_err(failed)?.uid;
    let locks = Locks::new();
    let now = (options.clock)();
    let mut check =
        Check { dir: &dir, marker, locks, owner, now, options, tell, summary: Summary::default() };
    check.directory()?;
    check.lock_files()?;
    let entries = dir.entries().map_err(|error| Error::io("list the store", None, error))?;
    for entry in entries {
        let (name, kind) = entry.map_err(|error| Error::io("list the store", None, error))?;
        check.entry(&name, kind);
    }
    Ok(check.summary)
}

struct Check<'a> {
    dir: &'a Dir,
    marker: Marker,
    locks: Locks,
    /// The user that the directory belongs to.
    owner: u32,
    now: UnixMillis,
    options: &'a Options,
    tell: &'a mut dyn FnMut(Event<'_>),
    summary: Summary,
}

impl Check<'_> {
    fn report(&mut self, finding: &Finding) {
        match finding.severity() {
            crate::rule::Severity::Error => self.summary.errors += 1,
            crate::rule::Severity::Warning => self.summary.warnings += 1,
        }
        (self.tell)(Event::Finding(finding));
    }

    fn found(&mut self, kind: FindingKind, rule: Rule, place: Place, detail: impl Into<String>) {
        self.report(&Finding { kind, rule, place, offset: None, detail: detail.into() });
    }

    /// CHK-7: mode and owner of something that is the store's.
    fn permissions(&self, stat: &Stat, place: &Place) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut add = |kind, detail| {
            let place = place.clone();
            found.push(Finding { kind, rule: Rule::Chk7, place, offset: None, detail });
        };
        let others = match self.dir.sharing() {
            Sharing::Owner => 0o077,
            Sharing::Group => 0o007,
        };
        if stat.mode & others != 0 {
            let right =
                if stat.kind == EntryType::Directory { others ^ 0o777 } else { (others ^ 0o777) & 0o666 };
            add(FindingKind::Mode, format!("mode {:04o} lets others in; chmod {right:o} it", stat.mode));
        }
        // Who shares a store with a group has several users in it.
        if stat.uid != self.owner && self.dir.sharing() == Sharing::Owner {
            let detail =
                format!("belongs to user {}, the directory to user {}; chown it", stat.uid, self.owner);
            add(FindingKind::Owner, detail);
        }
        found
    }

    fn check_permissions(&mut self, stat: &Stat, place: &Place) {
        for finding in self.permissions(stat, place) {
            self.report(&finding);
        }
    }

    fn directory(&mut self) -> Result<()> {
        let stat =
            self.dir.stat().map_err(|error| Error::io("look at the store's directory", None, error))?;
        self.check_permissions(&stat, &Place::Directory);
        Ok(())
    }

    /// CHK-13, CHK-14.
    fn lock_files(&mut self) -> Result<()> {
        let failed = |error| Error::io("list .lock", None, error);
        let mut there = [false; LOCK_FILES as usize];
        for (name, stat) in self.dir.lock_entries().map_err(failed)? {
            let path = [LOCK_DIR.as_bytes(), b"/", &name].concat();
            let Some(index) = names::lock_file_index(&name) else {
                let detail = "is no lock file; it is left alone";
                self.found(FindingKind::Foreign, Rule::Chk13, Place::Entry(path), detail);
                continue;
            };
            there[usize::from(index)] = true;
            let place = Place::Entry(path);
            if stat.kind != EntryType::Regular {
                let detail = "is not a regular file, so no session of its share can be changed; remove it";
                self.found(FindingKind::LockFile, Rule::Chk14, place, detail);
                continue;
            }
            if stat.size != 0 {
                let detail = "is not empty; nothing of the format writes there";
                self.found(FindingKind::LockFileNotEmpty, Rule::Chk14, place.clone(), detail);
            }
            self.check_permissions(&stat, &place);
        }
        for index in 0..LOCK_FILES {
            if !there[usize::from(index)] {
                let path = format!("{LOCK_DIR}/{}", names::lock_file_name(index)).into_bytes();
                let detail =
                    "is missing; the next writer makes it, but something removes lock files: find out what";
                self.found(FindingKind::LockFileMissing, Rule::Chk14, Place::Entry(path), detail);
            }
        }
        Ok(())
    }

    fn entry(&mut self, name: &[u8], kind: EntryType) {
        match names::entry(name, kind, self.marker.naming) {
            Entry::Session(name) => self.session(&name),
            Entry::Temp(name) => self.temp(&name),
            Entry::Other(
                EntryClass::Marker | EntryClass::LockDirectory | EntryClass::Quarantine | EntryClass::Imports,
            ) => {
                self.control(name);
            }
            Entry::Other(EntryClass::MarkerTemp) => self.marker_temp(),
            Entry::Other(_) => self.foreign(name, kind),
        }
    }

    fn control(&mut self, name: &[u8]) {
        let place = Place::Entry(name.to_vec());
        match self.dir.stat_entry(name) {
            Ok(Some(stat)) => self.check_permissions(&stat, &place),
            Ok(None) => {}
            Err(error) => self.unreadable(place, &error),
        }
    }

    fn unreadable(&mut self, place: Place, error: &std::io::Error) {
        self.found(FindingKind::Unreadable, Rule::Chk6, place, format!("cannot be read: {error}"));
    }

    /// NAME-11, CHK-13.
    fn foreign(&mut self, name: &[u8], kind: EntryType) {
        let session = names::session_name(name, self.marker.naming);
        match session {
            Some(name) if kind != EntryType::Regular => {
                let place = Place::Session(name.session().clone());
                let detail = "has a session's name but is not a regular file; move it away";
                self.found(FindingKind::NotRegular, Rule::Name11, place, detail);
            }
            _ => {
                debug_assert_ne!(name, MARKER.as_bytes(), "open_dir has read the marker");
                let detail = "is not the format's; it is left alone";
                self.found(FindingKind::Foreign, Rule::Chk13, Place::Entry(name.to_vec()), detail);
            }
        }
    }

    /// Looks at something that a writer may be at work on while no writer is: under the lock `index`, shared. Where
    /// there is no lock file no writer can have begun, as he would have made it. `None` where the lock is not to be
    /// had, which is a finding. CHK-2, CHK-6.
    fn under_lock<T>(&mut self, index: u8, place: &Place, look: impl Fn(&Self) -> T) -> Option<T> {
        for _ in 0..2 {
            match self.locks.lock(self.dir, index, Mode::Shared, self.options.patience) {
                Ok(_guard) => return Some(look(self)),
                Err(Error::NotAStore { .. }) => {
                    let seen = look(self);
                    if matches!(self.dir.stat_lock(index), Ok(None)) {
                        return Some(seen);
                    }
                }
                Err(error) => {
                    let detail =
                        format!("cannot be judged, as its lock is not to be had ({error}); check again");
                    self.found(FindingKind::Busy, Rule::Chk6, place.clone(), detail);
                    return None;
                }
            }
        }
        let detail = "cannot be judged: its lock file comes and goes; check again";
        self.found(FindingKind::Busy, Rule::Chk6, place.clone(), detail);
        None
    }

    /// CHK-12. Whoever is at work on a temp holds the lock.
    fn temp(&mut self, name: &FileName) {
        let place = Place::Temp(name.session().clone());
        let detail = "is left of a killed creation or replacement; a sweep removes it";
        self.debris(name.session().key().lock_file(), place, name.temp().as_bytes(), detail);
    }

    /// CHK-12. Whoever changes the marker holds all locks.
    fn marker_temp(&mut self) {
        let place = Place::Entry(MARKER_TEMP.as_bytes().to_vec());
        let detail = "is left of an interrupted change of the marker, and the next one takes it over";
        self.debris(0, place, MARKER_TEMP.as_bytes(), detail);
    }

    fn debris(&mut self, lock: u8, place: Place, name: &[u8], detail: &str) {
        match self.under_lock(lock, &place, |check| check.dir.stat_entry(name)) {
            None | Some(Ok(None)) => {}
            Some(Ok(Some(stat))) => {
                self.found(FindingKind::Temp, Rule::Chk12, place.clone(), detail);
                self.check_permissions(&stat, &place);
            }
            Some(Err(error)) => self.unreadable(place, &error),
        }
    }
}
