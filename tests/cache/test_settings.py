"""Settings of the cache: every bad value is refused with a sentence that names it and what is allowed."""

from __future__ import annotations

import dataclasses
import re

import pytest

from palenka_tune.cache.settings import CacheSettings
from palenka_tune.errors import UserError
from palenka_tune.spaces.resolve import resolve

BAD = [
    ("form", "smpled", "cache.form is 'smpled'; it must be one of auto, final_hidden, sampled, dense, online (did you"),
    ("form", None, "cache.form is 'None'; it must be one of"),
    ("hidden", "float32", "cache.hidden is 'float32'; it must be one of float16, int8"),
    ("samples", 0, "cache.samples is 0; it must be from 1 to 4,096"),
    ("samples", 4097, "cache.samples is 4097; it must be from 1 to 4,096"),
    ("budget_gb", 0, "cache.budget_gb is 0; it must be above 0"),
    ("budget_gb", -3.5, "cache.budget_gb is -3.5; it must be above 0"),
    ("budget_gb", float("nan"), "cache.budget_gb is nan; it must be above 0"),
    ("budget_gb", float("inf"), "cache.budget_gb is inf; it must be above 0"),
]


@pytest.mark.parametrize(("name", "value", "sentence"), BAD)
def test_a_bad_value_is_refused(name, value, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        CacheSettings(**{name: value})


def test_the_ends_of_each_range_are_allowed():
    for good in ({"samples": 1}, {"samples": 4096}, {"budget_gb": 0.001}, {"form": "online"}, {"hidden": "int8"}):
        assert dataclasses.asdict(CacheSettings(**good)) == dataclasses.asdict(CacheSettings()) | good


def test_settings_come_from_set_and_an_unknown_one_is_refused():
    config = resolve("dskd", assignments=[("cache.form", "sampled"), ("search.samples", 3), ("cache.samples", 16)])
    assert (config.experiment.cache.form, config.experiment.cache.samples, config.search.samples) == ("sampled", 16, 3)
    with pytest.raises(UserError, match=r"cache\.fromm.*did you mean 'cache\.form'"):
        resolve("dskd", assignments=[("cache.fromm", "sampled")])
