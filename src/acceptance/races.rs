//! Many threads at once, on two handles of one store.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{
    Broken, Case, Handles, Outcome, Stores, absent, add_one, count, create, equal, good, must, n, panicked,
    put, stored, there,
};
use crate::error::ErrorClass;
use crate::names::SessionRef;
use crate::record::Session;
use crate::store::SessionStore;

pub(super) const CASES: &[Case] = &[
    ("race-update", updates),
    ("race-save", saves),
    ("race-save-of-one-revision", saves_of_one_revision),
    ("race-update-touch", updates_beside_touches),
    ("race-readers", readers),
    ("race-delete-save", deletions_beside_saves),
    ("race-delete", deletions),
    ("race-delete-where", deletion_where_beside_updates),
    ("race-delete-if", deletion_if_beside_updates),
    ("race-rotate", rotations),
    ("race-rotate-update", rotations_beside_updates),
    ("race-take", taking),
    ("race-create", creations),
    ("race-iter", iterating),
];

/// How many threads most races have.
const THREADS: usize = 4;
/// How often what two threads do at once is tried.
const ROUNDS: usize = 30;

/// Runs `job` in so many threads that begin at the same moment, each with its number and its handle.
fn race<T: Send>(
    handles: &Handles<'_>,
    threads: usize,
    job: impl Fn(usize, &dyn SessionStore) -> Outcome<T> + Sync,
) -> Outcome<Vec<T>> {
    let start = Barrier::new(threads);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let (job, start, store) = (&job, &start, handles.of(thread));
                scope.spawn(move || {
                    start.wait();
                    job(thread, store)
                })
            })
            .collect();
        // All are awaited before the first failure is told.
        let ended: Vec<_> = running.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        ended.into_iter().map(|ended| ended.unwrap_or_else(|panic| Err(panicked(&*panic)))).collect()
    })
}

/// Says to the other threads that it is over, whatever has ended it.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Adds one, and lets the others come between, as they must not.
fn slowly(session: &mut Session) -> crate::Result<()> {
    std::thread::yield_now();
    add_one(session)
}

/// Whether the change was made; it may also have been refused with one of `classes`.
fn made<T>(clause: &'static str, result: crate::Result<T>, classes: &[ErrorClass]) -> Outcome<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if classes.contains(&error.class()) => Ok(false),
        Err(error) => Err(Broken { clause, seen: format!("failed: {error}") }),
    }
}

fn trues(results: &[bool]) -> usize {
    results.iter().filter(|result| **result).count()
}

fn updates(stores: &Stores<'_>) -> Outcome {
    const EACH: u64 = 50;
    let handles = stores.handles(THREADS)?;
    let (id, _) = stored(handles.of(0))?;
    let clause = "no update is lost, nor `busy` or `conflict` for want of luck";
    race(&handles, THREADS, |_, store| {
        (0..EACH).try_for_each(|_| good(clause, store.update(&id, &mut slowly)).map(drop))
    })?;
    let session = there(clause, handles.of(0), &id)?;
    let all = EACH * THREADS as u64;
    equal(clause, &(n(&session)?, session.rev()), &(all, all + 1))
}

fn saves(stores: &Stores<'_>) -> Outcome {
    const EACH: u64 = 40;
    let handles = stores.handles(THREADS)?;
    let (id, _) = stored(handles.of(0))?;
    let clause = "no save is lost: each succeeds or is `conflict`";
    race(&handles, THREADS, |_, store| {
        for _ in 0..EACH {
            let mut session = there(clause, store, &id)?;
            loop {
                good(clause, add_one(&mut session))?;
                std::thread::yield_now();
                if made(clause, store.save(&mut session), &[ErrorClass::Conflict])? {
                    break;
                }
                let newer = there(clause, store, &id)?;
                must("a conflict says that somebody has saved since", newer.rev() > session.rev(), || {
                    format!("the revision is {} as it was", newer.rev())
                })?;
                session = newer;
            }
        }
        Ok(())
    })?;
    let session = there(clause, handles.of(0), &id)?;
    let all = EACH * THREADS as u64;
    equal(clause, &(n(&session)?, session.rev()), &(all, all + 1))
}

fn saves_of_one_revision(stores: &Stores<'_>) -> Outcome {
    let handles = stores.handles(THREADS)?;
    for _ in 0..ROUNDS {
        let (id, session) = stored(handles.of(0))?;
        let clause = "of several saves of one revision one succeeds";
        let saved = race(&handles, THREADS, |thread, store| {
            let mut session = session.clone();
            put(&mut session, thread as u64 + 1)?;
            made(clause, store.save(&mut session), &[ErrorClass::Conflict])
        })?;
        equal(clause, &trues(&saved), &1)?;
        let winner = saved.iter().position(|saved| *saved).unwrap_or_default() as u64 + 1;
        equal(clause, &n(&there(clause, handles.of(0), &id)?)?, &winner)?;
    }
    Ok(())
}

