//! The progress bar: on a terminal, and only there.

#[macro_use]
#[path = "support/command.rs"]
mod support;

use std::fs::File;
use std::io::Read;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::pty::openpty;
use sessiondir::{Naming, SessionId};
use support::{Fixture, OTHER, command, fixture};

const COUNT: &str = "/31 sessions, ";

/// 30 sessions, and one that cannot be judged while its lock is held.
fn store() -> Fixture {
    let f = fixture(Naming::Plain);
    for number in 0..30 {
        f.plain(&format!("{number:022}"), "ada");
    }
    f.plain(OTHER, "ada");
    let mut bytes = std::fs::read(f.file(OTHER)).expect("there");
    bytes[60] ^= 1;
    std::fs::write(f.file(OTHER), bytes).expect("written");
    f
}

/// Takes or releases the lock of the damaged session.
fn lock(file: &File, kind: libc::c_int) {
    let lock = libc::flock {
        l_type: libc::c_short::try_from(kind).expect("small"),
        l_whence: libc::c_short::try_from(libc::SEEK_SET).expect("small"),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_SETLK(&lock)).expect("nobody else has it");
}

/// What the command writes to a terminal that is its standard error, and to a pipe that is its standard output. It
/// cannot end before the terminal has shown how many sessions there are, or four seconds have passed.
fn on_terminal(f: &Fixture, args: &[&str]) -> (String, String) {
    let key = SessionId::new(OTHER).expect("an ID").key();
    let path = f.dir.join(format!(".lock/{:02x}", key.as_bytes()[0] & 0x3f));
    let held = File::options().read(true).write(true).open(path).expect("a lock file");
    lock(&held, libc::F_WRLCK);
    let pty = openpty(None, None).expect("a terminal");
    let mut command = command(&[&args[0], &f.dir]);
    command.args(&args[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(pty.slave);
    let seen = Arc::new(Mutex::new(String::new()));
    let (mut master, seen_by_reader) = (File::from(pty.master), Arc::clone(&seen));
    let reader = std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        // The end of a terminal that nobody has open any more is an error.
        while let Ok(count @ 1..) = master.read(&mut bytes) {
            seen_by_reader.lock().expect("no panic").push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    });
    let mut child = command.spawn().expect("starts");
    // It has the terminal's other end too.
    drop(command);
    let start = Instant::now();
    while !seen.lock().expect("no panic").contains(COUNT) && start.elapsed() < Duration::from_secs(4) {
        std::thread::sleep(Duration::from_millis(5));
    }
    lock(&held, libc::F_UNLCK);
    let mut out = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut out).expect("text");
    assert!(child.wait().expect("ends").code().is_some_and(|code| code < 2), "{args:?}");
    reader.join().expect("no panic");
    let seen = seen.lock().expect("no panic").clone();
    (seen, out)
}

#[test]
fn a_terminal_sees_a_rate_and_an_estimate() {
    let f = store();
    for args in [
        &["check"][..],
        &["list"],
        &["stats"],
        &["repair"],
        &["sweep", "--dry-run", "--idle=0s"],
        &["sweep", "--dry-run", "--json", "--idle=0s"],
    ] {
        let (seen, out) = on_terminal(&f, args);
        assert!(
            seen.contains(COUNT) && seen.contains("/s, ") && seen.contains(" left"),
            "{args:?}: {seen:?}"
        );
        // Then it is taken away.
        assert!(seen.ends_with("\u{1b}[2K"), "{args:?}: {seen:?}");
        assert!(!out.is_empty() && !out.contains('\u{1b}') && !out.contains(COUNT), "{args:?}: {out:?}");
    }
}

#[test]
fn nobody_else_sees_it() {
    let f = store();
    std::fs::remove_file(f.file(OTHER)).expect("there");
    for args in [&["check"][..], &["list"], &["stats"], &["repair"], &["sweep", "--dry-run"]] {
        let mut command = command(&[&args[0], &f.dir]);
        command.args(&args[1..]);
        let ran = support::finish(command, None);
        assert_eq!((ran.status, &*ran.err), (0, ""), "{args:?}");
        assert!(!ran.out.contains('\u{1b}') && !ran.out.contains("/s, "), "{args:?}");
    }
}
