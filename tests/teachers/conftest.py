import random
from pathlib import Path

import pytest
import torch

from palenka_tune.config.recipe import Recipe
from palenka_tune.data.prepare import DataSettings, PreparedData, prepare
from palenka_tune.distill.loop import World
from palenka_tune.models.presets import ModelPreset
from palenka_tune.teachers.ray_trainer import Plan, Training
from palenka_tune.teachers.spec import TeacherSpec, teacher_folder
from palenka_tune.teachers.worker import TeacherJob, run_rank

GPT2 = ModelPreset("Mini-GPT2", "gpt2", width=32, layers=1, heads=2)
LLAMA = ModelPreset("Mini-Llama", "llama", width=32, layers=2, heads=2, ffn=48, tied=False)
RECIPE = Recipe(lr=1e-2, batch_size=8, epochs=2, warmup_steps=4)


def sentences(count: int, seed: int) -> str:
    draw = random.Random(seed)
    nouns, verbs = ("cat", "dog", "bear", "girl", "boy"), ("sees", "likes", "finds", "wants")
    lines = (
        f"the {draw.choice(nouns)} {draw.choice(verbs)} the {draw.choice(nouns)} and {draw.choice(verbs)} it."
        for _ in range(count)
    )
    return "\n".join(lines) + "\n"


def write_corpus(folder: Path, train: str, dev: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.txt").write_text(train)
    (folder / "dev.txt").write_text(dev)
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """About 90 train windows and 20 dev windows of 16 tokens."""
    root = tmp_path_factory.mktemp("data")
    corpus = write_corpus(root / "corpus", sentences(120, 1), sentences(30, 2))
    return prepare(DataSettings(str(corpus), vocabulary=300, window=16), root / "storage")


def job_for(data: PreparedData, work: Path, **changes: object) -> TeacherJob:
    work.mkdir(parents=True, exist_ok=True)
    spec = TeacherSpec(changes.pop("preset", GPT2), changes.pop("recipe", RECIPE), changes.pop("seed", 0))  # type: ignore[arg-type]
    return TeacherJob(
        spec,
        data.store.folder,
        data.tokenizer_dir,
        work,
        "a few sentences",
        **changes,  # type: ignore[arg-type]
    )


class Here(Training):
    """Trains in this process, without Ray."""

    def fit(self) -> None:
        run_rank(self.job, device=torch.device("cpu"), world=World(), report=lambda metrics: None)


def train_here(spec: TeacherSpec, data: PreparedData, storage: Path) -> Path:
    folder = teacher_folder(storage, spec, data.fingerprint, None)
    job = job_for(data, folder.parent / f".{folder.name}.work", preset=spec.preset, recipe=spec.recipe, seed=spec.seed)
    Here(folder, job, data.fingerprint, Plan(1, 1, 1), use_gpu=False).run()
    return folder
