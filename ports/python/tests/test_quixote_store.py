"""The store by itself: what is committed, and the store protocol of Session3."""

import threading

import pytest
from quixote_support import need_quixote

need_quixote()

from quixote_sessions import ID, OTHER, make, new, record_of, request_at_hand  # noqa: E402, F401
from session3.DictSession import DictSession  # noqa: E402

from sessiondir.errors import Conflict  # noqa: E402
from sessiondir.quixote import DirectorySessionStore  # noqa: E402


class Sub(DictSession):
    """A site's own DictSession: the importer keeps its items together."""


# Committing.


def test_only_what_changed_is_committed(make):
    one, two = make(), make()
    one.save_session(new(a=1, b=1, c=1, d=1))
    first, second = one.load_session(ID), two.load_session(ID)
    first.a, first.b = 2, 1
    second.b = 3
    del second.c
    two.save_session(second)
    one.save_session(first)
    back = make().load_session(ID)
    assert (back.a, back.b, hasattr(back, "c"), back.d) == (2, 3, False, 1)
    # What the object has of the other's changes is old; saving it again must not put that back.
    first.d = 4
    one.save_session(first)
    back = make().load_session(ID)
    assert (back.a, back.b, hasattr(back, "c"), back.d) == (2, 3, False, 4)


def test_a_change_inside_of_a_value_is_seen(make):
    store = make()
    store.save_session(new(cart={"lines": [{"n": 1}]}))
    session = store.load_session(ID)
    session.cart["lines"][0]["n"] = 2
    store.save_session(session)
    assert make().load_session(ID).cart == {"lines": [{"n": 2}]}


def test_one_and_true_and_one_point_zero_differ(make):
    store = make()
    store.save_session(new(a=1, b=1))
    session = store.load_session(ID)
    session.a, session.b = True, 1.0
    store.save_session(session)
    back = make().load_session(ID)
    assert (type(back.a), type(back.b)) == (bool, float)


def test_an_unchanged_session_is_only_touched(make):
    now = [1700000000000]
    store = make(clock=lambda: now[0])
    session = new(a=[1])
    session._creation_time = session._access_time = now[0] / 1000
    store.save_session(session)
    before = record_of(store)
    session = store.load_session(ID)
    session.a = [1]
    now[0] += 600_000
    session._access_time = now[0] / 1000
    store.save_session(session)
    after = record_of(store)
    assert (before.rev, after.rev) == (1, 1)
    assert after.accessed == now[0] and store.load_session(ID)._access_time == now[0] / 1000


def test_setting_and_dropping_the_user(make):
    one, two = make(), make()
    one.save_session(new(a=1))
    first, second = one.load_session(ID), two.load_session(ID)
    second.a = 2
    two.save_session(second)
    first.set_user(None)
    one.save_session(first)
    back = make().load_session(ID)
    assert (back.user, back.a) == (None, 2)


def test_form_tokens_of_two_requests_are_both_kept(make):
    one, two = make(), make()
    session = new()
    used, kept = session.create_form_token(), session.create_form_token()
    one.save_session(session)
    first, second = one.load_session(ID), two.load_session(ID)
    made_first, made_second = first.create_form_token(), second.create_form_token()
    second.remove_form_token(used)
    one.save_session(first)
    two.save_session(second)
    assert make().load_session(ID)._form_tokens == [kept, made_first, made_second]


def test_the_queue_of_form_tokens_does_not_grow(make):
    one, two = make(), make()
    one.save_session(new())
    sessions = one.load_session(ID), two.load_session(ID)
    made = [[session.create_form_token() for _ in range(20)] for session in sessions]
    one.save_session(sessions[0])
    two.save_session(sessions[1])
    assert make().load_session(ID)._form_tokens == (made[0] + made[1])[-32:]


def test_a_late_save_does_not_bring_a_session_back(make):
    one, two = make(), make()
    one.save_session(new())
    changed, unchanged = one.load_session(ID), one.load_session(ID)
    two.delete_session(two.load_session(ID))
    changed.a = 1
    for session in (changed, unchanged, changed):
        one.save_session(session)
    assert list(one) == [] and not one.has_session(ID)


