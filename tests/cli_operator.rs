//! What an operator does to a store, driven as a program.

#[macro_use]
#[path = "support/command.rs"]
mod support;

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;
use sessiondir::{DirectoryStore, Naming, Session, SessionStore};
use support::{
    Fixture, ID, OTHER, SHOWN, START, at, command, damage, done, finish, fixture, id, shown, snapshot,
};

/// A session that is in use.
const FRESH: &str = "FFFFFFFFFFFFFFFFFFFFFF";
/// One that is expired.
const EXPIRED: &str = "EEEEEEEEEEEEEEEEEEEEEE";

/// A session that was last used in 2025, one in use, and one that is expired.
fn three(naming: Naming) -> Fixture {
    let f = fixture(naming);
    f.plain(ID, "ada");
    f.insert(FRESH, &mut Session::new());
    let mut expired = Session::at(at(START), at(START));
    expired.set_expires(Some(at(START + 1)));
    f.insert(EXPIRED, &mut expired);
    f
}

/// The lines, sorted: sessions come in the order of chance.
fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

// ---------------------------------------------------------------------------------------------------------- set

/// Exercises MARK-6.
#[test]
fn set_changes_the_durability() {
    let f = fixture(Naming::Hashed);
    f.plain(ID, "ada");
    let dir = f.dir.display();
    let ran = run!("set", f.dir, "--durability", "power");
    assert_eq!(
        ran,
        done(&format!(
            "the store in {dir} has durability power; restart what has it open, and run this once more\n"
        ))
    );
    let ran = run!("set", f.dir, "--durability", "power");
    assert_eq!(ran, done(&format!("the store in {dir} has durability power; was that already\n")));
    let ran = run!("set", f.dir, "--durability=process", "--json");
    let expected = json!({"store": f.dir, "naming": "hashed", "durability": "process", "was": "power"});
    assert_eq!((ran.status, ran.json()), (0, vec![expected]));
    let marker = fs::read_to_string(f.dir.join(".sessiondir")).expect("a marker");
    assert_eq!(marker, "sessiondir\nread 1\nwrite 1\nnaming hashed\ndurability process\n");
    assert_eq!(run!("check", "--deny", "warnings", f.dir).status, 0);
    for usage in [&[][..], &["--durability"], &["--durability", "none"], &["--naming", "plain"]] {
        let mut command = command(&[&"set", &f.dir]);
        command.args(usage);
        assert_eq!(finish(command, None).status, 2, "{usage:?}");
    }
}

/// Exercises MARK-3.
#[test]
fn a_store_of_a_later_write_version_is_not_changed() {
    let f = fixture(Naming::Plain);
    f.plain(ID, "ada");
    let marker = "sessiondir\nread 1\nwrite 2\nnaming plain\ndurability power\nshards 16\n";
    fs::write(f.dir.join(".sessiondir"), marker).expect("written");
    let before = snapshot(&f.dir);
    for args in [
        &["delete", ID][..],
        &["delete", "--user=ada"],
        &["set", "--durability=process"],
        &["sweep", "--idle=0s"],
        &["repair", "--apply"],
    ] {
        let mut command = command(&[&args[0], &f.dir]);
        command.args(&args[1..]);
        let ran = finish(command, None);
        assert!(ran.status > 0 && ran.err.contains("unsupported: "), "{args:?}: {ran:?}");
        assert!(ran.err.contains("is a store of write version 2, to be read only (MARK-3)"), "{}", ran.err);
        assert_eq!(snapshot(&f.dir), before, "{args:?}");
    }
}

// -------------------------------------------------------------------------------------------------------- sweep

