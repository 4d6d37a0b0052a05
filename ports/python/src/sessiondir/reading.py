"""Reading a session without a lock (SPEC section 10.2), and under one."""

from __future__ import annotations

import errno
import os
import stat
from typing import Optional, Tuple

from . import slots
from .body import Body, judge
from .directory import READ, WRITE, Directory, Identity, call, close, identity, read_all
from .errors import Corrupt, from_os
from .locks import TABLE
from .marker import PROCESS
from .names import Key
from .record import MAX_HEAD, Envelope

# READ-5: this many rounds without the lock, then as many at most with it.
ROUNDS = 8


class Current:
    """A session's file, with its current record; ``fd`` is open until `close`."""

    def __init__(self, fd: int, status: os.stat_result, slot: int, envelope: Envelope, other: slots.View,
                 data: bytes) -> None:
        self.fd = fd
        self.identity: Identity = identity(status)
        self.links = status.st_nlink
        self.slot = slot
        self.envelope = envelope
        self.other = other
        # For writers alone, and found out by `read_for_change`.
        self.other_sound = False
        self.data = data
        self.body: Body = Body()

    @property
    def seq(self) -> int:
        return self.envelope.seq

    def close(self) -> None:
        if self.fd >= 0:
            close(self.fd)
            self.fd = -1

    def __enter__(self) -> Current:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Again(Exception):
    """The file changed while it was read, or holds no whole record: ``answer`` is what that means in the end."""

    def __init__(self, answer: Optional[Corrupt]) -> None:
        super().__init__("start over")
        self.answer = answer


def _attempt(directory: Directory, name: str, shown: str, durability: str, flags: int) -> Optional[Current]:
    """One round; None where the session is absent."""
    failure: Optional[OSError] = None
    fd = -1
    try:
        fd = directory.open(name, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        failure = error
    if failure is not None:
        if failure.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise _not_regular(shown)
        raise from_os(failure, "open of the file of session %s" % shown)
    keep = False
    try:
        current = _judge_file(fd, shown, durability)
        keep = current is not None
        return current
    except OSError as error:
        failure = error
    finally:
        if not keep:
            close(fd)
    assert failure is not None
    raise from_os(failure, "read of the file of session %s" % shown)


def _not_regular(shown: str) -> Corrupt:
    return Corrupt("the name of session %s is taken by an entry that is no regular file" % shown, "NAME-11", 0)


def _judge_file(fd: int, shown: str, durability: str) -> Optional[Current]:
    """Steps 3 to 7: None where the file is stillborn, _Again where the round gave no answer."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise _not_regular(shown)
    slot = slots.slot_of_size(status.st_size)
    if slot is None:
        if status.st_size == 0 and durability == PROCESS:
            return None
        raise Corrupt("the file of session %s has a wrong size" % shown, "SLOT-1", 0)
    data = read_all(fd, 2 * slot)
    if len(data) < 2 * slot:
        raise _Again(Corrupt("the file of session %s has a wrong size" % shown, "SLOT-1", 0))
    views = (slots.look(data, slot, 0), slots.look(data, slot, 1))
    choice = slots.choose(views)
    if choice.view is None or choice.other is None:
        rule, offset = slots.no_record(views)
        if rule == "SLOT-9" and durability == PROCESS:
            raise _Again(None)
        raise _Again(Corrupt("the file of session %s has no whole record" % shown, rule, offset))
    whole = choice.view.whole
    assert whole is not None
    if choice.again and not _same_seq(fd, data, whole):
        raise _Again(Corrupt("the file of session %s does not keep still" % shown, "READ-4", whole.head.seq_at))
    return Current(fd, status, slot, whole, choice.other, data)


def _same_seq(fd: int, data: bytes, whole: Envelope) -> bool:
    """The second read of READ-4, on the same descriptor, after the whole file has been read (READ-3)."""
    start, after = whole.head.start, whole.head.after
    return call(os.pread, fd, MAX_HEAD, start)[:after - start] == data[start:after]


def _rounds(directory: Directory, name: str, shown: str, durability: str,
            flags: int) -> Tuple[Optional[Current], Optional[_Again]]:
    again: Optional[_Again] = None
    for _ in range(ROUNDS):
        try:
            return _attempt(directory, name, shown, durability, flags), None
        except _Again as caught:
            again = _Again(caught.answer)
    return None, again


def _finish(current: Optional[Current], again: Optional[_Again], naming: str, name: str,
            for_change: bool) -> Optional[Current]:
    """Step 8."""
    if again is not None and again.answer is not None:
        raise again.answer
    if current is None:
        return None
    good = False
    try:
        current.body = judge(current.data, current.envelope, naming, name)
        if for_change:
            current.other_sound = slots.is_sound(current.data, current.slot, current.other)
        good = True
    finally:
        current.data = b""
        if not good:
            current.close()
    return current


def read(directory: Directory, name: str, key: Key, naming: str, durability: str, timeout: float) -> Optional[Body]:
    """A session's current record, expired or not; None where it is absent. Raises Corrupt, Unsupported, Busy or Io."""
    current, again = _rounds(directory, name, key.shown, durability, READ)
    if again is not None:
        # READ-6: the last round has the lock, if it is to be had.
        held = TABLE.acquire_shared(directory, key.place, timeout)
        try:
            current, again = _rounds(directory, name, key.shown, durability, READ)
        finally:
            if held is not None:
                held.release()
    current = _finish(current, again, naming, name, False)
    if current is None:
        return None
    current.close()
    return current.body


def read_for_change(directory: Directory, name: str, key: Key, naming: str, durability: str) -> Optional[Current]:
    """The same under the session's lock, on a descriptor that can also write (section 10.3, step 2)."""
    current, again = _rounds(directory, name, key.shown, durability, WRITE)
    return _finish(current, again, naming, name, True)
