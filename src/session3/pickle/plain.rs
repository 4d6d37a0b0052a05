//! From the arena to plain data, counting everything while it is built.
//!
//! Sharing makes a few bytes of pickle mean an output of any size, so every value, key and entry
//! is charged before it is looked at. Recursion is bounded by [`Limits::depth`].

use std::borrow::Cow;
use std::collections::HashMap;

use super::arena::{Arena, Class, Items, Node, Object, Pair, Ref};
use super::error::{PickleError, PickleErrorKind as Kind, Place, shown};
use super::machine::Built;
use super::{Limits, Loaded, Note, NoteKind, Plain, scalars, sets, time};

/// The longest head of a CBOR item: an upper bound of what a value or key adds to its contents.
const HEAD_BYTES: usize = 9;

/// Longest key in a path.
const PATH_KEY_CHARS: usize = 40;

type Map = Vec<(String, Plain)>;
type Result<T> = std::result::Result<T, PickleError>;

/// Turns the object at the top into its attributes.
pub(super) fn convert(built: &Built, limits: &Limits) -> Result<Loaded> {
    let mut converter = Converter {
        arena: &built.arena,
        limits,
        values: 0,
        bytes: 0,
        open: Vec::new(),
        path: Vec::new(),
        notes: Vec::new(),
    };
    let refused = |kind| PickleError { place: Place::File, kind };
    let Node::Object(object) = built.arena.get(built.top) else {
        return Err(refused(Kind::TopNotObject));
    };
    if object.attributes.is_empty() {
        return Err(refused(Kind::TopNotObject));
    }
    if built.trailing > 0 {
        converter.note(NoteKind::Trailing(built.trailing))?;
    }
    let names = object.attributes.iter().map(|(name, _)| *name);
    converter.charge(object.attributes.len(), 0)?;
    if names.into_iter().any(|name| built.arena.text(name).is_none()) {
        return Err(refused(Kind::AttributeNotText));
    }
    converter.open.push(built.top);
    let attributes = converter.all_of(object)?;
    Ok(Loaded { class: converter.class_name(built.top), attributes, notes: converter.notes })
}

struct Converter<'a> {
    arena: &'a Arena,
    limits: &'a Limits,
    values: usize,
    bytes: usize,
    /// The containers being converted, outermost first.
    open: Vec<Ref>,
    path: Vec<Step<'a>>,
    notes: Vec<Note>,
}

/// A step of a path.
#[derive(Debug)]
enum Step<'a> {
    Key(Cow<'a, str>),
    Index(usize),
    Element,
}

/// What a key was, to tell a key that is set twice from two keys with one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyKind {
    Text,
    Null,
    Bool,
    Int,
    Float,
    Bytes,
    Moment,
    Decimal,
    Tuple,
}

impl KeyKind {
    /// Whether equal texts of this kind are equal keys in Python. NaN is not equal to NaN.
    fn text_is_identity(self) -> bool {
        !matches!(self, Self::Float | Self::Tuple)
    }
}

impl<'a> Converter<'a> {
    fn value(&mut self, at: Ref) -> Result<Plain> {
        self.charge(1, 0)?;
        let arena = self.arena;
        Ok(match arena.get(at) {
            Node::Null => Plain::Null,
            Node::Bool(value) => Plain::Bool(*value),
            Node::Int(value) => Plain::Int(*value),
            Node::Float(value) => Plain::Float(*value),
            Node::Big(digits) => self.noted_text(NoteKind::BigInteger, digits)?,
            Node::Text(text) | Node::Text2(text) => self.text(text)?,
            Node::Bytes(bytes) => self.bytes(bytes)?,
            Node::Bytes2(bytes) => {
                self.note(NoteKind::NotUtf8)?;
                self.bytes(bytes)?
            }
            Node::Date(text) => self.noted_text(NoteKind::Date, text)?,
            Node::Time(text) => self.noted_text(NoteKind::Time, text)?,
            Node::DateTime(text) => self.noted_text(NoteKind::DateTime, text)?,
            Node::Zone(_, text) => self.noted_text(NoteKind::TimeZone, text)?,
            Node::Decimal(text) => self.noted_text(NoteKind::Decimal, text)?,
            Node::Delta(seconds, micros) => {
                self.note(NoteKind::TimeDelta)?;
                Plain::Float(time::total_seconds(*seconds, *micros))
            }
            Node::List(_)
            | Node::Tuple(_)
            | Node::Dict(_)
            | Node::Set(_)
            | Node::FrozenSet(_)
            | Node::Object(_) => self.container(at)?,
            Node::Class(class) => return Err(self.refused(Kind::ClassAsValue(class.shown()))),
        })
    }

