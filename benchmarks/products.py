"""Matrix products and a student's step on this processor: PyTorch's own float32, oneDNN, bfloat16, torch.compile.

    python -m benchmarks.products [--threads 1] [--compile] [--json FILE]

Says whether `distill.matmul` is worth it here, and what was tried beside it: PyTorch's own autocast to bfloat16, which
pays for wide models only, and compiling, which takes longer than it saves for students that train in seconds.
`benchmarks.precision` has whole students in bfloat16.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.harness import Report, paired, parser, ratio
from benchmarks.sizes import poster_sizes
from palenka_tune.commands.options import run
from palenka_tune.distill.heads import head_of, states_of
from palenka_tune.distill.losses import logit_loss
from palenka_tune.distill.matmul import onednn_is_faster, product, quick_linears
from palenka_tune.models.build import build_model
from palenka_tune.models.presets import ModelPreset, get_preset

SHAPES = ((1024, 64, 128), (2048, 128, 256), (64, 384, 4000), (4000, 64, 128), (4096, 512, 512))


def main(argv: Sequence[str]) -> int:
    arguments = parser("products", __doc__.partition("\n\n")[0])
    arguments.add_argument("--threads", type=int, default=1, help="default: 1, as trials that share a machine have")
    arguments.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    arguments.add_argument(
        "--compile", action="store_true", help="also torch.compile, which takes half a minute a model"
    )
    args = arguments.parse_args(argv)
    torch.set_num_threads(args.threads)
    figures: dict[str, list[float]] = {}
    for shape in SHAPES:
        figures |= paired(products(shape), args.rounds, log=lambda line: None)
    models = {
        "Student-tiny": (get_preset("Student-tiny"), 2048, 64),
        "poster's student / 4": (poster_sizes(4).student, 4000, 128),
        "GPT-2 of width 384": (ModelPreset("GPT2-384", "gpt2", width=384, layers=4, heads=6), 4000, 128),
    }
    for name, (preset, vocabulary, window) in models.items():
        figures |= paired(steps(name, preset, vocabulary, window, compiled=args.compile), args.rounds)
    groups = list(dict.fromkeys(label.partition(": ")[0] for label in figures))
    ways = list(dict.fromkeys(label.partition(": ")[2] for label in figures))
    report = Report(
        "products",
        f"GFLOP/s of M x K x N products, tokens/s of a plain training step, {args.threads} threads",
        {**vars(args), "onednn_is_faster": onednn_is_faster()},
        ("what", *ways),
        [
            (
                group,
                *(
                    f"{statistics.median(figures[key]):,.0f}" if (key := f"{group}: {way}") in figures else ""
                    for way in ways
                ),
            )
            for group in groups
        ],
        {f"onednn {group}": ratio(figures[f"{group}: onednn"], figures[f"{group}: torch"]) for group in groups},
    )
    report.publish(args.json)
    return 0


def products(shape: tuple[int, int, int]) -> dict[str, Callable[[], float]]:
    """GFLOP/s of one product by each way."""
    rows, inner, columns = shape
    left, right = torch.randn(rows, inner), torch.randn(columns, inner)
    half = left.bfloat16(), right.bfloat16()

    def speed(multiply: Callable[[], Any]) -> float:
        count = max(3, int(2e9 / (2 * rows * inner * columns)))
        multiply()
        started = time.perf_counter()
        for _ in range(count):
            multiply()
        return 2 * rows * inner * columns * count / (time.perf_counter() - started) / 1e9

    name = f"{rows} x {inner} x {columns}"
    return {
        f"{name}: torch": lambda: speed(lambda: F.linear(left, right)),
        f"{name}: onednn": lambda: speed(lambda: product(left, right)),
        f"{name}: bfloat16": lambda: speed(lambda: F.linear(*half)),
    }


def steps(
    name: str, preset: ModelPreset, vocabulary: int, window: int, *, compiled: bool
) -> dict[str, Callable[[], float]]:
    """Tokens/s of a plain training step of 16 windows by each way."""
    tokens = torch.randint(3, vocabulary, (16, window), generator=torch.Generator().manual_seed(0))

    def trainer(*, quick: bool = False, half: bool = False, compile_it: bool = False) -> Callable[[], float]:
        model = build_model(preset, vocabulary_size=vocabulary, pad_id=0, bos_id=1, eos_id=2, window=window, seed=0)
        if quick:
            quick_linears(model)
        else:
            model.set_attn_implementation("sdpa")
        forward: Any = torch.compile(model) if compile_it else model
        optimizer = torch.optim.AdamW(model.parameters(), fused=True)

        def step() -> None:
            with torch.autocast("cpu", dtype=torch.bfloat16) if half else contextlib.nullcontext():
                states, _ = states_of(forward, tokens)
                loss = logit_loss(states[-1], head_of(model), tokens, 0).total
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        step()

        def speed() -> float:
            started = time.perf_counter()
            for _ in range(3):
                step()
            return 3 * tokens.numel() / (time.perf_counter() - started)

        return speed

    made = {
        f"{name}: torch": trainer(),
        f"{name}: onednn": trainer(quick=True),
        f"{name}: bfloat16, torch": trainer(half=True),
        f"{name}: bfloat16": trainer(quick=True, half=True),
    }
    return made | ({f"{name}: compiled": trainer(compile_it=True)} if compiled else {})


if __name__ == "__main__":
    raise SystemExit(run(main))
