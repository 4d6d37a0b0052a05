//! `sessiondir import`

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use sessiondir::SessionRef;
use sessiondir::session3::{ImportEvent, ImportOptions, ImportSummary, import};

use super::output::{Failure, Output};
use super::session::Named;
use super::text::{Plain, count};
use super::{Common, Status, Store};

/// Import the sessions of another format.
#[derive(Subcommand)]
pub(super) enum Import {
    Session3(Session3),
}

impl Import {
    pub(super) fn run(&self, common: &Common, output: &mut Output) -> Result<Status, Failure> {
        match self {
            Import::Session3(import) => import.run(common, output),
        }
    }
}

const HELP: &str = "\
Examples:
  sessiondir init /var/lib/app/sessions
  sessiondir import session3 --dry-run /var/lib/old/sessions /var/lib/app/sessions
  sessiondir import session3 /var/lib/old/sessions /var/lib/app/sessions

It can be run again: then it takes only what has changed since the last complete run from
the same source.

Exit status: 0 every session is in the store, 1 some were refused (each is shown, and
why), 2 the import did not come to its end; what was imported before stays.

With --json there is an object for each session: {\"imported\": session} or {\"updated\":
session} with `notes`, {\"kept\"}, {\"refused\"} or {\"skipped\"} with `why`,
{\"unchanged\"}, {\"warning\": text}; the last line is {\"summary\": {\"dry_run\",
\"imported\", \"updated\", \"kept\", \"unchanged\", \"refused\", \"skipped\", \"lossy\"}}.";

/// Import a directory of pickles that Session3 wrote.
///
/// Nothing in SRC is changed, and nothing that the pickles name is run. DIR has to be a store already: `sessiondir
/// init` makes one.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Session3 {
    /// Session3's directory
    #[arg(value_name = "SRC")]
    source: PathBuf,
    #[command(flatten)]
    pub(super) store: Store,
    /// Tell what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Refuse a session of which anything would be lost
    #[arg(long)]
    strict: bool,
    /// Take every session, not only those that have changed since the last run; brings back those that were logged
    /// out since
    #[arg(long)]
    all: bool,
    /// For how long a session with a short old ID lives on
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    expires_after: u32,
}

impl Session3 {
    fn run(&self, common: &Common, output: &mut Output) -> Result<Status, Failure> {
        let dir = &self.store.dir;
        // A dry run cannot change anything, whatever it does.
        let store =
            common.options().read_only(self.dry_run).open(dir).map_err(|error| Failure::store(dir, error))?;
        let mut options = ImportOptions::default();
        options.dry_run = self.dry_run;
        options.strict = self.strict;
        options.all = self.all;
        options.expires_after = Duration::from_secs(u64::from(self.expires_after) * 24 * 60 * 60);
        output.show_progress(&self.source, false);
        let named = |session: &SessionRef| Named::new(session, store.marker().naming, common).name;
        // Where the report cannot be written, the import goes on all the same: it is what was asked for.
        let mut written = Ok(());
        let done = import(&self.source, &store, &options, &mut |event| {
            if matches!(event, ImportEvent::Progress) {
                output.step();
            } else if written.is_ok() {
                written = if output.json {
                    report_json(&event, &named, output)
                } else {
                    report(&event, &named, output)
                };
            }
        });
        let summary = done.map_err(|error| {
            let (source, store) = (self.source.display(), dir.display());
            let note = common.note_owner(&error);
            let message = format!("import from {source} into {store}: {error}{note}");
            Failure::Own(error.class(), message)
        })?;
        written?;
        self.summarize(summary, output)?;
        Ok(if summary.refused > 0 { Status::Found } else { Status::Clean })
    }

    fn summarize(&self, summary: ImportSummary, output: &mut Output) -> Result<(), Failure> {
        let ImportSummary { imported, updated, kept, unchanged, refused, skipped, lossy, .. } = summary;
        if output.json {
            return output.object(|object| {
                object.object("summary", |object| {
                    object.bool("dry_run", self.dry_run)?;
                    object.number("imported", imported)?;
                    object.number("updated", updated)?;
                    object.number("kept", kept)?;
                    object.number("unchanged", unchanged)?;
                    object.number("refused", refused)?;
                    object.number("skipped", skipped)?;
                    object.number("lossy", lossy)
                })
            });
        }
        output.line(|out| {
            let would = if self.dry_run { "dry run, nothing was changed: " } else { "" };
            let imported = count(imported, "session");
            write!(out, "{would}{imported} imported, {updated} updated ({lossy} of them with notes), ")?;
            write!(out, "{kept} kept, {unchanged} unchanged, {refused} refused, {skipped} skipped")
        })
    }
}

/// For people: what is not as it was before. The rest is in the summary.
fn report(
    event: &ImportEvent<'_>,
    named: &dyn Fn(&SessionRef) -> String,
    output: &mut Output,
) -> Result<(), Failure> {
    let line = match event {
        ImportEvent::Imported { session, notes } | ImportEvent::Updated { session, notes } => {
            for note in *notes {
                let name = named(session);
                output.line(|out| write!(out, "note: {name}: {}", Plain(note)))?;
            }
            return Ok(());
        }
        ImportEvent::Kept { session, why } => format!("kept: {}: {why}", named(session)),
        ImportEvent::Refused { name, why } => format!("refused: {name}: {why}"),
        ImportEvent::Skipped { name, why } => format!("skipped: {name}: {why}"),
        ImportEvent::Warning(warning) => format!("warning: {warning}"),
        _ => return Ok(()),
    };
    output.line(|out| write!(out, "{}", Plain(&line)))
}

fn report_json(
    event: &ImportEvent<'_>,
    named: &dyn Fn(&SessionRef) -> String,
    output: &mut Output,
) -> Result<(), Failure> {
    let (label, name, why) = match event {
        ImportEvent::Imported { session, notes } | ImportEvent::Updated { session, notes } => {
            let label = if matches!(event, ImportEvent::Imported { .. }) { "imported" } else { "updated" };
            return output.object(|object| {
                object.text(label, &named(session))?;
                object.texts("notes", notes.iter().map(String::as_str))
            });
        }
        ImportEvent::Kept { session, why } => ("kept", named(session), Some(*why)),
        ImportEvent::Unchanged { session } => ("unchanged", named(session), None),
        ImportEvent::Refused { name, why } => ("refused", name.clone(), Some(why.as_str())),
        ImportEvent::Skipped { name, why } => ("skipped", name.clone(), Some(why.as_str())),
        ImportEvent::Warning(warning) => ("warning", warning.clone(), None),
        _ => return Ok(()),
    };
    output.object(|object| {
        object.text(label, &name)?;
        why.map_or(Ok(()), |why| object.text("why", why))
    })
}
