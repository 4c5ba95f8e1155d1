"""Teacher signals kept in main memory: a cache without files, for measuring a GPU rather than a disk.

In: teachers that run (`OnlineSource`) and the windows to ask them about. Out: `KeptSignals`, whose `source` is a
`SignalSource` with exact logits (last hidden states and output heads) or sampled ones. Hidden states are kept as their
leading principal components. States are float16; everything lies in pinned memory (where there is a GPU), a window in
one piece, so that a batch is copied to the GPU window by window without the processor waiting.

Shapes: N kept windows, B windows of a batch, T tokens, E a teacher's width, L kept layers, R components, K samples,
V vocabulary.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import torch
from torch import Tensor

from palenka_tune.cache.encode import entropy, systematic_sample, to_float16
from palenka_tune.distill.heads import OutputHead
from palenka_tune.distill.loop import resolve_precision
from palenka_tune.distill.shapes import ModelShape
from palenka_tune.distill.signals import OnlineSource, SignalRequest, TeacherSignal, WindowBatch
from palenka_tune.distill.statistics import LayerStatistics
from palenka_tune.distill.targets import ExactTargets, HeadLogits, LogitRequest, LogitTargets, SampledTargets
from palenka_tune.errors import PalenkaError

FORMS = ("exact", "sampled")
RECORDED_AT_ONCE = 16  # windows


@dataclass(frozen=True)
class KeptSignals:
    """Per teacher `final` (N,T,E) and `hidden` (N,L,T,R) float16 for its `layers`; the ensemble's `ids` (N,T,K) int16
    and `entropy` (N,T) float32, drawn for `logits` alone; heads and layer statistics on the CPU."""

    teachers: tuple[ModelShape, ...]
    logits: LogitRequest
    layers: tuple[tuple[int, ...], ...]
    heads: list[OutputHead]
    statistics: dict[tuple[int, int], LayerStatistics]
    final: list[Tensor]
    hidden: list[Tensor]
    ids: Tensor
    entropy: Tensor

    @property
    def bytes(self) -> dict[str, int]:
        """What each form keeps for all windows, hidden states included."""
        hidden = sum(kept.nbytes for kept in self.hidden)
        return {
            "exact": hidden + sum(kept.nbytes for kept in self.final),
            "sampled": hidden + self.ids.nbytes + self.entropy.nbytes,
        }

    def source(self, form: str, device: torch.device) -> KeptSource:
        """Answers on `device` in one of the two `FORMS`; only exact ones bring the output heads there."""
        return KeptSource(self, form, device)


class KeptSource:
    """A `SignalSource` that copies what was kept."""

    def __init__(self, kept: KeptSignals, form: str, device: torch.device) -> None:
        if form not in FORMS:
            raise ValueError(f"form is {form!r}; it must be one of {', '.join(FORMS)}")
        self.kept, self.form, self.device = kept, form, device
        self.teachers = kept.teachers
        self.heads: list[OutputHead] = []
        if form == "exact":
            self.heads = [
                OutputHead(head.weight.to(device), None if head.bias is None else head.bias.to(device))
                for head in kept.heads
            ]

    def signal(self, batch: WindowBatch, request: SignalRequest) -> TeacherSignal:
        index = batch.index.tolist()
        hidden: list[dict[int, Tensor]] = []
        for layers, kept, wanted in zip(self.kept.layers, self.kept.hidden, request.layers, strict=True):
            if not wanted:
                hidden.append({})
                continue
            states_BLTR = self._fetch(kept, index)
            hidden.append({layer: states_BLTR[:, layers.index(layer)] for layer in wanted})
        return TeacherSignal(None if request.logits is None else self._targets(index, request.logits), hidden)

    def _targets(self, index: list[int], request: LogitRequest) -> LogitTargets:
        if self.form == "exact":
            each = [
                HeadLogits(self._fetch(final, index).flatten(0, 1), head)
                for final, head in zip(self.kept.final, self.heads, strict=True)
            ]
            return ExactTargets(each, request)
        if request != self.kept.logits:
            raise PalenkaError(f"the kept samples were drawn for {self.kept.logits}, not for {request}")
        ids_BTK = self._fetch(self.kept.ids, index)
        return SampledTargets(ids_BTK.flatten(0, 1).long(), self._fetch(self.kept.entropy, index).flatten())

    def _fetch(self, kept: Tensor, index: list[int]) -> Tensor:
        """Windows `index` of `kept` (N,...) on the device; from pinned memory the copies run by themselves."""
        fetched = torch.empty((len(index), *kept.shape[1:]), dtype=kept.dtype, device=self.device)
        for row, number in enumerate(index):
            fetched[row].copy_(kept[number], non_blocking=True)
        return fetched

    def prefetch(self, split: str, index: Tensor, request: SignalRequest) -> None:
        """Nothing to do: everything is in memory."""

    def components(self, teacher: int, layer: int) -> int | None:
        return self.kept.hidden[teacher].shape[-1]

    def statistics(self, teacher: int, layer: int) -> LayerStatistics:
        return self.kept.statistics[teacher, layer]


@torch.no_grad()
def record(
    source: OnlineSource, windows_NT: Tensor, request: SignalRequest, *, rank: int, samples: int, seed: int = 0
) -> KeptSignals:
    """Run the teachers of `source` over `windows_NT` in the precision of training and keep what `request` names:
    hidden states as `rank` components, logits exactly and as `samples` ids per position."""
    assert request.logits is not None
    device = next(source.models[0].parameters()).device
    dtype = resolve_precision("auto", device)
    layers = tuple(tuple(sorted(wanted)) for wanted in request.layers)
    statistics = {
        (number, layer): source.statistics(number, layer) for number, wanted in enumerate(layers) for layer in wanted
    }
    generator = torch.Generator().manual_seed(seed)
    final: list[list[Tensor]] = [[] for _ in layers]
    hidden: list[list[Tensor]] = [[] for _ in layers]
    ids: list[Tensor] = []
    entropies: list[Tensor] = []
    for index in torch.arange(len(windows_NT)).split(RECORDED_AT_ONCE):
        tokens_BT = windows_NT[index].to(device, torch.int64)
        autocast = torch.autocast(device.type, dtype=dtype) if dtype is not torch.float32 else contextlib.nullcontext()
        with autocast:
            signal = source.signal(WindowBatch("train", index, tokens_BT), request)
        targets = signal.targets
        assert isinstance(targets, ExactTargets)
        for number, teacher in enumerate(targets.teachers):
            if not isinstance(teacher, HeadLogits):
                raise PalenkaError(f"{source.teachers[number].name} does more to its logits than its head says")
            final[number].append(to_float16(teacher.hidden_NE).reshape(*tokens_BT.shape, -1).cpu())
            states = [
                (signal.hidden[number][layer].float() - fitted.mean) @ fitted.components[:, :rank]
                for layer in layers[number]
                for fitted in (statistics[number, layer],)
            ]
            hidden[number].append(to_float16(torch.stack(states, dim=1)).cpu())
        rows = slice(0, tokens_BT.numel())
        log_q_NV = targets.log_probs(rows)
        # int16 holds the poster's vocabulary of 16,000
        ids.append(systematic_sample(log_q_NV, samples, generator).to(torch.int16).reshape(*tokens_BT.shape, -1).cpu())
        entropies.append(entropy(log_q_NV).reshape(tokens_BT.shape).cpu())

    def pinned(parts: list[Tensor]) -> Tensor:
        whole = torch.cat(parts)
        return whole.pin_memory() if device.type == "cuda" else whole

    return KeptSignals(
        teachers=source.teachers,
        logits=request.logits,
        layers=layers,
        heads=[_on_cpu(head) for head in source.heads],
        statistics={
            key: LayerStatistics(fitted.mean.cpu(), fitted.components.cpu(), fitted.variances.cpu())
            for key, fitted in statistics.items()
        },
        final=[pinned(parts) for parts in final],
        hidden=[pinned(parts) for parts in hidden],
        ids=pinned(ids),
        entropy=pinned(entropies),
    )


def _on_cpu(head: OutputHead) -> OutputHead:
    # clones: the teacher's own tensors move with the teacher
    bias = None if head.bias is None else head.bias.detach().cpu().clone()
    return OutputHead(head.weight.detach().cpu().clone(), bias)
