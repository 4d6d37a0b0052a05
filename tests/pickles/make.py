#!/usr/bin/env python3
"""Writes the pickles beside this file, and what they must become.

    python3 tests/pickles/make.py

The result is the same on every run; made with Python 3.11. `expected.json` comes from the
objects themselves, not from the pickles: bytes as "hex:...", floats as "float:" and their repr.
`all` is in every pickle, `from2` in those of protocol 2 and later.
"""

import collections
import datetime
import decimal
import json
import os
import pathlib
import pickle
import pickletools
import struct
import sys
import uuid

if os.environ.get("PYTHONHASHSEED") != "0":
    # The order in which sets are pickled hangs on it.
    os.environ["PYTHONHASHSEED"] = "0"
    os.execv(sys.executable, [sys.executable, *sys.argv])

HERE = pathlib.Path(__file__).parent


class Session:
    pass


class Money:
    def __init__(self, amount, currency):
        self.amount = amount
        self.currency = currency


class Bag(dict):
    pass


class Stack(list):
    pass


class Slots:
    __slots__ = ("x", "y", "__dict__")


class Name(str):
    pass


Point = collections.namedtuple("Point", "x y")

UTC = datetime.timezone.utc
INDIA = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
ODD = datetime.timezone(-datetime.timedelta(hours=1, seconds=2, microseconds=3))
NAMED = datetime.timezone(datetime.timedelta(hours=-5), "EST")


def attributes():
    shared = ["shared", {"deep": [1]}]
    bag = Bag(a=1, b=[2])
    tagged = Bag(c=3)
    tagged.label = "tagged"
    stack = Stack([1, "two"])
    stack.label = "labelled"
    money = Money(decimal.Decimal("12.50"), "EUR")
    money.self_made = [Money(1, "USD")]
    everything = {
        "id": "0SJaaIqvMIA",
        "none": None,
        "bools": [True, False],
        "ints": [0, 1, -1, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -(2**31) - 1],
        "wide": [2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 2**64, 2**127, -(2**127)],
        "huge": [2**128, -(2**128), 10**300, -(10**300), 2**2040 - 1],
        "floats": [0.0, -0.0, 1.0, 0.1, 1e16, 1e-5, 1e22, 123456789.125, 5e-324,
                   1.7976931348623157e308, float("inf"), float("-inf"), float("nan")],
        "texts": ["", "a", "naïve — ☕", "\U0001f600", "line\nbreak\r\t\0\x1a", "back\\u0041slash",
                  "\\", "quote'\"", "x" * 300],
        "bytes": [b"", b"abc", bytes(range(256)), b"\n\\'\"", b"\xff" * 300],
        "bytearray": bytearray(b"a\xff"),
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((((),),),)],
        "lists": [[], [1], [1, [2, [3]]]],
        "dicts": [{}, {"k": "v"}, {"a": 1, "b": {"c": {}}}],
        "keys": {1: "int", -5: "negative", None: "none", 2: "two", 1.5: "float",
                 1e16: "large", 1e-7: "small", b"b'\x00": "bytes", (1, "it's", None): "tuple",
                 ("one",): "single", 2**70: "big", datetime.date(2025, 10, 12): "date",
                 decimal.Decimal("1.10"): "decimal", float("inf"): "inf", "": "empty",
                 datetime.datetime(2025, 1, 2, 3, 4): "datetime", uuid.UUID(int=7): "uuid"},
        "boolkeys": {True: "yes", False: "no"},
        "set_ints": {3, -1, 20, 100, 2**65, -(2**65), 2**64, -(2**64), 2**80, 7},
        "set_texts": {"b", "a", "é", "aa", "", "B", "\U0001f600", "\uffee"},
        "set_bytes": {b"b", b"a"},
        "set_floats": {2.5, -1.0, 1e300},
        "set_tuples": {(2, "b"), (1, "z"), (1, "a")},
        "frozen": frozenset({5, 4}),
        "empty_sets": [set(), frozenset()],
        "dates": [datetime.date(1, 1, 1), datetime.date(2024, 2, 29), datetime.date(9999, 12, 31)],
        "times": [datetime.time(), datetime.time(1, 2, 3), datetime.time(23, 59, 59, 999999),
                  datetime.time(1, 2, fold=1), datetime.time(4, tzinfo=INDIA)],
        "datetimes": [datetime.datetime(2025, 10, 12, 9, 30, 15, 250000),
                      datetime.datetime(2025, 10, 12, 9, 30, 15),
                      datetime.datetime(2025, 10, 12, 0, 0, 0, 1, UTC),
                      datetime.datetime(2025, 10, 12, 9, 30, tzinfo=INDIA),
                      datetime.datetime(2025, 10, 12, 9, 30, tzinfo=ODD),
                      datetime.datetime(2025, 10, 12, 9, 30, tzinfo=NAMED),
                      datetime.datetime(2025, 10, 12, 9, 30, fold=1)],
        "deltas": [datetime.timedelta(), datetime.timedelta(1, 2, 3), datetime.timedelta(-1, 5, 7),
                   datetime.timedelta.max, datetime.timedelta.min, datetime.timedelta(0, 0, 1)],
        "zones": [UTC, INDIA, ODD, NAMED],
        "decimals": [decimal.Decimal(text) for text in
                     ("0", "-0", "1.50", "1E+5", "1.2E-7", "NaN", "sNaN12", "Infinity",
                      "-Infinity")],
        "ordered": collections.OrderedDict([("z", 1), ("a", 2)]),
        "default": collections.defaultdict(list, {"k": [1]}),
        "counter": collections.Counter("abba"),
        "deque": collections.deque([1, 2, 3], 5),
        "deques": [collections.deque(), collections.deque(["a"])],
        "userdict": collections.UserDict({"k": [1]}),
        "userlist": collections.UserList([1, "x"]),
        "userstring": collections.UserString("text"),
        "uuids": [uuid.UUID(int=0), uuid.UUID("12345678-1234-5678-9234-567812345678"),
                  uuid.UUID(int=2**128 - 1)],
        "money": money,
        "bag": bag,
        "tagged": tagged,
        "stack": stack,
        "shared_one": shared,
        "shared_two": shared,
    }
    slots = Slots()
    slots.x = 1
    slots.y = "two"
    slots.z = [3]
    from2 = {"point": Point(1, "y"), "slots": slots, "name": Name("value")}
    return everything, from2