    fn text(&mut self, text: &str) -> Result<Plain> {
        self.charge(0, text.len())?;
        Ok(Plain::Text(text.to_owned()))
    }

    fn noted_text(&mut self, kind: NoteKind, text: &str) -> Result<Plain> {
        self.note(kind)?;
        self.text(text)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<Plain> {
        self.charge(0, bytes.len())?;
        Ok(Plain::Bytes(bytes.to_vec()))
    }

    fn container(&mut self, at: Ref) -> Result<Plain> {
        if self.open.contains(&at) {
            return Err(self.refused(Kind::Cycle));
        }
        // The object at the top is open too, and is no level.
        if self.open.len() > usize::from(self.limits.depth) {
            return Err(self.refused(Kind::TooDeep(self.limits.depth)));
        }
        self.open.push(at);
        let arena = self.arena;
        let plain = match arena.get(at) {
            Node::List(items) | Node::Tuple(items) => Plain::List(self.list(items)?),
            Node::Set(items) | Node::FrozenSet(items) => {
                self.note(NoteKind::Set)?;
                Plain::List(self.set(items)?)
            }
            Node::Dict(pairs) => Plain::Map(self.map(pairs)?),
            Node::Object(object) => self.object(at, object)?,
            // `value` passes on nothing else.
            _ => Plain::Null,
        };
        self.open.pop();
        Ok(plain)
    }

    fn list(&mut self, items: &'a [Ref]) -> Result<Vec<Plain>> {
        let mut list = Vec::with_capacity(self.room(items.len()));
        for (index, item) in items.iter().enumerate() {
            self.path.push(Step::Index(index));
            list.push(self.value(*item)?);
            self.path.pop();
        }
        Ok(list)
    }

    fn set(&mut self, items: &'a [Ref]) -> Result<Vec<Plain>> {
        let mut ranked = Vec::with_capacity(self.room(items.len()));
        self.path.push(Step::Element);
        for item in items {
            ranked.push((sets::rank(self.arena, *item), self.value(*item)?));
        }
        self.path.pop();
        Ok(sets::sorted(ranked))
    }

    fn map(&mut self, pairs: &'a [Pair]) -> Result<Map> {
        let entries = self.entries(pairs)?;
        self.entry_values(entries)
    }

    /// The keys of a map with the value that each has in the end.
    fn entries(&mut self, pairs: &'a [Pair]) -> Result<Vec<(Cow<'a, str>, Ref)>> {
        let mut entries: Vec<(Cow<'a, str>, Ref)> = Vec::with_capacity(self.room(pairs.len()));
        let mut seen: HashMap<Cow<'a, str>, (usize, KeyKind)> = HashMap::new();
        for (key, value) in pairs {
            self.charge(1, 0)?;
            let (text, kind) = self.key(*key)?;
            match seen.get(&text) {
                Some((at, same)) if *same == kind && kind.text_is_identity() => {
                    entries[*at].1 = *value;
                    continue;
                }
                Some(_) => return Err(self.refused(Kind::KeyCollision(shown(&text)))),
                None => {}
            }
            seen.insert(text.clone(), (entries.len(), kind));
            if kind != KeyKind::Text {
                self.path.push(Step::Key(text.clone()));
                self.note(NoteKind::KeyNotText)?;
                self.path.pop();
            }
            entries.push((text, *value));
        }
        Ok(entries)
    }

    fn entry_values(&mut self, entries: Vec<(Cow<'a, str>, Ref)>) -> Result<Map> {
        let mut map = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            self.path.push(Step::Key(key));
            let value = self.value(value)?;
            if let Some(Step::Key(key)) = self.path.pop() {
                map.push((key.into_owned(), value));
            }
        }
        Ok(map)
    }

    fn object(&mut self, at: Ref, object: &'a Object) -> Result<Plain> {
        let class = self.arena.class(at);
        let (module, name) = class.map_or(("", ""), |class| (&*class.module, &*class.name));
        let only_items = object.attributes.is_empty();
        match (module, name) {
            // Containers that the constructors made.
            ("collections", "OrderedDict" | "defaultdict" | "Counter" | "deque") if only_items => {}
            ("collections", "UserDict" | "UserList" | "UserString")
            | ("UserDict", "UserDict" | "IterableUserDict")
            | ("UserList", "UserList")
            | ("UserString", "UserString") => {
                self.charge(object.attributes.len(), 0)?;
                if let [(key, data)] = object.attributes[..]
                    && self.arena.text(key) == Some("data")
                {
                    return self.value(data);
                }
                self.note_object(at)?;
            }
            ("uuid", "UUID") => return self.uuid(object),
            _ => self.note_object(at)?,
        }
        let only_items = only_items && object.args.is_none() && object.kwargs.is_none();
        match &object.items {
            Items::List(items) if only_items => Ok(Plain::List(self.list(items)?)),
            Items::Map(pairs) if only_items => Ok(Plain::Map(self.map(pairs)?)),
            _ => Ok(Plain::Map(self.all_of(object)?)),
        }
    }

    /// An object's attributes, and whatever else it has under reserved names.
    fn all_of(&mut self, object: &'a Object) -> Result<Map> {
        let mut entries = self.entries(&object.attributes)?;
        let has_items = !matches!(object.items, Items::None);
        for (name, present) in [
            ("__items__", has_items),
            ("__args__", object.args.is_some()),
            ("__kwargs__", object.kwargs.is_some()),
        ] {
            if present && entries.iter().any(|(key, _)| key == name) {
                return Err(self.refused(Kind::KeyCollision(name.to_owned())));
            }
        }
        for (name, extra) in [("__args__", object.args), ("__kwargs__", object.kwargs)] {
            if let Some(extra) = extra {
                self.charge(1, name.len())?;
                entries.push((Cow::Borrowed(name), extra));
            }
        }
        let mut map = self.entry_values(entries)?;
        if has_items {
            let name = "__items__";
            self.charge(2, name.len())?;
            self.path.push(Step::Key(Cow::Borrowed(name)));
            let items = match &object.items {
                Items::List(items) => Plain::List(self.list(items)?),
                Items::Map(pairs) => Plain::Map(self.map(pairs)?),
                Items::None => Plain::Null,
            };
            self.path.pop();
            map.push((name.to_owned(), items));
        }
        Ok(map)
    }

    fn uuid(&mut self, object: &'a Object) -> Result<Plain> {
        let text = self.uuid_text(object)?;
        self.noted_text(NoteKind::Uuid, &text)
    }

    fn uuid_text(&mut self, object: &Object) -> Result<String> {
        self.charge(object.attributes.len(), 0)?;
        let int = object.attributes.iter().rev().find(|(key, _)| self.arena.text(*key) == Some("int"));
        let number = match int.map(|(_, value)| self.arena.get(*value)) {
            Some(Node::Int(number)) => u128::try_from(*number).ok(),
            Some(Node::Big(digits)) => digits.parse().ok(),
            _ => None,
        };
        let number: u128 = number.ok_or_else(|| self.refused(Kind::BadUuid))?;
        let hex = format!("{number:032x}");
        Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
    }

    /// A key's `str()`.
    fn key(&mut self, at: Ref) -> Result<(Cow<'a, str>, KeyKind)> {
        let arena = self.arena;
        if let Some(text) = arena.text(at) {
            self.charge(0, text.len())?;
            return Ok((Cow::Borrowed(text), KeyKind::Text));
        }
        let (text, kind) = match arena.get(at) {
            Node::Date(text) | Node::Time(text) => (text.clone(), KeyKind::Moment),
            Node::DateTime(text) => (text.replacen('T', " ", 1), KeyKind::Moment),
            Node::Decimal(text) => {
                self.charge(0, text.len())?;
                return Ok((Cow::Borrowed(text), KeyKind::Decimal));
            }
            Node::Object(object) if sets::is_uuid(self.arena, at) => {
                (self.uuid_text(object)?, KeyKind::Moment)
            }
            Node::Null => ("None".to_owned(), KeyKind::Null),
            Node::Bool(_) => (self.repr(at, 0)?, KeyKind::Bool),
            Node::Int(_) | Node::Big(_) => (self.repr(at, 0)?, KeyKind::Int),
            Node::Float(_) => (self.repr(at, 0)?, KeyKind::Float),
            Node::Bytes(_) | Node::Bytes2(_) => (self.repr(at, 0)?, KeyKind::Bytes),
            Node::Tuple(_) => (self.repr(at, 0)?, KeyKind::Tuple),
            _ => return Err(self.refused(Kind::Key)),
        };
        self.charge(0, text.len())?;
        Ok((Cow::Owned(text), kind))
    }

    /// `repr()` of a key, or of a part of one.
    fn repr(&mut self, at: Ref, depth: u8) -> Result<String> {
        self.charge(1, 0)?;
        let arena = self.arena;
        if let Some(text) = arena.text(at) {
            self.charge(0, text.len())?;
            return scalars::text_repr(text).ok_or_else(|| self.refused(Kind::Key));
        }
        Ok(match arena.get(at) {
            Node::Null => "None".to_owned(),
            Node::Bool(true) => "True".to_owned(),
            Node::Bool(false) => "False".to_owned(),
            Node::Int(value) => value.to_string(),
            Node::Float(value) => scalars::float_repr(*value),
            Node::Big(digits) => {
                self.charge(0, digits.len())?;
                digits.clone()
            }
            Node::Bytes(bytes) | Node::Bytes2(bytes) => {
                self.charge(0, bytes.len())?;
                scalars::bytes_repr(bytes)
            }
            Node::Tuple(items) => {
                if depth >= self.limits.depth {
                    return Err(self.refused(Kind::TooDeep(self.limits.depth)));
                }
                let mut text = String::from("(");
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        text.push_str(", ");
                    }
                    text.push_str(&self.repr(*item, depth + 1)?);
                }
                text.push_str(if items.len() == 1 { ",)" } else { ")" });
                text
            }
            _ => return Err(self.refused(Kind::Key)),
        })
    }

