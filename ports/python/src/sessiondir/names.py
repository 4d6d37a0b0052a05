"""Names: SPEC.md section 4. What is a session ID, what is derived from it, and what an entry of a store is."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from typing import Optional, Union

from .errors import InvalidId

#: NAME-1. ``\\Z`` and not ``$``, which would let a newline pass.
_ID = re.compile(rb"[0-9A-Za-z_-]{11,128}\Z")
_KEY = re.compile(rb"[0-9a-f]{64}\Z")
_RUN = re.compile(rb"[0-9A-Za-z_-]{11,}")
_QUARANTINED = re.compile(rb"(?:0|[1-9][0-9]{0,14})\Z")

MARKER = ".sessiondir"
MARKER_TEMP = ".sessiondir.tmp"
LOCK_DIRECTORY = ".lock"
QUARANTINE = ".quarantine"
IMPORTS = ".imports"
TEMP_PREFIX = ".tmp."
LOCK_FILES = 64


def is_id(text: Union[str, bytes]) -> bool:
    """Whether the text is a session ID (NAME-1)."""
    if isinstance(text, str):
        # What is not ASCII is none; surrogates of undecodable bytes among it.
        if not text.isascii():
            return False
        text = text.encode("ascii")
    return _ID.match(text) is not None


class Key:
    """*d*, the SHA-256 of a session ID: all that a store of naming ``hashed`` knows of it."""

    __slots__ = ("digest",)

    def __init__(self, digest: bytes) -> None:
        if len(digest) != 32:
            raise InvalidId("a key has 32 bytes")
        self.digest = digest

    @classmethod
    def of(cls, session_id: str) -> Key:
        """The key of a session ID; refuses what is none (NAME-2)."""
        if not isinstance(session_id, str) or not is_id(session_id):
            raise InvalidId("no session ID: it has 11 to 128 of the characters A-Z a-z 0-9 - _", rule="NAME-1", offset=0)
        return cls(hashlib.sha256(session_id.encode("ascii")).digest())

    @classmethod
    def from_hex(cls, text: str) -> Key:
        """The key that 64 lower-case hexadecimal digits say."""
        if not text.isascii() or not _KEY.match(text.encode("ascii")):
            raise InvalidId("no key: it has 64 lower-case hexadecimal digits")
        return cls(bytes.fromhex(text))

    @property
    def hex(self) -> str:
        """64 lower-case hexadecimal digits: the file's name in naming ``hashed`` (NAME-6)."""
        return self.digest.hex()

    @property
    def shown(self) -> str:
        """What may be shown of the session (NAME-8)."""
        return "#" + self.digest.hex()[:8]

    @property
    def lock_file(self) -> int:
        """The number of the lock file, 0 to 63 (LOCK-2)."""
        return self.digest[0] & 0x3F

    @property
    def lock_byte(self) -> int:
        """The byte of it (LOCK-2)."""
        return int.from_bytes(self.digest[1:5], "big") & 0x7FFFFFFF

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<Key {self.shown}>"


#: What a session is called by: its ID, or in a store of naming ``hashed`` its key.
SessionRef = Union[str, Key]


class Name:
    """A session as one store knows it: its file's name, its key, and its ID where that is known."""

    __slots__ = ("file", "key", "id")

    def __init__(self, reference: SessionRef, naming: str) -> None:
        if isinstance(reference, Key):
            if naming != "hashed":
                raise InvalidId("a store of naming plain knows sessions by their IDs")
            self.key, self.id = reference, None
        else:
            self.key, self.id = Key.of(reference), reference
        self.file: str = self.key.hex if self.id is None or naming == "hashed" else self.id

    id: Optional[str]
    key: Key

    @property
    def temp(self) -> str:
        """The file in which the session's file is made."""
        return TEMP_PREFIX + self.file

    @property
    def shown(self) -> str:
        return self.key.shown


def generate() -> str:
    """A new session ID: 132 bits from the system's generator, 22 characters (NAME-4)."""
    return base64.urlsafe_b64encode(os.urandom(18)).decode("ascii")[:22]


def is_name(name: bytes, naming: str) -> bool:
    """Whether a session's file can be called that."""
    return (_ID if naming == "plain" else _KEY).match(name) is not None


def classify(name: bytes, kind: str, naming: str) -> str:
    """What an entry is (NAME-9); ``kind`` is ``regular``, ``directory`` or ``other``."""
    controls = {b".lock": ("directory", "lock-directory"), b".quarantine": ("directory", "quarantine"),
                b".sessiondir": ("regular", "marker"), b".sessiondir.tmp": ("regular", "marker-temp"),
                b".imports": ("regular", "imports")}
    if name in controls:
        needed, class_ = controls[name]
        return class_ if kind == needed else "foreign"
    if kind == "regular":
        prefix = TEMP_PREFIX.encode("ascii")
        if name.startswith(prefix) and is_name(name[len(prefix):], naming):
            return "temp"
        if is_name(name, naming):
            return "session"
    return "foreign"


def quarantined_at(name: bytes, naming: str) -> Optional[int]:
    """When a repair moved this entry of ``.quarantine`` there, in ms; ``None`` if none did."""
    session, _, time = name.rpartition(b".")
    return int(time) if is_name(session, naming) and _QUARANTINED.match(time) else None
