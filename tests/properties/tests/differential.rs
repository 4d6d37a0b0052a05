//! The strict reader against the oracle, on every vector, on spoiled ones, and on records that chance makes from nothing:
//! sound ones mostly, near the limits.

use ciborium::Value;
use sessiondir_properties::chance::{Chance, EDGES, SOUND, spoil};
use sessiondir_properties::differential::agree;
use sessiondir_properties::oracle::{PREFIX, record_of, sealed};
use sessiondir_properties::seeds;

/// A head, mostly the shortest.
fn head(chance: &mut Chance, major: u8, argument: u64) -> Vec<u8> {
    let least = match argument {
        0..=23 => 0,
        24..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    };
    let width = if chance.one_in(200) { *chance.pick(&[1, 2, 4, 8]) } else { least };
    let bytes = argument.to_be_bytes();
    if width == 0 {
        return vec![major << 5 | bytes[7]];
    }
    let info = [24, 25, 0, 26, 0, 0, 0, 27][width - 1];
    [&[major << 5 | info][..], &bytes[8 - width..]].concat()
}

fn string(chance: &mut Chance, major: u8, bytes: &[u8]) -> Vec<u8> {
    let lie = u64::from(chance.one_in(300));
    [head(chance, major, bytes.len() as u64 + lie), bytes.to_vec()].concat()
}

/// An item that is sound more often than not.
fn item(chance: &mut Chance, depth: usize) -> Vec<u8> {
    match chance.below(if depth > 6 { 5 } else { 8 }) {
        0 if chance.one_in(20) => chance.pick(EDGES).to_vec(),
        0 | 1 => EDGES[*chance.pick(SOUND)].to_vec(),
        2 => {
            let argument = chance.next_number() >> chance.below(48);
            let major = u8::from(chance.one_in(3));
            head(chance, major, argument)
        }
        3 => {
            let bytes = vec![b'a' + chance.byte() % 26; chance.below(30)];
            string(chance, 3, &bytes)
        }
        4 => {
            let bytes = vec![chance.byte(); chance.below(30)];
            string(chance, 2, &bytes)
        }
        5 => {
            let count = chance.below(4);
            let mut out = head(chance, 4, count as u64);
            for _ in 0..count {
                out.extend(item(chance, depth + 1));
            }
            out
        }
        6 => {
            let mut keys: Vec<Vec<u8>> = (0..chance.below(4))
                .map(|_| {
                    [&[0x61 + u8::from(chance.one_in(4))][..], &[b'a' + chance.byte() % 8, b'z']].concat()
                })
                .map(|key| key[..2 + usize::from(key[0] == 0x62)].to_vec())
                .collect();
            if !chance.one_in(40) {
                keys.sort();
                keys.dedup();
            }
            let mut out = head(chance, 5, keys.len() as u64);
            for key in keys {
                out.extend(key);
                out.extend(item(chance, depth + 1));
            }
            out
        }
        // A column of arrays, near the limit of depth.
        _ => {
            let column = vec![0x81; if chance.one_in(4) { 27 + chance.below(6) } else { chance.below(4) }];
            [column, item(chance, 7)].concat()
        }
    }
}

/// A session's body with values that chance has made.
fn made(chance: &mut Chance) -> Vec<u8> {
    let mut entries: Vec<(Vec<u8>, Vec<u8>)> = vec![
        (b"\x62id".to_vec(), [b"\x76".to_vec(), vec![b'A'; 22]].concat()),
        (b"\x63rev".to_vec(), vec![1]),
        (b"\x67created".to_vec(), vec![0]),
        (b"\x68accessed".to_vec(), vec![0]),
    ];
    let optional = ["expires", "idle", "user", "addr", "tokens", "csrf", "x.private", "unknown"];
    for key in optional {
        if chance.one_in(8) {
            let value = item(chance, 0);
            entries.push((string(chance, 3, key.as_bytes()), value));
        }
    }
    let value = [b"\xa1\x61v".to_vec(), item(chance, 0)].concat();
    entries.push((b"\x64data".to_vec(), value));
    entries.sort();
    if chance.one_in(50) {
        let (one, two) = (chance.below(entries.len()), chance.below(entries.len()));
        entries.swap(one, two);
    }
    let mut body = head(chance, 5, entries.len() as u64);
    body.extend(entries.into_iter().flat_map(|(key, value)| [key, value].concat()));
    body
}

/// The body of a fixture, sound or not, if the record is whole.
fn body_of(record: &[u8]) -> Option<Vec<u8>> {
    let Value::Tag(_, inner) = ciborium::from_reader(record).ok()? else { return None };
    let Value::Tag(_, inner) = *inner else { return None };
    inner.as_array()?.get(3)?.as_bytes().cloned()
}

#[test]
fn on_the_vectors() {
    for vector in seeds::vectors("record") {
        let sound = agree(&vector.bytes);
        assert_eq!(sound, vector.result.as_deref() == Some("valid"), "{}", vector.name);
    }
}

#[test]
fn on_records_that_chance_has_spoiled() {
    const COUNT: usize = 200_000;
    let seeds = seeds::of("record").into_iter().map(|seed| seed.bytes);
    let seeds: Vec<Vec<u8>> = seeds.filter(|record| record.len() < 600).collect();
    let bodies: Vec<Vec<u8>> = seeds.iter().filter_map(|record| body_of(record)).collect();
    assert!(bodies.len() > 200, "only {} bodies", bodies.len());
    let mut chance = Chance::new(0x5e55_10d1_2025_0101);
    let mut sound = 0;
    for round in 0..COUNT {
        let record = match round % 8 {
            // Anywhere before the digest, which is made anew.
            0 => {
                let mut record = chance.pick(&seeds).clone();
                record.truncate(record.len().saturating_sub(34));
                let other = chance.pick(&seeds).clone();
                spoil(&mut chance, &mut record, &other);
                sealed(record)
            }
            1..=3 => {
                let mut body = chance.pick(&bodies).clone();
                let other = chance.pick(&bodies).clone();
                spoil(&mut chance, &mut body, &other);
                record_of(PREFIX, &body)
            }
            _ => record_of(PREFIX, &made(&mut chance)),
        };
        sound += usize::from(agree(&record));
    }
    println!("{COUNT} records, of which {sound} are sound");
    // Chance that only ever made one kind would prove nothing.
    assert!(sound > COUNT / 20 && COUNT - sound > COUNT / 4, "{sound} of {COUNT} are sound");
}
