//! The callables that a pickle may name, each turned into data here. Nothing else is "called".
//!
//! Arguments are accepted in the forms that Python's own picklers write, for protocols 0 to 5 and
//! for Python 2; any other form is a refusal.

use super::arena::{Arena, Class, Items, Node, Pair, Ref};
use super::error::PickleErrorKind as Kind;
use super::machine::{class, object, tuple};
use super::time;

/// The allow-list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Callable {
    List,
    Tuple,
    Dict,
    Set,
    FrozenSet,
    Bytes,
    OrderedDict,
    DefaultDict,
    Counter,
    Deque,
    Decimal,
    Date,
    Time,
    DateTime,
    TimeDelta,
    TimeZone,
    /// `_codecs.encode`: how protocols below 3 spell bytes.
    Encode,
    /// `copyreg._reconstructor`: how protocols below 2 spell an instance.
    Reconstructor,
    /// `copyreg.__newobj__`: `NEWOBJ` as a function.
    NewObj,
    /// `copyreg.__newobj_ex__`: `NEWOBJ_EX` as a function.
    NewObjEx,
}

impl Callable {
    fn named(class: &Class) -> Option<Self> {
        Some(match (class.module.as_str(), class.name.as_str()) {
            ("builtins" | "__builtin__", builtin) => match builtin {
                "list" => Self::List,
                "tuple" => Self::Tuple,
                "dict" => Self::Dict,
                "set" => Self::Set,
                "frozenset" => Self::FrozenSet,
                "bytes" | "bytearray" => Self::Bytes,
                _ => return None,
            },
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("collections", "defaultdict") => Self::DefaultDict,
            ("collections", "Counter") => Self::Counter,
            ("collections", "deque") => Self::Deque,
            ("decimal", "Decimal") => Self::Decimal,
            ("datetime", "date") => Self::Date,
            ("datetime", "time") => Self::Time,
            ("datetime", "datetime") => Self::DateTime,
            ("datetime", "timedelta") => Self::TimeDelta,
            ("datetime", "timezone") => Self::TimeZone,
            ("_codecs", "encode") => Self::Encode,
            ("copyreg" | "copy_reg", "_reconstructor") => Self::Reconstructor,
            ("copyreg" | "copy_reg", "__newobj__") => Self::NewObj,
            ("copyreg" | "copy_reg", "__newobj_ex__") => Self::NewObjEx,
            _ => return None,
        })
    }

    fn is_function(self) -> bool {
        matches!(self, Self::Encode | Self::Reconstructor | Self::NewObj | Self::NewObjEx)
    }
}

/// REDUCE: a call. Only the allow-list is known; the name of anything else is the refusal.
pub(super) fn call(arena: &mut Arena, callable: Ref, args: Ref) -> Result<Ref, Kind> {
    let named = class(arena, callable)?;
    let Some(known) = Callable::named(named) else {
        return Err(Kind::Calls(named.shown()));
    };
    construct(arena, known, callable, args)
}

/// NEWOBJ and its kin: an instance. No initialiser runs in Python either, so a class outside
/// the allow-list becomes an object that keeps the arguments as data.
pub(super) fn new_object(
    arena: &mut Arena,
    class_at: Ref,
    args: Ref,
    kwargs: Option<Ref>,
) -> Result<Ref, Kind> {
    let named = class(arena, class_at)?;
    if let Some(known) = Callable::named(named) {
        if known.is_function() || kwargs.is_some_and(|kwargs| !is_empty_dict(arena, kwargs)) {
            return Err(Kind::Calls(named.shown()));
        }
        return construct(arena, known, class_at, args);
    }
    let args = (!tuple(arena, args)?.is_empty()).then_some(args);
    if let Some(kwargs) = kwargs
        && !matches!(arena.get(kwargs), Node::Dict(_))
    {
        return Err(Kind::Expected("a map of keyword arguments"));
    }
    let kwargs = kwargs.filter(|kwargs| !is_empty_dict(arena, *kwargs));
    arena.add(object(class_at, args, kwargs, Items::None))
}

fn is_empty_dict(arena: &Arena, at: Ref) -> bool {
    matches!(arena.get(at), Node::Dict(pairs) if pairs.is_empty())
}

