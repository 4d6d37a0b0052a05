//! `sessiondir convert`

use std::path::PathBuf;

use clap::Args;
use sessiondir::convert::{Event, Summary, convert};
use sessiondir::{Durability, Error, ErrorClass, Marker, Naming, SessionRef};

use super::init::{DurabilityArg, NamingArg};
use super::output::{Failure, Output, message};
use super::session::Named;
use super::text::{Plain, count};
use super::{Common, Status};

const HELP: &str = "\
Examples:
  sessiondir convert /var/lib/app/sessions /var/lib/app/hashed
  sessiondir convert --durability process /var/lib/app/sessions /var/lib/app/quick

Stop what uses SRC first: what it saves after a session was copied stays behind, and a
session that is in DST already is kept there as it is. Run again, it copies what is not
there yet. A store of naming hashed does not hold its sessions' IDs, so it cannot become
one of naming plain.

Exit status: 0 every session that is not expired is in DST, 1 some could not be copied (an
error is shown for each), 2 the stores cannot be converted, or not to the end.

With --json there is {\"copied\": session}, {\"kept\": session} or an error for each
session; the last line is {\"summary\": {\"naming\", \"durability\", \"copied\",
\"kept\", \"failed\"}}.";

/// Copy all sessions of a store into another, new one: to change its naming.
///
/// SRC is not changed. DST is made where it is not there.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Convert {
    /// The store that there is
    #[arg(value_name = "SRC")]
    pub(super) source: PathBuf,
    /// The directory of the new store
    #[arg(value_name = "DST")]
    target: PathBuf,
    /// How session files are named in DST [default: hashed, or as DST has it]
    #[arg(long, value_enum)]
    naming: Option<NamingArg>,
    /// What an operation that has succeeded survives in DST [default: as SRC or DST has it]
    #[arg(long, value_enum)]
    durability: Option<DurabilityArg>,
}

impl Convert {
    pub(super) fn run(&self, common: &Common, output: &mut Output) -> Result<Status, Failure> {
        let (source, target) = (&self.source, &self.target);
        let failed = |error: Error| {
            let note = common.note_owner(&error);
            let (source, target) = (source.display(), target.display());
            Failure::Own(error.class(), format!("convert {source} to {target}: {error}{note}"))
        };
        let from = common.scanning().read_only(true).open(source).map_err(|e| Failure::store(source, e))?;
        self.refuse_place()?;
        let there = common.options().read_only(true).open(target).ok().map(|store| *store.marker());
        let naming = self.naming.map(Naming::from);
        let durability = self.durability.map(Durability::from);
        if let Some(marker) = there
            && (naming.is_some_and(|naming| naming != marker.naming)
                || durability.is_some_and(|durability| durability != marker.durability))
        {
            let (naming, durability) = (marker.naming.word(), marker.durability.word());
            return Err(refused(format!(
                "{}: is a store already, of naming {naming} and durability {durability}; name a new one",
                target.display()
            )));
        }
        let naming = naming.or(there.map(|marker| marker.naming)).unwrap_or(Naming::Hashed);
        // Before anything is made.
        if (from.marker().naming, naming) == (Naming::Hashed, Naming::Plain) {
            return Err(refused(format!(
                "{}: a store of naming hashed does not hold the IDs that naming plain needs",
                source.display()
            )));
        }
        let durability = durability.unwrap_or(from.marker().durability);
        let options = common.options().create(true).naming(naming).durability(durability);
        let to = options.open(target).map_err(|error| {
            let note = common.note_owner(&error);
            super::init::explain(target, error, &note)
        })?;
        output.show_progress(source, false);
        let named = |session: &SessionRef| Named::new(session, to.marker().naming, common).name;
        // Where the report cannot be written, the copying goes on all the same: it is what was asked for.
        let mut written = Ok(());
        let summary = convert(&from, &to, &mut |event| {
            output.step();
            if written.is_ok() {
                written = match event {
                    Event::Copied(session) if output.json => {
                        output.object(|object| object.text("copied", &named(session)))
                    }
                    Event::Kept(session) if output.json => {
                        output.object(|object| object.text("kept", &named(session)))
                    }
                    Event::Failed(error) => output.complain(error.class(), &message(source, error)),
                    _ => Ok(()),
                };
            }
        });
        let summary = summary.map_err(failed)?;
        written?;
        self.summarize(summary, to.marker(), output)?;
        Ok(if summary.failed > 0 { Status::Found } else { Status::Clean })
    }

    /// Refuses a target that is the source or would be made in it.
    fn refuse_place(&self) -> Result<(), Failure> {
        let Ok(source) = self.source.canonicalize() else { return Ok(()) };
        // A target that is not there yet has a parent that is.
        let target = self.target.canonicalize().or_else(|_| match self.target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.canonicalize(),
            _ => std::env::current_dir(),
        });
        match target {
            // It may be a session's file that was given for the target, so that is not repeated (NAME-8).
            Ok(target) if target.starts_with(&source) => Err(refused(format!(
                "the target is {}, or would be in it; name a directory elsewhere",
                self.source.display()
            ))),
            _ => Ok(()),
        }
    }

    fn summarize(&self, summary: Summary, marker: &Marker, output: &mut Output) -> Result<(), Failure> {
        let Summary { copied, kept, failed, .. } = summary;
        if output.json {
            return output.object(|object| {
                object.object("summary", |object| {
                    object.text("naming", marker.naming.word())?;
                    object.text("durability", marker.durability.word())?;
                    object.number("copied", copied)?;
                    object.number("kept", kept)?;
                    object.number("failed", failed)
                })
            });
        }
        output.line(|out| {
            let target = self.target.to_string_lossy();
            let (naming, durability) = (marker.naming.word(), marker.durability.word());
            write!(out, "{} copied to {}", count(copied, "session"), Plain(&target))?;
            write!(out, " (naming {naming}, durability {durability}), {kept} kept, {failed} failed")
        })
    }
}

fn refused(message: impl std::fmt::Display) -> Failure {
    Failure::Own(ErrorClass::Io, format!("io: {message}"))
}
