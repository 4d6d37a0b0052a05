"""What of a session object goes into a record, what comes back, and what is refused."""

import copy
import datetime
import decimal
import enum
import gc
import pickle
from collections import OrderedDict

import pytest
from quixote_support import need_quixote

need_quixote()

from quixote_sessions import ID, OTHER, make, new, record_of, request_at_hand  # noqa: E402, F401
from quixote.session import Session as QuixoteSession  # noqa: E402
from session3.DictSession import DictSession  # noqa: E402
from session3.Session import Session  # noqa: E402

from sessiondir import Session as Record  # noqa: E402
from sessiondir.errors import Conflict, InvalidValue  # noqa: E402


class Sub(DictSession):
    """A site's own DictSession: the importer keeps its items together."""


# What goes where.


def test_the_frameworks_attributes_are_the_records_fields(make):
    store = make(QuixoteSession)
    session = new(QuixoteSession, cart=[1])
    session._creation_time, session._access_time = 1700000000.25, 1700000001.5
    token, csrf = session.create_form_token(), session.get_csrf_token()
    store.save_session(session)
    record = record_of(store)
    assert (record.user, record.addr, record.tokens, record.csrf) == ("ann", "192.0.2.7", [token], csrf)
    assert (record.created, dict(record)) == (1700000000250, {"cart": [1]})
    assert record.accessed >= 1700000001500
    back = make(QuixoteSession).load_session(ID)
    assert type(back) is QuixoteSession
    expected = dict(vars(session), _access_time=back._access_time)
    assert vars(back) == expected


def test_every_plain_value_comes_back_as_it_was(make):
    value = {
        "none": None, "true": True, "int": -(2**63), "big": 2**63 - 1, "float": 2.0, "nan": float("inf"),
        "text": "\u00e9\U0001f600\x00", "bytes": b"\x00\xff", "list": [[], {}, [1, [2, [3]]]],
    }
    make().save_session(new(value=value, empty="", zero=0, off=False, nothing=None))
    back = make().load_session(ID)
    assert back.value == value
    assert [type(back.value[key]) for key in sorted(value)] == [type(value[key]) for key in sorted(value)]
    assert (back.empty, back.zero, back.off, back.nothing) == ("", 0, False, None)
    assert type(back.off) is bool and type(back.value["float"]) is float


def test_no_class_name_is_in_the_file_and_nothing_is_unpickled(make, tmp_path, monkeypatch):
    monkeypatch.setattr(pickle, "load", None)
    monkeypatch.setattr(pickle, "loads", None)
    store = make(Sub)
    store.save_session(new(Sub))
    content = (tmp_path / "store" / ID).read_bytes()
    assert b"Sub" not in content and b"session3" not in content and b"test_quixote" not in content
    assert type(make(QuixoteSession).load_session(ID)) is QuixoteSession


def test_the_class_is_the_managers(make, request_at_hand):
    make().save_session(new())

    class Manager:
        session_class = Sub

    request_at_hand.session_manager = Manager()
    assert type(make(None).load_session(ID)) is Sub
    request_at_hand.session_manager = None
    assert type(make(None).load_session(ID)) is Session


def test_without_a_request_sessions_are_read_too(make, request_at_hand):
    """As a cron job does. __init__ asks for the request."""
    make().save_session(new(colour="red"))
    request_at_hand._clear_request()
    [(session_id, session)] = make().iter_sessions()
    assert (session_id, session.id, session.user, session.colour) == (ID, ID, "ann", "red")


def test_false_users_are_nobody(make):
    for number, user in enumerate((None, "", 0, {}, [])):
        session_id = f"{number}" * 22
        make().save_session(new(session_id=session_id, user=user))
        assert record_of(make(), session_id).user is None
        assert make().load_session(session_id).user is None


@pytest.mark.parametrize("address", [None, "", "x" * 65])
def test_an_address_that_is_none_is_left_out(make, address):
    session = new(_remote_address=address)
    make().save_session(session)
    assert make().load_session(ID)._remote_address is None


