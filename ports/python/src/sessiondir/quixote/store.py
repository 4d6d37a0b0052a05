# mypy: ignore-errors
# (Quixote and Session3 have no types.)
"""The session store of a Quixote site: Session3's store protocol and Quixote's own, in one class."""

import math
import os
import weakref

from quixote.publish import get_publisher

from ..errors import Conflict, Gone, InvalidId, InvalidValue
from ..session import Session as Record
from ..store import DirectoryStore
from .changes import Changes, Loaded
from .parts import Parts, rebuild

# IDs of fewer characters carry too few random bits to be kept (SPEC.md, section 4.1).
LEGACY_BELOW = 22
ROTATE_ATTEMPTS = 20
TIME_MAX = 253402300799999


class DirectorySessionStore:
    """Keeps the sessions of a Quixote site in a sessiondir directory.

    Takes the place of Session3's class of the same name, and of the `session_store` of Quixote's
    `BaseSessionManager`. A session object comes back as an object of the session manager's `session_class`;
    give `session_class` here where there is no session manager, as in a maintenance script. All other
    options are those of `sessiondir.DirectoryStore`.
    """

    is_multiprocess_safe = True
    is_thread_safe = True

    def __init__(self, directory, create=False, session_class=None, **options):
        self.directory = os.path.abspath(directory)
        self.session_class = session_class
        self.store = DirectoryStore(directory, create=create, **options)
        self._loaded = _Beside()
        # What Quixote's manager deletes while a request runs, by request.
        self._deleted = weakref.WeakKeyDictionary()

    def __repr__(self):
        return f"<{type(self).__name__} at {id(self):x}: {self.directory}>"

    # What both managers call.

    def load_session(self, id, default=None):
        """The session with this ID, else `default`: also for None, and for what is no session ID."""
        if not isinstance(id, str) or id in self._deleted_now():
            return default
        try:
            record = self.store.load(id)
        except InvalidId:
            return default
        if record is None:
            return default
        return self._rebuild(id, record)

    def save_session(self, session):
        """Commits what has changed in the session since it was loaded.

        Raises InvalidValue, naming the attribute, if it holds something that cannot be stored. A session
        that was deleted or has expired since it was loaded stays away: that is what its user asked for.
        """
        if session.id is None:
            raise ValueError("a session without an ID cannot be saved")
        parts = Parts(session)
        base = self._loaded.get(session)
        if base is None or base.id != session.id:
            return self._insert(session, parts)
        self._check_times(base, parts)
        changes = Changes(base, parts)
        try:
            if changes:
                self.store.update(base.id, lambda record: self._apply(base, changes, record))
            else:
                self.store.touch(base.id)
        except Gone:
            return None
        base.renew(parts, changes.encoded)
        return None

    def delete_session(self, session):
        """Deletes a session, given as the object (Session3) or the ID (Quixote). One that is not there is
        no error. Within a request of Quixote's own manager it happens when the request succeeds."""
        session_id = getattr(session, "id", session)
        if session_id is None:
            return
        deleted = self._deleted.get(_request())
        if deleted is not None:
            deleted.add(session_id)
        else:
            self._delete(session_id)

    def has_session(self, id):
        """Whether there is such a session: True or False."""
        if not isinstance(id, str) or id in self._deleted_now():
            return False
        try:
            return bool(self.store.has(id))
        except InvalidId:
            return False

    # What a site's own code calls.

    def rotate_session(self, session):
        """Saves the session under a new ID, which it returns, and deletes the old one; None if it is gone.

        Against session fixation: to be called at a login. Form tokens and the CSRF token end with the old
        ID, and so does the limit of 30 days that the importer gives to a short one.
        """
        base = self._loaded.get(session)
        if base is None or base.id != session.id:
            self.save_session(session)
            return session.id
        parts = Parts(session)
        self._check_times(base, parts)
        changes = Changes(base, parts)
        for attempt in range(ROTATE_ATTEMPTS):
            record = self.store.load(base.id)
            try:
                if record is None:
                    return None
                self._apply(base, changes, record)
                if len(base.id) < LEGACY_BELOW:
                    record.expires = None
                session_id = self.store.rotate(record)
                break
            except Gone:
                return None
            except Conflict:
                if attempt == ROTATE_ATTEMPTS - 1:
                    raise
        session.id = session_id
        session._form_tokens = []
        if getattr(session, "_csrf_token", None) is not None:
            session._csrf_token = None
        self._loaded.set(session, Loaded(session_id, base.created, Parts(session)))
        return session_id

    def iter_sessions(self):
        """Yields (ID, session) for every session. In a store of naming `hashed` nobody knows the IDs: there
        it is a `sessiondir.Key`, which delete_session takes too, and the session's `id` is None. A session
        that cannot be read is left out, with a warning in the log."""
        for record in self.store.iter_sessions():
            yield record.key if record.id is None else record.id, self._rebuild(record.id, record)

    def __iter__(self):
        for record in self.store.iter_sessions():
            yield record.key if record.id is None else record.id

    def setup(self):
        """Makes the directory a store. One that is there stays as it is."""
        self.store.setup()

    def delete_old_sessions(self, minutes):
        """Deletes the sessions that were not used for more than so many minutes, and those that have
        expired. Returns (deleted, remaining). For a cron job, not for a request."""
        return self.store.delete_old_sessions(minutes)

    # Quixote's transactions. Its manager deletes a session in the middle of a request. A request that then
    # fails must not have logged its user out, so the deletion waits for the end.

    def transaction_start(self):
        request = _request()
        if request is not _NO_REQUEST:
            self._deleted[request] = set()

    def transaction_commit(self, session):
        for session_id in self._deleted.pop(_request(), ()):
            self._delete(session_id)

    def transaction_abort(self, session):
        self._deleted.pop(_request(), None)

    def _rebuild(self, session_id, record):
        session = rebuild(self._class(), session_id, record)
        self._loaded.set(session, Loaded(session_id, record.created, Parts(session)))
        return session

    def _class(self):
        if self.session_class is not None:
            return self.session_class
        manager = getattr(get_publisher(), "session_manager", None)
        found = getattr(manager, "session_class", None)
        if found is not None:
            return found
        try:
            from session3.Session import Session
        except ImportError:
            from quixote.session import Session
        return Session

    def _insert(self, session, parts):
        changes = Changes(None, parts)
        record = _new_record(parts)
        changes.apply(record)
        self.store.insert(session.id, record)
        self._deleted_now().discard(session.id)
        self._loaded.set(session, Loaded(session.id, record.created, parts))

    @staticmethod
    def _apply(base, changes, record):
        if record.created != base.created:
            # The one that was loaded is gone, and this is another with its ID.
            raise Gone("another session has taken the ID")
        changes.apply(record)

    @staticmethod
    def _check_times(base, parts):
        if parts.created != base.creation_time:
            raise InvalidValue("session._creation_time: cannot be changed after the session was stored.")

    def _delete(self, session_id):
        try:
            self.store.delete(session_id)
        except InvalidId:
            pass  # no session has such an ID

    def _deleted_now(self):
        return self._deleted.get(_request(), set())


