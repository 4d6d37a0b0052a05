"""Locks between processes, threads and children of fork (SPEC section 9)."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from pathlib import Path
from typing import Callable

import pytest

from sessiondir import Busy, DirectoryStore, Io, Key, NotAStore, Session

Child = Callable[[Callable[[], object]], int]
ID = "AAAAAAAAAAAAAAAAAAAAAA"


@pytest.fixture
def one(tmp_path: Path) -> DirectoryStore:
    store = DirectoryStore(tmp_path / "s", create=True, lock_timeout=0.2, durability="process")
    store.insert(ID, Session({"n": 0}))
    return store


def increment(session: Session) -> None:
    session["n"] += 1


class Holder:
    """Another process that holds a raw fcntl lock until it is killed."""

    def __init__(self, path: Path, start: int, length: int) -> None:
        told, tell = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                with open(path, "r+b") as file:
                    fcntl.lockf(file, fcntl.LOCK_EX, length, start)
                    os.write(tell, b"x")
                    time.sleep(60)
            finally:
                os._exit(0)
        os.close(tell)
        assert os.read(told, 1) == b"x"
        os.close(told)

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def lock_path(store: DirectoryStore) -> Path:
    return Path(store._path) / ".lock" / Key.of(ID).place.file_name


@pytest.mark.parametrize("whole", [True, False])
def test_another_process_excludes_writers_and_not_readers(one: DirectoryStore, whole: bool) -> None:
    byte = Key.of(ID).place.byte
    holder = Holder(lock_path(one), 0 if whole else byte, 0 if whole else 1)
    started = time.monotonic()
    with pytest.raises(Busy) as caught:
        one.update(ID, increment)
    assert 0.15 < time.monotonic() - started < 2 and caught.value.rule == "LOCK-10"
    with pytest.raises(Busy):
        one.delete(ID)
    assert one.has(ID)
    holder.end()
    assert one.update(ID, increment)["n"] == 1


def test_a_lock_that_is_taken_again_and_again_is_left_to_others(tmp_path: Path) -> None:
    """After LOCK-10: else it is free for microseconds of each 150 ms, which a waiter seldom meets."""
    store = DirectoryStore(tmp_path / "s", create=True, lock_timeout=1.5, durability="process")
    store.insert(ID, Session({"n": 0}))
    pid = os.fork()
    if pid == 0:
        try:
            while True:
                store.update(ID, lambda _: time.sleep(0.15))
        finally:
            os._exit(0)
    try:
        for _ in range(12):
            # Time for the other process to take it again.
            time.sleep(0.005)
            store.update(ID, increment)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert store.load(ID)["n"] == 12  # type: ignore[index]


def test_another_byte_does_not_exclude(one: DirectoryStore) -> None:
    holder = Holder(lock_path(one), Key.of(ID).place.byte + 1, 1)
    assert one.update(ID, increment)["n"] == 1
    holder.end()


def test_our_lock_is_seen_by_others(one: DirectoryStore, child: Child) -> None:
    place = Key.of(ID).place

    def try_to_lock() -> None:
        with open(lock_path(one), "r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place.byte)

    def within(session: Session) -> None:
        assert child(try_to_lock) == 1

    one.update(ID, within)
    assert child(try_to_lock) == 0


def test_threads_exclude_each_other_across_stores(one: DirectoryStore, child: Child) -> None:
    other = DirectoryStore(one._path, lock_timeout=0)
    inside, leave = threading.Event(), threading.Event()

    def within(session: Session) -> None:
        inside.set()
        assert leave.wait(10)

    thread = threading.Thread(target=one.update, args=(ID, within))
    thread.start()
    assert inside.wait(10)
    with pytest.raises(Busy):
        other.update(ID, increment)
    other.close()
    # Closing a store must not drop the lock of the thread that holds it (LOCK-8).

    def try_to_lock() -> None:
        with open(lock_path(one), "r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    assert child(try_to_lock) == 1
    leave.set()
    thread.join(10)
    assert one.update(ID, increment)["n"] == 1


def test_fork_while_another_thread_holds_the_lock(one: DirectoryStore) -> None:
    inside, leave = threading.Event(), threading.Event()

    def within(session: Session) -> None:
        inside.set()
        assert leave.wait(10)

    thread = threading.Thread(target=one.update, args=(ID, within))
    thread.start()
    assert inside.wait(10)

    def in_child() -> None:
        # The mutex is free here, the parent's fcntl lock is not ours.
        with pytest.raises(Busy):
            one.update(ID, increment)
        assert one.has(ID)
        os.write(ready[1], b"x")
        one._lock_timeout = 10.0
        assert one.update(ID, increment)["n"] == 1

    ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            in_child()
            status = 0
        finally:
            os._exit(status)
    os.close(ready[1])
    assert os.read(ready[0], 1) == b"x"
    leave.set()
    thread.join(10)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(ready[0])
    assert one.update(ID, increment)["n"] == 2


def test_fork_within_an_update(one: DirectoryStore) -> None:
    parent = os.getpid()
    statuses = []

    def within(session: Session) -> None:
        session["n"] += 1
        pid = os.fork()
        if pid != 0:
            statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    try:
        one.update(ID, within)
    except Io as error:
        assert os.getpid() != parent
        # The child must not write under its parent's lock (LOCK-12), and can use the store.
        try:
            ok = error.rule == "LOCK-12" and one.has(ID)
        finally:
            os._exit(0 if ok else 1)
    if os.getpid() != parent:
        os._exit(2)
    assert statuses == [0]
    loaded = one.load(ID)
    assert loaded is not None and loaded["n"] == 1


def test_a_lock_file_that_a_cleaner_has_unlinked(one: DirectoryStore, child: Child) -> None:
    path = lock_path(one)
    one.update(ID, increment)
    before = path.stat().st_ino
    keep = os.open(path, os.O_RDONLY)
    path.unlink()
    assert one.update(ID, increment)["n"] == 2
    assert path.stat().st_ino != before and path.stat().st_size == 0
    assert child(lambda: one.update(ID, increment)) == 0
    os.close(keep)


def test_unlinked_while_waited_for(one: DirectoryStore) -> None:
    """LOCK-6: whoever gets the lock of a file that is not there any more starts over."""
    one._lock_timeout = 10.0
    path = lock_path(one)
    holder = Holder(path, 0, 0)
    done = []
    thread = threading.Thread(target=lambda: done.append(one.update(ID, increment)["n"]))
    thread.start()
    time.sleep(0.1)
    assert not done
    path.unlink()
    path.touch(0o600)
    second = Holder(path, 0, 0)
    holder.end()
    time.sleep(0.1)
    assert not done, "the new file's lock is held"
    second.end()
    thread.join(10)
    assert done == [1]


def test_unlinked_lock_files_do_not_leak_descriptors(one: DirectoryStore) -> None:
    for _ in range(3):
        one.update(ID, increment)
        lock_path(one).unlink()
    one.update(ID, increment)
    count = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(5):
        lock_path(one).unlink()
        one.update(ID, increment)
    if count:
        assert len(os.listdir("/proc/self/fd")) == count


def test_no_lock_directory(one: DirectoryStore) -> None:
    os.rename(Path(one._path) / ".lock", Path(one._path) / "lock.aside")
    with pytest.raises(NotAStore):
        one.update(ID, increment)
    assert one.has(ID)


def test_a_lock_file_that_is_none(one: DirectoryStore) -> None:
    path = lock_path(one)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(Io):
        one.update(ID, increment)
    path.unlink()
    path.symlink_to("elsewhere")
    with pytest.raises(Io):
        one.update(ID, increment)
    assert one.has(ID)


def test_a_reader_of_a_damaged_file_waits_for_the_lock(one: DirectoryStore) -> None:
    """READ-6: a file without a whole record is judged under the lock, and by a deadline."""
    (Path(one._path) / ID).write_bytes(b"x" * 8192)
    holder = Holder(lock_path(one), 0, 0)
    with pytest.raises(Busy):
        one.load(ID)
    holder.end()


def test_locks_are_taken_in_ascending_order(one: DirectoryStore) -> None:
    """LOCK-11: two threads that rotate crosswise never wait for each other."""
    one._lock_timeout = 10.0
    errors = []

    def work() -> None:
        try:
            session = Session()
            one.create(session)
            for _ in range(30):
                one.rotate(session)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == [] and len(list(one.iter_sessions())) == 5
