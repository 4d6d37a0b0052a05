//! Checking one session's file.

use std::io;

use super::finding::{Finding, FindingKind, Place};
use super::judge::{self, Judge, Judged};
use crate::dir::{Access, Opened};
use crate::marker::{Durability, Marker};
use crate::names::FileName;
use crate::record::envelope::Envelope;
use crate::record::{self, Refusal, Session};
use crate::rule::{Fault, Rule};
use crate::slots::{self, Slot, Verdict};
use crate::time::UnixMillis;

/// What looking at a session's file once has found.
#[derive(Default)]
struct Seen {
    findings: Vec<Finding>,
    expired: bool,
}

impl Judge<'_> {
    pub(super) fn session(&self, name: &FileName) -> Judged {
        let place = Place::Session(name.session().clone());
        let mut seen = self.look(name);
        if let Ok(Some(first)) = &seen
            && first.findings.iter().any(Finding::could_be_a_writer)
        {
            let index = name.key().lock_file();
            match self.under_lock(index, &place, || self.look(name)) {
                Ok(again) => seen = again,
                Err(busy) => return vec![busy].into(),
            }
        }
        let counted = |findings, expired| Judged { findings, session: Some(judge::Session { expired }) };
        match seen {
            // CHK-3.
            Ok(None) => Judged::default(),
            Ok(Some(seen)) => counted(seen.findings, seen.expired),
            Err(error) => counted(vec![Self::unreadable(place, &error)], false),
        }
    }

    /// What is to be found in a session's file while the caller holds its lock. Empty where it is not there.
    pub(crate) fn findings_now(&self, name: &FileName) -> io::Result<Vec<Finding>> {
        Ok(self.look(name)?.map_or_else(Vec::new, |seen| seen.findings))
    }

    /// Looks at a session's file once; `None` where it has vanished.
    fn look(&self, name: &FileName) -> io::Result<Option<Seen>> {
        let place = Place::Session(name.session().clone());
        let Opened::File(file, stat) = self.dir.open_session(name, Access::Read)? else { return Ok(None) };
        let mut seen = Seen::default();
        seen.findings.extend(self.permissions(&stat, &place));
        if stat.links > 1 {
            let detail = format!("has {} links; the next save replaces it", stat.links);
            let place = place.clone();
            let (kind, rule) = (FindingKind::HardLink, Rule::Chk8);
            seen.findings.push(Finding { kind, rule, place, offset: None, detail });
        }
        let session = name.session();
        if session.id().is_some_and(crate::SessionId::is_legacy) {
            let detail = "has an ID of fewer than 22 characters; rotate it, or let it expire".to_owned();
            let place = place.clone();
            let (kind, rule) = (FindingKind::LegacyId, Rule::Chk10);
            seen.findings.push(Finding { kind, rule, place, offset: None, detail });
        }
        let mut look = Look { marker: &self.marker, now: self.now, name, place, seen };
        // A file of another size is not read: it may be of any.
        let length = slots::slot_size(stat.size).map_or(0, |slot| 2 * slot);
        let bytes = file.read_new(length)?;
        if bytes.len() == length && length > 0 {
            look.file(&bytes);
        } else {
            look.wrong_size(if bytes.is_empty() { stat.size } else { bytes.len() as u64 });
        }
        Ok(Some(look.seen))
    }
}

/// The bytes of a session's file that are being looked at.
struct Look<'a> {
    marker: &'a Marker,
    now: UnixMillis,
    name: &'a FileName,
    place: Place,
    seen: Seen,
}