fn construct(arena: &mut Arena, callable: Callable, class_at: Ref, args_at: Ref) -> Result<Ref, Kind> {
    // At most three arguments matter, except for `__newobj__`.
    let args = tuple(arena, args_at)?;
    let count = args.len();
    let first = args.first().copied();
    let second = args.get(1).copied();
    let third = args.get(2).copied();
    let malformed = Kind::Arguments(class(arena, class_at)?.shown());
    let ok = |node: Option<Node>| node.ok_or(malformed.clone());

    let node = match (callable, first, second, third) {
        _ if count > 3 && callable != Callable::NewObj => return Err(malformed),
        (Callable::List, None, ..) => Node::List(Vec::new()),
        (Callable::Tuple, None, ..) => Node::Tuple(Vec::new()),
        (Callable::Set, None, ..) => Node::Set(Vec::new()),
        (Callable::FrozenSet, None, ..) => Node::FrozenSet(Vec::new()),
        (Callable::List, Some(items), None, _) => ok(arena.copy_refs(items)?.map(Node::List))?,
        (Callable::Tuple, Some(items), None, _) => ok(arena.copy_refs(items)?.map(Node::Tuple))?,
        (Callable::Set, Some(items), None, _) => ok(arena.copy_refs(items)?.map(Node::Set))?,
        (Callable::FrozenSet, Some(items), None, _) => ok(arena.copy_refs(items)?.map(Node::FrozenSet))?,
        (Callable::Dict, items, None, _) => ok(map(arena, items)?.map(Node::Dict))?,
        (Callable::OrderedDict | Callable::Counter, items, None, _) => {
            let items = map(arena, items)?.map(Items::Map);
            ok(items.map(|items| object(class_at, None, None, items)))?
        }
        // The factory makes no difference to what is there already.
        (Callable::DefaultDict, _, None, _) => object(class_at, None, None, Items::Map(Vec::new())),
        (Callable::Deque, items, _, None) => {
            // The second argument is the greatest length, which holds already.
            let items = match items {
                Some(items) => arena.copy_refs(items)?.map(Items::List),
                None => Some(Items::List(Vec::new())),
            };
            ok(items.map(|items| object(class_at, None, None, items)))?
        }
        (Callable::Bytes, first, second, None) => ok(bytes(arena, first, second)?)?,
        (Callable::Encode, Some(text), Some(codec), None) => ok(latin1(arena, text, codec)?)?,
        (Callable::Decimal, Some(text), None, _) => ok(decimal(arena, text)?)?,
        (Callable::Date, Some(state), None, _) => {
            ok(arena.bytes(state).and_then(time::date).map(Node::Date))?
        }
        (Callable::Time, Some(state), zone, None) => {
            let local = arena.bytes(state).and_then(time::time);
            ok(with_zone(arena, local, zone).map(Node::Time))?
        }
        (Callable::DateTime, Some(state), zone, None) => {
            let local = arena.bytes(state).and_then(time::date_time);
            ok(with_zone(arena, local, zone).map(Node::DateTime))?
        }
        (Callable::TimeDelta, days, seconds, micros) => ok(delta(arena, [days, seconds, micros]))?,
        (Callable::TimeZone, Some(delta), name, None) => ok(zone(arena, delta, name))?,
        (Callable::Reconstructor, Some(class), Some(base), Some(state)) => {
            return reconstruct(arena, class, base, state, malformed);
        }
        (Callable::NewObj, Some(class), ..) => {
            let Some(mut rest) = arena.copy_refs(args_at)? else {
                return Err(malformed);
            };
            rest.remove(0);
            let rest = arena.add(Node::Tuple(rest))?;
            return new_object(arena, class, rest, None);
        }
        (Callable::NewObjEx, Some(class), Some(args), Some(kwargs)) => {
            return new_object(arena, class, args, Some(kwargs));
        }
        _ => return Err(malformed),
    };
    arena.add(node)
}

/// `dict(...)` of nothing, of a dict, or of pairs.
fn map(arena: &mut Arena, items: Option<Ref>) -> Result<Option<Vec<Pair>>, Kind> {
    let Some(items) = items else {
        return Ok(Some(Vec::new()));
    };
    if let Some(pairs) = arena.copy_pairs(items)? {
        return Ok(Some(pairs));
    }
    let Some(items) = arena.copy_refs(items)? else {
        return Ok(None);
    };
    Ok(items
        .into_iter()
        .map(|pair| match arena.elements(pair) {
            Some(&[key, value]) => Some((key, value)),
            _ => None,
        })
        .collect())
}

/// `bytes(...)` and `bytearray(...)` of nothing, of bytes, of numbers, or of Latin-1 text.
fn bytes(arena: &mut Arena, first: Option<Ref>, second: Option<Ref>) -> Result<Option<Node>, Kind> {
    let Some(first) = first else {
        return Ok(Some(Node::Bytes(Vec::new())));
    };
    if let Some(codec) = second {
        return latin1(arena, first, codec);
    }
    if let Some(length) = arena.bytes(first).map(<[u8]>::len) {
        arena.pay_copy(length)?;
        return Ok(arena.bytes(first).map(|bytes| Node::Bytes(bytes.to_vec())));
    }
    let Some(numbers) = arena.copy_refs(first)? else {
        return Ok(None);
    };
    let bytes: Option<Vec<u8>> = numbers
        .into_iter()
        .map(|number| match arena.get(number) {
            Node::Int(number) => u8::try_from(*number).ok(),
            _ => None,
        })
        .collect();
    Ok(bytes.map(Node::Bytes))
}

