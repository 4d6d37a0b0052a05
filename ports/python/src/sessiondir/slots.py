"""The two slots of a session file (SPEC section 6)."""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

from .cbor import Fault
from .errors import TooLarge
from .record import Envelope, Head, finish, parse_head

MIN_SLOT = 4096
MAX_SLOT = 16 * 1024 * 1024
ROOM = 32
_ZERO = bytes(8)


def slot_of_size(size: int) -> Optional[int]:
    """*S* of a file of this size, or None where the size breaks SLOT-1."""
    slot = size >> 1
    if size & 1 or not MIN_SLOT <= slot <= MAX_SLOT or slot & (slot - 1):
        return None
    return slot


def slot_for(length: int) -> int:
    """The smallest *S* for a record of this length (SLOT-5)."""
    slot = MIN_SLOT
    while length + ROOM > slot:
        slot *= 2
    if slot > MAX_SLOT:
        raise TooLarge("no slot is large enough for the record", "SLOT-5")
    return slot


class View(NamedTuple):
    """What one slot holds: nothing, or perhaps a head, or a whole record, or the rule that it breaks first."""

    slot: int
    empty: bool
    head: Optional[Head]
    whole: Optional[Envelope]
    fault: Optional[Fault]


def look(data: bytes, slot: int, index: int) -> View:
    """Judges SLOT-3 and SLOT-6."""
    start = index * slot
    if data[start:start + 8] == _ZERO:
        return View(index, True, None, None, None)
    end = start + slot
    part = None
    try:
        part = parse_head(data, start, end, index)
        return View(index, False, part, finish(data, part, end), None)
    except Fault as fault:
        return View(index, False, part, None, fault)


def is_sound(data: bytes, slot: int, view: View) -> bool:
    """Whether a slot holds no part of a record that was never complete: nothing, or a whole one, and zeros after that
    (WRITE-6)."""
    end = (view.slot + 1) * slot
    if view.whole is not None:
        start = view.whole.end
    elif view.empty:
        start = view.slot * slot
    else:
        return False
    return not data[start:end].strip(b"\0")


class Choice(NamedTuple):
    """The slot that a reader takes, if any, and whether READ-4 asks for a second read."""

    view: Optional[View]
    other: Optional[View]
    again: bool


def choose(views: Tuple[View, View]) -> Choice:
    """Steps 5 and 6 of section 10.2."""
    with_head = [view for view in views if view.head is not None]
    if not with_head:
        return Choice(None, None, False)
    top = max(with_head, key=lambda view: view.head.seq if view.head else 0)
    other = views[1 - top.slot]
    if top.whole is not None:
        before = other.head is not None and other.head.seq == top.whole.seq - 1
        return Choice(top, other, not (other.empty or before))
    if other.whole is not None:
        return Choice(other, top, True)
    return Choice(None, None, False)


def no_record(views: Tuple[View, View]) -> Tuple[str, int]:
    """The rule and the offset for a file without a whole record (section 11.2)."""
    with_head = [view for view in views if view.head is not None]
    if with_head:
        view = max(with_head, key=lambda item: item.head.seq if item.head else 0)
    else:
        filled = [item for item in views if not item.empty]
        if not filled:
            return "SLOT-9", 0
        view = filled[0]
    assert view.fault is not None
    return view.fault.rule, view.fault.offset
