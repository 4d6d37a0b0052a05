//! Records: any bytes have one reading, and what is read has one encoding.

use ciborium::Value;
use sessiondir::record::{decode_record, encode_record};
use sessiondir::rule::Rule;
use sessiondir::{Error, Session};

use crate::{choice, hex, memory, oracle};

/// What decoding may hold at once for each byte of the record, and beside it: the worst are attributes of four bytes
/// each, of which the reader keeps a table.
const BYTES_FOR_EACH: usize = 12;
const BYTES_BESIDE: usize = 2048;

/// The property.
pub fn check(record: &[u8]) {
    let (decoded, peak) = memory::peak_of(|| decode_record(record));
    assert!(
        peak <= BYTES_FOR_EACH * record.len() + BYTES_BESIDE,
        "{peak} bytes of memory for a record of {}: {}",
        record.len(),
        hex(record)
    );
    match decoded {
        Ok((seq, session)) => sound(record, seq, session),
        Err(error) => unsound(record, &error),
    }
}

fn unsound(record: &[u8], error: &Error) {
    let fault = error.fault().expect("an error about a record has a rule");
    assert!(fault.offset <= record.len(), "{fault} in {}", hex(record));
    let again = decode_record(record).expect_err("it was an error");
    assert_eq!((error.to_string(), Some(fault)), (again.to_string(), again.fault()), "it depends on chance");
}

fn sound(record: &[u8], seq: u64, mut session: Session) {
    let encode = |session: &Session| encode_record(seq, session).expect("what was read can be written");
    // REC-13.
    assert_eq!(hex(&encode(&session)), hex(record), "decoded and encoded");

    // The next record of the session is as good.
    let next = encode_record(seq + 1, &session);
    match next.map(|next| decode_record(&next)) {
        Ok(next) => {
            assert_eq!(next.expect("what was written can be read"), (seq + 1, session.clone()));
        }
        Err(error) => assert!(seq + 1 >= 1 << 53 || record.len() + 8 > 16_777_152, "{error}"),
    }

    // Each value means the same to ciborium, and comes back as the same bytes.
    let values: Vec<(String, Vec<u8>)> =
        session.attributes().map(|(key, value)| (key.to_owned(), value.to_vec())).collect();
    for (key, encoded) in &values {
        let value: Value = session.get(key).expect("any value is a `Value`").expect("is there");
        assert_eq!(hex(&oracle::encoded(&value)), hex(encoded), "{key:?} to ciborium");
        session.insert(key, &value).expect("what was held can be held");
    }
    for ((key, encoded), (_, again)) in values.iter().zip(session.attributes()) {
        assert_eq!(hex(again), hex(encoded), "{key:?} set to what it was");
    }
    if let Some(encoded) = session.user_encoded().map(<[u8]>::to_vec) {
        let user: Value = session.user().expect("any value is a `Value`").expect("is there");
        session.set_user(&user).expect("what was held can be held");
        assert_eq!(session.user_encoded(), Some(&*encoded), "{user:?}");
    }
    assert_eq!(hex(&encode(&session)), hex(record), "every value set again");

    // VAL-14, REC-14: what is added and removed leaves no trace.
    let new = "added by the property";
    if session.get::<Value>(new).expect("any value is a `Value`").is_none() && record.len() < 1 << 20 {
        session.insert(new, &[1, 2, 3]).expect("fits");
        let with = encode(&session);
        let (_, mut changed) = decode_record(&with).expect("what was written can be read");
        assert_ne!(with, record);
        assert!(changed.remove(new));
        assert_eq!(hex(&encode(&changed)), hex(record), "an attribute added and removed");
    }

    // It is sound as it is, and in no other way.
    let fault = |bytes: &[u8]| decode_record(bytes).expect_err("no record").fault().expect("a rule");
    let mut longer = record.to_vec();
    longer.push(0);
    let broken = fault(&longer);
    assert_eq!((broken.rule, broken.offset), (Rule::Rec8, record.len()));
    let mut chance = choice(record);
    fault(&record[..chance.below(record.len())]);
    let mut flipped = record.to_vec();
    flipped[chance.below(record.len())] ^= 1 << chance.below(8);
    fault(&flipped);
}
