//! `sessiondir init`

use std::io;
use std::path::Path;

use clap::{Args, ValueEnum};
use sessiondir::error::NotAStore;
use sessiondir::{Durability, Error, ErrorClass, Naming};

use super::output::{Failure, Output, message};
use super::{Common, Status, Store};

const HELP: &str = "\
Example:
  sessiondir init /var/lib/app/sessions --naming hashed

Exit status: 0 the store is made, 2 it is not: there is one already, the directory is not
empty, or the system refuses.";

/// Make a store in a new or an empty directory.
///
/// The parent directory has to exist. The naming can never be changed afterwards.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Init {
    #[command(flatten)]
    pub(super) store: Store,
    /// How session files are named
    #[arg(long, value_enum, default_value_t)]
    naming: NamingArg,
    /// What an operation that has succeeded survives
    #[arg(long, value_enum, default_value_t)]
    durability: DurabilityArg,
}

#[derive(Clone, Copy, Default, ValueEnum)]
pub(super) enum NamingArg {
    /// By the session's ID: a listing of the directory holds credentials
    #[default]
    Plain,
    /// By the SHA-256 of the session's ID
    Hashed,
}

#[derive(Clone, Copy, Default, ValueEnum)]
pub(super) enum DurabilityArg {
    /// A loss of power
    #[default]
    Power,
    /// The death of the process; a loss of power may take sessions back
    Process,
}

impl From<NamingArg> for Naming {
    fn from(naming: NamingArg) -> Self {
        match naming {
            NamingArg::Plain => Naming::Plain,
            NamingArg::Hashed => Naming::Hashed,
        }
    }
}

impl From<DurabilityArg> for Durability {
    fn from(durability: DurabilityArg) -> Self {
        match durability {
            DurabilityArg::Power => Durability::Power,
            DurabilityArg::Process => Durability::Process,
        }
    }
}

impl Init {
    pub(super) fn run(&self, common: &Common, output: &mut Output) -> Result<Status, Failure> {
        let (naming, durability) = (self.naming.into(), self.durability.into());
        let dir = &self.store.dir;
        let options = common.options().naming(naming).durability(durability);
        sessiondir::init(dir, &options).map_err(|error| explain(dir, error, ""))?;
        if output.json {
            output.object(|object| {
                object.text("store", &dir.to_string_lossy())?;
                object.text("naming", naming.word())?;
                object.text("durability", durability.word())
            })?;
        } else {
            output.line(|out| {
                let dir = dir.to_string_lossy();
                let dir = super::text::Plain(&dir);
                write!(
                    out,
                    "made a store in {dir}: naming {}, durability {}",
                    naming.word(),
                    durability.word()
                )
            })?;
        }
        Ok(Status::Clean)
    }
}

/// The error, where making a store fails otherwise than opening one; `note` is added to it.
pub(super) fn explain(dir: &Path, error: Error, note: &str) -> Failure {
    let shown = dir.display();
    match &error {
        Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            let message = format!("io: {shown}: its parent directory does not exist; make that first");
            Failure::Own(ErrorClass::Io, message)
        }
        // mkdir(2) found something of that name, open(2) nothing.
        Error::NotAStore { why: NotAStore::Missing, .. } => {
            let message = format!(
                "not-a-store: {shown}: is a symbolic link that leads nowhere; remove it, or name another"
            );
            Failure::Own(ErrorClass::NotAStore, message)
        }
        _ if note.is_empty() => Failure::store(dir, error),
        _ => Failure::Own(error.class(), format!("{}{note}", message(dir, &error))),
    }
}
