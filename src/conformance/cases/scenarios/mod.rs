//! Scenarios: a directory before, one operation, the directory after, entry by entry. One process does it, and
//! says what time it is.
//!
//! The kit makes the records itself, of encoded entries (`content`), and looks at what is there afterwards byte for
//! byte: a record of version 1 has one encoding, so what is expected is bytes.

pub(crate) mod content;
mod create;
mod delete;
mod load;
mod open;
mod rotate;
mod save;
mod save_files;
pub(crate) mod scene;
mod sweep;
mod touch;
pub(crate) mod typed;
mod update;
mod written;

use serde_json::{Value, json};

pub(crate) use content::{Content, START};
pub(crate) use scene::{After, ID, Scene, Store};
pub(crate) use written::How;

use crate::conformance::bench::Bench;
use crate::conformance::case::{Case, Class, Outcome, same};
use crate::names::Naming;

/// When the scenarios happen, an hour after their sessions were made.
pub(crate) const NOW: u64 = START + 3_600_000;

const PLAIN_POWER: Store = Store { naming: Naming::Plain, durability: "power" };
const PLAIN_PROCESS: Store = Store { naming: Naming::Plain, durability: "process" };
const HASHED_POWER: Store = Store { naming: Naming::Hashed, durability: "power" };
const HASHED_PROCESS: Store = Store { naming: Naming::Hashed, durability: "process" };

/// Every kind of store.
pub(crate) const ALL: &[Store] = &[PLAIN_POWER, PLAIN_PROCESS, HASHED_POWER, HASHED_PROCESS];
/// Both namings and both durabilities, each once.
pub(crate) const BOTH: &[Store] = &[PLAIN_POWER, HASHED_PROCESS];
/// Where the kind does not matter.
pub(crate) const ONE: &[Store] = &[PLAIN_POWER];
const PROCESS: &[Store] = &[PLAIN_PROCESS];
/// Where the length of a record must not depend on how long a generated ID is.
const HASHED: &[Store] = &[HASHED_POWER];

pub(crate) fn cases() -> Vec<Case> {
    let groups = [
        create::cases(),
        save::cases(),
        save_files::cases(),
        update::cases(),
        touch::cases(),
        delete::cases(),
        rotate::cases(),
        load::cases(),
        sweep::cases(),
        open::cases(),
    ];
    groups.into_iter().flatten().collect()
}

/// Cases of one kind.
pub(crate) struct Group {
    prefix: &'static str,
    section: &'static str,
    class: Class,
    pub(crate) cases: Vec<Case>,
}

impl Group {
    pub(crate) fn new(prefix: &'static str, section: &'static str, class: Class) -> Self {
        Group { prefix, section, class, cases: Vec::new() }
    }

    /// Adds a case for each of the stores.
    pub(crate) fn add(
        &mut self,
        name: &str,
        stores: &[Store],
        description: &str,
        rules: &str,
        run: impl Fn(&mut Bench<'_>, &mut Scene) -> Outcome + Clone + 'static,
    ) {
        for store in stores.iter().copied() {
            let Store { naming, durability } = store;
            let (id, description) = if stores.len() == 1 {
                (format!("{}/{name}", self.prefix), description.to_owned())
            } else {
                let naming = naming.word();
                (
                    format!("{}/{name}-{naming}-{durability}", self.prefix),
                    format!("{description} ({naming}, {durability})"),
                )
            };
            let run = run.clone();
            self.cases.push(Case::new(id, self.section, description, rules, &[self.class], move |bench| {
                let mut scene = Scene::new(bench, store)?;
                run(bench, &mut scene)
            }));
        }
    }
}

/// A request at `now`, about the session of the scenario unless it says otherwise.
pub(crate) fn at(now: u64, mut request: Value) -> Value {
    request["now"] = now.to_string().into();
    request
}

pub(crate) fn load(now: u64) -> Value {
    at(now, json!({ "op": "load", "id": ID, "as": "it" }))
}

pub(crate) fn save(now: u64, changes: &Value) -> Value {
    at(now, json!({ "op": "save", "as": "it", "changes": changes }))
}

pub(crate) fn update(now: u64, changes: &Value) -> Value {
    at(now, json!({ "op": "update", "id": ID, "changes": changes }))
}

fn create(now: u64, changes: &Value) -> Value {
    at(now, json!({ "op": "create", "changes": changes, "as": "new" }))
}

pub(crate) fn touch(now: u64) -> Value {
    at(now, json!({ "op": "touch", "id": ID }))
}

fn delete() -> Value {
    at(NOW, json!({ "op": "delete", "id": ID }))
}

pub(crate) fn rotate(now: u64, changes: &Value) -> Value {
    at(now, json!({ "op": "rotate", "as": "it", "changes": changes }))
}

/// Sets the attribute `n`.
fn set_n(n: i64) -> Value {
    json!({ "set": [["n", { "int": n.to_string() }]] })
}

/// Whether an answer shows this session; what section 7.3 does not name is not graded.
pub(crate) fn shows(what: &str, expected: &Content, answer: &Value) -> Outcome {
    let mut found = answer["session"].clone();
    if let Some(members) = found.as_object_mut() {
        members.remove("other");
        for key in ["data", "user"] {
            if let Some(value) = members.get_mut(key) {
                *value = crate::conformance::vectors::expand(value);
            }
        }
    }
    same(what, &expected.json(), &found)
}
