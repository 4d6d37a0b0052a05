//! Making and opening a store: SPEC.md sections 5 and 10.1.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::dir::{self, Dir, Sharing};
use crate::error::{Error, NotAStore, Result};
use crate::locks::{self, Locks};
use crate::marker::{Durability, MARKER_MAX, Marker, MarkerError};
use crate::names::{self, EntryClass, EntryType, LOCK_FILES, MARKER, Naming};
use crate::time::UnixMillis;

/// Where "now" comes from.
pub(crate) type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// How a store is opened.
///
/// ```no_run
/// use sessiondir::Options;
/// let store = Options::new().create(true).open("/var/lib/app/sessions")?;
/// # Ok::<(), sessiondir::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Options {
    pub(crate) create: bool,
    naming: Naming,
    durability: Durability,
    allow_remote: bool,
    pub(crate) read_only: bool,
    sharing: Sharing,
    pub(crate) patience: Duration,
    pub(crate) resolution: Duration,
    pub(crate) threads: usize,
    pub(crate) clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Options::new()
    }
}

impl Options {
    /// The defaults: an existing store, on a local file system, owned by this user alone; 5 seconds for a
    /// lock; a touch once a minute at most, or in a tenth of a session's `idle` if that is less.
    pub fn new() -> Self {
        Options {
            create: false,
            naming: Naming::default(),
            durability: Durability::default(),
            allow_remote: false,
            read_only: false,
            sharing: Sharing::default(),
            patience: Duration::from_secs(5),
            resolution: Duration::from_secs(60),
            threads: 1,
            clock: Arc::new(UnixMillis::now),
        }
    }

    /// Makes the store where there is no directory yet, or an empty one (DIR-3).
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// The naming of a store that is made. One that exists keeps its own (MARK-5).
    pub fn naming(mut self, naming: Naming) -> Self {
        self.naming = naming;
        self
    }

    /// The durability of a store that is made. One that exists keeps its own.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Accepts a network or user-space file system (DIR-5). Whether its locks lock, and its caches cohere, is
    /// then for you to know. On other systems than Linux such a file system is not recognised.
    pub fn allow_remote(mut self, allow: bool) -> Self {
        self.allow_remote = allow;
        self
    }

    /// Opens the store for reading only: every change is refused, and none is made where there is none. Root can so read a store of another user,
    /// which it must not change: files that root makes lock their owner out.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Shares the store with the directory's group: files of mode 0660, directories 2770 (DIR-6). The directory may
    /// then belong to another user.
    pub fn group(mut self, group: bool) -> Self {
        self.sharing = if group { Sharing::Group } else { Sharing::Owner };
        self
    }

    /// How long to wait for a lock before an operation is `busy` (LOCK-10). Zero: not at all.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// By how much `accessed` moves at least when it is written (WRITE-17).
    pub fn resolution(mut self, resolution: Duration) -> Self {
        self.resolution = resolution;
        self
    }

