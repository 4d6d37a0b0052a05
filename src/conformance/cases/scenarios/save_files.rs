//! Saving: what the session's file was, what is beside it, and when it is replaced (SPEC.md sections 6, 10.3, 10.5).

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use super::save::{Save, loaded};
use super::scene::{broken, session_file};
use super::{ALL, After, BOTH, Content, Group, How, ID, NOW, ONE, Scene, save, set_n};
use crate::conformance::case::{Case, Class, Outcome};
use crate::conformance::protocol::Answer;

pub(super) fn cases() -> Vec<Case> {
    let mut group = Group::new("scenarios/save", "10.3 Saving", Class::Writer);
    other_slot(&mut group);
    replaced(&mut group);
    edges(&mut group);
    group.cases.extend(beside());
    group.cases
}

/// What the slot holds that is not current. A whole record and nothing are overwritten. Anything else is as well where
/// durability is `process`; where it is `power` the file is replaced.
fn other_slot(group: &mut Group) {
    type Make = fn(&Scene) -> Vec<u8>;
    let sound: &[(&str, u64, Make, &str)] = &[
        ("other-slot-stale", 9, |scene| scene.content().record(2), "a record that is much older"),
        ("other-slot-1-stale", 40, |scene| scene.content().record(3), "a much older one in slot 1"),
        (
            "other-slot-longer-record",
            3,
            |scene| scene.content().filled(2, 4000).record(2),
            "a longer record than the new one",
        ),
    ];
    let torn: &[(&str, u64, Make, &str)] = &[
        ("other-slot-torn", 4, |scene| half(scene, 3), "half a record, older"),
        ("other-slot-torn-newer", 4, |scene| half(scene, 5), "half a record, newer: of a killed save"),
        ("other-slot-garbage", 4, |_| vec![0xa5; 4096], "bytes that are nothing"),
        (
            "other-slot-wrong-parity",
            4,
            |scene| scene.content().record(6),
            "a whole record of the other parity",
        ),
        (
            "other-slot-stray-bytes",
            12,
            |_| [vec![0; 8], vec![0xa5; 4088]].concat(),
            "an empty slot with bytes after the first 8",
        ),
        (
            "other-slot-record-and-bytes",
            13,
            |scene| {
                let mut slot = scene.content().record(2);
                slot.resize(4000, 0);
                slot.extend([0xa5; 96]);
                slot
            },
            "a whole record, and other bytes after it",
        ),
    ];
    let sound = sound.iter().map(|slot| (slot, How::InPlace));
    for ((name, seq, make, description), in_power) in
        sound.chain(torn.iter().map(|slot| (slot, How::NewFile)))
    {
        let (name, seq, make) = (*name, *seq, *make);
        let description = format!("the other slot holds {description}");
        let rules = "WRITE-3 WRITE-6 SLOT-2 SLOT-3 SLOT-4 SLOT-6 SLOT-7";
        group.add(name, BOTH, &description, rules, move |bench, scene| {
            let content = scene.content().full().number("rev", 3);
            let (current, other) = (content.record(seq), make(scene));
            let file = if seq % 2 == 0 {
                session_file(4096, &current, &other)
            } else {
                session_file(4096, &other, &current)
            };
            scene.put(&scene.name(), &file)?;
            scene.open(bench)?;
            loaded(bench)?;
            let how = if scene.store.durability == "power" { in_power } else { How::InPlace };
            Save { content, seq, changes: set_n(2), now: NOW, how }.run(bench, scene)
        });
    }
}

/// The first half of a record, with zeros after it.
fn half(scene: &Scene, seq: u64) -> Vec<u8> {
    let mut record = scene.content().full().record(seq);
    let length = record.len();
    record[length / 2..].fill(0);
    record
}

/// What a killed writer leaves in a store.
type Leaves = fn(&Scene) -> Outcome;

