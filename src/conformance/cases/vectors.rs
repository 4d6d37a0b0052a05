//! The vectors of `fixtures/`, as far as an implementation's class goes.

use super::super::case::Case;

pub(crate) fn cases() -> Vec<Case> {
    Vec::new()
}
