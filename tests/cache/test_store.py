"""Caches on disk: every kind of damage is found and said, on opening and by verification, with what to do."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from palenka_tune.cache.plan import gigabytes
from palenka_tune.cache.store import CHECKED, TeacherCache
from palenka_tune.config.artifacts import MANIFEST
from palenka_tune.config.files import read_json, write_json
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.models.export import load_model
from palenka_tune.teachers.spec import open_teacher
from tests.support.small_cache import SHARDS, sharpen

REBUILD = "; delete that folder and run the command again, which builds it anew"


@pytest.fixture
def folder(kept, tmp_path) -> Path:
    """A copy of a cache that a test may damage; compared once, as after a build."""
    copy = Path(shutil.copytree(kept("final_hidden", "float16", 16).folder, tmp_path / "cache"))
    TeacherCache.open(copy)
    return copy


def flip(path: Path, *, keep_time: bool = False) -> None:
    """Another byte in the middle of a file, of the same size."""
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns if keep_time else stat.st_mtime_ns + 1_000_000))


def refused(folder: Path, what: str, **how) -> None:
    with pytest.raises(PalenkaError) as error:
        TeacherCache.open(folder, **how)
    assert re.fullmatch(what, str(error.value)), str(error.value)


# --- what is there


def test_an_open_cache_says_what_it_holds(place, kept):
    cache = kept("final_hidden", "float16", 16)
    assert cache.teachers == place.shapes
    assert cache.manifest["windows"] == {"train": 96, "dev": 32}
    assert set(cache.columns["train"]) == set(cache.manifest["columns"])
    assert all(len(column) == 96 for column in cache.columns["train"].values())
    assert cache.describe().startswith(f"96 train, 32 dev windows, {gigabytes(cache.bytes)}, ")
    assert "logits final_hidden" in cache.describe()
    assert "16 components" in cache.describe()
    metrics = cache.metrics()
    assert metrics["cache/bytes"] == cache.bytes
    assert metrics["cache/bytes_per_token"] * 2048 < cache.bytes
    explained = [value for name, value in metrics.items() if name.startswith("cache/explained/")]
    assert len(explained) == sum(len(layers) for layers in cache.manifest["plan"]["layers"])
    assert all(0.5 < share <= 1 for share in explained)
    assert min(explained) < 1
    assert not [name for name in kept().metrics() if "explained" in name]  # whole states


def test_heads_and_statistics_are_the_teachers(place, kept):
    cache = kept()
    for head, teacher in zip(cache.heads(), place.teachers, strict=True):
        weight = load_model(teacher.folder)[0].get_output_embeddings().weight
        assert torch.equal(head.weight, weight.detach())
    online = place.bench().source
    for teacher, layer in ((0, 4), (1, 2)):
        ours, theirs = cache.statistics(teacher, layer), online.statistics(teacher, layer)
        torch.testing.assert_close(ours.mean, theirs.mean)
        torch.testing.assert_close(ours.variances, theirs.variances, rtol=1e-3, atol=1e-4)
    with pytest.raises(PalenkaError, match="has no state 9 of teacher 0; delete that folder"):
        cache.statistics(0, 9)


def test_it_pickles_as_its_folder(kept):
    cache = kept()
    data = pickle.dumps(cache)
    assert len(data) < 1000
    again = pickle.loads(data)
    column, theirs = (each.columns["dev"]["teacher0_state4"] for each in (cache, again))
    assert torch.equal(column.gather(np.arange(32)), theirs.gather(np.arange(32)))


# --- damage


@pytest.mark.parametrize("name", [SHARDS[0], SHARDS[2], "statistics.safetensors", "heads.safetensors"])
def test_a_flipped_byte_is_found(folder, name):
    flip(folder / name)
    damaged = re.escape(f"the teacher cache {folder} is damaged: {name} is not what was written{REBUILD}")
    refused(folder, damaged)
    refused(folder, damaged)  # and again: it was not noted as compared
    refused(folder, damaged, verify=True)


def test_a_flipped_byte_under_the_old_time_is_found_by_verification(folder):
    flip(folder / SHARDS[1], keep_time=True)
    TeacherCache.open(folder)
    damaged = re.escape(f"the teacher cache {folder} is damaged: {SHARDS[1]} is not what was written{REBUILD}")
    refused(folder, damaged, verify=True)
    (folder / CHECKED).unlink()  # as after a copy to another machine
    refused(folder, damaged)


def test_a_touched_file_is_compared_once(folder, monkeypatch):
    from palenka_tune.cache import store

    hashed: list[str] = []
    original = store.file_sha256
    monkeypatch.setattr(store, "file_sha256", lambda path: hashed.append(path.name) or original(path))
    TeacherCache.open(folder)
    assert hashed == []
    os.utime(folder / SHARDS[1])
    TeacherCache.open(folder)
    TeacherCache.open(folder)
    assert hashed == [SHARDS[1]]
    TeacherCache.open(folder, verify=True)
    assert sorted(hashed[1:]) == sorted(read_json(folder / MANIFEST)["files"])


def test_a_damaged_note_of_what_was_compared_is_made_anew(folder):
    (folder / CHECKED).write_text('{"dev')
    TeacherCache.open(folder)
    assert set(read_json(folder / CHECKED)) == set(read_json(folder / MANIFEST)["files"])


def test_a_missing_shard_is_found(folder):
    (folder / SHARDS[2]).unlink()
    for how in ({}, {"verify": True}):
        refused(folder, rf"the teacher cache .* is damaged: .*{SHARDS[2]} is missing or damaged{REBUILD}", **how)


def test_a_truncated_shard_is_found(folder):
    path = folder / SHARDS[2]
    path.write_bytes(path.read_bytes()[:-64])
    refused(folder, rf"the teacher cache .* is damaged: .*{SHARDS[2]} is missing or damaged{REBUILD}")


def test_a_half_written_manifest_is_found(folder):
    text = (folder / MANIFEST).read_text()
    for cut in (0, 1, len(text) // 2, len(text) - 3):
        (folder / MANIFEST).write_text(text[:cut])
        refused(folder, rf"the teacher cache .* is damaged: .*{MANIFEST} is damaged \(.*\){REBUILD}")


def test_a_missing_manifest_is_found(folder, tmp_path):
    (folder / MANIFEST).unlink()
    refused(folder, re.escape(f"the teacher cache {folder} has no {MANIFEST}, so it was never completed{REBUILD}"))
    absent = tmp_path / "absent"
    refused(absent, re.escape(f"the teacher cache {absent} does not exist{REBUILD}"))


def test_a_shard_of_another_cache_is_found(folder, kept):
    """Even where someone has made the manifest agree with it."""
    from palenka_tune.config.files import file_sha256

    shutil.copy(kept().folder / SHARDS[1], folder)
    manifest = read_json(folder / MANIFEST)
    path = folder / SHARDS[1]
    manifest["files"][SHARDS[1]] = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    write_json(folder / MANIFEST, manifest)
    with pytest.raises(PalenkaError, match=r"delete the folder|build the cache again"):
        TeacherCache.open(folder)


def test_another_version_and_other_artifacts_are_refused(folder, place):
    manifest = read_json(folder / MANIFEST)
    write_json(folder / MANIFEST, manifest | {"version": 7})
    refused(folder, rf"the teacher cache .* is of version 7 and not 1{REBUILD}")
    refused(place.store.folder, r".* is not a teacher cache; give a folder of artifacts/caches")


# --- another teacher, tokenizer, text


def test_its_own_teachers_and_text_are_accepted(place, kept):
    kept().check(place.teachers, place.store)


def test_a_teacher_with_other_weights_is_found(place, kept, tmp_path):
    copy = Path(shutil.copytree(place.teachers[0].folder, tmp_path / "GPT2-tiny"))
    kept().check([open_teacher(copy), place.teachers[1]], place.store)  # wherever it lies
    sharpen(copy)
    with pytest.raises(UserError) as error:
        kept().check([open_teacher(copy), place.teachers[1]], place.store)
    digest = "[0-9a-f]{16}"
    assert re.fullmatch(
        rf"the teacher cache .* was made by another teacher \(GPT2-tiny, weights {digest}\) than {copy} "
        rf"\(weights {digest}\); build one: python -m palenka_tune\.cache build",
        str(error.value),
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tokenizer": "0" * 64}, r"was made with another tokenizer \(000000000000\) than the data's \([0-9a-f]{12}\)"),
        ({"store": "0" * 16}, r"was made from other text \(0{16}\) than this data \([0-9a-f]{16}\)"),
    ],
)
def test_another_tokenizer_or_text_is_found(place, folder, change, sentence):
    manifest = json.loads((folder / MANIFEST).read_text())
    write_json(folder / MANIFEST, manifest | {"base": manifest["base"] | change})
    with pytest.raises(UserError, match=rf"{sentence}; build one: python -m palenka_tune\.cache build"):
        TeacherCache.open(folder).check(place.teachers, place.store)


def test_variances_are_those_of_the_statistics(kept):
    cache = kept("final_hidden", "float16", 16)
    for layer in map(int, cache.manifest["plan"]["layers"][0]):
        assert torch.equal(cache.variances(0, layer), cache.statistics(0, layer).variances)
    with pytest.raises(PalenkaError, match=r"has no teacher0_state99\.variances"):
        cache.variances(0, 99)
