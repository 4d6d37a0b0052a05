"""The demo in Rust and the one in Python on one directory, under one browser.

SESSIONDIR_DEMO is the program: `cargo build --example demo` makes target/debug/examples/demo.
"""

import os
import re
import subprocess
import sys
import threading
import warnings
from contextlib import contextmanager

import pytest
from quixote_support import HERE, ServerBrowser, need_quixote

need_quixote()

DEMO = os.environ.get("SESSIONDIR_DEMO")
if not DEMO:
    MESSAGE = "NOT TESTED: the demo in Rust beside the one in Python, since SESSIONDIR_DEMO does not say where it is"
    warnings.warn(MESSAGE, stacklevel=2)
    pytest.skip(MESSAGE, allow_module_level=True)

TIMEOUT = 30
# Quixote's server does not tell which port it got.
PYTHON = """
import runpy, sys
from http.server import HTTPServer
def serve(server, *arguments):
    # Quixote has put its error log in the place of sys.stdout.
    print("port", server.server_address[1], file=sys.__stdout__, flush=True)
    return forever(server, *arguments)
forever, HTTPServer.serve_forever = HTTPServer.serve_forever, serve
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@contextmanager
def started(command, pattern):
    """A server process; yields its port, which stands in its first line."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    # A server that says nothing is to end, and its output with it.
    timer = threading.Timer(TIMEOUT, process.kill)
    timer.start()
    try:
        line = process.stdout.readline()
        timer.cancel()
        match = re.search(pattern, line)
        assert match, f"the server did not start: {line!r}"
        yield int(match.group(1))
    finally:
        timer.cancel()
        process.kill()
        process.wait(TIMEOUT)
        process.stdout.close()


@pytest.fixture
def demos(tmp_path):
    """The two demos' ports, and one browser."""
    directory = str(tmp_path / "store")
    rust = [DEMO, directory, "--host", "127.0.0.1", "--port", "0"]
    quixote = HERE.parent / "examples" / "quixote_demo.py"
    python = [sys.executable, "-c", PYTHON, str(quixote), directory, "--port", "0"]
    with started(rust, r"http://127\.0\.0\.1:(\d+)/") as rust, started(python, r"port (\d+)") as python:
        yield Traveller(rust, python)


class Traveller(ServerBrowser):
    """One browser that goes to and fro: cookies do not know ports."""

    def __init__(self, rust, python):
        super().__init__(rust)
        self.rust, self.python = rust, python

    def at(self, port, path, status=302, **arguments):
        self.port = port
        page = self.get(path, **arguments)
        assert page.status == status, page.text
        return page

    def shown(self, port):
        text = self.at(port, "/", 200).text
        session_id = re.search(r"Your session ID is (\S+)\.\n", text).group(1)
        return session_id, int(re.search(r"Counter is at (\d+)\.", text).group(1))

    def user(self):
        return re.search(r"^user: (.*)$", self.at(self.rust, "/test/check", 200).text, re.M).group(1)


def both(demos):
    """What both show, which is the same."""
    shown = demos.shown(demos.rust)
    assert demos.shown(demos.python) == shown
    return shown


@pytest.mark.parametrize("first", ["rust", "python"])
def test_a_session_of_one_is_one_of_the_other(demos, first):
    assert both(demos) == ("None", 0)
    demos.at(getattr(demos, first), "/keep")
    before = demos.cookie
    # Session3's IDs are short. Such a session gets a new one at the end of the first visit to the demo in Rust.
    assert len(before) == (22 if first == "rust" else 11)
    demos.at(demos.rust, "/", 200)
    kept, count = both(demos)
    assert (demos.cookie, count, len(kept)) == (kept, 0, 22)
    for count in range(1, 7):
        demos.at(demos.rust if count % 2 else demos.python, "/increment")
        assert both(demos) == (kept, count)
    for port in (demos.rust, demos.python):
        for path in ("/incrementfail", "/logoutfail"):
            demos.at(port, path, 500)
    assert both(demos) == (kept, 6)
    demos.at(demos.python if first == "rust" else demos.rust, "/logout")
    assert demos.cookie is None
    demos.cookie = kept
    assert both(demos) == ("None", 0)


def test_a_login_stays(demos):
    demos.at(demos.python, "/keep")
    demos.at(demos.python, "/increment")
    before = demos.cookie
    demos.at(demos.rust, "/test/login", method="POST", body="name=ada")
    kept = demos.cookie
    assert kept != before
    for _ in range(3):
        demos.at(demos.python, "/increment")
        demos.at(demos.rust, "/increment")
        assert demos.user() == "ada"
    assert both(demos) == (kept, 7)
    assert demos.at(demos.rust, "/test/counter", 200).text == "Counter: 8\n"
    demos.at(demos.python, "/logout")
    assert demos.user() == "None"


def test_a_login_that_was_not_kept_before_is_kept_by_both(demos):
    demos.at(demos.rust, "/test/login", method="POST", body="name=ada")
    kept = demos.cookie
    assert both(demos) == (kept, 0)
    demos.at(demos.python, "/increment")
    assert (both(demos), demos.user()) == ((kept, 1), "ada")


def test_a_form_token_outlives_a_visit_to_the_other(demos):
    page = demos.at(demos.rust, "/test/create_token", 200)
    token = re.search(r'name="token" value="([^"]+)"', page.text).group(1)
    demos.at(demos.python, "/increment")
    assert demos.at(demos.rust, f"/test/check_token?token={token}", 200).text == "Token valid\n"
    demos.at(demos.python, "/increment")
    demos.at(demos.rust, f"/test/check_token?token={token}", 403)
    assert both(demos) == (demos.cookie, 2)


def test_neither_loses_an_increment_of_the_other(demos):
    """Of one attribute the demo in Python writes the later value, so these are by turns."""
    demos.at(demos.rust, "/keep")
    for count in range(10):
        demos.at(demos.rust, "/increment")
        demos.at(demos.python, "/increment")
    assert both(demos) == (demos.cookie, 20)
