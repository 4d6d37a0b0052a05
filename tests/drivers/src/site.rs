//! A store's directory that can be put back to how it was, and what can be seen of its sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sessiondir::check::{Event, FindingKind, check};
use sessiondir::record::encode_record;
use sessiondir::{
    DirectoryStore, Key, Naming, Options, Session, SessionId, SessionRef, SessionStore, UnixMillis,
};

/// When the sessions are made: 2025-01-01. Every clock stands.
pub const CREATED: u64 = 1_735_689_600_000;
/// When they are worked on, an hour later.
pub const NOW: u64 = CREATED + 3_600_000;

/// A moment.
#[must_use]
pub fn time(millis: u64) -> UnixMillis {
    UnixMillis::from_millis(millis).expect("in range")
}

/// With which a store is opened at that moment, to wait for no lock.
pub fn options(now: u64) -> Options {
    Options::new().clock(move || time(now)).patience(Duration::ZERO).resolution(Duration::ZERO)
}

/// The session ID that is 22 times that letter.
#[must_use]
pub fn id(letter: char) -> SessionId {
    SessionId::new(letter.to_string().repeat(22)).expect("an ID")
}

/// What is known of a session: its record, or the class of the error that a load gives. `None`: it is absent.
pub type Value = Option<Vec<u8>>;
/// What can be seen of a store: every session, expired ones too.
pub type View = BTreeMap<Key, Vec<u8>>;

/// A session as bytes that are the same for equal sessions, whatever their ID.
fn value(session: &Session) -> Vec<u8> {
    let mut record = encode_record(1, session).expect("a record");
    record.truncate(record.len() - 34);
    let reference = session.reference().expect("stored");
    let key = reference.key();
    let names = [Some(key.as_bytes().as_slice()), reference.id().map(|id| id.expose().as_bytes())];
    for name in names.into_iter().flatten() {
        let found: Vec<usize> = (0..record.len().saturating_sub(name.len() - 1))
            .filter(|at| record[*at..].starts_with(name))
            .collect();
        for at in found {
            record[at..at + name.len()].fill(b'*');
        }
    }
    record
}

/// A directory with files in it, in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Snapshot {
    /// How many temps there are.
    #[must_use]
    pub fn temps(&self) -> usize {
        temps(self.0.keys())
    }
}

fn temps<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> usize {
    paths.filter(|path| path.as_os_str().as_encoded_bytes().starts_with(b".tmp.")).count()
}

/// The directory.
#[derive(Clone, Debug)]
pub struct Site {
    /// Where it is.
    pub dir: PathBuf,
    /// Sessions that may be there.
    pub known: Vec<SessionId>,
}

impl Site {
    /// The store, opened at that moment.
    ///
    /// # Panics
    /// It cannot be.
    #[must_use]
    pub fn open(&self, now: u64) -> DirectoryStore {
        options(now).open(&self.dir).expect("a store")
    }

    /// All that is there but for the lock files, which hold nothing; whether it is a directory.
    #[must_use]
    pub fn paths(&self) -> BTreeMap<PathBuf, bool> {
        let mut all = BTreeMap::new();
        look(&self.dir, Path::new(""), &mut all);
        all
    }

    /// The same with what is in it.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let read = |path: &Path| fs::read(self.dir.join(path)).expect("readable");
        let with_bytes = |(path, is_dir): (PathBuf, bool)| {
            let bytes = if is_dir { None } else { Some(read(&path)) };
            (path, bytes)
        };
        Snapshot(self.paths().into_iter().map(with_bytes).collect())
    }

    /// Puts it back.
    pub fn restore(&self, snapshot: &Snapshot) {
        // What is in a directory comes before it.
        for (path, is_dir) in self.paths().iter().rev() {
            let at = self.dir.join(path);
            let removed = match (is_dir, snapshot.0.get(path)) {
                (false, _) => fs::remove_file(&at),
                (true, Some(None)) => Ok(()),
                (true, _) => fs::remove_dir(&at),
            };
            removed.unwrap_or_else(|error| panic!("{}: {error}", at.display()));
        }
        for (path, bytes) in &snapshot.0 {
            let at = self.dir.join(path);
            match bytes {
                Some(bytes) => {
                    fs::write(&at, bytes).expect("written");
                    fs::set_permissions(&at, fs::Permissions::from_mode(0o600)).expect("chmod");
                }
                None if at.is_dir() => {}
                None => {
                    fs::create_dir(&at).expect("a directory");
                    fs::set_permissions(&at, fs::Permissions::from_mode(0o700)).expect("chmod");
                }
            }
        }
    }

    /// How many temps there are.
    #[must_use]
    pub fn temps(&self) -> usize {
        temps(self.paths().keys())
    }

    /// Every session: without a lock, and by a clock at which nothing is expired.
    ///
    /// # Panics
    /// A session comes up twice.
    #[must_use]
    pub fn view(&self) -> View {
        let store = options(0).read_only(true).open(&self.dir).expect("a store");
        let mut view = View::new();
        for session in store.iter_sessions().expect("lists") {
            // What cannot be read is looked at below.
            let Ok(session) = session else { continue };
            let key = session.reference().expect("stored").key();
            assert!(view.insert(key, value(&session)).is_none(), "a session comes up twice");
        }
        for id in &self.known {
            // As the list names it.
            let reference = match store.marker().naming {
                Naming::Plain => SessionRef::from(id.clone()),
                Naming::Hashed => SessionRef::Key(id.key()),
            };
            match store.load(&reference) {
                Ok(None) => assert!(!view.contains_key(&id.key()), "listed and absent"),
                Ok(Some(session)) => {
                    assert!(
                        view.get(&id.key()) == Some(&value(&session)),
                        "loaded as another than is listed"
                    );
                }
                Err(error) => drop(view.insert(id.key(), error.class().name().into())),
            }
        }
        view
    }

    /// What the checker finds, but for old IDs, which are no fault.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        let mut found = Vec::new();
        check(&self.dir, &options(NOW), &mut |event| {
            if let Event::Finding(finding) = event
                && finding.kind != FindingKind::LegacyId
            {
                found.push(finding.to_string());
            }
        })
        .expect("checked");
        found
    }
}

fn look(dir: &Path, below: &Path, all: &mut BTreeMap<PathBuf, bool>) {
    for entry in fs::read_dir(dir.join(below)).expect("a directory") {
        let entry = entry.expect("an entry");
        let path = below.join(entry.file_name());
        if path == Path::new(".lock") {
            continue;
        }
        let is_dir = entry.file_type().expect("a type").is_dir();
        if is_dir {
            look(dir, &path, all);
        }
        all.insert(path, is_dir);
    }
}

/// The descriptors of this process that are open, but for lock files, which stay open.
#[must_use]
pub fn descriptors() -> BTreeSet<String> {
    let all = fs::read_dir("/proc/self/fd").expect("this process").flatten();
    let to = all.filter_map(|entry| Some((entry.file_name(), fs::read_link(entry.path()).ok()?)));
    to.filter(|(_, to)| !to.parent().is_some_and(|parent| parent.ends_with(".lock")))
        .map(|(number, to)| format!("{} {}", number.display(), to.display()))
        // The list itself.
        .filter(|entry| !entry.ends_with("/fd"))
        .collect()
}
