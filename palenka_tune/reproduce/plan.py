"""The dry run: what each row of the poster would train, and what that takes, before anything is trained.

In: a scale, a data source, the rows. Out: a dictionary for `--json` (its shape is at `dry_run`) and a table of it.
Models are built on the meta device only, for their true parameter counts. Teachers and their caches are made once for
all rows that use them, so they stand in a list of their own with the rows that wait for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from palenka_tune.cache.job import BATCH_WINDOWS
from palenka_tune.models.memory import inference_memory, training_memory
from palenka_tune.models.presets import FAMILIES, ModelPreset, get_preset
from palenka_tune.models.scales import parameter_count
from palenka_tune.reproduce.cost import Rate, forward_flops, head_flops, projection_flops, rate, training_flops
from palenka_tune.reproduce.recipes import (
    ReproduceScale,
    Row,
    chosen_rows,
    get_scale,
    preset_name,
    row_recipe,
    teacher_recipe,
)
from palenka_tune.reproduce.size import data_size


@dataclass(frozen=True)
class _Setting:
    """What all entries of a plan share."""

    scale: ReproduceScale
    tokens: int
    rate: Rate

    def preset(self, name: str) -> ModelPreset:
        return get_preset(preset_name(name, self.scale))

    def entry(self, name: str, kind: str, presets: Sequence[ModelPreset], **figures: Any) -> dict[str, Any]:
        """The keys that rows, teachers and caches have in common."""
        vocabulary, window = self.scale.vocabulary, self.scale.window
        return {
            "name": name,
            "kind": kind,
            "preset": " + ".join(preset.name for preset in presets),
            "architecture": " + ".join(preset.architecture for preset in presets),
            "parameters": sum(parameter_count(preset, vocabulary, window) for preset in presets),
            **figures,
            "hours": self.rate.hours(figures["flops"]),
        }


def dry_run(
    scale: str = "tiny",
    data: str | None = None,
    rows: Sequence[str] | None = None,
    tflops: float | None = None,
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
    speed = rate(at, tflops)
    size = data_size(data, at)
    setting = _Setting(at, size.tokens, speed)
    shared = _shared(chosen, setting)
    planned = [_row(row, setting) for row in chosen]
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


def teacher_label(name: str) -> str:
    """What a plan calls the training of teacher `name`, which is another one than the baseline's."""
    return f"teacher {name}"


def cache_label(row: Row) -> str:
    """What a plan calls the cache of a row's teachers."""
    return f"cache of {' + '.join(row.teachers)}"


def _row(row: Row, setting: _Setting) -> dict[str, Any]:
    scale = setting.scale
    preset, recipe = setting.preset(row.preset), row_recipe(row, scale)
    teachers = [setting.preset(name) for name in row.teachers]
    tokens = round(recipe.epochs * setting.tokens)
    parts = {
        "model": tokens * training_flops(preset, scale.vocabulary, scale.window),
        "teacher_heads": tokens * head_flops(teachers, scale.vocabulary) if row.alpha else 0,
        "projections": tokens * projection_flops(preset, teachers) if row.beta else 0,
    }
    memory = training_memory(
        preset,
        teachers,
        vocabulary=scale.vocabulary,
        window=scale.window,
        micro_batch=recipe.batch_size // recipe.accumulate,
    )
    return setting.entry(
        row.name,
        row.kind,
        [preset],
        parameters_named=row.published.parameters_named,
        epochs=recipe.epochs,
        steps=_steps(tokens, recipe.batch_size, scale),
        tokens=tokens,
        flops=sum(parts.values()),
        flops_parts=parts,
        gpu_memory_gb=memory / 1e9,
        needs=[*map(teacher_label, row.teachers), *([cache_label(row)] if row.teachers else [])],
    )


def _shared(rows: Sequence[Row], setting: _Setting) -> list[dict[str, Any]]:
    """Teachers, then caches, each once, in the order in which rows first need them."""
    scale = setting.scale
    vocabulary, window = scale.vocabulary, scale.window
    teachers: dict[str, dict[str, Any]] = {}
    caches: dict[str, dict[str, Any]] = {}
    for row in rows:
        for name in row.teachers:
            label, recipe = teacher_label(name), teacher_recipe(name, row, scale)
            if label not in teachers:
                preset, tokens = setting.preset(name), round(recipe.epochs * setting.tokens)
                memory = training_memory(
                    preset,
                    [],
                    vocabulary=vocabulary,
                    window=window,
                    micro_batch=recipe.batch_size // recipe.accumulate,
                )
                teachers[label] = setting.entry(
                    label,
                    "teacher",
                    [preset],
                    epochs=recipe.epochs,
                    steps=_steps(tokens, recipe.batch_size, scale),
                    tokens=tokens,
                    flops=tokens * training_flops(preset, vocabulary, window),
                    gpu_memory_gb=memory / 1e9,
                    used_by=[],
                )
            teachers[label]["used_by"].append(row.name)
        if row.teachers:
            label = cache_label(row)
            if label not in caches:
                presets = [setting.preset(name) for name in row.teachers]
                memory = inference_memory(presets, vocabulary=vocabulary, window=window, micro_batch=BATCH_WINDOWS)
                caches[label] = setting.entry(
                    label,
                    "cache",
                    presets,
                    epochs=1.0,
                    steps=0,
                    tokens=setting.tokens,
                    flops=setting.tokens * sum(forward_flops(preset, vocabulary, window) for preset in presets),
                    gpu_memory_gb=memory / 1e9,
                    used_by=[],
                )
            caches[label]["used_by"].append(row.name)
    return [*teachers.values(), *caches.values()]


def _steps(tokens: int, batch_size: int, scale: ReproduceScale) -> int:
    return max(1, round(tokens / (batch_size * scale.window)))


def table(plan: dict[str, Any]) -> Table:
    """The plan as it is printed: the rows, what they share, and below what the figures rest on."""
    data, total = plan["data"], plan["total"]
    shown = Table(
        title=f"the poster at scale {plan['scale']}: {data['source']}, about {_short(data['tokens'])} tokens of train, "
        f"vocabulary {plan['vocabulary']:,}, windows of {plan['window']}",
        title_justify="left",
        caption=f"{data['how']}\nhours: {plan['rate']['how']}; in all {_short(total['flops'])}FLOP, "
        f"{_hours(total['hours'])}",
        caption_justify="left",
    )
    shown.add_column("row", no_wrap=True)
    shown.add_column("kind")
    shown.add_column("width × layers")
    for column in ("parameters", "epochs", "tokens", "FLOP", "time", "GPU GB"):
        shown.add_column(column, justify="right", no_wrap=True)
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


def _outline(entry: dict[str, Any]) -> str:
    """Family, width and layers of the entry's models; a cache's stand with its teachers."""
    presets = [get_preset(name) for name in entry["preset"].split(" + ")]
    if len(presets) > 1:
        return ""
    return f"{FAMILIES[presets[0].family]} {presets[0].width} × {presets[0].layers}"


def _short(value: float) -> str:
    """A number with a prefix of a thousand's power: `142.7 M`, `85.3 P`."""
    for prefix in ("", "k", "M", "G", "T", "P"):
        if value < 1000:
            return f"{value:.1f} {prefix}" if prefix else f"{value:.0f}"
        value /= 1000
    return f"{value:,.1f} E"


def _hours(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"
