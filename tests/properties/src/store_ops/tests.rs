//! Programs that chance seldom makes.

use super::program::{Calls, Number, Size, What};
use super::*;

const COPY: Copy = Copy { number: 0, fresh: false };
const FRESH: Copy = Copy { number: 1, fresh: true };
/// The session that is inserted under the second of the IDs.
const SESSION: Which = Which { number: 1, by_key: false };
const INSERT: Op = Op::Insert { id: 1, copy: FRESH, change: Change::User(Some(1)) };
const LOAD: Op = Op::Load { session: SESSION, copy: COPY };
const SAVE: Op = Op::Save { copy: COPY, change: Change::Number(2) };
const UPDATE: Op = Op::Update { session: SESSION, change: Change::Number(1) };
const LATER: Op = Op::Clock { span: Span::Hour, back: false };

/// Runs these steps in a store of each naming and durability; returns what they came to in those of naming `plain`, first
/// of durability `power`, then `process`.
fn run_all(steps: &[(Op, Option<Fault>)]) -> [Tally; 2] {
    [false, true].map(|process| {
        let steps: Vec<Step> = steps.iter().map(|(op, fault)| Step { op: *op, fault: *fault }).collect();
        assert!(steps.len() <= STEPS_MOST);
        let [plain, _] = [false, true].map(|hashed| run(&Program { hashed, process, steps: steps.clone() }));
        plain
    })
}

#[allow(clippy::unnecessary_wraps, reason = "as steps have it")]
fn fault(at: Calls, nth: usize, what: What) -> Option<Fault> {
    Some(Fault::new(at, nth, what))
}

/// Exercises WRITE-1.
#[test]
fn a_session_made_anew_under_an_id_is_another() {
    let steps = [INSERT, LOAD, Op::Delete { session: SESSION }, LATER, INSERT, SAVE];
    let tallies = run_all(&steps.map(|op| (op, None)));
    assert_eq!(tallies.map(|tally| tally.conflicts), [1, 1]);
}

/// Exercises WRITE-7.
#[test]
fn a_sync_that_fails_once_is_survived_and_one_that_fails_for_ever_leaves_the_outcome_unknown() {
    let once = fault(Calls::Sync, 1, What::Once(Number::Io));
    let forever = fault(Calls::Sync, 1, What::Forever(Number::Io));
    let steps = [(INSERT, None), (UPDATE, once), (LOAD, None), (SAVE, forever), (LOAD, None), (SAVE, None)];
    let tallies = run_all(&steps);
    assert_eq!(tallies.map(|tally| (tally.survived, tally.unknown)), [(1, 1), (0, 0)]);
}

/// Exercises WRITE-3, SLOT-11.
#[test]
fn a_save_that_is_cut_off_anywhere_changes_nothing_and_heals() {
    for bytes in [0, 8, 9, 100, 2000, 4096] {
        let kill = fault(Calls::Pwrite, 1, What::Kill(bytes));
        let tallies = run_all(&[(INSERT, None), (UPDATE, kill), (LOAD, None), (SAVE, kill), (UPDATE, None)]);
        for tally in tallies {
            assert_eq!((tally.killed, tally.killed_late), (2, 0));
            assert_eq!(tally.debris > 0, bytes > 0, "{bytes} bytes written: {tally:?}");
        }
    }
}

/// Exercises WRITE-12, DEL-1, COLL-4.
#[test]
fn a_temp_of_a_killed_process_is_in_nobodys_way() {
    let kill = fault(Calls::Rename, 1, What::Kill(0));
    let grow = Op::Update { session: SESSION, change: Change::Pad(Some(Size::Bytes5000)) };
    let delete = Op::Delete { session: SESSION };
    let sweep = Op::Sweep { idle: None, dry_run: false };
    let create = Op::Create { copy: FRESH, change: Change::Number(1) };
    let steps = [(INSERT, kill), (INSERT, None), (grow, kill), (grow, None), (grow, kill), (delete, None)];
    for tally in run_all(&steps) {
        // The third time it changes nothing, so there is nothing to kill.
        assert_eq!((tally.killed, tally.debris), (2, 2), "{tally:?}");
    }
    for tally in run_all(&[(INSERT, None), (grow, kill), (delete, None), (INSERT, kill), (delete, None)]) {
        assert_eq!((tally.killed, tally.debris), (2, 2), "{tally:?}");
    }
    for tally in run_all(&[(INSERT, kill), (create, kill), (sweep, None), (INSERT, None)]) {
        assert_eq!((tally.killed, tally.debris), (2, 2), "{tally:?}");
    }
}

/// Exercises WRITE-4. The record of a process that was killed before its sync is not built on without one.
#[test]
fn a_save_that_is_killed_before_its_sync_is_there() {
    let kill = fault(Calls::Sync, 1, What::Kill(0));
    let [power, process] =
        run_all(&[(INSERT, None), (UPDATE, kill), (LOAD, None), (SAVE, None), (SAVE, None)]);
    assert_eq!((power.killed, power.killed_late), (1, 1));
    assert_eq!(process.killed, 0);
}

/// Exercises ROT-1, ROT-2. With a crash or an error at each of its calls a rotation leaves the old session as it was, or
/// the new one, or both.
#[test]
fn a_rotation_that_ends_anywhere() {
    let rotate = Op::Rotate { copy: COPY, change: Change::User(Some(2)) };
    let mut reached = [0; 3];
    for nth in 1..=16 {
        for (kind, what) in
            [What::Kill(0), What::Once(Number::Io), What::Forever(Number::NoSpace)].iter().enumerate()
        {
            let fault = fault(Calls::Any, nth, *what);
            let [power, _] = run_all(&[(INSERT, None), (LOAD, None), (rotate, fault), (LOAD, None)]);
            reached[kind] += power.killed + power.failed + power.survived;
        }
    }
    assert!(reached.iter().all(|times| *times >= 12), "{reached:?}");
}

/// Exercises WRITE-6, WRITE-13, WRITE-15. Growing, shrinking and staying, with an error or a crash at each call.
#[test]
fn a_replacement_that_ends_anywhere() {
    let grow = Op::Update { session: SESSION, change: Change::Pad(Some(Size::Bytes17000)) };
    let shrink = Op::Update { session: SESSION, change: Change::Pad(None) };
    let mut reached = [0; 3];
    for nth in 1..=16 {
        for (kind, what) in
            [What::Kill(0), What::Once(Number::NoSpace), What::Forever(Number::Io)].iter().enumerate()
        {
            let fault = fault(Calls::Any, nth, *what);
            let steps = [
                (INSERT, None),
                (grow, fault),
                (grow, None),
                (shrink, fault),
                (Op::Touch { session: SESSION }, fault),
            ];
            let [power, process] = run_all(&steps);
            reached[kind] += power.killed + power.failed + power.survived + process.killed;
        }
    }
    assert!(reached.iter().all(|times| *times >= 12), "{reached:?}");
}
