#!/usr/bin/env python3
"""Writes the small Session3 directories beside this file, and what their sessions must become.

    python3 tests/session3/make.py

`sessions/` holds files as Session3, Session2 and Quixote write them; `expected.json` is what an import
must give for each, spelt as in JSON: bytes as base64url without padding, a time in milliseconds.
`hostile/` holds files that must be refused. Neither Session3 nor Quixote is needed: a pickle only names
its class. The result is the same on every run; made with Python 3.11.
"""

import base64
import datetime
import decimal
import json
import os
import pathlib
import pickle
import shutil
import sys
import types

if os.environ.get("PYTHONHASHSEED") != "0":
    # The order in which sets are pickled hangs on it.
    os.environ["PYTHONHASHSEED"] = "0"
    os.execv(sys.executable, [sys.executable, *sys.argv])

HERE = pathlib.Path(__file__).parent
CREATED, ACCESSED = 1_760_000_000.1234, 1_760_000_100.9999


def a_class(module, name, *bases):
    """A class that pickles under that name."""
    made = type(name, bases, {"__module__": module})
    for end in [at for at, char in enumerate(module) if char == "."] + [len(module)]:
        sys.modules.setdefault(module[:end], types.ModuleType(module[:end]))
    setattr(sys.modules[module], name, made)
    return made


Session = a_class("session3.Session", "Session")
DictSession = a_class("session3.DictSession", "DictSession", Session)
ShopSession = a_class("shop.sessions", "ShopSession", Session)
Price = a_class("shop.model", "Price")
QuixoteSession = a_class("quixote.session", "Session")


def session(kind, id, user, **more):
    made = kind.__new__(kind)
    made.__dict__.update(
        {
            "id": id,
            "user": user,
            "_remote_address": "192.0.2.7",
            "_creation_time": CREATED,
            "_access_time": ACCESSED,
            "_form_tokens": [],
        }
        | more
    )
    return made


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def expected(user, data=None, addr="192.0.2.7", **more):
    want = {"created": 1_760_000_000_123, "accessed": 1_760_000_100_999, "addr": addr, "user": user} | more
    if data is not None:
        want["data"] = data
    return {key: value for key, value in want.items() if value is not None}


sessions, wanted, hostile = {}, {}, {}


def add(kind, id, user, want, protocol=4, **more):
    sessions[id] = pickle.dumps(session(kind, id, user, **more), protocol)
    wanted[id] = want


add(Session, "plainUser01", "ada", expected("ada", tokens=["dG9rZW4tMQ", "dG9rZW4tMg"]),
    _form_tokens=["dG9rZW4tMQ", "dG9rZW4tMg"])
add(Session, "-nobody-001", None, expected(None, addr=None), _remote_address=None)
add(DictSession, "dictSession", "grace",
    expected("grace", {"visits": 3, "1": "one", "note": "as an attribute"}),
    data={"visits": 3, 1: "one"}, note="as an attribute")

price = Price()
price.amount, price.currency = decimal.Decimal("12.50"), "EUR"
line = {"sku": "A-1", "price": price}
add(ShopSession, "shopSession", {"name": "Zoë", "roles": ("admin",)},
    expected({"name": "Zoë", "roles": ["admin"]},
             {"cart": [{"sku": "A-1", "price": {"amount": "12.50", "currency": "EUR"}}] * 2,
              "seen": [1, 2, 30], "blob": base64url(bytes(range(250, 256))), "big": str(2**80),
              "since": "2025-10-09T08:53:20", "ratio": 0.1, "nothing": None, "data": {"kept": True}}),
    cart=[line, line], seen={30, 1, 2}, blob=bytes(range(250, 256)), big=2**80,
    since=datetime.datetime(2025, 10, 9, 8, 53, 20), ratio=0.1, nothing=None, data={"kept": True})
add(QuixoteSession, "quixote-22-characters_", "lin", expected("lin", csrf="Y3NyZi10b2tlbg"),
    protocol=2, _csrf_token="Y3NyZi10b2tlbg")

# As Session2 under Python 2 wrote them: protocol 0, byte strings.
sessions["python2User"] = (
    b"ccopy_reg\n_reconstructor\np0\n(csession2.DictSession\nDictSession\np1\nc__builtin__\nobject\np2\nNtp3\nRp4\n"
    b"(dp5\nS'id'\np6\nS'python2User'\np7\nsS'user'\np8\nS'mary'\np9\nsS'_remote_address'\np10\n"
    b"S'192.0.2.7'\np11\nsS'_creation_time'\np12\nF1760000000.1234\nsS'_access_time'\np13\n"
    b"F1760000100.9999\nsS'data'\np14\n(dp15\nS'visits'\np16\nI4\nssb."
)
wanted["python2User"] = expected("mary", {"visits": 4})


class Calls:
    def __reduce__(self):
        return os.system, ("touch session3-import-was-here",)


hostile["callsSystem"] = pickle.dumps(Calls(), 4)
hostile["hiddenCalls"] = pickle.dumps(session(Session, "hiddenCalls", "eve", cart=[Calls()]), 4)
hostile["renamedFile"] = sessions["plainUser01"]
hostile["emptySaved1"] = b""
hostile["tornInHalf1"] = sessions["shopSession"][:200]
hostile["no-object-1"] = pickle.dumps({"id": "no-object-1"}, 4)
hostile["no-pickle-1"] = b"{\"id\": \"no-pickle-1\"}\n"

for name, files in (("sessions", sessions), ("hostile", hostile)):
    shutil.rmtree(HERE / name, ignore_errors=True)
    (HERE / name).mkdir()
    for id, data in files.items():
        (HERE / name / id).write_bytes(data)
text = json.dumps(wanted, indent=1, sort_keys=True, ensure_ascii=True)
(HERE / "expected.json").write_text(text + "\n")
