//! The lock protocol: SPEC.md section 9.
//!
//! # Hazards
//!
//! What fcntl record locks do that nobody expects, and what this file does about it:
//!
//! 1. **They belong to the process, not to the descriptor.** Two threads of one process both "get" the same
//!    lock. So each lock file has a mutex in this process, taken before the lock (LOCK-7), and a lock file is
//!    one object for the whole process, however many stores are open on the directory: [`REGISTRY`], by device
//!    and inode.
//! 2. **Closing any descriptor of the file drops them all.** So a lock file is opened here and nowhere else; a
//!    descriptor is closed only when nobody in the process uses the file any more, and under the registry's
//!    lock, so that nobody begins to use it meanwhile (LOCK-8). Where two descriptors of one file happen to be
//!    opened (its path was replaced between two looks), both stay open as long.
//! 3. **`F_SETLKW` reports deadlocks that are none.** The kernel looks for cycles of processes, not of threads:
//!    ```text
//!    P, thread 1: holds a                    Q, thread 1: holds b
//!    P, thread 2: waits for b                Q, thread 2: waits for a     -> EDEADLK
//!    ```
//!    although each thread holds one lock and will release it. So we ask again and again without waiting in the
//!    kernel (LOCK-9), with pauses that grow and vary, up to a deadline (LOCK-10).
//! 4. **A lock file can be unlinked under its holder** (systemd-tmpfiles, an overzealous clean-up): the next one
//!    makes a new file and locks that. So after taking a lock the path must still lead to the file that is locked
//!    (LOCK-6).
//! 5. **A child of fork(2) has the memory of a holder but not its locks.** Whoever lets a user's code run under
//!    a lock asks [`Guard::is_ours`] afterwards (LOCK-12).
//! 6. **Nobody queues.** Who holds a lock for long and takes it again at once leaves the others, who ask once in a
//!    millisecond, a gap of microseconds. So a process leaves a lock free now and then ([`Breaks`]).
//! 7. **An exclusive lock needs a descriptor open for writing**, which a checker run by a reader may not have:
//!    shared locks make do with one for reading.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::counters::Count;
use crate::dir::{self, Access, Dir, File};
use crate::error::{Error, NotAStore, Result};
use crate::names::{self, EntryType, LOCK_FILES};

use waiting::{BREAK, Breaks, Pauses, Wait};

mod waiting;

/// How often a lock file may turn out to have been replaced before that is an error.
const REPLACED_MOST: u32 = 100;

/// Whether others may hold the lock too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// For writers.
    Exclusive,
    /// For readers who want no writer to be at work: it needs no more than read permission, and a lock file
    /// that is there.
    Shared,
}

/// Device and inode of a lock file.
type Identity = (u64, u64);

thread_local! {
    /// Whether this thread is running a user's code that a store has called.
    static IN_UPDATE: Cell<bool> = const { Cell::new(false) };
}

/// Refuses a call into a store from a user's code that a store has called: it would wait for itself, or take locks
/// out of order (LOCK-11).
pub(crate) fn enter() -> Result<()> {
    if IN_UPDATE.get() { Err(Error::Reentrant) } else { Ok(()) }
}

/// Runs a user's code, under a lock as a rule; whatever becomes of it, the thread is afterwards where it was before.
pub(crate) fn run<T>(code: impl FnOnce() -> T) -> T {
    struct Leave(bool);
    impl Drop for Leave {
        fn drop(&mut self) {
            IN_UPDATE.set(self.0);
        }
    }
    let _leave = Leave(IN_UPDATE.replace(true));
    code()
}

/// Descriptors of which it is not known which lock file they are of, because fstat failed or the path had changed.
/// They are never closed, as that might drop a lock (hazard 2).
static PARKED: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// Every lock file that this process has open (hazard 1).
static REGISTRY: Mutex<BTreeMap<Identity, Entry>> = Mutex::new(BTreeMap::new());

