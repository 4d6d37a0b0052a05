"""In which order changes reach the disk, and what happens where a call fails (WRITE-3 to WRITE-15, DEL-3, ROT)."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest

from sessiondir import DirectoryStore, Gone, Io, NoSpace, OutcomeUnknown, Session, directory

ID = "AAAAAAAAAAAAAAAAAAAAAA"


class System:
    """Notes the calls that matter, and fails those that a test names: (call, how many succeed before it)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: List[str] = []
        self.failing: dict[str, int] = {}
        self.errno = errno.EIO
        self.limit = 0
        for name in ("fdatasync", "fsync", "rename", "unlink", "pwrite"):
            monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name)))

    def _wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **more: Any) -> Any:
            self.calls.append(name)
            if name in self.failing:
                if self.failing[name] == 0:
                    raise OSError(self.errno, "fault", str(args[0]))
                self.failing[name] -= 1
            if name == "pwrite" and self.limit:
                return real(args[0], args[1][:self.limit], args[2])
            return real(*args, **more)

        return wrapped

    def take(self) -> List[str]:
        calls, self.calls = self.calls, []
        return calls


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    return System(monkeypatch)


@pytest.fixture
def store(tmp_path: Path, system: System) -> Iterator[DirectoryStore]:
    with DirectoryStore(tmp_path / "s", create=True, resolution=0) as made:
        system.take()
        yield made


def add(session: Session) -> None:
    session["n"] = session.get("n", 0) + 1


def again(store: DirectoryStore) -> DirectoryStore:
    """As another process sees it: it has synced nothing itself."""
    return DirectoryStore(store._path)


def load(store: DirectoryStore) -> Session:
    loaded = store.load(ID)
    assert loaded is not None
    return loaded


def test_order_of_creation_and_saves(store: DirectoryStore, system: System) -> None:
    store.insert(ID, Session())
    assert system.take() == ["pwrite", "fdatasync", "rename", "fsync"]
    store.update(ID, add)
    assert system.take() == ["pwrite", "fdatasync"], "this process synced the current record itself"
    other = again(store)
    other.update(ID, add)
    assert system.take() == ["fdatasync", "pwrite", "fdatasync"]
    store.update(ID, add)
    assert system.take() == ["fdatasync", "pwrite", "fdatasync"], "another has written since"
    store.update(ID, add)
    assert system.take() == ["pwrite", "fdatasync"]
    store.delete(ID)
    assert system.take() == ["unlink", "fsync"]
    store.delete(ID)
    assert system.take() == ["fsync"], "DEL-3: also where it was not there"


def test_the_directory_is_synced_before_the_first_save_by_another(store: DirectoryStore, system: System) -> None:
    store.insert(ID, Session())
    system.take()
    again(store).update(ID, add)
    assert system.take() == ["fdatasync", "fsync", "pwrite", "fdatasync"]


def test_a_save_that_changes_nothing_syncs_what_another_wrote(store: DirectoryStore, system: System) -> None:
    def nothing(store: DirectoryStore) -> List[str]:
        store.save(load(store))
        store.update(ID, lambda session: None)
        return system.take()

    store.insert(ID, Session({"a": 1}))
    system.take()
    assert nothing(store) == [], "its own"
    other = again(store)
    assert nothing(other) == ["fdatasync", "fsync"], "WRITE-9: a file as made, once"
    store.update(ID, add)
    system.take()
    assert nothing(other) == ["fdatasync"], "written in place by another since"
    other.update(ID, add)
    assert system.take() == ["pwrite", "fdatasync"]
    # Seq 4 is in slot 0. WRITE-6: what is torn is not written in place by who has synced it, and not written.
    path = Path(store._path) / ID
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 2 + 20)
        file.write(b"torn")
    other = again(store)
    assert nothing(other) == ["fdatasync", "fdatasync"]
    other.update(ID, add)
    assert system.take() == ["pwrite", "fdatasync", "rename", "fsync"]
    # Where the sync fails, a new file holds the same revision.
    rev, inode = load(store).rev, path.stat().st_ino
    other = again(store)
    system.failing = {"fdatasync": 0}
    with pytest.raises(Io):
        other.save(load(other))
    system.failing = {}
    system.take()
    other.save(load(other))
    assert system.take() == ["pwrite", "fdatasync", "rename", "fsync"], "the file is suspect"
    assert load(store).rev == rev and load(store)["a"] == 1 and path.stat().st_ino != inode
    assert nothing(other) == []


def test_a_process_store_syncs_only_what_replaces(tmp_path: Path, system: System) -> None:
    store = DirectoryStore(tmp_path / "s", create=True, durability="process")
    system.take()
    store.insert(ID, Session())
    store.update(ID, add)
    assert system.take() == ["pwrite", "rename", "pwrite"]
    store.update(ID, lambda session: session.update(big=b"x" * 9000))
    assert system.take() == ["pwrite", "fdatasync", "rename"]


def test_in_place_writes_one_slot(store: DirectoryStore) -> None:
    store.insert(ID, Session())
    path = Path(store._path) / ID
    before, inode = path.read_bytes(), path.stat().st_ino
    store.update(ID, add)
    after = path.read_bytes()
    assert after[:4096] == before[:4096] and after[4096:4100] == before[:4] and path.stat().st_ino == inode


def test_a_short_write_goes_on(store: DirectoryStore, system: System) -> None:
    store.insert(ID, Session())
    system.limit = 1000
    assert store.update(ID, add)["n"] == 1
    assert system.calls.count("pwrite") == 6
    assert again(store).has(ID)


def test_a_hard_link_is_replaced(store: DirectoryStore) -> None:
    store.insert(ID, Session())
    path = Path(store._path) / ID
    os.link(path, path.parent.parent / "copy")
    before = (path.parent.parent / "copy").read_bytes()
    assert store.update(ID, add)["n"] == 1
    assert path.stat().st_nlink == 1 and (path.parent.parent / "copy").read_bytes() == before


