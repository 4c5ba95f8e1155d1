"""Any family of decoders teaches: what is kept of it is what it says, whatever its vocabulary, and a student learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from palenka_tune.data.prepare import DataSettings, prepare
from palenka_tune.distill.objective import DistillationObjective
from palenka_tune.distill.signals import WindowBatch
from palenka_tune.models.export import export_student
from palenka_tune.spaces.experiment import StudentSettings, shape_of
from palenka_tune.students.bench import Bench
from palenka_tune.teachers.spec import open_teacher
from tests.support.families import CAPPED, FAMILIES, make_teacher
from tests.support.small_cache import RECIPE, Place, loss
from tests.support.tokenizers import LINES, byte_level, sentencepiece

GPT2 = StudentSettings("GPT2-tiny", train_windows=96, dev_windows=32, width=32, heads=4, layers=2)
LLAMA = StudentSettings("Student-tiny", train_windows=96, dev_windows=32, width=32, heads=4, layers=2, tied=True)
WINDOW = 16


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for split in ("train", "dev"):
        (folder / split).mkdir()
        (folder / split / f"a.{split}").write_text("\n".join(LINES) + "\n")
    return folder


def make(folder: Path, corpus: Path, tokenizer: Path, *families: str, padding: int = 7, **sizes) -> Place:
    """A place whose teachers are of `families`, with `padding` rows more than the tokenizer has ids."""
    settings = DataSettings(str(corpus), window=WINDOW, tokenizer=str(tokenizer))
    store = prepare(settings, folder / "runs").store
    teachers = [
        open_teacher(
            make_teacher(name, tokenizer, folder / f"{n}-{name}", store.vocabulary_size + padding * (n + 1), **sizes)
        )
        for n, name in enumerate(families)
    ]
    return Place(folder, teachers, store)


def gradients(bench: Bench, batch: WindowBatch, settings) -> tuple[float, torch.Tensor]:
    """Loss and gradient of one batch, of a student that begins with the same weights."""
    shape = shape_of(bench.spec.student.architecture)
    objective = DistillationObjective(settings, shape, bench.source, total_steps=10, pad_id=bench.store.pad_id, seed=4)
    student = bench.build_student(3)
    terms = objective(student, batch, 5)
    terms.total.backward()
    return float(terms.total), torch.cat(
        [each.grad.flatten() for each in student.parameters() if each.grad is not None]
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_kept_of_a_family_is_what_it_says_and_a_student_learns_from_it(family, corpus, tmp_path):
    tokenizer = sentencepiece(tmp_path / "tokenizer") if family in ("llama", "gemma") else byte_level(tmp_path / "t")
    place = make(tmp_path, corpus, tokenizer, family)
    settings, student = loss(rank=8), LLAMA if family == "gpt2" else GPT2
    cache = place.cache(tmp_path / "storage", settings)
    assert (cache.manifest["plan"]["form"] == "final_hidden") == (family not in CAPPED)
    online, cached = place.bench(student=student), place.bench(cache, student)
    batch = WindowBatch("train", torch.arange(8), online.train[:8].long())
    (expected, theirs), (found, ours) = (gradients(bench, batch, settings) for bench in (online, cached))
    assert found == pytest.approx(expected, rel=1e-3)
    assert float((ours - theirs).norm() / theirs.norm()) < 1e-3
    ends = []
    for bench in (online, cached):
        loop = bench.loop(settings, RECIPE, seed=1)
        start = loop.validate(teachers=False)["val_ce"]
        loop.run_until(20)
        ends.append(loop.validate()["val_ce"])
    assert ends[0] < start - 0.05
    assert ends[1] == pytest.approx(ends[0], abs=2e-3)
    export_student(loop.model, tokenizer_of(place), tmp_path / "student", card="")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "student").eval()
    tokens = online.dev[:2].long()
    torch.testing.assert_close(loaded(tokens).logits, loop.model.eval()(tokens).logits)


def tokenizer_of(place: Place) -> Path:
    (file,) = (place.folder / "runs" / "artifacts" / "tokenizers").glob("*/tokenizer.json")
    return file.parent


@pytest.mark.parametrize("highest", [2_047, 50_256, 151_668])
def test_vocabularies_of_any_size_and_two_paddings_of_one(highest, corpus, tmp_path):
    """Two teachers of one tokenizer, padded to different sizes, are averaged over what they share."""
    tokenizer = byte_level(tmp_path / "tokenizer", highest=highest)
    place = make(tmp_path, corpus, tokenizer, "qwen2", "llama", padding=267)
    assert place.store.vocabulary_size == highest + 1
    settings = loss(rank=8)
    online, cached = (
        place.bench(student=GPT2),
        place.bench(place.cache(tmp_path / "storage", settings), GPT2),
    )
    batch = WindowBatch("train", torch.arange(4), online.train[:4].long())
    (expected, theirs), (found, ours) = (gradients(bench, batch, settings) for bench in (online, cached))
    assert found == pytest.approx(expected, rel=1e-3)
    assert float((ours - theirs).norm() / theirs.norm()) < 1e-3
