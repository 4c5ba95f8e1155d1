"""The poster's models at a fraction of their width, for benchmarks that must end in minutes.

In: a divisor. Out: `Sizes`, the presets of the student and of its two teachers, the vocabulary and the window. Widths,
feed-forward sizes and vocabulary are divided, depths (16, 24 and 24 layers) and the window of 128 tokens are kept.
Random tokens serve as data: the time and the memory of a step do not depend on what the tokens say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from palenka_tune.data.tokenizer import BOS_ID, EOS_ID, PAD_ID
from palenka_tune.errors import UserError
from palenka_tune.models.presets import ModelPreset, divided, get_preset

STUDENT, TEACHERS = "BabyLlama1-58M", ("GPT2-705M", "Llama-360M")
VOCABULARY, WINDOW = 16_000, 128
DIVISORS = (1, 2, 4, 8, 16, 32, 64, 128)  # those that divide every width and the vocabulary


@dataclass(frozen=True)
class Sizes:
    """A student, its teachers (GPT-2, Llama), the number of tokens they know and of tokens in a window."""

    student: ModelPreset
    teachers: tuple[ModelPreset, ModelPreset]
    vocabulary: int
    window: int

    def build(self, preset: ModelPreset, *, seed: int, device: str | torch.device = "cpu") -> Any:
        """A freshly initialised Hugging Face model for these windows."""
        from palenka_tune.models.build import build_model  # transformers: only when a model is wanted

        return build_model(
            preset,
            vocabulary_size=self.vocabulary,
            pad_id=PAD_ID,
            bos_id=BOS_ID,
            eos_id=EOS_ID,
            window=self.window,
            seed=seed,
            device=device,
        )

    def windows(self, count: int, *, seed: int) -> Tensor:
        """(N,T) int64 random tokens without padding."""
        generator = torch.Generator().manual_seed(seed)
        first = max(PAD_ID, BOS_ID, EOS_ID) + 1
        return torch.randint(first, self.vocabulary, (count, self.window), generator=generator)


def poster_sizes(divisor: int) -> Sizes:
    """The poster's sizes divided by `divisor`; 1 is the poster itself, 4 has a student of 3.7 M parameters.

    The proportions on which the cost of a distillation step rests stay those of the poster. Every matrix of a body is
    width times width (or feed-forward) and every output head vocabulary times width, so a divisor c makes all of them
    c * c times smaller at once: teachers' forward to student's step, and teachers' heads to student's body, are what
    they are at the poster's sizes (to position embeddings and norms), with teachers of 18 times the student's
    parameters. Keeping the vocabulary would instead inflate the heads, and shallower models would change the number
    of hidden states. What grows in relative weight, by about c, is all that passes over activations without a matrix
    product: softmax over the vocabulary, attention, copying. So a divided benchmark makes distillation from a cache
    look dearer beside plain training than it is at the poster's sizes; the passes over whole logits in a loop that it
    is compared with weigh more as well.

    Raises `UserError` for a divisor that does not divide all sizes.
    """
    if divisor not in DIVISORS:
        known = ", ".join(map(str, DIVISORS))
        raise UserError(f"divisor is {divisor}; the poster's widths and vocabulary can be divided by {known}")
    gpt2, llama = (_divided(get_preset(name), divisor) for name in TEACHERS)
    return Sizes(_divided(get_preset(STUDENT), divisor), (gpt2, llama), VOCABULARY // divisor, WINDOW)


def _divided(preset: ModelPreset, divisor: int) -> ModelPreset:
    return preset if divisor == 1 else divided(preset, width=divisor, name=f"{preset.name}/{divisor}")
