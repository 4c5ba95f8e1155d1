"""What is trained for the poster's rows: plain trainings (baselines, and teachers, which rows share), and for each
distilled row the `Experiment` that everything else in the product understands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from palenka_tune.config.options import option
from palenka_tune.data.prepare import BABYTALK, DataSettings
from palenka_tune.distill.settings import DistillSettings, ProjectionSettings
from palenka_tune.evaluation.suites import SuiteChoice, choices_in
from palenka_tune.models.scales import parameter_count
from palenka_tune.reproduce.rows import Row
from palenka_tune.reproduce.scales import SCALES, ReproduceScale, get_scale
from palenka_tune.runs.run_folder import check_name
from palenka_tune.spaces.experiment import Experiment, StudentSettings, TeacherSettings
from palenka_tune.spaces.options import RayOptions
from palenka_tune.spaces.poster_method import CORRECTED, METHODS, method_settings
from palenka_tune.teachers.spec import TeacherSpec

# how the poster compares hidden states: raw, the narrower side projected by a linear map, its own layer maps
POSTER_PROJECTION = ProjectionSettings(direction="toward_larger", kind="linear", normalize="none", layer_map="poster")


def _names(text: str) -> tuple[str, ...]:
    """`A, B` as ("A", "B")."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


@dataclass(frozen=True, kw_only=True)
class ReproduceConfig(RayOptions):
    """What to reproduce and where."""

    scale: str = option(f"{', '.join(SCALES)} (default: tiny, minutes on two cores)", "NAME", default="tiny")
    rows: tuple[str, ...] | None = option("only these rows (default: all ten)", "NAME,NAME", type=_names)
    method: str | None = option(
        f"as the poster ran it, or as it should be (default: {CORRECTED}; grid: both)", choices=list(METHODS)
    )
    data: str | None = option(
        "a folder in BabyLM layout, a Hugging Face dataset id, or the built-in corpus (default: babytalk)",
        "DIR|babytalk|OWNER/NAME",
    )
    source: str | None = option(
        "a folder with blimp/, blimp_supplement/ or ewok/ to score on (default: the corpus' own pairs, if any)", "DIR"
    )
    name: str | None = option("the run's name (default: poster-SCALE-METHOD)")
    seed: int = option("seed of everything random (default: 0)", "N", default=0)
    concurrent: int | None = option("students at a time (default: one per GPU or core)", "N")

    @property
    def run_name(self) -> str:
        return check_name(self.name or f"poster-{self.scale}-{self.chosen_method.replace('_', '-')}")

    @property
    def chosen_method(self) -> str:
        """The method of the rows."""
        return self.method or CORRECTED

    @cached_property
    def suites(self) -> tuple[SuiteChoice, ...]:
        """What `source` has to score on."""
        return choices_in(self.source, "--source") if self.source else ()

    @property
    def at(self) -> ReproduceScale:
        return get_scale(self.scale)

    @property
    def data_settings(self) -> DataSettings:
        return DataSettings(self.data or BABYTALK, self.at.vocabulary, self.at.window)

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
            data=self.data_settings,
            student=StudentSettings(self.at.preset(row.preset).name, dev_windows=self.at.dev_windows),
            recipe=self.at.recipe(row.recipe),
            teachers=[TeacherSettings(spec.preset.name, spec.recipe, spec.seed) for spec in self.plain_trainings(row)],
            distill=loss_of(row, self.chosen_method),
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
