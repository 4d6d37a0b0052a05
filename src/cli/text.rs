//! Text for people: stored strings made harmless, ages, sizes.

use std::fmt::{self, Write as _};
use std::io::{self, Write};

use sessiondir::UnixMillis;

/// Whether a character would act on a terminal, or on the reader, instead of being shown: control characters
/// (escape sequences, C1 among them), line separators, and marks that turn the direction of writing.
fn acts(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Writes `text` with what acts escaped as in JSON; with `quotes`, as a JSON string.
pub(super) fn escape(out: &mut dyn Write, text: &str, quotes: bool) -> io::Result<()> {
    let special = |char: char| acts(char) || (quotes && (char == '"' || char == '\\'));
    if quotes {
        out.write_all(b"\"")?;
    }
    let mut rest = text;
    while let Some(at) = rest.find(special) {
        out.write_all(&rest.as_bytes()[..at])?;
        let mut chars = rest[at..].chars();
        match chars.next() {
            Some('\n') => out.write_all(b"\\n")?,
            Some('\t') => out.write_all(b"\\t")?,
            Some(char @ ('"' | '\\')) => write!(out, "\\{char}")?,
            // All that acts is below U+10000.
            Some(char) => write!(out, "\\u{:04x}", u32::from(char))?,
            None => {}
        }
        rest = chars.as_str();
    }
    out.write_all(rest.as_bytes())?;
    if quotes { out.write_all(b"\"") } else { Ok(()) }
}

/// Text with what acts escaped.
pub(super) struct Plain<'a>(pub(super) &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut escaped = Vec::with_capacity(self.0.len());
        escape(&mut escaped, self.0, false).map_err(|_| fmt::Error)?;
        f.write_str(&String::from_utf8_lossy(&escaped))
    }
}

/// At most `most` characters of `text`, what acts escaped, an ellipsis for the rest.
pub(super) fn clip(text: &str, most: usize) -> String {
    let mut clipped = String::new();
    for (count, char) in text.chars().enumerate() {
        if count == most {
            clipped.push('…');
            break;
        }
        clipped.push(char);
    }
    Plain(&clipped).to_string()
}

/// A span of time, by its largest unit: `5 min`.
pub(super) fn span(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0 => format!("{millis} ms"),
        1..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A moment, seen from `now`: `5 min ago`, `in 3 d`.
pub(super) fn relative(at: UnixMillis, now: UnixMillis) -> String {
    if at > now {
        format!("in {}", span(at.millis_since(now)))
    } else {
        format!("{} ago", span(now.millis_since(at)))
    }
}

/// `1 session`, `2 sessions`.
pub(super) fn count(number: u64, noun: &str) -> String {
    let mut counted = format!("{number} {noun}");
    if number != 1 {
        let _ = counted.write_char('s');
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> UnixMillis {
        UnixMillis::from_millis(ms).expect("in range")
    }

    #[test]
    fn what_acts_is_escaped() {
        let mut out = Vec::new();
        escape(&mut out, "a\u{1b}[31m\u{9b}\u{7f}\n\t\"\\\u{202e}\u{61c}é日\u{0}", true)
            .expect("a Vec takes all");
        let out = String::from_utf8(out).expect("text");
        assert_eq!(out, r#""a\u001b[31m\u009b\u007f\n\t\"\\\u202e\u061cé日\u0000""#);
        let back: String = serde_json::from_str(&out).expect("JSON");
        assert_eq!(back, "a\u{1b}[31m\u{9b}\u{7f}\n\t\"\\\u{202e}\u{61c}é日\u{0}");
        assert_eq!(Plain("\"a\\\r\"").to_string(), r#""a\\u000d""#);
        assert_eq!(clip("日本語\u{7}x", 4), "日本語\\u0007…");
        assert_eq!(clip("abcd", 4), "abcd");
    }

    #[test]
    fn spans() {
        let spans = [0, 999, 1000, 119_999, 120_000, 7_200_000, 172_800_000].map(span);
        assert_eq!(spans, ["0 ms", "999 ms", "1 s", "119 s", "2 min", "2 h", "2 d"]);
        assert_eq!(relative(at(5_000), at(8_000)), "3 s ago");
        assert_eq!(relative(at(8_000), at(5_000)), "in 3 s");
        assert_eq!(count(1, "error"), "1 error");
        assert_eq!(count(0, "error"), "0 errors");
    }
}
