"""Every file-system call on a store, relative to one descriptor of its directory (DIR-8).

The methods raise OSError without a file name in it: the name of a session's file may be its ID (NAME-8). What the
error means is for the caller to say.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import stat
import sys
from typing import Any, Callable, List, NamedTuple, Optional, Tuple, TypeVar

from . import fstype, marker
from .errors import Io, NotAStore, UnsafeDirectory, from_os
from .locks import TABLE
from .names import LOCK_DIRECTORY, MARKER, MARKER_TEMP

T = TypeVar("T")
Identity = Tuple[int, int]

_COMMON = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
READ = os.O_RDONLY | _COMMON
WRITE = os.O_RDWR | _COMMON
NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | _COMMON
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_TOKENS = itertools.count(1)


class Listed(NamedTuple):
    """An entry of the directory; ``kind`` is ``regular``, ``directory`` or ``other``."""

    name: str
    kind: str


def call(function: Callable[..., T], *args: Any, **more: Any) -> T:
    """Calls the system; an OSError comes out without the file name that Python puts into it."""
    number = 0
    try:
        return function(*args, **more)
    except OSError as error:
        number = error.errno or 0
    raise OSError(number, os.strerror(number))


def kind_of(mode: int) -> str:
    return "regular" if stat.S_ISREG(mode) else "directory" if stat.S_ISDIR(mode) else "other"


def identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def sync(descriptor: int) -> None:
    """Syncs a file's contents: fdatasync, or F_FULLFSYNC on macOS."""
    if sys.platform == "darwin":
        call(fcntl.fcntl, descriptor, fcntl.F_FULLFSYNC)
    else:
        call(os.fdatasync, descriptor)


def sync_directory(descriptor: int) -> None:
    if sys.platform == "darwin":
        call(fcntl.fcntl, descriptor, fcntl.F_FULLFSYNC)
    else:
        call(os.fsync, descriptor)


def close(descriptor: int) -> None:
    """Closes; what was to be durable has been synced before, so an error here says nothing new."""
    try:
        os.close(descriptor)
    except OSError:
        pass


