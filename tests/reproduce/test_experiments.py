"""The poster's rows as experiments: what is trained for them, each once, and with which loss."""

from __future__ import annotations

import pytest

from palenka_tune.errors import UserError
from palenka_tune.reproduce.experiments import ReproduceConfig, loss_of
from palenka_tune.reproduce.rows import ROWS, chosen_rows
from palenka_tune.reproduce.scales import SCALES
from palenka_tune.spaces.poster_method import AS_PUBLISHED, CORRECTED

DISTILLED = [row for row in ROWS.values() if row.kind != "baseline"]


@pytest.mark.parametrize("scale", SCALES.values(), ids=list(SCALES))
@pytest.mark.parametrize("method", [AS_PUBLISHED, CORRECTED])
@pytest.mark.parametrize("row", DISTILLED, ids=[row.name for row in DISTILLED])
def test_every_distilled_row_is_a_loss_that_its_models_can_have(row, method, scale):
    experiment = ReproduceConfig(scale=scale.name, method=method, seed=3).experiment(row)
    experiment.check_distillation(experiment.distill)
    assert experiment.student.train_windows is None
    assert experiment.student.train_fraction == 1
    assert len(experiment.teachers) == 2
    assert (experiment.data.vocabulary, experiment.data.window) == (scale.vocabulary, scale.window)


def test_the_methods_differ_in_gradient_and_units_alone():
    row = ROWS["PalenkaLlama1-58M-L0.1-H0.3"]
    published, corrected = loss_of(row, AS_PUBLISHED), loss_of(row, CORRECTED)
    assert (published.hidden_gradient, published.kl_reduction) == (False, "sequence")
    assert (corrected.hidden_gradient, corrected.kl_reduction) == (True, "token")
    for loss in (published, corrected):
        assert (loss.ce_weight, loss.alpha, loss.beta, loss.temperature) == (1.0, 0.1, 0.3, 2.0)
        assert loss.projection.layer_map == "poster"
    assert loss_of(ROWS["BabyLlama1-58M"], CORRECTED).ce_weight == 0.5


def test_shared_teachers_are_trained_once_and_the_longest_training_comes_first():
    specs = ReproduceConfig(scale="tiny").all_plain_trainings(chosen_rows())
    # five baselines; of the same architectures four teachers with fewer epochs
    assert len(specs) == 9
    assert specs[0].preset.name == "GPT2-705M@tiny"
    names = [spec.preset.name for spec in specs]
    assert {name for name in names if names.count(name) == 2} == {
        f"{name}@tiny" for name in ("GPT2-44M", "Llama-60M", "GPT2-705M", "Llama-360M")
    }
    three = ReproduceConfig(scale="tiny").all_plain_trainings(DISTILLED[2:])
    assert [spec.preset.name for spec in three] == ["GPT2-705M@tiny", "Llama-360M@tiny"]


def test_a_baseline_is_trained_itself_and_a_distilled_row_has_its_teachers_trained():
    config = ReproduceConfig(scale="tiny", seed=7)
    (own,) = config.plain_trainings(ROWS["Llama-60M"])
    assert (own.preset.name, own.recipe.epochs, own.seed) == ("Llama-60M@tiny", 1, 7)
    teachers = config.plain_trainings(ROWS["DistilledGPT-44M"])
    assert [(spec.preset.name, spec.recipe.epochs) for spec in teachers] == [
        ("GPT2-44M@tiny", 0.6),
        ("Llama-60M@tiny", 0.4),
    ]


def test_a_run_has_a_name_that_stays_in_the_storage_folder():
    assert ReproduceConfig(method=AS_PUBLISHED).run_name == "poster-tiny-as-published"
    with pytest.raises(UserError, match="cannot be a run's name"):
        ReproduceConfig(name="../elsewhere").run_name  # noqa: B018
