//! `sessiondir repair`

use clap::Args;
use sessiondir::repair::{Action, Event, Repair as Repaired, Summary, repair};
use sessiondir::rule::Severity;

use super::output::{Failure, Output, message};
use super::text::{Plain, count};
use super::{Common, Status, Store};

const HELP: &str = "\
Examples:
  sessiondir repair /var/lib/app/sessions
  sessiondir repair --apply /var/lib/app/sessions

What is corrupt is moved to .quarantine; a session that can be read stays what it is. Only
what killed programs left is removed. What is left alone (foreign files, what a newer
version wrote, what cannot be read) is told, for you to decide.

Exit status: 0 with --apply: no error is left; without: there is nothing to repair. 1
something is to be repaired, or could not be, or is an error that no repair mends. 2 the
store could not be repaired to the end.

With --json there is an object for each finding, with the members that check gives,
`action` (quarantine, rewrite, remove, mode, make-lock-file or leave) and, where it was
tried, `done` and `error`; the last line is {\"summary\": {\"applied\", \"repaired\",
\"left\", \"failed\", \"sessions\"}}.";

/// Mend a store; without --apply, only tell what would be done.
///
/// It can be run while the store is in use. Killed at any point, a second run finishes the work.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Repair {
    #[command(flatten)]
    pub(super) store: Store,
    /// Do it
    #[arg(long)]
    apply: bool,
}

impl Repair {
    pub(super) fn run(&self, common: &Common, output: &mut Output) -> Result<Status, Failure> {
        let dir = &self.store.dir;
        output.show_progress(dir, false);
        // Where the report cannot be written, the repair goes on all the same: it is what was asked for.
        let (mut written, mut wrong) = (Ok(()), false);
        let summary = repair(dir, &common.scanning(), self.apply, &mut |event| match event {
            Event::Repair(repair) => {
                wrong |= is_wrong(&repair, self.apply);
                if written.is_ok() {
                    written = self.report(&repair, common, output);
                }
            }
            Event::Looked => output.step(),
            _ => {}
        });
        let summary = summary.map_err(|error| Failure::store(dir, error))?;
        written?;
        self.summarize(&summary, output)?;
        Ok(if wrong { Status::Found } else { Status::Clean })
    }

    fn report(&self, repair: &Repaired<'_>, common: &Common, output: &mut Output) -> Result<(), Failure> {
        let (finding, action) = (repair.finding, repair.action);
        let path = finding.place.path(common.full_ids);
        let error = repair.done.and_then(|done| done.as_ref().err());
        if output.json {
            return output.object(|object| {
                object.text("action", action.name())?;
                if let Some(done) = repair.done {
                    object.bool("done", done.is_ok())?;
                }
                if let Some(error) = error {
                    object.text("error", error.class().name())?;
                    object.text("message", &message(&self.store.dir, error))?;
                }
                super::check::members(object, finding, &path)
            });
        }
        output.line(|out| {
            let would = if self.apply || action == Action::Leave { "" } else { "would " };
            let (kind, detail) = (finding.kind.name(), Plain(&finding.detail));
            write!(out, "{would}{}: {path} [{kind} {}]: {detail}", action.name(), finding.rule)?;
            match repair.done {
                Some(Err(error)) => write!(out, "; failed: {}", Plain(&error.to_string())),
                Some(Ok(())) => write!(out, "; done"),
                None => Ok(()),
            }
        })
    }

    fn summarize(&self, summary: &Summary, output: &mut Output) -> Result<(), Failure> {
        let Summary { repaired, left, failed, sessions, .. } = *summary;
        if output.json {
            return output.object(|object| {
                object.object("summary", |object| {
                    object.bool("applied", self.apply)?;
                    object.number("repaired", repaired)?;
                    object.number("left", left)?;
                    object.number("failed", failed)?;
                    object.number("sessions", sessions)
                })
            });
        }
        output.line(|out| {
            let sessions = count(sessions, "session");
            if self.apply {
                write!(
                    out,
                    "{sessions}: {} repaired, {left} left, {failed} failed",
                    count(repaired, "finding")
                )
            } else {
                let repaired = count(repaired, "finding");
                write!(
                    out,
                    "nothing was changed: {sessions}, {repaired} to repair (--apply does it), {left} to leave"
                )
            }
        })
    }
}

/// Whether something is wrong with the store after this.
fn is_wrong(repair: &Repaired<'_>, apply: bool) -> bool {
    match (repair.action, repair.done) {
        (Action::Leave, _) => repair.finding.severity() == Severity::Error,
        (_, Some(done)) => done.is_err(),
        (_, None) => !apply,
    }
}
