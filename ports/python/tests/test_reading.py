"""Readers without a lock: the second read, and where it ends (READ-3 to READ-6)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, List

import pytest

from sessiondir import Corrupt, DirectoryStore, Session, reading
from sessiondir.record import build
from sessiondir.session import encode_body

ID = "AAAAAAAAAAAAAAAAAAAAAA"


def record(seq: int) -> bytes:
    return build(seq, encode_body(Session({"n": seq})._content(), "plain", ID, seq, 0, 0)).ljust(4096, b"\0")


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "s", create=True, durability="process", lock_timeout=1)


def loaded(store: DirectoryStore) -> int:
    session = store.load(ID)
    assert session is not None
    return int(session["n"])


def torn(seq: int) -> bytes:
    data = bytearray(record(seq))
    data[60] ^= 1
    return bytes(data)


def test_a_reader_that_was_overtaken_starts_over(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 12.2: it has copied n, and slot 1 is torn by n+3; n+1 and n+2 were complete before."""
    path = Path(store._path) / ID
    path.write_bytes(record(4) + torn(7))
    real = reading.read_all
    rounds: List[int] = []

    def slow(fd: int, size: int) -> bytes:
        data = real(fd, size)
        rounds.append(1)
        with open(path, "r+b") as file:
            file.write(record(6))
        return data

    monkeypatch.setattr(reading, "read_all", slow)
    assert loaded(store) == 6 and len(rounds) == 2


def test_no_second_read_where_none_is_asked_for(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(store._path) / ID
    again: List[Any] = []
    monkeypatch.setattr(reading, "_same_seq", lambda *args: again.append(args) or True)
    for data, expected, count in ((record(2) + bytes(4096), 2, 0), (record(2) + record(3), 3, 0),
                                  (record(4) + record(3), 4, 0), (record(4) + torn(3), 4, 0),
                                  (record(4) + torn(5), 4, 1), (record(8) + record(3), 8, 2),
                                  (record(4) + b"x" * 4096, 4, 3)):
        path.write_bytes(data)
        assert loaded(store) == expected and len(again) == count


def test_a_damaged_file_ends(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(store._path) / ID
    path.write_bytes(torn(4) + torn(3))
    rounds: List[int] = []
    real = reading.read_all
    monkeypatch.setattr(reading, "read_all", lambda fd, size: rounds.append(1) or real(fd, size))
    with pytest.raises(Corrupt) as caught:
        store.load(ID)
    assert caught.value.rule == "REC-7" and len(rounds) == 2 * reading.ROUNDS


def test_the_answer_that_comes_under_the_lock(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(store._path) / ID
    path.write_bytes(torn(4) + torn(3))
    real = reading.TABLE.acquire_shared

    def acquire(*args: Any) -> Any:
        held = real(*args)
        path.write_bytes(record(4) + record(5))
        return held

    monkeypatch.setattr(reading.TABLE, "acquire_shared", acquire)
    assert loaded(store) == 5


def test_a_reader_makes_no_lock_file(store: DirectoryStore) -> None:
    path = Path(store._path) / ID
    path.write_bytes(torn(4) + torn(3))
    for name in os.listdir(Path(store._path) / ".lock"):
        (Path(store._path) / ".lock" / name).unlink()
    with pytest.raises(Corrupt):
        store.load(ID)
    assert os.listdir(Path(store._path) / ".lock") == []


def test_a_current_record_that_breaks_a_rule_is_the_answer(store: DirectoryStore) -> None:
    """SLOT-8: no falling back to the slot before."""
    body = encode_body(Session()._content(), "plain", "B" * 22, 1, 0, 0)
    (Path(store._path) / ID).write_bytes(record(4) + build(5, body).ljust(4096, b"\0"))
    with pytest.raises(Corrupt) as caught:
        store.load(ID)
    assert caught.value.rule == "BODY-5"
