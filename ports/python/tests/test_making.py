"""Making and opening a store (DIR, MARK)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sessiondir import DirectoryStore, NotAStore, Session, UnsafeDirectory, fstype, make_store


def test_several_processes_make_one_store(tmp_path: Path) -> None:
    for trial in range(5):
        path = tmp_path / str(trial)
        pids = []
        for _ in range(6):
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    DirectoryStore(path, create=True, lock_timeout=20).create(Session())
                    status = 0
                finally:
                    os._exit(status)
            pids.append(pid)
        assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * 6
        assert len(list(DirectoryStore(path).iter_sessions())) == 6
        assert len(os.listdir(path / ".lock")) == 64


def test_what_an_interrupted_making_left_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.mkdir(0o700)
    (path / ".lock").mkdir()
    (path / ".lock" / "07").touch()
    (path / ".sessiondir.tmp").write_bytes(b"sess")
    assert make_store(str(path), "hashed", "process")
    assert not make_store(str(path), "plain", "power")
    store = DirectoryStore(path)
    assert (store.naming, store.durability) == ("hashed", "process")
    assert sorted(os.listdir(path)) == [".lock", ".sessiondir"]


@pytest.mark.parametrize("name", ["README", ".lock/extra", ".lock/00"])
def test_a_directory_that_holds_something_else(tmp_path: Path, name: str) -> None:
    path = tmp_path / "s"
    (path / name).parent.mkdir(mode=0o700, parents=True)
    path.chmod(0o700)
    (path / name).write_text("x")
    with pytest.raises(NotAStore) as caught:
        DirectoryStore(path, create=True)
    assert caught.value.rule == "DIR-3" and not (path / ".sessiondir").exists()


def test_unsafe_directories(tmp_path: Path) -> None:
    path = tmp_path / "s"
    DirectoryStore(path, create=True).close()
    for mode, with_group in ((0o702, False), (0o702, True), (0o720, False)):
        path.chmod(mode)
        with pytest.raises(UnsafeDirectory) as caught:
            DirectoryStore(path, group=with_group)
        assert caught.value.rule == "DIR-4"
    path.chmod(0o2770)
    store = DirectoryStore(path, group=True)
    session_id = store.create(Session())
    assert (path / session_id).stat().st_mode & 0o7777 == 0o660


def test_network_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    DirectoryStore(tmp_path / "s", create=True).close()
    monkeypatch.setattr(fstype, "remote", lambda descriptor: "NFS")
    with pytest.raises(UnsafeDirectory) as caught:
        DirectoryStore(tmp_path / "s")
    assert caught.value.rule == "DIR-5"
    DirectoryStore(tmp_path / "s", allow_remote=True).close()


@pytest.mark.skipif(not os.path.exists("/proc/self/mountinfo"), reason="Linux only")
def test_both_ways_to_tell_the_file_system_agree(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        assert fstype.remote(descriptor) == fstype._by_mountinfo(os.fstat(descriptor).st_dev)
    finally:
        os.close(descriptor)


def test_a_store_follows_its_directory(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "s", create=True)
    os.rename(tmp_path / "s", tmp_path / "t")
    session_id = store.create(Session())
    assert (tmp_path / "t" / session_id).exists()
