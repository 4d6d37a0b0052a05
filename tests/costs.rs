//! What operations cost, in system calls and allocations: numbers that do not depend on the machine. Times are for
//! `benches/compare` (docs/performance.md).

#[path = "support/stores.rs"]
mod support;

use std::cell::RefCell;
use std::rc::Rc;

use allocation_counter::measure;
use sessiondir::record::{decode_record, encode_record};
use sessiondir::seam::{self, Op};
use sessiondir::{Durability, Naming, Session, SessionStore};
use support::Fixture;

/// The calls that `run` makes. Closing a file, which comes to each that was opened, is none that can be refused.
fn calls<T>(run: impl FnOnce() -> T) -> Vec<Op> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    let hook = seam::install(move |call| {
        log.borrow_mut().push(call.op);
        None
    });
    run();
    drop(hook);
    seen.take()
}

#[test]
fn system_calls_of_a_store_of_durability_process() {
    let f = Fixture::new(Naming::Plain, Durability::Process);
    let (id, mut session) = f.created();
    // Opens the lock files.
    f.store.setup().expect("there");
    session.insert("n", &1).expect("fits");
    f.store.save(&mut session).expect("saved");

    assert_eq!(calls(|| f.store.load(&id).expect("loads")), [Op::Open, Op::Fstat, Op::Read]);
    let save = [Op::Lock, Op::Stat, Op::Open, Op::Fstat, Op::Read, Op::Pwrite, Op::Unlock];
    session.insert("n", &2).expect("fits");
    assert_eq!(calls(|| f.store.save(&mut session).expect("saved")), save);
    let mut change = |session: &mut Session| Ok(session.insert("n", &3)?);
    assert_eq!(calls(|| f.store.update(&id, &mut change).expect("updated")), save);
    // A touch that is due is a save.
    f.advance(100_000);
    assert_eq!(calls(|| assert!(f.store.touch(&id).expect("touched"))), save);
    // Not due, or nothing changed: nothing written.
    let looked = [Op::Lock, Op::Stat, Op::Open, Op::Fstat, Op::Read, Op::Unlock];
    assert_eq!(calls(|| assert!(!f.store.touch(&id).expect("touched"))), looked);
    let mut session = f.store.load(&id).expect("loads").expect("is there");
    assert_eq!(calls(|| f.store.save(&mut session).expect("saved")), looked);
    assert_eq!(
        calls(|| f.store.delete(&id).expect("deleted")),
        [Op::Lock, Op::Stat, Op::Stat, Op::Stat, Op::Unlink, Op::Unlock]
    );
}

#[test]
fn system_calls_of_a_creation() {
    for durability in [Durability::Process, Durability::Power] {
        let f = Fixture::new(Naming::Plain, durability);
        // Until its lock file is one that is open: there are 64.
        for _ in 0..2000 {
            f.created();
        }
        let (sync, sync_dir): (&[Op], &[Op]) = match durability {
            Durability::Power => (&[Op::Sync], &[Op::SyncDir]),
            Durability::Process => (&[], &[]),
        };
        let made = [&[Op::Lock, Op::Stat, Op::Create, Op::Fstat, Op::Pwrite], sync, &[Op::Rename], sync_dir];
        assert_eq!(calls(|| f.created()), [&made.concat()[..], &[Op::Unlock]].concat());
    }
}

/// A session of 850 bytes in ten attributes.
fn session() -> Session {
    let mut session = Session::new();
    session.set_user("ada").expect("fits");
    for n in 0..10 {
        session.insert(&format!("k{n}"), &"x".repeat(85)).expect("fits");
    }
    sessiondir::MemoryStore::new().create(&mut session).expect("created");
    session
}

/// The ID, the user, and for all attributes together their bytes and where each is. To encode takes the record and a list
/// of its entries.
#[test]
fn allocations_of_a_record() {
    let session = session();
    let record = encode_record(2, &session).expect("encoded");
    let seen = measure(|| drop(decode_record(&record).expect("decoded")));
    assert!(seen.count_total <= 4, "{seen:?}");
    assert!(seen.bytes_max <= 2 * record.len() as u64, "{seen:?}");
    let seen = measure(|| drop(encode_record(2, &session).expect("encoded")));
    assert!(seen.count_total <= 2, "{seen:?}");
    // Its slot, and 13 entries.
    assert!(seen.bytes_max <= 4096 + 13 * 64, "{seen:?}");
}

/// A loaded session keeps the bytes that it was read from, unless they are many.
#[test]
fn memory_of_a_loaded_session() {
    let f = Fixture::new(Naming::Plain, Durability::Process);
    for (attribute, least, most) in [(100, 8192, 10_000), (1 << 20, 1 << 20, 11 << 17)] {
        let (id, mut session) = f.created();
        session.insert("a", &"x".repeat(attribute)).expect("fits");
        f.store.save(&mut session).expect("saved");
        let mut loaded = None;
        let kept = measure(|| loaded = f.store.load(&id).expect("loads")).bytes_current;
        assert!((least..most).contains(&kept), "{kept} of {attribute}");
    }
}

/// Beside those of the record: the copy of the file, what stands for it, and the name.
#[test]
fn allocations_of_a_load_and_a_save() {
    let f = Fixture::new(Naming::Plain, Durability::Process);
    let mut stored = session();
    let id = sessiondir::SessionId::generate().expect("an ID");
    f.store.insert(&id, &mut stored).expect("inserted");
    let id = id.into();
    let seen = measure(|| drop(f.store.load(&id).expect("loads")));
    assert!(seen.count_total <= 7, "{seen:?}");
    let mut session = f.store.load(&id).expect("loads").expect("is there");
    session.insert("n", &1).expect("fits");
    let seen = measure(|| f.store.save(&mut session).expect("saved"));
    // With a copy of the content, so that a save that is cut off changes nothing.
    assert!(seen.count_total <= 14, "{seen:?}");
}
