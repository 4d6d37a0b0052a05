//! Copying a store into another one: into naming `hashed`, since a store's naming is fixed (MARK-5).

use std::io;
use std::ops::ControlFlow;

use crate::error::{Error, Result};
use crate::locks;
use crate::names::{Naming, SessionRef};
use crate::store::DirectoryStore;

/// What a conversion tells while it runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A session was copied.
    Copied(&'a SessionRef),
    /// There is a session of that name already; it was left as it is.
    Kept(&'a SessionRef),
    /// A session could not be read or written.
    Failed(&'a Error),
}

/// What a conversion has done, in numbers of sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Copied.
    pub copied: u64,
    /// There already, and left as they were.
    pub kept: u64,
    /// Not read, or not written.
    pub failed: u64,
}

/// Copies every session of `from` that is not expired into `to`, with everything that it holds, its revision and its
/// times; and, where `to` has none, the notes of migrators, so that a later import knows what was imported before. `from` is not changed.
/// Calls `tell` for each session, on this thread.
///
/// Stop whatever writes to `from` first: what it changes after a session was copied is not in the copy. A
/// conversion that was killed can be run again.
///
/// # Errors
/// `from` is of naming `hashed` and `to` of naming `plain`, whose files bear the IDs that the former does not hold
/// (`io`); they are the same directory (`io`); `from` cannot be listed; `to` is read-only; `no-space`.
pub fn convert(
    from: &DirectoryStore,
    to: &DirectoryStore,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Summary> {
    locks::enter()?;
    let refuse =
        |why| Err(Error::io("convert the store", None, io::Error::new(io::ErrorKind::InvalidInput, why)));
    if from.identity()? == to.identity()? {
        return refuse("both are the same directory; name another one");
    }
    if (from.marker.naming, to.marker.naming) == (Naming::Hashed, Naming::Plain) {
        return refuse(
            "a store of naming hashed does not hold the IDs after which naming plain names its files; make the new store with naming hashed",
        );
    }
    to.writable()?;
    let mut summary = Summary::default();
    let mut ended = Ok(());
    from.scan(&mut |read| {
        let copied = read.and_then(|session| match session.reference().cloned() {
            Some(reference) => to.copy(&reference, &session).map(|copied| Some((copied, reference))),
            None => Ok(None),
        });
        match copied {
            Ok(None) => {}
            Ok(Some((true, session))) => {
                summary.copied += 1;
                tell(Event::Copied(&session));
            }
            Ok(Some((false, session))) => {
                summary.kept += 1;
                tell(Event::Kept(&session));
            }
            // No other session will fit either.
            Err(error @ Error::NoSpace { .. }) => {
                ended = Err(error);
                return ControlFlow::Break(());
            }
            Err(error) => {
                summary.failed += 1;
                tell(Event::Failed(&error));
            }
        }
        ControlFlow::Continue(())
    })?;
    ended?;
    // Notes of its own tell `to` more than those of the store that it was copied from.
    let notes = from.imports(IMPORTS_MOST)?;
    if !notes.is_empty() && to.imports(IMPORTS_MOST)?.is_empty() {
        to.note_imports(&notes)?;
    }
    Ok(summary)
}

/// How much of the notes of migrators is read at most, in bytes.
const IMPORTS_MOST: usize = 64 << 20;
