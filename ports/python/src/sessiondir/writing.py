"""Writing records: in place, and as new files (SPEC sections 10.3 to 10.5)."""

from __future__ import annotations

import os
from typing import Callable, Dict, Optional, Set

from . import slots
from .directory import NEW, Directory, Identity, ShortWrite, close, identity, write_all, write_whole
from .errors import Error, OutcomeUnknown, from_os
from .marker import POWER
from .names import TEMP_PREFIX
from .reading import Current

_REMEMBERED = 16384


class Memory:
    """What this process knows of files by device and inode (WRITE-4, WRITE-6). Each call is one step of a dict."""

    def __init__(self) -> None:
        # The digest of the current record that this process synced, with the directory where it made the file. The
        # digest says more than the seq: an inode that is used again holds another session.
        self._synced: Dict[Identity, bytes] = {}
        self._suspect: Set[Identity] = set()

    def synced(self, file: Identity, digest: bytes) -> None:
        if len(self._synced) >= _REMEMBERED:
            self._synced.clear()
        self._synced[file] = digest

    def is_synced(self, file: Identity, digest: bytes) -> bool:
        return self._synced.get(file) == digest

    def suspect(self, file: Identity) -> None:
        """A sync of this file failed: no later one proves anything."""
        self._synced.pop(file, None)
        self._suspect.add(file)

    def is_suspect(self, file: Identity) -> bool:
        return file in self._suspect

    def forget(self, file: Identity) -> None:
        self._suspect.discard(file)


class Writer:
    """Writes records of one store, under a lock that the caller holds."""

    def __init__(self, directory: Directory, durability: str, memory: Memory) -> None:
        self.directory = directory
        self.power = durability == POWER
        self.memory = memory

    def create(self, name: str, shown: str, record: bytes) -> None:
        """A new session's file (WRITE-11 to WRITE-15)."""
        file = self._put(name, shown, record, 0, False)
        failure: Optional[OSError] = None
        if self.power:
            try:
                self.directory.sync()
            except OSError as error:
                failure = error
            if failure is not None:
                # Nobody learns the ID of this session.
                try:
                    self.directory.unlink(name)
                except OSError:
                    raise OutcomeUnknown("sync of the directory failed after session %s was made" % shown) from None
                raise from_os(failure, "sync of the directory")
            self.memory.synced(file, record[-32:])

    def replace(self, name: str, shown: str, current: Current, record: bytes, seq: int) -> None:
        """A new file in the place of the old one (section 10.5)."""
        file = self._put(name, shown, record, seq % 2, True)
        self.memory.forget(current.identity)
        if not self.power:
            return
        failed = False
        try:
            self.directory.sync()
        except OSError:
            failed = True
        if failed:
            self.memory.suspect(file)
            raise OutcomeUnknown("sync of the directory failed after session %s was replaced" % shown)
        self.memory.synced(file, record[-32:])

    def _put(self, name: str, shown: str, record: bytes, index: int, replacing: bool) -> Identity:
        """Writes and syncs the temp, and renames it. Whatever fails before the rename leaves no temp (WRITE-15)."""
        slot = slots.slot_for(len(record))
        temp = TEMP_PREFIX + name
        what = "making the file of session %s" % shown
        failure: Optional[OSError] = None
        fd = -1
        made = False
        try:
            self.directory.unlink_regular(temp)
            fd = self.directory.open(temp, NEW)
            made = True
            data = bytearray(2 * slot)
            data[index * slot:index * slot + len(record)] = record
            write_whole(fd, bytes(data))
            if self.power or replacing:
                self.directory.sync_file(fd)
            file = identity(os.fstat(fd))
            self.directory.rename(temp, name)
            made = False
        except OSError as error:
            failure = error
        finally:
            if fd >= 0:
                close(fd)
            if made:
                try:
                    self.directory.unlink(temp)
                except OSError:
                    pass
        if failure is not None:
            raise from_os(failure, what)
        # An inode number that a suspect file had before has a new life.
        self.memory.forget(file)
        return file

    def next(self, name: str, shown: str, current: Current, make: Callable[[int], bytes], touch: bool) -> None:
        """The next record of a session: in place if it may be, else in a new file (WRITE-2 to WRITE-8).

        ``make`` gives the record for a seq.
        """
        seq = current.seq + 1
        record = make(seq)
        length = len(record)
        fits = length + (0 if touch else slots.ROOM) <= current.slot
        if not fits or current.links != 1 or self.memory.is_suspect(current.identity):
            self.replace(name, shown, current, record, seq)
            return
        smaller = current.slot > slots.MIN_SLOT and length + slots.ROOM <= current.slot // 8
        if smaller and not touch and self._shrink(name, shown, current, record, seq):
            return
        if self.power and not self._make_sure(current):
            self.replace(name, shown, current, record, seq)
            return
        self._overwrite(shown, current, record, seq)
        if not self.power:
            return
        failed = False
        try:
            self.directory.sync_file(current.fd)
        except OSError:
            failed = True
        if failed:
            # WRITE-7: a second sync of the same bytes would prove nothing.
            self.memory.suspect(current.identity)
            self._replace_at_once(name, shown, current, make, seq + 1)
            return
        self.memory.synced(current.identity, record[-32:])

    def _shrink(self, name: str, shown: str, current: Current, record: bytes, seq: int) -> bool:
        """A smaller file for a record of less than an eighth of its slot; False where there is no room for it."""
        try:
            self.replace(name, shown, current, record, seq)
        except OutcomeUnknown:
            raise
        except Error:
            return False
        return True

    def _make_sure(self, current: Current) -> bool:
        """WRITE-4: the current record is durable before the other slot is overwritten. False where the file is to be
        replaced instead."""
        if self.memory.is_synced(current.identity, current.envelope.digest):
            return True
        # WRITE-6: what a power cut has torn could become whole by bytes of the new record, if that is torn too.
        return current.other_sound and self._sync(current)

    def _sync(self, current: Current) -> bool:
        try:
            self.directory.sync_file(current.fd)
            if current.other.empty:
                self.directory.sync()
        except OSError:
            self.memory.suspect(current.identity)
            return False
        return True

    def keep(self, name: str, shown: str, current: Current, make: Callable[[int], bytes]) -> None:
        """For a save that changes nothing: its success says that what is stored is durable, whoever wrote it (WRITE-9).

        ``make`` gives the same record for a seq.
        """
        if not self.power or self.memory.is_synced(current.identity, current.envelope.digest):
            return
        if self.memory.is_suspect(current.identity) or not self._sync(current):
            self.replace(name, shown, current, make(current.seq + 1), current.seq + 1)
        elif current.other_sound:
            # Else the next save would write over what a power cut has torn (WRITE-6).
            self.memory.synced(current.identity, current.envelope.digest)

    def _overwrite(self, shown: str, current: Current, record: bytes, seq: int) -> None:
        """WRITE-3, WRITE-8."""
        slot = current.slot
        short: Optional[ShortWrite] = None
        try:
            write_all(current.fd, record + bytes(slot - len(record)), (seq % 2) * slot)
        except ShortWrite as caught:
            short = caught
        if short is None:
            return
        if short.written >= len(record):
            raise OutcomeUnknown("a write of session %s failed after its record" % shown)
        raise from_os(short.error, "write of session %s" % shown)

    def _replace_at_once(self, name: str, shown: str, current: Current, make: Callable[[int], bytes],
                         seq: int) -> None:
        done = False
        try:
            self.replace(name, shown, current, make(seq), seq)
            done = True
        except Error:
            pass
        if not done:
            raise OutcomeUnknown("a sync of session %s failed" % shown)
