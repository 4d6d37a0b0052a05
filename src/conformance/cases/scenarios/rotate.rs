//! Rotating: SPEC.md section 10.8.

use std::fs;

use serde_json::{Value, json};

use super::save::loaded;
use super::scene::broken;
use super::{
    ALL, After, BOTH, Content, Group, How, ID, NOW, ONE, START, Scene, at, load, rotate, set_n, shows,
};
use crate::conformance::bench::Bench;
use crate::conformance::case::{Case, Class, Outcome, ensure, same};
use crate::names::SessionId;

/// Rotates the session that was loaded: the new one stands by itself, the old one is gone.
fn rotates(bench: &mut Bench<'_>, scene: &Scene, content: &Content, changes: &Value) -> Outcome {
    let answer = bench.ok(rotate(NOW, changes))?;
    let id = answer["id"].as_str().unwrap_or_default();
    ensure(id != ID && SessionId::new(id).is_ok_and(|id| !id.is_legacy()), || {
        format!("`rotate`: expected a new ID of at least 22 characters (NAME-4), found {id:?}")
    })?;
    let next = content.clone().rotated(scene.store.naming, id, changes, NOW);
    scene.after(&[
        (&*scene.name(), After::Gone),
        (&*scene.temp(), After::Gone),
        (&*scene.name_of(id), After::Session(&next, 2, How::NewFile)),
    ])?;
    same("`load` of the old ID", &json!({ "session": null }), &bench.ok(load(NOW))?)?;
    let answer = bench.ok(at(NOW, json!({ "op": "load", "id": id })))?;
    shows("`load` of the new ID", &next, &answer)
}

pub(super) fn cases() -> Vec<Case> {
    let mut group = Group::new("scenarios/rotate", "10.8 Rotating", Class::Writer);
    let rules = "ROT-1 ROT-3 NAME-4 WRITE-11 WRITE-12 SLOT-5 DEL-1 TIME-2";
    for (name, changes, description) in [
        ("nothing-changed", json!({}), "all but rev, `csrf` and `tokens` is kept"),
        (
            "with-changes",
            json!({ "user": { "text": "root" }, "set": [["n", { "int": "2" }]], "remove": ["cart"] }),
            "the changes come with it",
        ),
    ] {
        group.add(name, ALL, description, rules, move |bench, scene| {
            let content =
                scene.content().full().number("rev", 9).entry("example.shard", &json!({ "int": "7" }));
            scene.session(&content, 41)?;
            scene.open(bench)?;
            loaded(bench)?;
            rotates(bench, scene, &content, &changes)
        });
    }
    group.add("empty-session", ONE, "a session that holds nothing", rules, |bench, scene| {
        let content = scene.content();
        scene.session(&content, 2)?;
        scene.open(bench)?;
        loaded(bench)?;
        rotates(bench, scene, &content, &json!({}))
    });
    group.add("from-large-slots", ONE, "the new file is as small as can be", "SLOT-5", |bench, scene| {
        let content = scene.content().full();
        scene.put_session(ID, 65_536, &[(&content, 2)])?;
        scene.open(bench)?;
        loaded(bench)?;
        rotates(bench, scene, &content, &json!({}))
    });
    group.add("grows", ONE, "a session of 100 KiB", "SLOT-5", |bench, scene| {
        let content = scene.content().full();
        scene.session(&content, 2)?;
        scene.open(bench)?;
        loaded(bench)?;
        rotates(bench, scene, &content, &json!({ "set": [["big", { "text": "x".repeat(102_400) }]] }))
    });
    group.add("with-temp", BOTH, "a temp of the old session goes with it", "ROT-1 DEL-1", |bench, scene| {
        let content = scene.content().full();
        scene.session(&content, 2)?;
        scene.put(&scene.temp(), &[7; 100])?;
        scene.open(bench)?;
        loaded(bench)?;
        rotates(bench, scene, &content, &json!({}))
    });
    group.add(
        "hard-link",
        ONE,
        "nothing is written to the old file: its other name shows",
        "ROT-2",
        |bench, scene| {
            let content = scene.content().full();
            scene.session(&content, 2)?;
            fs::hard_link(scene.root.join(scene.name()), scene.root.join("copy~")).map_err(broken)?;
            scene.open(bench)?;
            loaded(bench)?;
            rotates(bench, scene, &content, &json!({}))
        },
    );
    group.add("clock-set-back", ONE, "`accessed` does not go back", "TIME-2", |bench, scene| {
        let content = scene.content().full().number("accessed", NOW + 1000);
        scene.session(&content, 2)?;
        scene.open(bench)?;
        loaded(bench)?;
        rotates(bench, scene, &content, &json!({}))
    });
    refused(&mut group);
    group.cases
}

fn refused(group: &mut Group) {
    type Happens = fn(&Scene) -> Outcome;
    let states: &[(&str, &str, Happens, &str)] = &[
        (
            "conflict-rev",
            "conflict",
            |scene| scene.session(&scene.content().full().number("rev", 2), 3),
            "somebody else has saved since: both stay as they are",
        ),
        (
            "conflict-created",
            "conflict",
            |scene| scene.session(&scene.content().full().number("created", START + 1), 2),
            "another session stands under the ID",
        ),
        (
            "gone-deleted",
            "gone",
            |scene| fs::remove_file(scene.root.join(scene.name())).map_err(broken),
            "a session that was deleted meanwhile gets no new ID",
        ),
        (
            "gone-expired",
            "gone",
            |scene| scene.session(&scene.content().full().number("expires", NOW), 2),
            "nor does one that expires now",
        ),
        ("corrupt", "corrupt", |scene| scene.put(&scene.name(), &[7; 8192]), "a corrupt file stays as it is"),
        ("unsupported", "unsupported", super::save::newer, "so does a record of a later version"),
    ];
    for (name, class, happens, description) in states.iter().copied() {
        group.add(name, BOTH, description, "ROT-1 ROT-2 WRITE-1 TIME-3", move |bench, scene| {
            scene.session(&scene.content().full(), 2)?;
            scene.open(bench)?;
            loaded(bench)?;
            happens(scene)?;
            scene.look()?;
            scene.refuses(bench, class, rotate(NOW, &set_n(2)))?;
            scene.unchanged()
        });
    }
}
