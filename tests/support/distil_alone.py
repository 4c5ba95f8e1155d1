"""A process in which packages are missing: `python -m tests.support.distil_alone [--also MODULE] PACKAGE...`.

Imports (MODULE and) every module of the distillation core but its command, distils three steps, prints a JSON report.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from typing import Any


class Without:
    """A finder that does not find what is absent, as if it were not installed."""

    def __init__(self, finder: Any, absent: set[str]) -> None:
        self.finder, self.absent = finder, absent

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return None if name.partition(".")[0] in self.absent else self.finder.find_spec(name, path, target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)


def import_core() -> None:
    import palenka_tune.distill as core

    for module in pkgutil.iter_modules(core.__path__):
        if module.name != "__main__":
            importlib.import_module(f"{core.__name__}.{module.name}")


def distil() -> dict[str, Any]:
    """Three steps with logits and hidden states; how far the student moved, and its losses in nats per token."""
    import torch

    from palenka_tune.config.recipe import Recipe
    from palenka_tune.distill.loop import TrainingLoop
    from palenka_tune.distill.objective import DistillationObjective
    from palenka_tune.distill.settings import DistillSettings, ProjectionSettings
    from palenka_tune.distill.signals import OnlineSource
    from tests.support.tiny_lm import PAD, STUDENT, TEACHERS, TinyLM, windows

    torch.set_num_threads(1)
    teachers = [TinyLM(shape.width, shape.depth, seed=10 + i) for i, shape in enumerate(TEACHERS)]
    source = OnlineSource(teachers, TEACHERS, windows(40, 1), PAD)
    settings = DistillSettings(alpha=1, beta=3, projection=ProjectionSettings(rank=4))
    student = TinyLM(STUDENT.width, STUDENT.depth, seed=5)
    before = student.embedding.weight.detach().clone()
    loop = TrainingLoop(
        student,
        DistillationObjective(settings, STUDENT, source, total_steps=3, pad_id=PAD, seed=0),
        windows(24, 2),
        windows(8, 3),
        Recipe(lr=1e-2, batch_size=8, warmup_steps=0),
        pad_id=PAD,
        seed=0,
        total_steps=3,
    )
    terms = loop.run_until(3)[-1].terms
    moved = float((student.embedding.weight.detach() - before).abs().max())
    return {"step": loop.step, "terms": terms, "moved": moved, **loop.validate()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--also")
    parser.add_argument("absent", nargs="+")
    args = parser.parse_args()
    absent = set(args.absent)
    sys.meta_path[:] = [Without(finder, absent) for finder in sys.meta_path]  # type: ignore[misc]
    if args.also:
        importlib.import_module(args.also)
    import_core()
    report = distil()
    report["loaded"] = sorted(absent & {name.partition(".")[0] for name in sys.modules})
    print(json.dumps(report))


if __name__ == "__main__":
    main()
