//! What damage does: to readers, and to the checker.

use super::*;
use crate::error::Error;
use crate::names::{Naming, SessionId, SessionRef};

/// A session file with records of the given seqs and sizes of attribute, the older first.
struct Sample {
    marker: Marker,
    name: FileName,
    bytes: Vec<u8>,
    /// What its records mean, the older first.
    sessions: Vec<Session>,
}

fn sample(id: &str, naming: Naming, durability: Durability, records: &[(u64, usize)]) -> Sample {
    let reference = SessionRef::Id(SessionId::new(id).expect("an ID"));
    let name = reference.file_name(naming).expect("a name");
    let now = now();
    let mut sessions = Vec::new();
    let mut encoded = Vec::new();
    for &(seq, size) in records {
        let mut session = Session::at(now, now);
        session.set_user(&"ada").expect("fits");
        session.insert("seq", &seq).expect("fits");
        session.insert("text", &"x".repeat(size)).expect("fits");
        session.push_token("a form token").expect("fits");
        let session = session.first(reference.clone());
        encoded.push((seq, session.encode(seq, naming).expect("encodes")));
        sessions.push(session.known_as(name.session()));
    }
    let size = encoded.iter().map(|(_, record)| slots::slot_for(record.len())).max().expect("a record");
    let mut bytes = vec![0; 2 * size];
    for (seq, record) in encoded {
        bytes[slots::index(seq) * size..][..record.len()].copy_from_slice(&record);
    }
    Sample { marker: Marker::new(naming, durability), name, bytes, sessions }
}

fn now() -> UnixMillis {
    UnixMillis::from_millis(1_800_000_000_000).expect("in range")
}

/// 20 files of 8 KiB: both namings and durabilities, one record or two, either slot current, seqs that are not
/// adjacent, small records and such as fill their slot.
fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    let (short, long) = ("AAAAAAAAAAAAAAAAAAAAAA", "Zm9vYmFyYmF6cXV4cXV1eA_with-a-longer-ID-than-usual");
    let all: [&[(u64, usize)]; 5] =
        [&[(2, 10)], &[(2, 700), (3, 10)], &[(3, 10), (4, 3700)], &[(8, 100), (13, 200)], &[(7, 1)]];
    for records in all {
        samples.push(sample(short, Naming::Plain, Durability::Power, records));
        samples.push(sample(long, Naming::Plain, Durability::Process, records));
        samples.push(sample(short, Naming::Hashed, Durability::Power, records));
        samples.push(sample(long, Naming::Hashed, Durability::Process, records));
    }
    assert_eq!(samples.len(), 20);
    assert!(samples.iter().all(|sample| sample.bytes.len() == 8192));
    samples
}

/// What a reader makes of the bytes when nobody writes, and what a checker finds.
fn judged(sample: &Sample, bytes: &[u8]) -> (Result<Option<Session>, Error>, Vec<Finding>) {
    let process = sample.marker.durability == Durability::Process;
    let read = match slots::choose(bytes, process) {
        Verdict::Current(index, envelope) | Verdict::Candidate { index, envelope, .. } => {
            let base = index * bytes.len() / 2;
            record::decode(&bytes[base..base + envelope.end], &envelope, Some(&sample.name))
                .map(Some)
                .map_err(|refusal| refusal.into_error(base))
        }
        Verdict::Stillborn => Ok(None),
        Verdict::None(fault) => Err(Error::Corrupt { session: None, fault }),
    };
    let place = Place::Session(sample.name.session().clone());
    let seen = Seen::default();
    let mut look = Look { marker: &sample.marker, now: now(), name: &sample.name, place, seen };
    look.file(bytes);
    (read, look.seen.findings)
}

/// Damage gives the same value, a whole other slot's, or an error; and the checker notices it.
fn assert_noticed(sample: &Sample, bytes: &[u8], what: &str) {
    let (read, findings) = judged(sample, bytes);
    match read {
        Ok(Some(session)) => assert!(sample.sessions.contains(&session), "{what}: another session"),
        // The one exception: what a creation that a power failure took back leaves (SLOT-10).
        Ok(None) => {
            assert_eq!(sample.marker.durability, Durability::Process, "{what}: silently absent");
            assert!(bytes.is_empty(), "{what}: absent though there are bytes");
        }
        Err(Error::Corrupt { fault, .. } | Error::Unsupported { fault, .. }) => {
            assert!(fault.offset <= bytes.len(), "{what}: {fault}");
        }
        Err(error) => panic!("{what}: {error}"),
    }
    assert!(!findings.is_empty(), "{what}: not noticed");
}

#[test]
fn the_samples_are_sound() {
    for sample in samples() {
        let (read, findings) = judged(&sample, &sample.bytes);
        assert_eq!(read.expect("sound").as_ref(), sample.sessions.last());
        assert_eq!(findings.len(), 0);
    }
}

/// Exercises CHK-9, SLOT-11.
#[test]
fn every_changed_byte_is_noticed() {
    let mut tried = 0;
    for (number, sample) in samples().iter().enumerate() {
        let mut bytes = sample.bytes.clone();
        for at in 0..bytes.len() {
            let right = bytes[at];
            for wrong in [right ^ 0x01, right ^ 0x80, right ^ 0xff, right.wrapping_add(2)] {
                bytes[at] = wrong;
                assert_noticed(sample, &bytes, &format!("sample {number}, byte {at} = {wrong:02x}"));
                tried += 1;
            }
            bytes[at] = right;
        }
    }
    println!("{tried} changed bytes");
    assert_eq!(tried, 20 * 8192 * 4);
}

