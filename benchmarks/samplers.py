"""What a sampler is worth: searches replayed on recorded trainings, and how far they end from the best setting.

    python -m benchmarks.samplers [--space dskd] [--data DIR] [--recorded 160] [--samples 12 24] [--json FILE]
    python -m benchmarks.samplers --search runs/NAME

First a search of the arm `hidden` alone trains `--recorded` random settings, each to its end; or give such a search,
with `--set search.sampler=random --set search.stopping=none`, that is there. From its trials a Gaussian process with a
length scale for each setting (scikit-learn) learns `val/ce` at every rung; how much it explains of settings that it did
not see is said (its length scales are those of all). Then each sampler searches what it predicts, in the product's own
ledger and with its early stopping, from many seeds, which the samplers share. Stock Ray Tune stands beside them:
Optuna's TPE with its defaults, and ASHA that ends what falls behind, for as many steps as the product's default takes.
Regret is val/ce of the best trial that ended, less that of the best of 20,000 random settings, in nats per token.

A replay is thousands of times as fast as a search, so that it can say what one search cannot: which of two samplers is
better on average. It holds for the space, the text and the length of training that were recorded.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from benchmarks.harness import Report, parser
from palenka_tune.commands.options import run
from palenka_tune.errors import UserError
from palenka_tune.evaluation.paired import paired_difference
from palenka_tune.runs.run_folder import SEARCH_YAML
from palenka_tune.runs.study import open_study
from palenka_tune.spaces.resolve import resolve
from palenka_tune.spaces.space import Parameter, Space, holds
from palenka_tune.trials.arms import HIDDEN, Arm, arms_of
from palenka_tune.trials.ledger import Ledger
from palenka_tune.trials.rows import COMPLETE, PRUNED, TrialRow, rows_of
from palenka_tune.trials.stopping import SuccessiveHalving

SAMPLERS = ("tpe", "gp", "random")
STOCK = "stock Ray Tune"
RANDOM_SETTINGS = 20_000  # among which the best there is, is sought
FEWEST = 20  # recorded trainings, for a prediction that means something
IN_FLIGHT = 2  # trials at a time
RANDOM = "record a search with more --samples and --set search.sampler=random --set search.stopping=none"


class Surrogate:
    """`val_ce` at each rung as a function of the settings of `space`, learnt from complete trials."""

    def __init__(self, space: Space, rows: Sequence[TrialRow]) -> None:
        self.space = space
        self.steps = sorted(set.intersection(*(set(row.curve) for row in rows)))
        points = np.array([self._point(row.settings) for row in rows])
        values = np.array([[row.curve[step] for step in self.steps] for row in rows])
        self.models = [_fitted(points, column) for column in values.T]
        self.explained = _explained(points, values[:, -1], self.models[-1])
        self.known: dict[tuple[float, ...], list[float]] = {}

    def curve(self, settings: Mapping[str, Any]) -> dict[int, float]:
        """`{step: val_ce}` of a training with these settings."""
        point = tuple(self._point(settings))
        if point not in self.known:
            self.known[point] = [float(model.predict(np.array([point]))[0]) for model in self.models]
        return dict(zip(self.steps, self.known[point], strict=True))

    def best(self, seed: int = 0) -> float:
        """The lowest `val_ce` at the end among random settings."""
        random = np.random.default_rng(seed)
        points = []
        for _ in range(RANDOM_SETTINGS):
            settings: dict[str, Any] = {}
            for each in self.space.parameters:
                if holds(each, settings):
                    drawn = optuna.trial.FixedTrial({each.name: each.at(random.random())})
                    settings[each.name] = each.suggest(drawn)
            points.append(self._point(settings))
        return float(self.models[-1].predict(np.array(points)).min())

    def _point(self, settings: Mapping[str, Any]) -> list[float]:
        """Ranges as shares of the way through them, choices as one place each; what is not set is in the middle."""
        point: list[float] = []
        for parameter in self.space.parameters:
            value = settings.get(parameter.name)
            if parameter.kind == "choice":
                point += [float(value == choice) for choice in parameter.choices]
            else:
                point.append(0.5 if value is None else _share(parameter, float(value)))
        return point


def replay(surrogate: Surrogate, arm: Arm, sampler: str, seed: int) -> tuple[float, float]:
    """The lowest `val_ce` that a search of `arm` ends with, and how many full trainings its steps are."""
    study = optuna.create_study()
    rules = {arm.name: SuccessiveHalving(surrogate.steps, 2)}
    ledger = Ledger(study, space=surrogate.space, sampler=sampler, arms=[arm], seed=seed, rules=rules)
    taken: dict[str, int] = {}
    running: list[Any] = []
    while True:
        while len(running) < IN_FLIGHT and (proposal := ledger.ask()) is not None:
            running.append(proposal)
        if not running:
            ended = [row.ce for row in ledger.rows() if row.state == COMPLETE]
            return min(ended), sum(taken.values()) / surrogate.steps[-1]
        proposal = running.pop(0)
        name = proposal.trial_id
        step = next(step for step in surrogate.steps if step > taken.get(name, 0))
        value, taken[name] = surrogate.curve(proposal.values)[step], step
        ledger.report(name, step, value)
        if step == surrogate.steps[-1]:
            ledger.finish(name, COMPLETE)
        elif ledger.judge(name, step, value):
            running.append(proposal)
        else:
            ledger.pause(name, step)


def replay_stock(surrogate: Surrogate, trainings: float, seed: int) -> tuple[float, float]:
    """The same of stock Ray Tune, which starts trials until so many full trainings' steps are taken. `OptunaSearch`
    tells Optuna the last value of a trial that ASHA ended as that of a complete one."""
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    rule, total = SuccessiveHalving(surrogate.steps, 2), surrogate.steps[-1]
    taken: dict[int, int] = {}
    ended: list[float] = []
    running: list[tuple[optuna.Trial, dict[str, Any]]] = []
    while sum(taken.values()) < trainings * total or not ended:
        while len(running) < IN_FLIGHT:
            trial = study.ask()
            running.append((trial, surrogate.space.suggest(trial)))
        trial, settings = running.pop(0)
        step = next(step for step in surrogate.steps if step > taken.get(trial.number, 0))
        value, taken[trial.number] = surrogate.curve(settings)[step], step
        rule.report(str(trial.number), step, value)
        if step < total and rule.continues(str(trial.number), step):
            running.append((trial, settings))
            continue
        study.tell(trial, value)
        if step == total:
            ended.append(value)
    return min(ended), sum(taken.values()) / total


@dataclass(frozen=True)
class Found:
    """What the searches of one contender found, a value a seed."""

    samples: int
    name: str
    val_ce: list[float]
    trainings: list[float]


def compared(surrogate: Surrogate, arm: Arm, samples: Sequence[int], searches: int) -> list[Found]:
    """Every sampler, and stock at the steps that the first of them took, at each number of samples."""
    found = []
    for count in samples:
        for name in SAMPLERS:
            each = [replay(surrogate, dataclasses.replace(arm, samples=count), name, seed) for seed in range(searches)]
            found.append(Found(count, name, *map(list, zip(*each, strict=True))))
            print(f"{count} samples, {name}: {statistics.mean(found[-1].val_ce):.4f}", flush=True)
        budget = statistics.mean(found[-len(SAMPLERS)].trainings)
        each = [replay_stock(surrogate, budget, seed) for seed in range(searches)]
        found.append(Found(count, STOCK, *map(list, zip(*each, strict=True))))
    return found


def report(settings: dict[str, Any], surrogate: Surrogate, found: Sequence[Found], best: float) -> Report:
    """Regret of each contender, and its paired difference to the product's default."""
    rows: list[tuple[str, ...]] = []
    for each in found:
        default = next(other for other in found if other.samples == each.samples)
        apart = paired_difference(each.val_ce, default.val_ce)
        interval = "" if apart.low is None or apart.high is None else f" ({apart.low:+.4f} to {apart.high:+.4f})"
        rows.append(
            (
                f"{each.samples} samples, {each.name}",
                f"{statistics.mean(each.trainings):.1f}",
                f"{statistics.mean(each.val_ce) - best:.4f}",
                "" if each is default else f"{apart.mean:+.4f}{interval}",
            )
        )
    return Report(
        "samplers",
        "Searches replayed on recorded trainings: nats per token to the best setting",
        settings,
        ("search", "full trainings", "mean regret", f"less that of {SAMPLERS[0]} (95 %)"),
        rows,
        details={"found": [dataclasses.asdict(each) for each in found], "best": best},
        notes=[f"The prediction explains {surrogate.explained:.1%} of val/ce of settings that it did not see."],
    )


