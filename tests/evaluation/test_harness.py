"""The files in lm-evaluation-harness's shapes: beside what the harness itself writes, and as scripts read them."""

import dataclasses
import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from benchmarks import lm_harness
from benchmarks.ewok_items import write_items
from palenka_tune.evaluation.harness import task_name, write_harness
from palenka_tune.evaluation.minimal_pairs import evaluate, tokenise_suite
from palenka_tune.evaluation.results import SuiteResults
from palenka_tune.evaluation.suites import read_suites

PAIRS = {
    "first": [("The cats are happy.", "The cats is happy."), ("Who thinks?", "Who thinks who?"), ("same", "same")],
    "second": [("A: Who?\nB: He.", "A: Who?\nB: Who."), ("The dogs were not.", "The dogs was not.")],
}


def score(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path, name: str = "blimp"
) -> SuiteResults:
    for uid, pairs in PAIRS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"sentence_good": good, "sentence_bad": bad, "UID": uid}) for good, bad in pairs]
        (folder / name / f"{uid}.jsonl").write_text("\n".join(lines) + "\n")
    write_items(folder / "ewok")
    return evaluate(
        model, [tokenise_suite(tokenizer, suite) for suite in read_suites([name, "ewok"], folder)], greedy=True
    )


def test_names_of_tasks() -> None:
    assert task_name("blimp", "passive_1") == "blimp_passive_1"
    assert task_name("blimp_filtered", "passive_1") == "blimp_passive_1_filtered"
    assert task_name("blimp_supplement", "hypernym") == "blimp_supplement_hypernym"
    assert task_name("ewok_filtered", "social-relations") == "ewok_social-relations_filtered"


def test_results_hold_the_figures_of_sets_and_groups(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    results = score(model, tokenizer, tmp_path / "data")
    path = write_harness(tmp_path / "out", "run/best", results, {"model": "x"}, 12.5, samples=False)
    assert [each.name for each in (tmp_path / "out").iterdir()] == [path.name] == ["results_run__best.json"]
    found = json.loads(path.read_text())
    assert found["group_subtasks"]["blimp"] == ["blimp_first", "blimp_second"]
    group = found["groups"]["blimp"]
    assert group == found["results"]["blimp"]
    blimp = results["blimp"]
    assert group["acc,none"] == blimp.accuracy
    assert group["acc_stderr,none"] == blimp.stderr
    assert group["acc_unweighted_mean_stderr,none"] == blimp.unweighted_mean_stderr
    assert group["acc_size_weighted,none"] == blimp.pair_weighted_accuracy
    assert found["results"]["blimp_second"]["acc,none"] == blimp.paradigms[1].accuracy
    assert found["n-samples"]["blimp_first"] == {"original": 3, "effective": 3}
    ewok = results["ewok"].swapped_contexts
    assert ewok is not None
    assert found["groups"]["ewok_swapped_contexts"]["acc,none"] == ewok.accuracy != results["ewok"].accuracy
    assert (found["config"], found["date"]) == ({"model": "x"}, 12.5)


def test_samples_as_the_challenges_script_collects_them(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """It takes the more probable of each pair from numbers, by the place of the file and the shapes within."""
    results = score(model, tokenizer, tmp_path / "data", "blimp_filtered")
    write_harness(tmp_path / "out", "best", results, {}, 0.0, samples=True)
    done = 0
    for uid, pairs in PAIRS.items():
        collected = []
        for document in json.loads(
            (tmp_path / f"out/babylm/blimp/best/blimp_{uid}_filtered_results.jsonl").read_text()
        ):
            likeliest = int(np.argmax([response[0][0] for response in document["resps"]]))
            collected.append(document["arguments"][likeliest][1])
        right = results["blimp_filtered"].correct[done : done + len(pairs)]
        done += len(pairs)
        assert collected == [f" {good if correct else bad}" for (good, bad), correct in zip(pairs, right, strict=True)]
    assert len(list((tmp_path / "out/babylm/ewok/best").iterdir())) == 7


@pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None, reason="lm-evaluation-harness (the extra `bench`) is not installed"
)
def test_the_harness_writes_the_same_keys_and_the_same_samples(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    from lm_eval.api.group import Group
    from lm_eval.config.group import AggMetricConfig
    from lm_eval.config.task import TaskConfig
    from lm_eval.evaluator import evaluate as evaluate_there
    from lm_eval.loggers import EvaluationTracker

    results = score(model, tokenizer, tmp_path / "data")
    ours = json.loads(write_harness(tmp_path / "out", "best", results, {}, 0.0, samples=True).read_text())
    group = Group("blimp", aggregate_metric_list=[AggMetricConfig("acc", weight_by_size=False)])
    for uid in PAIRS:
        file = tmp_path / "data" / "blimp" / f"{uid}.jsonl"
        group.add(lm_harness.task(f"blimp_{uid}", file, tmp_path / "cache", lm_harness.OFFICIAL_BLIMP))
    tasks = {each.task_name: each for each in group.get_all_tasks()}
    lm = lm_harness.language_model(model, tokenizer, 4)
    theirs = evaluate_there(lm, {"tasks": tasks, "groups": {"blimp": group}}, bootstrap_iters=1)
    samples = theirs.pop("samples")
    # what its `evaluate` returns, and the two that its `simple_evaluate` adds
    assert set(ours) == set(theirs) | {"config", "date"}
    for task in tasks:
        for place in ("results", "n-samples", "higher_is_better", "n-shot"):
            assert ours[place][task] == pytest.approx(theirs[place][task]), place
        assert set(ours["configs"][task]) <= {field.name for field in dataclasses.fields(TaskConfig)}
    extra = {"acc_unweighted_mean_stderr,none", "acc_size_weighted,none"}
    assert set(ours["groups"]["blimp"]) == set(theirs["groups"]["blimp"]) | extra
    assert ours["groups"]["blimp"]["acc,none"] == pytest.approx(theirs["groups"]["blimp"]["acc,none"])
    assert ours["groups"]["blimp"]["acc_unweighted_mean_stderr,none"] == pytest.approx(
        theirs["groups"]["blimp"]["acc_stderr,none"]  # this version gives an unweighted group its own error
    )
    tracker = EvaluationTracker(output_path=str(tmp_path / "theirs"))
    tracker.general_config_tracker.model_name_sanitized = "best"
    tracker.save_results_aggregated(results=theirs, samples=samples)
    for task in tasks:
        tracker.save_results_samples(task_name=task, samples=samples[task])
        (written,) = (tmp_path / "theirs" / "best").glob(f"samples_{task}_*.jsonl")
        lines = [
            [json.loads(line) for line in file.read_text().splitlines()]
            for file in (tmp_path / "out" / "best" / f"samples_{task}.jsonl", written)
        ]
        for mine, other in zip(*lines, strict=True):
            for part in ("resps", "filtered_resps"):
                numbers = [
                    [float(x) for x in re.findall(r"-?\d+\.\d+", json.dumps(each.pop(part)))] for each in (mine, other)
                ]
                assert len(numbers[0]) == 2
                assert numbers[0] == pytest.approx(numbers[1], abs=1e-3)
            assert mine == other
