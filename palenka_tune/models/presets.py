"""Architectures by name: the poster's own, and small ones for a laptop.

In: a preset's name, as written in a search space. Out: a `ModelPreset`, which `models.build.build_model` turns into a
Hugging Face model. The poster's names are kept, also where they state another size than the published configuration
has (GPT2-44M holds 26.7 M parameters at its vocabulary of 16,000); `models.scales.describe` prints the true counts. A
name such as `GPT2-705M@tiny` is one of the poster's models made smaller (`models.shrunk`).
Standard library only, so that a search space can be checked without loading torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from palenka_tune.errors import UserError, nearest
from palenka_tune.models.shrunk import SEPARATOR, shrunk

Family = Literal["gpt2", "llama"]
FAMILIES: dict[str, str] = {"gpt2": "GPT-2", "llama": "Llama"}


@dataclass(frozen=True)
class ModelPreset:
    """One decoder-only architecture, without its vocabulary.

    `width` is the size D of the hidden states, `ffn` the inner size of Llama's gated MLP (GPT-2's is always 4 * width),
    `tied` says whether the output head shares the embedding's weights, and `positions` is the least number of positions
    that a model has (twice the training window if that is more).

    Raises:
        UserError: if the sizes do not fit together.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    family: Family
    width: int
    layers: int
    heads: int
    ffn: int | None = None
    tied: bool = True
    positions: int = 256

    def __post_init__(self) -> None:
        where = f"model preset {self.name!r}"
        if self.family not in FAMILIES:
            raise UserError(f"{where}: family is {self.family!r}; it must be 'gpt2' or 'llama'")
        for size in ("width", "layers", "heads", "positions"):
            if getattr(self, size) < 1:
                raise UserError(f"{where}: {size} is {getattr(self, size)}; it must be 1 or more")
        if self.width % self.heads:
            raise UserError(f"{where}: width {self.width} must be divisible by heads {self.heads}")
        if self.family == "gpt2" and self.ffn is not None:
            raise UserError(
                f"{where}: ffn is {self.ffn}, but GPT-2's is always 4 * width ({4 * self.width}); leave ffn out"
            )
        if self.family == "llama":
            if self.ffn is None or self.ffn < 1:
                raise UserError(f"{where}: ffn is {self.ffn}; a llama preset needs a feed-forward size of 1 or more")
            if self.head_dim % 2:
                raise UserError(
                    f"{where}: width {self.width} over {self.heads} heads gives heads of {self.head_dim} dimensions; "
                    "llama's rotary positions need an even number"
                )

    @property
    def head_dim(self) -> int:
        """Dimensions of one attention head."""
        return self.width // self.heads

    @property
    def architecture(self) -> str:
        """One line for tables, such as `Llama, d 512, ffn 1024, 16 layers, 8 heads, untied`."""
        ffn = f", ffn {self.ffn}" if self.ffn else ""
        return (
            f"{FAMILIES[self.family]}, d {self.width}{ffn}, {self.layers} layers, {self.heads} heads, "
            f"{'tied' if self.tied else 'untied'}"
        )


def _gpt2(name: str, width: int, layers: int, heads: int) -> ModelPreset:
    return ModelPreset(name, "gpt2", width=width, layers=layers, heads=heads, tied=True)


def _llama(name: str, width: int, ffn: int, layers: int, heads: int) -> ModelPreset:
    return ModelPreset(name, "llama", width=width, layers=layers, heads=heads, ffn=ffn, tied=False)


_GPT2_44M = _gpt2("GPT2-44M", 768, 2, 8)
_BABYLLAMA1_58M = _llama("BabyLlama1-58M", 512, 1024, 16, 8)

POSTER: dict[str, ModelPreset] = {
    preset.name: preset
    for preset in (
        _GPT2_44M,
        _llama("Llama-60M", 768, 2048, 2, 8),
        _gpt2("GPT2-small-97M", 768, 12, 12),
        _gpt2("GPT2-705M", 1536, 24, 16),
        _llama("Llama-360M", 1024, 3072, 24, 8),
        replace(_GPT2_44M, name="DistilledGPT-44M"),
        _BABYLLAMA1_58M,
        replace(_BABYLLAMA1_58M, name="PalenkaLlama1-58M"),
    )
}

PRESETS: dict[str, ModelPreset] = POSTER | {
    preset.name: preset
    for preset in (
        # A few minutes on a laptop.
        _gpt2("GPT2-tiny", 128, 4, 4),
        _llama("Llama-tiny", 128, 384, 4, 4),
        _llama("Student-tiny", 64, 128, 4, 4),
        # One modest GPU.
        _gpt2("GPT2-small", 384, 6, 6),
        _llama("Llama-small", 384, 1024, 6, 6),
        _llama("Student-small", 160, 320, 8, 4),
    )
}


def get_preset(name: str) -> ModelPreset:
    """The preset called `name`, or the poster's `NAME@SCALE`; `UserError` with the nearest name if there is none."""
    if SEPARATOR in name:
        return shrunk(name, POSTER)
    if name not in PRESETS:
        raise UserError(f"there is no model preset {name!r}{nearest(name, PRESETS)}")
    return PRESETS[name]
