"""What a search needs of the machines, against what it is known to take."""

from __future__ import annotations

import dataclasses

import pytest

from palenka_tune.cache.plan import candidates
from palenka_tune.data.babytalk.corpus import generate
from palenka_tune.data.prepare import prepare
from palenka_tune.doctor.facts.needs import BYTES_PER_WORD, needs_of, tokens_of
from palenka_tune.search.options import SearchOptions
from palenka_tune.search.tune.placement import trial_memory
from palenka_tune.spaces.resolve import resolve
from palenka_tune.students.bench import select_windows
from palenka_tune.students.teacher_cache import search_need


def test_tokens_are_estimated_from_above(tmp_path):
    lines = ["The old cat sees a dog and a bird .\n", "Where did the small bird go yesterday ?\n"]
    for split, count in (("train", 2000), ("dev", 300)):
        (tmp_path / "corpus" / split).mkdir(parents=True)
        (tmp_path / "corpus" / split / f"a.{split}").write_text("".join(lines * count))
    given = {"data.source": str(tmp_path / "corpus"), "data.vocabulary": 300, "data.window": 16}
    for more in ({}, {"student.train_fraction": 0.3}, {"student.offsets": 4, "student.train_windows": 50}):
        config = resolve("smoke", options=given | more)
        store = prepare(config.experiment.data, tmp_path / "runs").store
        tokens = select_windows(store, config.experiment.student).count * store.window
        estimate = tokens_of(config)
        assert estimate is not None
        assert tokens <= estimate <= 4 * tokens, more


def test_babytalk_is_known_without_being_written():
    text = "".join("\n".join(lines) for lines in generate("dev", words=2000).values())
    words = len(text.split())
    assert 0.75 * BYTES_PER_WORD * words < len(text.encode()) <= BYTES_PER_WORD * words


def test_a_data_set_that_is_not_here_has_no_size_unless_it_is_capped():
    config = resolve("dskd", options={"data.source": "owner/name"}, assignments=[("student.train_windows", None)])
    assert tokens_of(config) is None
    assert needs_of(config, SearchOptions()).cache_unknown
    both = resolve("dskd", options={"data.source": "owner/name", "student.train_windows": 10, "student.dev_windows": 5})
    assert tokens_of(both) == 15 * 64


def test_the_cache_is_the_one_that_the_search_would_choose():
    config = resolve("dskd")
    needs = needs_of(config, SearchOptions())
    shapes = config.experiment.teacher_shapes()
    assert shapes is not None
    plans = candidates(search_need(config, shapes), config.experiment.cache, shapes, 2048, 0)
    tokens = tokens_of(config)
    assert tokens is not None
    assert needs.cache_bytes is not None
    assert needs.cache_bytes[0] == plans[0].bytes_per_token() * tokens
    assert needs.cache_bytes[1] < needs.cache_bytes[0]


def test_teachers_online_need_no_disk_and_more_memory():
    kept = needs_of(resolve("dskd"), SearchOptions())
    online = needs_of(resolve("dskd", options={"cache.form": "online"}), SearchOptions())
    assert online.cache_bytes is None
    assert not online.cache_unknown
    assert online.trial_bytes > kept.trial_bytes == trial_memory(resolve("dskd"))


@pytest.mark.parametrize("accumulate", [1, 4])
def test_memory_is_that_of_a_micro_batch(accumulate):
    config = resolve("smoke", options={"recipe.accumulate": accumulate})
    needs = needs_of(config, SearchOptions())
    assert f"micro-batches of {16 // accumulate} windows" in needs.student
    assert needs.trials == config.search.samples + 3
    assert dataclasses.replace(needs, trials=1) != needs
