"""What is to be compiled on a GPU can be traced whole, and gives the same traced (here without making kernels)."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import pytest
import torch

from palenka_tune.distill.heads import hidden_states_of
from palenka_tune.distill.settings import DistillSettings, ProjectionSettings
from palenka_tune.distill.static import compiling
from palenka_tune.distill.static.trunk import trunk_of
from tests.distill import test_fused, test_trunk


@pytest.fixture
def traced(monkeypatch):
    """As if tensors of the CPU were a GPU's; how many functions were compiled."""
    made = []

    def compile_(function):
        made.append(function)
        torch._dynamo.config.recompile_limit = compiling.SHAPES
        return torch.compile(function, fullgraph=True, dynamic=False, backend="aot_eager")

    monkeypatch.setattr(compiling, "_on_gpu", lambda args: True)
    monkeypatch.setattr(compiling, "_compile", compile_)
    monkeypatch.setattr(compiling, "_made", {})
    monkeypatch.setattr(compiling, "_off", [])
    yield made
    torch._dynamo.reset()


@pytest.mark.parametrize("name", test_trunk.PRESETS)
def test_bodies(name, traced):
    model = test_trunk.model(name)
    trunk = trunk_of(model, torch.float32, test_trunk.WINDOW, joined=True)
    ours, theirs = (each(test_trunk.tokens()) for each in (trunk.states, functools.partial(hidden_states_of, model)))
    assert len(traced) == (1 if name == "gpt2" else 2)  # one for all layers, one for the last norm
    for left, right in zip(ours, theirs, strict=True):
        assert (left - right).norm() <= 1e-6 * right.norm()
    gradients = (test_trunk.gradients(states, model) for states in (ours, theirs))
    for left, right in zip(*gradients, strict=True):
        assert (left - right).norm() <= 1e-5 * right.norm()


@pytest.mark.parametrize("name", ["none", "exact", "sampled"])
def test_losses(name, traced):
    blocks = test_fused.found(name, None, "token", True, 1.7)
    fused = test_fused.found(name, test_fused.FusedTerms(), "token", True, torch.tensor(1.7))
    assert len(traced) == 1
    for left, right in zip(blocks, fused, strict=True):
        torch.testing.assert_close(right, left, rtol=1e-5, atol=1e-6)


def test_a_whole_step_trains_as_the_loop_does(traced, make_loop):
    """Called again and again: a recording sees through nothing that is compiled."""
    settings = DistillSettings(alpha=1, beta=3, projection=ProjectionSettings(rank=8, normalize="layer_norm"))
    loop, again = make_loop(settings), make_loop(settings)
    again.capture = lambda body, warm_up: SimpleNamespace(replay=body)
    expected, found = loop.run_until(12)[-1].terms, again.run_until(12)[-1].terms
    assert len(traced) == 2
    assert found == pytest.approx(expected, rel=1e-5)


def test_where_compiling_fails_functions_run_as_they_are_written(traced, caplog):
    compiling.switch_off("no compiler")
    compiling.switch_off("again")
    assert caplog.text.count("torch.compile does not work here (no compiler)") == 1
    trunk = trunk_of(test_trunk.model("llama"), torch.float32, test_trunk.WINDOW)
    trunk.states(test_trunk.tokens())
    assert not traced
