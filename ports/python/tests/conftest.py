from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, Iterator

import pytest

from sessiondir import DirectoryStore

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"
NOW = 1_735_689_720_000


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["plain-power", "hashed-process"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[DirectoryStore]:
    naming, durability = request.param.split("-")
    with DirectoryStore(tmp_path / "store", create=True, naming=naming, durability=durability, clock=clock) as made:
        yield made


@pytest.fixture
def child() -> Callable[[Callable[[], object]], int]:
    """Runs a function in a child of fork; gives its exit status: 0 where it returned, 1 where it raised."""

    def run(function: Callable[[], object]) -> int:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                function()
                status = 0
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    return run
