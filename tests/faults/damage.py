"""Damage each file of a run folder in turn and go on with the search: `python -m tests.faults.damage`.

A search is killed in its last trial. Then, for each file that it left, one byte is flipped or the file is cut short or
removed, and the search is resumed. It must either refuse with one sentence, or come to the result of an undisturbed
search; and it must never run a finished trial again.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.faults.searches import TRIALS, Place, kill, outcome, run_again, undisturbed, wait_for

IDLE = {".lock", ".owner", ".mlflow.lock"}  # empty, or read by nobody once the process is gone


@dataclass(frozen=True)
class Finding:
    """What became of a search after one file was damaged."""

    file: str
    damage: str
    result: str  # refused | repaired | WRONG
    said: str


def flip(path: Path, generator: random.Random) -> str:
    """Change one bit of the file."""
    data = bytearray(path.read_bytes())
    at = generator.randrange(len(data))
    data[at] ^= 1 << generator.randrange(8)
    path.write_bytes(data)
    return f"bit flipped in byte {at}"


def cut(path: Path, generator: random.Random) -> str:
    """Cut the file short."""
    size = generator.randrange(path.stat().st_size)
    with path.open("r+b") as file:
        file.truncate(size)
    return f"cut to {size} bytes"


def remove(path: Path, generator: random.Random) -> str:
    """Remove the file."""
    path.unlink()
    return "removed"


def damages(run: Path, each: Sequence[Callable[[Path, random.Random], str]]) -> Iterator[tuple[Path, Callable]]:
    """Every file of the run folder with every damage that it can have."""
    for path in sorted(path for path in run.rglob("*") if path.is_file() and path.name not in IDLE):
        for damage in each:
            if path.stat().st_size or damage is remove:
                yield path, damage


def interrupted(place: Place, name: str) -> Path:
    """A search that was killed when its last trial had a checkpoint; returns its run folder."""
    run, last = place.run_folder(name), f"trial-{TRIALS - 1:04d}"
    process = place.start(name)
    kept = run / "checkpoints" / f"{last}.pt"
    wait_for(lambda: process.poll() is not None or kept.exists(), 600, "the last trial")
    kill(process.pid)
    process.wait()
    assert kept.exists(), place.said(name)
    wait_for(lambda: not place.processes("ray::StudentTrial"), 60, "the end of the trial's process")
    return run


def examine(place: Place, name: str, run: Path, expected: dict, path: Path, what: str) -> Finding:
    """Resume the damaged search and judge."""
    log = place.folder / "damage.log"
    log.unlink(missing_ok=True)
    code = place.start(name, log=log).wait(timeout=600)
    lines = log.read_text(errors="replace").strip().splitlines()
    file = str(path.relative_to(run))
    if code:
        sentence = len([line for line in lines if line.startswith("error: ")]) == 1 and "Traceback" not in "".join(
            lines
        )
        return Finding(file, what, "refused" if sentence else "WRONG", "\n".join(lines[-1 if sentence else -15 :]))
    right = outcome(run) == expected and not run_again(run)
    notes = [line for line in lines if "put back" in line or "starts over" in line or "damaged" in line]
    return Finding(file, what, "repaired" if right else "WRONG", notes[0] if notes else "")


def experiment(
    folder: Path, each: Sequence[Callable[[Path, random.Random], str]], seed: int, only: str = ""
) -> list[Finding]:
    """Every damage to every file whose name holds `only`."""
    place = Place.make(folder)
    expected = undisturbed()
    run = interrupted(place, "hurt")
    saved = folder / "saved"
    shutil.copytree(run, saved)
    generator, findings = random.Random(seed), []
    for path, damage in list(damages(run, each)):
        if only not in str(path.relative_to(run)):
            continue
        shutil.rmtree(run)
        shutil.copytree(saved, run)
        what = damage(path, generator)
        findings.append(examine(place, "hurt", run, expected, path, what))
        print(f"{findings[-1].result:<9} {findings[-1].file}: {what}  {findings[-1].said}", flush=True)
    place.kill_all()
    return findings


def good(findings: Sequence[Finding]) -> bool:
    """Whether something was damaged, and all of it was repaired or refused."""
    return bool(findings) and not any(finding.result == "WRONG" for finding in findings)


def main(argv: Sequence[str] | None = None) -> list[Finding]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the places of the damage (default: 0)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only files whose name holds this")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the result there")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="palenka_faults-") as folder:
        findings = experiment(Path(folder), (flip, cut, remove), args.seed, args.only)
    counts = {kind: sum(f.result == kind for f in findings) for kind in ("repaired", "refused", "WRONG")}
    print(json.dumps(counts))
    if args.json:
        args.json.write_text(json.dumps({**counts, "findings": [asdict(f) for f in findings]}, indent=2) + "\n")
    return findings


if __name__ == "__main__":
    sys.exit(0 if good(main()) else 1)
