//! What a case of the kit is, and what can come of it.

use std::fmt;
use std::io;

use serde_json::Value;

use super::bench::Bench;
use super::process::Trouble;
use super::protocol::{Answer, Fault, shorten};

/// The conformance classes of SPEC.md section 2.1 that the kit tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Loads sessions.
    Reader,
    /// Changes them.
    Writer,
    /// Removes what is expired.
    Collector,
    /// Reports findings.
    Checker,
}

impl Class {
    /// All of them.
    pub const ALL: [Class; 4] = [Class::Reader, Class::Writer, Class::Collector, Class::Checker];

    /// As the protocol and the command line write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Class::Reader => "reader",
            Class::Writer => "writer",
            Class::Collector => "collector",
            Class::Checker => "checker",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Why a case did not pass.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Failure {
    /// The implementation is wrong: what was expected, and what was found.
    Failed(String),
    /// It says that it cannot.
    Skipped(String),
    /// It, or its driver, broke down.
    Errored(String),
    /// It did not answer.
    Hang(String),
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Errored(what) => Failure::Errored(what),
            Trouble::Hang(what) => Failure::Hang(what),
        }
    }
}

impl From<io::Error> for Failure {
    /// Of the kit's own work in its directory.
    fn from(error: io::Error) -> Self {
        Failure::Errored(format!("the kit itself: {error}"))
    }
}

/// What came of a case.
pub(crate) type Outcome = Result<(), Failure>;

/// A failure with that message.
pub(crate) fn failed<T>(message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Failed(message.into()))
}

/// Fails unless it holds.
pub(crate) fn ensure(holds: bool, message: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { failed(message()) }
}

/// Fails unless both are the same.
pub(crate) fn same(what: &str, expected: &Value, found: &Value) -> Outcome {
    ensure(expected == found, || {
        let (expected, found) = (shorten(&expected.to_string()), shorten(&found.to_string()));
        format!("{what}: expected {expected}, found {found}")
    })
}

/// What it did.
pub(crate) fn done(what: &str, answer: Answer) -> Result<Value, Failure> {
    match answer {
        Answer::Ok(value) => Ok(value),
        Answer::Error(fault) => failed(format!("{what}: expected that it is done, found {fault}")),
        Answer::Skipped(reason) => Err(Failure::Skipped(format!("{what}: {reason}"))),
        Answer::Errored(context) => Err(Failure::Errored(format!("{what}: {}", shorten(&context)))),
    }
}

/// The error that it reported, which has to be of that class.
pub(crate) fn refused(what: &str, class: &str, answer: Answer) -> Result<Fault, Failure> {
    match answer {
        Answer::Error(fault) if fault.class == class => Ok(fault),
        Answer::Error(fault) => failed(format!("{what}: expected an error of class {class}, found {fault}")),
        Answer::Ok(value) => {
            let found = shorten(&value.to_string());
            failed(format!("{what}: expected an error of class {class}, found that it was done: {found}"))
        }
        other => done(what, other).and_then(|_| failed(what)),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "an error of class {}", self.class)?;
        if let Some(rule) = &self.rule {
            write!(out, ", {rule}")?;
        }
        if let Some(offset) = self.offset {
            write!(out, " at {offset}")?;
        }
        match &self.message {
            Some(message) => write!(out, " ({})", shorten(message)),
            None => Ok(()),
        }
    }
}

/// A case.
pub(crate) struct Case {
    /// Its name, which does not change: `record/int-0`.
    pub(crate) id: String,
    /// The section of SPEC.md that it is about.
    pub(crate) section: &'static str,
    /// What it shows.
    pub(crate) description: String,
    /// The rules that it exercises.
    pub(crate) rules: Vec<String>,
    /// The classes one of which an implementation has to be of.
    pub(crate) classes: Vec<Class>,
    /// A class of which it has to be too.
    pub(crate) also: Option<Class>,
    /// The features that it needs.
    pub(crate) features: Vec<&'static str>,
    /// Does it.
    pub(crate) run: Box<dyn Fn(&mut Bench<'_>) -> Outcome>,
}

impl Case {
    /// A case of those classes; rules as in `"LOCK-1 LOCK-2"`.
    pub(crate) fn new(
        id: impl Into<String>,
        section: &'static str,
        description: impl Into<String>,
        rules: &str,
        classes: &[Class],
        run: impl Fn(&mut Bench<'_>) -> Outcome + 'static,
    ) -> Self {
        Case {
            id: id.into(),
            section,
            description: description.into(),
            rules: rules.split_whitespace().map(str::to_owned).collect(),
            classes: classes.to_vec(),
            also: None,
            features: Vec::new(),
            run: Box::new(run),
        }
    }

    /// The implementation has to be of this class too.
    pub(crate) fn and_of(mut self, class: Class) -> Self {
        self.also = Some(class);
        self
    }

    /// It needs these features too.
    pub(crate) fn needs(mut self, features: &[&'static str]) -> Self {
        self.features.extend(features);
        self
    }
}
