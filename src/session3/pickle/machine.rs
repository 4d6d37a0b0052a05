//! The stack machine: opcodes in, values in an arena out.
//!
//! It follows Python's own `pickle.py` opcode by opcode, except that a class or function is only
//! ever a name: what would be a call goes to [`super::constructors`], which knows a fixed list.

use std::collections::HashMap;

use super::Limits;
use super::arena::{Arena, Class, Items, Node, Object, Pair, Ref};
use super::error::{PickleError, PickleErrorKind as Kind, Place};
use super::input::Input;
use super::{constructors, opcodes as op, scalars};

const LIST: &str = "a list";
const MAP: &str = "a map";
const TUPLE: &str = "a tuple";
const CLASS: &str = "a class";

/// What a pickle built.
pub(super) struct Built {
    pub(super) arena: Arena,
    pub(super) top: Ref,
    /// Bytes after STOP.
    pub(super) trailing: usize,
}

/// Runs a pickle to its STOP.
pub(super) fn run(pickle: &[u8], limits: &Limits) -> Result<Built, PickleError> {
    let mut machine = Machine {
        input: Input::new(pickle),
        arena: Arena::new(limits),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        limits,
    };
    loop {
        let offset = machine.input.offset();
        let refused = |name, kind| PickleError { place: Place::Byte(offset, name), kind };
        let code = machine.input.u8().map_err(|kind| refused(None, kind))?;
        let name = op::name(code);
        if code == op::STOP {
            return machine.stop().map_err(|kind| refused(name, kind));
        }
        machine.step(code).map_err(|kind| refused(name, kind))?;
    }
}

struct Machine<'a> {
    input: Input<'a>,
    arena: Arena,
    stack: Vec<Ref>,
    /// Heights of the stack where a MARK lies.
    marks: Vec<usize>,
    memo: HashMap<u32, Ref>,
    limits: &'a Limits,
}

