"""What a cache costs in accuracy: loss and gradient of each form against teachers that run, and the student it trains.

    python -m benchmarks.cache_fidelity [--storage DIR] [--json FILE]

The teachers are trained ones: those of scale tiny on the built-in corpus, from `--storage` or trained there first. The
first table compares, for a student after some steps, the loss alpha 1, beta 3, tau 2 with hidden states of full width
or of the rank that is kept, batch by batch, with the same loss from float32 teachers. The second compares ways to keep
the logits alone, by the gradient of the KL. The third trains a student with each and compares its dev cross-entropy.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.harness import Aim, Ratio, Report, parser
from palenka_tune.cache.build import obtain
from palenka_tune.cache.encode import entropy, systematic_sample
from palenka_tune.cache.plan import need_of
from palenka_tune.cache.settings import CacheSettings
from palenka_tune.cluster.session import protect, ray_session
from palenka_tune.commands.options import run
from palenka_tune.data.prepare import prepare
from palenka_tune.distill.objective import DistillationObjective
from palenka_tune.distill.settings import DistillSettings, ProjectionSettings
from palenka_tune.distill.signals import OnlineSource, SignalRequest, TeacherSignal, WindowBatch
from palenka_tune.distill.targets import ExactTargets, LogitTargets, SampledTargets
from palenka_tune.spaces.experiment import Experiment
from palenka_tune.spaces.resolve import resolve
from palenka_tune.students.bench import Bench, BenchSpec, select_windows
from palenka_tune.students.teachers import obtain_teachers

KEPT = {
    "final_hidden, float16": (CacheSettings(form="final_hidden"), None),
    "final_hidden, int8": (CacheSettings(form="final_hidden", hidden="int8"), None),
    "final_hidden, float16, 64 components": (CacheSettings(form="final_hidden"), 64),
    "final_hidden, float16, 32 components": (CacheSettings(form="final_hidden"), 32),
    "final_hidden, float16, 16 components": (CacheSettings(form="final_hidden"), 16),
    "final_hidden, int8, 32 components": (CacheSettings(form="final_hidden", hidden="int8"), 32),
    "dense, float16": (CacheSettings(form="dense"), None),
    "sampled, 64 ids": (CacheSettings(form="sampled", samples=64), None),
    "sampled, 12 ids": (CacheSettings(form="sampled", samples=12), None),
}
IDS = (4, 12, 32, 64, 128, 256)


def loss(rank: int | None, *, alpha: float = 1.0, beta: float = 3.0) -> DistillSettings:
    return DistillSettings(alpha=alpha, beta=beta, temperature=2.0, projection=ProjectionSettings(rank=rank))


def main(argv: Sequence[str]) -> int:
    arguments = parser("cache_fidelity", __doc__.partition("\n\n")[0])
    arguments.add_argument("--storage", default="palenka_runs", help="where teachers and caches are kept")
    arguments.add_argument("--data", default="babytalk", help="corpus (default: babytalk)")
    arguments.add_argument("--windows", type=int, default=4096, help="train windows of a student (default: 4096)")
    arguments.add_argument("--batches", type=int, default=4, help="batches of 16 windows compared (default: 4)")
    arguments.add_argument("--seeds", type=int, default=2, help="students trained with each form (default: 2)")
    args = arguments.parse_args(argv)
    options = {"data.source": args.data, "student.train_windows": args.windows}
    experiment = resolve("dskd", options=options).experiment
    protect(None)
    benches = make_benches(experiment, Path(args.storage).absolute())
    student = warm_student(benches["teachers online"], experiment)
    batches = make_batches(benches["teachers online"], args.batches)
    first = compare_forms(benches, student, batches)
    second = compare_logits(benches["teachers online"], student, batches)
    third = train(benches, experiment, args.seeds)
    exact = first["final_hidden, float16"]
    return Report(
        "cache_fidelity",
        "Loss and gradient of each form against float32 teachers that run",
        vars(args),
        ("form", "bytes a token", "KL", "hidden term", "total", "gradient cosine", "projections' cosine"),
        [
            (
                name,
                f"{size(benches[name]):,}",
                *(f"{found[key].median:.1e}" for key in ("kl", "hidden", "total")),
                *(f"{found[key].median:.6f}" for key in ("student", "projections")),
            )
            for name, found in first.items()
        ],
        {
            "final_hidden_float16_relative_loss_error": exact["total"],
            "final_hidden_float16_gradient_cosine": exact["student"],
        },
        aims={
            "final_hidden_float16_relative_loss_error": Aim("at most", 1e-3),
            "final_hidden_float16_gradient_cosine": Aim("at least", 0.999),
        },
        details={
            "forms": {name: dataclasses.asdict(Row(found)) for name, found in first.items()},
            "logits": second,
            "training": third,
        },
        notes=[
            "columns KL, hidden term and total are relative errors, medians over the batches",
            *lines(second, third),
        ],
    ).publish(args.json)


@dataclass(frozen=True)
class Row:
    """A form's figures."""

    figures: dict[str, Ratio]


