"""`python -m palenka_tune.cache`: a build on Ray that a full disk stops, and what verify and info say of caches."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from palenka_tune.cache import job, writer
from palenka_tune.cache.store import TeacherCache
from palenka_tune.commands import cache as command
from palenka_tune.commands import options
from palenka_tune.config.artifacts import MANIFEST, partial_folder
from tests.faults.searches import wait_for
from tests.support.small_cache import Place, contents, shard_times, sharpen, small_shards
from tests.support.small_place import VOCABULARY, WINDOW

pytestmark = pytest.mark.entry

SPACE = {
    "data": {"vocabulary": VOCABULARY, "window": WINDOW},
    "student": {"train_windows": 96, "dev_windows": 32},
    "recipe": {"batch_size": 16, "epochs": 1},
    "cache": {"form": "sampled"},
    "distill": {"projection": {"rank": 16}},
    "parameters": {"temperature": {"choice": [1, 2]}, "projection.rank": {"choice": [8, 16]}},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    place = Place.make(tmp_path_factory.mktemp("cache-command"))
    teachers = [str(teacher.folder) for teacher in place.teachers]
    (place.folder / "space.yaml").write_text(yaml.safe_dump(SPACE | {"teachers": teachers}))
    return place


def run(action: str, storage: Path, *more: str) -> int:
    return options.run(command.cli, [action, *more, "--storage", str(storage)])


def build(place: Place, storage: Path, *more: str) -> int:
    return run("build", storage, str(place.folder / "space.yaml"), *more, "--data", str(place.folder / "data"))


@pytest.fixture
def built(place, tmp_path, capsys) -> tuple[Place, Path]:
    """A place of its own with a cache, in whose storage a test may change anything."""
    folder = tmp_path / "place"
    shutil.copytree(place.folder, folder)
    copied = Place.open(folder)
    teachers = [str(teacher.folder) for teacher in copied.teachers]
    (folder / "space.yaml").write_text(yaml.safe_dump(SPACE | {"teachers": teachers}))
    with small_shards(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "ray_session", no_ray)
        assert build(copied, folder / "runs") == 0
    return copied, Path(capsys.readouterr().out.splitlines()[-1])


class no_ray:  # noqa: N801
    """In place of a session: one core, no process."""

    def __init__(self, address: str | None = None) -> None:
        from palenka_tune.cluster.session import Resources

        self.resources = Resources(((1, 0),), ray=False)

    def __enter__(self):
        return self.resources

    def __exit__(self, *error: object) -> None:
        pass


# --- build


def test_a_build_says_what_it_makes_and_where(built, capsys, monkeypatch):
    place, folder = built
    assert folder.parent == job.caches_folder(place.folder / "runs")
    cache = TeacherCache.open(folder, verify=True)
    assert cache.manifest["windows"]["train"] == 96
    assert [d["temperature"] for d in cache.manifest["plan"]["distributions"]] == [1.0, 2.0]
    assert set(cache.manifest["plan"]["layers"][0].values()) == {16}
    monkeypatch.setattr(command, "ray_session", no_ray)
    before = shard_times(folder)
    assert build(place, place.folder / "runs", "--quiet") == 0
    assert capsys.readouterr().out == f"{folder}\n"  # quiet, and found instead of built
    assert shard_times(folder) == before


def test_what_the_fixed_settings_of_a_search_need_is_kept_too(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "ray_session", no_ray)
    with small_shards():
        assert build(place, tmp_path, "--set", "alpha=0", "--set", "beta=0", "--set", "temperature=3") == 0
    plan = TeacherCache.open(capsys.readouterr().out.splitlines()[-1]).manifest["plan"]
    assert plan["layers"] == [{}, {}]
    assert [d["temperature"] for d in plan["distributions"]] == [3.0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--set", "cache.form=online"], "cache.form is 'online', which keeps nothing; choose auto"),
        (["other.yaml"], "cache build takes one search space, not 2"),
        (["--cache-budget", "-1"], "cache.budget_gb is -1.0; it must be above 0"),
        (["--cache-budget", "0.0001"], r"takes 1\.2 MB and 0\.1 MB may be used; raise --cache-budget"),
        (["--set", "temperature={uniform: [1, 2]}"], "cache.form is 'sampled'.*searched over a range; search it by"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_refused_before_ray_starts(place, tmp_path, capsys, monkeypatch, arguments, sentence):
    def started(address: str | None = None) -> None:
        pytest.fail("Ray was started")

    monkeypatch.setattr(command, "ray_session", started)
    assert build(place, tmp_path / "runs", *arguments) == 2
    error = capsys.readouterr().err
    assert re.search(sentence, error), error
    assert error.count("\n") == 1


# --- verify and info


def test_without_a_cache_both_say_how_to_get_one(tmp_path, capsys):
    for action in ("verify", "info"):
        assert run(action, tmp_path) == 2
        assert "there is no teacher cache in" in (error := capsys.readouterr().err)
        assert "build one: python -m palenka_tune.cache build" in error
    assert run("verify", tmp_path, str(tmp_path / "absent")) == 1
    assert "does not exist; delete that folder" in capsys.readouterr().out


def verified(place: Place, capsys, code: int) -> str:
    assert run("verify", place.folder / "runs") == code
    return capsys.readouterr().out


def test_a_good_cache_is_good(built, capsys):
    place, folder = built
    out = verified(place, capsys, 0)
    assert out.startswith(f"good  {folder.name}: 96 train, 32 dev windows, ")
    assert out.count("\n") == 1
    assert run("verify", place.folder / "elsewhere", str(folder)) == 0  # named


def test_a_storage_folder_that_was_moved_is_good(built, capsys):
    """Its manifest holds the places of the store and of what was trained here as they were."""
    place, cache = built
    moved = place.folder / "elsewhere"
    (place.folder / "runs").rename(moved)
    assert run("verify", moved) == 0
    assert capsys.readouterr().out.startswith(f"good  {cache.name}")


def flip(path: Path) -> None:
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


DAMAGE = {
    "a flipped byte": (lambda f: flip(f / "train-00001.arrow"), "train-00001.arrow is not what was written"),
    "a missing shard": (lambda f: (f / "dev-00000.arrow").unlink(), "dev-00000.arrow is missing or damaged"),
    "half a manifest": (lambda f: (f / MANIFEST).write_text('{"kind": "teach'), f"{MANIFEST} is damaged"),
    "no manifest": (lambda f: (f / MANIFEST).unlink(), f"has no {MANIFEST}, so it was never completed"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_bad_and_says_what_to_do(built, capsys, damage):
    place, folder = built
    do, sentence = DAMAGE[damage]
    do(folder)
    out = verified(place, capsys, 1)
    assert out.startswith(f"BAD   {folder.name}: ")
    assert sentence in out
    assert "delete that folder and run the command again, which builds it anew" in out


def test_one_bad_cache_among_good_ones_makes_it_bad(built, capsys):
    place, folder = built
    other = folder.with_name("other")
    shutil.copytree(folder, other)
    flip(other / "dev-00000.arrow")
    lines = verified(place, capsys, 1).splitlines()
    assert [line[:4] for line in lines] == ["good", "BAD "]


def test_another_teacher_or_tokenizer_is_bad(built, capsys):
    place, _ = built
    sharpen(place.teachers[1].folder)
    assert "was made by another teacher (Llama-tiny, weights" in (out := verified(place, capsys, 1))
    assert "build one: python -m palenka_tune.cache build" in out
    shutil.rmtree(place.teachers[1].folder)
    assert "is not a model" in verified(place, capsys, 1)


def test_info_lists_what_is_kept(built, capsys):
    place, folder = built
    assert run("info", place.folder / "runs") == 0
    first, second, *explained = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{folder.name}: 96 train, 32 dev windows, ")
    assert "logits sampled" in first
    assert re.fullmatch(r"  teachers GPT2-tiny, Llama-tiny; \d+ bytes a token; built in \d+ s", second)
    assert len(explained) == 10
    assert all(re.fullmatch(r"  (GPT2|Llama)-tiny_state\d: \d+\.\d % of the variance", line) for line in explained)
    (folder / MANIFEST).unlink()
    assert run("info", place.folder / "runs") == 0
    assert "was never completed" in capsys.readouterr().out


# --- a full disk


@pytest.fixture
def small_disk(tmp_path):
    """A folder with 3 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small disk can be mounted here (that takes root)")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.ray
