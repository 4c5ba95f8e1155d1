"""A student begins with the weights of a model, or with layers of its teacher at even distances."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from palenka_tune.data.prepare import DataSettings, prepare
from palenka_tune.data.store import TokenStore
from palenka_tune.errors import UserError
from palenka_tune.models.export import load_weights
from palenka_tune.models.given import architecture_digest, even_layers, read_architecture
from palenka_tune.spaces.experiment import StudentSettings
from palenka_tune.students.bench import Bench, BenchSpec
from tests.support.families import FAMILIES, make_teacher
from tests.support.tokenizers import LINES, byte_level

WINDOW = 16
LAYERS = {"gpt2": {"n_layer": 5}}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> tuple[Path, TokenStore, Path]:
    """A folder, a store, and the tokenizer that made it."""
    folder = tmp_path_factory.mktemp("initial")
    for split in ("train", "dev"):
        (folder / "corpus" / split).mkdir(parents=True)
        (folder / "corpus" / split / f"a.{split}").write_text("\n".join(LINES) + "\n")
    tokenizer = byte_level(folder / "tokenizer")
    settings = DataSettings(str(folder / "corpus"), window=WINDOW, tokenizer=str(tokenizer))
    return folder, prepare(settings, folder / "runs").store, tokenizer


def model(place, family: str, padding: int = 5) -> Path:
    folder, store, tokenizer = place
    depth = LAYERS.get(family, {"num_hidden_layers": 5})
    made = folder / f"{family}-{padding}"
    return made if made.is_dir() else make_teacher(family, tokenizer, made, store.vocabulary_size + padding, **depth)


def build(place, student: StudentSettings, *teachers: Path) -> torch.nn.Module:
    store = place[1]
    bench = Bench(BenchSpec(str(store.folder), student, tuple(map(str, teachers))))
    return bench.build_student(seed=3).eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_weights_of_a_model_of_any_family_go_on(place, family) -> None:
    folder = model(place, family)
    student = build(place, StudentSettings(str(folder), init="weights"))
    tokens = torch.randint(place[1].vocabulary_size, (2, WINDOW), generator=torch.manual_seed(0))
    theirs = load_weights(folder, vocabulary_size=place[1].vocabulary_size)(tokens).logits
    torch.testing.assert_close(student(tokens).logits, theirs)
    fresh = build(place, StudentSettings(str(folder)))
    assert type(fresh) is type(student)
    assert fresh.config.vocab_size == place[1].vocabulary_size
    assert float((fresh(tokens).logits - theirs).detach().abs().mean()) > 0.1


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen3", "gemma3_text"])
def test_layers_are_taken_at_even_distances(place, family) -> None:
    teacher = model(place, family)
    student = build(place, StudentSettings(str(teacher), layers=3, init="teacher"), teacher)
    theirs = load_weights(teacher, vocabulary_size=place[1].vocabulary_size)
    ours, theirs = (getattr(each.base_model, "h", None) or each.base_model.layers for each in (student, theirs))
    assert len(ours) == 3
    for mine, origin in zip(ours, (0, 2, 4), strict=True):
        for a, b in zip(mine.parameters(), theirs[origin].parameters(), strict=True):
            assert torch.equal(a, b)
    if family != "gpt2":  # of families whose layers differ each keeps its kind
        kinds = getattr(student.config, "layer_types", None)
        assert kinds is None or len(kinds) == 3


def test_a_preset_of_the_teachers_sizes_takes_all_that_the_teacher_is(place) -> None:
    """Also what no size says: the base of its rotary positions, the epsilon of its norms."""
    folder, store, tokenizer = place
    teacher = make_teacher("llama", tokenizer, folder / "theta", store.vocabulary_size, rope_theta=123.0)
    sizes = {"width": 32, "heads": 4, "kv_heads": 2, "ffn": 64, "tied": False}
    student = build(place, StudentSettings("Student-tiny", layers=2, init="teacher", **sizes), teacher)
    config = load_weights(teacher).config
    assert student.config.rope_parameters == config.rope_parameters
    assert student.config.num_hidden_layers == 2


def test_even_distances() -> None:
    assert [even_layers(taken, 12) for taken in (1, 2, 4, 12)] == [[11], [0, 11], [0, 4, 7, 11], list(range(12))]
    assert even_layers(6, 12) == [0, 2, 4, 7, 9, 11]
    with pytest.raises(UserError, match=r"student\.layers is 5, and the model .* has 4"):
        even_layers(5, 4)


def test_students_that_cannot_begin_so_are_refused(place) -> None:
    teacher = model(place, "llama")
    with pytest.raises(UserError, match=r"student Student-tiny has width 64 and the teacher llama-5 32"):
        build(place, StudentSettings("Student-tiny", init="teacher"), teacher)
    with pytest.raises(UserError, match="an architecture alone"):
        StudentSettings("Student-tiny", init="weights")
    with pytest.raises(UserError, match=r"student\.width is given, but student\.preset .* is a model"):
        StudentSettings(str(teacher), width=64)
    with pytest.raises(UserError, match=r"student\.init is 'teachers'; it must be one of fresh, weights, teacher"):
        StudentSettings("Student-tiny", init="teachers")  # type: ignore[arg-type]


def test_a_folder_is_known_by_what_shapes_its_weights(place, tmp_path) -> None:
    folder = model(place, "qwen3")
    copy = tmp_path / "copy"
    copy.mkdir()
    text = (folder / "config.json").read_text()
    (copy / "config.json").write_text(text.replace('"use_cache": true', '"use_cache": false'))
    assert architecture_digest(copy) == architecture_digest(folder)
    (copy / "config.json").write_text(text.replace('"num_hidden_layers": 5', '"num_hidden_layers": 4'))
    assert architecture_digest(copy) != architecture_digest(folder)
    assert read_architecture(folder).identity["family"] == "qwen3"
    first, second = (StudentSettings(str(folder), init=init).identity for init in ("fresh", "weights"))
    assert str(folder) not in str(first) + str(second)
    assert first != second


def test_identities_of_presets_stay_as_they_were() -> None:
    student = StudentSettings("Student-tiny")
    assert student.identity == {
        name: value
        for name, value in dataclasses.asdict(student).items()
        if name in ("preset", "train_fraction", "train_windows", "dev_windows", "offsets")
    }