/// Exercises SLOT-1, SLOT-10.
#[test]
fn every_truncation_is_noticed() {
    let mut tried = 0;
    for (number, sample) in samples().iter().enumerate() {
        // Of no bytes at all it depends on the durability whether the session is absent or damaged.
        let (read, _) = judged(sample, &[]);
        assert_eq!(matches!(read, Ok(None)), sample.marker.durability == Durability::Process, "{number}");
        for length in 0..sample.bytes.len() {
            assert_noticed(sample, &sample.bytes[..length], &format!("sample {number}, {length} bytes"));
            tried += 1;
        }
        // And a byte too many.
        assert_noticed(sample, &[&sample.bytes[..], &[0]].concat(), "one more");
    }
    println!("{tried} truncations");
    assert_eq!(tried, 20 * 8192);
}

/// Exercises SLOT-6, SLOT-7.
#[test]
fn a_slot_is_judged_by_its_record_alone() {
    let mut sample =
        sample("AAAAAAAAAAAAAAAAAAAAAA", Naming::Plain, Durability::Power, &[(8, 100), (13, 200)]);
    let size = sample.bytes.len() / 2;
    // Bytes after a record, as a killed write leaves them, change nothing for a reader.
    sample.bytes[size - 1] = 1;
    sample.bytes[2 * size - 1] = 1;
    let (read, findings) = judged(&sample, &sample.bytes);
    assert_eq!(read.expect("readable").as_ref(), sample.sessions.last());
    assert_eq!(findings.len(), 2);
    // The same record in the slot of the other parity is none.
    let (zero, one) = sample.bytes.split_at_mut(size);
    zero.swap_with_slice(one);
    let (read, _) = judged(&sample, &sample.bytes);
    assert!(matches!(read, Err(Error::Corrupt { fault: Fault { rule: Rule::Slot2, .. }, .. })));
}

/// Exercises READ-4. While 513 is written over 511 its head can read as 257: older than the record before, and of the
/// right parity. So a record is current without a second look only beside the very record before it.
#[test]
fn a_mixture_of_two_heads_does_not_pass_for_an_old_record() {
    let sample =
        sample("AAAAAAAAAAAAAAAAAAAAAA", Naming::Plain, Durability::Power, &[(510, 100), (511, 100)]);
    let size = sample.bytes.len() / 2;
    assert!(matches!(slots::choose(&sample.bytes, false), Verdict::Current(1, _)));
    let mut bytes = sample.bytes.clone();
    // d9d9f7 da53455344 85 01 80, and then the seq.
    assert_eq!(bytes[size + 11..size + 14], [0x19, 0x01, 0xff]);
    bytes[size + 13] = 0x01;
    assert!(
        matches!(slots::choose(&bytes, false), Verdict::Candidate { index: 0, envelope, .. } if envelope.seq == 510)
    );
    // Whatever the mixture, and wherever the bytes change from the old head to the new one.
    let head = |seq: u64| {
        let mut head = vec![];
        record::cbor::put_head(&mut head, record::cbor::UNSIGNED, seq);
        head.resize(9, 0x58);
        head
    };
    for seq in [1u64, 21, 23, 255, 511, 65_533, 65_535, 0xffff_ffff, 0xffff_fffd, (1 << 52) - 1] {
        let (old, new) = (head(seq), head(seq + 2));
        for mixture in 0..512usize {
            let mixed: Vec<u8> =
                (0..9).map(|byte| if mixture >> byte & 1 == 0 { old[byte] } else { new[byte] }).collect();
            if let Ok(read) = record::cbor::head(&mixed, 0) {
                assert!(
                    read.major != record::cbor::UNSIGNED || read.argument + 2 != seq,
                    "{seq}: {mixed:02x?} reads as the one before"
                );
            }
        }
    }
}

#[test]
fn a_great_many_unknown_keys_are_few_findings() {
    let sample = sample("AAAAAAAAAAAAAAAAAAAAAA", Naming::Plain, Durability::Power, &[(2, 1)]);
    let Verdict::Current(0, envelope) = slots::choose(&sample.bytes, false) else { panic!("sound") };
    let body = &sample.bytes[envelope.body.0..envelope.body.1];
    assert_eq!(body[0], 0xa7);
    for unknown in [UNKNOWN_MOST, UNKNOWN_MOST + 1, 1000] {
        // 7 entries become so many more: the new ones have long keys, and so stand last.
        let mut longer = Vec::new();
        record::cbor::put_head(&mut longer, record::cbor::MAP, 7 + unknown as u64);
        longer.extend(&body[1..]);
        for n in 0..unknown {
            record::cbor::put_text(&mut longer, &format!("{}{n:04}", "k".repeat(60)));
            longer.push(0xf6);
        }
        let record = record::envelope::around(2, &longer);
        let mut bytes = vec![0; 2 * slots::slot_for(record.len())];
        bytes[..record.len()].copy_from_slice(&record);
        let (read, findings) = judged(&sample, &bytes);
        read.expect("readers ignore them");
        let more = unknown - UNKNOWN_MOST;
        assert_eq!(findings.len(), UNKNOWN_MOST + usize::from(more > 0));
        // Each key takes 2 + 64 bytes, and its value one.
        let first = findings[0].offset.expect("of bytes");
        for (n, finding) in findings.iter().enumerate() {
            assert_eq!(finding.offset, Some(first + 67 * n as u64));
        }
        if let Some(last) = findings.get(UNKNOWN_MOST) {
            assert_eq!(last.detail, format!("has {more} more such keys"));
        }
    }
}
