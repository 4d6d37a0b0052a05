# mypy: ignore-errors
# (Quixote and Session3 have no types.)
"""A persistent session manager for a site that uses Quixote's own sessions.

Quixote's `SessionManager` keeps sessions in a mapping and, by default, never stores one again that the
mapping has; its `BaseSessionManager` takes a `session_store`, but lacks the attribute
ACCESS_TIME_RESOLUTION that its own `get_session` needs. This is the second one made complete, with the
methods of the first.
"""

from quixote import get_cookie, get_publisher, get_request
from quixote.session import BaseSessionManager

from .rotation import RotationMixin
from .store import DirectorySessionStore

__all__ = ["DirectorySessionStore", "SessionManager"]


class SessionManager(RotationMixin, BaseSessionManager):
    """`SessionManager(session_class, session_store=DirectorySessionStore(DIR))`."""

    ACCESS_TIME_RESOLUTION = 1  # in seconds, as in Quixote's SessionManager

    def __init__(self, session_class=None, session_store=None):
        if session_store is None:
            raise TypeError("SessionManager needs a session_store, a DirectorySessionStore")
        super().__init__(session_class=session_class, session_store=session_store)

    def __repr__(self):
        return f"<{type(self).__name__} at {id(self):x}>"

    def maintain_session(self, session):
        if not session.has_info():
            if session.id is not None and session.id in self:
                del self[session.id]
                self.revoke_session_cookie()
        elif session.id is None:
            session.id = self._make_session_id()
            self[session.id] = session
            self.set_session_cookie(session.id)
        else:
            # Whether or not the session says is_dirty(): the store finds out by itself what has changed.
            self._check(session.id, session)
            self.save_or_rotate(session)

    def revoke_session_cookie(self):
        super().revoke_session_cookie()
        # Quixote's looks for the cookie under a name that its set_session_cookie does not return.
        get_request().cookies.pop(get_publisher().config.session_cookie_name, None)

    def expire_session(self):
        self.revoke_session_cookie()
        request = get_request()
        if request.session is not None:
            del self[request.session.id]
            request.session = None

    def get(self, session_id, default=None):
        return self.store.load_session(session_id, default)

    def __iter__(self):
        for _reference, session in self.store.iter_sessions():
            yield session

    def __setitem__(self, session_id, session):
        self._check(session_id, session)
        self.store.save_session(session)

    def _check(self, session_id, session):
        if not isinstance(session, self.session_class):
            raise TypeError(f"session not an instance of {self.session_class!r}: {session!r}")
        if session_id is None or session_id != session.id:
            raise ValueError("session ID not set, or another")

    # What Quixote's SessionManager has besides, for older applications.

    def __getitem__(self, session_id):
        session = self.get(session_id)
        if session is None:
            raise KeyError("no such session")
        return session

    def has_session(self, session_id):
        return session_id in self

    def keys(self):
        return list(self.store)

    def sorted_keys(self):
        return sorted(self.keys())

    def values(self):
        return list(self)

    def items(self):
        return list(self.store.iter_sessions())

    def _create_session(self):
        return self.new_session(None)

    def _set_cookie(self, value, **attrs):
        self.set_session_cookie(value, **attrs)

    def has_session_cookie(self, must_exist=False):
        session_id = get_cookie(get_publisher().config.session_cookie_name)
        if session_id is None:
            return False
        return self.has_session(session_id) if must_exist else True
