//! The command, driven as a program: what it prints, its exit status, what it leaves alone.

#[macro_use]
#[path = "support/command.rs"]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sessiondir::{Naming, Options, Session, SessionId, SessionStore, UnixMillis};
use support::{
    Fixture, ID, KEY, NOBODY, Ran, SHOWN, START, TIMEOUT, as_nobody, at, command, finish, fixture, id,
    is_root, snapshot,
};

/// Ages grow while the tests run; everything else is exact.
fn without_ages(text: &str) -> String {
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        match (line.find(" ("), line.find(" ago)\n").or(line.find(" d)\n"))) {
            (Some(from), Some(_)) => out.extend([&line[..from], " (…)\n"]),
            _ => out.push_str(line),
        }
    }
    out
}

// ---------------------------------------------------------------------------------------------------- the frame

#[test]
fn version_and_help() {
    let ran = run!("--version");
    let expected = format!("sessiondir {} (format version 1)\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((ran.status, ran.out, ran.err), (0, expected, String::new()));
    for command in [
        &["init"][..],
        &["check"],
        &["list"],
        &["show"],
        &["delete"],
        &["sweep"],
        &["repair"],
        &["stats"],
        &["set"],
        &["convert"],
        &["import", "session3"],
        &["completions"],
        &["man"],
    ] {
        // `show -hxxxxxxxxxx` shows a session.
        for flag in if [["show"], ["delete"]].iter().any(|c| c == command) {
            &["--help"][..]
        } else {
            &["-h", "--help"]
        } {
            let args: Vec<&str> = command.iter().copied().chain([*flag]).collect();
            let args: Vec<&dyn AsRef<std::ffi::OsStr>> = args.iter().map(|a| a as _).collect();
            let ran = finish(self::command(&args), None);
            assert_eq!((ran.status, &*ran.err), (0, ""), "{command:?}");
            assert!(ran.out.contains("\nExample") && ran.out.contains("\nExit status: 0 "), "{}", ran.out);
            assert!(ran.out.contains("--full-ids"), "{}", ran.out);
        }
    }
}

#[test]
fn usage_errors() {
    for args in [&[][..], &["frobnicate"], &["check"], &["show", "x"], &["check", "x", "--deny", "errors"]] {
        let args: Vec<&dyn AsRef<std::ffi::OsStr>> = args.iter().map(|a| a as _).collect();
        let ran = finish(command(&args), None);
        assert_eq!((ran.status, &*ran.out), (2, ""), "{}", ran.err);
        assert!(ran.err.contains("--help"), "{}", ran.err);
    }
}

#[test]
fn a_closed_pipe_ends_the_command_quietly() {
    let f = fixture(Naming::Plain);
    // More than a pipe and the command's buffer hold.
    for number in 0..2500 {
        let id = format!("{number:022}");
        f.plain(&id, &"u".repeat(300));
        fs::set_permissions(f.file(&id), fs::Permissions::from_mode(0o604)).expect("chmod");
    }
    let big = "x".repeat(1 << 20);
    f.store.update(&id(&format!("{:022}", 7)), &mut |s| Ok(s.insert("big", &big)?)).expect("updated");
    let show = format!("{:022}", 7);
    let target = f.tmp.path().join("target");
    let target = target.to_str().expect("text");
    for args in [
        &["check"][..],
        &["list"],
        &["list", "--json"],
        &["check", "--json"],
        &["show"],
        &["repair"],
        &["repair", "--json"],
        &["sweep", "--dry-run", "--idle=1d", "--json", "--full-ids"],
        &["convert", "--json", "--naming=plain", "--full-ids"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sessiondir"));
        command.args(args).arg(&f.dir);
        match args[0] {
            "show" => command.arg(&show),
            "convert" => command.arg(target),
            _ => &mut command,
        };
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let mut first = [0];
        let mut stdout = child.stdout.take().expect("piped");
        stdout.read_exact(&mut first).expect("something comes");
        drop(stdout);
        let done = child.wait_with_output().expect("ends");
        assert_eq!(String::from_utf8_lossy(&done.stderr), "", "{args:?}");
        assert_eq!(done.status.code(), Some(2), "{args:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_under_standard_output_is_no_success() {
    let f = fixture(Naming::Plain);
    f.plain(ID, "ada");
    for args in [
        &["check"][..],
        &["list"],
        &["list", "--json"],
        &["stats"],
        &["sweep"],
        &["repair"],
        &["set", "--durability=process"],
        &["delete", "--user=eve"],
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let mut command = Command::new(env!("CARGO_BIN_EXE_sessiondir"));
        let done = command.args(args).arg(&f.dir).stdout(full).stderr(Stdio::piped()).output().expect("ends");
        assert_eq!(done.status.code(), Some(2), "{args:?}");
        let err = String::from_utf8(done.stderr).expect("text");
        assert_eq!(
            err,
            "sessiondir: cannot write to standard output: No space left on device (os error 28)\n"
        );
    }
}

// --------------------------------------------------------------------------------------------------------- init

/// Exercises DIR-2, DIR-6.
#[test]
fn init_makes_a_store() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let dir = tmp.path().join("a");
    let ran = run!("init", dir);
    let expected = format!("made a store in {}: naming plain, durability power\n", dir.display());
    assert_eq!((ran.status, ran.out, ran.err), (0, expected, String::new()));
    let marker = fs::read_to_string(dir.join(".sessiondir")).expect("a marker");
    assert_eq!(marker, "sessiondir\nread 1\nwrite 1\nnaming plain\ndurability power\n");
    assert_eq!(fs::metadata(&dir).expect("there").mode() & 0o7777, 0o700);
    let clean =
        Ran { status: 0, out: "0 sessions (0 expired), 0 errors, 0 warnings\n".into(), err: String::new() };
    assert_eq!(run!("check", dir, "--deny", "warnings"), clean);

    let dir = tmp.path().join("b");
    let ran = run!("init", dir, "--json", "--naming", "hashed", "--durability", "process", "--group");
    let [made] = &ran.json()[..] else { panic!("{ran:?}") };
    let expected = serde_json::json!({"store": dir, "naming": "hashed", "durability": "process"});
    assert_eq!((ran.status, made), (0, &expected));
    let marker = fs::read_to_string(dir.join(".sessiondir")).expect("a marker");
    assert_eq!(marker, "sessiondir\nread 1\nwrite 1\nnaming hashed\ndurability process\n");
    assert_eq!(fs::metadata(dir.join(".lock/00")).expect("there").mode() & 0o7777, 0o660);
    assert_eq!(run!("check", dir, "--group", "--deny", "warnings"), clean);
}

/// Exercises DIR-3, ERR-2.
#[test]
fn init_refuses_what_it_cannot_use() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| tmp.path().join(name);
    assert_eq!(run!("init", path("store")).status, 0);
    fs::create_dir(path("full")).expect("made");
    fs::write(path("full/README"), "mine").expect("written");
    // What opening does not take for a marker, making does not take for one either.
    fs::create_dir(path("no-marker")).expect("made");
    symlink(path("store/.sessiondir"), path("no-marker/.sessiondir")).expect("made");
    fs::write(path("file"), "mine").expect("written");
    symlink(path("nowhere"), path("dangling")).expect("made");
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("made");
    fs::create_dir(path("open")).expect("made");
    fs::set_permissions(path("open"), fs::Permissions::from_mode(0o777)).expect("chmod");
    for (name, class, what) in [
        ("store", "not-a-store", "is a store already; nothing was changed"),
        ("no-marker", "not-a-store", "not empty, so it is not made a store; name a new or an empty one"),
        ("full", "not-a-store", "not empty, so it is not made a store; name a new or an empty one"),
        ("file", "not-a-store", "not a directory; name the store's directory"),
        ("fifo", "not-a-store", "not a directory; name the store's directory"),
        ("dangling", "not-a-store", "is a symbolic link that leads nowhere; remove it, or name another"),
        ("none/store", "io", "its parent directory does not exist; make that first"),
        (
            "open",
            "unsafe-directory",
            "others can write to it (mode 0777), so they could forge sessions; chmod 700 it",
        ),
    ] {
        let before = snapshot(tmp.path());
        let ran = run!("init", path(name));
        assert_eq!((ran.status, &*ran.out), (2, ""), "{name}: {}", ran.err);
        let start = format!("sessiondir: {class}: {}: ", path(name).display());
        assert!(
            ran.err.starts_with(&start) && ran.err.ends_with(&format!("{what}\n")),
            "{name}: {}",
            ran.err
        );
        let ran = run!("init", "--json", path(name));
        assert_eq!((ran.status, &*ran.err), (2, ""), "{name}");
        let [error] = &ran.json()[..] else { panic!("{ran:?}") };
        assert_eq!(error["error"], class);
        assert_eq!(snapshot(tmp.path()), before, "{name}");
    }
}

// -------------------------------------------------------------------------------------------------- bad directories

/// The arguments of every subcommand that reads a store, for the store `dir`.
fn on(dir: &Path, source: &Path) -> Vec<Vec<std::ffi::OsString>> {
    let dir = dir.as_os_str().to_owned();
    let words = |words: &[&str]| words.iter().map(Into::into).collect::<Vec<std::ffi::OsString>>();
    vec![
        [words(&["check"]), vec![dir.clone()]].concat(),
        [words(&["list"]), vec![dir.clone()]].concat(),
        [words(&["show"]), vec![dir.clone()], words(&[ID])].concat(),
        [words(&["show"]), vec![dir.clone()], words(&[SHOWN])].concat(),
        [words(&["delete"]), vec![dir.clone()], words(&[ID, SHOWN])].concat(),
        [words(&["delete", "--user", "ada"]), vec![dir.clone()]].concat(),
        [words(&["sweep", "--idle", "0s"]), vec![dir.clone()]].concat(),
        [words(&["sweep", "--dry-run"]), vec![dir.clone()]].concat(),
        [words(&["repair"]), vec![dir.clone()]].concat(),
        [words(&["repair", "--apply"]), vec![dir.clone()]].concat(),
        [words(&["stats"]), vec![dir.clone()]].concat(),
        [words(&["set", "--durability", "process"]), vec![dir.clone()]].concat(),
        [words(&["convert"]), vec![dir.clone(), source.join("new").into()]].concat(),
        [words(&["import", "session3"]), vec![source.into(), dir.clone()]].concat(),
        [words(&["import", "session3", "--dry-run"]), vec![source.into(), dir]].concat(),
    ]
}

/// Exercises DIR-1, DIR-4, MARK-1, MARK-2, MARK-4, ERR-1.
#[test]
fn what_is_no_store_is_refused_by_every_subcommand() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| tmp.path().join(name);
    let source = path("source");
    fs::create_dir(&source).expect("made");
    fs::write(path("file"), "no store").expect("written");
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("made");
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).expect("bound");
    fs::create_dir(path("empty")).expect("made");
    let store = |name: &str| {
        sessiondir::init(path(name), &Options::new()).expect("a new store");
        path(name)
    };
    let with_marker =
        |name: &str, marker: &str| fs::write(store(name).join(".sessiondir"), marker).expect("written");
    with_marker("version-2", "sessiondir\nread 2\nwrite 2\nand more\n");
    with_marker("malformed", "sessiondir\nread 1\nwrite 1\nnaming sharded\ndurability power\n");
    with_marker("truncated", "sessiondir\nread 1\nwri");
    with_marker("no-text", "");
    with_marker("long", &"sessiondir\n".repeat(1000));
    with_marker("later", "sessiondir\nread 1\nwrite 1\nnaming plain\ndurability power\nshards 16\n");
    let marker = store("marker-fifo").join(".sessiondir");
    fs::remove_file(&marker).expect("removed");
    nix::unistd::mkfifo(&marker, nix::sys::stat::Mode::S_IRWXU).expect("made");
    let marker = store("marker-link").join(".sessiondir");
    fs::rename(&marker, path("marker")).expect("moved");
    symlink(path("marker"), &marker).expect("made");
    let marker = store("marker-dir").join(".sessiondir");
    fs::remove_file(&marker).expect("removed");
    fs::create_dir(&marker).expect("made");
    fs::remove_dir_all(store("no-locks").join(".lock")).expect("removed");
    fs::set_permissions(store("open"), fs::Permissions::from_mode(0o777)).expect("chmod");
    let restore = "restore that file from a backup (SPEC.md section 5.2 shows one)";
    let no_marker = "no .sessiondir in it, so it is no store; make one with `sessiondir init DIR`";
    for (name, class, what) in [
        ("missing", "not-a-store", "no such directory; make a store with `sessiondir init DIR`"),
        ("file", "not-a-store", "not a directory; name the store's directory"),
        ("fifo", "not-a-store", "not a directory; name the store's directory"),
        ("socket", "not-a-store", "not a directory; name the store's directory"),
        ("empty", "not-a-store", no_marker),
        ("marker-fifo", "not-a-store", no_marker),
        ("marker-link", "not-a-store", no_marker),
        ("marker-dir", "not-a-store", no_marker),
        ("version-2", "unsupported", "this is a store of read version 2 (MARK-2); update sessiondir"),
        ("malformed", "not-a-store", &format!("breaks rule MARK-1 at byte 26; {restore}")),
        ("truncated", "not-a-store", &format!("breaks rule MARK-1 at byte 18; {restore}")),
        ("no-text", "not-a-store", &format!("breaks rule MARK-1 at byte 0; {restore}")),
        ("long", "not-a-store", &format!("breaks rule MARK-1 at byte 11; {restore}")),
        ("later", "not-a-store", &format!("breaks rule MARK-4 at byte 56; {restore}")),
        (
            "no-locks",
            "not-a-store",
            "its .lock directory is gone or is no directory; make it again: mkdir -m 700 .lock",
        ),
        ("open", "unsafe-directory", "so they could forge sessions; chmod 700 it"),
    ] {
        let before = snapshot(tmp.path());
        for args in on(&path(name), &source) {
            let text = finish(
                {
                    let mut c = command(&[]);
                    c.args(&args);
                    c
                },
                None,
            );
            assert_eq!((text.status, &*text.out), (2, ""), "{args:?}: {}", text.err);
            assert!(
                text.err.starts_with("sessiondir: ") && text.err.contains(&*path(name).to_string_lossy())
            );
            assert!(text.err.contains(&format!("{class}: ")), "{}", text.err);
            assert!(text.err.ends_with(&format!("{what}\n")), "{args:?}: {}", text.err);
            let json = finish(
                {
                    let mut c = command(&[&"--json"]);
                    c.args(&args);
                    c
                },
                None,
            );
            assert_eq!((json.status, &*json.err), (2, ""), "{args:?}");
            let [error] = &json.json()[..] else { panic!("{args:?}: {json:?}") };
            assert_eq!(error["error"], class);
            assert_eq!(format!("sessiondir: {}\n", error["message"].as_str().expect("text")), text.err);
        }
        assert_eq!(snapshot(tmp.path()), before, "{name}");
    }
}

