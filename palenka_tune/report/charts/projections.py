"""Teachers' hidden states as targets: what their leading components hold, and whether projected targets collapse."""

from __future__ import annotations

from palenka_tune.report.charts.figure import NAN, Axis, Cell, Chart, Figure, HeatMap, Plot, Point, Series
from palenka_tune.report.data import RANKS, Layer, RunData


def explained_figure(run: RunData) -> Figure | None:
    """What share of each teacher's hidden state its leading components hold."""
    if not run.layers:
        return None
    ranks = [rank for rank in RANKS if any(rank in layer.explained for layer in run.layers)]
    heat = HeatMap(
        rows=[f"{layer.teacher} {layer.state}" for layer in run.layers],
        columns=[str(rank) for rank in ranks],
        cells=[[_share(layer, rank) for rank in ranks] for layer in run.layers],
        scale="share",
        x="leading principal components",
    )
    caption = (
        "Percent of a hidden state's variance over train that its leading principal components hold: what a target of "
        "that rank keeps. State 0 is the output of the embedding."
    )
    chart = Chart("explained variance by layer", heat, 110 + 28 * len(run.layers))
    return Figure("explained_variance", [chart], caption)


def _share(layer: Layer, rank: int) -> Cell:
    share = layer.explained.get(rank, NAN)
    hover = f"{layer.teacher}, hidden state {layer.state}\n{rank} components hold {100 * share:.1f} % of its variance"
    return Cell(share, f"{100 * share:.0f}" if rank in layer.explained else "", hover)


def spread_figure(run: RunData) -> Figure | None:
    """The spread of targets that trained weights project, beside how the student ended."""
    points = [
        Point(spread, trial.ce, f"{trial.trial_id}: spread {spread:.3g}, val/ce {trial.ce:.4f}")
        for trial in run.complete()
        if (spread := run.spreads.get(trial.trial_id)) is not None
    ]
    if not points:
        return None
    caption = (
        "A target that is projected by trained weights could become a constant, which any student matches: its spread "
        "would be near 0. Each point is a trial at its last step."
    )
    plot = Plot(Axis("standard deviation of the projected target"), Axis("val/ce"), [Series(points, marker=9)])
    return Figure("target_spread", [Chart("spread of projected targets", plot, 320)], caption)
