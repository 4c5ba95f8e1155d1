"""Architectures by name: the poster's own, the poster's made smaller, and small ones for a laptop.

`get_preset` turns a name, as written in a search space, into a `ModelPreset`, which `models.build.build_model` turns
into a Hugging Face model. The poster's names are kept, also where they state another size than the published
configuration has (GPT2-44M holds 26.7 M parameters at its vocabulary of 16,000); `palenka-tune train --list` prints
the true counts. `GPT2-705M@tiny` is one of the poster's models with its sizes divided as `SHRINKAGES` says: the family,
whether the head is tied and the proportions between student and teachers stay. `NAME@poster` is the preset itself, so
that both names lead to the same artifacts.
Standard library only, so that a search space can be checked without loading torch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

from palenka_tune.errors import UserError, nearest
from palenka_tune.limits import Limits, Strict, check_fields
from palenka_tune.words import plural

Family = Literal["gpt2", "llama", "qwen3"]
FAMILIES: dict[str, str] = {"gpt2": "GPT-2", "llama": "Llama", "qwen3": "Qwen3"}


@dataclass(frozen=True)
class ModelPreset(Strict):
    """One decoder-only architecture, without its vocabulary.

    `width` is the size D of the hidden states, `ffn` the inner size of the gated MLP (GPT-2's is always 4 * width),
    `kv_heads` how many heads of keys and values the `heads` share (None: as many), `head_dim` the size of a head (None:
    width / heads), both not of GPT-2. `tied` says whether the output head shares the embedding's weights, and
    `positions` is the least number of positions that a model has (twice the training window if that is more). With
    `config` it is the architecture of that Hugging Face folder's config.json, of any family (`models.given`).

    Raises:
        UserError: if the sizes do not fit together.
    """

    name: str
    family: str
    width: Annotated[int, Limits(ge=1)]
    layers: Annotated[int, Limits(ge=1)]
    heads: Annotated[int, Limits(ge=1)]
    ffn: int | None = None
    tied: bool = True
    positions: Annotated[int, Limits(ge=1)] = 256
    kv_heads: Annotated[int, Limits(ge=1)] | None = None
    head_dim: Annotated[int, Limits(ge=2)] | None = None
    config: str | None = None

    def positions_for(self, window: int) -> int:
        """Positions of a model that is built for windows of `window` tokens."""
        return max(self.positions, 2 * window)

    def __post_init__(self) -> None:
        where = f"model {self.name!r}"
        if self.config is not None:
            check_fields(self, f"{where}: ")
            return
        if self.family not in FAMILIES:
            raise UserError(f"{where}: family is {self.family!r}; it must be one of {', '.join(FAMILIES)}")
        check_fields(self, f"{where}: ")
        if self.head_dim is None and self.width % self.heads:
            raise UserError(f"{where}: width {self.width} must be divisible by heads {self.heads}")
        if self.heads % (self.kv_heads or self.heads):
            raise UserError(f"{where}: heads {self.heads} must be divisible by kv_heads {self.kv_heads}")
        if self.family == "gpt2":
            if self.ffn is not None:
                raise UserError(
                    f"{where}: ffn is {self.ffn}, but GPT-2's is always 4 * width ({4 * self.width}); leave ffn out"
                )
            for name in ("kv_heads", "head_dim"):
                if getattr(self, name) is not None:
                    raise UserError(
                        f"{where}: {name} is {getattr(self, name)}, which GPT-2 does not have; leave it out"
                    )
        else:
            if self.ffn is None or self.ffn < 1:
                raise UserError(f"{where}: ffn is {self.ffn}; a {self.family} needs a feed-forward size of 1 or more")
            if self.head_size % 2:
                raise UserError(
                    f"{where}: width {self.width} over {self.heads} heads gives heads of {self.head_size} dimensions; "
                    "rotary positions need an even number"
                )

    @property
    def head_size(self) -> int:
        """Dimensions of one attention head."""
        return self.head_dim or self.width // self.heads

    @property
    def identity(self) -> dict[str, Any]:
        """What a fingerprint is made of: what is not set does not count."""
        optional = ("kv_heads", "head_dim", "config")
        return {name: value for name, value in asdict(self).items() if name not in optional or value is not None}

    @property
    def architecture(self) -> str:
        """One line for tables, such as `Llama, d 512, ffn 1024, 16 layers, 8 heads, untied`."""
        if self.config is not None:
            family = FAMILIES.get(self.family, self.family)
            return f"{family}, d {self.width}, {plural(self.layers, 'layer')}, as its config.json"
        ffn = f", ffn {self.ffn}" if self.ffn else ""
        shared = f" over {self.kv_heads}" if self.kv_heads else ""
        sized = f" of {self.head_dim}" if self.head_dim else ""
        return (
            f"{FAMILIES[self.family]}, d {self.width}{ffn}, {plural(self.layers, 'layer')}, "
            f"{plural(self.heads, 'head')}{shared}{sized}, "
            f"{'tied' if self.tied else 'untied'}"
        )


def _by_name(*presets: ModelPreset) -> dict[str, ModelPreset]:
    return {preset.name: preset for preset in presets}


_GPT2_44M = ModelPreset("GPT2-44M", "gpt2", width=768, layers=2, heads=8)
_BABYLLAMA1_58M = ModelPreset("BabyLlama1-58M", "llama", width=512, ffn=1024, layers=16, heads=8, tied=False)

POSTER = _by_name(
    _GPT2_44M,
    ModelPreset("Llama-60M", "llama", width=768, ffn=2048, layers=2, heads=8, tied=False),
    ModelPreset("GPT2-small-97M", "gpt2", width=768, layers=12, heads=12),
    ModelPreset("GPT2-705M", "gpt2", width=1536, layers=24, heads=16),
    ModelPreset("Llama-360M", "llama", width=1024, ffn=3072, layers=24, heads=8, tied=False),
    replace(_GPT2_44M, name="DistilledGPT-44M"),
    _BABYLLAMA1_58M,
    replace(_BABYLLAMA1_58M, name="PalenkaLlama1-58M"),
)
PRESETS = POSTER | _by_name(
    # A few minutes on a laptop.
    ModelPreset("GPT2-tiny", "gpt2", width=128, layers=4, heads=4),
    ModelPreset("Llama-tiny", "llama", width=128, ffn=384, layers=4, heads=4, tied=False),
    ModelPreset("Student-tiny", "llama", width=64, ffn=128, layers=4, heads=4, tied=False),
    # One modest GPU.
    ModelPreset("GPT2-small", "gpt2", width=384, layers=6, heads=6),
    ModelPreset("Llama-small", "llama", width=384, ffn=1024, layers=6, heads=6, tied=False),
    ModelPreset("Student-small", "llama", width=160, ffn=320, layers=8, heads=4, tied=False),
)

SEPARATOR = "@"
FEWEST_LAYERS = 2  # one layer cannot compose what another has found, and has no state between input and output


@dataclass(frozen=True)
class Shrinkage:
    """What widths (and Llama's feed-forward sizes) and depths are divided by."""

    width: int
    depth: int


SHRINKAGES = {
    "tiny": Shrinkage(width=8, depth=4),
    "small": Shrinkage(width=4, depth=2),
    "poster": Shrinkage(width=1, depth=1),
}


def is_preset(name: str) -> bool:
    """Whether there is a preset of that name."""
    base, separator, scale = name.partition(SEPARATOR)
    return base in POSTER and scale in SHRINKAGES if separator else name in PRESETS


def get_preset(name: str) -> ModelPreset:
    """The preset called `name`, or the poster's `NAME@SCALE`; `UserError` with the nearest name if there is none."""
    base, separator, scale = name.partition(SEPARATOR)
    if not separator:
        if name not in PRESETS:
            raise UserError(f"there is no model preset {name!r}{nearest(name, PRESETS)}")
        return PRESETS[name]
    if base not in POSTER:
        raise UserError(f"model preset {name!r}: {base!r} is no model of the poster{nearest(base, POSTER)}")
    if scale not in SHRINKAGES:
        raise UserError(f"model preset {name!r}: there is no scale {scale!r}{nearest(scale, SHRINKAGES)}")
    if scale == "poster":
        return POSTER[base]
    by = SHRINKAGES[scale]
    return divided(POSTER[base], width=by.width, depth=by.depth, name=name)


def divided(preset: ModelPreset, *, width: int, depth: int = 1, name: str) -> ModelPreset:
    """`preset` with widths divided by `width` and depth by `depth`, called `name`.

    At least two layers are left (or as many as `preset` has), and as many attention heads as their dimensions allow.

    Raises:
        UserError: if `width` does not divide the widths, or leaves no head of an even number of dimensions.
    """
    sizes = [preset.width, *([] if preset.ffn is None else [preset.ffn])]
    if any(size % (2 * width) for size in sizes):
        raise UserError(
            f"model preset {preset.name!r}: sizes {', '.join(map(str, sizes))} cannot be divided by {width} into even "
            "numbers; use a power of 2 that is small enough"
        )
    narrow = preset.width // width
    # as many heads as before if their dimensions stay whole and even, as rotary positions need them; else fewer
    heads = next(count for count in range(preset.heads, 0, -1) if narrow % (2 * count) == 0)
    return replace(
        preset,
        name=name,
        width=narrow,
        heads=heads,
        ffn=None if preset.ffn is None else preset.ffn // width,
        layers=max(min(FEWEST_LAYERS, preset.layers), preset.layers // depth),
    )
