"""The marker: SPEC.md section 5.2."""

from __future__ import annotations

import re
from typing import NamedTuple

from .errors import NotAStore, Unsupported

#: MARK-1, in bytes.
MARKER_MAX = 512
#: The versions that this implementation can read, and write.
READ, WRITE = 1, 1
_VERSIONS = re.compile(rb"sessiondir\nread ([1-9][0-9]{0,4})\nwrite ([1-9][0-9]{0,4})\n")
_REST = re.compile(rb"naming (plain|hashed)\ndurability (power|process)\n((?:[ -~]+\n)*)\Z")


class Marker(NamedTuple):
    """What a marker says."""

    naming: str
    durability: str
    #: Whether this implementation may change the store (MARK-3).
    writable: bool


def text(naming: str, durability: str) -> bytes:
    """The marker of a new store."""
    return f"sessiondir\nread {READ}\nwrite {WRITE}\nnaming {naming}\ndurability {durability}\n".encode("ascii")


def parse(data: bytes) -> Marker:
    """MARK-1 to MARK-4; ``data`` is the file, or its first ``MARKER_MAX`` + 1 bytes."""
    versions = _VERSIONS.match(data)
    if versions is None:
        raise NotAStore("the marker .sessiondir is malformed", rule="MARK-1", offset=0)
    read, write = int(versions[1]), int(versions[2])
    if read > READ:
        raise Unsupported(f"the store has read version {read}; this implementation knows {READ}", rule="MARK-2", offset=11)
    if len(data) > MARKER_MAX:
        raise NotAStore("the marker .sessiondir is too long", rule="MARK-1", offset=0)
    rest = _REST.match(data, versions.end())
    if rest is None:
        raise NotAStore("the marker .sessiondir is malformed", rule="MARK-1", offset=versions.end())
    if write <= WRITE and rest[3]:
        raise NotAStore("the marker .sessiondir has lines that its version does not", rule="MARK-4", offset=rest.start(3))
    return Marker(rest[1].decode("ascii"), rest[2].decode("ascii"), write <= WRITE)
