"""The test site under each session manager, in this process."""

import pytest
from quixote_support import PublisherBrowser, need_quixote, only_publisher

need_quixote()

import quixote_site  # noqa: E402
from quixote.session import SessionManager as QuixotesOwn  # noqa: E402

OURS = ["session3-ours", "session3-dict", "quixote"]


@pytest.fixture(params=["session3", *OURS])
def site(request, tmp_path):
    yield from opened(tmp_path, request.param)


@pytest.fixture(params=OURS)
def ours(request, tmp_path):
    yield from opened(tmp_path, request.param)


@pytest.fixture
def quixote_only(tmp_path):
    yield from opened(tmp_path, "quixote")


@pytest.fixture
def dict_site(tmp_path):
    yield from opened(tmp_path, "session3-dict")


def opened(tmp_path, manager):
    with only_publisher():
        yield PublisherBrowser(quixote_site.create_publisher(str(tmp_path / "store"), manager))


def manager_of(browser):
    return browser.publisher.session_manager


def store_of(browser):
    return manager_of(browser).store


def logged_in(browser, name="ann"):
    assert browser.get(f"/login?name={name}").status == 200
    assert store_of(browser).has_session(browser.cookie) is True
    return browser.cookie


def user_of(browser, cookie):
    session = store_of(browser).load_session(cookie)
    return None if session is None else session.user


def test_login_and_logout(ours):
    cookie = logged_in(ours)
    assert user_of(ours, cookie) == "ann"
    assert ours.get("/").set_cookies == []
    [line] = ours.get("/logout").set_cookies
    assert line.startswith('QX_session="";') and "max-age=0" in line.lower() and "path=/" in line
    assert store_of(ours).has_session(cookie) is False


def test_a_logout_then_an_error_page_is_a_logout(ours):
    cookie = logged_in(ours)
    assert ours.get("/logout_missing").status == 404
    assert store_of(ours).has_session(cookie) is False


def test_a_page_that_is_not_there_keeps_the_session(ours):
    cookie = logged_in(ours)
    assert ours.get("/nowhere").status == 404
    assert user_of(ours, cookie) == "ann"


def test_failed_requests_keep_nothing(ours):
    cookie = logged_in(ours)
    assert ours.get("/putfail?name=colour&value=red").status == 500
    assert ours.get("/logoutfail").status == 500
    session = store_of(ours).load_session(cookie)
    assert session.user == "ann" and not hasattr(session, "colour")


def test_expiring_twice_is_harmless(ours):
    cookie = logged_in(ours)
    assert ours.get("/expire_twice").status == 200
    assert store_of(ours).has_session(cookie) is False
    assert ours.get("/expire_twice").status == 200


def test_another_session_in_the_place_of_an_expired_one(ours):
    before = logged_in(ours)
    assert ours.get("/relogin?name=bob").status == 200
    assert ours.cookie != before
    assert user_of(ours, ours.cookie) == "bob"
    assert store_of(ours).has_session(before) is False


def test_a_new_id_at_login(ours):
    before = logged_in(ours, "guest")
    ours.get("/put?name=colour&value=red")
    token = ours.get("/token").text
    page = ours.get("/renew?name=ann")
    assert page.set_cookies == [f'QX_session="{ours.cookie}"; path=/']
    assert len(ours.cookie) == 22 and ours.cookie != before
    assert store_of(ours).has_session(before) is False
    session = store_of(ours).load_session(ours.cookie)
    assert (session.id, session.user, session.colour) == (ours.cookie, "ann", "red")
    assert not session.has_form_token(token)
    assert ours.get("/put?name=colour&value=blue").set_cookies == []
    assert store_of(ours).load_session(ours.cookie).colour == "blue"


def test_a_new_id_for_a_first_login(ours):
    assert ours.get("/renew?name=ann").set_cookies == [f'QX_session="{ours.cookie}"; path=/']
    assert user_of(ours, ours.cookie) == "ann"


def test_losing_all_info_expires_the_session(ours):
    cookie = logged_in(ours)
    [line] = ours.get("/login").set_cookies
    assert "max-age=0" in line.lower()
    assert store_of(ours).has_session(cookie) is False


def test_form_tokens(site):
    logged_in(site)
    token = site.get("/token").text
    assert site.get(f"/use_token?token={token}").text == "yes"
    assert site.get(f"/use_token?token={token}").text == "no"
    many = [site.get("/token").text for _ in range(40)]
    kept = store_of(site).load_session(site.cookie)._form_tokens
    assert kept == many[-len(kept):]
    assert len(kept) == manager_of(site).session_class.MAX_FORM_TOKENS


