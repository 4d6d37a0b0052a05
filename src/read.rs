//! Reading one session: SPEC.md section 10.2.

use std::io;

use crate::counters::Count;
use crate::dir::{Access, Dir, File, Opened, Stat};
use crate::error::{Error, Result};
use crate::marker::{Durability, Marker};
use crate::names::FileName;
use crate::record::envelope::{Envelope, MAGIC, PREFIX_MAX};
use crate::record::seen::Seen;
use crate::record::{self, Session};
use crate::rule::{Fault, Rule};
use crate::slots::{self, Verdict};

/// How often a reader starts over before it takes the lock (READ-5).
pub(crate) const ROUNDS: u32 = 4;

/// A session's file with its current record, as one round has read them.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) file: File,
    pub(crate) stat: Stat,
    /// The whole file.
    bytes: Vec<u8>,
    /// The slot of the current record.
    index: usize,
    envelope: Envelope,
}

impl Current {
    /// The size of a slot.
    pub(crate) fn slot_size(&self) -> usize {
        self.bytes.len() / 2
    }

    pub(crate) fn seq(&self) -> u64 {
        self.envelope.seq
    }

    /// The SHA-256 that the current record ends with.
    pub(crate) fn digest(&self) -> &[u8] {
        let record = self.record();
        &record[record.len() - 32..]
    }

    /// Whether the file has not been written in place since it was made: its other slot is empty.
    pub(crate) fn is_as_made(&self) -> bool {
        let other = (1 - self.index) * self.slot_size();
        self.bytes[other..].starts_with(&[0; MAGIC.len()])
    }

    /// Whether the other slot holds no part of a record that was never complete: it is empty, or holds a whole one,
    /// and zeros after that (WRITE-6).
    pub(crate) fn other_is_sound(&self) -> bool {
        let index = 1 - self.index;
        let slot = &self.bytes[index * self.slot_size()..][..self.slot_size()];
        let judged = slots::judge(slot, index);
        !matches!(judged, slots::Slot::Damaged(_)) && slots::stray_byte(slot, &judged).is_none()
    }

    /// The record, for the session that it holds to keep.
    pub(crate) fn into_seen(self) -> Seen {
        let (from, end) = (self.base(), self.envelope.end);
        Seen::new(self.bytes, from, from + end)
    }

    fn record(&self) -> &[u8] {
        &self.bytes[self.base()..self.base() + self.envelope.end]
    }

    fn base(&self) -> usize {
        self.index * self.slot_size()
    }

    /// What the current record means; the file is that of `name`. SLOT-8, BODY-5.
    pub(crate) fn session(&self, name: &FileName) -> Result<Session> {
        record::decode(self.record(), &self.envelope, Some(name))
            .map_err(|refusal| refusal.into_error(self.base()).about(name.shown()))
    }
}

/// What one round of reading came to.
#[derive(Debug)]
pub(crate) enum Round {
    Absent,
    /// A creation that a power failure took back (SLOT-10): absent to readers.
    Stillborn,
    Current(Box<Current>),
    /// No whole record, or none that is sure to be current: damage, or a write in flight.
    Again(Fault),
}

impl Round {
    /// The current record; without one in a round that was under the lock, `corrupt`.
    pub(crate) fn settled(self, name: &FileName) -> Result<Option<Box<Current>>> {
        match self {
            Round::Absent | Round::Stillborn => Ok(None),
            Round::Current(current) => Ok(Some(current)),
            Round::Again(fault) => Err(corrupt(name, fault)),
        }
    }
}

/// How often reading was more than one look.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) fallbacks: Count,
    pub(crate) second_reads: Count,
}

pub(crate) fn corrupt(name: &FileName, fault: Fault) -> Error {
    Error::Corrupt { session: Some(name.shown()), fault }
}

/// One round: steps 2 to 6 of section 10.2; `known` is a record that is known to be whole, or empty. READ-1 to READ-4.
pub(crate) fn round(
    dir: &Dir,
    marker: &Marker,
    name: &FileName,
    access: Access,
    known: &[u8],
    tally: &Tally,
) -> Result<Round> {
    let failed = |error: io::Error| Error::io("read a session", Some(name.shown()), error);
    let (file, stat) = match dir.open_session(name, access) {
        Ok(Opened::File(file, stat)) => (file, stat),
        Ok(Opened::Absent) => return Ok(Round::Absent),
        Ok(Opened::NotRegular) => return Err(corrupt(name, Fault::new(Rule::Name11, 0))),
        Err(error) => return Err(Error::io("open a session's file", Some(name.shown()), error)),
    };
    let process = marker.durability == Durability::Process;
    let slot_size = match slots::slot_size(stat.size) {
        Ok(size) => size,
        Err(_) if process && stat.size == 0 => return Ok(Round::Stillborn),
        Err(fault) => return Err(corrupt(name, fault)),
    };
    let bytes = file.read_new(2 * slot_size).map_err(failed)?;
    if bytes.len() < 2 * slot_size {
        // Truncated since the fstat: what the size is now, the next round sees.
        return Ok(Round::Again(Fault::new(Rule::Slot1, 0)));
    }
    let (index, envelope) = match slots::choose_knowing(&bytes, process, known) {
        Verdict::Current(index, envelope) => (index, envelope),
        Verdict::Candidate { index, envelope, falls_back } => {
            tally.second_reads.add();
            let mut again = vec![0; PREFIX_MAX.min(slot_size)];
            let offset = (index * slot_size) as u64;
            let length = file.read_at(&mut again, offset).map_err(failed)?;
            if !slots::bears(&again[..length], envelope.seq) {
                return Ok(Round::Again(Fault::new(Rule::Slot9, 0)));
            }
            if falls_back {
                tally.fallbacks.add();
            }
            (index, envelope)
        }
        Verdict::Stillborn => return Ok(Round::Stillborn),
        Verdict::None(fault) => return Ok(Round::Again(fault)),
    };
    Ok(Round::Current(Box::new(Current { file, stat, bytes, index, envelope })))
}

/// What a reader makes of the bytes of a session's file to which nobody writes: as [`round`] and then
/// [`Current::session`], without the file.
#[cfg(feature = "seam")]
pub(crate) fn settled_bytes(file: &[u8], marker: &Marker, name: &FileName) -> Result<Option<Session>> {
    let (index, envelope) = match slots::choose(file, marker.durability == Durability::Process) {
        // To a second read nothing would have changed.
        Verdict::Current(index, envelope) | Verdict::Candidate { index, envelope, .. } => (index, envelope),
        Verdict::Stillborn => return Ok(None),
        Verdict::None(fault) => return Err(corrupt(name, fault)),
    };
    let base = index * (file.len() / 2);
    record::decode(&file[base..base + envelope.end], &envelope, Some(name))
        .map(Some)
        .map_err(|refusal| refusal.into_error(base).about(name.shown()))
}
