"""Plans: what a set of losses needs, what it costs on disk, what is given up first, and what an old cache can serve."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest

from palenka_tune.cache.plan import Distribution, Need, Plan, answers, candidates, choose, gigabytes, need_of
from palenka_tune.cache.settings import CacheSettings
from palenka_tune.cache.shards import write_shard
from palenka_tune.distill.settings import DistillSettings, ProjectionSettings
from palenka_tune.distill.shapes import ModelShape
from palenka_tune.errors import UserError

STUDENT = ModelShape("student", "llama", 64, 4)
TEACHERS = (ModelShape("a", "gpt2", 256, 8), ModelShape("b", "llama", 48, 4))
V = 500
EQUAL = (0.5, 0.5)


def loss(alpha=1.0, beta=1.0, temperature=2.0, rank=None, layer_map="last", **more) -> DistillSettings:
    return DistillSettings(
        alpha, beta, temperature, projection=ProjectionSettings(rank=rank, layer_map=layer_map), **more
    )


def need(*losses: DistillSettings, **more) -> Need:
    return need_of(losses, STUDENT, TEACHERS, **more)


def plan(form="final_hidden", encoding="float16", layers=({8: None}, {4: 16}), temperatures=(2.0,), **more) -> Plan:
    asked = Need(tuple(layers), tuple(Distribution(EQUAL, t, "logits") for t in temperatures if form))
    return Plan(asked, form, encoding, more.pop("samples", 64), TEACHERS, V, **more)


# --- what losses need


def test_a_term_without_weight_needs_nothing():
    assert need(loss(alpha=0, beta=0)).nothing
    assert need() == Need(({}, {}))
    only_logits = need(loss(beta=0))
    assert not any(only_logits.layers)
    assert only_logits.distributions == (Distribution(EQUAL, 2.0, "logits"),)
    only_states = need(loss(alpha=0))
    assert only_states.distributions == ()
    assert only_states.layers == ({8: None}, {4: None})
    assert not only_states.nothing


def test_ranks_are_united_to_the_largest_and_null_is_the_whole_state():
    assert need(loss(rank=16), loss(rank=32), loss(rank=8)).layers == ({8: 32}, {4: 32})
    for losses in ([loss(rank=16), loss()], [loss(), loss(rank=16)]):
        assert need(*losses).layers == ({8: None}, {4: None})
    assert need(loss(rank=16), loss(beta=0, rank=32)).layers == ({8: 16}, {4: 16})


def test_layers_are_united_and_each_keeps_its_own_rank():
    maps = [[{2: 1}, {1: 1}], [{8: 4, 2: 1}, {4: 4}]]
    found = need(loss(rank=16, layer_map=maps[0]), loss(rank=4, layer_map=maps[1]))
    assert found.layers == ({2: 16, 8: 4}, {1: 16, 4: 4})
    assert list(found.layers[0]) == [2, 8]


def test_distributions_are_listed_once_each():
    found = need(
        loss(temperature=1), loss(temperature=2), loss(temperature=2.0, rank=8), loss(temperature=2, alpha=7.0),
        loss(temperature=2, ensemble="probabilities"), loss(temperature=2, teacher_weights=[3, 1]),
        loss(temperature=4, alpha=0),
    )  # fmt: skip
    assert found.distributions == (
        Distribution(EQUAL, 1.0, "logits"),
        Distribution(EQUAL, 2.0, "logits"),
        Distribution(EQUAL, 2.0, "probabilities"),
        Distribution((0.75, 0.25), 2.0, "logits"),
    )


# --- size


@pytest.mark.parametrize("form", [None, "final_hidden", "sampled", "dense"])
@pytest.mark.parametrize("encoding", ["float16", "int8"])
def test_a_shard_of_the_planned_columns_has_the_planned_size(tmp_path, form, encoding):
    planned = plan(form, encoding, layers=({0: None, 8: None}, {4: 16, 2: None}), temperatures=(1.0, 2.0))
    rows, tokens = 64, 16
    shape = {column.name: (rows, tokens, *([column.width] if column.width else [])) for column in planned.columns}
    written = {column.name: np.zeros(shape[column.name], column.dtype) for column in planned.columns}
    write_shard(tmp_path / "0.arrow", written)
    promised = planned.bytes_per_token() * rows * tokens
    assert promised == sum(array.nbytes for array in written.values())
    assert promised <= (tmp_path / "0.arrow").stat().st_size <= promised + 10_000  # the rest is Arrow's header


def test_bytes_by_hand():
    states = 2 * 256 + 2 * 16
    assert plan(None).bytes_per_token() == states
    assert plan(None, "int8").bytes_per_token() == 256 + 4 + 16 + 4
    assert plan("dense").bytes_per_token() == states + 2 * 2 * V
    assert plan("sampled", temperatures=(1.0, 2.0), samples=10).bytes_per_token() == states + 2 * (2 * 10 + 4)
    assert plan("final_hidden").bytes_per_token() == states + 2 * 48  # teacher a's last state is there already


def test_the_last_full_state_is_kept_once_unless_its_type_differs():
    assert plan().logits_column(0) == "teacher0_state8"
    assert plan().logits_column(1) == "teacher1_last"  # only 16 components of that one are kept
    assert plan(layers=({2: None}, {})).logits_column(0) == "teacher0_last"
    assert plan(encoding="int8").logits_column(0) == "teacher0_last"
    names = [column.name for column in plan(encoding="int8").columns]
    assert names.count("teacher0_last") == names.count("teacher0_state8") == names.count("teacher0_state8_scale") == 1
    assert [column.dtype for column in plan(encoding="int8").columns if column.name == "teacher0_last"] == ["float16"]


# --- what is given up


def ladder(settings: CacheSettings, asked: Need, **more) -> list[tuple[str | None, int | None]]:
    plans = candidates(asked, settings, TEACHERS, V, 0, **more)
    assert all(plan.need.distributions == asked.distributions for plan in plans)
    return [(plan.form, plan.need.layers[0].get(8)) for plan in plans]


def test_auto_gives_up_components_before_exact_logits():
    fewer = [None, 128, 64, 32, 16]
    assert ladder(CacheSettings(), need(loss())) == [
        *(("final_hidden", most) for most in fewer),
        *(("sampled", most) for most in fewer),
    ]
    assert ladder(CacheSettings(), need(loss(rank=40)))[:5] == [("final_hidden", n) for n in (40, 40, 40, 32, 16)]
    assert ladder(CacheSettings(), need(loss(alpha=0))) == [(None, most) for most in fewer]
    assert ladder(CacheSettings(), need(loss(beta=0))) == [("final_hidden", None), ("sampled", None)]
    assert ladder(CacheSettings(), need(loss(beta=0)), linear=False) == [("dense", None), ("sampled", None)]
    assert ladder(CacheSettings(), need(loss(beta=0), any_temperature=True)) == [("final_hidden", None)]


def test_a_state_that_is_narrower_than_the_components_stays_whole():
    kept = [plan.need.layers[1][4] for plan in candidates(need(loss()), CacheSettings(), TEACHERS, V, 0)]
    assert kept[:5] == [None, None, None, 32, 16]


@pytest.mark.parametrize("form", ["final_hidden", "sampled", "dense"])
def test_a_form_that_was_asked_for_is_the_only_one(form):
    assert ladder(CacheSettings(form=form), need(loss())) == [(form, None)]


def test_samples_cannot_serve_a_range_of_temperatures():
    with pytest.raises(
        UserError, match=r"cache\.form is 'sampled'.*searched over a range; search it by choice, or use"
    ):
        candidates(need(loss(), any_temperature=True), CacheSettings(form="sampled"), TEACHERS, V, 0)


def test_samples_serve_no_divergence_but_the_forward_kl():
    others = need(loss(), loss(divergence="reverse_kl"), loss(divergence="jensen_shannon"))
    assert {form for form, _ in ladder(CacheSettings(), others)} == {"final_hidden"}
    assert {form for form, _ in ladder(CacheSettings(), others, linear=False)} == {"dense"}
    with pytest.raises(
        UserError,
        match=r"cache\.form is 'sampled'.*distill\.divergence may be jensen_shannon or reverse_kl; use forward_kl",
    ):
        ladder(CacheSettings(form="sampled"), others)
    for form in ("final_hidden", "dense"):
        assert ladder(CacheSettings(form=form), others) == [(form, None)]
    without_kl = need(loss(), loss(alpha=0, divergence="reverse_kl"))
    assert ("sampled", None) in ladder(CacheSettings(), without_kl)
    assert ladder(CacheSettings(form="sampled"), without_kl) == [("sampled", None)]


def test_the_first_plan_that_fits_is_chosen():
    plans = candidates(need(loss()), CacheSettings(), TEACHERS, V, 0)
    for number, each in enumerate(plans):
        if any(earlier.bytes_per_token() <= each.bytes_per_token() for earlier in plans[:number]):
            continue
        assert choose(plans, 1000, lambda plan: each.bytes_per_token() * 1000) is each  # noqa: B023
        assert choose(plans, 1000, lambda plan: each.bytes_per_token() * 1000 + 1) is each  # noqa: B023
    there = plans[3]
    assert choose(plans, 1000, lambda plan: float("inf") if plan is there else 0) is there


def test_what_does_not_fit_is_refused_with_both_sizes():
    plans = candidates(need(loss()), CacheSettings(samples=8), TEACHERS, V, 0)
    smallest = (2 * 16 + 2 * 16 + 2 * 8 + 4) * 10**7
    with pytest.raises(UserError) as refused:
        choose(plans, 10**7, lambda plan: smallest - 1e6)
    assert re.fullmatch(
        r"a cache of the teachers \(logits sampled, hidden states 1 of teacher 0 \(16 components\), 1 of teacher 1 "
        r"\(16 components\) in float16\) takes 0\.84 GB and 0\.84 GB may be used; raise --cache-budget or free space, "
        "train on fewer windows, search fewer layers and ranks, or use --teachers-online",
        str(refused.value),
    )
    assert choose(plans, 10**7, lambda plan: smallest) == plans[-1]


def test_sizes_are_written_as_people_read_them():
    assert [gigabytes(size) for size in (1, 1.01e6, 99e6, 1e8, 12.345e9)] == [
        "0.1 MB", "1.1 MB", "99.0 MB", "0.10 GB", "12.35 GB",
    ]  # fmt: skip


# --- what an old cache can serve


def serves(have: Plan, want: Plan) -> bool:
    """As it is asked: from what a manifest says."""
    return answers(json.loads(json.dumps(have.as_json())), want)


def test_a_cache_serves_what_it_holds_and_less():
    have = plan(layers=({2: None, 8: 64}, {4: 16}), temperatures=(1.0, 2.0))
    assert serves(have, have)
    assert serves(have, plan(layers=({2: 16}, {4: 8})))
    assert serves(have, plan(layers=({}, {}), temperatures=(7.0,)))  # hidden states give any temperature
    assert serves(have, plan(None, layers=({8: 64}, {})))


@pytest.mark.parametrize("layers", [({8: 65}, {}), ({8: None}, {}), ({3: 4}, {}), ({}, {4: 17}), ({4: 16}, {8: 64})])
def test_fewer_components_or_other_layers_do_not_serve(layers):
    assert not serves(plan(layers=({2: None, 8: 64}, {4: 16})), plan(layers=layers))


def test_another_form_or_encoding_does_not_serve():
    assert not serves(plan("dense"), plan("final_hidden"))
    assert not serves(plan("final_hidden"), plan("sampled"))
    assert not serves(plan(None), plan("final_hidden"))
    assert not serves(plan(encoding="int8"), plan(encoding="float16"))
    assert not serves(plan(encoding="float16"), plan(encoding="int8"))
    none = ({}, {})
    assert serves(plan(encoding="int8", layers=none), plan(encoding="float16", layers=none))


def test_samples_serve_their_own_distributions_number_and_seed():
    have = plan("sampled", temperatures=(1.0, 2.0))
    assert serves(have, plan("sampled", temperatures=(2.0,)))
    assert not serves(have, plan("sampled", temperatures=(2.0, 4.0)))
    assert not serves(have, plan("sampled", samples=65))
    assert not serves(have, plan("sampled", seed=1))
    assert serves(plan("dense", seed=0, samples=1), plan("dense", seed=1, samples=2))
    other = dataclasses.replace(have.need, distributions=(Distribution((0.75, 0.25), 2.0, "logits"),))
    assert not serves(have, dataclasses.replace(have, need=other))
