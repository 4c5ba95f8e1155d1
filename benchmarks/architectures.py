"""Every true architecture of the poster in bfloat16: built, and run forward on one window.

    python -m benchmarks.architectures [--json FILE]

One model at a time, with weights drawn from a seed, at the poster's vocabulary and window. A shape of logits that is
wrong, or a logit that is not finite, ends the command. Rows that share an architecture are one line. Memory is the most
that the process has held so far, Python and its libraries included; the models come smallest first.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import torch

from benchmarks.harness import Report, parser
from benchmarks.sizes import VOCABULARY, WINDOW
from palenka_tune.commands.options import run
from palenka_tune.data.tokenizer import BOS_ID, EOS_ID, PAD_ID
from palenka_tune.errors import PalenkaError
from palenka_tune.models.build import build_model, count_parameters
from palenka_tune.models.presets import ModelPreset, get_preset
from palenka_tune.models.scales import parameter_count
from palenka_tune.reproduce.rows import ROWS

DTYPE = torch.bfloat16


@dataclass(frozen=True)
class Forward:
    """What one architecture took: seconds to build and to run, and the process' peak memory in bytes after it."""

    rows: tuple[str, ...]
    architecture: str
    parameters: int
    build_seconds: float
    forward_seconds: float
    peak_bytes: int


def main(argv: Sequence[str]) -> int:
    args = parser("architectures", __doc__.partition("\n\n")[0]).parse_args(argv)
    found = []
    for rows, preset in distinct():
        found.append(forward(rows, preset, VOCABULARY, WINDOW))
        print(f"{preset.name}: {found[-1].parameters:,} parameters, logits finite")
    Report(
        "architectures",
        f"The poster's architectures in {str(DTYPE).removeprefix('torch.')}, one window of {WINDOW} tokens",
        {"vocabulary": VOCABULARY, "window": WINDOW, "threads": torch.get_num_threads()},
        ("architecture", "parameters", "build (s)", "forward (s)", "peak memory", "rows"),
        [
            (
                result.architecture,
                f"{result.parameters / 1e6:.1f} M",
                f"{result.build_seconds:.1f}",
                f"{result.forward_seconds:.2f}",
                f"{result.peak_bytes / 1e9:.2f} GB",
                ", ".join(result.rows),
            )
            for result in found
        ],
        details={"forwards": [asdict(result) for result in found]},
    ).publish(args.json)
    return 0


def distinct() -> list[tuple[tuple[str, ...], ModelPreset]]:
    """The rows that share an architecture, with their preset, smallest first."""
    rows: dict[str, list[str]] = {}
    for row in ROWS.values():
        rows.setdefault(get_preset(row.preset).architecture, []).append(row.name)
    found = [(tuple(names), get_preset(ROWS[names[0]].preset)) for names in rows.values()]
    return sorted(found, key=lambda pair: parameter_count(pair[1], VOCABULARY, WINDOW))


@torch.no_grad()
def forward(rows: tuple[str, ...], preset: ModelPreset, vocabulary: int, window: int) -> Forward:
    """Build `preset` and run one random window of `window` tokens through it.

    Raises `PalenkaError` if the logits are not (1, window, vocabulary) numbers of that type, or one is not finite.
    """
    started = time.perf_counter()
    with default_dtype(DTYPE):
        model = build_model(
            preset, vocabulary_size=vocabulary, pad_id=PAD_ID, bos_id=BOS_ID, eos_id=EOS_ID, window=window, seed=0
        )
    built = time.perf_counter()
    tokens = torch.randint(EOS_ID + 1, vocabulary, (1, window), generator=torch.Generator().manual_seed(0))
    logits = model.eval()(input_ids=tokens).logits
    ended = time.perf_counter()
    if logits.shape != (1, window, vocabulary) or logits.dtype != DTYPE:
        wanted = (1, window, vocabulary)
        raise PalenkaError(
            f"{preset.name}: logits are {tuple(logits.shape)} of {logits.dtype}, not {wanted} of {DTYPE}"
        )
    if not bool(logits.isfinite().all()):
        raise PalenkaError(f"{preset.name}: {int((~logits.isfinite()).sum())} logits are not finite")
    return Forward(rows, preset.architecture, count_parameters(model), built - started, ended - built, peak_memory())


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """New parameters are of `dtype`: no float32 copy of the largest model is ever made."""
    kept = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(kept)


def peak_memory() -> int:
    """The most bytes that this process has held in memory."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # Linux counts KiB


if __name__ == "__main__":
    raise SystemExit(run(main))
