"""The best student in MLflow: as a model of its run, and as a version in the registry with an alias.

A Hugging Face folder becomes a logged model (MLflow 3) with metrics, settings and signature, and then a version of the
registered model: the `champion` if it is the first of its name or better than the champion on the same data, else a
`challenger`. Doing it twice changes nothing.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palenka_tune.config.files import weights_digest
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.tracking.entities import clean_name
from palenka_tune.tracking.hf_model import write_mlflow_model
from palenka_tune.tracking.spool import Event
from palenka_tune.tracking.store import code

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER = "champion", "challenger"
WEIGHTS_TAG, MODEL_TAG, ALIAS_TAG = "palenka.weights", "palenka.model_id", "palenka.registered_as"
MEASURED_TAG, VALUE_TAG = "palenka.measured_on", "palenka.val_ce"


def check_model_name(name: str) -> str:
    """A name that MLflow's registry, a URI (`models:/NAME@champion`) and a shell take; raises `UserError`."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", name):
        raise UserError(
            f"--register {name!r} cannot be a registered model's name; use letters, digits, '.', '-' and '_', "
            "beginning with a letter or digit"
        )
    return name


def log_model(client: MlflowClient, experiment_id: str, run_id: str, folder: Path, event: Event) -> None:
    """Log the model in `folder` under `event`'s name, in place of an older one of that name.

    One that an earlier attempt finished is left alone. If `folder` holds other weights by now, because a server was
    away for long, nothing is logged: those weights have an event of their own.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric

    if _logged(client, experiment_id, run_id, event["name"], event["digest"]) is not None:
        return
    if event["digest"] is not None and weights_digest(folder) != event["digest"]:
        return
    for torn in _models(client, experiment_id, run_id, event["name"]):
        if torn.status != LoggedModelStatus.READY:
            client.delete_logged_model(torn.model_id)
    with tempfile.TemporaryDirectory() as temporary:
        tags = {WEIGHTS_TAG: str(event["digest"])}
        model = client.create_logged_model(
            experiment_id, event["name"], run_id, tags=tags, params=event["settings"], model_type="causal-lm"
        )
        write_mlflow_model(folder, Path(temporary), run_id=run_id, model_id=model.model_id)
        client.log_model_artifacts(model.model_id, temporary)
    name, digest = event["measured_on"] or (None, None)
    at = {"model_id": model.model_id, "dataset_name": name, "dataset_digest": digest, "run_id": run_id}
    measured = {clean_name(key): value for key, value in event["metrics"].items()}
    client.log_batch(
        run_id, [Metric(key, value, event["time"], event["step"], **at) for key, value in measured.items()]
    )
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=event["step"])])
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    _delete_older(client, experiment_id, run_id, event["name"], model.model_id)


def register(client: MlflowClient, experiment_id: str, run_id: str, event: Event) -> None:
    """Make a logged model a version of the registered model `event["registered"]`, and give it its alias, once."""
    name = event["registered"]
    model = _logged(client, experiment_id, run_id, event["name"], event["digest"])
    if model is None:
        raise PalenkaError(f"its model '{event['name']}' is not in MLflow, so it cannot be registered as {name}")
    try:
        client.create_registered_model(name, description="The best students of searches of palenka_tune.")
    except Exception as error:
        if code(error) != "RESOURCE_ALREADY_EXISTS":
            raise
    known = (v for v in client.search_model_versions(f"name = '{name}'") if v.tags.get(MODEL_TAG) == model.model_id)
    version = next(known, None)
    if version is None:
        version = client.create_model_version(
            name,
            model.artifact_location,  # `models:/ID` would be looked up in the process' own tracking store
            run_id,
            tags={MODEL_TAG: model.model_id, MEASURED_TAG: event["measured_on"], VALUE_TAG: repr(event["val_ce"])},
            description=event["description"],
            model_id=model.model_id,
        )
    if ALIAS_TAG in version.tags:
        return
    alias, reason = _alias(client, name, version, event)
    if reason:
        client.update_model_version(name, version.version, f"{event['description']}\n\n{reason}")
    client.set_registered_model_alias(name, alias, version.version)
    client.set_model_version_tag(name, version.version, ALIAS_TAG, alias)


def _alias(client: MlflowClient, name: str, version: ModelVersion, event: Event) -> tuple[str, str]:
    """The alias of a new version and a sentence that says why; no sentence if an earlier attempt has set the alias."""
    number = client.get_registered_model(name).aliases.get(CHAMPION)
    if number is None:
        return CHAMPION, "Champion: the first of this name."
    if str(number) == str(version.version):
        return CHAMPION, ""
    champion = client.get_model_version(name, number)
    measured_on, value = champion.tags.get(MEASURED_TAG), _number(champion.tags.get(VALUE_TAG))
    if value is None:
        return CHALLENGER, f"Challenger: the champion, version {number}, has no val/ce to compare with."
    if measured_on != event["measured_on"]:
        return (
            CHALLENGER,
            f"Challenger: measured on other data ({event['measured_on']}) than the champion, version {number} "
            f"({measured_on}), so their val/ce do not compare.",
        )
    if event["val_ce"] < value:
        return CHAMPION, f"Champion: its val/ce is lower than the {value:.4f} of version {number}."
    return CHALLENGER, f"Challenger: its val/ce is not lower than the {value:.4f} of the champion, version {number}."


def _models(client: MlflowClient, experiment_id: str, run_id: str, name: str) -> list[LoggedModel]:
    query = f"source_run_id = '{run_id}' AND name = '{name}'"
    return list(client.search_logged_models([experiment_id], query))


def _delete_older(client: MlflowClient, experiment_id: str, run_id: str, name: str, model_id: str) -> None:
    """A run has one model of a name; an older one stays only if it is a version of a registered model."""
    registered = {version.tags.get(MODEL_TAG) for version in client.search_model_versions(f"run_id = '{run_id}'")}
    for model in _models(client, experiment_id, run_id, name):
        if model.model_id != model_id and model.model_id not in registered:
            client.delete_logged_model(model.model_id)


def _logged(client: MlflowClient, experiment_id: str, run_id: str, name: str, digest: str | None) -> LoggedModel | None:
    """The finished model of that name and those weights."""
    from mlflow.entities import LoggedModelStatus

    for model in _models(client, experiment_id, run_id, name):
        if model.status == LoggedModelStatus.READY and model.tags.get(WEIGHTS_TAG) == str(digest):
            return model
    return None


def _number(text: Any) -> float | None:
    """A tag that a person may have edited."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
