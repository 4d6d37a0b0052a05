//! Session files: which record is current and what a checker says of the rest, against section 6 written again; and
//! that no write that was cut off anywhere makes a session anything but old or new.

use sessiondir::check::FindingKind;
use sessiondir::probe::{self, Judged};
use sessiondir::record::{decode_record, encode_record};
use sessiondir::rule::Rule;
use sessiondir::{Durability, Error, ErrorClass, Marker, Naming, Session, SessionId, SessionRef, UnixMillis};

use crate::chance::Chance;
use crate::oracle::{self, Opinion, Whole};
use crate::{choice, memory};

/// The session whose file it is, where the record does not say.
pub(crate) const ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";
/// The middle of the clocks that files are read by: 2025-01-01, which is when those of the fixtures were created.
pub(crate) const NOW: u64 = 1_735_689_600_000;
const DAY: u64 = 86_400_000;
/// What judging may hold at once for each byte of the file, and beside it.
const BYTES_FOR_EACH: usize = 12;
const BYTES_BESIDE: usize = 16_384;

/// The property.
pub fn check(file: &[u8]) {
    let mut chance = choice(file);
    let durability = *chance.pick(&[Durability::Power, Durability::Process]);
    let (session, naming) = whose(file, &mut chance);
    let now = match chance.below(4) {
        0 => 1 + chance.next_number() % (8 * NOW),
        _ => NOW + chance.next_number() % (3 * DAY) - DAY,
    };
    let reader = Reader { session, marker: Marker::new(naming, durability), now };

    let answer = reader.agree(file);
    let Some((slot, whole)) = current(file) else { return };
    let half = file.len() / 2;
    let (this, other) = (slot * half, (1 - slot) * half);

    // What is in the other slot decides nothing, so long as it is no newer record.
    let mut changed = file.to_vec();
    let old_slot = changed[other..other + half].to_vec();
    for what in 0..4 {
        let there = &mut changed[other..other + half];
        match what {
            0 => there.fill(0),
            1 => there.fill(chance.byte()),
            2 => there.copy_from_slice(&file[this..this + half]),
            _ => {
                there.copy_from_slice(&old_slot);
                let end = oracle::outline(there).map_or(half, |whole| whole.end.min(half));
                there[chance.below(end)] ^= 1 << chance.below(8);
                // That may be the very bit which the record lacked.
                if current(&changed).is_some_and(|(newer, _)| newer != slot) {
                    continue;
                }
            }
        }
        assert_eq!(reader.agree(&changed), answer, "with another other slot ({what})");
    }
    changed[other..other + half].copy_from_slice(&old_slot);
    torn(&reader, &answer, changed, (slot, whole), &mut chance);
}

/// The session that the file's records name, mostly; and a naming in which they do.
fn whose(file: &[u8], chance: &mut Chance) -> (SessionRef, Naming) {
    let named = current(file).and_then(|(slot, whole)| {
        let from = slot * (file.len() / 2);
        let (_, session) = decode_record(&file[from..from + whole.end]).ok()?;
        session.reference().cloned()
    });
    let fixed = SessionId::new(ID).expect("an ID");
    match named {
        Some(reference @ SessionRef::Key(_)) if !chance.one_in(8) => (reference, Naming::Hashed),
        Some(reference @ SessionRef::Id(_)) if !chance.one_in(8) => (reference, Naming::Plain),
        _ if chance.one_in(2) => (fixed.key().into(), Naming::Hashed),
        _ => (fixed.into(), Naming::Plain),
    }
}

/// What a load gives, without words.
#[derive(Debug, PartialEq)]
enum Answer {
    Session(Box<Session>),
    Absent,
    Error(ErrorClass),
}

/// The whole record with the higher seq, and its slot: SLOT-1, SLOT-2, SLOT-6, SLOT-7.
fn current(file: &[u8]) -> Option<(usize, Whole)> {
    let half = size(file)?;
    let in_slot = |slot: usize| {
        let whole = oracle::whole(&file[slot * half..(slot + 1) * half])?;
        (whole.seq % 2 == slot as u64).then_some((slot, whole))
    };
    [0, 1].into_iter().filter_map(in_slot).max_by_key(|(_, whole)| whole.seq)
}

