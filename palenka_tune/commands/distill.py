"""`python -m palenka_tune.distill --out DIR`: train one student with fixed settings, no search."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palenka_tune.cache.settings import CacheSettings
from palenka_tune.cluster.session import Resources, ray_session, resolve_device
from palenka_tune.commands.options import DEFAULT_STORAGE, Parser, add_experiment_options, line_logger
from palenka_tune.config.build import leaf_paths, parse_assignment
from palenka_tune.config.files import check_writable, fingerprint, write_json
from palenka_tune.data import prepare as data
from palenka_tune.errors import UserError
from palenka_tune.search.experiment import Experiment, experiment_from, resolve_overrides, resolve_tree

if TYPE_CHECKING:
    from palenka_tune.teachers.spec import Teacher

DESCRIPTION = """\
Train one student with fixed settings and write DIR/metrics.json, DIR/student (a Hugging Face model).

L = CE + alpha * KL(teachers, student) + beta * distance of hidden states; alpha=0 and beta=0 is plain training and
needs no teachers. The teachers run on every batch; --cached keeps their outputs first, as a search does, which pays for
several epochs or students. A command that was stopped goes on from its last checkpoint when it is given again."""

EXAMPLES = """\
  python -m palenka_tune.distill --out my_student --set alpha=1 --set beta=3 --set projection.rank=64
  python -m palenka_tune.distill --out baseline --set alpha=0 --set beta=0
  python -m palenka_tune.distill --out long --data ../babylm_10M --scale small --set epochs=4 --set lr=1e-3"""


@dataclass(frozen=True)
class DistillConfig:
    """One student: `experiment` says how, `out` where; artifacts (data, teachers) are shared in `storage`."""

    experiment: Experiment
    out: Path
    storage: Path
    device: str = "auto"
    quiet: bool = False


def main(config: DistillConfig) -> dict[str, Any]:
    """Train the student and return what `metrics.json` holds: `val_ce` (nats per token), the curve, the settings."""
    experiment = config.experiment
    log = line_logger(config.quiet)
    experiment.check_distillation(experiment.distill)
    device = resolve_device(config.device)
    data.check(experiment.data)
    check_writable(config.storage)
    out = check_writable(config.out)
    if (out / "metrics.json").exists():
        raise UserError(f"--out {config.out} holds a finished student; give another folder or delete that one")
    prepared = data.prepare(experiment.data, config.storage, log=log)
    log(prepared.describe())
    # torch and transformers: only now, when the input is known to be good
    from palenka_tune.models.card import model_card
    from palenka_tune.models.export import export_student
    from palenka_tune.search.student import Bench, BenchSpec
    from palenka_tune.search.training import CHECKPOINT, train_to_end

    teachers: list[Teacher] = []
    cache: str | None = None
    if experiment.distill.alpha or experiment.distill.beta:
        teachers, cache = _signals(experiment, prepared, config.storage, log)
    bench = Bench(
        BenchSpec(
            str(prepared.store.folder),
            experiment.student,
            tuple(str(teacher.folder) for teacher in teachers),
            device,
            cache,
        )
    )
    loop = bench.loop(experiment.distill, experiment.recipe, seed=experiment.seed)
    identity = fingerprint({"experiment": dataclasses.asdict(experiment), "data": prepared.fingerprint})
    metrics = {
        **train_to_end(loop, out, identity, log=log),
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
    )
    export_student(loop.model, prepared.tokenizer_dir, out / "student", card=card)
    write_json(out / "metrics.json", metrics)
    (out / CHECKPOINT).unlink()
    print(f"val/ce {metrics['val_ce']:.4f} nats per token; {out / 'metrics.json'}, {out / 'student'}")
    return metrics


def _signals(
    experiment: Experiment, prepared: data.PreparedData, storage: Path, log: Callable[[str], None]
) -> tuple[list[Teacher], str | None]:
    """The teachers, and the folder of their cache if one is wanted; Ray is started only for what is not there yet."""
    from palenka_tune.cache.plan import need_of
    from palenka_tune.search import caching, teaching

    teaching.open_given(experiment, prepared)
    with contextlib.ExitStack() as stack:

        @functools.cache
        def resources() -> Resources:
            return stack.enter_context(ray_session())

        use_gpu = bool(teaching.missing(experiment, prepared, storage)) and resources().gpus > 0
        teachers = teaching.obtain(experiment, prepared, storage, use_gpu=use_gpu, log=log)
        shapes = tuple(teacher.shape for teacher in teachers)
        need = need_of([experiment.distill], experiment.student_shape, shapes)
        cache = caching.obtain(experiment, need, teachers, prepared.store, storage, resources, log)
    return teachers, None if cache is None else str(cache.folder)


def parser() -> Parser:
    """The options of the command."""
    parser = Parser("distill", DESCRIPTION, EXAMPLES)
    add_experiment_options(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for metrics.json and the student")
    parser.add_argument(
        "--device", default="auto", choices=["auto", "cpu", "cuda"], help="default: a GPU if there is one"
    )
    parser.add_argument("--cached", action="store_true", help="run the teachers once and train from their cache")
    return parser


def cli(argv: Sequence[str]) -> int:
    """Parse, run, return the exit code."""
    args = parser().parse_args(argv)
    assignments = [parse_assignment(text) for text in args.overrides]
    overrides = resolve_overrides(assignments, leaf_paths(Experiment))
    options = {"scale": args.scale, "data.source": args.data, "seed": args.seed}
    form = CacheSettings().form if args.cached else "online"
    tree = resolve_tree({"cache": {"form": form}}, options, overrides, "distill")
    config = DistillConfig(
        experiment_from(tree, "distill"), Path(args.out), Path(args.storage or DEFAULT_STORAGE), args.device, args.quiet
    )
    main(config)
    return 0
