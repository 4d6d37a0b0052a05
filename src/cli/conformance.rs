//! `sessiondir conformance`: the kit. CONFORMANCE.md is its manual.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use sessiondir::ErrorClass;
use sessiondir::conformance::{Class, Config, Grade, Report, Stage, list, run};

use super::output::{Failure, Output};
use super::{Common, Status};

const EXIT: &str = "\
Examples:
  sessiondir conformance -- python3 -m sessiondir.driver
  sessiondir conformance --class reader --junit report.xml -- ./driver
  sessiondir conformance --only locks/L8 --verbose -- ./driver

Exit status: 0 everything passed (or failed as expected), 1 something did not, 2 the kit
could not be run: the driver does not start, or there was nothing to run.

CONFORMANCE.md describes what a driver is, and what the cases are.";

/// Test an implementation of the format, in any language, through its driver.
#[derive(Args)]
#[command(after_help = EXIT)]
pub(super) struct Conformance {
    /// Only what this class has to do
    #[arg(long, value_enum)]
    class: Option<ClassName>,
    /// Only the cases that have this in their names; may be given several times
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// A file that names the cases that are expected not to pass, one a line
    #[arg(long, value_name = "FILE")]
    xfail: Option<PathBuf>,
    /// Write a report in the XML of `JUnit` to a file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// How long to wait for an answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    timeout: f64,
    /// How many increments each of several processes makes, where it is counted that none is lost
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    increments: u32,
    /// Say what came of each case as it ends, on standard error
    #[arg(long)]
    verbose: bool,
    /// Only list the cases that there are: name, section of SPEC.md, what it shows
    #[arg(long)]
    list: bool,
    /// The driver, with its arguments
    #[arg(last = true, required_unless_present = "list", value_name = "CMD")]
    driver: Vec<OsString>,
}

#[derive(Clone, Copy, ValueEnum)]
enum ClassName {
    Reader,
    Writer,
    Collector,
    Checker,
}

impl Conformance {
    pub(super) fn run(&self, common: &Common, output: &mut Output) -> Result<Status, Failure> {
        if self.list {
            for (id, section, description) in list() {
                if self.only.is_empty() || self.only.iter().any(|part| id.contains(&**part)) {
                    output.line(|out| write!(out, "{id}\t{section}\t{description}"))?;
                }
            }
            return Ok(Status::Clean);
        }
        let this = std::env::current_exe().map_err(|error| own("find this program", &error))?;
        let mut config = Config::new(self.driver.clone(), vec![this.into(), "conformance-driver".into()]);
        config.class = self.class.map(|class| match class {
            ClassName::Reader => Class::Reader,
            ClassName::Writer => Class::Writer,
            ClassName::Collector => Class::Collector,
            ClassName::Checker => Class::Checker,
        });
        config.only.clone_from(&self.only);
        config.increments = self.increments;
        config.timeout =
            Duration::try_from_secs_f64(self.timeout).map_err(|error| own("take --timeout", &error))?;
        if let Some(path) = &self.xfail {
            config.expected_failures =
                expected_failures(path).map_err(|error| own("read --xfail", &error))?;
        }
        let report = self.watched(&config)?;
        if let Some(path) = &self.junit {
            fs::write(path, report.junit()).map_err(|error| own("write --junit", &error))?;
        }
        if common.json {
            output.line(|out| write!(out, "{}", report.json()))?;
        } else {
            output.line(|out| out.write_all(report.text().trim_end().as_bytes()))?;
        }
        Ok(if report.is_good() { Status::Clean } else { Status::Found })
    }

    /// Runs the cases, with progress on a terminal.
    fn watched(&self, config: &Config) -> Result<Report, Failure> {
        let bar = if io::stderr().is_terminal() && !self.verbose {
            ProgressBar::new(0)
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}") {
            bar.set_style(style);
        }
        let report = run(config, &mut |stage| match stage {
            Stage::Begins(number, count, id) => {
                bar.set_length(count as u64);
                bar.set_position(number as u64);
                bar.set_message(id.to_owned());
            }
            Stage::Ended(result) if self.verbose => {
                let line = match result.grade {
                    Grade::Passed => format!("passed {} ({} ms)", result.id, result.took.as_millis()),
                    grade => format!("{} {}: {}", grade.name(), result.id, result.message),
                };
                let _ = writeln!(io::stderr(), "{line}");
            }
            Stage::Ended(_) => {}
        });
        bar.finish_and_clear();
        report.map_err(|error| own("run the kit", &error))
    }
}

/// The names in a list of expected failures.
fn expected_failures(path: &Path) -> io::Result<BTreeSet<String>> {
    let text = fs::read_to_string(path)?;
    let names = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok(names.filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn own(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::Own(ErrorClass::Io, format!("cannot {what}: {error}"))
}
