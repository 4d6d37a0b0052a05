//! What a case works with: drivers, and directories.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::case::{Class, Failure, done, refused};
use super::process::{Process, Trouble};
use super::protocol::{Answer, Fault};

/// What an implementation says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) implementation: String,
    pub(crate) version: String,
    pub(crate) language: String,
    pub(crate) classes: Vec<String>,
    pub(crate) features: Vec<String>,
    pub(crate) lock: String,
}

impl Hello {
    pub(crate) fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|has| has == feature)
    }

    pub(crate) fn is(&self, class: Class) -> bool {
        self.classes.iter().any(|is| is == class.name())
    }
}

/// Who takes part in a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    /// The implementation under test.
    Implementation,
    /// The reference implementation.
    Reference,
    /// The kit itself, on raw fcntl: locks owned by the process, over the whole file.
    RefereeProcess,
    /// The same: locks owned by the open file description, over the one byte.
    RefereeOfd,
}

impl Party {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Party::Implementation => "implementation",
            Party::Reference => "reference",
            Party::RefereeProcess => "referee-process",
            Party::RefereeOfd => "referee-ofd",
        }
    }
}

/// How the kit is run.
#[derive(Clone, Debug)]
pub(crate) struct Commands {
    /// The driver under test.
    pub(crate) implementation: Vec<OsString>,
    /// The command that is the reference's driver, and with an argument the referee.
    pub(crate) reference: Vec<OsString>,
    /// How long to wait for an answer.
    pub(crate) timeout: Duration,
    /// How many increments each process makes.
    pub(crate) increments: u32,
}

impl Commands {
    pub(crate) fn start(&self, party: Party) -> Result<Process, Trouble> {
        let mut reference = self.reference.clone();
        let command = match party {
            Party::Implementation => &self.implementation,
            Party::Reference => &reference,
            Party::RefereeProcess | Party::RefereeOfd => {
                reference.push(format!("--{}", party.name()).into());
                &reference
            }
        };
        Process::start(command, self.timeout)
    }
}

/// What a case works with.
pub(crate) struct Bench<'a> {
    pub(crate) commands: &'a Commands,
    /// What the implementation under test says of itself.
    pub(crate) hello: &'a Hello,
    /// The driver that cases share, unless one of them broke it.
    driver: Option<Process>,
    /// The directory of the case; empty when it begins.
    scratch: PathBuf,
    /// The class that is graded, where the user asked for one.
    only: Option<Class>,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(
        commands: &'a Commands,
        hello: &'a Hello,
        scratch: PathBuf,
        only: Option<Class>,
    ) -> Self {
        Bench { commands, hello, driver: None, scratch, only }
    }

    /// A path in the case's own directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// The driver that the cases share.
    pub(crate) fn driver(&mut self) -> Result<&mut Process, Failure> {
        if self.driver.is_none() {
            self.driver = Some(self.start(Party::Implementation)?);
        }
        Ok(self.driver.as_mut().expect("started"))
    }

    /// Another process: greeted, so that it is known to run.
    pub(crate) fn start(&self, party: Party) -> Result<Process, Failure> {
        let mut process = self.commands.start(party)?;
        greet(&mut process)?;
        Ok(process)
    }

    /// Ends the shared driver: the next case starts a new one.
    pub(crate) fn discard_driver(&mut self) {
        self.driver = None;
    }

    /// Asks the shared driver.
    pub(crate) fn ask(&mut self, request: Value) -> Result<Answer, Failure> {
        Ok(self.driver()?.ask(request)?)
    }

    /// Asks the shared driver, which has to do it.
    pub(crate) fn ok(&mut self, request: Value) -> Result<Value, Failure> {
        let what = describe(&request);
        done(&what, self.ask(request)?)
    }

    /// Asks the shared driver, which has to refuse it with an error of that class.
    pub(crate) fn refused(&mut self, class: &str, request: Value) -> Result<Fault, Failure> {
        let what = describe(&request);
        refused(&what, class, self.ask(request)?)
    }

    /// Whether what a class has to do is graded.
    pub(crate) fn grades(&self, class: Class) -> bool {
        self.hello.is(class) && self.only.is_none_or(|only| only == class)
    }

    /// How long an answer is waited for.
    pub(crate) fn timeout(&self) -> Duration {
        self.commands.timeout
    }
}

/// Asks `process`, which has to do it.
pub(crate) fn ok(process: &mut Process, request: Value) -> Result<Value, Failure> {
    let what = describe(&request);
    done(&what, process.ask(request)?)
}

/// A request, for messages: its op, and whom it is about.
pub(crate) fn describe(request: &Value) -> String {
    let op = request["op"].as_str().unwrap_or_default();
    match request["thread"].as_str() {
        Some(thread) => format!("`{op}` by thread {thread}"),
        None => format!("`{op}`"),
    }
}

/// Asks a driver who it is.
pub(crate) fn greet(process: &mut Process) -> Result<Hello, Failure> {
    let said = ok(process, json!({ "op": "hello", "protocol": 1 }))?;
    let text = |key: &str| said[key].as_str().unwrap_or_default().to_owned();
    let list = |key: &str| {
        let items = said[key].as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    Ok(Hello {
        implementation: text("implementation"),
        version: text("version"),
        language: text("language"),
        classes: list("classes"),
        features: list("features"),
        lock: text("lock"),
    })
}
