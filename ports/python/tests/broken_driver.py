"""This implementation's driver with one thing broken on purpose: what the conformance kit has to catch.

``python broken_driver.py FAULT``; the fault ``none`` breaks nothing.
"""

from __future__ import annotations

import fcntl
import sys
import types
from typing import Any, Callable, Dict

from sessiondir import cbor, driver, locks, reading, store, sweep, writing
from sessiondir.errors import Gone
from sessiondir.session import Session


def none() -> None:
    """The control: as it is."""


def flock() -> None:
    """flock(2) for fcntl: the two do not see each other."""

    def lockf(fd: int, command: int, length: int = 0, start: int = 0, whence: int = 0) -> None:
        fcntl.flock(fd, command)

    broken: Any = types.SimpleNamespace(**vars(fcntl))
    broken.lockf = lockf
    locks.fcntl = broken  # type: ignore[attr-defined]


def wrong_slot() -> None:
    """A save overwrites the current record."""
    overwrite: Callable[..., None] = writing.Writer._overwrite

    def broken(self: Any, shown: str, current: Any, record: bytes, seq: int) -> None:
        overwrite(self, shown, current, record, seq + 1)

    writing.Writer._overwrite = broken  # type: ignore[method-assign]


def non_canonical() -> None:
    """Heads that are longer than they need to be are read."""
    cbor._SHORTEST = (0, 0, 0, 0)  # type: ignore[assignment]


def no_second_read() -> None:
    """A reader that trusts one copy of the file."""
    reading._same_seq = lambda fd, data, whole: True


def foreign_attributes() -> None:
    """As in a language that cannot tell 2.0 from 2: whatever is saved, all attributes are written anew."""
    encode_float = cbor.encode_float

    def broken(number: float) -> bytes:
        return cbor.head(0, int(number)) if number >= 0 and number == int(number) else encode_float(number)

    cbor.encode_float = broken


def descending() -> None:
    """Who needs several locks begins with the last."""
    acquire: Callable[..., Any] = locks.LockTable._acquire_all

    def broken(self: Any, files: Any, wanted: Any, timeout: float, shared: bool = False) -> Any:
        return acquire(self, files, list(reversed(wanted)), timeout, shared)

    locks.LockTable._acquire_all = broken  # type: ignore[method-assign]


def hasty_sweep() -> None:
    """A sweep that abides by what it has seen before it had the lock."""
    is_to_go: Callable[..., bool] = sweep._Sweep.is_to_go
    seen: Dict[Any, bool] = {}

    def broken(self: Any, body: Any, at: Any, now: int) -> bool:
        return seen.setdefault(at.name, is_to_go(self, body, at, now))

    sweep._Sweep.is_to_go = broken  # type: ignore[method-assign]


def resurrection() -> None:
    """An update that finds no session makes it anew."""
    update: Callable[..., Any] = store.DirectoryStore.update

    def broken(self: Any, id: Any, fn: Any) -> Any:
        try:
            return update(self, id, fn)
        except Gone:
            anew = Session()
            fn(anew)
            self.insert(id, anew)
            return anew

    store.DirectoryStore.update = broken  # type: ignore[method-assign]


FAULTS: Dict[str, Callable[[], None]] = {
    fault.__name__.replace("_", "-"): fault
    for fault in (
        none, flock, wrong_slot, non_canonical, no_second_read, foreign_attributes, descending, hasty_sweep, resurrection
    )
}

if __name__ == "__main__":
    FAULTS[sys.argv[1]]()
    driver.main()
