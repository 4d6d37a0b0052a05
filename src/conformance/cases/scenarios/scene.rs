//! A store before an operation and after it, entry by entry.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::content::Content;
use super::written::{How, written};
use crate::check::{self, Event, FindingKind};
use crate::conformance::bench::Bench;
use crate::conformance::case::{Failure, Outcome, ensure, failed, same};
use crate::conformance::vectors;
use crate::names::{Naming, SessionId, SessionRef};
use crate::open::Options;

/// The session that a scenario is about.
pub(crate) const ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";
/// One that nothing is done to.
pub(crate) const BYSTANDER: &str = "Zm9vYmFyYmF6cXV4cXV1eA";

/// A store's naming and durability.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Store {
    pub(crate) naming: Naming,
    pub(crate) durability: &'static str,
}

/// An entry of a directory, with all that must not change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) kind: &'static str,
    pub(crate) mode: u32,
    pub(crate) inode: u64,
    /// A file's content, or what a link leads to.
    pub(crate) bytes: Vec<u8>,
    /// When a file was last written to: bytes can be written over by the same.
    written: Option<(i64, i64)>,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) enum After<'a> {
    /// It is not there.
    Gone,
    /// It is a session's file, whose current record is this one, with this seq.
    Session(&'a Content, u64, How),
    /// It is an empty file of mode 0600.
    EmptyFile,
    /// It is as it may be.
    Any,
}

/// A store, with a bystander in it.
pub(crate) struct Scene {
    pub(crate) store: Store,
    pub(crate) root: PathBuf,
    before: BTreeMap<String, Entry>,
    findings: BTreeSet<String>,
}

impl Scene {
    pub(crate) fn new(bench: &Bench<'_>, store: Store) -> Result<Self, Failure> {
        let root = bench.path("store");
        vectors::materialise(&vectors::empty_store(store.naming.word(), store.durability), &root)
            .map_err(broken)?;
        let mut scene = Scene { store, root, before: BTreeMap::new(), findings: BTreeSet::new() };
        scene.put_session(BYSTANDER, 4096, &[(&scene.content_of(BYSTANDER).full(), 2)])?;
        scene.look()?;
        Ok(scene)
    }

    /// A session that holds nothing, under [`ID`].
    pub(crate) fn content(&self) -> Content {
        self.content_of(ID)
    }

    pub(crate) fn content_of(&self, id: &str) -> Content {
        Content::new(self.store.naming, id)
    }

    /// The name of a session's file.
    pub(crate) fn name_of(&self, id: &str) -> String {
        let reference = SessionRef::Id(SessionId::new(id).expect("a session ID"));
        reference.file_name(self.store.naming).expect("an ID has a name").as_str().to_owned()
    }

    pub(crate) fn name(&self) -> String {
        self.name_of(ID)
    }

    pub(crate) fn temp(&self) -> String {
        format!(".tmp.{}", self.name())
    }

    /// Makes a file anew, with mode 0600.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> Outcome {
        let path = self.root.join(name);
        let _ = fs::remove_file(&path);
        vectors::write(&path, bytes, 0o600).map_err(broken)
    }

    /// Makes the file of the session `id` of slots of `size` bytes, each record in the slot of its parity.
    pub(crate) fn put_session(&self, id: &str, size: usize, records: &[(&Content, u64)]) -> Outcome {
        let mut slots = [Vec::new(), Vec::new()];
        for (content, seq) in records {
            slots[usize::from(seq % 2 == 1)] = content.record(*seq);
        }
        self.put(&self.name_of(id), &session_file(size, &slots[0], &slots[1]))
    }

    /// The session of the scenario, in the smallest slots.
    pub(crate) fn session(&self, content: &Content, seq: u64) -> Outcome {
        self.put_session(ID, 4096, &[(content, seq)])
    }

    /// Opens the store in the shared driver, and notes how it is.
    pub(crate) fn open(&mut self, bench: &mut Bench<'_>) -> Outcome {
        let found = bench.ok(json!({ "op": "open", "dir": self.root }))?;
        let expected = json!({ "naming": self.store.naming.word(), "durability": self.store.durability, "writable": true });
        same("`open`", &expected, &found)?;
        self.look()
    }

    /// Notes how the store is.
    pub(crate) fn look(&mut self) -> Outcome {
        self.before = list(&self.root).map_err(broken)?;
        self.findings = findings(&self.root);
        Ok(())
    }

    /// Asks the shared driver, which has to refuse it with an error of that class, without telling the session's ID.
    pub(crate) fn refuses(&self, bench: &mut Bench<'_>, class: &str, request: Value) -> Outcome {
        let what = request["op"].clone();
        let fault = bench.refused(class, request)?;
        let message = fault.message.unwrap_or_default();
        let tells = [ID.to_owned(), self.name()].iter().any(|secret| message.contains(secret));
        ensure(!tells, || {
            format!("the error of {what}: expected no ID or file name in it (NAME-8), found {message:?}")
        })
    }

    /// Nothing has changed.
    pub(crate) fn unchanged(&self) -> Outcome {
        self.after(&[])
    }

    /// The entries named have become what is said of them, and nothing else has changed.
    pub(crate) fn after(&self, expected: &[(&str, After<'_>)]) -> Outcome {
        let found = list(&self.root).map_err(broken)?;
        for name in self.before.keys().chain(found.keys()) {
            let (before, after) = (self.before.get(name), found.get(name));
            match expected.iter().find(|(expected, _)| expected == name) {
                None => untouched(name, before, after)?,
                Some((_, After::Any)) => {}
                Some((_, After::Gone)) => {
                    ensure(after.is_none(), || format!("{name}: expected that it is gone, found it there"))?;
                }
                Some((_, After::EmptyFile)) => {
                    let is_so =
                        |entry: &Entry| (entry.kind, entry.mode, entry.bytes.len()) == ("file", 0o600, 0);
                    ensure(after.is_some_and(is_so), || {
                        format!("{name}: expected an empty file of mode 600, found {}", shown(after))
                    })?;
                }
                Some((_, After::Session(content, seq, how))) => {
                    let Some(after) = after else {
                        return failed(format!("{name}: expected a session's file, found nothing"));
                    };
                    written(self.store, name, before, after, (content, *seq), *how)?;
                }
            }
        }
        let missing = |(name, after): &&(&str, After<'_>)| {
            matches!(after, After::Session(..) | After::EmptyFile) && !found.contains_key(*name)
        };
        if let Some((name, _)) = expected.iter().find(missing) {
            return failed(format!("{name}: expected a file, found nothing"));
        }
        let new: Vec<_> = findings(&self.root).difference(&self.findings).cloned().collect();
        ensure(new.is_empty(), || {
            format!(
                "a check afterwards: expected no finding that was not there before, found {}",
                new.join("; ")
            )
        })
    }
}

/// The bytes of a session's file, of slots of `size` bytes that begin so.
pub(crate) fn session_file(size: usize, zero: &[u8], one: &[u8]) -> Vec<u8> {
    assert!(zero.len() <= size && one.len() <= size, "a slot's content fits into it");
    let mut file = zero.to_vec();
    file.resize(size, 0);
    file.extend(one);
    file.resize(2 * size, 0);
    file
}

/// The kit's own failure to make or read a directory.
pub(crate) fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::Errored(format!("the kit's own directory: {error}"))
}

