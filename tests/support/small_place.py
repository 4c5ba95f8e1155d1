"""A corpus of a few hundred sentences and two teachers with its tokenizer that have just begun to learn it: enough for
whole commands."""

from __future__ import annotations

import json
from pathlib import Path

WORDS = ["cat", "dog", "bird", "tree", "house", "river"]
VOCABULARY, WINDOW = 300, 16
STEPS = 12  # that a teacher is trained for: it must know more than how frequent a token is


def make_place(folder: Path) -> list[str]:
    """Write `data/`, `pairs/` and the teachers under `folder`; returns the teachers' folders."""
    from palenka_tune.config.recipe import Recipe
    from palenka_tune.data.prepare import DataSettings, prepare
    from palenka_tune.data.windows import window_tensor
    from palenka_tune.distill.loop import TrainingLoop
    from palenka_tune.distill.objective import PlainObjective
    from palenka_tune.models.build import build_model
    from palenka_tune.models.export import export_student
    from palenka_tune.models.presets import get_preset

    for split, count in (("train", 900), ("dev", 120)):
        (folder / "data" / split).mkdir(parents=True)
        lines = [f"The {WORDS[n % 6]} saw the {WORDS[n * 7 % 5]} near a {WORDS[n // 3 % 6]}." for n in range(count)]
        (folder / "data" / split / f"story.{split}").write_text("\n".join(lines) + "\n")
    (folder / "pairs").mkdir()
    pairs = [{"sentence_good": f"The {w} saw the dog.", "sentence_bad": f"The {w} dog the saw."} for w in WORDS]
    (folder / "pairs" / "order.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    prepared = prepare(DataSettings(str(folder / "data"), VOCABULARY, WINDOW), folder / "runs")
    teachers = []
    for name in ("GPT2-tiny", "Llama-tiny"):
        model = build_model(
            get_preset(name),
            vocabulary_size=prepared.store.vocabulary_size,
            pad_id=0,
            bos_id=1,
            eos_id=2,
            window=WINDOW,
            seed=1,
        )
        train, dev = (window_tensor(prepared.store.windows(split)) for split in ("train", "dev"))
        recipe = Recipe(lr=3e-3, batch_size=16, epochs=1, warmup_steps=2)
        TrainingLoop(model, PlainObjective(0), train, dev[:8], recipe, pad_id=0, seed=1).run_until(STEPS)
        teachers.append(str(export_student(model, prepared.tokenizer_dir, folder / name, card="")))
    return teachers
