//! What the operating system really sees: the system calls of a load and of a save, by ptrace(2), and what a child
//! of fork(2) does with its parent's lock.
//!
//! The store is built as its users build it, without the seam.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use nix::libc;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use sessiondir::{Durability, Options, Session, SessionRef, SessionStore};
use sessiondir_drivers::child::{Child, name};

fn main() {
    let tests: [(&str, fn()); 5] = [
        ("a_load_makes_four_system_calls", a_load_makes_four_system_calls),
        ("a_save_in_place_makes_these_system_calls", a_save_in_place_makes_these_system_calls),
        ("a_touch_makes_the_calls_of_a_save", a_touch_makes_the_calls_of_a_save),
        ("a_forked_child_does_not_act_on_its_parents_lock", a_forked_child_does_not_act_on_its_parents_lock),
        ("a_forked_child_deletes_nothing", a_forked_child_deletes_nothing),
    ];
    sessiondir_drivers::share::run(&tests);
}

/// Runs `run` in a child and returns the names of the system calls that it makes between the two times that it calls what
/// it is given.
fn traced(run: impl FnOnce(&dyn Fn())) -> String {
    let mut child = Child::new(|stop| {
        run(stop);
        0
    });
    let calls = child.calls();
    assert_eq!(child.finish(), 0);
    calls.iter().filter(|call| !call.is_of_std).map(|call| name(call.number)).collect::<Vec<_>>().join(" ")
}

fn store(dir: &Path, durability: Durability) -> (sessiondir::DirectoryStore, SessionRef) {
    let options = Options::new().create(true).durability(durability).resolution(std::time::Duration::ZERO);
    let store = options.open(dir.join("sessions")).expect("a store");
    let mut session = Session::new();
    session.insert("n", &0).expect("fits");
    let id = store.create(&mut session).expect("created");
    (store, id.into())
}

/// The memory allocator has grown the heap and the lock file is open after a few runs.
const WARM: usize = 20;

/// Exercises READ-1, READ-2.
fn a_load_makes_four_system_calls() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let (store, id) = store(tmp.path(), Durability::Power);
    let calls = traced(|stop| {
        (0..WARM).for_each(|_| drop(store.load(&id).expect("loads")));
        stop();
        let loaded = store.load(&id);
        stop();
        assert!(loaded.expect("loads").is_some());
    });
    assert_eq!(calls, "openat fstat read close");
}

const SAVE: [(Durability, &str); 2] = [
    (Durability::Process, "fcntl fstatat openat fstat read pwrite close fcntl"),
    (Durability::Power, "fcntl fstatat openat fstat read pwrite fdatasync close fcntl"),
];

/// Exercises LOCK-6, WRITE-3.
fn a_save_in_place_makes_these_system_calls() {
    for (durability, expected) in SAVE {
        let tmp = tempfile::tempdir().expect("a temporary directory");
        let (store, id) = store(tmp.path(), durability);
        let calls = traced(|stop| {
            let mut session = store.load(&id).expect("loads").expect("is there");
            let mut save = |n: usize| {
                session.insert("n", &n).expect("fits");
                store.save(&mut session)
            };
            (0..WARM).for_each(|n| save(n + 1).expect("saved"));
            stop();
            let saved = save(1000);
            stop();
            saved.expect("saved");
        });
        assert_eq!(calls, expected);
    }
}

/// Exercises WRITE-16.
fn a_touch_makes_the_calls_of_a_save() {
    for (durability, expected) in SAVE {
        let tmp = tempfile::tempdir().expect("a temporary directory");
        let (store, id) = store(tmp.path(), durability);
        let touch = || {
            // The clock has to move for a touch to write.
            std::thread::sleep(std::time::Duration::from_millis(2));
            store.touch(&id)
        };
        let calls = traced(|stop| {
            (0..WARM).for_each(|_| assert!(touch().expect("touched")));
            std::thread::sleep(std::time::Duration::from_millis(2));
            stop();
            let touched = store.touch(&id);
            stop();
            assert!(touched.expect("touched"));
        });
        assert_eq!(calls, expected);
    }
}

/// Exercises LOCK-12.
fn a_forked_child_does_not_act_on_its_parents_lock() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let (store, id) = store(tmp.path(), Durability::Process);
    let mut child = None;
    let updated = store.update(&id, &mut |session| {
        // SAFETY: this process has one thread, so the child is as whole as its parent.
        if let ForkResult::Parent { child: pid } = unsafe { fork() }.expect("a child") {
            child = Some(pid);
            // The child ends while the lock is still held here.
            assert_eq!(waitpid(pid, None).expect("waited"), WaitStatus::Exited(pid, 7));
            session.insert("n", &1)?;
        } else {
            session.insert("n", &666)?;
        }
        Ok(())
    });
    if child.is_none() {
        // The child: its update was refused, and the lock is its parent's.
        let refused = updated.is_err_and(|error| error.class() == sessiondir::ErrorClass::Reentrant);
        let other =
            Options::new().patience(std::time::Duration::from_millis(50)).open(tmp.path().join("sessions"));
        let busy = other
            .expect("opens")
            .update(&id, &mut |_| Ok(()))
            .is_err_and(|error| error.class() == sessiondir::ErrorClass::Busy);
        // Without the temporary directory's destructor, which would remove the parent's.
        let code = if refused && busy { 7 } else { 8 };
        // SAFETY: it ends this process.
        unsafe { libc::_exit(code) }
    }
    updated.expect("updated");
    let session = store.load(&id).expect("loads").expect("is there");
    assert_eq!(session.get::<u64>("n").expect("a number"), Some(1));
}

/// Exercises LOCK-12.
fn a_forked_child_deletes_nothing() {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let (store, id) = store(tmp.path(), Durability::Process);
    let (asked, is_child) = (AtomicU32::new(0), AtomicBool::new(false));
    let done = store.delete_where(&|_| {
        // It is asked a second time under the lock.
        if asked.fetch_add(1, Ordering::SeqCst) == 1 {
            // SAFETY: this process has one thread, so the child is as whole as its parent.
            match unsafe { fork() }.expect("a child") {
                ForkResult::Parent { child: pid } => {
                    assert_eq!(waitpid(pid, None).expect("waited"), WaitStatus::Exited(pid, 7));
                }
                ForkResult::Child => is_child.store(true, Ordering::SeqCst),
            }
        }
        // The child would delete, the parent does not.
        asked.load(Ordering::SeqCst) == 1 || is_child.load(Ordering::SeqCst)
    });
    if is_child.into_inner() {
        let refused = done.is_ok_and(|done| (done.deleted, done.failed) == (0, 1));
        let is_there = store.load(&id).is_ok_and(|session| session.is_some());
        // Without the temporary directory's destructor, which would remove the parent's.
        let code = if refused && is_there { 7 } else { 8 };
        // SAFETY: it ends this process.
        unsafe { libc::_exit(code) }
    }
    let done = done.expect("decided");
    assert_eq!((done.deleted, done.remaining, done.failed), (0, 1, 0));
    assert!(store.has(&id).expect("looked"));
}
