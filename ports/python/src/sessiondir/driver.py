"""A driver for the conformance kit: CONFORMANCE.md, protocol 1.

``sessiondir-driver`` or ``python -m sessiondir.driver`` reads requests on standard input and answers on standard
output. It is a reader, a writer and a collector.
"""

from __future__ import annotations

import copy
import json
import os
import queue
import sys
import threading
import traceback
import warnings
from typing import Any, Callable, Dict, List, Optional, Tuple

from . import __version__, typed
from .body import judge
from .cbor import Fault
from .errors import Busy, Corrupt, Error, InvalidId, NotAStore
from .locks import Held
from .making import make_store
from .names import HASHED, Key, check_id, classify
from .record import build, finish, parse_head
from .session import Session, encode_body
from .store import DirectoryStore, system_clock

Object = Dict[str, Any]

CLASSES = ["reader", "writer", "collector"]
FEATURES = ["name", "classify", "decode", "encode", "init", "list", "threads", "fork", "stores", "int64", "bytes",
            "negative-zero", "float", "empty-map"]


class _Clock(threading.local):
    now: Optional[int] = None

    def __call__(self) -> int:
        return system_clock() if self.now is None else self.now


class Skipped(Exception):
    """What this implementation cannot do."""


def _decode_name(request: Object) -> str:
    if "hex" in request:
        return os.fsdecode(bytes.fromhex(request["hex"]))
    return str(request["text"])


