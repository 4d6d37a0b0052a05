"""The collector (COLL-1 to COLL-6)."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import NOW, Clock

from sessiondir import DirectoryStore, Key, Reentrant, Session


def test_sweep(store: DirectoryStore, clock: Clock) -> None:
    path = Path(store._path)
    expired = store.create(Session(expires=NOW + 1))
    kept = store.create(Session())
    corrupt = store.create(Session())
    name = corrupt if store.naming == "plain" else Key.of(corrupt).hex()
    (path / name).write_bytes(b"x" * 8192)
    (path / (".tmp." + name)).write_bytes(b"x")
    (path / "README").write_text("x")
    (path / ".tmp.x").write_text("x")
    clock.now += 1
    swept = store.sweep()
    assert (swept.deleted, swept.kept, swept.failed, swept.temps, swept.complete) == (1, 1, 1, 1, True)
    assert not store.has(expired) and store.has(kept)
    assert (path / name).exists() and (path / "README").exists() and (path / ".tmp.x").exists()


def test_idle_is_strictly_more(store: DirectoryStore, clock: Clock) -> None:
    store.create(Session())
    clock.now += 1001
    assert store.sweep(idle=1.001).deleted == 0
    clock.now += 1
    assert store.sweep(idle=1.001).deleted == 1
    store.create(Session())
    clock.now += 60_000
    assert store.delete_old_sessions(1) == (0, 1)
    clock.now += 1
    assert store.delete_old_sessions(1) == (1, 0)


def test_delete_where(store: DirectoryStore) -> None:
    for user in ("ada", "bob", "ada"):
        store.create(Session(user=user))

    def test(session: Session) -> bool:
        with pytest.raises(Reentrant):
            store.sweep()
        return bool(session.user == "ada")

    assert store.delete_where(test) == 2
    assert [session.user for session in store.iter_sessions()] == ["bob"]


def test_judged_again_under_the_lock(store: DirectoryStore, clock: Clock) -> None:
    """A session that is saved between the two looks stays (COLL-1)."""
    session_id = store.create(Session({"go": True}))
    looks = []

    def test(session: Session) -> bool:
        looks.append(session["go"])
        if len(looks) == 1:
            other = DirectoryStore(store._path, clock=clock)
            import threading
            thread = threading.Thread(target=other.update, args=(session_id, lambda one: one.update(go=False)))
            thread.start()
            thread.join()
        return bool(session["go"])

    assert store.delete_where(test) == 0 and looks == [True, False]


def test_limits(store: DirectoryStore, clock: Clock) -> None:
    for _ in range(6):
        store.create(Session(idle=1))
    clock.now += 1
    swept = store.sweep(max_files=2)
    assert (swept.deleted, swept.complete) == (2, False)
    assert store.sweep(max_seconds=0).complete is False
    assert store.sweep(max_seconds=60).deleted == 4


def test_quarantine(store: DirectoryStore) -> None:
    aside = Path(store._path) / ".quarantine"
    aside.mkdir(mode=0o700)
    name = "AAAAAAAAAAAAAAAAAAAAAA" if store.naming == "plain" else "0" * 64
    for entry in ("%s.%d" % (name, NOW - 10_000), "%s.%d" % (name, NOW - 9_999), name, "%s.01" % name, "x.1"):
        (aside / entry).write_text("x")
    assert store.sweep().quarantined == 0
    assert store.sweep(quarantine_age=10).quarantined == 1
    assert len(list(aside.iterdir())) == 4


def test_stillborn(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "s", create=True, durability="process")
    (tmp_path / "s" / "AAAAAAAAAAAAAAAAAAAAAA").write_bytes(b"")
    assert store.sweep().deleted == 1
