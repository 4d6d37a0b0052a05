"""Session3's demo, with its sessions in a sessiondir directory.

    pip install sessiondir quixote session3
    python quixote_demo.py DIR --port 8080

Then visit http://localhost:8080/. Start it twice on one directory, on two ports: both show the same session.
So does the demo in Rust: cargo run --release --features web --example demo -- DIR --port 8081
After `test_session3.py` of Session3 (MIT licence). One line differs in what it does with sessions: where
DirectorySessionStore comes from.
"""

import argparse

from quixote import get_path, get_session, get_session_manager, redirect
from quixote.directory import Directory
from quixote.publish import Publisher
from quixote.server import simple_server
from session3.Session import Session
from session3.SessionManager import SessionManager

# from session3.store.DirectorySessionStore import DirectorySessionStore
from sessiondir.quixote import DirectorySessionStore

PAGE = """\
Hello, world!
<p>
Your session ID is %s.
<p>
Counter is at %d.
<p>
<a href="./">revisit page</a>
<p>
<a href="keep">assign session</a>
<p>
<a href="increment">increment</a> | <a href="incrementfail">increment+error</a>
<p>
<a href="logout">log out</a> | <a href="logoutfail">logout+error</a>
"""


class DemoSession(Session):
    # Not in __init__, which is not called when a session is loaded: another program's may lack them.
    counter = 0
    keep = False

    def __init__(self, id):
        Session.__init__(self, id)
        self.counter = 0
        self.keep = False

    def has_info(self):
        return self.keep


class Demo(Directory):
    _q_exports = ["", "keep", "increment", "incrementfail", "logout", "logoutfail"]

    def _q_index(self):
        session = get_session()
        return PAGE % (session.id, session.counter)

    def keep(self):
        """Before this, nothing is stored and there is no ID."""
        get_session().keep = True
        return redirect(get_path(1) + "/")

    def increment(self):
        get_session().counter += 1
        return redirect(get_path(1) + "/")

    def incrementfail(self):
        """Increments, and fails: so it has not incremented."""
        get_session().counter += 1
        raise Exception("oops!")

    def logout(self):
        get_session_manager().expire_session()
        return redirect(get_path(1) + "/")

    def logoutfail(self):
        """Logs out, and fails: so nobody is logged out."""
        get_session_manager().expire_session()
        raise Exception("oops.")


def create_publisher(directory, manager_class=SessionManager):
    store = DirectorySessionStore(directory, create=True)
    manager = manager_class(store, session_class=DemoSession)
    return Publisher(Demo(), session_manager=manager, display_exceptions="plain")


def main():
    parser = argparse.ArgumentParser(description="Session3's demo on a sessiondir store.")
    parser.add_argument("directory", metavar="DIR", help="the store; made if it is not there")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    simple_server.run(lambda: create_publisher(options.directory), options.host, options.port)


if __name__ == "__main__":
    main()
