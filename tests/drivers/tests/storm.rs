//! Storms: eight processes of two threads each, half of them in Python, do random operations on one store, and are killed
//! at random moments, one after the other, each followed by a new one. From time to time all are stopped, and what they
//! have noted before and after each operation is held against what is stored: SPEC.md section 12, promises 1 to 4.
//!
//! On tmpfs and where temporary files are; with all, and as root, on xfs, btrfs and overlays too, if they can be had.
//! `SESSIONDIR_SEED` repeats the choices of an earlier run, though not the moments; `SESSIONDIR_PYTHON` names the interpreter.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::statfs::statfs;
use sessiondir::{Durability, Options};
use sessiondir_drivers::chance::Chance;
use sessiondir_drivers::disk::{Disk, Overlay, roots_namespace};
use sessiondir_drivers::share;
use sessiondir_drivers::storm::gang::{Gang, Python, WORKER};
use sessiondir_drivers::storm::journal::{Answer, Kind, Op, now};
use sessiondir_drivers::storm::judge::{Verdict, judge, words};
use sessiondir_drivers::storm::{WORKERS, worker};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).is_some_and(|word| word == WORKER) {
        let number = |at: usize| args[at].parse::<u64>().expect("a number");
        let slot = usize::try_from(number(5)).expect("small");
        worker::work(Path::new(&args[2]), Path::new(&args[3]), number(4), slot, number(6));
        return;
    }
    share::run(&[("storms", storms)]);
}

/// Where a storm takes place.
struct Ground {
    what: String,
    dir: PathBuf,
    durability: Durability,
    /// What has to stay, in the order in which it goes.
    _keep: Vec<Box<dyn Any>>,
}

/// The name of a file system.
fn kind_of(dir: &Path) -> String {
    // The numbers of statfs(2).
    match statfs(dir).map(|all| all.filesystem_type().0) {
        Ok(0xef53) => "ext4".into(),
        Ok(0x0102_1994) => "tmpfs".into(),
        Ok(0x5846_5342) => "xfs".into(),
        Ok(0x9123_683e) => "btrfs".into(),
        Ok(0x794c_7630) => "overlay".into(),
        Ok(other) => format!("file system {other:x}"),
        Err(error) => format!("an unknown file system ({error})"),
    }
}

fn durability_word(durability: Durability) -> &'static str {
    if durability == Durability::Power { "power" } else { "process" }
}

fn ground(at: PathBuf, durability: Durability, keep: Vec<Box<dyn Any>>) -> Ground {
    let what = format!("{}, {}", kind_of(&at), durability_word(durability));
    Ground { what, dir: at.join("store"), durability, _keep: keep }
}

fn make(dir: &Path, durability: Durability) {
    Options::new().create(true).durability(durability).open(dir).expect("a store");
}

fn in_memory(durability: Durability) -> Result<Ground, String> {
    let memory = Path::new("/dev/shm");
    if kind_of(memory) != "tmpfs" {
        return Err("/dev/shm is no tmpfs".into());
    }
    let dir = tempfile::tempdir_in(memory).map_err(|error| error.to_string())?;
    Ok(ground(dir.path().to_owned(), durability, vec![Box::new(dir)]))
}

fn in_temporary(durability: Durability) -> Ground {
    let dir = tempfile::tempdir().expect("a directory");
    ground(dir.path().to_owned(), durability, vec![Box::new(dir)])
}

fn on_disk(kind: &'static str, durability: Durability) -> Result<Ground, String> {
    let scratch = share::scratch();
    let disk = Disk::new(scratch.path(), kind)?;
    disk.once();
    let at = disk.at.clone();
    Ok(ground(at, durability, vec![Box::new(disk), Box::new(scratch)]))
}

/// Over a store that was made before: the first who changes a file copies it, and who reads the old one has another inode.
fn on_overlay(kind: &'static str, durability: Durability) -> Result<Ground, String> {
    let scratch = share::scratch();
    let disk = Disk::new(scratch.path(), kind)?;
    disk.once();
    let overlay = Overlay::new(&disk.at, |lower| make(&lower.join("store"), durability))?;
    let at = overlay.at.clone();
    let mut ground = ground(at, durability, vec![Box::new(overlay), Box::new(disk), Box::new(scratch)]);
    ground.what = format!("overlay over {kind}, {}", durability_word(durability));
    Ok(ground)
}

