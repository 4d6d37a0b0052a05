"""The body of a record: the session map (SPEC section 7.3, REC-9 to REC-12, BODY-1 to BODY-17)."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from .cbor import Entry, Fault, decode_item, encode_text, head
from .errors import Corrupt, Error, InvalidValue, Unsupported
from .names import Key, PLAIN, is_session_id
from .record import MAX_NUMBER, VERSION, Envelope, Head

MAX_TIME = 253402300799999
MAX_TOKENS = 32
MAX_TOKEN = 128
MAX_ADDR = 64
KNOWN = frozenset(("id", "key", "rev", "created", "accessed", "expires", "idle", "user", "addr", "tokens", "csrf",
                   "data"))
# What a touch or a save moves by itself; all the rest is the session's content.
NUMBERS = frozenset(("id", "key", "rev", "created", "accessed"))


class Body:
    """A session as it stands in a record: the values, and the exact bytes of each (VAL-14, REC-14)."""

    __slots__ = ("id", "key", "rev", "created", "accessed", "values", "raw", "data", "data_raw")

    def __init__(self) -> None:
        self.id: Optional[str] = None
        self.key: Optional[Key] = None
        self.rev = 0
        self.created = 0
        self.accessed = 0
        # All entries but those of NUMBERS; `data` is apart, one attribute at a time.
        self.values: Dict[str, Any] = {}
        self.raw: Dict[str, bytes] = {}
        self.data: Dict[str, Any] = {}
        self.data_raw: Dict[str, bytes] = {}

    def expired(self, now: int) -> bool:
        """TIME-1."""
        expires = self.values.get("expires")
        if expires is not None and now >= expires:
            return True
        idle = self.values.get("idle")
        return idle is not None and max(0, now - self.accessed) >= idle


def _is_number(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_text(value: Any, high: int) -> bool:
    return isinstance(value, str) and 1 <= len(value.encode("utf-8")) <= high


def _judge_crit(envelope: Envelope) -> List[Tuple[str, int]]:
    """REC-10."""
    names: List[Tuple[str, int]] = []
    previous = b""
    for raw, at in envelope.head.crit:
        encoding = head(3, len(raw)) + raw
        try:
            text: Optional[str] = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = None
        if text is None or encoding <= previous:
            raise Fault("REC-10", at)
        previous = encoding
        names.append((text, at))
    return names


def judge(data: bytes, envelope: Envelope, naming: Optional[str] = None, name: Optional[str] = None) -> Body:
    """Judges a whole record; without a name, BODY-5 is left out. Raises Corrupt or Unsupported."""
    if envelope.head.version != VERSION:
        raise Unsupported("the record has version %d; %d is known" % (envelope.head.version, VERSION), "REC-9",
                          envelope.head.version_at)
    failure: Error
    try:
        return _judge(data, envelope, naming, name)
    except Fault as fault:
        if fault.rule == "REC-12":
            failure = Unsupported("the record needs an extension that is not known", fault.rule, fault.offset)
        else:
            failure = Corrupt("the session's record breaks a rule", fault.rule, fault.offset)
    raise failure


def _judge(data: bytes, envelope: Envelope, naming: Optional[str], name: Optional[str]) -> Body:
    crit = _judge_crit(envelope)
    at, end = envelope.body_at, envelope.body_end
    entries: List[Entry] = []
    attributes: List[Entry] = []
    value, following = decode_item(data, at, end, 0, entries, attributes, "data")
    if not isinstance(value, dict):
        raise Fault("BODY-1", at)
    if following != end:
        raise Fault("BODY-1", following)
    for text, name_at in crit:
        if text not in value:
            raise Fault("REC-11", name_at)
    if crit:
        raise Fault("REC-12", crit[0][1])
    places = {entry.key: entry for entry in entries}
    body = Body()
    _judge_name(body, places, at, naming, name)
    _judge_entries(places, at)
    body.rev, body.created, body.accessed = value["rev"], value["created"], value["accessed"]
    for entry in entries:
        if entry.key not in NUMBERS and entry.key != "data":
            body.values[entry.key] = entry.value
            body.raw[entry.key] = data[entry.at:entry.end]
    for entry in attributes:
        body.data[entry.key] = entry.value
        body.data_raw[entry.key] = data[entry.at:entry.end]
    return body


def _judge_name(body: Body, places: Dict[str, Entry], at: int, naming: Optional[str], name: Optional[str]) -> None:
    """BODY-2 to BODY-5."""
    by_id, by_key = places.get("id"), places.get("key")
    if by_id is None and by_key is None:
        raise Fault("BODY-2", at)
    if by_id is not None and by_key is not None:
        raise Fault("BODY-2", by_key.at)
    if by_id is not None:
        if not is_session_id(by_id.value):
            raise Fault("BODY-3", by_id.at)
        body.id = by_id.value
        if name is not None and (naming != PLAIN or body.id != name):
            raise Fault("BODY-5", by_id.at)
    if by_key is not None:
        if not isinstance(by_key.value, bytes) or len(by_key.value) != 32:
            raise Fault("BODY-4", by_key.at)
        body.key = Key(by_key.value)
        if name is not None and (naming == PLAIN or body.key.hex() != name):
            raise Fault("BODY-5", by_key.at)


def _judge_entries(places: Dict[str, Entry], at: int) -> None:
    """BODY-6 to BODY-15."""
    for rule, key, low, high in (("BODY-6", "rev", 1, MAX_NUMBER), ("BODY-7", "created", 0, MAX_TIME),
                                 ("BODY-8", "accessed", 0, MAX_TIME)):
        needed = places.get(key)
        if needed is None:
            raise Fault(rule, at)
        if not _is_number(needed.value, low, high):
            raise Fault(rule, needed.at)
    for rule, key in (("BODY-9", "expires"), ("BODY-10", "idle"), ("BODY-11", "user"), ("BODY-12", "addr"),
                      ("BODY-13", "tokens"), ("BODY-14", "csrf"), ("BODY-15", "data")):
        entry = places.get(key)
        if entry is not None and not fits(key, entry.value):
            raise Fault(rule, entry.at)


def fits(key: str, value: Any) -> bool:
    """Whether a value can stand under one of the optional keys of section 7.3 (BODY-9 to BODY-15)."""
    if key == "expires":
        return _is_number(value, 0, MAX_TIME)
    if key == "idle":
        return _is_number(value, 1, MAX_TIME)
    if key == "user":
        return value is not None
    if key == "addr":
        return _is_text(value, MAX_ADDR)
    if key == "tokens":
        return (isinstance(value, (list, tuple)) and 1 <= len(value) <= MAX_TOKENS
                and all(_is_text(token, MAX_TOKEN) for token in value))
    if key == "csrf":
        return _is_text(value, MAX_TOKEN)
    return isinstance(value, dict) and len(value) >= 1


def encode_map(entries: Dict[str, bytes]) -> bytes:
    """A map from keys to values that are encoded already, in the order of VAL-8."""
    pairs = sorted((encode_text(key, "a key"), raw) for key, raw in entries.items())
    return head(5, len(pairs)) + b"".join(key + raw for key, raw in pairs)


def stored(raw: bytes) -> Body:
    """A body that is about to be written, as it will be read; InvalidValue if it could not be."""
    try:
        return _judge(raw, Envelope(Head(0, VERSION, 0, (), 2, 0, 0), 0, len(raw), len(raw), b""), None, None)
    except Fault as fault:
        broken = fault
    raise InvalidValue("the session cannot be stored", broken.rule, broken.offset)
