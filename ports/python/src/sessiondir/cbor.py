"""The strict codec of SPEC.md section 7.5: each value has one encoding, and everything else is refused.

``encode`` gives the canonical bytes of a value, ``decode`` takes them and nothing else.
"""

from __future__ import annotations

import math
import struct
from typing import Any, List, NamedTuple, Tuple

from .errors import Fault, InvalidValue

#: Arrays and maps that may enclose each other, the body's map being the outermost (VAL-12).
DEPTH = 32
_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}
_LEAST = {24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}


class Head(NamedTuple):
    major: int
    info: int
    argument: int
    next: int


def head(data: bytes, at: int, end: int) -> Head:
    """One head of a data item."""
    if at >= end:
        raise Fault("VAL-13", at)
    major, info = data[at] >> 5, data[at] & 31
    if info < 24:
        return Head(major, info, info, at + 1)
    if info == 31:
        raise Fault("VAL-2" if 2 <= major <= 5 else "VAL-11" if major == 7 else "VAL-1", at)
    if info > 27:
        raise Fault("VAL-11" if major == 7 else "VAL-1", at)
    width = _WIDTHS[info]
    if at + 1 + width > end:
        raise Fault("VAL-13", at)
    argument = int.from_bytes(data[at + 1 : at + 1 + width], "big")
    if major != 7 and argument < _LEAST[info]:
        raise Fault("VAL-1", at)
    return Head(major, info, argument, at + 1 + width)


def _float(info: int, argument: int) -> float:
    form = {25: ">e", 26: ">f", 27: ">d"}[info]
    value: float = struct.unpack(form, argument.to_bytes(_WIDTHS[info], "big"))[0]
    return value


def _fits(form: str, value: float) -> bool:
    try:
        packed = struct.pack(form, value)
    except OverflowError:
        return False
    return bool(struct.unpack(form, packed)[0] == value)


def _item(data: bytes, at: int, end: int) -> Tuple[Head, int, bool]:
    """One data item without what a container encloses: its head, where it ends, whether it is a container."""
    found = head(data, at, end)
    major, info, argument, after = found
    if major <= 1:
        if argument > (1 << 63) - 1:
            raise Fault("VAL-3", at)
    elif major <= 3:
        if argument > end - after:
            raise Fault("VAL-13", at)
        if major == 3:
            try:
                data[after : after + argument].decode("utf-8")
            except UnicodeDecodeError:
                raise Fault("VAL-6", at) from None
        after += argument
    elif major <= 5:
        if argument * (1 if major == 4 else 2) > end - after:
            raise Fault("VAL-13", at)
        return found, after, True
    elif major == 6:
        raise Fault("VAL-10", at)
    elif info in (25, 26, 27):
        value = _float(info, argument)
        if math.isnan(value):
            if info != 25 or argument != 0x7E00:
                raise Fault("VAL-5", at)
        elif info > 25 and _fits(">e" if info == 26 else ">f", value):
            raise Fault("VAL-4", at)
    elif info not in (20, 21, 22):
        raise Fault("VAL-11", at)
    return found, after, False


def skip(data: bytes, at: int, end: int, depth: int) -> int:
    """Checks one data item with all that it encloses (VAL-1 to VAL-13), and returns where it ends.

    ``depth`` is the number of containers that enclose it. The stack is explicit: hostile depth costs no recursion.
    """
    stack: List[List[Any]] = []  # [is a map, entries left, previous key]
    while True:
        if stack and stack[-1][0]:
            key = at
            if at >= end:
                raise Fault("VAL-13", at)
            if data[at] >> 5 != 3:
                raise Fault("VAL-7", at)
            _, at, _ = _item(data, at, end)
            encoded, previous = data[key:at], stack[-1][2]
            if previous is not None:
                if encoded == previous:
                    raise Fault("VAL-9", key)
                if encoded < previous:
                    raise Fault("VAL-8", key)
            stack[-1][2] = encoded
        value = at
        found, at, opened = _item(data, at, end)
        if opened:
            if depth + len(stack) + 1 > DEPTH:
                raise Fault("VAL-12", value)
            stack.append([found.major == 5, found.argument, None])
        elif stack:
            stack[-1][1] -= 1
        while stack and stack[-1][1] == 0:
            stack.pop()
            if stack:
                stack[-1][1] -= 1
        if not stack:
            return at


def entries(data: bytes, at: int, end: int) -> List[Tuple[str, int, int, int]]:
    """Of a map that has been checked: each key, where its head is, where its value begins, and where that ends."""
    found = head(data, at, end)
    at, out = found.next, []
    for _ in range(found.argument):
        key = head(data, at, end)
        value = key.next + key.argument
        after = skip(data, value, end, 0)
        out.append((data[key.next : value].decode("utf-8"), at, value, after))
        at = after
    return out


