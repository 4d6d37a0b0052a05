//! `sessiondir check`

use std::io;

use clap::{Args, ValueEnum};
use sessiondir::check::{Event, Finding, Summary};

use super::json::Object;
use super::output::{Failure, Output};
use super::text::{Plain, count};
use super::{Common, Status, Store};

const HELP: &str = "\
Examples:
  sessiondir check /var/lib/app/sessions
  sessiondir check --json --deny warnings /var/lib/app/sessions

Exit status: 0 no finding of severity error (with --deny warnings: no finding), 1 there
are some, 2 the store could not be checked to the end.

With --json each finding is an object with `finding` (its name), `rule`, `severity`,
`path`, `detail` and, where it is about bytes, `offset`; the last line is {\"summary\":
{\"sessions\", \"expired\", \"errors\", \"warnings\"}}.";

/// Check a store, and report what breaks the format's rules.
///
/// It changes nothing, and can be run while the store is in use.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Check {
    #[command(flatten)]
    pub(super) store: Store,
    /// Fail on these too
    #[arg(long, value_enum, value_name = "WHAT")]
    deny: Option<Deny>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Deny {
    /// Findings of severity warning
    Warnings,
}

impl Check {
    pub(super) fn run(&self, common: &Common, output: &mut Output) -> Result<Status, Failure> {
        let dir = &self.store.dir;
        output.show_progress(dir, false);
        let tell = &mut |event: Event<'_>| match event {
            Event::Finding(finding) => {
                if let Err(failure) = report(finding, common, output) {
                    // Nobody listens any more, and a checker leaves nothing half done.
                    std::process::exit(output.end(Err(failure)) as i32);
                }
            }
            Event::Checked => output.step(),
            _ => {}
        };
        let summary = sessiondir::check::check(dir, &common.scanning(), tell)
            .map_err(|error| Failure::store(dir, error))?;
        summarize(summary, output)?;
        let found = summary.errors > 0 || (self.deny == Some(Deny::Warnings) && summary.warnings > 0);
        Ok(if found { Status::Found } else { Status::Clean })
    }
}

fn report(finding: &Finding, common: &Common, output: &mut Output) -> Result<(), Failure> {
    let path = finding.place.path(common.full_ids);
    if output.json {
        return output.object(|object| members(object, finding, &path));
    }
    output.line(|out| {
        let (severity, kind) = (finding.severity().name(), finding.kind.name());
        write!(out, "{severity}: {path} [{kind} {}]", finding.rule)?;
        if let Some(offset) = finding.offset {
            write!(out, " at byte {offset}")?;
        }
        write!(out, ": {}", Plain(&finding.detail))
    })
}

/// The members that a finding's object has.
pub(super) fn members(object: &mut Object<'_>, finding: &Finding, path: &str) -> io::Result<()> {
    object.text("finding", finding.kind.name())?;
    object.text("rule", finding.rule.id())?;
    object.text("severity", finding.severity().name())?;
    object.text("path", path)?;
    if let Some(offset) = finding.offset {
        object.number("offset", offset)?;
    }
    object.text("detail", &finding.detail)
}

fn summarize(summary: Summary, output: &mut Output) -> Result<(), Failure> {
    let Summary { sessions, expired, errors, warnings, .. } = summary;
    if output.json {
        return output.object(|object| {
            object.object("summary", |object| {
                object.number("sessions", sessions)?;
                object.number("expired", expired)?;
                object.number("errors", errors)?;
                object.number("warnings", warnings)
            })
        });
    }
    output.line(|out| {
        let (sessions, errors) = (count(sessions, "session"), count(errors, "error"));
        write!(out, "{sessions} ({expired} expired), {errors}, {}", count(warnings, "warning"))
    })
}
