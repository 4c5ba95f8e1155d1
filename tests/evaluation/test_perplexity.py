import math

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from palenka_tune.errors import UserError
from palenka_tune.evaluation.perplexity import cross_entropy


def padded_windows() -> np.ndarray:
    windows = np.random.default_rng(2).integers(3, 320, size=(11, 24)).astype(np.uint16)
    for row, length in ((2, 5), (6, 1), (10, 0), (3, 23)):
        windows[row, length:] = 0
    return windows


def test_equals_a_slow_loop_and_does_not_depend_on_the_batch(model: PreTrainedModel) -> None:
    windows = padded_windows()
    results = [cross_entropy(model, windows, 0, batch=batch) for batch in (1, 4, 32)]
    reference = model.double().eval()
    total, count = 0.0, 0
    for window in windows:
        with torch.no_grad():
            logits = reference(torch.tensor(window.astype(np.int64))[None]).logits[0]
        for position in range(23):
            target = int(window[position + 1])
            if target != 0:
                total -= float(logits[position, target] - torch.logsumexp(logits[position], 0))
                count += 1
    assert count == 7 * 23 + 4 + 0 + 22
    for nats, tokens in results:
        assert tokens == count
        assert nats == pytest.approx(total / count, rel=1e-6)


def test_a_uniform_model_has_log_v_and_keeps_its_mode(uniform_model: PreTrainedModel) -> None:
    uniform_model.train()
    nats, _ = cross_entropy(uniform_model, padded_windows(), 0)
    assert nats == pytest.approx(math.log(320), rel=1e-6)
    assert uniform_model.training


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        (np.zeros((3, 8), dtype=np.int64), "3 windows of 8 tokens hold no token to predict"),
        (np.full((3, 1), 5), "hold no token to predict"),
        (np.zeros((0, 8), dtype=np.int64), "0 windows"),
        (np.full(8, 5), r"shape \(8,\)"),
        (np.full((2, 8), 5.0), "type float64"),
    ],
)
def test_windows_without_tokens_are_refused(windows: np.ndarray, message: str, uniform_model: PreTrainedModel) -> None:
    with pytest.raises(UserError, match=message):
        cross_entropy(uniform_model, windows, 0)
