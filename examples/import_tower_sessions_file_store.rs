//! Takes over the sessions of tower-sessions-file-store 0.3:
//!
//!     cargo run --example import_tower_sessions_file_store --features tower-sessions-0_15 -- SOURCE STORE
//!
//! Every session keeps its ID, so nobody is logged out. The source is only read; a store that is not there is made, of naming
//! `hashed`. A session that the store has already stays as it is there, so a run that was cut short can be repeated. Not so
//! once the new site is open: a repetition brings back who has logged out of it. IDs are credentials, and are not shown: a
//! file is named by `#` and the first 8 hexadecimal digits of its name's SHA-256. docs/tower-sessions-file-store.md has the
//! whole procedure.

use std::env;
use std::error::Error;
use std::fmt;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

use serde_json::error::Category;
use sessiondir::tower_sessions_0_15::DirectorySessionStore;
use sessiondir::{Error as StoreError, Naming, Options, SessionId};
use time::OffsetDateTime;
use tower_sessions_core::session::{Id, Record};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [source, store] = arguments.as_slice() else {
        eprintln!("usage: import_tower_sessions_file_store SOURCE STORE");
        return ExitCode::from(2);
    };
    match import(source.as_ref(), store.as_ref(), &mut |line| eprintln!("{line}")) {
        Ok(summary) => {
            println!("{summary}");
            if summary.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// What has become of the source's entries, in numbers of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) imported: u64,
    /// The store has a session of that ID.
    pub(crate) kept: u64,
    pub(crate) expired: u64,
    /// Could not be read or stored; each has been told.
    pub(crate) refused: u64,
    /// No session's.
    pub(crate) others: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { imported, kept, expired, refused, others } = self;
        write!(
            f,
            "{imported} imported, {kept} kept, {expired} expired, {refused} refused; {others} other entries"
        )
    }
}

enum Fate {
    Imported,
    Kept,
    Expired,
}

/// Calls `tell` with a line for each session that it cannot take over.
pub(crate) fn import(
    source: &Path,
    store: &Path,
    tell: &mut dyn FnMut(&str),
) -> Result<Summary, Box<dyn Error>> {
    // First, lest a mistyped source leaves an empty store behind.
    let entries =
        fs::read_dir(source).map_err(|error| format!("cannot list {}: {error}", source.display()))?;
    let store = DirectorySessionStore::new(Options::new().create(true).naming(Naming::Hashed).open(store)?);
    let mut summary = Summary::default();
    for entry in entries {
        let entry = entry?;
        // The file store names a session's file so; everything else is somebody else's. A link is not followed.
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        let name = entry.file_name().into_string().ok().filter(|_| is_file);
        let Some((name, id)) =
            name.and_then(|name| Some((SessionId::new(&name).ok()?, Id::from_str(&name).ok()?)))
        else {
            summary.others += 1;
            continue;
        };
        match take(&store, &entry.path(), id) {
            Ok(Fate::Imported) => summary.imported += 1,
            Ok(Fate::Kept) => summary.kept += 1,
            Ok(Fate::Expired) => summary.expired += 1,
            Err(error) => {
                summary.refused += 1;
                tell(&format!("refused: {name}: {error}"));
            }
        }
    }
    Ok(summary)
}

fn take(store: &DirectorySessionStore, path: &Path, id: Id) -> Result<Fate, Box<dyn Error>> {
    let record: Record = serde_json::from_reader(BufReader::new(File::open(path)?)).map_err(unreadable)?;
    if record.id != id {
        return Err("holds another session: a copied or renamed file".into());
    }
    if record.expiry_date <= OffsetDateTime::now_utc() {
        return Ok(Fate::Expired);
    }
    match store.insert(&record) {
        Ok(()) => Ok(Fate::Imported),
        Err(StoreError::Conflict { .. }) => Ok(Fate::Kept),
        Err(error) => Err(error.into()),
    }
}

/// Without serde's own text, which repeats what it stumbled over: it may be the ID.
#[allow(clippy::needless_pass_by_value, reason = "it is passed to map_err")]
fn unreadable(error: serde_json::Error) -> String {
    match error.classify() {
        Category::Io => format!("cannot be read: {:?}", error.io_error_kind()),
        Category::Eof => "is empty or cut off, as a killed save leaves it".to_owned(),
        Category::Syntax | Category::Data => {
            format!("is no session's JSON, at line {} column {}", error.line(), error.column())
        }
    }
}
