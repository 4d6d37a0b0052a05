//! Sweeping: SPEC.md section 10.9.

use std::fs;

use serde_json::{Value, json};

use super::scene::broken;
use super::{ALL, After, BOTH, Content, Group, NOW, ONE, PROCESS, START, Scene, at};
use crate::conformance::bench::Bench;
use crate::conformance::case::{Case, Class, Outcome, same};

/// Sweeps; `deleted` and `failed` are what it has to say.
fn sweeps(bench: &mut Bench<'_>, idle_ms: Option<u64>, deleted: u64, failed: u64) -> Outcome {
    let mut request = at(NOW, json!({ "op": "sweep" }));
    if let Some(idle) = idle_ms {
        request["idle_ms"] = idle.to_string().into();
    }
    let expected: Value = json!({ "deleted": deleted.to_string(), "failed": failed.to_string() });
    same("`sweep`", &expected, &bench.ok(request)?)
}

type Make = fn(&Scene) -> Outcome;

pub(super) fn cases() -> Vec<Case> {
    let mut group = Group::new("scenarios/sweep", "10.9 Expiring", Class::Collector);
    sessions(&mut group);
    left(&mut group);
    debris(&mut group);
    many(&mut group);
    group.cases
}

fn sessions(group: &mut Group) {
    let hour = NOW - START;
    for (name, entries, idle_ms, goes, description) in [
        ("expired", [Some(NOW), None, None], None, true, "a session that expires now goes"),
        ("not-expired", [Some(NOW + 1), None, None], None, false, "one that does a millisecond later stays"),
        ("idle", [None, Some(hour), None], None, true, "a session idle for as long as its `idle` goes"),
        ("not-idle", [None, Some(hour + 1), None], None, false, "one that is so a millisecond later stays"),
        ("no-limit", [None, None, None], None, false, "a session without limits stays"),
        (
            "idle-for-longer",
            [None, None, None],
            Some(hour - 1),
            true,
            "one idle for longer than asked for goes",
        ),
        ("idle-for-as-long", [None, None, None], Some(hour), false, "one idle for just as long stays"),
        (
            "accessed-ahead",
            [None, Some(1), Some(NOW + 9)],
            Some(1),
            false,
            "one accessed in the future stays",
        ),
    ] {
        let stores = if goes { ALL } else { ONE };
        group.add(name, stores, description, "TIME-1 COLL-1", move |bench, scene| {
            let mut content = scene.content().text("user", "ada");
            for (key, number) in ["expires", "idle", "accessed"].into_iter().zip(entries) {
                content = number.map_or(content.clone(), |number| content.number(key, number));
            }
            scene.session(&content, 2)?;
            // The bystander would be idle for as long.
            scene.put_session(super::scene::BYSTANDER, 4096, &[(&bystander(scene), 2)])?;
            scene.open(bench)?;
            sweeps(bench, idle_ms, u64::from(goes), 0)?;
            let gone = [(&*scene.name(), After::Gone)];
            scene.after(if goes { &gone } else { &[] })
        });
    }
}

fn bystander(scene: &Scene) -> Content {
    scene.content_of(super::scene::BYSTANDER).full().number("accessed", NOW)
}