def lines(logits: dict[str, dict[str, float]], training: dict[str, list[float]]) -> list[str]:
    """The second and third table as text."""
    out = ["", "the KL alone, logits kept as: cosine and angle of its gradient, relative error of its value"]
    out += [
        f"  {name:<36} {f['cosine']:.4f}  {math.degrees(math.acos(min(1.0, f['cosine']))):5.1f} degrees  {f['kl']:+.1e}"
        for name, f in logits.items()
    ]
    online = training["teachers online"]
    out += [
        "",
        "dev cross-entropy of a student trained with each (nats per token, per seed) and mean difference to online",
    ]
    for name, values in training.items():
        difference = statistics.mean(value - other for value, other in zip(values, online, strict=True))
        out.append(f"  {name:<44} {'  '.join(f'{value:.4f}' for value in values)}   {difference:+.4f}")
    return out


def make_benches(experiment: Experiment, storage: Path) -> dict[str, Bench]:
    """A bench with running teachers, and one for every way of keeping what they say."""
    prepared = prepare(experiment.data, storage)
    with ray_session() as resources:
        teachers = obtain_teachers(experiment, prepared, storage, use_gpu=resources.gpus > 0)
        shapes = tuple(teacher.shape for teacher in teachers)
        folders = {"teachers online": None}
        for name, (settings, rank) in KEPT.items():
            # each apart from all others: one of whole states serves every rank, and would be taken in its place
            apart = storage / "cache_fidelity" / name.replace(", ", "-").replace(" ", "_")
            apart.mkdir(parents=True, exist_ok=True)
            cache = obtain(
                need_of([loss(rank)], experiment.student_shape, shapes),
                settings,
                teachers,
                prepared.store,
                select_windows(prepared.store, experiment.student),
                apart,
                lambda: resources,
            )
            folders[name] = str(cache.folder)
    where = tuple(str(teacher.folder) for teacher in teachers)
    return {
        name: Bench(BenchSpec(str(prepared.store.folder), experiment.student, where, cache=folder))
        for name, folder in folders.items()
    }


def size(bench: Bench) -> int:
    """Bytes that the cache of a bench keeps of a token."""
    return int(bench.source.cache.manifest["bytes_per_token"])  # type: ignore[attr-defined]


def warm_student(bench: Bench, experiment: Experiment) -> nn.Module:
    """A student after 64 steps of plain training: its gradients are those of learning, not of the first step."""
    loop = bench.loop(loss(None, alpha=0, beta=0), experiment.recipe, seed=0)
    loop.run_until(64)
    return loop.model


def make_batches(bench: Bench, count: int) -> list[WindowBatch]:
    index = torch.linspace(0, len(bench.train) - 1, 16 * count).long()
    return [WindowBatch("train", part, bench.train[part].long()) for part in index.split(16)]


def objective(bench: Bench, settings: DistillSettings, source: Any = None) -> DistillationObjective:
    from palenka_tune.models.presets import get_preset
    from palenka_tune.spaces.experiment import shape_of

    shape = shape_of(get_preset(bench.spec.student.preset))
    return DistillationObjective(
        settings, shape, source or bench.source, total_steps=256, pad_id=bench.store.pad_id, seed=0
    )


def gradients(
    made: DistillationObjective, student: nn.Module, batch: WindowBatch
) -> tuple[dict[str, float], Tensor, Tensor]:
    """Loss terms, and the gradients of student and projections as vectors."""
    student.zero_grad(set_to_none=True)
    made.zero_grad(set_to_none=True)
    terms = made(student, batch, 0)
    terms.total.backward()

    def vector(module: nn.Module) -> Tensor:
        return torch.cat([torch.zeros(0), *(p.grad.flatten() for p in module.parameters() if p.grad is not None)])

    return {name: float(value) for name, value in terms.named().items()}, vector(student), vector(made)


def compare_forms(
    benches: dict[str, Bench], student: nn.Module, batches: list[WindowBatch]
) -> dict[str, dict[str, Ratio]]:
    """Per form: relative errors of the terms and cosines of the gradients over the batches."""
    online, found = benches["teachers online"], {}
    for name, (_, rank) in KEPT.items():
        reference, kept = objective(online, loss(rank)), objective(benches[name], loss(rank))
        kept.load_state_dict(reference.state_dict())
        each: dict[str, list[float]] = {}
        for batch in batches:
            exact, exact_student, exact_pairs = gradients(reference, student, batch)
            ours, our_student, our_pairs = gradients(kept, student, batch)
            for key in ("kl", "hidden", "total"):
                each.setdefault(key, []).append(abs(ours[key] / exact[key] - 1))
            each.setdefault("student", []).append(cosine(our_student, exact_student))
            each.setdefault("projections", []).append(cosine(our_pairs, exact_pairs))
        found[name] = {key: Ratio(statistics.median(v), min(v), max(v)) for key, v in each.items()}
    return found


def cosine(left: Tensor, right: Tensor) -> float:
    return float(torch.cosine_similarity(left.double(), right.double(), dim=0))


