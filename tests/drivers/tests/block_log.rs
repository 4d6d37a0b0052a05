//! Power cuts that take a drive's cache with them: of what was written after the last flush any sectors reach the disk, in
//! any order. Made of a log of a disk's writes during operations in a row, on ext4 and xfs.
//!
//! It takes root, qemu-storage-daemon, losetup, mkfs.ext4 and mkfs.xfs; without them it is skipped, and says so.

use std::path::Path;

use nix::libc;
use sessiondir::Durability;
use sessiondir_drivers::block_log::Logged;
use sessiondir_drivers::case::{Case, Deed, State, States};
use sessiondir_drivers::chance::Chance;
use sessiondir_drivers::disk::roots_namespace;
use sessiondir_drivers::sequence::{STEPS, saver, step};
use sessiondir_drivers::share;
use sessiondir_drivers::site::{NOW, Site, View};

fn main() {
    println!("\nrunning 2 tests");
    let (name, test): (&str, Test) = ("any_sectors_reach_the_disk", any_sectors_reach_the_disk);
    let ready = roots_namespace();
    let (mut passed, mut skipped) = (0, 0);
    for kind in ["ext4", "xfs"] {
        let begun = std::time::Instant::now();
        match ready.clone().and_then(|()| test(kind)) {
            Ok(counts) => {
                let [cuts, power] = counts;
                println!(
                    "{cuts} power cuts on {kind}, each with other sectors: {power} with `power`, none of which lost what had returned"
                );
                println!("test {name} (on {kind}) ... ok ({:.1} s)", begun.elapsed().as_secs_f64());
                passed += 1;
            }
            Err(why) => {
                eprintln!("SKIP {name} on {kind}: {why}");
                skipped += 1;
            }
        }
    }
    println!("\ntest result: ok. {passed} passed; 0 failed; 0 ignored; 0 measured; {skipped} filtered out");
}

type Test = fn(&'static str) -> Result<[u64; 2], String>;

/// A store, its logged disk, and after each operation what may be there and how many writes were logged.
type Recorded = (Site, Logged, Vec<(Vec<View>, usize)>);

/// Runs the operations on a logged disk; returns the views after each, and where the log was then.
fn record(scratch: &Path, kind: &'static str, state: State) -> Result<Recorded, String> {
    let mut made = None;
    let logged = Logged::new(scratch, kind, |at| {
        let case = Case::new(at, Deed::Save, state);
        case.restore();
        made = Some(case.site);
    })?;
    let site = made.expect("prepared");
    let mut views = vec![(vec![site.view()], logged.position())];
    // A process that was killed between its write and its sync, and one that saves after it.
    saves(&site, 21, true);
    views[0].0.push(site.view());
    saves(&site, 22, false);
    views.push((vec![site.view()], logged.position()));
    let store = site.open(NOW);
    for number in 0..STEPS {
        step(&store, number).expect("done");
        views.push((vec![site.view()], logged.position()));
    }
    // In `process` most of it would not have been written yet.
    logged.disk().sync();
    Ok((site, logged, views))
}

/// A process that saves that number; killed, if so, when it has written and before it syncs or returns.
fn saves(site: &Site, number: u64, killed: bool) {
    let mut child = saver(site, number);
    if !killed {
        assert_eq!(child.finish(), 0);
        return;
    }
    assert!(child.go_to_call(libc::SYS_pwrite64), "it writes");
    assert!(child.step(), "its write returns");
    child.kill();
}

/// Exercises WRITE-4, WRITE-5, WRITE-13, WRITE-14, DEL-3.
fn any_sectors_reach_the_disk(kind: &'static str) -> Result<[u64; 2], String> {
    let trials = if share::is_all() { 4000 } else { 240 };
    let mut counts = [0; 2];
    for state in (States { sizes: &[1, 20_000], ..States::default() }).all() {
        let scratch = share::scratch();
        let (site, logged, views) = record(scratch.path(), kind, state)?;
        let log = logged.end();
        let first = views[0].1;
        assert!(log.len() > first + 4, "{} writes", log.len());
        let mut chance = Chance::new(state.size as u64);
        for trial in 0..trials / 4 {
            // Half of them where both slots are on their way to the disk.
            let last = if trial % 2 == 0 { views[1].1 } else { log.len() };
            let cut = first + chance.below(last - first + 1);
            // In `process` a page is what is there or not, which section 12.1 takes for granted.
            let unit = if state.durability == Durability::Power { 512 } else { 4096 };
            let likely = chance.below(4);
            let image = log.image(scratch.path(), cut, unit, || chance.below(4) <= likely);
            let seen = Site { dir: image.at.join("sessions"), known: site.known.clone() };
            let at = || format!("{kind}, {state:?}, cut after {cut} of {} writes, trial {trial}", log.len());
            let done = views.iter().rposition(|(_, position)| *position <= cut).expect("the first");
            let may_be = &views[..(done + 2).min(views.len())];
            let view = seen.view();
            counts[0] += 1;
            if state.durability == Durability::Power {
                counts[1] += 1;
                let is_there = may_be[done..].iter().any(|(may_be, _)| may_be.contains(&view));
                assert!(is_there, "{}: {done} operations had returned, and that is not what is there", at());
            } else if state.size == 1 {
                for key in views[0].0[0].keys() {
                    let was = may_be
                        .iter()
                        .flat_map(|(may_be, _)| may_be)
                        .any(|may_be| may_be.get(key) == view.get(key));
                    assert!(was, "{}: {key} is nothing that it ever was", at());
                }
            }
            seen.go_on().unwrap_or_else(|error| panic!("{}: the next operation: {error}", at()));
            drop(image);
        }
    }
    assert!(counts[1] > 20, "{counts:?}");
    Ok(counts)
}