/// Where storms can take place.
fn grounds() -> Vec<Ground> {
    use Durability::{Power, Process};
    let mut grounds = Vec::new();
    let mut skipped = BTreeSet::new();
    let mut take = |what: &str, made: Result<Ground, String>| match made {
        Ok(ground) => grounds.push(ground),
        Err(why) if skipped.insert(what.to_owned()) => eprintln!("SKIP storms on {what}: {why}"),
        Err(_) => {}
    };
    if !share::is_all() {
        take("tmpfs", in_memory(Power));
        take("the directory for temporary files", Ok(in_temporary(Process)));
        return grounds;
    }
    let ready = roots_namespace();
    for durability in [Power, Process] {
        take("tmpfs", in_memory(durability));
        take("the directory for temporary files", Ok(in_temporary(durability)));
        for kind in ["xfs", "btrfs"] {
            take(kind, ready.clone().and_then(|()| on_disk(kind, durability)));
            let overlay = ready.clone().and_then(|()| on_overlay(kind, durability));
            take(&format!("an overlay over {kind}"), overlay);
        }
        let overlay = ready.clone().and_then(|()| on_overlay("ext4", durability));
        take("an overlay over ext4", overlay);
    }
    grounds
}

/// Operations of one kind in one language, in numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    begun: u64,
    returned: u64,
    conflict: u64,
    absent: u64,
}

/// A storm, in numbers.
#[derive(Debug, Default)]
struct Tally {
    kills: [u64; 2],
    counts: BTreeMap<(Kind, bool), Count>,
    temps: u64,
    slots: u64,
    removed: u64,
    verdict: Verdict,
}

impl Tally {
    fn add_ops(&mut self, ops: &[Op]) {
        for op in ops {
            let count = self.counts.entry((op.kind, op.author.is_python)).or_default();
            count.begun += 1;
            count.returned += u64::from(op.answer != Answer::Killed);
            match &op.answer {
                Answer::Absent => count.absent += 1,
                Answer::Failed(class) if class == "gone" => count.absent += 1,
                Answer::Failed(class) if class == "conflict" => count.conflict += 1,
                Answer::Swept([removed, ..]) => self.removed += removed,
                _ => {}
            }
        }
    }

    fn add_verdict(&mut self, verdict: &Verdict) {
        self.verdict.gone += verdict.gone;
        self.verdict.swept += verdict.swept;
        self.verdict.unnoted += verdict.unnoted;
        self.verdict.touches += verdict.touches;
    }

    fn add(&mut self, other: &Tally) {
        for (sum, more) in self.kills.iter_mut().zip(other.kills) {
            *sum += more;
        }
        for (key, more) in &other.counts {
            let count = self.counts.entry(*key).or_default();
            count.begun += more.begun;
            count.returned += more.returned;
            count.conflict += more.conflict;
            count.absent += more.absent;
        }
        self.temps += other.temps;
        self.slots += other.slots;
        self.removed += other.removed;
        self.add_verdict(&other.verdict);
    }

    fn sum(&self, of: impl Fn(&Count) -> u64) -> u64 {
        self.counts.values().map(of).sum()
    }

    fn print(&self, what: &str) {
        println!(
            "{what}: {} kills ({} in Rust, {} in Python); {} operations begun, {} returned; {} conflicts, {} absent",
            self.kills[0] + self.kills[1],
            self.kills[0],
            self.kills[1],
            self.sum(|count| count.begun),
            self.sum(|count| count.returned),
            self.sum(|count| count.conflict),
            self.sum(|count| count.absent),
        );
        println!(
            "  {} temps and {} damaged slots left; {} changes were made by who was killed; {} sessions gone, {} of them for \
             no other reason than a sweep; {} touches known",
            self.temps,
            self.slots,
            self.verdict.unnoted,
            self.verdict.gone,
            self.verdict.swept,
            self.verdict.touches
        );
    }
}

