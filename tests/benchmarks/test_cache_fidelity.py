"""The fidelity of the cache at toy size: every form is measured on a cache of its own, and each contender is what it
says."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
import torch

from benchmarks import cache_fidelity
from benchmarks.cache_fidelity import KEPT, TopKTargets, ways
from palenka_tune.cluster.session import Resources
from palenka_tune.config.recipe import Recipe
from palenka_tune.spaces.experiment import Experiment, experiment_from, resolve_tree
from tests.support.small_cache import Place, small_shards
from tests.support.small_place import VOCABULARY, WINDOW

FORMS = ("final_hidden, float16", "final_hidden, float16, 32 components", "sampled, 12 ids")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    place = Place.make(tmp_path_factory.mktemp("place"))
    options = {
        "data.source": str(place.folder / "data"),
        "data.vocabulary": VOCABULARY,
        "data.window": WINDOW,
        "student.train_windows": 64,
        "student.dev_windows": 16,
        "teachers": [str(teacher.folder) for teacher in place.teachers],
    }
    made = experiment_from(resolve_tree({}, options, [], "test"), "test")
    return dataclasses.replace(made, recipe=Recipe(lr=3e-3, batch_size=16, warmup_steps=1))


@pytest.fixture(scope="module")
def benches(experiment, tmp_path_factory):
    """Built by the real writer in this process instead of on Ray."""
    storage = tmp_path_factory.mktemp("storage")
    with pytest.MonkeyPatch.context() as patch, small_shards():
        patch.setattr(cache_fidelity, "KEPT", {name: KEPT[name] for name in FORMS})
        patch.setattr(cache_fidelity, "ray_session", lambda: contextlib.nullcontext(Resources(((1, 0),), ray=False)))
        yield cache_fidelity.make_benches(experiment, storage)


def test_a_row_is_measured_on_the_form_that_it_names(benches):
    """Also where a larger cache of the same teachers, which would serve, was built before it."""
    for name in FORMS:
        settings, rank = KEPT[name]
        source = benches[name].source
        assert (source.form, source.encoding, source.components(0, 4)) == (settings.form, settings.hidden, rank)
    sizes = [cache_fidelity.size(benches[name]) for name in FORMS[:2]]
    assert sizes == [2 * (5 * 128) * 2, 2 * (5 * 32 + 128) * 2]


def test_all_three_tables_have_a_pulse(benches, experiment, monkeypatch):
    online = benches["teachers online"]
    student = cache_fidelity.warm_student(online, experiment)
    batches = cache_fidelity.make_batches(online, 2)
    forms = cache_fidelity.compare_forms(benches, student, batches)
    for name in FORMS[:2]:
        assert 0 < forms[name]["total"].high < 1e-3
        assert forms[name]["student"].low > 0.999
        assert forms[name]["projections"].low > 0.999
    sampled = forms["sampled, 12 ids"]
    assert sampled["hidden"].high < 1e-3
    assert (
        sampled["kl"].median > 3 * forms[FORMS[0]]["kl"].median
    )  # the teachers have barely begun: little is to be missed

    monkeypatch.setattr(cache_fidelity, "IDS", (4, 12, 64))
    logits = cache_fidelity.compare_logits(online, student, batches)
    for way in ("sampled, systematic", "sampled, independent", "top-k renormalised"):
        assert logits[f"{way}, 4"]["cosine"] < logits[f"{way}, 64"]["cosine"] <= 1
    # a systematic sample is never noisier than independent draws
    assert logits["sampled, systematic, 64"]["cosine"] > logits["sampled, independent, 64"]["cosine"]

    trained = cache_fidelity.train(benches, experiment, 1)
    assert set(FORMS) < set(trained)
    assert all(len(values) == 1 for values in trained.values())
    text = "\n".join(cache_fidelity.lines(logits, trained))
    assert all(name in text for name in (*logits, *trained))


def test_top_k_of_all_ids_is_the_whole_kl():
    torch.manual_seed(0)
    log_q, log_p = torch.randn(2, 5, 9).log_softmax(-1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_fidelity, "IDS", (9,))
        targets = ways(torch.Generator())["top-k renormalised, 9"](log_q)
    assert isinstance(targets, TopKTargets)
    kl, gradient = targets.compare(slice(0, 5), [], log_p)
    torch.testing.assert_close(kl, (log_q.exp() * (log_q - log_p)).sum(1))
    torch.testing.assert_close(gradient, log_p.exp() - log_q.exp())
