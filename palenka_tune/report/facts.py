"""What a search's files hold besides its trials, as a report has it: models, finalists, cache, provenance, commands.

In: the study's attributes, the configuration as plain data, files of the run. What is missing, as in a search that was
interrupted, or whose cache was deleted, comes out empty.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from palenka_tune.cache.job import caches_folder
from palenka_tune.cache.plan import gigabytes
from palenka_tune.cache.store import TeacherCache
from palenka_tune.config.artifacts import open_artifact
from palenka_tune.config.files import fingerprint
from palenka_tune.errors import PalenkaError
from palenka_tune.report.data import RANKS, Contrast, Finalists, Layer, Model, Paradigm, SuiteScore
from palenka_tune.runs.place import PLACE
from palenka_tune.runs.tables import FINALISTS, read_rows
from palenka_tune.spaces.experiment import ARCHITECTURE, changed_name
from palenka_tune.tracking.spool import SPOOL, read_events
from palenka_tune.trials import verdict
from palenka_tune.trials.ledger import TOTAL_STEPS
from palenka_tune.trials.rows import FinalistRow
from palenka_tune.trials.stopping import stopping_text
from palenka_tune.words import plural

SPREAD = "train/target_std"


def asked(tree: Mapping[str, Any]) -> Iterator[str]:
    """What was searched, in sentences."""
    if not tree:
        return
    search, student, data = tree["search"], tree["student"], tree["data"]
    # searches of versions without `stopping` had ASHA
    rungs, reduction = search["rungs"], search["reduction"]
    if isinstance(rungs, int):  # of versions whose rungs were powers of the reduction
        rungs = [round(reduction**-place, 4) for place in range(rungs, 0, -1)]
    stopping = stopping_text(search.get("stopping", "asha"), rungs, reduction)
    names = ", ".join(tree.get("parameters", {}))
    yield (
        f"It searched {names or 'nothing'} ({tree['description'] or 'no description'}): "
        f"{plural(search['samples'], 'trial')} by {search['sampler']} besides the fixed settings, "
        f"with seed {tree['seed']}; " + (f"{stopping}." if stopping else "no trial was stopped early.")
    )
    teachers = " and ".join(Path(str(teacher["preset"])).name for teacher in tree["teachers"])
    yield (
        f"The student is {_student(student)}, its teachers are {teachers or 'none'}, its text is "
        f"{Path(str(data['source'])).name}, in windows of {plural(data['window'], 'token')}."
    )


def models(evaluation: Mapping[str, Any]) -> Iterator[Model]:
    """The models of `evaluation.json`: one seed each, then every finalist as the mean over its seeds."""
    for entry in evaluation.get("models", ()):
        suites = {name: _score([scores]) for name, scores in entry["suites"].items()}
        yield Model(entry["name"], entry["role"].split(" ")[0], entry["val_ce"], suites, entry["parameters"])
    students: dict[str, list[Mapping[str, Any]]] = {}
    for entry in evaluation.get("finalists", ()):
        if entry["suites"]:
            students.setdefault(entry["config"], []).append(entry)
    for config, entries in students.items():
        suites = {
            name: _score([entry["suites"][name] for entry in entries if name in entry["suites"]])
            for name in entries[0]["suites"]
        }
        known = [entry["val_ce"] for entry in entries if entry["val_ce"] is not None]
        mean = sum(known) / len(known) if known else None
        yield Model(
            f"{config}, all windows", entries[0].get("arm") or entries[0]["role"], mean, suites, seeds=len(entries)
        )


def _score(students: Sequence[Mapping[str, Any]]) -> SuiteScore:
    """A suite's scores, averaged over students; the errors are those of a single one."""
    sets = [
        Paradigm(each[0]["uid"], each[0]["term"], *_averaged(each))
        for each in zip(*(scores["paradigms"] for scores in students), strict=True)
    ]
    return SuiteScore(*_averaged(students), tuple(sets))


def _averaged(scores: Sequence[Mapping[str, Any]]) -> tuple[float, float | None]:
    accuracy = sum(each["accuracy"] for each in scores) / len(scores)
    errors = [each["stderr"] for each in scores]
    if any(error is None for error in errors):
        return accuracy, None
    return accuracy, math.sqrt(sum(error**2 for error in errors) / len(errors))


def finalists(folder: Path, summary: Mapping[str, Any]) -> Finalists | None:
    """The finalists of a search that has them all."""
    known = summary.get("verdict")
    rows = read_rows(folder / FINALISTS, FinalistRow) if known else []
    if not known or not rows:
        return None
    summaries = verdict.summarise(rows)
    return Finalists(
        known["sentence"],
        verdict.HEADER,
        tuple(verdict.cells(summaries)),
        tuple(_contrasts(summaries, rows)),
        winner=winner.config if (winner := verdict.best(summaries)) else None,
        margin=known.get("margin"),
        fresh={summary.config: tuple(_fresh(summary, rows)) for summary in summaries},
    )


def _fresh(summary: verdict.Summary, rows: Sequence[FinalistRow]) -> Iterator[float]:
    """The val_ce of an arm's students that have one."""
    for row in rows:
        if row.arm == summary.arm and row.val_ce is not None and math.isfinite(row.val_ce):
            yield row.val_ce


