//! Making and opening a store: SPEC.md sections 5 and 10.1.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::create::with_umask;
use super::save::loaded;
use super::scene::{After, broken};
use super::{
    ALL, BOTH, Group, NOW, ONE, START, Scene, at, create, delete, load, rotate, save, set_n, shows, touch,
    update,
};
use crate::conformance::bench::{Bench, ok};
use crate::conformance::case::{Case, Class, Outcome, ensure, same};
use crate::conformance::vectors;

type Make = fn(&Scene) -> Outcome;

pub(super) fn cases() -> Vec<Case> {
    let mut group = Group::new("scenarios/open", "5.1 Rules", Class::Reader);
    opens(&mut group);
    let mut cases = group.cases;
    cases.extend(read_only());
    cases.extend(init().into_iter().map(|case| case.needs(&["init"])));
    cases
}

fn set_mode(scene: &Scene, mode: u32) -> Outcome {
    fs::set_permissions(&scene.root, Permissions::from_mode(mode)).map_err(broken)
}

fn opens(group: &mut Group) {
    for mode in [0o700, 0o750, 0o755] {
        let description = format!("a directory of mode {mode:o} can be used");
        group.add(&format!("mode-{mode:o}"), ONE, &description, "DIR-4", move |bench, scene| {
            set_mode(scene, mode)?;
            scene.open(bench)?;
            scene.unchanged()
        });
    }
    for mode in [0o770, 0o720, 0o777, 0o702, 0o1777] {
        let description = format!("one of mode {mode:o} is refused: others than its owner can write to it");
        group.add(&format!("mode-{mode:o}"), ONE, &description, "DIR-4", move |bench, scene| {
            set_mode(scene, mode)?;
            scene.look()?;
            scene.refuses(bench, "unsafe-directory", json!({ "op": "open", "dir": scene.root }))?;
            scene.unchanged()
        });
    }
    let states: &[(&str, &str, Make, &str, &str)] = &[
        (
            "no-marker",
            "not-a-store",
            |scene| fs::remove_file(scene.root.join(".sessiondir")).map_err(broken),
            "DIR-1",
            "a directory without a marker",
        ),
        (
            "no-lock-directory",
            "not-a-store",
            |scene| fs::remove_dir_all(scene.root.join(".lock")).map_err(broken),
            "DIR-9",
            "a store without `.lock`",
        ),
        (
            "read-version-2",
            "unsupported",
            |scene| scene.put(".sessiondir", b"sessiondir\nread 2\nwrite 2\nanything\n"),
            "MARK-2",
            "a store of a later read version",
        ),
    ];
    for (name, class, make, rules, description) in states.iter().copied() {
        let description = format!("{description} is refused");
        group.add(name, ONE, &description, rules, move |bench, scene| {
            make(scene)?;
            scene.look()?;
            scene.refuses(bench, class, json!({ "op": "open", "dir": scene.root }))?;
            scene.unchanged()
        });
    }
}

/// A store of a higher write version.
fn later(bench: &mut Bench<'_>, scene: &mut Scene) -> Outcome {
    let marker = vectors::marker(scene.store.naming.word(), scene.store.durability);
    let marker = marker.replace("write 1", "write 2") + "shards 16\nanything else: may follow\n";
    scene.put(".sessiondir", marker.as_bytes())?;
    let found = bench.ok(json!({ "op": "open", "dir": scene.root }))?;
    same("`open`: whether it is writable", &json!(false), &found["writable"])?;
    scene.look()
}

fn read_only() -> Vec<Case> {
    let mut group = Group::new("scenarios/read-only", "5.2 The marker", Class::Reader);
    group.add(
        "load",
        BOTH,
        "a store of a later write version can be read",
        "MARK-3 MARK-4",
        |bench, scene| {
            let content = scene.content().full();
            scene.session(&content, 2)?;
            later(bench, scene)?;
            shows("`load`", &content, &bench.ok(load(NOW))?)?;
            scene.unchanged()
        },
    );
    let mut cases = group.cases;
    let mut group = Group::new("scenarios/read-only", "5.2 The marker", Class::Writer);
    let requests = [
        ("create", create(NOW, &json!({}))),
        ("save", save(NOW, &set_n(2))),
        ("update", update(NOW, &set_n(2))),
        ("touch", touch(NOW)),
        ("delete", delete()),
        ("rotate", rotate(NOW, &json!({}))),
    ];
    for (name, request) in requests {
        let description = format!("but not changed: {name}");
        group.add(name, ONE, &description, "MARK-3 ERR-2", move |bench, scene| {
            scene.session(&scene.content().full(), 2)?;
            later(bench, scene)?;
            loaded(bench)?;
            scene.refuses(bench, "unsupported", request.clone())?;
            scene.unchanged()
        });
    }
    cases.extend(group.cases);
    let mut group = Group::new("scenarios/read-only", "5.2 The marker", Class::Collector);
    group.add("sweep", ONE, "nothing is removed from it", "MARK-3 ERR-2", |bench, scene| {
        scene.session(&scene.content().number("expires", START), 2)?;
        later(bench, scene)?;
        scene.refuses(bench, "unsupported", at(NOW, json!({ "op": "sweep" })))?;
        scene.unchanged()
    });
    cases.extend(group.cases);
    cases
}

fn init_request(scene: &Scene) -> Value {
    let (naming, durability) = (scene.store.naming.word(), scene.store.durability);
    json!({ "op": "init", "dir": scene.root, "naming": naming, "durability": durability })
}

