//! Judging the entries of a store's directory, one by one, from any number of threads.

use crate::dir::{Dir, Sharing, Stat};
use crate::error::{Error, Result};
use crate::locks::{Locks, Mode};
use crate::marker::Marker;
use crate::names::{self, Entry, EntryClass, EntryType, FileName, LOCK_DIR, LOCK_FILES, MARKER, MARKER_TEMP};
use crate::open::Options;
use crate::rule::Rule;
use crate::scan::Weight;
use crate::time::UnixMillis;

use super::finding::{Finding, FindingKind, Place};

/// What judging an entry came to.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) findings: Vec<Finding>,
    /// Where it is a session's file.
    pub(crate) session: Option<Session>,
}

/// What a check counts of a session's file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) expired: bool,
}

impl Weight for Judged {
    fn weight(&self) -> usize {
        // A finding with its detail and its path.
        64 + 512 * self.findings.len()
    }
}

impl From<Vec<Finding>> for Judged {
    fn from(findings: Vec<Finding>) -> Self {
        Judged { findings, session: None }
    }
}

/// Who judges: what he has to know of the store.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    pub(super) dir: &'a Dir,
    pub(super) marker: Marker,
    locks: Locks,
    /// The user that the directory belongs to.
    owner: u32,
    pub(super) now: UnixMillis,
    options: &'a Options,
}

fn found(kind: FindingKind, rule: Rule, place: Place, detail: impl Into<String>) -> Finding {
    Finding { kind, rule, place, offset: None, detail: detail.into() }
}

impl<'a> Judge<'a> {
    pub(crate) fn new(dir: &'a Dir, marker: Marker, options: &'a Options) -> Result<Self> {
        let failed = |error| Error::io("look at the store's directory", None, error);
        let owner = dir.stat().map_err(failed)?.uid;
        Ok(Judge { dir, marker, locks: Locks::new(), owner, now: (options.clock)(), options })
    }

    /// CHK-7: mode and owner of something that is the store's.
    pub(super) fn permissions(&self, stat: &Stat, place: &Place) -> Vec<Finding> {
        let mut all = Vec::new();
        let others = self.dir.sharing().forbidden();
        if stat.mode & others != 0 {
            let right =
                if stat.kind == EntryType::Directory { others ^ 0o777 } else { (others ^ 0o777) & 0o666 };
            let detail = format!("mode {:04o} lets others in; chmod {right:o} it", stat.mode);
            all.push(found(FindingKind::Mode, Rule::Chk7, place.clone(), detail));
        }
        // Who shares a store with a group has several users in it.
        if stat.uid != self.owner && self.dir.sharing() == Sharing::Owner {
            let detail =
                format!("belongs to user {}, the directory to user {}; chown it", stat.uid, self.owner);
            all.push(found(FindingKind::Owner, Rule::Chk7, place.clone(), detail));
        }
        all
    }

    /// The directory itself.
    pub(crate) fn directory(&self) -> Result<Vec<Finding>> {
        let stat =
            self.dir.stat().map_err(|error| Error::io("look at the store's directory", None, error))?;
        Ok(self.permissions(&stat, &Place::Directory))
    }

    /// CHK-13, CHK-14.
    pub(crate) fn lock_files(&self) -> Result<Vec<Finding>> {
        let failed = |error| Error::io("list .lock", None, error);
        let mut all = Vec::new();
        let mut there = [false; LOCK_FILES as usize];
        for (name, stat) in self.dir.lock_entries().map_err(failed)? {
            let path = [LOCK_DIR.as_bytes(), b"/", &name].concat();
            let Some(index) = names::lock_file_index(&name) else {
                let detail = "is no lock file; it is left alone";
                all.push(found(FindingKind::Foreign, Rule::Chk13, Place::Entry(path), detail));
                continue;
            };
            there[usize::from(index)] = true;
            let place = Place::Entry(path);
            if stat.kind != EntryType::Regular {
                let detail = "is not a regular file, so no session of its share can be changed; remove it";
                all.push(found(FindingKind::LockFile, Rule::Chk14, place, detail));
                continue;
            }
            if stat.size != 0 {
                let detail = "is not empty; nothing of the format writes there";
                all.push(found(FindingKind::LockFileNotEmpty, Rule::Chk14, place.clone(), detail));
            }
            all.extend(self.permissions(&stat, &place));
        }
        for index in (0..LOCK_FILES).filter(|index| !there[usize::from(*index)]) {
            let path = format!("{LOCK_DIR}/{}", names::lock_file_name(index)).into_bytes();
            let detail =
                "is missing; the next writer makes it, but something removes lock files: find out what";
            all.push(found(FindingKind::LockFileMissing, Rule::Chk14, Place::Entry(path), detail));
        }
        Ok(all)
    }

