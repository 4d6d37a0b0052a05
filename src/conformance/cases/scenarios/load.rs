//! Loading: SPEC.md sections 8 and 10.2. No load changes anything.

use serde_json::json;

use super::scene::session_file;
use super::{ALL, BOTH, Content, Group, ID, NOW, ONE, PROCESS, START, Scene, Store, at, load, shows};
use crate::conformance::bench::Bench;
use crate::conformance::case::{Case, Class, Outcome, same};
use crate::names::Naming;

const HASHED: &[Store] = &[Store { naming: Naming::Hashed, durability: "power" }];

fn is_absent(bench: &mut Bench<'_>, scene: &Scene, now: u64) -> Outcome {
    same("`load`", &json!({ "session": null }), &bench.ok(load(now))?)?;
    scene.unchanged()
}

fn is(bench: &mut Bench<'_>, scene: &Scene, content: &Content, now: u64) -> Outcome {
    shows("`load`", content, &bench.ok(load(now))?)?;
    scene.unchanged()
}

pub(super) fn cases() -> Vec<Case> {
    let mut group = Group::new("scenarios/load", "10.2 Reading a session", Class::Reader);
    group.add("full", ALL, "a session with every entry", "READ-7 SLOT-7", |bench, scene| {
        let content = scene.content().full();
        scene.session(&content, 2)?;
        scene.open(bench)?;
        is(bench, scene, &content, NOW)
    });
    group.add("absent", ALL, "a session that is not there is no error", "READ-7", |bench, scene| {
        scene.open(bench)?;
        is_absent(bench, scene, NOW)
    });
    expiry(&mut group);
    which(&mut group);
    group.add("stillborn", PROCESS, "a stillborn session is absent", "SLOT-10", |bench, scene| {
        scene.put(&scene.name(), &[])?;
        scene.open(bench)?;
        is_absent(bench, scene, NOW)
    });
    group.add(
        "empty-file-in-power",
        ONE,
        "an empty file is damage in a `power` store",
        "SLOT-10",
        |bench, scene| {
            scene.put(&scene.name(), &[])?;
            scene.open(bench)?;
            scene.refuses(bench, "corrupt", load(NOW))?;
            scene.unchanged()
        },
    );
    for (kind, make) in super::delete::others() {
        let description = format!("a {} has the session's name", kind.replace('-', " "));
        group.add(
            &format!("taken-by-a-{kind}"),
            BOTH,
            &description,
            "NAME-11 READ-1 READ-2",
            move |bench, scene| {
                make(scene)?;
                scene.open(bench)?;
                scene.refuses(bench, "corrupt", load(NOW))?;
                scene.unchanged()
            },
        );
    }
    group.add("plain-name-in-hashed", HASHED, "a file under the plain ID is not the session's", "NAME-7", {
        |bench, scene| {
            scene.put(ID, &session_file(4096, &scene.content().full().record(2), &[]))?;
            scene.open(bench)?;
            is_absent(bench, scene, NOW)
        }
    });
    group.add("lock-file-missing", BOTH, "a reader makes no lock file", "LOCK-5 LOCK-14", |bench, scene| {
        let content = scene.content().full();
        scene.session(&content, 2)?;
        std::fs::remove_file(scene.root.join(".lock/0a")).map_err(super::scene::broken)?;
        scene.open(bench)?;
        is(bench, scene, &content, NOW)
    });
    group.add("legacy-id", BOTH, "an ID of 11 characters is one", "NAME-1", |bench, scene| {
        let id = "0SJaaIqvMIA";
        let content = scene.content_of(id);
        scene.put_session(id, 4096, &[(&content, 2)])?;
        scene.open(bench)?;
        shows("`load`", &content, &bench.ok(at(NOW, json!({ "op": "load", "id": id })))?)?;
        scene.unchanged()
    });
    group.add("case-matters", ONE, "an ID that differs in case is another one", "NAME-3", |bench, scene| {
        let lower = ID.to_lowercase();
        scene.put_session(&lower, 4096, &[(&scene.content_of(&lower), 2)])?;
        scene.open(bench)?;
        is_absent(bench, scene, NOW)
    });
    group.add("no-id", ONE, "what is no session ID is refused", "NAME-1 NAME-2", |bench, scene| {
        scene.open(bench)?;
        for id in ["", "abcdefghij", "../store/.sessiondir", ".sessiondir", "abcdefghijk\n", "abcdefghij\0k"]
        {
            bench.refused("invalid-id", at(NOW, json!({ "op": "load", "id": id })))?;
        }
        scene.unchanged()
    });
    group.cases
}

fn expiry(group: &mut Group) {
    let hour = NOW - START;
    for (name, entries, absent, description) in [
        ("before-expires", [Some(NOW + 1), None, None], false, "it expires a millisecond later"),
        ("at-expires", [Some(NOW), None, None], true, "it expires now"),
        ("before-idle", [None, Some(hour + 1), None], false, "a millisecond is left of `idle`"),
        ("at-idle", [None, Some(hour), None], true, "it was not accessed for as long as `idle`"),
        ("accessed-ahead", [None, Some(1), Some(NOW + 1)], false, "an access yet to come counts as one now"),
        ("accessed-now", [None, Some(1), Some(NOW)], false, "an access now"),
        ("expires-before-idle", [Some(NOW), Some(hour * 2), None], true, "either of both is enough"),
        ("idle-before-expires", [Some(NOW + 1), Some(hour), None], true, "either of both is enough"),
        ("expires-at-0", [Some(0), None, None], true, "it expired in 1970"),
    ] {
        let stores = if name.starts_with("at-") { BOTH } else { ONE };
        group.add(name, stores, description, "TIME-1 TIME-3 READ-7", move |bench, scene| {
            let mut content = scene.content().text("user", "ada");
            for (key, number) in ["expires", "idle", "accessed"].into_iter().zip(entries) {
                content = number.map_or(content.clone(), |number| content.number(key, number));
            }
            scene.session(&content, 2)?;
            scene.open(bench)?;
            if absent { is_absent(bench, scene, NOW) } else { is(bench, scene, &content, NOW) }
        });
    }
}

/// Which record is current.
fn which(group: &mut Group) {
    for (name, older, newer) in [
        ("slot-1-newer", 2, 3),
        ("slot-0-newer", 3, 4),
        ("seqs-far-apart", 3, 1 << 40),
        ("near-513", 257, 514),
    ] {
        let description = format!("of the records {older} and {newer} the latter is current");
        group.add(name, ONE, &description, "SLOT-7 READ-4", move |bench, scene| {
            let content = scene.content().full();
            scene.put_session(ID, 4096, &[(&scene.content(), older), (&content, newer)])?;
            scene.open(bench)?;
            is(bench, scene, &content, NOW)
        });
    }
}
