"""Wake a cluster that scales from zero, and wait until its workers are there.

    python clusters/wait_for_nodes.py --gpus 8 -- python -m palenka_tune.search dskd --address auto ...

A search looks at its cluster once, when it starts, to decide how many trials run at a time; a cluster without workers
would be refused. In: how many GPUs or CPU cores are wanted, for how long to wait, and the command that then takes this
process's place. Out: that command's exit code (0 without one), or 2 with what is missing if the workers do not come.
The request is withdrawn in either case, so that idle workers go when the cluster's own idle timeout says so; trials
that wait bring them back.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable

POLL_SECONDS = 5.0


def missing(wanted: dict[str, int], present: dict[str, float]) -> dict[str, int]:
    """What is wanted and not there yet, such as {"GPU": 3}."""
    return {name: n - int(present.get(name, 0)) for name, n in wanted.items() if n > int(present.get(name, 0))}


def wait(
    wanted: dict[str, int],
    *,
    timeout: float,
    request: Callable[[list[dict[str, int]]], None],
    present: Callable[[], dict[str, float]],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, int]:
    """Ask for `wanted` one unit at a time (any node type may serve it); returns what is missing at the end."""
    end = clock() + timeout
    shown = None
    try:
        request([{name: 1} for name, number in wanted.items() for _ in range(number)])
        while lacking := missing(wanted, present()):
            if lacking != shown:
                print("waiting for " + describe(lacking), flush=True)
                shown = lacking
            if clock() >= end:
                return lacking
            sleep(POLL_SECONDS)
        return {}
    finally:
        request([])


def describe(resources: dict[str, int]) -> str:
    """{"GPU": 3} in words."""
    words = {"GPU": "GPU(s)", "CPU": "CPU core(s)"}
    return " and ".join(f"{number} {words[name]}" for name, number in resources.items())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="wait_for_nodes", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gpus", type=int, default=0, help="GPUs to wait for")
    parser.add_argument("--cpus", type=int, default=0, help="CPU cores to wait for")
    parser.add_argument("--timeout", type=float, default=1800, metavar="SECONDS", help="(default: 1800)")
    parser.add_argument("command", nargs="*", metavar="-- COMMAND", help="what to run once they are up")
    args = parser.parse_args(argv)
    wanted = {name: number for name, number in (("GPU", args.gpus), ("CPU", args.cpus)) if number > 0}
    if not wanted:
        parser.error("say what to wait for: --gpus N, --cpus N or both, each 1 or more")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray.autoscaler.sdk import request_resources

    ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
    try:
        lacking = wait(
            wanted,
            timeout=args.timeout,
            request=lambda bundles: request_resources(bundles=bundles),
            present=ray.cluster_resources,
        )
    finally:
        ray.shutdown()
    if lacking:
        print(
            f"after {args.timeout:g} s {describe(lacking)} are still missing; `ray status` on the head says what the "
            "autoscaler tries and why it fails (often: max_workers, a quota, or no spot capacity in the zone)",
            file=sys.stderr,
        )
        return 2
    print(f"{describe(wanted)} are up", flush=True)
    if args.command:
        os.execvp(args.command[0], args.command)  # signals to this process are the search's own
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