/// Exercises COLL-1, COLL-2, COLL-3, COLL-4, NAME-8.
#[test]
fn sweep_removes_what_is_expired_and_what_was_asked_for() {
    for naming in [Naming::Plain, Naming::Hashed] {
        let f = three(naming);
        damage(&f, OTHER);
        let temp =
            format!(".tmp.{}", f.file("CCCCCCCCCCCCCCCCCCCCCC").file_name().expect("a name").display());
        fs::write(f.dir.join(&temp), "debris").expect("written");
        let failed = format!("corrupt: session {} breaks rule ", shown(OTHER));
        let before = snapshot(&f.dir);
        for (args, removed, left) in
            [(&["--dry-run"][..], "1 session", 2), (&["--dry-run", "--idle", "30d"], "2 sessions", 1)]
        {
            let mut command = command(&[&"sweep", &f.dir]);
            command.args(args);
            let ran = finish(command, None);
            let expected = format!(
                "dry run, nothing was changed: {removed} removed, {left} left, 1 failed; 1 temp and 0 in quarantine removed\n"
            );
            assert_eq!((ran.status, ran.out), (1, expected));
            assert!(ran.err.lines().count() == 1 && ran.err.contains(&failed), "{}", ran.err);
            assert_eq!(snapshot(&f.dir), before);
        }
        let ran = run!("sweep", f.dir);
        let expected = "1 session removed, 2 left, 1 failed; 1 temp and 0 in quarantine removed\n";
        assert_eq!((ran.status, &*ran.out, ran.err.lines().count()), (1, expected, 1));
        assert!(!f.file(EXPIRED).exists() && !f.dir.join(&temp).exists());

        let ran = run!("sweep", f.dir, "--json", "--idle", "30d");
        assert_eq!((ran.status, &*ran.err), (1, ""));
        let mut said = ran.json();
        let summary = said.pop();
        let expected = json!({"summary": {
            "dry_run": false, "complete": true, "removed": 1, "remaining": 1, "failed": 1, "temps": 0, "quarantined": 0,
        }});
        assert_eq!((summary, said.len()), (Some(expected), 2));
        assert!(said.contains(&json!({"removed": SHOWN})), "{}", ran.out);
        assert!(said.iter().any(|line| line["error"] == "corrupt"), "{}", ran.out);

        // Whatever is left but what cannot be read.
        let ran = run!("sweep", f.dir, "--idle", "0s", "--json", "--full-ids");
        let name = f.file(FRESH).file_name().expect("a name").to_string_lossy().into_owned();
        assert!(ran.json().contains(&json!({"removed": name})), "{}", ran.out);
        fs::remove_file(f.file(OTHER)).expect("there");
        assert_eq!(
            run!("check", "--deny", "warnings", f.dir),
            done("0 sessions (0 expired), 0 errors, 0 warnings\n")
        );
    }
}

/// Exercises COLL-5.
#[test]
fn sweep_keeps_to_its_budget() {
    let f = fixture(Naming::Plain);
    for number in 0..10 {
        f.plain(&format!("{number:022}"), "ada");
    }
    let ran = run!("sweep", f.dir, "--idle=1d", "--skip-written=1h");
    assert_eq!(ran, done("0 sessions removed, 10 left, 0 failed; 0 temps and 0 in quarantine removed\n"));
    let ran = run!("sweep", f.dir, "--idle=1d", "--max-files=3", "--json");
    let summary = ran.json().pop().expect("a summary");
    // The marker is a file too, if chance has it among the three.
    let removed = summary["summary"]["removed"].as_u64().expect("a number");
    assert!(removed == 2 || removed == 3, "{summary}");
    assert_eq!((ran.status, &summary["summary"]["complete"]), (0, &json!(false)));
    let ended = "; ended by its budget, before all were looked at\n";
    let ran = run!("sweep", f.dir, "--idle=1d", "--max-time=0s");
    assert!(
        ran.status == 0 && ran.out.starts_with("0 sessions removed") && ran.out.ends_with(ended),
        "{ran:?}"
    );
    let ran = run!("sweep", f.dir, "--idle=1d", "--max-time=1h", "--max-files=1000");
    let rest = 10 - removed;
    let expected =
        format!("{rest} sessions removed, 0 left, 0 failed; 0 temps and 0 in quarantine removed\n");
    assert_eq!(ran, done(&expected));
    for usage in [
        "--idle=30",
        "--idle=-1s",
        "--idle=1.5h",
        "--max-time=1w",
        "--max-files=-1",
        "--quarantine-older=d",
        "--skip-written=x",
    ] {
        let ran = run!("sweep", f.dir, usage);
        assert_eq!((ran.status, &*ran.out), (2, ""), "{usage}");
        assert!(
            usage.starts_with("--max-files") || ran.err.contains("a whole number and a unit"),
            "{}",
            ran.err
        );
    }
}

// -------------------------------------------------------------------------------------------------------- repair

