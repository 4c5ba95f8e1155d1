"""How trials share a cluster: what each gets must be on one node."""

from __future__ import annotations

import dataclasses

import pytest

from palenka_tune.cluster.session import Resources
from palenka_tune.errors import PalenkaError
from palenka_tune.search.options import SearchOptions
from palenka_tune.search.tune.placement import Placement, place
from palenka_tune.spaces.resolve import resolve


@pytest.mark.parametrize(
    ("nodes", "concurrent", "gpus", "expected"),
    [
        ([(2, 0)], None, None, Placement(2, 1, 0.0)),
        ([(2, 0)], 1, None, Placement(1, 2, 0.0)),
        ([(2, 0)], 8, None, Placement(2, 1, 0.0)),
        ([(8, 0)] * 4, None, None, Placement(32, 1, 0.0)),
        ([(8, 0)] * 4, 2, None, Placement(2, 8, 0.0)),
        ([(8, 0)] * 4, 8, None, Placement(8, 4, 0.0)),
        ([(64, 0), (8, 1)], None, 0.5, Placement(2, 4, 0.5)),
        ([(16, 4)], None, 0.3, Placement(12, 1, 0.3)),
        ([(0, 0), (4, 0)], None, None, Placement(4, 1, 0.0)),
        ([(64, 1)], None, 0.0, Placement(64, 1, 0.0)),
    ],
)
def test_each_trial_fits_on_a_node(nodes, concurrent, gpus, expected):
    options = SearchOptions(concurrent=concurrent, gpus_per_trial=gpus)
    assert place(resolve("smoke"), options, Resources(tuple(nodes))) == expected


def test_a_cluster_without_a_place_is_refused():
    for nodes, gpus in (([(0, 0)], None), ([(8, 0)], 0.5)):
        with pytest.raises(PalenkaError, match="start workers"):
            place(resolve("smoke"), SearchOptions(gpus_per_trial=gpus), Resources(tuple(nodes)))


@pytest.mark.parametrize(
    ("now", "concurrent", "gpus", "expected"),
    [
        ([(0, 0), (2, 0)], None, None, 2),
        ([(0, 0), (2, 0), (2, 0)], None, None, 4),  # a worker that joined late
        ([(0, 0), (2, 0), (2, 0)], 3, None, 3),
        ([(0, 0)], None, None, 1),  # all workers are gone: one trial waits for the next
        ([(0, 0)], 3, None, 1),
        ([(8, 1), (8, 4), (64, 0)], None, 0.5, 10),
    ],
)
def test_nodes_that_come_and_go_change_how_many_trials_run(now, concurrent, gpus, expected):
    start = [(0, 0), (2, 0)] if gpus is None else [(8, 1)]
    options = SearchOptions(concurrent=concurrent, gpus_per_trial=gpus, address="auto")
    placement = dataclasses.replace(place(resolve("smoke"), options, Resources(tuple(start))), cpus_per_trial=1)
    assert placement.room(Resources(tuple(now))) == expected


def test_a_gpu_is_shared_by_what_its_memory_holds():
    tiny = place(resolve("smoke"), SearchOptions(), Resources(((32, 1),)))
    poster = place(resolve("smoke", options={"scale": "poster"}), SearchOptions(), Resources(((32, 1),)))
    assert tiny.concurrent == 2  # at most
    assert poster.concurrent <= tiny.concurrent
    assert tiny.concurrent * tiny.gpus_per_trial <= 1


GB = 10**9


@pytest.mark.parametrize(
    ("free", "concurrent", "expected"),
    [(64 * GB, None, 16), (4 * GB, None, 4), (4 * GB, 2, 2), (4 * GB, 12, 4), (0, None, 1)],
)
def test_no_more_trials_run_than_the_memory_holds(free, concurrent, expected):
    resources = Resources(((16, 0),))
    placement = place(resolve("smoke"), SearchOptions(concurrent=concurrent), resources, free)
    assert (placement.concurrent, placement.cpus_per_trial) == (expected, 16 // expected)
    assert placement.room(resources) == expected
    limited = expected not in (16, concurrent)
    assert ("of free memory hold no more" in placement.describe()) == limited


def test_trials_on_a_gpu_take_the_memory_of_their_processes():
    options = SearchOptions(gpus_per_trial=0.1)
    assert place(resolve("smoke"), options, Resources(((64, 1),)), 4 * GB).concurrent == 5
