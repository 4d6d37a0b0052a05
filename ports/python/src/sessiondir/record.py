"""The envelope of a record, REC-1 to REC-8: the same in every version of the format."""

from __future__ import annotations

import hashlib
from typing import List, NamedTuple, Optional, Tuple

from .cbor import Fault, head, read_head
from .errors import TooLarge

MAGIC = bytes.fromhex("d9d9f7da53455344")
VERSION = 1
MAX_NUMBER = (1 << 53) - 1
MAX_LENGTH = 16 * 1024 * 1024 - 64
DIGEST_HEAD = b"\x58\x20"
DIGEST_LENGTH = 34
# magic, array, version, crit of 8 names of 32 bytes, seq: what the second read of READ-4 needs at most.
MAX_HEAD = 8 + 1 + 3 + 1 + 8 * (2 + 32) + 9


class Head(NamedTuple):
    """What stands before the body: its offsets are from the start of the file or, alone, of the record."""

    start: int
    version: int
    version_at: int
    crit: Tuple[Tuple[bytes, int], ...]
    seq: int
    seq_at: int
    after: int


class Envelope(NamedTuple):
    """A whole record."""

    head: Head
    body_at: int
    body_end: int
    end: int
    digest: bytes

    @property
    def seq(self) -> int:
        return self.head.seq

    @property
    def length(self) -> int:
        return self.end - self.head.start


def _part(data: bytes, at: int, end: int, major: int, rule: str) -> Tuple[int, int]:
    """(argument, next) of a head of this major type in its shortest form; else the rule is broken."""
    broken = False
    found, argument, following = 0, 0, at
    try:
        found, _, argument, following = read_head(data, at, end)
    except Fault:
        broken = True
    if broken or found != major:
        raise Fault(rule, min(at, end))
    return argument, following


def parse_head(data: bytes, start: int, end: int, parity: Optional[int] = None) -> Head:
    """Judges REC-1 to REC-5 and, with a parity, SLOT-2. Raises Fault."""
    if data[start:min(start + 8, end)] != MAGIC:
        raise Fault("REC-1", start)
    at = start + 8
    if data[at:min(at + 1, end)] != b"\x85":
        raise Fault("REC-2", at)
    version_at = at + 1
    version, at = _part(data, version_at, end, 0, "REC-3")
    if not 1 <= version <= 65535:
        raise Fault("REC-3", version_at)
    crit_at = at
    count, at = _part(data, at, end, 4, "REC-4")
    if count > 8:
        raise Fault("REC-4", crit_at)
    crit: List[Tuple[bytes, int]] = []
    for _ in range(count):
        name_at = at
        length, at = _part(data, at, end, 3, "REC-4")
        if not 1 <= length <= 32 or at + length > end:
            raise Fault("REC-4", name_at)
        crit.append((data[at:at + length], name_at))
        at += length
    seq_at = at
    seq, at = _part(data, at, end, 0, "REC-5")
    if not 1 <= seq <= MAX_NUMBER:
        raise Fault("REC-5", seq_at)
    if parity is not None and seq % 2 != parity:
        raise Fault("SLOT-2", seq_at)
    return Head(start, version, version_at, tuple(crit), seq, seq_at, at)


def finish(data: bytes, part: Head, end: int) -> Envelope:
    """Judges REC-6 to REC-8, after parse_head. Raises Fault."""
    length, body_at = _part(data, part.after, end, 2, "REC-6")
    body_end = body_at + length
    if body_end > end or body_end + DIGEST_LENGTH - part.start > MAX_LENGTH:
        raise Fault("REC-8", part.after)
    stop = body_end + DIGEST_LENGTH
    found = data[body_end:min(stop, end)]
    digest = hashlib.sha256(memoryview(data)[part.start:body_end]).digest()
    if found != DIGEST_HEAD + digest:
        raise Fault("REC-7", body_end)
    return Envelope(part, body_at, body_end, stop, digest)


def build(seq: int, body: bytes) -> bytes:
    """A record of version 1 without extensions. Raises TooLarge (REC-5, REC-8)."""
    if seq > MAX_NUMBER:
        raise TooLarge("the session has had all the records that it can have", "REC-5")
    start = b"".join((MAGIC, b"\x85", head(0, VERSION), b"\x80", head(0, seq), head(2, len(body)), body))
    if len(start) + DIGEST_LENGTH > MAX_LENGTH:
        raise TooLarge("the record would be %d bytes long; %d are allowed"
                       % (len(start) + DIGEST_LENGTH, MAX_LENGTH), "REC-8")
    return start + DIGEST_HEAD + hashlib.sha256(start).digest()
