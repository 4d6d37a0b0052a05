"""Session objects and stores for the tests that need no server. Import it after need_quixote()."""

import io

import pytest
from quixote.http_request import HTTPRequest
from quixote.publish import Publisher
from quixote_support import only_publisher
from session3.Session import Session

from sessiondir.quixote import DirectorySessionStore

ID, OTHER = "A" * 22, "B" * 22


class Root:
    def _q_traverse(self, path):
        return ""


@pytest.fixture(autouse=True)
def request_at_hand():
    """Session objects are made from the current request."""
    with only_publisher():
        publisher = Publisher(Root())
        publisher.session_manager = None
        request = HTTPRequest(io.BytesIO(), {"REMOTE_ADDR": "192.0.2.7", "SERVER_NAME": "x", "SERVER_PORT": "80"})
        publisher._set_request(request)
        yield publisher


@pytest.fixture
def make(tmp_path):
    """Another store on the same directory each time, as another process has."""

    def store(session_class=Session, **options):
        return DirectorySessionStore(str(tmp_path / "store"), create=True, session_class=session_class, **options)

    return store


def new(cls=Session, session_id=ID, user="ann", **attributes):
    session = cls(session_id)
    session.user = user
    for name, value in attributes.items():
        setattr(session, name, value)
    return session


def record_of(store, session_id=ID):
    return store.store.load(session_id)