/// Exercises MARK-3.
#[test]
fn a_store_of_a_later_write_version_can_be_read() {
    let f = fixture(Naming::Plain);
    f.plain(ID, "ada");
    let marker = "sessiondir\nread 1\nwrite 2\nnaming plain\ndurability power\nshards 16\n";
    fs::write(f.dir.join(".sessiondir"), marker).expect("written");
    for ran in [run!("check", f.dir), run!("list", f.dir), run!("show", f.dir, ID)] {
        assert_eq!((ran.status, &*ran.err), (0, ""));
    }
}

/// Exercises DIR-4, CHK-6.
#[test]
fn what_may_not_be_read_is_reported() {
    let f = fixture(Naming::Plain);
    f.plain(ID, "ada");
    f.plain("BBBBBBBBBBBBBBBBBBBBBB", "bob");
    // The way to the command and to the store is to be open to nobody.
    fs::set_permissions(f.tmp.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    let bin = f.tmp.path().join("sessiondir");
    fs::copy(env!("CARGO_BIN_EXE_sessiondir"), &bin).expect("copied");
    let source = f.tmp.path().join("source");
    fs::create_dir(&source).expect("made");
    let root = is_root(&bin);
    let chown = |path: &Path| {
        if root {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("root may");
        }
    };
    if !root {
        fs::set_permissions(&f.dir, fs::Permissions::from_mode(0o000)).expect("chmod");
    }
    for args in on(&f.dir, &source) {
        let args: Vec<&dyn AsRef<std::ffi::OsStr>> = args.iter().map(|a| a as _).collect();
        let ran = as_nobody(&args, &bin);
        let expected = format!(
            "sessiondir: {}: io: cannot open the store's directory (the store): Permission denied (os error 13); the \
             store's files are to be readable and writable for this user (owner, mode 0600)\n",
            f.dir.display()
        );
        assert_eq!((ran.status, &*ran.out, ran.err), (2, "", expected));
    }
    // The store is nobody's now; only one session's file is not.
    fs::set_permissions(&f.dir, fs::Permissions::from_mode(0o700)).expect("chmod");
    for path in ["", ".lock", ".sessiondir", ID] {
        chown(&f.dir.join(path));
    }
    for lock in fs::read_dir(f.dir.join(".lock")).expect("listed") {
        chown(&lock.expect("listed").path());
    }
    let secret = f.dir.join("BBBBBBBBBBBBBBBBBBBBBB");
    chown(&secret);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).expect("chmod");
    let shown = SessionId::new("BBBBBBBBBBBBBBBBBBBBBB").expect("an ID").to_string();
    let before = snapshot(&f.dir);
    let ran = as_nobody(&[&"check", &f.dir], &bin);
    let expected = format!(
        "error: {shown} [unreadable CHK-6]: cannot be read: Permission denied (os error 13)\n\
         2 sessions (0 expired), 1 error, 0 warnings\n"
    );
    let one_less = expected.replace("2 sessions", "1 session");
    assert!(ran.out == expected || ran.out == one_less, "{}", ran.out);
    assert_eq!((ran.status, &*ran.err), (1, ""));
    let ran = as_nobody(&[&"list", &f.dir], &bin);
    assert_eq!(ran.status, 1);
    assert!(
        ran.out.contains("  ada\n") && ran.out.ends_with("\n1 session, 1 that cannot be read\n"),
        "{}",
        ran.out
    );
    assert!(
        ran.err.contains(&format!("io: cannot open a session's file (session {shown}): Permission denied"))
    );
    assert_eq!(ran.err.lines().count(), 1);
    let ran = as_nobody(&[&"show", &f.dir, &"BBBBBBBBBBBBBBBBBBBBBB"], &bin);
    assert_eq!((ran.status, &*ran.out), (1, ""));
    assert!(ran.err.contains("Permission denied"), "{}", ran.err);
    assert_eq!(snapshot(&f.dir), before);
    if root {
        // Root sees what the owner sees, and changes nothing.
        let ran = run!("list", f.dir);
        assert_eq!((ran.status, ran.out.lines().count(), ran.err.lines().count()), (1, 3, 1), "{ran:?}");
        let ran = run!("check", f.dir);
        assert!(ran.status == 1 && ran.out.contains("[unreadable CHK-6]"), "{ran:?}");
        assert_eq!(run!("show", f.dir, ID).status, 0);
        assert_eq!(snapshot(&f.dir), before);
    } else {
        eprintln!("SKIPPED: that root sees what the owner sees; the tests do not run as root");
    }
}

