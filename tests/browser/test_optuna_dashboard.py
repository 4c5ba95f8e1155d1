"""optuna-dashboard on a copy of a run's journal, as docs/mlflow.md says it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import optuna
import pytest

from palenka_tune.runs.journal import SealedJournal
from tests.support.web import free_port, serving

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.ray,
    pytest.mark.timeout(900),
]
RUN = "import sys; from optuna_dashboard._cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def journal(shown_search, tmp_path_factory):
    """A copy, under the name of the run."""
    folder, _ = shown_search
    return Path(shutil.copy(folder / "optuna.journal", tmp_path_factory.mktemp("copy") / f"{folder.name}.journal"))


@pytest.fixture(scope="module")
def dashboard(journal):
    pytest.importorskip("optuna_dashboard", reason="needs optuna-dashboard: pip install 'palenka-tune[browser]'")
    port = free_port()
    argv = [sys.executable, "-c", RUN, str(journal), "--port", str(port), "--server", "wsgiref"]
    url = f"http://127.0.0.1:{port}"
    with serving(argv, f"{url}/dashboard", journal.parent / "dashboard.log"):
        yield url


def trials(journal: Path) -> list[optuna.trial.FrozenTrial]:
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
    return optuna.load_study(study_name=None, storage=storage).trials


def test_the_study_is_there_with_its_pruned_trials(dashboard, journal, page, shoot):
    states = [trial.state.name for trial in trials(journal)]
    assert states.count("PRUNED") > 0
    page.goto(f"{dashboard}/dashboard/studies/0")
    page.get_by_text("History", exact=False).filter(visible=True).first.wait_for()
    page.locator(".js-plotly-plot .main-svg").first.wait_for()
    shoot(page, "optuna_dashboard")
    page.goto(f"{dashboard}/dashboard/studies/0/trials")
    page.get_by_text("Pruned", exact=True).first.wait_for()
    assert page.get_by_text("Complete", exact=True).count() > 0
    numbers = [number for number, state in enumerate(states) if state == "PRUNED"]
    page.goto(f"{dashboard}/dashboard/studies/0/trials?numbers={numbers[0]}")
    page.get_by_text("Intermediate", exact=False).filter(visible=True).first.wait_for()


def test_the_search_still_reads_its_own_journal_but_not_one_that_was_written_to(shown_search, dashboard, journal):
    """Why the dashboard gets a copy: a note of a person is a line without a seal."""
    from urllib.request import Request, urlopen

    from palenka_tune.errors import PalenkaError

    own = shown_search[0] / "optuna.journal"
    before = own.read_bytes()
    request = Request(
        f"{dashboard}/api/studies/0/note",
        data=b'{"body": "a note", "version": 1}',
        method="PUT",
        headers={"Content-Type": "application/json"},
    )
    with urlopen(request, timeout=60) as reply:
        assert reply.status == 204
    assert own.read_bytes() == before
    assert len(journal.read_bytes()) > len(before)
    shutil.copy(own.with_name(f"{own.name}.lines"), journal.with_name(f"{journal.name}.lines"))
    with pytest.raises(PalenkaError, match="is damaged at line"):
        SealedJournal(journal, lambda: None)
