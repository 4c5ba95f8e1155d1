"""What a model takes of a GPU's memory, counted from its preset.

An estimate from above: the loss works through the logits in chunks, and autocast halves part of the activations.
"""

from __future__ import annotations

from collections.abc import Sequence

from palenka_tune.models.presets import ModelPreset
from palenka_tune.models.scales import parameter_count

PROCESS_BYTES = 800_000_000  # of main memory, of a process before it has a model: Python, torch, transformers, Ray
STATES = 16  # bytes a parameter: weights 4, gradients 4, AdamW's two moments 8
# bytes a token, layer and unit of width that backward needs with 16-bit activations (Korthikanti et al. 2022,
# arXiv:2205.05198, eq. 2, without attention's scores, which are not kept)
ACTIVATIONS = 34


def training_memory(
    student: ModelPreset,
    teachers: Sequence[ModelPreset],
    *,
    vocabulary: int,
    window: int,
    micro_batch: int,
    teachers_online: bool = False,
) -> int:
    """Bytes while `student` trains on micro-batches of `micro_batch` windows.

    Counted are weights, gradients and AdamW's moments of the student, the teachers' weights (their output heads only,
    unless `teachers_online`), and the activations and logits of one micro-batch.
    """
    states = STATES * parameter_count(student, vocabulary, window)
    if teachers_online:
        states += sum(4 * parameter_count(teacher, vocabulary, window) for teacher in teachers)
    else:
        states += sum(4 * teacher.width * vocabulary for teacher in teachers)
    logits = 4 * vocabulary * (3 + len(teachers))
    activations = 2 * ACTIVATIONS * student.width * student.layers  # as if autocast kept 32 bits of each
    return states + micro_batch * window * (logits + activations)


def inference_memory(models: Sequence[ModelPreset], *, vocabulary: int, window: int, micro_batch: int) -> int:
    """Bytes while `models` run side by side without a gradient: their weights, and all hidden states of a batch."""
    states = sum(4 * model.width * (model.layers + 1) for model in models)
    weights = sum(4 * parameter_count(model, vocabulary, window) for model in models)
    return weights + micro_batch * window * states