def test_an_imported_session_works(make):
    """As docs/session3.md says that the importer writes it."""
    store = make()
    record = Record({"counter": 3, "keep": True}, user="ann", addr="192.0.2.1", tokens=["t"],
                    created=1700000000000, accessed=1700000000000, expires=4000000000000)
    store.store.insert("-bcdefghijk", record)
    session = store.load_session("-bcdefghijk")
    assert (session.id, session.user, session.counter, session.keep) == ("-bcdefghijk", "ann", 3, True)
    assert session.has_form_token("t") and session.get_creation_time() == 1700000000.0
    session.counter += 1
    store.save_session(session)
    after = record_of(store, "-bcdefghijk")
    assert (after["counter"], after.expires, after.created) == (4, 4000000000000, 1700000000000)


def test_rotating_a_short_id_lifts_the_importers_limit(make):
    store = make()
    store.store.insert("-bcdefghijk", Record({"n": 1}, user="ann", expires=4000000000000))
    session = store.load_session("-bcdefghijk")
    session.n = 2
    fresh = store.rotate_session(session)
    assert len(fresh) >= 22 and session.id == fresh
    assert (record_of(store, fresh).expires, record_of(store, fresh)["n"]) == (None, 2)
    assert not store.has_session("-bcdefghijk")


def test_rotating_keeps_what_others_have_changed(make):
    one, two = make(), make()
    one.save_session(new(a=1, b=1))
    mine, theirs = one.load_session(ID), two.load_session(ID)
    theirs.b = 2
    two.save_session(theirs)
    mine.a = 2
    fresh = one.rotate_session(mine)
    back = two.load_session(fresh)
    assert (back.a, back.b) == (2, 2)
    theirs.b = 3
    two.save_session(theirs)
    assert two.load_session(ID) is None and two.load_session(fresh).b == 2


def test_rotating_what_is_gone_does_nothing(make):
    store = make()
    store.save_session(new())
    session = store.load_session(ID)
    store.delete_session(ID)
    assert store.rotate_session(session) is None
    assert list(store) == []


# DictSession.


def test_items_of_a_dict_session_are_the_records_attributes(make):
    store = make(DictSession)
    session = new(DictSession)
    session["cart"], session["user"], session["data"] = [1], "an item", {"x": 1}
    store.save_session(session)
    assert dict(record_of(store)) == {"cart": [1], "user": "an item", "data": {"x": 1}}
    back = make(DictSession).load_session(ID)
    assert dict(back) == {"cart": [1], "user": "an item", "data": {"x": 1}}
    assert back.user == "ann" and back.data is not None
    del back["cart"]
    back["data"]["y"] = 2
    store.save_session(new(DictSession, OTHER))
    make_again = make(DictSession)
    again = make_again.load_session(ID)
    again["data"]["y"] = 2
    del again["cart"]
    make_again.save_session(again)
    assert dict(record_of(store)) == {"user": "an item", "data": {"x": 1, "y": 2}}


def test_an_attribute_put_on_a_dict_session_is_no_item(make):
    store = make(DictSession)
    session = new(DictSession, colour="red")
    session["colour"] = "blue"
    store.save_session(session)
    back = make(DictSession).load_session(ID)
    assert (back.colour, back["colour"], dict(back)) == ("red", "blue", {"colour": "blue"})


def test_a_subclass_keeps_its_items_together(make):
    session = new(Sub, colour="red")
    session["cart"] = [1]
    make(Sub).save_session(session)
    assert dict(record_of(make())) == {"colour": "red", "data": {"cart": [1]}}
    back = make(Sub).load_session(ID)
    assert (back.colour, dict(back)) == ("red", {"cart": [1]})


@pytest.mark.parametrize("cls", [DictSession, Sub])
def test_concurrent_changes_of_different_items_are_kept(make, cls):
    one, two = make(cls), make(cls)
    session = new(cls)
    session["a"] = session["b"] = session["c"] = 1
    one.save_session(session)
    first, second = one.load_session(ID), two.load_session(ID)
    first["a"] = 2
    del second["b"]
    second["d"] = 4
    one.save_session(first)
    two.save_session(second)
    assert dict(make(cls).load_session(ID)) == {"a": 2, "c": 1, "d": 4}


