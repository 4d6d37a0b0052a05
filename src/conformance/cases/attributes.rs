//! What a caller did not set or remove stays, byte for byte (VAL-14), as do entries that nobody knows (REC-14).
//!
//! None of these cases needs a feature of values. A language that cannot tell 2.0 from 2 keeps the bytes beside the
//! value; that is what the rule is for. So answers are not looked at: only what is stored.

use serde_json::{Value, json};

use super::super::bench::Bench;
use super::super::case::{Case, Class, Outcome, same};
use super::super::vectors::unhex;
use super::scenarios::{
    After, BOTH, Content, Group, How, ID, NOW, ONE, Scene, load, rotate, save, touch, update,
};

/// Values that some language cannot tell from others, or would write otherwise, encoded.
const ODD: &[(&str, &str, &str)] = &[
    ("two-as-float", "f94000", "2.0"),
    ("zero-as-float", "f90000", "0.0"),
    ("negative-zero", "f98000", "-0.0"),
    ("half", "f93e00", "1.5, in 16 bits"),
    ("single", "fa477fe100", "65505.0, in 32 bits"),
    ("double", "fb3ff199999999999a", "1.1, in 64 bits"),
    ("double-integral", "fb4170000010000000", "16777217.0, in 64 bits"),
    ("double-huge", "fb7e37e43c8800759c", "1e300"),
    ("nan", "f97e00", "not a number"),
    ("infinity", "f97c00", "infinity"),
    ("minus-infinity", "f9fc00", "minus infinity"),
    ("beyond-2-to-the-53", "1b0020000000000001", "2^53+1"),
    ("int-max", "1b7fffffffffffffff", "2^63-1"),
    ("int-min", "3b7fffffffffffffff", "-2^63"),
    ("empty-map", "a0", "{}"),
    ("empty-array", "80", "[]"),
    ("empty-text", "60", "\"\""),
    ("empty-bytes", "40", "h''"),
    ("bytes", "4401ff00fe", "bytes that are no UTF-8"),
    ("bytes-like-text", "43616263", "h'616263', which reads \"abc\""),
    ("null", "f6", "null"),
    ("number-key", "a16131f5", "{\"1\": true}"),
    ("number-keys-as-in-a-list", "a261300161310a", "{\"0\": 1, \"1\": 10}"),
    ("number-keys-in-byte-order", "a3613901616201623130f4", "{\"9\": 1, \"b\": 1, \"10\": false}"),
    ("key-proto", "a1695f5f70726f746f5f5fa0", "{\"__proto__\": {}}"),
    ("text-not-normalised", "6465cc816b", "e and a combining acute accent"),
    ("text-with-nul", "63610062", "a text with NUL"),
    ("text-of-four-bytes", "64f09f9880", "a character beyond 16 bits"),
    ("nested", "82a2616180616282a0f9400081a0", "[{\"a\": [], \"b\": [{}, 2.0]}, [{}]]"),
];

/// Entries of the map that section 7.3 does not name.
const UNKNOWN: &[(&str, &str)] = &[
    ("example.shard", "f94000"),
    ("example.nested", "a1616182a0f98000"),
    (".", "40"),
    ("zone", "1b0020000000000001"),
];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = kept();
    cases.extend(operations());
    cases
}

/// Another attribute is set beside one such value.
fn kept() -> Vec<Case> {
    let mut group = Group::new("attributes/kept", "7.2 Values", Class::Writer);
    for (name, encoded, description) in ODD.iter().copied() {
        let description = format!("{description} stays when another attribute is set");
        group.add(name, ONE, &description, "VAL-14", move |bench, scene| {
            let content = scene.content().raw("n", vec![1]).raw("v", unhex(encoded));
            updates(bench, scene, content, &json!({ "set": [["n", { "int": "2" }]] }))
        });
    }
    let mut cases = group.cases;
    let mut group = Group::new("attributes/user", "7.2 Values", Class::Writer);
    for name in ["two-as-float", "negative-zero", "empty-map", "bytes", "beyond-2-to-the-53", "nested"] {
        let (_, encoded, description) = ODD.iter().find(|(odd, ..)| *odd == name).expect("one of them");
        let description = format!("{description} as `user` stays when an attribute is set");
        group.add(name, ONE, &description, "REC-13", move |bench, scene| {
            let content = scene.content().raw("n", vec![1]).raw_entry("user", unhex(encoded));
            updates(bench, scene, content, &json!({ "set": [["n", { "int": "2" }]] }))
        });
    }
    cases.extend(group.cases);
    let mut group = Group::new("attributes/unknown", "7.1 Envelope", Class::Writer);
    for (name, encoded) in UNKNOWN.iter().copied() {
        let description = format!("the entry {name:?} of the map stays when an attribute is set");
        let name_of_case = if name == "." { "full-stop" } else { name };
        group.add(name_of_case, ONE, &description, "REC-14 BODY-16 BODY-17", move |bench, scene| {
            let content = scene.content().raw("n", vec![1]).raw_entry(name, unhex(encoded));
            updates(bench, scene, content, &json!({ "set": [["n", { "int": "2" }]] }))
        });
    }
    cases.extend(group.cases);
    cases
}

