"""What a cache must hold: from the losses that will be trained (`need_of`) to the columns that are written (`Plan`).

A `Need` is what a set of losses asks of the teachers; a `Plan` is one way to answer it, with its size on disk known
before anything is run. `choose` takes the first plan that fits: exact logits and all that was asked for, else fewer
components of hidden states, else sampled logits. No torch in here.

Shapes: T tokens of a window, E a teacher's width, R components, K samples, V vocabulary.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palenka_tune.cache.settings import CacheSettings
from palenka_tune.data.ids import id_type
from palenka_tune.distill.settings import DistillSettings
from palenka_tune.distill.shapes import ModelShape, resolved_maps
from palenka_tune.errors import UserError

# components of a hidden state that `auto` falls back to where the budget is short
FEWER_COMPONENTS = (128, 64, 32, 16)
BYTES = {"float16": 2, "float32": 4, "int8": 1, "uint16": 2, "int32": 4}


@dataclass(frozen=True)
class Distribution:
    """One teachers' distribution: weights (summing to 1), temperature, what is averaged."""

    weights: tuple[float, ...]
    temperature: float
    ensemble: str


@dataclass(frozen=True)
class Need:
    """What a set of losses asks of the teachers.

    `layers` has per teacher {hidden state: leading components, or None for the full state}. `distributions` are those
    of the KL (empty: no logits); `any_temperature` says that the temperature is searched over a range, so that they
    cannot be listed. `exact_divergences` are those that need every probability: all but the forward KL.
    """

    layers: tuple[Mapping[int, int | None], ...]
    distributions: tuple[Distribution, ...] = ()
    any_temperature: bool = False
    exact_divergences: frozenset[str] = frozenset()

    @property
    def nothing(self) -> bool:
        return not self.distributions and not any(self.layers)


def need_of(
    losses: Iterable[DistillSettings],
    student: ModelShape,
    teachers: tuple[ModelShape, ...],
    *,
    any_temperature: bool = False,
) -> Need:
    """The union of what `losses` need; a term of weight 0 needs nothing."""
    layers: list[dict[int, int | None]] = [{} for _ in teachers]
    distributions: dict[Distribution, None] = {}
    divergences: set[str] = set()
    for loss in losses:
        if loss.alpha:
            weights = tuple(loss.weights(len(teachers)))
            distributions[Distribution(weights, float(loss.temperature), loss.ensemble)] = None
            divergences.add(loss.divergence)
        if not loss.beta:
            continue
        rank = loss.projection.rank
        for held, layer_map in zip(layers, resolved_maps(loss, student, teachers), strict=True):
            for layer in layer_map:
                known = held.get(layer, 0)
                held[layer] = None if rank is None or known is None else max(rank, known)
    sorted_layers = tuple(dict(sorted(held.items())) for held in layers)
    return Need(sorted_layers, tuple(distributions), any_temperature, frozenset(divergences - {"forward_kl"}))


def merged(needs: Sequence[Need]) -> Need:
    """What all of `needs`, at least one, ask of the same teachers."""
    layers: list[dict[int, int | None]] = [{} for _ in needs[0].layers]
    for need in needs:
        for held, wanted in zip(layers, need.layers, strict=True):
            for layer, rank in wanted.items():
                known = held.get(layer, 0)
                held[layer] = None if rank is None or known is None else max(rank, known)
    return Need(
        tuple(dict(sorted(held.items())) for held in layers),
        tuple(dict.fromkeys(each for need in needs for each in need.distributions)),
        needs[0].any_temperature,
        frozenset().union(*(need.exact_divergences for need in needs)),
    )


@dataclass(frozen=True)
class Column:
    """One stored quantity of a window: (T, width) of `dtype`, or (T,) where `width` is None."""

    name: str
    dtype: str
    width: int | None

    def bytes_per_token(self) -> int:
        return BYTES[self.dtype] * (self.width or 1)


@dataclass(frozen=True)
class Plan:
    """How a need is answered: `form` of the logits (None: no logits), `encoding` of hidden states, their components."""

    need: Need
    form: str | None
    encoding: str
    samples: int
    teachers: tuple[ModelShape, ...]
    vocabulary: int
    seed: int = 0

    @property
    def columns(self) -> tuple[Column, ...]:
        """Everything that is stored of a window."""
        found: list[Column] = []
        for teacher, layers in enumerate(self.need.layers):
            for layer, components in layers.items():
                width = components or self.teachers[teacher].width
                found.append(Column(hidden_name(teacher, layer), self.encoding, width))
                if self.encoding == "int8":
                    found.append(Column(scale_name(teacher, layer), "float32", None))
        if self.form == "sampled":
            for number in range(len(self.need.distributions)):
                found.append(Column(f"ids{number}", id_type(self.vocabulary), self.samples))
                found.append(Column(f"entropy{number}", "float32", None))
        elif self.form is not None:
            for number, shape in enumerate(self.teachers):
                width = self.vocabulary if self.form == "dense" else shape.width
                found.append(Column(self.logits_column(number), "float16", width))
        return tuple(dict.fromkeys(found))

    def logits_column(self, teacher: int) -> str:
        """Where a teacher's logits, or the last hidden states that make them, are kept; a last state that deep
        supervision wants too, whole and in float16, is kept once."""
        depth = self.teachers[teacher].depth
        shared = self.need.layers[teacher].get(depth, 0) is None and self.encoding == "float16"
        if self.form == "final_hidden" and shared:
            return hidden_name(teacher, depth)
        return f"teacher{teacher}_logits" if self.form == "dense" else f"teacher{teacher}_last"

    def bytes_per_token(self) -> int:
        return sum(column.bytes_per_token() for column in self.columns)

    def describe(self) -> str:
        """One line: what is kept."""
        parts = [f"logits {self.form}" if self.form else "no logits"]
        kept = [
            f"{len(layers)} of teacher {number} ({_range(layers)})"
            for number, layers in enumerate(self.need.layers)
            if layers
        ]
        parts.append(f"hidden states {', '.join(kept)} in {self.encoding}" if kept else "no hidden states")
        return ", ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Plain data for a manifest and a fingerprint, equal to what is read back from JSON."""
        sampled = self.need.distributions if self.form == "sampled" else ()
        return {
            "form": self.form,
            "encoding": self.encoding,
            "samples": self.samples if self.form == "sampled" else None,
            "seed": self.seed if self.form == "sampled" else None,
            "layers": [{str(k): v for k, v in layers.items()} for layers in self.need.layers],
            "distributions": [{**dataclasses.asdict(d), "weights": list(d.weights)} for d in sampled],
        }


