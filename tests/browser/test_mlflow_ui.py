"""`mlflow ui` on a finished search, by the command that it printed: what docs/mlflow.md walks through."""

from __future__ import annotations

import json
import re
import shlex
import sys

import pytest

from palenka_tune.tracking import store
from tests.support.web import free_port, serving

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.ray,
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def command(shown_search):
    """The command that shows the runs; a search has printed this very one."""
    folder, printed = shown_search
    shown = store.ui_command(f"sqlite:///{folder.parent / 'mlflow.db'}", folder.parent)
    assert printed is None or f"trials    {shown}\n" in printed
    return shown


@pytest.fixture(scope="module")
def ui(command, tmp_path_factory):
    """The address at which that command shows them, on a port of our own."""
    port = free_port()
    program, *arguments, given = shlex.split(command)
    assert (program, given) == ("mlflow", "5000")
    argv = [sys.executable, "-m", "mlflow", *arguments, str(port), "--workers", "1"]
    url = f"http://127.0.0.1:{port}"
    with serving(argv, f"{url}/health", tmp_path_factory.mktemp("ui") / "mlflow.log"):
        yield url


@pytest.fixture(scope="module")
def search(shown_search):
    """Ids of the experiment and the parent's run."""
    return json.loads((shown_search[0] / "summary.json").read_text())["mlflow"]


@pytest.fixture(scope="module")
def client(shown_search):
    return store.connect(f"sqlite:///{shown_search[0].parent / 'mlflow.db'}")


@pytest.fixture(scope="module")
def children(client, search):
    """The trials' runs."""
    query = f"tags.mlflow.parentRunId = '{search['parent_run_id']}'"
    found = client.search_runs([search["experiment_id"]], query, max_results=200)
    return [run for run in found if "palenka.trial_id" in run.data.tags]


@pytest.fixture(autouse=True)
def without_the_assistant(page):
    """MLflow opens its chat beside the page for who comes first, and it covers a third of the picture."""
    page.add_init_script(
        "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');"
        "localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false')"
    )


def test_trials_are_grouped_under_their_search(ui, search, client, children, page, shoot):
    page.goto(f"{ui}/#/experiments/{search['experiment_id']}/runs")
    parent = client.get_run(search["parent_run_id"]).info.run_name
    row = page.get_by_role("row").filter(has_text=parent).first
    row.wait_for()
    assert page.get_by_text("logits: fixed setting").count() == 0  # closed at first
    row.get_by_role("button").first.click()
    page.get_by_text("logits: fixed setting").first.wait_for()
    for child in children[:5]:
        page.get_by_text(child.info.run_name, exact=True).first.wait_for()
    shoot(page, "mlflow_runs")


def test_the_note_is_a_table_with_links(ui, search, client, page, shoot):
    page.goto(f"{ui}/#/experiments/{search['experiment_id']}/runs/{search['parent_run_id']}")
    note = page.get_by_test_id("note-view-outer-container").first
    note.wait_for()
    table = note.get_by_role("table").first
    assert table.get_by_role("row").filter(has_text="best of hidden").count() == 1
    assert table.get_by_role("row").filter(has_text="best of logits").count() == 1
    assert "python -m palenka_tune.search ./search.yaml" in note.inner_text()
    if (more := note.page.get_by_text("Show more").first).is_visible():
        more.click()
    shoot(page, "mlflow_note")
    teacher = note.get_by_role("link", name=re.compile("GPT2")).first
    teacher.click()
    page.get_by_text("teacher GPT2", exact=False).first.wait_for()


def test_four_trials_compare_in_parallel_coordinates(ui, search, children, page, shoot):
    four = [
        run.info.run_id
        for run in children
        if run.info.status == "FINISHED" and run.data.tags["palenka.origin"] != "fixed"
    ]
    four = [*four, *(run.info.run_id for run in children if run.info.run_id not in four)][:4]
    runs, experiments = json.dumps(four), json.dumps([search["experiment_id"]])
    page.goto(f"{ui}/#/compare-runs?runs={runs}&experiments={experiments}")
    page.get_by_role("tab", name="Parallel Coordinates Plot").wait_for()
    page.locator(".parcoords .axis-title, .parcoords text").first.wait_for()
    shoot(page, "mlflow_compare")


def test_the_models_version_page_loads(ui, client, page, shoot):
    (model, *_) = client.search_registered_models()
    version = client.get_model_version_by_alias(model.name, "champion")
    page.goto(f"{ui}/#/models/{model.name}/versions/{version.version}")
    page.get_by_text("Champion: the first of this name.").first.wait_for()
    page.get_by_text("@ champion").first.wait_for()
    shoot(page, "mlflow_model")
