"""What a cache is named by: everything that shapes its contents, and nothing else."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from palenka_tune.cache.job import BATCH_WINDOWS, SHARD_BYTES, CacheJob, base_of, folder_of, rows_per_shard
from palenka_tune.cache.plan import Distribution, Plan
from palenka_tune.data.windows import Windows
from palenka_tune.spaces.experiment import StudentSettings
from palenka_tune.students.bench import select_windows
from palenka_tune.teachers.spec import open_teacher
from tests.support.small_cache import Place, loss, sharpen


def name(place: Place, **changes) -> str:
    """The folder's name of a cache over `place`."""
    teachers, store = changes.pop("teachers", place.teachers), changes.pop("store", place.store)
    base = base_of(store, teachers, changes.pop("windows", place.windows))
    return folder_of("storage", base, plan(place, **changes)).name


def plan(place: Place, form="final_hidden", hidden="float16", samples=64, seed=0, losses=None) -> Plan:
    asked = place.need(*(losses or [loss(rank=8)]))
    return Plan(asked, form, hidden, samples, place.shapes, place.store.vocabulary_size, seed)


def store_like(store, **manifest):
    """A store whose manifest says otherwise."""
    return SimpleNamespace(
        fingerprint=manifest.pop("fingerprint", store.fingerprint), manifest=store.manifest | manifest
    )


def test_the_name_covers_what_is_run_on_what(place, tmp_path):
    names = {"as it is": name(place)}
    shutil.copytree(place.teachers[1].folder, tmp_path / "Llama-tiny")
    sharpen(tmp_path / "Llama-tiny")
    names["other weights"] = name(place, teachers=[place.teachers[0], open_teacher(tmp_path / "Llama-tiny")])
    names["teachers turned around"] = name(place, teachers=place.teachers[::-1])
    shaped = place.store.manifest["shaped_by"] | {"tokenizer": "0" * 64}
    names["tokenizer"] = name(place, store=store_like(place.store, shaped_by=shaped))
    names["text"] = name(place, store=store_like(place.store, fingerprint="0" * 16))
    students = {
        "fewer windows": {"train_windows": 95, "dev_windows": 32},
        "other dev windows": {"train_windows": 96, "dev_windows": 31},
        "more cuts": {"train_windows": 96, "dev_windows": 32, "offsets": 2},
    }
    for what, settings in students.items():
        names[what] = name(place, windows=select_windows(place.store, StudentSettings("Student-tiny", **settings)))
    rows = dict(place.windows.rows)
    names["another order"] = name(place, windows=Windows(rows | {"train": rows["train"][::-1].copy()}))
    assert len(set(names.values())) == len(names), names


def test_the_name_covers_what_is_kept(place):
    names = {"as it is": name(place)}
    names["layers"] = name(place, losses=[loss(rank=8, layer_map="last")])
    names["components"] = name(place, losses=[loss(rank=9)])
    names["whole states"] = name(place, losses=[loss()])
    names["no states"] = name(place, losses=[loss(beta=0)])
    names["int8"] = name(place, hidden="int8")
    names["dense"] = name(place, form="dense")
    names["sampled"] = name(place, form="sampled")
    names["samples"] = name(place, form="sampled", samples=65)
    names["seed"] = name(place, form="sampled", seed=1)
    names["temperature"] = name(place, form="sampled", losses=[loss(rank=8, temperature=3)])
    assert len(set(names.values())) == len(names), names


def test_the_name_does_not_cover_what_changes_nothing(place, tmp_path):
    assert name(place, seed=1) == name(place)  # only samples are drawn
    assert name(place, samples=7) == name(place)
    assert name(place, losses=[loss(rank=8, temperature=3)]) == name(place)  # exact at every temperature
    assert name(place, losses=[loss(rank=8, alpha=7), loss(rank=4, beta=1)]) == name(place)
    shutil.copytree(place.folder, tmp_path / "moved", ignore=shutil.ignore_patterns("*-float16-*", "*-int8-*"))
    moved = Place.open(tmp_path / "moved")
    assert moved.store.folder != place.store.folder
    assert name(moved) == name(place)
    settings = StudentSettings("Student-tiny", train_windows=96, dev_windows=32, train_fraction=0.9)
    assert name(place, windows=select_windows(place.store, settings)) == name(place)


def test_caches_of_one_base_stand_together(place):
    assert name(place, form="dense").partition("-")[0] == name(place).partition("-")[0]
    assert name(place, teachers=place.teachers[::-1]).partition("-")[0] != name(place).partition("-")[0]


def test_shards_cover_the_windows_once(place):
    windows = Windows({"dev": np.arange(7), "train": np.arange(64)})
    job = CacheJob("", ("", ""), windows, plan(place), "work", rows_per_shard=32)
    assert job.shards() == [("dev", 0), ("train", 0), ("train", 1)]
    assert [job.size(*shard) for shard in job.shards()] == [7, 32, 32]
    assert job.span("train", 1) == slice(32, 64)
    assert sum(job.size(*shard) for shard in job.shards()) == windows.count
    assert job.path("train", 1).name == "train-00001.arrow"


@pytest.mark.parametrize(("window", "form"), [(16, "final_hidden"), (128, "final_hidden"), (512, "dense")])
def test_a_shard_is_about_its_size_in_whole_batches(place, window, form):
    planned = plan(place, form)
    rows = rows_per_shard(planned, window)
    size = rows * window * planned.bytes_per_token()
    assert rows % BATCH_WINDOWS == 0
    assert abs(size - SHARD_BYTES) <= max(0.5 * SHARD_BYTES, BATCH_WINDOWS * window * planned.bytes_per_token())


def test_a_distribution_is_plain_data(place):
    listed = plan(place, "sampled").as_json()["distributions"]
    assert listed == [{"weights": [0.5, 0.5], "temperature": 2.0, "ensemble": "logits"}]
    assert Distribution((0.5, 0.5), 2.0, "logits") in place.need(loss()).distributions