def test_a_form_token_alone_is_info_to_quixote(quixote_only):
    token = quixote_only.get("/token").text
    assert quixote_only.cookie
    assert quixote_only.get(f"/use_token?token={token}").text == "yes"
    assert quixote_only.cookie is None


def test_csrf_token(quixote_only):
    token = quixote_only.get("/csrf").text
    assert quixote_only.get("/csrf").text == token
    assert quixote_only.get("/post", "POST", f"csrf_token={token}").text == "valid"
    assert quixote_only.get("/post", "POST", "csrf_token=other").text == "invalid"
    assert quixote_only.get(f"/post?csrf_token={token}").text == "invalid"
    assert store_of(quixote_only).store.load(quixote_only.cookie).csrf == token


def test_quixote_is_told_who_is_logged_in(quixote_only):
    logged_in(quixote_only)
    seen = []
    root = quixote_only.publisher.root_directory
    root._q_index = lambda: seen.append(quixote_site.get_request().environ.get("REMOTE_USER")) or "home"
    quixote_only.get("/")
    assert seen == ["ann"]


def test_a_dict_session_with_a_user_and_no_items_is_kept(dict_site):
    """Session3 asks `if session`, which is false of it."""
    cookie = logged_in(dict_site)
    session = store_of(dict_site).load_session(cookie)
    assert (session.user, dict(session), bool(session)) == ("ann", {}, False)
    dict_site.get("/login?name=bob")
    assert user_of(dict_site, cookie) == "bob"
    dict_site.get("/logout")
    assert store_of(dict_site).has_session(cookie) is False


def test_has_session_and_its_cookie_are_booleans(ours):
    manager = manager_of(ours)
    answers = []
    ours.publisher.root_directory._q_index = lambda: answers.append(
        (manager.has_session_cookie(), manager.has_session_cookie(must_exist=True))
    ) or "home"
    ours.get("/")
    logged_in(ours)
    ours.get("/")
    ours.cookie = "A" * 22
    ours.get("/")
    assert answers == [(False, False), (True, True), (True, False)]
    assert manager.has_session("A" * 22) is False
    assert manager.has_session("../evil") is False


def test_the_revoked_cookie_is_gone_from_the_request(ours):
    logged_in(ours)
    left = []
    manager = manager_of(ours)

    def page():
        manager.expire_session()
        left.append(manager.has_session_cookie())
        return "out"

    ours.publisher.root_directory._q_index = page
    ours.get("/")
    assert left == [False]


def test_configured_cookie_attributes_are_used(ours):
    config = ours.publisher.config
    config.session_cookie_secure = config.session_cookie_httponly = True
    config.session_cookie_path = "/shop"
    [line] = ours.get("/login?name=ann").set_cookies
    assert "path=/shop" in line and "secure" in line.lower() and "httponly" in line.lower()


def test_what_quixotes_own_manager_offers_is_there(quixote_only):
    cookie = logged_in(quixote_only)
    manager = manager_of(quixote_only)
    missing = [name for name in dir(QuixotesOwn) if not hasattr(manager, name)]
    assert missing == []
    assert manager.keys() == manager.sorted_keys() == [cookie]
    assert [session.user for session in manager] == [session.user for session in manager.values()] == ["ann"]
    assert [(session_id, session.id) for session_id, session in manager.items()] == [(cookie, cookie)]
    assert cookie in manager and "A" * 22 not in manager
    assert manager[cookie].user == "ann" and manager.get("A" * 22, "no") == "no"
    with pytest.raises(KeyError):
        manager["A" * 22]
    del manager[cookie]
    del manager[cookie]
    assert manager.keys() == []


def test_a_deletion_is_seen_within_its_request(quixote_only):
    cookie = logged_in(quixote_only)
    manager = manager_of(quixote_only)
    seen = []

    def page():
        del manager[cookie]
        seen.append((cookie in manager, manager.get(cookie)))
        return "deleted"

    quixote_only.publisher.root_directory._q_index = page
    quixote_only.cookie = None
    quixote_only.get("/")
    assert seen == [(False, None)]
    assert store_of(quixote_only).has_session(cookie) is False


def test_a_site_may_mix_the_manager_into_its_own(tmp_path):
    from session3.SessionManager import SessionManager

    from sessiondir.quixote import DirectorySessionStore
    from sessiondir.quixote.session3 import SessionManagerMixin

    class Own(SessionManager):
        made = 0

        def new_session(self, id):
            self.made += 1
            return super().new_session(id)

    class Mixed(SessionManagerMixin, Own):
        pass

    with only_publisher():
        manager = Mixed(DirectorySessionStore(str(tmp_path / "store"), create=True))
        browser = PublisherBrowser(quixote_site.Publisher(quixote_site.Site(), session_manager=manager))
        logged_in(browser)
        browser.get("/")
        assert manager.made == 1