/// Exercises NAME-8.
#[test]
fn repair_tells_and_does() {
    for naming in [Naming::Plain, Naming::Hashed] {
        let f = three(naming);
        damage(&f, OTHER);
        fs::set_permissions(f.file(ID), fs::Permissions::from_mode(0o604)).expect("chmod");
        let lock = f.dir.join(".lock/07");
        fs::remove_file(&lock).expect("there");
        let session = f.store.load(&id(ID)).expect("loads").expect("is there");
        let before = snapshot(&f.dir);
        let other = shown(OTHER);
        let ran = run!("repair", f.dir);
        assert_eq!((ran.status, &*ran.err), (1, ""));
        let said = lines(&ran.out);
        let summary = "nothing was changed: 4 sessions, 3 findings to repair (--apply does it), 0 to leave";
        assert_eq!((said.len(), said[0]), (4, summary));
        assert!(
            said[1].starts_with("would make-lock-file: .lock/07 [lock-file-missing CHK-14]: "),
            "{}",
            said[1]
        );
        assert!(said[2].starts_with(&format!("would mode: {SHOWN} [mode CHK-7]: mode 0604 ")), "{}", said[2]);
        assert!(said[3].starts_with(&format!("would quarantine: {other} [corrupt SLOT-1]: ")), "{}", said[3]);
        assert_eq!(snapshot(&f.dir), before);

        let ran = run!("repair", "--json", f.dir);
        let said = ran.json();
        assert_eq!((ran.status, said.len()), (1, 4));
        let expected =
            json!({"summary": {"applied": false, "repaired": 3, "left": 0, "failed": 0, "sessions": 4}});
        assert_eq!(said[3], expected);
        let corrupt =
            said.iter().find(|line| line["path"] == *other).expect("told").as_object().expect("an object");
        let names: Vec<_> = corrupt.keys().map(String::as_str).collect();
        // serde_json sorts them.
        assert_eq!(names, ["action", "detail", "finding", "offset", "path", "rule", "severity"]);
        assert_eq!((&corrupt["action"], &corrupt["finding"]), (&json!("quarantine"), &json!("corrupt")));

        let ran = run!("repair", "--apply", "--json", f.dir);
        let said = ran.json();
        assert_eq!((ran.status, &*ran.err), (0, ""), "{}", ran.out);
        assert!(said[..3].iter().all(|line| line["done"] == true), "{}", ran.out);
        let expected =
            json!({"summary": {"applied": true, "repaired": 3, "left": 0, "failed": 0, "sessions": 4}});
        assert_eq!(said[3], expected);
        assert_eq!(run!("check", "--deny", "warnings", f.dir).status, 0);
        assert!(lock.exists() && !f.file(OTHER).exists());
        assert_eq!(fs::read_dir(f.dir.join(".quarantine")).expect("listed").count(), 1);
        assert_eq!(f.store.load(&id(ID)).expect("loads"), Some(session));
        assert_eq!(
            run!("repair", "--apply", f.dir),
            done("3 sessions: 0 findings repaired, 0 left, 0 failed\n")
        );
        assert_eq!(run!("repair", f.dir).status, 0);

        let ran = run!("sweep", f.dir, "--quarantine-older", "30d");
        assert!(ran.status == 0 && ran.out.ends_with(" 0 temps and 0 in quarantine removed\n"), "{ran:?}");
        let ran = run!("sweep", f.dir, "--quarantine-older", "0s");
        assert!(ran.status == 0 && ran.out.ends_with(" 0 temps and 1 in quarantine removed\n"), "{ran:?}");
    }
}