struct Entry {
    file: Arc<LockFile>,
    /// How many [`Handle`]s there are. At zero the file is closed (hazard 2).
    handles: usize,
}

/// A lock file: one in a process, whatever the number of stores and threads.
#[derive(Debug)]
struct LockFile {
    identity: Identity,
    /// The descriptor that the file was opened with first.
    first: File,
    /// One for writing, where the first is for reading only.
    for_writing: OnceLock<File>,
    first_is_for_writing: bool,
    /// Descriptors that turned out to be of this file too. Closing them would drop its locks.
    surplus: Mutex<Vec<File>>,
    turn: Mutex<Turn>,
    released: Condvar,
}

/// Whose turn it is among the threads of this process.
#[derive(Debug)]
struct Turn {
    /// A thread holds the lock, or is asking the kernel for it.
    taken: bool,
    /// How many wait for it. Where nobody does, the release need not wake anybody, which is a system call.
    waiting: usize,
    breaks: Breaks,
}

/// The mutexes here guard plain values that no panic leaves half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A share in a lock file; while there is one, the file stays open.
#[derive(Debug)]
struct Handle(Option<Arc<LockFile>>);

impl Handle {
    fn file(&self) -> &Arc<LockFile> {
        match &self.0 {
            Some(file) => file,
            None => unreachable!("only drop takes it"),
        }
    }

    /// Opens lock file `index` of `dir`, or shares in it where this process has it open.
    fn open(dir: &Dir, index: u8, mode: Mode) -> io::Result<Self> {
        let mut registry = lock(&REGISTRY);
        if let Some(stat) = dir.stat_lock(index)?
            && let Some(entry) = registry.get_mut(&stat.identity)
        {
            if mode == Mode::Exclusive && entry.file.writer().is_none() {
                let (file, identity) = identified(dir.open_lock(index, Access::Write)?)?;
                if identity != stat.identity {
                    // Replaced just now: it is of another file.
                    lock(&PARKED).push(file);
                    return Err(io::ErrorKind::Interrupted.into());
                }
                if let Err(file) = entry.file.for_writing.set(file) {
                    lock(&entry.file.surplus).push(file);
                }
            }
            entry.handles += 1;
            return Ok(Handle(Some(Arc::clone(&entry.file))));
        }
        let first_is_for_writing = mode == Mode::Exclusive;
        // For reading alone a lock file is not made: a checker changes nothing.
        let access = if first_is_for_writing { Access::Write } else { Access::Read };
        let (first, identity) = identified(dir.open_lock(index, access)?)?;
        if let Some(entry) = registry.get_mut(&identity) {
            lock(&entry.file.surplus).push(first);
            return Err(io::ErrorKind::Interrupted.into());
        }
        let file = Arc::new(LockFile {
            identity,
            first,
            for_writing: OnceLock::new(),
            first_is_for_writing,
            surplus: Mutex::default(),
            turn: Mutex::new(Turn { taken: false, waiting: 0, breaks: Breaks::new(Instant::now()) }),
            released: Condvar::new(),
        });
        registry.insert(identity, Entry { file: Arc::clone(&file), handles: 1 });
        Ok(Handle(Some(file)))
    }
}

