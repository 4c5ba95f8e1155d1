"""The projections are drawn where they were measured."""

from __future__ import annotations

from palenka_tune.report.charts.projections import explained_figure, spread_figure
from palenka_tune.trials.arms import HIDDEN
from tests.report import synthetic


def test_explained_variance_has_a_row_per_layer() -> None:
    heat = explained_figure(synthetic.run()).charts[0].body
    assert heat.rows[0] == "GPT2-tiny 0"
    assert heat.columns == ["1", "4", "16", "64"]
    assert [cell.text for cell in heat.cells[0]] == ["30", "50", "70", "90"]
    assert explained_figure(synthetic.run(layers=())) is None


def test_the_spread_of_targets_is_there_where_it_was_measured() -> None:
    run = synthetic.run()
    (series,) = spread_figure(run).charts[0].body.series
    assert [point.y for point in series.points] == [each.val_ce for each in run.complete() if each.arm == HIDDEN]
    assert spread_figure(synthetic.run(trials=tuple(synthetic.fixed()[:2]))) is None
