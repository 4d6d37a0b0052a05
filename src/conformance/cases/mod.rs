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
    let mut all = Vec::new();
    all.extend(vectors::cases());
    all.extend(encode::cases());
    all.extend(scenarios::cases());
    all.extend(attributes::cases());
    all.extend(locks::cases());
    all.extend(increments::cases());
    all.extend(readers::cases());
    all.extend(kills::cases());
    all
}
