"""The cache of a search: what its space and arms need, which ranks fit, and when there is none."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import yaml

from palenka_tune.cache import build, job
from palenka_tune.cache.plan import Need, candidates
from palenka_tune.cluster.session import Resources
from palenka_tune.commands import search as command
from palenka_tune.config.artifacts import partial_folder
from palenka_tune.errors import UserError
from palenka_tune.spaces.experiment import StudentSettings
from palenka_tune.spaces.resolve import resolve, restrict_rank
from palenka_tune.spaces.settings import trainable
from palenka_tune.students.teacher_cache import _trained, fit_cache, obtain_cache, search_need
from palenka_tune.students.teachers import teacher_shapes
from palenka_tune.trials.arms import arms_of
from tests.support.small_cache import Place, small_shards
from tests.support.small_place import VOCABULARY, WINDOW

TOKENS = (96 + 32) * WINDOW
# not the last state, which exact logits need in full whatever the rank
LAYERS = {2: 2}
RANKS = {"projection.rank": {"choice": [8, 16, 32, None]}, "projection.layer_map": {"choice": [LAYERS]}}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    return Place.make(tmp_path_factory.mktemp("caching"))


def config(place: Place, parameters: dict, distill: dict | None = None, **sections):
    distill = {"projection": {"layer_map": LAYERS}} | (distill or {})
    tree = {
        "data": {"source": str(place.folder / "data"), "vocabulary": VOCABULARY, "window": WINDOW},
        "student": {"train_windows": 96, "dev_windows": 32},
        "teachers": [str(teacher.folder) for teacher in place.teachers],
        "distill": distill,
        **sections,
        "parameters": parameters,
    }
    path = place.folder / "space.yaml"
    path.write_text(yaml.safe_dump(tree))
    return resolve(str(path))


def fitted(place: Place, configuration, storage, budget: float | None = None):
    """The search that fits into `budget` bytes, and the values of its rank."""
    if budget is not None:
        changed = [("cache.budget_gb", budget / 1e9)]
        path = place.folder / "again.yaml"
        path.write_text(yaml.safe_dump(configuration.tree()))
        configuration = resolve(str(path), assignments=changed)
    storage.mkdir(exist_ok=True)
    found = fit_cache(configuration, place.shapes, place.store, storage)
    ranks = [p for p in found.space.parameters if p.name == "projection.rank"]
    return found, ranks[0] if ranks else None


def size(place: Place, configuration, most: int | None) -> float:
    """Bytes of the exact cache that keeps at most so many components."""
    need = search_need(configuration, place.shapes)
    plans = candidates(need, configuration.experiment.cache, place.shapes, place.store.vocabulary_size, 0)
    (plan,) = [p for p in plans if p.form == "final_hidden" and p.need.layers[0].get(2) == most]
    return plan.bytes_per_token() * TOKENS


# --- what is needed


def test_every_corner_and_the_fixed_setting_of_each_arm_are_covered(place):
    configuration = config(place, RANKS | {"temperature": {"choice": [1, 4]}}, distill={"temperature": 3, "alpha": 0.5})
    need = search_need(configuration, place.shapes)
    assert need.layers == ({2: None}, {2: None})
    assert [d.temperature for d in need.distributions] == [1.0, 4.0, 3.0]  # 3: of the fixed setting
    assert not need.any_temperature
    # the fixed setting of hidden states reads other layers than the searched ones, at its own rank
    fixed = {"projection": {"layer_map": {3: 3}, "rank": 24}}
    assert search_need(config(place, RANKS, distill=fixed), place.shapes).layers == ({2: None, 3: 24}, {2: None, 3: 24})


def test_the_arm_of_logits_alone_needs_them(place):
    configuration = config(place, {"beta": {"uniform": [1, 2]}}, distill={"alpha": 0})
    assert not any(each.distill.alpha for each in trainable(configuration))
    assert any(
        each.distill.alpha for each in trainable(configuration, [arm.constants for arm in arms_of(configuration)])
    )
    assert len(search_need(configuration, place.shapes).distributions) == 1


def test_a_range_of_temperatures_is_any(place):
    need = search_need(config(place, {"temperature": {"uniform": [1, 4]}}), place.shapes)
    assert need.any_temperature
    sampled = config(place, {"temperature": {"uniform": [1, 4]}}, cache={"form": "sampled"})
    with pytest.raises(UserError, match=r"searched over a range; search it by choice, or use cache\.form=final_hidden"):
        fit_cache(sampled, place.shapes, place.store, place.folder)


# --- what fits


def test_everything_stays_where_everything_fits(place, tmp_path, logged):
    configuration = config(place, RANKS)
    found, _ = fitted(place, configuration, tmp_path)
    assert found is configuration
    assert logged == []


def test_ranks_that_do_not_fit_leave_the_space_with_a_line(place, tmp_path, logged):
    configuration = config(place, RANKS)
    found, rank = fitted(place, configuration, tmp_path, size(place, configuration, 16))
    assert rank.choices == (8, 16)
    assert found.space.to_dict()["projection.rank"] == {"choice": [8, 16]}
    (line,) = logged
    assert re.fullmatch(
        r"projection\.rank is searched up to 16: the whole teacher cache takes 2\.1 MB and the budget "
        "holds 16 components of each hidden state",
        line,
    ), line
    need = search_need(found, place.shapes)
    assert need.layers == ({2: 16}, {2: 16})
    assert found.experiment.distill.projection.rank == 16  # of the fixed setting, which was the full width
    assert len(trainable(found)) == 2
    # and then it fits: nothing more is given up
    assert fit_cache(found, place.shapes, place.store, tmp_path) is found
    assert len(logged) == 1


def test_a_range_of_ranks_is_cut(place, tmp_path, logged):
    configuration = config(place, RANKS | {"projection.rank": {"int": [4, 100]}})
    _, rank = fitted(place, configuration, tmp_path, size(place, configuration, 64))
    assert (rank.kind, rank.low, rank.high) == ("int", 4, 64)
    assert "searched up to 64" in logged[0]


def test_conditions_of_a_rank_that_left_go_with_it(place, tmp_path):
    center = {"projection.center": {"choice": [True, False], "when": {"projection.rank": None}}}
    configuration = config(place, RANKS | center)
    found, _ = fitted(place, configuration, tmp_path, size(place, configuration, 32))
    assert "projection.center" not in {p.name for p in found.space.parameters}


def test_no_rank_that_fits_is_refused(place, tmp_path):
    configuration = config(place, RANKS | {"projection.rank": {"choice": [100, None]}})
    with pytest.raises(UserError, match=r"no value of projection\.rank is left, since .*; search ranks up to 64"):
        fitted(place, configuration, tmp_path, size(place, configuration, 64))
    configuration = config(place, RANKS | {"projection.rank": {"int": [70, 100]}})
    with pytest.raises(UserError, match=r"no value of projection\.rank is left"):
        fitted(place, configuration, tmp_path, size(place, configuration, 64))
    configuration = config(place, {"projection.layer_map": {"choice": [{2: 2}]}})
    with pytest.raises(UserError, match=r"rank is null \(all\), but .*; set projection\.rank to 64 or less, or allow"):
        fitted(place, configuration, tmp_path, size(place, configuration, 64))
    with pytest.raises(UserError, match=r"a cache of the teachers .* takes .* and 0\.1 MB may be used"):
        fitted(place, configuration, tmp_path, 1000)


def test_a_range_of_ranks_is_restricted_at_both_ends(place):
    configuration = config(place, {"projection.rank": {"int": [16, 32]}})
    for most, ends in {100: (16, 32), 32: (16, 32), 20: (16, 20)}.items():
        (rank,) = restrict_rank(configuration, most, "so").space.parameters
        assert (rank.low, rank.high) == ends
    for most in (15, 1):
        with pytest.raises(UserError, match=r"no value of projection\.rank is left, since so; search ranks up to"):
            restrict_rank(configuration, most, "so")


def test_a_range_that_shrinks_to_one_rank_is_searched_still(place):
    configuration = config(place, {"projection.rank": {"int": [16, 32]}})
    (rank,) = restrict_rank(configuration, 16, "so").space.parameters
    assert (rank.choices or (rank.low, rank.high)) in ((16,), (16, 16))


# --- the same search again


def obtained(place: Place, configuration, storage):
    with small_shards():
        return obtain_cache(
            configuration.experiment, search_need(configuration, place.shapes), place.teachers, place.store,
            storage, lambda: Resources(((1, 0),), ray=False),
        )  # fmt: skip


def free(monkeypatch, space: float) -> None:
    monkeypatch.setattr(build.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, space))


def test_a_search_whose_cache_filled_the_disk_finds_the_same_space_again(place, tmp_path, monkeypatch):
    configuration = config(place, RANKS)
    free(monkeypatch, 2 * size(place, configuration, None))
    whole, _ = fitted(place, configuration, tmp_path)
    assert whole is configuration
    cache = obtained(place, whole, tmp_path)
    free(monkeypatch, 10)
    assert fitted(place, configuration, tmp_path)[0] is configuration
    assert obtained(place, configuration, tmp_path).folder == cache.folder


def test_a_search_that_was_stopped_while_it_built_keeps_its_space(place, tmp_path, monkeypatch):
    configuration = config(place, RANKS)
    whole = size(place, configuration, None)
    need = search_need(configuration, place.shapes)
    plan = candidates(need, configuration.experiment.cache, place.shapes, place.store.vocabulary_size, 0)[0]
    base = job.base_of(place.store, place.teachers, place.windows)
    work = partial_folder(job.folder_of(tmp_path, base, plan))
    work.mkdir(parents=True)
    (work / "train-00000.arrow").write_bytes(bytes(int(whole * 0.9)))
    free(monkeypatch, 0.2 * whole)
    assert fitted(place, configuration, tmp_path)[0] is configuration
    shutil.rmtree(work)
    with pytest.raises(UserError, match="may be used"):  # without those shards nothing fits
        fitted(place, configuration, tmp_path)


def test_teachers_that_are_not_trained_yet_have_no_cache(place, tmp_path):
    configuration = config(place, RANKS, teachers=["GPT2-tiny", "Llama-tiny"])
    assert _trained(configuration.experiment, place.store, tmp_path) is None
    shapes = teacher_shapes(configuration.experiment, [])
    assert fit_cache(configuration, shapes, place.store, tmp_path) is configuration


# --- none at all


def test_online_teachers_and_no_need_keep_nothing(place, tmp_path):
    def resources():
        pytest.fail("Ray was asked for")

    online = config(place, RANKS, cache={"form": "online"})
    assert fit_cache(online, place.shapes, place.store, tmp_path) is online
    need = search_need(online, place.shapes)
    assert not need.nothing
    common = (place.teachers, place.store, tmp_path, resources)
    assert obtain_cache(online.experiment, need, *common) is None
    assert obtain_cache(config(place, RANKS).experiment, Need(({}, {})), *common) is None
    assert not job.caches_folder(tmp_path).exists()


@pytest.mark.parametrize(("flags", "form"), [(["--teachers-online"], "online"), ([], "auto")])
def test_the_option_for_online_teachers(place, tmp_path, monkeypatch, capsys, flags, form):
    given = []
    config(place, RANKS)
    monkeypatch.setattr("palenka_tune.search.launch.main", lambda configuration, *a, **k: given.append(configuration))
    command.cli([str(place.folder / "space.yaml"), "--storage", str(tmp_path), "--cache-budget", "3", *flags])
    (configuration,) = given
    assert (configuration.experiment.cache.form, configuration.experiment.cache.budget_gb) == (form, 3.0)


def test_windows_of_a_student_are_a_fixed_nested_choice_in_every_cut(place):
    from palenka_tune.students.bench import select_windows

    few = select_windows(place.store, StudentSettings("Student-tiny", train_windows=30, dev_windows=8, offsets=3))
    more = select_windows(place.store, StudentSettings("Student-tiny", train_windows=60, dev_windows=16))
    count = len(place.store.windows("train"))
    first, second, third = few.rows["train"].reshape(3, 30)
    assert (second - first == count).all()
    assert (third - first == 2 * count).all()
    assert set(first) < set(more.rows["train"])
    assert set(few.rows["dev"]) < set(more.rows["dev"])
    assert json.dumps(few.digest()) != json.dumps(more.digest())
