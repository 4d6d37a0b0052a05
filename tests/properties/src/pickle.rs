//! Pickles: the interpreter ends, always in the same way, within its limits; and what it gives is a session that the
//! format can hold, or a refusal in words.

use sessiondir::probe::{self, Imported};
use sessiondir::record::{decode_record, encode_record};
use sessiondir::{ErrorClass, SessionId, UnixMillis};

use crate::{differential, memory};

/// When the pickle's file was last written.
const MODIFIED: u64 = 1_700_000_000_123;
/// What a run may hold at once beside a few copies of the file: under the limits that are 64 times smaller than those of
/// an import.
const BYTES_BESIDE: usize = 8 << 20;
const BYTES_FOR_EACH: usize = 64;

/// The property.
pub fn check(pickle: &[u8]) {
    let id = id_in(pickle);
    let modified = UnixMillis::from_millis(MODIFIED).expect("in range");
    let run = |tight| probe::unpickle(pickle, &id, modified, tight);
    let (tight, peak) = memory::peak_of(|| run(true));
    assert!(
        peak <= BYTES_BESIDE + BYTES_FOR_EACH * pickle.len(),
        "{peak} bytes of memory for {}",
        pickle.len()
    );
    assert_eq!(tight, run(true), "it depends on chance");
    let wide = run(false);
    if tight.is_ok() {
        // Limits refuse, and change nothing else.
        assert_eq!(tight, wide);
    }
    match wide {
        Ok(imported) => session(&imported, &id, modified),
        Err(why) => shown(&why, &id),
    }
}

/// An ID for the file: the first that its text would do as one, so that it can be the session's own.
fn id_in(pickle: &[u8]) -> SessionId {
    let is_id_char = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_';
    // A short text stands after its length, or in a line of its own.
    let mut texts = pickle.windows(12).enumerate().filter_map(|(at, window)| {
        let length = usize::from(window[0]);
        let text = pickle.get(at + 1..at + 1 + length)?;
        let key = pickle.get(at.saturating_sub(24)..at)?;
        let after_id = key.windows(2).any(|pair| pair == b"id");
        (after_id && (11..=128).contains(&length) && text.iter().all(is_id_char)).then_some(text)
    });
    let id = texts.next().unwrap_or(b"0SJaaIqvMIA");
    SessionId::new(id).expect("an ID")
}

/// A refusal or a note is fit to be shown.
fn shown(text: &str, id: &SessionId) {
    assert!(!text.is_empty() && text.len() < 100_000, "{} bytes", text.len());
    assert!(!text.chars().any(char::is_control), "{text:?}");
    let id = id.expose();
    assert!(!text.contains(id), "an ID in: {text:?}");
    // Nor a good part of it, where a name is cut off.
    let is_part = |part: &str| (11..id.len()).any(|length| part.ends_with(&id[..length]));
    assert!(!text.match_indices('…').any(|(at, _)| is_part(&text[..at])), "a part of an ID in: {text:?}");
}

fn session(imported: &Imported, id: &SessionId, modified: UnixMillis) {
    let Imported { session, notes } = imported;
    assert_eq!((session.id(), session.rev()), (Some(id), 1));
    assert!(session.created() <= UnixMillis::MAX && session.accessed() <= UnixMillis::MAX.max(modified));
    for note in notes {
        shown(note, id);
    }
    match encode_record(2, session) {
        Ok(record) => {
            assert!(differential::agree(&record), "the record of a session is sound");
            let (seq, decoded) = decode_record(&record).expect("it is sound");
            assert_eq!((seq, &decoded), (2, session));
        }
        Err(error) => assert_eq!(error.class(), ErrorClass::TooLarge, "{error}"),
    }
}
