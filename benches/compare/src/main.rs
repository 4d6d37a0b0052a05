//! What each operation costs: the bare system calls (the floor), sessiondir, and other session stores, round by round in
//! one run, so that whatever else the machine does hits all alike. Medians over the rounds.
//!
//!     cargo run --release -p sessiondir-compare -- DIR... [--rounds N] [--json FILE] [--only WORD]... [--sizes N,N]
//!         [--ops OP,OP]
//!     cargo run --release -p sessiondir-compare -- scale DIR [--sessions N] [--keep] [--json FILE]
//!
//! Peers that are programs of their own are named by the environment: `SESSIONDIR_PYTHON`, a Python that has session3,
//! quixote, django and cachelib; `SESSIONDIR_SQLITE`, the program of benches/peers. docs/performance.md has the figures.

mod contender;
mod file_store;
mod floor;
mod ours;
mod pipe;
mod scale;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use contender::{Contender, Op};
use sessiondir::Durability;

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What the command line asks for.
#[derive(Default)]
pub struct Wanted {
    pub dirs: Vec<PathBuf>,
    pub rounds: usize,
    pub json: Option<PathBuf>,
    pub only: Vec<String>,
    pub sizes: Vec<usize>,
    pub ops: Vec<Op>,
    pub sessions: usize,
    pub keep: bool,
}

fn wanted(args: impl Iterator<Item = String>) -> Result<Wanted> {
    let mut wanted = Wanted {
        rounds: 15,
        sizes: vec![100, 850, 10_000, 1_000_000],
        ops: Op::ALL.to_vec(),
        sessions: 1_000_000,
        ..Wanted::default()
    };
    let mut args = args;
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--rounds" => wanted.rounds = value()?.parse()?,
            "--json" => wanted.json = Some(value()?.into()),
            "--only" => wanted.only.push(value()?),
            "--sizes" => {
                wanted.sizes = value()?.split(',').map(str::parse).collect::<std::result::Result<_, _>>()?;
            }
            "--ops" => {
                let named = value()?;
                wanted.ops =
                    Op::ALL.iter().copied().filter(|op| named.split(',').any(|n| n == op.name())).collect();
            }
            "--sessions" => wanted.sessions = value()?.parse()?,
            "--keep" => wanted.keep = true,
            option if option.starts_with('-') => return Err(format!("{option}: no such option").into()),
            dir => wanted.dirs.push(dir.into()),
        }
    }
    if wanted.dirs.is_empty() {
        return Err("name a directory on each file system to measure on".into());
    }
    Ok(wanted)
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).peekable();
    let done = if args.next_if(|arg| arg == "scale-worker").is_some() {
        scale::worker(args)
    } else if args.next_if(|arg| arg == "scale").is_some() {
        wanted(args).and_then(|wanted| scale::run(&wanted))
    } else {
        wanted(args).and_then(|wanted| compare(&wanted))
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whoever is to be measured in `dir`; those who are not there are named.
fn contenders(dir: &std::path::Path, durability: Durability, size: usize) -> Result<Vec<Box<dyn Contender>>> {
    let mut all: Vec<Box<dyn Contender>> = vec![
        Box::new(floor::Floor::new(&dir.join("floor"), durability, size, floor::Beside::Nothing)?),
        Box::new(floor::Floor::new(&dir.join("rules"), durability, size, floor::Beside::Rules)?),
        Box::new(floor::Floor::new(&dir.join("digests"), durability, size, floor::Beside::Digests)?),
        Box::new(ours::Ours::new(&dir.join("ours"), durability, size)?),
    ];
    if durability == Durability::Process {
        all.push(Box::new(file_store::FileStore::new(&dir.join("file-store"), size)?));
    }
    all.extend(pipe::peers(dir, durability, size)?);
    Ok(all)
}

/// The words with which `--only` restricts the durabilities; the others are names of contenders.
const DURABILITIES: [&str; 2] = ["process", "power"];

fn durabilities(only: &[String]) -> Vec<Durability> {
    let all = [Durability::Process, Durability::Power];
    let named: Vec<_> = (0..2).filter(|n| only.iter().any(|word| word == DURABILITIES[*n])).collect();
    if named.is_empty() { all.to_vec() } else { named.into_iter().map(|n| all[n]).collect() }
}

fn compare(wanted: &Wanted) -> Result<()> {
    pipe::say_who_is_missing();
    let mut results = Vec::new();
    for dir in &wanted.dirs {
        for durability in durabilities(&wanted.only) {
            for &size in &wanted.sizes {
                let tmp = dir.join(format!("compare.{}", std::process::id()));
                std::fs::create_dir_all(&tmp)?;
                let measured = measure(&tmp, durability, size, wanted);
                std::fs::remove_dir_all(&tmp)?;
                let measured = measured?;
                table::print(&dir.display().to_string(), durability, size, &measured);
                results.push(table::json(&dir.display().to_string(), durability, size, &measured));
            }
        }
    }
    if let Some(file) = &wanted.json {
        std::fs::write(file, serde_json::to_string_pretty(&results)?)?;
    }
    Ok(())
}

/// The times of all rounds, in nanoseconds: of each contender, of each operation.
pub struct Measured {
    pub name: String,
    pub times: Vec<(Op, Vec<f64>)>,
}

fn measure(
    dir: &std::path::Path,
    durability: Durability,
    size: usize,
    wanted: &Wanted,
) -> Result<Vec<Measured>> {
    let mut contenders = contenders(dir, durability, size)?;
    let names: Vec<_> = wanted.only.iter().filter(|word| !DURABILITIES.contains(&word.as_str())).collect();
    contenders.retain(|contender| {
        let name = contender.name();
        name.starts_with("floor") || names.is_empty() || names.iter().any(|word| name.contains(*word))
    });
    let mut measured: Vec<Measured> = contenders
        .iter()
        .map(|contender| Measured {
            name: contender.name(),
            times: wanted.ops.iter().map(|op| (*op, Vec::new())).collect(),
        })
        .collect();
    let count = match (durability, size) {
        (_, 100_001..) => 10,
        (Durability::Power, _) => 40,
        _ => 400,
    };
    for round in 0..=wanted.rounds {
        for (index, op) in wanted.ops.iter().enumerate() {
            // Each round begins with another, so that nobody always comes after the same neighbour.
            for turn in 0..contenders.len() {
                let place = (turn + round) % contenders.len();
                let (contender, measured) = (&mut contenders[place], &mut measured[place]);
                let nanos = contender.run(*op, count)?;
                // The first round warms up.
                if let (Some(nanos), 1..) = (nanos, round) {
                    measured.times[index].1.push(nanos);
                }
            }
        }
    }
    Ok(measured)
}