impl Look<'_> {
    fn add(&mut self, kind: FindingKind, fault: Fault, detail: impl Into<String>) {
        let offset = Some(fault.offset as u64);
        let (rule, place) = (fault.rule, self.place.clone());
        self.seen.findings.push(Finding { kind, rule, place, offset, detail: detail.into() });
    }

    fn process(&self) -> bool {
        self.marker.durability == Durability::Process
    }

    fn stillborn(&mut self) {
        let detail = "was lost to a power failure while it was created; it is taken as absent";
        self.add(FindingKind::Stillborn, Fault::new(Rule::Slot10, 0), detail);
    }

    fn wrong_size(&mut self, size: u64) {
        if size == 0 && self.process() {
            return self.stillborn();
        }
        let detail = format!("is {size} bytes long, which no session file is; restore or delete it");
        self.add(FindingKind::Corrupt, Fault::new(Rule::Slot1, 0), detail);
    }

    fn file(&mut self, bytes: &[u8]) {
        let Ok(size) = slots::slot_size(bytes.len() as u64) else {
            return self.wrong_size(bytes.len() as u64);
        };
        let (current, envelope) = match slots::choose(bytes, self.process()) {
            Verdict::Current(current, envelope) | Verdict::Candidate { index: current, envelope, .. } => {
                (current, envelope)
            }
            Verdict::Stillborn => return self.stillborn(),
            Verdict::None(fault) => {
                return self.add(FindingKind::Corrupt, fault, "has no whole record; restore or delete it");
            }
        };
        for (index, half) in bytes.chunks_exact(size).enumerate() {
            if index == current {
                self.current(half, &envelope, index * size);
                self.stray(half, &Slot::Whole(envelope), index * size);
            } else {
                self.other(half, index, index * size);
            }
        }
    }

    /// The slot beside the current record's.
    fn other(&mut self, half: &[u8], index: usize, base: usize) {
        let slot = slots::judge(half, index);
        match &slot {
            Slot::Whole(other) => {
                if let Err(refusal) = record::decode(&half[..other.end], other, Some(self.name)) {
                    let detail = "is broken in its older record; the current one can be read";
                    self.add(FindingKind::StaleRecord, refusal.fault().within(base), detail);
                }
            }
            Slot::Damaged(damage) => {
                let Fault { rule, offset } = damage.fault.within(base);
                let detail = format!(
                    "has a slot that holds no whole record ({rule}): a killed save, or damage; readers use the other slot"
                );
                self.add(FindingKind::DamagedSlot, Fault::new(Rule::Slot11, offset), detail);
            }
            Slot::Empty => {}
        }
        self.stray(half, &slot, base);
    }

    fn stray(&mut self, half: &[u8], slot: &Slot, base: usize) {
        if let Some(at) = slots::stray_byte(half, slot) {
            let detail = "has bytes where zeros belong: a killed save, or damage; readers do not look there";
            self.add(FindingKind::StrayBytes, Fault::new(Rule::Chk9, base + at), detail);
        }
    }

    fn current(&mut self, slot: &[u8], envelope: &Envelope, base: usize) {
        match record::decode(&slot[..envelope.end], envelope, Some(self.name)) {
            Ok(session) => self.readable(&session, &slot[..envelope.end], envelope, base),
            Err(Refusal::Corrupt(fault)) => {
                self.add(FindingKind::Corrupt, fault.within(base), "cannot be read; restore or delete it");
            }
            Err(refusal @ Refusal::Unsupported(..)) => {
                let fault = refusal.fault().within(base);
                let detail = refusal.into_error(base).to_string();
                self.add(FindingKind::Unsupported, fault, detail);
            }
        }
    }

    fn readable(&mut self, session: &Session, bytes: &[u8], envelope: &Envelope, base: usize) {
        self.seen.expired = session.is_expired(self.now);
        if session.accessed().is_far_ahead_of(self.now) {
            let detail =
                format!("was accessed at {}, which is yet to come: a clock was wrong", session.accessed());
            let (kind, rule) = (FindingKind::FutureAccess, Rule::Chk11);
            let place = self.place.clone();
            self.seen.findings.push(Finding { kind, rule, place, offset: None, detail });
        }
        if session.knows_all() {
            return;
        }
        let (mut unknown, mut first_beyond) = (0, 0);
        // The record has been decoded, so it can be read again.
        let _ = record::for_each_key(bytes, envelope, &mut |key, at| {
            if record::KEYS.contains(&key) || key.contains('.') {
                return;
            }
            unknown += 1;
            if unknown <= UNKNOWN_MOST {
                let short: String = key.chars().take(40).collect();
                let detail = format!(
                    "has the key {short:?}, which SPEC.md may define one day; private keys have a full stop"
                );
                self.add(FindingKind::UnknownKey, Fault::new(Rule::Body17, base + at), detail);
            } else if unknown == UNKNOWN_MOST + 1 {
                first_beyond = base + at;
            }
        });
        if unknown > UNKNOWN_MOST {
            let detail = format!("has {} more such keys", unknown - UNKNOWN_MOST);
            self.add(FindingKind::UnknownKey, Fault::new(Rule::Body17, first_beyond), detail);
        }
    }
}

/// What a check reports of the bytes of a session's file.
#[cfg(any(feature = "seam", feature = "conformance"))]
pub(crate) fn findings_in(file: &[u8], marker: &Marker, name: &FileName, now: UnixMillis) -> Vec<Finding> {
    let place = Place::Session(name.session().clone());
    let mut look = Look { marker, now, name, place, seen: Seen::default() };
    look.file(file);
    look.seen.findings
}

/// How many unknown keys of one session are reported one by one.
const UNKNOWN_MOST: usize = 16;

#[cfg(test)]
mod tests;
