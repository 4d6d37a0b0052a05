"""Workers of a storm in Python: random operations, each noted before and after it, until they are killed.

`storm_worker.py DIR NOTES` reads "start SERIAL SLOT SEED" and "wait PID" on standard input, and answers with a number: the
process that it has forked, or the signal that has ended one. The notes are those of src/storm/journal.rs, and the
operations those of src/storm/worker.rs.
"""

import os
import random
import signal
import sys
import threading
import time

from sessiondir import DirectoryStore, Error, Gone, Session

THREADS = 2
SESSIONS = 20
CREATED = 1_735_689_600_000
MADE = CREATED - 157_766_400_000


def millis(now):
    return CREATED + now // 1_000_000


def open_store(directory):
    return DirectoryStore(directory, lock_timeout=60, resolution=0, clock=lambda: millis(time.monotonic_ns()))


class Worker:
    def __init__(self, store, path, number, first, seed):
        self.store = store
        self.notes = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.counter = "w%d" % number
        self.next = first
        self.chance = random.Random(seed)
        self.own = []
        self.held = None

    def line(self, letter, text):
        now = time.monotonic_ns()
        line = b"%s %d %s\n" % (letter, now, text.encode("ascii"))
        if os.write(self.notes, line) != len(line):
            raise OSError("a note was cut off")
        return now

    def intent(self, text):
        return self.line(b"I", text)

    def answer(self, text):
        self.line(b"A", text)

    def seen(self, *sessions):
        words = ["seen"]
        for session in sessions:
            counts = sum(value for key, value in session.items() if key[0] == "w")
            words.append("%s:%d:%d:%d:%d:%d" % (session.id, session["g"], session.rev, session["n"], counts,
                                                session.accessed))
        self.answer(" ".join(words))

    def failed(self, session_id, error):
        self.answer("error " + error.class_)
        if isinstance(error, Gone):
            self.missed(session_id)

    def missed(self, session_id):
        if session_id in self.own:
            self.own.remove(session_id)
        elif self.chance.random() < 0.5:
            self.insert(session_id)

    def any(self):
        if self.own and self.chance.random() < 0.2:
            return self.chance.choice(self.own)
        which = self.chance.randrange(50)
        if which == 0:
            number = SESSIONS - 1 - self.chance.randrange(4)
        elif which <= 25:
            number = self.chance.randrange(4)
        else:
            number = 4 + self.chance.randrange(SESSIONS - 8)
        return "storm%02d-known-to-everybody" % number

    def step(self):
        session_id = self.any()
        which = self.chance.randrange(100)
        if which <= 27:
            self.load(session_id)
        elif which <= 44:
            self.update("update", session_id)
        elif which <= 54:
            session = self.load(session_id)
            if session is not None:
                self.save(session)
        elif which <= 59:
            if self.held is None:
                self.held = self.load(session_id)
            else:
                held, self.held = self.held, None
                self.save(held)
        elif which <= 71:
            self.touch(session_id)
        elif which <= 77:
            large = self.chance.random() < 0.125
            self.update("grow", session_id, 150_000 if large else 3000 + self.chance.randrange(20000))
        elif which <= 81:
            self.update("shrink", session_id, 0)
        elif which <= 86:
            self.delete(session_id)
            self.insert(session_id)
        elif which <= 89:
            session = self.load(session_id)
            if session is not None:
                self.rotate(session)
        elif which <= 92:
            self.create()
        elif which <= 94 and self.own:
            self.delete(self.own.pop(self.chance.randrange(len(self.own))))
        elif which <= 95:
            self.sweep(10 + self.chance.randrange(400))
        else:
            self.list()

    def load(self, session_id):
        self.intent("load " + session_id)
        try:
            session = self.store.load(session_id)
        except Error as error:
            self.failed(session_id, error)
            return None
        if session is None:
            self.answer("absent")
            self.missed(session_id)
            return None
        self.seen(session)
        return session

    def count(self, session, size):
        for key in ("n", self.counter):
            session[key] = session.get(key, 0) + 1
        if size == 0:
            session.pop("pad", None)
        elif size is not None:
            session["pad"] = "-" * size

    def update(self, word, session_id, size=None):
        self.intent("%s %s" % (word, session_id))
        try:
            session = self.store.update(session_id, lambda session: self.count(session, size))
        except Error as error:
            self.failed(session_id, error)
        else:
            self.seen(session)

    def save(self, session):
        base = "%s %d %d" % (session.id, session["g"], session.rev)
        self.count(session, None)
        self.intent("save " + base)
        try:
            self.store.save(session)
        except Error as error:
            self.failed(session.id, error)
        else:
            self.seen(session)

    def touch(self, session_id):
        self.intent("touch " + session_id)
        try:
            wrote = self.store.touch(session_id)
        except Error as error:
            self.failed(session_id, error)
        else:
            self.answer("yes" if wrote else "no")

    def generation(self):
        self.next += 1
        return self.next

    def fresh(self, generation, begin):
        return Session({"g": generation, "n": 0}, created=MADE + generation, accessed=millis(begin))

    def insert(self, session_id):
        generation = self.generation()
        session = self.fresh(generation, self.intent("insert %s %d" % (session_id, generation)))
        try:
            self.store.insert(session_id, session)
        except Error as error:
            self.answer("error " + error.class_)
        else:
            self.seen(session)

    def create(self):
        generation = self.generation()
        session = self.fresh(generation, self.intent("create - %d" % generation))
        try:
            self.own.append(self.store.create(session))
        except Error as error:
            self.answer("error " + error.class_)
        else:
            self.seen(session)

    def rotate(self, session):
        old = session.id
        base = "%s %d %d" % (old, session["g"], session.rev)
        generation = self.generation()
        session.clear()
        session["g"], session["n"] = generation, 0
        self.intent("rotate %s %d" % (base, generation))
        try:
            new = self.store.rotate(session)
        except Error as error:
            self.failed(old, error)
            return
        self.seen(session)
        if old in self.own:
            self.own.remove(old)
        self.own.append(new)

    def delete(self, session_id):
        self.intent("delete " + session_id)
        try:
            was_there = self.store.delete(session_id)
        except Error as error:
            self.answer("error " + error.class_)
        else:
            self.answer("yes" if was_there else "no")

    def sweep(self, idle):
        self.intent("sweep - %d" % idle)
        try:
            done = self.store.sweep(idle / 1000)
        except Error as error:
            self.answer("error " + error.class_)
        else:
            self.answer("swept %d %d %d" % (done.deleted, done.failed + done.other_failed, done.temps))

    def list(self):
        self.intent("list -")
        failed = []
        sessions = list(self.store.iter_sessions(failed.append))
        if failed:
            self.answer("error " + failed[0].class_)
        else:
            self.seen(*sessions)


