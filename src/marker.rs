//! The marker: SPEC.md section 5.2.

use crate::error::Unsupported;
use crate::names::Naming;
use crate::rule::{Fault, Rule};

/// The highest read version and write version that this implementation knows.
pub(crate) const VERSION: u32 = 1;
/// The longest marker, in bytes (MARK-1).
pub(crate) const MARKER_MAX: usize = 512;

/// When what a store's operation has done is to be on stable storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Before the operation returns: what has returned survives a power loss.
    #[default]
    Power,
    /// When the system gets to it: what has returned survives the death of the process, not a power loss.
    Process,
}

impl Durability {
    /// The word in the marker.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Durability::Power => "power",
            Durability::Process => "process",
        }
    }
}

/// What a marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Who may read: implementations that know this version.
    pub read_version: u32,
    /// Who may change: implementations that know this version.
    pub write_version: u32,
    /// How files are named.
    pub naming: Naming,
    /// When changes are on stable storage.
    pub durability: Durability,
}

/// Why a marker cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarkerError {
    /// It breaks a rule.
    Malformed(Fault),
    /// Its read version is too high (MARK-2).
    Unsupported(Unsupported, Fault),
}

impl Marker {
    /// A marker of this version.
    #[must_use]
    pub const fn new(naming: Naming, durability: Durability) -> Self {
        Marker { read_version: VERSION, write_version: VERSION, naming, durability }
    }

    /// Whether this implementation may change the store (MARK-3).
    #[must_use]
    pub const fn is_writable(&self) -> bool {
        self.write_version <= VERSION
    }

    /// Parses a marker. MARK-1, MARK-2, MARK-4.
    ///
    /// # Errors
    /// The rule that it breaks and the line that breaks it.
    pub fn parse(text: &[u8]) -> Result<Self, MarkerError> {
        let mut lines = Lines { text, at: 0 };
        lines.value("sessiondir", |rest| rest.is_empty().then_some(()))?;
        let (read_version, at) = lines.value("read", |rest| version(rest.strip_prefix(b" ")?))?;
        let (write_version, _) = lines.value("write", |rest| version(rest.strip_prefix(b" ")?))?;
        if read_version > VERSION {
            let fault = Fault::new(Rule::Mark2, at);
            return Err(MarkerError::Unsupported(Unsupported::ReadVersion(read_version), fault));
        }
        // Only here: how long a marker of a later read version may be is for that version to say.
        if text.len() > MARKER_MAX {
            return Err(MarkerError::Malformed(Fault::new(Rule::Mark1, 0)));
        }
        let (naming, _) = lines.value("naming", |rest| match rest {
            b" plain" => Some(Naming::Plain),
            b" hashed" => Some(Naming::Hashed),
            _ => None,
        })?;
        let (durability, _) = lines.value("durability", |rest| match rest {
            b" power" => Some(Durability::Power),
            b" process" => Some(Durability::Process),
            _ => None,
        })?;
        while lines.at < text.len() {
            let at = lines.at;
            let printable = |rest: &[u8]| rest.iter().all(|b| (0x20..=0x7e).contains(b));
            lines.value("", |rest| (!rest.is_empty() && printable(rest)).then_some(()))?;
            if write_version <= VERSION {
                return Err(MarkerError::Malformed(Fault::new(Rule::Mark4, at)));
            }
        }
        Ok(Marker { read_version, write_version, naming, durability })
    }

    /// The marker's text.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "sessiondir\nread {}\nwrite {}\nnaming {}\ndurability {}\n",
            self.read_version,
            self.write_version,
            self.naming.word(),
            self.durability.word()
        )
    }
}

fn version(digits: &[u8]) -> Option<u32> {
    let well_formed =
        matches!(digits, [b'1'..=b'9', rest @ ..] if rest.len() <= 4 && rest.iter().all(u8::is_ascii_digit));
    if !well_formed {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

struct Lines<'a> {
    text: &'a [u8],
    at: usize,
}

impl Lines<'_> {
    /// The value of the next line, which starts with `word`, and the line's offset.
    fn value<T>(
        &mut self,
        word: &str,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<(T, usize), MarkerError> {
        let at = self.at;
        let malformed = || MarkerError::Malformed(Fault::new(Rule::Mark1, at));
        let end = self.text[at..].iter().position(|&b| b == b'\n').ok_or_else(malformed)?;
        let line = &self.text[at..at + end];
        let value = line.strip_prefix(word.as_bytes()).and_then(parse).ok_or_else(malformed)?;
        self.at = at + end + 1;
        Ok((value, at))
    }
}