#[test]
fn what_a_repair_leaves_or_cannot_do_is_told() {
    let f = fixture(Naming::Plain);
    f.plain("legacy-id-1", "ada");
    let legacy = shown("legacy-id-1");
    // A warning that no repair mends is no reason to call anybody.
    for (args, summary) in [
        (&[][..], "nothing was changed: 1 session, 0 findings to repair (--apply does it), 1 to leave"),
        (&["--apply"], "1 session: 0 findings repaired, 1 left, 0 failed"),
    ] {
        let mut command = command(&[&"repair", &f.dir]);
        command.args(args);
        let ran = finish(command, None);
        assert_eq!((ran.status, &*ran.err), (0, ""));
        assert!(ran.out.starts_with(&format!("leave: {legacy} [legacy-id CHK-10]: ")), "{}", ran.out);
        assert_eq!(ran.out.lines().last(), Some(summary));
    }
    // An error that none mends is.
    fs::create_dir(f.file(ID)).expect("made");
    for args in [&[][..], &["--apply"]] {
        let mut command = command(&[&"repair", &f.dir]);
        command.args(args);
        let ran = finish(command, None);
        assert!(
            ran.status == 1 && ran.out.contains(&format!("leave: {SHOWN} [not-regular NAME-11]: ")),
            "{ran:?}"
        );
    }
    fs::remove_dir(f.file(ID)).expect("there");
    // What stands in the quarantine's place is not the format's, and stays.
    damage(&f, OTHER);
    fs::write(f.dir.join(".quarantine"), "mine").expect("written");
    let before = snapshot(&f.dir);
    let ran = run!("repair", "--apply", f.dir);
    assert_eq!((ran.status, &*ran.err), (1, ""));
    let said = ran.out.lines().find(|line| line.starts_with("quarantine: ")).expect("told");
    assert!(said.starts_with(&format!("quarantine: {} [corrupt SLOT-1]: ", shown(OTHER))), "{said}");
    assert!(said.contains("; failed: io: "), "{said}");
    assert_eq!(ran.out.lines().last(), Some("2 sessions: 0 findings repaired, 2 left, 1 failed"));
    let ran = run!("repair", "--apply", "--json", f.dir);
    let said = ran.json().into_iter().find(|line| line["action"] == "quarantine").expect("told");
    assert_eq!((ran.status, &said["done"], &said["error"]), (1, &json!(false), &json!("io")));
    assert!(said["message"].as_str().is_some_and(|m| m.starts_with(&*f.dir.to_string_lossy())), "{said}");
    assert_eq!(snapshot(&f.dir), before);
}

// --------------------------------------------------------------------------------------------------------- stats

#[test]
fn stats_counts() {
    let f = three(Naming::Plain);
    damage(&f, OTHER);
    f.plain("legacy-id-1", "ada");
    let mut large = Session::new();
    large.insert("x", &"x".repeat(5000)).expect("fits");
    f.insert("GGGGGGGGGGGGGGGGGGGGGG", &mut large);
    fs::write(f.dir.join(".tmp.CCCCCCCCCCCCCCCCCCCCCC"), "debris").expect("written");
    fs::write(f.dir.join("README"), "mine").expect("written");
    fs::create_dir(f.dir.join(".quarantine")).expect("made");
    fs::write(f.dir.join(format!(".quarantine/{ID}.{START}")), "old").expect("written");
    let bytes = 4 * 2 * 4096 + 2 * 8192 + 8;
    let before = snapshot(&f.dir);
    let ran = run!("stats", f.dir);
    assert_eq!((ran.status, &*ran.err), (0, ""));
    let mut said: Vec<_> = ran.out.lines().collect();
    let oldest = said.remove(11);
    assert!(
        oldest.starts_with("oldest access 2025-01-01T00:00:00.000Z (") && oldest.ends_with(" d ago)"),
        "{oldest}"
    );
    let expected = "live                     4\n\
                    expired                  1\n\
                    legacy                   1\n\
                    stillborn                0\n\
                    unsupported              0\n\
                    corrupt                  1\n\
                    unreadable               0\n\
                    temps                    1\n\
                    foreign                  1\n\
                    quarantined              1\n\
                    bytes                49160\n";
    assert_eq!(said[..11].join("\n") + "\n", expected);
    let expected = format!(
        "    slot size        files\n         4096            4 {}\n         8192            1 {}",
        "#".repeat(40),
        "#".repeat(10)
    );
    assert_eq!(said[11..].join("\n"), expected);
    let ran = run!("stats", "--json", f.dir);
    let expected = json!({
        "live": 4, "expired": 1, "legacy": 1, "stillborn": 0, "unsupported": 0, "corrupt": 1, "unreadable": 0,
        "temps": 1, "foreign": 1, "quarantined": 1, "bytes": bytes, "slot_sizes": {"4096": 4, "8192": 1},
        "oldest_access": START,
    });
    assert_eq!((ran.status, ran.json()), (0, vec![expected]));
    assert_eq!(snapshot(&f.dir), before);
    let empty = fixture(Naming::Hashed);
    let ran = run!("stats", "--json", empty.dir);
    assert_eq!(
        (ran.status, ran.json()[0].get("oldest_access"), &ran.json()[0]["slot_sizes"]),
        (0, None, &json!({}))
    );
    assert_eq!(run!("stats", empty.dir).out.lines().count(), 11);
}

