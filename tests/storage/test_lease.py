"""At most one holder of a name at a time, whatever dies."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import pytest

from palenka_tune import clocks
from palenka_tune.storage import lease
from palenka_tune.storage.remote import Remote

SHORT = 1.0  # for a dead holder, whose end is waited for
LONG = 5.0  # for a living one: on a busy machine a thread may not renew its claim for a second


def test_many_that_want_it_have_it_one_after_another(url):
    remote, inside, most, done = Remote.parse(url), [], [], []

    def work(number: int) -> None:
        with lease.held(remote, "cache", lease_seconds=LONG):
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.05)
            inside.remove(number)
        done.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert sorted(done) == [0, 1, 2, 3]
    assert max(most) == 1
    assert remote.keys(lease.CLAIMS) == {}


def test_a_living_holder_is_named(url):
    remote = Remote.parse(url)
    with (
        lease.held(remote, "run", lease_seconds=LONG),
        pytest.raises(lease.HeldError, match="process"),
        lease.held(remote, "run", wait=False, lease_seconds=LONG),
    ):
        pass


def test_a_dead_holder_of_another_machine_is_found_out(url):
    remote = Remote.parse(url)
    remote.write(f"{lease.CLAIMS}/run/x", json.dumps({"host": "gone", "pid": 1, "at": 0}).encode())
    told = []
    with lease.held(remote, "run", wait=False, lease_seconds=SHORT, waiting=told.append):
        assert [key for key in remote.keys(lease.CLAIMS) if key.endswith("/x")] == []
    assert told == ["process 1 on gone"]


def test_a_claim_that_was_copied_is_not_waited_for_in_silence(url, logged):
    remote = Remote.parse(url)
    remote.write(f"{lease.CLAIMS}/run/x", json.dumps({"host": "gone", "pid": 1, "at": 0}).encode())
    with lease.held(remote, "run", lease_seconds=SHORT):
        pass
    claim = f"{remote.url}/{lease.CLAIMS}/run"
    assert logged == [f"waiting for process 1 on gone, which holds {claim}; if it is dead, that is found out in 1 s"]


def test_a_dead_process_of_this_machine_holds_nothing(url):
    remote = Remote.parse(url)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    record = {"host": lease._here(), "pid": ended.pid, "at": 0}
    remote.write(f"{lease.CLAIMS}/run/x", json.dumps(record).encode())
    started = time.monotonic()
    with lease.held(remote, "run", wait=False, lease_seconds=1000.0):
        assert time.monotonic() - started < 500  # not the lease's time


def test_a_pause_of_the_machine_kills_no_holder(url, monkeypatch):
    """Each second the clock of the one that waits is an hour further: the other renews its claim all the same."""
    remote, real = Remote.parse(url), time.monotonic
    with lease.held(remote, "run", lease_seconds=LONG):
        monkeypatch.setattr(clocks.time, "monotonic", lambda: 3600 * real())
        with (
            pytest.raises(lease.HeldError, match="process"),
            lease.held(remote, "run", wait=False, lease_seconds=LONG),
        ):
            pass


def test_other_names_do_not_wait(url):
    remote = Remote.parse(url)
    with lease.held(remote, "a", lease_seconds=LONG), lease.held(remote, "b", wait=False, lease_seconds=LONG):
        assert len(remote.keys(lease.CLAIMS)) == 2
