"""The product's own training loop, its teachers' outputs from the cache or beside it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.peers.work import ALPHA, BETA, CLIP, LR, TEMPERATURE, Contender, Kind, Speed, Work, timed
from palenka_tune.cache.settings import CacheSettings
from palenka_tune.config.recipe import Recipe
from palenka_tune.distill.loop import TrainingLoop
from palenka_tune.distill.objective import DistillationObjective, PlainObjective
from palenka_tune.distill.settings import DistillSettings, ProjectionSettings
from palenka_tune.distill.signals import SignalSource
from palenka_tune.spaces.experiment import shape_of

FORMS = {
    "exact": CacheSettings(form="final_hidden"),
    "sampled": CacheSettings(form="sampled"),
}


def loss_of(kind: Kind) -> DistillSettings:
    """The loss of the work, as the product says it."""
    if kind == "logits":
        return DistillSettings(ce_weight=0.0, alpha=1.0, beta=0.0, temperature=1.0)
    projection = ProjectionSettings(normalize="none", layer_map="poster")
    return DistillSettings(alpha=ALPHA, beta=BETA, temperature=TEMPERATURE, projection=projection)


class InOrder(TrainingLoop):
    """Batches in the order of the windows, as every other contender has them."""

    def batch_index(self, step: int) -> Tensor:
        size = self.recipe.batch_size
        return torch.arange(step * size, (step + 1) * size) % len(self.train)


def ours(source: Callable[[], SignalSource] | None) -> Contender:
    """Trains with teachers' signals from what `source` opens; None: without teachers, on cross-entropy."""

    def run(work: Work) -> Speed:
        preset, store = work.place.sizes.student, work.place.prepared.store
        objective: PlainObjective | DistillationObjective = PlainObjective(store.pad_id)
        if source is not None:
            settings, shape = loss_of(work.kind), shape_of(preset)
            objective = DistillationObjective(settings, shape, source(), total_steps=10**6, pad_id=store.pad_id, seed=0)
        precision = "bfloat16" if work.bfloat16 else "float32"
        recipe = Recipe(lr=LR, batch_size=work.batch, warmup_steps=0, grad_clip=CLIP, precision=precision)
        student, windows = work.place.sizes.build(preset, seed=0), work.windows_NT
        loop = InOrder(student, objective, windows, windows[:1], recipe, pad_id=store.pad_id, seed=0, total_steps=10**6)

        def step() -> float:
            return loop.run_until(loop.step + 1)[-1].terms["total"]

        return timed(step, step, work)

    return run
