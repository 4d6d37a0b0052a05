//! Saving: SPEC.md section 10.3; what is in the records, and when nothing is written.

use std::fs;

use serde_json::{Value, json};

use super::{
    ALL, After, BOTH, Content, Group, How, NOW, ONE, PROCESS, START, Scene, load, save, set_n, shows,
};
use crate::conformance::bench::Bench;
use crate::conformance::case::{Case, Class, Failure, Outcome, failed};
use crate::record::COUNTER_MAX;

/// A save at `now` of what was loaded before, when the session's file held `content` with `seq`.
#[derive(Clone)]
pub(super) struct Save {
    pub(super) content: Content,
    pub(super) seq: u64,
    pub(super) changes: Value,
    pub(super) now: u64,
    pub(super) how: How,
}

impl Save {
    /// Of a session that has become another one by then, or its file has.
    pub(super) fn run(&self, bench: &mut Bench<'_>, scene: &Scene) -> Outcome {
        let answer = bench.ok(save(self.now, &self.changes))?;
        let next = self.content.clone().next(&self.changes, self.now);
        shows("`save`", &next, &answer)?;
        scene.after(&[(&*scene.name(), After::Session(&next, self.seq + 1, self.how))])
    }
}

pub(super) fn loaded(bench: &mut Bench<'_>) -> Outcome {
    let answer = bench.ok(load(NOW))?;
    if answer["session"].is_null() {
        failed("`load`: expected the session, found that it is absent")
    } else {
        Ok(())
    }
}

/// Loads the session, then has the kit do something to the store.
fn meanwhile(
    bench: &mut Bench<'_>,
    scene: &mut Scene,
    seq: u64,
    happens: impl Fn(&Scene) -> Outcome,
) -> Result<(), Failure> {
    scene.session(&scene.content().full(), seq)?;
    scene.open(bench)?;
    loaded(bench)?;
    happens(scene)?;
    scene.look()
}

/// What happens between a load and a save.
type Happens = fn(&Scene) -> Outcome;

pub(super) fn cases() -> Vec<Case> {
    let mut group = Group::new("scenarios/save", "10.3 Saving", Class::Writer);
    in_place(&mut group);
    nothing(&mut group);
    gone(&mut group);
    conflicts(&mut group);
    unusable(&mut group);
    times(&mut group);
    group.cases
}

fn in_place(group: &mut Group) {
    let rules = "WRITE-2 WRITE-3 SLOT-2 SLOT-4 SLOT-7 TIME-2";
    let how = How::InPlace;
    for (name, seq) in [("in-place-slot-1", 2), ("in-place-slot-0", 3)] {
        let description = format!("record {} goes into the slot that does not hold record {seq}", seq + 1);
        group.add(name, ALL, &description, rules, move |bench, scene| {
            let content = scene.content().full().number("rev", seq - 1);
            let older = scene.content().full();
            if seq == 2 {
                scene.session(&content, 2)?;
            } else {
                scene.put_session(super::ID, 4096, &[(&older, seq - 1), (&content, seq)])?;
            }
            scene.open(bench)?;
            loaded(bench)?;
            Save { content, seq, changes: set_n(2), now: NOW + 1, how }.run(bench, scene)
        });
    }
    for (name, seq, rev) in
        [("numbers-differ", 41, 7), ("seq-grows", 255, 23), ("last-seq", COUNTER_MAX - 1, COUNTER_MAX - 1)]
    {
        let description = format!("seq {seq} and rev {rev} grow by one each");
        group.add(name, BOTH, &description, "WRITE-2", move |bench, scene| {
            let content = scene.content().number("rev", rev);
            scene.session(&content, seq)?;
            scene.open(bench)?;
            loaded(bench)?;
            Save { content, seq, changes: set_n(2), now: NOW, how }.run(bench, scene)
        });
    }
    group.add(
        "last-attribute-removed",
        BOTH,
        "`data` is left out when empty",
        "BODY-15",
        move |bench, scene| {
            let content = scene.content().with("n", &json!({ "int": "1" }));
            scene.session(&content, 2)?;
            scene.open(bench)?;
            loaded(bench)?;
            Save { content, seq: 2, changes: json!({ "remove": ["n"] }), now: NOW, how }.run(bench, scene)
        },
    );
}

