//! The notes of complete runs in a store's `.imports`: SPEC.md section 20, MIG-4 to MIG-6.

use std::collections::HashMap;
use std::fmt::Write;

use crate::names::Key;
use crate::time::UnixMillis;

/// The word for Session3 in a note.
const FORMAT: &str = "session3";
/// The length of `.imports` beyond which something is wrong with it, in bytes.
pub(super) const NOTES_MAX: usize = 64 << 20;
/// The most refused files that a run is noted with; one with more is not complete.
pub(super) const FAILED_MOST: usize = 10_000;

/// What the store had of a session whose file was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Had {
    Nothing,
    /// Something: what an earlier run imported.
    Older,
}

impl Had {
    const fn sign(self) -> char {
        match self {
            Had::Nothing => '-',
            Had::Older => '+',
        }
    }
}

/// A complete run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// When it began.
    pub(super) start: UnixMillis,
    /// The sessions whose files it refused.
    pub(super) failed: HashMap<Key, Had>,
}

/// The notes, as far as they concern one source.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Notes {
    /// The last complete run from this source.
    pub(super) last: Option<Run>,
    /// Another source that sessions were imported from, as noted.
    pub(super) other: Option<String>,
    /// Whether the last line was cut off, so that a new one needs to be kept apart from it (MIG-6).
    torn: bool,
}

impl Notes {
    /// Reads the notes for `source`, which is as [`source`] writes it. MIG-5.
    pub(super) fn read(text: &[u8], source: &str) -> Self {
        let mut notes =
            Notes { last: None, other: None, torn: text.last().is_some_and(|last| *last != b'\n') };
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let Some((from, run)) = parse(line) else { continue };
            if from == source {
                notes.last = Some(run);
            } else {
                notes.other = Some(from.to_owned());
            }
        }
        notes
    }

    /// The line for a complete run from `source`, as it is to be appended.
    pub(super) fn line(&self, source: &str, run: &Run) -> String {
        let mut line = String::with_capacity(64 + source.len() + run.failed.len() * 66);
        if self.torn {
            line.push('\n');
        }
        let _ = write!(line, "{FORMAT} {} {source}", run.start.as_millis());
        let mut failed: Vec<_> = run.failed.iter().collect();
        failed.sort_unstable_by_key(|(key, _)| **key);
        for (key, had) in failed {
            let _ = write!(line, " {}{}", had.sign(), key.to_hex());
        }
        line.push('\n');
        line
    }
}

/// A source's path as a note has it.
pub(super) fn source(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path {
        match byte {
            0x21..=0x24 | 0x26..=0x7e => out.push(char::from(*byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// The source and the run of a line that is a note of Session3.
fn parse(line: &[u8]) -> Option<(&str, Run)> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let mut words = line.split(' ');
    if words.next()? != FORMAT {
        return None;
    }
    let start = words.next()?;
    let digits = (1..=15).contains(&start.len()) && start.bytes().all(|byte| byte.is_ascii_digit());
    let start = digits.then(|| start.parse().ok()).flatten().and_then(UnixMillis::from_millis)?;
    let source = words.next().filter(|source| is_source(source.as_bytes()))?;
    let failed = words.map(|word| {
        let had = match word.as_bytes().first()? {
            b'-' => Had::Nothing,
            b'+' => Had::Older,
            _ => return None,
        };
        Some((Key::from_hex(&word.as_bytes()[1..])?, had))
    });
    Some((source, Run { start, failed: failed.collect::<Option<_>>()? }))
}

/// Whether [`source`] could have written it.
fn is_source(mut text: &[u8]) -> bool {
    let upper_hex = |byte: &u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(byte);
    if text.is_empty() {
        return false;
    }
    loop {
        text = match text {
            [] => return true,
            [b'%', high, low, rest @ ..] if upper_hex(high) && upper_hex(low) => rest,
            [0x21..=0x24 | 0x26..=0x7e, rest @ ..] => rest,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> UnixMillis {
        UnixMillis::from_millis(ms).expect("in range")
    }

    fn run(start: u64, failed: &[(u8, Had)]) -> Run {
        let failed = failed.iter().map(|(byte, had)| (Key::from_bytes([*byte; 32]), *had)).collect();
        Run { start: at(start), failed }
    }

    /// Exercises MIG-4.
    #[test]
    fn notes_round_trip() {
        let source = source(b"/srv/a b/%\xff\n~");
        assert_eq!(source, "/srv/a%20b/%25%FF%0A~");
        let none = Notes::read(b"", &source);
        let first = run(1, &[]);
        let second = run(2, &[(9, Had::Older), (1, Had::Nothing)]);
        let text = none.line(&source, &first) + &none.line(&source, &second);
        assert_eq!(
            text,
            format!("session3 1 {source}\nsession3 2 {source} -{} +{}\n", "01".repeat(32), "09".repeat(32))
        );
        assert_eq!(Notes::read(text.as_bytes(), &source).last, Some(second));
        let elsewhere = Notes::read(text.as_bytes(), "/srv");
        assert_eq!((elsewhere.last, elsewhere.other.as_deref()), (None, Some(source.as_str())));
    }

    /// Exercises MIG-5.
    #[test]
    fn what_is_no_note_is_ignored() {
        let key = "01".repeat(32);
        let lines = [
            String::new(),
            "session3 5".to_owned(),
            "session3 5 ".to_owned(),
            "session3  5 /src".to_owned(),
            "session3 5 /src ".to_owned(),
            "session3 5 /src x".to_owned(),
            format!("session3 5 /src {key}"),
            format!("session3 5 /src -{}", &key[1..]),
            format!("session3 5 /src -{}", key.to_uppercase().replace('0', "A")),
            "session3 5 /src%2f".to_owned(),
            "session3 +5 /src".to_owned(),
            "session3 x /src".to_owned(),
            "session3 253402300800000 /src".to_owned(),
            "session3 1234567890123456 /src".to_owned(),
            "Session3 5 /src".to_owned(),
            "other 5 /src".to_owned(),
            "session3 5 /src\u{e9}".to_owned(),
            "session3 5 /src\r".to_owned(),
        ];
        for line in &lines {
            let text = format!("session3 1 /src\n{line}\n");
            assert_eq!(Notes::read(text.as_bytes(), "/src").last, Some(run(1, &[])), "{line:?}");
        }
        assert_eq!(Notes::read(b"session3 1 /src\n\xff\n", "/src").last, Some(run(1, &[])));
    }

    /// Exercises MIG-5, MIG-6.
    #[test]
    fn a_cut_line_is_none_and_spoils_none() {
        let text = b"session3 1 /src\nsession3 2 /src";
        let notes = Notes::read(text, "/src");
        assert_eq!(notes.last, Some(run(1, &[])));
        let next = notes.line("/src", &run(3, &[]));
        assert_eq!(next, "\nsession3 3 /src\n");
        let whole = [text.as_slice(), next.as_bytes()].concat();
        assert_eq!(Notes::read(&whole, "/src").last, Some(run(3, &[])));
    }
}