    /// How many threads look at the sessions when a whole store is checked, swept, repaired or counted; 0 counts as
    /// 1, the default. Each takes the memory of one session.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Takes "now" from `clock` instead of the system's: for tests.
    pub fn clock(mut self, clock: impl Fn() -> UnixMillis + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The directory and its marker, checked as section 10.1 says.
    pub(crate) fn open_dir(&self, path: &Path) -> Result<(Dir, Marker)> {
        let dir = self.safe_dir(path)?;
        let marker = read_marker(&dir)?;
        if !dir.has_lock_dir().map_err(|error| Error::io("look at .lock", None, error))? {
            return Err(Error::not_a_store(path, NotAStore::NoLocks));
        }
        refuse_folding(&dir, marker.naming)?;
        Ok((dir, marker))
    }

    /// Opens a directory and refuses one that is not safe. DIR-4, DIR-5.
    fn safe_dir(&self, path: &Path) -> Result<Dir> {
        let dir = Dir::open(path, self.sharing).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::not_a_store(path, NotAStore::Missing),
            io::ErrorKind::NotADirectory => Error::not_a_store(path, NotAStore::NotADirectory),
            _ => Error::io("open the store's directory", None, error),
        })?;
        let refuse = |why: String| Err(Error::UnsafeDirectory { directory: path.to_owned(), why });
        let stat = dir.stat().map_err(|error| Error::io("look at the store's directory", None, error))?;
        let user = dir::effective_user();
        let others_may_own = self.sharing == Sharing::Group || (user == 0 && self.read_only);
        if stat.uid != user && stat.uid != 0 && !others_may_own {
            return refuse(format!(
                "it belongs to user {} and this process is user {user}; work as its owner, or change its owner",
                stat.uid
            ));
        }
        if stat.mode & 0o002 != 0 || (stat.mode & 0o020 != 0 && self.sharing == Sharing::Owner) {
            return refuse(format!(
                "others can write to it (mode {:04o}), so they could forge sessions; chmod 700 it",
                stat.mode
            ));
        }
        #[cfg(target_os = "linux")]
        if !self.allow_remote {
            let kind =
                dir.file_system().map_err(|error| Error::io("look at the file system", None, error))?;
            if let Some(name) = remote(kind) {
                return refuse(format!(
                    "it is on {name}, where locks and caches cannot be relied on; use a local file system"
                ));
            }
        }
        Ok(dir)
    }

    /// Makes a store. DIR-2, DIR-3, DIR-6, DIR-7.
    pub(crate) fn init(&self, path: &Path) -> Result<()> {
        locks::enter()?;
        let failed = |error| Error::io("make a store", None, error);
        let made = Dir::make(path, self.sharing).map_err(failed)?;
        let dir = self.safe_dir(path)?;
        self.refuse_contents(&dir)?;
        dir.make_lock_dir().map_err(failed)?;
        // Taking the locks makes their files. Of several who make the store at the same time, one has them.
        let locks = Locks::new();
        let all: Vec<u8> = (0..LOCK_FILES).collect();
        let _guards = locks.lock_many(&dir, &all, self.patience)?;
        self.refuse_contents(&dir)?;
        refuse_folding(&dir, self.naming)?;
        // Before the marker, which says that they are there.
        dir.sync_lock_dir().map_err(failed)?;
        dir.write_marker(&Marker::new(self.naming, self.durability).text()).map_err(failed)?;
        dir.sync().map_err(failed)?;
        if made && let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            // So that the store itself survives a power loss.
            Dir::open(parent, self.sharing).and_then(|parent| parent.sync()).map_err(failed)?;
        }
        Ok(())
    }

    /// Refuses a directory that holds anything but what an interrupted [`Options::init`] leaves. DIR-3.
    fn refuse_contents(&self, dir: &Dir) -> Result<()> {
        let failed = |error| Error::io("make a store", None, error);
        for entry in dir.entries().map_err(failed)? {
            let (name, kind) = entry.map_err(failed)?;
            match names::classify(&name, kind, self.naming) {
                EntryClass::Marker => return Err(Error::not_a_store(dir.path(), NotAStore::Exists)),
                EntryClass::MarkerTemp => {}
                EntryClass::LockDirectory if only_locks(dir).map_err(failed)? => {}
                // A store that somebody else makes at the same time may be in use before we come to its marker.
                _ if dir
                    .stat_entry(MARKER.as_bytes())
                    .map_err(failed)?
                    .is_some_and(|stat| stat.kind == EntryType::Regular) =>
                {
                    return Err(Error::not_a_store(dir.path(), NotAStore::Exists));
                }
                _ => return Err(Error::not_a_store(dir.path(), NotAStore::NotEmpty)),
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("create", &self.create)
            .field("naming", &self.naming)
            .field("durability", &self.durability)
            .field("allow_remote", &self.allow_remote)
            .field("read_only", &self.read_only)
            .field("sharing", &self.sharing)
            .field("patience", &self.patience)
            .field("resolution", &self.resolution)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// The file systems that DIR-5 refuses, by the number that statfs gives (section 17 of SPEC.md).
#[cfg(target_os = "linux")]
const REMOTE: &[(u64, &str)] = &[
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xfe53_4d42, "SMB2"),
    (0xff53_4d42, "CIFS"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE or virtiofs"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
    (0x7375_7245, "Coda"),
];

/// The name of a file system that DIR-5 refuses.
#[cfg(target_os = "linux")]
fn remote(kind: u64) -> Option<&'static str> {
    REMOTE.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
}

/// Reads the marker. DIR-1, MARK-1, MARK-2.
pub(crate) fn read_marker(dir: &Dir) -> Result<Marker> {
    let text = dir
        .read_control(MARKER, MARKER_MAX)
        .map_err(|error| Error::io("read the marker", None, error))?
        .ok_or_else(|| Error::not_a_store(dir.path(), NotAStore::NoMarker))?;
    Marker::parse(&text).map_err(|error| match error {
        MarkerError::Malformed(fault) => Error::not_a_store(dir.path(), NotAStore::Marker(fault)),
        MarkerError::Unsupported(what, fault) => Error::Unsupported { session: None, what, fault },
    })
}

/// DIR-7.
fn refuse_folding(dir: &Dir, naming: Naming) -> Result<()> {
    let folds = naming == Naming::Plain
        && dir.folds_case().map_err(|error| Error::io("look at .lock", None, error))?;
    if folds {
        let why = "it takes A for a, and session IDs differ in that; make the store with naming hashed, or elsewhere";
        return Err(Error::UnsafeDirectory { directory: dir.path().to_owned(), why: why.to_owned() });
    }
    Ok(())
}

/// Whether the lock directory holds nothing but empty lock files.
fn only_locks(dir: &Dir) -> io::Result<bool> {
    Ok(dir.lock_entries()?.iter().all(|(name, stat)| {
        names::lock_file_index(name).is_some() && stat.kind == EntryType::Regular && stat.size == 0
    }))
}

/// Makes a store in the directory `path`, which is made too if need be.
///
/// # Errors
/// `not-a-store` if the directory is not empty or is a store already, `unsafe-directory`, `no-space`, `io`.
pub fn init(path: impl AsRef<Path>, options: &Options) -> Result<()> {
    options.init(path.as_ref())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Exercises DIR-5. That the refusal is made can only be seen on such a file system; that it is made of these,
    /// here.
    #[test]
    fn the_remote_file_systems_are_those_of_the_specification() {
        let spec = include_str!("../SPEC.md");
        let table = spec.split("| `statfs` type | name |").nth(1).expect("section 17");
        let mut listed: Vec<u64> = table
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .flat_map(|line| line.split('|').nth(1).expect("a cell").split(','))
            .map(|number| u64::from_str_radix(number.trim().trim_start_matches("0x"), 16).expect("a number"))
            .collect();
        let mut refused: Vec<u64> = REMOTE.iter().map(|(number, _)| *number).collect();
        listed.sort_unstable();
        refused.sort_unstable();
        assert_eq!(listed, refused);
        assert_eq!(remote(0x6969), Some("NFS"));
        // ext4, tmpfs, xfs, btrfs, overlay
        for local in [0xef53, 0x0102_1994, 0x5846_5342, 0x9123_683e, 0x794c_7630] {
            assert_eq!(remote(local), None, "{local:x}");
        }
        // And where the tests run the number is read as one of these, not truncated or sign-extended.
        let tmp = tempfile::tempdir().expect("a temporary directory");
        let kind = Dir::open(tmp.path(), Sharing::Owner).and_then(|dir| dir.file_system()).expect("a number");
        assert!(kind > 0 && remote(kind).is_none(), "{kind:x}");
    }
}
