//! Updates: loading, changing and saving under one lock (SPEC.md section 10.3).

use serde_json::{Value, json};

use super::save::loaded;
use super::{ALL, After, BOTH, Content, Group, How, NOW, ONE, Scene, at, save, set_n, shows, update};
use crate::conformance::bench::Bench;
use crate::conformance::case::{Case, Class, Outcome};

pub(super) fn cases() -> Vec<Case> {
    let mut group = Group::new("scenarios/update", "10.3 Saving", Class::Writer);
    for (name, changes, description) in changes() {
        let stores = if name == "set" { ALL } else { ONE };
        group.add(name, stores, description, "WRITE-2 WRITE-3 WRITE-10 VAL-8 VAL-14", move |bench, scene| {
            let content = scene.content().full();
            scene.session(&content, 2)?;
            scene.open(bench)?;
            updated(bench, scene, &content, 2, &changes)
        });
    }
    for (name, changes, description) in nothing() {
        group.add(name, ONE, description, "WRITE-9", move |bench, scene| {
            let content = scene.content().full();
            scene.session(&content, 2)?;
            scene.open(bench)?;
            shows("`update`", &content, &bench.ok(update(NOW, &changes))?)?;
            scene.unchanged()
        });
    }
    group.add("of-the-current-record", BOTH, "it changes what is stored now", "WRITE-10", |bench, scene| {
        let content = scene.content().full();
        scene.session(&content, 2)?;
        scene.open(bench)?;
        loaded(bench)?;
        let changes = json!({ "set": [["by-save", { "bool": true }]] });
        bench.ok(save(NOW, &changes))?;
        let content = content.next(&changes, NOW);
        scene.look()?;
        updated(bench, scene, &content, 3, &json!({ "add": [["n", "10"]] }))
    });
    group.add(
        "many",
        ONE,
        "ten increments, each in the other slot",
        "WRITE-2 WRITE-3 WRITE-10",
        |bench, scene| {
            let mut content = scene.content();
            scene.session(&content, 2)?;
            scene.open(bench)?;
            let changes = json!({ "add": [["n", "1"]] });
            for seq in 2..12 {
                updated(bench, scene, &content, seq, &changes)?;
                content = content.next(&changes, NOW);
                scene.look()?;
            }
            Ok(())
        },
    );
    group.add("legacy-id", ONE, "a session of an ID of 11 characters", "NAME-1 WRITE-10", |bench, scene| {
        let id = "0SJaaIqvMIA";
        let content = scene.content_of(id);
        scene.put_session(id, 4096, &[(&content, 2)])?;
        scene.open(bench)?;
        let mut request = update(NOW, &set_n(2));
        request["id"] = id.into();
        bench.ok(request)?;
        let next = content.next(&set_n(2), NOW);
        scene.after(&[(&*scene.name_of(id), After::Session(&next, 3, How::InPlace))])
    });
    deepest(&mut group);
    refused(&mut group);
    group.cases
}

fn updated(bench: &mut Bench<'_>, scene: &Scene, content: &Content, seq: u64, changes: &Value) -> Outcome {
    let next = content.clone().next(changes, NOW);
    shows("`update`", &next, &bench.ok(update(NOW, changes))?)?;
    scene.after(&[(&*scene.name(), After::Session(&next, seq + 1, How::InPlace))])
}

