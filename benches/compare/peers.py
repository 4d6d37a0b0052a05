"""Session stores written in Python, for the comparison: peers.py NAME DIRECTORY SIZE POOL.

Reads lines `OP COUNT`, and answers each with nanoseconds an operation, or `-`.
"""

import os
import secrets
import sys
from time import perf_counter_ns as clock, time

name, directory, size, pool = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
os.makedirs(directory, exist_ok=True)


def attributes():
    return {f"k{n}": "x" * (size // 10) for n in range(10)}


class Session3:
    def __init__(self):
        from session3.Session import Session
        from session3.store.DirectorySessionStore import DirectorySessionStore

        self.store, self.session = DirectorySessionStore(directory), Session

    def new(self, id):
        # Its constructor asks Quixote for the request, which there is none of here.
        session = self.session.__new__(self.session)
        now = time()
        session.__dict__.update(id=id, user="ada", _remote_address="192.0.2.7", _creation_time=now)
        session.__dict__.update(_access_time=now, _form_tokens=[])
        session.__dict__.update(attributes())
        return session

    def load(self, id):
        return self.store.load_session(id)

    def change(self, session, n):
        session.n = n

    def save(self, session):
        self.store.save_session(session)

    create = save

    def delete(self, session):
        self.store.delete_session(session)


class Django:
    def __init__(self):
        from django.conf import settings

        settings.configure(SESSION_FILE_PATH=directory, SECRET_KEY="x", USE_TZ=True, CACHES={})
        from django.contrib.sessions.backends.file import SessionStore

        self.store = SessionStore

    def new(self, id):
        session = self.store(id)
        session._session_cache = {"user": "ada", **attributes()}
        return session

    def load(self, id):
        session = self.store(id)
        session["user"]
        return session

    def change(self, session, n):
        session["n"] = n

    def save(self, session):
        session.save()

    def create(self, session):
        session.save(must_create=True)

    def delete(self, session):
        session.delete(session.session_key)


class Cachelib:
    def __init__(self):
        from cachelib.file import FileSystemCache

        self.store = FileSystemCache(directory, threshold=0)

    def new(self, id):
        return [id, {"user": "ada", **attributes()}]

    def load(self, id):
        return [id, self.store.get(id)]

    def change(self, session, n):
        session[1]["n"] = n

    def save(self, session):
        self.store.set(*session)

    create = save

    def delete(self, session):
        self.store.delete(session[0])


peer = {"session3": Session3, "django": Django, "cachelib": Cachelib}[name]()
ids = [secrets.token_hex(16) for _ in range(pool)]
for id in ids:
    peer.create(peer.new(id))
made, turn = [], 0


def one(op):
    global turn
    turn += 1
    id = ids[turn % pool]
    if op == "load":
        start = clock()
        session = peer.load(id)
        end = clock()
        assert session
        return end - start
    if op in ("save", "touch"):
        session = peer.load(id)
        peer.change(session, turn)
        start = clock()
        peer.save(session)
        return clock() - start
    if op == "update":
        start = clock()
        session = peer.load(id)
        peer.change(session, turn)
        peer.save(session)
        return clock() - start
    if op == "create":
        session = peer.new(secrets.token_hex(16))
        start = clock()
        peer.create(session)
        end = clock()
        made.append(session)
        return end - start
    session = made.pop()
    start = clock()
    peer.delete(session)
    return clock() - start


for line in sys.stdin:
    op, count = line.split()
    if op == "save-other":
        print("-", flush=True)
    else:
        print(sum(one(op) for _ in range(int(count))) / int(count), flush=True)
