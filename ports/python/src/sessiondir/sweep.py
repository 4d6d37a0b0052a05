"""The collector (SPEC section 10.9)."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Callable, List, NamedTuple, Optional, Tuple

from .body import Body
from .directory import Listed
from .errors import Error, from_os
from .names import QUARANTINE, TEMP_PREFIX, Located, classify, key_of_name, locate_name, quarantined_at
from .reading import read, read_for_change
from .reentry import calling_back, guard
from .session import Session

if TYPE_CHECKING:
    from .store import DirectoryStore

Test = Callable[[Session], bool]


class Swept(NamedTuple):
    """What a sweep has done: numbers of sessions, and of other files.

    ``deleted`` sessions, stillborn ones among them; ``kept``; ``failed``, which could not be judged or removed;
    ``temps``, debris removed; ``quarantined``, entries of `.quarantine` removed; ``other_failed``, temps and
    quarantined entries that could not be removed; ``complete``, whether it came to the end.
    """

    deleted: int
    kept: int
    failed: int
    temps: int
    quarantined: int
    other_failed: int
    complete: bool


class Limits(NamedTuple):
    seconds: Optional[float]
    files: Optional[int]
    quarantine_age: Optional[float]


class _Sweep:
    def __init__(self, store: DirectoryStore, idle_ms: Optional[int], test: Optional[Test]) -> None:
        self.store = store
        self.directory, self.marker = store._for_change()
        self.idle_ms = idle_ms
        self.test = test
        self.deleted = self.kept = self.failed = self.temps = self.quarantined = self.other_failed = 0

    def is_to_go(self, body: Optional[Body], at: Located, now: int) -> bool:
        """A body that is not there is of a stillborn file."""
        if body is None or body.expired(now):
            return True
        if self.idle_ms is not None and max(0, now - body.accessed) > self.idle_ms:
            return True
        if self.test is None:
            return False
        with calling_back():
            return bool(self.test(Session._from(body, at.id)))

    def session(self, at: Located) -> None:
        """COLL-1, COLL-2."""
        store, directory, marker = self.store, self.directory, self.marker
        now = store._now()
        body = read(directory, at.name, at.key, marker.naming, marker.durability, store._lock_timeout)
        if body is None and store._lstat(directory, at) is None:
            return
        if not self.is_to_go(body, at, now):
            self.kept += 1
            return
        with store._lock(directory, at.key) as held:
            now = store._now()
            current = read_for_change(directory, at.name, at.key, marker.naming, marker.durability)
            if current is None:
                gone = store._lstat(directory, at) is None
                body = None
            else:
                gone, body = False, current.body
                current.close()
            if gone:
                return
            if not self.is_to_go(body, at, now):
                self.kept += 1
                return
            held.check()
            if store._unlink(directory, at):
                self.deleted += 1

    def temp(self, entry: Listed) -> None:
        """COLL-4."""
        key = key_of_name(entry.name[len(TEMP_PREFIX):], self.marker.naming)
        with self.store._lock(self.directory, key):
            if self.directory.unlink_regular(entry.name):
                self.temps += 1

    def quarantine(self, age: float) -> None:
        """COLL-6."""
        now = self.store._now()
        for entry in self.directory.list(QUARANTINE):
            moved = quarantined_at(entry.name, self.marker.naming)
            if entry.kind == "regular" and moved is not None and now - moved >= age * 1000:
                try:
                    if self.directory.unlink("%s/%s" % (QUARANTINE, entry.name)):
                        self.quarantined += 1
                except OSError:
                    self.other_failed += 1

    def entries(self) -> List[Tuple[str, Listed]]:
        found = []
        for entry in self.directory.list():
            kind = classify(entry.name, entry.kind, self.marker.naming)
            if kind in ("session", "temp", "quarantine"):
                found.append((kind, entry))
        start = random.randrange(len(found)) if found else 0
        return found[start:] + found[:start]


def run(store: DirectoryStore, idle_ms: Optional[int], test: Optional[Test], limits: Limits) -> Swept:
    guard()
    sweep = _Sweep(store, idle_ms, test)
    deadline = None if limits.seconds is None else time.monotonic() + limits.seconds
    failure: Optional[OSError] = None
    complete = True
    try:
        entries = sweep.entries()
    except OSError as error:
        failure, entries = error, []
    if failure is not None:
        raise from_os(failure, "listing the directory")
    for number, (kind, entry) in enumerate(entries):
        if (deadline is not None and time.monotonic() >= deadline) or number == limits.files:
            complete = False
            break
        _one(sweep, kind, entry, limits)
    if sweep.deleted or sweep.temps:
        store._sync_deletion(sweep.directory, sweep.marker)
    return Swept(sweep.deleted, sweep.kept, sweep.failed, sweep.temps, sweep.quarantined, sweep.other_failed,
                 complete)


def _one(sweep: _Sweep, kind: str, entry: Listed, limits: Limits) -> None:
    """COLL-3: whatever cannot be dealt with is counted."""
    try:
        if kind == "session":
            sweep.session(locate_name(entry.name, sweep.marker.naming))
        elif kind == "temp":
            sweep.temp(entry)
        elif limits.quarantine_age is not None:
            sweep.quarantine(limits.quarantine_age)
    except (Error, OSError):
        if kind == "session":
            sweep.failed += 1
        else:
            sweep.other_failed += 1