// ------------------------------------------------------------------------------------------------------- convert

/// Exercises MARK-5.
#[test]
fn convert_copies_into_another_naming() {
    let f = three(Naming::Plain);
    f.rich("RRRRRRRRRRRRRRRRRRRRRR");
    damage(&f, OTHER);
    let before = snapshot(&f.dir);
    let to = f.tmp.path().join("to");
    let ran = run!("convert", f.dir, to);
    let expected = format!(
        "3 sessions copied to {} (naming hashed, durability process), 0 kept, 1 failed\n",
        to.display()
    );
    assert_eq!((ran.status, ran.out), (1, expected));
    let failed = format!("sessiondir: {}: corrupt: session {} breaks", f.dir.display(), shown(OTHER));
    assert!(ran.err.lines().count() == 1 && ran.err.starts_with(&failed), "{}", ran.err);
    assert_eq!(snapshot(&f.dir), before);
    assert_eq!(
        run!("check", "--deny", "warnings", to),
        done("3 sessions (0 expired), 0 errors, 0 warnings\n")
    );
    let store = DirectoryStore::open(&to).expect("a store");
    for name in [ID, FRESH, "RRRRRRRRRRRRRRRRRRRRRR"] {
        let was = f.store.load(&id(name)).expect("loads").expect("is there");
        let is = store.load(&id(name)).expect("loads").expect("is there");
        let same = |a: &Session, b: &Session| {
            (a.rev(), a.created(), a.accessed()) == (b.rev(), b.created(), b.accessed())
                && a.attributes().eq(b.attributes())
                && a.user_encoded() == b.user_encoded()
        };
        assert!(same(&was, &is), "{was:?} {is:?}");
    }
    // What is there already is kept; what has come since is copied.
    f.plain("NNNNNNNNNNNNNNNNNNNNNN", "new");
    store.delete(&id(ID)).expect("deleted");
    let ran = run!("convert", "--json", f.dir, to);
    let mut said = ran.json();
    let expected = json!({"summary": {"naming": "hashed", "durability": "process", "copied": 2, "kept": 2, "failed": 1}});
    assert_eq!((ran.status, said.pop(), &*ran.err), (1, Some(expected), ""));
    assert!(said.contains(&json!({"copied": shown("NNNNNNNNNNNNNNNNNNNNNN")})), "{}", ran.out);
    assert!(said.contains(&json!({"kept": shown(FRESH)})), "{}", ran.out);
    assert_eq!(said.iter().filter(|line| line["error"] == "corrupt").count(), 1);
    // Into the same naming, with another durability.
    let plain = f.tmp.path().join("plain");
    let ran = run!("convert", to, plain, "--durability", "power", "--json");
    assert_eq!(
        (ran.status, ran.json().last().map(|s| s["summary"]["durability"] == "power")),
        (0, Some(true))
    );
}