def _contrasts(summaries: Sequence[verdict.Summary], rows: Sequence[FinalistRow]) -> Iterator[Contrast]:
    """The arms against each other, paired by seed."""
    students = {(row.arm, row.seed): row for row in rows}
    by_arm = {summary.arm: summary for summary in summaries}
    for measure in (verdict.judged_on(summaries), *summaries[0].suites):
        values = {key: value for key, row in students.items() if (value := row.value(measure)) is not None}
        for a, b in verdict.COMPARED:
            change = by_arm[a].against.get(b, {}).get(measure) if a in by_arm else None
            if change is None:
                continue
            shared = [seed for seed in by_arm[a].seeds if {(a, seed), (b, seed)} <= values.keys()]
            seeds = tuple(values[a, seed] - values[b, seed] for seed in shared)
            yield Contrast(f"{a} − {b}", measure, change.mean, change.low, change.high, seeds)


def target_spreads(folder: Path) -> dict[str, float]:
    """{trial: the last spread of its projected targets in training}, as it was logged."""
    found: dict[str, float] = {}
    if (folder / SPOOL).exists():
        for _, _, event in read_events(folder / SPOOL):
            if event is not None and event.get("op") == "metrics" and SPREAD in event["metrics"]:
                found[event["key"]] = float(event["metrics"][SPREAD])
    return found


def cache_of(attrs: Mapping[str, Any], storage: Path) -> tuple[list[Layer], list[tuple[str, str]]]:
    """The layers of the cache that the trials read, and (name, value) of what it took."""
    known = attrs.get("teachers")
    if known is None:
        return [], []
    if known["cache"] is None:
        return [], [("teacher cache", "none: the teachers ran on every batch, or nothing was asked of them")]
    folder = caches_folder(storage) / known["cache"]
    try:
        cache = TeacherCache(folder, open_artifact(folder))
        layers = list(_layers(cache))
    except (PalenkaError, OSError):
        return [], [("teacher cache", f"{known['cache']}, which is not there any more")]
    facts = [
        ("teacher cache", f"{known['cache']}: {cache.describe()}"),
        ("teacher cache, size", f"{gigabytes(cache.bytes)}, {cache.manifest['bytes_per_token']:,} bytes a token"),
    ]
    return layers, facts


def _layers(cache: TeacherCache) -> Iterator[Layer]:
    for number, held in enumerate(cache.manifest["plan"]["layers"]):
        for state in sorted(held, key=int):
            shares = cache.variances(number, int(state)).double().cumsum(0)
            total = float(shares[-1])
            explained = {rank: float(shares[rank - 1]) / total for rank in RANKS if rank <= len(shares) and total}
            yield Layer(cache.teachers[number].name, int(state), explained)


def facts(
    folder: str, attrs: Mapping[str, Any], tree: Mapping[str, Any], summary: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """(name, value) of where a search ran and what it was made of."""
    yield "run folder", folder
    wanted = attrs.get("search")
    if wanted:
        yield from _comments(wanted["yaml"])
        yield "configuration fingerprint", fingerprint(tree)
    teachers = attrs.get("teachers")
    if teachers:
        for number, each in enumerate(teachers["teachers"], 1):
            yield f"teacher {number} fingerprint", each
        yield "teacher cache fingerprint", teachers["cache"] or "no cache"
    if summary.get("data"):
        yield "data", str(summary["data"])
    for name, value in (summary.get("mlflow") or {}).items():
        if value:
            yield f"MLflow {name.replace('_', ' ')}", str(value)


def _comments(text: str) -> Iterator[tuple[str, str]]:
    """The versions and fingerprints at the head of `search.yaml`."""
    for line in text.splitlines():
        if not line.startswith("# "):
            return
        name, _, value = line[2:].partition(": ")
        yield name, value


def commands(name: str, folder: str, storage: str, attrs: Mapping[str, Any]) -> Iterator[str]:
    """What a person types to run the same search again, and to make the report again."""
    commit = dict(_comments(attrs["search"]["yaml"])).get("git commit") if "search" in attrs else None
    if commit and not commit.endswith("-dirty"):
        yield f"git checkout {commit}"
    pairs = attrs.get(PLACE, {}).get("--minimal-pairs")
    again = ["python", "-m", "palenka_tune.search", f"{folder}/search.yaml", "--name", f"{name}-again"]
    again += ["--storage", storage, *(["--minimal-pairs", str(pairs)] if pairs else [])]
    yield shlex.join(again)
    yield shlex.join(["python", "-m", "palenka_tune.report", name, "--storage", storage])


def _student(settings: Mapping[str, Any]) -> str:
    """The preset, and what is changed of it."""
    changes = {name: settings[name] for name in ARCHITECTURE if settings.get(name) is not None}
    return changed_name(Path(str(settings["preset"])).name, changes)


def comparable(attrs: Mapping[str, Any], tree: Mapping[str, Any]) -> dict[str, str]:
    """What two searches must share for their val/ce to be compared."""
    if not tree:
        return {}
    student, recipe = tree["student"], tree["recipe"]
    budget = [attrs.get(TOTAL_STEPS), *(recipe.get(name) for name in ("batch_size", "epochs"))]
    text = [student.get(name) for name in ("train_windows", "train_fraction", "dev_windows")]
    return {
        "data": attrs["search"]["data"],
        "student": _student(student),
        "windows of train and dev": " ".join(map(str, text)),
        "steps, batch size and epochs": " ".join(map(str, budget)),
    }
