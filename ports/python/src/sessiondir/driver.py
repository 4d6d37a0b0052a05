"""The driver of this implementation for the conformance kit: its end of the protocol of CONFORMANCE.md."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import traceback
from typing import Any, Callable, Dict, List, Optional, Tuple

from . import DirectoryStore, Error, Key, Session, __version__, cbor, directory, names, record
from . import session as sessions
from .errors import Busy, Corrupt, Fault, InvalidId
from .names import Name, SessionRef
from .store import LOCK_TIMEOUT, system_clock

Json = Dict[str, Any]


class Skipped(Exception):
    """This implementation cannot do that."""


# Typed JSON (fixtures/README.md).


def typed(value: Any) -> Json:
    if value is None:
        return {"null": None}
    if isinstance(value, bool):
        return {"bool": value}
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, list):
        return {"array": [typed(element) for element in value]}
    return {"map": [[key, typed(element)] for key, element in value.items()]}


def untyped(value: Json) -> Any:
    ((kind, inner),) = value.items()
    if kind == "null":
        return None
    if kind in ("bool", "text"):
        return inner
    if kind == "int":
        return int(inner)
    if kind == "float":
        return float(inner)
    if kind == "bytes":
        return bytes.fromhex(inner["hex"]) * inner["times"] if isinstance(inner, dict) else bytes.fromhex(inner)
    if kind == "array":
        return [untyped(element) for element in inner]
    if kind == "map":
        return {key: untyped(element) for key, element in inner}
    raise ValueError(f"no typed JSON: {value}")


def shown(session: Session, naming: str) -> Json:
    assert session.key is not None
    out: Json = {"id": session.id} if naming == "plain" else {"key": session.key.hex}
    for key in ("rev", "created", "accessed", "expires", "idle"):
        number = getattr(session, key)
        if number is not None:
            out[key] = str(number)
    if session.user is not None:
        out["user"] = typed(session.user)
    for key in ("addr", "tokens", "csrf"):
        if getattr(session, key):
            out[key] = getattr(session, key)
    if len(session):
        out["data"] = [[key, typed(value)] for key, value in session.items()]
    if session.other:
        out["other"] = [[key, typed(cbor.decode(value, 1))] for key, value in session.other.items()]
    return out


def change(session: Session, changes: Json) -> None:
    for key, value in changes.get("set", ()):
        session[key] = untyped(value)
    for key in changes.get("remove", ()):
        session.pop(key, None)
    for key, number in changes.get("add", ()):
        session[key] = session.get(key, 0) + int(number)
    if "user" in changes:
        session.user = None if changes["user"] is None else untyped(changes["user"])
    for key in ("expires", "idle"):
        if key in changes:
            setattr(session, key, None if changes[key] is None else int(changes[key]))
    for key in ("csrf", "addr"):
        if key in changes:
            setattr(session, key, changes[key])
    if "tokens" in changes:
        session.tokens = list(changes["tokens"] or ())


class Driver:
    """Carries out requests; those that name a thread on that thread."""

    def __init__(self) -> None:
        self.stores: Dict[str, Tuple[DirectoryStore, str]] = {}
        self.kept: Dict[Tuple[str, str], Session] = {}
        self.threads: "Dict[str, queue.Queue[Json]]" = {}
        self.output = threading.Lock()
        self.now = threading.local()

    def clock(self) -> int:
        now: Optional[int] = getattr(self.now, "value", None)
        return system_clock() if now is None else now

    def run(self) -> int:
        for line in sys.stdin.buffer:
            try:
                request = json.loads(line)
            except ValueError as error:
                print(f"no JSON: {error}", file=sys.stderr, flush=True)
                continue
            if "thread" in request:
                self.thread(request["thread"]).put(request)
            else:
                self.say(request, self.answer(request))
                if request.get("op") == "stop":
                    return 0
        return 0

    def thread(self, name: str) -> "queue.Queue[Json]":
        if name not in self.threads:
            requests: "queue.Queue[Json]" = queue.Queue()
            self.threads[name] = requests
            threading.Thread(target=self.serve, args=(requests,), daemon=True).start()
        return self.threads[name]

    def serve(self, requests: "queue.Queue[Json]") -> None:
        while True:
            request = requests.get()
            if request.get("op") != "lock":
                self.say(request, self.answer(request))
                continue
            release: Optional[Json] = None
            try:
                store, name = self.store(request), self.reference(request)
                wait = request.get("wait_ms")
                with store.hold(name, None if wait is None else wait / 1000):
                    self.say(request, {"ok": {}})
                    release = requests.get()
                done: Json = {"ok": {}} if release.get("op") == "unlock" else {"errored": {"context": "a lock is held"}}
            except Exception as error:
                done = failure(error)
            self.say(release or request, done)

    def say(self, request: Json, answer: Json) -> None:
        line = json.dumps({"request": request.get("request"), **answer})
        with self.output:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def answer(self, request: Json) -> Json:
        self.now.value = int(request["now"]) if "now" in request else None
        try:
            perform: Optional[Callable[[Json], Json]] = getattr(self, "do_" + str(request.get("op")), None)
            if perform is None:
                raise Skipped(f"there is no {request.get('op')}")
            return {"ok": perform(request)}
        except Exception as error:
            return failure(error)

    # What a request is about.

    def store(self, request: Json) -> DirectoryStore:
        return self.stores[request.get("store", "")][0]

    @staticmethod
    def reference(request: Json) -> SessionRef:
        if "key" in request:
            return Key.from_hex(request["key"])
        session_id = request["id"]
        assert isinstance(session_id, str)
        return session_id

    def keep(self, request: Json, session: Session) -> None:
        if "as" in request:
            self.kept[request.get("store", ""), request["as"]] = session

    def taken(self, request: Json) -> Session:
        """The session as it was kept, apart from what is done with it now."""
        kept = self.kept[request.get("store", ""), request["as"]]
        copy = Session()
        copy.adopt(kept)
        copy.tokens = list(kept.tokens)
        return copy

    @staticmethod
    def given(request: Json) -> bytes:
        return bytes.fromhex(request["hex"]) if "hex" in request else request["text"].encode("utf-8", "surrogatepass")

    # The ops.

    def do_hello(self, request: Json) -> Json:
        return {
            "protocol": 1,
            "implementation": "sessiondir-python",
            "version": __version__,
            "language": "python",
            "classes": ["reader", "writer", "collector"],
            "features": [
                "name", "classify", "decode", "encode", "init", "list", "threads", "fork", "stores", "int64", "bytes",
                "negative-zero", "float", "empty-map",
            ],
            "lock": "process",
        }

    def do_stop(self, request: Json) -> Json:
        return {}

    def do_name(self, request: Json) -> Json:
        text = self.given(request)
        if not names.is_id(text):
            raise InvalidId("no session ID: it has 11 to 128 of the characters A-Z a-z 0-9 - _")
        key = Key.of(text.decode("ascii"))
        return {"d": key.hex, "shown": key.shown, "lock": f"{key.lock_file:02x}", "byte": str(key.lock_byte)}

    def do_classify(self, request: Json) -> Json:
        return {"class": names.classify(self.given(request), request["type"], request["naming"])}

    def do_decode(self, request: Json) -> Json:
        with open(request["path"], "rb") as file:
            data = file.read()
        try:
            envelope = record.read_envelope(data, 0, len(data))
            if envelope.end != len(data):
                raise Fault("REC-8", envelope.end)
            decoded = sessions.decode(data, envelope, None, None)
        except Fault as fault:
            raise Corrupt(str(fault), rule=fault.rule, offset=fault.offset) from None
        naming = "hashed" if decoded.id is None else "plain"
        return {"seq": str(envelope.seq), "session": shown(decoded, naming)}

    def do_encode(self, request: Json) -> Json:
        given = request["session"]
        naming = "plain" if "id" in given else "hashed"
        name = Name(given["id"] if naming == "plain" else Key.from_hex(given["key"]), naming)
        session = Session()
        session.id, session.key, session.rev = name.id, name.key, int(given["rev"])
        session.created, session.accessed = int(given["created"]), int(given["accessed"])
        change(session, {"set": given.get("data", ()), **given})
        encoded = sessions.encode(session, session.content(), name, naming, int(request["seq"]))
        return {"record": encoded.hex()}

    def do_init(self, request: Json) -> Json:
        directory.init(request["dir"], request["naming"], request["durability"], False, False, LOCK_TIMEOUT)
        return {}

    def do_open(self, request: Json) -> Json:
        self.do_close(request)
        wait = request.get("wait_ms")
        timeout = LOCK_TIMEOUT if wait is None else wait / 1000
        store = DirectoryStore(request["dir"], lock_timeout=timeout, clock=self.clock)
        self.stores[request.get("store", "")] = store, request["dir"]
        return {"naming": store.naming, "durability": store.durability, "writable": store.marker.writable}

    def do_close(self, request: Json) -> Json:
        opened = self.stores.pop(request.get("store", ""), None)
        if opened is not None:
            opened[0].close()
        return {}

    def do_load(self, request: Json) -> Json:
        store = self.store(request)
        loaded = store.load(self.reference(request))
        if loaded is None:
            return {"session": None}
        self.keep(request, loaded)
        return {"session": shown(loaded, store.naming)}

    def do_list(self, request: Json) -> Json:
        store, failed = self.store(request), []  # type: Tuple[DirectoryStore, List[Error]]
        sessions_ = [shown(session, store.naming) for session in store.iter_sessions(failed.append)]
        return {"sessions": sessions_, "failed": str(len(failed))}

    def do_create(self, request: Json) -> Json:
        session = Session()
        change(session, request["changes"])
        new = self.store(request).create(session)
        self.keep(request, session)
        return {"id": new}

    def do_save(self, request: Json) -> Json:
        store, session = self.store(request), self.taken(request)
        change(session, request["changes"])
        store.save(session)
        self.keep(request, session)
        return {"session": shown(session, store.naming)}

    def do_update(self, request: Json) -> Json:
        store = self.store(request)
        after = store.update(self.reference(request), lambda session: change(session, request["changes"]))
        return {"session": shown(after, store.naming)}

    def do_touch(self, request: Json) -> Json:
        return {"written": self.store(request).touch(self.reference(request))}

    def do_delete(self, request: Json) -> Json:
        return {"existed": self.store(request).delete(self.reference(request))}

    def do_rotate(self, request: Json) -> Json:
        session = self.taken(request)
        change(session, request["changes"])
        new = self.store(request).rotate(session)
        self.keep(request, session)
        return {"id": new}

    def do_sweep(self, request: Json) -> Json:
        swept = self.store(request).sweep(int(request["idle_ms"]) if "idle_ms" in request else None)
        return {"deleted": str(swept.deleted), "failed": str(swept.failed)}

    def do_worker(self, request: Json) -> Json:
        store, ids, times = self.store(request), request["ids"], request["times"]
        failures: List[BaseException] = []

        def increment(session: Session) -> None:
            session["n"] = session.get("n", 0) + 1

        def work() -> None:
            try:
                for number in range(times):
                    while True:
                        try:
                            store.update(ids[number % len(ids)], increment)
                            break
                        except Busy:
                            continue
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(request["threads"])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return {"done": str(times * len(threads))}

    def do_fork(self, request: Json) -> Json:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            # The answer goes through the pipe; nothing of the parent's is flushed or run at exit.
            try:
                os.write(writing, json.dumps(self.answer(request["then"])).encode("utf-8"))
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            answer = json.loads(pipe.read())
        os.waitpid(child, 0)
        return {"child": answer}


def failure(error: Exception) -> Json:
    if isinstance(error, Error):
        out: Json = {"class": error.class_, "message": str(error)}
        if error.rule is not None:
            out["rule"] = error.rule
        if error.offset is not None:
            out["offset"] = error.offset
        return {"error": out}
    if isinstance(error, Skipped):
        return {"skipped": {"reason": str(error)}}
    return {"errored": {"context": "".join(traceback.format_exception(type(error), error, error.__traceback__))}}


def main() -> int:
    """Answers requests until ``stop``, or the end of the input."""
    return Driver().run()


if __name__ == "__main__":
    sys.exit(main())
