//! `sessiondir stats`

use clap::Args;
use sessiondir::UnixMillis;
use sessiondir::stats::Stats as Numbers;

use super::output::{Failure, Output};
use super::text::relative;
use super::{Common, Status, Store};

const HELP: &str = "\
Examples:
  sessiondir stats /var/lib/app/sessions
  sessiondir stats --json /var/lib/app/sessions

live: not expired. legacy: of the live ones, those with an ID of fewer than 22 characters
(in a store of naming hashed nobody can tell). stillborn, temps: what killed programs or a
power failure left; a sweep removes them. A slot is half a session's file.

Exit status: 0 all was looked at, whatever it is; 1 some files could not be read; 2 the
store could not be looked at to the end.

With --json there is one object, with `live`, `expired`, `legacy`, `stillborn`,
`unsupported`, `corrupt`, `unreadable`, `temps`, `foreign`, `quarantined`, `bytes`,
`slot_sizes` ({size in bytes: number of files}) and, where there is a session,
`oldest_access`, in milliseconds since 1970.";

/// Count what is in a store.
///
/// It changes nothing, and can be run while the store is in use.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Stats {
    #[command(flatten)]
    pub(super) store: Store,
}

impl Stats {
    pub(super) fn run(&self, common: &Common, output: &mut Output) -> Result<Status, Failure> {
        let dir = &self.store.dir;
        let failed = |error| Failure::store(dir, error);
        let store = common.scanning().read_only(true).open(dir).map_err(failed)?;
        output.show_progress(dir, false);
        let numbers = store.stats(&mut || output.step()).map_err(failed)?;
        let counts = counts(&numbers);
        if output.json {
            output.object(|object| {
                for (name, number) in counts {
                    object.number(name, number)?;
                }
                object.object("slot_sizes", |sizes| {
                    numbers
                        .slot_sizes
                        .iter()
                        .try_for_each(|(size, files)| sizes.number(&size.to_string(), *files))
                })?;
                numbers.oldest_access.map_or(Ok(()), |at| object.number("oldest_access", at.as_millis()))
            })?;
        } else {
            for (name, number) in counts {
                output.line(|out| write!(out, "{name:13} {number:>12}"))?;
            }
            if let Some(at) = numbers.oldest_access {
                output.line(|out| write!(out, "oldest access {at} ({})", relative(at, UnixMillis::now())))?;
            }
            histogram(&numbers, output)?;
        }
        Ok(if numbers.unreadable > 0 { Status::Found } else { Status::Clean })
    }
}

fn counts(numbers: &Numbers) -> [(&'static str, u64); 11] {
    [
        ("live", numbers.live),
        ("expired", numbers.expired),
        ("legacy", numbers.legacy),
        ("stillborn", numbers.stillborn),
        ("unsupported", numbers.unsupported),
        ("corrupt", numbers.corrupt),
        ("unreadable", numbers.unreadable),
        ("temps", numbers.temps),
        ("foreign", numbers.foreign),
        ("quarantined", numbers.quarantined),
        ("bytes", numbers.bytes),
    ]
}

/// How wide the longest bar is.
const WIDTH: u64 = 40;

fn histogram(numbers: &Numbers, output: &mut Output) -> Result<(), Failure> {
    let Some(most) = numbers.slot_sizes.values().max() else { return Ok(()) };
    output.line(|out| write!(out, "{:>13} {:>12}", "slot size", "files"))?;
    for (size, files) in &numbers.slot_sizes {
        // A file is seen, however few they are.
        let bar = (files * WIDTH).div_ceil((*most).max(1));
        output.line(|out| {
            write!(out, "{size:>13} {files:>12} ")?;
            (0..bar).try_for_each(|_| write!(out, "#"))
        })?;
    }
    Ok(())
}
