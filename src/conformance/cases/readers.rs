//! A reader beside a writer: never torn, never older than what was complete when it began.
//!
//! The writer is the kit itself, so that it knows when each record was complete. It is the only one.

use std::fs::{self, File};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::bench::{Bench, Party};
use super::super::case::{Case, Class, Failure, Outcome, ensure, failed};
use super::super::vectors::write;
use super::parties::{Side, Store, first, ids, n_of, own, slot, write_slot};
use crate::record::encode_record;
use crate::{Session, SessionId, UnixMillis};

/// How long a case takes. A reader without the second read was caught within the first ten loads, idle or beside other
/// work.
const LASTS: Duration = Duration::from_millis(1500);

pub(crate) fn cases() -> Vec<Case> {
    const READER: &[Class] = &[Class::Reader, Class::Writer];
    vec![
        Case::new(
            "readers/second-read-slot-0",
            "10.2 Reading a session",
            "while a load is between slot 0 and slot 1, slot 0 is saved and a save of slot 1 is killed",
            "READ-3 READ-4",
            READER,
            |bench| overtaken(bench, 1),
        ),
        Case::new(
            "readers/second-read-slot-1",
            "10.2 Reading a session",
            "while a load is between slot 1 and slot 0, slot 1 is saved and a save of slot 0 is killed",
            "READ-3 READ-4",
            READER,
            |bench| overtaken(bench, 0),
        ),
        Case::new(
            "readers/saved",
            "10.2 Reading a session",
            "records of 100 KiB are saved in place without pause",
            "READ-4 READ-5 SLOT-6 SLOT-7",
            READER,
            |bench| beside(bench, Manner::InPlace),
        ),
        Case::new(
            "readers/replaced",
            "10.2 Reading a session",
            "the file is replaced without pause, by ones of two sizes in turn",
            "READ-2 READ-5 SLOT-1",
            READER,
            |bench| beside(bench, Manner::Replacing),
        ),
    ]
}

/// Revision after revision of one session; `n` counts them.
struct Author {
    id: SessionId,
    session: Session,
}

impl Author {
    fn new() -> Result<Self, Failure> {
        let id = ids().next().ok_or_else(|| own("think up a session ID")(&"there is none"))?;
        let mut session = Session::new();
        session.insert("n", &0).map_err(|error| own("set an attribute")(&error))?;
        Ok(Author { session: first(&session, &id), id })
    }

    fn n(&self) -> i64 {
        i64::try_from(self.session.rev()).unwrap_or(i64::MAX) - 1
    }

    /// The next revision; `filling` is what is in it beside `n`.
    fn next(&mut self, filling: &str) -> Outcome {
        let mut next = self.session.clone();
        let set = next.insert("n", &(self.n() + 1)).and_then(|()| next.insert("filling", filling));
        set.map_err(|error| own("set an attribute")(&error))?;
        self.session = next.next(&self.session, UnixMillis::now());
        Ok(())
    }
}

/// The slots are as large as can be, and the records small. So nearly all of a load's time passes between the copies
/// of the two records, as many milliseconds as a descheduled reader of small slots would sleep. In this time, if the
/// moment is right, the record in the slot that was copied first is overwritten, and so is the one in the other, but
/// not to the end: the load finds there what is not whole. What it has of the first slot was not current even when the
/// load began. That it must notice.
///
/// `current` is the slot of the record that is current when the load begins.
fn overtaken(bench: &mut Bench<'_>, current: u64) -> Outcome {
    const SIZE: usize = 16 << 20;
    let store = Store::new(bench, "plain", "process")?;
    let mut author = Author::new()?;
    let mut file = vec![0; 2 * SIZE];
    let mut seq = 2;
    file[..4096].copy_from_slice(&slot(&author.session, seq, 4096)?);
    write(&store.path(&author.id), &file, 0o600).map_err(|error| own("make a session")(&error))?;
    drop(file);
    let file = File::options().write(true).open(store.path(&author.id));
    let file = file.map_err(|error| own("open a session")(&error))?;
    let put = |slot: &[u8], seq: u64| write_head(&file, slot, seq, SIZE);
    while seq % 2 != current || seq < 4 {
        author.next("")?;
        seq += 1;
        put(&slot(&author.session, seq, 4096)?, seq)?;
    }
    let mut reader = Side::new(bench, Party::Implementation, &store)?;
    let load = json!({ "op": "load", "id": author.id.expose() });
    // How long a load takes, when nothing happens.
    let mut usual = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        let loaded = reader.ok(load.clone())?;
        usual = usual.min(begun.elapsed());
        within("when nothing happens", &loaded, author.n(), author.n())?;
    }
    let mut chance = Chance::new(7 + current);
    let begun = Instant::now();
    let mut round = 0;
    while round < 200 && begun.elapsed() < LASTS {
        round += 1;
        let complete = author.n();
        let standing = slot(&author.session, seq, 4096)?;
        author.next("")?;
        let saved = slot(&author.session, seq + 1, 4096)?;
        let mut after = Author { id: author.id.clone(), session: author.session.clone() };
        after.next("")?;
        let mut torn = slot(&after.session, seq + 2, 4096)?;
        // The head of the new record, and then still what was there.
        torn[48..].copy_from_slice(&standing[48..]);
        let asked = reader.process.send(load.clone());
        thread::sleep(usual.mul_f64(chance.part()));
        put(&saved, seq + 1)?;
        put(&torn, seq + 2)?;
        let loaded = super::super::case::done("`load`", reader.process.receive(asked, None)?)?;
        let when = format!("saved while it was loaded, for the {round}th time; the save after was killed");
        within(&when, &loaded, complete, author.n())?;
        // The next writer writes another record of that number, and all is as it was before.
        author = after;
        seq += 2;
        put(&slot(&author.session, seq, 4096)?, seq)?;
    }
    drop(reader);
    store.is_sound()
}