/// What a collector must leave alone.
fn left(group: &mut Group) {
    let hour = Some(1);
    let states: &[(&str, &str, u64, Make, &str)] = &[
        ("corrupt", "COLL-2 COLL-3", 1, |scene| scene.put(&scene.name(), &[7; 8192]), "a corrupt file"),
        (
            "wrong-size",
            "COLL-2 COLL-3",
            1,
            |scene| scene.put(&scene.name(), &[0; 4096]),
            "a file of another size",
        ),
        ("empty-file-in-power", "COLL-2 SLOT-10", 1, |scene| scene.put(&scene.name(), &[]), "an empty file"),
        ("unsupported", "COLL-2 COLL-3", 1, super::save::newer, "a record of a later version"),
        (
            "copied",
            "COLL-2 BODY-5",
            1,
            |scene| {
                let other = scene.content_of("0123456789abcdef0123456789abcdef").number("expires", START);
                scene.put(&scene.name(), &super::scene::session_file(4096, &other.record(2), &[]))
            },
            "an expired session under another one's name",
        ),
        (
            "foreign",
            "NAME-10",
            0,
            |scene| {
                for name in ["README", "0SJaaIqvMI", ".tmp.", ".sessiondir.old", "AAAAAAAAAAAAAAAAAAAAAA~"] {
                    scene.put(name, b"foreign")?;
                }
                Ok(())
            },
            "foreign files",
        ),
        (
            "control-files",
            "NAME-9 COLL-2",
            0,
            |scene| {
                scene.put(".imports", b"notes\n")?;
                scene.put(".sessiondir.tmp", b"sessiondir\n")
            },
            "notes of a migrator, and the marker's temp",
        ),
        (
            "quarantine",
            "COLL-6",
            0,
            |scene| {
                fs::create_dir(scene.root.join(".quarantine")).map_err(broken)?;
                scene.put(&format!(".quarantine/{}.{START}", scene.name()), &[7; 8192])?;
                scene.put(".quarantine/README", b"foreign")
            },
            "what a repair has moved aside",
        ),
    ];
    for (name, rules, failed, make, description) in states.iter().copied() {
        let stores = if failed == 0 || name == "corrupt" { BOTH } else { ONE };
        let description = format!("{description}: left alone");
        group.add(name, stores, &description, rules, move |bench, scene| {
            make(scene)?;
            scene.put_session(super::scene::BYSTANDER, 4096, &[(&bystander(scene), 2)])?;
            scene.open(bench)?;
            sweeps(bench, hour, 0, failed)?;
            scene.unchanged()
        });
    }
    for (kind, make) in super::delete::others() {
        let description = format!("a {} has a session's name: left alone", kind.replace('-', " "));
        group.add(
            &format!("taken-by-a-{kind}"),
            ONE,
            &description,
            "NAME-10 NAME-11",
            move |bench, scene| {
                make(scene)?;
                scene.open(bench)?;
                sweeps(bench, None, 0, 0)?;
                scene.unchanged()
            },
        );
    }
}

fn debris(group: &mut Group) {
    group.add("temp", BOTH, "a temp goes, and is no session", "COLL-4", |bench, scene| {
        scene.put(&scene.temp(), &[7; 100])?;
        scene.open(bench)?;
        sweeps(bench, None, 0, 0)?;
        scene.after(&[(&*scene.temp(), After::Gone)])
    });
    group.add("temp-beside-session", BOTH, "its session stays", "COLL-4", |bench, scene| {
        scene.session(&scene.content().full(), 2)?;
        scene.put(&scene.temp(), &[])?;
        scene.open(bench)?;
        sweeps(bench, None, 0, 0)?;
        scene.after(&[(&*scene.temp(), After::Gone)])
    });
    for (name, bytes) in [("stillborn-empty", 0), ("stillborn-zeros", 8192)] {
        group.add(name, PROCESS, "a stillborn session goes", "SLOT-10 COLL-1", move |bench, scene| {
            scene.put(&scene.name(), &vec![0; bytes])?;
            scene.open(bench)?;
            sweeps(bench, None, 1, 0)?;
            scene.after(&[(&*scene.name(), After::Gone)])
        });
    }
}

fn many(group: &mut Group) {
    group.add(
        "many",
        BOTH,
        "of many sessions, those that are expired go",
        "COLL-3 TIME-1",
        |bench, scene| {
            let id = |number: u64| format!("session-of-a-scenario-{number:03}");
            for number in 0..60 {
                let content = scene.content_of(&id(number));
                let content = if number % 3 == 0 { content.number("expires", NOW) } else { content };
                scene.put_session(&id(number), 4096, &[(&content, 2)])?;
            }
            scene.put(&scene.name(), &[7; 8192])?;
            scene.open(bench)?;
            sweeps(bench, None, 20, 1)?;
            let names: Vec<_> = (0..60).step_by(3).map(|number| scene.name_of(&id(number))).collect();
            let gone: Vec<_> = names.iter().map(|name| (&**name, After::Gone)).collect();
            scene.after(&gone)
        },
    );
}
