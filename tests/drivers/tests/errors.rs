//! An error at every system call, once and for ever, and short reads and writes: a typed error, and the old value; or
//! success, and the new one; either only where the error says that it does not know. No panic, no descriptor or lock that
//! is left, no temp after an error that came once. SPEC.md sections 10.3 and 14.1.

use nix::errno::Errno;
use nix::libc;
use sessiondir::{ErrorClass, Naming};
use sessiondir_drivers::case::{Case, Deed, Fellow, LEAKED, State, States};
use sessiondir_drivers::child::{PANICKED, name};
use sessiondir_drivers::fault::{Fault, run};
use sessiondir_drivers::share;
use sessiondir_drivers::verdict::{Effect, Seen, words};

fn main() {
    if cfg!(not(target_arch = "x86_64")) {
        eprintln!("SKIP errors at every system call: it sets registers of x86-64");
        println!("\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out");
        return;
    }
    share::run(&[
        ("an_error_at_every_system_call", an_error_at_every_system_call),
        ("short_reads_and_writes", short_reads_and_writes),
    ]);
}

const ERRNOS: [Errno; 10] = [
    Errno::ENOSPC,
    Errno::EIO,
    Errno::EINTR,
    Errno::EDQUOT,
    Errno::EMFILE,
    Errno::EACCES,
    Errno::EROFS,
    Errno::ENOLCK,
    Errno::EFBIG,
    Errno::ESTALE,
];

/// What is tried, of which `cargo test` tries a share.
fn cases() -> Vec<(Deed, State)> {
    let states = if share::is_all() {
        States {
            namings: &[Naming::Plain, Naming::Hashed],
            sizes: &[1, 20_000],
            fellows: &[Fellow::Older, Fellow::TornMiddle],
            ..States::default()
        }
    } else {
        States { sizes: &[3_000], ..States::default() }
    };
    states.with(&Deed::ALL)
}

/// What the deed makes of the store, and how many system calls it takes, when nothing is in its way.
fn effect(case: &Case) -> (Effect, usize) {
    case.restore();
    let mut child = case.watched_child();
    let old = case.site.view();
    let calls = child.calls().len();
    assert_eq!(child.finish(), 0, "{}", words(case));
    (Effect { old, new: case.site.view() }, calls)
}

/// What became of a fault.
struct Outcome {
    call: i64,
    class: Option<ErrorClass>,
    seen: Seen,
}

/// Does the deed with a fault at its call number `n`, and judges what comes of it. `None`: that call is none of the fault's.
fn attempt(case: &Case, effect: &Effect, n: usize, fault: Fault) -> Option<Outcome> {
    case.restore();
    let mut child = case.watched_child();
    let call = run(&mut child, n, fault)?;
    let at = || format!("{}, {fault:?} at its call {n}, {}", words(case), name(call));
    // The process is still there. Whatever lock it has left would be in the way of this.
    let view = case.site.view();
    let seen = effect.judge(case, &view, &at);
    let is_over = matches!(
        fault,
        Fault::Once(_) | Fault::Short(_) | Fault::AlwaysShort(_) | Fault::Forever(Errno::EINTR)
    );
    effect.judge_names(case, &view, usize::from(!is_over && !case.is_in_place()), &at);
    Effect::judge_next(case, &at);
    let code = child.finish();
    assert_ne!(code, PANICKED, "{}: it panicked", at());
    assert_ne!(code, LEAKED, "{}: it left a descriptor open", at());
    let class = ErrorClass::ALL.into_iter().find(|class| *class as u8 == code);
    assert!(class.is_some() == (code != 0), "{}: it ended with {code}", at());
    match class {
        None => assert_eq!(seen, Seen::New, "{}: success, and it is not there", at()),
        Some(ErrorClass::OutcomeUnknown) => {}
        // What is done to several sessions goes on with the others.
        Some(_) if case.deed.is_of_several() => {}
        // Neither can the new session be removed: nobody learns its ID, and the old one stands.
        Some(_) if case.deed == Deed::Rotate && matches!(fault, Fault::Forever(_)) => {
            assert_ne!(seen, Seen::New)
        }
        Some(class) => assert_eq!(seen, Seen::Old, "{}: {}, and it is there", at(), class.name()),
    }
    Some(Outcome { call, class, seen })
}

/// Exercises WRITE-7, WRITE-8, WRITE-15, DEL-3, ROT-2, ERR-1.
fn an_error_at_every_system_call() {
    let cases = cases();
    let [points, survived, failed, unknown, full] = share::among(&cases, |scratch, (deed, state)| {
        let case = Case::new(scratch, *deed, *state);
        let (effect, calls) = effect(&case);
        let mut counts = [0; 5];
        for n in 0..calls {
            for errno in ERRNOS {
                for fault in [Fault::Once(errno), Fault::Forever(errno)] {
                    let Some(outcome) = attempt(&case, &effect, n, fault) else { continue };
                    counts[0] += 1;
                    match outcome.class {
                        None => counts[1] += 1,
                        Some(ErrorClass::OutcomeUnknown) => counts[3] += 1,
                        Some(ErrorClass::NoSpace) => {
                            assert!(matches!(errno, Errno::ENOSPC | Errno::EDQUOT), "{fault:?}");
                            counts[4] += 1;
                        }
                        Some(class) => {
                            let fits = class_fits(class, errno, outcome.call);
                            assert!(
                                fits,
                                "{}: {fault:?} at {} is {}",
                                words(&case),
                                name(outcome.call),
                                class.name()
                            );
                            counts[2] += 1;
                        }
                    }
                    if errno == Errno::EINTR {
                        assert_eq!(
                            (outcome.class, outcome.seen),
                            (None, Seen::New),
                            "{}: {fault:?}",
                            words(&case)
                        );
                    }
                }
            }
        }
        counts
    });
    println!(
        "{points} errors in {} cases: {survived} survived; {failed} refused, {full} as no-space, {unknown} as \
         outcome-unknown",
        cases.len()
    );
    assert!(points >= if share::is_all() { 30_000 } else { 3_000 }, "{points}");
    assert!(survived > 100 && failed > 1000 && unknown > 50 && full > 50);
}

/// Whether an error of that class can come of that number.
fn class_fits(class: ErrorClass, errno: Errno, call: i64) -> bool {
    match class {
        ErrorClass::Io => true,
        // Another process has it, as far as fcntl says.
        ErrorClass::Busy => errno == Errno::EACCES && call == libc::SYS_fcntl,
        _ => false,
    }
}

/// Exercises WRITE-3, READ-2.
fn short_reads_and_writes() {
    let cases = cases();
    let [points] = share::among(&cases, |scratch, (deed, state)| {
        let case = Case::new(scratch, *deed, *state);
        let (effect, calls) = effect(&case);
        let mut points = 0;
        for n in 0..calls {
            for most in [1, 7, 4096] {
                let always = Fault::AlwaysShort(most.max(512));
                for fault in [Fault::Short(most), always] {
                    let Some(outcome) = attempt(&case, &effect, n, fault) else { continue };
                    assert_eq!(
                        (outcome.class, outcome.seen),
                        (None, Seen::New),
                        "{}: {fault:?}",
                        words(&case)
                    );
                    points += 1;
                }
            }
        }
        [points]
    });
    println!("{points} short reads and writes in {} cases, all of them survived", cases.len());
    assert!(points > 300, "{points}");
}
