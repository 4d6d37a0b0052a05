"""fcntl record locks, owned by the process (SPEC section 9).

A session's lock is the byte *K* of its lock file. One table for the whole process holds, by device and inode, each
lock file's descriptor and mutex (LOCK-7, LOCK-8): two stores on one directory share them, and no descriptor is
closed while a thread holds or awaits a lock of that file. Waiting is repeated non-blocking attempts, 0.25 ms apart at
first and 1.5 ms at most, with jitter (LOCK-9), and a lock file that this process has had for long it leaves free to
others for a moment (after LOCK-10). A child of fork starts with free mutexes and holds nothing (LOCK-12).
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import stat
import threading
import time
from collections import deque
from typing import Deque, Dict, List, Optional, Protocol, Sequence, Set, Tuple

from .errors import Busy, Error, Io, NotAStore
from .names import LOCK_FILES, Place

_FIRST_DELAY = 0.00025
_LAST_DELAY = 0.001
# For how long a lock file is left free, where it was free for less than that in as long as the second says.
_BREAK = 0.002
_BREAK_DUE = 0.1
_RESTARTS = 1000
Range = Tuple[int, int]
WHOLE: Range = (0, 0)


class Files(Protocol):
    """What a store's directory gives to the table."""

    token: int

    def lock_status(self, file_name: str) -> Optional[os.stat_result]: ...

    def open_lock(self, file_name: str, make: bool, write: bool, missing: bool) -> int: ...


class _LockFile:
    __slots__ = ("key", "mutex", "fd", "writable", "spare", "users", "owners", "released", "free", "last_break")

    def __init__(self, key: Tuple[int, int], fd: int, writable: bool) -> None:
        self.key = key
        self.mutex = threading.Lock()
        self.fd = fd
        self.writable = writable
        self.spare: List[int] = []
        self.users = 0
        self.owners: Set[int] = set()
        # When it was released last, for how long it has been free since the last break, and when that was.
        self.released = self.last_break = time.monotonic()
        self.free = 0.0

    def others_had_it(self) -> None:
        self.last_break, self.free = time.monotonic(), 0.0

    def leave_free(self, since: float, deadline: float) -> None:
        """To call with the mutex, which has been wanted since then: leaves a lock that this process has had for long
        to others, for a moment."""
        since = max(since, self.released)
        self.free += since - self.released
        # Who does not wait at all is not asked to.
        due = self.free < _BREAK and since < deadline and since - self.last_break >= _BREAK_DUE
        if due or self.free >= _BREAK:
            self.last_break, self.free = since, 0.0
        if due:
            time.sleep(max(0.0, min(_BREAK, deadline - time.monotonic())))


class _NoLockFile(Exception):
    """A reader found no lock file, or may not open it: it goes on without (READ-6)."""


