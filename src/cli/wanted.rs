//! The sessions that arguments name: by an ID, by `#` and digits of its SHA-256, or by `-` for standard input.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sessiondir::{DirectoryStore, ErrorClass, Key, Naming, SessionId, SessionRef};

use super::output::Failure;

/// What an argument or a line names.
pub(super) enum Wanted {
    Session(SessionRef),
    /// The first digits of a key, in lower case: 8 to 64.
    Digits(String),
}

/// As many digits as are always given.
const DIGITS: usize = 8;

/// What is read of standard input at most where it is to name one session: an ID is far shorter.
const ONE_MAX: u64 = 1024;
/// Where it may name many: some 700,000 IDs of the usual length.
const ALL_MAX: u64 = 16 << 20;

impl Wanted {
    fn parse(text: &[u8]) -> Option<Wanted> {
        let Some(digits) = text.strip_prefix(b"#") else {
            return SessionId::new(text).ok().map(|id| Wanted::Session(SessionRef::Id(id)));
        };
        let digits = String::from_utf8(digits.to_ascii_lowercase()).ok()?;
        let are_digits =
            (DIGITS..=64).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
        are_digits.then_some(Wanted::Digits(digits))
    }

    /// `#` and 8 digits (NAME-8).
    pub(super) fn shown(&self) -> String {
        match self {
            Wanted::Session(reference) => reference.shown().to_string(),
            Wanted::Digits(digits) => format!("#{}", &digits[..DIGITS]),
        }
    }
}

/// What the one argument names. It is looked at before anything is opened, and never repeated (NAME-2).
pub(super) fn one(argument: &OsStr) -> Result<Wanted, Failure> {
    let argument = argument.as_bytes();
    if argument != b"-" {
        return Wanted::parse(argument).ok_or_else(|| invalid("this"));
    }
    let mut text = from_stdin(ONE_MAX)?;
    if text.last() == Some(&b'\n') {
        text.pop();
    }
    // Of a longer text there is enough to see that it is none.
    Wanted::parse(&text).ok_or_else(|| invalid("this"))
}

/// What the arguments name, in their order; standard input, for `-`, names one session a line, and an empty line
/// none.
pub(super) fn all<A: AsRef<OsStr>>(arguments: &[A]) -> Result<Vec<Wanted>, Failure> {
    let mut all = Vec::new();
    for argument in arguments {
        let argument = argument.as_ref().as_bytes();
        if argument != b"-" {
            all.push(Wanted::parse(argument).ok_or_else(|| invalid("an argument"))?);
            continue;
        }
        let text = from_stdin(ALL_MAX + 1)?;
        if text.len() as u64 > ALL_MAX {
            let message = format!(
                "invalid-id: more than {ALL_MAX} bytes on standard input; give it in parts. Nothing was changed"
            );
            return Err(Failure::Own(ErrorClass::InvalidId, message));
        }
        for (index, line) in
            text.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty())
        {
            let which = || invalid(&format!("line {} of standard input", index + 1));
            all.push(Wanted::parse(line).ok_or_else(which)?);
        }
    }
    Ok(all)
}

fn invalid(what: &str) -> Failure {
    let message = format!(
        "invalid-id: {what} is no session ID (11 to 128 letters, digits, '-' or '_'), nor # and 8 to 64 hexadecimal digits; `sessiondir list` shows what there is"
    );
    Failure::Own(ErrorClass::InvalidId, message)
}

fn from_stdin(most: u64) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    io::stdin().lock().take(most).read_to_end(&mut text).map_err(|error| {
        Failure::Own(ErrorClass::Io, format!("io: cannot read an ID from standard input: {error}"))
    })?;
    Ok(text)
}

/// The session of each, in the same order; `None` where no session's key starts with the digits. The store is listed
/// once, whatever their number, and only if there are digits to look for.
pub(super) fn find(
    wanted: &[Wanted],
    store: &DirectoryStore,
    dir: &Path,
) -> Result<Vec<Option<SessionRef>>, Failure> {
    let failed = |error| Failure::store(dir, error);
    // The digits that are looked for, by their beginning.
    let mut open: HashMap<&str, Vec<(usize, &str)>> = HashMap::new();
    let mut found: Vec<Option<SessionRef>> = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        found.push(match wanted {
            Wanted::Session(reference) => Some(reference.clone()),
            Wanted::Digits(digits) => match Key::from_hex(digits.as_bytes()) {
                Some(key) if store.marker().naming == Naming::Hashed => Some(SessionRef::Key(key)),
                _ => {
                    open.entry(&digits[..DIGITS]).or_default().push((found.len(), digits));
                    None
                }
            },
        });
    }
    if open.is_empty() {
        return Ok(found);
    }
    for reference in store.references().map_err(failed)? {
        let reference = reference.map_err(failed)?;
        let key = reference.key().to_hex();
        for (index, digits) in open.get(&key[..DIGITS]).into_iter().flatten() {
            if key.starts_with(digits) && found[*index].replace(reference.clone()).is_some() {
                let message = "invalid-id: several sessions start with these digits; give more of them (list --full-ids shows all)";
                return Err(Failure::Own(ErrorClass::InvalidId, message.to_owned()));
            }
        }
    }
    Ok(found)
}