// ------------------------------------------------------------------------------------------------- foreign entries

/// Exercises NAME-9, NAME-10, NAME-11, CHK-1, CHK-5, CHK-13, DIR-8.
#[test]
fn foreign_entries_are_reported_and_left_alone() {
    let f = fixture(Naming::Plain);
    f.plain(ID, "ada");
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
    fifo(".lock/99");
    let before = snapshot(&f.dir);
    let shown = |name: &str| SessionId::new(name).expect("an ID").to_string();
    let ran = run!("check", f.dir);
    let mut lines: Vec<_> = ran.out.lines().map(str::to_owned).collect();
    let summary = lines.pop();
    lines.sort();
    let foreign =
        |path: &str| format!("warning: {path} [foreign CHK-13]: is not the format's; it is left alone");
    let taken = |name: &str| {
        let shown = shown(name);
        format!(
            "error: {shown} [not-regular NAME-11]: has a session's name but is not a regular file; move it away"
        )
    };
    let mut expected = vec![
        foreign("caf\\xe9\\x1b[2J\\n"),
        foreign(&format!("{}~", shown("CCCCCCCCCCCCCCCCCCCCCC"))),
        foreign("pipe"),
        foreign("link"),
        foreign(&format!(".tmp.{}", shown("DDDDDDDDDDDDDDDDDDDDDD"))),
        "warning: .lock/99 [foreign CHK-13]: is no lock file; it is left alone".to_owned(),
        taken("DDDDDDDDDDDDDDDDDDDDDD"),
        taken("EEEEEEEEEEEEEEEEEEEEEE"),
        taken("FFFFFFFFFFFFFFFFFFFFFF"),
        taken("GGGGGGGGGGGGGGGGGGGGGG"),
    ];
    expected.sort();
    assert_eq!(lines, expected);
    assert_eq!(summary.as_deref(), Some("1 session (0 expired), 4 errors, 6 warnings"));
    assert_eq!((ran.status, &*ran.err), (1, ""));

    let ran = run!("list", f.dir);
    assert_eq!((ran.status, &*ran.err, ran.out.lines().count()), (0, "", 3));
    for name in [
        "DDDDDDDDDDDDDDDDDDDDDD",
        "EEEEEEEEEEEEEEEEEEEEEE",
        "FFFFFFFFFFFFFFFFFFFFFF",
        "GGGGGGGGGGGGGGGGGGGGGG",
    ] {
        let ran = run!("show", f.dir, name);
        assert_eq!((ran.status, &*ran.out), (1, ""), "{}", ran.err);
        let expected = format!(
            "corrupt: session {} breaks rule NAME-11 at byte 0; run `sessiondir check`\n",
            shown(name)
        );
        assert!(ran.err.ends_with(&expected), "{}", ran.err);
    }
    // A foreign entry has no session's name, whatever it is called.
    assert_eq!(run!("show", f.dir, shown("DDDDDDDDDDDDDDDDDDDDDD")).status, 1);
    assert_eq!(snapshot(&f.dir), before);
}

