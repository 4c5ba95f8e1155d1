"""How teachers' signals are kept, as set in a YAML file or by `--set cache.form=sampled` (standard library only)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from palenka_tune.errors import UserError, nearest

Form = Literal["auto", "final_hidden", "sampled", "dense", "online"]
Encoding = Literal["float16", "int8"]


@dataclass(frozen=True)
class CacheSettings:
    """What the cache holds of the teachers' logits and hidden states.

    `form`: `final_hidden` keeps each teacher's last hidden state and its output head (exact logits at any temperature),
    `sampled` keeps `samples` ids a position drawn from the teachers' distribution (an unbiased estimate of its
    gradient), `dense` keeps float16 logits, `auto` chooses; `online` keeps nothing: teachers run on every batch.
    `hidden` is the type of hidden states, float16 or int8 with a scale per vector. `budget_gb` bounds the size on disk
    in GB of 10^9 bytes (None: four fifths of what is free); `auto` then keeps less: fewer components, then samples.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    form: Form = "auto"
    hidden: Encoding = "float16"
    samples: int = 64
    budget_gb: float | None = None

    def __post_init__(self) -> None:
        for name, allowed in (("form", get_args(Form)), ("hidden", get_args(Encoding))):
            value = getattr(self, name)
            if value not in allowed:
                raise UserError(
                    f"cache.{name} is '{value}'; it must be one of {', '.join(allowed)}{nearest(str(value), allowed)}"
                )
        if not 1 <= self.samples <= 4096:
            raise UserError(f"cache.samples is {self.samples}; it must be from 1 to 4096 ids a position")
        if self.budget_gb is not None and not 0 < self.budget_gb < math.inf:
            raise UserError(f"cache.budget_gb is {self.budget_gb}; it must be above 0, in GB of disk")
