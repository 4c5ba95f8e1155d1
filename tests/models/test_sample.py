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


def test_the_prompt_is_of_one_text_and_of_no_heading(tmp_path) -> None:
    long = " ".join(f"The cat sees dog {n} near the house." for n in range(9))
    for split in ("train", "dev"):
        (tmp_path / "corpus" / split).mkdir(parents=True)
        (tmp_path / "corpus" / split / f"a.{split}").write_text(f"The end.\n{long}\n" * 8)
    prepared = prepare(DataSettings(str(tmp_path / "corpus"), 300, 16), tmp_path / "runs")
    model = Bench(BenchSpec(str(prepared.store.folder), StudentSettings("Student-tiny"), ())).build_student(0)
    with torch.no_grad():
        model.get_output_embeddings().weight[prepared.store.around.end] *= 1e3  # it would end at once, or never
    prompt, written = sample(model, prepared.tokenizer_dir, prepared.store)
    assert long.startswith(prompt.strip())
    assert len(written) > WRITTEN // 2
