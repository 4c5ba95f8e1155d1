"""Pictures of the grid over α and β, as PNG and SVG.

`grid_heat`: val/total and val/ce side by side, each with its values and a frame around the cell that it picks.
`grid_lines`: both over β, a line per α, with how straight val/total is. Backgrounds are white, so that both read on
light and dark pages; the colours (cividis, viridis) are for all eyes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from palenka_tune.config.files import atomic_path
from palenka_tune.reproduce.grid import Grid, Line, Pick, linear_in_beta, picks

FRAME = "#d55e00"
MARKERS = "osD^vP*X"
NAMES = {"val_total": "val/total", "val_ce": "val/ce"}
NOTES = {"val_total": "CE + α·KL + β·H, the poster's objective", "val_ce": "the student's own, our objective"}


def write_figures(folder: Path, grid: Grid, title: str) -> list[Path]:
    """Write `grid_heat` and `grid_lines` to `folder`, each as .svg and .png; returns the paths, SVG first."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with mpl.rc_context({"svg.hashsalt": "palenka", "axes.spines.top": False, "axes.spines.right": False}):
        for name, draw in (("grid_heat", _heat_maps), ("grid_lines", _lines)):
            figure = Figure(figsize=(10, 4.6), layout="constrained", facecolor="white")
            FigureCanvasAgg(figure)
            draw(figure, grid)
            figure.suptitle(title, x=0.01, ha="left", fontsize=11)
            for suffix, metadata in (("svg", {"Date": None}), ("png", None)):
                path = folder / f"{name}.{suffix}"
                with atomic_path(path) as temporary:
                    figure.savefig(temporary, format=suffix, dpi=150, metadata=metadata)
                paths.append(path)
    return sorted(paths, key=lambda path: path.suffix, reverse=True)


def _heat_maps(figure: Any, grid: Grid) -> None:
    chosen = picks(grid)
    for axes, metric in zip(figure.subplots(1, 2), NAMES, strict=True):
        _heat_map(figure, axes, grid, metric, chosen[metric])


def _heat_map(figure: Any, axes: Any, grid: Grid, metric: str, pick: Pick | None) -> None:
    import matplotlib as mpl
    from matplotlib.patches import Rectangle

    matrix = grid.matrix(metric)
    colours = mpl.colormaps["cividis_r"].with_extremes(bad="#e6e6e6")
    image = axes.imshow(np.ma.masked_invalid(matrix), cmap=colours, origin="lower", aspect="auto")
    digits = _digits(matrix)
    size = 10 if matrix.shape[1] <= 6 else 7
    for (row, column), value in np.ndenumerate(matrix):
        missing = bool(np.isnan(value))
        dark = not missing and _luminance(image.cmap(image.norm(value))) < 0.18
        shown = "no value" if missing else f"{value:.{digits}f}"
        axes.text(column, row, shown, ha="center", va="center", fontsize=size, color="white" if dark else "black")
    if pick:
        corner = grid.betas.index(pick.beta) - 0.5, grid.alphas.index(pick.alpha) - 0.5
        for colour, width in (("white", 6), (FRAME, 3.5)):
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=colour, lw=width, clip_on=False, zorder=3))
    axes.set_xticks(range(len(grid.betas)), [f"{beta:g}" for beta in grid.betas])
    axes.set_yticks(range(len(grid.alphas)), [f"{alpha:g}" for alpha in grid.alphas])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("β, weight of the hidden states")
    axes.set_ylabel("α, weight of the teachers' logits")
    tie = f" (one of {pick.equal} equal cells)" if pick and pick.equal > 1 else ""
    where = f"picks α {pick.alpha:g}, β {pick.beta:g}{tie}" if pick else "no cell finished"
    axes.set_title(f"{NAMES[metric]}: {where}\n({NOTES[metric]})", loc="left", fontsize=10)
    if pick:
        figure.colorbar(image, ax=axes, label="nats per token").outline.set_visible(False)


def _lines(figure: Any, grid: Grid) -> None:
    import matplotlib as mpl

    fitted = linear_in_beta(grid)
    shades = mpl.colormaps["viridis"](np.linspace(0, 0.85, len(grid.alphas)))
    for axes, metric in zip(figure.subplots(1, 2), NAMES, strict=True):
        straight = metric == "val_total"
        for place, (line, values) in enumerate(zip(fitted[metric], grid.matrix(metric), strict=True)):
            known = ~np.isnan(values)
            betas = np.asarray(grid.betas)[known]
            label = f"α {line.alpha:g}{_measured(line)}"
            style = {"color": shades[place], "marker": MARKERS[place % len(MARKERS)], "ms": 5}
            if straight and line.slope is not None and line.intercept is not None:
                axes.plot(betas, line.intercept + line.slope * betas, color=shades[place], lw=1.2)
                axes.plot(betas, values[known], lw=0, label=label, **style)
            else:
                axes.plot(betas, values[known], lw=1.2, label=label, **style)
        axes.set_xticks(grid.betas, [f"{beta:g}" for beta in grid.betas])
        axes.set_xlabel("β, weight of the hidden states")
        axes.set_ylabel(f"{NAMES[metric]} (nats per token)")
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.set_title(
            f"{NAMES[metric]}{' with least-squares lines in β' if straight else ''}", loc="left", fontsize=10
        )
        axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper left", bbox_to_anchor=(-0.05, -0.16))


def _measured(line: Line) -> str:
    if line.r2 is None:
        return ": does not change" if line.slope is not None and line.points > 2 else ""
    return f": slope {line.slope:.3g}, r² {_share(line.r2)}"


def _share(r2: float) -> str:
    """r², with more digits near 1."""
    return f"{r2:.3f}" if r2 < 0.9995 else f"{r2:.6f}"


def _luminance(colour: Sequence[float]) -> float:
    """Relative luminance (WCAG, with the plain power 2.2); black and white text contrast alike at 0.18."""
    return float(np.dot(np.asarray(colour[:3]) ** 2.2, (0.2126, 0.7152, 0.0722)))


def _digits(matrix: np.ndarray) -> int:
    """Decimals that tell the cells apart: three digits of their range, between 2 and 4."""
    known: Sequence[float] = matrix[~np.isnan(matrix)]
    spread = float(np.ptp(known)) if len(known) else 0.0
    return 2 if spread >= 1 or spread == 0 else 3 if spread >= 0.1 else 4