/// The file with its identity; parked where that is not to be had. Anything but a regular file is refused: a FIFO can be
/// opened and locked like a file, and others refuse it. Nobody here holds a lock on it that closing it could drop.
fn identified(file: File) -> io::Result<(File, Identity)> {
    match file.stat() {
        Ok(stat) if stat.kind != EntryType::Regular => {
            Err(io::Error::other("the lock file's name is taken by something that is no file; move it away"))
        }
        Ok(stat) => Ok((file, stat.identity)),
        Err(error) => {
            lock(&PARKED).push(file);
            Err(error)
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let Some(file) = self.0.take() else { return };
        let mut registry = lock(&REGISTRY);
        if let Some(entry) = registry.get_mut(&file.identity) {
            entry.handles -= 1;
            if entry.handles == 0 {
                registry.remove(&file.identity);
                // The last reference: the descriptors are closed here, while nobody can open the file anew.
                drop(file);
            }
        }
    }
}

impl LockFile {
    fn writer(&self) -> Option<&File> {
        if self.first_is_for_writing { Some(&self.first) } else { self.for_writing.get() }
    }

    /// Takes the in-process mutex and then the lock. `Ok(false)` where the deadline passed first. Counts in `waits`
    /// whether either was not free at once.
    fn take(&self, mode: Mode, wait: &Wait, waits: &Count) -> io::Result<bool> {
        let mut turn = lock(&self.turn);
        let mut at_once = !turn.taken;
        if !at_once {
            waits.add();
        }
        while turn.taken {
            let Some(left) = wait.left() else { return Ok(false) };
            turn.waiting += 1;
            turn = self.released.wait_timeout(turn, left).unwrap_or_else(PoisonError::into_inner).0;
            turn.waiting -= 1;
        }
        turn.taken = true;
        let leave_free = turn.breaks.due(wait.begun, !wait.patience.is_zero());
        drop(turn);
        if leave_free && let Some(left) = wait.left() {
            std::thread::sleep(BREAK.min(left));
        }
        let mut others_had_it = false;
        let got = self.ask_kernel(mode, wait, &mut || {
            others_had_it = true;
            if std::mem::take(&mut at_once) {
                waits.add();
            }
        });
        match got {
            Ok(true) if others_had_it => lock(&self.turn).breaks = Breaks::new(Instant::now()),
            Ok(true) => {}
            _ => self.give_back(lock(&self.turn)),
        }
        got
    }

    /// Asks until it is got. Calls `denied` each time that it is not.
    fn ask_kernel(&self, mode: Mode, wait: &Wait, denied: &mut dyn FnMut()) -> io::Result<bool> {
        let file = match mode {
            Mode::Shared => &self.first,
            Mode::Exclusive => self.writer().ok_or(io::ErrorKind::PermissionDenied)?,
        };
        let mut pauses = Pauses::new();
        while !file.try_lock(mode == Mode::Exclusive)? {
            denied();
            let Some(left) = wait.left() else { return Ok(false) };
            std::thread::sleep(pauses.next().min(left));
        }
        Ok(true)
    }

    fn give_back(&self, mut turn: MutexGuard<'_, Turn>) {
        turn.taken = false;
        if turn.waiting > 0 {
            self.released.notify_one();
        }
    }

    fn release(&self) {
        // It cannot fail on a descriptor that is open and was good enough to lock with; and if it did, the
        // in-process mutex would still be right, and the others' wait would end in `busy`.
        let _ = self.first.unlock();
        let mut turn = lock(&self.turn);
        turn.breaks.released(Instant::now());
        self.give_back(turn);
    }
}

/// A lock that is held, until this is dropped.
#[derive(Debug)]
pub(crate) struct Guard {
    handle: Arc<Handle>,
    /// The process that took it, where somebody will ask.
    process: Option<i32>,
}

impl Guard {
    /// Notes which process holds the lock, for [`Guard::is_ours`]. It costs a system call, so it is done only
    /// where a user's code is about to run.
    pub(crate) fn note_process(&mut self) {
        self.process = Some(dir::process());
    }

    /// Whether this is still the process that took the lock, and not a child of it (LOCK-12).
    pub(crate) fn is_ours(&self) -> bool {
        self.process.is_none_or(|process| process == dir::process())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.handle.file().release();
    }
}

fn failed(dir: &Dir, operation: &'static str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::not_a_store(dir.path(), NotAStore::NoLocks),
        _ => Error::io(operation, None, error),
    }
}

