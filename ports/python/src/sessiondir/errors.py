"""The registry of errors: SPEC.md section 14.1. One exception a class, under one base."""

from __future__ import annotations

import errno
from typing import Optional


class Fault(Exception):
    """What is wrong with some bytes: the rule that they break, and the offset of the first byte that does."""

    def __init__(self, rule: str, offset: int) -> None:
        super().__init__(f"{rule} at byte {offset}")
        self.rule = rule
        self.offset = offset


class Error(Exception):
    """An operation that was not done. ``class_`` is its name in SPEC.md; messages never contain an ID (NAME-8)."""

    class_ = "io"

    def __init__(self, message: str, *, rule: Optional[str] = None, offset: Optional[int] = None) -> None:
        super().__init__(message)
        self.rule = rule
        self.offset = offset


class InvalidId(Error):
    """The text is no session ID: treat it as no session."""

    class_ = "invalid-id"


class Gone(Error):
    """The session that was to be changed is absent or expired: treat it as logged out."""

    class_ = "gone"


class Conflict(Error):
    """Somebody else has saved since: load again, and do the change again."""

    class_ = "conflict"


class Corrupt(Error):
    """The session's file breaks a rule: run ``sessiondir check``."""

    class_ = "corrupt"


class Unsupported(Error):
    """A version or an extension that this implementation does not know: update it."""

    class_ = "unsupported"


class TooLarge(Error):
    """The record would break a limit of the format: store less."""

    class_ = "too-large"


class Busy(Error):
    """The lock was not free in time: try again later."""

    class_ = "busy"


class NoSpace(Error):
    """The disk or the quota is full; the old record stands."""

    class_ = "no-space"


class NotAStore(Error):
    """There is no marker, a malformed one, or no lock directory: make a store."""

    class_ = "not-a-store"


class OutcomeUnknown(Error):
    """A sync failed, or a write failed after it may have become visible: load again."""

    class_ = "outcome-unknown"


class IoError(Error):
    """Another failure of the system; its ``OSError`` is the ``__cause__``."""

    class_ = "io"


class InvalidValue(Error):
    """A value that the format cannot hold: convert it. The message names the attribute."""

    class_ = "invalid-value"


class Reentrant(Error):
    """A call into a store from within an update's function: call it outside."""

    class_ = "reentrant"


class UnsafeDirectory(Error):
    """DIR-4, DIR-5 or DIR-7: mend the directory's owner, mode or place."""

    class_ = "unsafe-directory"


def of_system(operation: str, error: OSError, shown: str = "") -> Error:
    """The error for a system call that failed while ``operation`` was done for the session ``shown``."""
    about = f" of {shown}" if shown else ""
    text = f"{operation}{about}: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(text)
    return IoError(text)
