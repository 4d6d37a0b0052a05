//! As whom the command works where root runs it.

#[macro_use]
#[path = "support/command.rs"]
mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sessiondir::Naming;
use support::{Fixture, ID, NOBODY, OTHER, Ran, TIMEOUT, command, finish, fixture, is_root, snapshot};

/// A store of nobody's, where the tests run as root.
fn nobodys(naming: Naming) -> Option<Fixture> {
    let f = fixture(naming);
    if !is_root(f.tmp.path()) {
        eprintln!("SKIPPED: that root works as the owner; the tests do not run as root");
        return None;
    }
    f.plain(ID, "ada");
    f.plain(OTHER, "bob");
    // So that lock files are made.
    for lock in 0..64 {
        fs::remove_file(f.dir.join(format!(".lock/{lock:02x}"))).expect("there");
    }
    f.give_to_nobody();
    Some(f)
}

/// Exercises DIR-4, DIR-6.
#[test]
fn root_works_as_the_owner() {
    let Some(f) = nobodys(Naming::Plain) else { return };
    let all_nobodys = std::collections::BTreeSet::from([(NOBODY, NOBODY)]);
    let source = f.tmp.path().join("source");
    fs::create_dir(&source).expect("made");
    let session3 = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/session3/sessions/shopSession");
    fs::copy(session3, source.join("shopSession")).expect("copied");
    for path in [&source, &source.join("shopSession")] {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    }
    // Where nobody may make a store.
    let his = f.tmp.path().join("his");
    fs::create_dir(&his).expect("made");
    std::os::unix::fs::chown(&his, Some(NOBODY), Some(NOBODY)).expect("root may");
    let target = his.join("target");
    let dir = f.dir.as_os_str();
    let os = std::ffi::OsStr::new;
    for args in [
        &[os("delete"), dir, os(ID)][..],
        &[os("delete"), dir, os("--user"), os("bob")],
        &[os("set"), dir, os("--durability"), os("power")],
        &[os("import"), os("session3"), source.as_os_str(), dir],
        &[os("check"), dir],
        &[os("list"), dir],
        &[os("stats"), dir],
        &[os("convert"), dir, target.as_os_str()],
        &[os("repair"), os("--apply"), dir],
        &[os("sweep"), os("--idle=0s"), os("--quarantine-older=0s"), dir],
    ] {
        let mut command = command(&[]);
        command.args(args);
        let ran = finish(command, None);
        assert_eq!((ran.status, &*ran.err), (0, ""), "{args:?}: {}", ran.out);
        assert_eq!(support::owners(&f.dir), all_nobodys, "{args:?}");
    }
    assert_eq!(run!("list", f.dir).out.lines().last(), Some("0 sessions"));
    assert!(target.join(".sessiondir").exists() && !f.file(ID).exists() && !f.file(OTHER).exists());
    assert_eq!(support::owners(&his), all_nobodys);
    // By way of a link, and by a relative path, too.
    let link = f.tmp.path().join("link");
    symlink(&f.dir, &link).expect("made");
    f.plain(ID, "ada");
    f.give_to_nobody();
    assert_eq!(run!("delete", link, ID).status, 0);
    assert_eq!(support::owners(&f.dir), all_nobodys);
    let mut relative = command(&[&"delete", &"s", &OTHER]);
    relative.current_dir(f.tmp.path());
    assert_eq!(finish(relative, None).status, 0);
    assert_eq!(support::owners(&f.dir), all_nobodys);
    // An empty directory of his becomes a store of his.
    let empty = f.tmp.path().join("empty");
    fs::create_dir(&empty).expect("made");
    std::os::unix::fs::chown(&empty, Some(NOBODY), Some(NOBODY)).expect("root may");
    assert_eq!(run!("init", empty).status, 0);
    let marker = fs::metadata(empty.join(".sessiondir")).expect("a marker");
    let lock = fs::metadata(empty.join(".lock/3f")).expect("a lock file");
    assert_eq!((marker.uid(), marker.gid(), lock.uid()), (NOBODY, NOBODY, NOBODY));
}

/// Exercises COLL-6.
#[test]
fn root_leaves_nothing_of_its_own_in_a_quarantine() {
    let Some(f) = nobodys(Naming::Hashed) else { return };
    fs::write(f.file(ID), "damaged").expect("written");
    let ran = run!("repair", "--apply", f.dir);
    assert_eq!(
        (ran.status, fs::read_dir(f.dir.join(".quarantine")).expect("listed").count()),
        (0, 1),
        "{ran:?}"
    );
    assert_eq!(support::owners(&f.dir), std::collections::BTreeSet::from([(NOBODY, NOBODY)]));
}

