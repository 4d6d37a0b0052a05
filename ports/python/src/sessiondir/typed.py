"""Typed JSON, in which the kit and its fixtures write sessions and values (fixtures/README.md)."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from .cbor import encode_text
from .errors import InvalidValue
from .names import HASHED, PLAIN, Key
from .session import Session

Object = Dict[str, Any]
_NUMBERS = ("expires", "idle")


def of_value(value: Any) -> Object:
    if value is None:
        return {"null": None}
    if isinstance(value, bool):
        return {"bool": value}
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, (list, tuple)):
        return {"array": [of_value(element) for element in value]}
    return {"map": of_map(value)}


def of_map(entries: Dict[str, Any]) -> List[List[Any]]:
    """Pairs in the order of VAL-8."""
    return [[key, of_value(entries[key])] for key in sorted(entries, key=lambda key: encode_text(key, "a key"))]


def to_value(told: Object) -> Any:
    (kind, value), = told.items()
    if kind == "null":
        return None
    if kind == "int":
        return int(value)
    if kind == "float":
        return float(value)
    if kind == "bytes":
        return bytes.fromhex(value["hex"]) * value["times"] if isinstance(value, dict) else bytes.fromhex(value)
    if kind == "array":
        return [to_value(element) for element in value]
    if kind == "map":
        return {key: to_value(element) for key, element in value}
    if kind in ("bool", "text"):
        return value
    raise ValueError("no typed JSON: %s" % kind)


def of_session(session: Session, by_key: bool = False) -> Object:
    """A session as the protocol tells it; ``by_key`` in a store of naming ``hashed``."""
    told: Object = {}
    if by_key or session.id is None:
        assert session.key is not None
        told["key"] = session.key.hex()
    else:
        told["id"] = session.id
    told.update(rev=str(session.rev), created=str(session.created), accessed=str(session.accessed))
    for key in _NUMBERS:
        number = getattr(session, key)
        if number is not None:
            told[key] = str(number)
    for key in ("addr", "csrf"):
        text = getattr(session, key)
        if text is not None:
            told[key] = text
    if session.tokens:
        told["tokens"] = list(session.tokens)
    if session.user is not None:
        told["user"] = of_value(session.user)
    if session.data:
        told["data"] = of_map(session.data)
    if session.other:
        told["other"] = of_map(session.other)
    return told


def to_session(told: Object) -> Tuple[Session, str, str]:
    """(session, naming, name of its file)."""
    session = Session()
    change(session, {key: told[key] for key in ("user", "expires", "idle", "addr", "csrf", "tokens") if key in told})
    session.data = {key: to_value(value) for key, value in told.get("data", [])}
    session.other = {key: to_value(value) for key, value in told.get("other", [])}
    # As if they had been loaded: also a key that only a later version may write.
    session._loaded_other = {key: b"" for key in session.other}
    if "key" in told:
        return session, HASHED, Key(told["key"]).hex()
    return session, PLAIN, str(told["id"])


def change(session: Session, changes: Object) -> None:
    """Applies the protocol's `changes`."""
    for key, value in changes.get("set") or []:
        session[key] = to_value(value)
    for key in changes.get("remove") or []:
        session.pop(key, None)
    for key, number in changes.get("add") or []:
        before = session.get(key, 0)
        if isinstance(before, bool) or not isinstance(before, int):
            raise InvalidValue("what is to be added to is no integer")
        session[key] = before + int(number)
    if "user" in changes:
        session.user = None if changes["user"] is None else _user(changes["user"])
    for key in _NUMBERS:
        if key in changes:
            setattr(session, key, None if changes[key] is None else int(changes[key]))
    for key in ("csrf", "addr"):
        if key in changes:
            setattr(session, key, changes[key])
    if "tokens" in changes:
        session.tokens = list(changes["tokens"] or [])


def _user(told: Object) -> Any:
    value = to_value(told)
    if value is None:
        raise InvalidValue("user cannot be null", "BODY-11")
    return value