/// The size of a slot.
fn size(file: &[u8]) -> Option<usize> {
    let sizes = (12..=24).map(|power| 1usize << power);
    sizes.into_iter().find(|size| 2 * size == file.len())
}

struct Reader {
    session: SessionRef,
    marker: Marker,
    now: u64,
}

/// A finding that is expected: its kind, and where that is known its offset.
type Expected = (FindingKind, Option<u64>);

impl Reader {
    /// What a load gives, about which the model of section 6 and the checker agree.
    fn agree(&self, file: &[u8]) -> Answer {
        let now = UnixMillis::from_millis(self.now).expect("in range");
        let (judged, peak) = memory::peak_of(|| probe::judge(file, &self.session, &self.marker, now));
        assert!(
            peak <= BYTES_FOR_EACH * file.len() + BYTES_BESIDE,
            "{peak} bytes of memory for a file of {}",
            file.len()
        );
        let Judged { loaded, findings } = judged.expect("a session of that naming");
        let (answer, mut expected) = self.model(file);
        let said = match &loaded {
            Ok(Some(session)) => Answer::Session(Box::new(session.clone())),
            Ok(None) => Answer::Absent,
            Err(error) => Answer::Error(error.class()),
        };
        assert_eq!(answer, said, "the model, and then the reader: {loaded:?}");
        let mut found: Vec<Expected> = findings
            .iter()
            .map(|finding| {
                assert!(finding.offset.is_none_or(|offset| offset <= file.len() as u64), "{finding:?}");
                assert_eq!(finding.place.session(), Some(&self.named()), "{finding:?}");
                (finding.kind, finding.offset)
            })
            .collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found.len(), expected.len(), "{found:?}, and not {expected:?}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                found.0 == expected.0 && (expected.1.is_none() || found.1 == expected.1),
                "{found:?}, and not {expected:?}"
            );
        }
        if let Err(error) = loaded {
            same_fault(file, &error, &findings);
        }
        answer
    }

    /// How findings name the session.
    fn named(&self) -> SessionRef {
        match self.marker.naming {
            Naming::Plain => self.session.clone(),
            Naming::Hashed => SessionRef::Key(self.session.key()),
        }
    }

    /// What section 6 says of the file.
    fn model(&self, file: &[u8]) -> (Answer, Vec<Expected>) {
        let process = self.marker.durability == Durability::Process;
        let corrupt = |offset| (Answer::Error(ErrorClass::Corrupt), vec![(FindingKind::Corrupt, offset)]);
        let stillborn = || (Answer::Absent, vec![(FindingKind::Stillborn, Some(0))]);
        let Some(half) = size(file) else {
            return if file.is_empty() && process { stillborn() } else { corrupt(Some(0)) };
        };
        let empty = [0, half].map(|slot| file[slot..slot + 8] == [0; 8]);
        let Some((slot, whole)) = current(file) else {
            return match (empty, process) {
                ([true, true], true) => stillborn(),
                ([true, true], false) => corrupt(Some(0)),
                _ => corrupt(None),
            };
        };
        let (answer, mut findings) = self.record(&file[slot * half..][..whole.end]);
        self.beside(file, half, (slot, whole), &mut findings);
        (answer, findings)
    }

    /// What a load gives of the current record, and what a check reports of it.
    fn record(&self, record: &[u8]) -> (Answer, Vec<Expected>) {
        let meaning = match oracle::opinion(record) {
            Opinion::Session(meaning) if self.is_named_by(record) => meaning,
            Opinion::Unsupported => {
                let kind = FindingKind::Unsupported;
                return (Answer::Error(ErrorClass::Unsupported), vec![(kind, None)]);
            }
            _ => return (Answer::Error(ErrorClass::Corrupt), vec![(FindingKind::Corrupt, None)]),
        };
        let mut findings = Vec::new();
        if meaning.accessed > self.now + DAY {
            findings.push((FindingKind::FutureAccess, None));
        }
        // Sixteen, and one for all the others.
        let unknown = meaning.other.iter().filter(|(key, _)| !key.contains('.')).count();
        findings.extend(std::iter::repeat_n((FindingKind::UnknownKey, None), unknown.min(17)));
        let idle = meaning.idle.is_some_and(|idle| self.now.saturating_sub(meaning.accessed) >= idle);
        if idle || meaning.expires.is_some_and(|at| self.now >= at) {
            return (Answer::Absent, findings);
        }
        let (_, session) = decode_record(record).expect("the oracle takes it");
        (Answer::Session(Box::new(session)), findings)
    }

    /// BODY-5, of a sound record.
    fn is_named_by(&self, record: &[u8]) -> bool {
        decode_record(record).is_ok_and(|(_, session)| session.reference() == Some(&self.named()))
    }

    /// What a check reports beside the current record. SLOT-11, CHK-9, and stale records.
    fn beside(
        &self,
        file: &[u8],
        half: usize,
        (slot, current): (usize, Whole),
        findings: &mut Vec<Expected>,
    ) {
        for index in [0, 1] {
            let bytes = &file[index * half..(index + 1) * half];
            let whole = match oracle::whole(bytes) {
                _ if index == slot => Some(current),
                Some(whole) if whole.seq % 2 == index as u64 => Some(whole),
                _ => None,
            };
            let from = match whole {
                Some(whole) => whole.end,
                None if bytes[..8] == [0; 8] => 0,
                None => {
                    findings.push((FindingKind::DamagedSlot, None));
                    continue;
                }
            };
            if let Some(stray) = bytes[from..].iter().position(|byte| *byte != 0) {
                findings.push((FindingKind::StrayBytes, Some((index * half + from + stray) as u64)));
            }
            if index != slot && whole.is_some_and(|whole| !self.is_named_by(&bytes[..whole.end])) {
                findings.push((FindingKind::StaleRecord, None));
            }
        }
    }
}

