"""What the commands of this folder have in common: options, a temporary folder, the result as JSON, the exit code."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Experiment = Callable[..., dict[str, Any]]


def run(
    doc: str | None,
    experiment: Experiment,
    good: Callable[[dict[str, Any]], bool],
    argv: Sequence[str] | None = None,
    **numbers: int,
) -> int:
    """Run `experiment(folder, **numbers)` and print what it found; 0 if that is `good`, else 1. Each of `numbers` is an
    option with its default; `--json FILE` writes the result to a file."""
    parser = argparse.ArgumentParser(description=doc)
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default: {default}")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the result there")
    args = vars(parser.parse_args(argv))
    path = args.pop("json")
    with tempfile.TemporaryDirectory(prefix="palenka_faults-", ignore_cleanup_errors=True) as folder:
        result = experiment(Path(folder), **args)
    text = json.dumps(result, indent=2)
    print(text)
    if path:
        path.write_text(text + "\n")
    return 0 if good(result) else 1