/// Not as a root that only owns what it makes: no right of root's is left.
#[test]
fn root_gives_up_its_rights() {
    let Some(f) = nobodys(Naming::Plain) else { return };
    // A session that only root can read.
    let secret = f.file(OTHER);
    std::os::unix::fs::chown(&secret, Some(0), Some(0)).expect("root may");
    let ran = run!("list", f.dir);
    assert_eq!((ran.status, ran.err.lines().count()), (1, 1));
    assert!(ran.err.contains("Permission denied"), "{}", ran.err);
    // The way that only root can go.
    fs::set_permissions(f.tmp.path(), fs::Permissions::from_mode(0o700)).expect("chmod");
    let before = snapshot(f.tmp.path());
    let expected = format!(
        "it belongs to user {NOBODY}, as whom root works on it, but that user cannot get to it by this path; give one \
         from / on, through directories that he may enter\n"
    );
    let mut relative = command(&[&"list", &"s"]);
    relative.current_dir(f.tmp.path());
    for (ran, dir) in [
        (run!("list", f.dir), &*f.dir.to_string_lossy()),
        (run!("delete", f.dir, ID), &f.dir.to_string_lossy()),
        (finish(relative, None), "s"),
    ] {
        let expected = format!("sessiondir: io: {dir}: {expected}");
        assert_eq!(ran, Ran { status: 2, out: String::new(), err: expected });
    }
    let ran = run!("check", "--json", f.dir);
    assert_eq!((ran.status, &ran.json()[0]["error"], &*ran.err), (2, &"io".into(), ""));
    assert_eq!(snapshot(f.tmp.path()), before);
}

/// Real, effective, saved, and for files: nothing to come back to.
#[test]
#[cfg(target_os = "linux")]
fn root_has_no_way_back() {
    let Some(f) = nobodys(Naming::Plain) else { return };
    // With a group more, to be rid of.
    let mut command = Command::new("setpriv");
    command.args(["--groups", "4242"]).arg(env!("CARGO_BIN_EXE_sessiondir"));
    // It waits for the ID.
    command.arg("delete").arg(&f.dir).arg("-").stdin(Stdio::piped()).stdout(Stdio::null());
    let Ok(mut child) = command.spawn() else {
        eprintln!("SKIPPED: that root has no way back; there is no setpriv");
        return;
    };
    let start = Instant::now();
    let status = loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("Linux has it");
        if status.contains(&format!("\nUid:\t{NOBODY}")) || start.elapsed() > TIMEOUT / 2 {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    drop(child.stdin.take());
    assert_eq!(child.wait().expect("ends").code(), Some(0));
    let line = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)).expect("there").trim().to_owned()
    };
    let all_four =
        [NOBODY.to_string(), NOBODY.to_string(), NOBODY.to_string(), NOBODY.to_string()].join("\t");
    assert_eq!((line("Uid:"), line("Gid:")), (all_four.clone(), all_four));
    assert_eq!(line("Groups:"), NOBODY.to_string());
    for set in ["CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(line(set), "0000000000000000", "{set}");
    }
}

#[test]
fn root_without_the_right_to_become_another_user_does_nothing() {
    let Some(f) = nobodys(Naming::Plain) else { return };
    let tool = "setpriv";
    let bounded = |drop: &str| {
        let mut command = Command::new(tool);
        command.args(["--bounding-set", drop, "--inh-caps", drop]).arg(env!("CARGO_BIN_EXE_sessiondir"));
        command.args(["delete"]).arg(&f.dir).arg(ID);
        command
    };
    let before = snapshot(f.tmp.path());
    for drop in ["-setuid", "-setgid"] {
        if Command::new(tool).arg("--version").output().is_err() {
            eprintln!("SKIPPED: root without the right to become another user; there is no {tool}");
            return;
        }
        let ran = finish(bounded(drop), None);
        assert_eq!((ran.status, &*ran.out), (2, ""), "{}", ran.err);
        let why = "but it was not possible to become that user: Operation not permitted (os error 1); run this as that \
                   user\n";
        assert!(ran.err.ends_with(why), "{}", ran.err);
        assert_eq!(snapshot(f.tmp.path()), before, "{drop}");
    }
}

#[test]
fn root_says_why_an_import_cannot_read_its_source() {
    let Some(f) = nobodys(Naming::Plain) else { return };
    let source = f.tmp.path().join("source");
    fs::create_dir(&source).expect("made");
    fs::set_permissions(&source, fs::Permissions::from_mode(0o700)).expect("chmod");
    let ran = run!("import", "session3", source, f.dir);
    assert_eq!((ran.status, &*ran.out), (2, ""));
    let why = format!("(root works as the store's owner, user {NOBODY}, who has to have access)\n");
    assert!(ran.err.contains("Permission denied") && ran.err.ends_with(&why), "{}", ran.err);
}