/// Exercises DIR-3, MARK-5.
#[test]
fn convert_refuses_a_target_that_it_cannot_use() {
    let f = three(Naming::Plain);
    let path = |name: &str| f.tmp.path().join(name);
    let hashed = path("hashed");
    assert_eq!(run!("convert", f.dir, hashed).status, 0);
    fs::create_dir(path("full")).expect("made");
    fs::write(path("full/README"), "mine").expect("written");
    fs::write(path("file"), "mine").expect("written");
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("made");
    symlink(&f.dir, path("link")).expect("made");
    symlink(path("nowhere"), path("dangling")).expect("made");
    fs::create_dir(path("later")).expect("made");
    fs::write(path("later/.sessiondir"), "sessiondir\nread 2\nwrite 2\n").expect("written");
    let before = snapshot(f.tmp.path());
    let another = |durability| {
        format!("is a store already, of naming hashed and durability {durability}; name a new one")
    };
    let itself = "or would be in it; name a directory elsewhere";
    for (source, target, args, what) in [
        (&f.dir, &f.dir, &[][..], itself),
        (&f.dir, &path("link"), &[], itself),
        (&path("link"), &f.dir, &[], itself),
        (&f.dir, &f.dir.join("new"), &[], itself),
        (&hashed, &path("new"), &["--naming", "plain"], "does not hold the IDs that naming plain needs"),
        (&hashed, &f.dir, &[], "does not hold the IDs that naming plain needs"),
        (&f.dir, &hashed, &["--naming", "plain"], &another("process")),
        (&f.dir, &hashed, &["--durability", "power"], &another("process")),
        (&f.dir, &path("full"), &[], "not empty, so it is not made a store; name a new or an empty one"),
        (&f.dir, &path("later"), &[], "this is a store of read version 2 (MARK-2); update sessiondir"),
        (&f.dir, &path("file"), &[], "not a directory; name the store's directory"),
        (&f.dir, &path("fifo"), &[], "not a directory; name the store's directory"),
        (&f.dir, &path("dangling"), &[], "is a symbolic link that leads nowhere; remove it, or name another"),
        (&f.dir, &path("none/new"), &[], "its parent directory does not exist; make that first"),
    ] {
        let mut command = command(&[&"convert", source, target]);
        command.args(args);
        let ran = finish(command, None);
        assert_eq!((ran.status, &*ran.out), (2, ""), "{target:?}: {}", ran.err);
        assert!(
            ran.err.starts_with("sessiondir: ") && ran.err.ends_with(&format!("{what}\n")),
            "{}",
            ran.err
        );
        assert_eq!(snapshot(f.tmp.path()), before, "{target:?}");
    }
}

// ----------------------------------------------------------------------------------------------- foreign entries

/// Exercises NAME-10, NAME-11.
#[test]
fn no_command_touches_what_is_not_the_formats() {
    let f = fixture(Naming::Plain);
    let path = |name: &str| f.dir.join(name);
    let fifo = |name: &str| nix::unistd::mkfifo(&path(name), nix::sys::stat::Mode::S_IRUSR).expect("made");
    let not_utf8 = f.dir.join(std::ffi::OsString::from_vec(b"caf\xe9\x1b[2J\n".to_vec()));
    fs::write(&not_utf8, "mine").expect("written");
    fs::write(path("CCCCCCCCCCCCCCCCCCCCCC~"), "mine").expect("written");
    fifo("pipe");
    fifo("DDDDDDDDDDDDDDDDDDDDDD");
    fifo(".tmp.DDDDDDDDDDDDDDDDDDDDDD");
    symlink("/etc/passwd", path("EEEEEEEEEEEEEEEEEEEEEE")).expect("made");
    symlink(path(ID), path("link")).expect("made");
    fs::create_dir(path("FFFFFFFFFFFFFFFFFFFFFF")).expect("made");
    let _socket = std::os::unix::net::UnixListener::bind(path("GGGGGGGGGGGGGGGGGGGGGG")).expect("bound");
    fs::create_dir(path(".quarantine")).expect("made");
    fs::set_permissions(path(".quarantine"), fs::Permissions::from_mode(0o700)).expect("chmod");
    fifo(".quarantine/DDDDDDDDDDDDDDDDDDDDDD.1");
    fs::write(path(".quarantine/README"), "mine").expect("written");
    let before = snapshot(&f.dir);
    let to = f.tmp.path().join("to");
    for (args, status) in [
        (&["sweep", "--idle=0s", "--quarantine-older=0s"][..], 0),
        (&["repair"], 1),
        (&["repair", "--apply"], 1),
        (&["stats"], 0),
        (&["delete", "--user=ada"], 0),
        (&["convert", &to.to_string_lossy()], 0),
    ] {
        for json in [&[][..], &["--json"]] {
            let mut command = command(&[&args[0]]);
            // The target comes behind the source.
            let is_option = |arg: &&&str| arg.starts_with("--");
            command.args(args[1..].iter().filter(is_option)).args(json).arg(&f.dir);
            command.args(args[1..].iter().filter(|arg| !is_option(arg)));
            let ran = finish(command, None);
            assert_eq!((ran.status, &*ran.err), (status, ""), "{args:?}: {}", ran.out);
            assert!(!ran.out.contains(|c: char| c.is_control() && c != '\n'), "{args:?}: {:?}", ran.out);
            assert_eq!(snapshot(&f.dir), before, "{args:?}");
        }
    }
    assert_eq!(run!("stats", "--json", f.dir).json()[0]["foreign"], 9);
}
