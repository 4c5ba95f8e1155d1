"""One holder at a time of a name in a remote storage, for stores that know nothing but put, get, list and delete.

A process that wants the name writes a claim, then lists all claims: it holds the name if its own is the only one, and
otherwise removes it and waits. Of two that claim at once, the one that lists second sees the other's claim, since
object stores list what was written: at most one holds. A holder renews its claim. A claim that was not renewed for
`LEASE_SECONDS` by the watching process's own clock belongs to a dead process and is removed; one of a dead process of
this machine is removed at once. That clock does not count a pause of the machine, in which no holder renews its claim.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import psutil

from palenka_tune.clocks import AwakeClock
from palenka_tune.storage.remote import Remote, StorageError

logger = logging.getLogger(__name__)
LEASE_SECONDS = 60.0
SAY_SECONDS = 60.0  # between two lines on the same wait
RENEWALS = 4  # in the time of a lease
CLAIMS = ".claims"


class HeldError(StorageError):
    """Another process holds the name; `holder` says which."""

    def __init__(self, name: str, holder: str) -> None:
        super().__init__(f"{name} is held by {holder}; wait for it")
        self.holder = holder


@contextlib.contextmanager
def held(
    remote: Remote,
    name: str,
    *,
    wait: bool = True,
    lease_seconds: float = LEASE_SECONDS,
    waiting: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold `name` in the storage; while another process has it, `waiting(holder)` is called every `SAY_SECONDS` (None
    logs it). Unless `wait`, a living holder raises `HeldError`, after the time in which a dead one is found out."""
    folder = f"{CLAIMS}/{name}"
    key = f"{folder}/{uuid.uuid4().hex}"

    def say(holder: str) -> None:
        logger.info(
            f"waiting for {holder}, which holds {remote.url}/{folder}; if it is dead, that is found out in "
            f"{lease_seconds:g} s"
        )

    _claim(remote, folder, key, wait, lease_seconds, waiting or say)
    over = threading.Event()

    def renew() -> None:
        while not over.wait(lease_seconds / RENEWALS):
            with contextlib.suppress(StorageError):  # away for now: tried again before another process takes over
                remote.write(key, _content(), patience=0.0)

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with contextlib.suppress(StorageError):  # it will be found dead
            remote.delete(key, patience=10.0)


def is_held(remote: Remote, name: str) -> bool:
    """Whether a process holds `name`, judged without a claim of one's own: by the age of the others."""
    times = [changed for _, changed in remote.keys(f"{CLAIMS}/{name}").values()]
    return bool(times) and time.time() - max(times) / 1e9 < 2 * LEASE_SECONDS


def _content() -> bytes:
    return json.dumps({"host": _here(), "pid": os.getpid(), "at": time.time_ns()}).encode()


@lru_cache(maxsize=1)
def _here() -> str:
    """This machine, and the container of it whose process ids we see."""
    try:
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _claim(
    remote: Remote, folder: str, key: str, wait: bool, lease_seconds: float, waiting: Callable[[str], None]
) -> None:
    """Return once the claim `key` is the only one in `folder`."""
    seen: dict[str, tuple[bytes | None, float]] = {}
    told, clock = float("-inf"), AwakeClock(most=lease_seconds / RENEWALS)
    while True:
        remote.write(key, _content())
        others = [other for other in remote.keys(folder) if other != key]
        if not others:
            return
        remote.delete(key)
        now, holder, alive, dead = clock.now(), "another process", False, 0
        for other in others:
            content = remote.read(other)
            first, since = seen.setdefault(other, (content, now))
            if content is None:
                continue
            claim = _parse(content)
            ended_here = claim is not None and claim["host"] == _here() and not psutil.pid_exists(claim["pid"])
            if ended_here or (content == first and now - since > lease_seconds):
                remote.delete(other)
                dead += 1
                continue
            if content != first:
                seen[other], alive = (content, now), True
            if claim is not None:
                holder = f"process {claim['pid']} on {claim['host'].partition(' ')[0]}"
        if dead == len(others):
            continue  # nobody is waited for
        if now - told > SAY_SECONDS:
            told = now
            waiting(holder)
        if alive and not wait:
            raise HeldError(folder.removeprefix(f"{CLAIMS}/"), holder)
        time.sleep(random.uniform(0.5, 1.5) * lease_seconds / 30)


def _parse(content: bytes) -> dict[str, Any] | None:
    """A claim; None if it is damaged."""
    try:
        record = json.loads(content)
        return {"host": str(record["host"]), "pid": int(record["pid"])}
    except (ValueError, KeyError, TypeError):
        return None
