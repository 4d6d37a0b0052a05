"""The driver, through its standard input and output."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest
from conftest import FIXTURES

ID = "AAAAAAAAAAAAAAAAAAAAAA"


class Process:
    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "sessiondir.driver"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.number = 0

    def send(self, **request: Any) -> int:
        self.number += 1
        line = json.dumps(dict(request, request=self.number)).encode() + b"\n"
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()
        return self.number

    def receive(self) -> Dict[str, Any]:
        assert self.process.stdout is not None
        answer = json.loads(self.process.stdout.readline())
        assert isinstance(answer, dict)
        return answer

    def ask(self, **request: Any) -> Dict[str, Any]:
        number = self.send(**request)
        answer = self.receive()
        assert answer.pop("request") == number
        return answer

    def ok(self, **request: Any) -> Dict[str, Any]:
        answer = self.ask(**request)
        assert list(answer) == ["ok"], answer
        return dict(answer["ok"])

    def error(self, **request: Any) -> str:
        answer = self.ask(**request)
        assert list(answer) == ["error"], answer
        return str(answer["error"]["class"])


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Process]:
    process = Process()
    process.ok(op="init", dir=str(tmp_path / "s"), naming="plain", durability="process")
    process.ok(op="open", dir=str(tmp_path / "s"), wait_ms=200)
    yield process
    process.ok(op="stop")
    assert process.process.wait(10) == 0


def test_hello_and_names(driver: Process) -> None:
    hello = driver.ok(op="hello", protocol=1)
    assert hello["protocol"] == 1 and hello["lock"] == "process" and "checker" not in hello["classes"]
    assert driver.ok(op="name", text=ID) == {
        "d": "8a5bdb4cc15164126c6ef2668de9dd240d299ce6397a42c95a9411b93d080ed8", "shown": "#8a5bdb4c", "lock": "0a",
        "byte": "1541098689"}
    assert driver.error(op="name", hex="ff") == "invalid-id"
    assert driver.ok(op="classify", naming="plain", type="regular", text=".sessiondir.tmp") == {"class": "marker-temp"}
    assert "skipped" in driver.ask(op="check")


def test_decode_and_encode(driver: Process) -> None:
    path = FIXTURES / "records" / "int-0.cbor"
    told = driver.ok(op="decode", path=str(path))
    assert driver.ok(op="encode", session=told["session"], seq=told["seq"]) == {"record": path.read_bytes().hex()}
    assert driver.error(op="decode", path=str(FIXTURES / "records" / "magic-first-byte.cbor")) == "corrupt"


def test_sessions(driver: Process) -> None:
    value = {"map": [["a", {"float": "-0.0"}]]}
    session_id = driver.ok(op="create", changes={"set": [["v", value]], "user": {"text": "ada"}}, now="1000",
                           **{"as": "a"})["id"]
    saved = driver.ok(op="save", changes={"add": [["n", "2"]], "remove": ["none"]}, now="2000", **{"as": "a"})
    assert saved["session"] == {"id": session_id, "rev": "2", "created": "1000", "accessed": "2000",
                                "user": {"text": "ada"}, "data": [["n", {"int": "2"}], ["v", value]]}
    # The name stands for what was stored; another one stands for what was loaded before somebody else saved.
    driver.ok(op="load", id=session_id, now="2000", **{"as": "b"})
    driver.ok(op="save", changes={"add": [["m", "1"]]}, now="2000", **{"as": "a"})
    assert driver.error(op="save", changes={"add": [["n", "2"]]}, **{"as": "b"}) == "conflict"
    saved = driver.ok(op="save", changes={"remove": ["m"]}, now="2000", **{"as": "a"})
    assert driver.ok(op="load", id=session_id, **{"as": "a"}) == saved
    assert driver.ok(op="touch", id=session_id, now="2001") == {"written": False}
    new = driver.ok(op="rotate", changes={"user": None}, **{"as": "a"})["id"]
    assert driver.ok(op="load", id=session_id) == {"session": None}
    listed = driver.ok(op="list")
    assert [one["id"] for one in listed["sessions"]] == [new] and listed["failed"] == "0"
    assert "user" not in listed["sessions"][0]
    assert driver.ok(op="sweep", idle_ms="1", now="9000000000000") == {"deleted": "1", "failed": "0"}
    assert driver.ok(op="delete", id=new) == {"existed": False}


def test_threads_locks_and_children(driver: Process, tmp_path: Path) -> None:
    session_id = driver.ok(op="create", changes={})["id"]
    driver.ok(op="open", store="other", dir=str(tmp_path / "s"), wait_ms=0)
    change = {"op": "update", "id": session_id, "changes": {"add": [["n", "1"]]}}
    driver.ok(op="lock", id=session_id, thread="t")
    assert driver.error(**change) == "busy"
    assert driver.error(store="other", **change) == "busy"
    assert driver.error(op="lock", id=session_id, thread="u", wait_ms=0) == "busy"
    child = driver.ok(op="fork", then=change)["child"]
    assert child["error"]["class"] == "busy" and "request" not in child
    waiting = driver.send(thread="v", store="", **dict(change, op="lock", wait_ms=10_000))
    unlock = driver.send(op="unlock", id=session_id, thread="t")
    assert {driver.receive()["request"] for _ in range(2)} == {waiting, unlock}
    driver.ok(op="unlock", id=session_id, thread="v")
    assert driver.ok(op="fork", then=change)["child"]["ok"]["session"]["data"] == [["n", {"int": "1"}]]
    assert driver.ok(op="worker", ids=[session_id], times=20, threads=3) == {"done": "60"}
    assert driver.ok(op="load", id=session_id)["session"]["data"] == [["n", {"int": "61"}]]
