import math
import shlex
import subprocess
import sys
import textwrap

import mlflow
import pytest

from palenka_tune.tracking.entities import DatasetRecord
from palenka_tune.tracking.ship import replay
from palenka_tune.tracking.spool import RUNS, SPOOL, Shipped
from palenka_tune.tracking.tracker import Tracker, link_to


def history(client, run, metric):
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, metric)]


def log_a_small_search(tracker, tmp_path):
    """A parent with three children, logged in turns as parallel trials are."""
    report = tmp_path / "report.html"
    report.write_text("<p>best</p>")
    (tmp_path / "plots").mkdir(exist_ok=True)
    (tmp_path / "plots" / "rungs.svg").write_text("<svg/>")
    tracker.start_run("search", name="a search", tags={"git.commit": "abc"}, params={"sampler": "tpe"})
    for n in range(3):
        tracker.start_run(f"trial-{n:04}", name=f"trial {n}", parent="search", params={"beta": 0.5 * n, "rank": None})
    for step in range(1, 6):
        for n in range(3):
            tracker.log_metrics(f"trial-{n:04}", {"val/ce": 5.0 - 0.1 * step + n, "val/ppl": None}, step * 1000)
    tracker.set_tags("trial-0001", {"state": "PRUNED"})
    tracker.log_artifact("search", report)
    tracker.log_artifact("search", tmp_path / "plots", "report")
    tracker.end_run("trial-0000")
    tracker.end_run("trial-0001", "KILLED")
    tracker.end_run("trial-0002", "FAILED")
    tracker.end_run("search")


def check_the_small_search(client, runs):
    assert sorted(runs) == ["search", "trial-0000", "trial-0001", "trial-0002"]
    parent = runs["search"]
    assert parent.info.run_name == "a search"
    assert parent.data.params == {"sampler": "tpe"}
    assert parent.data.tags["git.commit"] == "abc"
    for n in range(3):
        run = runs[f"trial-{n:04}"]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.params == {"beta": str(0.5 * n), "rank": "None"}
        assert history(client, run, "val/ce") == [(step * 1000, 5.0 - 0.1 * step + n) for step in range(1, 6)]
    assert [runs[key].info.status for key in sorted(runs)] == ["FINISHED", "FINISHED", "KILLED", "FAILED"]
    assert all(run.info.end_time >= run.info.start_time for run in runs.values())
    assert runs["trial-0001"].data.tags["state"] == "PRUNED"
    paths = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert paths == {"report.html", "report"}
    assert client.download_artifacts(parent.info.run_id, "report/plots/rungs.svg")


def test_a_search_arrives_nested_and_whole(client, run_dir, target, tmp_path, runs_of):
    tracker = Tracker(run_dir, **target)
    log_a_small_search(tracker, tmp_path)
    assert tracker.close(60)
    runs = runs_of()
    check_the_small_search(client, runs)
    assert tracker.run_id("search") == runs["search"].info.run_id
    assert tracker.run_id("nobody") is None
    assert tracker.experiment_id == runs["search"].info.experiment_id
    experiment = client.get_experiment(tracker.experiment_id)
    assert experiment.artifact_location.startswith(target["artifact_location"])
    assert tracker.close()  # twice is harmless


@pytest.mark.parametrize("lost", [3, 20, 1000])
def test_shipping_again_doubles_nothing(client, run_dir, target, tmp_path, runs_of, lost):
    tracker = Tracker(run_dir, **target)
    log_a_small_search(tracker, tmp_path)
    assert tracker.close(60)
    # A crash between the store's answer and ours to it: we know of fewer events, and of no runs.
    shipped = Shipped.load(run_dir)
    lines = (run_dir / SPOOL).read_bytes().splitlines(keepends=True)
    keep = max(len(lines) - lost, 0)
    shipped.seq, shipped.offset = keep - 1, sum(map(len, lines[:keep]))
    shipped.save(run_dir)
    (run_dir / RUNS).unlink()
    with (run_dir / SPOOL).open("ab") as file:
        file.write(b'{"seq": 31, "op": "metr')  # torn
    again = Tracker(run_dir, **target)
    assert again.close(60)
    check_the_small_search(client, runs_of())
    assert replay(run_dir) == 0


