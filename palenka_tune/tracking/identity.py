"""Which runs of a store are a search's: they carry an identity of the search, not of its folder or the store's address.

The identity is in the spool's first line, so a folder that is moved, a store that is addressed otherwise and lost notes
beside the spool lead to the runs that exist. The first run says where the folder is: a copy of it, whose original is
still there, gets an identity and runs of its own.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from palenka_tune.config.files import fingerprint
from palenka_tune.errors import PalenkaError
from palenka_tune.storage.mirror import remote_of, shown
from palenka_tune.tracking.spool import SPOOL, Shipped, spool_name
from palenka_tune.tracking.store import database, redact, refused

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

KEY_TAG, SEARCH_TAG, FOLDER_TAG = "palenka.key", "palenka.search_id", "palenka.folder"

logger = logging.getLogger(__name__)


def place_of(run_dir: Path) -> str:
    """Where a run folder is, for the tag `palenka.folder`: its URL in a bucket, else host and path."""
    return shown(run_dir) if remote_of(run_dir) else f"{socket.gethostname()}:{run_dir.resolve()}"


def runs_of(client: MlflowClient, experiment_id: str, search_id: str) -> list[Run]:
    """The runs of a search that are not deleted, the first one first."""
    return _search(client, experiment_id, search_id, deleted=False)


def claim(
    client: MlflowClient, experiment_id: str, run_dir: Path, shipped: Shipped, known: Mapping[str, str]
) -> dict[str, str]:
    """MLflow's run id of each key of the search in `run_dir`, asked of the store.

    `known` are the ids that the folder has noted, from versions that gave runs no identity. `shipped` gets the
    identity; it starts over if the store has nothing of the search. Raises `PalenkaError` if the folder of the runs is
    on another machine, so that nobody can tell whether this one is that folder or a copy.
    """
    shipped.search_id = shipped.search_id or spool_name(run_dir / SPOOL)
    found = runs_of(client, experiment_id, shipped.search_id) or _adopt(client, experiment_id, shipped.search_id, known)
    if found and _is_copy(client, _owner(found), run_dir, shipped):
        shipped.search_id = f"{shipped.search_id}-{fingerprint(place_of(run_dir))[:8]}"
        found = runs_of(client, experiment_id, shipped.search_id)
    shipped.told = None
    if not found and not _search(client, experiment_id, shipped.search_id, deleted=True):
        shipped.start_over()
    runs: dict[str, str] = {}
    for run in found:
        runs.setdefault(run.data.tags[KEY_TAG], run.info.run_id)
    return runs


def _search(client: MlflowClient, experiment_id: str, search_id: str, *, deleted: bool) -> list[Run]:
    from mlflow.entities import ViewType

    view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
    runs: list[Run] = []
    query, order, token = f"tags.`{SEARCH_TAG}` = '{search_id}'", ["attributes.start_time"], None
    while True:
        page = client.search_runs([experiment_id], query, view, max_results=1000, order_by=order, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def _adopt(client: MlflowClient, experiment_id: str, search_id: str, known: Mapping[str, str]) -> list[Run]:
    """Give the runs that the folder has noted, and that are in this experiment, the search's identity."""
    runs = []
    for key, run_id in known.items():
        try:
            run = client.get_run(run_id)
        except Exception as error:
            if not refused(error):
                raise
            continue
        tags = run.data.tags
        if run.info.experiment_id == experiment_id and tags.get(KEY_TAG) == key and SEARCH_TAG not in tags:
            client.set_tag(run_id, SEARCH_TAG, search_id)
            runs.append(run)
    return sorted(runs, key=lambda run: run.info.start_time)


def _owner(runs: list[Run]) -> Run:
    """The run that says where the search's folder is: the first one that was made."""
    return next((run for run in runs if FOLDER_TAG in run.data.tags), runs[0])


def _is_copy(client: MlflowClient, owner: Run, run_dir: Path, shipped: Shipped) -> bool:
    """Whether the folder that the runs belong to is another one, which still exists; one that has moved is noted."""
    here, there = place_of(run_dir), owner.data.tags.get(FOLDER_TAG, "")
    if here == there:
        return False
    if shipped.told == "copied":
        return True
    host, _, path = there.partition(":")
    if there and path != here.partition(":")[2]:
        store = database(shipped.tracking_uri)
        if store is not None and store.is_relative_to(run_dir.absolute().parent):
            # the database came along, wherever it was: only a folder beside this one can be the original
            host, path = socket.gethostname(), str(run_dir.absolute().parent / Path(path).name)
        if _is_folder_of(Path(path), run_dir):
            logger.warning("MLflow's runs of %s belong to %s; this copy gets runs of its own", run_dir, redact(path))
            return True
        if host != socket.gethostname() and shipped.told != "moved":
            raise PalenkaError(
                f"its runs belong to {there}, and whether {here} is that folder or a copy cannot be told from here; "
                f"say it once with: python -m palenka_tune.track moved {run_dir} (or: copied)"
            )
    client.set_tag(owner.info.run_id, FOLDER_TAG, here)
    return False


def _is_folder_of(path: Path, run_dir: Path) -> bool:
    """Whether `path` is another folder than `run_dir` with the spool of the same search."""
    try:
        return not path.samefile(run_dir) and spool_name(path / SPOOL) == spool_name(run_dir / SPOOL)
    except (OSError, PalenkaError):
        return False
