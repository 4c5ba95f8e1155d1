"""Results in the JSON shapes of lm-evaluation-harness, so that what reads its files reads ours.

The folder that `--output` names gets, for each model,

- `results_<model>.json`, a task for each set and a group for each suite, as the harness's `evaluate` returns them;
- with samples, `<model>/samples_<task>.jsonl`, a line a pair, as its `EvaluationTracker` writes them (version 0.4.13);
- with samples, `babylm/<blimp or ewok>/<model>/<task>_results.jsonl`, one JSON list a task with numbers as numbers:
  what the script that collects predictions in the BabyLM challenge's 2024 pipeline looks for in its folder `results`.

Tasks are named as there: `blimp_<UID>`, `blimp_supplement_<UID>`, `ewok_<domain>`, ending in `_filtered` if the suite
is. A group's `acc` is the mean over its tasks and `acc_stderr` the pooled standard error, the challenge's rule; the
mean over pairs and the error that belongs to the unweighted mean stand beside them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from palenka_tune.config.files import write_json, write_text
from palenka_tune.evaluation.minimal_pairs import DELIMITER
from palenka_tune.evaluation.results import MinimalPairResults, ParadigmResult, SuiteResults
from palenka_tune.evaluation.suite import Paradigm, Suite
from palenka_tune.evaluation.suites import FILTERED

TASK_VERSION = 1.0
SWAPPED = "_swapped_contexts"
"""What the names of the tasks and the group of a suite's other reading end in."""
_METRICS = [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}]


def task_name(suite: str, uid: str) -> str:
    """The harness's name for the set `uid` of a suite."""
    return f"{suite.removesuffix(FILTERED)}_{uid}{FILTERED if suite.endswith(FILTERED) else ''}"


def write_harness(
    folder: str | Path, model: str, results: SuiteResults, config: Mapping[str, Any], date: float, *, samples: bool
) -> Path:
    """Write the files of `model` (its name in tables) below `folder`; returns `results_<model>.json`.

    `config` says what was run, `date` when (seconds since 1970). Samples need results with `greedy`.
    """
    folder, name = Path(folder), re.sub(r"[\"<>:/|\\?*\[\]]+", "__", model)
    path = folder / f"results_{name}.json"
    write_json(path, harness_results(results, config, date))
    if samples:
        for suite, result, ending in _readings(results):
            for paradigm, lines in _samples(suite, result, ending):
                task = task_name(suite.name, paradigm.uid) + ending
                text = "".join(json.dumps(_as_text(line), ensure_ascii=False) + "\n" for line in lines)
                write_text(folder / name / f"samples_{task}.jsonl", text)
                if not ending:
                    kind = "ewok" if suite.name.startswith("ewok") else "blimp"
                    write_json(folder / "babylm" / kind / name / f"{task}_results.jsonl", lines)
    return path


def harness_results(results: SuiteResults, config: Mapping[str, Any], date: float) -> dict[str, Any]:
    """What the harness's `evaluate` returns, with `config` and `date` as its `simple_evaluate` adds them."""
    tasks: dict[str, Any] = {}
    groups: dict[str, Any] = {}
    members: dict[str, list[str]] = {}
    configs: dict[str, Any] = {}
    for suite, result, ending in _readings(results):
        group = suite.name + ending
        members[group] = [task_name(suite.name, paradigm.uid) + ending for paradigm in suite.paradigms]
        groups[group] = {
            **_figures(group, result),
            "acc_unweighted_mean_stderr,none": _or_na(result.unweighted_mean_stderr),
            "acc_size_weighted,none": result.pair_weighted_accuracy,
            "sample_count": {"acc,none": result.pairs},
        }
        for task, scored, paradigm in zip(members[group], result.paradigms, suite.paradigms, strict=True):
            tasks[task] = _figures(task, scored)
            configs[task] = _config(task, paradigm, swapped=bool(ending))
    everything = {**tasks, **groups}
    return {
        "results": everything,
        "groups": groups,
        "group_subtasks": members,
        "configs": configs,
        "versions": dict.fromkeys(everything, TASK_VERSION),
        "n-shot": dict.fromkeys(everything, 0),
        "higher_is_better": {name: {"acc": True} for name in everything},
        "n-samples": {
            name: dict.fromkeys(("original", "effective"), task["sample_len"]) for name, task in tasks.items()
        },
        "config": dict(config),
        "date": date,
    }


