//! Putting a record on disk: SPEC.md sections 10.3 (in place), 10.4 (creating) and 10.5 (replacing). The
//! caller holds the session's lock.

use std::io;

use super::directory::DirectoryStore;
use super::synced::Stamp;
use crate::error::{Error, Result};
use crate::marker::Durability;
use crate::names::{EntryType, FileName, Key};
use crate::read::Current;
use crate::record::seen::Seen;
use crate::record::{Draft, Session};
use crate::slots::{self, SPARE};

/// A file is made smaller when its record would fit this part of its slot.
const SHRINK: usize = 8;

/// Where a new session file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// There is nothing of that name.
    Fresh,
    /// A stillborn file, which holds nothing, is in its way.
    OverStillborn,
    /// Instead of a session's file.
    OverSession,
}

impl DirectoryStore {
    pub(super) fn durable(&self) -> bool {
        self.marker.durability == Durability::Power
    }

    /// Writes `next`, the record after `current`, in place or by a new file.
    ///
    /// A record that grows by its numbers alone may use the slot to its end (SLOT-5).
    pub(super) fn put(
        &self,
        name: &FileName,
        current: &Current,
        next: &Draft<'_>,
        spare: usize,
    ) -> Result<Seen> {
        let replace = |seq, record: Vec<u8>| {
            self.put_file(name, seq, &record, Place::OverSession)?;
            Ok(Seen::whole(record))
        };
        let seq = current.seq() + 1;
        let record = next.encode(seq, self.marker.naming)?;
        let slot_size = current.slot_size();
        let key = name.key();
        let identity = current.stat.identity;
        let suspect = self.durable() && self.synced.is_suspect(&key, identity);
        // WRITE-6.
        if record.len() + spare > slot_size || current.stat.links != 1 || suspect {
            return replace(seq, record);
        }
        if record.len() + SPARE <= slot_size / SHRINK && slot_size > slots::SLOT_MIN {
            match self.put_file(name, seq, &record, Place::OverSession) {
                // Best effort: no room for the smaller file is no reason not to save.
                Err(Error::NoSpace { .. } | Error::Io { .. }) => {}
                done => return done.map(|()| Seen::whole(record)),
            }
        }
        if self.durable() && !self.synced.knows(&key, &Stamp::of(current)) {
            // WRITE-6. A record that a power cut has torn could become whole by bytes of this one, if that is torn too.
            if !current.other_is_sound() {
                return replace(seq, record);
            }
            // If it fails the current record may never reach the disk: a new file does not need it to.
            if !self.make_durable(key, current) {
                return replace(seq, record);
            }
        }
        let end = record.len();
        let source = match self.put_slot(name, current, seq, record)? {
            (slot, None) => return Ok(Seen::new(slot, 0, end)),
            (_, Some(source)) => source,
        };
        // WRITE-7. Other processes would take the record for one that a sync can save, so it does not stay.
        let record = next.encode(seq + 1, self.marker.naming)?;
        replace(seq + 1, record).map_err(|_: Error| Error::OutcomeUnknown {
            operation: "sync a session",
            session: Some(name.shown()),
            source,
        })
    }

    /// Syncs the current record, which may be another's who was killed before he did; says whether it is durable now.
    /// WRITE-4.
    fn make_durable(&self, key: Key, current: &Current) -> bool {
        // Whoever made the file may have been killed before it synced the directory; whoever wrote in place since has
        // done this.
        let entry = if current.is_as_made() { self.dir.sync() } else { Ok(()) };
        if entry.and_then(|()| current.file.sync()).is_err() {
            self.synced.failed(key, current.stat.identity);
            return false;
        }
        true
    }

    /// For a save that changes nothing: its success says that what is stored is durable, whoever wrote it. WRITE-9.
    pub(super) fn keep(&self, name: &FileName, current: &Current, stored: &Session) -> Result<()> {
        let (key, stamp) = (name.key(), Stamp::of(current));
        if !self.durable() || self.synced.knows(&key, &stamp) {
            return Ok(());
        }
        if self.synced.is_suspect(&key, current.stat.identity) || !self.make_durable(key, current) {
            return self.put_again(name, current, stored);
        }
        // Else the next save would write over what a power cut has torn (WRITE-6).
        if current.other_is_sound() {
            self.synced.done(key, stamp);
        }
        Ok(())
    }

    /// Replaces the session's file by a sound one that holds the same session. REP-4.
    pub(crate) fn rewrite(&self, name: &FileName, current: &Current) -> Result<()> {
        self.put_again(name, current, &current.session(name)?.with_sane_access(self.now()))
    }

    /// Replaces the session's file by one that holds `session` as it is, but for its seq.
    fn put_again(&self, name: &FileName, current: &Current, session: &Session) -> Result<()> {
        let seq = current.seq() + 1;
        let record = session.encode(seq, self.marker.naming)?;
        self.put_file(name, seq, &record, Place::OverSession)
    }