fn updates_beside_touches(stores: &Stores<'_>) -> Outcome {
    const EACH: u64 = 4;
    let handles = stores.handles(THREADS)?;
    let store = handles.of(0);
    let clause = "a touch beside updates undoes none";
    for round in 0..ROUNDS {
        // So old that the first of the touches writes, if no update was faster.
        let mut session = Session::at(super::time::ago(7_200_000), super::time::ago(3_600_000));
        put(&mut session, 0)?;
        let id = create(store, &mut session)?;
        race(&handles, THREADS, |thread, store| {
            if thread == 0 {
                (0..round % 4).try_for_each(|_| good(clause, store.load(&id)).map(drop))?;
                return (0..EACH).try_for_each(|_| good(clause, store.update(&id, &mut add_one)).map(drop));
            }
            (0..EACH).try_for_each(|_| good(clause, store.touch(&id)).map(drop))
        })?;
        let session = there(clause, store, &id)?;
        equal(clause, &(n(&session)?, session.rev()), &(EACH, EACH + 1))?;
    }
    Ok(())
}

fn readers(stores: &Stores<'_>) -> Outcome {
    const EACH: u64 = 300;
    let handles = stores.handles(THREADS)?;
    let mut session = Session::new();
    put(&mut session, 0)?;
    good("a text is an attribute", session.insert("copy", &text_of(0)))?;
    let id = create(handles.of(0), &mut session)?;
    // How many updates have returned, and whether it is over.
    let (returned, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let reads = race(&handles, THREADS, |thread, store| {
        if thread == 0 {
            let _end = End(&done);
            for number in 1..=EACH {
                let updated = store.update(&id, &mut |session| {
                    session.insert("copy", &text_of(number))?;
                    Ok(session.insert("n", &number)?)
                });
                good("`update` updates", updated)?;
                returned.store(number, Ordering::SeqCst);
            }
            return Ok(0);
        }
        let (mut last, mut reads) = (0, 0);
        loop {
            let over = done.load(Ordering::SeqCst);
            let before = returned.load(Ordering::SeqCst);
            let session = there("a session that nobody deletes is always there", store, &id)?;
            let seen = n(&session)?;
            equal("what is read is one whole revision", &session.rev(), &(seen + 1))?;
            let copy = good("a text is an attribute", session.get::<String>("copy"))?;
            equal("what is read is one whole revision", &copy, &Some(text_of(seen)))?;
            must("a reader never goes back in time", seen >= last, || format!("from {last} to {seen}"))?;
            must("what was saved before a read began is read", seen >= before, || {
                format!("{seen} after {before} was saved")
            })?;
            (last, reads) = (seen, reads + 1);
            if over {
                return Ok(reads);
            }
        }
    })?;
    must("readers read", reads.iter().sum::<u64>() > 0, || "none did".to_owned())
}

/// Short and long in turn, so that what keeps it has to grow and shrink.
fn text_of(number: u64) -> String {
    let times = if number % 50 < 40 { 20 } else { 2_000 };
    format!("{number} ").repeat(times)
}

fn deletions_beside_saves(stores: &Stores<'_>) -> Outcome {
    let handles = stores.handles(3)?;
    let clause = "no save brings a deleted session back";
    for round in 0..ROUNDS {
        let (id, session) = stored(handles.of(0))?;
        let deleted = AtomicBool::new(false);
        // Of something that was done: it was not begun after the deletion had returned.
        let in_time = |before: bool| must(clause, !before, || "one succeeded after the deletion".to_owned());
        race(&handles, 3, |thread, store| match thread {
            0 => {
                let end = End(&deleted);
                // In other rounds at other moments.
                (0..round % 6).try_for_each(|_| good(clause, store.load(&id)).map(drop))?;
                let was_there = good("`delete` deletes", store.delete(&id))?;
                drop(end);
                must("the first deletion says that the session was there", was_there, || {
                    "it says no".to_owned()
                })?;
                (0..3).try_for_each(|_| {
                    must(clause, good(clause, store.load(&id))?.is_none(), || "it is there".to_owned())
                })
            }
            1 => {
                let mut session = session.clone();
                loop {
                    let before = deleted.load(Ordering::SeqCst);
                    good(clause, add_one(&mut session))?;
                    match store.save(&mut session) {
                        Err(error) if error.class() == ErrorClass::Gone => return Ok(()),
                        Err(error) if error.class() == ErrorClass::Conflict => {}
                        saved => good(clause, saved)?,
                    }
                    in_time(before)?;
                    let Some(newer) = good(clause, store.load(&id))? else { return Ok(()) };
                    session = newer;
                }
            }
            _ => loop {
                let before = deleted.load(Ordering::SeqCst);
                if !made(clause, store.update(&id, &mut add_one), &[ErrorClass::Gone])? {
                    return Ok(());
                }
                in_time(before)?;
            },
        })?;
        absent(clause, handles.of(0), &id)?;
    }
    equal(clause, &count(clause, handles.of(0))?, &0)
}

fn deletions(stores: &Stores<'_>) -> Outcome {
    let handles = stores.handles(THREADS)?;
    for _ in 0..ROUNDS {
        let (id, _) = stored(handles.of(0))?;
        let clause = "of several deletions one says that the session was there, and none is an error";
        let deleted = race(&handles, THREADS, |_, store| good(clause, store.delete(&id)))?;
        equal(clause, &trues(&deleted), &1)?;
        absent(clause, handles.of(0), &id)?;
    }
    Ok(())
}

fn deletion_where_beside_updates(stores: &Stores<'_>) -> Outcome {
    deletion_beside_updates(stores, &|clause, store, _, is_due| {
        let done = good(clause, store.delete_where(is_due))?;
        equal(clause, &done.failed, &0)?;
        Ok(done.deleted == 0)
    })
}

fn deletion_if_beside_updates(stores: &Stores<'_>) -> Outcome {
    deletion_beside_updates(stores, &|clause, store, id, is_due| {
        Ok(!good(clause, store.delete_if(id, is_due))?)
    })
}

type IsDue<'a> = dyn Fn(&Session) -> bool + Sync + 'a;
/// Deletes the session if it is due, and says whether it was kept.
type Delete = dyn Fn(&'static str, &dyn SessionStore, &SessionRef, &IsDue<'_>) -> Outcome<bool> + Sync;

fn deletion_beside_updates(stores: &Stores<'_>, delete: &Delete) -> Outcome {
    let handles = stores.handles(2)?;
    let clause = "what is changed so that it is to stay is not deleted";
    for round in 0..ROUNDS {
        let (id, _) = stored(handles.of(0))?;
        let asked = AtomicBool::new(false);
        let kept = race(&handles, 2, |thread, store| {
            if thread == 0 {
                let _end = End(&asked);
                let is_due = |session: &Session| {
                    let is_due = session.get("keep").ok() != Some(Some(true));
                    asked.store(true, Ordering::SeqCst);
                    // Time enough for the other to come between, if this is not asked under a lock.
                    std::thread::sleep(std::time::Duration::from_micros(100));
                    is_due
                };
                return delete(clause, store, &id, &is_due);
            }
            // In every other round it comes when the question has been answered.
            while round % 2 == 0 && !asked.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            (0..round % 6).try_for_each(|_| good(clause, store.load(&id)).map(drop))?;
            let updated = store.update(&id, &mut |session| Ok(session.insert("keep", &true)?));
            made(clause, updated, &[ErrorClass::Gone])
        })?;
        equal(clause, &kept[0], &kept[1])?;
        equal(clause, &good(clause, handles.of(0).delete(&id))?, &kept[1])?;
    }
    Ok(())
}

fn rotations(stores: &Stores<'_>) -> Outcome {
    let handles = stores.handles(2)?;
    let store = handles.of(0);
    for _ in 0..ROUNDS {
        let (old, session) = stored(store)?;
        let clause = "of two rotations of one revision one succeeds";
        let refusals = [ErrorClass::Gone, ErrorClass::Conflict];
        let rotated = race(&handles, 2, |_, store| {
            let mut session = session.clone();
            let rotated = made(clause, store.rotate(&mut session), &refusals)?;
            Ok(rotated.then(|| session.reference().cloned()).flatten())
        })?;
        let new: Vec<&SessionRef> = rotated.iter().flatten().collect();
        equal(clause, &new.len(), &1)?;
        absent("after a rotation nothing is found under the old ID", store, &old)?;
        equal("a rotation moves a session, and copies none", &count(clause, store)?, &1)?;
        must(clause, good(clause, store.delete(new[0]))?, || "it is not there".to_owned())?;
    }
    Ok(())
}

fn rotations_beside_updates(stores: &Stores<'_>) -> Outcome {
    let handles = stores.handles(2)?;
    let store = handles.of(0);
    for round in 0..ROUNDS {
        let (old, session) = stored(store)?;
        let clause = "of a rotation and an update at once one succeeds, and the other says why not";
        let new = race(&handles, 2, |thread, store| {
            if thread == 0 {
                let mut session = session.clone();
                let rotated = made(clause, store.rotate(&mut session), &[ErrorClass::Conflict])?;
                return Ok((rotated, session.reference().cloned()));
            }
            (0..round % 4).try_for_each(|_| good(clause, store.load(&old)).map(drop))?;
            Ok((made(clause, store.update(&old, &mut add_one), &[ErrorClass::Gone])?, Some(old.clone())))
        })?;
        equal(clause, &new.iter().filter(|(done, _)| *done).count(), &1)?;
        let left = new.into_iter().find_map(|(done, id)| id.filter(|_| done));
        let Some(left) = left else { continue };
        let found = there("what has succeeded is there", store, &left)?;
        equal("no update is lost in a rotation", &n(&found)?, &u64::from(left == old))?;
        equal("a rotation moves a session, and copies none", &count(clause, store)?, &1)?;
        good("`delete` deletes", store.delete(&left))?;
    }
    Ok(())
}

fn taking(stores: &Stores<'_>) -> Outcome {
    let handles = stores.handles(THREADS)?;
    for _ in 0..ROUNDS {
        let (id, mut session) = stored(handles.of(0))?;
        good("a short text is a token", session.push_token("one"))?;
        good("a short text is a token", session.push_token("other"))?;
        good("`save` saves", handles.of(0).save(&mut session))?;
        let clause = "a token that several take at once is taken by one";
        let taken = race(&handles, THREADS, |_, store| {
            let mut was_there = false;
            let updated = store.update(&id, &mut |session| {
                was_there = session.remove_token("one");
                slowly(session)
            });
            good(clause, updated).map(|_| was_there)
        })?;
        equal(clause, &trues(&taken), &1)?;
        let left = there(clause, handles.of(0), &id)?;
        equal(clause, &left.tokens().collect::<Vec<_>>(), &vec!["other"])?;
    }
    Ok(())
}

fn creations(stores: &Stores<'_>) -> Outcome {
    const EACH: usize = 25;
    let handles = stores.handles(THREADS)?;
    let clause = "each creation makes a session of its own";
    let ids = race(&handles, THREADS, |thread, store| {
        (0..EACH)
            .map(|_| {
                let mut session = Session::new();
                put(&mut session, thread as u64)?;
                create(store, &mut session)
            })
            .collect::<Outcome<Vec<_>>>()
    })?;
    for (thread, ids) in ids.iter().enumerate() {
        for id in ids {
            equal(clause, &n(&there(clause, handles.of(0), id)?)?, &(thread as u64))?;
        }
    }
    let different: BTreeSet<_> = ids.iter().flatten().collect();
    equal(clause, &different.len(), &(EACH * THREADS))?;
    equal(clause, &count(clause, handles.of(0))?, &(EACH * THREADS))
}

fn iterating(stores: &Stores<'_>) -> Outcome {
    let handles = stores.handles(3)?;
    let mut lasting = BTreeSet::new();
    for _ in 0..30 {
        lasting.insert(stored(handles.of(0))?.0.key());
    }
    let (changing, _) = stored(handles.of(0))?;
    lasting.insert(changing.key());
    let done = AtomicBool::new(false);
    race(&handles, 3, |thread, store| {
        let clause = "`iter_sessions` gives what is there all the time once, whatever else comes and goes";
        match thread {
            0 => {
                let _end = End(&done);
                let iterate = || {
                    let mut seen = BTreeSet::new();
                    for session in good(clause, store.iter_sessions())? {
                        let session = good(clause, session)?;
                        n(&session)?;
                        let Some(key) = session.reference().map(SessionRef::key) else { continue };
                        let first = seen.insert(key) || !lasting.contains(&key);
                        must(clause, first, || "one came twice".to_owned())?;
                    }
                    must(clause, lasting.is_subset(&seen), || "one was left out".to_owned())
                };
                (0..20).try_for_each(|_| iterate())
            }
            1 => {
                while !done.load(Ordering::SeqCst) {
                    let (id, _) = stored(store)?;
                    good("`delete` deletes", store.delete(&id))?;
                }
                Ok(())
            }
            _ => {
                while !done.load(Ordering::SeqCst) {
                    good("`update` updates", store.update(&changing, &mut add_one))?;
                }
                Ok(())
            }
        }
    })?;
    Ok(())
}