// No case removes `addr`: it is the address at creation (section 7.3), and nothing in SPEC.md asks for a call that does.
fn changes() -> Vec<(&'static str, Value, &'static str)> {
    let keys = ["b", "aa", "a", "", "é", "z"].map(|key| json!([key, { "text": key }]));
    vec![
        ("set", set_n(2), "an attribute is set"),
        ("set-keys-of-any-length", json!({ "set": keys }), "keys stand shorter ones first, then bytewise"),
        ("set-null", json!({ "set": [["n", { "null": null }]] }), "null is a value of an attribute"),
        ("remove", json!({ "remove": ["n"] }), "an attribute is removed"),
        ("remove-all", json!({ "remove": ["n", "cart"] }), "all are removed: `data` is left out"),
        ("add", json!({ "add": [["n", "41"]] }), "a number is added to an attribute"),
        ("add-negative", json!({ "add": [["n", "-300"]] }), "a negative number is added"),
        ("add-to-nothing", json!({ "add": [["m", "1"]] }), "a number is added to what is not there"),
        ("user", json!({ "user": { "text": "bob" } }), "`user` is set"),
        ("user-removed", json!({ "user": null }), "`user` is removed"),
        ("csrf", json!({ "csrf": "b00" }), "`csrf` is set"),
        ("csrf-removed", json!({ "csrf": null }), "`csrf` is removed"),
        ("tokens", json!({ "tokens": ["a", "b", "a"] }), "`tokens` are set"),
        ("tokens-removed", json!({ "tokens": null }), "`tokens` are removed"),
        ("addr", json!({ "addr": "192.0.2.1" }), "`addr` is set"),
        ("expires", json!({ "expires": (NOW + 1).to_string() }), "`expires` is set"),
        ("expires-removed", json!({ "expires": null }), "`expires` is removed"),
        ("idle", json!({ "idle": "1" }), "`idle` is set"),
        ("idle-removed", json!({ "idle": null }), "`idle` is removed"),
        (
            "everything",
            json!({
                "set": [["new", { "array": [] }]], "remove": ["cart"], "add": [["n", "1"]],
                "user": { "int": "7" }, "csrf": null, "tokens": ["c"], "addr": "192.0.2.1", "idle": "1800000",
            }),
            "many things at once",
        ),
    ]
}

fn nothing() -> [(&'static str, Value, &'static str); 3] {
    [
        ("nothing", json!({}), "an update that changes nothing writes nothing"),
        ("same-value", set_n(1), "nor does one that sets what is there"),
        ("remove-nothing", json!({ "remove": ["none"] }), "nor one that removes what is not there"),
    ]
}

/// Arrays, each in the other.
fn nested(count: usize) -> Value {
    (1..count).fold(json!({ "array": [] }), |inner, _| json!({ "array": [inner] }))
}

fn deepest(group: &mut Group) {
    group.add("deepest", ONE, "32 containers, each in the other", "VAL-12", |bench, scene| {
        let content = scene.content().full();
        scene.session(&content, 2)?;
        scene.open(bench)?;
        // The body's map and `data` are two of them.
        updated(bench, scene, &content, 2, &json!({ "set": [["deep", nested(30)]] }))
    });
    group.add(
        "too-deep",
        ONE,
        "33 containers are refused, and nothing is written",
        "VAL-12",
        |bench, scene| {
            scene.session(&scene.content().full(), 2)?;
            scene.open(bench)?;
            scene.refuses(bench, "invalid-value", update(NOW, &json!({ "set": [["deep", nested(31)]] })))?;
            scene.unchanged()
        },
    );
}

fn refused(group: &mut Group) {
    type Make = fn(&Scene) -> Outcome;
    let states: &[(&str, &str, Make, &str)] = &[
        ("absent", "gone", |_| Ok(()), "a session that is not there"),
        (
            "expired",
            "gone",
            |scene| scene.session(&scene.content().full().number("expires", NOW), 2),
            "a session that expires now",
        ),
        ("corrupt", "corrupt", |scene| scene.put(&scene.name(), &[7; 8192]), "a file that holds no record"),
        ("unsupported", "unsupported", super::save::newer, "a record of a later version"),
        (
            "of-another-session",
            "corrupt",
            |scene| {
                let other = scene.content_of("0123456789abcdef0123456789abcdef").record(2);
                scene.put(&scene.name(), &super::scene::session_file(4096, &other, &[]))
            },
            "a record that names another session",
        ),
    ];
    for (name, class, make, description) in states.iter().copied() {
        let description = format!("{description} stays as it is");
        group.add(name, BOTH, &description, "WRITE-1 TIME-3 SLOT-9 BODY-5 ERR-2", move |bench, scene| {
            make(scene)?;
            scene.open(bench)?;
            scene.refuses(bench, class, update(NOW, &set_n(2)))?;
            scene.unchanged()
        });
    }
    for (name, id) in [("invalid-id-path", "../../etc/passwd"), ("invalid-id-short", "abcdefghij")] {
        group.add(name, ONE, "what is no session ID is refused, and not repeated", "NAME-1 NAME-2", {
            move |bench, scene| {
                scene.open(bench)?;
                let request = at(NOW, json!({ "op": "update", "id": id, "changes": set_n(2) }));
                let fault = bench.refused("invalid-id", request)?;
                let message = fault.message.unwrap_or_default();
                crate::conformance::case::ensure(!message.contains(id), || {
                    format!("the error: expected that it does not repeat the text, found {message:?}")
                })?;
                scene.unchanged()
            }
        });
    }
}