class Driver:
    def __init__(self, answer: Callable[[Object], None]) -> None:
        self.answer = answer
        self.clock = _Clock()
        self.stores: Dict[str, DirectoryStore] = {}
        self.sessions: Dict[Tuple[str, str], Session] = {}
        self.held: Dict[Tuple[str, str, str], List[Held]] = {}
        self.threads: Dict[str, "queue.Queue[Optional[Object]]"] = {}

    # --- requests and answers

    def run(self, lines: Any) -> None:
        for line in lines:
            if not line.strip():
                continue
            request: Object = json.loads(line)
            thread = request.get("thread")
            if request.get("op") == "stop":
                self.answer({"request": request["request"], "ok": {}})
                break
            if thread is None:
                self.answer(self.respond(request))
            else:
                self._of_thread(thread).put(request)

    def _of_thread(self, name: str) -> "queue.Queue[Optional[Object]]":
        if name not in self.threads:
            requests: "queue.Queue[Optional[Object]]" = queue.Queue()

            def work() -> None:
                while True:
                    request = requests.get()
                    if request is None:
                        return
                    self.answer(self.respond(request))

            self.threads[name] = requests
            threading.Thread(target=work, name=name, daemon=True).start()
        return self.threads[name]

    def respond(self, request: Object) -> Object:
        answer: Object = {}
        if "request" in request:
            answer["request"] = request["request"]
        try:
            answer["ok"] = self.carry_out(request)
        except Error as error:
            told: Object = {"class": error.class_, "message": error.message}
            if error.rule is not None:
                told["rule"] = error.rule
            if error.offset is not None:
                told["offset"] = error.offset
            answer["error"] = told
        except Skipped as skipped:
            answer["skipped"] = {"reason": str(skipped)}
        except Exception:
            answer["errored"] = {"context": traceback.format_exc()}
        return answer

    def carry_out(self, request: Object) -> Object:
        method = getattr(self, "op_" + str(request.get("op")).replace("-", "_"), None)
        if method is None:
            raise Skipped("this implementation has no %s" % request.get("op"))
        self.clock.now = int(request["now"]) if request.get("now") is not None else None
        result: Object = method(request)
        return result

    def store(self, request: Object) -> DirectoryStore:
        return self.stores[request.get("store", "")]

    def _keep(self, request: Object, session: Session) -> None:
        if request.get("as") is not None:
            self.sessions[request.get("store", ""), request["as"]] = session

    def _kept(self, request: Object) -> Session:
        """A copy: the one that is kept stays as it was loaded."""
        return copy.deepcopy(self.sessions[request.get("store", ""), request["as"]])

    # --- without a store

    def op_hello(self, request: Object) -> Object:
        return {"protocol": 1, "implementation": "sessiondir-python", "version": __version__, "language": "python",
                "classes": CLASSES, "features": FEATURES, "lock": "process"}

    def op_name(self, request: Object) -> Object:
        key = Key.of(check_id(_decode_name(request)))
        return {"d": key.hex(), "shown": key.shown, "lock": key.place.file_name, "byte": str(key.place.byte)}

    def op_classify(self, request: Object) -> Object:
        return {"class": classify(_decode_name(request), request["type"], request["naming"])}

    def op_decode(self, request: Object) -> Object:
        with open(request["path"], "rb") as file:
            data = file.read()
        failure: Optional[Fault] = None
        try:
            envelope = finish(data, parse_head(data, 0, len(data)), len(data))
            if envelope.end != len(data):
                failure = Fault("REC-8", envelope.end)
        except Fault as fault:
            failure = fault
        if failure is not None:
            raise Corrupt("this is no record", failure.rule, failure.offset)
        body = judge(data, envelope)
        return {"seq": str(envelope.seq), "session": typed.of_session(Session._from(body, None))}

    def op_encode(self, request: Object) -> Object:
        session, naming, name = typed.to_session(request["session"])
        body = encode_body(session._content(), naming, name, int(request["session"]["rev"]),
                           int(request["session"]["created"]), int(request["session"]["accessed"]))
        return {"record": build(int(request["seq"]), body).hex()}

    def op_init(self, request: Object) -> Object:
        if not make_store(request["dir"], request["naming"], request["durability"]):
            raise NotAStore("there is a store already", "DIR-3", 0)
        return {}

    # --- with a store

    def op_open(self, request: Object) -> Object:
        self.op_close(request)
        wait = request.get("wait_ms")
        timeout = 5.0 if wait is None else int(wait) / 1000
        store = DirectoryStore(request["dir"], clock=self.clock, lock_timeout=timeout)
        self.stores[request.get("store", "")] = store
        return {"naming": store.naming, "durability": store.durability, "writable": store.writable}

    def op_close(self, request: Object) -> Object:
        store = self.stores.pop(request.get("store", ""), None)
        if store is not None:
            store.close()
        return {}

    def op_load(self, request: Object) -> Object:
        session = self.store(request).load(Key(request["key"]) if "key" in request else request["id"])
        if session is None:
            return {"session": None}
        self._keep(request, session)
        return {"session": self._told(request, session)}

    def _told(self, request: Object, session: Session) -> Object:
        return typed.of_session(session, self.store(request).naming == HASHED)

    def op_list(self, request: Object) -> Object:
        failed: List[Error] = []
        sessions = [self._told(request, session) for session in self.store(request).iter_sessions(failed.append)]
        return {"sessions": sessions, "failed": str(len(failed))}

    def op_create(self, request: Object) -> Object:
        session = Session()
        typed.change(session, request.get("changes") or {})
        session_id = self.store(request).create(session)
        self._keep(request, session)
        return {"id": session_id}

    def op_save(self, request: Object) -> Object:
        session = self._kept(request)
        typed.change(session, request.get("changes") or {})
        self.store(request).save(session)
        self._keep(request, session)
        return {"session": self._told(request, session)}

    def op_update(self, request: Object) -> Object:
        changes = request.get("changes") or {}
        session = self.store(request).update(request["id"], lambda session: typed.change(session, changes))
        return {"session": self._told(request, session)}

    def op_touch(self, request: Object) -> Object:
        return {"written": self.store(request).touch(request["id"])}

    def op_delete(self, request: Object) -> Object:
        return {"existed": self.store(request).delete(request["id"])}

    def op_rotate(self, request: Object) -> Object:
        session = self._kept(request)
        typed.change(session, request.get("changes") or {})
        session_id = self.store(request).rotate(session)
        self._keep(request, session)
        return {"id": session_id}

    def op_sweep(self, request: Object) -> Object:
        idle = request.get("idle_ms")
        swept = self.store(request).sweep(None if idle is None else int(idle) / 1000)
        return {"deleted": str(swept.deleted), "failed": str(swept.failed + swept.other_failed)}

    def op_lock(self, request: Object) -> Object:
        wait = request.get("wait_ms")
        held = self.store(request).hold(request["id"], None if wait is None else int(wait) / 1000)
        self.held.setdefault(self._lock_name(request), []).append(held)
        return {}

    def op_unlock(self, request: Object) -> Object:
        taken = self.held.get(self._lock_name(request))
        if not taken:
            raise InvalidId("no lock of that session is held")
        taken.pop().release()
        return {}

    @staticmethod
    def _lock_name(request: Object) -> Tuple[str, str, str]:
        return request.get("store", ""), request.get("thread") or "", request["id"]

    def op_worker(self, request: Object) -> Object:
        store, ids, times = self.store(request), request["ids"], int(request["times"])
        now = self.clock.now
        done: List[int] = []
        failures: List[BaseException] = []

        def work(start: int) -> None:
            self.clock.now = now
            made = 0
            try:
                while made < times:
                    try:
                        store.update(ids[(start + made) % len(ids)], _increment)
                    except Busy:
                        continue
                    made += 1
            except BaseException as error:
                failures.append(error)
            finally:
                done.append(made)

        workers = [threading.Thread(target=work, args=(0,)) for _ in range(int(request.get("threads", 1)))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if failures:
            raise failures[0]
        return {"done": str(sum(done))}

    def op_fork(self, request: Object) -> Object:
        readable, writable = os.pipe()
        with warnings.catch_warnings():
            # Python 3.12 warns of a fork beside threads: that is what is tested here.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                os.close(readable)
                with open(writable, "wb") as out:
                    out.write(json.dumps(self.respond(request["then"])).encode("ascii"))
            finally:
                os._exit(0)
        os.close(writable)
        with open(readable, "rb") as answer:
            text = answer.read()
        os.waitpid(child, 0)
        return {"child": json.loads(text)}


def _increment(session: Session) -> None:
    typed.change(session, {"add": [["n", "1"]]})


def main() -> None:
    """Reads requests until `stop` or the end of the input."""
    lock = threading.Lock()
    out = sys.stdout.buffer

    def answer(value: Object) -> None:
        line = json.dumps(value).encode("ascii") + b"\n"
        with lock:
            out.write(line)
            out.flush()

    Driver(answer).run(sys.stdin.buffer)
    sys.stdout.flush()
    # Threads may hold locks or wait for them: the end of the process frees all of them.
    os._exit(0)


if __name__ == "__main__":
    main()
