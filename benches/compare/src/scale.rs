//! Many sessions, many threads, many processes: `compare scale DIR`.
//!
//! What whole-store operations cost is compared with reading every file once, with as many threads; memory is that of a
//! process of its own.

use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sessiondir::check::check;
use sessiondir::sweep::SweepOptions;
use sessiondir::{DirectoryStore, Durability, Options, SessionId, SessionRef, SessionStore};

use crate::contender::Watch;
use crate::table::median;
use crate::{Result, Wanted, ours};

/// The n-th session of a store that was filled: so that nobody has to list a million.
fn id(n: usize) -> Result<SessionId> {
    Ok(SessionId::new(format!("AAAAAAAAAAAAAA{n:08}"))?)
}

fn filled(dir: &Path, sessions: usize) -> Result<DirectoryStore> {
    let store = Options::new().create(true).durability(Durability::Process).open(dir)?;
    let fresh = ours::session(850)?;
    for n in 0..sessions {
        store.insert(&id(n)?, &mut fresh.clone())?;
    }
    Ok(store)
}

/// Runs this program again, as `scale-worker` with these arguments; returns seconds, and the most memory in MiB.
fn alone(args: &[&str]) -> Result<(f64, f64)> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("scale-worker")
        .args(args)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
    let mut figure = || -> Result<f64> { Ok(lines.next().ok_or("a worker has failed")??.parse()?) };
    let figures = (figure()?, figure()?);
    child.wait()?;
    Ok(figures)
}

/// The most memory that this process has taken, in MiB.
fn peak() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.split_whitespace().nth(1).ok_or("no figure")?.parse::<f64>()? / 1024.0)
}

/// The CPU time of this process so far.
fn cpu() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().ok_or("no stat")?.split_whitespace().collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
}

/// What is done to a whole store, in turns; the first is what the others are compared with.
const WHOLE: [&str; 6] = ["read", "check", "list", "sweep", "hint", "find"];

/// What the other processes do.
pub fn worker(args: impl Iterator<Item = String>) -> Result<()> {
    let args: Vec<String> = args.collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [kind @ ("saves" | "loads"), dir, first, step, seconds] => {
            let store = DirectoryStore::open(dir)?;
            let (first, step) = (first.parse()?, step.parse()?);
            let long = Duration::from_secs_f64(seconds.parse()?);
            let work = if kind == "loads" { loads } else { saves };
            let (count, longest) = work(&store, first, step, long)?;
            println!("{count}\n{longest}\n{}", cpu()?);
            return Ok(());
        }
        [what, dir, threads] => {
            let start = Instant::now();
            whole(what, Path::new(dir), threads.parse()?)?;
            println!("{}\n{}", start.elapsed().as_secs_f64(), peak()?);
            return Ok(());
        }
        _ => {}
    }
    Err("no such work".into())
}

/// Saves sessions again and again; returns how often, and the longest that one took, in seconds.
fn saves(store: &DirectoryStore, first: usize, step: usize, long: Duration) -> Result<(f64, f64)> {
    again(first, step, long, |reference, count| {
        store.update(reference, &mut |session| Ok(session.insert("n", &count)?))?;
        Ok(())
    })
}

/// The same for loads.
fn loads(store: &DirectoryStore, first: usize, step: usize, long: Duration) -> Result<(f64, f64)> {
    again(first, step, long, |reference, _| {
        store.load(reference)?.ok_or("a session is gone")?;
        Ok(())
    })
}

fn again(
    first: usize,
    step: usize,
    long: Duration,
    mut work: impl FnMut(&SessionRef, u32) -> Result<()>,
) -> Result<(f64, f64)> {
    let ids: Vec<SessionRef> = (0..50).map(|n| Ok(id(first + n * step)?.into())).collect::<Result<_>>()?;
    let (start, mut count, mut longest) = (Instant::now(), 0u32, Duration::ZERO);
    while start.elapsed() < long {
        let one = Instant::now();
        work(&ids[count as usize % ids.len()], count)?;
        longest = longest.max(one.elapsed());
        count += 1;
    }
    Ok((f64::from(count), longest.as_secs_f64()))
}