/// Writes the first page of a slot: the others are zeros, and have been.
fn write_head(file: &File, head: &[u8], seq: u64, size: usize) -> Outcome {
    use std::os::unix::fs::FileExt;
    let offset = if seq.is_multiple_of(2) { 0 } else { size as u64 };
    file.write_all_at(head, offset).map_err(|error| own("write a slot")(&error))
}

/// The load gave a revision that was current at some moment since it was asked for.
fn within(when: &str, loaded: &Value, complete: i64, begun: i64) -> Outcome {
    if loaded["session"].is_null() {
        return failed(format!("`load` of a session, {when}: expected it, found that it is absent"));
    }
    let n = n_of(&loaded["session"])?;
    ensure(complete <= n && n <= begun, || {
        let what = if n < complete {
            "revision {complete} was complete before the load began"
        } else {
            "no later one had been begun when it ended"
        };
        let what = what.replace("{complete}", &complete.to_string());
        format!("`load` of a session, {when}: expected n from {complete} to {begun}, found {n}: {what}")
    })
}

/// How the writer saves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    InPlace,
    Replacing,
}

/// The writer saves without pause, and the reader loads without pause.
fn beside(bench: &mut Bench<'_>, manner: Manner) -> Outcome {
    let store = Store::new(bench, "plain", "process")?;
    let mut author = Author::new()?;
    let id = author.id.clone();
    let fillings = match manner {
        // One letter, another each time: a mixture shows.
        Manner::InPlace => [100_000, 100_000],
        Manner::Replacing => [100, 5000],
    };
    let filling = move |n: i64| {
        let letter = char::from(b'a' + u8::try_from(n.rem_euclid(26)).unwrap_or(0));
        letter.to_string().repeat(fillings[usize::from(n % 2 == 1)])
    };
    author.next(&filling(1))?;
    let (complete, begun, is_over) = (AtomicI64::new(1), AtomicI64::new(1), AtomicBool::new(false));
    let mut seq = 3;
    replace(&store, &author, seq)?;
    let mut reader = Side::new(bench, Party::Implementation, &store)?;
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let file = File::options().write(true).open(store.path(&author.id));
            let file = file.map_err(|error| own("open a session")(&error))?;
            while !is_over.load(SeqCst) {
                author.next(&filling(author.n() + 1))?;
                seq += 1;
                begun.store(author.n(), SeqCst);
                match manner {
                    Manner::InPlace => write_slot(&file, &slot(&author.session, seq, 1 << 17)?, seq)?,
                    Manner::Replacing => replace(&store, &author, seq)?,
                }
                complete.store(author.n(), SeqCst);
                if manner == Manner::Replacing {
                    // A reader that starts over does so a bounded number of times.
                    thread::sleep(Duration::from_micros(300));
                }
            }
            Outcome::Ok(())
        });
        let read = (|| {
            let until = Instant::now() + LASTS;
            while Instant::now() < until {
                let least = complete.load(SeqCst);
                let loaded = reader.ok(json!({ "op": "load", "id": id.expose() }))?;
                within("which is saved all the time", &loaded, least, begun.load(SeqCst))?;
                let expected = filling(n_of(&loaded["session"])?);
                let pairs = loaded["session"]["data"].as_array().map(Vec::as_slice).unwrap_or_default();
                let is_it = |pair: &Value| pair[0] == "filling" && pair[1]["text"] == *expected;
                ensure(pairs.iter().any(is_it), || {
                    "`load` of a session, which is saved all the time: expected the attribute that was saved with \
                     this n, found another"
                        .to_owned()
                })?;
            }
            Ok(())
        })();
        is_over.store(true, SeqCst);
        let written = writer.join().unwrap_or_else(|_| Err(own("write")(&"its writer panicked")));
        read.and(written)
    })?;
    drop(reader);
    store.is_sound()
}

/// Puts a new file in the session's place, as large as its record needs.
fn replace(store: &Store, author: &Author, seq: u64) -> Outcome {
    let length = encode_record(seq, &author.session).map_err(|error| own("encode a record")(&error))?.len();
    let size = (length + 32).next_power_of_two().max(4096);
    let mut file = vec![0; 2 * size];
    let from = if seq.is_multiple_of(2) { 0 } else { size };
    file[from..from + size].copy_from_slice(&slot(&author.session, seq, size)?);
    let failed = |error| own("replace a session")(&error);
    let temp = store.dir.join(format!(".tmp.{}", author.id.expose()));
    write(&temp, &file, 0o600).map_err(failed)?;
    fs::rename(&temp, store.path(&author.id)).map_err(failed)
}

/// Numbers by chance, the same in each run: `splitmix64`.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Chance(seed)
    }

    /// From 0 to 1.
    pub(super) fn part(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let top = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(0);
        f64::from(top) / f64::from(u32::MAX)
    }
}
