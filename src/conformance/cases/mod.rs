//! The cases. Each file is one kind of them.

mod attributes;
mod encode;
mod increments;
mod kills;
mod locks;
mod parties;
mod readers;
mod scenarios;
mod vectors;

use super::case::Case;

/// Every case that there is.
pub(crate) fn all() -> Vec<Case> {
    [
        vectors::cases(),
        encode::cases(),
        attributes::cases(),
        scenarios::cases(),
        locks::cases(),
        increments::cases(),
        readers::cases(),
        kills::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
