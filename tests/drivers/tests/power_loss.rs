//! Power cuts at every system call, on ext4 (without the option that hides the want of a sync before a rename) and on xfs:
//! in a store of durability `power` each session is old or new, and what has returned is there; in one of durability
//! `process` nothing worse than SPEC.md section 12.1 says.
//!
//! A cut is what the file system itself has for this: FS_IOC_SHUTDOWN without flushing the log, then a new mount. It takes
//! root, loop devices, mkfs.ext4 and mkfs.xfs; without them it is skipped, and says so.

use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::kill;
use nix::unistd::getpid;
use sessiondir::{Durability, ErrorClass};
use sessiondir_drivers::case::{Case, Deed, Fellow, LEAKED, MAIN, States};
use sessiondir_drivers::chance::Chance;
use sessiondir_drivers::child::{Child, code, name};
use sessiondir_drivers::disk::{Disk, roots_namespace};
use sessiondir_drivers::fault::fail;
use sessiondir_drivers::sequence::{STEPS, saver, step};
use sessiondir_drivers::share;
use sessiondir_drivers::site::{NOW, View, id};
use sessiondir_drivers::verdict::{Effect, Seen, words};

fn main() {
    let mut kinds = Vec::new();
    let ready = roots_namespace();
    let mut skipped = 0;
    for kind in ["ext4", "xfs"] {
        let scratch = share::scratch();
        match ready.clone().and_then(|()| Disk::new(scratch.path(), kind)) {
            Ok(_) => kinds.push(kind),
            Err(why) => {
                eprintln!("SKIP power cuts on {kind}: {why}");
                skipped += 1;
            }
        }
    }
    let tests: [(&str, Test); 4] = [
        ("a_power_cut_at_every_system_call", a_power_cut_at_every_system_call),
        ("a_power_cut_within_a_sequence", a_power_cut_within_a_sequence),
        ("a_power_cut_after_a_killed_writer", a_power_cut_after_a_killed_writer),
        ("a_power_cut_after_a_failed_sync", a_power_cut_after_a_failed_sync),
    ];
    println!("\nrunning {} tests on {kinds:?}", tests.len());
    let mut passed = 0;
    for (name, test) in tests.iter().filter(|(name, _)| !kinds.is_empty() && share::is_wanted(name)) {
        let begun = std::time::Instant::now();
        test(&kinds);
        println!("test {name} ... ok ({:.1} s)", begun.elapsed().as_secs_f64());
        passed += 1;
    }
    let skipped = if kinds.is_empty() { tests.len() } else { skipped };
    println!("\ntest result: ok. {passed} passed; 0 failed; 0 ignored; 0 measured; {skipped} filtered out");
}