@pytest.mark.parametrize("cls", [DictSession, Sub])
def test_an_empty_dict_session_is_kept(make, cls):
    make(cls).save_session(new(cls))
    back = make(cls).load_session(ID)
    assert (back.user, dict(back)) == ("ann", {})
    back["a"] = 1  # works: UserDict's own attribute is there
    assert len(back) == 1


# Beside the object, not in it.


class Slotted(Session):
    __slots__ = ("cart", "_Slotted__private", "never_set")


class Equal(Session):
    def __eq__(self, other):
        return True


class Private(Session):
    __slots__ = "__hidden"

    def hide(self, value):
        self.__hidden = value

    def hidden(self):
        return self.__hidden


def test_nothing_is_added_to_the_object(make):
    store = make()
    session = new(a=1)
    names = set(vars(session))
    store.save_session(session)
    assert set(vars(session)) == names
    assert set(vars(store.load_session(ID))) == names


def test_slots_are_attributes(make):
    store = make(Slotted)
    store.save_session(new(Slotted, cart=[1]))
    assert dict(record_of(store)) == {"cart": [1]}
    session = store.load_session(ID)
    assert session.cart == [1] and not hasattr(session, "never_set") and "cart" not in vars(session)
    session.cart.append(2)
    store.save_session(session)
    assert make(Slotted).load_session(ID).cart == [1, 2]


def test_private_slots_are_attributes(make):
    session = new(Private)
    session.hide(7)
    make(Private).save_session(session)
    assert make(Private).load_session(ID).hidden() == 7


def test_sessions_that_equal_each_other_are_not_mixed_up(make):
    store = make(Equal)
    for session_id, value in ((ID, 1), (OTHER, 2)):
        store.save_session(new(Equal, session_id, value=value))
    one, two = store.load_session(ID), store.load_session(OTHER)
    assert one == two
    one.value = 2
    store.save_session(one)
    store.save_session(two)
    assert (store.load_session(ID).value, store.load_session(OTHER).value) == (2, 2)


@pytest.mark.parametrize("cls", [Session, DictSession, Equal, Slotted])
def test_what_is_kept_beside_goes_with_the_object(make, cls):
    store = make(cls)
    store.save_session(new(cls))
    held = [store.load_session(ID) for _ in range(5)]
    gc.collect()
    assert len(store._loaded._entries) == 5
    del held
    gc.collect()
    assert len(store._loaded._entries) == 0


def test_a_copy_is_another_object(make):
    """It was not loaded, so it is a new session, and does not replace the stored one."""
    store = make()
    store.save_session(new())
    with pytest.raises(Conflict):
        store.save_session(copy.copy(store.load_session(ID)))


def test_a_class_that_cannot_be_referenced_weakly_is_told_so(make):
    class Bare:
        __slots__ = ("id", "user", "_remote_address", "_creation_time", "_access_time", "_form_tokens")

    make().save_session(new())
    with pytest.raises(TypeError, match="__weakref__"):
        make(Bare).load_session(ID)


class Transient(Session):
    """What a site writes for pickle so that a connection is not stored."""

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "connection"}

    def __setstate__(self, state):
        vars(self).update(state, connection="opened")


def test_getstate_and_setstate_are_used(make):
    store = make(Transient)
    store.save_session(new(Transient, connection=object(), a=1))
    session = store.load_session(ID)
    assert (session.connection, session.a, dict(record_of(store))) == ("opened", 1, {"a": 1})
    session.a = 2
    store.save_session(session)
    assert store.load_session(ID).a == 2


def test_a_getstate_that_gives_no_attributes_is_refused(make):
    class Odd(Session):
        def __getstate__(self):
            return [1]

    with pytest.raises(InvalidValue, match="__getstate__"):
        make(Odd).save_session(new(Odd))