    /// Capacity to ask for: never more than may still be used.
    fn room(&self, count: usize) -> usize {
        count.min(self.limits.output_values.saturating_sub(self.values))
    }

    fn charge(&mut self, values: usize, bytes: usize) -> Result<()> {
        self.values = self.values.saturating_add(values);
        if self.values > self.limits.output_values {
            let kind = Kind::TooMany("values in the result", self.limits.output_values);
            return Err(self.refused(kind));
        }
        let bytes = bytes.saturating_add(values.saturating_mul(HEAD_BYTES));
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.limits.output_bytes {
            let kind = Kind::TooMany("bytes in the result", self.limits.output_bytes);
            return Err(self.refused(kind));
        }
        Ok(())
    }

    fn class_name(&self, at: Ref) -> String {
        self.arena.class(at).map(Class::shown).unwrap_or_default()
    }

    fn note_object(&mut self, at: Ref) -> Result<()> {
        let class = self.class_name(at);
        self.charge(0, class.len())?;
        self.note(NoteKind::Object { class })
    }

    fn note(&mut self, kind: NoteKind) -> Result<()> {
        let path = self.path_text();
        self.charge(0, path.len())?;
        self.notes.push(Note { path, kind });
        Ok(())
    }

    fn refused(&self, kind: Kind) -> PickleError {
        let place = match self.path_text() {
            path if path.is_empty() => Place::File,
            path => Place::Path(path),
        };
        PickleError { place, kind }
    }

    fn path_text(&self) -> String {
        let mut out = String::new();
        for step in &self.path {
            match step {
                Step::Index(index) => out.push_str(&["[", &index.to_string(), "]"].concat()),
                Step::Element => out.push_str("{}"),
                Step::Key(key) if is_identifier(key) => {
                    if !out.is_empty() {
                        out.push('.');
                    }
                    out.push_str(key);
                }
                Step::Key(key) => {
                    let mut chars = key.chars();
                    out.push_str("[\"");
                    for char in chars.by_ref().take(PATH_KEY_CHARS) {
                        match char {
                            '\'' => out.push(char),
                            _ => out.extend(char.escape_debug()),
                        }
                    }
                    out.push_str(if chars.next().is_some() { "…\"]" } else { "\"]" });
                }
            }
        }
        out
    }
}

fn is_identifier(key: &str) -> bool {
    let start = |char: char| char.is_ascii_alphabetic() || char == '_';
    key.len() <= PATH_KEY_CHARS
        && key.starts_with(start)
        && key.chars().all(|char| start(char) || char.is_ascii_digit())
}
