//! The source: a directory that Session3 writes to, perhaps at this moment. Nothing here changes it (MIG-3).

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::notes;
use crate::error::{Error, Result};
use crate::names::MARKER;
use crate::store::DirectoryStore;
use crate::time::UnixMillis;

/// How a file or directory of the source is opened: links are not followed, and a FIFO does not block.
const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY);

#[derive(Debug)]
pub(super) struct Source {
    fd: OwnedFd,
    /// Absolute, without links.
    path: PathBuf,
}

/// What is known of an entry without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    is_file: bool,
    size: u64,
    /// Nanoseconds since the epoch.
    modified: i128,
}

/// What reading a file came to.
#[derive(Debug)]
pub(super) enum Read {
    /// All of it, and when it was last written.
    Whole(Vec<u8>, Seen),
    /// It was written to meanwhile.
    Changed,
    /// It is longer than the limit.
    TooLong,
    /// It is not there any more, or no file any more.
    Gone,
}

impl Seen {
    fn new(stat: &fs::Stat) -> Self {
        #[allow(clippy::useless_conversion, reason = "the fields' types differ from system to system")]
        let (seconds, nanos) = (i128::from(stat.st_mtime), i128::from(stat.st_mtime_nsec));
        Seen {
            is_file: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: seconds * 1_000_000_000 + nanos,
        }
    }

    pub(super) fn is_file(&self) -> bool {
        self.is_file
    }

    /// When it was last written; a time that the format cannot hold is taken to be the nearer one that it can.
    pub(super) fn modified(&self) -> UnixMillis {
        let millis = u64::try_from(self.modified.div_euclid(1_000_000).max(0)).unwrap_or(u64::MAX);
        UnixMillis::from_millis(millis).unwrap_or(UnixMillis::MAX)
    }
}

impl Source {
    /// Opens a source for `store`. Refuses one that is the store's directory, within it, or a store itself.
    pub(super) fn open(path: &Path, store: &DirectoryStore) -> Result<Self> {
        let failed = |source| Error::Source { directory: path.to_owned(), source };
        let refused = |why: &str| {
            let directory = path.to_owned();
            Err(Error::UnsafeDirectory {
                directory,
                why: format!("{why}; name the directory that Session3 wrote"),
            })
        };
        let real = again(|| std::fs::canonicalize(path)).map_err(failed)?;
        let fd = retry_on_intr(|| fs::open(&real, FLAGS | OFlags::DIRECTORY, Mode::empty()))
            .map_err(|errno| failed(errno.into()))?;
        let source = Source { fd, path: real };
        let identity = store.identity()?;
        for (up, ancestor) in source.path.ancestors().enumerate() {
            let stat = again(|| std::fs::metadata(ancestor)).map_err(failed)?;
            if (stat.dev(), stat.ino()) == identity {
                return refused(if up == 0 {
                    "is the store that is to be imported into"
                } else {
                    "is within the store that is to be imported into"
                });
            }
        }
        if source.look(MARKER.as_bytes()).map_err(failed)?.is_some() {
            return refused("is a sessiondir store already");
        }
        Ok(source)
    }

    /// Its path, as a note has it.
    pub(super) fn noted(&self) -> String {
        notes::source(self.path.as_os_str().as_bytes())
    }

    /// An error of the directory itself.
    pub(super) fn failed(&self, source: io::Error) -> Error {
        Error::Source { directory: self.path.clone(), source }
    }

    /// The names of the entries, in no order.
    pub(super) fn names(&self) -> io::Result<impl Iterator<Item = io::Result<Vec<u8>>>> {
        let entries = retry_on_intr(|| fs::Dir::read_from(&self.fd))?;
        Ok(entries
            .map(|entry| Ok(entry?.file_name().to_bytes().to_vec()))
            .filter(|name| !matches!(name.as_deref(), Ok(b"." | b".."))))
    }

    /// Looks at an entry; a link is not followed.
    pub(super) fn look(&self, name: &[u8]) -> io::Result<Option<Seen>> {
        let name = path(name)?;
        match retry_on_intr(|| fs::statat(&self.fd, &name, AtFlags::SYMLINK_NOFOLLOW)) {
            Ok(stat) => Ok(Some(Seen::new(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Reads a file of at most `most` bytes, and looks whether anybody wrote to it meanwhile.
    pub(super) fn read(&self, name: &[u8], most: usize) -> io::Result<Read> {
        let name = path(name)?;
        let fd = match retry_on_intr(|| fs::openat(&self.fd, &name, FLAGS, Mode::empty())) {
            Ok(fd) => fd,
            // Something else has taken the place of the file that was looked at.
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(Read::Gone),
            Err(errno) => return Err(errno.into()),
        };
        let before = Seen::new(&retry_on_intr(|| fs::fstat(&fd))?);
        if !before.is_file {
            return Ok(Read::Gone);
        }
        let size = match usize::try_from(before.size) {
            Ok(size) if size <= most => size,
            _ => return Ok(Read::TooLong),
        };
        // One byte more, to see the end.
        let mut bytes = vec![0; size + 1];
        let mut length = 0;
        while length < bytes.len() {
            match retry_on_intr(|| rustix::io::read(&fd, &mut bytes[length..]))? {
                0 => break,
                more => length += more,
            }
        }
        let after = Seen::new(&retry_on_intr(|| fs::fstat(&fd))?);
        if after != before || length != size {
            return Ok(Read::Changed);
        }
        bytes.truncate(length);
        Ok(Read::Whole(bytes, after))
    }
}

/// Makes a call of the standard library, again where a signal interrupted it.
fn again<T>(mut make: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match make() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            made => return made,
        }
    }
}

/// An entry's name comes from the directory, so it has no NUL.
fn path(name: &[u8]) -> io::Result<CString> {
    CString::new(name).map_err(|_| io::Error::from(Errno::INVAL))
}
