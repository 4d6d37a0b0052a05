"""The directory of a store: SPEC.md section 5. The only calls to the file system, all relative to one descriptor."""

from __future__ import annotations

import errno
import fcntl
import os
import stat as modes
import sys
from typing import Iterator, List, Optional, Tuple

from . import locks, marker, names
from .errors import Corrupt, IoError, NotAStore, UnsafeDirectory, of_system
from .marker import Marker

#: Network, cluster and user-space file systems (DIR-5), as /proc/self/mountinfo names them.
_REMOTE = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "afs", "ceph", "lustre", "gfs2", "ocfs2", "coda", "fuseblk")
)
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_WRITE = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def sync(fd: int, data_only: bool = True) -> None:
    """Waits until a file or a directory is on stable storage (F3)."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    elif data_only:
        os.fdatasync(fd)
    else:
        os.fsync(fd)


class Directory:
    """An open directory, checked as DIR-4 and DIR-5 say."""

    def __init__(self, path: "os.PathLike[str] | str", group: bool, allow_remote: bool) -> None:
        self.path = os.fspath(path)
        self.group = group
        try:
            self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotAStore(f"{self.path}: {error.strerror}; `sessiondir init` makes a store") from error
        except OSError as error:
            raise of_system(f"open {self.path}", error) from error
        try:
            self._refuse_unsafe(allow_remote)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @property
    def file_mode(self) -> int:
        """DIR-6."""
        return 0o660 if self.group else 0o600

    @property
    def dir_mode(self) -> int:
        return 0o2770 if self.group else 0o700

    def _refuse_unsafe(self, allow_remote: bool) -> None:
        stat = os.fstat(self.fd)
        bits = modes.S_IMODE(stat.st_mode)
        if bits & 0o002 or (bits & 0o020 and not self.group):
            raise UnsafeDirectory(f"{self.path}: others can write to it; `chmod 700` it", rule="DIR-4")
        if not self.group and stat.st_uid not in (0, os.geteuid()):
            raise UnsafeDirectory(f"{self.path}: it belongs to user {stat.st_uid}", rule="DIR-4")
        if not allow_remote:
            kind = _file_system(stat.st_dev)
            if kind in _REMOTE or kind.startswith("fuse"):
                raise UnsafeDirectory(f"{self.path}: it is on {kind}, where locks may not lock", rule="DIR-5")

    def marker(self) -> Marker:
        """The marker, and whether this is a store that can be used (section 10.1)."""
        try:
            fd = os.open(names.MARKER, _READ, dir_fd=self.fd)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EISDIR):
                text = f"{self.path}: no store, as it has no marker; `sessiondir init` makes one"
                raise NotAStore(text, rule="DIR-1", offset=0) from error
            raise of_system("read the marker", error) from error
        try:
            if not modes.S_ISREG(os.fstat(fd).st_mode):
                raise NotAStore(f"{self.path}: the marker is no file", rule="DIR-1", offset=0)
            found = marker.parse(os.read(fd, marker.MARKER_MAX + 1))
        finally:
            os.close(fd)
        if self.kind_of(names.LOCK_DIRECTORY) != "directory":
            raise NotAStore(f"{self.path}: .lock is missing, or no directory", rule="DIR-9", offset=0)
        if found.naming == "plain" and self._folds_case():
            raise UnsafeDirectory(f"{self.path}: it does not tell capitals from small letters", rule="DIR-7")
        return found

    def _folds_case(self) -> bool:
        small, capital = (self._identity(f".lock/{name}") for name in ("0a", "0A"))
        return capital is not None and small == capital

    def _identity(self, name: str) -> Optional[Tuple[int, int]]:
        try:
            stat = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except OSError:
            return None
        return stat.st_dev, stat.st_ino

    def kind_of(self, name: "str | bytes") -> Optional[str]:
        """``regular``, ``directory`` or ``other``; ``None`` if it is not there."""
        try:
            mode = os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return None
        except OSError as error:
            raise of_system("look at an entry of the store", error) from error
        return "regular" if modes.S_ISREG(mode) else "directory" if modes.S_ISDIR(mode) else "other"

    def entries(self, within: str = ".") -> Iterator[Tuple[bytes, str]]:
        """Each entry's name and type, streaming."""
        try:
            fd = os.open(within, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=self.fd)
        except OSError as error:
            raise of_system("list the store", error) from error
        try:
            with os.scandir(fd) as listed:
                for entry in listed:
                    regular, directory = entry.is_file(follow_symlinks=False), entry.is_dir(follow_symlinks=False)
                    kind = "regular" if regular else "directory" if directory else "other"
                    yield os.fsencode(entry.name), kind
        finally:
            os.close(fd)

    def open_session(self, name: str, to_write: bool, shown: str) -> Optional[int]:
        """A descriptor of a session's file (READ-1, READ-2); ``None`` if it is not there."""
        try:
            fd = os.open(name, _WRITE if to_write else _READ, dir_fd=self.fd)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
                raise _not_regular(shown) from error
            raise of_system("open the file", error, shown) from error
        if not modes.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise _not_regular(shown)
        return fd

    def make(self, name: str) -> int:
        """A new file, with its mode whatever the umask (DIR-6)."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=self.fd)
        os.fchmod(fd, self.file_mode)
        return fd

    def unlink_session(self, name: str, shown: str) -> bool:
        """Unlinks a session's file whatever it holds (DEL-1), and says whether it was there."""
        kind = self.kind_of(name)
        if kind is None:
            return False
        if kind != "regular":
            raise _not_regular(shown)
        try:
            os.unlink(name, dir_fd=self.fd)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise of_system("unlink the file", error, shown) from error
        return True

    def unlink_temp(self, name: str, shown: str) -> bool:
        """Unlinks debris, if it is a file."""
        return self.kind_of(name) == "regular" and self.unlink_session(name, shown)

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def sync(self) -> None:
        sync(self.fd, data_only=False)


