"""The store: SPEC.md section 10."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from types import TracebackType
from typing import Callable, Iterator, NamedTuple, Optional, Tuple, Type

from . import directory as directories
from . import locks, names, reading, session as sessions
from .directory import Directory
from .errors import Conflict, Error, Gone, IoError, NoSpace, Unsupported
from .names import Key, Name, SessionRef
from .reading import Current, Round
from .session import AHEAD_MAX, Content, Session
from .writing import Writer

#: By how much ``accessed`` moves at least when a touch writes it, in seconds (WRITE-17).
RESOLUTION = 60.0
#: How long an operation waits for a lock, in seconds (LOCK-10).
LOCK_TIMEOUT = 5.0


class Swept(NamedTuple):
    """What a sweep has done, in numbers of files."""

    deleted: int
    remaining: int
    #: Left, as they could not be read or deleted (COLL-2, COLL-3).
    failed: int
    temps: int


def system_clock() -> int:
    return time.time_ns() // 1_000_000


class DirectoryStore:
    """A directory of sessions, as SPEC.md defines it. All methods can be called from any thread, in any process, and
    after ``os.fork``; all of them block, so from asyncio call them through ``asyncio.to_thread``.

    ``create`` makes the store where there is no directory, or an empty one; ``naming`` and ``durability`` are for a store
    that is made. ``lock_timeout`` and ``resolution`` are in seconds; ``clock`` gives milliseconds since 1970. ``group``
    shares the store with the directory's group; ``allow_remote`` accepts file systems whose locks may not lock (DIR-5).
    """

    #: Several processes, and several threads, can use one directory at the same time.
    is_multiprocess_safe = True
    is_thread_safe = True

    def __init__(
        self,
        directory: "os.PathLike[str] | str",
        *,
        create: bool = False,
        naming: str = "plain",
        durability: str = "power",
        lock_timeout: float = LOCK_TIMEOUT,
        resolution: float = RESOLUTION,
        clock: Optional[Callable[[], int]] = None,
        group: bool = False,
        allow_remote: bool = False,
    ) -> None:
        locks.enter()
        if naming not in ("plain", "hashed") or durability not in ("power", "process"):
            raise ValueError("naming is plain or hashed, durability is power or process")
        if create:
            directories.init(directory, naming, durability, group, allow_remote, lock_timeout)
        self._directory = Directory(directory, group, allow_remote)
        try:
            self.marker = self._directory.marker()
        except BaseException:
            self._directory.close()
            raise
        self._writer = Writer(self._directory, self.marker.durability)
        self._lock_timeout = lock_timeout
        self._resolution = int(resolution * 1000)
        self._clock = clock or system_clock

    def close(self) -> None:
        """Closes the directory. No other thread may be using the store."""
        self._directory.close()

    def __enter__(self) -> DirectoryStore:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    @property
    def naming(self) -> str:
        return self.marker.naming

    @property
    def durability(self) -> str:
        return self.marker.durability

    def setup(self) -> None:
        """Makes lock files that a cleaner has removed. For the start of a program; does no harm later."""
        self._writable()
        for index in range(names.LOCK_FILES):
            with self._hold(index):
                pass

    # Reading.

    def load(self, session: SessionRef) -> Optional[Session]:
        """The session, or ``None`` if it is absent or expired (READ-7). Takes no lock (LOCK-14).

        Raises ``Corrupt``, ``Unsupported``, ``IoError``, ``InvalidId``.
        """
        locks.enter()
        name = self._name(session)
        current = self._read(name)
        if current is None:
            return None
        loaded = reading.decode(current, name, self.naming)
        return None if loaded.is_expired(self._clock()) else loaded

    def has(self, session: SessionRef) -> bool:
        """Whether the session is there and not expired."""
        return self.load(session) is not None

    def _read(self, name: Name) -> Optional[Current]:
        """Section 10.2, steps 2 to 7."""
        for _ in range(reading.ROUNDS):
            seen = reading.round_of(self._directory, name, self.durability)
            if not isinstance(seen, reading.Again):
                return seen if isinstance(seen, Current) else None
        return self._read_locked(name)

    def _read_locked(self, name: Name) -> Optional[Current]:
        """The last round, under the lock; without it where the lock file is not there or not to be opened (READ-6)."""
        path = f"{names.LOCK_DIRECTORY}/{name.key.lock_file:02x}"
        if not os.access(path, os.W_OK, dir_fd=self._directory.fd):
            seen = reading.round_of(self._directory, name, self.durability)
        else:
            with self._hold(name.key.lock_file):
                seen = reading.round_of(self._directory, name, self.durability)
        return reading.settled(seen, name.shown)

    def iter_sessions(self, failed: Optional[Callable[[Error], None]] = None) -> Iterator[Session]:
        """All sessions that are not expired, in no order, one after the other. What cannot be loaded is handed to
        ``failed``, and does not end the iteration; without it, it is passed over. In naming ``hashed`` they have keys and
        no IDs."""
        locks.enter()
        for reference in self._references():
            try:
                loaded = self.load(reference)
            except Error as error:
                if failed is not None:
                    failed(error)
                continue
            if loaded is not None:
                yield loaded

    def _references(self) -> Iterator[SessionRef]:
        for entry, kind in self._directory.entries():
            if names.classify(entry, kind, self.naming) == "session":
                text = entry.decode("ascii")
                yield text if self.naming == "plain" else Key.from_hex(text)

    # Changing.

    def create(self, session: Session) -> str:
        """Stores ``session`` under a new ID, as its first revision, and returns the ID.

        Raises ``TooLarge``, ``InvalidValue``, ``Busy``, ``NoSpace``, ``OutcomeUnknown``, ``IoError``, ``Unsupported``.
        """
        locks.enter()
        self._writable()
        content = session.content()
        while True:
            new = names.generate()
            if self._create(Name(new, self.naming), session, content):
                return new

    def insert(self, session_id: str, session: Session) -> None:
        """The same under a given ID: for those who bring sessions from elsewhere. Raises ``Conflict`` if it is taken.

        Never store a session under an ID that a client has chosen.
        """
        locks.enter()
        self._writable()
        name = Name(session_id, self.naming)
        if not self._create(name, session, session.content()):
            raise Conflict(f"{name.shown}: there is such a session")

    def _create(self, name: Name, session: Session, content: Content) -> bool:
        now = self._clock()
        with self._hold(name.key.lock_file):
            # WRITE-11.
            if self._directory.kind_of(name.file) is not None:
                if self._seen_locked(name) != "stillborn":
                    return False
            first = _copy(session, content)
            first.created = now if session.created is None else session.created
            first.accessed = now if session.accessed is None else session.accessed
            first.rev, first.id, first.key = 1, name.id, name.key
            self._writer.create(name, sessions.encode(first, content, name, self.naming, 2))
        session.adopt(first)
        return True

    def _seen_locked(self, name: Name) -> Round:
        try:
            return reading.round_of(self._directory, name, self.durability)
        except Error:
            return reading.Again(sessions.Fault("SLOT-9", 0))

    def save(self, session: Session) -> None:
        """Stores the changes made to a loaded session; creates one that was never stored; writes nothing where nothing
        was changed (WRITE-9). Then ``session`` is what is stored.

        Raises ``Gone`` if it has been deleted or has expired since, ``Conflict`` if somebody else has saved it since, and
        as :meth:`create`.
        """
        if session.key is None:
            self.create(session)
            return
        locks.enter()
        self._writable()
        content = session.content()
        name = self._name(session.id if session.id is not None else session.key)
        with self._opened(name) as (fd, current, stored):
            _refuse_stale(name, session, stored)
            after = self._write(name, fd, current, stored, session, content)
        session.adopt(after)

    def update(self, session: SessionRef, change: Callable[[Session], object]) -> Session:
        """Loads a session, calls ``change`` with it, and saves it, under one lock (WRITE-10); returns what is stored then.
        If ``change`` raises, nothing is written. It may not call a store (``Reentrant``), and should not take long.

        Raises ``Gone``, or as :meth:`save`, but never ``Conflict``.
        """
        locks.enter()
        self._writable()
        name = self._name(session)
        with self._opened(name) as (fd, current, stored):
            changed = reading.decode(current, name, self.naming)
            with locks.within():
                change(changed)
            return self._write(name, fd, current, stored, changed, changed.content())

    def touch(self, session: SessionRef) -> bool:
        """Notes an access: moves ``accessed`` to now, unless it would move by less than the resolution, or a tenth of the
        session's ``idle`` (WRITE-16, WRITE-17). Returns whether it wrote. Raises ``Gone``, or as :meth:`save`."""
        locks.enter()
        self._writable()
        name = self._name(session)
        with self._opened(name) as (fd, current, stored):
            before = stored.accessed or 0
            accessed = _accessed(before, self._clock())
            least = self._resolution if stored.idle is None else min(self._resolution, stored.idle // 10)
            if abs(accessed - before) < max(1, least):
                return False
            stored.accessed = accessed
            encoded = sessions.encode(stored, stored.content(), name, self.naming, current.envelope.seq + 1)
            self._writer.next(name, fd, current, encoded, is_touch=True)
            return True

    def delete(self, session: SessionRef) -> bool:
        """Deletes a session whatever its file holds (DEL-1), and returns whether it was there; that it was not is no
        error (DEL-2). Raises ``Busy``, ``OutcomeUnknown``, ``IoError``, and ``Corrupt`` if something that is no file has
        its name."""
        locks.enter()
        self._writable()
        name = self._name(session)
        with self._hold(name.key.lock_file):
            was_there = self._directory.unlink_session(name.file, name.shown)
            self._directory.unlink_temp(name.temp, name.shown)
            self._writer.sync_directory(name, "the deletion")
        return was_there

    def rotate(self, session: Session) -> str:
        """Moves a loaded session to a new ID, together with the changes made to it, and deletes the old one: against
        fixation, after a login. Drops the form tokens and the CSRF token (ROT-3). Raises as :meth:`save`."""
        if session.key is None:
            return self.create(session)
        locks.enter()
        self._writable()
        content = session.content()._replace(tokens=(), csrf=None)
        old = self._name(session.id if session.id is not None else session.key)
        while True:
            new = Name(names.generate(), self.naming)
            with self._hold(old.key.lock_file, new.key.lock_file):
                if self._directory.kind_of(new.file) is not None:
                    continue
                with self._opened(old, is_held=True) as (_, _, stored):
                    _refuse_stale(old, session, stored)
                after = _copy(session, content)
                after.tokens, after.csrf = [], None
                after.rev, after.id, after.key, after.created = 1, new.id, new.key, stored.created
                after.accessed = _accessed(stored.accessed or 0, self._clock())
                self._writer.create(new, sessions.encode(after, content, new, self.naming, 2))
                self._delete_rotated(old, new)
            session.adopt(after)
            return new.id or ""

    def _delete_rotated(self, old: Name, new: Name) -> None:
        try:
            self._directory.unlink_session(old.file, old.shown)
            self._directory.unlink_temp(old.temp, old.shown)
        except (IoError, NoSpace):
            # Without this there would be two; if this fails too, nobody knows the new one.
            self._directory.unlink_session(new.file, new.shown)
            raise
        self._writer.sync_directory(old, "the rotation")

    def _write(
        self, name: Name, fd: int, current: Current, stored: Session, session: Session, content: Content
    ) -> Session:
        """Section 10.3, steps 4 to 9: ``session`` after ``stored``."""
        if content == stored.content():
            return stored
        after = _copy(session, content)
        # Whatever the program has put there, these are the store's.
        after.id, after.key, after.created = name.id, name.key, stored.created
        after.rev = stored.rev + 1
        after.accessed = _accessed(stored.accessed or 0, self._clock())
        self._writer.next(
            name, fd, current, sessions.encode(after, content, name, self.naming, current.envelope.seq + 1)
        )
        return after

    @contextmanager
    def _opened(self, name: Name, is_held: bool = False) -> Iterator[Tuple[int, Current, Session]]:
        """The session under its lock, on a descriptor that can also write; raises ``Gone`` if it is absent."""
        with self._hold() if is_held else self._hold(name.key.lock_file):
            fd = self._directory.open_session(name.file, True, name.shown)
            if fd is None:
                raise Gone(f"{name.shown}: there is no such session any more")
            try:
                current = reading.settled(reading.look(fd, self.durability, name.shown), name.shown)
                stored = None if current is None else reading.decode(current, name, self.naming)
                if current is None or stored is None or stored.is_expired(self._clock()):
                    raise Gone(f"{name.shown}: there is no such session any more")
                yield fd, current, stored
            finally:
                os.close(fd)

    # Many.

    def sweep(self, idle: Optional[int] = None) -> Swept:
        """Removes what is expired, and debris (10.9); with ``idle`` also sessions that were not accessed for so many
        milliseconds or longer. One bad file never stops it. Raises ``IoError`` if the store cannot be listed."""

        def is_to_go(session: Session) -> bool:
            now = self._clock()
            return session.is_expired(now) or (idle is not None and max(0, now - (session.accessed or 0)) >= idle)

        return self._remove(is_to_go, and_temps=True)

    def delete_old_sessions(self, minutes: float) -> Tuple[int, int]:
        """Deletes the sessions that were not accessed for *more* than so many minutes, and the expired; returns how many
        were deleted, and how many are left."""

        def is_to_go(session: Session) -> bool:
            now = self._clock()
            return session.is_expired(now) or now - (session.accessed or 0) > minutes * 60_000

        swept = self._remove(is_to_go)
        return swept.deleted, swept.remaining + swept.failed

    def delete_where(self, which: Callable[[Session], bool]) -> Swept:
        """Deletes the sessions for which ``which`` is true. It is asked again, under the lock, about each that goes, and
        that answer counts; it may not call a store."""
        return self._remove(which)

    def _remove(self, is_to_go: Callable[[Session], bool], and_temps: bool = False) -> Swept:
        locks.enter()
        self._writable()
        deleted = remaining = failed = temps = 0
        for entry, kind in self._directory.entries():
            class_ = names.classify(entry, kind, self.naming)
            text = entry.decode("ascii", "replace")
            try:
                if class_ == "session":
                    fate = self._remove_one(self._name_of_file(text), is_to_go)
                    deleted += fate is True
                    remaining += fate is False
                elif class_ == "temp" and and_temps:
                    name = self._name_of_file(text[len(names.TEMP_PREFIX) :])
                    # COLL-4.
                    with self._hold(name.key.lock_file):
                        temps += self._directory.unlink_temp(name.temp, name.shown)
            except Error:
                failed += 1
        if deleted or temps:
            self._writer.sync_directory(None, "deletions")
        return Swept(deleted, remaining, failed, temps)

    def _remove_one(self, name: Name, is_to_go: Callable[[Session], bool]) -> Optional[bool]:
        """Whether it went; ``None`` if it is not there (COLL-1, COLL-2)."""

        def goes(current: Optional[Current]) -> bool:
            # What is stillborn goes; what is not there has gone.
            return current is None or _asked(is_to_go, reading.decode(current, name, self.naming))

        if not goes(self._read(name)):
            return False
        with self._hold(name.key.lock_file):
            if not goes(reading.settled(reading.round_of(self._directory, name, self.durability), name.shown)):
                return False
            return self._directory.unlink_session(name.file, name.shown) or None

    def _name_of_file(self, text: str) -> Name:
        return Name(text if self.naming == "plain" else Key.from_hex(text), self.naming)

    # Small things.

    def _name(self, session: SessionRef) -> Name:
        return Name(session, self.naming)

    def _writable(self) -> None:
        if not self.marker.writable:
            raise Unsupported("the store has a newer write version: it can be read only", rule="MARK-3", offset=0)

    @contextmanager
    def _hold(self, *indexes: int) -> Iterator[None]:
        with locks.hold(self._directory.fd, indexes, self._directory.file_mode, self._lock_timeout):
            yield

    @contextmanager
    def hold(self, session: SessionRef, timeout: Optional[float] = None) -> Iterator[None]:
        """Holds a session's lock, for tests of other implementations. Changing sessions needs no call to it, and within
        it they cannot be changed by this thread."""
        name = self._name(session)
        wait = self._lock_timeout if timeout is None else timeout
        with locks.hold(self._directory.fd, [name.key.lock_file], self._directory.file_mode, wait):
            yield


def _asked(which: Callable[[Session], bool], session: Session) -> bool:
    with locks.within():
        return bool(which(session))


def _accessed(stored: int, now: int) -> int:
    """TIME-2."""
    return now if stored > now + AHEAD_MAX else max(stored, now)


def _copy(session: Session, content: Content) -> Session:
    """A session with that content, apart from the program's objects."""
    copy = Session()
    copy.__dict__.update(session.__dict__)
    copy.tokens = list(content.tokens)
    copy._encoded, copy._values = dict(content.data), {}
    return copy


def _refuse_stale(name: Name, session: Session, stored: Session) -> None:
    """WRITE-1."""
    if (session.created, session.rev) != (stored.created, stored.rev):
        raise Conflict(f"{name.shown}: somebody else has saved since; load it again and redo the change")


