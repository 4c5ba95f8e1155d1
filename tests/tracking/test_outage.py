"""Against a real MLflow server that is stopped and started again."""

import contextlib
import sys
from pathlib import Path

import mlflow
import pytest

from palenka_tune.tracking import store
from palenka_tune.tracking.ship import replay
from palenka_tune.tracking.tracker import Tracker
from tests.support.logged_student import log, student
from tests.support.mlflow_store import opened
from tests.support.web import free_port, serving

pytestmark = pytest.mark.slow


class Server:
    """`mlflow server` on a port of this machine, with its artifacts behind it; it can be stopped and started again."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.running = contextlib.ExitStack()

    def start(self):
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/server.db", "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        self.running.enter_context(serving(command, f"{self.uri}/health", self.folder / "server.log"))

    def stop(self):
        self.running.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.stop()


def history(server, run_id):
    return [(point.step, point.value) for point in store.connect(server.uri).get_metric_history(run_id, "val/ce")]


def test_a_search_on_a_server_arrives_with_artifacts(server, run_dir, tmp_path):
    uri, artifacts = opened(server.uri, tmp_path)
    tracker = Tracker(run_dir, tracking_uri=uri, experiment="whole", artifact_location=artifacts)
    (tmp_path / "report.html").write_text("<p>best</p>")
    tracker.start_run("search", name="s", params={"seed": 1})
    tracker.start_run("trial", name="t", parent="search")
    tracker.log_metrics("trial", {"val/ce": 2.5, "train/loss": float("nan")}, 100)
    tracker.log_artifact("search", tmp_path / "report.html")
    log(tracker, student(tmp_path / "best", "a"), 2.5, registered="student")
    tracker.end_run("trial", "KILLED")
    tracker.end_run("search")
    assert tracker.close(60)
    client = store.connect(server.uri)
    trial = client.get_run(tracker.run_id("trial"))
    assert trial.data.tags["mlflow.parentRunId"] == tracker.run_id("search")
    assert trial.info.status == "KILLED"
    assert trial.data.metrics["train/loss"] != trial.data.metrics["train/loss"]
    local = Path(client.download_artifacts(tracker.run_id("search"), "report.html", str(tmp_path / "down")))
    assert local.read_text() == "<p>best</p>"
    champion = client.get_model_version_by_alias("student", "champion")
    assert champion.run_id == tracker.run_id("search")
    stored = client.get_model_version_download_uri("student", champion.version)
    fetched = mlflow.artifacts.download_artifacts(stored, dst_path=str(tmp_path / "model"), tracking_uri=server.uri)
    assert mlflow.models.Model.load(fetched).flavors["transformers"]["pipeline_model_type"] == "LlamaForCausalLM"
    assert store.ui_command(uri, tmp_path, tracker.experiment_id).startswith(f"{server.uri}/#/experiments/")


def test_an_outage_loses_and_doubles_nothing(server, run_dir, caplog):
    tracker = Tracker(run_dir, tracking_uri=server.uri, experiment="outage")
    tracker.start_run("trial", name="t")
    tracker.log_metrics("trial", {"val/ce": 0.0}, 0)
    assert tracker.flush(60)
    server.stop()
    try:
        for step in range(1, 200):
            tracker.log_metrics("trial", {"val/ce": float(step)}, step)
        tracker.start_run("late", name="started during the outage", parent="trial")
        assert not tracker.flush(3)
        assert len(caplog.messages) == 1
        assert "kept and sent later" in caplog.messages[0]
    finally:
        server.start()
    tracker.end_run("trial")
    tracker.end_run("late")
    assert tracker.close(60)
    assert history(server, tracker.run_id("trial")) == [(step, float(step)) for step in range(200)]
    assert len(store.connect(server.uri).search_runs([tracker.experiment_id])) == 2


def test_a_search_that_ended_during_an_outage_is_replayed(server, run_dir):
    server.stop()
    try:
        tracker = Tracker(run_dir, tracking_uri=server.uri, experiment="replayed")
        tracker.start_run("trial", name="t")
        for step in range(50):
            tracker.log_metrics("trial", {"val/ce": float(step)}, step)
        tracker.end_run("trial")
        assert not tracker.close(2)
    finally:
        server.start()
    assert replay(run_dir) == 53
    client = store.connect(server.uri)
    (run,) = client.search_runs([client.get_experiment_by_name("replayed").experiment_id])
    assert run.info.status == "FINISHED"
    assert history(server, run.info.run_id) == [(step, float(step)) for step in range(50)]
