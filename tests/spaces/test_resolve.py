"""A search's configuration: defaults from the scale, overrides, and every refusal before work starts."""

from __future__ import annotations

import dataclasses

import pytest
import yaml

from palenka_tune.config.build import load_yaml
from palenka_tune.errors import UserError
from palenka_tune.runs.run_folder import check_name
from palenka_tune.spaces.resolve import resolve, shipped_spaces


def write(tmp_path, **tree):
    path = tmp_path / "space.yaml"
    tree.setdefault("parameters", {"beta": {"log_uniform": [1, 10]}})
    path.write_text(yaml.safe_dump(tree))
    return str(path)


@pytest.mark.parametrize("space", [path.stem for path in shipped_spaces()])
@pytest.mark.parametrize("scale", ["tiny", "small", "poster"])
def test_every_shipped_space_resolves_at_every_scale(space, scale):
    config = resolve(space, options={"scale": scale})
    assert config.experiment.scale == scale
    assert config.space.parameters


def test_the_command_line_wins_over_the_file_and_the_file_over_the_scale(tmp_path):
    path = write(tmp_path, scale="small", seed=3, recipe={"lr": 0.5}, search={"samples": 7})
    config = resolve(path)
    assert (config.experiment.scale, config.experiment.seed, config.search.samples) == ("small", 3, 7)
    assert config.experiment.recipe.lr == 0.5
    config = resolve(path, options={"scale": "tiny", "search.samples": 2}, assignments=[("lr", 0.25)])
    assert (config.experiment.scale, config.search.samples, config.experiment.recipe.lr) == ("tiny", 2, 0.25)
    assert config.experiment.data.vocabulary == 2048


def test_a_searched_parameter_that_is_set_is_fixed_or_searched_anew():
    config = resolve("dskd", assignments=[("beta", 4), ("alpha", {"uniform": [0, 1]})])
    names = {parameter.name: parameter for parameter in config.space.parameters}
    assert "beta" not in names
    assert config.experiment.distill.beta == 4
    assert (names["alpha"].kind, names["alpha"].high) == ("uniform", 1)


@pytest.mark.parametrize("spelling", ["val_total", "val/total"])
def test_an_objective_of_an_older_file_is_the_same_objective(spelling):
    config = resolve("poster_grid", assignments=[("objective", spelling)])
    assert config.search.objective == "val_total"
    assert config.tree()["search"]["objective"] == "val_total"


def test_a_file_of_an_earlier_version_is_read_and_what_changed_is_said(tmp_path, caplog):
    search = resolve(write(tmp_path, search={"finalists": 0, "rungs": 2, "divergence": 2.0, "samples": 3})).search
    assert (search.seeds, search.rungs, search.divergence_limit, search.samples) == (0, [0.25, 0.5], 2.0, 3)
    said = "in search, finalists: 0 is seeds: 0; divergence is divergence_limit: 2.0; rungs: 2 is rungs: [0.25, 0.5]"
    assert said in caplog.text
    assert resolve(write(tmp_path, search={"finalists": 2, "rungs": 0})).search.seeds == 5
    options = {"search.seeds": 3}
    assert resolve(write(tmp_path, search={"finalists": 0}), options=options).search.seeds == 3


def test_the_student_is_searched_too():
    config = resolve("dskd", assignments=[("student.layers", {"choice": [2, 4]}), ("heads", 2)])
    settings = config.settings_of({"student.layers": 2})
    assert (settings.student.architecture.layers, settings.student.architecture.heads) == (2, 2)
    assert settings.flat()["student.layers"] == 2
    assert {each.student.layers for each in config.corners} == {2, 4}
    assert config.settings_of({}).student.architecture.layers == 4
    with pytest.raises(UserError, match="width 64 must be divisible by heads 3"):
        resolve("dskd", assignments=[("student.heads", {"int": [2, 4]})])


def test_values_are_put_into_the_fixed_settings():
    config = resolve("dskd", assignments=[("alpha", 2.0), ("kind", "mlp"), ("lr", 0.1)])
    settings = config.settings_of({"beta": 5.0, "projection.rank": 8})
    distill, recipe, student = settings
    assert student == config.experiment.student
    assert (distill.alpha, distill.beta, distill.projection.kind, distill.projection.rank) == (2.0, 5.0, "mlp", 8)
    assert recipe.lr == 0.1
    assert settings.flat()["projection.rank"] == 8
    assert settings.flat()["recipe.lr"] == 0.1
    assert config.settings_of({"recipe.lr": 0.2}).recipe == dataclasses.replace(recipe, lr=0.2)


@pytest.mark.parametrize("path", shipped_spaces(), ids=lambda path: path.stem)
def test_a_space_is_written_as_it_was_read(path):
    assert yaml.safe_dump(resolve(path).tree()["parameters"], sort_keys=False) == yaml.safe_dump(
        load_yaml(path)["parameters"], sort_keys=False
    )


