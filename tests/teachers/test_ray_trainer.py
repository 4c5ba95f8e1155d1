import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from palenka_tune.cluster.session import Resources, ray_session
from palenka_tune.config.artifacts import open_artifact
from palenka_tune.config.recipe import Recipe
from palenka_tune.data.prepare import PreparedData
from palenka_tune.errors import PalenkaError, UserError
from palenka_tune.teachers.ray_trainer import Plan, fitted, plan, train_teachers
from palenka_tune.teachers.spec import TeacherSpec, teacher_folder

from .conftest import GPT2, LLAMA, RECIPE, train_here

FOUR = Recipe(batch_size=32, accumulate=8)


@pytest.mark.parametrize(
    ("recipes", "cpus", "gpus", "workers", "use_gpu", "expected"),
    [
        ([RECIPE], 1, 0, None, False, Plan(1, 1, 1)),
        ([RECIPE], 2, 0, None, False, Plan(1, 2, 1)),
        ([RECIPE] * 2, 2, 0, None, False, Plan(2, 1, 1)),
        ([RECIPE] * 2, 1, 0, None, False, Plan(1, 1, 1)),
        ([RECIPE] * 3, 2, 0, None, False, Plan(2, 1, 1)),
        ([RECIPE] * 2, 2, 0, 2, False, Plan(1, 2, 1)),
        ([RECIPE] * 2, 32, 0, None, False, Plan(2, 4, 4)),
        ([FOUR], 64, 0, 3, False, Plan(1, 3, 21)),
        ([RECIPE] * 2, 16, 8, None, True, Plan(1, 8, 2)),
        ([FOUR] * 2, 16, 8, None, True, Plan(2, 4, 2)),
        ([RECIPE] * 2, 16, 4, 2, True, Plan(2, 2, 4)),
        ([RECIPE], 1, 1, None, True, Plan(1, 1, 1)),
    ],
)
def test_teachers_share_the_cluster(
    recipes: list[Recipe], cpus: int, gpus: int, workers: int | None, use_gpu: bool, expected: Plan
) -> None:
    shared = plan(recipes, cpus, gpus, workers, use_gpu)
    assert shared == expected
    assert shared.at_once * shared.workers * shared.cpus_per_worker <= cpus


@pytest.mark.parametrize(
    ("nodes", "wanted", "use_gpu", "cores"),
    [
        ([(0, 0), (2, 0), (2, 0)], Plan(1, 2, 2), False, 2),
        ([(5, 0)] * 3, Plan(1, 4, 3), False, 2),  # of 3 cores each, the fourth worker would wait for ever
        ([(5, 0)] * 3, Plan(2, 4, 1), False, 1),
        ([(64, 0), (8, 4)], Plan(1, 4, 18), True, 2),  # the cores of a node without a GPU serve no GPU
    ],
)
def test_each_worker_fits_on_a_node(nodes: list[tuple[int, int]], wanted: Plan, use_gpu: bool, cores: int) -> None:
    assert fitted(wanted, Resources(tuple(nodes)), use_gpu) == replace(wanted, cpus_per_worker=cores)


