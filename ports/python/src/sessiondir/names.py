"""Session IDs, file names, locks' places, and what is shown (SPEC section 4, LOCK-2)."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import NamedTuple, Optional, Union

from .errors import InvalidId

_ID = re.compile(r"[A-Za-z0-9_-]{11,128}", re.ASCII)
_HASHED = re.compile(r"[0-9a-f]{64}", re.ASCII)
_QUARANTINED = re.compile(r"(.+)\.(0|[1-9][0-9]{0,14})", re.ASCII | re.DOTALL)

PLAIN = "plain"
HASHED = "hashed"
NAMINGS = (PLAIN, HASHED)

MARKER = ".sessiondir"
MARKER_TEMP = ".sessiondir.tmp"
LOCK_DIRECTORY = ".lock"
QUARANTINE = ".quarantine"
IMPORTS = ".imports"
TEMP_PREFIX = ".tmp."

LOCK_FILES = tuple("%02x" % number for number in range(64))


class Place(NamedTuple):
    """A session's lock: the file's number in ``.lock`` and the byte *K* (LOCK-2)."""

    file: int
    byte: int

    @property
    def file_name(self) -> str:
        return LOCK_FILES[self.file]


class Key:
    """*d*, the SHA-256 of a session ID: what a store of naming ``hashed`` knows of a session."""

    __slots__ = ("digest",)

    def __init__(self, digest: Union[bytes, str]) -> None:
        if isinstance(digest, str):
            if _HASHED.fullmatch(digest) is None:
                raise InvalidId("a key has 64 lower-case hexadecimal digits")
            digest = bytes.fromhex(digest)
        if len(digest) != 32:
            raise InvalidId("a key has 32 bytes")
        self.digest = bytes(digest)

    @classmethod
    def of(cls, session_id: str) -> Key:
        """The key of a session ID."""
        return cls(hashlib.sha256(session_id.encode("ascii")).digest())

    def hex(self) -> str:
        return self.digest.hex()

    @property
    def shown(self) -> str:
        """``#`` and the first 8 hexadecimal digits (NAME-8)."""
        return "#" + self.digest[:4].hex()

    @property
    def place(self) -> Place:
        return Place(self.digest[0] & 0x3F, int.from_bytes(self.digest[1:5], "big") & 0x7FFFFFFF)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return "<Key %s>" % self.shown


def is_session_id(text: object) -> bool:
    """Whether ``text`` is a session ID (NAME-1)."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def check_id(text: object) -> str:
    """``text``, or ``InvalidId`` without repeating it (NAME-2)."""
    if not isinstance(text, str) or _ID.fullmatch(text) is None:
        raise InvalidId("a session ID has 11 to 128 of the characters A-Z a-z 0-9 - _", "NAME-1")
    return str(text)


def new_id() -> str:
    """A new ID: 128 bits of the system's random generator in 22 characters (NAME-4)."""
    return secrets.token_urlsafe(16)


def is_name(text: str, naming: str) -> bool:
    """Whether ``text`` can be the name of a session's file."""
    return (_ID if naming == PLAIN else _HASHED).fullmatch(text) is not None


def key_of_name(name: str, naming: str) -> Key:
    """*d* of the session whose file has this name."""
    return Key.of(name) if naming == PLAIN else Key(name)


def classify(name: str, kind: str, naming: str) -> str:
    """The class of an entry (section 4.4, NAME-9); ``kind`` is ``regular``, ``directory`` or ``other``."""
    if kind == "directory":
        return {LOCK_DIRECTORY: "lock-directory", QUARANTINE: "quarantine"}.get(name, "foreign")
    if kind != "regular":
        return "foreign"
    fixed = {MARKER: "marker", MARKER_TEMP: "marker-temp", IMPORTS: "imports"}.get(name)
    if fixed is not None:
        return fixed
    if name.startswith(TEMP_PREFIX) and is_name(name[len(TEMP_PREFIX):], naming):
        return "temp"
    return "session" if is_name(name, naming) else "foreign"


def quarantined_at(name: str, naming: str) -> Optional[int]:
    """When a repair moved the entry aside, in Unix ms; None where the name does not match ``quarantined``."""
    match = _QUARANTINED.fullmatch(name)
    if match is None or not is_name(match.group(1), naming):
        return None
    return int(match.group(2))


class Located(NamedTuple):
    """A session in a store: its file's name, its key, and its ID where that is known."""

    name: str
    key: Key
    id: Optional[str]


def locate(name: Union[str, Key], naming: str) -> Located:
    """Where a session is (NAME-2, NAME-5 to NAME-7). Raises InvalidId."""
    if isinstance(name, Key):
        if naming == PLAIN:
            raise InvalidId("a store of naming plain finds no session by its key")
        return Located(name.hex(), name, None)
    text = check_id(name)
    key = Key.of(text)
    return Located(text if naming == PLAIN else key.hex(), key, text)


def locate_name(name: str, naming: str) -> Located:
    """The session whose file has this name."""
    return Located(name, key_of_name(name, naming), name if naming == PLAIN else None)
