//! Why a pickle was refused, and where.

use std::fmt;

/// A refusal. Nothing of the file has been used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PickleError {
    /// Where in the file, or in what it describes.
    pub place: Place,
    /// What is wrong there.
    pub kind: PickleErrorKind,
}

/// Where a refusal happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The file as a whole.
    File,
    /// The opcode that starts at this byte; its name, where it has one.
    Byte(usize, Option<&'static str>),
    /// An attribute path of what the pickle describes, such as `cart[3].when`.
    Path(String),
}

/// The reason of a refusal.
///
/// Every text inside is already fit to be shown: short, and free of control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PickleErrorKind {
    /// The file is longer than the limit.
    InputTooLong(usize),
    /// The file ends before its STOP opcode, or inside an argument.
    Truncated,
    /// A byte that is no opcode.
    UnknownOpcode(u8),
    /// A known opcode that can only mean something to the program that wrote it.
    OpcodeRefused(&'static str),
    /// A protocol newer than 5.
    Protocol(u8),
    /// A frame that does not fit into the file, or that its contents do not fit into.
    Frame,
    /// More of something than the limit allows.
    TooMany(&'static str, usize),
    /// The stack holds fewer values than the opcode takes.
    StackEmpty,
    /// Values are left below the result.
    StackLeft,
    /// The opcode needs a MARK.
    NoMark,
    /// A memo entry that was never made.
    NoMemo(u32),
    /// The opcode found another type than the one it works on.
    Expected(&'static str),
    /// Text that is no Unicode (lone surrogates included).
    NotUnicode,
    /// A number that cannot be read.
    BadNumber,
    /// A quoted string that cannot be read.
    BadString,
    /// The file asks for a call. It has not been made.
    Calls(String),
    /// A known constructor with arguments that Python's pickler does not give it.
    Arguments(String),
    /// A state that is no map of attributes: only the class knows its meaning.
    State(String),
    /// The pickle is not one object with attributes.
    TopNotObject,
    /// An attribute of the session whose name is no text.
    AttributeNotText,
    /// A value that contains itself.
    Cycle,
    /// Containers nested deeper than the limit.
    TooDeep(u8),
    /// A map key that no `str()` is known for.
    Key,
    /// Two keys of one map are the same text.
    KeyCollision(String),
    /// A class or function stands where data should.
    ClassAsValue(String),
    /// A `uuid.UUID` whose state is no 128-bit number.
    BadUuid,
}

/// Longest name or key that a message shows.
const SHOWN_CHARS: usize = 100;

/// Text from the file, made fit for a message: capped, with everything that does not print escaped.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::new();
    for (count, char) in text.chars().enumerate() {
        if count == SHOWN_CHARS {
            out.push('…');
            break;
        }
        match char {
            '\'' | '"' => out.push(char),
            _ => out.extend(char.escape_debug()),
        }
    }
    out
}

impl fmt::Display for PickleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pickle refused")?;
        match &self.place {
            Place::File => {}
            Place::Byte(offset, Some(name)) => write!(f, " at byte {offset} ({name})")?,
            Place::Byte(offset, None) => write!(f, " at byte {offset}")?,
            Place::Path(path) => write!(f, " at {path}")?,
        }
        write!(f, ": {}", self.kind)
    }
}

impl fmt::Display for PickleErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InputTooLong(limit) => write!(f, "longer than {limit} bytes"),
            Self::Truncated => f.write_str("ends before it is complete"),
            Self::UnknownOpcode(code) => write!(f, "0x{code:02x} is no opcode"),
            Self::OpcodeRefused(why) => f.write_str(why),
            Self::Protocol(number) => write!(f, "protocol {number} is newer than 5"),
            Self::Frame => f.write_str("frame and contents disagree"),
            Self::TooMany(what, limit) => write!(f, "more than {limit} {what}"),
            Self::StackEmpty => f.write_str("the stack has too few values"),
            Self::StackLeft => f.write_str("values are left on the stack"),
            Self::NoMark => f.write_str("no mark on the stack"),
            Self::NoMemo(key) => write!(f, "memo entry {key} was never made"),
            Self::Expected(what) => write!(f, "expected {what}"),
            Self::NotUnicode => f.write_str("text is not Unicode"),
            Self::BadNumber => f.write_str("not a number"),
            Self::BadString => f.write_str("not a quoted string"),
            Self::Calls(name) => write!(f, "calls {name}"),
            Self::Arguments(name) => write!(f, "{name} has arguments of another form"),
            Self::State(name) => write!(f, "the state of {name} is no map of attributes"),
            Self::TopNotObject => f.write_str("not one object with attributes"),
            Self::AttributeNotText => f.write_str("an attribute's name is no text"),
            Self::Cycle => f.write_str("contains itself"),
            Self::TooDeep(limit) => write!(f, "nested deeper than {limit}"),
            Self::Key => f.write_str("a map key of a type that has no plain text"),
            Self::KeyCollision(key) => write!(f, "two keys are the same text: {key}"),
            Self::ClassAsValue(name) => write!(f, "refers to {name}, which is no data"),
            Self::BadUuid => f.write_str("UUID is no number of 128 bits"),
        }
    }
}

impl std::error::Error for PickleError {}
