"""Whole searches as a user runs them: real Ray, real MLflow store, a corpus and teachers of a few seconds."""

from __future__ import annotations

import json
import statistics
from collections import Counter

import optuna
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from palenka_tune import search as python
from palenka_tune.cache.job import caches_folder
from palenka_tune.cache.store import TeacherCache
from palenka_tune.cluster.session import ray_session
from palenka_tune.commands import options, search, status
from palenka_tune.search.search_result import SearchResult
from tests.faults.searches import Place, kill, metrics_twice, run_again, wait_for
from tests.support.small_place import WINDOW

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.entry, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def place(finished_search):
    """A folder with a corpus, two teachers trained nowhere and the search space."""
    return finished_search.place


@pytest.fixture(scope="module")
def finished(finished_search):
    return finished_search.folder


@pytest.fixture(scope="module")
def session():
    """One Ray for all searches of this process, of which each would start its own."""
    with ray_session():
        yield


def run(place, name: str, *more: str, storage: str = "runs"):
    argv = [str(place / "space.yaml"), "--data", str(place / "data"), "--storage", str(place / storage)]
    argv += ["--name", name, "--concurrent", "1", "--minimal-pairs", str(place / "pairs"), *more]
    assert options.run(search.cli, argv) == 0
    return place / storage / name


def test_the_run_folder_holds_what_is_promised(finished):
    rows = pq.read_table(finished / "trials.parquet").to_pylist()
    assert len(rows) == 12
    assert [(row["arm"], row["origin"]) for row in rows[:3]] == [
        ("plain", "fixed"),
        ("logits", "fixed"),
        ("hidden", "fixed"),
    ]
    assert Counter((row["arm"], row["origin"]) for row in rows[3:]) == {
        ("logits", "startup"): 1,
        ("hidden", "startup"): 4,
        ("hidden", "proposed"): 4,
    }
    assert {row["origin"] for row in rows if row["state"] == "PRUNED"} == {"proposed"}  # never one that nobody chose
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["best"]["val_ce"] == min(row["val_ce"] for row in rows if row["state"] == "COMPLETE")
    for arm, found in summary["arms"].items():
        own = [row for row in rows if row["arm"] == arm]
        assert found["trials"] == len(own)
        assert found["best"]["val_ce"] == min(row["val_ce"] for row in own if row["state"] == "COMPLETE")
    assert [*summary["arms"]] == ["plain", "logits", "hidden"]
    assert "verdict" not in summary  # without fresh seeds
    assert summary["headroom"]["plain"] == rows[0]["val_ce"]
    assert sum(summary["counts"].values()) == 12
    steps = 2 * 128 // 16
    assert summary["budget"]["trial_steps_full_grid"] == 12 * steps
    assert summary["budget"]["trial_steps_run"] == sum(row["steps"] for row in rows)
    assert yaml.safe_load((finished / "search.yaml").read_text())["search"]["samples"] == 9
    evaluation = json.loads((finished / "evaluation.json").read_text())
    assert [model["role"] for model in evaluation["models"]].count("teacher") == 2
    assert all(model["minimal_pairs"]["pairs"] == 6 for model in evaluation["models"])
    assert evaluation["models"][0]["val_ce"] == pytest.approx(summary["best"]["val_ce"], abs=1e-5)


def test_the_trials_read_one_cache_that_the_search_built(place, finished):
    from mlflow import MlflowClient

    (folder,) = caches_folder(place / "runs").glob("[!.]*")
    cache = TeacherCache.open(folder, verify=True)
    assert cache.manifest["windows"] == {"train": 128, "dev": 32}
    # beta over full width and rank 8: whole states; every trial of logits: exact logits
    assert cache.manifest["plan"]["form"] == "final_hidden"
    assert {kept for layers in cache.manifest["plan"]["layers"] for kept in layers.values()} == {None}
    client = MlflowClient(tracking_uri=f"sqlite:///{place / 'runs' / 'mlflow.db'}")
    parent = client.get_run(json.loads((finished / "summary.json").read_text())["mlflow"]["parent_run_id"])
    assert parent.data.tags["palenka.cache"] == folder.name
    assert float(parent.data.params["cache.bytes"]) == cache.bytes