/// An operation on a whole store, or what it is to be compared with.
fn whole(what: &str, dir: &Path, threads: usize) -> Result<()> {
    let options = Options::new().threads(threads);
    match what {
        "read" => read_all(dir, threads)?,
        "find" => {
            let found = Command::new("find")
                .arg(dir)
                .args(["-type", "f", "-mmin", "+30"])
                .stdout(Stdio::null())
                .status()?;
            assert!(found.success(), "find has failed");
        }
        "check" => {
            check(dir, &options, &mut |_| {})?;
        }
        "list" => {
            let mut count = 0;
            options.open(dir)?.scan(&mut |session| {
                count += usize::from(session.is_ok());
                ControlFlow::Continue(())
            })?;
        }
        "sweep" => {
            options.open(dir)?.sweep(&SweepOptions::default())?;
        }
        // The question that `find` answers.
        "hint" => {
            let half_an_hour = Some(Duration::from_mins(30));
            let hint =
                SweepOptions { idle: half_an_hour, skip_written: half_an_hour, ..SweepOptions::default() };
            options.open(dir)?.sweep(&hint)?;
        }
        _ => return Err("no such work".into()),
    }
    Ok(())
}

/// Opens, looks at, reads and closes every file, and nothing else: on this thread, or listing on this one and reading on
/// others.
fn read_all(dir: &Path, threads: usize) -> Result<()> {
    use rustix::fs::{Dir, Mode, OFlags, fstat, open, openat};
    let root = open(dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let read = |name: &[u8], buffer: &mut [u8]| {
        let file = openat(&root, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).expect("opens");
        fstat(&file).expect("is there");
        rustix::io::read(&file, buffer).expect("reads");
    };
    let is_session = |name: &[u8]| name.starts_with(b"A");
    if threads == 1 {
        let mut buffer = vec![0; 8192];
        for entry in Dir::read_from(&root)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if is_session(name) {
                read(name, &mut buffer);
            }
        }
        return Ok(());
    }
    let (to, from) = std::sync::mpsc::sync_channel::<Vec<Vec<u8>>>(4 * threads);
    let from = std::sync::Mutex::new(from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut buffer = vec![0; 8192];
                loop {
                    let batch = from.lock().expect("no panic").recv();
                    let Ok(batch) = batch else { return };
                    for name in batch {
                        read(&name, &mut buffer);
                    }
                }
            });
        }
        let mut batch = Vec::new();
        for entry in Dir::read_from(&root)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if is_session(&name) {
                batch.push(name);
            }
            if batch.len() == 64 {
                to.send(std::mem::take(&mut batch))?;
            }
        }
        to.send(batch)?;
        drop(to);
        Ok(())
    })
}

/// Microseconds that a load and a save take, sessions taken all over the store.
fn one_by_one(store: &DirectoryStore, sessions: usize) -> Result<(f64, f64)> {
    let (mut loads, mut saves) = (Watch::default(), Watch::default());
    for turn in 0..2000 {
        // Sessions in use: 500 of them, so that the caches of the system hold them whatever the number.
        let reference = id((turn % 500) * 7919 % sessions)?.into();
        let mut session = loads.time(|| store.load(&reference))?.ok_or("a session is gone")?;
        session.insert("n", &turn)?;
        saves.time(|| store.save(&mut session))?;
    }
    Ok((loads.each().unwrap_or(0.0) / 1000.0, saves.each().unwrap_or(0.0) / 1000.0))
}

/// So many processes: on sessions of their own, on one, or mixed, where three of four read what the others write.
fn processes(dir: &str, count: usize, kind: &str) -> Result<Value> {
    let mut children = Vec::new();
    for n in 0..count {
        let work = if kind == "mixed" && n % 4 != 0 { "loads" } else { "saves" };
        let (first, step) = match kind {
            "one" => (0, 0),
            "mixed" => (n / 4 * 50, 1),
            _ => (n * 50, 1),
        };
        let args = ["scale-worker", work, dir, &first.to_string(), &step.to_string(), "2"].map(str::to_owned);
        children.push(Command::new(std::env::current_exe()?).args(args).stdout(Stdio::piped()).spawn()?);
    }
    let mut figures: Vec<Vec<f64>> = Vec::new();
    for child in children {
        let out = child.wait_with_output()?.stdout;
        figures.push(String::from_utf8(out)?.lines().map(str::parse).collect::<std::result::Result<_, _>>()?);
    }
    let total: f64 = figures.iter().map(|f| f[0]).sum::<f64>() / 2.0;
    let counts: Vec<f64> = figures.iter().map(|f| f[0]).collect();
    let (least, most) =
        (counts.iter().copied().fold(f64::MAX, f64::min), counts.iter().copied().fold(0.0, f64::max));
    let longest = figures.iter().map(|f| f[1]).fold(0.0, f64::max);
    let cpu = figures.iter().map(|f| f[2]).sum::<f64>();
    println!(
        "{count} processes, {kind}: {total:9.0} operations/s; fastest/slowest {:.2}; longest {:.1} ms; {cpu:.2} s of CPU in {} s",
        most / least.max(1.0),
        longest * 1000.0,
        2 * count
    );
    Ok(
        json!({"processes": count, "kind": kind, "per_second": total, "fastest_by_slowest": most / least.max(1.0), "longest_s": longest, "cpu_s": cpu}),
    )
}

