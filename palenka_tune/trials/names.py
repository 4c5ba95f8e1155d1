"""What a person reads in a list of runs: trials named by their settings, in the signs of the loss.

In: the values of the searched settings. Out: names such as `α=1.2 β=3 τ=2 linear layer_norm r=64`. Settings of a term
whose weight is 0 mean nothing and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from palenka_tune.spaces.space import IDLE, effective, label
from palenka_tune.trials.arms import FIXED

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
LONGEST_NAME = 100  # characters of a run's name; what tells it from others comes first


def trial_id(number: int) -> str:
    """The id of a trial, which its checkpoint, its folder and its tag in MLflow have too: `trial-0004`."""
    return f"trial-{number:04d}"


def settings_name(arm: str, origin: str, values: Mapping[str, Any]) -> str:
    """What a trial is, its arm and its settings: `hidden: α=1.2 β=3`, `logits: fixed setting`."""
    return f"{arm}: {'fixed setting' if origin == FIXED else short_name(values)}"


def run_name(trial_id: str, settings: str, *, seed: int | None = None, mark: str = "") -> str:
    """The name of a run in MLflow, which cuts it where a column ends, so what differs comes first.

    `trial-0004, hidden: α=1.2 β=3`; with a fresh seed, `trial-0004 s1 (best), hidden: α=1.2 β=3`, since the
    list of runs shows 14 characters.
    """
    first = [trial_id, *([] if seed is None else [f"s{seed}"]), *([f"({mark})"] if mark else [])]
    name = f"{' '.join(first)}, {settings}"
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def short_name(values: Mapping[str, Any]) -> str:
    """The settings in a line, the loss's weights and temperature first."""
    order = {name: number for number, name in enumerate(FIRST)}
    shaping = sorted(effective(values).items(), key=lambda item: order.get(item[0], len(order)))
    # the arm says which weights are 0
    return " ".join(_part(name, value) for name, value in shaping if value or name not in IDLE)


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