def test_with_online_teachers_there_is_no_cache_and_the_fixed_settings_end_where_they_did(place, finished, session):
    online = run(place, "online", "--teachers-online", "--samples", "1", storage="online")
    assert not caches_folder(place / "online").exists()
    rows, cached = (pq.read_table(folder / "trials.parquet").to_pylist() for folder in (online, finished))
    assert rows[0]["val_ce"] == cached[0]["val_ce"]
    assert [row["arm"] for row in rows[:3]] == ["plain", "logits", "hidden"]
    for number in (1, 2):
        assert rows[number]["val_ce"] == pytest.approx(cached[number]["val_ce"], abs=1e-3)
    assert len({row["val_ce"] for row in rows[:3]}) == 3


def test_a_trial_that_diverges_fails_with_its_reason_and_the_search_goes_on(finished):
    rows = pq.read_table(finished / "trials.parquet").to_pylist()
    diverged = [row for row in rows if row["recipe.lr"] == 1e30]
    assert diverged
    assert {row["state"] for row in diverged} == {"FAILED"}
    assert all("diverged" in row["reason"] for row in diverged)
    assert any(row["state"] != "FAILED" for row in rows[rows.index(diverged[0]) + 1 :])


def test_the_optuna_journal_agrees_with_the_table(finished):
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(finished / "optuna.journal"))
    )
    trials = {
        trial.user_attrs["trial_id"]: trial
        for trial in optuna.load_study(study_name="first", storage=storage).trials
        if "duplicate_of" not in trial.user_attrs
    }
    rows = pq.read_table(finished / "trials.parquet").to_pylist()
    assert {row["state"] for row in rows} == {"COMPLETE", "PRUNED", "FAILED"}
    names = {"COMPLETE": "COMPLETE", "PRUNED": "PRUNED", "FAILED": "FAIL"}
    assert {row["trial_id"]: names[row["state"]] for row in rows} == {k: t.state.name for k, t in trials.items()}
    for row in rows:
        if row["state"] == "PRUNED":
            assert row["reason"] == "ASHA paused it at step 6"
            assert list(trials[row["trial_id"]].intermediate_values) == [6]
        if row["state"] == "COMPLETE":
            assert list(trials[row["trial_id"]].intermediate_values) == [6, 16]


def test_mlflow_has_one_parent_and_a_child_per_trial(place, finished):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{place / 'runs' / 'mlflow.db'}")
    summary = json.loads((finished / "summary.json").read_text())["mlflow"]
    parent = client.get_run(summary["parent_run_id"])
    children = client.search_runs(
        [summary["experiment_id"]], f"tags.mlflow.parentRunId = '{summary['parent_run_id']}'", max_results=100
    )
    rows = {row["trial_id"]: row for row in pq.read_table(finished / "trials.parquet").to_pylist()}
    runs = {child.data.tags["palenka.trial_id"]: child for child in children if "palenka.trial_id" in child.data.tags}
    assert set(runs) == set(rows)
    assert parent.info.status == "FINISHED"
    statuses = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAILED": "FAILED"}
    for trial_id, row in rows.items():
        child = runs[trial_id]
        assert child.info.status == statuses[row["state"]]
        assert child.data.tags["palenka.state"] == row["state"]
        assert float(child.data.params["beta"]) == row["beta"]
        if row["state"] == "COMPLETE":
            history = client.get_metric_history(child.info.run_id, "val/ce")
            assert [point.step for point in history] == [6 * 16 * 16, 16 * 16 * 16]
            assert history[-1].value == row["val_ce"]
            assert next(iter(child.data.metrics)) == "val/ce"  # Compare opens on the first metric
            assert client.get_metric_history(child.info.run_id, "diagnostics/train_loss")
        assert child.data.tags.get("palenka.rung") == {"COMPLETE": "2 of 2", "PRUNED": "1 of 2"}.get(row["state"])
    names = {artifact.path for artifact in client.list_artifacts(summary["parent_run_id"])}
    assert {"search.yaml", "trials.parquet", "summary.json", "evaluation.json"} <= names


