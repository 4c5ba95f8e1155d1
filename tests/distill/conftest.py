"""Teachers, and a training loop of a few thousand parameters, in plain torch: the core needs no transformers."""

from __future__ import annotations

import pytest

from palenka_tune.config.recipe import Recipe
from palenka_tune.distill.loop import TrainingLoop
from palenka_tune.distill.objective import DistillationObjective, PlainObjective
from palenka_tune.distill.settings import DistillSettings
from palenka_tune.distill.signals import OnlineSource
from tests.support.tiny_lm import PAD, STUDENT, TEACHERS, TinyLM, windows


@pytest.fixture
def source() -> OnlineSource:
    models = [TinyLM(shape.width, shape.depth, seed=10 + i) for i, shape in enumerate(TEACHERS)]
    return OnlineSource(models, TEACHERS, windows(40, 1), PAD)


@pytest.fixture
def make_loop(source):
    """A loop over 96 windows; `distill` None trains plainly."""

    def make(
        distill: DistillSettings | None = None, *, seed: int = 0, steps: int = 12, averaging: bool = False, **recipe
    ) -> TrainingLoop:
        settings = {"lr": 1e-2, "batch_size": 8, "warmup_steps": 2, "precision": "float32", **recipe}
        objective = PlainObjective(PAD)
        if distill is not None:
            objective = DistillationObjective(distill, STUDENT, source, total_steps=steps, pad_id=PAD, seed=seed)
        return TrainingLoop(
            TinyLM(STUDENT.width, STUDENT.depth, seed=5),
            objective,
            windows(96, 2),
            windows(24, 3),
            Recipe(**settings),
            pad_id=PAD,
            seed=seed,
            total_steps=steps,
            averaging=averaging,
        )

    return make
