"""Every vector of fixtures/manifest.json, as fixtures/README.md says a reader and a writer run it.

Rules and offsets bind checkers alone; where this implementation tells them they are compared all the same.
"""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
from conftest import FIXTURES

from sessiondir import Corrupt, DirectoryStore, Error, InvalidId, Key, Session, typed
from sessiondir.body import judge
from sessiondir.cbor import Fault
from sessiondir.marker import READ_LENGTH, Marker, parse
from sessiondir.names import LOCK_FILES, check_id, classify
from sessiondir.record import build, finish, parse_head
from sessiondir.session import encode_body
from sessiondir.slots import slot_for

Case = Dict[str, Any]
CASES: List[Case] = json.loads((FIXTURES / "manifest.json").read_text("utf-8"))["cases"]


def cases(kind: str) -> List[Any]:
    return [pytest.param(case, id=case["id"]) for case in CASES if case["kind"] == kind]


def content(case: Case) -> bytes:
    if "file" in case:
        return (FIXTURES / case["file"]).read_bytes()
    if "parts" in case:
        return b"".join(map(part, case["parts"]))
    return part(case)


def part(told: Case) -> bytes:
    if "repeat" in told:
        return bytes.fromhex(told["repeat"]["hex"]) * int(told["repeat"]["times"])
    if "hex" in told:
        return bytes.fromhex(told["hex"])
    if "text" in told:
        return str(told["text"]).encode("utf-8")
    return (FIXTURES / told["file"]).read_bytes()


def compare(found: Any, expected: Any) -> None:
    """Typed JSON, floating-point numbers by value and sign."""
    if isinstance(expected, dict) and "float" in expected:
        left, right = float(found["float"]), float(expected["float"])
        assert math.isnan(left) == math.isnan(right)
        if not math.isnan(left):
            assert (left, math.copysign(1, left)) == (right, math.copysign(1, right))
    elif isinstance(expected, dict) and isinstance(expected.get("bytes"), dict):
        assert found["bytes"] == expected["bytes"]["hex"] * expected["bytes"]["times"]
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            compare(found[key], expected[key])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for left, right in zip(found, expected):
            compare(left, right)
    else:
        assert type(found) is type(expected) and found == expected


def check_error(error: Error, expected: Case) -> None:
    assert error.class_ == expected["class"]
    if "rule" in expected:
        assert (error.rule, error.offset) == (expected["rule"], expected.get("offset"))


def test_there_are_vectors() -> None:
    counts = {kind: len(cases(kind)) for kind in ("record", "file", "name", "lock", "marker", "directory")}
    assert all(counts.values()), counts
    assert sum(counts.values()) == len(CASES)


def decode(data: bytes) -> Any:
    fault: Optional[Fault] = None
    try:
        envelope = finish(data, parse_head(data, 0, len(data)), len(data))
        if envelope.end == len(data):
            return envelope, judge(data, envelope)
        fault = Fault("REC-8", envelope.end)
    except Fault as caught:
        fault = caught
    raise Corrupt("no record", fault.rule, fault.offset)


