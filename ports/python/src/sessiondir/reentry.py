"""Calls into a store from within a function that a store has called are refused (SPEC section 9.3, `reentrant`)."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import Iterator

from .errors import Reentrant


class _InCallback(threading.local):
    """In which process this thread is within such a function; 0 where it is in none."""

    pid = 0


_CALLBACK = _InCallback()


@contextmanager
def calling_back() -> Iterator[None]:
    """Within it `guard` raises; not in a child of fork, which holds no lock (LOCK-12)."""
    before, _CALLBACK.pid = _CALLBACK.pid, os.getpid()
    try:
        yield
    finally:
        _CALLBACK.pid = before


def guard() -> None:
    """Raises Reentrant."""
    if _CALLBACK.pid and _CALLBACK.pid == os.getpid():
        raise Reentrant("a call into a store from within a function that a store has called")
