"""What a caller did not touch keeps its bytes (VAL-14, REC-13, REC-14)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import FIXTURES

from sessiondir import Key, Session
from sessiondir.body import judge
from sessiondir.cbor import decode, encode, encode_float
from sessiondir.record import build, finish, parse_head
from sessiondir.session import encode_body
from sessiondir.slots import slot_for
from sessiondir.store import DirectoryStore

VALID = [case for case in json.loads((FIXTURES / "manifest.json").read_text("utf-8"))["cases"]
         if case["kind"] == "record" and case["result"] == "valid" and "file" in case]


def test_one_attribute_set_beside_those_of_every_vector(tmp_path: Path) -> None:
    assert len(VALID) > 50
    stores = {naming: DirectoryStore(tmp_path / naming, create=True, naming=naming, durability="process",
                                     clock=lambda: 1735689720000) for naming in ("plain", "hashed")}
    changed = 0
    for case in VALID:
        data = (FIXTURES / case["file"]).read_bytes()
        envelope = finish(data, parse_head(data, 0, len(data)), len(data))
        body = judge(data, envelope)
        if body.expired(1735689720000) or body.rev == 2**53 - 1 or envelope.seq == 2**53 - 1:
            continue
        naming, name = ("plain", body.id) if body.id else ("hashed", body.key.hex() if body.key else "")
        assert name is not None
        path = tmp_path / naming / name
        slot = slot_for(len(data))
        whole = bytearray(2 * slot)
        whole[envelope.seq % 2 * slot:envelope.seq % 2 * slot + len(data)] = data
        path.write_bytes(bytes(whole))
        key = body.key or name
        assert isinstance(key, (str, Key))
        stores[naming].update(key, lambda session: session.update(zzzz=1))
        after = path.read_bytes()
        half = len(after) // 2
        start = (envelope.seq + 1) % 2 * half
        raw = judge(after, finish(after, parse_head(after, start, start + half), start + half))
        expected = dict(body.data_raw, zzzz=b"\x01")
        assert raw.data_raw == expected and list(raw.data_raw)[-1:] and raw.raw == body.raw, case["id"]
        assert (raw.rev, raw.created) == (body.rev + 1, body.created)
        changed += 1
        path.unlink()
    assert changed > 50


@pytest.mark.parametrize("number, expected", [
    (0.0, "f90000"), (-0.0, "f98000"), (1.5, "f93e00"), (65504.0, "f97bff"), (65536.0, "fa47800000"),
    (5.960464477539063e-08, "f90001"), (3.4028234663852886e38, "fa7f7fffff"), (1.1, "fb3ff199999999999a"),
    (1e300, "fb7e37e43c8800759c"), (float("inf"), "f97c00"), (float("-inf"), "f9fc00"), (float("nan"), "f97e00"),
])
def test_the_shortest_form_of_a_number(number: float, expected: str) -> None:
    assert encode_float(number).hex() == expected
    assert encode(decode(bytes.fromhex(expected))).hex() == expected


def test_a_session_of_its_own_is_encoded_as_the_worked_example_of_the_specification() -> None:
    session = Session({"n": 1}, user="ada")
    body = encode_body(session._content(), "plain", "AAAAAAAAAAAAAAAAAAAAAA", 2, 1735689600000, 1735689660000)
    assert build(3, body)[-32:].hex() == "24a16fb2fadea657f28e1bb46b7058402ef749d9352b703590ae95f286bb29ff"
