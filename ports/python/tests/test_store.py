"""What a store promises to one caller at a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from conftest import NOW, Clock

from sessiondir import (Conflict, Corrupt, DirectoryStore, Error, Gone, InvalidId, InvalidValue, Io, Key, NotAStore,
                        Reentrant, Session, TooLarge, Unsupported)
from sessiondir.record import MAX_LENGTH


def path_of(store: DirectoryStore, session_id: str) -> Path:
    name = session_id if store.naming == "plain" else Key.of(session_id).hex()
    return Path(store._path) / name


def test_create_and_load(store: DirectoryStore) -> None:
    values = {"none": None, "yes": True, "int": -(2**63), "float": 2.0, "text": "é", "bytes": b"\0\xff",
              "list": [1, [2]], "map": {"b": 1, "a": {}}}
    session = Session(values, user="ada", addr="::1", expires=NOW + 5, idle=7, tokens=["a", "b"], csrf="c")
    session_id = store.create(session)
    assert (session.id, session.rev) == (session_id, 1)
    loaded = store.load(session_id)
    assert loaded is not None and loaded.data == values
    assert isinstance(loaded["float"], float) and loaded["yes"] is True
    assert (loaded.user, loaded.addr, loaded.expires, loaded.idle) == ("ada", "::1", NOW + 5, 7)
    assert (loaded.tokens, loaded.csrf, loaded.rev) == (["a", "b"], "c", 1)
    assert (loaded.created, loaded.accessed, loaded.key) == (NOW, NOW, Key.of(session_id))
    assert path_of(store, session_id).stat().st_mode & 0o7777 == 0o600
    assert store.has(session_id)


def test_a_name_that_is_no_id_is_refused_without_repeating_it(store: DirectoryStore) -> None:
    for bad in ("../../etc/passwd", "short", "abcdefghijk\n", "x" * 129, ""):
        for call in (store.load, store.delete, store.touch, store.has):
            with pytest.raises(InvalidId) as caught:
                call(bad)
            assert not bad or bad not in str(caught.value)


def test_save_sees_a_change_inside_a_value(store: DirectoryStore) -> None:
    session = Session({"cart": {"lines": [1]}, "kept": 2.0})
    session_id = store.create(session)
    session["cart"]["lines"].append(2)
    store.save(session)
    loaded = store.load(session_id)
    assert loaded is not None and loaded["cart"] == {"lines": [1, 2]} and loaded.rev == 2


def test_nothing_changed_nothing_written(store: DirectoryStore) -> None:
    session_id = store.create(Session({"a": [1]}))
    session = store.load(session_id)
    assert session is not None
    before = path_of(store, session_id).read_bytes()
    session["a"] = (1,)
    store.save(session)
    store.update(session_id, lambda session: None)
    assert path_of(store, session_id).read_bytes() == before


def test_conflict_and_gone(store: DirectoryStore) -> None:
    session = Session()
    session_id = store.create(session)
    other = store.load(session_id)
    assert other is not None
    other["a"] = 1
    store.save(other)
    session["b"] = 1
    with pytest.raises(Conflict):
        store.save(session)
    assert store.delete(session_id)
    for _ in range(2):
        with pytest.raises(Gone):
            store.save(other)
    with pytest.raises(Gone):
        store.update(session_id, lambda session: None)
    with pytest.raises(Gone):
        store.touch(session_id)
    assert store.load(session_id) is None and not store.delete(session_id)


def test_a_session_made_anew_is_not_the_old_one(store: DirectoryStore, clock: Clock) -> None:
    session_id = store.create(Session())
    old = store.load(session_id)
    assert old is not None
    store.delete(session_id)
    clock.now += 1
    store.insert(session_id, Session())
    old["evil"] = 1
    with pytest.raises(Conflict):
        store.save(old)


def test_insert_refuses_a_name_that_is_taken(store: DirectoryStore, clock: Clock) -> None:
    store.insert("0SJaaIqvMIA", Session(created=5, accessed=6, expires=NOW + 10))
    loaded = store.load("0SJaaIqvMIA")
    assert loaded is not None and (loaded.created, loaded.accessed) == (5, 6)
    clock.now += 20
    assert store.load("0SJaaIqvMIA") is None
    with pytest.raises(Conflict):
        store.insert("0SJaaIqvMIA", Session())
    with pytest.raises(InvalidValue):
        store.insert("0SJaaIqvMIB", loaded)


def test_expiry(store: DirectoryStore, clock: Clock) -> None:
    by_time = store.create(Session(expires=NOW + 10))
    by_idle = store.create(Session(idle=10))
    clock.now = NOW - 1_000_000
    assert store.has(by_idle)
    clock.now = NOW + 9
    assert store.has(by_time) and store.has(by_idle)
    clock.now = NOW + 10
    assert not store.has(by_time) and not store.has(by_idle)
    assert store.delete(by_time)


def test_touch(store: DirectoryStore, clock: Clock) -> None:
    session_id = store.create(Session({"a": 1}))
    short = store.create(Session(idle=1000))
    clock.now += 99
    assert not store.touch(short)
    clock.now += 1
    assert store.touch(short)
    clock.now = NOW + 59_999
    assert not store.touch(session_id)
    clock.now += 1
    assert store.touch(session_id)
    loaded = store.load(session_id)
    assert loaded is not None and (loaded.accessed, loaded.rev, loaded["a"]) == (NOW + 60_000, 1, 1)


def test_accessed_goes_back_only_from_more_than_a_day_ahead(store: DirectoryStore, clock: Clock) -> None:
    session = Session()
    session_id = store.create(session)
    clock.now = NOW - 86_400_000
    session["a"] = 1
    store.save(session)
    assert session.accessed == NOW
    clock.now -= 1
    assert store.touch(session_id)
    loaded = store.load(session_id)
    assert loaded is not None and loaded.accessed == clock.now


def test_update_and_its_errors(store: DirectoryStore) -> None:
    session_id = store.create(Session({"n": 1}))

    def fails(session: Session) -> None:
        session["n"] = 5
        raise KeyError("mine")

    with pytest.raises(KeyError):
        store.update(session_id, fails)
    refused = []

    def nested(session: Session) -> None:
        for call in (store.load, store.delete, store.touch):
            with pytest.raises(Reentrant):
                call(session_id)
            refused.append(call)
        with pytest.raises(Reentrant):
            list(store.iter_sessions())
        session["n"] += 1

    assert store.update(session_id, nested)["n"] == 2 and len(refused) == 3
    assert store.update(session_id, lambda session: None)["n"] == 2


def test_rotate(store: DirectoryStore, clock: Clock) -> None:
    session = Session({"a": 2.0}, user="ada", csrf="c", tokens=["t"], addr="::1")
    session.other["example.x"] = [1]
    old = store.create(session)
    clock.now += 5
    session["b"] = 1
    new = store.rotate(session)
    assert new != old and session.id == new and store.load(old) is None
    loaded = store.load(new)
    assert loaded is not None and loaded.data == {"a": 2.0, "b": 1} and loaded.other == {"example.x": [1]}
    assert (loaded.csrf, loaded.tokens, loaded.rev, loaded.created) == (None, [], 1, NOW)
    assert (loaded.accessed, loaded.user, loaded.addr) == (NOW + 5, "ada", "::1")
    session["c"] = 1
    store.save(session)
    with pytest.raises(Gone):
        store.delete(new)
        store.rotate(session)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, object(), {1: 2}, "\ud800", bytearray(b"x"), {1, 2}, 1j])
def test_what_the_format_cannot_hold(store: DirectoryStore, value: Any) -> None:
    with pytest.raises(InvalidValue, match="'key'"):
        store.create(Session({"key": [value]}))
    assert list(store.iter_sessions()) == []


def test_depth(store: DirectoryStore) -> None:
    value: Any = []
    for _ in range(29):
        value = [value]
    session_id = store.create(Session({"a": value}))
    assert store.update(session_id, lambda session: None)["a"] == value
    with pytest.raises(InvalidValue):
        store.create(Session({"a": [value]}))
    value.append(value)
    with pytest.raises(InvalidValue):
        store.create(Session({"a": value}))


def test_limits_of_the_properties() -> None:
    for wrong in ({"addr": ""}, {"addr": "x" * 65}, {"csrf": "x" * 129}, {"expires": -1}, {"idle": 0},
                  {"expires": True}, {"idle": 253402300800000}):
        with pytest.raises(InvalidValue):
            Session(**wrong)  # type: ignore[arg-type]


def test_tokens_and_private_entries_are_checked_when_stored(store: DirectoryStore) -> None:
    session = Session(tokens=["x"] * 33)
    with pytest.raises(InvalidValue):
        store.create(session)
    session.tokens = []
    session.other["shard"] = 1
    with pytest.raises(InvalidValue):
        store.create(session)


def test_too_large(store: DirectoryStore) -> None:
    session = Session({"a": b"x" * MAX_LENGTH})
    with pytest.raises(TooLarge):
        store.create(session)
    session["a"] = b"x" * 1000
    session_id = store.create(session)
    session["a"] = b"x" * MAX_LENGTH
    with pytest.raises(TooLarge):
        store.save(session)
    loaded = store.load(session_id)
    assert loaded is not None and len(loaded["a"]) == 1000


def test_growing_and_shrinking(store: DirectoryStore) -> None:
    session = Session()
    session_id = store.create(session)
    for size, expected in ((10, 4096), (5000, 8192), (60_000, 65_536), (9000, 65_536), (100, 4096)):
        session["a"] = b"x" * size
        store.save(session)
        assert path_of(store, session_id).stat().st_size == 2 * expected
        loaded = store.load(session_id)
        assert loaded is not None and loaded["a"] == b"x" * size
    assert session.rev == 6


def test_the_name_is_taken_by_something_else(store: DirectoryStore) -> None:
    session_id = store.create(Session())
    path = path_of(store, session_id)
    path.unlink()
    os.mkfifo(path)
    for call in (store.load, store.delete, store.touch, lambda name: store.insert(name, Session())):
        with pytest.raises(Corrupt) as caught:
            call(session_id)
        assert caught.value.rule == "NAME-11"
    path.unlink()
    path.symlink_to("elsewhere")
    with pytest.raises(Corrupt):
        store.load(session_id)
    assert path.is_symlink()


def test_a_corrupt_session_can_be_deleted_and_not_changed(store: DirectoryStore) -> None:
    session_id = store.create(Session())
    path_of(store, session_id).write_bytes(b"x" * 8192)
    found = []
    assert list(store.iter_sessions(found.append)) == [] and len(found) == 1
    assert isinstance(found[0], Corrupt) and session_id not in str(found[0])
    with pytest.raises(Corrupt):
        store.update(session_id, lambda session: None)
    assert store.delete(session_id) and not path_of(store, session_id).exists()


def test_hashed_by_key(tmp_path: Path, clock: Clock) -> None:
    store = DirectoryStore(tmp_path / "s", create=True, naming="hashed", clock=clock, resolution=0)
    session_id = store.create(Session({"a": 1}))
    (listed,) = store.iter_sessions()
    assert listed.id is None and listed.key == Key.of(session_id)
    assert store.load(listed.key.hex()) is None, "64 digits are an ID like any other (NAME-7)"
    listed["a"] = 2
    store.save(listed)
    clock.now += 1
    assert store.touch(listed.key)
    loaded = store.load(session_id)
    assert loaded is not None and loaded["a"] == 2 and loaded.id == session_id
    assert store.delete(listed.key) and not store.has(session_id)


def test_a_plain_store_knows_no_key(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "s", create=True)
    with pytest.raises(InvalidId):
        store.load(Key.of("AAAAAAAAAAAAAAAAAAAAAA"))


def test_a_newer_store_is_read_only(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "s", create=True)
    session_id = store.create(Session({"a": 1}))
    marker = tmp_path / "s" / ".sessiondir"
    marker.write_text("sessiondir\nread 1\nwrite 2\nnaming plain\ndurability power\nshards 16\n")
    newer = DirectoryStore(tmp_path / "s")
    session = newer.load(session_id)
    assert session is not None and not newer.writable
    for call in (lambda: newer.create(Session()), lambda: newer.save(session), lambda: newer.delete(session_id),
                 lambda: newer.touch(session_id), lambda: newer.update(session_id, lambda session: None),
                 lambda: newer.rotate(session), lambda: newer.sweep()):
        with pytest.raises(Unsupported) as caught:
            call()
        assert caught.value.rule == "MARK-3"


def test_closed(store: DirectoryStore) -> None:
    store.close()
    with pytest.raises(Io):
        store.load("AAAAAAAAAAAAAAAAAAAAAA")
    with pytest.raises(Error):
        store.create(Session())


def test_setup_makes_a_store_that_has_gone(tmp_path: Path) -> None:
    with pytest.raises(NotAStore):
        DirectoryStore(tmp_path / "s")
    store = DirectoryStore(tmp_path / "s", create=True)
    store.setup()
    os.rename(tmp_path / "s", tmp_path / "old")
    store.setup()
    session_id = store.create(Session())
    assert (tmp_path / "s" / session_id).exists()


def test_no_id_in_any_text(store: DirectoryStore, caplog: pytest.LogCaptureFixture) -> None:
    session = Session()
    session_id = store.create(session)
    assert session_id not in repr(session) + repr(session.key) + repr(store)
    path_of(store, session_id).write_bytes(b"")
    if store.durability == "power":
        assert list(store.iter_sessions()) == []
        assert "was left out" in caplog.text and session_id not in caplog.text
    else:
        assert store.load(session_id) is None


def test_stillborn_is_absent_and_can_be_made_anew(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "s", create=True, durability="process")
    for data in (b"", bytes(8192)):
        path = tmp_path / "s" / "AAAAAAAAAAAAAAAAAAAAAA"
        path.write_bytes(data)
        assert store.load(path.name) is None
        store.insert(path.name, Session({"a": 1}))
        assert store.has(path.name) and store.delete(path.name)
