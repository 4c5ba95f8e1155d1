"""One student with fixed settings, no search: `students.run(...)`, which `python -m palenka_tune.distill` calls too."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palenka_tune.cache.settings import CacheSettings
from palenka_tune.cluster.session import Resources, protect, ray_session, resolve_device
from palenka_tune.config.build import check_keywords, leaf_paths
from palenka_tune.config.console import make_console, progress_on
from palenka_tune.config.environment import calm_libraries
from palenka_tune.config.files import check_writable, fingerprint, write_json
from palenka_tune.config.options import changed_options, flag, option, settings_of, split_options, takes_options
from palenka_tune.data import prepare as data
from palenka_tune.errors import UserError
from palenka_tune.models.folder import STUDENT
from palenka_tune.spaces.experiment import Experiment, experiment_from, resolve_overrides, resolve_tree
from palenka_tune.spaces.given import open_given
from palenka_tune.spaces.options import ExperimentOptions, StorageOptions

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from palenka_tune.teachers.spec import Teacher

METRICS_JSON = "metrics.json"
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DistillOptions(StorageOptions, ExperimentOptions):
    """One student: how it is trained and where; data and teachers are shared in `storage`."""

    out: str = option(
        "folder for metrics.json and the student; a stopped training resumes from its checkpoint there",
        "DIR",
        default=dataclasses.MISSING,
    )
    device: str = option("auto is a GPU if there is one (the default)", default="auto", choices=["auto", "cpu", "cuda"])
    cached: bool = flag("run the teachers once and train from their cache")


@dataclass(frozen=True)
class DistillResult:
    """A student that was trained to its end.

    Attributes:
        folder: Holds `metrics.json` and `student/`, a Hugging Face model.
        metrics: What `metrics.json` holds: `val_ce`, the other dev terms, the `curve` of the validations, `steps`,
            `tokens`, `seconds`, the settings, the teachers.
    """

    folder: Path
    metrics: dict[str, Any] = field(repr=False)

    @property
    def val_ce(self) -> float:
        """The student's own cross-entropy on dev, in nats per token."""
        return float(self.metrics["val_ce"])

    @property
    def student(self) -> Path:
        """The folder of the student, which `AutoModelForCausalLM.from_pretrained` loads."""
        return self.folder / STUDENT

    def load_student(self, device: str = "cpu") -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        """The student, in evaluation mode, and its tokenizer."""
        from palenka_tune.models.export import load_model

        return load_model(self.student, device=device)


@takes_options(DistillOptions)
def run(experiment: Experiment | None = None, *, quiet: bool = True, **more: Any) -> DistillResult:
    """Train one student with fixed settings.

        students.run(out="my_student", data="my_corpus", alpha=1, beta=3, rank=64)

    Args:
        experiment: All that shapes the student, such as `search.configure(...).experiment`; None is the scale's, with
            what follows. Given together with any of that it is refused.
        quiet: Show nothing; False shows the progress.
        {options}
        settings: `{name: value}` as `--set` takes them, such as `{"projection.rank": 64}`.
        more: Settings as keywords, such as `alpha=1`.

    Raises:
        UserError: for input that cannot work, before any work begins.
    """
    options, settings = split_options(DistillOptions, {**more, "quiet": quiet})
    check_keywords(settings, [*leaf_paths(Experiment), *inspect.signature(run).parameters], "students.run")
    asked = [*settings, *changed_options(options, ExperimentOptions), *(["cached"] if options.cached else [])]
    if experiment is None:
        overrides = resolve_overrides([*options.settings.items(), *settings.items()], leaf_paths(Experiment))
        form = CacheSettings().form if options.cached else "online"
        tree = resolve_tree({"cache": {"form": form}}, settings_of(options), overrides, "distill")
        experiment = experiment_from(tree, "distill")
    elif asked:
        raise UserError(f"students.run: {asked[0]} was given beside an Experiment, which holds it; give one of them")
    calm_libraries()
    with progress_on(make_console(), quiet=options.quiet):
        return main(experiment, options)


