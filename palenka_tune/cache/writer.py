"""What one process of a build does, in plain torch: fit the layers' statistics once, then run the teachers shard by
shard.

`measure` writes `statistics.safetensors` (mean, principal components and variances of every hidden state that is kept)
and `heads.safetensors` (the teachers' output heads). `ShardWriter` loads the teachers and writes one shard at a time;
a shard is complete or does not exist.

Shapes: n windows of a shard, B windows of a batch, T tokens, E a teacher's width, R components, V vocabulary.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from palenka_tune.cache.encode import entropy, quantise, systematic_sample, to_float16
from palenka_tune.cache.faults import reason
from palenka_tune.cache.job import BATCH_WINDOWS, CacheJob
from palenka_tune.cache.plan import hidden_name, scale_name
from palenka_tune.cache.shards import write_shard
from palenka_tune.config.files import atomic_path
from palenka_tune.data.ids import id_type
from palenka_tune.data.store import TokenStore
from palenka_tune.data.windows import window_tensor
from palenka_tune.distill.heads import head_explains, states_of
from palenka_tune.distill.loop import computing_in, resolve_precision
from palenka_tune.distill.signals import OnlineSource, SignalRequest, TeacherSignal, WindowBatch
from palenka_tune.distill.statistics import LayerStatistics, statistics_sample
from palenka_tune.distill.targets import ExactTargets, LogitRequest
from palenka_tune.teachers.online import online_source
from palenka_tune.teachers.spec import open_teacher

STATISTICS, HEADS = "statistics.safetensors", "heads.safetensors"
FIELDS = tuple(field.name for field in dataclasses.fields(LayerStatistics))


def open_source(job: CacheJob) -> tuple[TokenStore, OnlineSource]:
    """The token store and the teachers of `job` on its device."""
    store = TokenStore.open(job.store)
    sample = statistics_sample(window_tensor(job.windows.array(store, "train")))
    teachers = [open_teacher(folder) for folder in job.teachers]
    half = job.precision != "float32"
    return store, online_source(teachers, store, sample, device=job.device, half=half, spread=job.gpus > 1)


def _running(job: CacheJob) -> contextlib.AbstractContextManager[Any]:
    """The precision of the teachers' forward passes."""
    device = torch.device(job.device)
    return computing_in(resolve_precision(job.precision, device), device)


@torch.no_grad()
def measure(job: CacheJob) -> bool:
    """Write statistics and heads into the job's folder; returns whether every teacher's logits are its head applied to
    its last hidden state."""
    _, source = open_source(job)
    work = Path(job.work)
    heads: dict[str, Tensor] = {}
    linear = True
    with _running(job):
        for number, layers in enumerate(job.plan.need.layers):
            source.fit(number, layers)
        statistics = {
            f"{hidden_name(number, layer)}.{field}": getattr(source.statistics(number, layer), field)
            for number, layers in enumerate(job.plan.need.layers)
            for layer in layers
            for field in FIELDS
        }
        for number, (model, head) in enumerate(zip(source.models, source.heads, strict=True)):
            states, last = states_of(model, source.sample[:4].to(job.device))
            linear = linear and head_explains(head, states[-1], last)
            heads[f"weight{number}"] = head.weight.detach().float()
            if head.bias is not None:
                heads[f"bias{number}"] = head.bias.detach().float()
    for name, tensors in ((STATISTICS, statistics), (HEADS, heads if job.plan.form == "final_hidden" else {})):
        _save(work / name, tensors)
        job.publish(work / name)
    return linear


def _save(path: Path, tensors: dict[str, Tensor]) -> None:
    with atomic_path(path) as temporary:
        # not by `save_file`, whose error on a full disk is no OSError
        temporary.write_bytes(save({name: tensor.cpu().contiguous().clone() for name, tensor in tensors.items()}))


