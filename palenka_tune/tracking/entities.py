"""From events of the spool to MLflow's entities, cut to what MLflow accepts.

Events of one run (`metrics`, `params`, `tags`, the params and tags of a `start_run`, the metrics of a `model`) become
`Metric`, `Param` and `RunTag` in batches that one `log_batch` call takes; datasets become inputs.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from palenka_tune.tracking.spool import Event

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric, Param, RunTag

# MLflow's limits for one log_batch call (1,000 entities in all) and for one key or value.
_BATCH, _PARAMS, _TAGS = 1000, 100, 100
_NAME, _PARAM_VALUE, _TAG_VALUE = 250, 6000, 8000
CONTEXT_TAG = "mlflow.data.context"  # shown by the UI beside a dataset


def clean_name(name: str) -> str:
    """A name of a metric, param or tag that MLflow takes: its characters, no empty or dotted path parts, its length."""
    name = re.sub(r"[^\w.\- /]", "_", name)
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    return "/".join(parts)[:_NAME].rstrip("/") or "_"


def entities(events: Iterable[Event]) -> list[Metric | Param | RunTag]:
    """The entities of events of one run, in order; of a tag set several times the last value.

    NaN stays a metric. MLflow stores an infinity as the largest float, which reads like a measurement, so it becomes
    the tag `palenka.infinite.<metric>` instead ("inf at step 300").
    """
    from mlflow.entities import Metric, Param, RunTag

    metrics: list[Metric] = []
    params: dict[tuple[str, str], Param] = {}
    tags: dict[str, str] = {}
    for event in events:
        for name, value in event.get("metrics", {}).items():
            if math.isinf(value):
                tags[clean_name(f"palenka.infinite.{name}")] = f"{value} at step {event['step']}"
            else:
                metrics.append(Metric(clean_name(name), value, event["time"], event["step"]))
        for name, value in event.get("params", {}).items():
            pair = clean_name(name), _cut(value, _PARAM_VALUE)
            params[pair] = Param(*pair)  # a second value of a param is kept: MLflow refuses it, and that is reported
        for name, value in event.get("tags", {}).items():
            tags[clean_name(name)] = _cut(value, _TAG_VALUE)
    return [*params.values(), *(RunTag(name, value) for name, value in tags.items()), *metrics]


def batches(items: list[Metric | Param | RunTag]) -> Iterator[list[Metric | Param | RunTag]]:
    """Cut into lists that respect MLflow's limits of a call; the order within a kind stays."""
    from mlflow.entities import Param, RunTag

    limits = {Param: _PARAMS, RunTag: _TAGS}
    batch: list[Any] = []
    counts: Counter[type] = Counter()
    for item in items:
        if len(batch) == _BATCH or counts[type(item)] == limits.get(type(item), _BATCH):
            yield batch
            batch, counts = [], Counter()
        batch.append(item)
        counts[type(item)] += 1
    if batch:
        yield batch


@dataclass(frozen=True)
class DatasetRecord:
    """A dataset that a run read: its name, the `digest` of its contents, where it is from, and its size (`profile`).

    `source_type` and `source` are those of an MLflow dataset source (`local`: {"uri": folder}), `context` is what it
    was used for (training, validation), `tags` say more about this use.
    """

    name: str
    digest: str
    source_type: str
    source: dict[str, Any]
    context: str
    profile: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


def dataset_inputs(records: Iterable[dict[str, Any]]) -> list[DatasetInput]:
    """MLflow's inputs of `DatasetRecord`s as the spool keeps them."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = []
    for record in records:
        source, profile = json.dumps(record["source"]), json.dumps(record["profile"])
        dataset = Dataset(record["name"], record["digest"], record["source_type"], source, profile=profile)
        tags = {**record["tags"], CONTEXT_TAG: record["context"]}
        inputs.append(DatasetInput(dataset, [InputTag(key, value) for key, value in tags.items()]))
    return inputs


def clean_text(value: Any) -> str:
    """A text that every database can hold: without NUL and lone surrogates."""
    return str(value).replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")


def _cut(value: Any, length: int) -> str:
    text = clean_text(value)
    return text if len(text) <= length else text[: length - 3] + "..."
