//! Locks: the schedules L1 to L13, and what else section 9 of SPEC.md asks for. Where a schedule has two parties there
//! is a case for each ordered pair of the implementation, the reference and the two referees, as far as a party can do
//! its part: a referee takes locks and writes no records, so it does not count (L5) and does not load (L10). What it
//! would write in L11, and unlink, the kit writes and unlinks under its lock.

mod alone;
mod around;
mod order;
mod pairs;
mod sweeps;

use super::super::case::Case;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = pairs::cases();
    cases.extend(alone::cases());
    cases.extend(around::cases());
    cases.extend(order::cases());
    cases.extend(sweeps::cases());
    cases
}