/// One opcode. Each group passes on what is not its own.
impl Machine<'_> {
    fn step(&mut self, code: u8) -> Result<(), Kind> {
        let max_digits = self.limits.digits;
        let node = match code {
            op::NONE => Node::Null,
            op::NEWTRUE => Node::Bool(true),
            op::NEWFALSE => Node::Bool(false),
            op::BININT => Node::Int(self.input.i32()?.into()),
            op::BININT1 => Node::Int(self.input.u8()?.into()),
            op::BININT2 => Node::Int(self.input.u16()?.into()),
            op::INT => match self.input.line()? {
                // How protocol 0 spells what had no opcode when it was made.
                b"00" => Node::Bool(false),
                b"01" => Node::Bool(true),
                line => scalars::decimal_int(line, max_digits)?,
            },
            op::LONG => {
                let line = self.input.line()?;
                scalars::decimal_int(line.strip_suffix(b"L").unwrap_or(line), max_digits)?
            }
            op::LONG1 => {
                let length = self.input.u8()?;
                let bytes = self.input.take(length.into())?;
                scalars::long(bytes, max_digits, &mut self.arena)?
            }
            op::LONG4 => {
                let length = self.input.i32()?;
                let length = u64::try_from(length).map_err(|_| Kind::BadNumber)?;
                let bytes = self.input.take_long(length)?;
                scalars::long(bytes, max_digits, &mut self.arena)?
            }
            op::FLOAT => Node::Float(scalars::decimal_float(self.input.line()?)?),
            op::BINFLOAT => Node::Float(self.input.f64()?),
            _ => return self.step_text(code),
        };
        self.push_node(node)
    }

    fn step_text(&mut self, code: u8) -> Result<(), Kind> {
        let node = match code {
            op::STRING => Node::str2(scalars::quoted(self.input.line()?)?),
            op::BINSTRING => {
                let length = self.input.i32()?;
                let length = u64::try_from(length).map_err(|_| Kind::BadString)?;
                Node::str2(self.input.take_long(length)?.to_vec())
            }
            op::SHORT_BINSTRING => {
                let length = self.input.u8()?;
                Node::str2(self.input.take(length.into())?.to_vec())
            }
            op::SHORT_BINBYTES => {
                let length = self.input.u8()?;
                Node::Bytes(self.input.take(length.into())?.to_vec())
            }
            op::BINBYTES => {
                let length = self.input.u32()?;
                Node::Bytes(self.input.take_long(length.into())?.to_vec())
            }
            op::BINBYTES8 | op::BYTEARRAY8 => {
                let length = self.input.u64()?;
                Node::Bytes(self.input.take_long(length)?.to_vec())
            }
            op::UNICODE => Node::Text(scalars::raw_unicode_escape(self.input.line()?)?),
            op::SHORT_BINUNICODE => {
                let length = self.input.u8()?;
                self.text(length.into())?
            }
            op::BINUNICODE => {
                let length = self.input.u32()?;
                self.text(length.into())?
            }
            op::BINUNICODE8 => {
                let length = self.input.u64()?;
                self.text(length)?
            }
            _ => return self.step_container(code),
        };
        self.push_node(node)
    }

    fn step_container(&mut self, code: u8) -> Result<(), Kind> {
        let node = match code {
            op::EMPTY_LIST => Node::List(Vec::new()),
            op::EMPTY_TUPLE => Node::Tuple(Vec::new()),
            op::EMPTY_DICT => Node::Dict(Vec::new()),
            op::EMPTY_SET => Node::Set(Vec::new()),
            op::LIST => Node::List(self.pop_to_mark()?),
            op::TUPLE => Node::Tuple(self.pop_to_mark()?),
            op::FROZENSET => Node::FrozenSet(self.pop_to_mark()?),
            op::DICT => Node::Dict(pairs(&self.pop_to_mark()?)?),
            op::TUPLE1 => Node::Tuple(self.pop_many(1)?),
            op::TUPLE2 => Node::Tuple(self.pop_many(2)?),
            op::TUPLE3 => Node::Tuple(self.pop_many(3)?),
            op::APPEND => {
                let item = self.pop()?;
                return self.append(vec![item]);
            }
            op::APPENDS => {
                let items = self.pop_to_mark()?;
                return self.append(items);
            }
            op::SETITEM => {
                let (value, key) = (self.pop()?, self.pop()?);
                return self.set_items(vec![(key, value)]);
            }
            op::SETITEMS => {
                let items = pairs(&self.pop_to_mark()?)?;
                return self.set_items(items);
            }
            op::ADDITEMS => {
                let items = self.pop_to_mark()?;
                let top = self.top()?;
                let Node::Set(set) = self.arena.get_mut(top) else {
                    return Err(Kind::Expected("a set"));
                };
                set.extend(items);
                return Ok(());
            }
            _ => return self.step_stack(code),
        };
        self.push_node(node)
    }

    fn step_stack(&mut self, code: u8) -> Result<(), Kind> {
        match code {
            op::MARK => {
                self.room_on_stack()?;
                self.marks.push(self.stack.len());
                Ok(())
            }
            // Right above a mark, POP takes the mark.
            op::POP if self.marks.last() == Some(&self.stack.len()) => {
                self.marks.pop();
                Ok(())
            }
            op::POP => self.pop().map(drop),
            op::POP_MARK => self.pop_to_mark().map(drop),
            op::DUP => {
                let top = self.top()?;
                self.push(top)
            }
            op::GET => {
                let key = self.memo_line()?;
                self.recall(key)
            }
            op::BINGET => {
                let key = self.input.u8()?;
                self.recall(key.into())
            }
            op::LONG_BINGET => {
                let key = self.input.u32()?;
                self.recall(key)
            }
            op::PUT => {
                let key = self.memo_line()?;
                self.memoize(key)
            }
            op::BINPUT => {
                let key = self.input.u8()?;
                self.memoize(key.into())
            }
            op::LONG_BINPUT => {
                let key = self.input.u32()?;
                self.memoize(key)
            }
            op::MEMOIZE => {
                let full = Kind::TooMany("memo entries", self.limits.memo);
                let key = u32::try_from(self.memo.len()).map_err(|_| full)?;
                self.memoize(key)
            }
            op::PROTO => match self.input.u8()? {
                0..=5 => Ok(()),
                newer => Err(Kind::Protocol(newer)),
            },
            op::FRAME => {
                let length = self.input.u64()?;
                self.input.frame(length)
            }
            _ => self.step_object(code),
        }
    }

    fn step_object(&mut self, code: u8) -> Result<(), Kind> {
        let made = match code {
            op::GLOBAL => self.named_class()?,
            op::STACK_GLOBAL => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = Kind::Expected("two texts");
                let (Some(module), Some(name)) = (self.arena.text(module), self.arena.text(name)) else {
                    return Err(text);
                };
                let (module, name) = (module.to_owned(), name.to_owned());
                self.arena.pay_copy(module.len() + name.len())?;
                self.arena.add(Node::Class(Box::new(Class { module, name })))?
            }
            op::REDUCE => {
                let (args, callable) = (self.pop()?, self.pop()?);
                constructors::call(&mut self.arena, callable, args)?
            }
            op::INST => {
                let class = self.named_class()?;
                let args = self.pop_to_mark()?;
                self.old_style(class, args)?
            }
            op::OBJ => {
                let mut args = self.pop_to_mark()?;
                if args.is_empty() {
                    return Err(Kind::StackEmpty);
                }
                let class = args.remove(0);
                self.old_style(class, args)?
            }
            op::NEWOBJ => {
                let (args, class) = (self.pop()?, self.pop()?);
                constructors::new_object(&mut self.arena, class, args, None)?
            }
            op::NEWOBJ_EX => {
                let (kwargs, args, class) = (self.pop()?, self.pop()?, self.pop()?);
                constructors::new_object(&mut self.arena, class, args, Some(kwargs))?
            }
            op::BUILD => {
                let state = self.pop()?;
                let object = self.top()?;
                return self.build(object, state);
            }
            op::PERSID | op::BINPERSID => {
                return Err(Kind::OpcodeRefused(
                    "a persistent ID means something only to the program that wrote it",
                ));
            }
            op::EXT1 | op::EXT2 | op::EXT4 => {
                return Err(Kind::OpcodeRefused(
                    "an extension code means something only to the program that wrote it",
                ));
            }
            op::NEXT_BUFFER | op::READONLY_BUFFER => {
                return Err(Kind::OpcodeRefused("a buffer outside of the file"));
            }
            _ => return Err(Kind::UnknownOpcode(code)),
        };
        self.push(made)
    }
}

