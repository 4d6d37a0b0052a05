//! Changes that respect the format: most changed bytes only break a digest, which tells nothing new after the first
//! time. These change what is within, and make lengths and digests anew.

use crate::chance::Chance;
use crate::oracle;

/// Changes the first bytes of a buffer, as many as the second number says, and returns how many there are then: at most
/// as many as the third says.
pub type Mutate<'a> = &'a mut dyn FnMut(&mut [u8], usize, usize) -> usize;

/// Mutates the record in the first `size` bytes of `data`, to at most `most` bytes; returns how many.
pub fn record(data: &mut [u8], size: usize, most: usize, seed: u32, mutate: Mutate<'_>) -> usize {
    let mut chance = Chance::new(seed.into());
    let mut within = |bytes: &[u8], most: usize| {
        let mut buffer = bytes.to_vec();
        buffer.resize(most.max(bytes.len()), 0);
        let size = mutate(&mut buffer, bytes.len(), most);
        buffer.truncate(size);
        buffer
    };
    let changed = match (chance.below(5), oracle::outline(&data[..size])) {
        // The body, in two times of three.
        (0..=3, Some(whole)) if most > size + 16 => {
            let (from, to) = whole.body;
            let body = within(&data[from..to], to - from + most - size - 8);
            oracle::record_of(&data[..whole.head], &body)
        }
        // Anywhere, and the digest made anew.
        (2..=4, _) if size >= 34 && most > size => oracle::sealed(within(&data[..size - 34], most - 34)),
        _ => within(&data[..size], most),
    };
    let size = changed.len().min(most);
    data[..size].copy_from_slice(&changed[..size]);
    size
}

/// As [`record`], a session's file.
pub fn session_file(data: &mut [u8], size: usize, most: usize, seed: u32, mutate: Mutate<'_>) -> usize {
    let mut chance = Chance::new(u64::from(seed) ^ 0xf11e);
    let slot = size / 2;
    if size % 2 == 1 || !slot.is_power_of_two() || slot < 4096 || size > most || chance.one_in(20) {
        return mutate(data, size, most);
    }
    let (zero, one) = data[..size].split_at_mut(slot);
    let (this, other) = if chance.one_in(2) { (zero, one) } else { (one, zero) };
    // What is in the slot, without the zeros after it.
    let used = match oracle::outline(this) {
        Some(whole) if whole.end <= slot => whole.end,
        _ => this.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1),
    };
    match chance.below(8) {
        0 => this[..used].fill(0),
        1 => this.copy_from_slice(other),
        // Torn: the rest is what was there before, or is in the other slot.
        2 => {
            let at = chance.below(used + 1);
            this[at..used].copy_from_slice(&other[at..used]);
        }
        // Another seq, near that of the other slot or far from it.
        3 | 4 => {
            let near = oracle::outline(other).map_or(2, |whole| whole.seq);
            let seq = match chance.below(6) {
                0 => chance.next_number() << 6,
                1 => (1 << 53) - 1 - chance.next_number() % 3,
                _ => (near + 3).saturating_sub(chance.next_number() % 7),
            };
            if let Some(whole) = oracle::outline(this) {
                let mut prefix = this[..seq_at(this, &whole)].to_vec();
                put_number(&mut prefix, seq);
                let changed = oracle::record_of(&prefix, &this[whole.body.0..whole.body.1]);
                put(this, used, &changed);
            }
        }
        _ => {
            let mut buffer = this[..used].to_vec();
            buffer.resize(slot + 64, 0);
            let length = record(&mut buffer, used, slot, seed.wrapping_mul(3), mutate);
            put(this, used, &buffer[..length]);
        }
    }
    size
}

/// Puts `bytes` in the place of the first `used` bytes of a slot.
fn put(slot: &mut [u8], used: usize, bytes: &[u8]) {
    slot[..used].fill(0);
    let length = bytes.len().min(slot.len());
    slot[..length].copy_from_slice(&bytes[..length]);
}

/// Where the seq of the record stands that has this outline.
fn seq_at(record: &[u8], whole: &oracle::Whole) -> usize {
    let width = match whole.seq {
        0..=23 => 0,
        24..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    };
    debug_assert_eq!(record[whole.head] >> 5, 2, "the head of a byte string");
    whole.head - 1 - width
}

/// Appends an unsigned integer with the shortest head.
fn put_number(out: &mut Vec<u8>, number: u64) {
    out.extend(oracle::encoded(&ciborium::Value::from(number)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{chance, seeds};

    /// How many of a thousand mutations of the seeds keep what `is_good` looks at.
    fn good(
        property: &str,
        mutate: fn(&mut [u8], usize, usize, u32, Mutate<'_>) -> usize,
        is_good: fn(&[u8]) -> bool,
    ) -> usize {
        let seeds: Vec<_> = seeds::of(property).into_iter().filter(|seed| is_good(&seed.bytes)).collect();
        let mut chance = Chance::new(7);
        let mut changed = 0;
        let good = (0..1000)
            .filter(|seed| {
                let before = &chance.pick(&seeds).bytes;
                let most = before.len() + 200;
                let mut data = before.clone();
                data.resize(most, 0);
                let mut bytes = chance.clone();
                let size = mutate(&mut data, before.len(), most, *seed, &mut |data, size, most| {
                    let mut spoilt = data[..size].to_vec();
                    chance::spoil(&mut bytes, &mut spoilt, b"\x61a");
                    let size = spoilt.len().min(most);
                    data[..size].copy_from_slice(&spoilt[..size]);
                    size
                });
                assert!(size <= most);
                changed += usize::from(data[..size] != before[..]);
                is_good(&data[..size])
            })
            .count();
        assert!(changed > 700, "only {changed} of 1000 changed");
        good
    }

    #[test]
    fn most_mutated_records_are_whole() {
        let kept =
            good("record", record, |record| oracle::whole(record).is_some_and(|w| w.end == record.len()));
        assert!((500..950).contains(&kept), "{kept} of 1000");
    }

    #[test]
    fn most_mutated_files_have_a_whole_record() {
        let kept = good("session_file", session_file, |file| {
            let slot = file.len() / 2;
            slot >= 4096 && (oracle::whole(&file[..slot]).is_some() || oracle::whole(&file[slot..]).is_some())
        });
        assert!((700..1000).contains(&kept), "{kept} of 1000");
    }
}
