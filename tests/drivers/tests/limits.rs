//! Limits of the process: files of so many bytes, with and without the signal, and so many descriptors. Old or new, a
//! typed error, nothing left behind.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::WaitStatus;
use sessiondir::{Durability, ErrorClass, Naming};
use sessiondir_drivers::case::{Case, Deed, Fellow, State};
use sessiondir_drivers::child::{Child, PANICKED};
use sessiondir_drivers::share;
use sessiondir_drivers::verdict::{Effect, Seen, words};

fn main() {
    share::run(&[
        ("files_of_so_many_bytes", files_of_so_many_bytes),
        ("so_many_descriptors", so_many_descriptors),
    ]);
}

fn cases() -> Vec<(Deed, State)> {
    let mut cases = Vec::new();
    for durability in [Durability::Power, Durability::Process] {
        for size in [1, 20_000] {
            let state = State { durability, naming: Naming::Plain, size, current: 0, fellow: Fellow::Older };
            cases.extend(Deed::ALL.into_iter().filter(|deed| deed.is_of(&state)).map(|deed| (deed, state)));
        }
    }
    cases
}

/// Does the deed in a child that has got ready and then called `limit`; judges what comes of it.
fn attempt(case: &Case, effect: &Effect, limit: &dyn Fn(), words: &str) -> Seen {
    case.restore();
    let mut child = Child::new(|begin| {
        let done = case.run(&|| {
            begin();
            limit();
        });
        done.map_or_else(|error| error.class() as u8, |()| 0)
    });
    while child.step() {}
    let at = || words.to_owned();
    let view = case.site.view();
    let seen = effect.judge(case, &view, &at);
    let several = matches!(case.deed, Deed::Sweep | Deed::Repair | Deed::Import);
    match child.ended().expect("it has ended") {
        WaitStatus::Exited(_, 0) => assert_eq!(seen, Seen::New, "{words}: success, and it is not there"),
        WaitStatus::Exited(_, code) => {
            assert_ne!(code, i32::from(PANICKED), "{words}: it panicked");
            // A write that ended between the record's last byte and its slot's.
            let unknown = code == ErrorClass::OutcomeUnknown as i32 && case.deed.is_in_place();
            assert!(unknown || code == ErrorClass::Io as i32, "{words}: {code}");
            assert!(seen == Seen::Old || several || unknown, "{words}: refused, and it is there");
            effect.judge_names(case, &view, 0, &at);
        }
        WaitStatus::Signaled(_, Signal::SIGXFSZ, _) => {
            effect.judge_names(case, &view, usize::from(!case.deed.is_in_place()), &at);
        }
        other => panic!("{words}: it ended with {other:?}"),
    }
    Effect::judge_next(case, &at);
    seen
}

/// Exercises WRITE-8, WRITE-15.
fn files_of_so_many_bytes() {
    let cases = cases();
    let [points, old, new] = share::among(&cases, |scratch, (deed, state)| {
        let case = Case::new(scratch, *deed, *state);
        let effect = Effect::of(&case);
        let mut counts = [0; 3];
        for limit in [0, 1, 4096, 8191, 8192, 32_768, 65_536, 70_000, 131_072, 1 << 20] {
            for ignored in [false, true] {
                let set = || {
                    if ignored {
                        // SAFETY: no handler is installed.
                        unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.expect("ignored");
                    }
                    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).expect("told");
                    setrlimit(Resource::RLIMIT_FSIZE, limit, hard).expect("set");
                };
                let how = if ignored { "ignored" } else { "deadly" };
                let words = format!("{}, {limit} bytes a file, the signal {how}", words(&case));
                let seen = attempt(&case, &effect, &set, &words);
                counts[0] += 1;
                counts[1] += u64::from(seen == Seen::Old);
                counts[2] += u64::from(seen == Seen::New);
            }
        }
        counts
    });
    println!(
        "{points} operations with a limit on the sizes of files: {old} left the old state, {new} made the new one"
    );
    assert!(points > 500 && old > 100 && new > 100);
}

/// Exercises WRITE-15.
fn so_many_descriptors() {
    let cases = cases();
    let [points, old, new] = share::among(&cases, |scratch, (deed, state)| {
        let case = Case::new(scratch, *deed, *state);
        let effect = Effect::of(&case);
        let mut counts = [0; 3];
        for more in 0..6 {
            let set = || {
                let open = std::fs::read_dir("/proc/self/fd").expect("this process").count() as u64 - 1;
                let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("told");
                setrlimit(Resource::RLIMIT_NOFILE, open + more, hard).expect("set");
            };
            let words = format!("{}, {more} more descriptors", words(&case));
            let seen = attempt(&case, &effect, &set, &words);
            counts[0] += 1;
            counts[1] += u64::from(seen == Seen::Old);
            counts[2] += u64::from(seen == Seen::New);
        }
        counts
    });
    println!(
        "{points} operations with few descriptors left: {old} left the old state, {new} made the new one"
    );
    assert!(points > 150 && old > 30 && new > 50, "{points} {old} {new}");
}
