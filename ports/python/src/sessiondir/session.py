"""The session: SPEC.md section 7.3. What it says of itself, and the application's attributes."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, MutableMapping, NamedTuple, Optional, Tuple

from . import cbor, names
from .errors import Fault, InvalidValue, TooLarge, Unsupported
from .names import Key, Name
from .record import COUNTER_MAX, RECORD_MAX, VERSION, Envelope, build, crit

#: The last moment that the format knows, in ms (section 7.3).
TIME_MAX = 253_402_300_799_999
ADDR_MAX, TOKEN_MAX, TOKENS_MAX = 64, 128, 32
#: How far ahead of now an access may be: a day, in ms (TIME-2).
AHEAD_MAX = 86_400_000
_OWN = frozenset(
    ("id", "key", "rev", "created", "accessed", "expires", "idle", "user", "addr", "tokens", "csrf", "data")
)


class Content(NamedTuple):
    """All of a session that a save compares: every value encoded."""

    expires: Optional[int]
    idle: Optional[int]
    user: Optional[bytes]
    addr: Optional[str]
    tokens: Tuple[str, ...]
    csrf: Optional[str]
    data: Dict[str, bytes]
    other: Dict[str, bytes]


class Session(MutableMapping[str, Any]):
    """A session; as a mapping, its attributes.

    Values are ``None``, ``bool``, ``int`` of 64 bits, ``float``, ``str``, ``bytes``, and lists and dicts with text keys
    of these. A change within a list or a dict is seen when the session is saved; what was not changed is written back
    with the very bytes that were read (VAL-14). All times are in milliseconds since 1970.

    ``str`` and ``repr`` show neither the ID nor any content (NAME-8).
    """

    def __init__(self, attributes: Optional[Dict[str, Any]] = None) -> None:
        #: The ID; ``None`` until it is stored, and where a store of naming ``hashed`` was listed.
        self.id: Optional[str] = None
        #: The key; ``None`` until it is stored.
        self.key: Optional[Key] = None
        #: The revision; 0 until it is stored.
        self.rev: int = 0
        #: When it was made, and when it was last accessed; ``None`` for the moment at which it is stored first.
        self.created: Optional[int] = None
        self.accessed: Optional[int] = None
        #: From when it is expired; how long it may go without an access; ``None`` for never and for ever.
        self.expires: Optional[int] = None
        self.idle: Optional[int] = None
        #: Who is logged in: any value but ``None``, which is nobody.
        self.user: Any = None
        #: The client's address at the creation.
        self.addr: Optional[str] = None
        #: Outstanding form tokens, oldest first, at most 32.
        self.tokens: List[str] = []
        #: The CSRF token.
        self.csrf: Optional[str] = None
        #: Entries of the record that this version does not know, encoded; they are kept (REC-14).
        self._other: Dict[str, bytes] = {}
        #: Attributes as they were read, and those of them that have been looked at or set since.
        self._encoded: Dict[str, bytes] = {}
        self._values: Dict[str, Any] = {}
        if attributes:
            self.update(attributes)

    def __getitem__(self, key: str) -> Any:
        if key not in self._values:
            self._values[key] = cbor.decode(self._encoded[key], 2)
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise InvalidValue(f"the name of an attribute has to be text, not {type(key).__qualname__}")
        self._encoded.setdefault(key, b"")
        self._values[key] = value

    def __delitem__(self, key: str) -> None:
        del self._encoded[key]
        self._values.pop(key, None)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._encoded))

    def __len__(self) -> int:
        return len(self._encoded)

    def __bool__(self) -> bool:
        # A session without attributes is a session: it may have a user.
        return True

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        shown = self.key.shown if self.key else "not stored"
        return f"<Session {shown} rev {self.rev}, {len(self)} attributes>"

    __str__ = __repr__

    @property
    def other(self) -> Dict[str, bytes]:
        """The entries that this version does not know, with their encoded values."""
        return dict(self._other)

    @property
    def has_info(self) -> bool:
        """Whether there is anything in it that is worth storing."""
        return self.user is not None or bool(self.tokens) or self.csrf is not None or bool(self._encoded)

    def is_expired(self, now: int) -> bool:
        """TIME-1."""
        if self.expires is not None and now >= self.expires:
            return True
        return self.idle is not None and max(0, now - (self.accessed or 0)) >= self.idle

    def content(self) -> Content:
        """Everything encoded, and held to the limits; raises :class:`InvalidValue` that names what breaks them."""
        data = {}
        for key, encoded in self._encoded.items():
            value = self._values.get(key, self)
            data[key] = encoded if value is self else cbor.encode(value, f"the attribute {key!r}", 2)
        user = None if self.user is None else cbor.encode(self.user, "user", 1)
        _limit("expires", self.expires, 0, TIME_MAX)
        _limit("idle", self.idle, 1, TIME_MAX)
        _text("addr", self.addr, ADDR_MAX)
        _text("csrf", self.csrf, TOKEN_MAX)
        tokens = tuple(self.tokens)
        if len(tokens) > TOKENS_MAX:
            raise InvalidValue(f"tokens: at most {TOKENS_MAX}")
        for token in tokens:
            _text("a token", token, TOKEN_MAX)
        return Content(self.expires, self.idle, user, self.addr, tokens, self.csrf, data, dict(self._other))

    def adopt(self, stored: Session) -> None:
        """Becomes what is stored now; values that the program holds stay the objects that they are."""
        values = self._values
        self.__dict__.update(stored.__dict__)
        self._values = {key: value for key, value in values.items() if key in self._encoded}


def _limit(what: str, value: Optional[int], least: int, most: int) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most):
        raise InvalidValue(f"{what}: an integer from {least} to {most}, in milliseconds")


def _text(what: str, value: Optional[str], most: int) -> None:
    if value is None:
        return
    if isinstance(value, str):
        cbor.encode(value, what)  # refuses what is no Unicode text
        if 1 <= len(value.encode("utf-8")) <= most:
            return
    raise InvalidValue(f"{what}: text of 1 to {most} bytes")


def encode(session: Session, content: Content, name: Name, naming: str, seq: int) -> bytes:
    """Record ``seq`` of the session, with that content."""
    if not 1 <= seq <= COUNTER_MAX or not 1 <= session.rev <= COUNTER_MAX:
        raise TooLarge(f"{name.shown}: seq and rev end at 2^53-1")

    def number(value: Optional[int]) -> bytes:
        return cbor.put_head(0, value or 0)

    def text(value: str) -> bytes:
        return cbor.encode(value)

    body: Dict[str, bytes] = dict(content.other)
    if naming == "plain":
        body["id"] = text(name.file)
    else:
        body["key"] = cbor.encode(name.key.digest)
    body["rev"] = number(session.rev)
    body["created"], body["accessed"] = number(session.created), number(session.accessed)
    if content.expires is not None:
        body["expires"] = number(content.expires)
    if content.idle is not None:
        body["idle"] = number(content.idle)
    if content.user is not None:
        body["user"] = content.user
    if content.addr is not None:
        body["addr"] = text(content.addr)
    if content.tokens:
        body["tokens"] = cbor.encode(list(content.tokens))
    if content.csrf is not None:
        body["csrf"] = text(content.csrf)
    if content.data:
        body["data"] = _map(content.data)
    record = build(seq, _map(body))
    if len(record) > RECORD_MAX:
        raise TooLarge(f"{name.shown}: the record would be {len(record)} bytes long; the most is {RECORD_MAX}")
    return record


def _map(members: Dict[str, bytes]) -> bytes:
    keyed = sorted((cbor.encode(key), value) for key, value in members.items())
    return cbor.put_head(5, len(keyed)) + b"".join(key + value for key, value in keyed)


def decode(data: bytes, envelope: Envelope, name: Optional[Name], naming: Optional[str]) -> Session:
    """The session of a whole record: REC-9 to REC-12, VAL, BODY, in that order; ``name`` is that of its file (BODY-5).

    Raises :class:`Fault` for a record that breaks a rule, and :class:`Unsupported`.
    """
    if envelope.prefix.version != VERSION:
        raise Unsupported("a record of a newer version", rule="REC-9", offset=envelope.prefix.version_at)
    extensions = crit(data, envelope)
    start, end = envelope.body, envelope.body_end
    after = cbor.skip(data, start, end, 0)
    if data[start] >> 5 != 5:
        raise Fault("BODY-1", start)
    if after != end:
        raise Fault("BODY-1", after)
    body = {key: (value, to) for key, _, value, to in cbor.entries(data, start, end)}
    for extension, at in extensions:
        if extension not in body:
            raise Fault("REC-11", at)
    if extensions:
        raise Unsupported("a record with an extension that is not known here", rule="REC-12", offset=extensions[0][1])
    return _meaning(data, start, body, name, naming)


def _meaning(
    data: bytes, start: int, body: Dict[str, Tuple[int, int]], name: Optional[Name], naming: Optional[str]
) -> Session:
    def value(key: str) -> Any:
        at, to = body[key]
        return cbor.decode(data[at:to], 1)

    def integer(key: str, rule: str, least: int, most: int, needed: bool = False) -> Optional[int]:
        if key not in body:
            if needed:
                raise Fault(rule, start)
            return None
        at = body[key][0]
        if data[at] >> 5 > 1 or not least <= value(key) <= most:
            raise Fault(rule, at)
        return int(value(key))

    def text(key: str, rule: str, most: int) -> Optional[str]:
        if key not in body:
            return None
        found = value(key)
        if not isinstance(found, str) or not 1 <= len(found.encode("utf-8")) <= most:
            raise Fault(rule, body[key][0])
        return found

    session = Session()
    if "id" in body and "key" in body:
        raise Fault("BODY-2", body["key"][0])
    if "id" not in body and "key" not in body:
        raise Fault("BODY-2", start)
    if "id" in body:
        found = value("id")
        if not isinstance(found, str) or not names.is_id(found):
            raise Fault("BODY-3", body["id"][0])
        session.id, session.key = found, Key.of(found)
        if name is not None and (naming != "plain" or found != name.file):
            raise Fault("BODY-5", body["id"][0])
    else:
        found = value("key")
        if not isinstance(found, bytes) or len(found) != 32:
            raise Fault("BODY-4", body["key"][0])
        session.key = Key(found)
        if name is not None and (naming != "hashed" or found.hex() != name.file):
            raise Fault("BODY-5", body["key"][0])
    session.rev = integer("rev", "BODY-6", 1, COUNTER_MAX, True) or 0
    session.created = integer("created", "BODY-7", 0, TIME_MAX, True)
    session.accessed = integer("accessed", "BODY-8", 0, TIME_MAX, True)
    session.expires = integer("expires", "BODY-9", 0, TIME_MAX)
    session.idle = integer("idle", "BODY-10", 1, TIME_MAX)
    if "user" in body:
        session.user = value("user")
        if session.user is None:
            raise Fault("BODY-11", body["user"][0])
    session.addr = text("addr", "BODY-12", ADDR_MAX)
    if "tokens" in body:
        tokens = value("tokens")
        is_sound = isinstance(tokens, list) and 1 <= len(tokens) <= TOKENS_MAX
        if not is_sound or not all(isinstance(t, str) and 1 <= len(t.encode("utf-8")) <= TOKEN_MAX for t in tokens):
            raise Fault("BODY-13", body["tokens"][0])
        session.tokens = tokens
    session.csrf = text("csrf", "BODY-14", TOKEN_MAX)
    if "data" in body:
        at, to = body["data"]
        if data[at] >> 5 != 5 or data[at] == 0xA0:
            raise Fault("BODY-15", at)
        session._encoded = {key: bytes(data[begin:end]) for key, _, begin, end in cbor.entries(data, at, to)}
    session._other = {key: bytes(data[at:to]) for key, (at, to) in body.items() if key not in _OWN}
    return session
