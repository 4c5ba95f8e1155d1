"""How teachers' signals are kept, as set in a YAML file or by `--set cache.form=sampled` (standard library only)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from palenka_tune.config.recipe import Precision
from palenka_tune.limits import Limits, Strict, check_fields

Form = Literal["auto", "final_hidden", "sampled", "dense", "online"]
Encoding = Literal["float16", "int8"]


@dataclass(frozen=True)
class CacheSettings(Strict):
    """What the cache holds of the teachers' logits and hidden states.

    `form`: `final_hidden` keeps each teacher's last hidden state and its output head (exact logits at any temperature),
    `sampled` keeps `samples` ids a position drawn from the teachers' distribution (an unbiased estimate of the forward
    KL and its gradient, and of no other divergence), `dense` keeps float16 logits, `auto` chooses; `online` keeps
    nothing: teachers run on every batch. `precision` is that of the teachers' forward passes, `auto` as in a recipe.
    `hidden` is the type of hidden states, float16 or int8 with a scale per vector. `budget_gb` bounds the size on disk
    in GB of 10^9 bytes (None: four fifths of what is free); `auto` then keeps less: fewer components, then samples.
    """

    form: Form = "auto"
    hidden: Encoding = "float16"
    samples: Annotated[int, Limits(ge=1, le=4096, hint=" ids a position")] = 64
    budget_gb: Annotated[float, Limits(gt=0, hint=", in GB of disk, or null")] | None = None
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        check_fields(self, "cache.")
