"""Ensembles: one model is itself, averages are what their formulas say, padding is never predicted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from palenka_tune.errors import UserError
from palenka_tune.evaluation.ensemble import ensemble_cross_entropy
from palenka_tune.evaluation.perplexity import cross_entropy
from palenka_tune.models.build import build_model
from palenka_tune.models.presets import get_preset

PAD = 0


def model(seed: int, name: str = "Student-tiny"):
    torch.manual_seed(seed)
    return build_model(get_preset(name), vocabulary_size=50, pad_id=PAD, bos_id=1, eos_id=2, window=8)


@pytest.fixture(scope="module")
def windows():
    ids = np.random.default_rng(0).integers(1, 50, (21, 8)).astype(np.uint16)
    ids[-1, 3:] = PAD
    return ids


def test_one_model_is_its_own_ensemble(windows):
    one = model(0)
    expected, _ = cross_entropy(one, windows, PAD)
    found = ensemble_cross_entropy([one], windows, PAD)
    assert found.models == pytest.approx([expected], abs=1e-6)
    assert (found.logit_average, found.probability_average) == pytest.approx((expected, expected), abs=1e-6)


def test_averages_are_what_their_formulas_say(windows):
    models, weights = [model(0), model(1, "GPT2-tiny")], [0.3, 0.7]
    found = ensemble_cross_entropy(models, windows, PAD, weights, batch=4)
    ids = torch.from_numpy(windows.astype(np.int64))
    targets = ids[:, 1:].flatten()
    real = targets != PAD
    with torch.no_grad():
        logits = [each.eval()(ids[:, :-1]).logits.double().flatten(0, 1)[real] for each in models]
    rows = torch.arange(int(real.sum()))
    product = sum(w * z for w, z in zip(weights, logits, strict=True)).log_softmax(-1)[rows, targets[real]]
    mixture = sum(w * z.softmax(-1) for w, z in zip(weights, logits, strict=True)).log()[rows, targets[real]]
    assert found.logit_average == pytest.approx(-float(product.mean()), abs=1e-6)
    assert found.probability_average == pytest.approx(-float(mixture.mean()), abs=1e-6)
    assert found.models == pytest.approx([cross_entropy(each, windows, PAD)[0] for each in models], abs=1e-6)


def test_a_weight_of_0_leaves_a_model_out(windows):
    one, other = model(0), model(1)
    found = ensemble_cross_entropy([one, other], windows, PAD, [1.0, 0.0])
    assert found.probability_average == pytest.approx(found.models[0], abs=1e-6)


def test_nothing_to_measure_is_refused(windows):
    with pytest.raises(UserError, match="no models"):
        ensemble_cross_entropy([], windows, PAD)
    with pytest.raises(UserError, match="no token to predict"):
        ensemble_cross_entropy([model(0)], np.zeros((2, 8), dtype=np.int64), PAD)
