"""A cache on the device answers as one on disk does, and asks the host nothing."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import pytest
import torch

from palenka_tune.cache import resident
from palenka_tune.cache.resident import ResidentSource, fits
from palenka_tune.cache.source import CachedSource
from palenka_tune.distill.objective import DistillationObjective
from palenka_tune.distill.signals import WindowBatch
from palenka_tune.models.presets import get_preset
from palenka_tune.spaces.experiment import shape_of
from tests.support.recording import Recording
from tests.support.small_cache import STUDENT, loss

FORMS = [("final_hidden", "float16"), ("final_hidden", "int8"), ("sampled", "float16"), ("dense", "float16")]


def objective(source, settings):
    shape = shape_of(get_preset(STUDENT.preset))
    return DistillationObjective(settings, shape, source, total_steps=10, pad_id=0, seed=4)


@pytest.mark.parametrize(("form", "hidden"), FORMS)
def test_it_answers_as_a_cache_on_disk_does(place, tmp_path, form, hidden):
    settings = loss(rank=8)
    cache = place.cache(tmp_path, settings, form=form, hidden=hidden)
    bench, batches = place.bench(cache), []
    index = torch.tensor([3, 95, 0, 40])
    for source in (CachedSource(cache), pickle.loads(pickle.dumps(ResidentSource(cache)))):
        made, student = objective(source, settings), bench.build_student(3)
        terms = made(student, WindowBatch("train", index, bench.train[index].long()), 5)
        terms.total.backward()
        batches.append([terms.total.detach(), terms.kl, terms.hidden, *(p.grad for p in made.parameters())])
        assert made.source.signal(WindowBatch("dev", index[:1] * 0, bench.dev[:1].long()), made.request(1, 1)).targets
    for on_disk, here in zip(*batches, strict=True):
        assert torch.equal(on_disk, here)


@pytest.mark.parametrize(("form", "hidden"), FORMS)
def test_a_recording_of_it_gives_other_windows_when_the_index_changes(place, tmp_path, form, hidden):
    settings = loss(rank=8)
    source = ResidentSource(place.cache(tmp_path, settings, form=form, hidden=hidden))
    request = objective(source, settings).request(1.0, 1.0)
    index, tokens = torch.tensor([1, 2]), torch.ones(2, 16, dtype=torch.int64)
    batch, found = WindowBatch("train", index, tokens), torch.zeros(2, 16, 8)
    source.signal(batch, request)  # columns come to the device at their first use
    with Recording() as recording:
        found.copy_(source.signal(batch, request).hidden[0][4])
    index.copy_(torch.tensor([90, 7]))
    recording.replay()
    assert torch.equal(found, source.signal(batch, request).hidden[0][4].float())


def test_it_fits_into_a_share_of_the_free_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 4000))
    cache = SimpleNamespace(bytes=400)
    assert fits(cache, torch.device("cuda"))
    cache.bytes = 401
    assert not fits(cache, torch.device("cuda"))
    assert resident.SHARE == 0.4