/// The directory is an empty store, as the kit itself makes one.
fn is_new(scene: &mut Scene, made: bool) -> Outcome {
    let mode = |path: &std::path::Path| fs::metadata(path).map(|found| found.permissions().mode() & 0o7777);
    let mut expected: Vec<_> =
        (0..64).map(|index| (format!(".lock/{index:02x}"), 0o600, String::new())).collect();
    let marker = vectors::marker(scene.store.naming.word(), scene.store.durability);
    expected.push((".sessiondir".to_owned(), 0o600, marker));
    for (name, permissions, content) in expected {
        let path = scene.root.join(&name);
        let found = fs::read_to_string(&path).map_err(|error| error.to_string());
        same(&name, &json!(content), &found.map_or_else(|error| json!({ "error": error }), Value::from))?;
        let found = mode(&path).map_err(broken)?;
        ensure(found == permissions, || {
            format!("{name}: expected mode {permissions:o} (DIR-6), found {found:o}")
        })?;
    }
    let directories = if made { &[".", ".lock"][..] } else { &[".lock"][..] };
    for name in directories {
        let found = mode(&scene.root.join(name)).map_err(broken)?;
        ensure(found == 0o700, || format!("{name}: expected mode 700 (DIR-6), found {found:o}"))?;
    }
    for (name, count) in [(".", 2), (".lock", 64)] {
        let found = fs::read_dir(scene.root.join(name)).map_err(broken)?.count();
        ensure(found == count, || format!("{name}: expected {count} entries, found {found}"))?;
    }
    Ok(())
}

fn init() -> Vec<Case> {
    let mut group = Group::new("scenarios/init", "10.1 Opening a store", Class::Writer);
    let removed = |scene: &Scene| fs::remove_dir_all(&scene.root).map_err(broken);
    group.add(
        "new",
        ALL,
        "the directory, the marker and 64 lock files are made",
        "DIR-2 DIR-6",
        move |bench, scene| {
            removed(scene)?;
            bench.ok(init_request(scene))?;
            is_new(scene, true)?;
            scene.open(bench)
        },
    );
    for umask in ["000", "077", "277"] {
        let description = format!("modes under a umask of {umask}");
        group.add(&format!("umask-{umask}"), ONE, &description, "DIR-6", move |bench, scene| {
            removed(scene)?;
            let mut process = with_umask(bench, umask)?;
            ok(&mut process, init_request(scene))?;
            is_new(scene, true)
        });
    }
    let lock_files = |scene: &Scene, count: u32| -> Outcome {
        fs::create_dir(scene.root.join(".lock")).map_err(broken)?;
        fs::set_permissions(scene.root.join(".lock"), Permissions::from_mode(0o700)).map_err(broken)?;
        (0..count).try_for_each(|index| scene.put(&format!(".lock/{index:02x}"), &[]))
    };
    for (name, files, temp, description) in [
        ("empty-directory", None, false, "an empty directory is taken"),
        ("interrupted-at-lock", Some(0), false, "an interrupted one is finished: `.lock` is there"),
        ("interrupted-at-lock-files", Some(40), false, "so it is with some lock files"),
        ("interrupted-at-marker", Some(64), true, "so it is with half a marker"),
    ] {
        group.add(name, ONE, description, "DIR-2 DIR-3", move |bench, scene| {
            clear(scene)?;
            if let Some(count) = files {
                lock_files(scene, count)?;
            }
            if temp {
                scene.put(".sessiondir.tmp", b"sessiondir\nread 1\nwri")?;
            }
            bench.ok(init_request(scene))?;
            is_new(scene, false)?;
            scene.open(bench)
        });
    }
    init_refused(&mut group);
    group.add(
        "store-is-there",
        BOTH,
        "a store that is there stays as it is",
        "DIR-3 MARK-5",
        move |bench, scene| {
            scene.look()?;
            // Of either naming: what is asked for makes no difference.
            for naming in ["plain", "hashed"] {
                let mut request = init_request(scene);
                request["naming"] = json!(naming);
                bench.refused("not-a-store", request)?;
            }
            scene.after(&[] as &[(&str, After<'_>)])
        },
    );
    group.cases
}

/// The store's directory, with nothing in it.
fn clear(scene: &Scene) -> Outcome {
    fs::remove_dir_all(&scene.root).map_err(broken)?;
    fs::create_dir(&scene.root).map_err(broken)?;
    set_mode(scene, 0o700)
}

/// What an interrupted making has not left there.
fn init_refused(group: &mut Group) {
    let states: &[(&str, Make, &str)] = &[
        ("foreign-file", |scene| scene.put("README", b"foreign"), "a directory with a file is left alone"),
        (
            "session-file",
            |scene| scene.session(&scene.content().full(), 2),
            "so is one with a session, which has lost its marker",
        ),
        (
            "file-among-lock-files",
            |scene| {
                fs::create_dir(scene.root.join(".lock")).map_err(broken)?;
                scene.put(".lock/README", &[])
            },
            "so is one with a foreign file in `.lock`",
        ),
        (
            "lock-file-not-empty",
            |scene| {
                fs::create_dir(scene.root.join(".lock")).map_err(broken)?;
                scene.put(".lock/00", b"7")
            },
            "so is one with a lock file that holds something",
        ),
        (
            "directory-in-it",
            |scene| fs::create_dir(scene.root.join("data")).map_err(broken),
            "so is one with a directory",
        ),
    ];
    for (name, make, description) in states.iter().copied() {
        group.add(name, ONE, description, "DIR-3", move |bench, scene| {
            clear(scene)?;
            make(scene)?;
            scene.look()?;
            bench.refused("not-a-store", init_request(scene))?;
            scene.unchanged()
        });
    }
}
