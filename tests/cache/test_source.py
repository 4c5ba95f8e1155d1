"""A source that reads a cache says what the teachers say: the same loss, only what is needed, no teacher loaded."""

from __future__ import annotations

import dataclasses
import pickle
import shutil

import pytest
import torch

from palenka_tune.cache.shards import ShardedColumn
from palenka_tune.cache.source import CachedSource
from palenka_tune.distill.objective import DistillationObjective
from palenka_tune.distill.settings import DistillSettings
from palenka_tune.distill.signals import SignalRequest, WindowBatch
from palenka_tune.distill.targets import LogitRequest, SampledTargets
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.spaces.experiment import StudentSettings
from palenka_tune.students.bench import Bench, select_windows
from tests.support.small_cache import RECIPE, STUDENT, Place, loss

# (form, type of hidden states, rank kept) -> largest relative error of the KL, of the hidden term
FORMS = {
    ("final_hidden", "float16", None): (1e-3, 1e-3),
    ("final_hidden", "float16", 16): (1e-3, 1e-3),
    ("final_hidden", "int8", None): (1e-3, 1e-2),
    ("final_hidden", "int8", 16): (1e-3, 1e-2),
    ("dense", "float16", None): (1e-3, 1e-3),
}
LOSSES = {
    "full": loss(),
    "rank": loss(rank=8, temperature=4.0),
    "whitened": loss(rank=8, normalize="whiten", layer_map="last"),
    "bare": loss(rank=16, normalize="none", distance="cosine", direction="teacher_to_student", temperature=1.0),
}


@pytest.fixture(scope="module")
def online(place):
    """The bench on which the teachers run."""
    return place.bench()


def batches(bench, count: int = 3) -> list[WindowBatch]:
    indices = [torch.arange(len(bench.dev))[:16], *torch.randperm(len(bench.train)).split(16)]
    splits = [("dev", bench.dev), *[("train", bench.train)] * count]
    return [
        WindowBatch(split, index, windows[index].long())
        for (split, windows), index in zip(splits, indices, strict=False)
    ]


def objective(bench, settings: DistillSettings, source=None) -> DistillationObjective:
    from palenka_tune.models.presets import get_preset
    from palenka_tune.spaces.experiment import shape_of

    shape = shape_of(get_preset(bench.spec.student.preset))
    return DistillationObjective(settings, shape, source or bench.source, total_steps=10, pad_id=0, seed=4)


# --- the same loss


# a cache of 16 components serves no loss of full width
SERVED = [(name, *key) for name in LOSSES for key in FORMS if key[2] is None or name != "full"]


@pytest.mark.parametrize(("name", "form", "hidden", "rank"), SERVED)
def test_every_batch_has_the_loss_of_online_teachers(place, kept, online, name, form, hidden, rank):
    settings = LOSSES[name]
    cached = place.bench(kept(form, hidden, rank))
    student = online.build_student(3)
    theirs, ours = objective(online, settings), objective(cached, settings)
    for batch in batches(online):
        expected, found = theirs(student, batch, 5).named(), ours(student, batch, 5).named()
        kl, states = FORMS[form, hidden, rank]
        assert found["ce"] == expected["ce"]
        for term, tolerance in {"kl": kl, "hidden": states, "total": max(kl, states)}.items():
            assert expected[term] > 0.01
            assert float(found[term]) == pytest.approx(float(expected[term]), rel=tolerance)


def test_samples_have_the_kl_on_average(place, kept, online):
    cached = place.bench(kept("sampled"))
    request = SignalRequest(LogitRequest((0.5, 0.5), 2.0), (frozenset(), frozenset()))
    batch = WindowBatch("train", torch.arange(96), online.train.long())
    exact, sampled = (bench.source.signal(batch, request).targets for bench in (online, cached))
    assert isinstance(sampled, SampledTargets)
    generator = torch.Generator().manual_seed(0)
    everything = slice(0, online.train.numel())
    log_p = torch.log_softmax(torch.randn(online.train.numel(), place.store.vocabulary_size, generator=generator), -1)
    kl, estimate = (
        targets.compare(everything, targets.prepare(everything, torch.float32), log_p)[0]
        for targets in (exact, sampled)
    )
    error = estimate - kl
    standard_error = float(error.std()) / len(error) ** 0.5
    assert standard_error < 0.02 * float(kl.mean())  # or the next line would say little
    assert abs(float(error.mean())) < 4 * standard_error
    assert error.abs().max() > 1e-3  # they are samples


