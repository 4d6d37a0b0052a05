//! The order that sets get: by type, then by value.

use std::cmp::Ordering;

use super::Plain;
use super::arena::{Arena, Node, Ref};

/// The sort order of sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Null,
    Bool,
    /// Below `i64`.
    BelowInt,
    Int,
    /// Above `i64`.
    AboveInt,
    Float,
    Text,
    Bytes,
    Date,
    DateTime,
    Time,
    Delta,
    Zone,
    Decimal,
    Uuid,
    Tuple,
    FrozenSet,
    Other,
}

/// Where a value of the arena belongs.
pub(super) fn rank(arena: &Arena, at: Ref) -> Rank {
    match arena.get(at) {
        Node::Null => Rank::Null,
        Node::Bool(_) => Rank::Bool,
        Node::Int(_) => Rank::Int,
        Node::Big(digits) if digits.starts_with('-') => Rank::BelowInt,
        Node::Big(_) => Rank::AboveInt,
        Node::Float(_) => Rank::Float,
        Node::Text(_) | Node::Text2(_) => Rank::Text,
        Node::Bytes(_) | Node::Bytes2(_) => Rank::Bytes,
        Node::Date(_) => Rank::Date,
        Node::DateTime(_) => Rank::DateTime,
        Node::Time(_) => Rank::Time,
        Node::Delta(..) => Rank::Delta,
        Node::Zone(..) => Rank::Zone,
        Node::Decimal(_) => Rank::Decimal,
        Node::Tuple(_) => Rank::Tuple,
        Node::FrozenSet(_) => Rank::FrozenSet,
        Node::Object(_) if is_uuid(arena, at) => Rank::Uuid,
        _ => Rank::Other,
    }
}

/// Whether this is a `uuid.UUID`.
pub(super) fn is_uuid(arena: &Arena, at: Ref) -> bool {
    arena.class(at).is_some_and(|class| (&*class.module, &*class.name) == ("uuid", "UUID"))
}

/// The elements of a set in their order, each once.
pub(super) fn sorted(mut ranked: Vec<(Rank, Plain)>) -> Vec<Plain> {
    ranked.sort_by(|(rank, value), (other_rank, other)| {
        rank.cmp(other_rank).then_with(|| match rank {
            Rank::AboveInt => magnitude(value, other),
            Rank::BelowInt => magnitude(other, value),
            _ => order(value, other),
        })
    });
    // Python's sets hold no value twice; a pickle made by hand may.
    ranked.dedup_by(|(rank, value), (other_rank, other)| {
        let comparable = matches!(
            rank,
            Rank::Null | Rank::Bool | Rank::BelowInt | Rank::Int | Rank::AboveInt | Rank::Text | Rank::Bytes
        );
        comparable && rank == other_rank && value == other
    });
    ranked.into_iter().map(|(_, value)| value).collect()
}

/// A total order of values; the ones that [`Rank`] puts together meet here.
fn order(a: &Plain, b: &Plain) -> Ordering {
    match (a, b) {
        (Plain::Bool(a), Plain::Bool(b)) => a.cmp(b),
        (Plain::Int(a), Plain::Int(b)) => a.cmp(b),
        (Plain::Float(a), Plain::Float(b)) => a.total_cmp(b),
        (Plain::Text(a), Plain::Text(b)) => a.cmp(b),
        (Plain::Bytes(a), Plain::Bytes(b)) => a.cmp(b),
        (Plain::List(a), Plain::List(b)) => a
            .iter()
            .zip(b)
            .map(|(a, b)| order(a, b))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| a.len().cmp(&b.len())),
        (Plain::Map(a), Plain::Map(b)) => a
            .iter()
            .zip(b)
            .map(|((a_key, a), (b_key, b))| a_key.cmp(b_key).then_with(|| order(a, b)))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| a.len().cmp(&b.len())),
        _ => variant(a).cmp(&variant(b)),
    }
}

/// The order of two decimal texts of one sign by their size alone.
fn magnitude(a: &Plain, b: &Plain) -> Ordering {
    match (a, b) {
        (Plain::Text(a), Plain::Text(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
        _ => order(a, b),
    }
}

fn variant(value: &Plain) -> u8 {
    match value {
        Plain::Null => 0,
        Plain::Bool(_) => 1,
        Plain::Int(_) => 2,
        Plain::Float(_) => 3,
        Plain::Text(_) => 4,
        Plain::Bytes(_) => 5,
        Plain::List(_) => 6,
        Plain::Map(_) => 7,
    }
}
