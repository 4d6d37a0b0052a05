//! The one file that makes file-system calls (rustix, all relative to one directory descriptor, DIR-8), and so
//! the seam at which tests see, refuse and interleave them.
//!
//! A name that reaches this file comes from `names.rs`: a constant, a [`FileName`] or its temp (NAME-2).

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use rustix::buffer::spare_capacity;
use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::names::{
    EntryType, FileName, IMPORTS, LOCK_DIR, LOCK_FILES, MARKER, MARKER_TEMP, QUARANTINE, lock_file_name,
};

/// A kind of call that this crate makes to the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named after the calls")]
#[non_exhaustive]
#[cfg_attr(not(feature = "seam"), allow(unreachable_pub, reason = "only the seam shows it"))]
pub enum Op {
    OpenDir,
    Open,
    Create,
    Stat,
    Fstat,
    Statfs,
    Read,
    Pread,
    Write,
    Pwrite,
    Sync,
    SyncDir,
    Rename,
    Unlink,
    Mkdir,
    ReadDir,
    Lock,
    Unlock,
    Chmod,
}

/// Makes a call, again where a signal interrupted it, unless the seam refuses it.
fn call<T>(op: Op, path: &str, mut make: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        #[cfg(feature = "seam")]
        let made = match crate::seam::call(op, path) {
            Some(errno) => Err(Errno::from_raw_os_error(errno)),
            None => make(),
        };
        #[cfg(not(feature = "seam"))]
        let made = {
            let _ = (op, path);
            make()
        };
        match made {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(done) => return Ok(done),
        }
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// `None` where the error says that there is no such entry.
fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(there) => Ok(Some(there)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is known of a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) kind: EntryType,
    /// The permission bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) size: u64,
    pub(crate) links: u64,
    /// Which file it is: device and inode.
    pub(crate) identity: (u64, u64),
    /// When its contents were last changed, in Unix milliseconds: a hint, never to be trusted.
    pub(crate) modified: u64,
}

impl From<fs::Stat> for Stat {
    // The fields' types differ from system to system.
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "as wide as here or narrower")]
    #[allow(clippy::useless_conversion, reason = "not everywhere")]
    fn from(stat: fs::Stat) -> Self {
        Stat {
            kind: entry_type(FileType::from_raw_mode(stat.st_mode)),
            mode: u32::from(stat.st_mode) & 0o7777,
            uid: stat.st_uid,
            size: stat.st_size as u64,
            links: u64::from(stat.st_nlink),
            identity: (stat.st_dev as u64, stat.st_ino as u64),
            modified: u64::try_from(stat.st_mtime).unwrap_or(0).saturating_mul(1000)
                + stat.st_mtime_nsec as u64 / 1_000_000,
        }
    }
}

fn entry_type(kind: FileType) -> EntryType {
    match kind {
        FileType::RegularFile => EntryType::Regular,
        FileType::Directory => EntryType::Directory,
        _ => EntryType::Other,
    }
}

/// Who may use the files that are made (DIR-6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// 0600 and 0700.
    #[default]
    Owner,
    /// 0660 and 2770.
    Group,
}

impl Sharing {
    /// The permission bits that nothing of a store may have (CHK-7).
    pub(crate) const fn forbidden(self) -> u32 {
        match self {
            Sharing::Owner => 0o077,
            Sharing::Group => 0o007,
        }
    }
}

/// The directory of a store: one descriptor, to which all else is relative.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    /// For messages only.
    path: PathBuf,
    sharing: Sharing,
}

/// What opening a session's file came to.
#[derive(Debug)]
pub(crate) enum Opened {
    Absent,
    /// The name is taken by something that is not a regular file (NAME-11).
    NotRegular,
    File(File, Stat),
}

/// How a session's file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