/// A session with all of them.
fn odd(scene: &Scene) -> Content {
    let content = scene.content().text("csrf", "c0ffee").number("rev", 5).raw("n", vec![1]);
    let content = ODD.iter().fold(content, |content, (name, encoded, _)| content.raw(name, unhex(encoded)));
    UNKNOWN.iter().fold(content, |content, (name, encoded)| content.raw_entry(name, unhex(encoded)))
}

fn updates(bench: &mut Bench<'_>, scene: &mut Scene, content: Content, changes: &Value) -> Outcome {
    scene.session(&content, 2)?;
    scene.open(bench)?;
    bench.ok(update(NOW, changes))?;
    let next = content.next(changes, NOW);
    scene.after(&[(&*scene.name(), After::Session(&next, 3, How::InPlace))])
}

fn operations() -> Vec<Case> {
    let changes = [
        ("set-new", json!({ "set": [["new", { "text": "x" }]] }), "an attribute is added"),
        ("set-one", json!({ "set": [["empty-map", { "int": "1" }]] }), "one of them is set"),
        ("remove-one", json!({ "remove": ["two-as-float"] }), "one of them is removed"),
        ("add", json!({ "add": [["n", "1"]] }), "a number is added to an attribute"),
        ("user", json!({ "user": { "text": "ada" } }), "`user` is set"),
        ("csrf-removed", json!({ "csrf": null }), "`csrf` is removed"),
        ("expires", json!({ "expires": (NOW + 1).to_string() }), "`expires` is set"),
        ("tokens", json!({ "tokens": ["a", "b"] }), "`tokens` are set"),
    ];
    let rules = "VAL-14 REC-14 REC-13";
    let mut group = Group::new("attributes/update", "7.2 Values", Class::Writer);
    for (name, changes, description) in changes.clone() {
        let description = format!("all others stay: {description}, by an update");
        group.add(name, BOTH, &description, rules, move |bench, scene| {
            let content = odd(scene);
            updates(bench, scene, content, &changes)
        });
    }
    let mut cases = group.cases;
    let mut group = Group::new("attributes/save", "7.2 Values", Class::Writer);
    for (name, changes, description) in changes {
        let description = format!("all others stay: {description}, by a load and a save");
        group.add(name, ONE, &description, rules, move |bench, scene| {
            let content = odd(scene);
            scene.session(&content, 2)?;
            scene.open(bench)?;
            bench.ok(load(NOW))?;
            bench.ok(save(NOW, &changes))?;
            let next = content.next(&changes, NOW);
            scene.after(&[(&*scene.name(), After::Session(&next, 3, How::InPlace))])
        });
    }
    group.add(
        "nothing",
        ONE,
        "a save that changes nothing writes nothing",
        "REC-13 WRITE-9",
        |bench, scene| {
            scene.session(&odd(scene), 2)?;
            scene.open(bench)?;
            bench.ok(load(NOW))?;
            bench.ok(save(NOW, &json!({})))?;
            scene.unchanged()
        },
    );
    cases.extend(group.cases);
    let mut group = Group::new("attributes", "7.2 Values", Class::Writer);
    group.add("touch", BOTH, "a touch keeps them all", rules, |bench, scene| {
        let content = odd(scene);
        scene.session(&content, 2)?;
        scene.open(bench)?;
        same("`touch`", &json!({ "written": true }), &bench.ok(touch(NOW))?)?;
        scene.after(&[(&*scene.name(), After::Session(&content.touched(NOW), 3, How::InPlace))])
    });
    group.add("rotate", BOTH, "a rotation keeps them all", rules, |bench, scene| {
        let content = odd(scene);
        scene.session(&content, 2)?;
        scene.open(bench)?;
        bench.ok(load(NOW))?;
        let changes = json!({ "set": [["n", { "int": "2" }]] });
        let answer = bench.ok(rotate(NOW, &changes))?;
        let id = answer["id"].as_str().unwrap_or(ID);
        let next = content.rotated(scene.store.naming, id, &changes, NOW);
        let name = scene.name_of(id);
        scene.after(&[(&*scene.name(), After::Gone), (&*name, After::Session(&next, 2, How::NewFile))])
    });
    group.add("replace", BOTH, "a save into a larger file keeps them all", rules, |bench, scene| {
        let content = odd(scene);
        scene.session(&content, 2)?;
        scene.open(bench)?;
        bench.ok(load(NOW))?;
        let changes = json!({ "set": [["big", { "text": "x".repeat(9_000) }]] });
        bench.ok(save(NOW, &changes))?;
        let next = content.next(&changes, NOW);
        scene.after(&[(&*scene.name(), After::Session(&next, 3, How::NewFile))])
    });
    group.add("three-updates", ONE, "three updates, one after the other", rules, |bench, scene| {
        let mut content = odd(scene);
        scene.session(&content, 2)?;
        scene.open(bench)?;
        for seq in 3..6 {
            let changes = json!({ "add": [["n", "1"]] });
            bench.ok(update(NOW, &changes))?;
            content = content.next(&changes, NOW);
            scene.after(&[(&*scene.name(), After::Session(&content, seq, How::InPlace))])?;
            scene.look()?;
        }
        Ok(())
    });
    cases.extend(group.cases);
    cases
}
