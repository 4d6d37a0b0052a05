//! Negative controls: takes each guard out of a copy of the sources, one at a time, and runs the test that is there for it,
//! which has to fail. A guard whose test passes without it fails this, and so does one that is not found in the sources.
//!
//! `cargo run -p sessiondir-drivers --example controls [WORD…]`: those with one of the words in their names.
//! It takes about half an hour.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use nix::unistd::geteuid;

/// A guard, and the test that fails without it.
struct Control {
    guard: &'static str,
    file: &'static str,
    /// What stands there, once.
    there: &'static str,
    instead: &'static str,
    package: &'static str,
    target: &'static str,
    test: &'static str,
}

const fn control(
    guard: &'static str,
    [file, there, instead]: [&'static str; 3],
    [package, target, test]: [&'static str; 3],
) -> Control {
    Control { guard, file, there, instead, package, target, test }
}

const CRATE: &str = "sessiondir";
const DRIVERS: &str = "sessiondir-drivers";

const SYNC_OF_A_SAVE: [&str; 3] = [
    "src/store/write.rs",
    "            if let Err(source) = current.file.sync() {\n                self.synced.failed(key, current.stat.identity);",
    "            if let Err(source) = Ok::<(), io::Error>(()) {\n                self.synced.failed(key, current.stat.identity);",
];

const CONTROLS: &[Control] = &[
    control(
        "the sync of a save (WRITE-5)",
        SYNC_OF_A_SAVE,
        [DRIVERS, "power_loss", "a_power_cut_at_every_system_call"],
    ),
    control("the sync of a save (WRITE-5), by a block log", SYNC_OF_A_SAVE, [DRIVERS, "block_log", ""]),
    control(
        "the sync before an overwrite (WRITE-4), by its calls",
        ["src/store/write.rs", "if self.durable() && !self.synced.knows(", "if false && !self.synced.knows("],
        [CRATE, "seam", "a_record_of_another_process_is_synced_before_the_one_before_it_is_overwritten"],
    ),
    control(
        "the sync before an overwrite (WRITE-4), by a block log",
        [
            "src/store/write.rs",
            "if entry.and_then(|()| current.file.sync()).is_err() {",
            "if entry.is_err() {",
        ],
        [DRIVERS, "block_log", ""],
    ),
    control(
        "the sync of a name that a killed process made (WRITE-4)",
        [
            "src/store/write.rs",
            "if current.is_as_made() { self.dir.sync() } else { Ok(()) }",
            "if false { self.dir.sync() } else { Ok::<(), io::Error>(()) }",
        ],
        [DRIVERS, "power_loss", "a_power_cut_after_a_killed_writer"],
    ),
    control(
        "the sync of a temp before its rename (WRITE-13)",
        ["src/store/write.rs", "if self.durable() || place == Place::OverSession {", "if false {"],
        [DRIVERS, "power_loss", "a_power_cut_at_every_system_call"],
    ),
    control(
        "the sync of the directory after a rename (WRITE-14)",
        [
            "src/store/write.rs",
            "            if let Err(source) = self.dir.sync() {\n                // The new file",
            "            if let Err(source) = Ok::<(), io::Error>(()) {\n                // The new file",
        ],
        [DRIVERS, "power_loss", "a_power_cut_at_every_system_call"],
    ),
    control(
        "the sync of the directory after a deletion (DEL-3)",
        [
            "src/store/write.rs",
            "            && let Err(source) = self.dir.sync()\n        {",
            "            && let Err(source) = Ok::<(), io::Error>(())\n        {",
        ],
        [DRIVERS, "power_loss", "a_power_cut_at_every_system_call"],
    ),
    control(
        "a failed sync is not built on (WRITE-7)",
        [
            "src/store/write.rs",
            "                self.synced.failed(key, current.stat.identity);\n                return Ok((slot, Some(source)));",
            "                let _ = source;",
        ],
        [DRIVERS, "power_loss", "a_power_cut_after_a_failed_sync"],
    ),
    control(
        "a slot that a power cut has torn is not written in place (WRITE-6)",
        [
            "src/store/write.rs",
            "if !current.other_is_sound() {",
            "if !current.other_is_sound() && seq == 0 {",
        ],
        [CRATE, "store", "what_one_power_cut_tore_another_does_not_make_whole"],
    ),
    control(
        "a save that changes nothing syncs what another wrote (WRITE-9)",
        [
            "src/store/write.rs",
            "if !self.durable() || self.synced.knows(&key, &stamp) {",
            "if stamp == stamp {",
        ],
        [CRATE, "seam", "a_save_that_changes_nothing_syncs_what_another_process_wrote"],
    ),
    control(
        "who has synced and not written a record does not write over a torn slot (WRITE-6)",
        ["src/store/write.rs", "if current.other_is_sound() {", "if stamp == stamp {"],
        [CRATE, "seam", "a_save_that_changes_nothing_syncs_what_another_process_wrote"],
    ),
    control(
        "the lock between processes (LOCK-1)",
        [
            "src/locks.rs",
            "while !file.try_lock(mode == Mode::Exclusive)? {",
            "while mode == Mode::Exclusive && file.try_lock(false).is_err() {",
        ],
        [CRATE, "processes", "eight_processes_update_one_session"],
    ),
    control(
        "the lock between processes (LOCK-1), by schedules",
        [
            "src/locks.rs",
            "while !file.try_lock(mode == Mode::Exclusive)? {",
            "while mode == Mode::Exclusive && file.try_lock(false).is_err() {",
        ],
        [DRIVERS, "schedules", "pairs_of_operations"],
    ),
    control(
        "a collector looks again under the lock (COLL-1)",
        [
            "src/store/delete_many.rs",
            "let fate = fate(self.round(name)?, name, due)?;",
            "let fate = Fate::Removed;",
        ],
        [DRIVERS, "schedules", "pairs_of_operations"],
    ),
    control(
        "a lock file, and not a lock on the session's own (LOCK-1)",
        [
            "src/store/directory.rs",
            "        self.lock_file(key.lock_file()).map_err(",
            "        let file = self.dir.stat_entry(name.as_str().as_bytes()).ok().flatten();\n        self.lock_file(file.map_or(0, |file| (file.identity.1 % 64) as u8)).map_err(",
        ],
        [CRATE, "processes", "six_processes_replace_one_sessions_file"],
    ),
    control(
        "the mutex between threads (LOCK-7)",
        [
            "src/locks.rs",
            "        while turn.taken {",
            "        while turn.taken && turn.waiting > 1 << 30 {",
        ],
        [CRATE, "processes", "four_processes_of_four_threads_update_one_session"],
    ),
    control(
        "the second look at a lock file's inode (LOCK-6)",
        [
            "src/locks.rs",
            "if dir.stat_lock(index).map_err(failed)?.is_some_and(|stat| stat.identity == identity) {",
            "if dir.stat_lock(index).is_ok() || identity == (0, 0) {",
        ],
        [CRATE, "processes", "a_lock_file_that_was_removed_under_its_holder"],
    ),
    control(
        "asking again and again, and not F_SETLKW, which finds deadlocks that are none (LOCK-9)",
        [
            "src/dir.rs",
            "            FlockOperation::NonBlockingLockExclusive\n        } else {\n            FlockOperation::NonBlockingLockShared\n        };\n        match call(Op::Lock, \"\", || fs::fcntl_lock(self.fd(), how)) {\n            Ok(()) => Ok(true),\n            // The table of section 9.2.\n            Err(error) if [Errno::AGAIN, Errno::ACCESS, Errno::DEADLK]",
            "            FlockOperation::LockExclusive\n        } else {\n            FlockOperation::NonBlockingLockShared\n        };\n        match call(Op::Lock, \"\", || fs::fcntl_lock(self.fd(), how)) {\n            Ok(()) => Ok(true),\n            // The table of section 9.2.\n            Err(error) if [Errno::AGAIN, Errno::ACCESS]",
        ],
        [CRATE, "processes", "crossed_waits_are_no_deadlock"],
    ),
    control(
        "a lock that is taken again and again is left to others (after LOCK-10)",
        [
            "src/locks.rs",
            "let leave_free = turn.breaks.due(wait.begun, !wait.patience.is_zero());",
            "let leave_free = turn.breaks.due(wait.begun, false);",
        ],
        [CRATE, "processes", "a_lock_that_is_taken_again_and_again_is_left_to_others"],
    ),
    control(
        "a lock is not dropped by a second descriptor (LOCK-8)",
        [
            "src/locks.rs",
            "if let Some(entry) = registry.get_mut(&identity) {",
            "if let Some(entry) = registry.get_mut(&(0, identity.1)) {",
        ],
        [CRATE, "processes", "a_second_descriptor_of_a_lock_file_drops_no_lock"],
    ),
    control(
        "a reader's second look (READ-4)",
        ["src/read.rs", "if !slots::bears(&again[..length], envelope.seq) {", "if again.is_empty() {"],
        [CRATE, "seam", "two_quick_saves_within_a_readers_copy"],
    ),
    control(
        "the parity of slots (SLOT-2)",
        [
            "src/slots.rs",
            "Ok(prefix) if index(prefix.seq) == slot_index => SlotHead::Readable(prefix),",
            "Ok(prefix) if slot_index < 2 => SlotHead::Readable(prefix),",
        ],
        [CRATE, "fixtures", ""],
    ),
    control(
        "the digest (REC-7), against kills",
        [
            "src/record/envelope.rs",
            "if digest != Some(&Sha256::digest(&bytes[..digest_at])[..]) {",
            "if digest.is_none() {",
        ],
        [DRIVERS, "kills", "a_kill_at_every_system_call"],
    ),
    control(
        "the current record is not overwritten (WRITE-3), against kills",
        [
            "src/store/write.rs",
            "let offset = (slots::index(seq) * slot_size) as u64;",
            "let offset = (slots::index(seq + 1) * slot_size) as u64;",
        ],
        [DRIVERS, "kills", ""],
    ),
    control(
        "a temp is made and not opened (WRITE-12)",
        ["src/dir.rs", "self.create(&name.temp(), OFlags::EXCL)", "self.create(&name.temp(), OFlags::TRUNC)"],
        [CRATE, "store", "debris_is_not_built_on"],
    ),
    control(
        "the new session of a rotation comes first (ROT-1), against kills",
        [
            "src/store/directory.rs",
            "            self.put_first(name, &next.draft()?, Place::Fresh)?;\n            match self.remove(&old_name) {",
            "            let removed = self.remove(&old_name);\n            self.put_first(name, &next.draft()?, Place::Fresh)?;\n            match removed {",
        ],
        [DRIVERS, "kills", "a_kill_at_every_system_call"],
    ),
    control(
        "a temp is removed after an error (WRITE-15)",
        [
            "src/store/write.rs",
            "                let _ = self.remove_temp(name);\n                return Err(match",
            "                return Err(match",
        ],
        [DRIVERS, "errors", "an_error_at_every_system_call"],
    ),
    control(
        "a save is based on the stored revision (WRITE-1)",
        [
            "src/store/directory.rs",
            "if session.is_based_on(current) { Ok(()) }",
            "if session.is_based_on(current) || current.rev() > 0 { Ok(()) }",
        ],
        [CRATE, "acceptance", ""],
    ),
    control(
        "a child of fork acts on no lock of its parent (LOCK-12)",
        [
            "src/locks.rs",
            "self.process.is_none_or(|process| process == dir::process())",
            "self.process.is_none_or(|process| process != 0)",
        ],
        [DRIVERS, "system_calls", ""],
    ),
    control(
        "the lock between processes (LOCK-1), in storms",
        [
            "src/dir.rs",
            "        match call(Op::Lock, \"\", || fs::fcntl_lock(self.fd(), how)) {\n            Ok(()) => Ok(true),",
            "        if exclusive {\n            return Ok(true);\n        }\n        match call(Op::Lock, \"\", || fs::fcntl_lock(self.fd(), how)) {\n            Ok(()) => Ok(true),",
        ],
        [DRIVERS, "storm", "storms"],
    ),
    control(
        "the lock between processes (LOCK-1) in Python, in storms",
        [
            "ports/python/src/sessiondir/locks.py",
            "    delay = _FIRST_DELAY\n    while True:",
            "    return\n    while True:",
        ],
        [DRIVERS, "storm", "storms"],
    ),
    control(
        "a save is based on the stored revision (WRITE-1), in storms",
        [
            "src/store/directory.rs",
            "if session.is_based_on(current) { Ok(()) }",
            "if session.is_based_on(current) || current.rev() > 0 { Ok(()) }",
        ],
        [DRIVERS, "storm", "storms"],
    ),
    control(
        "a deletion unlinks (DEL-1), in storms",
        [
            "src/store/write.rs",
            "let was_there = is_there && self.dir.unlink(name).map_err(failed)?;",
            "let was_there = is_there;",
        ],
        [DRIVERS, "storm", "storms"],
    ),
    control(
        "a sweep takes what was idle for long enough, in storms",
        ["src/sweep.rs", ">= idle.as_millis();", ">= idle.as_millis() / 2;"],
        [DRIVERS, "storm", "storms"],
    ),
];

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = entry.file_name();
        if name == "target" || name == ".git" {
            continue;
        }
        let to = to.join(&name);
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}

fn cargo(copy: &Path, target: &Path, control: &Control, run: bool) -> (bool, String) {
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", target)
        .env("RUST_BACKTRACE", "0")
        .env_remove("RUSTFLAGS");
    command.args(["test", "--locked", "--package", control.package, "--test", control.target]);
    if run {
        command.args(["--", control.test]);
    } else {
        command.arg("--no-run");
    }
    let done = command.output().expect("cargo runs");
    let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (done.status.success(), said)
}

/// Why the guard's test is no proof of it, if so.
fn seen_to_fail(copy: &Path, target: &Path, control: &Control) -> Result<(), String> {
    let file = copy.join(control.file);
    let whole = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", control.file))?;
    let times = whole.matches(control.there).count();
    if times == 0 {
        return Err(format!("it is not to be found in {}", control.file));
    }
    fs::write(&file, whole.replacen(control.there, control.instead, 1)).expect("written");
    let built = cargo(copy, target, control, false);
    let ran = if built.0 { Some(cargo(copy, target, control, true)) } else { None };
    fs::write(&file, whole).expect("written");
    match ran {
        None => Err(format!("without it nothing compiles: {}", built.1)),
        Some((true, said)) => {
            Err(format!("the test passes without it: {}", said.lines().last().unwrap_or_default()))
        }
        Some((false, said)) if said.contains("panicked") => Ok(()),
        Some((false, said)) => Err(format!("the test did not run: {said}")),
    }
}

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let sources = tmp.path().join("sources");
    copy(&root, &sources);
    let target = std::env::var_os("CONTROLS_TARGET").map_or_else(|| tmp.path().join("target"), PathBuf::from);
    let words: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |control: &&Control| {
        words.is_empty() || words.iter().any(|word| control.guard.contains(word.as_str()))
    };
    let (mut seen, mut unseen, mut skipped) = (0, 0, 0);
    println!("| guard taken out | test that fails without it | |\n|---|---|---|");
    for control in CONTROLS.iter().filter(is_wanted) {
        let result = if ["power_loss", "block_log"].contains(&control.target) && !geteuid().is_root() {
            skipped += 1;
            "SKIP: it takes root".to_owned()
        } else {
            match seen_to_fail(&sources, &target, control) {
                Ok(()) => {
                    seen += 1;
                    "seen to fail".to_owned()
                }
                Err(why) => {
                    unseen += 1;
                    format!("NOT seen to fail: {why}")
                }
            }
        };
        let test = if control.test.is_empty() { String::new() } else { format!(" `{}`", control.test) };
        println!("| {} | {}{test} | {result} |", control.guard, control.target);
    }
    println!(
        "\n{seen} guards whose test fails without them, {unseen} without such a test, {skipped} skipped"
    );
    if unseen == 0 && seen > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