def test_a_killed_process_loses_nothing_and_is_continued(client, run_dir, target, runs_of):
    script = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from palenka_tune.tracking.tracker import Tracker, link_to
        tracker = Tracker(Path({str(run_dir)!r}), **{target!r})
        tracker.start_run("trial", name="t")
        tracker.log_metrics("trial", {{"val/ce": 1.0}}, 0)
        assert tracker.flush(60)
        for step in range(1, 300):
            tracker.log_metrics("trial", {{"val/ce": 1.0 + step}}, step)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -9, done.stderr
    before = len(history(client, runs_of()["trial"], "val/ce"))
    assert before < 300
    # what was shipped just before the kill may not have been noted: it is sent again, and the store keeps it once
    assert 300 - before <= replay(run_dir) <= 299
    assert history(client, runs_of()["trial"], "val/ce") == [(step, 1.0 + step) for step in range(300)]
    tracker = Tracker(run_dir, **target)
    tracker.start_run("trial", name="t")
    tracker.log_metrics("trial", {"val/ce": 0.5}, 300)
    tracker.end_run("trial")
    assert tracker.close(60)
    run = runs_of()["trial"]
    assert history(client, run, "val/ce")[-2:] == [(299, 300.0), (300, 0.5)]
    assert run.info.status == "FINISHED"


def test_what_mlflow_refuses_is_skipped_and_said_once(client, run_dir, target, runs_of, caplog, tmp_path):
    tracker = Tracker(run_dir, **target)
    tracker.start_run("trial", name="t", params={"alpha": 1})
    tracker.log_params("trial", {"alpha": 2, "long": "x" * 9000})  # alpha is taken
    tracker.log_params("trial", {"alpha": 3})
    tracker.log_metrics("never started", {"val/ce": 1.0}, 1)
    tracker.log_artifact("trial", tmp_path / "gone.txt")
    tracker.log_model("trial", tmp_path, "no model")
    tracker.log_metrics("trial", {"val/ce": "broken"}, 1)
    tracker.log_metrics("trial", {"val/ce": math.nan, "val/kl": math.inf, "über (x)": 1.0}, 2)
    assert tracker.close(60)
    run = runs_of()["trial"]
    assert run.data.params == {"alpha": "1", "long": "x" * 5997 + "..."}
    assert run.data.tags["palenka.infinite.val/kl"] == "inf at step 2"
    assert sorted(run.data.metrics) == ["val/ce", "über _x_"]
    assert math.isnan(run.data.metrics["val/ce"])
    for said in ("'alpha': Changing", "'never started'", "gone.txt is gone", "config.json", "broken"):
        assert sum(said in message for message in caplog.messages) == 1, caplog.messages
    tracker.log_metrics("trial", {"val/ce": 1.0}, 3)
    assert "after the tracker was closed" in caplog.messages[-1]


def test_many_events_of_many_runs_keep_their_order(client, run_dir, target, runs_of):
    tracker = Tracker(run_dir, **target)
    for n in range(4):
        tracker.start_run(f"trial-{n}", name="t", params={f"p{i}": i for i in range(150)})
    for step in range(600):
        for n in range(4):
            tracker.log_metrics(f"trial-{n}", {"a": step, "b": -step}, step)
    assert tracker.close(120)
    runs = runs_of()
    for n in range(4):
        assert len(runs[f"trial-{n}"].data.params) == 150
        assert history(client, runs[f"trial-{n}"], "a") == [(step, step) for step in range(600)]
        assert history(client, runs[f"trial-{n}"], "b") == [(step, -step) for step in range(600)]


def test_a_run_folder_that_moves_to_another_experiment_takes_everything_along(client, run_dir, target, tmp_path):
    tracker = Tracker(run_dir, **target)
    log_a_small_search(tracker, tmp_path)
    assert tracker.close(60)
    moved = Tracker(run_dir, **{**target, "experiment": "moved"})
    moved.set_tags("search", {"git.commit": "abc"})
    assert moved.close(60)
    runs = client.search_runs([moved.experiment_id])
    check_the_small_search(client, {run.data.tags["palenka.key"]: run for run in runs})


