"""The store: a directory of sessions."""

from __future__ import annotations

import logging
import os
import stat
import time
from typing import Any, Callable, Iterator, List, Optional, Tuple, Union

from . import sweep as sweeping
from .body import MAX_TIME, Body, stored
from .directory import Directory
from .errors import (Conflict, Corrupt, Error, Gone, InvalidValue, Io, NotAStore, OutcomeUnknown, TooLarge,
                     Unsupported, from_os)
from .locks import TABLE, Held
from .making import make_store
from .marker import POWER, Marker
from .names import PLAIN, TEMP_PREFIX, Key, Located, check_id, classify, locate, locate_name, new_id
from .reading import Current, read, read_for_change
from .record import MAX_NUMBER, build
from .reentry import calling_back, guard
from .session import Content, Session, content_of, encode_body
from .writing import Memory, Writer

_LOG = logging.getLogger("sessiondir")
DAY = 86_400_000
Name = Union[str, Key]
Path = Union[str, "os.PathLike[str]"]


def system_clock() -> int:
    return time.time_ns() // 1_000_000


def later(stored: int, now: int) -> int:
    """`accessed` of the next record (TIME-2)."""
    return now if stored > now + DAY else max(stored, now)


class DirectoryStore:
    """Sessions in a directory, shared with other processes and other languages.

    One store may be used by any number of threads, and before and after os.fork. From asyncio call the methods through
    ``asyncio.to_thread``. Every failure is a subclass of `sessiondir.Error`.
    """

    is_multiprocess_safe = True
    is_thread_safe = True

    def __init__(self, directory: Path, *, create: bool = False, naming: str = PLAIN, durability: str = POWER,
                 lock_timeout: float = 5.0, resolution: float = 60.0, clock: Optional[Callable[[], int]] = None,
                 group: bool = False, allow_remote: bool = False) -> None:
        """Opens a store; with ``create`` makes it where there is none, of this naming and durability.

        ``lock_timeout`` in seconds is how long to wait for a lock (LOCK-10). ``resolution`` in seconds is by how much
        an access has to be later before `touch` writes it (WRITE-17). ``clock`` gives Unix milliseconds. ``group``
        asks for group sharing (DIR-4, DIR-6). ``allow_remote`` insists on a network file system (DIR-5).

        Raises NotAStore, Unsupported, UnsafeDirectory, Busy or Io.
        """
        if lock_timeout < 0 or resolution < 0:
            raise ValueError("lock_timeout and resolution are 0 or more seconds")
        self._path = os.fspath(directory)
        self._lock_timeout = lock_timeout
        self._resolution = resolution * 1000
        self._clock = clock or system_clock
        self._group = group
        self._allow_remote = allow_remote
        self._making = (naming, durability)
        self._memory = Memory()
        self._opened: Optional[Tuple[Directory, Marker]] = None
        if create:
            self._make()
        self._opened = self._open()

    def _make(self) -> None:
        make_store(self._path, *self._making, lock_timeout=self._lock_timeout, group=self._group,
                   allow_remote=self._allow_remote)

    def _open(self) -> Tuple[Directory, Marker]:
        """Section 10.1."""
        directory = Directory(self._path, self._group, self._allow_remote)
        marker = directory.read_marker()
        if marker is None:
            raise NotAStore("the directory has no marker", "DIR-1", 0)
        directory.check_lock_directory()
        if marker.naming == PLAIN:
            directory.check_case()
        return directory, marker

    # --- the store itself

    def setup(self) -> None:
        """Makes the store if it has gone, and opens it again. Safe to call at any time, and from several processes."""
        guard()
        self._make()
        self._opened = self._open()

    def close(self) -> None:
        """Closes the store; a later call raises Io. Calls of other threads that are under way come to their end."""
        self._opened = None
        TABLE.reap()

    def __enter__(self) -> DirectoryStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def naming(self) -> str:
        """``plain`` or ``hashed``."""
        return self._state()[1].naming

    @property
    def durability(self) -> str:
        """``power`` or ``process``."""
        return self._state()[1].durability

    @property
    def writable(self) -> bool:
        """False where the store's write version is newer than this implementation (MARK-3)."""
        return self._state()[1].writable

    # --- helpers

    def _state(self) -> Tuple[Directory, Marker]:
        opened = self._opened
        if opened is None:
            raise Io("the store is closed")
        return opened

    def _for_change(self) -> Tuple[Directory, Marker]:
        directory, marker = self._state()
        if not marker.writable:
            raise Unsupported("the store has write version %d; it can only be read" % marker.write, "MARK-3")
        return directory, marker

    def _now(self) -> int:
        return min(max(0, int(self._clock())), MAX_TIME)

    def _locate_session(self, session: Session, naming: str) -> Located:
        if session.rev is None or session.key is None:
            raise InvalidValue("the session has not been stored; use create")
        return locate(session.key if session.id is None else session.id, naming)

    def _lock(self, directory: Directory, *keys: Key, timeout: Optional[float] = None) -> Held:
        return TABLE.acquire(directory, [key.place for key in keys],
                             self._lock_timeout if timeout is None else timeout)

    def hold(self, id: Name, timeout: Optional[float] = None) -> Held:
        """Takes a session's lock; `release` it in the same process. Meanwhile no other thread changes the session.

        For tests and tools: a call of this thread that needs the same lock file waits in vain. Raises Busy.
        """
        guard()
        directory, marker = self._for_change()
        return self._lock(directory, locate(id, marker.naming).key, timeout=timeout)

    def _read_locked(self, directory: Directory, marker: Marker, at: Located, now: int) -> Current:
        """The current record under the lock; Gone where it is absent or expired."""
        current = read_for_change(directory, at.name, at.key, marker.naming, marker.durability)
        if current is None or current.body.expired(now):
            if current is not None:
                current.close()
            raise Gone("the session %s is absent or expired" % at.key.shown)
        return current

    def _check_base(self, current: Current, session: Session) -> None:
        """WRITE-1."""
        if current.body.created != session.created or current.body.rev != session.rev:
            raise Conflict("session %s has been saved since" % session.shown)

    def _write(self, directory: Directory, marker: Marker, at: Located, current: Current, content: Content, rev: int,
               accessed: int, touch: bool = False) -> Body:
        """Writes the next record; gives it as it would be read."""
        if rev > MAX_NUMBER:
            raise TooLarge("the session has had all the revisions that it can have", "BODY-6")
        body = encode_body(content, marker.naming, at.name, rev, current.body.created, accessed)
        result = stored(body)
        writer = Writer(directory, marker.durability, self._memory)
        writer.next(at.name, at.key.shown, current, lambda seq: build(seq, body), touch)
        return result

    # --- reading

    def load(self, id: Name) -> Optional[Session]:
        """The session, or None where it is absent or expired (READ-7). Takes no lock, and writes nothing.

        Raises InvalidId, Corrupt, Unsupported, Busy (a damaged file whose lock is held) or Io.
        """
        guard()
        directory, marker = self._state()
        return self._load(directory, marker, locate(id, marker.naming), self._now())

    def _load(self, directory: Directory, marker: Marker, at: Located, now: int) -> Optional[Session]:
        body = read(directory, at.name, at.key, marker.naming, marker.durability, self._lock_timeout)
        if body is None or body.expired(now):
            return None
        return Session._from(body, at.id)

    def has(self, id: Name) -> bool:
        """Whether the session is there and not expired. Raises like `load`."""
        return self.load(id) is not None

    def names(self) -> List[Located]:
        """The session files that are listed now, whatever they hold."""
        directory, marker = self._state()
        failure: Optional[OSError] = None
        try:
            listed = directory.list()
        except OSError as error:
            failure = error
        if failure is not None:
            raise from_os(failure, "listing the directory")
        found = []
        for entry in listed:
            if classify(entry.name, entry.kind, marker.naming) == "session":
                found.append(locate_name(entry.name, marker.naming))
        return found

    def iter_sessions(self, on_error: Optional[Callable[[Error], None]] = None) -> Iterator[Session]:
        """The sessions that are there and not expired, in no order; what comes or goes meanwhile may be missed.

        A session that cannot be loaded is left out: ``on_error`` is called with the error, or without it a warning is
        logged. In a store of naming ``hashed`` the sessions have a key and no id.
        """
        guard()
        directory, marker = self._state()
        for at in self.names():
            guard()
            try:
                session = self._load(directory, marker, at, self._now())
            except Error as error:
                if on_error is None:
                    _LOG.warning("session %s was left out: %s", at.key.shown, error)
                else:
                    on_error(error)
                continue
            if session is not None:
                yield session

    # --- writing

    def create(self, session: Session) -> str:
        """Stores a new session under an ID that it generates (NAME-4), and gives the ID.

        Raises InvalidValue, TooLarge, Busy, NoSpace, Unsupported, NotAStore, OutcomeUnknown or Io.
        """
        guard()
        while True:
            session_id = new_id()
            if self._insert(session_id, session):
                return session_id

    def insert(self, id: str, session: Session) -> None:
        """Stores a new session under a given ID: for adapters and migrators, never for an ID that a client chose.

        Raises Conflict where the name is taken, also by an expired session, and else like `create`.
        """
        guard()
        if not self._insert(check_id(id), session):
            raise Conflict("the name of session %s is taken" % Key.of(id).shown, "WRITE-11")

    def _insert(self, session_id: str, session: Session) -> bool:
        directory, marker = self._for_change()
        if session.rev is not None:
            raise InvalidValue("the session has been stored already; use save or rotate")
        content = session._content()
        at = locate(session_id, marker.naming)
        with self._lock(directory, at.key):
            now = self._now()
            created = now if session.created is None else session.created
            accessed = max(created, now) if session.accessed is None else session.accessed
            body = self._create(directory, marker, at, content, created, accessed)
        if body is None:
            return False
        session._adopt(body, session_id)
        return True

    def _create(self, directory: Directory, marker: Marker, at: Located, content: Content, created: int,
                accessed: int) -> Optional[Body]:
        """Section 10.4 under the lock; None where the name is taken (WRITE-11)."""
        for number in (created, accessed):
            if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_TIME:
                raise InvalidValue("created and accessed are times from 0 to %d ms" % MAX_TIME, "BODY-7")
        if self._is_taken(directory, marker, at):
            return None
        body = encode_body(content, marker.naming, at.name, 1, created, accessed)
        result = stored(body)
        Writer(directory, marker.durability, self._memory).create(at.name, at.key.shown, build(2, body))
        return result

    def _is_taken(self, directory: Directory, marker: Marker, at: Located) -> bool:
        status = self._lstat(directory, at)
        if status is None:
            return False
        if not stat.S_ISREG(status.st_mode):
            raise Corrupt("the name of session %s is taken by an entry that is no regular file" % at.key.shown,
                          "NAME-11", 0)
        if marker.durability == POWER:
            return True
        current = None
        try:
            current = read_for_change(directory, at.name, at.key, marker.naming, marker.durability)
        except (Corrupt, Unsupported):
            return True
        if current is not None:
            current.close()
        return current is not None

    @staticmethod
    def _lstat(directory: Directory, at: Located) -> Optional[os.stat_result]:
        failure: Optional[OSError] = None
        try:
            return directory.lstat(at.name)
        except OSError as error:
            failure = error
        raise from_os(failure, "stat of the file of session %s" % at.key.shown)

    def save(self, session: Session) -> None:
        """Stores what has changed in a loaded session, and moves its revision; nothing changed, nothing written.

        Raises Gone where it is absent or expired, Conflict where somebody has saved it since it was loaded (WRITE-1),
        and else like `create`. After an error the object is based on the same revision as before.
        """
        guard()
        directory, marker = self._for_change()
        at = self._locate_session(session, marker.naming)
        content = session._content()
        with self._lock(directory, at.key):
            now = self._now()
            with self._read_locked(directory, marker, at, now) as current:
                self._check_base(current, session)
                body = self._commit(directory, marker, at, current, session, content, now)
        session._adopt(body, at.id)

    def _commit(self, directory: Directory, marker: Marker, at: Located, current: Current, session: Session,
                content: Content, now: int) -> Body:
        """Steps 4 to 9 of section 10.3."""
        if content == session._base:
            same = current.body

            def make(seq: int) -> bytes:
                return build(seq, encode_body(content, marker.naming, at.name, same.rev, same.created, same.accessed))

            Writer(directory, marker.durability, self._memory).keep(at.name, at.key.shown, current, make)
            return same
        return self._write(directory, marker, at, current, content, current.body.rev + 1,
                           later(current.body.accessed, now))

    def update(self, id: Name, fn: Callable[[Session], Any]) -> Session:
        """Loads a session, calls ``fn`` with it, and saves it, all under its lock (WRITE-10). Gives what is stored.

        A call into a store from within ``fn`` raises Reentrant. If ``fn`` raises, nothing is written. Raises Gone,
        and else like `create`; Io in a child that was forked within ``fn``, since the lock is its parent's.
        """
        guard()
        directory, marker = self._for_change()
        at = locate(id, marker.naming)
        with self._lock(directory, at.key) as held:
            now = self._now()
            with self._read_locked(directory, marker, at, now) as current:
                session = Session._from(current.body, at.id)
                with calling_back():
                    fn(session)
                held.check()
                body = self._commit(directory, marker, at, current, session, session._content(), now)
        session._adopt(body, at.id)
        return session

    def touch(self, id: Name) -> bool:
        """Notes an access. True where it was written, False where the last one was less than the resolution ago.

        The resolution is at most a tenth of the session's ``idle`` (WRITE-17). Raises Gone, and else like `create`.
        """
        guard()
        directory, marker = self._for_change()
        at = locate(id, marker.naming)
        body = read(directory, at.name, at.key, marker.naming, marker.durability, self._lock_timeout)
        now = self._now()
        if body is None or body.expired(now):
            raise Gone("the session %s is absent or expired" % at.key.shown)
        # Most touches end here, without the lock.
        if not self._moves(body, now):
            return False
        with self._lock(directory, at.key):
            now = self._now()
            with self._read_locked(directory, marker, at, now) as current:
                if not self._moves(current.body, now):
                    return False
                self._write(directory, marker, at, current, content_of(current.body), current.body.rev,
                            later(current.body.accessed, now), touch=True)
        return True

    def _moves(self, body: Body, now: int) -> bool:
        move = abs(later(body.accessed, now) - body.accessed)
        idle = body.values.get("idle")
        resolution = self._resolution if idle is None else min(self._resolution, idle / 10)
        return move > 0 and move >= resolution

    def delete(self, id: Name) -> bool:
        """Deletes a session, whatever its file holds (DEL-1). False where it was not there (DEL-2).

        Raises InvalidId, Corrupt (NAME-11), Busy, Unsupported, NotAStore, OutcomeUnknown or Io.
        """
        guard()
        directory, marker = self._for_change()
        at = locate(id, marker.naming)
        with self._lock(directory, at.key):
            existed = self._unlink(directory, at)
            self._sync_deletion(directory, marker)
        return existed

    def _unlink(self, directory: Directory, at: Located) -> bool:
        """Step 2 of section 10.7, under the lock."""
        status = self._lstat(directory, at)
        if status is not None and not stat.S_ISREG(status.st_mode):
            raise Corrupt("the name of session %s is taken by an entry that is no regular file" % at.key.shown,
                          "NAME-11", 0)
        failure: Optional[OSError] = None
        try:
            # The temp first: where a rotation fails here, the old session is still whole.
            directory.unlink_regular(TEMP_PREFIX + at.name)
            return status is not None and directory.unlink(at.name)
        except OSError as error:
            failure = error
        raise from_os(failure, "unlink of session %s" % at.key.shown)

    @staticmethod
    def _sync_deletion(directory: Directory, marker: Marker) -> None:
        """DEL-3."""
        if marker.durability != POWER:
            return
        failed = False
        try:
            directory.sync()
        except OSError:
            failed = True
        if failed:
            raise OutcomeUnknown("sync of the directory failed after a deletion", "DEL-3")

    def rotate(self, session: Session) -> str:
        """Gives a loaded session, with its changes, a new ID: after a login. Gives the ID; the old one is deleted.

        ``csrf`` and ``tokens`` are dropped (ROT-3). Raises like `save`. After OutcomeUnknown look at ``session.id``:
        it is the new ID where the new session is the one that counts.
        """
        guard()
        directory, marker = self._for_change()
        old = self._locate_session(session, marker.naming)
        content = session._content()
        content.pop("csrf", None)
        content.pop("tokens", None)
        while True:
            new = locate(new_id(), marker.naming)
            with self._lock(directory, old.key, new.key):
                now = self._now()
                with self._read_locked(directory, marker, old, now) as current:
                    self._check_base(current, session)
                    body = self._create(directory, marker, new, content, current.body.created,
                                        later(current.body.accessed, now))
                    if body is None:
                        continue
                self._remove_old(directory, old, new)
                session.csrf, session.tokens = None, []
                session._adopt(body, new.id)
                self._sync_deletion(directory, marker)
            assert new.id is not None
            return new.id

    def _remove_old(self, directory: Directory, old: Located, new: Located) -> None:
        """Step 4 of section 10.8."""
        failure: Optional[Error] = None
        try:
            self._unlink(directory, old)
        except Error as error:
            failure = error
        if failure is not None:
            try:
                directory.unlink(new.name)
                directory.sync()
            except OSError:
                pass
            raise failure

    # --- sweeping

    def sweep(self, idle: Optional[float] = None, *, max_seconds: Optional[float] = None,
              max_files: Optional[int] = None, quarantine_age: Optional[float] = None) -> sweeping.Swept:
        """Removes expired sessions, those not accessed for more than ``idle`` seconds, and debris (section 10.9).

        ``max_seconds`` and ``max_files`` end it early; each run starts at another place (COLL-5). With
        ``quarantine_age`` in seconds, what a repair moved aside longer ago is removed too (COLL-6). What cannot be
        dealt with is counted (COLL-3). Raises Unsupported, OutcomeUnknown or Io.
        """
        limits = sweeping.Limits(max_seconds, max_files, quarantine_age)
        return sweeping.run(self, None if idle is None else round(idle * 1000), None, limits)

    def delete_old_sessions(self, minutes: float) -> Tuple[int, int]:
        """(deleted, remaining): deletes what was not accessed for strictly more than ``minutes``, or is expired.

        What cannot be judged remains, and is counted among the remaining.
        """
        swept = sweeping.run(self, round(minutes * 60_000), None, sweeping.Limits(None, None, None))
        return swept.deleted, swept.kept + swept.failed

    def delete_where(self, fn: Callable[[Session], bool]) -> int:
        """Deletes the sessions for which ``fn`` is true, and the expired ones; gives how many.

        ``fn`` is called twice for a session to be deleted, the second time under its lock (COLL-1); a call into a
        store from within it raises Reentrant.
        """
        return sweeping.run(self, None, fn, sweeping.Limits(None, None, None)).deleted
