"""A session: what its attributes are, and what it was when it was loaded."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Iterator, List, Mapping, MutableMapping, Optional

from .body import Body, KNOWN, encode_map, fits
from .cbor import encode, encode_text, head
from .errors import InvalidValue
from .names import Key, PLAIN

Content = Dict[str, bytes]

_RULES = {"expires": "BODY-9", "idle": "BODY-10", "user": "BODY-11", "addr": "BODY-12", "tokens": "BODY-13",
          "csrf": "BODY-14"}
_LIMITS = {
    "expires": "a time from 0 to 253402300799999 ms", "idle": "a span from 1 to 253402300799999 ms",
    "addr": "a text of 1 to 64 bytes", "tokens": "up to 32 texts of 1 to 128 bytes", "csrf": "a text of 1 to 128 bytes",
}


def _check(key: str, value: Any) -> None:
    good = True
    try:
        good = fits(key, value)
    except UnicodeEncodeError:
        good = False
    if not good:
        raise InvalidValue("%s has to be %s" % (key, _LIMITS[key]), _RULES[key])


class Session(MutableMapping[str, Any]):
    """A mapping of the application's attributes, with the session's own properties beside it.

    A value is None, bool, int (-2^63 to 2^63-1), float, str, bytes, list, tuple, or dict with str keys; anything else
    raises InvalidValue when the session is stored. A change inside a value is seen: what is stored is compared, byte
    for byte, with what was loaded (VAL-14).

    A session without attributes is false, like any empty mapping: test what `load` returns with ``is None``.
    Times are Unix milliseconds. One object is not to be changed by several threads at once.
    """

    def __init__(self, data: Optional[Mapping[str, Any]] = None, *, user: Any = None, addr: Optional[str] = None,
                 expires: Optional[int] = None, idle: Optional[int] = None, tokens: Iterable[str] = (),
                 csrf: Optional[str] = None, created: Optional[int] = None, accessed: Optional[int] = None) -> None:
        """``created`` and ``accessed`` are for a session from elsewhere; without them they are the time of storing."""
        self.data: Dict[str, Any] = dict(data or {})
        self.other: Dict[str, Any] = {}
        self.tokens: List[str] = list(tokens)
        self._id: Optional[str] = None
        self._key: Optional[Key] = None
        self._rev: Optional[int] = None
        self._created = created
        self._accessed = accessed
        self._user = user
        self._expires = self._idle = None
        self._addr = self._csrf = None
        self.expires, self.idle, self.addr, self.csrf = expires, idle, addr, csrf
        self._base: Content = {}
        self._raw: Dict[str, bytes] = {}
        self._loaded_other: Dict[str, bytes] = {}

    _expires: Optional[int]
    _idle: Optional[int]
    _addr: Optional[str]
    _csrf: Optional[str]

    # --- the attributes

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.data[key] = value

    def __delitem__(self, key: str) -> None:
        del self.data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __contains__(self, key: object) -> bool:
        return key in self.data

    # Two sessions are not the same because their attributes are.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return "<Session %s rev %s>" % (self.shown, self._rev)

    # --- the properties of section 7.3

    @property
    def id(self) -> Optional[str]:
        """The session ID; None before it is stored, and where a store of naming ``hashed`` knows only the key."""
        return self._id

    @property
    def key(self) -> Optional[Key]:
        """SHA-256 of the session ID; None before the session is stored."""
        return self._key

    @property
    def shown(self) -> str:
        """What to write into a log instead of the ID (NAME-8)."""
        return "#new" if self._key is None else self._key.shown

    @property
    def rev(self) -> Optional[int]:
        """The revision that this object is based on; None before it is stored."""
        return self._rev

    @property
    def created(self) -> Optional[int]:
        return self._created

    @property
    def accessed(self) -> Optional[int]:
        return self._accessed

    @property
    def expires(self) -> Optional[int]:
        """The time from which the session is expired, or None; a touch never moves it."""
        return self._expires

    @expires.setter
    def expires(self, value: Optional[int]) -> None:
        if value is not None:
            _check("expires", value)
        self._expires = value

    @property
    def idle(self) -> Optional[int]:
        """The longest time without an access in milliseconds, or None."""
        return self._idle

    @idle.setter
    def idle(self, value: Optional[int]) -> None:
        if value is not None:
            _check("idle", value)
        self._idle = value

    @property
    def user(self) -> Any:
        """Who is logged in: any value; None is nobody."""
        return self._user

    @user.setter
    def user(self, value: Any) -> None:
        self._user = value

    @property
    def addr(self) -> Optional[str]:
        """The client's address at creation, up to 64 bytes, or None."""
        return self._addr

    @addr.setter
    def addr(self, value: Optional[str]) -> None:
        if value is not None:
            _check("addr", value)
        self._addr = value

    @property
    def csrf(self) -> Optional[str]:
        """The session's CSRF token, up to 128 bytes, or None."""
        return self._csrf

    @csrf.setter
    def csrf(self, value: Optional[str]) -> None:
        if value is not None:
            _check("csrf", value)
        self._csrf = value

    # --- between the session and its record

    @classmethod
    def _from(cls, body: Body, session_id: Optional[str]) -> Session:
        session = cls()
        session._adopt(body, session_id)
        session.data = body.data
        session._user = body.values.get("user")
        session._expires, session._idle = body.values.get("expires"), body.values.get("idle")
        session._addr, session._csrf = body.values.get("addr"), body.values.get("csrf")
        session.tokens = body.values.get("tokens", [])
        session.other = {key: value for key, value in body.values.items() if key not in KNOWN}
        return session

    def _adopt(self, body: Body, session_id: Optional[str]) -> None:
        """Takes the record as the one that this object is based on."""
        self._id = body.id if body.id is not None else session_id
        self._key = body.key if body.key is not None else Key.of(body.id) if body.id is not None else None
        self._rev, self._created, self._accessed = body.rev, body.created, body.accessed
        self._raw = body.data_raw
        self._loaded_other = {key: raw for key, raw in body.raw.items() if key not in KNOWN}
        self._base = content_of(body)

    def _content(self) -> Content:
        """The encoded entries that stand in the next record, but for NUMBERS. Raises InvalidValue."""
        content: Content = {}
        for key, value in (("expires", self._expires), ("idle", self._idle), ("addr", self._addr),
                           ("csrf", self._csrf)):
            if value is not None:
                content[key] = encode(value, key, 1)
        if self._user is not None:
            content["user"] = encode(self._user, "user", 1)
        if self.tokens:
            _check("tokens", self.tokens)
            content["tokens"] = encode(list(self.tokens), "tokens", 1)
        for key, value in self.other.items():
            loaded = self._loaded_other.get(key)
            if loaded is None and (not isinstance(key, str) or "." not in key):
                raise InvalidValue("the key of an entry of one's own has to contain a full stop", "BODY-17")
            content[key] = _same(encode(value, "a private entry", 1), loaded)
        if self.data:
            attributes: Dict[str, bytes] = {}
            for key, value in self.data.items():
                if not isinstance(key, str):
                    raise InvalidValue("the name of an attribute has to be a text, not %s" % type(key).__name__,
                                       "VAL-7")
                encode_text(key, "the name of an attribute")
                attributes[key] = _same(encode(value, "the attribute %r" % key, 2), self._raw.get(key))
            content["data"] = encode_map(attributes)
        return content


def _same(new: bytes, loaded: Optional[bytes]) -> bytes:
    return loaded if loaded is not None and loaded == new else new


def content_of(body: Body) -> Content:
    """What `Session._content` gives where nothing has changed, from the bytes that were read (REC-13)."""
    content = dict(body.raw)
    if body.data_raw:
        content["data"] = encode_map(body.data_raw)
    return content


def encode_body(content: Content, naming: str, name: str, rev: int, created: int, accessed: int) -> bytes:
    """The body of a record. ``name`` is that of the session's file (BODY-5)."""
    entries = dict(content)
    if naming == PLAIN:
        entries["id"] = encode_text(name, "the ID")
    else:
        entries["key"] = b"\x58\x20" + bytes.fromhex(name)
    for key, number in (("rev", rev), ("created", created), ("accessed", accessed)):
        entries[key] = head(0, number)
    return encode_map(entries)
