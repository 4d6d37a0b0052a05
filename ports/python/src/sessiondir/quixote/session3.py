# mypy: ignore-errors
# (Quixote and Session3 have no types.)
"""Session3's session manager, with what in it drops sessions or asks too little mended."""

from quixote import get_request
from quixote.util import randbytes
from session3.SessionManager import SessionManager as _SessionManager

from .rotation import RotationMixin
from .store import DirectorySessionStore

__all__ = ["DirectorySessionStore", "SessionManager", "SessionManagerMixin"]


class SessionManagerMixin(RotationMixin):
    """For a site's own subclass of Session3's SessionManager: put it first among the bases.

    Session3 asks `if session`, which is false of a DictSession without items, so one with a user only was
    neither saved nor logged out. That cannot be mended in a store, which is never called.
    """

    def has_session(self, session_id):
        return self.store.has_session(session_id)

    def _make_session_id(self):
        session_id = None
        while session_id is None or self.has_session(session_id):
            session_id = randbytes(16)  # Session3's have 64 bits, too few to be safe against guessing
        return session_id

    def expire_session(self):
        self.revoke_session_cookie()
        request = get_request()
        if request.session is not None:
            self.expired_sessions[request] = request.session
            request.session = None

    def finish_successful_request(self):
        request = get_request()
        session = request.session
        try:
            if session is not None:
                had_id = session.id is not None
                if self.maintain_session(session):
                    if had_id:
                        self.save_or_rotate(session)
                    else:
                        self.store.save_session(session)
            # Also where the page has put another session in the place of the expired one.
            expired = self.expired_sessions.get(request)
            if expired is not None and expired.id is not None:
                self.store.delete_session(expired)
        finally:
            self.clear_session(request)


class SessionManager(SessionManagerMixin, _SessionManager):
    """Session3's SessionManager with the mixin."""
