//! Reads what Python's pickles describe, without running any of it.
//!
//! A pickle is a program for a stack machine, and the ordinary machine calls whatever the program
//! names. This one builds plain data only: a class or function is a name, a fixed list of
//! constructors of the standard library is turned into data ([`constructors`]), an instance of any
//! other class becomes the map of its attributes, and any other call refuses the file. Protocols
//! 0 to 5 are read, those of Python 2 among them.
//!
//! | Python | here |
//! |---|---|
//! | `str` | text; lone surrogates refuse the file |
//! | `str` of Python 2 | text if it is UTF-8, otherwise bytes |
//! | `bytes`, `bytearray` | bytes |
//! | `int` | integer; outside `i64` its decimal text |
//! | `float` | float, NaN and infinities included |
//! | `list`, `tuple`, `deque`, `UserList` | list |
//! | `set`, `frozenset` | list, sorted by type, then by value |
//! | `dict`, `OrderedDict`, `defaultdict`, `Counter`, `UserDict` | map, in the same order |
//! | key that is no text | its `str()` |
//! | `date`, `time`, `datetime` | `isoformat()`, without `fold` |
//! | `timedelta` | `total_seconds()`, a float |
//! | `timezone`, `Decimal`, `UUID`, `UserString` | `str()` |
//! | subclass of `dict` or `list` | map or list, if it has no attributes |
//! | any other object | map of its attributes |
//!
//! What an object has besides attributes is kept in the same map: a container's contents as
//! `__items__`, the arguments of `__new__` (the fields of a named tuple, the value of a subclass
//! of `str` or `int`) as `__args__` and `__kwargs__`. An attribute of such a name refuses the file.
//!
//! Sets sort as: None, booleans, integers, floats, text (by code point), bytes, dates, datetimes,
//! times (by their text), time differences, timezones, Decimals, UUIDs (by their text), tuples,
//! frozensets, anything else. A set of integers or of texts so has the order of `sorted()`.
//!
//! A key that is set twice has its last value, as in Python; two keys of one text refuse the file.
//! Keys that Python holds for equal across types (`1`, `True`, `1.0`) stay apart if a pickle has
//! more than one of them, which Python never writes.
//!
//! Shared values are repeated wherever they occur, and every repetition counts against [`Limits`].

mod arena;
mod constructors;
mod error;
mod input;
mod machine;
mod opcodes;
mod plain;
mod scalars;
mod sets;
#[cfg(test)]
mod tests;
mod time;

pub(crate) use error::{PickleError, PickleErrorKind, Place};

/// Plain data that a pickle describes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plain {
    /// `None`.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Values in order.
    List(Vec<Plain>),
    /// Values by key, in the pickle's order; no key occurs twice.
    Map(Vec<(String, Plain)>),
}

/// Something that is not the same in the plain data as it was in Python.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    /// Where: attributes and keys as `cart.price`, or `cart["unit price"]` where a key is no
    /// identifier, elements as `cart[3]`, those of a set as `tags{}`. Empty for the whole file.
    pub path: String,
    /// What.
    pub kind: NoteKind,
}

/// What happened to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoteKind {
    /// An object of this class became a map of its attributes, or the list or map that it was.
    Object {
        /// `module.Name`.
        class: String,
    },
    /// An integer outside `i64` became text.
    BigInteger,
    /// A Decimal became text.
    Decimal,
    /// A date became text.
    Date,
    /// A time became text.
    Time,
    /// A datetime became text.
    DateTime,
    /// A timezone became text.
    TimeZone,
    /// A time difference became seconds.
    TimeDelta,
    /// A UUID became text.
    Uuid,
    /// A set became a sorted list.
    Set,
    /// A `str` of Python 2 that is not UTF-8 became bytes.
    NotUtf8,
    /// A key became text: the last one of the path.
    KeyNotText,
    /// So many bytes after the pickle were ignored, as Python ignores them. Session3 leaves such
    /// when two processes save one session at a time, the shorter one last.
    Trailing(usize),
}

impl std::fmt::Display for NoteKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Object { class } => return write!(f, "object of {class} became plain data"),
            Self::BigInteger => "integer outside 64 bits became text",
            Self::Decimal => "Decimal became text",
            Self::Date => "date became text",
            Self::Time => "time became text",
            Self::DateTime => "datetime became text",
            Self::TimeZone => "timezone became text",
            Self::TimeDelta => "timedelta became seconds",
            Self::Uuid => "UUID became text",
            Self::Set => "set became a sorted list",
            Self::NotUtf8 => "Python 2 string that is not UTF-8 became bytes",
            Self::KeyNotText => "key became text",
            Self::Trailing(count) => return write!(f, "{count} bytes after the end ignored"),
        })
    }
}

/// The object that a pickle describes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Loaded {
    /// `module.Name` of its class, escaped and capped for display.
    pub class: String,
    /// Its attributes, in the pickle's order; no name occurs twice.
    pub attributes: Vec<(String, Plain)>,
    /// What was changed on the way.
    pub notes: Vec<Note>,
}

/// How much a pickle may ask for.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Length of the file.
    pub input_bytes: usize,
    /// Values that the machine makes, the intermediate ones among them.
    pub values: usize,
    /// Entries and marks on the stack.
    pub stack: usize,
    /// Entries in the memo.
    pub memo: usize,
    /// Digits of an integer.
    pub digits: usize,
    /// Bytes that constructors and attribute maps copy out of what the memo shares.
    pub copied_bytes: usize,
    /// Values, keys and looked-at entries of the result.
    pub output_values: usize,
    /// Size of the result: text and bytes, nine bytes for each value and key (the longest head
    /// of a CBOR item), and the paths of the notes.
    pub output_bytes: usize,
    /// Containers within containers, counted from an attribute's value. The conversion recurses
    /// this deep, hence the small type.
    pub depth: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            input_bytes: 16 << 20,
            values: 1_000_000,
            stack: 1_000_000,
            memo: 1_000_000,
            digits: 4_300,
            copied_bytes: 16 << 20,
            output_values: 1_000_000,
            output_bytes: 16 << 20,
            depth: 30,
        }
    }
}

#[cfg(feature = "seam")]
impl Limits {
    /// These limits, each of which allows only the `divisor`th part; but for the depth.
    pub(crate) fn divided(self, divisor: usize) -> Self {
        Self {
            input_bytes: self.input_bytes / divisor,
            values: self.values / divisor,
            stack: self.stack / divisor,
            memo: self.memo / divisor,
            digits: self.digits / divisor,
            copied_bytes: self.copied_bytes / divisor,
            output_values: self.output_values / divisor,
            output_bytes: self.output_bytes / divisor,
            depth: self.depth,
        }
    }
}

/// Reads a pickle of one object.
///
/// # Errors
///
/// Anything else than a whole pickle of one object with attributes within the limits; a call of
/// something unknown; a value that contains itself; a key or class that is no plain data.
pub(crate) fn load(pickle: &[u8], limits: &Limits) -> Result<Loaded, PickleError> {
    if pickle.len() > limits.input_bytes {
        return Err(PickleError {
            place: Place::File,
            kind: PickleErrorKind::InputTooLong(limits.input_bytes),
        });
    }
    plain::convert(&machine::run(pickle, limits)?, limits)
}
