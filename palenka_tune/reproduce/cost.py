"""What training costs, counted from presets: floating-point operations, hours at an assumed speed.

A matrix product of a weight with one token's vector is 2 operations a parameter; backward takes twice as many as
forward. Training therefore takes 6 N + 12 L d T operations a token (Kaplan et al. 2020, arXiv:2001.08361, section 2.1;
Chowdhery et al. 2022, arXiv:2204.02311, appendix B): N parameters of matrices, the output head among them also where it
shares the embedding's weights; L layers; width d; windows of T tokens, whose attention is counted whole, though half of
it is masked. Looking up embeddings, norms, softmaxes and the optimiser are not counted: what they take of the time is
part of the speed that is assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from palenka_tune.distill.layer_maps import resolve_layer_map
from palenka_tune.errors import UserError
from palenka_tune.models.presets import ModelPreset
from palenka_tune.reproduce.recipes import ReproduceScale


def matrix_parameters(preset: ModelPreset, vocabulary: int) -> int:
    """N: weights of all matrices that a token is multiplied with, the output head included."""
    ffn = 3 * preset.width * preset.ffn if preset.ffn else 8 * preset.width**2  # GPT-2's is 4 * width, without a gate
    return preset.layers * (4 * preset.width**2 + ffn) + preset.width * vocabulary


def forward_flops(preset: ModelPreset, vocabulary: int, window: int) -> int:
    """Operations of a forward pass, per token."""
    return 2 * matrix_parameters(preset, vocabulary) + 4 * preset.layers * preset.width * window


def training_flops(preset: ModelPreset, vocabulary: int, window: int) -> int:
    """Operations of forward and backward, per token."""
    return 3 * forward_flops(preset, vocabulary, window)


def head_flops(teachers: Sequence[ModelPreset], vocabulary: int) -> int:
    """Operations that make the teachers' logits of their cached last hidden states, per token."""
    return sum(2 * teacher.width * vocabulary for teacher in teachers)


def projection_flops(student: ModelPreset, teachers: Sequence[ModelPreset]) -> int:
    """Operations of the projections of hidden states, forward and backward, per token.

    Counted for the poster's layer maps at the teachers' full width; with a rank they are fewer.
    """
    total = 0
    for number, teacher in enumerate(teachers):
        pairs = resolve_layer_map(
            "poster",
            teacher=number,
            teacher_depth=teacher.layers,
            student_depth=student.layers,
            family=teacher.family,
        )
        total += 6 * len(pairs) * student.width * teacher.width
    return total


@dataclass(frozen=True)
class Rate:
    """A sustained speed in TFLOP/s and where it comes from."""

    device: str
    tflops: float
    how: str

    def hours(self, flops: float) -> float:
        return flops / (self.tflops * 1e12) / 3600


# Plain training of the ten rows' models at tiny took 21 to 50 GFLOP/s on one core with AVX-512, another command beside
# it. Larger products keep a core busy better: docs/performance.md has the poster's student at half its width at 3,107
# tokens/s on two cores, which is 0.25 TFLOP/s.
CPU_TFLOPS = 0.05
GPU_PEAK, GPU_UTILISATION = 989.0, 0.4


def rate(scale: ReproduceScale, tflops: float | None = None) -> Rate:
    """The speed that hours are estimated with: `tflops` if given, else 2 CPU cores at `tiny` and a GPU elsewhere.

    Raises:
        UserError: if `tflops` is not positive.
    """
    if tflops is not None:
        if not 0 < tflops < 1e9:
            raise UserError(f"--tflops is {tflops}; give the sustained speed in TFLOP/s, such as 0.05 or 400")
        return Rate("yours", tflops, f"{tflops:g} TFLOP/s sustained, as given")
    if scale.name == "tiny":
        return Rate("cpu", CPU_TFLOPS, f"2 CPU cores, {1000 * CPU_TFLOPS:g} GFLOP/s sustained in float32")
    speed = GPU_UTILISATION * GPU_PEAK
    how = (
        f"one H100 at {100 * GPU_UTILISATION:g} % of {GPU_PEAK:g} TFLOP/s in bfloat16, which is assumed, not measured; "
        "models below some 100 M parameters reach less"
    )
    return Rate("gpu", speed, how)
