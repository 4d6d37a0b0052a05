"""Two server processes of one site on one directory."""

import threading

import pytest
from quixote_support import ServerBrowser, need_quixote, server

need_quixote()

from sessiondir.quixote import DirectorySessionStore  # noqa: E402


@pytest.fixture(scope="module", params=["session3", "session3-ours", "quixote"])
def site(request, tmp_path_factory):
    """Two ports, and the directory. One pair of processes serves all tests of a manager."""
    directory = tmp_path_factory.mktemp("site") / "store"
    DirectorySessionStore(str(directory), create=True)
    with server(directory, request.param) as one, server(directory, request.param) as two:
        yield one, two, directory


def login(site):
    browsers = [ServerBrowser(port) for port in site[:2]]
    assert browsers[0].get("/login?name=ann").status == 200
    assert browsers[0].cookie
    browsers[1].cookie = browsers[0].cookie
    return browsers


def lines(browser):
    page = browser.get("/check")
    assert page.status == 200
    return dict(line.split("=", 1) for line in page.text.splitlines())


def test_each_sees_what_the_other_has_saved(site):
    one, two = login(site)
    assert lines(two) == {"id": one.cookie, "user": "ann"}
    two.get("/put?name=colour&value=red")
    assert lines(one)["colour"] == "red"
    one.get("/put?name=colour&value=blue")
    two.get("/nest?value=a")
    one.get("/nest?value=b")
    assert lines(two)["colour"] == "blue"
    assert lines(two)["cart"] == "{'lines': ['a', 'b']}"
    one.get("/drop?name=colour")
    assert "colour" not in lines(two)


def test_concurrent_changes_of_different_attributes_are_all_kept(site):
    """Each process counts in an attribute of its own. Both load and store both attributes all the time, so
    a save of the whole session puts the other one's count back."""
    browsers = login(site)
    rounds = 60
    statuses = []

    def count(browser, name):
        for _ in range(rounds):
            statuses.append(browser.get(f"/bump?name={name}").status)

    threads = [threading.Thread(target=count, args=pair) for pair in zip(browsers, ("left", "right"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert statuses == [200] * (2 * rounds)
    for browser in browsers:
        found = lines(browser)
        assert (found["left"], found["right"]) == (str(rounds), str(rounds))


def test_a_late_save_does_not_bring_back_who_logged_out(site):
    one, two = login(site)
    pages = []

    def late():
        pages.append(one.get("/slow?seconds=1.5&name=late&value=1"))

    thread = threading.Thread(target=late)
    thread.start()
    # The first request has loaded the session when the second process logs out: it was sent long before.
    threading.Event().wait(0.5)
    cookie = one.cookie
    assert two.get("/logout").status == 200
    thread.join(60)
    assert [(page.status, page.set_cookies) for page in pages] == [(200, [])]
    for port in site[:2]:
        assert lines(ServerBrowser(port, cookie))["id"] == "None"
    assert not (site[2] / cookie).exists()


def test_both_may_log_out(site):
    one, two = login(site)
    cookie = one.cookie
    assert one.get("/logout").status == 200
    two.cookie = cookie
    assert two.get("/logout").status == 200
    assert lines(ServerBrowser(site[0], cookie))["id"] == "None"


def test_a_failed_logout_in_one_leaves_the_session_to_the_other(site):
    one, two = login(site)
    page = one.get("/logoutfail")
    assert (page.status, page.set_cookies) == (500, [])
    assert lines(two) == {"id": two.cookie, "user": "ann"}


def test_form_tokens_made_at_once_are_all_valid(site):
    browsers = login(site)
    made = []

    def make(browser):
        for _ in range(6):
            made.append(browser.get("/token").text)

    threads = [threading.Thread(target=make, args=(browser,)) for browser in browsers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(made)) == 12
    answers = [browsers[index % 2].get(f"/use_token?token={token}").text for index, token in enumerate(made)]
    assert answers == ["yes"] * 12
    assert browsers[0].get(f"/use_token?token={made[0]}").text == "no"


def test_a_restart_keeps_sessions(tmp_path):
    store = tmp_path / "store"
    with server(store, "quixote") as port:
        browser = ServerBrowser(port)
        browser.get("/login?name=ann")
    with server(store, "quixote") as port:
        assert lines(ServerBrowser(port, browser.cookie)) == {"id": browser.cookie, "user": "ann"}
