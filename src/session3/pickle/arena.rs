//! The values that a pickle builds, each at one index, so that sharing and cycles
//! are as in Python and dropping them never recurses.

use super::Limits;
use super::error::{PickleErrorKind, shown};

/// Index of a value in its arena. Only [`Arena::add`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ref(u32);

/// Key and value.
pub(super) type Pair = (Ref, Ref);

/// A value.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    /// An integer outside `i64`, in decimal.
    Big(String),
    Float(f64),
    Text(String),
    /// A `str` of Python 2 that is UTF-8: text, but also the bytes that a constructor asks for.
    Text2(String),
    /// A `str` of Python 2 that is not UTF-8.
    Bytes2(Vec<u8>),
    Bytes(Vec<u8>),
    List(Vec<Ref>),
    Tuple(Vec<Ref>),
    Dict(Vec<Pair>),
    Set(Vec<Ref>),
    FrozenSet(Vec<Ref>),
    Class(Box<Class>),
    Object(Box<Object>),
    /// `isoformat()` of a `date`.
    Date(String),
    /// `isoformat()` of a `time`.
    Time(String),
    /// `isoformat()` of a `datetime`.
    DateTime(String),
    /// A `timedelta`, as Python normalises it: seconds, and microseconds from 0 to 999999.
    Delta(i64, u32),
    /// A `timezone`: offset in microseconds, and `str()`.
    Zone(i64, String),
    Decimal(String),
}

/// Something that the pickle only names.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) module: String,
    pub(super) name: String,
}

impl Node {
    /// A `str` of Python 2.
    pub(super) fn str2(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self::Text2(text),
            Err(error) => Self::Bytes2(error.into_bytes()),
        }
    }
}

impl Class {
    /// `module.Name`, fit for messages.
    pub(super) fn shown(&self) -> String {
        // Neither half may hide the other behind the cap.
        format!("{}.{}", shown(&self.module), shown(&self.name))
    }
}

/// An instance of a class that stays a mere name.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) class: Ref,
    /// What `__new__` would get: a tuple.
    pub(super) args: Option<Ref>,
    /// Keyword arguments for `__new__`: a dict.
    pub(super) kwargs: Option<Ref>,
    /// Contents of a subclass of list or dict.
    pub(super) items: Items,
    pub(super) attributes: Vec<Pair>,
}

/// What an object holds as a container.
#[derive(Debug)]
pub(super) enum Items {
    None,
    List(Vec<Ref>),
    Map(Vec<Pair>),
}

/// All values of one pickle.
#[derive(Debug)]
pub(super) struct Arena {
    nodes: Vec<Node>,
    max_nodes: usize,
    copy_left: usize,
    copy_limit: usize,
}

impl Arena {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            nodes: Vec::new(),
            max_nodes: limits.values,
            copy_left: limits.copied_bytes,
            copy_limit: limits.copied_bytes,
        }
    }

    pub(super) fn add(&mut self, node: Node) -> Result<Ref, PickleErrorKind> {
        let too_many = PickleErrorKind::TooMany("values", self.max_nodes);
        if self.nodes.len() >= self.max_nodes {
            return Err(too_many);
        }
        let index = u32::try_from(self.nodes.len()).map_err(|_| too_many)?;
        self.nodes.push(node);
        Ok(Ref(index))
    }

    pub(super) fn get(&self, at: Ref) -> &Node {
        &self.nodes[at.0 as usize]
    }

    pub(super) fn get_mut(&mut self, at: Ref) -> &mut Node {
        &mut self.nodes[at.0 as usize]
    }

    /// The class that an object belongs to, or that a reference names.
    pub(super) fn class(&self, at: Ref) -> Option<&Class> {
        match self.get(at) {
            Node::Class(class) => Some(class),
            Node::Object(object) => match self.get(object.class) {
                Node::Class(class) => Some(class),
                _ => None,
            },
            _ => None,
        }
    }

    /// Text, also that of Python 2.
    pub(super) fn text(&self, at: Ref) -> Option<&str> {
        match self.get(at) {
            Node::Text(text) | Node::Text2(text) => Some(text),
            _ => None,
        }
    }

    /// Bytes, also a `str` of Python 2.
    pub(super) fn bytes(&self, at: Ref) -> Option<&[u8]> {
        match self.get(at) {
            Node::Bytes(bytes) | Node::Bytes2(bytes) => Some(bytes),
            Node::Text2(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// The elements of a sequence or set.
    pub(super) fn elements(&self, at: Ref) -> Option<&[Ref]> {
        match self.get(at) {
            Node::List(items) | Node::Tuple(items) | Node::Set(items) | Node::FrozenSet(items) => Some(items),
            _ => None,
        }
    }

    /// Pays for a copy of what the memo can name again and again: without a price,
    /// four bytes of pickle copy a list of a million entries.
    pub(super) fn pay_copy(&mut self, bytes: usize) -> Result<(), PickleErrorKind> {
        self.copy_left = self
            .copy_left
            .checked_sub(bytes)
            .ok_or(PickleErrorKind::TooMany("bytes copied", self.copy_limit))?;
        Ok(())
    }

    /// A paid copy of references.
    pub(super) fn copy_refs(&mut self, at: Ref) -> Result<Option<Vec<Ref>>, PickleErrorKind> {
        let Some(count) = self.elements(at).map(<[Ref]>::len) else {
            return Ok(None);
        };
        self.pay_copy(count.saturating_mul(size_of::<Ref>()))?;
        Ok(self.elements(at).map(<[Ref]>::to_vec))
    }

    /// A paid copy of a dict's entries.
    pub(super) fn copy_pairs(&mut self, at: Ref) -> Result<Option<Vec<Pair>>, PickleErrorKind> {
        let Node::Dict(pairs) = self.get(at) else {
            return Ok(None);
        };
        let bytes = pairs.len().saturating_mul(size_of::<Pair>());
        self.pay_copy(bytes)?;
        match self.get(at) {
            Node::Dict(pairs) => Ok(Some(pairs.clone())),
            _ => Ok(None),
        }
    }
}