fn replaced(group: &mut Group) {
    let grown = json!({ "set": [["big", { "text": "x".repeat(20_000) }]] });
    for (name, seq) in [("grows-into-slot-1", 2), ("grows-into-slot-0", 3)] {
        let changes = grown.clone();
        let description = "a record that does not fit gets a new file, in the slot of its parity";
        group.add(name, ALL, description, "WRITE-6 WRITE-12 SLOT-2 SLOT-5 DIR-6", move |bench, scene| {
            let content = scene.content().full();
            scene.session(&content, seq)?;
            scene.open(bench)?;
            loaded(bench)?;
            Save { content, seq, changes: changes.clone(), now: NOW, how: How::NewFile }.run(bench, scene)
        });
    }
    group.add(
        "hard-link",
        BOTH,
        "a file with another name is replaced; the other name keeps it",
        "WRITE-6",
        {
            |bench, scene| {
                let content = scene.content().full();
                scene.session(&content, 2)?;
                fs::hard_link(scene.root.join(scene.name()), scene.root.join("copy~")).map_err(broken)?;
                scene.open(bench)?;
                loaded(bench)?;
                Save { content, seq: 2, changes: set_n(2), now: NOW, how: How::NewFile }.run(bench, scene)
            }
        },
    );
    let temps: &[(&str, Leaves, &str)] = &[
        ("temp", |scene| scene.put(&scene.temp(), &[7; 100]), "a temp that a killed writer left is replaced"),
        (
            "temp-with-another-name",
            |scene| {
                scene.put("kept~", &[7; 100])?;
                fs::hard_link(scene.root.join("kept~"), scene.root.join(scene.temp())).map_err(broken)
            },
            "a temp is unlinked, not written to: another name of it keeps its bytes",
        ),
    ];
    for (name, make, description) in temps.iter().copied() {
        let changes = grown.clone();
        group.add(name, BOTH, description, "WRITE-12", move |bench, scene| {
            let content = scene.content().full();
            scene.session(&content, 2)?;
            make(scene)?;
            scene.open(bench)?;
            loaded(bench)?;
            let next = content.next(&changes, NOW);
            bench.ok(save(NOW, &changes))?;
            let name = scene.name();
            scene.after(&[(&name, After::Session(&next, 3, How::NewFile)), (&scene.temp(), After::Gone)])
        });
    }
    // A link is foreign (row 8 of section 4.4), so whether the writer unlinks it or fails is left open here.
    group.add(
        "temp-is-a-link",
        ONE,
        "what a link leads to is not written to",
        "DIR-8",
        move |bench, scene| {
            let content = scene.content().full();
            scene.session(&content, 2)?;
            scene.put("target~", &[7; 100])?;
            symlink("target~", scene.root.join(scene.temp())).map_err(broken)?;
            scene.open(bench)?;
            loaded(bench)?;
            let next = content.next(&grown, NOW);
            let answer = bench.ask(save(NOW, &grown))?;
            let name = scene.name();
            match answer {
                Answer::Error(_) => scene.unchanged(),
                answer => {
                    crate::conformance::case::done("`save`", answer)?;
                    scene.after(&[
                        (&name, After::Session(&next, 3, How::NewFile)),
                        (&scene.temp(), After::Any),
                    ])
                }
            }
        },
    );
}

/// A session of records of nearly one length, the current one with that seq, and a change that makes the next one
/// `length` bytes long.
fn grown_to(base: Content, seq: u64, length: usize) -> (Content, serde_json::Value) {
    let small = base.with("fill", &json!({ "text": "" }));
    let next = small.clone().next(&json!({}), NOW).filled(seq + 1, length).json();
    let pairs = next["data"].as_array().cloned().unwrap_or_default();
    let fill = pairs.into_iter().find(|pair| pair[0] == "fill").expect("filled");
    (small, json!({ "set": [fill] }))
}

fn edges(group: &mut Group) {
    for (size, over) in [(4096, 0), (4096, 1), (65_536, 0), (65_536, 1)] {
        let length = size - 32 + over;
        let how = if over == 0 { How::InPlace } else { How::NewFile };
        let where_to = if over == 0 { "in place" } else { "into a new file" };
        let description = format!("a record of {length} bytes is saved {where_to} where slots have {size}");
        let name = format!("record-of-{length}");
        group.add(&name, BOTH, &description, "WRITE-6 SLOT-5", move |bench, scene| {
            let (content, changes) = grown_to(scene.content(), 2, length);
            // A record that is not small against its slot, so that no writer shrinks the file.
            scene.put_session(ID, size, &[(&content, 2)])?;
            scene.open(bench)?;
            loaded(bench)?;
            Save { content, seq: 2, changes, now: NOW, how }.run(bench, scene)
        });
    }
    for (name, length, how, description) in [
        ("may-shrink", 4000, How::Either, "a small record in large slots may be moved into smaller ones"),
        ("may-shrink-at-an-eighth", 8192 - 32, How::Either, "so may one of an eighth of them"),
        ("must-not-shrink", 8192 - 31, How::InPlace, "a larger one may not"),
    ] {
        group.add(name, ONE, description, "WRITE-6 SLOT-5", move |bench, scene| {
            let (content, changes) = grown_to(scene.content(), 2, length);
            scene.put_session(ID, 65_536, &[(&content, 2)])?;
            scene.open(bench)?;
            loaded(bench)?;
            Save { content, seq: 2, changes, now: NOW, how }.run(bench, scene)
        });
    }
}

/// What is not there beside it.
fn beside() -> Vec<Case> {
    let mut group = Group::new("scenarios/save", "9.1 The lock of a session", Class::Writer);
    group.add("lock-file-missing", BOTH, "a writer makes the lock file that it needs", "LOCK-5 DIR-6", {
        |bench, scene| {
            let content = scene.content().full();
            scene.session(&content, 2)?;
            scene.open(bench)?;
            loaded(bench)?;
            let lock = scene.root.join(".lock/0a");
            fs::remove_file(&lock).map_err(broken)?;
            scene.look()?;
            let changes = set_n(2);
            bench.ok(save(NOW, &changes))?;
            let next = content.next(&changes, NOW);
            let name = scene.name();
            scene.after(&[(&name, After::Session(&next, 3, How::InPlace)), (".lock/0a", After::EmptyFile)])
        }
    });
    group.add(
        "lock-directory-missing",
        ONE,
        "without `.lock` nothing is saved",
        "LOCK-13",
        |bench, scene| {
            scene.session(&scene.content().full(), 2)?;
            scene.open(bench)?;
            loaded(bench)?;
            fs::remove_dir_all(scene.root.join(".lock")).map_err(broken)?;
            scene.look()?;
            scene.refuses(bench, "not-a-store", save(NOW, &set_n(2)))?;
            scene.unchanged()
        },
    );
    group.cases
}