fn threads(store: &DirectoryStore, count: usize, kind: &str) -> Value {
    let barrier = Barrier::new(count);
    let long = Duration::from_secs(1);
    let total: f64 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..count)
            .map(|n| {
                let barrier = &barrier;
                scope.spawn(move || -> f64 {
                    barrier.wait();
                    let reads = kind == "mixed" && n % 4 != 0;
                    if reads {
                        return loads(store, 0, 1, long).map_or(f64::NAN, |(count, _)| count);
                    }
                    let (first, step) = if kind == "one" { (0, 0) } else { (n * 50, 1) };
                    saves(store, first, step, long).map_or(f64::NAN, |(count, _)| count)
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or(f64::NAN)).sum()
    });
    println!("{count} threads, {kind}: {total:9.0} operations/s");
    json!({"threads": count, "kind": kind, "per_second": total})
}

pub fn run(wanted: &Wanted) -> Result<()> {
    let mut results = Vec::new();
    let sizes: Vec<usize> =
        [1000, 100_000, 1_000_000].into_iter().filter(|n| *n <= wanted.sessions).collect();
    for root in &wanted.dirs {
        let mut stores = Vec::new();
        for &sessions in &sizes {
            let dir = root.join(format!("scale.{sessions}"));
            let start = Instant::now();
            let store = if dir.exists() { DirectoryStore::open(&dir)? } else { filled(&dir, sessions)? };
            println!("{sessions} sessions made in {:.1} s", start.elapsed().as_secs_f64());
            stores.push((sessions, dir, store, Vec::new(), Vec::new()));
        }
        for _ in 0..wanted.rounds {
            for (sessions, _, store, loads, saves) in &mut stores {
                let (load, save) = one_by_one(store, *sessions)?;
                loads.push(load);
                saves.push(save);
            }
        }
        for (sessions, dir, _, loads, saves) in &stores {
            let (load, save) = (median(loads).unwrap_or(0.0), median(saves).unwrap_or(0.0));
            println!("{sessions:8} sessions: load {load:.2} us, save {save:.2} us");
            results.push(json!({"sessions": sessions, "load_us": load, "save_us": save}));
            let path = dir.to_str().ok_or("a path in UTF-8")?;
            for count in ["1", "2"] {
                // Warm, as far as memory goes.
                alone(&["read", path, count])?;
                let mut runs = WHOLE.map(|_| (Vec::new(), 0.0f64));
                for _ in 0..if *sessions > 100_000 { 3 } else { 15 } {
                    for (what, (times, most)) in WHOLE.iter().zip(&mut runs) {
                        let (seconds, peak) = alone(&[what, path, count])?;
                        times.push(seconds);
                        *most = most.max(peak);
                    }
                }
                let read = median(&runs[0].0).unwrap_or(0.0);
                for (what, (times, peak)) in WHOLE.iter().zip(&runs) {
                    let seconds = median(times).unwrap_or(0.0);
                    println!(
                        "{sessions:8} sessions, {count} threads: {what:6} {seconds:8.3} s ({:.2} of reading), {peak:.1} MiB",
                        seconds / read
                    );
                    results.push(json!({"sessions": sessions, "threads": count, "what": what, "seconds": seconds, "of_reading": seconds / read, "peak_mib": peak}));
                }
            }
        }
        let (_, dir, store, ..) = &stores[0];
        for count in [1, 2, 4, 8, 16] {
            for kind in ["own", "one", "mixed"] {
                results.push(threads(store, count, kind));
            }
        }
        let path = dir.to_str().ok_or("a path in UTF-8")?;
        for count in [1, 2, 4, 8] {
            for kind in ["own", "one", "mixed"] {
                results.push(processes(path, count, kind)?);
            }
        }
        if !wanted.keep {
            for (_, dir, ..) in &stores {
                std::fs::remove_dir_all(dir)?;
            }
        }
    }
    if let Some(file) = &wanted.json {
        std::fs::write(file, serde_json::to_string_pretty(&results)?)?;
    }
    Ok(())
}