def main(experiment: Experiment, options: DistillOptions) -> DistillResult:
    """Train the student; raises `UserError` for input that cannot work, before torch is loaded."""
    experiment.check_distillation(experiment.distill)
    device = resolve_device(options.device)
    taught = experiment.distill.alpha or experiment.distill.beta or experiment.student.init == "teacher"
    if taught:
        protect(None)
    data.check(experiment.data)
    storage = check_writable(options.storage)
    experiment = open_given(experiment, storage)
    out = check_writable(options.out)
    if (out / METRICS_JSON).exists():
        raise UserError(f"--out {options.out} holds a finished student; give another folder or delete that one")
    prepared = data.prepare(experiment.data, storage)
    logger.info(prepared.describe())
    # torch and transformers: only now, when the input is known to be good
    from palenka_tune.models.card import model_card
    from palenka_tune.models.export import export_student
    from palenka_tune.models.origin import origin_of
    from palenka_tune.models.sample import sample
    from palenka_tune.students.bench import Bench, BenchSpec
    from palenka_tune.students.fit import CHECKPOINT, train_to_end

    teachers: list[Teacher] = []
    cache: str | None = None
    if taught:
        teachers, cache = _signals(experiment, prepared, storage)
    folders = tuple(str(teacher.folder) for teacher in teachers)
    bench = Bench(BenchSpec(str(prepared.store.folder), experiment.student, folders, device, cache))
    loop = bench.loop(experiment.distill, experiment.recipe, seed=experiment.seed)
    asked = dataclasses.asdict(experiment)
    del asked["recipe"]["step"]  # which changes nothing
    identity = fingerprint({"experiment": asked, "data": prepared.fingerprint})
    metrics = {
        **train_to_end(loop, out, identity),
        "settings": dataclasses.asdict(experiment),
        "data_fingerprint": prepared.fingerprint,
        "teachers": {teacher.name: teacher.fingerprint for teacher in teachers},
    }
    settings = {**dataclasses.asdict(experiment.distill), **dataclasses.asdict(experiment.recipe)}
    card = model_card(
        title=out.name,
        model=loop.model,
        data=prepared.describe(),
        settings=settings,
        val_ce=metrics["val_ce"],
        teachers=[teacher.name for teacher in teachers],
        origin=origin_of(prepared.name, [teacher.folder for teacher in teachers]),
        sample=sample(loop.model, prepared.tokenizer_dir, prepared.store),
    )
    export_student(loop.model, prepared.tokenizer_dir, out / STUDENT, card=card)
    write_json(out / METRICS_JSON, metrics)
    (out / CHECKPOINT).unlink()
    return DistillResult(out, metrics)


def _signals(experiment: Experiment, prepared: data.PreparedData, storage: Path) -> tuple[list[Teacher], str | None]:
    """The teachers, and the folder of their cache if one is wanted; Ray is started only for what is missing."""
    from palenka_tune.cache.plan import candidates, need_of
    from palenka_tune.students.teacher_cache import obtain_cache
    from palenka_tune.students.teachers import missing_teachers, obtain_teachers, open_given_teachers, teacher_shapes

    shapes = teacher_shapes(experiment, open_given_teachers(experiment, prepared))
    need = need_of([experiment.distill], experiment.student_shape, shapes)
    # refuses a form of cache that cannot serve the loss before a teacher is trained
    candidates(need, experiment.cache, shapes, prepared.store.vocabulary_size, experiment.seed)
    with contextlib.ExitStack() as stack:

        @functools.cache
        def resources() -> Resources:
            return stack.enter_context(ray_session())

        use_gpu = bool(missing_teachers(experiment, prepared, storage)) and resources().gpus > 0
        teachers = obtain_teachers(experiment, prepared, storage, use_gpu=use_gpu)
        cache = obtain_cache(experiment, need, teachers, prepared.store, storage, resources)
    return teachers, None if cache is None else str(cache.folder)
