//! A kill at every system call: each session is its old or its new value, byte for byte; the locks are free at once; what
//! writes in place leaves nothing behind, everything else one temp at most; and the next process goes on as if nothing
//! had been. SPEC.md section 12.1.

use std::time::Instant;

use nix::libc;
use sessiondir::repair::repair;
use sessiondir::{Durability, Naming};
use sessiondir_drivers::case::{Case, Deed, Fellow, State, States};
use sessiondir_drivers::child::{Child, name};
use sessiondir_drivers::share;
use sessiondir_drivers::site::options;
use sessiondir_drivers::verdict::{Effect, Seen, words};

fn main() {
    share::run(&[
        ("a_kill_at_every_system_call", a_kill_at_every_system_call),
        ("a_kill_within_a_large_write", a_kill_within_a_large_write),
    ]);
}

/// What is tried, of which `cargo test` tries a share.
fn cases() -> Vec<(Deed, State)> {
    let of = |sizes: &[usize], fellows: &[Fellow]| {
        let namings = &[Naming::Plain, Naming::Hashed];
        States { namings, sizes, currents: &[0, 1], fellows, ..States::default() }.with(&Deed::ALL)
    };
    if !share::is_all() {
        return of(&[1, 60_000], &[Fellow::Older, Fellow::Empty, Fellow::TornMiddle]);
    }
    let torn = [Fellow::TornHead, Fellow::TornMiddle, Fellow::TornEnd];
    let fellows = [&torn[..], &[Fellow::Older, Fellow::Empty, Fellow::Garbage]].concat();
    // A large record takes as much time as a hundred small ones.
    [of(&[1, 3_000, 60_000], &fellows), of(&[1 << 20], &[Fellow::Older, Fellow::TornMiddle])].concat()
}

/// Whether what is left of a case is worth as many kills as the repair makes system calls: neither the size nor the slot
/// makes a difference to that.
fn is_repaired(deed: Deed, state: &State) -> bool {
    let simple = state.size <= 3_000 && state.current == 0;
    simple && matches!(state.fellow, Fellow::Older | Fellow::TornMiddle) && deed != Deed::Repair
}

/// Exercises LOCK-8, WRITE-3, WRITE-12, DEL-1, ROT-1, COLL-3, REP-6, MIG-6.
fn a_kill_at_every_system_call() {
    let cases = cases();
    let [points, old, new, between, temps, repairs] = share::among(&cases, |scratch, (deed, state)| {
        let case = Case::new(scratch, *deed, *state);
        let effect = Effect::of(&case);
        let mut counts = [0; 6];
        for n in 0.. {
            case.restore();
            let mut child = case.child();
            if !child.go_to(n) {
                assert_eq!(child.finish(), 0, "{}", words(&case));
                assert!(n > 2, "{}: {n} calls", words(&case));
                break;
            }
            let call = child.call();
            child.kill();
            let at = || format!("{}, killed before its call {n}, {}", words(&case), name(call));
            let view = case.site.view();
            let seen = effect.judge(&case, &view, &at);
            effect.judge_names(&case, &view, usize::from(!case.is_in_place()), &at);
            counts[0] += 1;
            counts[1 + seen as usize] += 1;
            counts[4] += u64::from(case.site.temps() > 0);
            // What a kill leaves is repaired; and so is what a kill of the repair leaves.
            if share::is_all() && case.site.temps() > 0 && is_repaired(*deed, state) {
                counts[5] += killed_repairs(&case, &at);
            }
            Effect::judge_next(&case, &at);
        }
        counts
    });
    println!(
        "{} kills in {} cases, in front of every system call: {old} with the old state, {new} with the new one, {between} \
         between several sessions, {temps} with a temp; and {repairs} in repairs of what a kill had left",
        points + repairs,
        cases.len()
    );
    assert!(points >= if share::is_all() { 25_000 } else { 5_000 }, "{points}");
    assert!(old > 1000 && new > 500 && between > 20 && temps > 500, "{old} {new} {between} {temps}");
    assert!(!share::is_all() || points + repairs >= 100_000, "{points} + {repairs}");
}

