//! The cases. Each file is one kind of them.

mod locks;
mod parties;
mod vectors;

use super::case::Case;

/// Every case that there is.
pub(crate) fn all() -> Vec<Case> {
    let mut all = Vec::new();
    all.extend(vectors::cases());
    all.extend(locks::cases());
    all
}
