"""The poster's method and ours, as settings: what `--method` changes.

The poster had three faults, which can be kept to see what they do: its hidden loss had no gradient, its KL was summed
over a window's positions, and its grid was decided by a total that contains the searched weights.
"""

from __future__ import annotations

from typing import Any

from palenka_tune.errors import UserError, nearest

CORRECTED, AS_PUBLISHED = "corrected", "as_published"

METHODS: dict[str, dict[str, Any]] = {
    CORRECTED: {"distill.hidden_gradient": True, "distill.kl_reduction": "token", "search.objective": "val_ce"},
    AS_PUBLISHED: {
        "distill.hidden_gradient": False,
        "distill.kl_reduction": "sequence",
        "search.objective": "val_total",
    },
}


def method_settings(name: str) -> dict[str, Any]:
    """{dotted path: value} of a method; raises `UserError` for an unknown one."""
    if name not in METHODS:
        raise UserError(f"--method is '{name}'{nearest(name, METHODS)}; it must be one of {', '.join(METHODS)}")
    return METHODS[name]


def units(alpha: float, reduction: str, window: int) -> str:
    """What a weight of the KL is in the other unit, such as `alpha 0.1 per window of 128 tokens is 12.8 per token`."""
    if reduction == "sequence":
        return f"alpha {alpha:g} per window of {window} tokens is {alpha * window:g} per token"
    return f"alpha {alpha:g} per token is {alpha / window:.3g} per window of {window} tokens, the poster's unit"
