"""The dry run: counts of the poster, what is shared, and the shape of its JSON."""

import io
import json

import pytest
from rich.console import Console

from palenka_tune.errors import UserError
from palenka_tune.models.presets import get_preset
from palenka_tune.reproduce.cost import forward_flops, training_flops
from palenka_tune.reproduce.dry_run import dry_run, table
from palenka_tune.reproduce.rows import ROWS
from palenka_tune.reproduce.scales import SCALES

MILLIONS = [26.7, 38.7, 97.5, 704.9, 360.0, 26.7, 58.3, 58.3, 58.3, 58.3]
POSTER = dry_run("poster")
ENTRY = {
    "name",
    "kind",
    "preset",
    "architecture",
    "parameters",
    "epochs",
    "steps",
    "tokens",
    "flops",
    "gpu_memory_gb",
    "hours",
}


def by_name(entries: list[dict]) -> dict[str, dict]:
    assert len({entry["name"] for entry in entries}) == len(entries)
    return {entry["name"]: entry for entry in entries}


def test_the_poster_has_its_names_and_parameters() -> None:
    assert [row["name"] for row in POSTER["rows"]] == list(ROWS)
    assert [round(row["parameters"] / 1e6, 1) for row in POSTER["rows"]] == MILLIONS
    assert [row["architecture"] for row in POSTER["rows"]] == [
        get_preset(row.preset).architecture for row in ROWS.values()
    ]


@pytest.mark.parametrize("scale", sorted(SCALES))
def test_the_shape_of_the_json(scale: str) -> None:
    plan = dry_run(scale)
    assert json.loads(json.dumps(plan)) == plan
    assert set(plan) == {"scale", "vocabulary", "window", "data", "rate", "rows", "shared", "total"}
    assert len(plan["rows"]) == 10
    assert all(set(row) == ENTRY | {"parameters_named", "flops_parts", "needs"} for row in plan["rows"])
    assert all(set(entry) == ENTRY | {"used_by"} for entry in plan["shared"])
    everything = [*plan["rows"], *plan["shared"]]
    assert all(entry[figure] > 0 for entry in everything for figure in ("tokens", "flops", "hours", "gpu_memory_gb"))
    assert plan["total"]["flops"] == sum(entry["flops"] for entry in everything)
    assert plan["total"]["hours"] == pytest.approx(sum(entry["hours"] for entry in everything))


def test_teachers_and_caches_are_made_once() -> None:
    shared, rows = by_name(POSTER["shared"]), by_name(POSTER["rows"])
    assert [entry["kind"] for entry in shared.values()] == ["teacher"] * 4 + ["cache"] * 2
    for name, row in rows.items():
        assert row["needs"] == [key for key, entry in shared.items() if name in entry["used_by"]]
        assert len(row["needs"]) == (0 if row["kind"] == "baseline" else 3)
    assert shared["teacher GPT2-705M"]["used_by"] == list(ROWS)[6:]
    assert shared["teacher GPT2-705M"]["epochs"] == 4
    assert rows["GPT2-705M"]["epochs"] == 10


def test_rows_bring_only_what_they_need() -> None:
    assert dry_run("tiny", rows=["GPT2-44M", "Llama-360M"])["shared"] == []
    plan = dry_run("tiny", rows=["DistilledGPT-44M"])
    assert [row["name"] for row in plan["rows"]] == ["DistilledGPT-44M"]
    assert [entry["preset"] for entry in plan["shared"]] == [
        "GPT2-44M@tiny",
        "Llama-60M@tiny",
        "GPT2-44M@tiny + Llama-60M@tiny",
    ]
    with pytest.raises(UserError, match="did you mean 'GPT2-44M'"):
        dry_run("tiny", rows=["GPT-44M"])


def test_operations_follow_from_tokens_and_epochs() -> None:
    corpus = POSTER["data"]["tokens"]
    rows, shared = by_name(POSTER["rows"]), by_name(POSTER["shared"])
    for name, epochs in (("Llama-360M", 10), ("BabyLlama1-58M", 6)):
        row = rows[name]
        assert row["tokens"] == epochs * corpus
        assert row["flops_parts"]["model"] == epochs * corpus * training_flops(get_preset(name), 16_000, 128)
        assert row["flops"] == sum(row["flops_parts"].values())
    added = {name: {part for part, flops in row["flops_parts"].items() if flops} for name, row in rows.items()}
    assert added["GPT2-705M"] == {"model"}
    assert added["BabyLlama1-58M"] == {"model", "teacher_heads"}
    assert added["PalenkaLlama1-58M-L0.1-H0.3"] == {"model", "teacher_heads", "projections"}
    cache = shared["cache of GPT2-705M + Llama-360M"]
    both = sum(forward_flops(get_preset(name), 16_000, 128) for name in ("GPT2-705M", "Llama-360M"))
    assert (cache["tokens"], cache["flops"]) == (corpus, corpus * both)
    # 6 N D alone, with N of all parameters: the same to the embeddings, which are looked up, and attention
    assert rows["GPT2-705M"]["flops"] == pytest.approx(6 * 704.9e6 * 10 * corpus, rel=0.03)


def test_hours_follow_the_speed() -> None:
    slow, fast = dry_run("poster", tflops=1.0), dry_run("poster", tflops=100.0)
    assert slow["total"]["hours"] == pytest.approx(100 * fast["total"]["hours"])
    assert slow["total"]["hours"] == pytest.approx(slow["total"]["flops"] / 3.6e15)


def test_the_table_shows_every_entry() -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(table(POSTER))
    shown = console.export_text()
    for entry in [*POSTER["rows"], *POSTER["shared"]]:
        assert entry["name"] in shown
    for millions in MILLIONS:
        assert f" {millions} M " in shown
    assert "assumed, not measured" in shown
    assert "no data was given" in shown