/// Exercises CHK-1, CHK-4.
#[test]
fn check_reports_findings() {
    let f = fixture(Naming::Plain);
    f.rich(ID);
    let damaged = "BBBBBBBBBBBBBBBBBBBBBB";
    f.plain(damaged, "bob");
    let mut bytes = fs::read(f.file(damaged)).expect("there");
    let user = bytes.windows(4).position(|w| w == b"\x63bob").expect("stored");
    bytes[user] = 0x62;
    fs::write(f.file(damaged), &bytes).expect("written");
    let shown = SessionId::new(damaged).expect("an ID").to_string();
    let before = snapshot(&f.dir);
    let ran = run!("check", f.dir);
    assert_eq!((ran.status, &*ran.err), (1, ""));
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ran.out);
    assert!(lines[0].starts_with(&format!("error: {shown} [corrupt REC-7] at byte ")), "{}", lines[0]);
    assert!(lines[0].ends_with(": has no whole record; restore or delete it"), "{}", lines[0]);
    assert_eq!(lines[1], "2 sessions (0 expired), 1 error, 0 warnings");

    let ran = run!("check", "--json", f.dir);
    assert_eq!((ran.status, &*ran.err), (1, ""));
    let [finding, summary] = &ran.json()[..] else { panic!("{}", ran.out) };
    let names: Vec<_> = finding.as_object().expect("an object").keys().map(String::as_str).collect();
    // serde_json sorts them.
    assert_eq!(names, ["detail", "finding", "offset", "path", "rule", "severity"]);
    assert_eq!(finding["finding"], "corrupt");
    assert_eq!(finding["rule"], "REC-7");
    assert_eq!(finding["severity"], "error");
    assert_eq!(finding["path"], *shown);
    assert!(finding["offset"].is_u64());
    let expected = serde_json::json!({"summary": {"sessions": 2, "expired": 0, "errors": 1, "warnings": 0}});
    assert_eq!(*summary, expected);
    assert_eq!(run!("check", "--json", "--full-ids", f.dir).json()[0]["path"], damaged);
    assert!(run!("check", f.dir, "--full-ids").out.starts_with(&format!("error: {damaged} [")));

    // What cannot be read does not keep the rest from being listed.
    let ran = run!("list", f.dir, "--json");
    assert_eq!((ran.status, &*ran.err), (1, ""));
    let mut lines = ran.json();
    lines.sort_by_key(|line| line.get("error").is_some());
    assert_eq!((&lines[0]["id"], &lines[1]["error"], lines.len()), (&SHOWN.into(), &"corrupt".into(), 2));
    let ran = run!("show", f.dir, damaged);
    assert_eq!((ran.status, &*ran.out), (1, ""));
    assert!(ran.err.contains(&format!("corrupt: session {shown} breaks rule REC-7 at byte ")), "{}", ran.err);
    assert_eq!(snapshot(&f.dir), before);
}

#[test]
fn warnings_fail_a_check_only_where_they_are_denied() {
    let f = fixture(Naming::Plain);
    f.plain("legacy-id-1", "ada");
    let ran = run!("check", f.dir);
    let shown = SessionId::new("legacy-id-1").expect("an ID").to_string();
    let expected = format!(
        "warning: {shown} [legacy-id CHK-10]: has an ID of fewer than 22 characters; rotate it, or let it expire\n\
         1 session (0 expired), 0 errors, 1 warning\n"
    );
    assert_eq!(ran, Ran { status: 0, out: expected.clone(), err: String::new() });
    assert_eq!(
        run!("check", "--deny", "warnings", f.dir),
        Ran { status: 1, out: expected, err: String::new() }
    );
    let ran = run!("check", "--deny=warnings", "--json", f.dir);
    assert_eq!((ran.status, ran.json()[0].get("offset")), (1, None));
}

/// Exercises CHK-2, CHK-3.
#[test]
fn check_list_and_show_are_safe_beside_writers() {
    let f = fixture(Naming::Plain);
    f.plain(ID, "ada");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0u64;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                number += 1;
                let big = "x".repeat(usize::try_from(number % 20).expect("small") * 1000);
                f.store.update(&id(ID), &mut |s| Ok(s.insert("n", &(number, &big))?)).expect("updated");
                let mut session = Session::new();
                let other = f.store.create(&mut session).expect("created");
                f.store.delete(&other.into()).expect("deleted");
            }
        });
        for _ in 0..20 {
            let ran = run!("check", "--deny", "warnings", f.dir);
            assert_eq!((ran.status, ran.out.lines().count(), &*ran.err), (0, 1, ""), "{}", ran.out);
            let ran = run!("list", f.dir);
            assert_eq!((ran.status, &*ran.err), (0, ""));
            let ran = run!("show", "--json", f.dir, ID);
            assert_eq!((ran.status, &*ran.err, ran.json().len()), (0, "", 1));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

// ------------------------------------------------------------------------------------------------- list and show

/// Exercises TIME-3, NAME-8.
#[test]
fn list_shows_sessions_in_columns() {
    let f = fixture(Naming::Plain);
    f.rich(ID);
    let mut gone = Session::at(at(START), at(START));
    gone.set_expires(Some(at(START + 1)));
    f.insert("EEEEEEEEEEEEEEEEEEEEEE", &mut gone);
    let ran = run!("list", f.dir);
    assert_eq!((ran.status, &*ran.err), (0, ""));
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ran.out);
    assert_eq!(
        lines[0],
        "SESSION      REV  CREATED                   ACCESSED                         AGE     BYTES  USER"
    );
    let row = "#8a5bdb4c      1  2025-01-01T00:00:00.000Z  2025-01-01T00:00:01.500Z  ";
    assert!(lines[1].starts_with(row), "{}", lines[1]);
    assert!(lines[1].ends_with(" d ago        58  ada"), "{}", lines[1]);
    assert_eq!(lines[1].len(), lines[0].len() - "USER".len() + "ada".len());
    assert_eq!(lines[2], "1 session");
    assert!(run!("list", "--full-ids", f.dir).out.contains(&format!("\n{ID}      1  2025")));

    let ran = run!("list", f.dir, "--json");
    let expected = serde_json::json!({
        "id": SHOWN, "rev": 1, "user": "ada", "addr": "192.0.2.1", "created": START, "accessed": START + 1500,
        "expires": UnixMillis::MAX.as_millis(), "idle": 253_402_300_799_000_u64, "data_size": 58,
    });
    assert_eq!((ran.status, ran.json()), (0, vec![expected]));
    assert_eq!(run!("list", f.dir, "--json", "--full-ids").json()[0]["id"], ID);
}

