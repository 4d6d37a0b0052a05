//! The cases. Each file is one kind of them.

mod vectors;

use super::case::Case;

/// Every case that there is.
pub(crate) fn all() -> Vec<Case> {
    let mut all = Vec::new();
    all.extend(vectors::cases());
    all
}
