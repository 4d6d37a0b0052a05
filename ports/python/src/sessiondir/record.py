"""Records and slots: SPEC.md sections 6 and 7. Pure functions over bytes."""

from __future__ import annotations

import hashlib
from typing import List, NamedTuple, Optional, Sequence, Tuple, Union

from . import cbor
from .errors import Fault

MAGIC = bytes.fromhex("d9d9f7da53455344")
#: The record version that this implementation reads and writes.
VERSION = 1
#: REC-8, in bytes.
RECORD_MAX = (16 << 20) - 64
#: The highest seq and rev (REC-5, BODY-6).
COUNTER_MAX = (1 << 53) - 1
SLOT_MIN, SLOT_MAX = 4096, 16 << 20
#: What a record's numbers may grow by (SLOT-5).
SPARE = 32
#: More than the longest head of a record, magic to seq: what a second read has to read (READ-4).
HEAD_MAX = 512


class Prefix(NamedTuple):
    """A record's beginning, REC-1 to REC-5."""

    version: int
    version_at: int
    crit_at: int
    seq: int
    body_at: int


class Envelope(NamedTuple):
    """A whole record in a file: where its parts are."""

    prefix: Prefix
    start: int
    body: int
    body_end: int
    end: int

    @property
    def seq(self) -> int:
        return self.prefix.seq


def _head(data: bytes, at: int, end: int, major: int, rule: str) -> cbor.Head:
    try:
        found = cbor.head(data, at, end)
    except Fault as fault:
        raise Fault(rule, fault.offset) from None
    if found.major != major:
        raise Fault(rule, at)
    return found


def read_prefix(data: bytes, start: int, end: int, slot: Optional[int] = None) -> Prefix:
    """The head of the record at ``start``, in ``slot`` if it is in one. REC-1 to REC-5, SLOT-2."""
    if data[start : min(start + 8, end)] != MAGIC:
        raise Fault("REC-1", start)
    if start + 8 >= end or data[start + 8] != 0x85:
        raise Fault("REC-2", start + 8)
    version_at = start + 9
    version = _head(data, version_at, end, 0, "REC-3")
    if not 1 <= version.argument <= 65_535:
        raise Fault("REC-3", version_at)
    crit_at = version.next
    crit = _head(data, crit_at, end, 4, "REC-4")
    if crit.argument > 8:
        raise Fault("REC-4", crit_at)
    at = crit.next
    for _ in range(crit.argument):
        name = _head(data, at, end, 3, "REC-4")
        if not 1 <= name.argument <= 32 or name.next + name.argument > end:
            raise Fault("REC-4", at)
        at = name.next + name.argument
    seq = _head(data, at, end, 0, "REC-5")
    if not 1 <= seq.argument <= COUNTER_MAX:
        raise Fault("REC-5", at)
    if slot is not None and seq.argument % 2 != slot:
        raise Fault("SLOT-2", at)
    return Prefix(version.argument, version_at, crit_at, seq.argument, seq.next)


def read_envelope(data: bytes, start: int, end: int, slot: Optional[int] = None) -> Envelope:
    """The whole record at ``start`` (SLOT-6); raises :class:`Fault` if there is none."""
    prefix = read_prefix(data, start, end, slot)
    at = prefix.body_at
    body = _head(data, at, end, 2, "REC-6")
    body_end = body.next + body.argument
    if body_end > end or body_end + 34 - start > RECORD_MAX:
        raise Fault("REC-8", at)
    digest = b"\x58\x20" + hashlib.sha256(memoryview(data)[start:body_end]).digest()
    if data[body_end : min(body_end + 34, end)] != digest:
        raise Fault("REC-7", body_end)
    return Envelope(prefix, start, body.next, body_end, body_end + 34)


def build(seq: int, body: bytes) -> bytes:
    """A record of this version."""
    head = MAGIC + b"\x85" + bytes([VERSION]) + b"\x80" + cbor.put_head(0, seq) + cbor.put_head(2, len(body))
    before = head + body
    return before + b"\x58\x20" + hashlib.sha256(before).digest()


def crit(data: bytes, envelope: Envelope) -> List[Tuple[str, int]]:
    """The names of the extensions that a reader has to understand, and where their heads are (REC-10)."""
    found = cbor.head(data, envelope.prefix.crit_at, envelope.end)
    at, previous, names = found.next, b"", []
    for _ in range(found.argument):
        name = cbor.head(data, at, envelope.end)
        after = name.next + name.argument
        try:
            text = data[name.next : after].decode("utf-8")
        except UnicodeDecodeError:
            raise Fault("REC-10", at) from None
        if data[at:after] <= previous:
            raise Fault("REC-10", at)
        names.append((text, at))
        previous, at = data[at:after], after
    return names


def slot_size(record: int) -> int:
    """The smallest slot for a new file with a record of that length (SLOT-5)."""
    size = SLOT_MIN
    while record + SPARE > size:
        size *= 2
    return size


def is_file_size(size: int) -> bool:
    """SLOT-1."""
    half = size // 2
    return size % 2 == 0 and SLOT_MIN <= half <= SLOT_MAX and half & (half - 1) == 0


def is_empty(data: bytes, slot: int, size: int) -> bool:
    """SLOT-3."""
    return data[slot * size : slot * size + 8] == bytes(8)


class Candidate(NamedTuple):
    """A whole record that is current only if its slot has not changed since (READ-4)."""

    envelope: Envelope


#: The current record; a candidate; or why there is neither.
Judgement = Union[Envelope, Candidate, Fault]


def judge(data: bytes) -> Judgement:
    """Which record of a session file is current: SPEC.md section 10.2, steps 5 and 6."""
    size = len(data) // 2
    prefixes: List[Optional[Prefix]] = []
    faults: List[Fault] = []
    for slot in (0, 1):
        try:
            prefixes.append(read_prefix(data, slot * size, (slot + 1) * size, slot))
        except Fault as fault:
            prefixes.append(None)
            if not is_empty(data, slot, size):
                faults.append(fault)
    by_seq: Sequence[int] = sorted((0, 1), key=lambda slot: -(prefixes[slot].seq if prefixes[slot] else 0))  # type: ignore[union-attr]
    higher, other = by_seq
    found = prefixes[higher]
    if found is None:
        return faults[0] if faults else Fault("SLOT-9", 0)
    beside = prefixes[other]
    other_is_empty = is_empty(data, other, size)
    try:
        envelope = read_envelope(data, higher * size, (higher + 1) * size, higher)
    except Fault as fault:
        try:
            envelope = read_envelope(data, other * size, (other + 1) * size, other)
        except Fault:
            return fault
        return Candidate(envelope)
    if other_is_empty or (beside is not None and beside.seq == found.seq - 1):
        return envelope
    return Candidate(envelope)
