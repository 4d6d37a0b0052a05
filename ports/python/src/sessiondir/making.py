"""Making a store, by one of several processes that try at once (DIR-2, DIR-3, SPEC section 10.1)."""

from __future__ import annotations

import os
import stat
from typing import Optional

from .directory import Directory, call, close, sync_directory
from .errors import Error, NotAStore, from_os
from .locks import TABLE
from .marker import DURABILITIES, POWER, Marker
from .names import LOCK_DIRECTORY, LOCK_FILES, MARKER, MARKER_TEMP, NAMINGS, PLAIN


def make_store(path: str, naming: str = PLAIN, durability: str = POWER, lock_timeout: float = 5.0,
               group: bool = False, allow_remote: bool = False) -> bool:
    """Makes a store of the directory ``path``, which may be there and empty; False where it is a store already.

    A store that is there keeps its naming and durability (MARK-5). Its parent has to be there. Raises NotAStore
    (DIR-3) where the directory holds anything else, UnsafeDirectory, Busy or Io.
    """
    if naming not in NAMINGS or durability not in DURABILITIES:
        raise ValueError("naming is plain or hashed, durability power or process")
    failure: Optional[OSError] = None
    try:
        made = _make_directory(path, 0o2770 if group else 0o700)
        directory = Directory(path, group, allow_remote)
        return _make(directory, path, made, Marker(1, 1, naming, durability), lock_timeout)
    except OSError as error:
        failure = error
    raise from_os(failure, "making a store")


def _make_directory(path: str, mode: int) -> bool:
    try:
        call(os.mkdir, path, mode)
    except FileExistsError:
        return False
    descriptor = call(os.open, path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
            call(os.fchmod, descriptor, mode)
    finally:
        close(descriptor)
    return True


def _make(directory: Directory, path: str, made: bool, marker: Marker, lock_timeout: float) -> bool:
    if _is_store(directory):
        return False
    directory.make_directory(LOCK_DIRECTORY)
    TABLE.make_files(directory)
    with TABLE.acquire_store(directory, lock_timeout):
        if _is_store(directory):
            return False
        if marker.naming == PLAIN:
            directory.check_case()
        directory.sync_below(LOCK_DIRECTORY)
        directory.write_marker(marker)
        _sync_parent(path, made)
    return True


def _is_store(directory: Directory) -> bool:
    """Whether it is a store; raises NotAStore where it can become none (DIR-3)."""
    if directory.lstat(MARKER) is not None and directory.read_marker() is not None:
        return True
    failure: Optional[Error] = None
    try:
        _check_empty(directory)
    except NotAStore as error:
        failure = error
    if failure is None:
        return False
    # A listing is no snapshot: what it found may be a session of the store that another has made meanwhile.
    if directory.read_marker() is not None:
        return True
    raise failure


def _check_empty(directory: Directory) -> None:
    for entry in directory.list():
        if entry.name == LOCK_DIRECTORY and entry.kind == "directory":
            for lock in directory.list(LOCK_DIRECTORY):
                status = directory.lock_status(lock.name) if lock.name in LOCK_FILES else None
                if lock.name not in LOCK_FILES or lock.kind != "regular" or (status is not None and status.st_size):
                    raise NotAStore("the lock directory holds something else", "DIR-3", 0)
        elif entry.name != MARKER_TEMP or entry.kind != "regular":
            raise NotAStore("the directory is not empty", "DIR-3", 0)


def _sync_parent(path: str, made: bool) -> None:
    """Also where somebody else made the directory: he may have died before his sync. Then it is no error of ours."""
    try:
        parent = call(os.open, os.path.join(path, os.pardir), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync_directory(parent)
        finally:
            close(parent)
    except OSError:
        if made:
            raise
