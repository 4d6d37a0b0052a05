"""Locks: SPEC.md section 9. One fcntl lock over a whole lock file, and one table of them for the process.

The locks belong to the process. So threads exclude each other by a mutex that is taken before the lock (LOCK-7); a
descriptor of a lock file is closed only when no thread holds or awaits that lock, since closing any descriptor of a file
drops the process's locks on it (LOCK-8); and after ``os.fork`` the child starts with an empty table, as it has inherited
no lock (LOCK-12).
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import threading
import time
from contextlib import contextmanager
from typing import Dict, Iterable, Iterator, List, Optional, Tuple

from .errors import Busy, IoError, NotAStore, Reentrant, of_system
from .names import LOCK_DIRECTORY

_HELD = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
#: How long to sleep between two attempts at first and at most, in seconds.
_FIRST, _MOST = 0.0002, 0.02


class _LockFile:
    """A lock file that some thread holds or awaits."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.mutex = threading.Lock()
        self.users = 0


class _Table:
    """The lock files of the process by device and inode: stores on one directory share them."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.files: Dict[Tuple[int, int], _LockFile] = {}
        self.pid = os.getpid()
        #: Whether this thread is within the function of an update.
        self.local = threading.local()


_table = _Table()


def _forget_parent() -> None:
    """In the child of a fork: nothing is held, and no mutex of a thread that is not here any more counts."""
    global _table
    inherited, _table = _table, _Table()
    for file in inherited.files.values():
        try:
            os.close(file.fd)
        except OSError:
            pass


os.register_at_fork(after_in_child=_forget_parent)


def enter() -> None:
    """Refuses a call into a store from within an update's function: it would wait for itself, or break LOCK-11."""
    if getattr(_table.local, "within", False):
        raise Reentrant("a store was called from within an update's function; call it outside")


@contextmanager
def within() -> Iterator[None]:
    """While a user's function runs under a lock."""
    table = _table
    table.local.within = True
    try:
        yield
    finally:
        table.local.within = False


def _open(dir_fd: int, index: int, mode: int) -> Tuple[Tuple[int, int], int]:
    path = f"{LOCK_DIRECTORY}/{index:02x}"
    # No O_EXCL and no O_TRUNC (LOCK-5); an exclusive lock needs a descriptor that can write.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    try:
        fd = os.open(path, flags, mode, dir_fd=dir_fd)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise NotAStore(".lock is gone", rule="DIR-9", offset=0) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise IoError(f"open {path}: {error.strerror}; it has to belong to this user and have mode 0600") from error
        raise of_system(f"open {path}", error) from error
    stat = os.fstat(fd)
    return (stat.st_dev, stat.st_ino), fd


def _borrow(dir_fd: int, index: int, mode: int) -> Tuple[Tuple[int, int], _LockFile]:
    """The lock file that the path leads to now, counted as in use."""
    with _table.guard:
        try:
            stat = os.stat(f"{LOCK_DIRECTORY}/{index:02x}", dir_fd=dir_fd, follow_symlinks=False)
            identity: Optional[Tuple[int, int]] = (stat.st_dev, stat.st_ino)
        except OSError:
            identity = None
        if identity is None or identity not in _table.files:
            # A descriptor of a file that is in the table must not be opened: it could not be closed again.
            was_missing = identity is None
            identity, fd = _open(dir_fd, index, mode)
            if was_missing:
                # It was made just now: the umask must not matter (DIR-6).
                os.fchmod(fd, mode)
            if identity in _table.files:
                # The path was replaced in between, by a file that is locked under another name: leave it open.
                return identity, _count(_table.files[identity])
            _table.files[identity] = _LockFile(fd)
        return identity, _count(_table.files[identity])


def _count(file: _LockFile) -> _LockFile:
    file.users += 1
    return file


def _give_back(table: _Table, identity: Tuple[int, int], file: _LockFile) -> None:
    with table.guard:
        file.users -= 1
        if file.users == 0 and table.files.get(identity) is file:
            del table.files[identity]
            os.close(file.fd)


def _attempt(fd: int) -> bool:
    """One attempt, that does not wait (LOCK-9, LOCK-13)."""
    while True:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno == errno.EINTR:
                continue
            if error.errno in _HELD:
                return False
            raise of_system("lock a file of .lock", error) from error


def _is_the_path(dir_fd: int, index: int, identity: Tuple[int, int]) -> bool:
    """LOCK-6."""
    try:
        stat = os.stat(f"{LOCK_DIRECTORY}/{index:02x}", dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise of_system("look at a lock file", error) from error
    return (stat.st_dev, stat.st_ino) == identity


class _Held:
    """A lock that this thread of this process holds."""

    def __init__(self, table: _Table, identity: Tuple[int, int], file: _LockFile) -> None:
        self.table, self.identity, self.file = table, identity, file

    def release(self) -> None:
        # In the child of a fork it is the parent's.
        if os.getpid() != self.table.pid:
            return
        try:
            fcntl.lockf(self.file.fd, fcntl.LOCK_UN)
        finally:
            self.file.mutex.release()
            _give_back(self.table, self.identity, self.file)


def _acquire(dir_fd: int, index: int, mode: int, deadline: float) -> _Held:
    pause = _FIRST
    while True:
        table = _table
        identity, file = _borrow(dir_fd, index, mode)
        if not file.mutex.acquire(timeout=max(0.0, deadline - time.monotonic())):
            _give_back(table, identity, file)
            raise Busy(f"the lock .lock/{index:02x} was not free in time; try again later")
        held = _Held(table, identity, file)
        try:
            locked = _attempt(file.fd)
            while not locked and time.monotonic() < deadline:
                left = deadline - time.monotonic()
                time.sleep(max(0.0, min(left, pause * random.uniform(0.5, 1.5))))
                pause = min(_MOST, pause * 2)
                locked = _attempt(file.fd)
            if locked and _is_the_path(dir_fd, index, identity):
                return held
        except BaseException:
            held.release()
            raise
        held.release()
        if not locked:
            raise Busy(f"the lock .lock/{index:02x} was not free in time; try again later")


@contextmanager
def hold(dir_fd: int, indexes: Iterable[int], mode: int, timeout: float) -> Iterator[None]:
    """Holds the locks of these numbers, taken in ascending order and each once (LOCK-11); raises :class:`Busy` after
    ``timeout`` seconds (LOCK-10)."""
    deadline = time.monotonic() + timeout
    held: List[_Held] = []
    try:
        for index in sorted(set(indexes)):
            held.append(_acquire(dir_fd, index, mode, deadline))
        yield
    finally:
        errors: List[OSError] = []
        for lock in reversed(held):
            try:
                lock.release()
            except OSError as error:
                errors.append(error)
        if errors:
            raise of_system("release a lock", errors[0]) from errors[0]