def test_the_run_list_needs_no_editing(place, finished):
    """Names and marks of the children, the parent's note and metrics, its data, the links to its teachers."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{place / 'runs' / 'mlflow.db'}")
    summary = json.loads((finished / "summary.json").read_text())
    ids = summary["mlflow"]
    parent = client.get_run(ids["parent_run_id"])
    children = client.search_runs(
        [ids["experiment_id"]], f"tags.mlflow.parentRunId = '{ids['parent_run_id']}'", max_results=100
    )
    marked = {child.data.tags.get("palenka.trial_id"): child.info.run_name for child in children}
    led = " (led the trials)"
    assert [trial for trial, name in marked.items() if led in name] == [summary["best"]["trial_id"]]
    assert all(name.startswith(trial) for trial, name in marked.items() if trial)
    names = {trial: name.partition(", ")[2] for trial, name in marked.items()}
    assert [names[f"trial-000{n}"] for n in range(3)] == [
        f"{arm}: fixed setting" for arm in ("plain", "logits", "hidden")
    ]
    rest = [name for trial, name in names.items() if trial and trial > "trial-0002"]
    assert all(name.startswith(("hidden: β=", "logits: lr=")) for name in rest)
    assert parent.data.tags["mlflow.note.content"].startswith("**Of the trials, with one seed, the best of each arm ")
    assert set(parent.data.metrics) == {
        "val/ce",
        "eval/pairs",
        *(f"leader/minus_{arm}" for arm in summary["arms"] if arm != summary["best"]["arm"]),
        "headroom/logit_average",
        "headroom/probability_average",
        "headroom/nats",
        *(f"cost/{each['stage'].replace(' ', '_')}_seconds" for each in summary["cost"]),
    }
    assert parent.data.metrics["val/ce"] == summary["best"]["val_ce"]
    teachers = [child.info.run_id for child in children if child.info.run_name.startswith("teacher ")]
    assert sorted(parent.data.tags["palenka.teacher_runs"].split()) == sorted(teachers)
    assert all(f"/runs/{run_id})" in parent.data.tags["mlflow.note.content"] for run_id in teachers)
    contexts = {each.dataset.name: each.tags for each in parent.inputs.dataset_inputs}
    assert sorted(contexts) == ["data dev", "data train"]
    scored = [child for child in children if "eval/pairs" in child.data.metrics]
    assert len(scored) == len(json.loads((finished / "evaluation.json").read_text())["models"])


def test_the_best_student_is_registered_and_one_more_search_is_compared_with_it(place, finished, session):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{place / 'runs' / 'mlflow.db'}")
    summary = json.loads((finished / "summary.json").read_text())
    version = client.get_model_version_by_alias("student", "champion")
    assert version.run_id == summary["mlflow"]["parent_run_id"]
    assert f"{summary['best']['val_ce']:.4f} nats per token on data " in version.description
    # a finished search is registered too, once
    again = ["--resume", "--name", "first", "--storage", str(place / "runs"), "--register", "student"]
    for _ in range(2):
        assert options.run(search.cli, again) == 0
    assert [found.version for found in client.search_model_versions("name = 'student'")] == [version.version]


def test_the_best_student_loads_with_transformers_alone_and_generates(finished):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(finished / "best")
    tokenizer = AutoTokenizer.from_pretrained(finished / "best")
    inputs = tokenizer("The cat", return_tensors="pt")
    generated = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    assert generated.shape[1] > inputs["input_ids"].shape[1]
    assert not any("projection" in name or "pairs" in name for name, _ in model.named_parameters())
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_the_same_seed_gives_the_same_table_but_for_times_and_a_call_the_same_as_the_command(
    place, finished, session, capfd
):
    (cache,) = caches_folder(place / "runs").glob("[!.]*")
    written = {path.name: path.stat().st_mtime_ns for path in cache.glob("*.arrow")}
    capfd.readouterr()
    folders = {"data": "data", "storage": "runs", "minimal_pairs": "pairs"}
    folders = {option: str(place / name) for option, name in folders.items()}
    result = python.run(place / "space.yaml", name="second", concurrent=1, **folders)
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in caches_folder(place / "runs").glob("[!.]*")] == [cache.name]
    assert {path.name: path.stat().st_mtime_ns for path in cache.glob("*.arrow")} == written  # read, not built
    tables = [pq.read_table(each / "trials.parquet").drop_columns(["seconds"]) for each in (finished, result.folder)]
    assert tables[0].equals(tables[1])
    check_a_result(result, place / "runs")


def check_a_result(result, storage):
    """Of a call: typed, read back the same, with a student that generates."""
    assert isinstance(result, SearchResult)
    assert result.folder == storage / "second"
    assert len(result.trials) == 12
    assert result.best.val_ce == min(trial.val_ce for trial in result.trials if trial.state == "COMPLETE")
    assert set(result.arms) == {"plain", "logits", "hidden"}
    assert f"{result.best.val_ce:.4f}" in result.verdict
    model, tokenizer = result.load_student()
    ids = model.generate(**tokenizer("The cat", return_tensors="pt"), max_new_tokens=4, do_sample=False)
    assert ids.shape[1] > 2
    assert python.load(storage=str(storage)) == result
    assert python.run(resume=True, storage=str(storage)) == result


def test_a_killed_search_is_seen_for_what_it_is_and_resumes_to_the_same(place, finished, session, tmp_path, capsys):
    marked, file = Place(place), tmp_path / "status.json"
    folder = marked.run_folder("killed")

    def look() -> dict:
        argv = ["killed", "--storage", str(marked.storage), "--json", str(file)]
        assert options.run(status.cli, argv) == 0
        return {**json.loads(file.read_text()), "shown": capsys.readouterr().out}

    process = marked.start("killed")

    def training() -> dict | None:
        """A trial runs and another has ended."""
        assert process.poll() is None, marked.said("killed")
        seen = look() if (folder / "optuna.journal").exists() else None
        return seen if seen and seen["running"] and seen["trials"]["complete"] else None

    try:
        seen = wait_for(training, 300, "the second trial")
        assert (seen["state"], seen["is_running"], seen["writer"]["pid"]) == ("searching", True, process.pid)
    finally:
        kill(process.pid)
        process.wait()
        marked.kill_all()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    seen = look()
    assert (seen["state"], seen["stage"], seen["running"]) == ("killed", "searching", [])
    assert seen["trials"]["waiting"] <= 1  # none if it died between two trials
    command = f"python -m palenka_tune.search --resume --name killed --storage {marked.storage} --concurrent 1"
    assert seen["resume"].startswith(command)
    assert seen["resume"] in seen["shown"]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert options.run(search.cli, command.split()[3:]) == 0
    same = ["trial_id", "state", "val_ce", "steps"]
    tables = [pq.read_table(each / "trials.parquet").select(same) for each in (folder, finished)]
    assert tables[0].equals(tables[1])
    assert run_again(folder) == []
    assert metrics_twice(folder) == 0


def test_fresh_seeds_are_paired_and_what_is_there_is_not_trained_again(place, session, capsys):
    """The verdict of a search that had none, in a second process; then with one seed more."""
    folder = run(place, "final", "--set", "recipe.lr=3e-3", "--set", "rungs=[]", "--samples", "1")
    before = json.loads((folder / "summary.json").read_text())
    assert "verdict" not in before
    again = ["--resume", "--name", "final", "--storage", str(place / "runs"), "--concurrent", "2"]
    assert options.run(search.cli, [*again, "--seeds", "1"]) == 0
    first = {path: path.stat().st_mtime_ns for path in (folder / "finalists").glob("*/result.json")}
    capsys.readouterr()
    assert options.run(search.cli, [*again, "--seeds", "2"]) == 0
    said = capsys.readouterr().out
    assert "3 of 6 have their result already" in said
    assert all(path.stat().st_mtime_ns == then for path, then in first.items())
    rows = pq.read_table(folder / "finalists.parquet").to_pylist()
    names = [before["arms"][arm]["best"]["trial_id"] for arm in ("plain", "logits", "hidden")]
    assert [(row["config"], row["seed"]) for row in rows] == [(name, seed) for seed in (1, 2) for name in names]
    assert [row["arm"] for row in rows] == 2 * ["plain", "logits", "hidden"]
    assert {row["test_ce"] for row in rows} == {None}  # this corpus has no test
    assert len({row["steps"] for row in rows}) == 1
    assert rows[0]["tokens"] > 2 * 128 * WINDOW  # all windows, not the search's 128
    summary = json.loads((folder / "summary.json").read_text())
    same = ("counts", "arms", "twins", "fidelity", "budget")
    assert {name: summary[name] for name in same} == {name: before[name] for name in same}
    found, verdict = summary["verdict"], summary["verdict"]["sentence"]
    assert (found["on"], found["seeds"], found["margin"]) == ("dev", 2, 0.01)
    assert [(each["a"], each["b"], each["seeds"]) for each in found["comparisons"]] == [
        ("hidden", "logits", 2),
        ("logits", "plain", 2),
        ("hidden", "plain", 2),
    ]
    assert "(2 fresh seeds)" in verdict
    assert "95 % interval" in verdict
    assert verdict in said
    card = (folder / "best" / "README.md").read_text()
    assert verdict in card
    assert f"{summary['best']['val_ce']:.4f} nats per token" in card
    assert summary["best"]["seed"] == 1  # the search's own seed chose the trials
    means = {arm: statistics.fmean(row["val_ce"] for row in rows if row["arm"] == arm) for arm in before["arms"]}
    assert summary["best"]["arm"] == min(means, key=means.get)
    evaluation = json.loads((folder / "evaluation.json").read_text())
    check_the_fresh_seeds_in_mlflow(place, folder, summary, verdict)
    assert len(evaluation["finalists"]) == 6
    assert all(next(iter(each["suites"].values()))["pairs"] == 6 for each in evaluation["finalists"])
    assert options.run(search.cli, [*again, "--seeds", "2"]) == 0
    assert "nothing is left to do" in capsys.readouterr().out


def check_the_fresh_seeds_in_mlflow(place, folder, summary, verdict):
    """Students and trials are marked, the note has the verdict, and the model is that of `best/`."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{place / 'runs' / 'mlflow.db'}")
    ids, best = summary["mlflow"], summary["best"]
    parent = client.get_run(ids["parent_run_id"])
    assert parent.info.status == "FINISHED"
    note = parent.data.tags["mlflow.note.content"]
    assert note.startswith(f"**{verdict}**")
    assert "| arm | measure | seeds |" in note
    assert parent.data.metrics["val/ce"] == best["val_ce"]
    assert parent.data.tags["palenka.best_trial"] == best["trial_id"]
    runs = client.search_runs([ids["experiment_id"]], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    by_key = {run.data.tags["palenka.key"]: run for run in runs}
    names = {key: run.info.run_name for key, run in by_key.items() if key.startswith("finalist-")}
    assert len(names) == 6
    winner = f"finalist-{best['trial_id']}-seed{best['seed']}"
    assert [key for key, name in names.items() if " (best), " in name] == [winner]
    chosen = {arm: found["best"]["trial_id"] for arm, found in summary["arms"].items()}
    name = names[f"finalist-{chosen['plain']}-seed2"].replace(" (best)", "")
    assert name == f"{chosen['plain']} s2, plain: fixed setting"
    for key in names:  # from the begin of the training to its end
        trained = json.loads((folder / "finalists" / key.removeprefix("finalist-") / "result.json").read_text())
        times = [int(trained[moment] * 1000) for moment in ("began", "ended")]
        assert [by_key[key].info.start_time, by_key[key].info.end_time] == times
        assert times[1] > times[0]
    marks = {arm: by_key[trial].data.tags["palenka.best"] for arm, trial in chosen.items()}
    assert marks == {arm: str(arm == best["arm"]).lower() for arm in chosen}
    assert {by_key[trial].data.tags["palenka.finalist"] for trial in chosen.values()} == {"true"}
    models = [client.get_logged_model(m.model_id) for m in client.search_logged_models([ids["experiment_id"]])]
    (newest,) = [model for model in models if model.source_run_id == parent.info.run_id]
    assert [metric.value for metric in newest.metrics if metric.key == "val/ce"] == [best["val_ce"]]