fn nothing(group: &mut Group) {
    let same_value = json!({ "set": [["n", { "int": "1" }]], "user": { "text": "ada" } });
    for (name, changes, description) in [
        ("nothing-changed", json!({}), "a save that changes nothing writes nothing"),
        ("same-values", same_value, "nor does one that sets what is there"),
        ("removes-nothing", json!({ "remove": ["none"] }), "nor one that removes what is not there"),
    ] {
        group.add(name, BOTH, description, "WRITE-9", move |bench, scene| {
            let content = scene.content().full();
            scene.session(&content, 2)?;
            scene.open(bench)?;
            loaded(bench)?;
            shows("`save`", &content, &bench.ok(save(NOW, &changes))?)?;
            scene.unchanged()
        });
    }
}

fn gone(group: &mut Group) {
    let gone: &[(&str, Happens, &str)] = &[
        ("gone-deleted", |scene| remove(scene), "a session that was deleted meanwhile does not come back"),
        (
            "gone-expired",
            |scene| scene.session(&scene.content().full().number("expires", NOW), 2),
            "a session that expires now is gone",
        ),
        (
            "gone-idle",
            |scene| scene.session(&scene.content().number("idle", NOW - START), 2),
            "a session that was not accessed for as long as `idle` is gone",
        ),
    ];
    for (name, happens, description) in gone.iter().copied() {
        group.add(name, BOTH, description, "WRITE-1 TIME-1 TIME-3", move |bench, scene| {
            meanwhile(bench, scene, 2, happens)?;
            scene.refuses(bench, "gone", save(NOW, &set_n(2)))?;
            scene.unchanged()
        });
    }
    group.add("gone-stillborn", PROCESS, "a stillborn session is gone", "WRITE-1 SLOT-10", |bench, scene| {
        meanwhile(bench, scene, 2, |scene| scene.put(&scene.name(), &[]))?;
        scene.refuses(bench, "gone", save(NOW, &set_n(2)))?;
        scene.unchanged()
    });
}

fn conflicts(group: &mut Group) {
    let conflicts: &[(&str, Happens, &str)] = &[
        (
            "conflict-rev",
            |scene| scene.session(&scene.content().full().number("rev", 2), 3),
            "somebody else has saved since",
        ),
        (
            "conflict-older-rev",
            |scene| scene.session(&scene.content().full().number("rev", 1), 4),
            "a file with an older revision is a conflict too",
        ),
        (
            "conflict-created",
            |scene| scene.session(&scene.content().full().number("rev", 5).number("created", START + 1), 2),
            "another session of the same revision stands under the same ID",
        ),
    ];
    for (name, happens, description) in conflicts.iter().copied() {
        group.add(name, BOTH, description, "WRITE-1", move |bench, scene| {
            scene.session(&scene.content().full().number("rev", 5), 2)?;
            scene.open(bench)?;
            loaded(bench)?;
            happens(scene)?;
            scene.look()?;
            scene.refuses(bench, "conflict", save(NOW, &set_n(2)))?;
            scene.refuses(bench, "conflict", save(NOW, &json!({})))?;
            scene.unchanged()
        });
    }
    group.add(
        "expired-and-saved-since",
        ONE,
        "what is expired is gone, whoever has saved it",
        "WRITE-1",
        |bench, scene| {
            scene.session(&scene.content().full(), 2)?;
            scene.open(bench)?;
            loaded(bench)?;
            scene.session(&scene.content().full().number("rev", 9).number("expires", NOW), 3)?;
            scene.look()?;
            scene.refuses(bench, "gone", save(NOW, &set_n(2)))?;
            scene.unchanged()
        },
    );
    group.add(
        "touched-since",
        BOTH,
        "a touch meanwhile is no conflict",
        "WRITE-1 WRITE-2",
        |bench, scene| {
            let content = scene.content().full().number("accessed", NOW - 1);
            meanwhile(bench, scene, 2, |scene| {
                scene.session(&scene.content().full().number("accessed", NOW - 1), 3)
            })?;
            Save { content, seq: 3, changes: set_n(2), now: NOW, how: How::InPlace }.run(bench, scene)
        },
    );
}

