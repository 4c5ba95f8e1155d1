"""Peak memory of the logit loss: the product's, over chunks of positions, against the plain formula on whole logits.

    python -m benchmarks.loss_memory [--rounds 3] [--json FILE]
    python -m benchmarks.loss_memory --vocabulary 151936 --batch 16 --window 64 --width 256 --teacher-width 1024

Both get the same last hidden states (the student's float32 with gradient, the teachers' float16, as a cache gives them)
and the same output heads, and make CE + alpha * tau^2 * KL and its gradient by the student's hidden states and
head. The plain formula makes the (B,T,V) logits of all of them. Each measurement is a process of its own; the
figure is the most memory held during the loss and its backward pass above what was held just before, so the inputs
themselves are left out (their size is printed) and the gradients that come out are counted.

Shapes: B windows, T tokens, V vocabulary, D student width, E a teacher's width.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.harness import Aim, Report, paired, parser, ratio
from benchmarks.plain import plain_loss
from palenka_tune.commands.options import run
from palenka_tune.distill.heads import OutputHead
from palenka_tune.distill.loop import resolve_precision
from palenka_tune.distill.losses import logit_loss
from palenka_tune.distill.targets import ExactTargets, HeadLogits, LogitRequest
from palenka_tune.errors import PalenkaError, UserError

ALPHA, TEMPERATURE, PAD_ID = 1.0, 2.0, 0
REPOSITORY = Path(__file__).resolve().parents[1]
AIMED_AT = 16_000  # entries of a vocabulary from which on the aim holds


@dataclass(frozen=True)
class LossSizes:
    """The poster's vocabulary, batch, window and widths."""

    vocabulary: int = 16_000
    batch: int = 32
    window: int = 128
    student_width: int = 512
    teacher_widths: tuple[int, ...] = (1536, 1024)

    @property
    def logits_bytes(self) -> int:
        """One (B,T,V) tensor of float32."""
        return 4 * self.batch * self.window * self.vocabulary


@dataclass(frozen=True)
class Measured:
    """Bytes above the baseline, seconds of one call after the measured one, and the loss, which must agree."""

    peak_bytes: int
    input_bytes: int
    seconds: float
    loss: float