#[test]
fn list_can_be_asked_for_one_user() {
    let f = fixture(Naming::Plain);
    f.plain(ID, "ada");
    f.plain("BBBBBBBBBBBBBBBBBBBBBB", "bob");
    f.plain("CCCCCCCCCCCCCCCCCCCCCC", "-x");
    let mut number = Session::at(at(START), at(START));
    number.set_user(&42).expect("fits");
    f.insert("DDDDDDDDDDDDDDDDDDDDDD", &mut number);
    f.insert("EEEEEEEEEEEEEEEEEEEEEE", &mut Session::at(at(START), at(START)));
    for (user, listed) in [("ada", 1), ("-x", 1), ("42", 1), ("\"ada\"", 0), ("eve", 0), ("", 0)] {
        let ran = run!("list", f.dir, "--json", "--user", user);
        assert_eq!((ran.status, ran.json().len()), (0, listed), "{user}: {}", ran.out);
    }
    assert_eq!(run!("list", f.dir, "--json", "--user", "42").json()[0]["user"], 42);
    let ran = run!("list", f.dir);
    let mut users: Vec<_> =
        ran.out.lines().filter_map(|l| l.rsplit_once("  ")).map(|(_, user)| user).collect();
    users.sort_unstable();
    assert_eq!(users, ["-", "-x", "42", "USER", "ada", "bob"]);
    assert!(ran.out.ends_with("\n5 sessions\n"));
}

#[test]
fn show_shows_everything_to_people() {
    let f = fixture(Naming::Plain);
    f.rich(ID);
    let ran = run!("show", f.dir, ID);
    assert_eq!((ran.status, &*ran.err), (0, ""));
    let expected = r#"id        #8a5bdb4c
rev       1
user      "ada"
addr      192.0.2.1
created   2025-01-01T00:00:00.000Z (…)
accessed  2025-01-01T00:00:01.500Z (…)
expires   9999-12-31T23:59:59.999Z (…)
idle      2932896 d (253402300799000 ms)
token     token-1
token     token-2
csrf      csrf-1
data      7 attributes, 58 bytes
  "inf": -Infinity
  "int": -9223372036854775808
  "map": {"k": 1, "l": 2}
  "nan": NaN
  "two": 2.0
  "list": [1, true, null, "x"]
  "bytes": h'fffe'
"#;
    assert_eq!(without_ages(&ran.out), expected);
    let full = run!("show", "--full-ids", f.dir, ID);
    assert_eq!(without_ages(&full.out), expected.replace(SHOWN, ID));
}

#[test]
fn show_shows_everything_to_programs() {
    for naming in [Naming::Plain, Naming::Hashed] {
        let f = fixture(naming);
        f.rich(ID);
        let (label, full) = match naming {
            Naming::Plain => ("id", ID),
            Naming::Hashed => ("key", KEY),
        };
        let expected = |name: &str| {
            format!(
                r#"{{"{label}":"{name}","rev":1,"user":"ada","addr":"192.0.2.1","created":1735689600000,"accessed":1735689601500,"expires":253402300799999,"idle":253402300799000,"tokens":["token-1","token-2"],"csrf":"csrf-1","data":{{"inf":null,"int":-9223372036854775808,"map":{{"k":1,"l":2}},"nan":null,"two":2.0,"list":[1,true,null,"x"],"bytes":"__4"}}}}"#
            ) + "\n"
        };
        let key = format!("#{KEY}");
        for name in [ID, SHOWN, &key, &key.to_uppercase(), &key[..20]] {
            let ran = run!("show", "--json", f.dir, name);
            assert_eq!((ran.status, &*ran.out, &*ran.err), (0, &*expected(SHOWN), ""), "{name}");
            ran.json();
            assert_eq!(run!("show", "--json", "--full-ids", f.dir, name).out, expected(full), "{name}");
        }
        for input in [ID.to_owned(), format!("{ID}\n"), format!("{SHOWN}\n")] {
            let ran = finish(command(&[&"show", &"--json", &f.dir, &"-"]), Some(input.as_bytes()));
            assert_eq!((ran.status, &*ran.out), (0, &*expected(SHOWN)));
        }
    }
}

/// Exercises READ-7, NAME-7.
#[test]
fn show_of_a_session_that_is_not_there() {
    let f = fixture(Naming::Hashed);
    f.plain(ID, "ada");
    let mut expired = Session::at(at(START), at(START));
    expired.set_expires(Some(at(START + 1)));
    f.insert("EEEEEEEEEEEEEEEEEEEEEE", &mut expired);
    let absent = "BBBBBBBBBBBBBBBBBBBBBB";
    // The digits of a key are an ID too, but not that session's.
    for name in [absent, "EEEEEEEEEEEEEEEEEEEEEE", KEY] {
        let shown = SessionId::new(name).expect("an ID").to_string();
        let ran = run!("show", f.dir, name);
        let expected = format!("sessiondir: gone: session {shown} is not there, or is expired\n");
        assert_eq!(ran, Ran { status: 1, out: String::new(), err: expected });
        let ran = run!("show", "--json", f.dir, name);
        assert_eq!((ran.status, &ran.json()[0]["error"], &*ran.err), (1, &"gone".into(), ""));
    }
    let ran = run!("show", f.dir, "#00000000");
    let expected = "sessiondir: gone: no session's SHA-256 starts with these digits\n";
    assert_eq!(ran, Ran { status: 1, out: String::new(), err: expected.into() });
    let ran = run!("show", f.dir, format!("#{}", "0".repeat(64)));
    assert_eq!(
        (ran.status, &*ran.err),
        (1, "sessiondir: gone: session #00000000 is not there, or is expired\n")
    );
}

#[test]
fn digits_that_several_sessions_start_with_name_none() {
    for naming in [Naming::Plain, Naming::Hashed] {
        let f = fixture(naming);
        // Found by trial.
        f.plain("collision-0000000048678", "ada");
        f.plain("collision-0000000086338", "bob");
        let ran = run!("show", f.dir, "#30f9c4b5");
        assert_eq!((ran.status, &*ran.out), (2, ""));
        let expected = "sessiondir: invalid-id: several sessions start with these digits; give more of them (list --full-ids shows all)\n";
        assert_eq!(ran.err, expected);
        assert_eq!(run!("show", f.dir, "#30f9c4b584", "--json").json()[0]["user"], "ada");
        assert_eq!(run!("show", f.dir, "#30f9c4b5d7", "--json").json()[0]["user"], "bob");
    }
}