/// A storm of so many kills; all are stopped and judged after each `turn` of them.
fn storm(ground: &Ground, python: Option<&Python>, kills: u64, turn: u64, seed: u64) -> Tally {
    make(&ground.dir, ground.durability);
    let mut tally = Tally::default();
    let mut gang = Gang::new(&ground.dir, python, seed);
    let mut chance = Chance::new(seed ^ 0x5eed);
    while tally.kills.iter().sum::<u64>() < kills {
        let before = gang.stored();
        gang.start_all();
        let mut killed = 0;
        while killed + (WORKERS as u64) < turn {
            // Mostly short lives, and some that are long enough for sessions to be idle in.
            let longest = if chance.one_in(30) { 60_000 } else { 4_000 };
            std::thread::sleep(Duration::from_micros(chance.below(longest) as u64));
            let first = chance.below(WORKERS);
            let slots: Vec<usize> = (0..=chance.below(4)).map(|more| (first + more) % WORKERS).collect();
            gang.replace(&slots);
            killed += slots.len() as u64;
        }
        std::thread::sleep(Duration::from_millis(chance.below(20) as u64));
        killed += gang.kill_all();
        let stopped = now();
        let of_python = gang.dead_in_python();
        tally.kills[0] += killed - of_python;
        tally.kills[1] += of_python;
        let ops = gang.notes();
        let after = gang.stored();
        let verdict = judge(&ops, &before, &after, stopped);
        tally.add_ops(&ops);
        if !verdict.faults.is_empty() {
            tell(&verdict, &ops);
            panic!("{}: {} faults; SESSIONDIR_SEED={seed}", ground.what, verdict.faults.len());
        }
        tally.add_verdict(&verdict);
        let [temps, slots] = gang.clean_up(killed);
        tally.temps += temps;
        tally.slots += slots;
    }
    tally
}

/// The first faults, and what was done to the session of the first one last.
fn tell(verdict: &Verdict, ops: &[Op]) {
    for (fault, name) in verdict.faults.iter().take(10) {
        println!("FAULT {name}: {fault}");
    }
    let name = &verdict.faults[0].1;
    let mut of_it: Vec<usize> = (0..ops.len()).filter(|op| ops[*op].name == *name).collect();
    of_it.sort_by_key(|op| ops[*op].begin);
    println!("the notes on {name}:");
    for op in of_it {
        println!("  {}", words(ops, Some(op)));
    }
}

/// Exercises LOCK-1, LOCK-7, WRITE-1, WRITE-3, WRITE-10, WRITE-12, READ-4, DEL-1, ROT-1, COLL-1, COLL-4.
fn storms() {
    let is_all = share::is_all();
    let seed = std::env::var("SESSIONDIR_SEED").ok().map_or_else(now, |seed| seed.parse().expect("a number"));
    println!("SESSIONDIR_SEED={seed}");
    let python = Python::find().inspect_err(|why| eprintln!("SKIP storms with Python: {why}")).ok();
    let grounds = grounds();
    let (each, turn) = if is_all { (24_000 / grounds.len() as u64 + 1, 500) } else { (600, 300) };
    let mut all = Tally::default();
    for (number, ground) in grounds.iter().enumerate() {
        let begun = Instant::now();
        let tally = storm(ground, python.as_ref(), each, turn, seed.wrapping_add(number as u64));
        tally.print(&format!("{} ({:.1} s)", ground.what, begun.elapsed().as_secs_f64()));
        all.add(&tally);
    }
    all.print("all");
    for ((kind, is_python), count) in &all.counts {
        let Count { begun, returned, conflict, absent } = count;
        let language = if *is_python { "Python" } else { "Rust" };
        println!(
            "  {:7} {language:6} {begun} begun, {returned} returned, {conflict} conflicts, {absent} absent",
            kind.word()
        );
    }
    let kills = all.kills.iter().sum::<u64>();
    assert!(kills >= if is_all { 12_000 } else { 600 }, "{kills} kills");
    let languages = if python.is_some() { &[false, true][..] } else { &[false] };
    for (language, kind) in languages.iter().flat_map(|language| Kind::ALL.map(|kind| (*language, kind))) {
        let count = all.counts.get(&(kind, language)).copied().unwrap_or_default();
        assert!(count.returned > kills / 100, "{kind:?}, in Python {language}: {count:?}");
    }
    assert!(all.sum(|count| count.begun) > 20 * kills, "few operations");
    assert!(all.sum(|count| count.conflict) > kills / 10, "few conflicts");
    assert!(all.removed > 0 && all.verdict.unnoted > 0, "{all:?}");
    assert!(all.temps > 0 || !is_all, "no kill has left a temp");
}
