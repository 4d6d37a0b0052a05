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

/// An ID for the file: the first text after one that is `id`, so that it can be the session's own.
fn id_in(pickle: &[u8]) -> SessionId {
    let key = (0..pickle.len()).find(|at| text_at(pickle, *at) == Some(b"id")).unwrap_or(pickle.len());
    let texts = (key + 1..pickle.len()).filter_map(|at| text_at(pickle, at));
    let mut ids = texts.filter_map(|text| SessionId::new(text).ok());
    ids.next().unwrap_or_else(|| SessionId::new("0SJaaIqvMIA").expect("an ID"))
}

/// The text that the opcode at `at` pushes, if it is one that does.
fn text_at(pickle: &[u8], at: usize) -> Option<&[u8]> {
    let (opcode, rest) = pickle[at..].split_first()?;
    let line = || rest.split(|byte| *byte == b'\n').next();
    match opcode {
        // SHORT_BINUNICODE, SHORT_BINSTRING.
        0x8c | b'U' => rest.get(1..1 + usize::from(*rest.first()?)),
        // BINUNICODE, BINSTRING.
        b'X' | b'T' => {
            let length = u32::from_le_bytes(*rest.first_chunk()?);
            rest[4..].get(..usize::try_from(length).ok()?)
        }
        // UNICODE, and STRING with its quotes.
        b'V' => line(),
        b'S' => line().and_then(|line| line.get(1..line.len().checked_sub(1)?)),
        _ => None,
    }
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
