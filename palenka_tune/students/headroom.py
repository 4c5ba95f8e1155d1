"""Headroom: how much better the teachers are than a student alone, the most that logits can be worth.

    headroom = val_ce of the best student without teachers - val_ce of the teachers' average

A search shows it before anything else: where it is small there is nothing to distil, whatever the settings.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from palenka_tune.cluster import compute
from palenka_tune.cluster.tasks import Job, Share, run_jobs
from palenka_tune.config.files import fingerprint
from palenka_tune.data.store import TokenStore
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.spaces.experiment import Experiment, StudentSettings
from palenka_tune.teachers.spec import Teacher
from palenka_tune.trials.arms import PLAIN
from palenka_tune.trials.rows import TrialRow, best_of_arms

logger = logging.getLogger(__name__)
HEADROOM = "headroom"  # attribute of the study
LITTLE = 0.05
"""Nats per token below which a search says that there is little to distil."""
WHAT_TO_DO = (
    "train the teachers longer, tune them (python -m palenka_tune.search teacher), or add seeds of them to the ensemble"
)


@dataclass(frozen=True)
class Headroom:
    """Cross-entropies in nats per token on the dev windows of a search: of each teacher, (name, val_ce), of their
    averaged logits and averaged probabilities, and of the best student without teachers (None: not known yet).

    `ensemble` says which average the students learn from.
    """

    teachers: tuple[tuple[str, float], ...]
    logit_average: float
    probability_average: float
    ensemble: str = "logits"
    plain: float | None = None

    @property
    def average(self) -> float:
        """The average that the students learn from."""
        return self.logit_average if self.ensemble == "logits" else self.probability_average

    @property
    def nats(self) -> float | None:
        """The headroom in nats per token; None while no student without teachers was trained to its end."""
        return None if self.plain is None else self.plain - self.average

    @property
    def is_little(self) -> bool:
        """Whether it is known, and so small that there is little to distil."""
        return self.nats is not None and self.nats < LITTLE

    def beside(self, plain: float | None) -> Headroom:
        """The same with the best student without teachers."""
        return dataclasses.replace(self, plain=plain)

    def to_dict(self) -> dict[str, Any]:
        """As `summary.json` has it."""
        return {
            "teachers": [{"name": name, "val_ce": value} for name, value in self.teachers],
            "logit_average": self.logit_average,
            "probability_average": self.probability_average,
            "ensemble": self.ensemble,
            "plain": self.plain,
            "nats": self.nats,
        }

    @classmethod
    def of(cls, known: Mapping[str, Any]) -> Headroom:
        """From `to_dict`."""
        return cls(
            tuple((each["name"], each["val_ce"]) for each in known["teachers"]),
            known["logit_average"],
            known["probability_average"],
            known["ensemble"],
            known["plain"],
        )

    def sentences(self) -> list[str]:
        """What there is to distil, and what to do if it is little."""
        each = ", ".join(f"{name} {value:.4f}" for name, value in self.teachers)
        known = (
            f"Teachers on dev: {each}; averaged logits {self.logit_average:.4f}, averaged probabilities "
            f"{self.probability_average:.4f} nats per token."
        )
        if self.nats is None:
            return [known]
        found = [known, f"Headroom: {self.nats:.4f} nats per token below the best student alone ({self.plain:.4f})."]
        if self.is_little:
            found.append(
                f"That is less than {LITTLE} nats: there is little to distil. {WHAT_TO_DO[0].upper()}{WHAT_TO_DO[1:]}."
            )
        return found


@dataclass(frozen=True)
class HeadroomJob(Job):
    """The measurement, plain data: a token `store`, the `student` whose dev windows are read, teachers' folders."""

    RESULT = "headroom.json"
    name: str
    folder: str
    store: str
    student: StudentSettings
    teachers: tuple[tuple[str, str, str], ...]
    weights: tuple[float, ...]
    device: str

    @property
    def identity(self) -> str:
        """What was measured."""
        made = [(name, digest) for name, _, digest in self.teachers]
        store, student = Path(self.store).name, self.student.identity
        return fingerprint({"store": store, "student": student, "teachers": made, "weights": self.weights})