def main(argv: Sequence[str]) -> int:
    arguments = parser("samplers", __doc__.partition("\n\n")[0])
    arguments.add_argument("--space", default="dskd", help="the search space (default: dskd)")
    arguments.add_argument("--data", help="the text (default: the space's)")
    arguments.add_argument("--recorded", type=int, default=160, help="random settings to train (default: 160)")
    arguments.add_argument("--samples", type=int, nargs="+", default=[12, 24], help="of a search (default: 12 24)")
    arguments.add_argument(
        "--searches", type=int, default=24, help="replayed for each, from as many seeds (default: 24)"
    )
    arguments.add_argument("--search", type=Path, help="the folder of a search that is there, instead of recording one")
    args = arguments.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="samplers_") as scratch:
        folder = args.search or record(args.space, args.data, args.recorded, Path(scratch))
        rows = complete_trials(folder)
        arm = next(arm for arm in arms_of(resolve(folder / SEARCH_YAML)) if arm.name == HIDDEN)
    surrogate = Surrogate(arm.space, rows)
    found = compared(surrogate, arm, args.samples, args.searches)
    settings = {**vars(args), "search": None if args.search is None else str(args.search)}
    return report(settings, surrogate, found, surrogate.best()).publish(args.json)


def record(space: str, data: str | None, count: int, storage: Path) -> Path:
    """The folder of a search that trains random settings to their ends."""
    command = [sys.executable, "-m", "palenka_tune.search", space, "--storage", str(storage), "--name", "recorded"]
    command += ["--samples", str(count), "--seeds", "0", *(["--data", data] if data else [])]
    for setting in ("sampler=random", "stopping=none", "arms={hidden: 1}"):
        command += ["--set", f"search.{setting}"]
    subprocess.run(command, check=True)
    return storage / "recorded"


