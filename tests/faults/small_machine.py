"""A container that grants less than its machine has: `python -m tests.faults.small_machine` (needs the right to make
cgroups).

A search that may use one core of a machine with more, and one whose memory holds fewer trials than there are cores,
must run as many at a time as they may, and come to the result of an undisturbed search without a process being killed.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.faults.command import run as run_command
from tests.faults.searches import Place, outcome, undisturbed

CGROUPS = Path("/sys/fs/cgroup")
PERIOD = 100_000  # microseconds, the default
MEMORY = 2 << 30  # bytes: two trials beside Ray and the search itself take more
AT_A_TIME = re.compile(r"(\d+) at a time")


@contextlib.contextmanager
def limited(name: str, *, cores: int | None = None, memory: int | None = None) -> Iterator[list[str]]:
    """The beginning of a command that runs its rest within these limits; raises `PermissionError` where nobody may."""
    second = (CGROUPS / "cgroup.controllers").exists()
    groups: dict[Path, dict[str, str]] = {}
    if cores is not None:
        group = CGROUPS / name if second else CGROUPS / "cpu" / name
        quota, period = cores * PERIOD, PERIOD
        limits = {"cpu.max": f"{quota} {period}"} if second else {"cpu.cfs_quota_us": str(quota)}
        groups.setdefault(group, {}).update(limits)
    if memory is not None:
        group = CGROUPS / name if second else CGROUPS / "memory" / name
        groups.setdefault(group, {})["memory.max" if second else "memory.limit_in_bytes"] = str(memory)
    try:
        for group, settings in groups.items():
            group.mkdir()
            for file, value in settings.items():
                (group / file).write_text(value)
    except OSError as error:
        raise PermissionError(f"cannot make a cgroup ({error})") from None
    join = "".join(f"echo $$ > {group}/cgroup.procs; " for group in groups)
    try:
        yield ["sh", "-c", f'{join}exec "$@"', "sh"]
    finally:
        for group in groups:
            for _ in range(50):  # the last process may be about to end
                with contextlib.suppress(OSError):
                    group.rmdir()
                if not group.exists():
                    break
                time.sleep(0.1)


def experiment(folder: Path) -> dict[str, Any]:
    """A search with one core, and one with little memory."""
    found: dict[str, Any] = {}
    for name, limits in {"core": {"cores": 1}, "memory": {"memory": MEMORY}}.items():
        place = Place.make(folder / name)
        with limited(f"palenka-{os.getpid()}-{name}", **limits) as before:
            code = place.start(name, before=before, concurrent=None).wait(timeout=900)
            place.kill_all()
        said = place.said(name)
        assert code == 0, said
        at_a_time = AT_A_TIME.search(said)
        found[f"{name}: at a time"] = at_a_time and int(at_a_time[1])
        found[f"{name}: killed for memory"] = [line for line in said.splitlines() if "lack of memory" in line]
        found[f"{name}: identical"] = outcome(place.run_folder(name)) == undisturbed()
    return found


def good(result: dict[str, Any]) -> bool:
    """Whether one trial ran at a time, none was killed, and all came to the same."""
    return all(
        result[f"{name}: at a time"] == 1 and result[f"{name}: identical"] and not result[f"{name}: killed for memory"]
        for name in ("core", "memory")
    )


if __name__ == "__main__":
    sys.exit(run_command(__doc__, experiment, good))