def measure(job: HeadroomJob, threads: int = 1) -> dict[str, Any]:
    """Measure the teachers in this process."""
    from palenka_tune.evaluation.ensemble import ensemble_cross_entropy
    from palenka_tune.models.export import load_weights
    from palenka_tune.students.bench import select_windows

    known = job.result()
    if known is not None:
        return known
    compute.begin(threads)
    store = TokenStore.open(job.store)
    size = store.vocabulary_size
    models = [load_weights(folder, device=job.device, vocabulary_size=size) for _, folder, _ in job.teachers]
    windows = select_windows(store, job.student).array(store, "dev")
    found = ensemble_cross_entropy(models, windows, store.pad_id, job.weights)
    unigram = unigram_cross_entropy(store, windows)
    result = {"name": job.name, "identity": job.identity, **asdict(found), "unigram": unigram}
    job.keep(result)
    return result


def unigram_cross_entropy(store: TokenStore, windows: np.ndarray) -> float:
    """Nats per token of `windows` (N,T) under the frequencies of train, with one more of each token."""
    counts = np.bincount(store.windows("train").reshape(-1), minlength=store.vocabulary_size) + 1
    predicted = windows[:, 1:][windows[:, 1:] != store.pad_id]
    return float(-np.log(counts[predicted] / counts.sum()).mean())


def measure_headroom(
    experiment: Experiment, teachers: Sequence[Teacher], store: Path, folder: Path, share: Share, device: str
) -> Headroom | None:
    """The teachers on the dev windows of a search, measured once in the open Ray session; None without teachers.

    Raises `PalenkaError` if they cannot be measured, `UserError` for a given one that knows less than frequencies do.
    """
    if not teachers:
        return None
    job = HeadroomJob(
        name="teachers on dev",
        folder=str(folder),
        store=str(store),
        student=experiment.student,
        teachers=tuple((each.name, str(each.folder), each.fingerprint) for each in teachers),
        weights=tuple(experiment.distill.weights(len(teachers))),
        device=device,
    )
    (result,) = run_jobs(measure, [job], share, lambda result: f"averaged logits {result['logit_average']:.4f}")
    if "failed" in result:
        raise PalenkaError(f"the teachers could not be measured on dev ({result['failed']}); go on with --resume")
    for settings, teacher, val_ce in zip(experiment.teachers, teachers, result["models"], strict=True):
        if settings.is_given and not val_ce < result["unigram"]:
            raise UserError(
                f"teacher {teacher.name} has a dev cross-entropy of {val_ce:.4f} nats per token, no better than "
                f"guessing by how frequent a token is ({result['unigram']:.4f}); there is nothing to learn from it: is "
                "it trained, is the tokenizer its own, was it saved in another precision than it was trained in?"
            )
    return Headroom(
        tuple(zip((each.name for each in teachers), result["models"], strict=True)),
        result["logit_average"],
        result["probability_average"],
        experiment.distill.ensemble,
    )


def headroom_of(attrs: Mapping[str, Any], rows: Iterable[TrialRow]) -> Headroom | None:
    """What a study with these attributes knows of it, beside the best student without teachers among its trials; None
    if nothing was measured."""
    known, plain = attrs.get(HEADROOM), best_of_arms(rows).get(PLAIN)
    return Headroom.of(known).beside(plain.val_ce if plain else None) if known else None


class HeadroomNotice:
    """Says the headroom as soon as the first student without teachers has come to its end; an observer of a search.

    `now` gives it as it is known.
    """

    def __init__(self, now: Callable[[], Headroom | None]) -> None:
        self.now, self.said = now, False

    def started(self, proposal: Any) -> None:
        """Nothing is known yet."""

    def reported(self, trial_id: str, result: dict[str, Any]) -> None:
        """Only an end counts."""

    def finished(self, trial_id: str, state: str, reason: str | None) -> None:
        headroom = None if self.said else self.now()
        if headroom is not None and headroom.nats is not None:
            self.said = True
            for sentence in headroom.sentences()[1:]:
                logger.info(sentence)