def _build(data: bytes, at: int, end: int) -> Tuple[Any, int]:
    """The value of an item that has been checked: no deeper than DEPTH."""
    found, after, _ = _item(data, at, end)
    major, info, argument = found.major, found.info, found.argument
    if major == 0:
        return argument, after
    if major == 1:
        return -1 - argument, after
    if major == 2:
        return bytes(data[found.next : after]), after
    if major == 3:
        return data[found.next : after].decode("utf-8"), after
    if major == 4:
        array = []
        for _ in range(argument):
            value, after = _build(data, after, end)
            array.append(value)
        return array, after
    if major == 5:
        table = {}
        for _ in range(argument):
            key, after = _build(data, after, end)
            table[key], after = _build(data, after, end)
        return table, after
    if info in _WIDTHS:
        return _float(info, argument), after
    return {20: False, 21: True, 22: None}[info], after


def decode(data: bytes, depth: int = 0) -> Any:
    """The value that ``data`` is the canonical encoding of; raises :class:`Fault` for anything else."""
    end = skip(data, 0, len(data), depth)
    if end != len(data):
        raise Fault("VAL-13", end)
    return _build(data, 0, end)[0]


def put_head(major: int, argument: int) -> bytes:
    """The shortest head (VAL-1)."""
    for info, least, width in ((27, 1 << 32, 8), (26, 1 << 16, 4), (25, 1 << 8, 2), (24, 24, 1)):
        if argument >= least:
            return bytes([major << 5 | info]) + argument.to_bytes(width, "big")
    return bytes([major << 5 | argument])


def _utf8(text: str, path: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidValue(f"{path}: text with a surrogate, which is no Unicode character") from None


def encode(value: Any, path: str = "the value", depth: int = 0) -> bytes:
    """The canonical bytes of a value: ``None``, ``bool``, ``int`` of 64 bits, ``float``, ``str``, ``bytes``, and lists,
    tuples and dicts with text keys of these. ``depth`` containers enclose it already.

    Raises :class:`InvalidValue`, whose message names ``path`` and what in it cannot be held.
    """
    out: List[bytes] = []
    _put(out, value, path, depth)
    return b"".join(out)


def _put(out: List[bytes], value: Any, path: str, depth: int) -> None:
    if value is None:
        out.append(b"\xf6")
    elif isinstance(value, bool):
        out.append(b"\xf5" if value else b"\xf4")
    elif isinstance(value, int):
        number = int(value)
        if not -(1 << 63) <= number < 1 << 63:
            raise InvalidValue(f"{path}: an integer beyond 64 bits; store it as text")
        out.append(put_head(0, number) if number >= 0 else put_head(1, -1 - number))
    elif isinstance(value, float):
        out.append(_put_float(float(value)))
    elif isinstance(value, str):
        text = _utf8(value, path)
        out += (put_head(3, len(text)), text)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        raw = bytes(value)
        out += (put_head(2, len(raw)), raw)
    elif isinstance(value, (list, tuple, dict)):
        if depth >= DEPTH:
            raise InvalidValue(f"{path}: more than {DEPTH} lists and dicts within each other (or one within itself)")
        if isinstance(value, dict):
            _put_map(out, value, path, depth)
            return
        out.append(put_head(4, len(value)))
        for index, element in enumerate(value):
            _put(out, element, f"{path}[{index}]", depth + 1)
    else:
        kind = type(value)
        raise InvalidValue(
            f"{path}: a {kind.__module__}.{kind.__qualname__} cannot be stored; convert it to None, bool, int, float, "
            "str, bytes, or a list or dict of these"
        )


def _put_float(value: float) -> bytes:
    if math.isnan(value):
        return b"\xf9\x7e\x00"
    for info, form in ((25, ">e"), (26, ">f")):
        if _fits(form, value):
            return bytes([7 << 5 | info]) + struct.pack(form, value)
    return b"\xfb" + struct.pack(">d", value)


def _put_map(out: List[bytes], value: Any, path: str, depth: int) -> None:
    keyed = []
    for key, element in value.items():
        if not isinstance(key, str):
            raise InvalidValue(f"{path}: a key that is no text: {type(key).__qualname__}")
        keyed.append((_utf8(key, path), key, element))
    # Text keys in bytewise order of their encodings: shorter before longer (VAL-8).
    keyed.sort(key=lambda entry: (len(entry[0]), entry[0]))
    out.append(put_head(5, len(keyed)))
    for encoded, key, element in keyed:
        out += (put_head(3, len(encoded)), encoded)
        _put(out, element, f"{path}.{key}", depth + 1)