def _readings(results: SuiteResults) -> Iterator[tuple[Suite, MinimalPairResults, str]]:
    """Each suite with its results and what its tasks' names end in, then its other reading if it has one."""
    for suite, result in zip(results.suites, results.results, strict=True):
        yield suite, result, ""
        if result.swapped_contexts is not None:
            yield Suite(suite.name, suite.swapped_contexts), result.swapped_contexts, SWAPPED


def _figures(name: str, result: ParadigmResult | MinimalPairResults) -> dict[str, Any]:
    """What the results of a task and of a group have in common."""
    return {
        "name": name,
        "alias": name,
        "sample_len": result.pairs,
        "acc,none": result.accuracy,
        "acc_stderr,none": _or_na(result.stderr),
    }


def _or_na(error: float | None) -> float | str:
    return "N/A" if error is None else error


def _config(task: str, paradigm: Paradigm, *, swapped: bool) -> dict[str, Any]:
    """The task as the harness would be told of it."""
    if swapped:
        asked = {"doc_to_text": 0, "doc_to_target": "{{Target1}}", "doc_to_choice": "{{[Context1, Context2]}}"}
    elif paradigm.pairs[0].good_context:
        asked = {"doc_to_text": "{{Context1}}", "doc_to_target": 0, "doc_to_choice": "{{[Target1, Target2]}}"}
    else:
        asked = {"doc_to_text": "", "doc_to_target": 0, "doc_to_choice": "{{[sentence_good, sentence_bad]}}"}
    return {
        "task": task,
        "dataset_name": paradigm.uid,
        "output_type": "multiple_choice",
        **asked,
        "target_delimiter": DELIMITER,
        "num_fewshot": 0,
        "metric_list": _METRICS,
        "metadata": {"version": TASK_VERSION},
    }


def _samples(suite: Suite, result: MinimalPairResults, ending: str) -> Iterator[tuple[Paradigm, list[dict[str, Any]]]]:
    """Each set with a record a pair. The good text is the first choice, so the target is 0 (its text, if swapped)."""
    assert result.greedy is not None, "evaluate with greedy=True"
    scored = zip(result.scores.tolist(), result.greedy.tolist(), result.correct.tolist(), strict=True)
    for paradigm in suite.paradigms:
        lines = []
        for number, pair in enumerate(paradigm.pairs):
            scores, written, correct = next(scored)
            answers = [list(answer) for answer in zip(scores, written, strict=True)]
            target = pair.good if ending else 0
            lines.append(
                {
                    "doc_id": number,
                    "doc": dict(pair.record),
                    "target": target,
                    "arguments": [[pair.good_context, DELIMITER + pair.good], [pair.bad_context, DELIMITER + pair.bad]],
                    "resps": [[answer] for answer in answers],
                    "filtered_resps": answers,
                    "filter": "none",
                    "metrics": ["acc"],
                    "doc_hash": _digest(json.dumps(dict(pair.record), indent=2, ensure_ascii=False, default=str)),
                    "prompt_hash": _digest(pair.good_context),
                    "target_hash": _digest(str(target)),
                    "acc": float(correct),
                }
            )
        yield paradigm, lines


def _as_text(line: Mapping[str, Any]) -> dict[str, Any]:
    """A record as the harness writes it: arguments by name, answers and target as text."""
    answers = [[str(part) for part in answer] for answer in line["filtered_resps"]]
    return {
        **line,
        "target": str(line["target"]),
        "arguments": {
            f"gen_args_{n}": {"arg_0": context, "arg_1": text} for n, (context, text) in enumerate(line["arguments"])
        },
        "resps": [[answer] for answer in answers],
        "filtered_resps": answers,
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