/// Exercises NAME-1, NAME-2.
#[test]
fn what_is_no_id_is_refused_and_not_repeated() {
    let f = fixture(Naming::Plain);
    f.plain(ID, "ada");
    let before = snapshot(&f.dir);
    let message = "sessiondir: invalid-id: this is no session ID (11 to 128 letters, digits, '-' or '_'), nor # and 8 \
                   to 64 hexadecimal digits; `sessiondir list` shows what there is\n";
    let long = "A".repeat(129);
    let arguments: &[&[u8]] = &[
        b"",
        b"../../etc/passwd",
        b"/etc/passwd",
        b".sessiondir",
        b".tmp.AAAAAAAAAAAAAAAAAAAAAA",
        b"AAAAAAAAAA",
        long.as_bytes(),
        b"AAAAAAAAAAAAAAAAAAAAA\n",
        b"caf\xe9cafecafe",
        "cafécafecafe".as_bytes(),
        b"\x1b[2Jaaaaaaaaaaa",
        b"-short",
        b"--bad.flag",
        b"#8a5bdb4",
        b"#8a5bdb4g",
        b"#",
        &[b"#".as_slice(), &[b'0'; 65]].concat(),
    ];
    for argument in arguments {
        let argument = std::ffi::OsStr::from_bytes(argument);
        for args in [vec!["show"], vec!["show", "--full-ids"]] {
            let mut command = command(&[]);
            command.args(&args).arg(&f.dir).arg(argument);
            let ran = finish(command, None);
            assert_eq!((ran.status, &*ran.out, &*ran.err), (2, "", message), "{argument:?}");
        }
        let ran = finish(command(&[&"show", &"--json", &f.dir, &"--", &argument]), None);
        assert_eq!((ran.status, &*ran.err), (2, ""));
        assert_eq!(ran.json()[0]["error"], "invalid-id", "{argument:?}");
    }
    let mega = vec![b'A'; 10 << 20];
    let exact = [b"A".repeat(1024), b"\n".to_vec()].concat();
    let inputs: &[&[u8]] = &[
        b"",
        b"\n",
        b"AAAAAAAAAAAAAAAAAAAAAA\n\n",
        b"AAAAAAAAAAAAAAAAAAAAAA\r\n",
        b"AAAAAAAAAAA\0AAAAAAAAAA",
        b"\0",
        b"../../etc/passwd\n",
        b"-\n",
        &exact,
        &mega,
    ];
    for input in inputs {
        let ran = finish(command(&[&"show", &f.dir, &"-"]), Some(input));
        assert_eq!(
            (ran.status, &*ran.out, &*ran.err),
            (2, "", message),
            "{:?}",
            &input[..input.len().min(30)]
        );
    }
    // Standard input that cannot be read.
    let mut unreadable = command(&[&"show", &f.dir, &"-"]);
    unreadable.stdin(fs::File::open(&f.dir).expect("a directory opens"));
    let done = unreadable.output().expect("ends");
    assert_eq!(done.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&done.stderr)
            .starts_with("sessiondir: io: cannot read an ID from standard input: ")
    );
    assert_eq!(snapshot(&f.dir), before);
}