def test_a_run_deleted_in_the_ui_does_not_hold_up_the_rest(client, run_dir, target, runs_of, caplog):
    tracker = Tracker(run_dir, **target)
    for key in ("one", "two"):
        tracker.start_run(key, name=key)
    assert tracker.flush(60)
    deleted = tracker.run_id("one")
    client.delete_run(deleted)
    for key in ("one", "two"):
        tracker.log_metrics(key, {"a": 1.0, "b": 2.0}, 1)
    tracker.start_run("one", name="again")
    tracker.log_metrics("one", {"a": 3.0}, 2)
    assert tracker.close(60)
    runs = runs_of()
    assert runs["two"].data.metrics == {"a": 1.0, "b": 2.0}
    assert runs["one"].data.metrics == {"a": 3.0}
    assert runs["one"].info.run_id != deleted
    assert len(caplog.messages) == 1  # for the batch, not for each metric in it
    assert "metrics of run 'one'" in caplog.messages[0]


def test_a_dead_server_stops_nothing_and_the_way_to_replay_is_said(run_dir, caplog):
    tracker = Tracker(run_dir, tracking_uri="http://anna:s3cret@127.0.0.1:9", experiment="e")
    tracker.start_run("trial", name="t")
    assert not tracker.close(2)
    assert tracker.experiment_id is None
    assert caplog.messages[0].startswith("MLflow at http://127.0.0.1:9: the server does not answer; ")
    assert caplog.messages[-1].endswith(shlex.join(["palenka_tune.track", "replay", str(run_dir)]))
    written = "".join(path.read_text() for path in run_dir.iterdir() if path.is_file())
    assert "s3cret" not in written + "".join(caplog.messages)
    done = subprocess.run(
        [sys.executable, "-m", "palenka_tune.track", "replay", str(run_dir)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "error: MLflow at http://127.0.0.1:9 did not take everything" in done.stderr
    assert done.stderr.count("\n") == 1


def test_links_and_inputs_arrive_once(client, run_dir, target, runs_of):
    tracker = Tracker(run_dir, **target)
    tracker.start_run("search", name="s")
    tracker.start_run("trial-0001", name="t", parent="search")
    tracker.start_run("teacher", name="GPT2", parent="search", tags={"palenka.teacher": "fe0123456789abcd"})
    note = f"[t]({link_to('{run:trial-0001}')}) [T]({link_to('{teacher:fe0123456789abcd}')}) {{run:gone}} {{0: 1}}"
    tracker.set_linked_tags("search", {"mlflow.note.content": note})
    train = DatasetRecord("story train", "0123", "local", {"uri": "data"}, "training", {"num_rows": 3}, {"seen": "2"})
    dev = DatasetRecord("story dev", "0123", "hugging_face", {"path": "anna/story"}, "validation")
    tracker.log_inputs("search", [train, dev])
    assert tracker.flush(60)
    tracker.log_inputs("search", [train, dev])  # as a resumed search does
    assert tracker.close(60)
    runs = runs_of()
    ids = {key: run.info.run_id for key, run in runs.items()}
    where = f"#/experiments/{tracker.experiment_id}/runs"
    assert runs["search"].data.tags["mlflow.note.content"] == (
        f"[t]({where}/{ids['trial-0001']}) [T]({where}/{ids['teacher']}) unknown {{0: 1}}"
    )
    inputs = {each.dataset.name: each for each in runs["search"].inputs.dataset_inputs}
    assert sorted(inputs) == ["story dev", "story train"]
    assert len(runs["search"].inputs.dataset_inputs) == 2
    assert {tag.key: tag.value for tag in inputs["story train"].tags} == {
        "mlflow.data.context": "training",
        "seen": "2",
    }
    assert inputs["story train"].dataset.digest == "0123"
    sources = [mlflow.data.get_source(inputs[name].dataset) for name in ("story train", "story dev")]
    assert [source.to_dict().get("uri") or source.to_dict()["path"] for source in sources] == ["data", "anna/story"]


def test_a_run_that_is_told_of_afterwards_has_its_own_times(client, run_dir, target, runs_of):
    tracker = Tracker(run_dir, **target)
    tracker.start_run("trained", name="t", began=1_700_000_000.25)
    tracker.end_run("trained", ended=1_700_000_600.5)
    assert tracker.last_heard("trained") > 1_700_000_600.5
    assert tracker.last_heard("nobody") is None
    assert tracker.close(60)
    info = runs_of()["trained"].info
    assert (info.start_time, info.end_time) == (1_700_000_000_250, 1_700_000_600_500)


def test_the_experiment_says_what_it_is(client, run_dir, target):
    tracker = Tracker(run_dir, **target)
    tracker.start_run("search", name="s")
    assert tracker.close(60)
    tags = client.get_experiment(tracker.experiment_id).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert tags["mlflow.note.content"].startswith("Searches of palenka_tune.")