    /// An entry of the directory.
    pub(crate) fn entry(&self, name: &[u8], kind: EntryType) -> Judged {
        match names::entry(name, kind, self.marker.naming) {
            Entry::Session(name) => self.session(&name),
            Entry::Temp(name) => self.temp(&name).into(),
            Entry::Other(
                EntryClass::Marker | EntryClass::LockDirectory | EntryClass::Quarantine | EntryClass::Imports,
            ) => self.control(name).into(),
            Entry::Other(EntryClass::MarkerTemp) => self.marker_temp().into(),
            Entry::Other(_) => self.foreign(name, kind).into_iter().collect::<Vec<_>>().into(),
        }
    }

    fn control(&self, name: &[u8]) -> Vec<Finding> {
        let place = Place::Entry(name.to_vec());
        match self.dir.stat_entry(name) {
            Ok(Some(stat)) => self.permissions(&stat, &place),
            Ok(None) => vec![],
            Err(error) => vec![Self::unreadable(place, &error)],
        }
    }

    pub(super) fn unreadable(place: Place, error: &std::io::Error) -> Finding {
        found(FindingKind::Unreadable, Rule::Chk6, place, format!("cannot be read: {error}"))
    }

    /// NAME-11, CHK-13.
    fn foreign(&self, name: &[u8], kind: EntryType) -> Option<Finding> {
        // The listing may be minutes old (CHK-3). What has taken the entry's place meanwhile is for the next check.
        if self.dir.stat_entry(name).is_ok_and(|stat| stat.is_none_or(|stat| stat.kind != kind)) {
            return None;
        }
        let session = names::session_name(name, self.marker.naming);
        Some(match session {
            Some(name) if kind != EntryType::Regular => {
                let place = Place::Session(name.session().clone());
                let detail = "has a session's name but is not a regular file; move it away";
                found(FindingKind::NotRegular, Rule::Name11, place, detail)
            }
            _ => {
                debug_assert_ne!(name, MARKER.as_bytes(), "open_dir has read the marker");
                let detail = "is not the format's; it is left alone";
                found(FindingKind::Foreign, Rule::Chk13, Place::Entry(name.to_vec()), detail)
            }
        })
    }

    /// Looks at something that a writer may be at work on while no writer is: under the lock `index`, shared. Where
    /// there is no lock file no writer can have begun, as he would have made it. The finding is that the lock is not
    /// to be had. CHK-2, CHK-6.
    pub(super) fn under_lock<T>(
        &self,
        index: u8,
        place: &Place,
        look: impl Fn() -> T,
    ) -> std::result::Result<T, Finding> {
        let busy = |detail: String| found(FindingKind::Busy, Rule::Chk6, place.clone(), detail);
        for _ in 0..2 {
            match self.locks.lock(self.dir, index, Mode::Shared, self.options.patience) {
                Ok(_guard) => return Ok(look()),
                Err(Error::NotAStore { .. }) => {
                    let seen = look();
                    if matches!(self.dir.stat_lock(index), Ok(None)) {
                        return Ok(seen);
                    }
                }
                Err(error) => {
                    return Err(busy(format!(
                        "cannot be judged, as its lock is not to be had ({error}); check again"
                    )));
                }
            }
        }
        Err(busy("cannot be judged: its lock file comes and goes; check again".to_owned()))
    }

    /// CHK-12. Whoever is at work on a temp holds the lock.
    fn temp(&self, name: &FileName) -> Vec<Finding> {
        let place = Place::Temp(name.session().clone());
        let detail = "is left of a killed creation or replacement; a sweep removes it";
        self.debris(name.key().lock_file(), place, name.temp().as_bytes(), detail)
    }

    /// CHK-12. Whoever changes the marker holds all locks.
    fn marker_temp(&self) -> Vec<Finding> {
        let place = Place::Entry(MARKER_TEMP.as_bytes().to_vec());
        let detail = "is left of an interrupted change of the marker, and the next one takes it over";
        self.debris(0, place, MARKER_TEMP.as_bytes(), detail)
    }

    fn debris(&self, lock: u8, place: Place, name: &[u8], detail: &str) -> Vec<Finding> {
        match self.under_lock(lock, &place, || self.dir.stat_entry(name)) {
            Ok(Ok(None)) => vec![],
            Ok(Ok(Some(stat))) => {
                let mut all = vec![found(FindingKind::Temp, Rule::Chk12, place.clone(), detail)];
                all.extend(self.permissions(&stat, &place));
                all
            }
            Ok(Err(error)) => vec![Self::unreadable(place, &error)],
            Err(busy) => vec![busy],
        }
    }
}
