"""The ten rows: the poster's values, and what they become at each scale."""

import pytest

from palenka_tune.config.recipe import Recipe
from palenka_tune.distill.layer_maps import POSTER, resolve_layer_map
from palenka_tune.errors import UserError
from palenka_tune.models.presets import get_preset
from palenka_tune.reproduce.rows import ROWS, chosen_rows
from palenka_tune.reproduce.scales import SCALES, get_scale
from palenka_tune.spaces.experiment import TeacherSettings

NAMES = [
    "GPT2-44M",
    "Llama-60M",
    "GPT2-small-97M",
    "GPT2-705M",
    "Llama-360M",
    "DistilledGPT-44M",
    "BabyLlama1-58M",
    "PalenkaLlama1-58M-L0.1-H0.1",
    "PalenkaLlama1-58M-L0.1-H0.3",
    "PalenkaLlama1-58M-L0.1-H0.5",
]
BASELINES, STUDENTS = NAMES[:5], NAMES[5:]


def figures(recipe: Recipe) -> tuple[float, int, float, int]:
    return recipe.lr, recipe.batch_size, recipe.epochs, recipe.warmup_steps


def test_the_rows_are_the_posters_in_its_order() -> None:
    assert list(ROWS) == NAMES
    assert all(name == row.name for name, row in ROWS.items())
    assert [row.kind for row in ROWS.values()] == ["baseline"] * 5 + ["vanilla_kd"] * 2 + ["dskd"] * 3


@pytest.mark.parametrize(("name", "lr"), list(zip(BASELINES, (7e-4, 3e-4, 7e-4, 2.5e-4, 3e-4), strict=True)))
def test_baselines_train_alone_for_ten_epochs(name: str, lr: float) -> None:
    row = ROWS[name]
    assert (row.preset, row.teachers, row.alpha, row.beta) == (name, (), 0, 0)
    assert figures(row.recipe) == (lr, 128, 10, 300)


@pytest.mark.parametrize("name", STUDENTS)
def test_students_share_a_recipe(name: str) -> None:
    row = ROWS[name]
    assert figures(row.recipe) == (2.5e-4, 32, 6, 200)
    assert (row.recipe.weight_decay, row.temperature) == (0.1, 2)


@pytest.mark.parametrize(("name", "epochs"), [("GPT2-44M", 6), ("Llama-60M", 4), ("GPT2-705M", 4), ("Llama-360M", 4)])
def test_a_teacher_is_its_baseline_with_fewer_epochs(name: str, epochs: float) -> None:
    rows = [row for row in ROWS.values() if name in row.teachers]
    assert rows
    for row in rows:
        lr, batch_size, _, warmup = figures(ROWS[name].recipe)
        assert figures(row.teacher_recipes[name]) == (lr, batch_size, epochs, warmup)


@pytest.mark.parametrize(
    ("name", "weights"),
    list(zip(STUDENTS, [(0.5, 0.5, 0), (0.5, 0.5, 0), (1, 0.1, 0.1), (1, 0.1, 0.3), (1, 0.1, 0.5)], strict=True)),
)
def test_weights_of_the_loss(name: str, weights: tuple[float, float, float]) -> None:
    row = ROWS[name]
    assert (row.ce_weight, row.alpha, row.beta) == weights
    teachers = ("GPT2-44M", "Llama-60M") if name == "DistilledGPT-44M" else ("GPT2-705M", "Llama-360M")
    assert row.teachers == teachers
    assert row.preset == ("PalenkaLlama1-58M" if row.kind == "dskd" else name)


def test_published_scores() -> None:
    silent = ["GPT2-44M", "Llama-60M", "GPT2-705M", "Llama-360M"]
    for name, row in ROWS.items():
        scores = [row.published.blimp_supplement, row.published.blimp_filtered, row.published.ewok_filtered]
        assert scores.count(None) == (3 if name in silent else 0)
        assert f"-{row.published.parameters_named // 10**6}M" in name
    best = ROWS["PalenkaLlama1-58M-L0.1-H0.5"].published
    assert (best.blimp_supplement, best.blimp_filtered, best.ewok_filtered) == (
        (0.606, 0.0050),
        (0.694, 0.0016),
        (0.503, 0.0057),
    )
    assert ROWS["DistilledGPT-44M"].published.blimp_filtered == (0.658, 0.0016)


