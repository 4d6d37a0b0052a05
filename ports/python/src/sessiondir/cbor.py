"""The strict codec of SPEC section 7.5 (VAL-1 to VAL-13).

``encode`` gives the one encoding that the rules allow; ``decode`` accepts no other. Arrays become lists, maps become
dicts. Every error says which rule was broken, and the byte at which.
"""

from __future__ import annotations

import math
import struct
from typing import Any, List, NamedTuple, Optional, Tuple

from .errors import InvalidValue

MAX_DEPTH = 32
_SHORTEST = (24, 1 << 8, 1 << 16, 1 << 32)
_NONE = object()


class Fault(Exception):
    """A rule that some bytes break, and the offset of the data item that breaks it."""

    def __init__(self, rule: str, offset: int) -> None:
        super().__init__("%s at byte %d" % (rule, offset))
        self.rule = rule
        self.offset = offset


class Entry(NamedTuple):
    """An entry of a map: its key, where the key begins, where the value begins and ends, and the value."""

    key: str
    key_at: int
    at: int
    end: int
    value: Any


# --- encoding


def head(major: int, argument: int) -> bytes:
    """A head with the shortest form of its argument (VAL-1)."""
    top = major << 5
    if argument < 24:
        return bytes((top | argument,))
    if argument < 1 << 8:
        return bytes((top | 24, argument))
    if argument < 1 << 16:
        return struct.pack(">BH", top | 25, argument)
    if argument < 1 << 32:
        return struct.pack(">BI", top | 26, argument)
    return struct.pack(">BQ", top | 27, argument)


def encode_float(number: float) -> bytes:
    """The shortest form that keeps the value (VAL-4); a NaN is f97e00 (VAL-5)."""
    if math.isnan(number):
        return b"\xf9\x7e\x00"
    for lead, form in ((b"\xf9", ">e"), (b"\xfa", ">f")):
        try:
            packed = struct.pack(form, number)
        except OverflowError:
            continue
        if struct.unpack(form, packed)[0] == number:
            return lead + packed
    return b"\xfb" + struct.pack(">d", number)


def encode_text(text: str, what: str) -> bytes:
    try:
        raw = str.encode(text, "utf-8")
    except UnicodeEncodeError:
        raw = b""
    else:
        return head(3, len(raw)) + raw
    raise InvalidValue("%s holds a text that is not Unicode (a lone surrogate)" % what, "VAL-6")


def encode(value: Any, what: str = "the value", depth: int = 0) -> bytes:
    """The bytes of a value: None, bool, int, float, str, bytes, list, tuple, or dict with str keys.

    Subclasses of these lose their class. ``what`` names the value in an error; ``depth`` is the number of containers
    that enclose it. Raises InvalidValue for anything else, for an integer outside -2^63 to 2^63-1 (VAL-3), and for
    more than 32 containers in one another (VAL-12).
    """
    out: List[bytes] = []
    _encode(value, what, depth, out)
    return b"".join(out)


def _encode(value: Any, what: str, depth: int, out: List[bytes]) -> None:
    if value is None:
        out.append(b"\xf6")
    elif value is True:
        out.append(b"\xf5")
    elif value is False:
        out.append(b"\xf4")
    elif isinstance(value, int):
        number = int(value)
        if not -(1 << 63) <= number < 1 << 63:
            raise InvalidValue("%s holds an integer outside -2^63 to 2^63-1" % what, "VAL-3")
        out.append(head(0, number) if number >= 0 else head(1, -1 - number))
    elif isinstance(value, float):
        out.append(encode_float(float(value)))
    elif isinstance(value, str):
        out.append(encode_text(value, what))
    elif isinstance(value, bytes):
        out.append(head(2, len(value)))
        out.append(bytes(value))
    elif isinstance(value, (list, tuple)):
        _room(what, depth)
        out.append(head(4, len(value)))
        for element in value:
            _encode(element, what, depth + 1, out)
    elif isinstance(value, dict):
        _room(what, depth)
        entries = []
        for key, element in value.items():
            if not isinstance(key, str):
                raise InvalidValue("%s holds a map with a key that is no text" % what, "VAL-7")
            entries.append((encode_text(key, what), element))
        entries.sort(key=lambda entry: entry[0])
        out.append(head(5, len(entries)))
        for raw, element in entries:
            out.append(raw)
            _encode(element, what, depth + 1, out)
    else:
        raise InvalidValue("%s holds a %s, which the format cannot hold" % (what, type(value).__name__))


def _room(what: str, depth: int) -> None:
    if depth + 1 > MAX_DEPTH:
        raise InvalidValue("%s holds more than %d containers in one another" % (what, MAX_DEPTH), "VAL-12")


# --- decoding


