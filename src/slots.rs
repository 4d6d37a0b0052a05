//! The session file: SPEC.md section 6. Which slot holds the current record, and where the next one goes.
//!
//! Pure: over byte slices, no system call. What a reader does about a verdict stands in `read.rs`.

use crate::record::envelope::{Damage, Envelope, MAGIC, Prefix};
pub(crate) use crate::record::{RECORD_MAX, SLOT_MIN, SPARE, slot_for};
use crate::rule::{Fault, Rule};

/// The largest slot, in bytes (SLOT-1).
pub(crate) const SLOT_MAX: usize = 16 << 20;
const _: () = assert!(RECORD_MAX + SPARE <= SLOT_MAX);

/// The size of a slot in a file of `size` bytes. SLOT-1.
pub(crate) fn slot_size(size: u64) -> Result<usize, Fault> {
    let slot = usize::try_from(size / 2).unwrap_or(usize::MAX);
    let fits = size.is_multiple_of(2) && slot.is_power_of_two() && (SLOT_MIN..=SLOT_MAX).contains(&slot);
    if fits { Ok(slot) } else { Err(Fault::new(Rule::Slot1, 0)) }
}

/// The slot in which record `seq` stands. SLOT-2.
pub(crate) fn index(seq: u64) -> usize {
    usize::from(seq % 2 == 1)
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Its first 8 bytes are zero (SLOT-3).
    Empty,
    /// A whole record (SLOT-6).
    Whole(Envelope),
    /// Neither. Offsets are from the start of the slot.
    Damaged(Damage),
}

/// The head of a slot: enough to see which is newer.
enum SlotHead {
    Empty,
    Readable(Prefix),
    Unreadable(Fault),
}

fn head(slot: &[u8], slot_index: usize) -> SlotHead {
    if slot.starts_with(&[0; MAGIC.len()]) {
        return SlotHead::Empty;
    }
    match Prefix::read(slot) {
        Ok(prefix) if index(prefix.seq) == slot_index => SlotHead::Readable(prefix),
        Ok(prefix) => SlotHead::Unreadable(Fault::new(Rule::Slot2, prefix.seq_at)),
        Err(fault) => SlotHead::Unreadable(fault),
    }
}

fn rest(slot: &[u8], head: &SlotHead, known: &[u8]) -> Slot {
    match head {
        SlotHead::Empty => Slot::Empty,
        SlotHead::Unreadable(fault) => Slot::Damaged(Damage { fault: *fault, seq: None }),
        SlotHead::Readable(prefix) => match Envelope::after(slot, *prefix, known) {
            Ok(envelope) => Slot::Whole(envelope),
            Err(damage) => Slot::Damaged(damage),
        },
    }
}

/// Judges slot `slot_index` by itself. SLOT-2, SLOT-3, SLOT-6.
pub(crate) fn judge(slot: &[u8], slot_index: usize) -> Slot {
    rest(slot, &head(slot, slot_index), &[])
}

/// What a copy of a session file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This is the current record.
    Current(usize, Envelope),
    /// This one is whole, but the other slot may have been written while it was read: current only if its slot
    /// still bears the same seq (READ-4).
    Candidate {
        index: usize,
        envelope: Envelope,
        /// Whether the other slot is damaged and holds, or may hold, the newer record.
        falls_back: bool,
    },
    /// A creation that a power failure took back: absent (SLOT-10).
    Stillborn,
    /// No whole record: what is wrong, from the start of the file (section 11.2).
    None(Fault),
}

/// Finds the current record in a copy of a whole file. SLOT-1, SLOT-6, SLOT-7; steps 3, 5 and 6 of section 10.2.
/// `process` is whether the store's durability is that, so that a file may be stillborn.
pub(crate) fn choose(file: &[u8], process: bool) -> Verdict {
    choose_knowing(file, process, &[])
}

/// The same, for somebody who knows that the bytes of `known` are a whole record, if it is not empty.
pub(crate) fn choose_knowing(file: &[u8], process: bool, known: &[u8]) -> Verdict {
    let verdict = match slot_size(file.len() as u64) {
        Ok(size) => newest(file, size, known),
        Err(fault) => Verdict::None(fault),
    };
    match verdict {
        Verdict::None(Fault { rule: Rule::Slot9, .. }) if process => Verdict::Stillborn,
        Verdict::None(_) if process && file.is_empty() => Verdict::Stillborn,
        verdict => verdict,
    }
}

/// The newest whole record.
fn newest(file: &[u8], size: usize, known: &[u8]) -> Verdict {
    let slots = file.split_at(size);
    let slots = [slots.0, slots.1];
    let [zero, one] = [head(slots[0], 0), head(slots[1], 1)];
    // The newer head first, so that a sound file costs one digest.
    let one_is_newer = match (&zero, &one) {
        (SlotHead::Readable(zero), SlotHead::Readable(one)) => one.seq > zero.seq,
        (SlotHead::Readable(_), _) => false,
        (_, SlotHead::Readable(_)) => true,
        (zero, _) => matches!(zero, SlotHead::Empty),
    };
    let (first, older) = if one_is_newer { ((1, one), (0, zero)) } else { ((0, zero), (1, one)) };
    let (index, newer) = first;
    let fault = match rest(slots[index], &newer, known) {
        // Only an empty slot, or the record before, says for sure that nothing newer was being written there: a
        // head that is half one record's and half the next but one's can read as that of a much older one.
        Slot::Whole(envelope) => {
            return match older.1 {
                SlotHead::Empty => Verdict::Current(index, envelope),
                SlotHead::Readable(head) if head.seq + 1 == envelope.seq => Verdict::Current(index, envelope),
                older => {
                    let falls_back = matches!(older, SlotHead::Unreadable(_));
                    Verdict::Candidate { index, envelope, falls_back }
                }
            };
        }
        // It would not have come first if the other were anything else: both are empty.
        Slot::Empty => return Verdict::None(Fault::new(Rule::Slot9, 0)),
        Slot::Damaged(damage) => damage.fault.within(index * size),
    };
    match rest(slots[older.0], &older.1, known) {
        Slot::Whole(envelope) => Verdict::Candidate { index: older.0, envelope, falls_back: true },
        _ => Verdict::None(fault),
    }
}

/// Whether `bytes`, read from the start of a slot, still bear `seq`. READ-4.
pub(crate) fn bears(bytes: &[u8], seq: u64) -> bool {
    Prefix::read(bytes).is_ok_and(|prefix| prefix.seq == seq)
}

/// The first byte of `slot` that is not zero although it is no part of a record: after a whole record, or in an
/// empty slot. CHK-9.
pub(crate) fn stray_byte(slot: &[u8], judged: &Slot) -> Option<usize> {
    let from = match judged {
        Slot::Empty => 0,
        Slot::Whole(envelope) => envelope.end,
        Slot::Damaged(_) => return None,
    };
    // 64 bytes at a time, which the compiler does at once: most of a file is zeros.
    let rest = &slot[from..];
    let clean =
        rest.chunks_exact(64).take_while(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0).count();
    let found = rest[64 * clean..].iter().position(|&byte| byte != 0)?;
    Some(from + 64 * clean + found)
}
