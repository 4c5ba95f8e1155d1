"""`reproduce poster --dry-run`: what each row would train, and what that takes, before anything is trained.

Models are built on the meta device only, for their true parameter counts. Teachers and their caches are made once for
all rows that use them, so they stand in a list of their own with the rows that wait for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Column, Table

from palenka_tune.cache.job import BATCH_WINDOWS
from palenka_tune.config.recipe import Recipe
from palenka_tune.models.memory import inference_memory, training_memory
from palenka_tune.models.presets import FAMILIES, ModelPreset, get_preset
from palenka_tune.models.scales import parameter_count
from palenka_tune.reproduce import cost
from palenka_tune.reproduce.rows import Row, chosen_rows
from palenka_tune.reproduce.scales import ReproduceScale, get_scale

Entry = dict[str, Any]


def dry_run(
    scale: str = "tiny", data: str | None = None, rows: Sequence[str] | None = None, tflops: float | None = None
) -> dict[str, Any]:
    """The plan of `rows` (None: all ten) on `data` (None: the poster's 10 M words), as JSON has it.

    `rows` is a list of `name, kind, preset, architecture, parameters, parameters_named, epochs, steps, tokens, flops,
    flops_parts, gpu_memory_gb, hours, needs`; `shared` has the same of the teachers and caches that they need, without
    `parameters_named` and `flops_parts` and with `used_by`. `tokens` are those that go through the model in training
    (a cache: once through its teachers), memory is in GB of 10^9 bytes, `hours` follow from `rate`.

    Raises:
        UserError: for an unknown scale or row, a folder that is no corpus, or a speed that is not positive.
    """
    chosen, at = chosen_rows(rows), get_scale(scale)
    speed, size = cost.rate(at, tflops), cost.data_size(data, at)
    plan = _Plan(at, size.tokens, speed)
    planned, shared = [plan.row(row) for row in chosen], plan.shared(chosen)
    flops = sum(entry["flops"] for entry in [*planned, *shared])
    return {
        "scale": at.name,
        "vocabulary": at.vocabulary,
        "window": at.window,
        "data": asdict(size),
        "rate": asdict(speed),
        "rows": planned,
        "shared": shared,
        "total": {"flops": flops, "hours": speed.hours(flops)},
    }


@dataclass(frozen=True)
class _Plan:
    """The entries of a plan on a corpus of `tokens`."""

    scale: ReproduceScale
    tokens: int
    rate: cost.Rate

    @property
    def sizes(self) -> dict[str, Any]:
        return {"vocabulary": self.scale.vocabulary, "window": self.scale.window}

    def row(self, row: Row) -> Entry:
        preset, teachers = self.scale.preset(row.preset), [self.scale.preset(name) for name in row.teachers]
        per_token = {
            "model": cost.training_flops(preset, **self.sizes),
            "teacher_heads": cost.head_flops(teachers, self.scale.vocabulary) if row.alpha else 0,
            "projections": cost.projection_flops(preset, teachers) if row.beta else 0,
        }
        entry = self._training(row.name, row.kind, [preset, *teachers], row.recipe, sum(per_token.values()))
        return entry | {
            "parameters_named": row.published.parameters_named,
            "flops_parts": {part: entry["tokens"] * flops for part, flops in per_token.items()},
            "needs": [*(f"teacher {name}" for name in row.teachers), *([_cache(row.teachers)] if teachers else [])],
        }

    def shared(self, rows: Sequence[Row]) -> list[Entry]:
        """Teachers, then caches, each once, in the order in which rows first need them."""
        entries = []
        for name, recipe in {name: recipe for row in rows for name, recipe in row.teacher_recipes.items()}.items():
            preset = self.scale.preset(name)
            flops = cost.training_flops(preset, **self.sizes)
            entry = self._training(f"teacher {name}", "teacher", [preset], recipe, flops)
            entries.append(entry | {"used_by": [row.name for row in rows if name in row.teachers]})
        for names in dict.fromkeys(row.teachers for row in rows if row.teachers):
            presets = [self.scale.preset(name) for name in names]
            flops = sum(cost.forward_flops(preset, **self.sizes) for preset in presets)
            memory = inference_memory(presets, **self.sizes, micro_batch=BATCH_WINDOWS)
            entry = self._entry(_cache(names), "cache", presets, memory, flops, epochs=1.0, tokens=self.tokens, steps=0)
            entries.append(entry | {"used_by": [row.name for row in rows if row.teachers == names]})
        return entries

    def _training(self, name: str, kind: str, models: Sequence[ModelPreset], recipe: Recipe, flops: int) -> Entry:
        """The entry of a training of the first of `models`, of which the others are teachers, by the poster's `recipe`
        with `flops` operations a token."""
        recipe = self.scale.recipe(recipe)
        tokens = round(recipe.epochs * self.tokens)
        steps = max(1, round(tokens / (recipe.batch_size * self.scale.window)))
        micro_batch = recipe.batch_size // recipe.accumulate
        memory = training_memory(models[0], models[1:], **self.sizes, micro_batch=micro_batch)
        return self._entry(name, kind, models[:1], memory, flops, epochs=recipe.epochs, tokens=tokens, steps=steps)

    def _entry(
        self, name: str, kind: str, presets: Sequence[ModelPreset], memory: int, flops: int, **figures: Any
    ) -> Entry:
        """The keys that rows, teachers and caches have in common; `flops` are operations a token."""
        total = figures["tokens"] * flops
        return {
            "name": name,
            "kind": kind,
            "preset": " + ".join(preset.name for preset in presets),
            "architecture": " + ".join(preset.architecture for preset in presets),
            "parameters": sum(parameter_count(preset, self.scale.vocabulary, self.scale.window) for preset in presets),
            **figures,
            "flops": total,
            "gpu_memory_gb": memory / 1e9,
            "hours": self.rate.hours(total),
        }


def _cache(teachers: Sequence[str]) -> str:
    """What a plan calls the cache of some teachers."""
    return f"cache of {' + '.join(teachers)}"


def table(plan: Entry) -> Table:
    """The plan as it is printed: the rows, what they share, and below what the figures rest on."""
    data, total = plan["data"], plan["total"]
    numbers = ("parameters", "epochs", "tokens", "FLOP", "time", "GPU GB")
    shown = Table(
        Column("row", no_wrap=True),
        "kind",
        "width × layers",
        *(Column(name, justify="right", no_wrap=True) for name in numbers),
        title=f"the poster at scale {plan['scale']}: {data['source']}, about {_short(data['tokens'])} tokens of train, "
        f"vocabulary {plan['vocabulary']:,}, windows of {plan['window']}",
        title_justify="left",
        caption=f"{data['how']}\nhours: {plan['rate']['how']}; in all {_short(total['flops'])}FLOP, "
        f"{_hours(total['hours'])}",
        caption_justify="left",
    )
    for section in (plan["rows"], plan["shared"]):
        for entry in section:
            millions = entry["parameters"] / 1e6
            shown.add_row(
                entry["name"],
                entry["kind"].replace("_", " "),
                _outline(entry),
                f"{millions:,.1f} M" if millions >= 10 else f"{millions:.2f} M",
                f"{entry['epochs']:g}",
                _short(entry["tokens"]),
                _short(entry["flops"]),
                _hours(entry["hours"]),
                f"{entry['gpu_memory_gb']:.2f}",
            )
        shown.add_section()
    return shown


def _outline(entry: Entry) -> str:
    """Family, width and layers of the entry's model; nothing for a cache, whose models stand with its teachers."""
    if entry["kind"] == "cache":
        return ""
    preset = get_preset(entry["preset"])
    return f"{FAMILIES[preset.family]} {preset.width} × {preset.layers}"


def _short(value: float) -> str:
    """A number with a prefix of a thousand's power: `142.7 M`, `85.3 P`."""
    for prefix in ("", "k", "M", "G", "T", "P"):
        if value < 1000:
            return f"{value:.1f} {prefix}" if prefix else f"{value:.0f}"
        value /= 1000
    return f"{value:,.1f} E"


def _hours(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"
