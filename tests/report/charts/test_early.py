"""Early looks: lines cross where orders differ, and nothing is drawn of what was not seen."""

from __future__ import annotations

import dataclasses
import math

import pytest

from palenka_tune.report.charts.early import early_figure, fresh_look, rungs, seen_early
from palenka_tune.report.data import RunData
from palenka_tune.trials.arms import LOGITS, PLAIN, STARTUP
from palenka_tune.trials.rows import COMPLETE
from tests.report import synthetic
from tests.report.synthetic import trial

# at 25 % b leads, at 50 % and at the end a does
A = trial(2, {}, val_ce=4.5, origin=STARTUP, early=(1.0, 0.1))
B = trial(3, {}, val_ce=4.6, origin=STARTUP, early=(0.5, 0.2), arm=LOGITS)
C = trial(4, {}, val_ce=4.9, origin=STARTUP, early=(0.4, 0.4), arm=PLAIN)
CHOSEN = trial(5, {}, val_ce=4.0)


def of(*trials, **more):
    return synthetic.run(trials=trials, **{"finalists": None, **more})


def lines(plot):
    """{trial: its places}, and {trial: whether its line is the thick one}."""
    places, widths = {}, {}
    for series in plot.series:
        for point in series.points:
            if not math.isnan(point.x):
                name = point.hover.partition(" ")[0]
                places.setdefault(name, []).append((point.x, point.y))
                widths[name] = series.line
    return places, widths


def test_a_line_goes_from_place_to_place_and_crosses_where_the_order_changes() -> None:
    (chart,) = early_figure(of(A, B, C, CHOSEN)).charts
    places, widths = lines(chart.body)
    assert places == {
        "trial-0002": [(0, 3), (1, 1), (2, 1)],
        "trial-0003": [(0, 1), (1, 2), (2, 2)],
        "trial-0004": [(0, 2), (1, 3), (2, 3)],
    }
    assert max(widths, key=widths.get) == "trial-0002"
    assert [text for _, text in chart.body.x.ticks] == ["25 %", "50 %", "end"]
    low, high = chart.body.y.ends
    assert low > high  # the first place is at the top
    hover = chart.body.series[-1].points[0].hover
    assert hover == "trial-0002 (hidden, startup)\n25 %: place 3, val/ce 5.5000"


def test_every_trial_that_no_result_chose_has_its_line() -> None:
    run = synthetic.run(60)
    places, _ = lines(early_figure(run).charts[0].body)
    unselected = {each.trial_id for each in run.trials if each.origin != "proposed" and each.state == COMPLETE}
    assert set(places) == unselected == {each.trial_id for each in seen_early(run)}
    for look in range(3):
        assert sorted(places[name][look][1] for name in places) == list(range(1, len(places) + 1))


def test_a_trial_that_lacks_a_look_has_no_place_there() -> None:
    short = dataclasses.replace(C, curve={450: 5.3, 900: 4.9})
    places, _ = lines(early_figure(of(A, B, short)).charts[0].body)
    assert places["trial-0004"] == [(1, 3), (2, 3)]
    assert places["trial-0002"][0] == (0, 2)


def test_fresh_seeds_are_their_mean_beside_every_seed() -> None:
    fresh = {"trial-0002": (4.6, 4.8), "trial-0003": (4.62, 4.66), "trial-0099": (4.0,)}
    finalists = dataclasses.replace(synthetic.finalists(), fresh=fresh)
    run = of(A, B, finalists=finalists)
    plot = early_figure(run).charts[1].body
    ends = {series.name: [point.y for point in series.points] for series in plot.series if series.name}
    assert ends["hidden, trial-0002"] == pytest.approx([4.5, 4.7])
    assert ends["logits, trial-0003"] == pytest.approx([4.6, 4.64])
    assert [point.y for series in plot.series if not series.name for point in series.points] == [4.62, 4.66, 4.6, 4.8]
    look = fresh_look(run)
    assert (look.pairs, look.pairs_in_order, look.tau) == (1, 0, None)


@pytest.mark.parametrize(
    "run",
    [RunData("young", "preparing"), of(A), of(A, CHOSEN), of(A, B, total_steps=None)],
    ids=["no trial", "one trial", "chosen by a result", "steps not known"],
)
def test_what_cannot_be_compared_is_not_drawn(run) -> None:
    assert rungs(run) == []
    assert fresh_look(run) is None
    assert early_figure(run) is None