#[test]
fn an_endless_standard_input_is_not_read_to_its_end() {
    let f = fixture(Naming::Plain);
    let mut show = command(&[&"show", &f.dir, &"-"]);
    let mut child = show.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(&[b'A'; 1024]).expect("a pipe holds that");
    let start = Instant::now();
    // The pipe stays open: who waits for its end waits for ever.
    let status = loop {
        match child.try_wait().expect("a child can be waited for") {
            Some(status) => break status.code(),
            None if start.elapsed() > TIMEOUT / 2 => {
                child.kill().expect("a child can be killed");
                break child.wait().expect("dead").code();
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    drop(stdin);
    assert_eq!(status, Some(2));
}

#[test]
fn ids_may_start_with_hyphens() {
    for name in ["-bcdefghijk", "-Vbcdefghij", "--cdefghijk", "-hhhhhhhhhhh", "-----------"] {
        let f = fixture(Naming::Plain);
        f.plain(name, "ada");
        for args in [vec!["--json", name], vec!["--json", "--", name], vec![name, "--json"]] {
            let mut command = command(&[&"show", &f.dir]);
            command.args(&args);
            let ran = finish(command, None);
            assert_eq!((ran.status, &*ran.err), (0, ""), "{args:?}");
            assert_eq!(ran.json()[0]["user"], "ada", "{args:?}");
        }
    }
}

/// Exercises NAME-8.
#[test]
fn ids_and_names_are_never_shown_unless_asked_for() {
    for naming in [Naming::Plain, Naming::Hashed] {
        let f = fixture(naming);
        // Each kind of entry that an ID can be the name of, or a part of it.
        let healthy = "healthy0123456789healthy";
        let damaged = "damaged0123456789damaged";
        let expired = "expired0123456789expired";
        let legacy = "legacyID-01";
        let temp = "temporary123456789012345";
        let backup = "backup_of_an_editor_0123";
        let link = "link-01234567890123456789";
        let hyphens = "--hyphens-0123456789012";
        let absent = "absent-0123456789-absent";
        f.plain(healthy, "ada");
        f.plain(legacy, "ada");
        f.plain(damaged, "ada");
        fs::write(f.file(damaged), b"\xd9\xd9\xf7\xdaSESD").expect("written");
        let mut session = Session::at(at(START), at(START));
        session.set_expires(Some(at(START + 1)));
        f.insert(expired, &mut session);
        let name = |id: &str| f.file(id).file_name().expect("a name").to_string_lossy().into_owned();
        fs::write(f.dir.join(format!(".tmp.{}", name(temp))), "").expect("written");
        fs::write(f.dir.join(format!("{}~", name(backup))), "").expect("written");
        symlink("elsewhere", f.file(link)).expect("made");
        let all = [healthy, damaged, expired, legacy, temp, backup, link, absent, hyphens];
        let source = f.tmp.path().join("source");
        fs::create_dir(&source).expect("made");
        let mut runs = Vec::new();
        for json in [&[][..], &["--json"]] {
            let run = |args: &[&std::ffi::OsStr]| {
                let mut command = command(&[]);
                command.args(json).args(args);
                // A bare ID in the place of a directory is looked for here.
                command.current_dir(f.tmp.path());
                finish(command, None)
            };
            let os = std::ffi::OsStr::new;
            let dir = f.dir.as_os_str();
            runs.push(run(&[os("init"), dir]));
            runs.push(run(&[os("check"), dir]));
            runs.push(run(&[os("list"), dir]));
            runs.push(run(&[os("list"), dir, os("--user"), os("ada")]));
            runs.push(run(&[os("sweep"), dir, os("--dry-run"), os("--idle=0s")]));
            runs.push(run(&[os("repair"), dir]));
            runs.push(run(&[os("stats"), dir]));
            runs.push(run(&[os("set"), dir, os("--durability=process")]));
            runs.push(run(&[os("convert"), dir, f.tmp.path().join("target").as_os_str()]));
            runs.push(run(&[os("delete"), dir, os(absent), os(link), os("--user"), os("eve")]));
            runs.push(run(&[os("delete"), dir, os(absent), os(link)]));
            runs.push(run(&[os("delete"), dir, os("--user"), os("eve")]));
            runs.push(run(&[os("import"), os("session3"), source.as_os_str(), dir, os("--dry-run")]));
            for id in all {
                let shown = SessionId::new(id).expect("an ID").to_string();
                runs.push(run(&[os("show"), dir, os(id)]));
                runs.push(run(&[os("show"), dir, os(&shown)]));
                runs.push(run(&[os("show"), dir, os(&format!("{shown}00"))]));
                // In the wrong place.
                runs.push(run(&[os("list"), dir, os(id)]));
                runs.push(run(&[os(id)]));
                runs.push(run(&[os("show"), dir, os(id), os(id)]));
                runs.push(run(&[os("list"), dir, os(&format!("session={id}; path=/"))]));
                runs.push(run(&[os("check"), f.file(id).as_os_str()]));
                runs.push(run(&[os("sweep"), dir, os(id)]));
                runs.push(run(&[os("convert"), dir, f.file(id).as_os_str()]));
                if id != legacy {
                    runs.push(run(&[os("show"), os(id), dir]));
                }
            }
        }
        assert!(
            runs.iter()
                .any(|ran| ran.both().contains(SessionId::new(link).expect("an ID").to_string().as_str()))
        );
        for ran in &runs {
            for id in all {
                let key = SessionId::new(id).expect("an ID").key().to_hex();
                // The legacy ID's file may be named as a directory that it is not: then it is not known for an ID.
                let its_path = f.file(id);
                let both = ran.both();
                let both = if id == legacy { both.replace(&*its_path.to_string_lossy(), "") } else { both };
                assert!(!both.contains(id) && !both.contains(&key), "{id}: {both}");
            }
        }
        let full = run!("list", "--full-ids", f.dir).out + &run!("check", f.dir, "--full-ids").out;
        for id in [healthy, damaged, legacy, temp, link] {
            let name = f.file(id);
            let name = name.file_name().expect("a name").to_string_lossy();
            assert!(full.contains(&*name), "{name}: {full}");
        }
    }
}

/// A subcommand's name that could be an ID is told as it is.
#[test]
fn the_usage_names_the_subcommand() {
    for subcommand in ["completions", "conformance"] {
        assert!(SessionId::new(subcommand).is_ok(), "else this tests nothing");
        let ran = run!(subcommand, "--nonsense");
        assert_eq!(ran.status, 2);
        assert!(ran.err.contains(&format!("Usage: sessiondir {subcommand} ")), "{}", ran.err);
    }
}

#[test]
fn what_would_act_on_a_terminal_is_escaped() {
    let f = fixture(Naming::Plain);
    let nasty = "\u{1b}[2J\u{9b}31m\r\u{7}\u{7f}\u{202e}\n";
    let mut session = Session::at(at(START), at(START));
    session.set_user(nasty).expect("fits");
    session.set_addr(nasty).expect("fits");
    session.push_token(nasty).expect("fits");
    session.set_csrf(nasty).expect("fits");
    session.insert(nasty, &nasty).expect("fits");
    f.insert(ID, &mut session);
    let nowhere = f.tmp.path().join(nasty);
    for json in [false, true] {
        for args in [vec!["list"], vec!["show"], vec!["check"], vec!["repair"], vec!["stats"]] {
            let mut command = command(&[]);
            command.args(json.then_some("--json")).args(&args).arg(&f.dir);
            command.args((args == ["show"]).then_some(ID));
            let ran = finish(command, None);
            assert_eq!((ran.status, &*ran.err), (0, ""));
            let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!ran.out.contains(acts), "{args:?}: {:?}", ran.out);
            if json && args == ["show"] {
                let shown = &ran.json()[0];
                assert_eq!((&shown["user"], &shown["csrf"]), (&nasty.into(), &nasty.into()));
                assert_eq!(shown["data"][nasty], nasty);
            }
        }
    }
    for command in ["init", "check", "list", "sweep", "repair", "stats"] {
        let ran = run!(command, nowhere.join("x"));
        assert_eq!(ran.status, 2);
        assert!(!ran.err.trim_end().contains(char::is_control), "{:?}", ran.err);
    }
}

#[test]
fn a_large_session_is_shown_whole() {
    let f = fixture(Naming::Plain);
    let mut session = Session::at(at(START), at(START));
    let numbers: Vec<u8> = vec![1; 4 << 20];
    session.insert("numbers", &numbers).expect("fits");
    session.insert("bytes", &ciborium::Value::Bytes(vec![0; 3 << 20])).expect("fits");
    f.insert(ID, &mut session);
    let ran = run!("show", "--json", f.dir, ID);
    assert_eq!((ran.status, &*ran.err), (0, ""));
    let shown = &ran.json()[0];
    assert_eq!(shown["data"]["numbers"].as_array().map(Vec::len), Some(4 << 20));
    assert_eq!(shown["data"]["bytes"].as_str().map(str::len), Some(4 << 20));
}

// ------------------------------------------------------------------------------------------------------- import

/// A copy of a directory of tests/session3, which an import could change.
fn source(f: &Fixture, name: &str) -> PathBuf {
    let source = f.tmp.path().join(name);
    fs::create_dir(&source).expect("made");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/session3").join(name);
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("listed");
        fs::copy(entry.path(), source.join(entry.file_name())).expect("copied");
    }
    source
}

/// Exercises DIR-6.
#[test]
fn modes_do_not_depend_on_the_umask() {
    let f = fixture(Naming::Plain);
    let (sessions, dir) = (source(&f, "sessions"), f.tmp.path().join("masked"));
    // What is made without the umask in mind has no bit that is not for root to use all the same.
    let script = r#"umask "$1" && "$2" init "$4" && "$2" import session3 "$3" "$4""#;
    for (umask, group) in [("0777", false), ("0277", false), ("0077", true)] {
        let mut shell = Command::new("sh");
        let script = if group { script.replace("$4\"", "$4\" --group") } else { script.to_owned() };
        shell.args(["-c", &script, "sh", umask, env!("CARGO_BIN_EXE_sessiondir")]).arg(&sessions).arg(&dir);
        let ran = finish(shell, None);
        assert_eq!((ran.status, &*ran.err), (0, ""), "{}", ran.out);
        let (dirs, files) = if group { (0o2770, 0o660) } else { (0o700, 0o600) };
        let mut paths = vec![dir.clone()];
        for within in [dir.clone(), dir.join(".lock")] {
            paths.extend(fs::read_dir(within).expect("listed").map(|entry| entry.expect("listed").path()));
        }
        assert_eq!(
            paths.len(),
            1 + 1 + 64 + 1 + 1 + 6,
            "the directory, .lock and its files, marker, notes, sessions"
        );
        for path in paths {
            let found = fs::metadata(&path).expect("there");
            let right = if found.is_dir() { dirs } else { files };
            assert_eq!(found.mode() & 0o7777, right, "{} under umask {umask}", path.display());
        }
        fs::remove_dir_all(&dir).expect("removed");
    }
}

/// Exercises MIG-3, MIG-4, NAME-8.
#[test]
fn import_tells_what_it_does() {
    let f = fixture(Naming::Plain);
    let sessions = source(&f, "sessions");
    let before = snapshot(f.tmp.path());
    let rest = "0 updated (2 of them with notes), 0 kept, 0 unchanged, 0 refused, 0 skipped";
    let ran = run!("import", "session3", "--dry-run", sessions, f.dir);
    assert_eq!((ran.status, &*ran.err), (0, ""));
    let expected = format!("dry run, nothing was changed: 6 sessions imported, {rest}");
    assert_eq!(ran.out.lines().last(), Some(&*expected));
    let shop = SessionId::new("shopSession").expect("an ID").to_string();
    assert!(
        ran.out.contains(&format!("note: {shop}: cart[0].price.amount: Decimal became text\n")),
        "{}",
        ran.out
    );
    assert_eq!(ran.out.lines().filter(|line| line.starts_with("note: ")).count(), 8);
    assert_eq!(snapshot(f.tmp.path()), before);

    let ran = run!("import", "session3", "--json", sessions, f.dir);
    assert_eq!((ran.status, &*ran.err), (0, ""));
    let mut lines = ran.json();
    let summary = lines.pop();
    let expected = serde_json::json!({"summary": {
        "dry_run": false, "imported": 6, "updated": 0, "kept": 0, "unchanged": 0, "refused": 0, "skipped": 0,
        "lossy": 2,
    }});
    assert_eq!(summary, Some(expected));
    assert_eq!(lines.len(), 6);
    assert!(
        lines
            .iter()
            .all(|l| l["imported"].as_str().is_some_and(|id| id.starts_with('#')) && l["notes"].is_array())
    );
    for name in fs::read_dir(&sessions).expect("listed") {
        let name = name.expect("listed").file_name();
        let name = name.to_str().expect("text");
        assert!(!ran.out.contains(name), "{name}");
        assert_eq!(run!("show", f.dir, name).status, 0, "{name}");
    }
    let ran = run!("import", "session3", sessions, f.dir);
    let expected =
        "0 sessions imported, 0 updated (0 of them with notes), 0 kept, 6 unchanged, 0 refused, 0 skipped\n";
    assert_eq!(ran, Ran { status: 0, out: expected.into(), err: String::new() });
    let ran = run!("import", "session3", "--json", "--full-ids", sessions, f.dir);
    assert!(ran.json().iter().any(|line| line["unchanged"] == "shopSession"), "{}", ran.out);
    let ran = run!("import", "session3", "--json", "--all", sessions, f.dir);
    assert_eq!((ran.status, ran.json()[0]["warning"].is_string()), (0, true));
    assert_eq!(snapshot(&sessions), before[before.len() - snapshot(&sessions).len()..]);
    assert_eq!(run!("check", f.dir).status, 0);
}

/// Exercises MIG-1, MIG-3, NAME-8.
#[test]
fn import_refuses_what_is_hostile_and_goes_on() {
    let f = fixture(Naming::Hashed);
    let hostile = source(&f, "hostile");
    nix::unistd::mkfifo(&hostile.join("aFifoWithAName"), nix::sys::stat::Mode::S_IRWXU).expect("made");
    symlink("/etc/passwd", hostile.join("aLinkWithAName")).expect("made");
    fs::create_dir(hostile.join("aDirWithAName")).expect("made");
    fs::write(hostile.join(std::ffi::OsStr::from_bytes(b"caf\xe9\x1b[2J")), "mine").expect("written");
    let before = snapshot(&hostile);
    for args in [&["--dry-run"][..], &[], &["--json"], &["--strict"], &["--full-ids"]] {
        let mut command = command(&[&"import", &"session3"]);
        command.args(args).args([&hostile, &f.dir]);
        let ran = finish(command, None);
        assert_eq!((ran.status, &*ran.err), (1, ""), "{args:?}");
        assert!(!ran.out.contains(|c: char| c.is_control() && c != '\n'), "{:?}", ran.out);
        if args == ["--json"] {
            let lines = ran.json();
            assert_eq!(lines.iter().filter(|l| l["refused"].is_string() && l["why"].is_string()).count(), 7);
            assert_eq!(lines.iter().filter(|l| l["skipped"].is_string() && l["why"].is_string()).count(), 4);
            assert_eq!(lines.last().map(|l| l["summary"]["refused"] == 7), Some(true));
        } else {
            assert!(ran.out.contains(" 7 refused, 4 skipped\n"), "{}", ran.out);
        }
        for name in ["callsSystem", "emptySaved1", "aFifoWithAName", "aLinkWithAName", "renamedFile"] {
            assert!(args == ["--full-ids"] || !ran.out.contains(name), "{name}: {}", ran.out);
        }
    }
    assert_eq!(snapshot(&hostile), before);
    assert!(run!("list", f.dir).out.ends_with("\n0 sessions\n"));
}

/// Exercises ERR-2.
#[test]
fn import_refuses_what_is_no_source() {
    let f = fixture(Naming::Plain);
    let path = |name: &str| f.tmp.path().join(name);
    fs::write(path("file"), "mine").expect("written");
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("made");
    let before = snapshot(f.tmp.path());
    for name in ["none", "file", "fifo", "s"] {
        let ran = run!("import", "session3", path(name), f.dir);
        assert_eq!((ran.status, &*ran.out), (2, ""), "{}", ran.err);
        let start = format!("sessiondir: import from {} into {}: ", path(name).display(), f.dir.display());
        assert!(ran.err.starts_with(&start) && ran.err.contains("name "), "{}", ran.err);
        let ran = run!("import", "session3", path(name), f.dir, "--json", "--dry-run");
        assert_eq!((ran.status, &*ran.err, ran.json().len()), (2, "", 1));
        assert_eq!(snapshot(f.tmp.path()), before, "{name}");
    }
    let empty = path("empty");
    fs::create_dir(&empty).expect("made");
    for days in ["0", "36501", "x", "-1"] {
        assert_eq!(run!("import", "session3", empty, f.dir, "--expires-after", days).status, 2);
    }
    assert_eq!(run!("import", "session3", empty, f.dir, "--expires-after", "1").status, 0);
}

/// Exercises MIG-2.
#[test]
fn import_gives_short_ids_the_time_that_is_asked_for() {
    for (days, args) in [(30, &[][..]), (2, &["--expires-after", "2"])] {
        let f = fixture(Naming::Plain);
        let sessions = source(&f, "sessions");
        let earliest = UnixMillis::now().as_millis();
        let mut command = command(&[&"import", &"session3", &sessions, &f.dir]);
        command.args(args);
        assert_eq!(finish(command, None).status, 0);
        let shown = run!("show", "--json", f.dir, "shopSession").json();
        let expires = shown[0]["expires"].as_u64().expect("a time");
        let from = earliest + days * 86_400_000;
        assert!((from..from + 60_000).contains(&expires), "{expires}");
        assert_eq!(run!("show", "--json", f.dir, "quixote-22-characters_").json()[0].get("expires"), None);
    }
}