/// A test on those file systems.
type Test = fn(&[&'static str]);

/// Does `work` for each item on each file system, on a disk of its own.
fn on_disks<T, const N: usize>(
    kinds: &[&'static str],
    items: &[T],
    work: impl Fn(&Disk, &T) -> [u64; N],
) -> [u64; N] {
    let all: Vec<_> = items.iter().flat_map(|item| kinds.iter().map(move |kind| (*kind, item))).collect();
    share::among(&all, |scratch, (kind, item)| {
        let scratch = tempfile::tempdir_in(scratch).expect("a directory");
        let disk = Disk::new(scratch.path(), kind).expect("a disk");
        work(&disk, item)
    })
}

/// The states of those durabilities, of which `cargo test` tries those with one of `share` in the other slot.
fn states<'a>(durabilities: &'a [Durability], share: &'a [Fellow]) -> States<'a> {
    if share::is_all() {
        let fellows = &[Fellow::Older, Fellow::Empty, Fellow::TornMiddle];
        States { durabilities, sizes: &[1, 3_000, 20_000], fellows, ..States::default() }
    } else {
        States { durabilities, fellows: share, ..States::default() }
    }
}

const BOTH: &[Durability] = &[Durability::Power, Durability::Process];

/// What reaches the disk before a power cut, beside what was synced.
#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    /// Another file is synced: with it the journal is written.
    AnotherSync,
    /// Some pages of the store's files, each with a chance of a half; from this seed.
    Pages(u64),
}

impl Before {
    fn happens(self, disk: &Disk, case: &Case) {
        match self {
            Before::Nothing => {}
            Before::AnotherSync => another_sync(&disk.at),
            Before::Pages(seed) => {
                let mut chance = Chance::new(seed);
                for path in case.site.paths().keys() {
                    let Ok(file) = fs::File::open(case.site.dir.join(path)) else { continue };
                    let pages = file.metadata().map_or(0, |meta| meta.len().div_ceil(PAGE));
                    for page in 0..pages {
                        if chance.one_in(2) {
                            write_page(&file, page);
                        }
                    }
                }
            }
        }
    }
}

const PAGE: u64 = 4096;

/// The page reaches the disk, and nothing of the file's metadata does.
fn write_page(file: &fs::File, page: u64) {
    let flags =
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    let at = i64::try_from(page * PAGE).expect("small");
    // SAFETY: the descriptor is open.
    let done = unsafe { libc::sync_file_range(file.as_raw_fd(), at, PAGE as i64, flags) };
    // A directory has no pages.
    assert!(
        done == 0 || file.metadata().is_ok_and(|meta| meta.is_dir()),
        "{}",
        std::io::Error::last_os_error()
    );
}

/// Another file is written and synced, as other programs do at any time: with it the journal is written.
fn another_sync(at: &Path) {
    let mut file = fs::File::create(at.join("another")).expect("a file");
    file.write_all(b"another").and_then(|()| file.sync_all()).expect("synced");
}

/// Cuts the power while the child is where it is, which ends there.
fn cut(disk: &Disk, child: Child) {
    disk.cut();
    child.kill();
    disk.restart();
}

/// In `process`: as section 12.1 says, for one operation since all was on the disk. What is new may be absent, or a file
/// without a whole record; what is old is there as it was, or as it is to be.
fn judge_process(case: &Case, effect: &Effect, view: &View, at: &dyn Fn() -> String) {
    for (key, now) in view {
        let (old, new) = (effect.old.get(key), effect.new.get(key));
        let is_new = old.is_none()
            && (now == b"corrupt"
                || (new.is_none() && case.deed == Deed::Rotate)
                || case.deed == Deed::Create);
        assert!(Some(now) == old || Some(now) == new || is_new, "{}: {key} is neither old nor new", at());
    }
    for key in effect.old.keys().filter(|key| effect.new.contains_key(key)) {
        assert!(view.contains_key(key), "{}: {key} is lost", at());
    }
}

/// Exercises WRITE-4, WRITE-5, WRITE-6, WRITE-13, WRITE-14, DEL-3, ROT-1, REP-6.
fn a_power_cut_at_every_system_call(kinds: &[&'static str]) {
    let mut items = Vec::new();
    for (deed, state) in states(BOTH, &[Fellow::Older]).with(&Deed::ALL) {
        // What it does first may be lost in `process`; the sequence below has such saves.
        if state.durability == Durability::Process && deed == Deed::SaveAgain {
            continue;
        }
        items.push((deed, state, Before::Nothing));
        if share::is_all() && state.size == 1 {
            items.push((deed, state, Before::AnotherSync));
        }
    }
    // Of slots of several pages some reach the disk and some do not.
    let deeds = [Deed::Save, Deed::Touch, Deed::SaveGrows, Deed::Create];
    for (deed, state) in (States { sizes: &[20_000], ..States::default() }).with(&deeds) {
        let seeds = if share::is_all() { 20 } else { 1 };
        items.extend((0..seeds).map(|seed| (deed, state, Before::Pages(seed))));
    }
    let [points, old, new, returned] = on_disks(kinds, &items, |disk, (deed, state, before)| {
        let case = Case::new(&disk.at, *deed, *state);
        let effect = Effect::of(&case);
        let mut counts = [0; 4];
        for n in 0.. {
            case.restore();
            disk.sync();
            let mut child = case.child();
            let is_there = child.go_to(n);
            let call = if is_there { name(child.call()) } else { "its end".to_owned() };
            before.happens(disk, &case);
            cut(disk, child);
            let at = || {
                format!("{} on {:?}, {before:?}, power cut at its call {n}, {call}", words(&case), disk.at)
            };
            let view = case.site.view();
            counts[0] += 1;
            if state.durability == Durability::Power {
                let seen = effect.judge(&case, &view, &at);
                effect.judge_names(&case, &view, usize::from(!case.is_in_place()), &at);
                assert!(is_there || seen == Seen::New, "{}: it had returned, and is lost", at());
                counts[1] += u64::from(seen == Seen::Old);
                counts[2] += u64::from(seen == Seen::New);
            } else {
                judge_process(&case, &effect, &view, &at);
            }
            case.site.go_on().unwrap_or_else(|error| panic!("{}: the next operation: {error}", at()));
            if !is_there {
                counts[3] += 1;
                break;
            }
        }
        counts
    });
    println!(
        "{points} power cuts at every system call of {} operations: `power` {old} old, {new} new; {returned} after the \
         return, none of them lost",
        items.len() * kinds.len()
    );
    assert!(points > 300 && old > 50 && new > 20, "{points} {old} {new}");
}

/// A child that makes the steps, and calls kill(2) with no signal after each.
fn stepping(case: &Case) -> Child {
    Child::new(|begin| {
        let store = case.site.open(NOW);
        begin();
        for number in 0..STEPS {
            let done = step(&store, number);
            if done.is_err() {
                return code(&done);
            }
            kill(getpid(), None).expect("no signal");
        }
        0
    })
}

/// Exercises WRITE-4, WRITE-5, WRITE-14.
fn a_power_cut_within_a_sequence(kinds: &[&'static str]) {
    let mut items = Vec::new();
    for state in states(BOTH, &[Fellow::Empty]).all().into_iter().filter(|state| state.size == 1) {
        items.extend([(state, Before::Nothing), (state, Before::AnotherSync), (state, Before::Pages(1))]);
    }
    let [points, old, new] = on_disks(kinds, &items, |disk, (state, before)| {
        let case = Case::new(&disk.at, Deed::Save, *state);
        case.restore();
        let mut views = vec![case.site.view()];
        let mut child = stepping(&case);
        while child.go_to_call(libc::SYS_kill) {
            views.push(case.site.view());
            child.step();
        }
        assert_eq!((child.finish(), views.len()), (0, STEPS + 1));
        let mut counts = [0; 3];
        for n in 0.. {
            case.restore();
            disk.sync();
            let (mut child, mut done, mut number) = (stepping(&case), 0, 0);
            let is_there = loop {
                if !child.step() {
                    break false;
                }
                done += usize::from(child.call() == libc::SYS_kill);
                if number == n {
                    break true;
                }
                number += 1;
                child.step();
            };
            before.happens(disk, &case);
            cut(disk, child);
            let at = || {
                format!("on {:?}, {state:?}, {before:?}, power cut at call {n}, {done} steps done", disk.at)
            };
            let view = case.site.view();
            let may_be = &views[done..(done + 2).min(views.len())];
            if state.durability == Durability::Power {
                assert!(may_be.contains(&view), "{}: neither what has returned nor what comes next", at());
                counts[1] += u64::from(view == may_be[0]);
                counts[2] += u64::from(view != may_be[0]);
            } else {
                // An earlier whole revision of each session, no later one than the next.
                for key in views[0].keys() {
                    let now = view.get(key);
                    let was = views[..(done + 2).min(views.len())].iter().any(|view| view.get(key) == now);
                    assert!(was, "{}: {key} is nothing that it ever was", at());
                }
            }
            counts[0] += 1;
            case.site.go_on().unwrap_or_else(|error| panic!("{}: the next operation: {error}", at()));
            if !is_there {
                break;
            }
        }
        counts
    });
    println!(
        "{points} power cuts within {STEPS} operations in a row: `power` {old} with those that had returned, {new} with the next too"
    );
    assert!(points > 200 && old > 50 && new > 5, "{points} {old} {new}");
}

/// Exercises WRITE-4. A save by another process after a save, or a creation, that was killed before its sync.
fn a_power_cut_after_a_killed_writer(kinds: &[&'static str]) {
    let deeds = [Deed::Update, Deed::Insert, Deed::SaveGrows, Deed::Touch];
    let is_all = share::is_all();
    let power = &[Durability::Power];
    let states = states(power, &[Fellow::Older, Fellow::Empty]);
    let mut items: Vec<_> =
        states.with(&deeds).into_iter().map(|(deed, state)| (deed, state, None)).collect();
    // A slot of several pages, of which some reach the disk: after a kill between the write and its sync.
    let seeds = if is_all { 40 } else { 12 };
    for state in (States { durabilities: power, sizes: &[20_000], ..States::default() }).all() {
        items.extend((0..seeds).map(|seed| (Deed::Update, state, Some(seed))));
    }
    let [points, cuts] = on_disks(kinds, &items, |disk, (deed, state, seed)| {
        let case = Case::new(&disk.at, *deed, *state);
        let mut counts = [0; 2];
        for n in 0.. {
            // The power is cut at the end of the second process's save, and, where all is tried, before it.
            for m in 0.. {
                let m = if is_all || *deed == Deed::Update { m } else { usize::MAX / 4 };
                case.restore();
                disk.sync();
                let oldest = case.site.view();
                let mut first = case.child();
                let is_killed = first.go_to(n);
                if !is_killed {
                    return counts;
                }
                if seed.is_some() && first.call() != libc::SYS_fdatasync {
                    break;
                }
                first.kill();
                let old = case.site.view();
                if !old.contains_key(&id(MAIN).key()) {
                    // Nothing was made, so nothing is saved.
                    break;
                }
                let mut second = saver(&case.site, 22);
                let is_there = second.go_to(m);
                let new = case.site.view();
                Before::Pages(seed.unwrap_or(0) * 10_000 + (n * 100 + m.min(99)) as u64).happens(disk, &case);
                cut(disk, second);
                let view = case.site.view();
                let at = || {
                    format!(
                        "{} on {:?}, killed at its call {n}; power cut at call {m} of the next",
                        words(&case),
                        disk.at
                    )
                };
                counts[0] += 1;
                let main = id(MAIN).key();
                let was = [&oldest, &old, &new].iter().any(|was| was.get(&main) == view.get(&main));
                assert!(was, "{}: it is nothing that it was since all was on the disk", at());
                if !is_there {
                    counts[1] += 1;
                    assert!(view == new, "{}: it had returned, and is lost", at());
                }
                case.site.go_on().unwrap_or_else(|error| panic!("{}: the next operation: {error}", at()));
                if !is_there {
                    break;
                }
            }
        }
        unreachable!("it ends")
    });
    println!(
        "{points} power cuts during and {cuts} of them after a save by a process that came after a killed one"
    );
    assert!(cuts > 20, "{cuts}");
}

/// Lets it go on to the entry of its sync number `n`, from 0; whether it came to that.
fn go_to_sync(child: &mut Child, n: usize) -> bool {
    let mut syncs = 0;
    while child.step() {
        if [libc::SYS_fdatasync, libc::SYS_fsync].contains(&child.call()) {
            if syncs == n {
                return true;
            }
            syncs += 1;
        }
        child.step();
    }
    false
}

/// Exercises WRITE-7.
fn a_power_cut_after_a_failed_sync(kinds: &[&'static str]) {
    if cfg!(not(target_arch = "x86_64")) {
        eprintln!("SKIP a power cut after a failed sync: it sets registers of x86-64");
        return;
    }
    let items = states(&[Durability::Power], &[Fellow::Older]).with(&Deed::ALL);
    let [points, survived] = on_disks(kinds, &items, |disk, (deed, state)| {
        let case = Case::new(&disk.at, *deed, *state);
        let effect = Effect::of(&case);
        let mut counts = [0; 2];
        // The order of a directory's entries, and so which call a sync is, is not the same each time.
        for n in 0.. {
            case.restore();
            disk.sync();
            let mut child = case.watched_child();
            if !go_to_sync(&mut child, n) {
                break;
            }
            fail(&mut child, Errno::EIO);
            let code = child.finish();
            assert_ne!(code, LEAKED, "{}", words(&case));
            disk.cut();
            disk.restart();
            let at =
                || format!("{} on {:?}, its sync number {n} failed, then the power", words(&case), disk.at);
            let view = case.site.view();
            let seen = effect.judge(&case, &view, &at);
            counts[0] += 1;
            if code == 0 {
                counts[1] += 1;
                assert_eq!(seen, Seen::New, "{}: it had returned, and is lost", at());
            } else if code != ErrorClass::OutcomeUnknown as u8 {
                assert!(
                    deed.is_of_several() || seen == Seen::Old,
                    "{}: it had failed with {code}, and is there",
                    at()
                );
            }
            case.site.go_on().unwrap_or_else(|error| panic!("{}: the next operation: {error}", at()));
        }
        counts
    });
    println!("{points} power cuts after a sync that failed, {survived} of which the operation had survived");
    assert!(points > 10 && survived > 5, "{points} {survived}");
}
