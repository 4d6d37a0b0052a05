# mypy: ignore-errors
# (Quixote and Session3 have no types.)
"""What of a session object goes into a record, and what comes out of one.

The names are those that `sessiondir import session3` gives (docs/session3.md), so an imported directory
works as it is. An object is taken apart and put together as `pickle` does it, without its `__init__`: an
`__init__` asks for the current request, and a maintenance script has none.
"""

from collections import UserDict

from ..cbor import encode
from ..errors import InvalidValue

# Attributes of Session3's and Quixote's sessions that are fields of the record, not entries of its `data`.
FRAMEWORK = frozenset(
    ("id", "user", "_remote_address", "_creation_time", "_access_time", "_form_tokens", "_csrf_token")
)
# The items of a plain DictSession are the entries of `data`. An attribute that somebody has put on such a
# session besides stands there under this prefix, or it would come back as an item.
ATTRIBUTE = "__attributes__."
TOKENS_MAX = 32
TOKEN_BYTES_MAX = 128
ADDR_BYTES_MAX = 64
# The record's body and its `data` enclose every attribute, and the format nests 32 deep.
DEPTH_MAX = 30

_LOCATIONS = {"user": "user", "csrf": "_csrf_token", "addr": "_remote_address"}
_ADVICE = {
    tuple: "a tuple would come back as a list; store list(...)",
    set: "store sorted(...)",
    frozenset: "store sorted(...)",
    bytearray: "store bytes(...)",
}


def lifts_items(cls):
    """Whether the items of a session of this class are the record's attributes: the importer's rule."""
    return (cls.__module__, cls.__qualname__) == ("session3.DictSession", "DictSession")


class Parts:
    """A session object taken apart.

    `values` maps a place in the record to a value. A place is ("user", ""), ("addr", ""), ("csrf", ""),
    ("data", name), or ("item", key) for what a subclass of DictSession keeps: the map `data` of its own.
    """

    def __init__(self, session):
        state = _state_of(session)
        self.values = {}
        # What Python takes as false is nobody, as for Session3: another program asks only whether there is
        # a user.
        if state.get("user"):
            self.values["user", ""] = state["user"]
        address = state.get("_remote_address")
        if isinstance(address, str) and 1 <= len(address.encode("utf-8", "replace")) <= ADDR_BYTES_MAX:
            self.values["addr", ""] = str(address)
        csrf = state.get("_csrf_token")
        if csrf is not None:
            _check_token("_csrf_token", csrf)
            self.values["csrf", ""] = csrf
        self.tokens = list(state.get("_form_tokens") or ())
        for token in self.tokens:
            _check_token("_form_tokens", token)
        if len(self.tokens) > TOKENS_MAX:
            raise InvalidValue(
                f"session._form_tokens: {len(self.tokens)} tokens; the format holds {TOKENS_MAX}. "
                f"Set MAX_FORM_TOKENS to {TOKENS_MAX} or less."
            )
        self.tokens_max = min(getattr(session, "MAX_FORM_TOKENS", TOKENS_MAX), TOKENS_MAX)
        self.created = state.get("_creation_time")
        self.accessed = state.get("_access_time")
        self._take_data(session, {name: value for name, value in state.items() if name not in FRAMEWORK})

    def _take_data(self, session, attributes):
        items = attributes.get("data") if isinstance(session, UserDict) else None
        if not isinstance(items, dict):
            items = None
        else:
            del attributes["data"]
            _check_keys(items)
        if lifts_items(type(session)):
            attributes = {ATTRIBUTE + name: value for name, value in attributes.items()}
            for key, value in (items or {}).items():
                if key.startswith(ATTRIBUTE):
                    raise InvalidValue(f"session[{key!r}]: keys that begin with {ATTRIBUTE!r} are taken; rename it.")
                self.values["data", key] = value
        else:
            for key, value in (items or {}).items():
                self.values["item", key] = value
        for name, value in attributes.items():
            self.values["data", name] = value

    def encoded(self):
        """The canonical bytes of each place's value: what a later commit compares with."""
        return {place: _encode(place, value) for place, value in self.values.items()}


