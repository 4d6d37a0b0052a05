"""Several processes and threads at once: nothing lost, nothing back, nothing torn."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from functools import partial
from pathlib import Path
from typing import Callable, List

import pytest

from sessiondir import Conflict, DirectoryStore, Gone, Session

ID = "AAAAAAAAAAAAAAAAAAAAAA"


def start(function: Callable[[], object]) -> int:
    """A child of fork that runs the function; its status is 0 where that returned."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    return pid


def wait(pids: List[int]) -> List[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def increment(session: Session) -> None:
    session["n"] = session.get("n", 0) + 1


def in_threads(count: int, function: Callable[[], object]) -> None:
    errors: List[BaseException] = []

    def work() -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("durability", ["process", "power"])
def test_no_update_is_lost(tmp_path: Path, durability: str) -> None:
    times = 60 if durability == "process" else 15
    store = DirectoryStore(tmp_path / "s", create=True, durability=durability, lock_timeout=30)
    store.insert(ID, Session())

    def work() -> None:
        for _ in range(times):
            store.update(ID, increment)

    # One store, opened before the fork, in three processes of two threads each.
    pids = [start(lambda: in_threads(2, work)) for _ in range(3)]
    assert wait(pids) == [0, 0, 0]
    loaded = store.load(ID)
    assert loaded is not None and loaded["n"] == 6 * times and loaded.rev == 1 + 6 * times


def test_of_two_saves_of_one_revision_one_conflicts(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "s", create=True, durability="process", lock_timeout=30)
    store.insert(ID, Session({"n": 0}))
    counts = [os.pipe() for _ in range(3)]

    def work(write: int) -> None:
        saved = 0
        for _ in range(80):
            session = store.load(ID)
            assert session is not None
            session["n"] += 1
            try:
                store.save(session)
                saved += 1
            except Conflict:
                pass
        os.write(write, b"%d" % saved)

    pids = [start(partial(work, write)) for _, write in counts]
    assert wait(pids) == [0, 0, 0]
    total = sum(int(os.read(read, 20)) for read, _ in counts)
    loaded = store.load(ID)
    assert loaded is not None and loaded["n"] == total >= 80
    for pair in counts:
        for descriptor in pair:
            os.close(descriptor)


def test_what_was_deleted_stays_deleted(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "s", create=True, durability="process", lock_timeout=30)

    def work() -> None:
        while True:
            try:
                store.update(ID, increment)
                store.update(ID, lambda session: session.update(big="x" * random.choice((10, 9000))))
            except Gone:
                return

    for _ in range(4):
        store.insert(ID, Session())
        pids = [start(work) for _ in range(2)]
        time.sleep(0.03)
        assert store.delete(ID)
        assert wait(pids) == [0, 0]
        assert not (tmp_path / "s" / ID).exists()
    assert sorted(os.listdir(tmp_path / "s")) == [".lock", ".sessiondir"]


def test_readers_never_see_a_torn_or_an_older_session(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "s", create=True, durability="process", lock_timeout=30)
    store.insert(ID, Session({"n": 0, "copy": "0" * 20_000}))
    end = time.monotonic() + 2.5

    def write() -> None:
        while time.monotonic() < end:
            def change(session: Session) -> None:
                session["n"] += 1
                session["copy"] = str(session["n"] % 10) * random.choice((20_000, 20_000, 20_000, 70_000, 200))
            store.update(ID, change)

    def read() -> None:
        last = 0
        while time.monotonic() < end:
            session = store.load(ID)
            assert session is not None and session["n"] >= last
            assert set(session["copy"]) == {str(session["n"] % 10)}
            last = session["n"]
        assert last > 20

    assert wait([start(write), start(read), start(lambda: in_threads(2, read))]) == [0, 0, 0]


def test_a_killed_writer_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "s", create=True, durability="process", lock_timeout=5)
    store.insert(ID, Session({"n": 0}))

    def work() -> None:
        while True:
            store.update(ID, lambda session: session.update(n=session["n"] + 1, big="x" * random.choice((9, 9000))))

    last = 0
    for _ in range(15):
        pid = start(work)
        time.sleep(random.uniform(0.01, 0.05))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        session = store.load(ID)
        assert session is not None and session["n"] >= last
        last = session["n"]
        started = time.monotonic()
        assert store.update(ID, increment)["n"] == last + 1
        assert time.monotonic() - started < 2, "the lock of a process that has ended is free"
    assert last > 15
    store.sweep()
    assert sorted(os.listdir(tmp_path / "s")) == [".lock", ".sessiondir", ID]


def test_fork_in_the_middle_of_threads(tmp_path: Path) -> None:
    """Children made while other threads are anywhere in the store can use it."""
    store = DirectoryStore(tmp_path / "s", create=True, durability="process", lock_timeout=30)
    store.insert(ID, Session())
    stop = threading.Event()
    made = []

    def work() -> None:
        while not stop.is_set():
            store.update(ID, increment)
            made.append(1)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert wait([start(lambda: store.update(ID, increment))]) == [0]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    loaded = store.load(ID)
    assert loaded is not None and loaded["n"] == len(made) + 20


def test_asyncio(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "s", create=True, durability="process", lock_timeout=30)

    async def main() -> Session:
        session_id = await asyncio.to_thread(store.create, Session())
        await asyncio.gather(*(asyncio.to_thread(store.update, session_id, increment) for _ in range(40)))
        loaded = await asyncio.to_thread(store.load, session_id)
        assert loaded is not None
        return loaded

    assert asyncio.run(main())["n"] == 40