/// When Session3's sessions too are of the past: a repair sets an access that is far ahead to now (REP-4).
const LATER: u64 = 1_800_000_000_000;

/// Kills a repair of what is there at every system call; leaves it as it was.
fn killed_repairs(case: &Case, at: &dyn Fn() -> String) -> u64 {
    let before = case.site.snapshot();
    let old = case.site.view();
    for n in 0.. {
        case.site.restore(&before);
        let mend = || repair(&case.site.dir, &options(LATER), true, &mut |_| {}).map(|done| done.failed);
        let mut child = Child::new(|begin| {
            begin();
            u8::from(!mend().is_ok_and(|failed| failed == 0))
        });
        let is_killed = child.go_to(n);
        if is_killed {
            child.kill();
        } else {
            assert_eq!(child.finish(), 0, "{}, repaired", at());
        }
        assert!(case.site.view() == old, "{}, and the repair at its call {n}", at());
        assert_eq!(mend().expect("repaired"), 0, "{}, and the repair at its call {n}", at());
        assert!(case.site.view() == old, "{}, and the repair at its call {n}, done again", at());
        assert_eq!(case.site.temps(), 0, "{}, and the repair at its call {n}, done again", at());
        if !is_killed {
            case.site.restore(&before);
            return n as u64;
        }
    }
    unreachable!("it ends");
}

/// Exercises WRITE-3, SLOT-11. On a file system in memory a kill cuts off a write between two pages.
fn a_kill_within_a_large_write() {
    let trials: u64 = if share::is_all() { 5_000 } else { 300 };
    let deeds = [Deed::Create, Deed::Save, Deed::SaveGrows, Deed::Touch];
    let of = |durability, naming| {
        let (durabilities, namings) = (&[durability], &[naming]);
        States { durabilities, namings, sizes: &[1 << 20, 3 << 20], ..States::default() }.with(&deeds)
    };
    let cases = [of(Durability::Power, Naming::Plain), of(Durability::Process, Naming::Hashed)].concat();
    let each = trials / cases.len() as u64 + 1;
    let [points, torn, old, new] = share::among(&cases, |scratch, (deed, state)| {
        let case = Case::new(scratch, *deed, *state);
        let effect = Effect::of(&case);
        let to_write = |case: &Case| {
            case.restore();
            let mut child = case.child();
            assert!(child.go_to_call(libc::SYS_pwrite64), "{}: it writes nothing", words(case));
            child
        };
        // How long it takes when nothing kills it.
        let mut child = to_write(&case);
        let begun = Instant::now();
        child.step();
        let whole = begun.elapsed();
        drop(child);
        let mut counts = [0; 4];
        for trial in 0..each {
            let child = to_write(&case);
            let wait = whole.mul_f64(trial as f64 / each as f64 * 3.0);
            let begun = Instant::now();
            child.run();
            while begun.elapsed() < wait {
                std::hint::spin_loop();
            }
            child.kill();
            let at = || format!("{}, killed {wait:?} after its write began", words(&case));
            let view = case.site.view();
            let seen = effect.judge(&case, &view, &at);
            effect.judge_names(&case, &view, usize::from(!case.is_in_place()), &at);
            counts[0] += 1;
            counts[1] += u64::from(case.site.findings().iter().any(|found| found.contains("damaged-slot")));
            counts[2] += u64::from(seen == Seen::Old);
            counts[3] += u64::from(seen == Seen::New);
            Effect::judge_next(&case, &at);
        }
        counts
    });
    println!(
        "{points} kills within a write of 1 to 16 MiB: {torn} cut it off in a slot; {old} old, {new} new"
    );
    assert!(points >= trials && old + new == points);
    if torn == 0 {
        eprintln!(
            "SKIP writes that are cut off: no kill came within one; /dev/shm is not a tmpfs, or this is a slow machine"
        );
    }
}
