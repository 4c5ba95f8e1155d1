"""Pictures of a finished search: `plots/search.png` shows every trial against the anchors.

Left: dev cross-entropy at each rung, stopped trials faded. Right: where each trial ended, over the weight of the hidden
states (or the first numeric setting that was searched).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from palenka_tune.config.files import atomic_path
from palenka_tune.search.ledger import COMPLETE
from palenka_tune.search.space import Parameter, Space

ANCHOR_STYLE = {
    "no_distillation": ("#b2182b", "no distillation"),
    "vanilla_kd": ("#ef8a62", "vanilla KD (logits only)"),
}
BLUE, GREY = "#2166ac", "#9aa5b1"


def plot_search(path: Path, rows: Sequence[Mapping[str, Any]], space: Space, title: str) -> None:
    """Write the picture; `rows` are the ledger's, with their `curve` {step: val/ce}."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.1])
        _curves(left, rows)
        parameter = _axis(space)
        if parameter is None:
            right.set_visible(False)
        else:
            _endings(right, rows, parameter)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        path.parent.mkdir(exist_ok=True)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=150)


def _axis(space: Space) -> Parameter | None:
    numeric = [p for p in space.parameters if all(isinstance(v, int | float) for v in p.extremes())]
    return next((p for p in numeric if p.name == "beta"), numeric[0] if numeric else None)


def _curves(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        steps, values = list(row["curve"]), list(row["curve"].values())
        if not steps:
            continue
        done = row["state"] == COMPLETE
        style: dict[str, Any] = {"color": BLUE if done else GREY, "alpha": 0.8 if done else 0.45, "lw": 1.2}
        if row["anchor"]:
            style = {"color": ANCHOR_STYLE[row["anchor"]][0], "lw": 2, "zorder": 3}
        axes.plot(steps, values, marker="o", ms=3, **style)
    axes.set_xlabel("optimiser step (validated at each ASHA rung)")
    axes.set_ylabel("dev cross-entropy (nats per token)")


def _endings(axes: Any, rows: Sequence[Mapping[str, Any]], parameter: Parameter) -> None:
    for state, marker, color, label in (
        (COMPLETE, "o", BLUE, "trained to the end"),
        (None, "x", GREY, "stopped early"),
    ):
        chosen = [
            row
            for row in rows
            if not row["anchor"]
            and row["val_ce"] is not None
            and (row["state"] == COMPLETE) == (state == COMPLETE)
            and row["values"].get(parameter.name) is not None
        ]
        if chosen:
            x = [float(row["values"][parameter.name]) for row in chosen]
            axes.scatter(x, [row["val_ce"] for row in chosen], marker=marker, color=color, s=36, label=label)
    for row in rows:
        if row["anchor"] and row["state"] == COMPLETE:
            color, label = ANCHOR_STYLE[row["anchor"]]
            axes.axhline(row["val_ce"], color=color, lw=2, ls="--", label=f"{label}: {row['val_ce']:.3f}")
    if parameter.kind == "log_uniform":
        axes.set_xscale("log")
    names = {"beta": "β, weight of the hidden states", "alpha": "α, weight of the teachers' logits"}
    axes.set_xlabel(names.get(parameter.name, parameter.name))
    axes.legend(frameon=False, fontsize=9)