def rebuild(cls, session_id, record):
    """An object of the class `cls` as the record has it. Only `cls` decides what it is, never the record."""
    state = {
        "id": session_id,
        "user": record.user,
        "_remote_address": record.addr,
        "_creation_time": record.created / 1000,
        "_access_time": record.accessed / 1000,
        "_form_tokens": list(record.tokens or ()),
    }
    if record.csrf is not None or hasattr(cls, "get_csrf_token"):
        state["_csrf_token"] = record.csrf
    if lifts_items(cls):
        items = {}
        for name, value in record.items():
            if name.startswith(ATTRIBUTE):
                state.setdefault(name[len(ATTRIBUTE):], value)
            else:
                items[name] = value
        state["data"] = items
    else:
        if issubclass(cls, UserDict):
            state["data"] = {}
        # An entry that bears the name of one of the framework's own attributes is some other program's. It
        # stays in the record, and out of the object.
        state.update((name, value) for name, value in record.items() if name not in FRAMEWORK)
    session = cls.__new__(cls)
    set_state = getattr(cls, "__setstate__", None)
    if set_state is not None:
        set_state(session, state)
    else:
        slots = dict(_slots(cls))
        for name, value in state.items():
            if name in slots:
                slots[name].__set__(session, value)
            elif hasattr(session, "__dict__"):
                # As pickle does it: past properties and __setattr__, which may want a request.
                session.__dict__[name] = value
            else:
                setattr(session, name, value)
    return session


def _state_of(session):
    cls = type(session)
    get_state = getattr(cls, "__getstate__", None)
    # From Python 3.11 every object has one.
    if get_state is not None and get_state is not getattr(object, "__getstate__", None):
        state = get_state(session)
        if not isinstance(state, dict):
            raise InvalidValue(
                f"{cls.__name__}.__getstate__ returned a {type(state).__name__}; "
                "it must return a dict of attributes."
            )
        return dict(state)
    state = dict(getattr(session, "__dict__", {}))
    for name, slot in _slots(cls):
        try:
            state[name] = slot.__get__(session, cls)
        except AttributeError:
            pass  # never set
    return state


def _slots(cls):
    """The names and descriptors of what `__slots__` declares in the class and its bases."""
    for base in reversed(cls.__mro__):
        names = base.__dict__.get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if name in ("__dict__", "__weakref__"):
                continue
            if name.startswith("__") and not name.endswith("__"):
                name = f"_{base.__name__.lstrip('_')}{name}"
            yield name, base.__dict__[name]


def _check_token(attribute, token):
    if type(token) is not str or not 1 <= len(token.encode("utf-8", "replace")) <= TOKEN_BYTES_MAX:
        raise InvalidValue(
            f"session.{attribute}: a token must be a str of 1 to {TOKEN_BYTES_MAX} bytes."
        )


def _check_keys(items):
    for key in items:
        if type(key) is not str:
            raise InvalidValue(
                f"session[{key!r}]: the key is of type {type(key).__name__}; the format has text keys only. "
                "Use str(key)."
            )


def _encode(place, value):
    where, name = place
    location = f"session[{name!r}]" if where == "item" else f"session.{_LOCATIONS.get(where, name)}"
    _check(location, value, 1, where)
    try:
        return encode(value)
    except InvalidValue as error:
        raise InvalidValue(f"{location}: {error.message}", error.rule) from None


def _check(path, value, depth, where):
    """Refuses whatever would not come back as it is. The types are exact: an IntEnum would come back as an
    int and a defaultdict as a dict, far from where it was stored."""
    kind = type(value)
    if value is None or kind in (bool, float, bytes):
        return
    if kind is int:
        if not -(2**63) <= value < 2**63:
            raise InvalidValue(f"{path}: the integer has more than 64 bits. Store it as text.")
    elif kind is str:
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise InvalidValue(f"{path}: the text has a surrogate in it. Store bytes.") from None
    elif kind in (list, dict):
        if depth > DEPTH_MAX:
            raise InvalidValue(f"{path}: nested too deep, or contains itself. Store it flatter.")
        if kind is list:
            for index, member in enumerate(value):
                _check(f"{path}[{index}]", member, depth + 1, where)
        else:
            for key, member in value.items():
                if type(key) is not str:
                    raise InvalidValue(
                        f"{path}: the key {key!r} is of type {type(key).__name__}; "
                        "the format has text keys only. Use str(key)."
                    )
                _check(f"{path}[{key!r}]", member, depth + 1, where)
    else:
        if where == "user":
            advice = "Store the user's name or number in session.user, and look the object up in each request"
        else:
            advice = _ADVICE.get(kind, "Store what it is made of (None, bool, int, float, str, bytes, list, dict)")
        raise InvalidValue(f"{path}: a {kind.__module__}.{kind.__qualname__} cannot be stored. {advice}.")