@pytest.mark.parametrize(("form", "hidden", "rank"), [*FORMS, ("sampled", "float16", 16)])
def test_a_short_training_ends_at_the_same_dev_loss(place, kept, online, form, hidden, rank):
    settings = loss(rank=rank)
    ends = []
    for bench in (online, place.bench(kept(form, hidden, rank))):
        loop = bench.loop(settings, RECIPE, seed=1)
        start = loop.validate(teachers=False)["val_ce"]
        loop.run_until(10)
        ends.append(loop.validate()["val_ce"])
    assert ends[0] < start - 0.1
    assert ends[1] == pytest.approx(ends[0], abs=2e-2 if form == "sampled" else 1e-3)


def test_shifted_copies_of_the_text_are_cached_too(place, tmp_path):
    student = StudentSettings(STUDENT.preset, train_windows=32, dev_windows=16, offsets=3)
    moved = ShiftedPlace(place.folder, place.teachers, place.store)
    online, cached = moved.bench(student=student), moved.bench(moved.cache(tmp_path, loss()), student)
    assert len(cached.train) == 96
    student_model = online.build_student(3)
    batch = WindowBatch("train", torch.tensor([0, 32, 64, 95]), online.train[[0, 32, 64, 95]].long())
    expected, found = (objective(bench, loss())(student_model, batch, 0).named() for bench in (online, cached))
    for term in ("kl", "hidden"):
        assert float(found[term]) == pytest.approx(float(expected[term]), rel=1e-3)


class ShiftedPlace(Place):
    @property
    def windows(self):
        return select_windows(self.store, StudentSettings(STUDENT.preset, train_windows=32, dev_windows=16, offsets=3))


# --- only what is needed


@pytest.fixture
def read(monkeypatch):
    """Names of the columns that are read, given the cache."""
    gathered: list[ShardedColumn] = []
    original = ShardedColumn.gather

    def gather(self, *args, **kwargs):
        gathered.append(self)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(ShardedColumn, "gather", gather)

    def names(cache) -> set[str]:
        known = {id(column): name for split in ("train", "dev") for name, column in cache.columns[split].items()}
        found = {known[id(column)] for column in gathered}
        gathered.clear()
        return found

    return names


def run(bench, settings, steps=3):
    loop = bench.loop(settings, RECIPE, seed=1)
    loop.run_until(steps)
    loop.validate()
    return bench.source.cache


def test_a_term_without_weight_reads_nothing(place, kept, read):
    """Layer map `last` of GPT-2-tiny and Llama-tiny: state 4 of each."""
    states = {"teacher0_state4", "teacher1_state4"}
    bench = place.bench(kept("dense", "int8"))
    logits, scales = {"teacher0_logits", "teacher1_logits"}, {f"{name}_scale" for name in states}
    assert read(run(bench, loss(layer_map="last"))) == logits | states | scales
    assert read(run(bench, loss(beta=0, layer_map="last"))) == logits
    assert read(run(bench, loss(alpha=0, layer_map="last"))) == states | scales
    run(bench, loss(alpha=0, beta=0))
    assert read(bench.source.cache) == set()
    bench = place.bench(kept("sampled"))
    assert read(run(bench, loss(beta=0))) == {"ids0", "entropy0"}
    assert read(run(bench, loss(alpha=0, layer_map="last"))) == states


def test_the_last_state_is_read_once_for_both_terms(place, kept, monkeypatch):
    bench = place.bench(kept())
    calls = []
    original = ShardedColumn.gather
    monkeypatch.setattr(ShardedColumn, "gather", lambda self, *a: calls.append(1) or original(self, *a))
    request = objective(bench, loss(layer_map="last")).request(1.0, 1.0)
    bench.source.signal(batches(bench)[0], request)
    assert len(calls) == 2


# --- prefetching


def same(a, b) -> bool:
    states = all(
        torch.equal(left[layer], right[layer]) for left, right in zip(a.hidden, b.hidden, strict=True) for layer in left
    )
    return states and torch.equal(a.targets.teachers[0].hidden_NE, b.targets.teachers[0].hidden_NE)