def work(store, directory, notes, serial, slot, seed):
    # A store may be opened before a fork, or after it.
    if seed % 2:
        store = open_store(directory)

    def run(thread):
        try:
            path = os.path.join(notes, "%d.%d" % (serial, thread))
            worker = Worker(store, path, slot * THREADS + thread, serial << 20 | thread << 16, seed * 2 + thread)
            while True:
                worker.step()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            # Whoever waits for it is to see that it was not killed.
            os._exit(1)

    for thread in range(THREADS):
        threading.Thread(target=run, args=(thread,)).start()
    while True:
        signal.pause()


def main():
    directory, notes = sys.argv[1:]
    store = open_store(directory)
    children = set()
    try:
        for line in sys.stdin:
            word, *numbers = line.split()
            numbers = [int(number) for number in numbers]
            if word == "start":
                child = os.fork()
                if child == 0:
                    try:
                        work(store, directory, notes, *numbers)
                    finally:
                        sys.excepthook(*sys.exc_info())
                        os._exit(1)
                children.add(child)
                print(child, flush=True)
            else:
                _, status = os.waitpid(numbers[0], 0)
                children.discard(numbers[0])
                print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else -1, flush=True)
    finally:
        # Whoever asked is gone, maybe in the middle of an answer.
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


main()