/// `text.encode("latin1")`.
fn latin1(arena: &mut Arena, text: Ref, codec: Ref) -> Result<Option<Node>, Kind> {
    if !matches!(arena.text(codec), Some("latin1" | "latin-1")) {
        return Ok(None);
    }
    let Some(length) = arena.text(text).map(str::len) else {
        return Ok(None);
    };
    arena.pay_copy(length)?;
    let bytes: Option<Vec<u8>> =
        arena.text(text).and_then(|text| text.chars().map(|char| u8::try_from(char).ok()).collect());
    Ok(bytes.map(Node::Bytes))
}

/// The text of a number as `str()` of a Decimal gives it.
fn decimal(arena: &mut Arena, at: Ref) -> Result<Option<Node>, Kind> {
    let Some(text) = arena.text(at) else {
        return Ok(None);
    };
    if !is_decimal(text) {
        return Ok(None);
    }
    let text = text.to_owned();
    arena.pay_copy(text.len())?;
    Ok(Some(Node::Decimal(text)))
}

fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    if text == "Infinity" {
        return true;
    }
    if let Some(payload) = text.strip_prefix("sNaN").or(text.strip_prefix("NaN")) {
        return digits(payload);
    }
    let (number, exponent) = match text.split_once('E') {
        Some((number, exponent)) => (number, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (number, None),
    };
    let signed = |part: &str| {
        let part = part.strip_prefix(['+', '-']).unwrap_or(part);
        !part.is_empty() && digits(part)
    };
    // `str()` writes no leading zeros.
    !whole.is_empty()
        && (whole == "0" || !whole.starts_with('0'))
        && digits(whole)
        && fraction.is_none_or(|part| !part.is_empty() && digits(part))
        && exponent.is_none_or(signed)
}

/// A local time with the offset of its `tzinfo` argument: none for no argument or None, and
/// no answer for anything but a `timezone`.
fn with_zone(arena: &Arena, local: Option<String>, zone: Option<Ref>) -> Option<String> {
    let local = local?;
    match zone.map(|zone| arena.get(zone)) {
        None | Some(Node::Null) => Some(local),
        Some(Node::Zone(offset, _)) => Some(local + &time::offset(*offset)),
        Some(_) => None,
    }
}

fn delta(arena: &Arena, parts: [Option<Ref>; 3]) -> Option<Node> {
    let mut numbers = [0; 3];
    for (number, part) in numbers.iter_mut().zip(parts) {
        match part.map(|part| arena.get(part)) {
            None => {}
            Some(Node::Int(value)) => *number = *value,
            Some(_) => return None,
        }
    }
    let [days, seconds, micros] = numbers;
    let (seconds, micros) = time::normalise(days, seconds, micros)?;
    Some(Node::Delta(seconds, micros))
}

fn zone(arena: &Arena, delta: Ref, name: Option<Ref>) -> Option<Node> {
    let Node::Delta(seconds, micros) = arena.get(delta) else {
        return None;
    };
    let offset = time::zone_offset(*seconds, *micros)?;
    let text = match name {
        // A name is short; one that is not would be a way to copy without paying.
        Some(name) => arena.text(name).filter(|name| name.len() <= 255)?.to_owned(),
        None if offset == 0 => "UTC".to_owned(),
        None => format!("UTC{}", time::offset(offset)),
    };
    Some(Node::Zone(offset, text))
}

/// `copyreg._reconstructor(class, base, state)`.
fn reconstruct(
    arena: &mut Arena,
    class_at: Ref,
    base: Ref,
    state: Ref,
    malformed: Kind,
) -> Result<Ref, Kind> {
    class(arena, class_at)?;
    let base = class(arena, base)?;
    if !matches!(base.module.as_str(), "builtins" | "__builtin__") {
        return Err(malformed);
    }
    let base = base.name.clone();
    let (args, items) = match base.as_str() {
        "object" => (None, Some(Items::None)),
        "dict" => (None, arena.copy_pairs(state)?.map(Items::Map)),
        "list" => (None, arena.copy_refs(state)?.map(Items::List)),
        // The value of a subclass of these is its argument.
        "tuple" | "int" | "long" | "float" | "str" | "unicode" | "bytes" => {
            let args = arena.add(Node::Tuple(vec![state]))?;
            (Some(args), Some(Items::None))
        }
        _ => (None, None),
    };
    let items = items.ok_or(malformed)?;
    arena.add(object(class_at, args, None, items))
}