def test_conditions_follow_what_is_set():
    def searched(rank):
        space = resolve("projections", assignments=[("rank", rank)]).space
        return {parameter.name: parameter for parameter in space.parameters}

    assert "projection.center" not in searched(64)
    assert searched(None)["projection.center"].when == {}


def test_teachers_by_name_take_the_recipe_of_their_family(tmp_path):
    config = resolve(write(tmp_path, teachers=["GPT2-44M", {"preset": "Llama-tiny", "recipe": {"epochs": 9}}]))
    gpt2, llama = config.experiment.teachers
    scale = resolve("smoke", assignments=[("teachers", ["GPT2-tiny", "Llama-tiny"])]).experiment.teachers
    assert gpt2.recipe == scale[0].recipe
    assert llama.recipe.epochs == 9
    assert llama.recipe.lr == scale[1].recipe.lr


def test_a_written_configuration_resolves_to_itself(tmp_path):
    config = resolve("dskd", options={"seed": 5}, assignments=[("rank", 32)])
    path = tmp_path / "again.yaml"
    path.write_text(yaml.safe_dump(config.tree(), sort_keys=False))
    again = resolve(str(path))
    assert again.tree() == config.tree()


BAD_FILES = [
    ({"paramters": {}}, "unknown key 'paramters' (did you mean 'parameters'?)"),
    ({"search": {"sample": 3}}, "unknown key 'sample' (did you mean 'samples'?)"),
    ({"search": {"sampler": "tpee"}}, "there is no sampler 'tpee' (did you mean 'tpe'?)"),
    ({"search": {"samples": 0}}, "search.samples is 0; it must be from 1"),
    ({"search": {"objective": "val/kl"}}, "objective is 'val_kl'; input should be 'val_ce' or 'val_total'"),
    ({"search": {"objective": "val/total"}}, "search.objective is val_total, which searched weights rescale"),
    ({"search": [1]}, "search is [1]; give a mapping"),
    ({"distill": {"alpha": -1}}, "alpha is -1.0; it must be 0 or more"),
    ({"distill": {"beta": -0.5}}, "beta is -0.5; it must be 0 or more"),
    ({"distill": {"temperature": 0}}, "temperature is 0.0; it must be above 0"),
    ({"distill": {"projection": {"kind": "lineer"}}}, "distill.projection.kind is 'lineer'"),
    ({"distill": {"projection": {"kind": "identity"}}}, "needs equal widths, but the student is 64 wide"),
    ({"distill": {"projection": {"layer_map": {9: 1}}}}, "hidden states 0 to 4 and the student 0 to 4"),
    ({"distill": {"projection": {"rank": 4096}}}, "hidden states are 128 wide"),
    ({"distill": {"teacher_weights": [1, 2, 3]}}, "3 values for 2 teachers"),
    ({"student": {"preset": "Student-tny"}}, "there is no model preset 'Student-tny' (did you mean 'Student-tiny'?)"),
    ({"student": {"train_fraction": 0}}, "above 0 and at most 1"),
    ({"teachers": ["Lama-tiny"]}, "there is no model preset 'Lama-tiny' (did you mean 'Llama-tiny'?)"),
    ({"teachers": []}, "there are no teachers"),
    ({"teachers": "GPT2-tiny"}, "give a list of presets"),
    ({"teachers": ["./not_there"]}, "teacher ./not_there is not a folder"),
    ({"teachers": [{"preset": "GPT2-tiny", "recipe": {"lr": -1}}]}, "lr is -1.0; it must be 0 or more"),
    ({"recipe": {"learning_rate": 1}}, "unknown key 'recipe.learning_rate'"),
    ({"data": {"vocabulary": 10}}, "vocabulary is 10; it must be from 259 to 1,048,576"),
    ({"data": {"window": 1}}, "window is 1; it must be from 2 to 8,192 tokens"),
    ({"scale": "tinny"}, "there is no scale 'tinny' (did you mean 'tiny'?)"),
    ({"seed": -1}, "seed is -1; it must be from 0"),
    ({"search": {"sampler": "grid"}}, "the grid sampler needs plain choices, but beta is a range"),
    ({"parameters": {"beta": {"log_uniform": [10, 1]}}}, "turned around"),
    ({"parameters": {"alpha": {"uniform": [-1, 1]}}}, "alpha is -1.0; it must be 0 or more"),
    ({"parameters": {"kind": {"choice": ["linear", "identity"]}}}, "needs equal widths"),
]


@pytest.mark.parametrize(("tree", "message"), BAD_FILES, ids=[message[:40] for _, message in BAD_FILES])
def test_bad_files_are_refused_in_one_sentence(tmp_path, tree, message):
    with pytest.raises(UserError) as error:
        resolve(write(tmp_path, **tree))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["..", "a/b", "../x", "", ".hidden", "artifacts", "a" * 101, "a b"])
def test_names_that_could_leave_the_storage_folder(name):
    with pytest.raises(UserError, match="--name"):
        check_name(name)


def test_an_unknown_space_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'dskd'"):
        resolve("dksd")
