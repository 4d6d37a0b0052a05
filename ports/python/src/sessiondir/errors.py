"""The error classes of SPEC section 14.1 (ERR-1).

No message holds a session ID or the name of a session's file (NAME-8): a session is shown as ``#`` and eight digits.
"""

from __future__ import annotations

import errno
import os
from typing import Dict, Optional, Type

__all__ = [
    "Error", "InvalidId", "Gone", "Conflict", "Corrupt", "Unsupported", "TooLarge", "Busy", "NoSpace", "NotAStore",
    "OutcomeUnknown", "Io", "InvalidValue", "Reentrant", "UnsafeDirectory", "CLASSES",
]


class Error(Exception):
    """A failed operation.

    ``class_`` and ``number`` are those of SPEC section 14.1. ``rule`` is the id of the rule that was broken and
    ``offset`` the place in the file, where they are known.
    """

    class_ = "io"
    number = 11

    def __init__(self, message: str, rule: Optional[str] = None, offset: Optional[int] = None) -> None:
        super().__init__(message)
        self.message = message
        self.rule = rule
        self.offset = offset

    def __str__(self) -> str:
        place = "" if self.rule is None else " (%s%s)" % (
            self.rule, "" if self.offset is None else " at byte %d" % self.offset)
        return "%s: %s%s" % (self.class_, self.message, place)


class InvalidId(Error):
    """The text is no session ID. Treat it as no session."""

    class_, number = "invalid-id", 1


class Gone(Error):
    """The session to be changed is absent or expired. Treat the user as logged out."""

    class_, number = "gone", 2


class Conflict(Error):
    """Somebody else has saved since. Load again and redo."""

    class_, number = "conflict", 3


class Corrupt(Error):
    """The session's file breaks a rule."""

    class_, number = "corrupt", 4


class Unsupported(Error):
    """A version or an extension that this implementation does not know."""

    class_, number = "unsupported", 5


class TooLarge(Error):
    """The record would break a limit of the format: 16 MiB - 64 bytes, or 2^53 - 1 revisions."""

    class_, number = "too-large", 6


class Busy(Error):
    """The lock was not free in time (LOCK-10)."""

    class_, number = "busy", 7


class NoSpace(Error):
    """The disk or the quota is full; the old record stands."""

    class_, number = "no-space", 8


class NotAStore(Error):
    """No marker, a malformed one, or no lock directory."""

    class_, number = "not-a-store", 9


class OutcomeUnknown(Error):
    """A sync failed, or a write failed after it may have become visible. Load again."""

    class_, number = "outcome-unknown", 10


class Io(Error):
    """Another failure of the system. ``errno`` says which, where there is one."""

    class_, number = "io", 11

    def __init__(self, message: str, rule: Optional[str] = None, offset: Optional[int] = None,
                 errno: Optional[int] = None) -> None:
        super().__init__(message, rule, offset)
        self.errno = errno


class InvalidValue(Error):
    """A value that the format cannot hold."""

    class_, number = "invalid-value", 12


class Reentrant(Error):
    """A call into a store from within a function that a store has called."""

    class_, number = "reentrant", 13


class UnsafeDirectory(Error):
    """DIR-4, DIR-5 or DIR-7: mend the owner, the mode or the place."""

    class_, number = "unsafe-directory", 14


CLASSES: Dict[str, Type[Error]] = {
    kind.class_: kind
    for kind in (InvalidId, Gone, Conflict, Corrupt, Unsupported, TooLarge, Busy, NoSpace, NotAStore, OutcomeUnknown,
                 Io, InvalidValue, Reentrant, UnsafeDirectory)
}


def from_os(error: OSError, what: str) -> Error:
    """The class for a failed system call: ``no-space`` for ENOSPC and EDQUOT, else ``io``."""
    number = error.errno or 0
    message = "%s: %s" % (what, os.strerror(number))
    if number in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(message)
    return Io(message, errno=number)
