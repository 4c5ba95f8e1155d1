"""Shards: what is written comes back mapped and not copied, damage is told, and batches are gathered in any order."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from palenka_tune.cache.shards import ShardedColumn, map_columns, map_shard, write_shard
from palenka_tune.errors import PalenkaError

T, W = 6, 5
DTYPES = ["float16", "float32", "int8", "uint16"]


def numbers(dtype: str, *shape: int, seed: int = 0) -> np.ndarray:
    """Random bits of `dtype` that are all finite numbers."""
    random = np.random.default_rng(seed)
    if dtype.startswith("float"):
        return (random.standard_normal(shape) * 100).astype(dtype)
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def columns(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    wide = {dtype: numbers(dtype, rows, T, W, seed=seed) for dtype in DTYPES}
    return {**wide, "scale": numbers("float32", rows, T, seed=seed + 1)}


@pytest.fixture
def shards(tmp_path: Path) -> tuple[list[Path], dict[str, np.ndarray]]:
    """Five shards of 4, 4, 4, 4 and 3 windows, and the whole they are parts of."""
    parts = [columns(rows, seed=10 * number) for number, rows in enumerate([4, 4, 4, 4, 3])]
    paths = [tmp_path / f"{number:05d}.arrow" for number in range(len(parts))]
    for path, part in zip(paths, parts, strict=True):
        write_shard(path, part)
    return paths, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


# --- one shard


def test_roundtrip_of_every_type(tmp_path: Path) -> None:
    written = columns(7)
    write_shard(tmp_path / "a" / "0.arrow", written)
    read = map_shard(tmp_path / "a" / "0.arrow")
    assert list(read) == list(written)
    for name, array in written.items():
        assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(read[name], array)
    path = tmp_path / "a" / "0.arrow"
    assert [item.name for item in path.parent.iterdir()] == ["0.arrow"]


def test_views_and_other_orders_are_written_as_they_read(tmp_path: Path) -> None:
    array = numbers("float16", T, 8, W).transpose(1, 0, 2)[::2]
    write_shard(tmp_path / "0.arrow", {"x": array})
    assert np.array_equal(map_shard(tmp_path / "0.arrow")["x"], array)
    write_shard(tmp_path / "0.arrow", {"x": array[:0]})  # also: an old shard is replaced
    assert map_shard(tmp_path / "0.arrow")["x"].shape == (0, T, W)


def test_columns_that_no_shard_holds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "0.arrow"
    for bad in (
        {"x": numbers("int8", 3, T, W), "y": numbers("int8", 4, T, W)},
        {"x": np.zeros((3, T, W))},
        {"x": np.zeros((3, T, W), dtype=">f4")},
        {"x": np.zeros(3, dtype=np.float32)},
        {"x": np.zeros((3, 2, T, W), dtype=np.float32)},
        {},
    ):
        with pytest.raises(ValueError, match="need"):
            write_shard(path, bad)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    write_shard(tmp_path / "0.arrow", columns(2))
    before = (tmp_path / "0.arrow").read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_shard(tmp_path / "0.arrow", columns(3))
    assert [item.name for item in tmp_path.iterdir()] == ["0.arrow"]
    assert (tmp_path / "0.arrow").read_bytes() == before


def mapped_spans(path: Path) -> list[tuple[int, int]]:
    """Address ranges (first, end) at which this process maps `path`."""
    if not Path("/proc/self/maps").exists():
        pytest.skip("the system does not list the process' mappings")
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if str(path) in line]
    return [(int(start, 16), int(end, 16)) for start, end in (fields[0].split("-") for fields in lines)]


def test_mapping_copies_nothing_and_holds_no_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "0.arrow"
    write_shard(path, columns(50))
    before = pa.total_allocated_bytes()
    arrays = map_shard(path)
    assert pa.total_allocated_bytes() == before
    spans = mapped_spans(path)
    for array in arrays.values():
        assert not array.flags.writeable
        assert not array.flags.owndata
        address = array.ctypes.data
        assert any(start <= address and address + array.nbytes <= end for start, end in spans)
    open_files = [os.readlink(item) for item in Path("/proc/self/fd").iterdir() if item.exists()]
    assert str(path) not in open_files


def test_an_array_keeps_its_file_mapped(tmp_path: Path) -> None:
    path = tmp_path / "0.arrow"
    written = columns(5)
    write_shard(path, written)
    array = map_shard(path)["scale"]
    path.unlink()
    assert np.array_equal(array, written["scale"])
    assert mapped_spans(path)


def test_damage_names_the_file_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "0.arrow"
    write_shard(path, columns(20))
    content = path.read_bytes()
    torn = [content[:size] for size in (0, 5, 100, len(content) // 2, len(content) - 1)]
    for damaged in [*torn, bytes(len(content)), b"not arrow at all" * 100]:
        path.write_bytes(damaged)
        with pytest.raises(PalenkaError, match=r"0\.arrow is damaged .*; delete the folder .*cache verify") as caught:
            map_shard(path)
        assert str(tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(PalenkaError, match=r"0\.arrow is missing; delete the folder"):
        map_shard(path)


def test_arrow_files_that_are_no_shards_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "0.arrow"
    shape = {b"shape": b"[2, 3]"}
    halves = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(12, np.float16)), 6)
    nulls = pa.array([None, [1.0] * 6], pa.list_(pa.float32(), 6))
    for column, metadata, batches in (
        (pa.array([1, 2]), shape, 1),
        (halves, None, 1),
        (halves, {b"shape": b"[2, 4]"}, 1),
        (halves, shape, 2),
        (halves, shape, 0),
        (pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(12)), 6), shape, 1),
        (nulls, shape, 1),
    ):
        schema = pa.schema([pa.field("x", column.type, metadata=metadata)])
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for _ in range(batches):
                writer.write_batch(pa.record_batch([column], schema=schema))
        with pytest.raises(PalenkaError, match=r"0\.arrow is damaged"):
            map_shard(path)


# --- many shards


@pytest.mark.parametrize("name", [*DTYPES, "scale"])
def test_gather_is_fancy_indexing(shards: tuple[list[Path], dict[str, np.ndarray]], name: str) -> None:
    paths, whole = shards
    column = map_columns(paths, [name], 4)[name]
    assert (len(column), column.shape) == (19, whole[name].shape)
    random = np.random.default_rng(0)
    orders = [random.integers(0, 19, size) for size in (1, 2, 16, 64)]
    for index in [*orders, np.arange(19), np.arange(18, -1, -1), np.array([5, 5, 4, 7]), np.array([], dtype=np.int64)]:
        gathered = column.gather(index)
        assert gathered.dtype == getattr(torch, whole[name].dtype.name)
        assert np.array_equal(gathered.numpy(), whole[name][index])
        assert torch.equal(column.gather(torch.from_numpy(index)), gathered)


def test_one_shard_and_uint16_beyond_int16(tmp_path: Path) -> None:
    ids = np.array([[[0, 65535], [40000, 1]], [[2, 3], [4, 5]]], dtype=np.uint16)
    write_shard(tmp_path / "0.arrow", {"ids": ids})
    column = map_columns([tmp_path / "0.arrow"], ["ids"], 100)["ids"]
    gathered = column.gather(np.array([1, 0, 0]))
    assert gathered.dtype == torch.uint16
    assert gathered.long().tolist() == ids[[1, 0, 0]].tolist()


def test_gathered_rows_outlive_and_do_not_touch_the_shards(shards: tuple[list[Path], dict[str, np.ndarray]]) -> None:
    paths, whole = shards
    column = map_columns(paths, ["float32"], 4)["float32"]
    column.gather(np.array([3, 9])).zero_()
    assert np.array_equal(column.gather(np.array([3, 9])).numpy(), whole["float32"][[3, 9]])


def test_threads_gather_at_once(shards: tuple[list[Path], dict[str, np.ndarray]]) -> None:
    paths, whole = shards
    column = map_columns(paths, ["float16"], 4)["float16"]
    wrong: list[int] = []

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(50):
            index = random.integers(0, 19, 16)
            if not np.array_equal(column.gather(index).numpy(), whole["float16"][index]):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_indices_outside_are_refused(shards: tuple[list[Path], dict[str, np.ndarray]]) -> None:
    column = map_columns(shards[0], ["scale"], 4)["scale"]
    for index in ([0, 19], [-1, 3]):
        with pytest.raises(IndexError, match="in a column of 19 windows"):
            column.gather(np.array(index))


def test_a_column_that_no_shard_has(shards: tuple[list[Path], dict[str, np.ndarray]]) -> None:
    with pytest.raises(PalenkaError, match=r"00000\.arrow holds no column 'scales' .did you mean 'scale'"):
        map_columns(shards[0], ["scales"], 4)


def test_shards_that_do_not_belong_together(shards: tuple[list[Path], dict[str, np.ndarray]]) -> None:
    paths, _ = shards
    missing = [paths[0], *paths[3:], paths[1]]  # the short one is not last
    with pytest.raises(PalenkaError, match=r"00004\.arrow does not belong here .shard 2 holds float32 \(3, 6\)"):
        map_columns(missing, ["scale"], 4)
    write_shard(paths[2], {"scale": numbers("float32", 4, T + 1)})
    with pytest.raises(PalenkaError, match=r"00002\.arrow does not belong here"):
        map_columns(paths, ["scale"], 4)
    with pytest.raises(PalenkaError, match=r"00002\.arrow holds no column 'int8'"):
        map_columns(paths, ["int8"], 4)
    with pytest.raises(ValueError, match="shard 0 holds"):
        ShardedColumn([numbers("int8", 5, T), numbers("int8", 5, T)], 4)
    with pytest.raises(ValueError, match="at least one shard"):
        ShardedColumn([], 4)
