import pytest
import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from palenka_tune.evaluation.onednn import onednn_linears


def linears(model: nn.Module) -> list[nn.Module]:
    return [layer for layer in model.modules() if type(layer) in (nn.Linear, Conv1D)]


def test_the_layers_give_what_they_gave_and_come_back(model: PreTrainedModel) -> None:
    model.eval()
    ids = torch.arange(3, 51).reshape(3, 16)
    with torch.inference_mode():
        expected = model(ids).logits
        with onednn_linears(model):
            torch.testing.assert_close(model(ids).logits, expected, rtol=1e-5, atol=1e-4)
    assert len(linears(model)) > 8
    assert not any("forward" in vars(layer) for layer in linears(model))
    model(ids).logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_forward_of_somebody_else_stays(model: PreTrainedModel) -> None:
    layer = linears(model)[0]
    theirs = layer.forward = lambda inputs: type(layer).forward(layer, inputs)
    with onednn_linears(model):
        assert layer.forward is theirs
    assert layer.forward is theirs


@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() != "AVX512", reason="oneDNN is used with AVX-512 alone")
@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="oneDNN is used instead of MKL alone")
def test_float32_layers_go_through_onednn_and_others_do_not(model: PreTrainedModel) -> None:
    with onednn_linears(model):
        assert all("forward" in vars(layer) for layer in linears(model))
    with onednn_linears(model.double()):
        assert not any("forward" in vars(layer) for layer in linears(model))
