"""The marker `.sessiondir` (SPEC section 5.2)."""

from __future__ import annotations

import re
from typing import NamedTuple, Union

from .errors import NotAStore, Unsupported
from .names import NAMINGS

MAX_LENGTH = 512
# Enough to see that a marker is too long, and all that MARK-2 looks at.
READ_LENGTH = MAX_LENGTH + 1
POWER = "power"
PROCESS = "process"
DURABILITIES = (POWER, PROCESS)
KNOWN_READ = 1
KNOWN_WRITE = 1

_VERSION = re.compile(rb"[1-9][0-9]{0,4}")
_LATER = re.compile(rb"[\x20-\x7e]+")


class Marker(NamedTuple):
    read: int
    write: int
    naming: str
    durability: str

    @property
    def writable(self) -> bool:
        """Whether this implementation may change the store (MARK-3)."""
        return self.write <= KNOWN_WRITE

    def encode(self) -> bytes:
        return ("sessiondir\nread %d\nwrite %d\nnaming %s\ndurability %s\n" % self).encode("ascii")


def _broken(at: int, rule: str = "MARK-1") -> NotAStore:
    return NotAStore("the marker is malformed", rule, at)


class _Lines:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self) -> bytes:
        """The next line, without its LF; it stays the one to blame until `done`."""
        stop = self.data.find(b"\n", self.at)
        if stop < 0:
            raise _broken(self.at)
        return self.data[self.at:stop]

    def done(self, line: bytes) -> None:
        self.at += len(line) + 1

    def word(self, word: bytes, choices: Union[None, "tuple[str, ...]"]) -> str:
        line = self.take()
        value = line[len(word) + 1:]
        good = line.startswith(word + b" ")
        if choices is None:
            good = good and _VERSION.fullmatch(value) is not None
        else:
            good = good and value.decode("latin-1") in choices
        if not good:
            raise _broken(self.at)
        self.done(line)
        return value.decode("ascii")


def parse(data: bytes) -> Marker:
    """What a marker says; ``data`` may be its first READ_LENGTH bytes.

    Raises NotAStore (MARK-1, MARK-4) and Unsupported (MARK-2).
    """
    lines = _Lines(data)
    first = lines.take()
    if first != b"sessiondir":
        raise _broken(0)
    lines.done(first)
    read_at = lines.at
    read = int(lines.word(b"read", None))
    write = int(lines.word(b"write", None))
    if read > KNOWN_READ:
        raise Unsupported("the store has read version %d; %d is known" % (read, KNOWN_READ), "MARK-2", read_at)
    if len(data) > MAX_LENGTH:
        raise _broken(0)
    naming = lines.word(b"naming", NAMINGS)
    durability = lines.word(b"durability", DURABILITIES)
    while lines.at < len(data):
        line = lines.take()
        if _LATER.fullmatch(line) is None:
            raise _broken(lines.at)
        if write <= KNOWN_WRITE:
            raise _broken(lines.at, "MARK-4")
        lines.done(line)
    return Marker(read, write, naming, durability)