def test_another_session_with_the_id_is_not_changed(make):
    store = make()
    session = new()
    session._creation_time = 1700000000.0
    store.save_session(session)
    late = store.load_session(ID)
    store.delete_session(ID)
    store.save_session(new(user="bob"))
    late.user = "eve"
    store.save_session(late)
    assert store.load_session(ID).user == "bob"


def test_a_new_session_does_not_replace_one_that_is_there(make):
    store = make()
    store.save_session(new())
    with pytest.raises(Conflict):
        make().save_session(new(user="bob"))
    assert store.load_session(ID).user == "ann"


def test_deleting_is_idempotent_and_takes_either(make):
    store = make()
    store.save_session(new())
    session = store.load_session(ID)
    store.delete_session(session)
    store.delete_session(session)
    store.delete_session(ID)
    store.delete_session("../evil")
    store.delete_session(new(session_id=None))
    assert list(store) == []


def test_a_session_without_an_id_cannot_be_saved(make):
    with pytest.raises(ValueError):
        make().save_session(new(session_id=None))


@pytest.mark.parametrize("session_id", [None, "", "*del*", "../evil", ".sessiondir", "short", "A" * 129,
                                        "\u00e9" * 22, 7])
def test_what_is_no_session_id_is_no_session(make, session_id):
    store, default = make(), object()
    assert store.load_session(session_id, default) is default
    assert store.load_session(session_id) is None
    assert store.has_session(session_id) is False


# The rest of Session3's store protocol.


def test_the_store_says_that_it_is_safe(make):
    store = make()
    assert store.is_multiprocess_safe is True and store.is_thread_safe is True


def test_a_directory_is_only_made_when_asked(tmp_path):
    with pytest.raises(Exception):
        DirectorySessionStore(str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    DirectorySessionStore(str(tmp_path / "made"), create=True)
    DirectorySessionStore(str(tmp_path / "made"))
    DirectorySessionStore(str(tmp_path / "made"), create=True).setup()


def test_iter_sessions(make):
    store = make()
    for session_id, value in ((ID, 1), (OTHER, 2)):
        store.save_session(new(session_id=session_id, value=value))
    assert sorted((key, session.id, session.value) for key, session in store.iter_sessions()) == [
        (ID, ID, 1), (OTHER, OTHER, 2)]
    assert sorted(store) == [ID, OTHER]
    for _key, session in store.iter_sessions():
        session.value += 10
        store.save_session(session)
    assert sorted(session.value for _key, session in store.iter_sessions()) == [11, 12]


def test_iter_sessions_of_a_hashed_store(make):
    store = make(naming="hashed")
    store.save_session(new(value=1))
    session = store.load_session(ID)
    session.value = 2
    store.save_session(session)
    [(reference, found)] = store.iter_sessions()
    assert (found.id, found.value) == (None, 2)
    store.delete_session(reference)
    assert list(store.iter_sessions()) == []


def test_delete_old_sessions(make):
    now = [1700000000000]
    store = make(clock=lambda: now[0])

    def at_now(session_id):
        session = new(session_id=session_id)
        session._creation_time = session._access_time = now[0] / 1000
        store.save_session(session)

    at_now(ID)
    now[0] += 20 * 60_000
    at_now(OTHER)
    assert store.delete_old_sessions(30) == (0, 2)
    now[0] += 15 * 60_000
    assert store.delete_old_sessions(30) == (1, 1)
    assert list(store) == [OTHER]


def test_threads_lose_no_change_of_different_attributes(make):
    store = make()
    store.save_session(new())
    errors = []

    def work(prefix):
        try:
            for number in range(25):
                session = store.load_session(ID)
                setattr(session, f"{prefix}{number}", number)
                store.save_session(session)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(prefix,)) for prefix in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert errors == []
    expected = {f"{prefix}{number}": number for prefix in "abcd" for number in range(25)}
    assert dict(record_of(store)) == expected
