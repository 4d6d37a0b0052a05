//! Running the cases.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::bench::Party;
use super::bench::{Bench, Commands, greet};
use super::case::{Case, Class, Failure};
use super::cases;
use super::report::{Grade, Report, Result as CaseResult};

/// After so many cases in a row without an answer the others are not tried: each would take as long.
const MOST_HANGS: usize = 5;

/// How the kit is run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The command of the driver under test, with its arguments.
    pub driver: Vec<OsString>,
    /// The command of the reference implementation's driver: `sessiondir conformance-driver`.
    pub reference: Vec<OsString>,
    /// Only the cases of this class.
    pub class: Option<Class>,
    /// Only the cases one of these is a part of whose names; empty: all.
    pub only: Vec<String>,
    /// The names of the cases that are expected not to pass.
    pub expected_failures: BTreeSet<String>,
    /// How long to wait for an answer.
    pub timeout: Duration,
    /// How many increments each process makes, in the cases that count them.
    pub increments: u32,
}

impl Config {
    /// All cases, with 10 seconds for an answer, and 100 increments.
    #[must_use]
    pub fn new(driver: Vec<OsString>, reference: Vec<OsString>) -> Self {
        Config {
            driver,
            reference,
            class: None,
            only: Vec::new(),
            expected_failures: BTreeSet::new(),
            timeout: Duration::from_secs(10),
            increments: 100,
        }
    }
}

/// What the kit tells about as it goes.
#[derive(Clone, Copy, Debug)]
pub enum Stage<'a> {
    /// A case begins: its number from 0, of how many, its name.
    Begins(usize, usize, &'a str),
    /// What came of it.
    Ended(&'a CaseResult),
}

/// Every case: its name, its section of SPEC.md, what it shows.
#[must_use]
pub fn list() -> Vec<(String, &'static str, String)> {
    cases::all().into_iter().map(|case| (case.id, case.section, case.description)).collect()
}

/// Runs the cases that are for the implementation. However it behaves there is a result for each, and the kit ends.
///
/// # Errors
/// The driver does not start or does not say `hello`; there is no directory for temporary files; no case is of
/// that class and name.
///
/// # Panics
/// The kit is at fault: two of its cases have one name, or it makes a request that is none.
pub fn run(config: &Config, tell: &mut dyn FnMut(Stage<'_>)) -> io::Result<Report> {
    let commands = Commands {
        implementation: config.driver.clone(),
        reference: config.reference.clone(),
        timeout: config.timeout,
        increments: config.increments,
    };
    let hello = commands
        .start(Party::Implementation)
        .map_err(Failure::from)
        .and_then(|mut process| greet(&mut process))
        .map_err(|failure| {
            io::Error::other(format!("the driver does not say hello: {}", message(failure).1))
        })?;
    let all = cases::all();
    let names: BTreeSet<&str> = all.iter().map(|case| &*case.id).collect();
    assert_eq!(names.len(), all.len(), "two cases have one name");
    let unknown = config.expected_failures.iter().filter(|name| !names.contains(&***name)).cloned().collect();
    let is_wanted = |case: &Case| {
        config.class.is_none_or(|class| case.classes.contains(&class))
            && (config.only.is_empty() || config.only.iter().any(|part| case.id.contains(&**part)))
    };
    let wanted: Vec<&Case> = all.iter().filter(|case| is_wanted(case)).collect();
    let (applicable, others): (Vec<&Case>, Vec<&Case>) = wanted.into_iter().partition(|case| {
        let is_of = |class: &Class| hello.is(*class) && config.class.is_none_or(|only| only == *class);
        case.classes.iter().any(is_of)
            && case.also.is_none_or(|class| hello.is(class))
            && case.features.iter().all(|feature| hello.has(feature))
    });
    if applicable.is_empty() {
        let why =
            if others.is_empty() { "no case has such a name" } else { "no case is for what it claims to do" };
        return Err(io::Error::other(format!("{why}: nothing to run")));
    }
    let home = tempfile::Builder::new().prefix("sessiondir-conformance-").tempdir()?;
    let scratch = home.path().join("case");
    let mut bench = Bench::new(&commands, &hello, scratch.clone(), config.class);
    let (mut results, mut hangs) = (Vec::new(), 0);
    for (number, case) in applicable.iter().enumerate() {
        tell(Stage::Begins(number, applicable.len(), &case.id));
        fs::create_dir(&scratch)?;
        let begun = Instant::now();
        let outcome = if hangs < MOST_HANGS {
            (case.run)(&mut bench)
        } else {
            let why = format!("not tried: {MOST_HANGS} cases in a row before it had no answer");
            Err(Failure::Hang(why))
        };
        let (grade, message) = match outcome {
            Ok(()) => (Grade::Passed, String::new()),
            Err(failure) => message(failure),
        };
        hangs = if grade == Grade::Hang { hangs + 1 } else { 0 };
        if matches!(grade, Grade::Errored | Grade::Hang) {
            bench.discard_driver();
        }
        let took = begun.elapsed();
        remove(&scratch)?;
        let result = CaseResult {
            id: case.id.clone(),
            section: case.section,
            description: case.description.clone(),
            rules: case.rules.clone(),
            grade,
            message,
            expected_failure: config.expected_failures.contains(&case.id),
            took,
        };
        tell(Stage::Ended(&result));
        results.push(result);
    }
    Ok(Report { hello: hello.clone(), results, not_applicable: others.len(), unknown })
}

fn message(failure: Failure) -> (Grade, String) {
    match failure {
        Failure::Failed(why) => (Grade::Failed, why),
        Failure::Skipped(why) => (Grade::Skipped, why),
        Failure::Errored(why) => (Grade::Errored, why),
        Failure::Hang(why) => (Grade::Hang, why),
    }
}

/// Removes a case's directory, whatever modes its entries have; a process that is being killed may still write there.
fn remove(dir: &Path) -> io::Result<()> {
    let mut done = fs::remove_dir_all(dir);
    for _ in 0..50 {
        if done.is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
        make_removable(dir);
        done = fs::remove_dir_all(dir);
    }
    done
}

fn make_removable(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_removable(&entry.path());
        }
    }
}
