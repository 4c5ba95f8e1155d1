import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from palenka_tune.data.prepare import DataSettings, PreparedData, prepare
from palenka_tune.data.windows import window_tensor
from palenka_tune.distill.signals import OnlineSource, SignalRequest, WindowBatch
from palenka_tune.distill.targets import ExactTargets, LogitRequest
from palenka_tune.errors import UserError
from palenka_tune.models.build import build_model
from palenka_tune.models.export import export_student, load_model, load_weights
from palenka_tune.models.presets import ModelPreset
from palenka_tune.teachers.online import check_reader, online_source
from palenka_tune.teachers.spec import Teacher, open_teacher

from .conftest import GPT2, LLAMA, sentences, write_corpus


def teacher(preset: ModelPreset, data: PreparedData, folder: Path, vocabulary: int | None = None) -> Teacher:
    size = vocabulary or data.store.vocabulary_size
    model = build_model(preset, vocabulary_size=size, pad_id=0, bos_id=1, eos_id=2, window=16, seed=3)
    export_student(model, data.tokenizer_dir, folder, card="a teacher")
    return open_teacher(folder)


def test_teachers_answer_for_a_batch(data: PreparedData, tmp_path: Path) -> None:
    teachers = [teacher(preset, data, tmp_path / preset.name) for preset in (GPT2, LLAMA)]
    windows = window_tensor(data.store.windows("train"))
    source = online_source(teachers, data.store, windows[:8].long())
    assert source.teachers == tuple(each.shape for each in teachers)
    batch = WindowBatch("train", torch.arange(4), windows[:4].long())
    for number, each in enumerate(teachers):
        only = tuple(float(number == other) for other in range(2))
        request = SignalRequest(LogitRequest(only, 1.0), (frozenset({1}), frozenset()))
        signal = source.signal(batch, request)
        assert isinstance(signal.targets, ExactTargets)
        found = signal.targets.log_probs(slice(0, 4 * 16))
        model, _ = load_model(each.folder)
        expected = torch.log_softmax(model(batch.tokens).logits.detach(), -1)
        torch.testing.assert_close(found, expected.flatten(0, 1))
        assert not found.requires_grad
    assert set(signal.hidden[0]) == {1}
    assert source.statistics(1, 2).mean.shape == (LLAMA.width,)


def test_a_tokenizer_that_was_saved_again_is_the_same(data: PreparedData, tmp_path: Path) -> None:
    again = teacher(GPT2, data, tmp_path / "again")
    before = (again.folder / "tokenizer.json").read_bytes()
    tokenizer = AutoTokenizer.from_pretrained(again.folder)
    tokenizer(["a cat", "a"], padding=True, truncation=True, max_length=4)  # transformers saves that too
    tokenizer.save_pretrained(again.folder)
    assert (again.folder / "tokenizer.json").read_bytes() != before
    check_reader(again, data.store)


def test_another_tokenizer_is_refused(data: PreparedData, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", sentences(60, 9) + "a zebra.\n" * 9, sentences(20, 8))
    other = prepare(DataSettings(str(corpus), vocabulary=300, window=16), tmp_path / "storage")
    stranger = teacher(GPT2, other, tmp_path / "stranger")
    with pytest.raises(UserError, match="teacher stranger has another tokenizer than the student's data"):
        online_source([stranger], data.store, torch.zeros(1, 16, dtype=torch.int64))
    (stranger.folder / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="stranger has no tokenizer: it holds neither"):
        online_source([stranger], data.store, torch.zeros(1, 16, dtype=torch.int64))


def test_a_padded_vocabulary_is_cut_to_the_tokenizers(data: PreparedData, tmp_path: Path) -> None:
    size = data.store.vocabulary_size
    padded = teacher(GPT2, data, tmp_path / "padded", vocabulary=size + 5)
    windows = window_tensor(data.store.windows("train"))[:2].long()
    source = online_source([padded], data.store, windows)
    request = SignalRequest(LogitRequest((1.0,), 1.0), (frozenset(),))
    targets = source.signal(WindowBatch("train", torch.arange(2), windows), request).targets
    assert isinstance(targets, ExactTargets)
    model, _ = load_model(padded.folder)
    expected = torch.log_softmax(model(windows).logits.detach()[..., :size], -1)  # normalised over what both have
    torch.testing.assert_close(targets.log_probs(slice(0, 32)), expected.flatten(0, 1))


@pytest.mark.parametrize(
    ("preset", "pieces", "layers"),
    [
        (GPT2, ["transformer.wte", "transformer.wpe", "transformer.ln_f", "lm_head"], "transformer.h"),
        (LLAMA, ["model.embed_tokens", "model.rotary_emb", "model.norm", "lm_head"], "model.layers"),
    ],
)
def test_a_spread_model_gives_the_same(
    preset: ModelPreset, pieces: list[str], layers: str, data: PreparedData, tmp_path: Path
) -> None:
    """Over memory and disk here, in place of several GPUs: accelerate moves states as it would between those."""
    pytest.importorskip("accelerate", reason="accelerate, of the extra `large`, is not installed")
    size = data.store.vocabulary_size
    folder = teacher(preset, data, tmp_path / "teacher", vocabulary=size + 5).folder
    places = dict.fromkeys(pieces, "cpu")
    places |= {f"{layers}.{number}": ("disk", "cpu")[number % 2] for number in range(preset.layers)}
    windows = window_tensor(data.store.windows("train"))[:2].long()
    request = SignalRequest(LogitRequest((1.0,), 1.0), (frozenset(range(preset.layers + 1)),))
    found = []
    for device_map in (None, places):
        model = load_weights(folder, vocabulary_size=size, device_map=device_map)
        assert any(hasattr(module, "_hf_hook") for module in model.modules()) == (device_map is not None)
        source = OnlineSource([model], [open_teacher(folder).shape], windows, data.store.pad_id)
        signal = source.signal(WindowBatch("train", torch.arange(2), windows), request)
        assert isinstance(signal.targets, ExactTargets)
        found.append([signal.targets.log_probs(slice(0, 32)), *signal.hidden[0].values()])
    for whole, spread in zip(*found, strict=True):
        torch.testing.assert_close(spread, whole)


def test_a_vocabulary_that_lacks_ids_is_refused(data: PreparedData, tmp_path: Path) -> None:
    size = data.store.vocabulary_size
    folder = teacher(GPT2, data, tmp_path / "small").folder
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": size - 5}))
    with pytest.raises(UserError, match=f"vocabulary of {size - 5} entries, .* gives ids up to {size - 1}"):
        online_source([open_teacher(folder)], data.store, torch.zeros(1, 16, dtype=torch.int64))


def test_windows_longer_than_the_teacher_reads_are_refused(data: PreparedData, tmp_path: Path) -> None:
    short = teacher(ModelPreset("Short", "gpt2", width=16, layers=1, heads=1, positions=16), data, tmp_path / "short")
    corpus = write_corpus(tmp_path / "corpus", sentences(120, 1), sentences(30, 2))
    long = prepare(DataSettings(str(corpus), vocabulary=300, window=64), tmp_path / "storage")
    shutil.copyfile(long.tokenizer_dir / "tokenizer.json", short.folder / "tokenizer.json")
    with pytest.raises(UserError, match="teacher short reads 32 tokens at most and the windows have 64"):
        online_source([short], long.store, torch.zeros(1, 64, dtype=torch.int64))
