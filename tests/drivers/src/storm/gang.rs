//! The processes of a storm: they are started, killed and waited for; and what is left when all are stopped.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::libc::SIGKILL;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sessiondir::check::{Event, FindingKind, check};
use sessiondir::sweep::SweepOptions;
use sessiondir::{SessionId, SessionStore};

use super::history::Stored;
use super::journal::{Author, Journal, Mark, Op, counts, now, read};
use super::worker::{Worker, notes, options};
use super::{JUDGE, SESSIONS, THREADS, WORKERS, fixed};
use crate::chance::Chance;

/// The argument with which the test's program is a worker.
pub const WORKER: &str = "storm-worker";

/// The interpreter, and what it is to import.
#[derive(Clone, Debug)]
pub struct Python {
    program: String,
    path: PathBuf,
    script: PathBuf,
}

impl Python {
    /// The one that the environment names, if it can import the port.
    ///
    /// # Errors
    /// It cannot: in words.
    pub fn find() -> Result<Self, String> {
        let program = std::env::var("SESSIONDIR_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let drivers = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = drivers.join("../../ports/python/src");
        let python = Python { program, path, script: drivers.join("storm_worker.py") };
        match python.command().args(["-c", "import sessiondir"]).output() {
            Ok(done) if done.status.success() => Ok(python),
            Ok(done) => {
                let why = String::from_utf8_lossy(&done.stderr);
                Err(format!("{} cannot import the port: {}", python.program, why.trim()))
            }
            Err(error) => Err(format!("{}: {error}", python.program)),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("PYTHONPATH", &self.path).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// The process of which the workers are forked: to start an interpreter for each takes longer than they live.
    fn nursery(&self, dir: &Path, journals: &Path) -> Nursery {
        let mut command = self.command();
        command.arg(&self.script).arg(dir).arg(journals).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("an interpreter");
        let (to, from) = (child.stdin.take(), child.stdout.take());
        Nursery { to, from: BufReader::new(from.expect("a pipe")), child }
    }
}

#[derive(Debug)]
struct Nursery {
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    child: Child,
}

impl Nursery {
    fn ask(&mut self, what: &str) -> i32 {
        writeln!(self.to.as_ref().expect("open"), "{what}").expect("the interpreter is there");
        let mut answer = String::new();
        self.from.read_line(&mut answer).expect("the interpreter is there");
        answer.trim().parse().unwrap_or_else(|_| panic!("{what}: the interpreter said {answer:?}"))
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        // With its input it ends, and with it what it has forked.
        drop(self.to.take());
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
enum Process {
    Rust(Child),
    Python(Pid),
}

/// A worker at work.
#[derive(Debug)]
struct Member {
    serial: u64,
    process: Process,
}

impl Member {
    fn kill(&mut self) {
        match &mut self.process {
            Process::Rust(child) => child.kill().expect("killed"),
            Process::Python(pid) => kill(*pid, Signal::SIGKILL).expect("killed"),
        }
    }
}

/// All that work at the same time, and their notes.
#[derive(Debug)]
pub struct Gang {
    dir: PathBuf,
    journals: tempfile::TempDir,
    nursery: Option<Nursery>,
    members: BTreeMap<usize, Member>,
    dead: Vec<Author>,
    next: u64,
    seeds: Chance,
}

impl Gang {
    /// Nobody yet. With an interpreter, every other one is in Python. The notes are kept in memory.
    ///
    /// # Panics
    /// There is no place for notes.
    #[must_use]
    pub fn new(dir: &Path, python: Option<&Python>, seed: u64) -> Self {
        let journals = crate::share::scratch();
        let nursery = python.map(|python| python.nursery(dir, journals.path()));
        let (dir, members, seeds) = (dir.to_owned(), BTreeMap::new(), Chance::new(seed));
        Gang { dir, journals, nursery, members, dead: Vec::new(), next: 1, seeds }
    }

    /// Starts one where there is none.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start(&mut self, slot: usize) {
        let (serial, seed) = (self.next, self.seeds.next_number());
        self.next += 1;
        let process = match &mut self.nursery {
            Some(nursery) if slot % 2 == 1 => {
                let pid = nursery.ask(&format!("start {serial} {slot} {seed}"));
                Process::Python(Pid::from_raw(pid))
            }
            _ => {
                let program = std::env::current_exe().expect("this program");
                let mut command = Command::new(program);
                command.arg(WORKER).arg(&self.dir).arg(self.journals.path());
                command.args([serial, slot as u64, seed].map(|number| number.to_string()));
                Process::Rust(command.stdin(Stdio::null()).spawn().expect("a worker"))
            }
        };
        self.members.insert(slot, Member { serial, process });
    }

    /// Starts all.
    pub fn start_all(&mut self) {
        (0..WORKERS).for_each(|slot| self.start(slot));
    }

    /// Kills those, and starts others in their places while they die.
    ///
    /// # Panics
    /// One of them had ended before.
    pub fn replace(&mut self, slots: &[usize]) {
        let mut dying: Vec<_> =
            slots.iter().filter_map(|slot| Some((*slot, self.members.remove(slot)?))).collect();
        dying.iter_mut().for_each(|(_, member)| member.kill());
        slots.iter().for_each(|slot| self.start(*slot));
        dying.into_iter().for_each(|(slot, member)| self.bury(slot, member));
    }

    /// Kills all; returns how many.
    pub fn kill_all(&mut self) -> u64 {
        let mut dying = std::mem::take(&mut self.members);
        dying.values_mut().for_each(Member::kill);
        let number = dying.len() as u64;
        dying.into_iter().for_each(|(slot, member)| self.bury(slot, member));
        number
    }

    /// Waits until it is dead.
    fn bury(&mut self, slot: usize, Member { serial, process }: Member) {
        let (is_python, signal) = match process {
            Process::Rust(mut child) => (false, child.wait().expect("waited").signal()),
            Process::Python(pid) => {
                let nursery = self.nursery.as_mut().expect("its parent");
                (true, Some(nursery.ask(&format!("wait {pid}"))))
            }
        };
        let died = now();
        assert_eq!(signal, Some(SIGKILL), "worker {serial} had ended before it was killed");
        self.dead.push(Author { serial, slot, is_python, died });
    }

    /// How many of those in Python are dead since their notes were read last.
    #[must_use]
    pub fn dead_in_python(&self) -> u64 {
        self.dead.iter().filter(|author| author.is_python).count() as u64
    }

    /// What those who are dead have noted since this was asked last.
    ///
    /// # Panics
    /// The notes cannot be read, or are none.
    pub fn notes(&mut self) -> Vec<Op> {
        let mut ops = Vec::new();
        for author in self.dead.drain(..) {
            for thread in 0..THREADS {
                let path = notes(self.journals.path(), author.serial, thread);
                // Some are killed before they open them.
                let Ok(text) = fs::read_to_string(&path) else { continue };
                fs::remove_file(&path).expect("removed");
                ops.extend(read(&text, author, thread).unwrap_or_else(|why| panic!("{why}")));
            }
        }
        ops
    }

    /// What is stored, while nobody is at work. The list and the loads tell the same.
    ///
    /// # Panics
    /// They do not, or something cannot be read.
    #[must_use]
    pub fn stored(&self) -> Vec<Stored> {
        let store = options().open(&self.dir).expect("a store");
        let mut found = BTreeMap::new();
        for session in store.iter_sessions().expect("listed") {
            let session = session.expect("nobody has damaged it");
            let name = session.id().expect("its ID").expose().to_owned();
            let mark = Mark::of(&session).expect("one of the storm's");
            let counts = counts(&session).to_vec();
            found.insert(name.clone(), Stored { name, mark, counts, at: now() });
        }
        let names: Vec<String> = found.keys().cloned().chain((0..SESSIONS).map(fixed)).collect();
        for name in names {
            let loaded = store.load(&SessionId::new(&name).expect("an ID").into()).expect("loaded");
            let mark = loaded.and_then(|session| Mark::of(&session));
            assert_eq!(mark, found.get(&name).map(|stored| stored.mark), "{name}: listed, and loaded");
        }
        found.into_values().collect()
    }

    /// The checker finds nothing but what kills may leave: temps, and slots in which they have cut off a write (before the
    /// record's end, or after it, where the slot's old bytes remain), at most one for each. Then all locks are free, and after a sweep and two updates of each session it finds nothing at all. Returns
    /// the numbers of temps and of such slots.
    ///
    /// # Panics
    /// It is not so.
    pub fn clean_up(&mut self, kills: u64) -> [u64; 2] {
        let found = findings(&self.dir);
        let number = |kind| found.iter().filter(|(found, _)| *found == kind).count() as u64;
        let temps = number(FindingKind::Temp);
        let slots = number(FindingKind::DamagedSlot) + number(FindingKind::StrayBytes);
        assert!(temps + slots == found.len() as u64, "after kills: {found:?}");
        assert!(temps <= kills && slots <= kills, "{temps} temps and {slots} slots after {kills} kills");
        let before = self.stored();
        let store = options().patience(Duration::ZERO).open(&self.dir).expect("a store");
        let swept = store.sweep(&SweepOptions::default()).expect("swept");
        assert_eq!((swept.removed, swept.failed, swept.temps), (0, 0, temps), "{swept:?}");
        let mut tried = [false; 64];
        while tried.contains(&false) {
            let id = SessionId::generate().expect("an ID");
            tried[usize::from(id.key().as_bytes()[0] % 64)] = true;
            assert!(!store.delete(&id.into()).expect("the lock is free"));
        }
        let journal = Journal::open(&self.journals.path().join("judge")).expect("notes");
        let mut judge = Worker::new(&store, journal, JUDGE, self.next << 20, Chance::new(1));
        self.next += 1;
        for stored in &before {
            let id = SessionId::new(&stored.name).expect("an ID");
            for more in [1, 2] {
                let session = judge.update("update", &id, None).expect("the lock is free, and it is there");
                assert_eq!(session.rev(), stored.mark.rev + more, "{}", stored.name);
            }
        }
        let found = findings(&self.dir);
        assert!(found.is_empty(), "after a sweep and two updates: {found:?}");
        [temps, slots]
    }
}

impl Drop for Gang {
    fn drop(&mut self) {
        // After a panic. Those in Python go with their parent.
        for member in self.members.values_mut() {
            if let Process::Rust(child) = &mut member.process {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

fn findings(dir: &Path) -> Vec<(FindingKind, String)> {
    let mut found = Vec::new();
    check(dir, &options(), &mut |event| {
        if let Event::Finding(finding) = event {
            found.push((finding.kind, finding.to_string()));
        }
    })
    .expect("checked");
    found
}