@pytest.mark.slow
def test_a_full_disk_ends_the_build_and_the_same_command_goes_on(place, small_disk, tmp_path, capsys, monkeypatch):
    from palenka_tune.cluster.session import ray_session

    filler, measure = small_disk / "filler", writer.measure

    def fill(work: job.CacheJob) -> bool:
        """Someone else takes the disk once the room was checked: about a shard and a half are left."""
        linear = measure(work)
        free = shutil.disk_usage(small_disk).free
        filler.write_bytes(bytes(free - 32 * WINDOW * work.plan.bytes_per_token() * 3 // 2))
        return linear

    monkeypatch.setattr(job, "SHARD_BYTES", 1)
    monkeypatch.setattr(writer, "measure", fill)
    with ray_session(cpus=1):
        assert build(place, small_disk) == 1
        error = capsys.readouterr().err
        (folder,) = job.caches_folder(small_disk).glob(".*.partial")
        assert error.startswith("error: the teacher cache could not be completed (")
        assert "No space left on device" in error
        assert f"1 of 4 shards are kept in {folder}: free space or fix the cause, and run the same command" in error
        assert error.count("\n") == 1
        # what a worker was writing when the build ended goes within moments
        wait_for(lambda: not list(folder.glob(".*")), 60, "the end of what is half written")
        before = shard_times(folder)
        assert len(before) == 1
        filler.unlink()
        monkeypatch.setattr(writer, "measure", measure)
        assert build(place, small_disk) == 0
    out = capsys.readouterr().out
    # a shard that was begun on the full disk may have been written since
    assert re.search("continues: (32|64) of 128 windows are complete", out)
    cache = TeacherCache.open(out.splitlines()[-1], verify=True)
    assert partial_folder(cache.folder) == folder
    assert before.items() <= shard_times(cache.folder).items()
    with small_shards(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "ray_session", no_ray)
        assert build(place, tmp_path / "whole") == 0
    assert contents(TeacherCache.open(capsys.readouterr().out.splitlines()[-1])) == contents(cache)