def test_a_prefetched_batch_is_the_batch(place, kept, read):
    bench = place.bench(kept())
    cache, source = bench.source.cache, bench.source
    request = objective(bench, loss()).request(1.0, 1.0)
    first, second, third = batches(bench, 2)
    expected = [CachedSource(cache).signal(batch, request) for batch in (first, second, third)]
    read(cache)
    source.prefetch(second.split, second.index, request)
    source._ahead[1].result()
    assert read(cache)
    assert same(source.signal(second, request), expected[1])
    assert read(cache) == set()  # not read again
    assert same(source.signal(second, request), expected[1])  # nor taken twice
    assert read(cache)
    source.prefetch(second.split, second.index, request)  # other windows than those that come
    assert same(source.signal(third, request), expected[2])
    source.prefetch("train", first.index, request)  # the same numbers in another split
    assert same(source.signal(first, request), expected[0])
    source.prefetch(first.split, first.index, objective(bench, loss(beta=0)).request(1.0, 0.0))  # too little
    assert same(source.signal(first, request), expected[0])


def test_training_with_and_without_prefetching_is_the_same(place, kept, monkeypatch):
    ends = []
    for _ in range(2):
        loop = place.bench(kept()).loop(loss(), RECIPE, seed=1)
        ends.append([record.terms for record in loop.run_until(10)])
        monkeypatch.setattr(CachedSource, "prefetch", lambda *args: None)
    assert ends[0] == ends[1]


# --- no teacher


def test_a_bench_with_a_cache_needs_no_teacher_in_any_process(place, tmp_path):
    folder = tmp_path / "place"
    shutil.copytree(place.folder, folder, ignore=shutil.ignore_patterns("*-*-*"))
    copied = Place.open(folder)
    bench = copied.bench(copied.cache(folder / "kept", loss()))
    for teacher in copied.teachers:
        shutil.rmtree(teacher.folder)
    end = run_to(bench, 4)
    spec, source = pickle.loads(pickle.dumps((bench.spec, bench.source)))
    assert run_to(Bench(spec), 4) == end
    batch, request = batches(bench)[0], objective(bench, loss()).request(1.0, 1.0)
    assert same(source.signal(batch, request), bench.source.signal(batch, request))


def run_to(bench, step: int) -> dict[str, float]:
    loop = bench.loop(loss(), RECIPE, seed=1)
    loop.run_until(step)
    return loop.validate()


# --- what a cache does not hold


def test_other_windows_than_the_students_are_refused(place, kept):
    spec = place.bench(kept()).spec
    fewer = dataclasses.replace(spec, student=dataclasses.replace(spec.student, train_windows=32))
    with pytest.raises(PalenkaError, match="holds other windows than the student's; build one"):
        _ = Bench(fewer).source


def test_what_is_not_kept_is_refused(place, kept, tmp_path):
    source = CachedSource(kept("sampled", "float16", 16))
    batch = WindowBatch("dev", torch.arange(2), place.bench().dev[:2])
    none = (frozenset(), frozenset())
    with pytest.raises(UserError, match=r"holds samples at other settings than temperature 4, .*use cache\.form=final"):
        source.signal(batch, SignalRequest(LogitRequest((0.5, 0.5), 4.0), none))
    for targets in (source.signal, lambda batch, request: source.prefetch("dev", batch.index, request)):
        with pytest.raises(
            UserError, match=r"samples, which give divergence forward_kl only, .* is reverse_kl; use cache"
        ):
            targets(batch, SignalRequest(LogitRequest((0.5, 0.5), 2.0, divergence="reverse_kl"), none))
    with pytest.raises(UserError, match=r"weights \[0\.75, 0\.25\]"):
        source.signal(batch, SignalRequest(LogitRequest((0.75, 0.25), 2.0), none))
    assert source.components(0, 4) == 16
    with pytest.raises(PalenkaError, match="16 components of a teacher's hidden state are kept, but"):
        objective(place.bench(), loss(layer_map="last"), source)
    bare = CachedSource(place.cache(tmp_path, loss(alpha=0, layer_map="last")))
    with pytest.raises(PalenkaError, match="does not hold state 3 of teacher 0; delete that folder"):
        bare.components(0, 3)
    assert bare.components(0, 4) is None
    with pytest.raises(PalenkaError, match="holds no logits"):
        bare.signal(batch, SignalRequest(LogitRequest((0.5, 0.5), 2.0), none))