/// Makes the lock files that are missing (LOCK-5).
pub(crate) fn make_missing(dir: &Dir) -> Result<()> {
    let failed = |error| failed(dir, "make a lock file", error);
    for index in 0..LOCK_FILES {
        match dir.stat_lock(index).map_err(failed)? {
            Some(stat) if stat.kind == EntryType::Regular => continue,
            Some(_) => {
                let why =
                    format!(".lock/{} is not a regular file; move it away", names::lock_file_name(index));
                return Err(failed(io::Error::other(why)));
            }
            None => {}
        }
        // Whoever has one open that no path leads to any more finds that out when he has locked it (LOCK-6).
        match Handle::open(dir, index, Mode::Exclusive) {
            // Somebody else makes and removes it at the same time: it was there.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            opened => drop(opened.map_err(failed)?),
        }
    }
    Ok(())
}

/// The 64 locks of a store.
#[derive(Debug)]
pub(crate) struct Locks {
    handles: [Mutex<Option<Arc<Handle>>>; LOCK_FILES as usize],
    /// How often a lock was not free at the first attempt.
    pub(crate) waits: Count,
}

impl Locks {
    pub(crate) fn new() -> Self {
        Locks { handles: [const { Mutex::new(None) }; LOCK_FILES as usize], waits: Count::default() }
    }

    /// Takes the lock of lock file `index`, over its whole length, and waits for it at most `patience`.
    pub(crate) fn lock(&self, dir: &Dir, index: u8, mode: Mode, patience: Duration) -> Result<Guard> {
        self.lock_until(dir, index, mode, &Wait::new(patience), &self.waits)
    }

    /// Takes the lock of lock file `index` if that is to be had at once; if not, nothing is counted.
    pub(crate) fn lock_if_free(&self, dir: &Dir, index: u8) -> Option<Guard> {
        self.lock_until(dir, index, Mode::Exclusive, &Wait::new(Duration::ZERO), &Count::default()).ok()
    }

    /// Takes several, each once, in ascending order (LOCK-11).
    pub(crate) fn lock_many(&self, dir: &Dir, indexes: &[u8], patience: Duration) -> Result<Vec<Guard>> {
        let wait = Wait::new(patience);
        let mut indexes = indexes.to_vec();
        indexes.sort_unstable();
        indexes.dedup();
        indexes
            .into_iter()
            .map(|index| self.lock_until(dir, index, Mode::Exclusive, &wait, &self.waits))
            .collect()
    }

    fn lock_until(&self, dir: &Dir, index: u8, mode: Mode, wait: &Wait, waits: &Count) -> Result<Guard> {
        let failed = |error| failed(dir, "take a lock", error);
        for _ in 0..REPLACED_MOST {
            let handle = match self.handle(dir, index, mode) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                opened => opened.map_err(failed)?,
            };
            if !handle.file().take(mode, wait, waits).map_err(failed)? {
                return Err(Error::Busy { session: None, waited: wait.patience });
            }
            let identity = handle.file().identity;
            let guard = Guard { handle, process: None };
            // LOCK-6 (hazard 4).
            if dir.stat_lock(index).map_err(failed)?.is_some_and(|stat| stat.identity == identity) {
                return Ok(guard);
            }
            *lock(self.place(index)) = None;
        }
        Err(failed(io::Error::other("the lock file is replaced again and again")))
    }

    fn place(&self, index: u8) -> &Mutex<Option<Arc<Handle>>> {
        &self.handles[usize::from(index % LOCK_FILES)]
    }

    /// The share of this store in lock file `index`.
    fn handle(&self, dir: &Dir, index: u8, mode: Mode) -> io::Result<Arc<Handle>> {
        let mut place = lock(self.place(index));
        if let Some(handle) = &*place
            && (mode == Mode::Shared || handle.file().writer().is_some())
        {
            return Ok(Arc::clone(handle));
        }
        let handle = Arc::new(Handle::open(dir, index, mode)?);
        *place = Some(Arc::clone(&handle));
        Ok(handle)
    }
}