class Held:
    """Locks that are held. They belong to the process that took them, whatever is forked later (LOCK-12)."""

    def __init__(self, table: LockTable) -> None:
        self._table = table
        self._parts: List[Tuple[_LockFile, List[Range]]] = []
        self._pid = os.getpid()

    def check(self) -> None:
        """Raises Io in a child of the process that took the lock (LOCK-12)."""
        if os.getpid() != self._pid:
            raise Io("the lock belongs to the parent process", "LOCK-12")

    def release(self) -> None:
        parts, self._parts = self._parts, []
        if os.getpid() != self._pid:
            return
        for entry, ranges in reversed(parts):
            _unlock(entry, ranges)
            entry.released = time.monotonic()
            entry.mutex.release()
            self._table._leave(entry)

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class LockTable:
    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._files: Dict[Tuple[int, int], _LockFile] = {}
        self._pid = os.getpid()
        # Which file each store's path led to last: one that a cleaner has unlinked is let go (LOCK-6).
        self._last: Dict[Tuple[int, str], _LockFile] = {}
        # Filled by finalizers, which may run anywhere and so may not take the guard.
        self._dead: Deque[int] = deque()

    def after_fork(self) -> None:
        """In a child: other threads' mutexes would stay locked for ever, and the parent's locks are not ours."""
        self._guard = threading.Lock()
        for entry in self._files.values():
            entry.mutex = threading.Lock()
            entry.users = 0
        self._pid = os.getpid()

    def disown(self, token: int) -> None:
        """A store is closed; its lock files can be, at the next occasion."""
        self._dead.append(token)

    def reap(self) -> None:
        with self._guard:
            self._reap()

    def _reap(self) -> None:
        while self._dead:
            token = self._dead.popleft()
            for seen in [seen for seen in self._last if seen[0] == token]:
                del self._last[seen]
            for entry in list(self._files.values()):
                entry.owners.discard(token)
                self._drop_if_unused(entry)

    def _drop_if_unused(self, entry: _LockFile) -> None:
        # LOCK-8: nobody holds or awaits a lock of this file now, and the guard keeps it so.
        if entry.users == 0 and not entry.owners and self._files.get(entry.key) is entry:
            del self._files[entry.key]
            for fd in [entry.fd] + entry.spare:
                os.close(fd)

    # --- acquiring

    def acquire(self, files: Files, places: Sequence[Place], timeout: float) -> Held:
        """Exclusive locks of sessions, in ascending order, each once (LOCK-11). Raises Busy, Io or NotAStore."""
        groups: Dict[int, Set[Range]] = {}
        for place in places:
            groups.setdefault(place.file, set()).add((place.byte, 1))
        return self._acquire_all(files, sorted((file, sorted(ranges)) for file, ranges in groups.items()), timeout)

    def acquire_store(self, files: Files, timeout: float) -> Held:
        """All 64 locks over their whole length (DIR-2, MARK-6)."""
        return self._acquire_all(files, [(file, [WHOLE]) for file in range(len(LOCK_FILES))], timeout)

    def make_files(self, files: Files) -> None:
        """Makes the 64 lock files that are not there. Their descriptors stay in the table (LOCK-8)."""
        for name in LOCK_FILES:
            self._leave(self._enter(files, name, False))

    def acquire_shared(self, files: Files, place: Place, timeout: float) -> Optional[Held]:
        """A reader's lock (READ-6); None where there is no lock file or it may not be opened."""
        try:
            return self._acquire_all(files, [(place.file, [(place.byte, 1)])], timeout, shared=True)
        except (_NoLockFile, NotAStore):
            return None

    def _acquire_all(self, files: Files, wanted: Sequence[Tuple[int, List[Range]]], timeout: float,
                     shared: bool = False) -> Held:
        if os.getpid() != self._pid:
            self.after_fork()
        deadline = time.monotonic() + timeout
        held = Held(self)
        try:
            for file, ranges in wanted:
                held._parts.append((self._acquire(files, LOCK_FILES[file], ranges, deadline, shared), ranges))
        except BaseException:
            held.release()
            raise
        return held

    def _acquire(self, files: Files, name: str, ranges: List[Range], deadline: float, shared: bool) -> _LockFile:
        for _ in range(_RESTARTS):
            entry = self._enter(files, name, shared)
            done = False
            since = time.monotonic()
            try:
                if not entry.mutex.acquire(timeout=max(0.0, min(deadline - time.monotonic(), 1e6))):
                    raise _busy(name)
                try:
                    entry.leave_free(since, deadline)
                    for start, length in ranges:
                        if _poll(entry.fd, start, length, shared, deadline, name):
                            entry.others_had_it()
                    status = _status(files, name)
                    # LOCK-6: the path may lead to another file by now.
                    done = status is not None and (status.st_dev, status.st_ino) == entry.key
                finally:
                    if not done:
                        _unlock(entry, ranges)
                        entry.mutex.release()
            finally:
                if not done:
                    self._leave(entry)
            if done:
                return entry
        raise _busy(name)

    def _enter(self, files: Files, name: str, shared: bool) -> _LockFile:
        """The entry of the file that the path leads to now, marked as in use."""
        with self._guard:
            self._reap()
            status = _status(files, name)
            entry = None if status is None else self._files.get((status.st_dev, status.st_ino))
            if entry is None or not (shared or entry.writable):
                entry = self._open(files, name, status is None, shared)
            entry.users += 1
            entry.owners.add(files.token)
            seen = (files.token, name)
            before = self._last.get(seen)
            if before is not entry:
                self._last[seen] = entry
                if before is not None:
                    before.owners.discard(files.token)
                    self._drop_if_unused(before)
            return entry

    def _open(self, files: Files, name: str, missing: bool, shared: bool) -> _LockFile:
        if missing and shared:
            raise _NoLockFile()
        failure: Optional[OSError] = None
        fd, writable = -1, True
        try:
            fd = files.open_lock(name, not shared, True, missing)
        except OSError as error:
            failure = error
        if failure is not None and shared and failure.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            writable, failure = False, None
            try:
                fd = files.open_lock(name, False, False, False)
            except OSError as error:
                failure = error
        if failure is not None:
            if shared and failure.errno in (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS):
                raise _NoLockFile()
            raise _open_error(failure, name)
        status = os.fstat(fd)
        key = (status.st_dev, status.st_ino)
        entry = self._files.get(key)
        if entry is not None:
            # Closing this descriptor would drop the process's locks of the file (LOCK-8).
            entry.spare.append(fd)
            if writable and not entry.writable:
                entry.spare[-1], entry.fd, entry.writable = entry.fd, fd, True
            return entry
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise Io("the lock file %s is no regular file" % name, "LOCK-13")
        entry = self._files[key] = _LockFile(key, fd, writable)
        return entry

    def _leave(self, entry: _LockFile) -> None:
        with self._guard:
            entry.users -= 1
            self._drop_if_unused(entry)


