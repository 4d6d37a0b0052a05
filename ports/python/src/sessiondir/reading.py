"""Reading a session without a lock: SPEC.md section 10.2."""

from __future__ import annotations

import os
from typing import NamedTuple, Optional, Union

from . import record, session
from .directory import Directory
from .errors import Corrupt, Fault, Unsupported, of_system
from .names import Name
from .record import Candidate, Envelope
from .session import Session

#: Rounds without the lock, before the last one with it (READ-5).
ROUNDS = 16


class Current(NamedTuple):
    """A session's file that has a current record, as one round of reading saw it."""

    data: bytes
    envelope: Envelope
    stat: os.stat_result

    @property
    def size(self) -> int:
        """The size of a slot, in bytes."""
        return len(self.data) // 2


class Again(NamedTuple):
    """A round without an answer, and what it would be if nobody else was at work."""

    fault: Fault


#: What a round sees: no file, one that is stillborn, the current record, or nothing yet.
Round = Union[None, str, Current, Again]


def look(fd: int, durability: str, shown: str) -> Round:
    """One round, on a descriptor of the session's file."""
    try:
        stat = os.fstat(fd)
        if durability == "process" and stat.st_size == 0:
            return "stillborn"
        if not record.is_file_size(stat.st_size):
            raise corrupt(shown, Fault("SLOT-1", 0))
        data = _read(fd, stat.st_size)
        if len(data) != stat.st_size:
            return Again(Fault("SLOT-1", 0))
        size = len(data) // 2
        if durability == "process" and record.is_empty(data, 0, size) and record.is_empty(data, 1, size):
            return "stillborn"
        judged = record.judge(data)
        if isinstance(judged, Fault):
            return Again(judged)
        if isinstance(judged, Envelope):
            return Current(data, judged, stat)
        return _settle(fd, data, judged, stat)
    except OSError as error:
        raise of_system("read the file", error, shown) from error


def _read(fd: int, size: int) -> bytes:
    data = os.pread(fd, size, 0)
    while len(data) < size:
        more = os.pread(fd, size - len(data), len(data))
        if not more:
            break
        data += more
    return data


def _settle(fd: int, data: bytes, candidate: Candidate, stat: os.stat_result) -> Round:
    """The second read (READ-4): the first one has ended, so what still bears its seq now had not changed then."""
    envelope, size = candidate.envelope, len(data) // 2
    other = 1 - envelope.start // size
    if not record.is_empty(data, other, size):
        head = os.pread(fd, record.HEAD_MAX, envelope.start)
        try:
            now = record.read_prefix(head, 0, len(head)).seq
        except Fault:
            now = None
        if now != envelope.seq:
            return Again(Fault("SLOT-9", 0))
    return Current(data, envelope, stat)


def corrupt(shown: str, fault: Fault) -> Corrupt:
    text = f"{shown}: the file breaks {fault.rule} at byte {fault.offset}; run `sessiondir check`"
    return Corrupt(text, rule=fault.rule, offset=fault.offset)


def decode(current: Current, name: Name, naming: str) -> Session:
    """What the current record means. Nothing falls back to the other slot from here on (SLOT-8)."""
    try:
        decoded = session.decode(current.data, current.envelope, name, naming)
    except Fault as fault:
        raise corrupt(name.shown, fault) from None
    except Unsupported as error:
        text = f"{name.shown}: {error}; update this implementation"
        raise Unsupported(text, rule=error.rule, offset=error.offset) from None
    # A store of naming `hashed` does not hold the ID; whoever asked by it knows it.
    decoded.id, decoded.key = name.id, name.key
    return decoded


def round_of(directory: Directory, name: Name, durability: str) -> Round:
    """One round from the opening of the file."""
    fd = directory.open_session(name.file, False, name.shown)
    if fd is None:
        return None
    try:
        return look(fd, durability, name.shown)
    finally:
        os.close(fd)


def settled(seen: Round, shown: str) -> Optional[Current]:
    """What a round under the lock comes to, where nobody else is at work."""
    if isinstance(seen, Again):
        raise corrupt(shown, seen.fault)
    return seen if isinstance(seen, Current) else None
