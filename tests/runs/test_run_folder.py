"""The folder of a search: one writer, one study, what it was asked for, and what is refused with a sentence."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest

from palenka_tune.commands import options, search
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.runs import run_folder
from palenka_tune.runs.resume import Wanted, check_teachers, pin_form, resumed
from palenka_tune.runs.study import STUDY_STORAGE
from palenka_tune.search.launch import default_name
from palenka_tune.spaces.resolve import resolve
from palenka_tune.spaces.serialise import search_yaml, tree
from palenka_tune.storage.mirror import working_folder
from tests.support.s3 import another_node
from tests.support.small_place import VOCABULARY, WINDOW, make_place


def test_a_second_process_is_refused_and_told_who_works_there(tmp_path):
    program = (
        "import sys; from pathlib import Path; from palenka_tune.runs.run_folder import locked\n"
        "with locked(Path(sys.argv[1])): print('locked', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdin=-1, stdout=-1, text=True)
    try:
        assert other.stdout.readline() == "locked\n"
        with (
            pytest.raises(UserError, match=f"is being searched by process {other.pid} on"),
            run_folder.locked(tmp_path),
        ):
            pass
    finally:
        other.kill()  # a dead process holds nothing
        other.communicate()
    with run_folder.locked(tmp_path):
        pass


@pytest.fixture
def begun(tmp_path):
    config = resolve("smoke", assignments=[("beta", 3.0), ("layer_map", {0: 0, 4: 4})])
    text = search_yaml(config, "data-1")
    (tmp_path / "search.yaml").write_text(text)
    kept = json.loads(json.dumps({"asked": tree(config), "yaml": text, "data": "data-1", "minimal_pairs": None}))
    return config, Wanted(**kept), tmp_path


def test_a_resumed_search_is_what_it_was(begun, logged):
    config, wanted, folder = begun
    again, same = resumed(wanted, folder, None, {})
    assert tree(again) == tree(config)
    assert same == wanted
    assert logged == []
    assert resumed(wanted, folder, config, {})[0].search == config.search


def test_a_search_that_an_older_version_began_may_be_asked_for_again(begun):
    """It spelled objectives with a slash, kept parameters as they were written, and had fewer settings."""
    config, wanted, folder = begun
    asked = json.loads(json.dumps(wanted.asked))
    asked["search"]["objective"] = "val/ce"
    asked["parameters"]["rank"] = {**asked["parameters"].pop("projection.rank"), "when": {}}
    del asked["distill"]["ensemble"]
    wanted = dataclasses.replace(wanted, asked=asked, yaml=wanted.yaml.replace("val_ce", "val/ce"))
    (folder / "search.yaml").write_text(wanted.yaml)
    again, _ = resumed(wanted, folder, config, {})
    assert again.search.objective == "val_ce"


@pytest.mark.parametrize("damage", ["missing", "seed: 1\n", "\x00"])
def test_a_damaged_search_yaml_is_put_back(begun, damage, logged):
    config, wanted, folder = begun
    path = folder / "search.yaml"
    if damage == "missing":
        path.unlink()
    else:
        path.write_text(damage)
    assert tree(resumed(wanted, folder, None, {})[0]) == tree(config)
    assert path.read_text() == wanted.yaml
    assert logged == [f"{path} is not what the search was started with, and is put back"]


def test_more_samples_may_be_asked_for_and_are_kept(begun):
    _, wanted, folder = begun
    again, changed = resumed(wanted, folder, None, {"samples": 40})
    assert again.search.samples == 40
    (folder / "search.yaml").write_text(changed.yaml)
    assert resumed(changed, folder, None, {})[0].search.samples == 40
    given = resolve(
        "smoke", options={"search.max_failures": 7}, assignments=[("beta", 3.0), ("layer_map", {0: 0, 4: 4})]
    )
    assert resumed(wanted, folder, given, {"samples": 9})[0].search.samples == 9
    kept = resumed(changed, folder, given, {})[0].search  # not asked for on the command line: as it was
    assert (kept.samples, kept.max_failures) == (40, 7)


def test_a_search_that_goes_on_learns_from_the_same_teachers_and_cache(begun):
    config, _, _ = begun
    study = optuna.create_study()
    teachers = [SimpleNamespace(fingerprint="a"), SimpleNamespace(fingerprint="b")]
    cache = SimpleNamespace(folder=Path("caches/x"), manifest={"plan": {"form": "sampled"}})
    assert pin_form(config, study) == config
    check_teachers(study, teachers, cache)
    check_teachers(study, teachers, cache)
    assert pin_form(config, study).experiment.cache.form == "sampled"
    with pytest.raises(PalenkaError, match="the teacher cache of this search changed"):
        check_teachers(study, teachers, SimpleNamespace(folder=Path("y"), manifest=cache.manifest))
    with pytest.raises(PalenkaError, match="the teachers of this search changed"):
        check_teachers(study, teachers[:1], cache)


def test_another_search_is_refused(begun):
    _, wanted, folder = begun
    given = resolve("smoke", assignments=[("beta", 4.0), ("layer_map", {0: 0, 4: 4})])
    with pytest.raises(UserError, match=r"--resume: distill.beta is 4.0 here, but the search .* was started with 3.0"):
        resumed(wanted, folder, given, {})


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--resume"], "there is no search in"),
        (["--resume", "--name", "none"], "there is no search none in"),
        (["--resume", "--name", "../up"], "cannot be a run's name"),
        (["smoke", "--name", "used"], "add --resume to continue that search"),
        (["--resume", "--name", "used", "--dry-run"], "do not go together"),
        (["--resume", "--name", "used"], "nothing was begun in"),
        (["--resume-or-start"], "needs the --name of the search"),
        (["--resume-or-start", "--name", "../up"], "cannot be a run's name"),
        (["--resume-or-start", "--name", "used", "--dry-run"], "--resume do not go together"),  # it goes on with `used`
        (["smoke", "--study-storage", "postgresql://me:secret@host/db"], "was given with a password"),
        (["smoke", "--set", "search.stall_minutes=0"], "search.stall_minutes is 0"),
        (["smoke", "--set", "search.checkpoint_minutes=-1"], "search.checkpoint_minutes is -1"),
        (["smoke", "--set", "search.abort_after=0"], "search.abort_after is 0"),
    ],
)
def test_mistakes_are_one_sentence_and_end_with_2(tmp_path, capsys, argv, message):
    (tmp_path / "used").mkdir()
    assert options.run(search.cli, [*argv, "--storage", str(tmp_path)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert message in said[0]


def test_resume_or_start_starts_what_was_not_begun(tmp_path, capsys):
    argv = ["smoke", "--resume-or-start", "--name", "new", "--dry-run", "--storage", str(tmp_path)]
    assert options.run(search.cli, argv) == 0
    assert "trials" in capsys.readouterr().out


def test_resume_or_start_goes_on_with_what_was_begun_on_another_node(tmp_path, capsys, monkeypatch):
    url = f"file://{tmp_path}/shared"
    with another_node(tmp_path / "node1"):
        folder = working_folder(url) / "far"
        folder.mkdir(parents=True)
        with run_folder.locked(folder):
            pass
    monkeypatch.setenv("PALENKA_SCRATCH", str(tmp_path / "node2"))
    argv = ["smoke", "--resume-or-start", "--name", "far", "--storage", url, "--dry-run"]
    assert options.run(search.cli, argv) == 2
    assert "--dry-run and --resume do not go together" in capsys.readouterr().err  # so it is to be resumed


def test_a_database_that_cannot_be_opened_leaves_the_name_free(tmp_path, capsys, monkeypatch):
    make_place(tmp_path)
    monkeypatch.setenv(STUDY_STORAGE, f"sqlite:///{tmp_path / 'no' / 'studies.db'}")
    settings = ["--set", f"data.vocabulary={VOCABULARY}", "--set", f"data.window={WINDOW}", "--quiet"]
    argv = ["smoke", "--data", str(tmp_path / "data"), "--storage", str(tmp_path / "runs"), "--name", "mine", *settings]
    assert options.run(search.cli, argv) == 1
    assert "cannot be used: " in capsys.readouterr().err
    assert not (tmp_path / "runs" / "mine").exists()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("dskd", "dskd"),
        ("my space", "my-space"),
        ("пробный", "search"),
        ("été 2", "ete-2"),
        ("-x (copy)?", "x-copy"),
        ("..", "search"),
        ("a" * 300, "a" * 80),
    ],
)
def test_any_file_gives_its_search_a_name(text, name):
    assert run_folder.name_from(text) == name
    config = dataclasses.replace(resolve("smoke"), space_name=text)
    assert run_folder.check_name(default_name(config)).startswith(f"{name}-2")
