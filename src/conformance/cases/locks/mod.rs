//! Locks: the schedules L1 to L13, and what else section 9 of SPEC.md asks for. Where a schedule has two parties there
//! is a case for each ordered pair of the implementation, the reference and the two referees.

mod alone;
mod around;
mod pairs;

use super::super::case::Case;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = pairs::cases();
    cases.extend(alone::cases());
    cases.extend(around::cases());
    cases
}
