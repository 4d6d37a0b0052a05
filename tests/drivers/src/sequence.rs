//! Operations in a row, of all kinds: in place, grown, shrunk, deleted.

use sessiondir::{Result, SessionRef, SessionStore};

use crate::case::{BYSTANDER, MAIN};
use crate::site::id;

/// The steps of a sequence, each of which is to be there for good when it has returned.
pub const STEPS: usize = 7;

/// Makes step `number`.
///
/// # Errors
/// Those of the store.
///
/// # Panics
/// The session is not there.
pub fn step(store: &dyn SessionStore, number: usize) -> Result<()> {
    let main = SessionRef::from(id(MAIN));
    let set = |key: &str, value: &str| {
        store.update(&main, &mut |session| Ok(session.insert(key, value)?)).map(drop)
    };
    match number {
        0 => set("n", "one"),
        1 => set("n", "two"),
        2 => set("big", &"big".repeat(5000)),
        3 => set("n", "three"),
        4 => store.delete(&id(BYSTANDER).into()).map(drop),
        5 => {
            let mut session = store.load(&main)?.expect("is there");
            session.remove("big");
            store.save(&mut session)
        }
        _ => set("n", "four"),
    }
}
