"""The poster's rows as experiments: which models must be trained, and what each distilled row learns from them.

In: a row, a scale, a method. Out: the plain trainings (baselines, and teachers, which rows share) and, for a distilled
row, the `Experiment` that everything else in the product understands.
"""

from __future__ import annotations

from collections.abc import Sequence

from palenka_tune.data.prepare import DataSettings
from palenka_tune.distill.settings import DistillSettings, ProjectionSettings
from palenka_tune.models.presets import get_preset
from palenka_tune.models.scales import parameter_count
from palenka_tune.reproduce.recipes import ReproduceScale, Row, preset_name, row_recipe, teacher_recipe
from palenka_tune.spaces.experiment import Experiment, StudentSettings, TeacherSettings
from palenka_tune.spaces.poster_method import method_settings
from palenka_tune.teachers.spec import TeacherSpec

# how the poster compares hidden states: raw, the narrower side projected by a linear map, its own layer maps
POSTER_PROJECTION = ProjectionSettings(direction="toward_larger", kind="linear", normalize="none", layer_map="poster")


def loss_of(row: Row, method: str) -> DistillSettings:
    """The loss of a distilled row: the poster's weights, in the units and with the gradient of `method`."""
    chosen = {
        path.removeprefix("distill."): value
        for path, value in method_settings(method).items()
        if path.startswith("distill.")
    }
    return DistillSettings(
        alpha=row.alpha,
        beta=row.beta,
        ce_weight=row.ce_weight,
        temperature=row.temperature,
        projection=POSTER_PROJECTION,
        **chosen,
    )


def experiment_of(row: Row, scale: ReproduceScale, method: str, source: str, seed: int) -> Experiment:
    """A distilled row as an experiment on all train windows."""
    return Experiment(
        scale=scale.name,
        seed=seed,
        data=data_of(scale, source),
        student=StudentSettings(preset_name(row.preset, scale), dev_windows=scale.dev_windows),
        recipe=row_recipe(row, scale),
        teachers=[
            TeacherSettings(preset_name(name, scale), teacher_recipe(name, row, scale), seed) for name in row.teachers
        ],
        distill=loss_of(row, method),
    )


def data_of(scale: ReproduceScale, source: str) -> DataSettings:
    return DataSettings(source, scale.vocabulary, scale.window)


def own_spec(row: Row, scale: ReproduceScale, seed: int) -> TeacherSpec:
    """The training of a baseline."""
    return TeacherSpec(get_preset(preset_name(row.preset, scale)), row_recipe(row, scale), seed)


def teacher_specs(row: Row, scale: ReproduceScale, seed: int) -> list[TeacherSpec]:
    """The trainings of a distilled row's teachers."""
    return [
        TeacherSpec(get_preset(preset_name(name, scale)), teacher_recipe(name, row, scale), seed)
        for name in row.teachers
    ]


def plain_trainings(rows: Sequence[Row], scale: ReproduceScale, seed: int) -> list[TeacherSpec]:
    """Everything that is trained without teachers, each once, the longest first, so that none is left alone at the
    end while other cores idle."""
    specs: list[TeacherSpec] = []
    for row in rows:
        wanted = [own_spec(row, scale, seed)] if row.kind == "baseline" else teacher_specs(row, scale, seed)
        specs += [spec for spec in wanted if spec not in specs]

    def work(spec: TeacherSpec) -> float:
        return spec.recipe.epochs * parameter_count(spec.preset, scale.vocabulary, scale.window)

    return sorted(specs, key=work, reverse=True)