    /// Overwrites the slot that does not hold the current record. WRITE-3, WRITE-5, WRITE-8. Returns what
    /// the slot then holds, and the error of the sync, where that failed.
    fn put_slot(
        &self,
        name: &FileName,
        current: &Current,
        seq: u64,
        record: Vec<u8>,
    ) -> Result<(Vec<u8>, Option<io::Error>)> {
        let session = Some(name.shown());
        let slot_size = current.slot_size();
        let length = record.len();
        // SLOT-4. The buffer has room for it, as a rule.
        let mut slot = record;
        slot.resize(slot_size, 0);
        let offset = (slots::index(seq) * slot_size) as u64;
        if let Err((source, written)) = current.file.write_at(&slot, offset) {
            let operation = "write a session";
            // What has been written may be a whole record; else the old one is still current.
            return Err(if written >= length {
                Error::OutcomeUnknown { operation, session, source }
            } else {
                Error::io(operation, session, source)
            });
        }
        if self.durable() {
            let key = name.key();
            if let Err(source) = current.file.sync() {
                self.synced.failed(key, current.stat.identity);
                return Ok((slot, Some(source)));
            }
            self.synced.done(key, Stamp::new(current.stat.identity, seq, &slot[..length]));
        }
        Ok((slot, None))
    }

    /// Makes a session file that holds record `seq` alone. WRITE-12 to WRITE-15.
    ///
    /// With [`Place::Fresh`] an entry of that name is `conflict`.
    pub(super) fn put_file(&self, name: &FileName, seq: u64, record: &[u8], place: Place) -> Result<()> {
        let session = Some(name.shown());
        let made = self.build_temp(name, seq, record, place).and_then(|identity| {
            self.dir.publish(name, place == Place::Fresh)?;
            Ok(identity)
        });
        let identity = match made {
            Ok(identity) => identity,
            Err(error) => {
                // What cannot be unlinked now is debris, which the next holder of the lock removes.
                let _ = self.remove_temp(name);
                return Err(match error.kind() {
                    io::ErrorKind::AlreadyExists => Error::Conflict { session: name.shown() },
                    _ => Error::io("write a session's file", session, error),
                });
            }
        };
        if self.durable() {
            if let Err(source) = self.dir.sync() {
                // The new file has its record, but perhaps not its name.
                self.synced.failed(name.key(), identity);
                if place == Place::Fresh {
                    // Nobody learns the ID, so nobody could delete it.
                    let _ = self.dir.unlink(name);
                }
                return Err(Error::OutcomeUnknown { operation: "sync the directory", session, source });
            }
            self.synced.done(name.key(), Stamp::new(identity, seq, record));
        }
        Ok(())
    }

    /// Writes the temp; returns which file it is.
    fn build_temp(&self, name: &FileName, seq: u64, record: &[u8], place: Place) -> io::Result<(u64, u64)> {
        let (file, stat) = match self.dir.create_temp(name) {
            // Debris of somebody who was killed: we hold the lock, so nobody is at work on it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.remove_temp(name)?;
                self.dir.create_temp(name)
            }
            made => made,
        }
        .map_err(|error| match error.kind() {
            // Not the name's, which is what `AlreadyExists` says to the caller.
            io::ErrorKind::AlreadyExists => io::Error::other(
                "something that is no file has taken the name of the session's temp; move it away",
            ),
            _ => error,
        })?;
        let slot_size = slots::slot_for(record.len());
        let mut slots = vec![0; 2 * slot_size];
        slots[slots::index(seq) * slot_size..][..record.len()].copy_from_slice(record);
        file.write_at(&slots, 0).map_err(|(error, _)| error)?;
        // Even where durability is `process`: the old record must not go before the new one is there.
        if self.durable() || place == Place::OverSession {
            file.sync()?;
        }
        Ok(stat.identity)
    }

    /// Unlinks a session's temp, if it is a file: under the lock it is debris. Anything else of that name is foreign
    /// (NAME-10).
    pub(crate) fn remove_temp(&self, name: &FileName) -> io::Result<bool> {
        match self.dir.stat_entry(name.temp().as_bytes())? {
            Some(stat) if stat.kind == EntryType::Regular => self.dir.unlink_temp(name),
            _ => Ok(false),
        }
    }

    /// Unlinks a session's file and its temp, whatever they hold; says whether the file was there. DEL-1 to DEL-3.
    pub(crate) fn remove(&self, name: &FileName) -> Result<bool> {
        let session = Some(name.shown());
        let failed = |error| Error::io("delete a session", session, error);
        let is_there = self.is_file(name)?;
        // A copy of the session that a killed writer left. Before the file, so that an error here has changed nothing.
        self.remove_temp(name).map_err(failed)?;
        let was_there = is_there && self.dir.unlink(name).map_err(failed)?;
        if self.durable() {
            self.synced.forget(&name.key());
        }
        // Also where it was not there: whoever unlinked it may have been killed before this.
        if self.durable()
            && let Err(source) = self.dir.sync()
        {
            return Err(Error::OutcomeUnknown { operation: "sync the directory", session, source });
        }
        Ok(was_there)
    }
}