@dataclass(frozen=True)
class TopKTargets:
    """The K likeliest ids with their probabilities renormalised: what is often kept, and biased."""

    ids_NK: Tensor
    log_q_NK: Tensor

    def prepare(self, rows: slice, dtype: torch.dtype) -> list[Tensor]:
        return []

    def compare(self, rows: slice, prepared: list[Tensor], logits_CV: Tensor) -> tuple[Tensor, Tensor]:
        ids_CK, log_q_CK = self.ids_NK[rows], self.log_q_NK[rows]
        q_CK = log_q_CK.exp()
        log_p_CV = torch.log_softmax(logits_CV, dim=-1)
        kl_C = (q_CK * (log_q_CK - log_p_CV.gather(1, ids_CK))).sum(1)
        return kl_C, log_p_CV.exp_().scatter_add_(1, ids_CK, -q_CK)


class Kept:
    """Running teachers whose distribution is handed on in part, as `keep` says."""

    def __init__(self, online: OnlineSource, keep: Callable[[Tensor], LogitTargets]) -> None:
        self.online, self.keep = online, keep
        self.teachers = online.teachers
        self.prefetch, self.components, self.statistics = online.prefetch, online.components, online.statistics

    def signal(self, batch: WindowBatch, request: SignalRequest) -> TeacherSignal:
        signal = self.online.signal(batch, request)
        assert isinstance(signal.targets, ExactTargets)
        count = batch.tokens.numel()
        log_q = signal.targets.log_probs(slice(0, count))
        return TeacherSignal(self.keep(log_q), signal.hidden)


def ways(generator: torch.Generator) -> dict[str, Callable[[Tensor], LogitTargets]]:
    """Name -> how a distribution's logarithm (N,V) is kept."""

    def systematic(count: int) -> Callable[[Tensor], LogitTargets]:
        return lambda log_q: SampledTargets(systematic_sample(log_q, count, generator), entropy(log_q))

    def independent(count: int) -> Callable[[Tensor], LogitTargets]:
        return lambda log_q: SampledTargets(
            torch.multinomial(log_q.exp(), count, replacement=True, generator=generator), entropy(log_q)
        )

    def top(count: int) -> Callable[[Tensor], LogitTargets]:
        def keep(log_q: Tensor) -> LogitTargets:
            values, ids = log_q.topk(count)
            return TopKTargets(ids, torch.log_softmax(values, -1))

        return keep

    makers = {"sampled, systematic": systematic, "sampled, independent": independent, "top-k renormalised": top}
    return {f"{name}, {count}": maker(count) for name, maker in makers.items() for count in IDS}


def compare_logits(bench: Bench, student: nn.Module, batches: list[WindowBatch]) -> dict[str, dict[str, float]]:
    """Cosine of the KL's gradient over all batches, and the relative error of its value."""
    settings = loss(None, beta=0)
    only_ce = loss(None, alpha=0, beta=0)

    def kl_gradient(source: Any) -> tuple[float, Tensor]:
        total, value = torch.zeros(0), 0.0
        for batch in batches:
            terms, with_kl, _ = gradients(objective(bench, settings, source), student, batch)
            _, without, _ = gradients(objective(bench, only_ce, source), student, batch)
            total = with_kl - without if not len(total) else total + with_kl - without
            value += terms["kl"]
        return value, total

    exact, reference = kl_gradient(bench.source)
    found = {}
    for name, keep in ways(torch.Generator().manual_seed(0)).items():
        value, gradient = kl_gradient(Kept(bench.source, keep))  # type: ignore[arg-type]
        found[name] = {"cosine": cosine(gradient, reference), "kl": value / exact - 1}
    return found


def train(benches: dict[str, Bench], experiment: Experiment, seeds: int) -> dict[str, list[float]]:
    """Dev cross-entropy of a student trained with each form, per seed; ranks and top-k beside them, teachers online."""
    contenders: dict[str, Callable[[int], Any]] = {}
    online = benches["teachers online"]
    for name, bench in benches.items():
        rank = KEPT[name][1] if name in KEPT else None
        contenders[name] = lambda seed, b=bench, r=rank: b.loop(loss(r), experiment.recipe, seed=seed)

    def top(seed: int) -> Any:
        loop = online.loop(loss(None), experiment.recipe, seed=seed)
        keep = ways(torch.Generator().manual_seed(seed))["top-k renormalised, 12"]
        loop.objective.source = Kept(online.source, keep)  # type: ignore[arg-type,union-attr]
        return loop

    contenders["top-k renormalised, 12 (biased)"] = top
    contenders["no hidden states"] = lambda seed: online.loop(loss(None, beta=0), experiment.recipe, seed=seed)
    found: dict[str, list[float]] = {}
    for name, make in contenders.items():
        for seed in range(seeds):
            loop = make(seed)
            loop.run_until(loop.total_steps)
            found.setdefault(name, []).append(loop.validate(teachers=False)["val_ce"])
            print(f"trained with {name}, seed {seed}: val/ce {found[name][-1]:.4f}", flush=True)
    return found


if __name__ == "__main__":
    raise SystemExit(run(main))