@dataclass(frozen=True)
class Inputs:
    """What both contenders start from."""

    tokens_BT: Tensor
    hidden_BTD: Tensor
    head: OutputHead
    teachers_BTE: list[Tensor]
    teacher_heads: list[OutputHead]

    @classmethod
    def random(cls, sizes: LossSizes, device: torch.device, batch: int | None = None) -> Inputs:
        """Normal hidden states and heads that give logits of about unit variance; `batch` overrides the sizes'."""
        generator = torch.Generator(device=device).manual_seed(0)

        def normal(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.empty(shape, dtype=dtype, device=device).normal_(generator=generator)

        def head(width: int) -> OutputHead:
            return OutputHead(normal(sizes.vocabulary, width).mul_(width**-0.5))

        windows = (batch or sizes.batch, sizes.window)
        tokens_BT = torch.randint(PAD_ID + 1, sizes.vocabulary, windows, device=device, generator=generator)
        student = head(sizes.student_width)
        student.weight.requires_grad_()
        return cls(
            tokens_BT,
            normal(*windows, sizes.student_width).requires_grad_(),
            student,
            [normal(*windows, width, dtype=torch.float16) for width in sizes.teacher_widths],
            [head(width) for width in sizes.teacher_widths],
        )

    @property
    def weights(self) -> tuple[float, ...]:
        """The teachers' shares, all equal."""
        return (1 / len(self.teachers_BTE),) * len(self.teachers_BTE)

    @property
    def bytes(self) -> int:
        heads = [head.weight for head in (self.head, *self.teacher_heads)]
        return sum(x.nbytes for x in (self.tokens_BT, self.hidden_BTD, *self.teachers_BTE, *heads))


def chunked(inputs: Inputs) -> Tensor:
    """The product's loss."""
    teachers = [
        HeadLogits(hidden_BTE.flatten(0, 1), head)
        for hidden_BTE, head in zip(inputs.teachers_BTE, inputs.teacher_heads, strict=True)
    ]
    targets = ExactTargets(teachers, LogitRequest(inputs.weights, TEMPERATURE))
    terms = logit_loss(
        inputs.hidden_BTD, inputs.head, inputs.tokens_BT, PAD_ID, targets, alpha=ALPHA, temperature=TEMPERATURE
    )
    return terms.total


def plain(inputs: Inputs) -> Tensor:
    """The formula on whole (B,T,V) logits, with gradients by autograd."""
    with torch.no_grad():
        teachers = [
            hidden_BTE.float() @ head.weight.T
            for hidden_BTE, head in zip(inputs.teachers_BTE, inputs.teacher_heads, strict=True)
        ]
    logits_BTV = inputs.hidden_BTD @ inputs.head.weight.T
    total, _, _ = plain_loss(
        logits_BTV, inputs.tokens_BT, PAD_ID, teachers, list(inputs.weights), alpha=ALPHA, temperature=TEMPERATURE
    )
    return total


CONTENDERS = {"chunked": chunked, "plain": plain}


class PeakMemory:
    """Peak memory of this process (or of the GPU) between two points, above what was held at the first."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            self.before = torch.cuda.memory_allocated(device)
        else:
            try:
                Path("/proc/self/clear_refs").write_text("5")  # peak := now, see proc(5)
            except OSError as error:
                raise UserError(
                    f"the peak memory of a process cannot be reset here ({error}); run this benchmark on Linux with a "
                    "writable /proc, or with --device cuda"
                ) from None
            self.before = memory_of_process("VmRSS")

    def bytes(self) -> int:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            return torch.cuda.max_memory_allocated(self.device) - self.before
        return memory_of_process("VmHWM") - self.before


def memory_of_process(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise PalenkaError(f"/proc/self/status has no {name}; run this benchmark on Linux")


def measure_here(name: str, sizes: LossSizes, device: torch.device) -> Measured:
    """One measurement in this process: the peak of the first call, the time of the second."""
    dtype = resolve_precision("auto" if device.type == "cuda" else "float32", device)
    autocast = (
        contextlib.nullcontext() if dtype is torch.float32 else torch.autocast(device.type, dtype=dtype)
    )  # as the training loop runs the loss

    def call(inputs: Inputs) -> float:
        with autocast:
            total = CONTENDERS[name](inputs)
        total.backward()
        inputs.hidden_BTD.grad = inputs.head.weight.grad = None
        return total.item()

    call(Inputs.random(sizes, device, batch=1))  # libraries load and reserve their own memory at their first use
    inputs = Inputs.random(sizes, device)
    peak = PeakMemory(device)
    loss = call(inputs)
    peak_bytes = peak.bytes()
    started = time.perf_counter()
    call(inputs)
    return Measured(peak_bytes, inputs.bytes, time.perf_counter() - started, loss)


def measure(name: str, sizes: LossSizes, device: str = "cpu") -> Measured:
    """One measurement in a fresh process."""
    # large blocks go back to the system as soon as they are freed, so that none hides in the baseline; the bound lies
    # above the chunks of the product's loss, whose buffers glibc reuses by default as well
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(4 << 20)}
    command = [sys.executable, "-m", "benchmarks.loss_memory", "--one", name, json.dumps(asdict(sizes)), device]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}, perhaps too little memory"]
        raise PalenkaError(f"the measurement of {name} failed: {lines[-1]}")
    return Measured(**json.loads(done.stdout))


def compare(sizes: LossSizes, device: str, rounds: int) -> Report:
    """Measure both in turn, `rounds` times."""
    taken: dict[str, list[Measured]] = {name: [] for name in CONTENDERS}

    def contender(name: str) -> float:
        taken[name].append(measure(name, sizes, device))
        return float(taken[name][-1].peak_bytes)

    peaks = paired({name: partial(contender, name) for name in CONTENDERS}, rounds)
    _check_agreement(taken, device)
    seconds = {name: [one.seconds for one in measured] for name, measured in taken.items()}
    mebibytes = {name: [peak / 2**20 for peak in each] for name, each in peaks.items()}
    return Report(
        name="loss_memory",
        title="Peak memory of the logit loss, forward and backward",
        settings={**asdict(sizes), "alpha": ALPHA, "temperature": TEMPERATURE, "device": device, "rounds": rounds},
        columns=("loss", "MiB above the inputs", "in (B,T,V) float32 tensors", "seconds a call"),
        rows=[
            (
                name,
                f"{_middle(mebibytes[name]):,.1f}",
                f"{_middle(peaks[name]) / sizes.logits_bytes:.2f}",
                f"{_middle(seconds[name]):.3f}",
            )
            for name in CONTENDERS
        ],
        ratios={
            "chunked_vs_plain": ratio(peaks["chunked"], peaks["plain"]),
            "chunked_vs_plain_seconds": ratio(seconds["chunked"], seconds["plain"]),
        },
        aims={"chunked_vs_plain": Aim("at most", 0.5)} if sizes.vocabulary >= AIMED_AT else {},
        details={"peak_bytes": peaks, "seconds": seconds, "input_bytes": taken["plain"][0].input_bytes},
        notes=[
            f"inputs, left out of both: {taken['plain'][0].input_bytes / 2**20:,.1f} MiB "
            "(tokens, last hidden states of student and teachers, their output heads)",
        ],
    )


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _check_agreement(taken: dict[str, list[Measured]], device: str) -> None:
    ours, theirs = taken["chunked"][0].loss, taken["plain"][0].loss
    tolerance = 1e-4 if torch.device(device).type == "cpu" else 1e-2  # bfloat16 on a GPU
    if abs(ours - theirs) > tolerance * abs(theirs):
        raise PalenkaError(f"the two losses differ ({ours:.6f} and {theirs:.6f}), so their memory cannot be compared")


def main(argv: Sequence[str]) -> int:
    if list(argv[:1]) == ["--one"]:  # a measurement's own process: contender, sizes as JSON, device
        name, given, device = argv[1:]
        print(json.dumps(asdict(measure_here(name, _sizes(json.loads(given)), torch.device(device)))))
        return 0
    options = _options(argv)
    sizes = LossSizes(options.vocabulary, options.batch, options.window, options.width, tuple(options.teacher_width))
    return compare(sizes, options.device, options.rounds).publish(options.json)


def _sizes(values: dict[str, Any]) -> LossSizes:
    return LossSizes(**{**values, "teacher_widths": tuple(values["teacher_widths"])})


def _options(argv: Sequence[str]) -> argparse.Namespace:
    made = parser("loss_memory", str(__doc__).partition("\n")[0])
    default = LossSizes()
    made.add_argument("--vocabulary", type=int, default=default.vocabulary, help=f"V (default: {default.vocabulary})")
    made.add_argument("--batch", type=int, default=default.batch, help=f"windows B (default: {default.batch})")
    made.add_argument("--window", type=int, default=default.window, help=f"tokens T (default: {default.window})")
    made.add_argument("--width", type=int, default=default.student_width, help=f"D (default: {default.student_width})")
    made.add_argument(
        "--teacher-width",
        type=int,
        nargs="+",
        default=default.teacher_widths,
        metavar="E",
        help="a width for each teacher (default: the poster's two)",
    )
    made.add_argument("--rounds", type=int, default=3, help="measurements of each (default: 3)")
    made.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        choices=("cpu", "cuda"),
        help="default: cuda where there is one",
    )
    return made.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(run(main))
