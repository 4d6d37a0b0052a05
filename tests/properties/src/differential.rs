//! The strict reader against the [oracle](crate::oracle): they agree on which records are sound, on what those mean,
//! and on which of the others need a newer implementation.

use sessiondir::record::decode_record;
use sessiondir::{ErrorClass, Session, SessionRef};

use crate::hex;
use crate::oracle::{self, Meaning, Opinion};

/// Whether the record is sound, about which both agree.
#[must_use]
pub fn agree(record: &[u8]) -> bool {
    let decoded = decode_record(record);
    let said = match &decoded {
        Ok((seq, session)) => Opinion::Session(Box::new(meaning(*seq, session))),
        Err(error) => {
            let fault = error.fault().expect("an error about a record has a rule");
            assert!(fault.offset <= record.len(), "{fault} in {}", hex(record));
            match error.class() {
                ErrorClass::Unsupported => Opinion::Unsupported,
                ErrorClass::Corrupt => Opinion::Corrupt,
                _ => panic!("{error} for {}", hex(record)),
            }
        }
    };
    let mut opinion = oracle::opinion(record);
    if let Opinion::Session(meaning) = &mut opinion {
        // The crate keeps them, as re-encoding shows, but does not show them.
        meaning.other.clear();
    }
    assert_eq!(opinion, said, "the oracle, and then the crate, which says {decoded:?}: {}", hex(record));
    decoded.is_ok()
}

fn meaning(seq: u64, session: &Session) -> Meaning {
    let (id, key) = match session.reference().expect("a record names its session") {
        SessionRef::Id(id) => (Some(id.expose().to_owned()), None),
        SessionRef::Key(key) => (None, Some(key.as_bytes().to_vec())),
    };
    Meaning {
        seq,
        id,
        key,
        rev: session.rev(),
        created: session.created().as_millis(),
        accessed: session.accessed().as_millis(),
        expires: session.expires().map(sessiondir::UnixMillis::as_millis),
        idle: session.idle().map(|idle| u64::try_from(idle.as_millis()).expect("in range")),
        user: session.user_encoded().map(<[u8]>::to_vec),
        addr: session.addr().map(str::to_owned),
        tokens: session.tokens().map(str::to_owned).collect(),
        csrf: session.csrf().map(str::to_owned),
        data: session.attributes().map(|(key, value)| (key.to_owned(), value.to_vec())).collect(),
        other: Vec::new(),
    }
}

/// The property.
pub fn check(record: &[u8]) {
    let _ = agree(record);
}
