"""The poster's grid: the searches that are run for it, and what is said of a finished one."""

from __future__ import annotations

import itertools

import pytest

from palenka_tune.reproduce.experiments import ReproduceConfig
from palenka_tune.reproduce.grid import configure, describe, read_grid, sentences
from palenka_tune.reproduce.scales import SCALES
from palenka_tune.runs.tables import write_rows
from palenka_tune.spaces.poster_method import AS_PUBLISHED, CORRECTED
from palenka_tune.spaces.resolve import check_space
from palenka_tune.spaces.settings import grid_size
from palenka_tune.trials.arms import arms_of
from palenka_tune.trials.rows import TrialRow

WEIGHTS = (0.1, 0.3, 0.5)


@pytest.mark.parametrize("method", [AS_PUBLISHED, CORRECTED])
@pytest.mark.parametrize("scale", SCALES)
def test_the_grid_is_25_points_on_the_posters_student_at_any_scale(scale, method):
    config = configure(ReproduceConfig(scale=scale, seed=5), method)
    check_space(config, "grid")
    assert grid_size(config.space) == 25
    assert [(arm.name, arm.samples, arm.has_fixed) for arm in arms_of(config)] == [
        ("plain", 0, True),
        ("logits", 0, True),
        ("hidden", 25, False),
    ]
    assert config.search.rungs == []
    assert config.search.seeds == 0
    assert config.search.objective == ("val_total" if method == AS_PUBLISHED else "val_ce")
    experiment = config.experiment
    assert experiment.student.preset.startswith("PalenkaLlama1-58M")
    assert [teacher.preset.partition("@")[0] for teacher in experiment.teachers] == ["GPT2-705M", "Llama-360M"]
    assert (experiment.student.train_fraction, experiment.student.train_windows) == (0.2, None)
    assert experiment.distill.hidden_gradient == (method == CORRECTED)
    assert experiment.seed == experiment.teachers[0].seed == 5


def write(path, val_ce, val_total):
    """A search's table: the fixed settings of the other arms, and the grid with a cell that failed."""
    rows = [
        TrialRow(f"trial-000{number}", "COMPLETE", arm, "fixed", {"alpha": alpha, "beta": 0.0}, 1.0, val_total=1.0)
        for number, (arm, alpha) in enumerate((("plain", 0.0), ("logits", 0.1)))
    ]
    for a, b in itertools.product(WEIGHTS, WEIGHTS):
        state, values = "FAILED" if (a, b) == (0.3, 0.3) else "COMPLETE", {"alpha": a, "beta": b}
        name = f"trial-{len(rows):04d}"
        rows.append(TrialRow(name, state, "hidden", "proposed", values, val_ce(a, b), val_total=val_total(a, b)))
    write_rows(path, rows)
    return path


def test_as_published_the_total_is_a_line_and_the_student_does_not_care(tmp_path):
    grid = read_grid(write(tmp_path / "t.parquet", lambda a, b: 4.0 - a, lambda a, b: 4.0 - a + 20 * a + 5.95 * b))
    found = describe(grid)
    assert found["picks"]["val_total"] == {"alpha": 0.1, "beta": 0.1, "value": pytest.approx(6.495), "equal": 1}
    assert found["picks"]["val_ce"]["alpha"] == 0.5
    assert found["picks"]["val_ce"]["equal"] == 3
    assert all(line["r2"] > 0.999 for line in found["linear_in_beta"]["val_total"] if line["r2"] is not None)
    said = " ".join(sentences(AS_PUBLISHED, grid))
    assert "the total loss picks alpha 0.1, beta 0.1" in said
    assert "the student's own cross-entropy picks alpha 0.5, beta 0.1 (3.5000), as do 2 other cells" in said
    assert "slope 5.95 to 5.95" in said
    assert "changes with beta by 0 nats" in said
    assert found["val_ce"][1][1] is None  # the failed cell
