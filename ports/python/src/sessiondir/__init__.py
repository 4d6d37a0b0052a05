"""Web sessions in a directory, one file a session, in a format that any language can read and write.

An implementation of SPEC.md of sessiondir, format version 1: reader, writer and collector.

    >>> import tempfile
    >>> store = DirectoryStore(tempfile.mkdtemp() + "/sessions", create=True)
    >>> session = Session({"cart": ["A-1"]})
    >>> session.user = "ada"
    >>> cookie = store.create(session)
    >>> store.load(cookie)["cart"]
    ['A-1']
    >>> store.delete(cookie)
    True
"""

from .errors import (
    Busy,
    Conflict,
    Corrupt,
    Error,
    Gone,
    InvalidId,
    InvalidValue,
    IoError,
    NoSpace,
    NotAStore,
    OutcomeUnknown,
    Reentrant,
    TooLarge,
    UnsafeDirectory,
    Unsupported,
)
from .names import Key
from .session import Session
from .store import DirectoryStore, Swept

__version__ = "0.1.0"

__all__ = [
    "Busy",
    "Conflict",
    "Corrupt",
    "DirectoryStore",
    "Error",
    "Gone",
    "InvalidId",
    "InvalidValue",
    "IoError",
    "Key",
    "NoSpace",
    "NotAStore",
    "OutcomeUnknown",
    "Reentrant",
    "Session",
    "Swept",
    "TooLarge",
    "UnsafeDirectory",
    "Unsupported",
]
