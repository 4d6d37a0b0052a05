# mypy: ignore-errors
# (Quixote and Session3 have no types.)
"""A new session ID for a browser that has one, for both session managers."""

import weakref

from quixote import get_publisher, get_request, get_response


class RotationMixin:
    """Needs `self.store` to be a `sessiondir.quixote.DirectorySessionStore`."""

    def rotate_session(self):
        """Gives the current session a new ID when the request succeeds. To be called when somebody logs in:
        whoever put the old ID into the browser then does not know the new one.

        A session that has no ID yet needs none: it gets its first one then.
        """
        self._to_rotate().add(get_request())

    def save_or_rotate(self, session):
        """Saves a stored session, under a new ID if `rotate_session` was called."""
        if get_request() not in self._to_rotate():
            self.store.save_session(session)
            return
        before = session.id
        if self.store.rotate_session(session) not in (None, before):
            self.set_session_cookie(session.id)

    def set_session_cookie(self, session_id, **attrs):
        # A response keeps a cookie's attributes when the cookie is set again. After expire_session that is
        # max-age=0, with which the browser would drop the ID of a session that follows.
        get_response().cookies.pop(get_publisher().config.session_cookie_name, None)
        return super().set_session_cookie(session_id, **attrs)

    def _to_rotate(self):
        # Not in __init__: a site's subclass may not call it, and Quixote provides for that.
        try:
            return self.__dict__["_rotating"]
        except KeyError:
            return self.__dict__.setdefault("_rotating", weakref.WeakSet())