def test_names_of_the_framework_in_the_data_are_left_alone(make):
    """Another program may have put them there. They must not become the session's own."""
    store = make()
    store.store.insert(ID, Record({"id": "x", "_form_tokens": 1, "a": 1}, user="ann"))
    session = store.load_session(ID)
    assert (session.id, session._form_tokens) == (ID, [])
    session.a = 2
    store.save_session(session)
    assert dict(record_of(store)) == {"id": "x", "_form_tokens": 1, "a": 2}


# What cannot be stored.


class Colour(enum.IntEnum):
    RED = 1


LOOP = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    "value, message",
    [
        (decimal.Decimal(1), r"session\.thing: a decimal\.Decimal"),
        (datetime.datetime(2024, 1, 1), r"session\.thing: a datetime\.datetime"),
        ((1, 2), r"session\.thing: a builtins\.tuple .*store list"),
        ({1, 2}, r"session\.thing: a builtins\.set .*sorted"),
        (bytearray(b"x"), r"session\.thing: a builtins\.bytearray .*bytes"),
        (Colour.RED, r"session\.thing: a .*Colour"),
        (OrderedDict(a=1), r"session\.thing: a collections\.OrderedDict"),
        ([0, {"price": decimal.Decimal(1)}], r"session\.thing\[1\]\['price'\]: a decimal\.Decimal"),
        ({1: "a"}, r"session\.thing: the key 1 is of type int.*str\(key\)"),
        (2**63, r"session\.thing: .*64 bits.*text"),
        (["\ud800"], r"session\.thing\[0\]: .*surrogate"),
        (LOOP, r"session\.thing\[0\].*: nested too deep, or contains itself"),
        (object(), r"session\.thing: a builtins\.object .*Store what it is made of"),
        (len, r"session\.thing: a builtins\.builtin_function"),
    ],
)
def test_what_cannot_be_stored_names_the_attribute(make, value, message):
    store = make()
    with pytest.raises(InvalidValue, match=message):
        store.save_session(new(thing=value))
    assert list(store) == []
    store.save_session(new(kept=1))
    session = store.load_session(ID)
    session.kept, session.thing = 2, value
    with pytest.raises(InvalidValue, match=message):
        store.save_session(session)
    assert dict(record_of(store)) == {"kept": 1}


def test_a_user_object_names_the_user(make):
    class User:
        pass

    with pytest.raises(InvalidValue, match=r"session\.user: .*User cannot be stored\. Store the user's name or number"):
        make().save_session(new(user=User()))


@pytest.mark.parametrize("cls", [DictSession, Sub])
def test_items_that_cannot_be_stored_name_the_key(make, cls):
    for key, value, message in (
        ("price", decimal.Decimal(1), r"session(\['price'\]|\.price): a decimal\.Decimal"),
        (7, "x", r"session\[7\]: the key is of type int"),
    ):
        session = new(cls)
        session[key] = value
        with pytest.raises(InvalidValue, match=message):
            make(cls).save_session(session)


def test_an_item_with_the_reserved_prefix_is_refused(make):
    session = new(DictSession)
    session["__attributes__.x"] = 1
    with pytest.raises(InvalidValue, match="__attributes__"):
        make(DictSession).save_session(session)


def test_the_depth_that_the_format_has_can_be_used(make):
    deep = 1
    for _ in range(30):
        deep = [deep]
    make().save_session(new(deep=deep))
    assert make().load_session(ID).deep == deep
    with pytest.raises(InvalidValue, match="session.deep"):
        make().save_session(new(session_id=OTHER, deep=[deep]))


@pytest.mark.parametrize("tokens", [["x" * 129], [""], [7], ["x"] * 33])
def test_tokens_that_the_format_does_not_hold_are_refused(make, tokens):
    with pytest.raises(InvalidValue, match="_form_tokens"):
        make().save_session(new(_form_tokens=tokens))


def test_the_creation_time_does_not_change(make):
    store = make()
    store.save_session(new())
    session = store.load_session(ID)
    session._creation_time -= 1
    with pytest.raises(InvalidValue, match="_creation_time"):
        store.save_session(session)
