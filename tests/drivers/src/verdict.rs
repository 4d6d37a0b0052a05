//! What has to hold after a kill or an error, wherever it came.

use std::path::PathBuf;

use sessiondir::{Key, Naming};

use crate::case::{Case, Deed, MAIN};
use crate::site::{View, id};

/// What a deed makes of a store.
#[derive(Clone, Debug)]
pub struct Effect {
    /// Before.
    pub old: View,
    /// After.
    pub new: View,
}

/// What was seen after a deed that ended somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing has changed.
    Old,
    /// All has changed.
    New,
    /// Some sessions have changed, of a deed on several.
    Between,
}

impl Effect {
    /// What the deed does when nothing is in its way.
    ///
    /// # Panics
    /// Something is.
    #[must_use]
    pub fn of(case: &Case) -> Self {
        case.restore();
        let child = case.child();
        // Some get ready by a save.
        let old = case.site.view();
        assert_eq!(child.finish(), 0, "{}", words(case));
        let new = case.site.view();
        assert!(old != new, "{} changes nothing", words(case));
        Effect { old, new }
    }

    /// Judges what a view shows of the store: each session is old or new, byte for byte, and none is lost.
    ///
    /// # Panics
    /// It is not.
    #[must_use]
    pub fn judge(&self, case: &Case, view: &View, at: &dyn Fn() -> String) -> Seen {
        // A generated ID is another one in each run.
        let generates = matches!(case.deed, Deed::Create | Deed::Rotate);
        let is_given = |key: &Key| !generates || self.old.contains_key(key);
        let generated = |view: &View| -> Vec<Vec<u8>> {
            view.iter().filter(|(key, _)| !is_given(key)).map(|(_, value)| value.clone()).collect()
        };
        let (made, to_make) = (generated(view), generated(&self.new));
        assert!(made.is_empty() || made == to_make, "{}: a session that is not the new one", at());
        let keys = self.old.keys().chain(self.new.keys()).chain(view.keys()).filter(|key| is_given(key));
        let (mut changed, mut unchanged) = (0, 0);
        for key in keys {
            let (old, new, now) = (self.old.get(key), self.new.get(key), view.get(key));
            assert!(now == old || now == new, "{}: {key} is neither old nor new: {}", at(), short(now));
            if old != new {
                changed += usize::from(now == new);
                unchanged += usize::from(now == old);
            }
        }
        if !to_make.is_empty() {
            changed += usize::from(!made.is_empty());
            unchanged += usize::from(made.is_empty());
        }
        if case.deed == Deed::Rotate {
            let is_old = view.contains_key(&id(MAIN).key());
            assert!(is_old || !made.is_empty(), "{}: the session is lost", at());
        }
        match (changed, unchanged) {
            (0, _) => Seen::Old,
            (_, 0) => Seen::New,
            _ => Seen::Between,
        }
    }

    /// Judges the names in the directory: there are `more` temps more than before at most, and nothing else that does not
    /// belong there.
    ///
    /// # Panics
    /// There are more.
    pub fn judge_names(&self, case: &Case, view: &View, more: usize, at: &dyn Fn() -> String) {
        let there = case.site.temps();
        assert!(there <= case.before.temps() + more, "{}: {there} temps", at());
        if case.is_in_place() {
            let is_hidden = |path: &PathBuf| path.as_os_str().as_encoded_bytes().starts_with(b".");
            let paths = case.site.paths();
            assert_eq!(
                paths.keys().filter(|path| !is_hidden(path)).count(),
                view.len(),
                "{}: other files",
                at()
            );
        }
    }

    /// Lets the next process go on, after which nothing is left to find.
    ///
    /// # Panics
    /// It cannot, or there is.
    pub fn judge_next(case: &Case, at: &dyn Fn() -> String) {
        case.site.go_on().unwrap_or_else(|error| panic!("{}: the next operation: {error}", at()));
        let found = case.site.findings();
        assert!(found.is_empty(), "{}: {found:?} after the next operation", at());
        assert_eq!(case.site.temps(), 0, "{}: a temp is left", at());
    }
}

fn short(value: Option<&Vec<u8>>) -> String {
    value.map_or_else(
        || "absent".to_owned(),
        |value| format!("{}…", value[..value.len().min(400)].escape_ascii()),
    )
}

/// A case in words.
#[must_use]
pub fn words(case: &Case) -> String {
    let naming = if case.state.naming == Naming::Plain { "plain" } else { "hashed" };
    format!(
        "{:?} ({naming}, {:?}, {} bytes, slot {} current, the other {:?})",
        case.deed, case.state.durability, case.state.size, case.state.current, case.state.fellow
    )
}
