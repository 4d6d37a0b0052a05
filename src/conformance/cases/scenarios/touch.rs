//! Touching: SPEC.md section 10.6.

use std::fs;

use serde_json::json;

use super::scene::{broken, session_file};
use super::{ALL, After, BOTH, Content, Group, How, ID, NOW, ONE, START, Scene, touch};
use crate::conformance::bench::Bench;
use crate::conformance::case::{Case, Class, Outcome, same};

/// Touches the session, which has to write record `seq`.
fn writes(bench: &mut Bench<'_>, scene: &Scene, content: &Content, seq: u64, now: u64, how: How) -> Outcome {
    same("`touch`", &json!({ "written": true }), &bench.ok(touch(now))?)?;
    let touched = content.clone().touched(now);
    scene.after(&[(&*scene.name(), After::Session(&touched, seq, how))])
}

fn does_not(bench: &mut Bench<'_>, scene: &Scene, now: u64) -> Outcome {
    same("`touch`", &json!({ "written": false }), &bench.ok(touch(now))?)?;
    scene.unchanged()
}

pub(super) fn cases() -> Vec<Case> {
    let mut group = Group::new("scenarios/touch", "10.6 Touching", Class::Writer);
    for (name, seq) in [("in-place-slot-1", 2), ("in-place-slot-0", 3)] {
        let description = "`accessed` and seq change, and nothing else";
        group.add(name, ALL, description, "WRITE-2 WRITE-3 WRITE-16 TIME-2", move |bench, scene| {
            let content =
                scene.content().full().number("rev", 7).entry("example.shard", &json!({ "int": "7" }));
            scene.session(&content, seq)?;
            scene.open(bench)?;
            writes(bench, scene, &content, seq + 1, NOW, How::InPlace)
        });
    }
    resolution(&mut group);
    for (name, ahead, moves) in [
        ("clock-set-back", 100_000, false),
        ("clock-a-day-back", 86_400_000, false),
        ("clock-more-than-a-day-back", 86_400_001, true),
    ] {
        let description =
            format!("`accessed` {ahead} ms ahead of now {}", if moves { "is set to now" } else { "stays" });
        group.add(name, ONE, &description, "TIME-2 WRITE-17", move |bench, scene| {
            let content = scene.content().full().number("accessed", NOW + ahead);
            scene.session(&content, 2)?;
            scene.open(bench)?;
            if moves {
                writes(bench, scene, &content, 3, NOW, How::InPlace)
            } else {
                does_not(bench, scene, NOW)
            }
        });
    }
    files(&mut group);
    refused(&mut group);
    group.cases
}

fn resolution(group: &mut Group) {
    for (name, idle, moved, written) in [
        ("below-60-seconds", None, 59_999, false),
        ("of-60-seconds", None, 60_000, true),
        ("below-a-tenth-of-idle", Some(100_000), 9_999, false),
        ("of-a-tenth-of-idle", Some(100_000), 10_000, true),
        ("below-60-seconds-with-long-idle", Some(86_400_000), 59_999, false),
        ("with-tiny-idle", Some(5), 1, true),
        ("at-the-same-time", None, 0, false),
    ] {
        let idle_is = idle.map_or(String::new(), |idle| format!(", idle {idle} ms"));
        let description =
            format!("an access {moved} ms later{idle_is}: {}", if written { "written" } else { "not" });
        group.add(name, ONE, &description, "WRITE-17", move |bench, scene| {
            let content = scene.content().text("user", "ada");
            let content = idle.map_or(content.clone(), |idle| content.number("idle", idle));
            scene.session(&content, 2)?;
            scene.open(bench)?;
            if written {
                writes(bench, scene, &content, 3, START + moved, How::InPlace)
            } else {
                does_not(bench, scene, START + moved)
            }
        });
    }
}

fn files(group: &mut Group) {
    for (name, length, how, description) in [
        ("record-fills-its-slot", 4096, How::InPlace, "a touch needs no 32 bytes to spare"),
        ("record-of-4065", 4065, How::InPlace, "a record that a save would not put there stays"),
    ] {
        group.add(name, BOTH, description, "WRITE-6", move |bench, scene| {
            let content = scene.content().filled(2, length);
            scene.session(&content, 2)?;
            scene.open(bench)?;
            writes(bench, scene, &content, 3, NOW, how)
        });
    }
    let description = "a record that its seq makes too long for the slot gets a new file";
    group.add("record-outgrows-its-slot", BOTH, description, "WRITE-6 SLOT-5", |bench, scene| {
        let content = scene.content().filled(23, 4096);
        scene.session(&content, 23)?;
        scene.open(bench)?;
        writes(bench, scene, &content, 24, NOW, How::NewFile)
    });
    group.add("hard-link", ONE, "a file with another name is replaced", "WRITE-6", |bench, scene| {
        let content = scene.content().full();
        scene.session(&content, 2)?;
        fs::hard_link(scene.root.join(scene.name()), scene.root.join("copy~")).map_err(broken)?;
        scene.open(bench)?;
        writes(bench, scene, &content, 3, NOW, How::NewFile)
    });
    group.add(
        "other-slot-torn",
        BOTH,
        "half a record in the other slot: it is overwritten in a store of `process`, and replaced with the file in one of `power`",
        "WRITE-3 WRITE-6",
        |bench, scene| {
            let content = scene.content().full();
            let torn = &content.record(5)[..50];
            scene.put(&scene.name(), &session_file(4096, &content.record(4), torn))?;
            scene.open(bench)?;
            let power = scene.store.durability == "power";
            writes(bench, scene, &content, 5, NOW, if power { How::NewFile } else { How::InPlace })
        },
    );
}

fn refused(group: &mut Group) {
    type Make = fn(&Scene) -> Outcome;
    let states: &[(&str, &str, Make, &str)] = &[
        ("absent", "gone", |_| Ok(()), "a session that is not there is not made"),
        (
            "expired",
            "gone",
            |scene| scene.put_session(ID, 4096, &[(&scene.content().number("expires", NOW), 2)]),
            "a touch does not prolong what has expired",
        ),
        (
            "idle",
            "gone",
            |scene| scene.session(&scene.content().number("idle", NOW - START), 2),
            "nor what was idle for too long",
        ),
        ("corrupt", "corrupt", |scene| scene.put(&scene.name(), &[7; 8192]), "a corrupt file stays as it is"),
    ];
    for (name, class, make, description) in states.iter().copied() {
        group.add(name, BOTH, description, "WRITE-16 TIME-3", move |bench, scene| {
            make(scene)?;
            scene.open(bench)?;
            scene.refuses(bench, class, touch(NOW))?;
            scene.unchanged()
        });
    }
}
