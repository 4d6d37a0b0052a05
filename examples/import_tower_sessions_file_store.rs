//! Takes over the sessions of tower-sessions-file-store 0.3:
//!
//!     cargo run --example import_tower_sessions_file_store --features tower-sessions-0_15 -- SOURCE STORE
//!
//! Every session keeps its ID, so nobody is logged out. The source is only read. A session that the store has already
//! stays as it is there, so that the program can be run again. IDs are credentials, and are not shown: a file is named by
//! the first 8 hexadecimal digits of its name's SHA-256.

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

use sessiondir::{Error as StoreError, Options, Session, SessionId, UnixMillis};
use tower_sessions_core::session::{Id, Record};

/// What has become of a file.
enum Fate {
    Imported,
    /// The store has it.
    Kept,
    Expired,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [source, store] = arguments.as_slice() else {
        eprintln!("usage: import_tower_sessions_file_store SOURCE STORE");
        return ExitCode::from(2);
    };
    match import(source.as_ref(), store.as_ref()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Says how many files could not be taken over.
fn import(source: &Path, store: &Path) -> Result<u64, Box<dyn Error>> {
    let store = Options::new().create(true).open(store)?;
    let (mut imported, mut kept, mut expired, mut refused, mut others) = (0, 0, 0, 0, 0);
    for entry in fs::read_dir(source).map_err(|error| format!("cannot list {}: {error}", source.display()))? {
        let entry = entry?;
        // The file store's name for a session; everything else is somebody else's.
        let id =
            entry.file_name().to_str().and_then(|name| Some((name.to_owned(), Id::from_str(name).ok()?)));
        let Some((name, id)) = id.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_file())) else {
            others += 1;
            continue;
        };
        let name = SessionId::new(name)?;
        match take(&store, &entry.path(), &name, id) {
            Ok(Fate::Imported) => imported += 1,
            Ok(Fate::Kept) => kept += 1,
            Ok(Fate::Expired) => expired += 1,
            Err(error) => {
                refused += 1;
                eprintln!("refused: {name}: {error}");
            }
        }
    }
    println!(
        "{imported} imported, {kept} kept, {expired} expired, {refused} refused; {others} other entries"
    );
    Ok(refused)
}

fn take(
    store: &sessiondir::DirectoryStore,
    path: &Path,
    name: &SessionId,
    id: Id,
) -> Result<Fate, Box<dyn Error>> {
    let record: Record = serde_json::from_reader(std::io::BufReader::new(File::open(path)?))?;
    if record.id != id {
        return Err("holds another session: a copied or renamed file".into());
    }
    let millis = u64::try_from(record.expiry_date.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    let expires = UnixMillis::from_millis(millis).unwrap_or(UnixMillis::MAX);
    if expires <= UnixMillis::now() {
        return Ok(Fate::Expired);
    }
    let mut session = Session::new();
    session.set_expires(Some(expires));
    for (key, value) in &record.data {
        session.insert(key, value)?;
    }
    match store.insert(name, &mut session) {
        Ok(()) => Ok(Fate::Imported),
        Err(StoreError::Conflict { .. }) => Ok(Fate::Kept),
        Err(error) => Err(error.into()),
    }
}