fn untouched(name: &str, before: Option<&Entry>, after: Option<&Entry>) -> Outcome {
    let (before, after) = match (before, after) {
        (Some(before), Some(after)) => (before, after),
        (Some(_), None) => return failed(format!("{name}: expected that it stays, found it gone")),
        _ => return failed(format!("{name}: expected no such entry, found it there")),
    };
    let different = |what: &str, before: &dyn std::fmt::Display, after: &dyn std::fmt::Display| {
        failed(format!("{name}: expected that nothing is done to it; its {what} was {before}, found {after}"))
    };
    if before.kind != after.kind {
        different("type", &before.kind, &after.kind)
    } else if before.mode != after.mode {
        different("mode", &format!("{:o}", before.mode), &format!("{:o}", after.mode))
    } else if before.inode != after.inode {
        different("inode", &before.inode, &after.inode)
    } else if before.bytes != after.bytes {
        let at = before.bytes.iter().zip(&after.bytes).take_while(|(before, after)| before == after).count();
        let lengths = format!("{} bytes", before.bytes.len());
        different(
            "content",
            &lengths,
            &format!("{} bytes, other ones from offset {at} on", after.bytes.len()),
        )
    } else if before.written != after.written {
        failed(format!("{name}: expected that nothing is written to it, found another time of modification"))
    } else {
        Ok(())
    }
}

fn shown(entry: Option<&Entry>) -> String {
    match entry {
        Some(entry) => format!("a {} of mode {:o}, {} bytes", entry.kind, entry.mode, entry.bytes.len()),
        None => "nothing".to_owned(),
    }
}

/// Every entry below `root`, and `root` itself as `.`.
fn list(root: &Path) -> std::io::Result<BTreeMap<String, Entry>> {
    let mut entries = BTreeMap::from([(".".to_owned(), entry(root)?)]);
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for found in fs::read_dir(directory)? {
            let path = found?.path();
            let entry = entry(&path)?;
            if entry.kind == "directory" {
                directories.push(path.clone());
            }
            let name = path.strip_prefix(root).unwrap_or(&path);
            entries.insert(name.to_string_lossy().into_owned(), entry);
        }
    }
    Ok(entries)
}

fn entry(path: &Path) -> std::io::Result<Entry> {
    let found = fs::symlink_metadata(path)?;
    let kind = found.file_type();
    let (kind, bytes) = if kind.is_file() {
        ("file", fs::read(path)?)
    } else if kind.is_dir() {
        ("directory", Vec::new())
    } else if kind.is_symlink() {
        ("link", fs::read_link(path)?.as_os_str().as_bytes().to_vec())
    } else {
        ("special file", Vec::new())
    };
    let written = (kind == "file").then(|| (found.mtime(), found.mtime_nsec()));
    Ok(Entry { kind, mode: found.mode() & 0o7777, inode: found.ino(), bytes, written })
}

/// What the reference's checker finds in the store: nothing where it cannot open it.
fn findings(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut tell = |event: Event<'_>| {
        // An unknown key goes where its session goes; the records are compared byte for byte.
        if let Event::Finding(finding) = event
            && finding.kind != FindingKind::UnknownKey
        {
            found.insert(format!(
                "{} ({}) of {}",
                finding.kind.name(),
                finding.rule,
                finding.place.path(true)
            ));
        }
    };
    let _ = check::check(root, &Options::new(), &mut tell);
    found
}
