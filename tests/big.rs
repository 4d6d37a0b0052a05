//! The command on a store of 20,000 sessions: its memory does not grow with the number of sessions. A program of its
//! own, since the system tells the peak of all children together.
//!
//! For a million: `examples/many_sessions.rs`, and docs/operations.md for what was seen.

use std::process::Command;

use nix::sys::resource::{UsageWho, getrusage};
use sessiondir::{Durability, Options, Session, SessionStore};

const SESSIONS: u64 = 20_000;
/// What a command may take at most, in KiB.
const PEAK: i64 = 64 << 10;

#[test]
fn commands_take_little_memory_on_a_big_store() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let path = tmp.path().join("sessions");
    let store = Options::new().create(true).durability(Durability::Process).open(&path).expect("a store");
    for n in 0..SESSIONS {
        let mut session = Session::new();
        session.set_user(&format!("user-{n}")).expect("fits");
        session.insert("text", &"x".repeat(500)).expect("fits");
        store.create(&mut session).expect("created");
    }
    let commands: [&[&str]; 5] = [
        &["check"],
        &["list", "--json"],
        &["stats", "--json"],
        &["sweep", "--dry-run", "--idle", "0s"],
        &["repair"],
    ];
    for command in commands {
        let done = Command::new(env!("CARGO_BIN_EXE_sessiondir"))
            .args(command)
            .arg(&path)
            .output()
            .expect("the command runs");
        assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
        let out = String::from_utf8(done.stdout).expect("UTF-8");
        // It has looked at all of them.
        match command[0] {
            "list" => assert_eq!(out.lines().count() as u64, SESSIONS),
            _ => assert!(out.contains("20000"), "{command:?}: {out}"),
        }
        let peak = getrusage(UsageWho::RUSAGE_CHILDREN).expect("told").max_rss();
        println!("{command:?}: at most {peak} KiB");
        assert!(peak > 0 && peak < PEAK, "{command:?} took {peak} KiB");
    }
}