def test_a_failed_sync_replaces_the_file_at_once(store: DirectoryStore, system: System,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    store.insert(ID, Session())
    path = Path(store._path) / ID
    inode = path.stat().st_ino
    failed = []
    real = directory.sync

    def once(descriptor: int) -> None:
        if not failed:
            failed.append(descriptor)
            raise OSError(errno.EIO, "fault")
        real(descriptor)

    monkeypatch.setattr(directory, "sync", once)
    assert store.update(ID, add)["n"] == 1
    assert path.stat().st_ino != inode and failed
    loaded = again(store).load(ID)
    assert loaded is not None and (loaded["n"], loaded.rev) == (1, 2)
    # Seq 4 stands in slot 0: the record whose sync failed had 3.
    assert path.read_bytes()[4096:] == bytes(4096)


def test_every_sync_fails(store: DirectoryStore, system: System) -> None:
    store.insert(ID, Session())
    system.failing = {"fdatasync": 0}
    with pytest.raises(OutcomeUnknown):
        store.update(ID, add)
    assert os.listdir(store._path).count(".tmp." + ID) == 0
    # The file is suspect now: no later sync of it counts, and it is replaced when that works again.
    system.failing = {}
    inode = (Path(store._path) / ID).stat().st_ino
    store.update(ID, add)
    assert (Path(store._path) / ID).stat().st_ino != inode


def test_the_first_sync_fails(store: DirectoryStore, system: System) -> None:
    store.insert(ID, Session())
    other = again(store)
    system.failing = {"fdatasync": 0}
    with pytest.raises(Io):
        other.update(ID, add)
    system.failing = {}
    loaded = store.load(ID)
    assert loaded is not None and "n" not in loaded


def test_a_failed_write(store: DirectoryStore, system: System) -> None:
    store.insert(ID, Session())
    for number, kind in ((errno.ENOSPC, NoSpace), (errno.EDQUOT, NoSpace), (errno.EIO, Io)):
        system.errno, system.limit, system.failing = number, 10, {"pwrite": 1}
        with pytest.raises(kind) as caught:
            store.update(ID, add)
        assert ID not in str(caught.value) and caught.value.__context__ is None
    system.limit, system.failing = 4000, {"pwrite": 1}
    with pytest.raises(OutcomeUnknown):
        store.update(ID, add)
    system.limit, system.failing = 0, {}
    loaded = store.load(ID)
    assert loaded is not None and loaded["n"] == 1, "the whole record was written"


@pytest.mark.parametrize("call", ["pwrite", "fdatasync", "rename"])
def test_a_failed_creation_leaves_nothing(store: DirectoryStore, system: System, call: str) -> None:
    system.failing = {call: 0}
    with pytest.raises(Io):
        store.insert(ID, Session())
    assert sorted(os.listdir(store._path)) == [".lock", ".sessiondir"]


def test_a_creation_whose_directory_is_not_synced_is_undone(store: DirectoryStore, system: System) -> None:
    system.failing = {"fsync": 0}
    with pytest.raises(Io):
        store.create(Session())
    assert sorted(os.listdir(store._path)) == [".lock", ".sessiondir"]


def test_a_replacement_whose_directory_is_not_synced(store: DirectoryStore, system: System) -> None:
    store.insert(ID, Session())
    system.failing = {"fsync": 0}
    with pytest.raises(OutcomeUnknown):
        store.update(ID, lambda session: session.update(big=b"x" * 9000))
    system.failing = {}
    inode = (Path(store._path) / ID).stat().st_ino
    assert len(store.update(ID, add)["big"]) == 9000
    assert (Path(store._path) / ID).stat().st_ino != inode


def test_a_temp_that_is_there_is_debris(store: DirectoryStore) -> None:
    temp = Path(store._path) / (".tmp." + ID)
    temp.write_bytes(b"x")
    store.insert(ID, Session())
    temp.write_bytes(b"x")
    assert store.delete(ID) and not temp.exists()


def test_modes_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        store = DirectoryStore(tmp_path / "s", create=True)
        session_id = store.create(Session())
    finally:
        os.umask(before)
    for name, mode in ((".", 0o700), (".lock", 0o700), (".lock/00", 0o600), (".sessiondir", 0o600),
                       (session_id, 0o600)):
        assert (tmp_path / "s" / name).stat().st_mode & 0o7777 == mode


def test_rotation_that_cannot_remove_the_old_one(store: DirectoryStore, system: System,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session({"a": 1})
    store.insert(ID, session)
    real = directory.Directory.unlink

    def unlink(self: directory.Directory, name: str) -> bool:
        if name == ID:
            raise OSError(errno.EIO, "fault")
        return real(self, name)

    monkeypatch.setattr(directory.Directory, "unlink", unlink)
    with pytest.raises(Io):
        store.rotate(session)
    assert [one.id for one in store.iter_sessions()] == [ID] and session.id == ID


def test_rotation_whose_last_sync_fails_counts(store: DirectoryStore, system: System) -> None:
    session = Session({"a": 1})
    store.insert(ID, session)
    system.failing = {"fsync": 1}
    with pytest.raises(OutcomeUnknown):
        store.rotate(session)
    system.failing = {}
    assert session.id is not None and session.id != ID and store.has(session.id) and not store.has(ID)


def test_deletion_that_is_not_synced(store: DirectoryStore, system: System) -> None:
    store.insert(ID, Session())
    system.failing = {"fsync": 0}
    with pytest.raises(OutcomeUnknown):
        store.delete(ID)
    system.failing = {}
    with pytest.raises(Gone):
        store.touch(ID)
