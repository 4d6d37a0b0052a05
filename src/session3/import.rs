//! The import: each file of the source once, one after the other.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::map::{self, Mapped};
use super::notes::{FAILED_MOST, Had, NOTES_MAX, Notes, Run};
use super::pickle::{self, Limits, PickleErrorKind};
use super::source::{Read, Seen, Source};
use crate::check::Place;
use crate::error::{Error, Result};
use crate::names::{Key, SessionId, SessionRef};
use crate::record::Session;
use crate::store::{DirectoryStore, SessionStore};
use crate::time::UnixMillis;

/// How much later than the clock the file system's times can be: of two-second steps is the coarsest (MIG-4).
const COARSE: Duration = Duration::from_secs(2);
/// How often a file that is being written to is read, and how long to wait in between.
const ROUNDS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(50);

/// How to import.
///
/// ```
/// # use sessiondir::session3::ImportOptions;
/// let mut options = ImportOptions::default();
/// options.dry_run = true;
/// assert_eq!(options.expires_after.as_secs(), 30 * 24 * 60 * 60);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ImportOptions {
    /// Tell what would be done, and change nothing. Works with a store that was opened for reading only.
    pub dry_run: bool,
    /// Refuse a file of which anything would be lost: one whose import has notes.
    pub strict: bool,
    /// Take every file, not only those that have changed since the last complete run from the same source.
    /// Brings back the sessions that have been logged out since.
    pub all: bool,
    /// For how long a session with a legacy ID lives on, from the import (MIG-2). 30 days by default.
    pub expires_after: Duration,
}