/// What the opcodes are made of.
impl Machine<'_> {
    fn stop(mut self) -> Result<Built, Kind> {
        let top = self.pop()?;
        if !self.stack.is_empty() || !self.marks.is_empty() {
            return Err(Kind::StackLeft);
        }
        if self.input.in_frame() {
            return Err(Kind::Frame);
        }
        Ok(Built { arena: self.arena, top, trailing: self.input.left() })
    }

    fn room_on_stack(&self) -> Result<(), Kind> {
        if self.stack.len() + self.marks.len() >= self.limits.stack {
            return Err(Kind::TooMany("stack entries", self.limits.stack));
        }
        Ok(())
    }

    fn push(&mut self, value: Ref) -> Result<(), Kind> {
        self.room_on_stack()?;
        self.stack.push(value);
        Ok(())
    }

    fn push_node(&mut self, node: Node) -> Result<(), Kind> {
        let value = self.arena.add(node)?;
        self.push(value)
    }

    /// Values above the last mark.
    fn above_mark(&self) -> usize {
        self.stack.len() - self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Ref, Kind> {
        match self.stack.last() {
            Some(top) if self.above_mark() > 0 => Ok(*top),
            _ => Err(Kind::StackEmpty),
        }
    }

    fn pop(&mut self) -> Result<Ref, Kind> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Ref>, Kind> {
        if self.above_mark() < count {
            return Err(Kind::StackEmpty);
        }
        Ok(self.cut(self.stack.len() - count))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Ref>, Kind> {
        let height = self.marks.pop().ok_or(Kind::NoMark)?;
        Ok(self.cut(height))
    }

    /// The values from this height on. `split_off` of a whole stack would take its capacity
    /// along, and a tuple of one value could weigh megabytes.
    fn cut(&mut self, height: usize) -> Vec<Ref> {
        self.stack.drain(height..).collect()
    }

    fn memo_line(&mut self) -> Result<u32, Kind> {
        match scalars::decimal_int(self.input.line()?, self.limits.digits)? {
            Node::Int(key) => u32::try_from(key).map_err(|_| Kind::BadNumber),
            _ => Err(Kind::BadNumber),
        }
    }

    fn memoize(&mut self, key: u32) -> Result<(), Kind> {
        let top = self.top()?;
        if self.memo.len() >= self.limits.memo {
            return Err(Kind::TooMany("memo entries", self.limits.memo));
        }
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), Kind> {
        let value = *self.memo.get(&key).ok_or(Kind::NoMemo(key))?;
        self.push(value)
    }

    fn text(&mut self, length: u64) -> Result<Node, Kind> {
        // Python writes lone surrogates here ("surrogatepass"); they are no Unicode text.
        match std::str::from_utf8(self.input.take_long(length)?) {
            Ok(text) => Ok(Node::Text(text.to_owned())),
            Err(_) => Err(Kind::NotUnicode),
        }
    }

    /// Module and name on two lines.
    fn named_class(&mut self) -> Result<Ref, Kind> {
        let module = std::str::from_utf8(self.input.line()?).map_err(|_| Kind::NotUnicode)?;
        let name = std::str::from_utf8(self.input.line()?).map_err(|_| Kind::NotUnicode)?;
        self.arena.add(Node::Class(Box::new(Class { module: module.to_owned(), name: name.to_owned() })))
    }

    /// INST and OBJ: without arguments an instance, with arguments a call.
    fn old_style(&mut self, class: Ref, args: Vec<Ref>) -> Result<Ref, Kind> {
        let bare = args.is_empty();
        let args = self.arena.add(Node::Tuple(args))?;
        if bare {
            constructors::new_object(&mut self.arena, class, args, None)
        } else {
            constructors::call(&mut self.arena, class, args)
        }
    }

    fn append(&mut self, mut items: Vec<Ref>) -> Result<(), Kind> {
        let top = self.top()?;
        match self.arena.get_mut(top) {
            Node::List(list) => list.append(&mut items),
            Node::Object(object) => match &mut object.items {
                Items::List(list) => list.append(&mut items),
                Items::None => object.items = Items::List(items),
                Items::Map(_) => return Err(Kind::Expected(LIST)),
            },
            _ => return Err(Kind::Expected(LIST)),
        }
        Ok(())
    }

    fn set_items(&mut self, mut items: Vec<Pair>) -> Result<(), Kind> {
        let top = self.top()?;
        match self.arena.get_mut(top) {
            Node::Dict(map) => map.append(&mut items),
            Node::Object(object) => match &mut object.items {
                Items::Map(map) => map.append(&mut items),
                Items::None => object.items = Items::Map(items),
                Items::List(_) => return Err(Kind::Expected(MAP)),
            },
            _ => return Err(Kind::Expected(MAP)),
        }
        Ok(())
    }

    /// BUILD: a map of attributes, or `(map or None, map of slots or None)`.
    fn build(&mut self, object: Ref, state: Ref) -> Result<(), Kind> {
        if !matches!(self.arena.get(object), Node::Object(_)) {
            return Err(Kind::Expected("an object"));
        }
        let parts = match self.arena.get(state) {
            Node::Tuple(parts) if parts.len() == 2 => parts.clone(),
            _ => vec![state],
        };
        let slots = parts.len() == 2;
        for part in parts {
            let more = match self.arena.copy_pairs(part)? {
                Some(more) => more,
                None if slots && matches!(self.arena.get(part), Node::Null) => continue,
                None => {
                    let name = self.arena.class(object).map(Class::shown);
                    return Err(Kind::State(name.unwrap_or_default()));
                }
            };
            if let Node::Object(object) = self.arena.get_mut(object) {
                object.attributes.extend(more);
            }
        }
        Ok(())
    }
}

/// Keys and values in turn.
fn pairs(items: &[Ref]) -> Result<Vec<Pair>, Kind> {
    if !items.len().is_multiple_of(2) {
        return Err(Kind::Expected("keys and values in pairs"));
    }
    Ok(items.chunks(2).map(|pair| (pair[0], pair[1])).collect())
}

/// The arguments of a call.
pub(super) fn tuple(arena: &Arena, at: Ref) -> Result<&[Ref], Kind> {
    match arena.get(at) {
        Node::Tuple(items) => Ok(items),
        _ => Err(Kind::Expected(TUPLE)),
    }
}

/// An instance of a class that stays a mere name.
pub(super) fn object(class: Ref, args: Option<Ref>, kwargs: Option<Ref>, items: Items) -> Node {
    Node::Object(Box::new(Object { class, args, kwargs, items, attributes: Vec::new() }))
}

/// What a class reference names.
pub(super) fn class(arena: &Arena, at: Ref) -> Result<&Class, Kind> {
    match arena.get(at) {
        Node::Class(class) => Ok(class),
        _ => Err(Kind::Expected(CLASS)),
    }
}
