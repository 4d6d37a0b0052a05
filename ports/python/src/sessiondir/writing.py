"""Writing a session's file under its lock: SPEC.md sections 10.3 to 10.5."""

from __future__ import annotations

import os
from typing import Dict, Optional, Set, Tuple

from . import directory as files
from . import record
from .directory import Directory
from .errors import IoError, NoSpace, OutcomeUnknown, of_system
from .names import Name
from .reading import Current

#: Files whose last sync is remembered; more would be memory, not safety.
_REMEMBERED = 4096

_Identity = Tuple[int, int]


def _identity(stat: os.stat_result) -> _Identity:
    return stat.st_dev, stat.st_ino


class Writer:
    """Writes the files of one store. Its caller holds the session's lock."""

    def __init__(self, directory: Directory, durability: str) -> None:
        self.directory = directory
        self.is_durable = durability == "power"
        #: Of each file, the seq of the record that this process has synced itself (WRITE-4).
        self._synced: Dict[_Identity, int] = {}
        #: Files whose last sync, or that of the directory after making them, failed (WRITE-6).
        self._failed: Set[_Identity] = set()

    def next(self, name: Name, fd: int, current: Current, encoded: bytes, is_touch: bool = False) -> None:
        """Writes the record after ``current``: in place, or where that cannot be, in a new file (WRITE-6)."""
        room = len(encoded) if is_touch else len(encoded) + record.SPARE
        identity = _identity(current.stat)
        if room > current.size or current.stat.st_nlink != 1 or identity in self._failed:
            self.replace(name, encoded, current.envelope.seq + 1)
            self._failed.discard(identity)
            return
        seq = current.envelope.seq + 1
        slot = seq % 2
        if self.is_durable and self._synced.get(identity) != current.envelope.seq:
            self._sync_before(name, fd, record.is_empty(current.data, slot, current.size))
        self._synced.pop(identity, None)
        self._overwrite(name, fd, slot * current.size, encoded.ljust(current.size, b"\0"), len(encoded))
        if not self.is_durable:
            return
        try:
            files.sync(fd)
        except OSError:
            # The same bytes are never synced again: Linux would say that all is well (WRITE-7).
            self._failed.add(identity)
            self._replace_after_failure(name, encoded)
            return
        self._remember(identity, seq)

    def _remember(self, identity: _Identity, seq: int) -> None:
        # Operations on a dict are atomic, so threads that work on different sessions need no mutex for it.
        if len(self._synced) >= _REMEMBERED:
            self._synced.clear()
        self._synced[identity] = seq

    def _sync_before(self, name: Name, fd: int, other_is_empty: bool) -> None:
        """WRITE-4: the record that stays has to be durable before the other one is overwritten."""
        try:
            files.sync(fd)
            if other_is_empty:
                self.directory.sync()
        except OSError as error:
            raise of_system("sync the file before the save", error, name.shown) from error

    def _overwrite(self, name: Name, fd: int, at: int, slot: bytes, used: int) -> None:
        """WRITE-3, WRITE-8."""
        written = 0
        try:
            while written < len(slot):
                count = os.pwrite(fd, slot[written:] if written else slot, at + written)
                if count == 0:
                    raise OSError(0, "nothing was written")
                written += count
        except OSError as error:
            if written >= used:
                raise OutcomeUnknown(f"{name.shown}: the write failed after the record; load the session again") from error
            raise of_system("write the file", error, name.shown) from error

    def _replace_after_failure(self, name: Name, encoded: bytes) -> None:
        envelope = record.read_envelope(encoded, 0, len(encoded))
        body = encoded[envelope.body : envelope.body_end]
        try:
            self.replace(name, record.build(envelope.seq + 1, body), envelope.seq + 1)
        except (IoError, NoSpace, OutcomeUnknown) as error:
            raise OutcomeUnknown(f"{name.shown}: the sync failed; load the session again") from error

    def create(self, name: Name, encoded: bytes) -> None:
        """The first record of a session (WRITE-11 is the caller's to see to)."""
        identity = self._put(name, encoded, record.slot_size(len(encoded)), 2, self.is_durable)
        if not self.is_durable:
            return
        try:
            self.directory.sync()
        except OSError as error:
            # Nobody learns its ID: it goes again.
            try:
                self.directory.unlink_session(name.file, name.shown)
            except (IoError, NoSpace) as failure:
                raise OutcomeUnknown(f"{name.shown}: neither made nor undone for certain") from failure
            raise of_system("sync the directory", error, name.shown) from error
        self._remember(identity, 2)

    def replace(self, name: Name, encoded: bytes, seq: int) -> None:
        """A new file in the place of the old one (10.5): synced in every store (WRITE-13)."""
        identity = self._put(name, encoded, record.slot_size(len(encoded)), seq, True)
        if not self.is_durable:
            return
        try:
            self.directory.sync()
        except OSError as error:
            self._failed.add(identity)
            raise OutcomeUnknown(f"{name.shown}: the sync of the directory failed; load the session again") from error
        self._remember(identity, seq)

    def _put(self, name: Name, encoded: bytes, size: int, seq: int, is_synced: bool) -> _Identity:
        """Makes the file as the session's temp, and renames it (WRITE-12 to WRITE-15)."""
        made = False
        try:
            self.directory.unlink_temp(name.temp, name.shown)
            fd = self.directory.make(name.temp)
            made = True
            try:
                slots = (encoded.ljust(size, b"\0"), bytes(size))
                whole = slots[0] + slots[1] if seq % 2 == 0 else slots[1] + slots[0]
                written = 0
                while written < len(whole):
                    count = os.pwrite(fd, whole[written:] if written else whole, written)
                    if count == 0:
                        raise OSError(0, "nothing was written")
                    written += count
                if is_synced:
                    files.sync(fd, data_only=False)
                identity = _identity(os.fstat(fd))
            finally:
                os.close(fd)
            # A file that bore this number before is another one.
            self._synced.pop(identity, None)
            self._failed.discard(identity)
            self.directory.rename(name.temp, name.file)
            return identity
        except OSError as error:
            if made:
                self._drop_temp(name)
            raise of_system("make the file", error, name.shown) from error
        except BaseException:
            if made:
                self._drop_temp(name)
            raise

    def _drop_temp(self, name: Name) -> None:
        try:
            self.directory.unlink_temp(name.temp, name.shown)
        except (IoError, NoSpace):
            # It is debris; the next holder of the lock removes it.
            pass

    def sync_directory(self, name: Optional[Name], what: str) -> None:
        """After an unlink, where the store is durable (DEL-3)."""
        if not self.is_durable:
            return
        try:
            self.directory.sync()
        except OSError as error:
            raise OutcomeUnknown(f"{name.shown if name else 'the store'}: {what} may not survive a power cut") from error
