"""What a teacher is: what it is trained from (`TeacherSpec`), where it is kept, and how a trained one is opened.

A teacher trained here is an artifact `storage/artifacts/teachers/<preset>-<fingerprint>/`: a folder that plain
`from_pretrained` loads, with a manifest that has the dev cross-entropy of each epoch. Any other Hugging Face folder of
a causal language model can be a teacher too; its fingerprint is that of its files. No Ray and no torch model in here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from palenka_tune.config.artifacts import is_complete, open_artifact
from palenka_tune.config.files import fingerprint as digest
from palenka_tune.config.files import weights_digest
from palenka_tune.config.recipe import Recipe
from palenka_tune.distill.shapes import ModelShape
from palenka_tune.errors import PalenkaError
from palenka_tune.models.given import read_architecture
from palenka_tune.models.presets import ModelPreset
from palenka_tune.models.weights import check_weights
from palenka_tune.words import perplexity

TEACHER_VERSION = 1

OnMetrics = Callable[[str, Mapping[str, float], int], None]
"""Called with the teacher's key (its folder's name), metrics, and the number of trained tokens."""


@dataclass(frozen=True)
class TeacherSpec:
    """A teacher to train: architecture, recipe, and the seed of its weights and of the order of its batches."""

    preset: ModelPreset
    recipe: Recipe
    seed: int


@dataclass(frozen=True)
class Teacher:
    """A trained teacher.

    `val_ce` is the dev cross-entropy in nats per token of the weights in `folder` (None for a folder that was not
    trained here), `tokens` and `seconds` say what its training took.
    """

    name: str
    folder: Path
    shape: ModelShape
    parameters: int
    val_ce: float | None
    fingerprint: str
    tokens: int
    seconds: float

    def describe(self) -> str:
        """One line: name, true size, dev cross-entropy and perplexity where they are known."""
        size = f"{self.name}, {self.parameters / 1e6:.2f} M parameters"
        if self.val_ce is None:
            return size
        return f"{size}, dev CE {self.val_ce:.4f} nats per token (perplexity {perplexity(self.val_ce):.1f})"


def fingerprint(spec: TeacherSpec, data_fingerprint: str, dev_windows: int | None = None) -> str:
    """16 hex digits over everything that shapes the weights.

    `dev_windows` belongs to it, because the epoch that is kept is the best one on them; the number of workers does not.
    """
    recipe = {  # epochs 2 and 2.0 are the same recipe; how a step is taken changes nothing
        name: float(value) if isinstance(value, int) else value
        for name, value in asdict(spec.recipe).items()
        if name != "step"
    }
    return digest(
        {
            "preset": spec.preset.identity,
            "recipe": recipe,
            "seed": spec.seed,
            "data": data_fingerprint,
            "dev_windows": dev_windows,
            "version": TEACHER_VERSION,
        }
    )


def teacher_folder(storage: str | Path, spec: TeacherSpec, data_fingerprint: str, dev_windows: int | None) -> Path:
    """Where the artifact of `spec` is, or will be."""
    name = f"{spec.preset.name}-{fingerprint(spec, data_fingerprint, dev_windows)}"
    return Path(storage).absolute() / "artifacts" / "teachers" / name


def open_teacher(folder: str | Path) -> Teacher:
    """Open an artifact, or any local Hugging Face folder of a causal language model.

    Raises `PalenkaError` for a damaged artifact, `UserError` for a folder that is neither. Weights are not loaded.
    """
    folder = Path(folder).expanduser().absolute()
    if not is_complete(folder):
        return _open_plain(folder)
    manifest = open_artifact(folder)
    if manifest.get("kind") != "teacher" or manifest.get("version") != TEACHER_VERSION:
        raise PalenkaError(f"{folder} is not a teacher of version {TEACHER_VERSION}; delete it and train it again")
    preset = ModelPreset(**manifest["preset"])
    return Teacher(
        name=f"{preset.name}, seed {seed}" if (seed := manifest.get("seed")) else preset.name,
        folder=folder,
        shape=ModelShape(preset.name, preset.family, preset.width, preset.layers),
        parameters=int(manifest["parameters"]),
        val_ce=float(manifest["val_ce"]),
        fingerprint=str(manifest["fingerprint"]),
        tokens=int(manifest["tokens"]),
        seconds=float(manifest["seconds"]),
    )


def _open_plain(folder: Path) -> Teacher:
    """A model folder from elsewhere; its name is the folder's, or the search's whose best student it is."""
    shape = plain_shape(folder)
    parameters = check_weights(folder, shape.depth)
    return Teacher(shape.name, folder, shape, parameters, None, weights_digest(folder), tokens=0, seconds=0.0)


def plain_shape(folder: Path) -> ModelShape:
    """The shape of a model, from its `config.json` alone; raises `UserError` if it is none that can teach."""
    model = read_architecture(folder)
    return ModelShape(model.name, model.family, model.width, model.layers)
