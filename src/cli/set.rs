//! `sessiondir set`

use clap::Args;
use sessiondir::Durability;

use super::init::DurabilityArg;
use super::output::{Failure, Output};
use super::text::Plain;
use super::{Common, Status, Store};

const HELP: &str = "\
Example:
  sessiondir set /var/lib/app/sessions --durability process

Programs that have the store open keep to the old durability until they open it again:
restart them, and then, if it is to be power, run this once more, for what they have
written meanwhile. (The naming cannot be changed; `sessiondir convert` makes a new store.)

Exit status: 0 the store has that durability now, 2 nothing was changed: not a store, a
writer that does not come to its end, an error of the system.

With --json the last line is {\"store\", \"naming\", \"durability\", \"was\"}.";

/// Change what a store promises.
///
/// It waits for writers that are at work, and keeps others waiting. For power it puts every session on
/// the disk, which takes as long as reading them all.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Set {
    #[command(flatten)]
    pub(super) store: Store,
    /// What an operation that has succeeded survives
    #[arg(long, value_enum)]
    durability: DurabilityArg,
}

impl Set {
    pub(super) fn run(&self, common: &Common, output: &mut Output) -> Result<Status, Failure> {
        let dir = &self.store.dir;
        let failed = |error| Failure::store(dir, error);
        let before = *common.open(dir)?.marker();
        let durability: Durability = self.durability.into();
        sessiondir::store::set_durability(dir, &common.options(), durability).map_err(failed)?;
        let (word, was) = (durability.word(), before.durability.word());
        if output.json {
            output.object(|object| {
                object.text("store", &dir.to_string_lossy())?;
                object.text("naming", before.naming.word())?;
                object.text("durability", word)?;
                object.text("was", was)
            })?;
        } else {
            let dir = dir.to_string_lossy();
            let changed = match durability {
                _ if word == was => "was that already",
                Durability::Power => "restart what has it open, and run this once more",
                Durability::Process => "restart what has it open",
            };
            output
                .line(|out| write!(out, "the store in {} has durability {word}; {changed}", Plain(&dir)))?;
        }
        Ok(Status::Clean)
    }
}
