"""Session3's demo, step by step, on Session3's own manager and on ours."""

import pickle
import re

import pytest
from quixote_support import PublisherBrowser, load_demo, need_quixote, only_publisher

need_quixote()

from session3.SessionManager import SessionManager as Session3Manager  # noqa: E402

from sessiondir import Session as Record  # noqa: E402
from sessiondir.quixote.session3 import SessionManager as OurManager  # noqa: E402


@pytest.fixture(params=[Session3Manager, OurManager], ids=["session3", "ours"])
def demo(request, tmp_path):
    with only_publisher():
        publisher = load_demo().create_publisher(str(tmp_path / "store"), request.param)
        yield PublisherBrowser(publisher)


def shown(browser):
    page = browser.get("/")
    assert page.status == 200
    session_id = re.search(r"Your session ID is (\S+)\.\n", page.text).group(1)
    return session_id, int(re.search(r"Counter is at (\d+)\.", page.text).group(1))


def stored(browser):
    return [session_id for session_id, _session in browser.publisher.session_manager.store.iter_sessions()]


def kept(browser):
    page = browser.get("/keep")
    assert page.status == 302
    return page


def test_nothing_is_stored_before_keep(demo):
    assert shown(demo) == ("None", 0)
    page = demo.get("/increment")
    assert (page.status, page.set_cookies) == (302, [])
    assert page.header("Location") == "http://localhost/"
    assert shown(demo) == ("None", 0)
    assert stored(demo) == []


def test_keep_sets_the_cookie_once(demo):
    page = kept(demo)
    assert page.set_cookies == [f'QX_session="{demo.cookie}"; path=/']
    assert stored(demo) == [demo.cookie]
    assert shown(demo) == (demo.cookie, 0)
    assert demo.get("/").set_cookies == []
    assert demo.get("/increment").set_cookies == []


def test_increment_counts(demo):
    kept(demo)
    for expected in (1, 2, 3):
        assert demo.get("/increment").status == 302
        assert shown(demo) == (demo.cookie, expected)


def test_a_failed_increment_does_not_count(demo):
    kept(demo)
    demo.get("/increment")
    page = demo.get("/incrementfail")
    assert (page.status, page.set_cookies) == (500, [])
    assert shown(demo) == (demo.cookie, 1)


def test_logout_removes_the_session_and_revokes_the_cookie(demo):
    kept(demo)
    before = demo.cookie
    page = demo.get("/logout")
    assert page.status == 302
    [line] = page.set_cookies
    assert line.startswith('QX_session="";') and "max-age=0" in line.lower()
    assert stored(demo) == []
    demo.cookie = before
    assert shown(demo) == ("None", 0)


def test_a_failed_logout_is_none(demo):
    kept(demo)
    demo.get("/increment")
    page = demo.get("/logoutfail")
    assert (page.status, page.set_cookies) == (500, [])
    assert shown(demo) == (demo.cookie, 1)


def test_logout_without_a_session_is_harmless(demo):
    assert demo.get("/logout").status == 302
    demo.cookie = "A" * 22
    assert demo.get("/logout").status == 302
    assert stored(demo) == []


@pytest.mark.parametrize("cookie", ["A" * 22, "A" * 11, "*del*", "", ".sessiondir", ".lock/00", "\u00e9" * 22])
def test_an_unknown_cookie_is_not_adopted(demo, cookie):
    demo.cookie = cookie
    assert shown(demo) == ("None", 0)
    kept(demo)
    assert demo.cookie != cookie
    assert stored(demo) == [demo.cookie]


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize(
    "cookie, status",
    [
        ("../evil", 200),  # no session ID, so no session
        ("..%2Fevil", 200),
        ("evil-evil-evil", 500),  # a session's name on a file that is no session's: an error, and at once
    ],
)
def test_a_pickle_is_never_opened(demo, tmp_path, cookie, status):
    """Session3 runs what stands in the file that the cookie names."""
    planted = pickle.dumps(Evil(str(tmp_path / "executed")))
    inside, outside = tmp_path / "store" / "evil-evil-evil", tmp_path / "evil"
    for path in (inside, outside):
        path.write_bytes(planted)
        path.chmod(0o600)
    for page in ("/", "/keep", "/logout"):
        browser = PublisherBrowser(demo.publisher, cookie)
        assert browser.get(page).status == (status if status == 500 or page == "/" else 302)
    assert not (tmp_path / "executed").exists()
    assert (inside.read_bytes(), outside.read_bytes()) == (planted, planted)


def test_an_id_of_session3_stays_valid(demo):
    """Eleven characters, one in 64 of them beginning with a hyphen."""
    kept(demo)
    store = demo.publisher.session_manager.store
    store.store.insert("-bcdefghijk", Record({"counter": 0, "keep": True}))
    demo.cookie = "-bcdefghijk"
    assert shown(demo) == ("-bcdefghijk", 0)
    demo.get("/increment")
    assert shown(demo) == ("-bcdefghijk", 1)


def test_our_manager_makes_ids_of_128_bits(demo):
    kept(demo)
    ours = isinstance(demo.publisher.session_manager, OurManager)
    assert len(demo.cookie) == (22 if ours else 11)