def _new_record(parts):
    return Record(created=_millis(parts.created), accessed=_millis(parts.accessed))


def _millis(seconds):
    """As the importer takes times; None, which is the time of storing, for what is none."""
    if type(seconds) not in (int, float) or not 0 <= seconds <= TIME_MAX / 1000:
        return None
    return math.floor(seconds * 1000)


class _Beside:
    """Values kept beside objects, for as long as these live. By identity: a session may be unhashable, as
    DictSession is, or equal to another."""

    def __init__(self):
        self._entries = {}

    def get(self, thing):
        entry = self._entries.get(id(thing))
        return entry[1] if entry is not None and entry[0]() is thing else None

    def set(self, thing, value):
        key, entries = id(thing), self._entries

        def forget(reference):
            # The next object at the same address may have come first.
            entry = entries.get(key)
            if entry is not None and entry[0] is reference:
                del entries[key]

        try:
            entries[key] = (weakref.ref(thing, forget), value)
        except TypeError:
            raise TypeError(
                f"{type(thing).__name__}: a session class with __slots__ and no base class that can be "
                "referenced weakly needs '__weakref__' among its slots"
            ) from None


class _NoRequest:
    """Stands for the request where there is none: None cannot be a key of a WeakKeyDictionary."""


_NO_REQUEST = _NoRequest()


def _request():
    publisher = get_publisher()
    request = publisher.get_request() if publisher is not None else None
    return request if request is not None else _NO_REQUEST