@pytest.mark.parametrize(
    ("workers", "use_gpu", "message"),
    [
        (0, False, "--workers is 0; it must be 1 or more"),
        (3, False, "--workers is 3, but there are 2 CPU cores; give 2 or less"),
        (2, True, "--workers is 2, but there are 1 GPUs"),
    ],
)
def test_workers_that_are_not_there_are_refused(workers: int, use_gpu: bool, message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan([RECIPE], 2, 1, workers, use_gpu)
    with pytest.raises(UserError, match=r"a micro-batch .* has 4 windows; give 4 or less"):
        plan([FOUR], 64, 0, 5, False)


def test_an_artifact_is_complete_and_used_again_without_ray(data: PreparedData, tmp_path: Path) -> None:
    specs = [TeacherSpec(LLAMA, RECIPE, 0), TeacherSpec(GPT2, RECIPE, 1)]
    folders = [train_here(spec, data, tmp_path) for spec in specs]
    manifest = open_artifact(folders[0], verify=True)
    assert [epoch["epoch"] for epoch in manifest["epochs"]] == [1, 2]
    assert manifest["val_ce"] == manifest["epochs"][manifest["best_epoch"] - 1]["val_ce"]
    assert (manifest["preset"]["name"], manifest["recipe"]["lr"], manifest["seed"]) == ("Mini-Llama", RECIPE.lr, 0)
    assert {path.name for path in folders[0].parent.glob(".*.work")} == set()
    AutoTokenizer.from_pretrained(folders[0])
    assert AutoModelForCausalLM.from_pretrained(folders[0]).num_parameters() == manifest["parameters"]
    # No Ray session is open here, so that training anything would fail.
    teachers = train_teachers(specs, data, tmp_path)
    assert [teacher.name for teacher in teachers] == ["Mini-Llama", "Mini-GPT2, seed 1"]
    assert teachers[0].val_ce == manifest["val_ce"]
    assert f"dev CE {manifest['val_ce']:.4f}" in teachers[0].describe()
    assert teachers[0].fingerprint == folders[0].name.rsplit("-", 1)[1]


def test_a_failure_of_an_earlier_command_is_forgotten(data: PreparedData, tmp_path: Path) -> None:
    spec = TeacherSpec(GPT2, RECIPE, 0)
    folder = teacher_folder(tmp_path, spec, data.fingerprint, None)
    work = folder.parent / f".{folder.name}.work"
    work.mkdir(parents=True)
    (work / "failed.json").write_text('{"reason": "the GPU was too small"}')
    assert train_here(spec, data, tmp_path) == folder
    open_artifact(folder)


@pytest.fixture(scope="module")
def session() -> Iterator[None]:
    with ray_session(cpus=2):
        yield


def worker_pids() -> list[int]:
    """Training workers of this test's Ray session: Ray Train starts them in a folder of the session."""
    import ray

    name = ray.get_runtime_context().get_session_name()
    pids = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            folder = os.readlink(process / "cwd")
            if name in folder and "/artifacts/" in folder:
                pids.append(int(process.name))
    return pids


@pytest.mark.ray
@pytest.mark.slow
def test_neither_workers_nor_their_death_change_the_result(
    session: None, data: PreparedData, tmp_path: Path, capfd: pytest.CaptureFixture[str], logged
) -> None:
    """20 steps with two workers and with one; beside it, a longer training whose worker is killed."""
    short = TeacherSpec(LLAMA, replace(RECIPE, epochs=20 * RECIPE.batch_size / len(data.store.windows("train"))), 0)
    long = TeacherSpec(GPT2, replace(RECIPE, epochs=12), 0)
    [two] = train_teachers([short], data, tmp_path / "two", workers=2)
    printed = capfd.readouterr().out.splitlines()
    assert [line for line in printed if "(raylet)" not in line] == []  # nothing of Ray Train's own
    killed: list[int] = []
    epochs: dict[str, list[int]] = {}

    def kill_once(key: str, metrics: dict[str, float], tokens: int) -> None:
        if "val_ce" in metrics:
            epochs.setdefault(key, []).append(tokens)
        if len(epochs.get(f"Mini-GPT2-{key.rsplit('-', 1)[1]}", [])) > 2 and not killed:
            killed.extend(worker_pids())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    one, survivor = train_teachers([short, long], data, tmp_path / "one", on_metrics=kill_once)
    assert two.val_ce == pytest.approx(one.val_ce, abs=1e-3)
    assert two.tokens == one.tokens == 20 * RECIPE.batch_size * data.store.window
    assert killed
    undisturbed = open_artifact(train_here(long, data, tmp_path / "here"))
    assert survivor.val_ce == pytest.approx(undisturbed["val_ce"], abs=1e-5)
    assert len(set(epochs[survivor.folder.name])) == 12  # metrics of every epoch came through
    assert any("epoch 12 of 12 done" in line for line in logged)


@pytest.mark.ray
@pytest.mark.slow
def test_a_loss_that_diverges_ends_in_one_sentence(session: None, data: PreparedData, tmp_path: Path) -> None:
    spec = TeacherSpec(GPT2, replace(RECIPE, lr=1e30, warmup_steps=0), 0)
    with pytest.raises(
        PalenkaError, match=r"^teacher Mini-GPT2: the training loss became nan within steps \d+ to \d+$"
    ):
        train_teachers([spec], data, tmp_path, workers=1)
