"""What a model writes after the first words of dev."""

import torch

from palenka_tune.data.prepare import DataSettings, prepare
from palenka_tune.models.sample import PROMPT, WRITTEN, sample
from palenka_tune.spaces.experiment import StudentSettings
from palenka_tune.students.bench import Bench, BenchSpec
from tests.support.tokenizers import LINES


def test_a_model_goes_on_with_the_first_words_of_dev(tmp_path) -> None:
    for split in ("train", "dev"):
        (tmp_path / "corpus" / split).mkdir(parents=True)
        (tmp_path / "corpus" / split / f"a.{split}").write_text("\n".join(LINES * 4) + "\n")
    prepared = prepare(DataSettings(str(tmp_path / "corpus"), 300, 16), tmp_path / "runs")
    model = Bench(BenchSpec(str(prepared.store.folder), StudentSettings("Student-tiny"), ())).build_student(0)
    prompt, written = sample(model, prepared.tokenizer_dir, prepared.store)
    assert (tmp_path / "corpus" / "dev" / "a.dev").read_text().startswith(prompt.strip())
    assert 0 < len(prompt.split()) <= PROMPT
    assert len(written) > 0
    assert model.training
    assert model.config.max_position_embeddings > WRITTEN
    torch.manual_seed(1)
    assert sample(model, prepared.tokenizer_dir, prepared.store) == (prompt, written)
