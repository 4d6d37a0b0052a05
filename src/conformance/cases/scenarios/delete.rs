//! Deleting: SPEC.md section 10.7.

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::stat::Mode;
use serde_json::json;

use super::scene::{broken, session_file};
use super::{
    ALL, After, BOTH, Group, ID, NOW, ONE, PROCESS, START, Scene, Store, at, delete, load, save, set_n,
};
use crate::conformance::case::{Case, Class, Outcome, same};
use crate::names::Naming;

const HASHED_PLAIN_NAME: &[Store] = &[Store { naming: Naming::Hashed, durability: "power" }];

type Make = fn(&Scene) -> Outcome;

pub(super) fn cases() -> Vec<Case> {
    let mut group = Group::new("scenarios/delete", "10.7 Deleting", Class::Writer);
    there(&mut group);
    taken(&mut group);
    group.add("absent", ALL, "it succeeds, and says that nothing was there", "DEL-2", |bench, scene| {
        scene.open(bench)?;
        same("`delete`", &json!({ "existed": false }), &bench.ok(delete())?)?;
        scene.unchanged()
    });
    group.add("twice", BOTH, "the second time nothing is there", "DEL-1 DEL-2", |bench, scene| {
        scene.session(&scene.content().full(), 2)?;
        scene.open(bench)?;
        same("`delete`", &json!({ "existed": true }), &bench.ok(delete())?)?;
        same("the second `delete`", &json!({ "existed": false }), &bench.ok(delete())?)?;
        scene.after(&[(&*scene.name(), After::Gone)])
    });
    group.add(
        "temp-alone",
        BOTH,
        "a temp goes also where there is no session",
        "DEL-1 DEL-2",
        |bench, scene| {
            scene.put(&scene.temp(), &[7; 100])?;
            scene.open(bench)?;
            same("`delete`", &json!({ "existed": false }), &bench.ok(delete())?)?;
            scene.after(&[(&*scene.temp(), After::Gone)])
        },
    );
    group.add(
        "then-save",
        BOTH,
        "what was loaded before does not come back",
        "WRITE-1 DEL-1",
        |bench, scene| {
            scene.session(&scene.content().full(), 2)?;
            scene.open(bench)?;
            bench.ok(load(NOW))?;
            bench.ok(delete())?;
            scene.refuses(bench, "gone", save(NOW, &set_n(2)))?;
            same("`load`", &json!({ "session": null }), &bench.ok(load(NOW))?)?;
            scene.after(&[(&*scene.name(), After::Gone)])
        },
    );
    let description = "in naming `hashed` a file under the plain ID is not the session's";
    group.add("plain-name", HASHED_PLAIN_NAME, description, "NAME-7 NAME-10", |bench, scene| {
        scene.put(ID, &session_file(4096, &scene.content().full().record(2), &[]))?;
        scene.open(bench)?;
        same("`delete`", &json!({ "existed": false }), &bench.ok(delete())?)?;
        scene.unchanged()
    });
    group.add("invalid-id", ONE, "what is no session ID is refused", "NAME-2", |bench, scene| {
        scene.put("README", b"stays")?;
        scene.open(bench)?;
        for id in ["README", ".sessiondir", "../store/README"] {
            bench.refused("invalid-id", at(NOW, json!({ "op": "delete", "id": id })))?;
        }
        scene.unchanged()
    });
    group.cases
}

fn there(group: &mut Group) {
    let states: &[(&str, &[Store], Make, &str)] = &[
        ("existing", ALL, |scene| scene.session(&scene.content().full(), 2), "a session"),
        (
            "expired",
            BOTH,
            |scene| scene.session(&scene.content().number("expires", START), 2),
            "an expired session was there",
        ),
        ("corrupt", BOTH, |scene| scene.put(&scene.name(), &[7; 8192]), "a corrupt file was there"),
        ("wrong-size", ONE, |scene| scene.put(&scene.name(), &[7; 5000]), "so was one of another size"),
        ("unsupported", ONE, super::save::newer, "so was a record of a later version"),
        ("empty-file", ONE, |scene| scene.put(&scene.name(), &[]), "so was an empty file"),
        ("stillborn", PROCESS, |scene| scene.put(&scene.name(), &[0; 8192]), "so was a stillborn one"),
        (
            "with-temp",
            BOTH,
            |scene| {
                scene.put(&scene.temp(), &[7; 100])?;
                scene.session(&scene.content().full(), 2)
            },
            "a session with a temp: both go",
        ),
        (
            "hard-link",
            ONE,
            |scene| {
                scene.session(&scene.content().full(), 2)?;
                fs::hard_link(scene.root.join(scene.name()), scene.root.join("copy~")).map_err(broken)
            },
            "another name of the file stays",
        ),
    ];
    for (name, stores, make, description) in states.iter().copied() {
        group.add(name, stores, description, "DEL-1 DEL-2", move |bench, scene| {
            make(scene)?;
            scene.open(bench)?;
            same("`delete`", &json!({ "existed": true }), &bench.ok(delete())?)?;
            scene.after(&[(&*scene.name(), After::Gone), (&*scene.temp(), After::Gone)])
        });
    }
}

/// What is no regular file under the session's name.
pub(super) fn others() -> [(&'static str, Make); 4] {
    [
        ("directory", |scene| fs::create_dir(scene.root.join(scene.name())).map_err(broken)),
        ("link", |scene| {
            scene.put("target~", &session_file(4096, &scene.content().full().record(2), &[]))?;
            symlink("target~", scene.root.join(scene.name())).map_err(broken)
        }),
        ("link-to-nothing", |scene| symlink("nothing", scene.root.join(scene.name())).map_err(broken)),
        ("fifo", |scene| {
            nix::unistd::mkfifo(&scene.root.join(scene.name()), Mode::S_IRUSR | Mode::S_IWUSR).map_err(broken)
        }),
    ]
}

fn taken(group: &mut Group) {
    for (kind, make) in others() {
        let description = format!("a {} has the session's name: it stays", kind.replace('-', " "));
        group.add(
            &format!("taken-by-a-{kind}"),
            BOTH,
            &description,
            "NAME-10 NAME-11 DEL-1",
            move |bench, scene| {
                make(scene)?;
                scene.open(bench)?;
                scene.refuses(bench, "corrupt", delete())?;
                scene.unchanged()
            },
        );
    }
}