/// The reader and the checker name the same rule and place, which is where the record alone has it.
fn same_fault(file: &[u8], error: &Error, findings: &[sessiondir::check::Finding]) {
    let fault = error.fault().expect("a rule");
    let is_it = |finding: &&sessiondir::check::Finding| {
        finding.rule == fault.rule && finding.offset == Some(fault.offset as u64)
    };
    assert_eq!(findings.iter().filter(is_it).count(), 1, "{error} but {findings:?}");
    let Some((slot, whole)) = current(file) else { return };
    let base = slot * (file.len() / 2);
    match decode_record(&file[base..base + whole.end]).err().and_then(|error| error.fault()) {
        // Where it breaks a rule after BODY-5 too, that is which comes first.
        Some(alone) if fault.rule != Rule::Body5 => {
            assert_eq!((fault.rule, fault.offset), (alone.rule, base + alone.offset));
        }
        _ => assert_eq!(fault.rule, Rule::Body5, "{error}"),
    }
}

/// A save that is cut off after any of its blocks, in any order: the session is old or new.
fn torn(
    reader: &Reader,
    answer: &Answer,
    mut file: Vec<u8>,
    (slot, whole): (usize, Whole),
    chance: &mut Chance,
) {
    let Answer::Session(session) = answer else { return };
    let mut next = (**session).clone();
    if next.insert("torn", &chance.next_number()).is_err() {
        return;
    }
    let Ok(record) = encode_record(whole.seq + 1, &next) else { return };
    let half = file.len() / 2;
    if record.len() > half {
        return;
    }
    let mut padded = record.clone();
    padded.resize(half, 0);
    let other = &mut file[(1 - slot) * half..(2 - slot) * half];
    // WRITE-6: over anything else nobody writes in place who cannot know that there was no power cut since.
    let end = match oracle::whole(other) {
        Some(whole) if whole.seq % 2 != slot as u64 => whole.end,
        _ => 0,
    };
    if other[end..].iter().any(|&byte| byte != 0) {
        other.fill(0);
    }
    let block = *chance.pick(&[1, 7, 64, 512, 4096]);
    let cut = chance.below(record.len() + 2 * block);
    for (number, (there, new)) in other.chunks_mut(block).zip(padded.chunks(block)).enumerate() {
        // From the start up to the cut; or here and there, as pages are written back.
        let written = if cut.is_multiple_of(3) { chance.one_in(2) } else { number * block < cut };
        if written {
            there.copy_from_slice(new);
        }
    }
    let is_there = other.starts_with(&record);
    let now = reader.agree(&file);
    if is_there {
        assert_eq!(now, Answer::Session(Box::new(next)), "the record is there in full");
    } else {
        assert_eq!(now, *answer, "the record is not there in full");
    }
}
