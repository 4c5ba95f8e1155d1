"""Where steps are repeated: asked once for a kind of training, said where not, and never without an answer."""

from __future__ import annotations

import json

import pytest
import torch

from palenka_tune.cache.resident import ResidentSource
from palenka_tune.cache.staged import StagedSource
from palenka_tune.distill import loop as loops
from palenka_tune.distill.settings import DistillSettings
from palenka_tune.distill.static import compiling
from palenka_tune.distill.static import step as static_step
from palenka_tune.students import steps
from palenka_tune.students.steps import repeat_steps
from tests.support.recording import record
from tests.support.small_cache import RECIPE, Place, loss

LOSS = loss(rank=8)
lr_factor = static_step.lr_factor


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place.make(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def cache(place):
    return place.cache(place.folder / "storage", LOSS)


@pytest.fixture(autouse=True)
def everywhere(monkeypatch):
    """As if a CPU were a GPU, whose graphs are recordings; and without what another test has switched off."""
    monkeypatch.setattr("palenka_tune.students.bench.repeat_steps", lambda *args: None)  # which has no such graph
    monkeypatch.setattr(steps, "DEVICES", ("cpu",))
    monkeypatch.setattr(compiling, "_off", [])


@pytest.fixture(params=[ResidentSource, StagedSource])
def make(request, place, cache):
    def loop(settings: DistillSettings = LOSS, seed: int = 0, **recipe) -> loops.TrainingLoop:
        from dataclasses import replace

        bench = place.bench(cache)
        bench.__dict__["source"] = request.param(cache)
        return bench.loop(settings, replace(RECIPE, **recipe), seed=seed, averaging=True)

    return loop


def answers(folder):
    return [json.loads(path.read_text()) for path in sorted((folder / "steps").glob("*.json"))]


def ended(loop: loops.TrainingLoop) -> torch.Tensor:
    loop.run_until(loop.total_steps)
    return torch.cat([parameter.detach().flatten() for parameter in loop.model.parameters()])


@pytest.mark.parametrize("settings", [LOSS, DistillSettings(alpha=0, beta=0)], ids=["distilled", "plain"])
def test_steps_that_agree_are_repeated_and_asked_about_once(make, settings, tmp_path, monkeypatch):
    loop = make(settings)
    repeat_steps(loop, tmp_path, record)
    assert loop.capture is record
    (answer,) = answers(tmp_path)
    assert answer["agrees"]
    assert answer["kind"]["precision"] == "torch.float32"
    torch.testing.assert_close(ended(loop), ended(make(settings, step="eager")), rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(steps, "compare", lambda *args: pytest.fail("it was asked before"))
    again = make(settings, lr=1e-4, seed=3)
    repeat_steps(again, tmp_path, record)
    assert again.capture is record


def test_accumulated_and_scheduled_steps_read_their_part_of_a_batch(make, tmp_path):
    from dataclasses import replace

    settings, recipe = replace(LOSS, alpha_schedule="warmup", beta_schedule="hint", beta_until=0.4), {"accumulate": 2}
    loop = make(settings, **recipe)
    repeat_steps(loop, tmp_path, record)
    assert loop.capture is record
    torch.testing.assert_close(ended(loop), ended(make(settings, step="eager", **recipe)), rtol=1e-4, atol=1e-5)


def test_steps_that_differ_are_taken_one_by_one_and_it_is_said(make, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(static_step, "lr_factor", lambda *args: 0.0)
    loop = make()
    with caplog.at_level("WARNING"):
        repeat_steps(loop, tmp_path, record)
    assert loop.capture is None
    assert "steps are not repeated as a CUDA graph, so that they are slower: they differ: relative" in caplog.text
    monkeypatch.setattr(static_step, "lr_factor", lr_factor)
    (answer,) = answers(tmp_path)
    assert not answer["agrees"]
    assert torch.equal(ended(loop), ended(make(step="eager")))


def test_what_cannot_be_captured_is_tried_without_compiling_and_then_left(make, tmp_path, caplog):
    tried = []

    def refuse(body, warm_up):
        tried.append(compiling.is_off())
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    loop = make()
    with caplog.at_level("WARNING"):
        repeat_steps(loop, tmp_path, refuse)
    assert tried == [False, True]
    assert loop.capture is None
    assert "torch.compile does not work here (operation not permitted when stream is capturing)" in caplog.text
    assert "capturing failed (operation not permitted when stream is capturing)" in caplog.text
    assert torch.equal(ended(loop), ended(make(step="eager")))


@pytest.mark.parametrize("recipe", [{"step": "eager"}, {"precision": "float16"}])
def test_a_recipe_may_say_no(make, recipe, tmp_path):
    loop = make(DistillSettings(alpha=0, beta=0), **recipe)
    repeat_steps(loop, tmp_path, record)
    assert loop.capture is None
    assert not (tmp_path / "steps").exists()


def test_a_source_that_reads_for_every_batch_is_left(place, cache, tmp_path):
    loop = place.bench(cache).loop(LOSS, RECIPE, seed=0)
    repeat_steps(loop, tmp_path, record)
    assert loop.capture is None


def test_another_kind_of_loss_is_another_question(make, tmp_path):
    for settings in (LOSS, loss(rank=8, alpha=0), loss(rank=8, beta=7), loss(rank=8, lr_multiplier=3)):
        repeat_steps(make(settings), tmp_path, record)
    repeat_steps(make(LOSS, batch_size=4), tmp_path, record)  # other shapes
    assert len(answers(tmp_path)) == 3


def test_an_answer_that_holds_without_compiling_is_used_without_it(make, tmp_path):
    compiling.switch_off("no compiler")
    repeat_steps(make(), tmp_path, record)
    assert not answers(tmp_path)[0]["compiled"]
    compiling.switch_on()
    loop = make()
    repeat_steps(loop, tmp_path, record)
    assert loop.capture is record
    assert compiling.is_off()


def test_a_full_memory_is_no_answer(make, tmp_path):
    def full(body, warm_up):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        repeat_steps(make(), tmp_path, full)
    assert not answers(tmp_path)
