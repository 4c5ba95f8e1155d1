"""Small models as a training exports them, with suites and a corpus that they can be evaluated on."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from benchmarks.ewok_items import write_items
from palenka_tune.data.prepare import DataSettings, prepare
from palenka_tune.models.build import build_for_store
from palenka_tune.models.export import export_student
from palenka_tune.models.presets import ModelPreset
from tests.support.small_place import make_place

PRESETS = (
    ModelPreset("llama", "llama", width=32, layers=2, heads=4, ffn=48, tied=False),
    ModelPreset("gpt2", "gpt2", width=32, layers=2, heads=4),
)


def make_models(folder: Path) -> None:
    """Fill `folder`: `data/`, `suites/` (blimp, ewok), models `llama` and `gpt2` of one tokenizer, and `other` with
    another."""
    make_place(folder)
    (folder / "suites").mkdir()
    (folder / "pairs").rename(folder / "suites" / "blimp")
    more = [{"sentence_good": f"A dog saw the {w}.", "sentence_bad": f"A saw dog the {w}."} for w in ("cat", "fox")]
    (folder / "suites" / "blimp" / "more.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in more))
    write_items(folder / "suites" / "ewok")
    for name, preset, vocabulary in (("llama", 0, 300), ("gpt2", 1, 300), ("other", 0, 290)):
        prepared = prepare(DataSettings(str(folder / "data"), vocabulary, 16), folder / "runs")
        model = build_for_store(PRESETS[preset], prepared.store, seed=3)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(4.0)
        export_student(model, prepared.tokenizer_dir, folder / name, card="")
