//! The importer of Session3's pickle directories: SPEC.md section 20. What becomes of which value, and how a
//! site is moved, is in docs/session3.md.
//!
//! `pickle` is the interpreter, which knows nothing of sessions; `map` makes sessions of what it gives;
//! `source` is the directory that is read, `notes` what a store remembers of earlier runs; `import` is the run.

mod import;
mod map;
mod notes;
mod pickle;
mod source;

pub use import::{ImportEvent, ImportOptions, ImportSummary, import};

/// What an import makes of a pickle in a file named after `id`, under the limits of an import or, `tight`, under limits
/// that are 64 times smaller. Where the pickle says no ID, `id` is its own, so that what it describes is mapped.
#[cfg(feature = "seam")]
pub(crate) fn unpickle(
    pickle: &[u8],
    id: &crate::names::SessionId,
    modified: crate::time::UnixMillis,
    tight: bool,
) -> Result<(crate::record::Session, Vec<String>), String> {
    let limits = if tight { pickle::Limits::default().divided(64) } else { pickle::Limits::default() };
    let mut loaded =
        pickle::load(pickle, &limits).map_err(|error| import::without_id(error.to_string(), id))?;
    if !loaded.attributes.iter().any(|(name, _)| name == "id") {
        loaded.attributes.push(("id".to_owned(), pickle::Plain::Text(id.expose().to_owned())));
    }
    let map::Mapped { session, notes } =
        map::map(loaded, id, modified).map_err(|why| import::without_id(why, id))?;
    Ok((session, notes.into_iter().map(|note| import::without_id(note, id)).collect()))
}
