"""Web sessions as files in a directory that programs of any language can share: version 1 of the sessiondir format."""

from .errors import (Busy, Conflict, Corrupt, Error, Gone, InvalidId, InvalidValue, Io, NoSpace, NotAStore,
                     OutcomeUnknown, Reentrant, TooLarge, UnsafeDirectory, Unsupported)
from .making import make_store
from .names import Key, is_session_id
from .session import Session
from .store import DirectoryStore
from .sweep import Swept

__version__ = "0.1.0"

__all__ = [
    "Busy", "Conflict", "Corrupt", "DirectoryStore", "Error", "Gone", "InvalidId", "InvalidValue", "Io", "Key",
    "NoSpace", "NotAStore", "OutcomeUnknown", "Reentrant", "Session", "Swept", "TooLarge", "UnsafeDirectory",
    "Unsupported", "is_session_id", "make_store",
]