def _not_regular(shown: str) -> Corrupt:
    return Corrupt(f"{shown}: something that is no regular file has the session's name", rule="NAME-11", offset=0)


def _file_system(device: int) -> str:
    """The type of the file system of a device; empty if the system does not tell."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            for line in mounts:
                fields = line.split(" ")
                if fields[2] == wanted and "-" in fields:
                    return fields[fields.index("-") + 1]
    except OSError:
        pass
    return ""


def init(path: "os.PathLike[str] | str", naming: str, durability: str, group: bool, allow_remote: bool, timeout: float) -> None:
    """Makes a store (DIR-2, DIR-3): of several that make one at the same time one does, and the others find it."""
    text = marker.text(naming, durability)
    made = _make_directory(os.fspath(path), group)
    directory = Directory(path, group, allow_remote)
    try:
        if directory.kind_of(names.MARKER) is not None:
            return
        _refuse_occupied(directory)
        _make_lock_directory(directory)
        # Taking the locks makes their files.
        with locks.hold(directory.fd, range(names.LOCK_FILES), directory.file_mode, timeout):
            if directory.kind_of(names.MARKER) is not None:
                return
            _refuse_occupied(directory)
            if naming == "plain" and directory._folds_case():
                raise UnsafeDirectory(f"{directory.path}: it does not tell capitals from small letters", rule="DIR-7")
            _put_marker(directory, text)
            if made:
                parent = os.open(os.path.dirname(os.path.abspath(directory.path)), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    sync(parent, data_only=False)
                finally:
                    os.close(parent)
    except OSError as error:
        raise of_system(f"make a store of {directory.path}", error) from error
    finally:
        directory.close()


def _make_directory(path: str, group: bool) -> bool:
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return False
    except OSError as error:
        raise of_system(f"make {path}", error) from error
    os.chmod(path, 0o2770 if group else 0o700)
    return True


def _refuse_occupied(directory: Directory) -> None:
    """DIR-3."""
    allowed = {os.fsencode(f"{index:02x}") for index in range(names.LOCK_FILES)}
    wrong: List[bytes] = []
    for name, kind in directory.entries():
        if name == b".lock" and kind == "directory":
            for lock, lock_kind in directory.entries(names.LOCK_DIRECTORY):
                size = os.stat(b".lock/" + lock, dir_fd=directory.fd, follow_symlinks=False).st_size
                if lock not in allowed or lock_kind != "regular" or size:
                    wrong.append(b".lock/" + lock)
        elif not (name == b".sessiondir.tmp" and kind == "regular"):
            # Another maker may have come first: that is for the caller to see under the locks.
            if name != b".sessiondir":
                wrong.append(name)
    if wrong:
        raise IoError(f"{directory.path}: a store is made of an empty directory only; this one has {len(wrong)} entries")


def _make_lock_directory(directory: Directory) -> None:
    try:
        os.mkdir(names.LOCK_DIRECTORY, 0o700, dir_fd=directory.fd)
    except FileExistsError:
        pass
    fd = os.open(names.LOCK_DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=directory.fd)
    try:
        os.fchmod(fd, directory.dir_mode)
    finally:
        os.close(fd)


def _put_marker(directory: Directory, text: bytes) -> None:
    fd = os.open(names.LOCK_DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=directory.fd)
    try:
        sync(fd, data_only=False)
    finally:
        os.close(fd)
    directory.unlink_temp(names.MARKER_TEMP, "the marker")
    fd = directory.make(names.MARKER_TEMP)
    try:
        if os.write(fd, text) != len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(fd)
    finally:
        os.close(fd)
    directory.rename(names.MARKER_TEMP, names.MARKER)
    directory.sync()