def read_head(data: bytes, at: int, end: int) -> Tuple[int, int, int, int]:
    """(major, info, argument, next) of the head at ``at``."""
    if at >= end:
        raise Fault("VAL-13", at)
    first = data[at]
    major, info = first >> 5, first & 31
    if info < 24:
        return major, info, info, at + 1
    if info == 31:
        raise Fault("VAL-2" if 2 <= major <= 5 else "VAL-11" if major == 7 else "VAL-1", at)
    if info > 27:
        raise Fault("VAL-11" if major == 7 else "VAL-1", at)
    count = 1 << (info - 24)
    following = at + 1 + count
    if following > end:
        raise Fault("VAL-13", at)
    argument = int.from_bytes(data[at + 1:following], "big")
    if major != 7 and argument < _SHORTEST[info - 24]:
        raise Fault("VAL-1", at)
    return major, info, argument, following


def _item(data: bytes, at: int, end: int) -> Tuple[Any, int, Optional[int]]:
    """(value, next, entries opened) of one data item, without what a container encloses."""
    major, info, argument, following = read_head(data, at, end)
    if major <= 1:
        if argument > (1 << 63) - 1:
            raise Fault("VAL-3", at)
        return (argument if major == 0 else -1 - argument), following, None
    if major <= 3:
        stop = following + argument
        if stop > end:
            raise Fault("VAL-13", at)
        raw = data[following:stop]
        if major == 2:
            return raw, stop, None
        try:
            return raw.decode("utf-8"), stop, None
        except UnicodeDecodeError:
            pass
        raise Fault("VAL-6", at)
    if major <= 5:
        if argument * (1 if major == 4 else 2) > end - following:
            raise Fault("VAL-13", at)
        return ([] if major == 4 else {}), following, argument
    if major == 6:
        raise Fault("VAL-10", at)
    if info in (25, 26, 27):
        form = (">e", ">f", ">d")[info - 25]
        number: float = struct.unpack(form, data[at + 1:following])[0]
        if encode_float(number) != data[at:following]:
            raise Fault("VAL-5" if math.isnan(number) else "VAL-4", at)
        return number, following, None
    if info == 20:
        return False, following, None
    if info == 21:
        return True, following, None
    if info == 22:
        return None, following, None
    raise Fault("VAL-11", at)


class _Frame:
    __slots__ = ("container", "is_map", "left", "previous", "key", "key_at", "at")

    def __init__(self, container: Any, left: int, at: int) -> None:
        self.container = container
        self.is_map = isinstance(container, dict)
        self.left = left
        self.previous = b""
        self.key = ""
        self.key_at = at
        self.at = at


def decode_item(data: bytes, at: int, end: int, depth: int = 0, entries: Optional[List[Entry]] = None,
                inner: Optional[List[Entry]] = None, inner_key: str = "") -> Tuple[Any, int]:
    """(value, next) of the data item at ``at``, with all that it encloses.

    ``entries`` receives the entries of the item where it is a map, and ``inner`` the entries of the map that stands
    under ``inner_key`` in it: that is how the exact bytes of each attribute are found. The stack is explicit, so
    hostile depth costs no recursion.
    """
    stack: List[_Frame] = []
    result: Any = _NONE

    def complete(value: Any, start: int, stop: int) -> Any:
        if not stack:
            return value
        top = stack[-1]
        top.left -= 1
        if not top.is_map:
            top.container.append(value)
            return _NONE
        top.container[top.key] = value
        if entries is not None and len(stack) == 1:
            entries.append(Entry(top.key, top.key_at, start, stop, value))
        elif inner is not None and len(stack) == 2 and stack[0].is_map and stack[0].key == inner_key:
            inner.append(Entry(top.key, top.key_at, start, stop, value))
        return _NONE

    while True:
        if stack and stack[-1].is_map:
            top = stack[-1]
            start = at
            if at >= end:
                raise Fault("VAL-13", at)
            if data[at] >> 5 != 3:
                raise Fault("VAL-7", at)
            top.key, at, _ = _item(data, at, end)
            top.key_at = start
            raw = data[start:at]
            if top.previous:
                if raw == top.previous:
                    raise Fault("VAL-9", start)
                if raw < top.previous:
                    raise Fault("VAL-8", start)
            top.previous = raw
        start = at
        value, at, opened = _item(data, at, end)
        if opened is not None:
            if depth + len(stack) + 1 > MAX_DEPTH:
                raise Fault("VAL-12", start)
            stack.append(_Frame(value, opened, start))
        else:
            result = complete(value, start, at)
        while stack and stack[-1].left == 0:
            frame = stack.pop()
            result = complete(frame.container, frame.at, at)
        if not stack:
            return result, at


def decode(data: bytes, depth: int = 0) -> Any:
    """The value that ``data`` holds, and nothing after it. Raises Fault."""
    value, following = decode_item(data, 0, len(data), depth)
    if following != len(data):
        raise Fault("BODY-1", following)
    return value