fn unusable(group: &mut Group) {
    let others: &[(&str, &str, Happens, &str)] = &[
        ("corrupt", "corrupt", |scene| scene.put(&scene.name(), &[7; 8192]), "a corrupt file stays as it is"),
        (
            "wrong-size",
            "corrupt",
            |scene| scene.put(&scene.name(), &[0; 4096]),
            "so does one of another size",
        ),
        ("unsupported", "unsupported", newer, "a record of a later version stays as it is"),
    ];
    for (name, class, happens, description) in others.iter().copied() {
        group.add(name, BOTH, description, "SLOT-8 SLOT-9 REC-9", move |bench, scene| {
            meanwhile(bench, scene, 2, happens)?;
            scene.refuses(bench, class, save(NOW, &set_n(2)))?;
            scene.unchanged()
        });
    }
    group.add(
        "taken-by-a-directory",
        ONE,
        "a directory has the session's name",
        "NAME-11",
        move |bench, scene| {
            meanwhile(bench, scene, 2, |scene| {
                remove(scene)?;
                fs::create_dir(scene.root.join(scene.name())).map_err(super::scene::broken)
            })?;
            scene.refuses(bench, "corrupt", save(NOW, &set_n(2)))?;
            scene.unchanged()
        },
    );
    for (name, seq, rev) in [("seq-ends", COUNTER_MAX, 5), ("rev-ends", 2, COUNTER_MAX)] {
        let description = format!("seq {seq} and rev {rev} cannot both grow");
        group.add(name, ONE, &description, "WRITE-2 REC-5 BODY-6", move |bench, scene| {
            scene.session(&scene.content().number("rev", rev), seq)?;
            scene.open(bench)?;
            loaded(bench)?;
            scene.refuses(bench, "too-large", save(NOW, &set_n(2)))?;
            scene.unchanged()
        });
    }
    group.add(
        "too-large",
        ONE,
        "the old record stands when the new one is too large",
        "REC-8",
        |bench, scene| {
            meanwhile(bench, scene, 2, |_| Ok(()))?;
            let changes = json!({ "set": [["v", { "text": "x".repeat(16 << 20) }]] });
            scene.refuses(bench, "too-large", save(NOW, &changes))?;
            scene.unchanged()
        },
    );
}

fn times(group: &mut Group) {
    const A_DAY: u64 = 86_400_000;
    for (name, accessed, description) in [
        ("clock-set-back", NOW + 1, "`accessed` does not go back"),
        ("clock-a-day-back", NOW + A_DAY, "nor where it is 24 hours ahead"),
        ("clock-more-than-a-day-back", NOW + A_DAY + 1, "what is further ahead is set to now"),
    ] {
        group.add(name, ONE, description, "TIME-2", move |bench, scene| {
            let content = scene.content().number("accessed", accessed);
            scene.session(&content, 2)?;
            scene.open(bench)?;
            loaded(bench)?;
            Save { content, seq: 2, changes: set_n(2), now: NOW, how: How::InPlace }.run(bench, scene)
        });
    }
}

fn remove(scene: &Scene) -> Outcome {
    fs::remove_file(scene.root.join(scene.name())).map_err(super::scene::broken)
}

/// The session's file holds a record of version 2.
pub(super) fn newer(scene: &Scene) -> Outcome {
    scene.put(&scene.name(), &super::scene::session_file(4096, &record_of_version_2(scene), &[]))
}

/// The session's record 2, in a version that nobody knows.
pub(super) fn record_of_version_2(scene: &Scene) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut record = scene.content().full().record(2);
    record[9] = 2;
    let digest_at = record.len() - 32;
    let digest = Sha256::digest(&record[..digest_at - 2]);
    record[digest_at..].copy_from_slice(&digest);
    record
}
