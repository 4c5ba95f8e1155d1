"""What is trained for the poster's rows: plain trainings (baselines, and teachers, which rows share), and for each
distilled row the `Experiment` that everything else in the product understands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from palenka_tune.data.prepare import BABYTALK, DataSettings
from palenka_tune.distill.settings import DistillSettings, ProjectionSettings
from palenka_tune.evaluation.suites import SuiteChoice
from palenka_tune.models.scales import parameter_count
from palenka_tune.reproduce.rows import Row
from palenka_tune.reproduce.scales import ReproduceScale, get_scale
from palenka_tune.runs.run_folder import check_name
from palenka_tune.spaces.experiment import Experiment, StudentSettings, TeacherSettings
from palenka_tune.spaces.poster_method import CORRECTED, method_settings
from palenka_tune.teachers.spec import TeacherSpec

# how the poster compares hidden states: raw, the narrower side projected by a linear map, its own layer maps
POSTER_PROJECTION = ProjectionSettings(direction="toward_larger", kind="linear", normalize="none", layer_map="poster")


@dataclass(frozen=True)
class ReproduceConfig:
    """What to reproduce and where. `rows` None: all ten. `suites` are those to score on; `concurrent` None: as many
    students at a time as there are cores, or GPUs."""

    scale: str = "tiny"
    method: str = CORRECTED
    rows: tuple[str, ...] | None = None
    source: str = BABYTALK
    seed: int = 0
    storage: str = "./palenka_runs"
    name: str | None = None
    suites: tuple[SuiteChoice, ...] = ()
    address: str | None = None
    concurrent: int | None = None

    @property
    def run_name(self) -> str:
        return check_name(self.name or f"poster-{self.scale}-{self.method.replace('_', '-')}")

    @property
    def at(self) -> ReproduceScale:
        return get_scale(self.scale)

    @property
    def data(self) -> DataSettings:
        return DataSettings(self.source, self.at.vocabulary, self.at.window)

    def plain_trainings(self, row: Row) -> list[TeacherSpec]:
        """What is trained without teachers for a row: the teachers of a distilled one, a baseline itself."""
        recipes = row.teacher_recipes or {row.preset: row.recipe}
        return [self.at.training(name, recipe, self.seed) for name, recipe in recipes.items()]

    def all_plain_trainings(self, rows: Sequence[Row]) -> list[TeacherSpec]:
        """Everything that is trained without teachers, each once, the longest first, so that none is left alone at the
        end while other cores idle."""

        def work(spec: TeacherSpec) -> float:
            return spec.recipe.epochs * parameter_count(spec.preset, self.at.vocabulary, self.at.window)

        specs = dict.fromkeys(spec for row in rows for spec in self.plain_trainings(row))
        return sorted(specs, key=work, reverse=True)

    def experiment(self, row: Row) -> Experiment:
        """A distilled row as an experiment on all train windows."""
        return Experiment(
            scale=self.scale,
            seed=self.seed,
            data=self.data,
            student=StudentSettings(self.at.preset(row.preset).name, dev_windows=self.at.dev_windows),
            recipe=self.at.recipe(row.recipe),
            teachers=[TeacherSettings(spec.preset.name, spec.recipe, spec.seed) for spec in self.plain_trainings(row)],
            distill=loss_of(row, self.method),
        )


def loss_of(row: Row, method: str) -> DistillSettings:
    """The loss of a distilled row: the poster's weights, in the units and with the gradient of `method`."""
    settings = {
        path.removeprefix("distill."): value
        for path, value in method_settings(method).items()
        if path.startswith("distill.")
    }
    weights = {name: getattr(row, name) for name in ("alpha", "beta", "ce_weight", "temperature")}
    return DistillSettings(**weights, projection=POSTER_PROJECTION, **settings)