def hidden_name(teacher: int, layer: int) -> str:
    return f"teacher{teacher}_state{layer}"


def scale_name(teacher: int, layer: int) -> str:
    return f"{hidden_name(teacher, layer)}_scale"


def _range(layers: Mapping[int, int | None]) -> str:
    kept = {"full width" if components is None else f"{components} components" for components in layers.values()}
    return " or ".join(sorted(kept))


def candidates(
    need: Need,
    settings: CacheSettings,
    teachers: tuple[ModelShape, ...],
    vocabulary: int,
    seed: int,
    *,
    linear: bool = True,
) -> list[Plan]:
    """Plans from the most to the least faithful; only `auto` has more than one.

    `linear` False: a teacher changes its logits after its output head, so that hidden states cannot give them.
    """

    def plan(form: str | None, most: int | None = None) -> Plan:
        layers = tuple(
            {layer: _at_most(components, most, shape.width) for layer, components in held.items()}
            for held, shape in zip(need.layers, teachers, strict=True)
        )
        kept, form = dataclasses.replace(need, layers=layers), form if need.distributions else None
        return Plan(kept, form, settings.hidden, settings.samples, teachers, vocabulary, seed)

    if settings.form == "sampled" and need.any_temperature:
        raise UserError(
            "cache.form is 'sampled', which keeps samples at known temperatures, but temperature is searched over a "
            "range; search it by choice, or use cache.form=final_hidden"
        )
    if settings.form == "sampled" and need.exact_divergences:
        raise UserError(
            "cache.form is 'sampled', which gives divergence forward_kl only, but distill.divergence may be "
            f"{' or '.join(sorted(need.exact_divergences))}; use forward_kl alone, or cache.form=final_hidden"
        )
    if settings.form != "auto":
        return [plan(settings.form)]
    exact_only = need.any_temperature or need.exact_divergences
    forms = ["final_hidden" if linear else "dense", *([] if exact_only else ["sampled"])]
    widest = max((teacher.width for teacher in teachers), default=0)
    fewer = [None, *(most for most in FEWER_COMPONENTS if most < widest)] if any(need.layers) else [None]
    return [plan(form, most) for form in forms[: None if need.distributions else 1] for most in fewer]


def answers(have: Mapping[str, Any], want: Plan) -> bool:
    """Whether a cache whose plan (as in its manifest) is `have` serves everything that `want` would."""
    ours = want.as_json()
    if want.form is not None and any(have[key] != ours[key] for key in ("form", "samples", "seed")):
        return False
    if not all(wanted in have["distributions"] for wanted in ours["distributions"]):
        return False
    if any(want.need.layers) and have["encoding"] != want.encoding:
        return False
    for held, wanted in zip(have["layers"], ours["layers"], strict=True):
        for layer, components in wanted.items():
            kept = held.get(layer, 0)
            if kept is not None and (components is None or kept < components):
                return False
    return True


def _at_most(kept: int | None, most: int | None, width: int) -> int | None:
    """`kept` components (None: the whole state) of a state of `width`, or fewer where `most` is less."""
    return kept if most is None or most >= (kept or width) else most


def choose(plans: Sequence[Plan], tokens: int, limit: Callable[[Plan], float]) -> Plan:
    """The first plan whose `tokens` fit into its `limit` in bytes; `UserError` with the sizes if none does."""
    for plan in plans:
        if plan.bytes_per_token() * tokens <= limit(plan):
            return plan
    smallest = min(plans, key=Plan.bytes_per_token)
    size, most = gigabytes(smallest.bytes_per_token() * tokens), gigabytes(limit(smallest))
    raise UserError(
        f"a cache of the teachers ({smallest.describe()}) takes {size} and {most} may be used; raise --cache-budget or "
        "free space, train on fewer windows, search fewer layers and ranks, or use --teachers-online"
    )


def gigabytes(size: float) -> str:
    """A size as people read it, in units of 10^9 or 10^6 bytes."""
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{math.ceil(size / 1e5) / 10:.1f} MB"
