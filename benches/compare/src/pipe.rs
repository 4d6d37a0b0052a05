//! Peers that are programs of their own. A line `OP COUNT` asks one for so many operations; it answers with a line:
//! nanoseconds an operation, as it has measured them itself, or `-` where it has no such operation.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use sessiondir::Durability;

use crate::Result;
use crate::contender::{Contender, Op, pool};

/// Of the Python program: what they are called, and the module that each is in.
const PYTHON: [(&str, &str); 3] = [("session3", "session3"), ("django", "django"), ("cachelib", "cachelib")];
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers.py");

pub struct Pipe {
    name: String,
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

fn python() -> Option<String> {
    std::env::var("SESSIONDIR_PYTHON").ok()
}

fn sqlite() -> Option<String> {
    std::env::var("SESSIONDIR_SQLITE").ok()
}

fn has(python: &str, module: &str) -> bool {
    let import =
        Command::new(python).args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
    import.is_ok_and(|status| status.success())
}

pub fn say_who_is_missing() {
    match python() {
        None => eprintln!("MISSING session3, django, cachelib: SESSIONDIR_PYTHON is not set"),
        Some(python) => {
            for (name, module) in PYTHON {
                if !has(&python, module) {
                    eprintln!("MISSING {name}: {python} cannot import {module}");
                }
            }
        }
    }
    if sqlite().is_none() {
        eprintln!("MISSING tower-sessions-sqlx-store: SESSIONDIR_SQLITE is not set");
    }
}

/// Those who are there.
pub fn peers(dir: &Path, durability: Durability, size: usize) -> Result<Vec<Box<dyn Contender>>> {
    let mut peers: Vec<Box<dyn Contender>> = Vec::new();
    let (size_arg, pool_arg) = (size.to_string(), pool(size).to_string());
    if let Some(python) = python()
        && durability == Durability::Process
    {
        for (name, _) in PYTHON.into_iter().filter(|(_, module)| has(&python, module)) {
            let mut command = Command::new(&python);
            command.arg(SCRIPT).arg(name).arg(dir.join(name)).args([&size_arg, &pool_arg]);
            peers.push(Box::new(Pipe::start(name, command)?));
        }
    }
    if let Some(program) = sqlite() {
        let mut command = Command::new(program);
        let word = if durability == Durability::Power { "power" } else { "process" };
        command.arg(dir.join("sqlite")).args([word, &size_arg, &pool_arg]);
        peers.push(Box::new(Pipe::start("tower-sessions-sqlx-store", command)?));
    }
    Ok(peers)
}

impl Pipe {
    fn start(name: &str, mut command: Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let to = child.stdin.take().ok_or("no pipe")?;
        let from = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        Ok(Pipe { name: name.to_owned(), child, to, from })
    }
}

impl Contender for Pipe {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn run(&mut self, op: Op, count: usize) -> Result<Option<f64>> {
        writeln!(self.to, "{} {count}", op.name())?;
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        match line.trim() {
            "-" => Ok(None),
            "" => Err(format!("{} has ended", self.name).into()),
            nanos => Ok(Some(nanos.parse()?)),
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
