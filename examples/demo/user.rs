//! A session's user, as a page shows it: any value of the format.

use std::fmt::Write;

use ciborium::Value;
use sessiondir::Session;

/// The most characters of a user that are shown.
const MOST: usize = 80;

/// What a user is: its text, and its kind if that is not text. Neither is escaped for HTML.
pub(crate) struct Shown {
    pub(crate) text: String,
    pub(crate) kind: Option<&'static str>,
}

/// The user of a stored session.
pub(crate) fn of(session: &Session) -> Option<Shown> {
    match session.user::<Value>() {
        Ok(user) => user.map(|user| shown(&user)),
        Err(error) => Some(Shown { text: error.to_string(), kind: Some("unreadable") }),
    }
}

pub(crate) fn shown(user: &Value) -> Shown {
    let kind = match user {
        Value::Text(text) => return Shown { text: clip(text), kind: None },
        Value::Integer(_) => "integer",
        Value::Float(_) => "float",
        Value::Bytes(_) => "bytes",
        Value::Bool(_) => "bool",
        Value::Array(_) => "array",
        Value::Map(_) => "map",
        _ => "value",
    };
    let mut text = String::new();
    diagnostic(&mut text, user);
    Shown { text: clip(&text), kind: Some(kind) }
}

/// One line, without characters that could change how the rest of it looks.
fn clip(text: &str) -> String {
    let mut clipped = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == MOST {
            clipped.push('…');
            break;
        }
        let turns =
            matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || turns {
            clipped.extend(character.escape_unicode());
        } else {
            clipped.push(character);
        }
    }
    clipped
}

/// Diagnostic notation (RFC 8949, section 8). The format nests 32 deep at most.
fn diagnostic(out: &mut String, value: &Value) {
    match value {
        Value::Integer(number) => _ = write!(out, "{}", i128::from(*number)),
        Value::Float(number) => _ = write!(out, "{number:?}"),
        Value::Bool(yes) => _ = write!(out, "{yes}"),
        Value::Text(text) => _ = write!(out, "{text:?}"),
        Value::Bytes(bytes) => {
            out.push_str("h'");
            for byte in bytes {
                _ = write!(out, "{byte:02x}");
            }
            out.push('\'');
        }
        Value::Array(members) => {
            for (index, member) in members.iter().enumerate() {
                out.push_str(if index == 0 { "[" } else { ", " });
                diagnostic(out, member);
            }
            out.push_str(if members.is_empty() { "[]" } else { "]" });
        }
        Value::Map(entries) => {
            for (index, (key, member)) in entries.iter().enumerate() {
                out.push_str(if index == 0 { "{" } else { ", " });
                diagnostic(out, key);
                out.push_str(": ");
                diagnostic(out, member);
            }
            out.push_str(if entries.is_empty() { "{}" } else { "}" });
        }
        _ => out.push_str("null"),
    }
}