class Stores:
    """One store of each kind for all cases that put one file into it: making 64 lock files each time takes long."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.made: Dict[str, DirectoryStore] = {}
        self.now = 0

    def load(self, naming: str, durability: str, now: int, name: str, data: bytes, key: Any) -> Optional[Session]:
        self.now = now
        where = self.path / ("%s-%s" % (naming, durability))
        if where.name not in self.made:
            where.mkdir()
            skeleton(where, naming, durability)
            self.made[where.name] = DirectoryStore(where, clock=lambda: self.now, lock_timeout=1)
        put(where / name, data)
        try:
            return self.made[where.name].load(key)
        finally:
            (where / name).unlink()


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    return Stores(tmp_path_factory.mktemp("stores"))


@pytest.mark.parametrize("case", cases("record"))
def test_record(case: Case, stores: Stores) -> None:
    data = content(case)
    if case["result"] == "invalid":
        with pytest.raises(Error) as caught:
            decode(data)
        check_error(caught.value, case["error"])
        return
    envelope, body = decode(data)
    assert str(envelope.seq) == case["seq"]
    session = Session._from(body, None)
    compare(typed.of_session(session), case["value"])
    naming, name = ("plain", body.id) if body.id else ("hashed", body.key.hex())
    # REC-13, from what was loaded and from the value alone.
    assert build(envelope.seq, encode_body(session._content(), naming, name, body.rev, body.created,
                                           body.accessed)) == data
    told, naming, name = typed.to_session(case["value"])
    assert build(envelope.seq, encode_body(told._content(), naming, name, body.rev, body.created,
                                           body.accessed)) == data
    # In a store, as it is.
    slot = slot_for(len(data))
    whole = bytearray(2 * slot)
    start = envelope.seq % 2 * slot
    whole[start:start + len(data)] = data
    loaded = stores.load(naming, "power", body.accessed, name, bytes(whole), body.key or body.id)
    if body.expired(body.accessed):
        assert loaded is None
    else:
        assert loaded is not None
        compare(typed.of_session(loaded), case["value"])


def put(path: Path, data: bytes, mode: int = 0o600) -> None:
    path.write_bytes(data)
    path.chmod(mode)


def skeleton(path: Path, naming: str, durability: str) -> None:
    path.chmod(0o700)
    put(path / ".sessiondir", Marker(1, 1, naming, durability).encode())
    (path / ".lock").mkdir()
    (path / ".lock").chmod(0o700)
    for name in LOCK_FILES:
        put(path / ".lock" / name, b"")


@pytest.mark.parametrize("case", cases("file"))
def test_file(case: Case, stores: Stores) -> None:
    session_id = case["session_id"]
    name = session_id if case["naming"] == "plain" else Key.of(session_id).hex()
    where = case["naming"], case["durability"], int(case["now"]), name, content(case), session_id
    if case["result"] == "invalid":
        with pytest.raises(Error) as caught:
            stores.load(*where)
        check_error(caught.value, case["error"])
        assert session_id not in str(caught.value)
        return
    loaded = stores.load(*where)
    if case["result"] == "absent":
        assert loaded is None
    else:
        assert loaded is not None
        compare(typed.of_session(loaded, case["naming"] == "hashed"), case["value"])


@pytest.mark.parametrize("case", cases("name"))
def test_name(case: Case) -> None:
    text = case["text"] if "text" in case else os.fsdecode(bytes.fromhex(case["hex"]))
    if case["test"] == "classify":
        assert classify(text, case["type"], case["naming"]) == case["class"]
    elif case["result"] == "valid":
        assert check_id(text) == text
    else:
        with pytest.raises(InvalidId) as caught:
            check_id(text)
        assert not text or text not in str(caught.value)


@pytest.mark.parametrize("case", cases("lock"))
def test_lock(case: Case) -> None:
    key = Key.of(case["session_id"])
    assert (key.hex(), key.shown) == (case["d"], case["shown"])
    assert (".lock/" + key.place.file_name, str(key.place.byte)) == (case["lock_file"], case["byte"])


@pytest.mark.parametrize("case", cases("marker"))
def test_marker(case: Case) -> None:
    data = content(case)[:READ_LENGTH]
    if case["result"] == "invalid":
        with pytest.raises(Error) as caught:
            parse(data)
        check_error(caught.value, case["error"])
        return
    marker = parse(data)
    assert {"read": marker.read, "write": marker.write, "naming": marker.naming, "durability": marker.durability,
            "writable": marker.writable} == case["marker"]


def materialise(path: Path, listing: Case) -> None:
    if listing.get("skeleton"):
        skeleton(path, listing["naming"], listing["durability"])
    for entry in listing["entries"]:
        raw = entry["path"] if "path" in entry else os.fsdecode(bytes.fromhex(entry["path_hex"]))
        where = path / raw
        kind = entry["type"]
        if kind == "dir" and where.is_dir() and not where.is_symlink():
            where.chmod(int(entry["mode"], 8))
            continue
        if where.is_dir() and not where.is_symlink():
            for inner in where.iterdir():
                inner.unlink()
            where.rmdir()
        elif where.exists() or where.is_symlink():
            where.unlink()
        if kind == "file":
            put(where, b"".join(map(part, entry["content"])), int(entry["mode"], 8))
        elif kind == "dir":
            where.mkdir()
            where.chmod(int(entry["mode"], 8))
        elif kind == "symlink":
            where.symlink_to(entry["target"])
        elif kind == "hardlink":
            os.link(path / entry["target"], where)
        elif kind == "fifo":
            os.mkfifo(where)
            where.chmod(int(entry["mode"], 8))
        else:
            assert kind == "absent"
    path.chmod(int(listing["mode"], 8))


def snapshot(path: Path) -> Dict[str, Any]:
    found = {}
    for directory, names, files in os.walk(path):
        for name in names + files:
            full = os.path.join(directory, name)
            status = os.lstat(full)
            data = Path(full).read_bytes() if stat.S_ISREG(status.st_mode) else None
            found[full] = (status.st_mode, status.st_ino, status.st_mtime_ns, data)
    return found


@pytest.mark.parametrize("case", cases("directory"))
def test_directory(case: Case, tmp_path: Path) -> None:
    materialise(tmp_path, json.loads((FIXTURES / case["file"]).read_text("utf-8")))
    before = snapshot(tmp_path)
    now = int(case["now"])
    if case["result"] == "invalid":
        with pytest.raises(Error) as caught:
            DirectoryStore(tmp_path, clock=lambda: now)
        check_error(caught.value, case["error"])
        assert snapshot(tmp_path) == before
        return
    store = DirectoryStore(tmp_path, clock=lambda: now, lock_timeout=1)
    valid = []
    for told in case["sessions"]:
        if told["result"] == "invalid":
            with pytest.raises(Error) as caught:
                store.load(told["session_id"])
            check_error(caught.value, told["error"])
            continue
        loaded = store.load(told["session_id"])
        if told["result"] == "absent":
            assert loaded is None
        else:
            assert loaded is not None
            value = typed.of_session(loaded, store.naming == "hashed")
            compare(value, told["value"])
            valid.append(value)
    listed = [typed.of_session(session, store.naming == "hashed") for session in store.iter_sessions(lambda _: None)]

    def order(value: Any) -> str:
        return str(value.get("id") or value.get("key"))

    compare(sorted(listed, key=order), sorted(valid, key=order))
    assert snapshot(tmp_path) == before