class Directory:
    """A descriptor of a store's directory. It is closed when the last user lets go of the object."""

    def __init__(self, path: str, group: bool = False, allow_remote: bool = False) -> None:
        """Opens and checks it: DIR-4, DIR-5. Raises UnsafeDirectory, NotAStore or Io."""
        self.fd = -1
        self.token = next(_TOKENS)
        self.group = group
        self.file_mode = 0o660 if group else 0o600
        self.directory_mode = 0o2770 if group else 0o700
        failure: Optional[OSError] = None
        try:
            self.fd = call(os.open, path, _DIRECTORY)
        except OSError as error:
            failure = error
        if isinstance(failure, (FileNotFoundError, NotADirectoryError)):
            raise NotAStore("there is no directory", "DIR-1", 0)
        if failure is not None:
            raise from_os(failure, "open of the directory")
        self._check(allow_remote)

    def __del__(self) -> None:
        if self.fd >= 0:
            close(self.fd)
            self.fd = -1
            TABLE.disown(self.token)

    def _check(self, allow_remote: bool) -> None:
        status = os.fstat(self.fd)
        mode = status.st_mode
        if mode & 0o002:
            raise UnsafeDirectory("others can write to the directory", "DIR-4", 0)
        if not self.group:
            if mode & 0o020:
                raise UnsafeDirectory("the directory's group can write to it", "DIR-4", 0)
            if status.st_uid not in (os.geteuid(), 0):
                raise UnsafeDirectory("the directory belongs to another user", "DIR-4", 0)
        if not allow_remote:
            remote = fstype.remote(self.fd)
            if remote is not None:
                raise UnsafeDirectory("the directory is on %s, where locks or caches cannot be relied on" % remote,
                                      "DIR-5", 0)

    # --- entries

    def lstat(self, name: str) -> Optional[os.stat_result]:
        """None where there is no such entry."""
        try:
            return call(os.stat, name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def open(self, name: str, flags: int) -> int:
        """Opens an entry; one that is made has the store's mode, whatever the umask (DIR-6)."""
        descriptor = call(os.open, name, flags, self.file_mode, dir_fd=self.fd)
        if flags & os.O_EXCL:
            try:
                self.set_mode(descriptor, self.file_mode)
            except OSError:
                close(descriptor)
                raise
        return descriptor

    def set_mode(self, descriptor: int, mode: int) -> None:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
            call(os.fchmod, descriptor, mode)

    def list(self, name: str = ".") -> List[Listed]:
        """The entries; of a descriptor of its own, as two listings of one descriptor share their place."""
        descriptor = call(os.open, name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=self.fd)
        found: List[Listed] = []
        try:
            with call(os.scandir, descriptor) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        kind = "other"
                    elif entry.is_dir(follow_symlinks=False):
                        kind = "directory"
                    else:
                        kind = "regular" if entry.is_file(follow_symlinks=False) else "other"
                    found.append(Listed(entry.name, kind))
        finally:
            close(descriptor)
        return found

    def make_directory(self, name: str) -> None:
        """Makes a directory, if it is not there, with the store's mode."""
        try:
            call(os.mkdir, name, self.directory_mode, dir_fd=self.fd)
        except FileExistsError:
            return
        descriptor = call(os.open, name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=self.fd)
        try:
            self.set_mode(descriptor, self.directory_mode)
        finally:
            close(descriptor)

    def unlink(self, name: str) -> bool:
        """Whether it was there."""
        try:
            call(os.unlink, name, dir_fd=self.fd)
        except FileNotFoundError:
            return False
        return True

    def unlink_regular(self, name: str) -> bool:
        """Unlinks a regular file; leaves what is foreign alone (NAME-10)."""
        status = self.lstat(name)
        return status is not None and stat.S_ISREG(status.st_mode) and self.unlink(name)

    def rename(self, old: str, new: str) -> None:
        call(os.rename, old, new, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def sync_file(self, descriptor: int) -> None:
        sync(descriptor)

    def sync(self) -> None:
        """Syncs the directory: what has been renamed and unlinked in it."""
        sync_directory(self.fd)

    def sync_below(self, name: str) -> None:
        descriptor = call(os.open, name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=self.fd)
        try:
            sync_directory(descriptor)
        finally:
            close(descriptor)

    # --- lock files

    def lock_status(self, file_name: str) -> Optional[os.stat_result]:
        """Of a lock file's path, for LOCK-6. None where it is gone."""
        return self.lstat("%s/%s" % (LOCK_DIRECTORY, file_name))

    def open_lock(self, file_name: str, make: bool, write: bool, missing: bool) -> int:
        """LOCK-5: O_CREAT, without O_EXCL and O_TRUNC. ``missing``: it was not there a moment ago."""
        path = "%s/%s" % (LOCK_DIRECTORY, file_name)
        flags = (WRITE if write else READ) | (os.O_CREAT if make else 0)
        descriptor = call(os.open, path, flags, self.file_mode, dir_fd=self.fd)
        if make and missing:
            # A umask may have taken bits away. Another process's file is not ours to change.
            try:
                status = os.fstat(descriptor)
                if status.st_uid == os.geteuid() and stat.S_ISREG(status.st_mode):
                    self.set_mode(descriptor, self.file_mode)
            except OSError:
                close(descriptor)
                raise
        return descriptor

    # --- the marker

    def read_marker(self) -> Optional[marker.Marker]:
        """None where there is no marker. Raises NotAStore, Unsupported or Io."""
        failure: Optional[OSError] = None
        try:
            status = self.lstat(MARKER)
            if status is None or not stat.S_ISREG(status.st_mode):
                return None
            descriptor = self.open(MARKER, READ)
            try:
                data = call(os.pread, descriptor, marker.READ_LENGTH, 0)
            finally:
                close(descriptor)
        except OSError as error:
            failure = error
        if failure is not None:
            raise from_os(failure, "read of the marker")
        return marker.parse(data)

    def write_marker(self, value: marker.Marker) -> None:
        """Steps of DIR-2 and MARK-6 under the 64 locks."""
        self.unlink_regular(MARKER_TEMP)
        descriptor = self.open(MARKER_TEMP, NEW)
        try:
            write_whole(descriptor, value.encode())
            sync(descriptor)
        finally:
            close(descriptor)
        self.rename(MARKER_TEMP, MARKER)
        self.sync()

    def check_lock_directory(self) -> None:
        """DIR-9."""
        status = self._status_of_lock(LOCK_DIRECTORY)
        if status is None or not stat.S_ISDIR(status.st_mode):
            raise NotAStore("there is no lock directory", "DIR-9", 0)

    def check_case(self) -> None:
        """DIR-7."""
        if self._status_of_lock(LOCK_DIRECTORY + "/0A") is not None:
            raise UnsafeDirectory("the directory folds case, so that two IDs share one name", "DIR-7", 0)

    def _status_of_lock(self, name: str) -> Optional[os.stat_result]:
        failure: Optional[OSError] = None
        try:
            return self.lstat(name)
        except OSError as error:
            failure = error
        raise Io("stat of the lock directory: %s" % failure.strerror, errno=failure.errno)


class ShortWrite(Exception):
    """A write that ended early: how many bytes were written, and why."""

    def __init__(self, written: int, error: OSError) -> None:
        super().__init__("%d bytes were written" % written)
        self.written = written
        self.error = error


def write_all(descriptor: int, data: bytes, offset: int) -> None:
    """One pwrite, going on where a short write ended (WRITE-3). Raises ShortWrite."""
    done = 0
    view = memoryview(data)
    failure: Optional[OSError] = None
    while done < len(data):
        try:
            count = call(os.pwrite, descriptor, view[done:], offset + done)
        except OSError as error:
            failure = error
            break
        done += count
    if failure is not None:
        raise ShortWrite(done, failure)


def write_whole(descriptor: int, data: bytes) -> None:
    """The same from the file's first byte, for what nobody sees before it is whole. Raises OSError."""
    failure: Optional[OSError] = None
    try:
        write_all(descriptor, data, 0)
    except ShortWrite as short:
        failure = short.error
    if failure is not None:
        raise failure


def read_all(descriptor: int, size: int) -> bytes:
    """The file's first ``size`` bytes; fewer where it is shorter."""
    parts: List[bytes] = []
    at = 0
    while at < size:
        part = call(os.pread, descriptor, size - at, at)
        if not part:
            break
        parts.append(part)
        at += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