impl Default for ImportOptions {
    fn default() -> Self {
        ImportOptions {
            dry_run: false,
            strict: false,
            all: false,
            expires_after: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

/// What an import tells while it runs. A dry run tells what would be done.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImportEvent<'a> {
    /// A session was stored that the store did not have.
    Imported {
        /// The session.
        session: &'a SessionRef,
        /// What is not the same as it was, each with its path: `cart.price: Decimal became text`.
        notes: &'a [String],
    },
    /// The store had an older version of the session as it was imported, and has this one now.
    Updated {
        /// The session.
        session: &'a SessionRef,
        /// As those of [`ImportEvent::Imported`].
        notes: &'a [String],
    },
    /// The store's version of the session was left as it is.
    Kept {
        /// The session.
        session: &'a SessionRef,
        /// Why.
        why: &'a str,
    },
    /// The file has not changed since the last complete run, or holds what the store has.
    Unchanged {
        /// The session.
        session: &'a SessionRef,
    },
    /// A session could not be imported. The rest goes on.
    Refused {
        /// The file, as it may be shown: `#` and 8 hexadecimal digits (NAME-8).
        name: String,
        /// Why, and what to do.
        why: String,
    },
    /// An entry of the source that is no session's file.
    Skipped {
        /// The entry, as it may be shown: escaped, and with `#` and 8 hexadecimal digits for what looks like an
        /// ID (NAME-8).
        name: String,
        /// Why.
        why: String,
    },
    /// Something about the whole run that deserves a look.
    Warning(String),
    /// Another entry of the source is done with. It comes after what is told of the entry.
    Progress,
}

/// What an import has done, in numbers of sessions. A dry run counts what would be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportSummary {
    /// Stored anew.
    pub imported: u64,
    /// Replaced by a newer version.
    pub updated: u64,
    /// Left as the store has them.
    pub kept: u64,
    /// Unchanged since the last complete run, or the same already.
    pub unchanged: u64,
    /// Refused: each is a failure of the run.
    pub refused: u64,
    /// Entries that are no sessions' files.
    pub skipped: u64,
    /// Those imported or updated that have notes.
    pub lossy: u64,
}

/// Imports the sessions of the directory `src`, which Session3 wrote, into `store`, and calls `tell` for each
/// event. `src` may be in use; nothing in it is changed (MIG-3), and nothing that it names is run (MIG-1).
///
/// A file that cannot be imported is told as [`ImportEvent::Refused`] and counted; the rest goes on. A run that
/// has come to the end of `src` is noted in the store, with the files that it refused, and a later run from the
/// same source takes only files that have changed since it began, or that it refused (MIG-4).
///
/// ```no_run
/// use sessiondir::session3::{ImportEvent, ImportOptions, import};
/// let store = sessiondir::DirectoryStore::open("/srv/shop/sessions")?;
/// let summary = import("/srv/shop/session3".as_ref(), &store, &ImportOptions::default(), &mut |event| {
///     if let ImportEvent::Refused { name, why } = event {
///         eprintln!("{name}: {why}");
///     }
/// })?;
/// println!("{} imported, {} refused", summary.imported, summary.refused);
/// # Ok::<(), sessiondir::Error>(())
/// ```
///
/// # Errors
/// `src` cannot be opened or listed, is the store's directory or within it, or is a store itself; the store is
/// full, read-only or failing. What was imported before stays, and the run is not noted as complete.
pub fn import(
    src: &Path,
    store: &DirectoryStore,
    options: &ImportOptions,
    tell: &mut dyn FnMut(ImportEvent<'_>),
) -> Result<ImportSummary> {
    if !options.dry_run {
        store.writable()?;
    }
    // Before the first look at the source: what changes from now on, the next run takes again.
    let start = store.now();
    let source = Source::open(src, store)?;
    let noted = source.noted();
    let notes = Notes::read(&store.imports(NOTES_MAX)?, &noted);
    warn(&notes, options, start, tell);
    let last = notes.last.as_ref().filter(|_| !options.all);
    let mut import = Import {
        source: &source,
        store,
        options,
        last,
        limits: Limits::default(),
        failed: HashMap::new(),
        too_many_failed: false,
        summary: ImportSummary::default(),
        tell,
    };
    for name in source.names().map_err(|error| source.failed(error))? {
        import.entry(&name.map_err(|error| source.failed(error))?)?;
        (import.tell)(ImportEvent::Progress);
    }
    let Import { failed, too_many_failed, summary, tell, .. } = import;
    if too_many_failed {
        tell(ImportEvent::Warning(format!(
            "more than {FAILED_MOST} files were refused, so this run is not noted as complete: the next one takes \
             every file again that this one took, also those of sessions that have been logged out by then"
        )));
    } else if !options.dry_run {
        store.note_imports(notes.line(&noted, &Run { start, failed }).as_bytes())?;
    }
    Ok(summary)
}

/// Warns of what the notes make of this run.
fn warn(notes: &Notes, options: &ImportOptions, start: UnixMillis, tell: &mut dyn FnMut(ImportEvent<'_>)) {
    let mut warn = |text: String| tell(ImportEvent::Warning(text));
    match (&notes.last, &notes.other) {
        (Some(last), _) if options.all => warn(format!(
            "every file is taken, also those of sessions that have been logged out since the last complete run ({}): \
             these come back",
            last.start
        )),
        (Some(last), _) if last.start > start => warn(format!(
            "the last complete run is noted at {}, which is ahead of this system's clock; files that have changed \
             before that time are not taken",
            last.start
        )),
        (None, Some(other)) => warn(format!(
            "this store was filled from {other} before, and never from this directory: if it is the same one under \
             another path, sessions that have been logged out since come back"
        )),
        _ => {}
    }
}

struct Import<'a> {
    source: &'a Source,
    store: &'a DirectoryStore,
    options: &'a ImportOptions,
    /// The last complete run, unless every file is to be taken.
    last: Option<&'a Run>,
    limits: Limits,
    failed: HashMap<Key, Had>,
    too_many_failed: bool,
    summary: ImportSummary,
    tell: &'a mut dyn FnMut(ImportEvent<'_>),
}

/// What is to become of a file whose name is a session ID.
enum Outcome {
    Imported(Vec<String>),
    Updated(Vec<String>),
    Kept(&'static str),
    Unchanged,
    Refused(String),
    Skipped(&'static str),
}

impl Import<'_> {
    /// Deals with an entry of the source. An error ends the run.
    fn entry(&mut self, name: &[u8]) -> Result<()> {
        let Ok(id) = SessionId::new(name) else {
            self.summary.skipped += 1;
            let why = "its name is no session ID (11 to 128 letters, digits, '-' or '_')".to_owned();
            (self.tell)(ImportEvent::Skipped { name: Place::Entry(name.to_vec()).path(false), why });
            return Ok(());
        };
        let session = SessionRef::from(&id);
        let outcome = match self.file(name, &id, &session) {
            Ok(outcome) => outcome,
            Err(error) if ends_run(&error) => return Err(error),
            Err(error) => Outcome::Refused(error.to_string()),
        };
        self.told(outcome, &id, &session)
    }

    /// Counts and tells an outcome.
    fn told(&mut self, outcome: Outcome, id: &SessionId, session: &SessionRef) -> Result<()> {
        let summary = &mut self.summary;
        match outcome {
            Outcome::Imported(notes) => {
                summary.imported += 1;
                summary.lossy += u64::from(!notes.is_empty());
                (self.tell)(ImportEvent::Imported { session, notes: &notes });
            }
            Outcome::Updated(notes) => {
                summary.updated += 1;
                summary.lossy += u64::from(!notes.is_empty());
                (self.tell)(ImportEvent::Updated { session, notes: &notes });
            }
            Outcome::Kept(why) => {
                summary.kept += 1;
                (self.tell)(ImportEvent::Kept { session, why });
            }
            Outcome::Unchanged => {
                summary.unchanged += 1;
                (self.tell)(ImportEvent::Unchanged { session });
            }
            Outcome::Skipped(why) => {
                summary.skipped += 1;
                (self.tell)(ImportEvent::Skipped { name: session.shown().to_string(), why: why.to_owned() });
            }
            Outcome::Refused(why) => {
                summary.refused += 1;
                let why = without_id(why, id);
                (self.tell)(ImportEvent::Refused { name: session.shown().to_string(), why });
                self.note_failure(session)?;
            }
        }
        Ok(())
    }

    /// Remembers that the next run is to take the file again, however old it is.
    fn note_failure(&mut self, session: &SessionRef) -> Result<()> {
        if self.failed.len() == FAILED_MOST {
            self.too_many_failed = true;
            return Ok(());
        }
        let had = match self.store.stored(session) {
            Ok(None) => Had::Nothing,
            Err(error) if ends_run(&error) => return Err(error),
            // With an error there is something, if only damage.
            Ok(Some(_)) | Err(_) => Had::Older,
        };
        self.failed.insert(session.key(), had);
        Ok(())
    }

    fn file(&mut self, name: &[u8], id: &SessionId, session: &SessionRef) -> Result<Outcome> {
        let seen = match self.source.look(name) {
            Ok(Some(seen)) if seen.is_file() => seen,
            Ok(Some(_)) => return Ok(Outcome::Skipped("it is not a regular file")),
            Ok(None) => return Ok(Outcome::Skipped(GONE)),
            Err(error) => return Ok(unreadable(&error)),
        };
        if !self.is_due(&seen, session)? {
            return Ok(Outcome::Unchanged);
        }
        match self.mapped(name, id)? {
            Ok(mapped) => self.put(mapped, id, session),
            Err(outcome) => Ok(outcome),
        }
    }

    /// Whether a file is to be taken: MIG-4, MIG-7.
    fn is_due(&self, seen: &Seen, session: &SessionRef) -> Result<bool> {
        let Some(last) = self.last else { return Ok(true) };
        if seen.modified().plus(COARSE) >= last.start {
            return Ok(true);
        }
        Ok(match last.failed.get(&session.key()) {
            None => false,
            Some(Had::Nothing) => true,
            // What the store had then and has no more was logged out.
            Some(Had::Older) => self.store.stored(session)?.is_some(),
        })
    }

    /// Reads a file until nobody writes to it meanwhile, and makes a session of it.
    fn mapped(&self, name: &[u8], id: &SessionId) -> Result<Result<Mapped, Outcome>> {
        let refused = |why: String| Ok(Err(Outcome::Refused(why)));
        for round in 1..=ROUNDS {
            if round > 1 {
                thread::sleep(PAUSE);
            }
            let (bytes, seen) = match self.source.read(name, self.limits.input_bytes) {
                Ok(Read::Whole(bytes, seen)) => (bytes, seen),
                Ok(Read::Changed) => continue,
                Ok(Read::Gone) => return Ok(Err(Outcome::Skipped(GONE))),
                Ok(Read::TooLong) => {
                    return refused(format!("is longer than {} bytes; remove it", self.limits.input_bytes));
                }
                Err(error) => return Ok(Err(unreadable(&error))),
            };
            let loaded = match pickle::load(&bytes, &self.limits) {
                Ok(loaded) => loaded,
                // Session3 empties a file before it locks and writes it.
                Err(error) if is_cut_off(&error.kind) && round < ROUNDS && is_fresh(&seen) => continue,
                Err(_) if bytes.is_empty() => {
                    return refused("is empty, as a killed save leaves it; remove it".to_owned());
                }
                Err(error) => return refused(error.to_string()),
            };
            let mut mapped = match map::map(loaded, id, seen.modified()) {
                Ok(mapped) => mapped,
                Err(why) => return refused(why),
            };
            for note in &mut mapped.notes {
                *note = without_id(std::mem::take(note), id);
            }
            if self.options.strict && !mapped.notes.is_empty() {
                return refused(format!("would lose something: {}", mapped.notes.join("; ")));
            }
            if id.is_legacy() {
                mapped.session.set_expires(Some(self.store.now().plus(self.options.expires_after)));
            }
            return Ok(Ok(mapped));
        }
        refused("is written to all the time; import again".to_owned())
    }

    /// Stores a session, or what is newer of it. MIG-8.
    fn put(&self, mapped: Mapped, id: &SessionId, session: &SessionRef) -> Result<Outcome> {
        let Mapped { session: mut newer, notes } = mapped;
        let Some(stored) = self.store.stored(session)? else {
            if self.options.dry_run {
                return Ok(Outcome::Imported(notes));
            }
            return match self.store.insert(id, &mut newer) {
                Ok(()) => Ok(Outcome::Imported(notes)),
                Err(Error::Conflict { .. }) => Ok(Outcome::Kept(CHANGED)),
                Err(error) => Err(error),
            };
        };
        if stored.is_expired(self.store.now()) {
            return Ok(Outcome::Kept("it has expired in the store"));
        }
        if !stored.is_as_imported() {
            return Ok(Outcome::Kept(CHANGED));
        }
        if !stored.clone().take_over(&newer) {
            return self.touch(&stored, &newer, session, notes);
        }
        if self.options.dry_run {
            return Ok(Outcome::Updated(notes));
        }
        let mut as_imported = true;
        let updated = self.store.update(session, &mut |current| {
            as_imported = current.is_as_imported();
            if as_imported {
                current.take_over(&newer);
            }
            Ok(())
        });
        match updated {
            Ok(_) if as_imported => Ok(Outcome::Updated(notes)),
            Ok(_) => Ok(Outcome::Kept(CHANGED)),
            Err(Error::Gone { .. }) => Ok(Outcome::Kept(LOGGED_OUT)),
            Err(error) => Err(error),
        }
    }

    /// The content is the same; perhaps somebody has used it since.
    fn touch(
        &self,
        stored: &Session,
        newer: &Session,
        session: &SessionRef,
        notes: Vec<String>,
    ) -> Result<Outcome> {
        let later = Duration::from_millis(newer.accessed().millis_since(stored.accessed()));
        if later.is_zero() || later < self.store.resolution() {
            return Ok(Outcome::Unchanged);
        }
        if self.options.dry_run {
            return Ok(Outcome::Updated(notes));
        }
        match self.store.touch(session) {
            Ok(true) => Ok(Outcome::Updated(notes)),
            Ok(false) => Ok(Outcome::Unchanged),
            Err(Error::Gone { .. }) => Ok(Outcome::Kept(LOGGED_OUT)),
            Err(error) => Err(error),
        }
    }
}

const CHANGED: &str = "it has been changed in the store since it was imported";
const LOGGED_OUT: &str = "it has been deleted in the store";
const GONE: &str = "it is gone since the directory was listed";

/// Whether an error is the store's, so that the other sessions would fail too.
fn ends_run(error: &Error) -> bool {
    match error {
        Error::Busy { .. }
        | Error::Corrupt { .. }
        | Error::Conflict { .. }
        | Error::Gone { .. }
        | Error::InvalidId
        | Error::InvalidValue(_)
        | Error::TooLarge { .. }
        | Error::Unsupported { session: Some(_), .. } => false,
        Error::Io { source, .. } => source.kind() == io::ErrorKind::ReadOnlyFilesystem,
        _ => true,
    }
}

fn unreadable(error: &io::Error) -> Outcome {
    Outcome::Refused(format!("cannot be read: {error}; import as the user that Session3 runs as"))
}

/// Whether a file could be the first part of a sound one. The pickles that Session3 writes are one frame.
fn is_cut_off(kind: &PickleErrorKind) -> bool {
    matches!(kind, PickleErrorKind::Truncated | PickleErrorKind::Frame)
}

/// Whether a file was written to just now, by the system's clock.
fn is_fresh(seen: &Seen) -> bool {
    let (now, modified) = (UnixMillis::now(), seen.modified());
    let apart = now.millis_since(modified).max(modified.millis_since(now));
    Duration::from_millis(apart) <= COARSE
}

/// NAME-8: an application may keep the ID in the session's values, and so in a path.
pub(super) fn without_id(text: String, id: &SessionId) -> String {
    let (whole, shown) = (id.expose(), id.to_string());
    if !text.contains(&whole[..CUT_OFF]) {
        return text;
    }
    // Long names are cut off, perhaps within the ID.
    let cut = (CUT_OFF..whole.len()).rev().map(|length| format!("{}…", &whole[..length]));
    cut.fold(text.replace(whole, &shown), |text, cut| text.replace(&cut, &format!("{shown}…")))
}

/// So much of an ID is not shown either.
const CUT_OFF: usize = 8;