def plain(value):
    if isinstance(value, Name):
        return {"__args__": [str(value)]}
    if isinstance(value, Point):
        return {"__args__": [plain(item) for item in value]}
    if isinstance(value, Slots):
        return {"x": plain(value.x), "y": plain(value.y), "z": plain(value.z)}
    if isinstance(value, (Bag, Stack)) and vars(value):
        items = dict(value) if isinstance(value, Bag) else list(value)
        return {**plain(vars(value)), "__items__": plain(items)}
    if isinstance(value, Money):
        return plain(vars(value))
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, float):
        return "float:" + repr(value)
    if isinstance(value, (bytes, bytearray)):
        return "hex:" + value.hex()
    if isinstance(value, (dict, collections.UserDict)):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, collections.deque, collections.UserList)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return [plain(item) for item in sorted(value)]
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return "float:" + repr(value.total_seconds())
    if isinstance(value, (datetime.timezone, decimal.Decimal, uuid.UUID, collections.UserString)):
        return str(value)
    raise TypeError(value)


def main():
    everything, from2 = attributes()
    for protocol in range(6):
        session = Session()
        vars(session).update(everything)
        if protocol >= 2:
            vars(session).update(from2)
        (HERE / f"rich-{protocol}.pickle").write_bytes(pickle.dumps(session, protocol))

        small = Session()
        small.id = "0SJaaIqvMIA"
        small.cart = [{"sku": "A-1", "qty": 1, "price": 9.99}]
        small.twice = [small.cart, small.cart]
        small.tags = {"b", "a"}
        small.when = datetime.datetime(2025, 10, 12, 9, 30, 15, 250000, INDIA)
        small.money = Money(decimal.Decimal("12.50"), "EUR")
        small.big = 2**80
        small.keys = {1: None, (2, "x"): True}
        small.ordered = collections.OrderedDict(a=b"\x00\xff")
        small.uuid = uuid.UUID(int=1)
        (HERE / f"small-{protocol}.pickle").write_bytes(pickle.dumps(small, protocol))
    # Past the size of a frame (64 KiB) and of a batch (1,000 entries).
    long = Session()
    long.numbers = list(range(2500))
    long.table = {str(number): number for number in range(1200)}
    long.members = set(range(1001))
    long.text = "é" * 33000
    (HERE / "long-4.pickle").write_bytes(pickle.dumps(long, 4))

    expected = {"all": plain(everything), "from2": plain(from2)}
    text = json.dumps(expected, indent=1, sort_keys=True, ensure_ascii=True)
    (HERE / "expected.json").write_text(text + "\n")
    opcodes = "".join(
        f"{ord(opcode.code):02x} {opcode.name}\n" for opcode in pickletools.opcodes
    )
    (HERE / "opcodes.txt").write_text(opcodes)
    # Floats as keys, where the two languages differ most.
    floats = [1.0, -1.5, 1e15, 123456789012345680.0, 1e16, 9999999999999998.0, 0.0001, 0.00001,
              1.25e-5, 5e-324, 1.7976931348623157e308, 1e100, 0.1, 1 / 3, -0.0, 2.0**53, 1e22,
              1e23, 4.35, 100000.0]
    # Bits rather than decimals, so that nothing is parsed twice.
    lines = "".join(f"{struct.pack('>d', value).hex()} {value!r}\n" for value in floats)
    (HERE / "floats.txt").write_text(lines)


if __name__ == "__main__":
    main()
