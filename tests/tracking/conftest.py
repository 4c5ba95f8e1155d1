"""A real MLflow store (SQLite, opened once); each test has a run folder and an experiment of its own."""

from pathlib import Path

import pytest

from palenka_tune.tracking import store
from tests.support.mlflow_store import opened


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory):
    """`(tracking URI, artifact location)` of a store in a folder whose name wants quoting."""
    storage = tmp_path_factory.mktemp("my storage")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return opened(None, storage)


@pytest.fixture
def client(sqlite):
    return store.connect(sqlite[0])


@pytest.fixture
def run_dir(tmp_path) -> Path:
    return tmp_path / "my run"


@pytest.fixture
def target(sqlite, request):
    """Keyword arguments of a `Tracker` on the SQLite store, with an experiment named after the test."""
    return {"tracking_uri": sqlite[0], "experiment": request.node.name, "artifact_location": sqlite[1]}


@pytest.fixture
def runs_of(client, request):
    """The runs of the test's experiment by `palenka.key`; fails if a key has two."""

    def runs() -> dict:
        experiment = client.get_experiment_by_name(request.node.name)
        found = client.search_runs([experiment.experiment_id])
        by_key = {run.data.tags["palenka.key"]: run for run in found}
        assert len(by_key) == len(found)
        return by_key

    return runs
