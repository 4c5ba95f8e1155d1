"""The quicker product and its gradients are PyTorch's own up to rounding, and a model that uses it stays what it is."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from palenka_tune.distill import matmul
from palenka_tune.distill.matmul import product, quick_linears


@pytest.fixture
def onednn(monkeypatch):
    """As on a CPU where it is faster, whatever this one is."""
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        pytest.skip("this build of PyTorch has no oneDNN")
    monkeypatch.setattr(matmul, "onednn_is_faster", lambda: True)


class Conv1D(nn.Module):
    """GPT-2's linear layer: its weight is (inputs, outputs)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs))
        self.bias = nn.Parameter(torch.randn(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight + self.bias


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 10), nn.GELU(), Conv1D(10, 8), nn.Linear(8, 3, bias=False))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_product_is_linear(onednn, bias, transposed):
    left, right = torch.randn(7, 5), torch.randn(4, 5)
    right = right.T.contiguous().T if transposed else right
    added = torch.randn(4) if bias else None
    torch.testing.assert_close(product(left, right, added), F.linear(left, right, added))


def test_outputs_and_gradients_are_those_of_the_plain_layers(onednn):
    plain = model()
    quick = copy.deepcopy(plain)
    quick_linears(quick)
    assert "forward" in vars(quick[0])
    assert "forward" in vars(quick[2])
    inputs = torch.randn(2, 5, 6)
    results = []
    for each in (plain, quick):
        x = inputs.clone().requires_grad_()
        out = each(x)
        out.square().sum().backward()
        results.append([out.detach(), x.grad, *(p.grad for p in each.parameters())])
    for left, right in zip(*results, strict=True):
        torch.testing.assert_close(left, right)
    with torch.no_grad():
        torch.testing.assert_close(quick(inputs), plain(inputs))


def test_weights_keep_their_names_and_half_weights_are_left_to_pytorch(onednn):
    plain, quick = model(), model()
    quick_linears(quick)
    assert quick.state_dict().keys() == plain.state_dict().keys()
    half = quick.to(torch.bfloat16)
    assert half(torch.randn(4, 6).bfloat16()).dtype is torch.bfloat16


def test_under_autocast_to_bfloat16_only_the_products_are_narrow(onednn):
    plain, inputs, results = model(), torch.randn(2, 5, 6), []
    quick = copy.deepcopy(plain)
    quick_linears(quick)
    for each, dtype in ((plain, torch.float32), (quick, torch.bfloat16)):
        x = inputs.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
            out = each(x)
            loss = out.square().sum()
        loss.backward()
        results.append([out.detach(), x.grad, *(p.grad for p in each.parameters())])
        assert all(result.dtype is torch.float32 for result in results[-1])
    for exact, narrow in zip(*results, strict=True):
        distance = (exact - narrow).norm() / exact.norm()
        assert 0 < distance < 2e-2  # bfloat16 keeps 8 bits
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(quick(inputs), results[1][0])
    with torch.autocast("cpu", dtype=torch.float16):
        assert quick(inputs).dtype is torch.float16


def test_a_cast_is_made_once_and_again_when_its_tensor_changes():
    inputs = torch.randn(3, 4)
    first = matmul._cast(inputs, torch.bfloat16)
    assert matmul._cast(inputs, torch.bfloat16) is first
    inputs.add_(1.0)
    assert torch.equal(matmul._cast(inputs, torch.bfloat16), inputs.bfloat16())
    assert matmul._cast(inputs, torch.float32) is inputs
    with torch.inference_mode():
        assert matmul._cast(torch.ones(2), torch.bfloat16).dtype is torch.bfloat16


def test_where_it_is_not_faster_nothing_changes(monkeypatch):
    monkeypatch.setattr(matmul, "onednn_is_faster", lambda: False)
    monkeypatch.setattr(matmul, "multiplies_bfloat16", lambda device: False)
    untouched = model()
    quick_linears(untouched)
    assert all("forward" not in vars(layer) for layer in untouched)
    left, right = torch.randn(3, 5), torch.randn(4, 5)
    assert torch.equal(product(left, right), F.linear(left, right))
