"""The growth of cost at toy size: what is timed does the work it names, and the lines end in the report.

The models are the smallest whose teachers have the 64 components that the loss asks for.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import cost_growth
from benchmarks.cost_growth import CACHED, ONLINE, PLAIN, Growth
from benchmarks.place import make_place
from benchmarks.sizes import poster_sizes
from palenka_tune.cache.job import caches_folder
from palenka_tune.cache.source import CachedSource
from palenka_tune.cluster.session import Resources
from tests.support.small_cache import small_shards


def test_trials_are_counted_and_each_kind_has_its_own_teachers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    growth = Growth(make_place(tmp_path, poster_sizes(16), lines=1500), windows=8, steps=1, batch=4)
    seen = []
    monkeypatch.setattr(growth, "trial", lambda source, seed: seen.append((source, seed)))
    monkeypatch.setattr(growth, "cached", lambda: "cache")
    monkeypatch.setattr(growth, "online", lambda: "teachers")
    totals = growth.measure({PLAIN: [1, 3], CACHED: [1, 3], ONLINE: [2]})
    assert {kind: len(found) for kind, found in totals.items()} == {PLAIN: 2, CACHED: 2, ONLINE: 1}
    assert totals[PLAIN] == sorted(totals[PLAIN])
    turns = [[(None, 0), ("cache", 0), ("teachers", 0)], [("teachers", 1), ("cache", 1), (None, 1)]]
    assert seen == [*turns[0], *turns[1], (None, 2), ("cache", 2)]


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Caches are built in this process."""
    monkeypatch.setattr(cost_growth, "ray_session", lambda: contextlib.nullcontext(Resources(((1, 0),), ray=False)))
    with small_shards():
        yield


def test_every_cached_total_has_a_cache_built_anew(tmp_path: Path, no_ray: None) -> None:
    growth = Growth(make_place(tmp_path, poster_sizes(16), lines=1500), windows=8, steps=1, batch=4)
    first = growth.cached()
    assert isinstance(first, CachedSource)
    stamp = (first.cache.folder / "manifest.json").stat().st_mtime_ns
    again = growth.cached()
    assert isinstance(again, CachedSource)
    (kept,) = caches_folder(tmp_path / "storage").glob("[!.]*")
    assert kept == again.cache.folder
    assert (kept / "manifest.json").stat().st_mtime_ns > stamp


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.long
def test_has_a_pulse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "found.json"
    sizes = ["--divisor", "16", "--windows", "8", "--epochs", "1", "--batch", "4"]
    counts = ["--trials", "1", "2", "3", "--online-most", "2", "--rounds", "1"]
    assert cost_growth.main([*sizes, *counts, "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    assert {"cached_slope_vs_plain", "online_slope_vs_plain"} <= set(found["ratios"])
    assert found["details"]["counts"] == {PLAIN: [1, 2, 3], CACHED: [1, 2, 3], ONLINE: [1, 2]}
    assert [len(totals[0]) for totals in found["details"]["seconds"].values()] == [3, 3, 2]
    assert "by the line, not run" in capsys.readouterr().out