@pytest.mark.parametrize("name", NAMES)
def test_at_the_posters_scale_only_the_micro_batch_is_set(name: str) -> None:
    row, poster = ROWS[name], get_scale("poster")
    for published in (row.recipe, *row.teacher_recipes.values()):
        ours = poster.recipe(published)
        assert figures(ours) == figures(published)
        assert ours.batch_size // ours.accumulate == 32
    assert poster.preset(row.preset).name == row.preset


@pytest.mark.parametrize(
    ("scale", "baseline", "teacher", "student"),
    [
        ("tiny", (2e-3, 16, 1, 38), (2e-3, 16, 0.4, 38), (2e-3, 16, 0.6, 25)),
        ("small", (1e-3, 64, 4, 150), (1e-3, 64, 1.6, 150), (1e-3, 32, 2.4, 100)),
    ],
)
def test_schedules_shrink(scale: str, baseline: tuple, teacher: tuple, student: tuple) -> None:
    at, row = get_scale(scale), ROWS["BabyLlama1-58M"]
    assert figures(at.recipe(ROWS["GPT2-705M"].recipe)) == pytest.approx(baseline)
    assert figures(at.recipe(row.teacher_recipes["GPT2-705M"])) == pytest.approx(teacher)
    assert figures(at.recipe(row.recipe)) == pytest.approx(student)
    assert at.recipe(row.recipe).accumulate == 1


@pytest.mark.parametrize("scale", sorted(SCALES))
@pytest.mark.parametrize("name", NAMES)
def test_every_row_at_every_scale_is_an_experiment(name: str, scale: str) -> None:
    row, at = ROWS[name], SCALES[scale]
    assert at.name == scale
    divisor = get_preset(row.preset).width // at.preset(row.preset).width
    assert divisor == {"tiny": 8, "small": 4, "poster": 1}[scale]
    assert at.recipe(row.recipe).lr == row.recipe.lr * divisor
    assert at.recipe(row.recipe).weight_decay == row.recipe.weight_decay
    for teacher, recipe in row.teacher_recipes.items():
        spec = at.training(teacher, recipe, seed=3)
        assert not TeacherSettings(spec.preset.name, spec.recipe, spec.seed).is_given


@pytest.mark.parametrize("scale", sorted(SCALES))
@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.beta])
def test_layer_maps_keep_their_relative_depths(name: str, scale: str) -> None:
    """No pair is more than a layer off the diagonal, as none published is, and no student's state is used twice."""
    row, at = ROWS[name], SCALES[scale]
    student = at.preset(row.preset).layers
    for number, teacher in enumerate(row.teachers):
        preset = at.preset(teacher)
        found = resolve_layer_map(
            "poster", teacher=number, teacher_depth=preset.layers, student_depth=student, family=preset.family
        )
        if scale == "poster":
            assert found == POSTER[preset.family]
        assert len(set(found.values())) == len(found) == min(len(POSTER[preset.family]), student + 1)
        assert all(abs(target - source * student / preset.layers) <= 1 for source, target in found.items())


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no row 'GPT2-750M' in the poster \(did you mean 'GPT2-705M'\?\)"):
        chosen_rows(["GPT2-750M"])
    with pytest.raises(UserError, match=r"no scale 'smal' of the poster \(did you mean 'small'\?\)"):
        get_scale("smal")


def test_rows_are_chosen_in_the_posters_order() -> None:
    assert [row.name for row in chosen_rows()] == NAMES
    assert [row.name for row in chosen_rows([NAMES[6], NAMES[0], NAMES[6]])] == [NAMES[0], NAMES[6]]
    with pytest.raises(UserError, match="no row was named"):
        chosen_rows([])
    with pytest.raises(UserError, match="no row 'x'"):
        chosen_rows([NAMES[0], "x"])