impl Dir {
    /// Opens a directory.
    pub(crate) fn open(path: &Path, sharing: Sharing) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = call(Op::OpenDir, "", || fs::open(path, flags, Mode::empty()))?;
        Ok(Dir { fd, path: path.to_owned(), sharing })
    }

    /// Makes a directory; says whether it was not there before.
    pub(crate) fn make(path: &Path, sharing: Sharing) -> io::Result<bool> {
        match call(Op::Mkdir, "", || fs::mkdir(path, dir_mode(sharing))) {
            // The process's umask may have taken bits away.
            Ok(()) => call(Op::Chmod, "", || fs::chmod(path, dir_mode(sharing))).map(|()| true),
            Err(error) if is(&error, Errno::EXIST) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// The directory itself.
    pub(crate) fn stat(&self) -> io::Result<Stat> {
        call(Op::Fstat, "", || fs::fstat(&self.fd)).map(Stat::from)
    }

    /// The number that tells the kind of file system (section 17 of SPEC.md).
    #[cfg(target_os = "linux")]
    pub(crate) fn file_system(&self) -> io::Result<u64> {
        #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "a magic number of 32 bits")]
        call(Op::Statfs, "", || fs::fstatfs(&self.fd)).map(|statfs| statfs.f_type as u64 & 0xffff_ffff)
    }

    /// An entry, not followed if it is a link.
    pub(crate) fn stat_entry(&self, name: &[u8]) -> io::Result<Option<Stat>> {
        let shown = String::from_utf8_lossy(name);
        absent(call(Op::Stat, &shown, || fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)))
            .map(|stat| stat.map(Stat::from))
    }

    /// The entries, in no order, with the types that the directory gives, one system call for many of them.
    pub(crate) fn entries(&self) -> io::Result<Entries<'_>> {
        let inner = call(Op::ReadDir, "", || fs::Dir::read_from(&self.fd))?;
        Ok(Entries { dir: Some(self), inner })
    }

    /// A directory of the format's within this one.
    fn within(&self, name: &'static str) -> io::Result<Dir> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = call(Op::OpenDir, name, || fs::openat(&self.fd, name, flags, Mode::empty()))?;
        Ok(Dir { fd, path: self.path.join(name), sharing: self.sharing })
    }

    /// Syncs the lock directory: the lock files are on stable storage.
    pub(crate) fn sync_lock_dir(&self) -> io::Result<()> {
        let lock_dir = self.within(LOCK_DIR)?;
        call(Op::SyncDir, LOCK_DIR, || fs::fsync(&lock_dir.fd))
    }

    /// The entries of the lock directory.
    pub(crate) fn lock_entries(&self) -> io::Result<Vec<(Vec<u8>, Stat)>> {
        let lock_dir = self.within(LOCK_DIR)?;
        let mut found = Vec::new();
        for entry in lock_dir.entries()? {
            let (name, _) = entry?;
            if let Some(stat) = lock_dir.stat_entry(&name)? {
                found.push((name, stat));
            }
        }
        Ok(found)
    }

    /// Opens a session's file as READ-1 says.
    pub(crate) fn open_session(&self, name: &FileName, access: Access) -> io::Result<Opened> {
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
        } | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC
            | OFlags::NOCTTY;
        let path = name.as_str();
        let fd = match call(Op::Open, path, || fs::openat(&self.fd, path, flags, Mode::empty())) {
            Ok(fd) => fd,
            Err(error) if is(&error, Errno::NOENT) => return Ok(Opened::Absent),
            // A link; a directory opened for writing; a socket or a device without driver.
            Err(error) if [Errno::LOOP, Errno::ISDIR, Errno::NXIO].iter().any(|e| is(&error, *e)) => {
                return Ok(Opened::NotRegular);
            }
            Err(error) => return Err(error),
        };
        let file = File(fd);
        let stat = file.stat()?;
        match stat.kind {
            EntryType::Regular => Ok(Opened::File(file, stat)),
            _ => Ok(Opened::NotRegular),
        }
    }

    /// Makes the temp of `name`, which is not there (WRITE-12).
    pub(crate) fn create_temp(&self, name: &FileName) -> io::Result<(File, Stat)> {
        self.create(&name.temp(), OFlags::EXCL)
    }

    /// Makes a file, as `how` says where there is one.
    fn create(&self, name: &str, how: OFlags) -> io::Result<(File, Stat)> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | how;
        let mode = file_mode(self.sharing);
        let file = File(call(Op::Create, name, || fs::openat(&self.fd, name, flags, mode))?);
        // A change of the mode is a write of the inode, and nearly always needless.
        let stat = file.stat()?;
        if stat.mode != mode.bits() {
            self.share(&file)?;
        }
        Ok((file, stat))
    }

    /// Gives a file that was made the bits which the process's umask may have taken away (DIR-6).
    fn share(&self, file: &File) -> io::Result<()> {
        call(Op::Chmod, "", || fs::fchmod(&file.0, file_mode(self.sharing)))
    }

    /// Renames the temp of `name` to `name`; with `fresh`, only where there is nothing of that name.
    pub(crate) fn publish(&self, name: &FileName, fresh: bool) -> io::Result<()> {
        let (from, to) = (name.temp(), name.as_str());
        if fresh {
            let flags = RenameFlags::NOREPLACE;
            match call(Op::Rename, to, || fs::renameat_with(&self.fd, &from, &self.fd, to, flags)) {
                // Not every file system has it. The lock is held, so to see the name absent suffices.
                Err(error) if is(&error, Errno::INVAL) || is(&error, Errno::NOSYS) => {}
                done => return done,
            }
            if self.stat_entry(to.as_bytes())?.is_some() {
                return Err(Errno::EXIST.into());
            }
        }
        call(Op::Rename, to, || fs::renameat(&self.fd, &from, &self.fd, to))
    }

    /// Unlinks a session's file; says whether it was there.
    pub(crate) fn unlink(&self, name: &FileName) -> io::Result<bool> {
        self.unlink_entry(name.as_str())
    }

    /// Unlinks a session's temp; says whether it was there.
    pub(crate) fn unlink_temp(&self, name: &FileName) -> io::Result<bool> {
        self.unlink_entry(&name.temp())
    }

    fn unlink_entry(&self, name: &str) -> io::Result<bool> {
        absent(call(Op::Unlink, name, || fs::unlinkat(&self.fd, name, AtFlags::empty())))
            .map(|done| done.is_some())
    }

    /// Syncs the directory: its entries are on stable storage.
    pub(crate) fn sync(&self) -> io::Result<()> {
        call(Op::SyncDir, "", || fs::fsync(&self.fd))
    }

    /// Syncs all that was written to the file system: less work than each of many files.
    pub(crate) fn sync_file_system(&self) -> io::Result<()> {
        call(Op::Sync, "", || {
            #[cfg(target_os = "linux")]
            return fs::syncfs(&self.fd);
            #[cfg(not(target_os = "linux"))]
            {
                fs::sync();
                Ok(())
            }
        })
    }

    /// The contents of a small control file, at most `most` + 1 bytes; `None` where there is none, or where the
    /// entry is no regular file.
    pub(crate) fn read_control(&self, name: &'static str, most: usize) -> io::Result<Option<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let opened = call(Op::Open, name, || fs::openat(&self.fd, name, flags, Mode::empty()));
        let file = match opened {
            Ok(fd) => File(fd),
            Err(error) if [Errno::NOENT, Errno::LOOP, Errno::NXIO].iter().any(|e| is(&error, *e)) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if file.stat()?.kind != EntryType::Regular {
            return Ok(None);
        }
        let mut bytes = vec![0; most + 1];
        let length = file.read(&mut bytes)?;
        bytes.truncate(length);
        Ok(Some(bytes))
    }

    /// Puts the marker in place: written beside it, synced, renamed (DIR-2, MARK-6). The caller holds all locks, so
    /// a temp that is there is debris; and syncs the directory afterwards.
    pub(crate) fn write_marker(&self, text: &str) -> io::Result<()> {
        self.unlink_entry(MARKER_TEMP)?;
        let (file, _) = self.create(MARKER_TEMP, OFlags::EXCL)?;
        file.write_at(text.as_bytes(), 0).map_err(|(error, _)| error)?;
        file.sync()?;
        call(Op::Rename, MARKER, || fs::renameat(&self.fd, MARKER_TEMP, &self.fd, MARKER))
    }

    /// Appends lines to the migrators' notes (MIG-4).
    pub(crate) fn append_imports(&self, lines: &[u8]) -> io::Result<()> {
        let file = match self.create(IMPORTS, OFlags::APPEND | OFlags::EXCL) {
            // Perhaps another user's, in a store that is shared: its mode is for him to change.
            Err(error) if is(&error, Errno::EXIST) => {
                let flags =
                    OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                File(call(Op::Open, IMPORTS, || fs::openat(&self.fd, IMPORTS, flags, Mode::empty()))?)
            }
            made => made?.0,
        };
        let mut rest = lines;
        while !rest.is_empty() {
            let written = call(Op::Write, IMPORTS, || rustix::io::write(&file.0, rest))?;
            rest = &rest[written..];
        }
        file.sync()?;
        self.sync()
    }

    /// What a repair has moved aside; `None` where there is no such directory.
    pub(crate) fn quarantine(&self) -> io::Result<Option<Quarantine>> {
        match self.within(QUARANTINE) {
            Ok(dir) => Ok(Some(Quarantine(dir))),
            // There is none, or something foreign has its name.
            Err(error) if [Errno::NOENT, Errno::NOTDIR, Errno::LOOP].iter().any(|e| is(&error, *e)) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Moves a session's file into the quarantine, which is made if need be, under a name that is not taken; `millis`
    /// is now. REP-2.
    pub(crate) fn move_aside(&self, name: &FileName, millis: u64) -> io::Result<Quarantine> {
        self.make_dir(QUARANTINE)?;
        let quarantine = Quarantine(self.within(QUARANTINE)?);
        for millis in millis.. {
            let to = name.aside(millis);
            let from = name.as_str();
            let flags = RenameFlags::NOREPLACE;
            match call(Op::Rename, &to, || fs::renameat_with(&self.fd, from, &quarantine.0.fd, &to, flags)) {
                Err(error) if is(&error, Errno::EXIST) => continue,
                // Not every file system has it: look first. Nobody else moves a session whose lock is held.
                Err(error) if is(&error, Errno::INVAL) || is(&error, Errno::NOSYS) => {}
                done => return done.map(|()| quarantine),
            }
            if quarantine.0.stat_entry(to.as_bytes())?.is_none() {
                call(Op::Rename, &to, || fs::renameat(&self.fd, from, &quarantine.0.fd, &to))?;
                return Ok(quarantine);
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Gives an entry, or `.`, these permissions. The caller has seen that it is no link.
    pub(crate) fn set_mode(&self, path: &[u8], mode: u32) -> io::Result<()> {
        let path = CString::new(path).map_err(|_| io::Error::from(Errno::INVAL))?;
        let (shown, mode) = (path.to_string_lossy(), Mode::from_raw_mode(mode));
        call(Op::Chmod, &shown, || fs::chmodat(&self.fd, &path, mode, AtFlags::empty()))
    }

    /// Unlinks the temp of the marker; says whether it was there. The caller holds all locks.
    pub(crate) fn unlink_marker_temp(&self) -> io::Result<bool> {
        self.unlink_entry(MARKER_TEMP)
    }

    /// Makes the lock directory, if it is not there.
    pub(crate) fn make_lock_dir(&self) -> io::Result<()> {
        self.make_dir(LOCK_DIR)
    }

    fn make_dir(&self, name: &'static str) -> io::Result<()> {
        let mode = dir_mode(self.sharing);
        match call(Op::Mkdir, name, || fs::mkdirat(&self.fd, name, mode)) {
            Err(error) if is(&error, Errno::EXIST) => Ok(()),
            Ok(()) => call(Op::Chmod, name, || fs::chmodat(&self.fd, name, mode, AtFlags::empty())),
            Err(error) => Err(error),
        }
    }

    /// Opens lock file `index`, making it if need be (LOCK-5). With [`Access::Read`], only for shared locks.
    ///
    /// For `locks.rs` alone: closing the descriptor drops every lock that the process has on that file.
    pub(crate) fn open_lock(&self, index: u8, access: Access) -> io::Result<File> {
        let path = lock_path(index);
        let flags = match access {
            Access::Write => OFlags::RDWR | OFlags::CREATE,
            Access::Read => OFlags::RDONLY,
        } | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let mode = file_mode(self.sharing);
        let existed = access == Access::Read || self.stat_lock(index)?.is_some();
        let file = File(call(Op::Open, path, || fs::openat(&self.fd, path, flags, mode))?);
        if !existed {
            // Somebody else may have made it meanwhile, and then shared it.
            let _ = self.share(&file);
        }
        Ok(file)
    }

    /// The file at lock file `index`'s path.
    pub(crate) fn stat_lock(&self, index: u8) -> io::Result<Option<Stat>> {
        self.stat_entry(lock_path(index).as_bytes())
    }

    /// Whether the directory of lock files is there.
    pub(crate) fn has_lock_dir(&self) -> io::Result<bool> {
        Ok(self.stat_entry(LOCK_DIR.as_bytes())?.is_some_and(|stat| stat.kind == EntryType::Directory))
    }

    /// Whether the directory folds case: lock file `0a` is to be found as `0A` (DIR-7).
    pub(crate) fn folds_case(&self) -> io::Result<bool> {
        Ok(self.stat_entry(format!("{LOCK_DIR}/0A").as_bytes())?.is_some())
    }
}

/// Where lock file `index` is. Asked for with every change, so the 64 answers are there once and for all.
fn lock_path(index: u8) -> &'static str {
    static PATHS: LazyLock<[String; LOCK_FILES as usize]> = LazyLock::new(|| {
        std::array::from_fn(|index| {
            let name = u8::try_from(index).map(lock_file_name).unwrap_or_default();
            format!("{LOCK_DIR}/{name}")
        })
    });
    &PATHS[usize::from(index % LOCK_FILES)]
}

fn file_mode(sharing: Sharing) -> Mode {
    match sharing {
        Sharing::Owner => Mode::from_raw_mode(0o600),
        Sharing::Group => Mode::from_raw_mode(0o660),
    }
}

fn dir_mode(sharing: Sharing) -> Mode {
    match sharing {
        Sharing::Owner => Mode::from_raw_mode(0o700),
        // Set-group-ID, so that what is made in it is the group's.
        Sharing::Group => Mode::from_raw_mode(0o2770),
    }
}

/// The directory of what a repair has moved aside.
#[derive(Debug)]
pub(crate) struct Quarantine(Dir);

impl Quarantine {
    pub(crate) fn entries(&self) -> io::Result<Entries<'_>> {
        self.0.entries()
    }

    /// Unlinks what was moved there at `millis`; says whether it was there.
    pub(crate) fn unlink_quarantined(&self, name: &FileName, millis: u64) -> io::Result<bool> {
        self.0.unlink_entry(&name.aside(millis))
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

/// The entries of a directory: names and types.
#[derive(Debug)]
pub(crate) struct Entries<'a> {
    dir: Option<&'a Dir>,
    inner: fs::Dir,
}

impl Iterator for Entries<'_> {
    type Item = io::Result<(Vec<u8>, EntryType)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.inner.read()? {
                Ok(entry) => entry,
                Err(errno) => return Some(Err(errno.into())),
            };
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let kind = match (entry.file_type(), self.dir) {
                // Some file systems do not say.
                (FileType::Unknown, Some(dir)) => match dir.stat_entry(name) {
                    Ok(Some(stat)) => stat.kind,
                    Ok(None) => continue,
                    Err(error) => return Some(Err(error)),
                },
                (kind, _) => entry_type(kind),
            };
            return Some(Ok((name.to_vec(), kind)));
        }
    }
}

/// An open file of a store.
#[derive(Debug)]
pub(crate) struct File(OwnedFd);

impl File {
    pub(crate) fn stat(&self) -> io::Result<Stat> {
        call(Op::Fstat, "", || fs::fstat(&self.0)).map(Stat::from)
    }

    /// Reads from the file's position until `bytes` is full or the file ends; returns how much.
    pub(crate) fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut length = 0;
        while length < bytes.len() {
            let read = call(Op::Read, "", || rustix::io::read(&self.0, &mut bytes[length..]))?;
            if read == 0 {
                break;
            }
            length += read;
        }
        Ok(length)
    }

    /// The next `length` bytes from the file's position on, or fewer where the file ends. As [`File::read`], without
    /// filling the memory with zeros first.
    pub(crate) fn read_new(&self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            // The capacity may be larger than what was asked for.
            let left = length - bytes.len();
            if bytes.capacity() - bytes.len() > left {
                let start = bytes.len();
                bytes.resize(length, 0);
                let read = self.read(&mut bytes[start..])?;
                bytes.truncate(start + read);
                break;
            }
            if call(Op::Read, "", || rustix::io::read(&self.0, spare_capacity(&mut bytes)))? == 0 {
                break;
            }
        }
        Ok(bytes)
    }

    /// Reads at `offset`; as [`File::read`].
    pub(crate) fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut length = 0;
        while length < bytes.len() {
            let at = offset + length as u64;
            let read = call(Op::Pread, "", || rustix::io::pread(&self.0, &mut bytes[length..], at))?;
            if read == 0 {
                break;
            }
            length += read;
        }
        Ok(length)
    }

    /// Writes all of `bytes` at `offset`, going on where a short write ended (WRITE-3). An error comes with the
    /// number of bytes that were written before it.
    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), (io::Error, usize)> {
        let mut written = 0;
        while written < bytes.len() {
            let at = offset + written as u64;
            match call(Op::Pwrite, "", || rustix::io::pwrite(&self.0, &bytes[written..], at)) {
                Ok(0) => return Err((io::ErrorKind::WriteZero.into(), written)),
                Ok(more) => written += more,
                Err(error) => return Err((error, written)),
            }
        }
        Ok(())
    }

    /// Syncs the file's data, and what is needed to find it.
    pub(crate) fn sync(&self) -> io::Result<()> {
        #[cfg(not(target_vendor = "apple"))]
        return call(Op::Sync, "", || fs::fdatasync(&self.0));
        // fsync on macOS does not reach the disk.
        #[cfg(target_vendor = "apple")]
        return call(Op::Sync, "", || fs::fcntl_fullfsync(&self.0));
    }

    /// Tries to take an fcntl record lock of the process on the whole file, without waiting (LOCK-1, LOCK-9).
    pub(crate) fn try_lock(&self, exclusive: bool) -> io::Result<bool> {
        let how = if exclusive {
            FlockOperation::NonBlockingLockExclusive
        } else {
            FlockOperation::NonBlockingLockShared
        };
        match call(Op::Lock, "", || fs::fcntl_lock(self.fd(), how)) {
            Ok(()) => Ok(true),
            // The table of section 9.2.
            Err(error) if [Errno::AGAIN, Errno::ACCESS, Errno::DEADLK].iter().any(|e| is(&error, *e)) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Releases the process's lock on the file.
    pub(crate) fn unlock(&self) -> io::Result<()> {
        call(Op::Unlock, "", || fs::fcntl_lock(self.fd(), FlockOperation::NonBlockingUnlock))
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The effective user of this process.
pub(crate) fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The process's number.
pub(crate) fn process() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}
