"""Two small teachers, opened once; the caches of them that tests only read."""

from __future__ import annotations

import functools

import pytest

from palenka_tune.cache.store import TeacherCache
from tests.support.small_cache import Place, loss


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Place:
    return Place.make(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def kept(place):
    """`kept(form, hidden, rank)`: a cache of its own, for a loss of that rank, that no test changes."""

    @functools.cache
    def cached(form: str = "final_hidden", hidden: str = "float16", rank: int | None = None) -> TeacherCache:
        storage = place.folder / f"{form}-{hidden}-{rank}"
        return place.cache(storage, loss(rank=rank), form=form, hidden=hidden)

    return cached
