"""A site to test with, under any of the session managers. As a program, one server process of it:
`quixote_site.py DIR MANAGER` prints its port."""

import sys
import time

from quixote import get_field, get_request, get_session, get_session_manager
from quixote.directory import Directory
from quixote.errors import TraversalError
from quixote.publish import Publisher
from quixote.server import simple_server
from quixote.session import Session as QuixoteSession
from session3.DictSession import DictSession
from session3.Session import Session as Session3Session
from session3.SessionManager import SessionManager as Session3Manager

from sessiondir.quixote import DirectorySessionStore
from sessiondir.quixote.session import SessionManager as OurQuixoteManager
from sessiondir.quixote.session3 import SessionManager as OurSession3Manager

MANAGERS = {
    "session3": (Session3Manager, Session3Session),
    "session3-ours": (OurSession3Manager, Session3Session),
    "session3-dict": (OurSession3Manager, DictSession),
    "quixote": (OurQuixoteManager, QuixoteSession),
}


class Site(Directory):
    _q_exports = [
        "", "login", "logout", "logoutfail", "logout_missing",
        "put", "putfail", "drop", "nest", "check", "slow", "bump",
        "token", "use_token", "csrf", "post", "renew", "relogin", "expire_twice",
    ]

    def _q_index(self):
        return "home"

    def login(self):
        get_session().set_user(get_field("name"))
        return "in"

    def renew(self):
        """A login that takes a new session ID, against fixation."""
        get_session().set_user(get_field("name"))
        get_session_manager().rotate_session()
        return "in"

    def logout(self):
        get_session_manager().expire_session()
        return "out"

    def logoutfail(self):
        get_session_manager().expire_session()
        raise RuntimeError("after the logout")

    def logout_missing(self):
        """Logs out and answers with an error page that the site means: a request that succeeds."""
        get_session_manager().expire_session()
        raise TraversalError("no such page")

    def expire_twice(self):
        get_session_manager().expire_session()
        get_session_manager().expire_session()
        return "out"

    def relogin(self):
        """Out, and in again as somebody else, in one request."""
        manager = get_session_manager()
        manager.expire_session()
        session = get_request().session = manager.new_session(None)
        session.set_user(get_field("name"))
        return "in"

    def put(self):
        setattr(get_session(), get_field("name"), get_field("value"))
        return "put"

    def putfail(self):
        self.put()
        raise RuntimeError("after the change")

    def drop(self):
        delattr(get_session(), get_field("name"))
        return "dropped"

    def nest(self):
        """Changes a value inside of an attribute's value."""
        session = get_session()
        if not hasattr(session, "cart"):
            session.cart = {"lines": []}
        session.cart["lines"].append(get_field("value"))
        return "nested"

    def slow(self):
        """Answers some time after the session was loaded."""
        time.sleep(float(get_field("seconds")))
        return self.put()

    def bump(self):
        """Counts in an attribute, slowly."""
        session, name = get_session(), get_field("name")
        count = getattr(session, name, 0)
        time.sleep(0.002)
        setattr(session, name, count + 1)
        return "bumped"

    def check(self):
        session = get_session()
        shown = {name: value for name, value in vars(session).items() if not name.startswith("_")}
        return "".join(f"{name}={value}\n" for name, value in sorted(shown.items()))

    def token(self):
        return get_session().create_form_token()

    def use_token(self):
        session, token = get_session(), get_field("token")
        if not session.has_form_token(token):
            return "no"
        session.remove_form_token(token)
        return "yes"

    def csrf(self):
        return get_session().get_csrf_token()

    def post(self):
        return "valid" if get_session().valid_csrf_token() else "invalid"


def create_publisher(directory, manager, **options):
    manager_class, session_class = MANAGERS[manager]
    store = DirectorySessionStore(directory, create=True, **options)
    if manager == "quixote":
        made = manager_class(session_class, session_store=store)
    else:
        made = manager_class(store, session_class=session_class)
    return Publisher(Site(), session_manager=made)


def main():
    directory, manager = sys.argv[1:]
    publisher = create_publisher(directory, manager)
    publisher.logger.access_log = None
    server = simple_server.SockInheritHTTPServer(("127.0.0.1", 0), simple_server.HTTPRequestHandler)
    # Quixote has put its error log in the place of sys.stdout.
    print("port", server.server_address[1], file=sys.__stdout__, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