def complete_trials(folder: Path) -> list[TrialRow]:
    """The trials of the arm `hidden` that were trained to their ends.

    Raises:
        UserError: if there are too few, or some were paused by a result.
    """
    study = open_study(folder, None, read_only=True)
    rows = [] if study is None else [row for row in rows_of(study.trials) if row.arm == HIDDEN]
    if any(row.state == PRUNED for row in rows):
        raise UserError(f"{folder} paused trials, so that what it finished is not a fair sample; {RANDOM}")
    rows = [row for row in rows if row.is_complete]
    if len(rows) < FEWEST:
        raise UserError(
            f"{folder} has {len(rows)} complete trials of {HIDDEN} and at least {FEWEST} are needed; {RANDOM}"
        )
    return rows


def _fitted(points: np.ndarray, values: np.ndarray) -> Any:
    from sklearn.gaussian_process import GaussianProcessRegressor  # type: ignore[import-untyped]
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel  # type: ignore[import-untyped]

    kernel = ConstantKernel(1.0, (1e-2, 1e3)) * RBF(np.ones(points.shape[1]), (1e-1, 1e2)) + WhiteKernel(1e-2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a length scale at its limit: the setting does not matter
        return GaussianProcessRegressor(kernel, normalize_y=True).fit(points, values)


def _explained(points: np.ndarray, values: np.ndarray, fitted: Any) -> float:
    """The share of the variance that is predicted of settings that were left out, a tenth at a time."""
    from sklearn.base import clone  # type: ignore[import-untyped]
    from sklearn.model_selection import KFold, cross_val_predict  # type: ignore[import-untyped]

    model = clone(fitted).set_params(kernel=fitted.kernel_, optimizer=None)
    predicted = cross_val_predict(model, points, values, cv=KFold(min(10, len(values)), shuffle=True, random_state=0))
    return 1 - float(((predicted - values) ** 2).mean() / values.var())


def _share(parameter: Parameter, value: float) -> float:
    low, high = parameter.low, parameter.high
    if parameter.kind == "log_uniform" or parameter.multiples is not None:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low) if high > low else 0.5


if __name__ == "__main__":
    raise SystemExit(run(main))
