import socket

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from palenka_tune.errors import PalenkaError
from palenka_tune.tracking.hf_model import write_mlflow_model
from palenka_tune.tracking.tracker import Tracker


@pytest.fixture
def student(tmp_path):
    """A tiny Llama with a byte-level tokenizer, saved as a Hugging Face folder with a model card."""
    folder = tmp_path / "best"
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: n for n, token in enumerate(["<s>", "</s>", *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=258, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    (folder / "README.md").write_text("# A student\n")
    return folder


def test_a_student_is_a_model_of_its_run_and_loads_back(
    client, sqlite, run_dir, target, student, monkeypatch, tmp_path
):
    def no_network(*address, **_):
        raise AssertionError(f"asked for {address}")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    tracker = Tracker(run_dir, **target)
    tracker.start_run("search", name="s")
    tracker.log_model("search", student, "best")
    assert tracker.flush(120)
    (first,) = client.search_logged_models([tracker.experiment_id])
    tracker.log_model("search", student, "best")  # as a replay does
    assert tracker.close(120)

    (model,) = client.search_logged_models([tracker.experiment_id])
    assert model.model_id == first.model_id
    assert (model.name, str(model.status), model.source_run_id) == ("best", "READY", tracker.run_id("search"))
    assert [made.model_id for made in client.get_run(model.source_run_id).outputs.model_outputs] == [model.model_id]

    import mlflow

    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", sqlite[0])
    expected = AutoModelForCausalLM.from_pretrained(student).state_dict()
    for uri in (f"models:/{model.model_id}", f"runs:/{model.source_run_id}/best"):
        pipeline = mlflow.transformers.load_model(uri)
        loaded = pipeline.model.state_dict()
        assert loaded.keys() == expected.keys()
        assert all(torch.equal(loaded[name], expected[name]) for name in expected)
        assert pipeline.tokenizer.decode(pipeline.tokenizer("hello")["input_ids"]) == "hello"
    (text,) = mlflow.pyfunc.load_model(f"models:/{model.model_id}").predict("hello")
    assert text.startswith("hello")
    # The folder inside is the student as it was, card and all.
    local = mlflow.artifacts.download_artifacts(f"models:/{model.model_id}", dst_path=str(tmp_path / "down"))
    for path in student.iterdir():
        assert (tmp_path / "down" / "model" / path.name).read_bytes() == path.read_bytes(), local


def test_a_folder_without_a_tokenizer_is_named(student, tmp_path):
    (student / "tokenizer_config.json").unlink()
    with pytest.raises(PalenkaError, match="has no tokenizer"):
        write_mlflow_model(student, tmp_path / "out", run_id="r", model_id="m")
