//! Limits of the process: files of so many bytes, with and without the signal, and so many descriptors. Old or new, a
//! typed error, nothing left behind.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::WaitStatus;
use sessiondir::ErrorClass;
use sessiondir_drivers::case::{Case, Deed, States};
use sessiondir_drivers::child::{Child, PANICKED, code};
use sessiondir_drivers::share;
use sessiondir_drivers::verdict::{self, Effect, Seen};

fn main() {
    share::run(&[
        ("files_of_so_many_bytes", files_of_so_many_bytes),
        ("so_many_descriptors", so_many_descriptors),
    ]);
}

/// Does every deed under each of the limits, which a child sets itself and `words` says; returns how many there were, how
/// many left the old state, and how many made the new one.
fn under<L: Copy>(limits: &[L], set: impl Fn(L), words: impl Fn(L) -> String) -> [u64; 3] {
    let cases = States { sizes: &[1, 20_000], ..States::default() }.with(&Deed::ALL);
    share::among(&cases, |scratch, (deed, state)| {
        let case = Case::new(scratch, *deed, *state);
        let effect = Effect::of(&case);
        let mut counts = [0; 3];
        for &limit in limits {
            let words = format!("{}, {}", verdict::words(&case), words(limit));
            let seen = attempt(&case, &effect, &|| set(limit), &words);
            counts[0] += 1;
            counts[1] += u64::from(seen == Seen::Old);
            counts[2] += u64::from(seen == Seen::New);
        }
        counts
    })
}

/// Sets the soft limit of this process.
fn set(resource: Resource, limit: u64) {
    let (_, hard) = getrlimit(resource).expect("told");
    setrlimit(resource, limit, hard).expect("set");
}

/// Does the deed in a child that has got ready and then called `limit`; judges what comes of it.
fn attempt(case: &Case, effect: &Effect, limit: &dyn Fn(), words: &str) -> Seen {
    case.restore();
    let mut child = Child::new(|begin| {
        let done = case.run(&|| {
            begin();
            limit();
        });
        code(&done)
    });
    while child.step() {}
    let at = || words.to_owned();
    let view = case.site.view();
    let seen = effect.judge(case, &view, &at);
    match child.ended().expect("it has ended") {
        WaitStatus::Exited(_, 0) => assert_eq!(seen, Seen::New, "{words}: success, and it is not there"),
        WaitStatus::Exited(_, code) => {
            assert_ne!(code, i32::from(PANICKED), "{words}: it panicked");
            // A write that ended between the record's last byte and its slot's.
            let unknown = code == ErrorClass::OutcomeUnknown as i32 && case.is_in_place();
            assert!(unknown || code == ErrorClass::Io as i32, "{words}: {code}");
            assert!(
                seen == Seen::Old || case.deed.is_of_several() || unknown,
                "{words}: refused, and it is there"
            );
            effect.judge_names(case, &view, 0, &at);
        }
        WaitStatus::Signaled(_, Signal::SIGXFSZ, _) => {
            effect.judge_names(case, &view, usize::from(!case.is_in_place()), &at);
        }
        other => panic!("{words}: it ended with {other:?}"),
    }
    Effect::judge_next(case, &at);
    seen
}

/// Exercises WRITE-8, WRITE-15.
fn files_of_so_many_bytes() {
    let sizes = [0, 1, 4096, 8191, 8192, 32_768, 65_536, 70_000, 131_072, 1 << 20];
    let limits: Vec<(u64, bool)> = sizes.into_iter().flat_map(|size| [(size, false), (size, true)]).collect();
    let set = |(size, ignored)| {
        if ignored {
            // SAFETY: no handler is installed.
            unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.expect("ignored");
        }
        set(Resource::RLIMIT_FSIZE, size);
    };
    let words = |(size, ignored)| {
        let how = if ignored { "ignored" } else { "deadly" };
        format!("{size} bytes a file, the signal {how}")
    };
    let [points, old, new] = under(&limits, set, words);
    println!(
        "{points} operations with a limit on the sizes of files: {old} left the old state, {new} made the new one"
    );
    assert!(points > 500 && old > 100 && new > 100);
}

/// Exercises WRITE-15.
fn so_many_descriptors() {
    let set = |more| {
        let open = std::fs::read_dir("/proc/self/fd").expect("this process").count() as u64 - 1;
        set(Resource::RLIMIT_NOFILE, open + more);
    };
    let [points, old, new] = under(&[0, 1, 2, 3, 4, 5], set, |more| format!("{more} more descriptors"));
    println!(
        "{points} operations with few descriptors left: {old} left the old state, {new} made the new one"
    );
    assert!(points > 150 && old > 30 && new > 50, "{points} {old} {new}");
}
