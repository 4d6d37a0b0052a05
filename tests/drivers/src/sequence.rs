//! Operations in a row, of all kinds: in place, grown, shrunk, deleted; and single saves, by processes of their own.

use sessiondir::{Result, SessionRef, SessionStore};

use crate::case::{BYSTANDER, MAIN};
use crate::child::{Child, code};
use crate::site::{NOW, Site, id};

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

/// A child that saves that number, stopped before it. It ends with the [`code`] of what came of it.
#[must_use]
pub fn saver(site: &Site, number: u64) -> Child {
    Child::new(|begin| {
        let store = site.open(NOW);
        begin();
        code(&store.update(&id(MAIN).into(), &mut |session| Ok(session.insert("n", &number)?)))
    })
}
