//! Looking at every entry of a directory, on several threads where that helps.
//!
//! One thread lists, some look, and the caller's own is told what they have seen, so that what it does with that
//! needs no locks. Memory is bounded by what the looking takes and by a few batches in between.

use std::io;
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::names::EntryType;

/// A name, and what the directory says its type is.
pub(crate) type Listed = (Vec<u8>, EntryType);

/// How many entries go from thread to thread at once: a hand-over costs as much as reading several sessions.
const BATCH: usize = 256;
/// A batch ends early when what has been seen weighs as much, in bytes.
const BATCH_BYTES: usize = 1 << 18;

/// What looking at one entry came to.
pub(crate) trait Weight {
    /// About how many bytes of memory it takes.
    fn weight(&self) -> usize;
}

/// Calls `look` for each of `entries` on `threads` threads, and `tell` with what it returns on this one, in no
/// order. With one thread all of it happens here, one entry after the other. `tell` can end it.
///
/// # Errors
/// The first error of `entries`; what was listed before has been told.
pub(crate) fn each<T: Weight + Send>(
    entries: impl Iterator<Item = io::Result<Listed>> + Send,
    threads: usize,
    look: impl Fn(Listed) -> T + Sync,
    tell: &mut dyn FnMut(T) -> ControlFlow<()>,
) -> io::Result<()> {
    if threads <= 1 {
        for entry in entries {
            if tell(look(entry?)).is_break() {
                break;
            }
        }
        return Ok(());
    }
    std::thread::scope(|scope| {
        let (listed, to_look) = sync_channel::<Vec<Listed>>(2 * threads);
        let (seen, to_tell) = sync_channel::<Vec<T>>(2);
        let to_look = Arc::new(Mutex::new(to_look));
        let look = &look;
        // Each owns its end of a channel, so that whoever ends ends the others.
        let lister = scope.spawn(move || list(entries, &listed));
        let lookers: Vec<_> = (0..threads)
            .map(|_| {
                let (to_look, seen) = (Arc::clone(&to_look), seen.clone());
                scope.spawn(move || look_at(&to_look, look, &seen))
            })
            .collect();
        drop((to_look, seen));
        'told: for batch in &to_tell {
            for one in batch {
                if tell(one).is_break() {
                    break 'told;
                }
            }
        }
        drop(to_tell);
        for looker in lookers {
            looker.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        lister.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn list(
    entries: impl Iterator<Item = io::Result<Listed>>,
    listed: &SyncSender<Vec<Listed>>,
) -> io::Result<()> {
    let mut batch = Vec::with_capacity(BATCH);
    let mut end = Ok(());
    for entry in entries {
        match entry {
            Ok(entry) => batch.push(entry),
            Err(error) => {
                end = Err(error);
                break;
            }
        }
        if batch.len() == BATCH
            && listed.send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).is_err()
        {
            // Nobody looks any more.
            return Ok(());
        }
    }
    if !batch.is_empty() {
        let _ = listed.send(batch);
    }
    end
}

fn look_at<T: Weight>(
    to_look: &Mutex<Receiver<Vec<Listed>>>,
    look: impl Fn(Listed) -> T,
    seen: &SyncSender<Vec<T>>,
) {
    loop {
        // A receiver is no value that a panic leaves half changed.
        let batch = to_look.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(batch) = batch else { return };
        let (mut out, mut weight) = (Vec::with_capacity(batch.len()), 0);
        for entry in batch {
            let one = look(entry);
            weight += one.weight();
            out.push(one);
            if weight >= BATCH_BYTES {
                weight = 0;
                if seen.send(std::mem::take(&mut out)).is_err() {
                    return;
                }
            }
        }
        if !out.is_empty() && seen.send(out).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    impl Weight for usize {
        fn weight(&self) -> usize {
            *self
        }
    }

    fn entries(count: usize) -> impl Iterator<Item = io::Result<Listed>> + Send {
        (0..count).map(|n| Ok((n.to_string().into_bytes(), EntryType::Regular)))
    }

    fn number((name, _): Listed) -> usize {
        String::from_utf8(name).expect("digits").parse().expect("a number")
    }

    #[test]
    fn each_entry_is_looked_at_once() {
        for threads in [0, 1, 2, 5] {
            for count in [0, 1, BATCH - 1, BATCH, BATCH + 1, 10 * BATCH + 3] {
                let mut told = Vec::new();
                each(entries(count), threads, number, &mut |n| {
                    told.push(n);
                    ControlFlow::Continue(())
                })
                .expect("no error");
                assert_eq!(told.len(), count, "{threads} threads");
                let distinct: BTreeSet<_> = told.into_iter().collect();
                assert_eq!(distinct, (0..count).collect(), "{threads} threads");
            }
        }
    }

    #[test]
    fn it_ends_when_told_to() {
        for threads in [1, 3] {
            let looked = AtomicUsize::new(0);
            let mut told = 0;
            let look = |entry| {
                looked.fetch_add(1, Ordering::SeqCst);
                number(entry)
            };
            each(entries(1_000_000), threads, look, &mut |_| {
                told += 1;
                if told == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .expect("no error");
            assert_eq!(told, 5);
            assert!(looked.into_inner() < 100 * BATCH, "nobody goes on for long");
        }
    }

    #[test]
    fn an_error_ends_it_after_what_was_listed() {
        for threads in [1, 3] {
            let failing = entries(100).chain([Err(io::Error::other("bad"))]).chain(entries(1000));
            let mut told = 0;
            let error = each(failing, threads, number, &mut |_| {
                told += 1;
                ControlFlow::Continue(())
            });
            assert_eq!(error.expect_err("the error").to_string(), "bad");
            assert_eq!(told, 100, "{threads} threads");
        }
    }

    #[test]
    fn a_panic_comes_through() {
        for threads in [1, 3] {
            let done = std::panic::catch_unwind(|| {
                each(
                    entries(1000),
                    threads,
                    |entry| {
                        let n = number(entry);
                        assert_ne!(n, 500, "as it is to be");
                        n
                    },
                    &mut |_| ControlFlow::Continue(()),
                )
            });
            let panic = done.expect_err("it panicked").downcast::<String>().expect("a message");
            assert!(panic.contains("as it is to be"), "{threads} threads: {panic}");
        }
    }

    struct Heavy<'a>(&'a AtomicUsize);
    impl Weight for Heavy<'_> {
        fn weight(&self) -> usize {
            BATCH_BYTES
        }
    }
    impl Drop for Heavy<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn what_is_heavy_does_not_pile_up() {
        let alive = AtomicUsize::new(0);
        let most = AtomicUsize::new(0);
        let look = |_| {
            most.fetch_max(alive.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            Heavy(&alive)
        };
        each(entries(2000), 2, look, &mut |_| ControlFlow::Continue(())).expect("no error");
        assert!(most.into_inner() <= 8, "of 2,000");
    }
}
