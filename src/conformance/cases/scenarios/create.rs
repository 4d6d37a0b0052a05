//! Creating: SPEC.md section 10.4.

use serde_json::{Value, json};

use super::{ALL, After, BOTH, Content, Group, HASHED, How, NOW, ONE, Scene, at, create, shows};
use crate::conformance::bench::{Bench, Commands, Party, ok};
use crate::conformance::case::{Case, Class, Failure, Outcome, ensure};
use crate::names::SessionId;

/// A session as a creation at [`NOW`] makes it.
fn created(scene: &Scene, id: &str, changes: &Value) -> Content {
    scene.content_of(id).number("created", NOW).number("accessed", NOW).changed(changes)
}

/// Creates a session, and returns its ID, which has to be one that cannot be guessed.
fn make(bench: &mut Bench<'_>, changes: &Value) -> Result<String, Failure> {
    let answer = bench.ok(create(NOW, changes))?;
    generated(&answer)
}

fn generated(answer: &Value) -> Result<String, Failure> {
    let id = answer["id"].as_str().unwrap_or_default().to_owned();
    ensure(SessionId::new(&id).is_ok_and(|id| !id.is_legacy()), || {
        format!("the new ID: expected at least 22 characters of `session-id` (NAME-4), found {id:?}")
    })?;
    Ok(id)
}

/// It stands in slot 0 of a new file, with seq 2 and rev 1.
fn stands(scene: &Scene, id: &str, changes: &Value) -> Outcome {
    let content = created(scene, id, changes);
    scene.after(&[(&*scene.name_of(id), After::Session(&content, 2, How::NewFile))])
}

pub(super) fn cases() -> Vec<Case> {
    let mut group = Group::new("scenarios/create", "10.4 Creating", Class::Writer);
    let rules = "NAME-4 NAME-5 NAME-6 SLOT-1 SLOT-2 SLOT-4 SLOT-5 WRITE-11 WRITE-12 DIR-6";
    let nothing = json!({});
    let full = json!({
        "set": [["cart", { "array": [{ "text": "A-1" }, { "int": "2" }] }], ["n", { "int": "1" }]],
        "user": { "text": "ada" }, "expires": (NOW + 86_400_000).to_string(), "idle": "1800000",
        "csrf": "c0ffee", "addr": "2001:db8::1", "tokens": ["older", "newer"],
    });
    for (name, changes, description) in [
        ("empty", nothing, "a session that holds nothing"),
        ("full", full, "a session with every entry that the format knows"),
    ] {
        group.add(name, ALL, description, rules, move |bench, scene| {
            scene.open(bench)?;
            let id = make(bench, &changes)?;
            stands(scene, &id, &changes)?;
            let load = at(NOW, json!({ "op": "load", "id": id }));
            shows("`load`", &created(scene, &id, &changes), &bench.ok(load)?)
        });
    }
    group.add("ids-differ", BOTH, "three sessions have three IDs", "NAME-4 WRITE-11", |bench, scene| {
        scene.open(bench)?;
        let changes = json!({});
        let ids = [make(bench, &changes)?, make(bench, &changes)?, make(bench, &changes)?];
        let sessions = ids.each_ref().map(|id| (scene.name_of(id), created(scene, id, &changes)));
        let after = sessions.each_ref().map(|(name, it)| (&**name, After::Session(it, 2, How::NewFile)));
        scene.after(&after)
    });
    for umask in ["000", "027", "277"] {
        let description = format!("the file's mode is 600 under a umask of {umask}");
        group.add(&format!("umask-{umask}"), ONE, &description, "DIR-6", move |bench, scene| {
            let mut process = with_umask(bench, umask)?;
            ok(&mut process, json!({ "op": "open", "dir": scene.root }))?;
            let changes = json!({});
            let id = generated(&ok(&mut process, create(NOW, &changes))?)?;
            stands(scene, &id, &changes)
        });
    }
    sizes(&mut group);
    group.add(
        "too-large",
        ONE,
        "nothing is left of a record of more than 16 MiB",
        "REC-8",
        |bench, scene| {
            scene.open(bench)?;
            let changes = json!({ "set": [["v", { "text": "x".repeat(16 << 20) }]] });
            scene.refuses(bench, "too-large", create(NOW, &changes))?;
            scene.unchanged()
        },
    );
    group.cases
}

/// The smallest slots for which the record + 32 bytes fits.
fn sizes(group: &mut Group) {
    for (size, over) in [(4096, 0), (4096, 1), (8192, 0), (8192, 1), (65_536, 0), (65_536, 1), (1 << 20, 0)] {
        let length = size - 32 + over;
        let name = format!("record-of-{length}");
        let slots = size << over;
        let description = format!("a record of {length} bytes gets slots of {slots} bytes");
        group.add(&name, HASHED, &description, "SLOT-1 SLOT-5", move |bench, scene| {
            scene.open(bench)?;
            // In naming `hashed` every ID takes the same room.
            let base = created(scene, super::ID, &json!({}));
            let text = fill(&base, length);
            let changes = json!({ "set": [["fill", { "text": text }]] });
            let id = make(bench, &changes)?;
            let found = std::fs::metadata(scene.root.join(scene.name_of(&id)));
            let found = found.map_err(super::scene::broken)?.len();
            ensure(found == 2 * slots as u64, || {
                format!("a record of {length} bytes: expected a file of {} bytes, found {found}", 2 * slots)
            })?;
            stands(scene, &id, &changes)
        });
    }
}

/// A text that, as the attribute `fill`, makes the first record so long.
fn fill(base: &Content, length: usize) -> String {
    let filled = base.clone().filled(2, length).json();
    filled["data"][0][1]["text"].as_str().unwrap_or_default().to_owned()
}

/// A driver that was started under that umask.
pub(super) fn with_umask(
    bench: &Bench<'_>,
    umask: &str,
) -> Result<crate::conformance::process::Process, Failure> {
    let mut commands: Commands = bench.commands.clone();
    let shell = ["/bin/sh", "-c", &format!("umask {umask}; exec \"$@\""), "sh"].map(Into::into);
    commands.implementation.splice(0..0, shell);
    let mut process = commands.start(Party::Implementation)?;
    crate::conformance::bench::greet(&mut process)?;
    Ok(process)
}
