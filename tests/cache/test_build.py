"""Builds: by Ray as in one process, stopped anywhere and continued to the same bytes, and chosen by room and need."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from palenka_tune.cache import build, encode, job, ray_writer, shards, writer
from palenka_tune.cache.faults import OUT_OF_MEMORY
from palenka_tune.cache.plan import candidates
from palenka_tune.cache.settings import CacheSettings
from palenka_tune.cache.store import TeacherCache
from palenka_tune.cluster.session import Resources
from palenka_tune.config.artifacts import MANIFEST, partial_folder
from palenka_tune.config.files import write_json
from palenka_tune.data.windows import Windows
from palenka_tune.errors import PalenkaError, UserError
from tests.support.small_cache import PRECISION, SHARDS, Place, contents, interrupt_at, loss, shard_times

ROOT = Path(__file__).parents[2]


def caches(storage: Path) -> list[str]:
    return sorted(path.name for path in job.caches_folder(storage).glob("[!.]*"))


def partial(storage: Path) -> Path:
    (folder,) = job.caches_folder(storage).glob(".*.partial")
    return folder


def base(place: Place):
    return job.base_of(place.store, place.teachers, place.windows, PRECISION)


# --- what is written


def test_the_size_on_disk_is_the_promised_one(place, tmp_path):
    cache = place.cache(tmp_path, loss(rank=8), form="dense")
    assert sorted(cache.manifest["files"]) == sorted([*SHARDS, "statistics.safetensors", "heads.safetensors"])
    written = sum(entry["bytes"] for name, entry in cache.manifest["files"].items() if name.endswith(".arrow"))
    promised = cache.manifest["bytes_per_token"] * (96 + 32) * 16
    assert promised <= written <= promised + 10_000 * len(SHARDS)
    assert cache.bytes == sum(path.stat().st_size for path in cache.folder.iterdir() if path.name in contents(cache))


def test_each_row_is_of_its_own_window(place, kept):
    """Against the teacher itself, window by window, across the border of two shards."""
    from palenka_tune.models.export import load_model

    column = kept().columns["train"]["teacher1_state4"]
    train = place.bench().train.long()
    model, _ = load_model(place.teachers[1].folder)
    for row in (0, 31, 32, 95):
        expected = model(train[row : row + 1], output_hidden_states=True).hidden_states[4][0].detach()
        found = column.gather(np.array([row]))[0].float()
        torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)


def test_components_are_those_of_the_kept_statistics(place, kept):
    whole, reduced = kept(), kept("final_hidden", "float16", 16)
    statistics = reduced.statistics(0, 4)
    states = whole.columns["train"]["teacher0_state4"].gather(np.arange(96)).float()
    expected = (states - statistics.mean) @ statistics.components[:, :16]
    found = reduced.columns["train"]["teacher0_state4"].gather(np.arange(96)).float()
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)
    share = reduced.metrics()["cache/explained/GPT2-tiny_state4"]
    assert share == pytest.approx(float(states.sub(statistics.mean).matmul(statistics.components[:, :16]).var(0).sum()
        / states.var(0).sum()), abs=0.5)  # fmt: skip
    assert 0 < share < 1


def test_the_same_build_gives_the_same_bytes_and_another_seed_other_samples(place, tmp_path):
    first, again, other = (
        place.cache(tmp_path / str(n), loss(rank=8), form="sampled", seed=seed) for n, seed in enumerate((0, 0, 1))
    )
    assert contents(first) == contents(again)
    assert contents(first)["train-00000.arrow"] != contents(other)["train-00000.arrow"]


def test_a_cache_of_another_precision_is_another_one_close_by(place, tmp_path):
    exact, narrow = (place.cache(tmp_path, loss(), precision=precision) for precision in ("float32", "bfloat16"))
    assert exact.folder.name.partition("-")[0] != narrow.folder.name.partition("-")[0]
    column, theirs = (
        cache.columns["train"]["teacher0_state4"].gather(np.arange(96)).float() for cache in (exact, narrow)
    )
    assert 0 < (column - theirs).norm() / column.norm() < 1e-2
    # without a word about it, a cache keeps the name that it had before it could be said
    assert job.base_of(place.store, place.teachers, place.windows).keys() == base(place).keys() - {"precision"}


class TwicePlace(Place):
    """The same 32 windows in every shard."""

    @property
    def windows(self):
        return Windows({"train": np.tile(np.arange(32), 2), "dev": np.arange(32)})


def test_each_shard_draws_its_own_samples(place, tmp_path):
    twice = TwicePlace(place.folder, place.teachers, place.store).cache(tmp_path, loss(beta=0), form="sampled")
    columns = twice.columns["train"]
    first, second = np.arange(32), np.arange(32, 64)
    assert torch.equal(columns["entropy0"].gather(first), columns["entropy0"].gather(second))
    assert not torch.equal(columns["ids0"].gather(first), columns["ids0"].gather(second))


@pytest.mark.ray
@pytest.mark.slow
def test_ray_writes_the_same_bytes_as_one_process(place, tmp_path, monkeypatch, logged):
    """So that what the other tests say of a cache holds for those that Ray Data writes."""
    from palenka_tune.cluster.session import ray_session

    monkeypatch.setattr(job, "SHARD_BYTES", 1)
    with ray_session(cpus=2) as resources:
        here = place.cache(tmp_path / "here", loss(rank=8), form="sampled", hidden="int8")
        there = build.obtain(
            place.need(loss(rank=8)),
            CacheSettings("sampled", "int8", precision=PRECISION),
            place.teachers,
            place.store,
            place.windows,
            tmp_path,
            lambda: resources,
        )
        assert contents(there) == contents(here)
        assert there.folder.name == here.folder.name
        work = tmp_path / "work"
        shutil.copytree(there.folder, work, ignore=shutil.ignore_patterns("*.arrow"))
        lost = job.CacheJob(str(place.store.folder), (str(tmp_path),) * 2, place.windows, _plan(place), str(work), 32)
        with pytest.raises(UserError, match=f"{tmp_path} is not a model"):
            ray_writer.measure(lost)
        reasons = [reason for _, reason in ray_writer.write_shards(lost, lost.shards(), resources)]
        assert len(reasons) == 1
        assert reasons[0].startswith(f"{tmp_path} is not a model: it has no")
    text = "\n".join(logged)
    assert "building the teacher cache" in text
    assert "2,048 tokens, about" in text
    assert "cache 100 %  128/128 windows" in text


def _plan(place: Place, form="sampled"):
    need, settings = place.need(loss(rank=8)), CacheSettings(form=form)
    return candidates(need, settings, place.shapes, place.store.vocabulary_size, 0)[0]


# --- stopped and continued


@pytest.mark.parametrize(("form", "shard"), [("sampled", 0), ("sampled", 1), ("sampled", 3), ("dense", 2)])
def test_a_stopped_build_goes_on_to_the_same_bytes(place, kept, tmp_path, monkeypatch, form, shard):
    whole = kept(form, "float16", 8)

    def stop() -> None:
        raise KeyboardInterrupt

    interrupt_at(monkeypatch, shard, stop)
    with pytest.raises(KeyboardInterrupt):
        place.cache(tmp_path / "parts", loss(rank=8), form=form)
    monkeypatch.undo()
    assert caches(tmp_path / "parts") == []
    before = shard_times(partial(tmp_path / "parts"))
    assert len(before) == shard
    parts = place.cache(tmp_path / "parts", loss(rank=8), form=form)
    assert contents(parts) == contents(whole)
    assert before.items() <= shard_times(parts.folder).items()
    assert not list(job.caches_folder(tmp_path / "parts").glob(".*.partial"))


def test_a_killed_build_goes_on_to_the_same_bytes(place, kept, tmp_path):
    storage = tmp_path / "killed"
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.small_cache", str(place.folder), str(storage), "2"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == -9, done.stderr.decode()
    assert len(list(partial(storage).glob(".*.arrow.*"))) == 1  # the shard that was being written
    before = shard_times(partial(storage))
    assert len(before) == 2
    cache = place.cache(storage, loss(rank=8), form="sampled")
    assert contents(cache) == contents(kept("sampled", "float16", 8))
    assert before.items() <= shard_times(cache.folder).items()
    TeacherCache.open(cache.folder, verify=True)


def test_a_build_that_was_killed_before_it_got_its_name_is_finished(place, tmp_path):
    cache = place.cache(tmp_path, loss(rank=8), form="sampled")
    expected, before = contents(cache), shard_times(cache.folder)
    cache.folder.rename(partial_folder(cache.folder))
    (partial_folder(cache.folder) / ".checked.json").unlink()
    again = place.cache(tmp_path, loss(rank=8), form="sampled")
    assert again.folder == cache.folder
    assert contents(again) == expected
    assert shard_times(again.folder) == before


def test_a_full_disk_ends_the_build_with_what_to_do_and_it_goes_on(place, tmp_path, monkeypatch):
    def full(path, columns):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    written = []
    original = shards.write_shard
    monkeypatch.setattr(
        writer, "write_shard", lambda *a: (written.append(1), (full if len(written) > 2 else original)(*a))
    )
    with pytest.raises(PalenkaError) as stopped:
        place.cache(tmp_path, loss(rank=8), form="sampled")
    assert stopped.value.exit_code == 1
    work = partial(tmp_path)
    assert str(stopped.value) == (
        f"the teacher cache could not be completed (No space left on device ({work / 'train-00002.arrow'})); 2 of 4 "
        f"shards are kept in {work}: free space or fix the cause, and run the same command again to continue"
    )
    monkeypatch.undo()
    before = shard_times(work)
    cache = place.cache(tmp_path, loss(rank=8), form="sampled")
    assert len(before) == 2
    assert before.items() <= shard_times(cache.folder).items()


@pytest.mark.parametrize("where", ["statistics", "manifest"])
def test_a_full_disk_beside_the_shards_ends_the_build_too(place, tmp_path, monkeypatch, where):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if where == "statistics":
        monkeypatch.setattr(writer, "_save", full)
    else:
        monkeypatch.setattr("palenka_tune.config.artifacts.write_json", full)
    with pytest.raises(
        PalenkaError, match=r"could not be completed \(No space left on device\); . of 4 shards are kept"
    ):
        place.cache(tmp_path, loss(rank=8))
    assert caches(tmp_path) == []
    monkeypatch.undo()
    TeacherCache.open(place.cache(tmp_path, loss(rank=8)).folder, verify=True)


def test_states_beyond_float16_end_the_build_with_the_way_out(place, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "to_float16", lambda values, what: encode.to_float16(values * 1e6, what))
    with pytest.raises(
        PalenkaError, match=r"state 1 of teacher GPT2-tiny reach .* use the int8 encoding.*0 of 4 shards"
    ):
        place.cache(tmp_path, loss(layer_map=[{1: 1}, {1: 1}]))


# --- found or built


def test_a_cache_is_built_once_and_found_for_all_that_it_serves(place, tmp_path):
    first = place.cache(tmp_path, loss(rank=16))
    before = shard_times(first.folder)
    for asked in (loss(rank=16), loss(rank=8, temperature=4.0), loss(beta=0), loss(rank=2, layer_map="last")):
        assert place.cache(tmp_path, asked).folder == first.folder
    assert shard_times(first.folder) == before
    assert place.cache(tmp_path, loss(rank=17)).folder != first.folder
    assert len(caches(tmp_path)) == 2


def test_a_sampled_cache_is_found_again(place, tmp_path):
    both = place.cache(tmp_path, loss(rank=8), loss(rank=8, temperature=1.0), form="sampled")
    assert place.cache(tmp_path, loss(rank=8, temperature=1.0), form="sampled").folder == both.folder
    assert place.cache(tmp_path, loss(rank=8, temperature=3.0), form="sampled").folder != both.folder


def test_fewer_components_than_a_loss_asks_for_are_never_given(place, tmp_path):
    """Neither an older cache of fewer nor a budget for fewer: its training could not begin."""
    small = place.cache(tmp_path, loss(rank=16))
    whole = place.cache(tmp_path, loss())
    assert whole.folder != small.folder
    size = small.bytes / 1e9
    with pytest.raises(UserError, match=r"full width\) in float16\) takes .* may be used; raise --cache-budget"):
        place.cache(tmp_path / "other", loss(), budget_gb=size)
    assert not caches(tmp_path / "other")


def test_auto_keeps_samples_where_exact_logits_do_not_fit(place, tmp_path):
    exact = place.cache(tmp_path / "exact", loss(beta=0), samples=16)
    assert exact.manifest["plan"]["form"] == "final_hidden"
    budget = 2048 * (2 * 16 + 4 + 1) / 1e9
    sampled = place.cache(tmp_path / "sampled", loss(beta=0), samples=16, budget_gb=budget)
    assert sampled.manifest["plan"]["form"] == "sampled"
    # and exact ones where they fit, whatever is there
    assert place.cache(tmp_path / "sampled", loss(beta=0), samples=16).manifest["plan"]["form"] == "final_hidden"


def test_a_cache_that_is_there_needs_no_room(place, tmp_path):
    cache = place.cache(tmp_path, loss())
    assert place.cache(tmp_path, loss(), budget_gb=1e-9).folder == cache.folder


def test_room_counts_what_an_interrupted_build_left(place, tmp_path, monkeypatch):
    planned, ours = _plan(place), base(place)
    monkeypatch.setattr(build.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 1000))
    assert build.room(planned, CacheSettings(), tmp_path, ours) == 800
    assert build.room(planned, CacheSettings(budget_gb=5e-7), tmp_path, ours) == 500
    work = partial_folder(job.folder_of(tmp_path, ours, planned))
    work.mkdir(parents=True)
    (work / "train-00000.arrow").write_bytes(bytes(300))
    assert build.room(planned, CacheSettings(), tmp_path, ours) == 1100
    assert build.room(planned, CacheSettings(), tmp_path, None) == 800
    assert build.room(_plan(place, "dense"), CacheSettings(), tmp_path, ours) == 800


def test_too_little_space_is_refused_before_anything_is_written(place, tmp_path, monkeypatch):
    monkeypatch.setattr(build.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 10_000))
    with pytest.raises(UserError, match=r"takes .* and 0\.1 MB may be used; raise --cache-budget or free space"):
        place.cache(tmp_path, loss())
    assert not caches(tmp_path)


def test_other_teachers_text_or_windows_make_another_cache(place, tmp_path):
    first = place.cache(tmp_path, loss(rank=8))
    turned = Place(place.folder, place.teachers[::-1], place.store)
    assert turned.cache(tmp_path, loss(rank=8)).folder != first.folder
    manifest = first.manifest | {"version": 0}
    write_json(first.folder / MANIFEST, manifest)
    with pytest.raises(PalenkaError, match=r"is of version 0 and not 1; delete that folder"):
        place.cache(tmp_path, loss(rank=8))


# --- a teacher whose logits are more than its head says


@pytest.fixture(scope="module")
def capped(place, tmp_path_factory) -> Place:
    """A teacher that divides its logits after its head, as Granite does."""
    from transformers import GraniteConfig, GraniteForCausalLM

    folder = tmp_path_factory.mktemp("granite") / "Granite"
    torch.manual_seed(0)
    config = GraniteConfig(
        vocab_size=place.store.vocabulary_size, hidden_size=32, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, logits_scaling=3.0, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, max_position_embeddings=64,
    )  # fmt: skip
    GraniteForCausalLM(config).save_pretrained(folder)
    for path in place.teachers[0].folder.glob("tokenizer*"):
        shutil.copy(path, folder)
    from palenka_tune.teachers.spec import open_teacher

    return Place(place.folder, [open_teacher(folder)], place.store)


def test_auto_keeps_logits_where_hidden_states_do_not_give_them(capped, tmp_path):
    cache = capped.cache(tmp_path, loss(layer_map="last"))
    assert cache.manifest["plan"]["form"] == "dense"
    assert capped.cache(tmp_path, loss(layer_map="last")).folder == cache.folder
    online, cached = capped.bench(), capped.bench(cache)
    from tests.cache.test_source import batches, objective

    student = online.build_student(0)
    for batch in batches(online, 1):
        expected, found = (objective(b, loss(layer_map="last"))(student, batch, 0).named() for b in (online, cached))
        assert float(found["total"]) == pytest.approx(float(expected["total"]), rel=1e-3)


def test_final_hidden_is_refused_for_such_a_teacher(capped, tmp_path):
    with pytest.raises(UserError, match=r"cache\.form is 'final_hidden', but a teacher scales or caps its logits"):
        capped.cache(tmp_path, loss(layer_map="last"), form="final_hidden")
    assert not caches(tmp_path)


# --- teachers that one GPU cannot hold


@pytest.mark.parametrize("where", ["measuring", "writing"])
def test_teachers_that_a_gpu_cannot_hold_are_spread_over_more(monkeypatch, tmp_path, logged, where):
    """With GPUs that are said to be there: what is tried is what counts."""
    tried = []

    def measure(job, resources):
        tried.append(job.gpus)
        if where == "measuring" and job.gpus < 4:
            raise torch.OutOfMemoryError

    def write_shards(job, missing, resources):
        if where == "writing" and job.gpus < 4:
            yield 0, OUT_OF_MEMORY
        yield from ((job.size(*shard), None) for shard in missing)

    monkeypatch.setattr(build, "_measure", measure)
    monkeypatch.setattr(ray_writer, "write_shards", write_shards)
    windows = Windows({"train": range(8)})
    asked = job.CacheJob("store", (), windows, None, str(tmp_path), rows_per_shard=4, device="cuda")
    build._fill(asked, Resources(((16, 8), (16, 2))))
    assert tried == [1, 2, 4]
    assert logged[-1].startswith("cache 100 %")
    with pytest.raises(PalenkaError, match="the teachers do not fit on the 3 GPUs of a node"):
        build._fill(asked, Resources(((16, 3),)))
    assert tried[3:] == [1, 2, 3]


def test_a_worker_says_that_its_gpu_is_too_small(monkeypatch):
    def small(job):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    monkeypatch.setattr(writer, "ShardWriter", small)
    batch = {"split": np.array(["train"]), "number": np.array([0])}
    assert ray_writer._Worker(None)(batch)["error"] == [OUT_OF_MEMORY]
