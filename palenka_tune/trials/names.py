"""What a person reads in a list of runs: trials named by their settings, in the signs of the loss.

In: the values of the searched settings. Out: names such as `α=1.2 β=3 τ=2 linear layer_norm r=64`. Settings of a term
whose weight is 0 mean nothing and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from palenka_tune.spaces.space import effective, label
from palenka_tune.trials.arms import ANCHORS

SIGNS = {
    "alpha": "α",
    "beta": "β",
    "temperature": "τ",
    "alpha_schedule": "α(t)",
    "beta_schedule": "β(t)",
    "projection.rank": "r",
    "projection.layer_map": "layers",
    "projection.lr_multiplier": "lr×",
}
# their values say by themselves what they are
BARE = ("projection.direction", "projection.kind", "projection.distance", "projection.sharing")
FIRST = ("alpha", "beta", "temperature")
LONGEST = 40


def trial_id(number: int) -> str:
    """The id of a trial, which its checkpoint, its folder and its tag in MLflow have too: `trial-0004`."""
    return f"trial-{number:04d}"


def settings_name(anchor: str | None, values: Mapping[str, Any]) -> str:
    """The name of a trial's run: an anchor's own, or its settings."""
    return anchor_name(anchor) if anchor else short_name(values)


def anchor_name(anchor: str) -> str:
    """The name of an anchor's run, such as `anchor: vanilla KD`."""
    return f"anchor: {ANCHORS[anchor]}"


def student_name(role: str, config: str, values: Mapping[str, Any], seed: int) -> str:
    """The name of a run that trains a finalist, an anchor or an ablation again: `all data, seed 1: α=1.2 β=3`."""
    settings = settings_name(config if role == "anchor" else None, values)
    return f"all data, seed {seed}: {settings}{' (without hidden states)' if role == 'ablation' else ''}"


def short_name(values: Mapping[str, Any]) -> str:
    """The settings in a line, the loss's weights and temperature first."""
    order = {name: number for number, name in enumerate(FIRST)}
    shaping = sorted(effective(values).items(), key=lambda item: order.get(item[0], len(order)))
    return " ".join(_part(name, value) for name, value in shaping)


def _part(name: str, value: Any) -> str:
    if name in BARE or (name == "projection.normalize" and value != "none"):
        return str(value)
    if name == "projection.center":
        return "centred" if value else "not centred"
    shown = f"{value:.3g}" if isinstance(value, float) else str(label(value))
    if name == "projection.rank" and value is None:
        shown = "full"
    if len(shown) > LONGEST:
        shown = shown[: LONGEST - 1] + "…"
    return f"{SIGNS.get(name, name.rpartition('.')[2])}={shown}"