class ShardWriter:
    """Runs the teachers over the windows of one shard after another."""

    def __init__(self, job: CacheJob) -> None:
        self.job, self.plan = job, job.plan
        store, self.source = open_source(job)
        # read, not fitted again: the shards of all machines have the same axes
        fitted = load_file(job.bring(STATISTICS))
        self.statistics = {
            (number, layer): LayerStatistics(*(fitted[f"{hidden_name(number, layer)}.{field}"] for field in FIELDS))
            for number, layers in enumerate(self.plan.need.layers)
            for layer in layers
        }
        self.windows = {split: window_tensor(job.windows.array(store, split)) for split in job.windows.rows}
        layers = [frozenset(layers) for layers in self.plan.need.layers]
        if self.plan.form == "final_hidden":
            layers = [held | {teacher.depth} for held, teacher in zip(layers, self.source.teachers, strict=True)]
        count = len(self.source.teachers)
        logits = LogitRequest((1.0 / count,) * count, 1.0) if self.plan.form in ("sampled", "dense") else None
        self.request = SignalRequest(logits, tuple(layers))

    @torch.no_grad()
    def write(self, split: str, number: int) -> int:
        """Write a shard unless it exists; returns how many windows it has."""
        windows = self.windows[split][self.job.span(split, number)]
        path = self.job.path(split, number)
        if path.exists():
            self.job.publish(path)
            return len(windows)
        seed = hashlib.sha256(f"{self.plan.seed}:{split}:{number}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(seed[:7], "big"))
        columns: dict[str, list[Tensor]] = {}
        for start in range(0, len(windows), BATCH_WINDOWS):
            tokens = windows[start : start + BATCH_WINDOWS].to(self.job.device, torch.int64)
            with _running(self.job):
                signal = self.source.signal(WindowBatch(split, torch.arange(len(tokens)), tokens), self.request)
            for name, value in self._columns(signal, tokens.shape, generator).items():
                columns.setdefault(name, []).append(value.cpu())
        write_shard(path, {name: torch.cat(parts).contiguous().numpy() for name, parts in columns.items()})
        self.job.publish(path)
        return len(windows)

    def _columns(self, signal: TeacherSignal, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        """The stored quantities of a batch: (B,T,W) or (B,T)."""
        columns: dict[str, Tensor] = {}
        for teacher, layers in enumerate(self.plan.need.layers):
            for layer, components in layers.items():
                state = signal.hidden[teacher][layer].float()
                if components is not None:
                    state = leading(state, self.statistics[teacher, layer], components)
                name = f"state {layer} of teacher {self.source.teachers[teacher].name}"
                if self.plan.encoding == "int8":
                    columns[hidden_name(teacher, layer)], columns[scale_name(teacher, layer)] = quantise(state, name)
                else:
                    columns[hidden_name(teacher, layer)] = to_float16(state, name)
        if self.plan.form == "final_hidden":
            for teacher, spec in enumerate(self.source.teachers):
                last = signal.hidden[teacher][spec.depth].float()
                columns[self.plan.logits_column(teacher)] = to_float16(last, f"the last state of teacher {spec.name}")
        elif self.plan.form is not None:
            assert isinstance(signal.targets, ExactTargets)
            for name, value in self._distributions(signal.targets, shape.numel(), generator).items():
                columns[name] = value.unflatten(0, shape)
        return columns

    def _distributions(self, targets: ExactTargets, total: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Of N = `total` positions: `sampled`, ids and entropy of each distribution; `dense`, each teacher's
        log-probabilities."""
        count = len(self.source.teachers)
        requests = [LogitRequest(d.weights, d.temperature, d.ensemble) for d in self.plan.need.distributions]
        if self.plan.form == "dense":
            requests = [LogitRequest(tuple(float(k == n) for k in range(count)), 1.0) for n in range(count)]
        parts: dict[str, list[Tensor]] = {}
        step = max(16, 2**22 // self.plan.vocabulary)
        for start in range(0, total, step):
            rows = slice(start, min(start + step, total))
            for number, request in enumerate(requests):
                log_q = ExactTargets(targets.teachers, request).log_probs(rows).cpu()
                if self.plan.form == "dense":
                    parts.setdefault(self.plan.logits_column(number), []).append(to_float16(log_q, "log-probabilities"))
                    continue
                ids = systematic_sample(log_q, self.plan.samples, generator)
                parts.setdefault(f"ids{number}", []).append(ids.to(getattr(torch, id_type(self.plan.vocabulary))))
                parts.setdefault(f"entropy{number}", []).append(entropy(log_q))
        return {name: torch.cat(pieces) for name, pieces in parts.items()}


def write_shards(job: CacheJob, shards: Sequence[tuple[str, int]]) -> Iterator[tuple[int, str | None]]:
    """What `ray_writer.write_shards` does, one after another in this process."""
    try:
        writer = ShardWriter(job)
        for split, number in shards:
            yield writer.write(split, number), None
    except Exception as error:  # as a worker's
        yield 0, reason(error)


def leading(state_BTE: Tensor, statistics: LayerStatistics, components: int) -> Tensor:
    """The leading principal components (B,T,R) of centred states."""
    mean, directions = statistics.mean.to(state_BTE.device), statistics.components.to(state_BTE.device)
    return (state_BTE - mean) @ directions[:, :components]
