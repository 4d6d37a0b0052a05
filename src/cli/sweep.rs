//! `sessiondir sweep`

use std::time::Duration;

use clap::Args;
use sessiondir::SessionRef;
use sessiondir::sweep::{SweepEvent, SweepOptions, SweepSummary};

use super::output::{Failure, Output, message};
use super::session::Named;
use super::text::count;
use super::{Common, Status, Store, span};

const HELP: &str = "\
Examples:
  sessiondir sweep /var/lib/app/sessions
  sessiondir sweep --idle 30d --quarantine-older 30d /var/lib/app/sessions
  sessiondir sweep --idle 30m --skip-written 30m /var/lib/app/sessions
  sessiondir sweep --dry-run --idle 30m /var/lib/app/sessions

A span of time is a whole number and a unit: ms, s, m, h or d. A budget (--max-files,
--max-time) ends the sweep early, which is no error. A sweep with a budget starts at a
random place, so that several come to every session in the end.

A file that was written to within the span of --skip-written is left as it is, by its
modification time: a session that was in use since is not idle, and one that expires
unused is removed by a later sweep.

Exit status: 0 done, or ended by the budget; 1 some sessions could not be read or removed
and were left (an error is shown for each), 2 the store could not be swept.

With --json there is {\"removed\": session} or an error for each session; the last line is
{\"summary\": {\"dry_run\", \"complete\", \"removed\", \"remaining\", \"failed\", \"temps\",
\"quarantined\"}}, quarantined being what was removed from the quarantine.";

/// Remove expired sessions, and what killed programs left.
///
/// It can be run while the store is in use: run it once a day. What cannot be read, what a newer version wrote and
/// what is not the format's stays.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Sweep {
    #[command(flatten)]
    pub(super) store: Store,
    /// Remove sessions too that were not accessed for this long
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    idle: Option<Duration>,
    /// Tell what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// End after this many files
    #[arg(long, value_name = "N")]
    max_files: Option<u64>,
    /// End after this long
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    max_time: Option<Duration>,
    /// Remove what a repair put in quarantine this long ago or longer
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    quarantine_older: Option<Duration>,
    /// Leave files that were written to within this long unread, which is faster
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    skip_written: Option<Duration>,
}

impl Sweep {
    pub(super) fn run(&self, common: &Common, output: &mut Output) -> Result<Status, Failure> {
        let dir = &self.store.dir;
        let failed = |error| Failure::store(dir, error);
        let store = common.scanning().read_only(self.dry_run).open(dir).map_err(failed)?;
        let options = SweepOptions {
            idle: self.idle,
            dry_run: self.dry_run,
            max_files: self.max_files,
            max_time: self.max_time,
            quarantine_older: self.quarantine_older,
            skip_written: self.skip_written,
        };
        output.show_progress(dir, false);
        let named = |session: &SessionRef| Named::new(session, store.marker().naming, common).name;
        // Where the report cannot be written, the sweep goes on all the same: it is what was asked for.
        let mut written = Ok(());
        let summary = store.sweep_with(&options, &mut |event| match event {
            SweepEvent::Removed(session) if written.is_ok() && output.json => {
                written = output.object(|object| object.text("removed", &named(session)));
            }
            SweepEvent::Failed(error) if written.is_ok() => {
                written = output.complain(error.class(), &message(dir, error));
            }
            SweepEvent::Looked => output.step(),
            _ => {}
        });
        let summary = summary.map_err(failed)?;
        written?;
        self.summarize(&summary, output)?;
        Ok(if summary.failed > 0 { Status::Found } else { Status::Clean })
    }

    fn summarize(&self, summary: &SweepSummary, output: &mut Output) -> Result<(), Failure> {
        let SweepSummary { removed, remaining, failed, temps, quarantined, complete, .. } = *summary;
        if output.json {
            return output.object(|object| {
                object.object("summary", |object| {
                    object.bool("dry_run", self.dry_run)?;
                    object.bool("complete", complete)?;
                    object.number("removed", removed)?;
                    object.number("remaining", remaining)?;
                    object.number("failed", failed)?;
                    object.number("temps", temps)?;
                    object.number("quarantined", quarantined)
                })
            });
        }
        output.line(|out| {
            if self.dry_run {
                write!(out, "dry run, nothing was changed: ")?;
            }
            write!(out, "{} removed, {remaining} left, {failed} failed; ", count(removed, "session"))?;
            write!(out, "{} and {quarantined} in quarantine removed", count(temps, "temp"))?;
            if complete { Ok(()) } else { write!(out, "; ended by its budget, before all were looked at") }
        })
    }
}
