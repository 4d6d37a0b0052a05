//! Test only (feature `seam`): what is inside of the library, as pure functions over bytes. For the fuzzer, which
//! looks at thousands of inputs a second and has no time for files. Never enable it in production.

use crate::check::{self, Finding};
use crate::error::Result;
use crate::marker::Marker;
use crate::names::SessionRef;
use crate::read;
use crate::record::Session;
use crate::time::UnixMillis;

/// What the two who look at a session's file say of it.
#[derive(Debug)]
pub struct Judged {
    /// What a load gives.
    pub loaded: Result<Option<Session>>,
    /// What a check reports of the file's bytes.
    pub findings: Vec<Finding>,
}

/// What a reader and a checker say of the file of `session`, in a store of `marker`, when it holds `file` and nobody
/// is writing to it. `None` where a session known so has no file in such a store.
#[must_use]
pub fn judge(file: &[u8], session: &SessionRef, marker: &Marker, now: UnixMillis) -> Option<Judged> {
    let name = session.file_name(marker.naming)?;
    let loaded = read::settled_bytes(file, marker, &name).map(|loaded| {
        let loaded = loaded.map(|loaded| loaded.known_as(session));
        loaded.filter(|loaded| !loaded.is_expired(now))
    });
    Some(Judged { loaded, findings: check::findings_in(file, marker, &name, now) })
}

/// What a pickle comes to.
#[cfg(feature = "session3")]
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The session, as a first revision.
    pub session: Session,
    /// What of it is not as it was.
    pub notes: Vec<String>,
}

/// What an import makes of the pickle in a file named after `id`, last written at `modified`. With `tight`, under
/// limits that are 64 times smaller.
///
/// # Errors
/// Why the pickle is refused.
#[cfg(feature = "session3")]
pub fn unpickle(
    pickle: &[u8],
    id: &crate::names::SessionId,
    modified: UnixMillis,
    tight: bool,
) -> std::result::Result<Imported, String> {
    let (session, notes) = crate::session3::unpickle(pickle, id, modified, tight)?;
    Ok(Imported { session: session.first(id.into()), notes })
}