def _status(files: Files, name: str) -> Optional[os.stat_result]:
    failure: Optional[OSError] = None
    try:
        return files.lock_status(name)
    except OSError as error:
        failure = error
    if failure.errno == errno.ENOTDIR:
        raise NotAStore("there is no lock directory", "DIR-9", 0)
    raise Io("stat of the lock file %s: %s" % (name, failure.strerror), "LOCK-13", errno=failure.errno)


def _busy(name: str) -> Busy:
    return Busy("the lock in %s was not free in time" % name, "LOCK-10")


def _open_error(error: OSError, name: str) -> Error:
    """LOCK-13, the rows of the open."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return NotAStore("there is no lock directory", "DIR-9", 0)
    message = "open of the lock file %s: %s" % (name, error.strerror)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        message += "; it has to be readable and writable (mode 0600) for the user %d" % os.geteuid()
    return Io(message, "LOCK-13", errno=error.errno)


def _poll(fd: int, start: int, length: int, shared: bool, deadline: float, name: str) -> bool:
    """Takes the lock, and says whether it had to be waited for."""
    kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
    waited = False
    delay = _FIRST_DELAY
    while True:
        failure: Optional[OSError] = None
        try:
            fcntl.lockf(fd, kind, length, start, os.SEEK_SET)
            return waited
        except OSError as error:
            failure = error
        if failure.errno == errno.EINTR:
            continue
        if failure.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            raise Io("fcntl of the lock file %s: %s" % (name, failure.strerror), "LOCK-13", errno=failure.errno)
        left = deadline - time.monotonic()
        if left <= 0:
            raise _busy(name)
        waited = True
        time.sleep(min(left, delay * (0.5 + random.random())))
        delay = min(delay * 2, _LAST_DELAY)


def _unlock(entry: _LockFile, ranges: Sequence[Range]) -> None:
    for start, length in ranges:
        try:
            fcntl.lockf(entry.fd, fcntl.LOCK_UN, length, start, os.SEEK_SET)
        except OSError:
            pass


TABLE = LockTable()
os.register_at_fork(after_in_child=TABLE.after_fork)
