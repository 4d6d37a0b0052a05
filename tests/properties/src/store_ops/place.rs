//! Where the stores are: a directory a thread, in memory where there is one, that every program finds as new.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sessiondir::{Durability, Naming, Options};
use tempfile::TempDir;

use crate::oracle;

thread_local! {
    /// A store of each naming and durability.
    static STORES: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

/// An empty store.
pub(super) fn store(naming: Naming, durability: Durability) -> PathBuf {
    let path = STORES.with(|stores| {
        let mut stores = stores.borrow_mut();
        let dir = stores.get_or_insert_with(|| {
            let memory = Path::new("/dev/shm");
            let made = if memory.is_dir() { TempDir::new_in(memory).ok() } else { None };
            made.unwrap_or_else(|| TempDir::new().expect("a temporary directory"))
        });
        dir.path().join(format!("{}-{}", naming.word(), durability.word()))
    });
    if !path.exists() {
        sessiondir::init(&path, &Options::new().naming(naming).durability(durability)).expect("a new store");
    }
    for name in files(&path) {
        fs::remove_file(path.join(name)).expect("removed");
    }
    path
}

/// The names in the store's directory but for the marker and the locks.
pub(super) fn files(path: &Path) -> Vec<String> {
    fs::read_dir(path)
        .expect("the store's directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .filter(|name| name != ".sessiondir" && name != ".lock")
        .collect()
}

/// Writes the first bytes of a new record over those of the slot that is not current: a save that a kill has cut off.
pub(super) fn tear(file: &Path, bytes: usize) {
    let Ok(there) = fs::read(file) else { return };
    let half = there.len() / 2;
    let seq = |slot: usize| oracle::whole(&there[slot * half..(slot + 1) * half]).map(|whole| whole.seq);
    let old = usize::from(seq(0) > seq(1));
    let mut new = oracle::PREFIX.to_vec();
    new.resize(half, 0xa5);
    let file = fs::OpenOptions::new().write(true).open(file).expect("opens");
    file.write_all_at(&new[..bytes.min(half)], (old * half) as u64).expect("written");
}

/// How many bytes of its slot the current record in a session's file leaves.
pub(super) fn spare(file: &Path) -> usize {
    let there = fs::read(file).expect("a session's file");
    let half = there.len() / 2;
    let whole = |slot: usize| oracle::whole(&there[slot * half..(slot + 1) * half]);
    let current = whole(0).into_iter().chain(whole(1)).max_by_key(|whole| whole.seq).expect("a record");
    half - current.end
}

/// How many descriptors of this process are of files in `path`; `None` where the system does not say.
pub(super) fn descriptors(path: &Path) -> Option<usize> {
    let entries = fs::read_dir("/proc/self/fd").ok()?;
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    Some(links.filter(|link| link.starts_with(path)).count())
}
